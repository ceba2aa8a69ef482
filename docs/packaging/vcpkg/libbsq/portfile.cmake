# Builds the tree that this port lies in. A port in a registry would begin with vcpkg_from_github instead.
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../../.." ABSOLUTE)

# A library in C has one interface for debug and release hosts.
set(VCPKG_BUILD_TYPE release)

vcpkg_cmake_get_vars(cmake_vars_file)
include("${cmake_vars_file}")
vcpkg_find_acquire_program(PKGCONFIG)
set(ENV{PKG_CONFIG_PATH} "${CURRENT_INSTALLED_DIR}/lib/pkgconfig")

if(VCPKG_LIBRARY_LINKAGE STREQUAL "dynamic")
  set(library install-shared)
else()
  set(library install-static)
endif()
vcpkg_execute_required_process(
  COMMAND make "-j${VCPKG_CONCURRENCY}" ${library}
    "PREFIX=${CURRENT_PACKAGES_DIR}"
    "cmakedir=${CURRENT_PACKAGES_DIR}/share/bsq"
    "BUILD=${CURRENT_BUILDTREES_DIR}/${TARGET_TRIPLET}-rel"
    "LIB=${CURRENT_BUILDTREES_DIR}/${TARGET_TRIPLET}-rel/lib"
    "CC=${VCPKG_DETECTED_CMAKE_C_COMPILER}"
    "AR=${VCPKG_DETECTED_CMAKE_AR}"
    "CFLAGS=${VCPKG_DETECTED_CMAKE_C_FLAGS} ${VCPKG_DETECTED_CMAKE_C_FLAGS_RELEASE}"
    "LDFLAGS=${VCPKG_DETECTED_CMAKE_SHARED_LINKER_FLAGS}"
    "PKG_CONFIG=${PKGCONFIG}"
  WORKING_DIRECTORY "${SOURCE_PATH}"
  LOGNAME "install-${TARGET_TRIPLET}")

vcpkg_fixup_pkgconfig()
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
