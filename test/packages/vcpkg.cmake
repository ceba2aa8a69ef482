# Runs a port as vcpkg does, with as much of vcpkg as the port asks for:
#
#     cmake -DPORT=FOLDER -DWORK=FOLDER -DLINKAGE=static|dynamic -P vcpkg.cmake
#
# A call of vcpkg's that is not here is an error of CMake's.
set(TARGET_TRIPLET test-linux)
set(VCPKG_LIBRARY_LINKAGE "${LINKAGE}")
set(VCPKG_CONCURRENCY 2)
set(CURRENT_PACKAGES_DIR "${WORK}/packages/libbsq_${TARGET_TRIPLET}")
set(CURRENT_BUILDTREES_DIR "${WORK}/buildtrees/libbsq")
set(CURRENT_INSTALLED_DIR "${WORK}/installed/${TARGET_TRIPLET}")

function(vcpkg_cmake_get_vars out)
  file(WRITE "${WORK}/vars.cmake" "set(VCPKG_DETECTED_CMAKE_C_COMPILER cc)\nset(VCPKG_DETECTED_CMAKE_AR ar)\n"
    "set(VCPKG_DETECTED_CMAKE_C_FLAGS \"-fPIC\")\nset(VCPKG_DETECTED_CMAKE_C_FLAGS_RELEASE \"-DNDEBUG\")\n"
    "set(VCPKG_DETECTED_CMAKE_SHARED_LINKER_FLAGS \"\")\n")
  set(${out} "${WORK}/vars.cmake" PARENT_SCOPE)
endfunction()

function(vcpkg_find_acquire_program name)
  find_program(${name} pkg-config REQUIRED)
  set(${name} "${${name}}" PARENT_SCOPE)
endfunction()

function(vcpkg_execute_required_process)
  cmake_parse_arguments(run "" "WORKING_DIRECTORY;LOGNAME" "COMMAND" ${ARGN})
  execute_process(COMMAND ${run_COMMAND} WORKING_DIRECTORY "${run_WORKING_DIRECTORY}" RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${run_LOGNAME}: ${result}")
  endif()
endfunction()

function(vcpkg_fixup_pkgconfig)
  if(NOT EXISTS "${CURRENT_PACKAGES_DIR}/lib/pkgconfig/bsq.pc")
    message(FATAL_ERROR "there is no lib/pkgconfig/bsq.pc")
  endif()
endfunction()

function(vcpkg_install_copyright)
  cmake_parse_arguments(install "" "" "FILE_LIST" ${ARGN})
  configure_file("${install_FILE_LIST}" "${CURRENT_PACKAGES_DIR}/share/libbsq/copyright" COPYONLY)
endfunction()

include("${PORT}/portfile.cmake")
