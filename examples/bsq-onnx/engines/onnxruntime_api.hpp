// The few calls of ONNX Runtime's C interface that are used, each by its place in the table of functions.
//
// The library exports OrtGetApiBase, which leads to the table of the version that is asked for. Version 1 is: its 102 entries
// (0..101) are the first ones of every later version, in the same order, and stay what they are (the project asserts it when
// it is built: onnxruntime/core/session/onnxruntime_c_api.cc). Names and arguments are those of onnxruntime_c_api.h.
#ifndef BSQ_ONNX_ENGINES_ONNXRUNTIME_API_HPP
#define BSQ_ONNX_ENGINES_ONNXRUNTIME_API_HPP

#include <cstddef>
#include <cstdint>

namespace bsq_onnx {
namespace ort {

constexpr uint32_t api_version = 1;

struct Status; // NULL: success
struct Env;
struct Session;
struct SessionOptions;
struct MemoryInfo;
struct Value;
struct Extents; // type and extents of a tensor

enum Number : int { arena_allocator = 1, memory_default = 0, log_fatal = 4, optimize_nothing = 0, optimize_all = 99 };

struct Base {
    const void *const *(*get_api)(uint32_t version); // NULL when it does not have that version
    const char *(*version)();
};
using GetBase = const Base *();

// An entry: 'place' in the table, and what it takes. Most give a status.
template <size_t place, typename Result, typename... Arguments> struct Entry {
    Result (*call)(Arguments...) = nullptr;

    void find(const void *const *table)
    {
        call = reinterpret_cast<Result (*)(Arguments...)>(const_cast<void *>(table[place]));
    }
};

struct Api {
    Entry<2, const char *, const Status *> error_message;     // GetErrorMessage
    Entry<3, Status *, int, const char *, Env **> create_env; // CreateEnv
    Entry<8, Status *, const Env *, const void *, size_t, const SessionOptions *, Session **>
        create_session; // CreateSessionFromArray
    Entry<9, Status *, Session *, const void *, const char *const *, const Value *const *, size_t, const char *const *,
          size_t, Value **>
        run;                                                        // Run
    Entry<10, Status *, SessionOptions **> create_options;          // CreateSessionOptions
    Entry<17, Status *, SessionOptions *> disable_memory_pattern;   // DisableMemPattern
    Entry<19, Status *, SessionOptions *> disable_arena;            // DisableCpuMemArena
    Entry<22, Status *, SessionOptions *, int> set_log_level;       // SetSessionLogSeverityLevel
    Entry<23, Status *, SessionOptions *, int> set_optimization;    // SetSessionGraphOptimizationLevel
    Entry<24, Status *, SessionOptions *, int> set_threads_within;  // SetIntraOpNumThreads
    Entry<25, Status *, SessionOptions *, int> set_threads_between; // SetInterOpNumThreads
    Entry<49, Status *, const MemoryInfo *, void *, size_t, const int64_t *, size_t, int, Value **>
        create_tensor;                                               // CreateTensorWithDataAsOrtValue
    Entry<50, Status *, const Value *, int *> is_tensor;             // IsTensor
    Entry<51, Status *, Value *, void **> values_of;                 // GetTensorMutableData
    Entry<60, Status *, const Extents *, int *> type_of;             // GetTensorElementType
    Entry<61, Status *, const Extents *, size_t *> rank_of;          // GetDimensionsCount
    Entry<62, Status *, const Extents *, int64_t *, size_t> extents; // GetDimensions
    Entry<65, Status *, const Value *, Extents **> describe;         // GetTensorTypeAndShape
    Entry<69, Status *, int, int, MemoryInfo **> create_memory_info; // CreateCpuMemoryInfo
    Entry<92, void, Env *> release_env;                              // ReleaseEnv
    Entry<93, void, Status *> release_status;                        // ReleaseStatus
    Entry<94, void, MemoryInfo *> release_memory_info;               // ReleaseMemoryInfo
    Entry<95, void, Session *> release_session;                      // ReleaseSession
    Entry<96, void, Value *> release_value;                          // ReleaseValue
    Entry<99, void, Extents *> release_extents;                      // ReleaseTensorTypeAndShapeInfo
    Entry<100, void, SessionOptions *> release_options;              // ReleaseSessionOptions

    explicit Api(const void *const *table)
    {
        error_message.find(table);
        create_env.find(table);
        create_session.find(table);
        run.find(table);
        create_options.find(table);
        disable_memory_pattern.find(table);
        disable_arena.find(table);
        set_log_level.find(table);
        set_optimization.find(table);
        set_threads_within.find(table);
        set_threads_between.find(table);
        create_tensor.find(table);
        is_tensor.find(table);
        values_of.find(table);
        type_of.find(table);
        rank_of.find(table);
        extents.find(table);
        describe.find(table);
        create_memory_info.find(table);
        release_env.find(table);
        release_status.find(table);
        release_memory_info.find(table);
        release_session.find(table);
        release_value.find(table);
        release_extents.find(table);
        release_options.find(table);
    }
};

} // namespace ort
} // namespace bsq_onnx

#endif
