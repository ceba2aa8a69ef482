// bsq.hpp - bsq.h for C++17 and later: handles that free themselves, failures as exceptions or as statuses
//
// SPDX-License-Identifier: Apache-2.0
//
//     bsq::layer layer(desc, options, weights, bias);     bsq_layer_create
//     layer.calibrate(batch);                             bsq_layer_calibrate, once for each batch
//     bsq::report report = layer.optimize();              bsq_optimize
//     layer.get_tensor(tensor);                           bsq_layer_get_tensor, bsq_tensor_pack
//     bsq::pack(tensor, bsq::format::onnx_int4, bytes);
//
// Header only, over bsq.h alone. bsq.h stays the manual: every call here names the call there that it makes, and
// shapes, units, statuses and ownership are those of that call. What is different:
//
//   - Each call comes twice. 'try_x' is noexcept, returns a bsq::status and gives results through references, which
//   stay
//     what they were on failure. 'x' does the same, returns the result and throws bsq::error. Without exceptions
//     (-fno-exceptions) there are only the first. Text for people is in bsq::error, in layer::message(), or in the
//     bsq::message that calls without a handle take last (NULL: not wanted).
//   - Buffers are spans: any contiguous container, an array, or pointer and size. They are borrowed until the call
//     returns, as in C. Their sizes are checked against the layer before C sees a pointer: status::size.
//   - Enumerations are scoped types, flags are bool. A value of a newer bsq.h converts by static_cast.
//   - Callables (progress, log, pool, memory) are referred to, not copied: they belong to the host and must live as
//   long
//     as a layer has options that name them, memory as long as bsq.h says. An exception that leaves one is caught
//     before it meets C, stops the call, and is thrown again by 'x' when C has returned; 'try_x' drops it and returns
//     the status of the call that was stopped. Log lines come when the work of a call is done: that stays done.
//   - One layer is used by one thread at a time, as in C; layers and stats move, and a moved-from one has no handle:
//   its
//     calls fail with status::argument.
//   - Nothing is allocated that C would not allocate, but where a comment says "allocates": calls that return a
//     std::vector or a bsq::tensor_storage. Each has a form beside it that fills the caller's buffers.
#ifndef BSQ_HPP
#define BSQ_HPP

#include "bsq.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <type_traits>
#include <utility>

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define BSQ_HPP_EXCEPTIONS 1
#include <exception>
#include <vector>
#else
#define BSQ_HPP_EXCEPTIONS 0
#endif

namespace bsq {

// Keeps files that are compiled with exceptions apart from those without: their inline functions are not the same.
#if BSQ_HPP_EXCEPTIONS
inline namespace with_exceptions {
#else
inline namespace without_exceptions {
#endif

// ---- version and status --------------------------------------------------------------------------------------

enum class [[nodiscard]] status : std::int32_t{ok = BSQ_OK,
                                               argument = BSQ_E_ARGUMENT,
                                               range = BSQ_E_RANGE,
                                               shape = BSQ_E_SHAPE,
                                               size = BSQ_E_SIZE,
                                               state = BSQ_E_STATE,
                                               memory = BSQ_E_MEMORY,
                                               numeric = BSQ_E_NUMERIC,
                                               format = BSQ_E_FORMAT,
                                               corrupt = BSQ_E_CORRUPT,
                                               mismatch = BSQ_E_MISMATCH,
                                               cancelled = BSQ_E_CANCELLED,
                                               version = BSQ_E_VERSION};

// The version of the library that is linked: bsq_version, bsq_version_string.
inline std::int32_t version() noexcept
{
    return bsq_version();
}
inline const char *version_string() noexcept
{
    return bsq_version_string();
}

// bsq_status_string.
inline const char *to_string(status code) noexcept
{
    return bsq_status_string(static_cast<bsq_status_t>(code));
}

// The text of a call without a handle, "" on success (bsq_error_t); longer texts are cut.
class message {
public:
    const char *c_str() const noexcept { return text_; }

    // For calls of bsq.h: what they write goes into this text, while it lives.
    bsq_error_t c_error() noexcept
    {
        bsq_error_t c;
        bsq_error_init(&c, sizeof c);
        c.message = text_;
        c.capacity = sizeof text_;
        return c;
    }

    void set(const char *text) noexcept
    {
        std::strncpy(text_, text, sizeof text_ - 1);
        text_[sizeof text_ - 1] = '\0';
    }

private:
    char text_[256] = "";
};

#if BSQ_HPP_EXCEPTIONS
// What a failed call throws. Copies do not throw and do not allocate.
class error : public std::exception {
public:
    error(bsq::status code, const char *text) noexcept : code_(code) { text_.set(*text ? text : to_string(code)); }
    bsq::status status() const noexcept { return code_; }
    const char *what() const noexcept override { return text_.c_str(); }

private:
    bsq::status code_;
    message text_;
};
#endif

// ---- buffers -------------------------------------------------------------------------------------------------

// Elements that lie one after the other and belong to somebody else: std::span, for C++17 too. A default span is
// "NULL". It takes any lvalue with data() and size(), and views (anything trivially copyable) as rvalues too.
template <class T> class span {
    template <class U> using converts = std::enable_if_t<std::is_convertible_v<U (*)[], T (*)[]>>;
    template <class C> using element = std::remove_pointer_t<decltype(std::declval<C &>().data())>;

public:
    constexpr span() noexcept = default;
    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <class U, std::size_t N, class = converts<U>>
    constexpr span(U (&array)[N]) noexcept : data_(array), size_(N)
    {
    }
    template <class C, class = converts<element<C>>, class = decltype(std::declval<C &>().size()),
              class = std::enable_if_t<!std::is_same_v<std::decay_t<C>, span> &&
                                       (std::is_lvalue_reference_v<C> || std::is_trivially_copyable_v<C>)>>
    constexpr span(C &&container) noexcept : data_(container.data()), size_(static_cast<std::size_t>(container.size()))
    {
    }

    constexpr T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T *begin() const noexcept { return data_; }
    constexpr T *end() const noexcept { return data_ + size_; }
    constexpr T &operator[](std::size_t index) const noexcept { return data_[index]; }

private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

// Bytes of packed tensors and exported statistics: elements of one byte, of whatever type (char, std::byte, uint8_t).
// Only calls take them, so that a container may be a temporary.
template <class Void> class basic_bytes {
    template <class U> using byte_like = std::enable_if_t<sizeof(U) == 1 && std::is_convertible_v<U *, Void *>>;

public:
    constexpr basic_bytes() noexcept = default;
    constexpr basic_bytes(Void *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <class U, std::size_t N, class = byte_like<U>>
    constexpr basic_bytes(U (&array)[N]) noexcept : data_(array), size_(N)
    {
    }
    template <class C, class U = std::remove_pointer_t<decltype(std::declval<C &>().data())>, class = byte_like<U>,
              class = std::enable_if_t<!std::is_same_v<std::decay_t<C>, basic_bytes>>>
    constexpr basic_bytes(C &&container) noexcept : data_(container.data()), size_(container.size())
    {
    }

    constexpr Void *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }

private:
    Void *data_ = nullptr;
    std::size_t size_ = 0;
};
using const_bytes = basic_bytes<const void>;
using bytes = basic_bytes<void>;

// One number for each spatial dimension, in the order of the tensor's spatial extents.
using extents = std::array<std::int64_t, 3>;

// ---- how exceptions of callables pass C ----------------------------------------------------------------------

namespace detail {

#if BSQ_HPP_EXCEPTIONS

// A call on this thread that may call back, with the exception that a callable left to it. Calls nest where a callable
// calls other layers: 'outer' is the call around this one.
struct frame {
    std::exception_ptr exception;
    frame *outer;
    bool keeps; // a throwing call, which the next try_x is part of
};
inline thread_local frame *current_frame = nullptr;

// Opens a frame for a throwing call.
class thrower {
public:
    thrower() noexcept : frame_{nullptr, current_frame, true} { current_frame = &frame_; }
    ~thrower() { current_frame = frame_.outer; }
    thrower(const thrower &) = delete;
    thrower &operator=(const thrower &) = delete;

    // What a callable threw goes first: it is why the call failed.
    void check(status code, const char *text) const
    {
        if (frame_.exception)
            std::rethrow_exception(frame_.exception);
        if (code != status::ok)
            throw error(code, text);
    }

private:
    frame frame_;
};

// Stands at the start of every try_x: takes the frame of the throwing call around it, or opens one that is dropped.
class quiet {
public:
    quiet() noexcept : frame_{nullptr, current_frame, false}
    {
        if (current_frame && current_frame->keeps)
            current_frame->keeps = false;
        else
            current_frame = &frame_;
    }
    ~quiet()
    {
        if (current_frame == &frame_)
            current_frame = frame_.outer;
    }
    quiet(const quiet &) = delete;
    quiet &operator=(const quiet &) = delete;

private:
    frame frame_;
};

// Whether a callable has thrown in this call: then no other is called.
inline bool stopped() noexcept
{
    return current_frame && current_frame->exception;
}

// Calls 'fn'; 'otherwise' is the result when it throws, or when another callable has.
template <class R, class F> R guarded(R otherwise, F fn) noexcept
{
    if (stopped())
        return otherwise;
    try {
        return fn();
    } catch (...) {
        if (current_frame)
            current_frame->exception = std::current_exception();
        return otherwise;
    }
}

#else

class quiet {
public:
    quiet() noexcept {}
};

template <class R, class F> R guarded(R, F fn) noexcept
{
    return fn();
}

#endif

// Whether 'size' is the product of 'factors', which are positive, without overflow.
inline bool is_product(std::size_t size, std::initializer_list<std::int64_t> factors) noexcept
{
    std::uint64_t left = size;
    for (const std::int64_t factor : factors) {
        if (left == 0 || left % static_cast<std::uint64_t>(factor) != 0)
            return false;
        left /= static_cast<std::uint64_t>(factor);
    }
    return left == 1;
}

template <class E> constexpr std::int32_t number(E value) noexcept
{
    return static_cast<std::int32_t>(value);
}
template <class T> constexpr std::int64_t count(span<T> values) noexcept
{
    return static_cast<std::int64_t>(values.size());
}
template <class T> constexpr void copy3(T (&to)[3], const extents &from) noexcept
{
    to[0] = from[0], to[1] = from[1], to[2] = from[2];
}
constexpr extents extents_of(const std::int64_t (&from)[3]) noexcept
{
    return {{from[0], from[1], from[2]}};
}

} // namespace detail

// ---- callables -----------------------------------------------------------------------------------------------

// What a progress callable wants next.
enum class next : std::int32_t { go_on = 0, stop = 1 };

// Refers to a callable for progress (bsq_progress_fn): next f(const bsq_progress_t &), or void f(...), which never
// stops.
class progress_ref {
public:
    constexpr progress_ref() noexcept = default;
    constexpr progress_ref(bsq_progress_fn function, void *context) noexcept : fn_(function), opaque_(context) {}
    template <class F, class R = std::invoke_result_t<F &, const bsq_progress_t &>>
    progress_ref(F &callable) noexcept
        : fn_(&call<F>), opaque_(const_cast<void *>(static_cast<const void *>(&callable)))
    {
        static_assert(std::is_void_v<R> || std::is_same_v<R, next>, "a progress callable returns void or bsq::next");
    }
    template <class F> progress_ref(const F &&) = delete;

    bsq_progress_fn fn() const noexcept { return fn_; }
    void *opaque() const noexcept { return opaque_; }

private:
    template <class F> static std::int32_t BSQ_CALL call(const bsq_progress_t *progress, void *opaque) noexcept
    {
        return detail::guarded(detail::number(next::stop), [&] {
            F &callable = *static_cast<F *>(opaque);
            if constexpr (std::is_void_v<std::invoke_result_t<F &, const bsq_progress_t &>>) {
                callable(*progress);
                return detail::number(next::go_on);
            } else {
                return detail::number(callable(*progress));
            }
        });
    }

    bsq_progress_fn fn_ = nullptr;
    void *opaque_ = nullptr;
};

enum class log_level : std::int32_t { warning = BSQ_LOG_WARNING, info = BSQ_LOG_INFO };

// Refers to a callable for log lines (bsq_log_fn): void f(log_level, const char *text).
class log_ref {
public:
    constexpr log_ref() noexcept = default;
    constexpr log_ref(bsq_log_fn function, void *context) noexcept : fn_(function), opaque_(context) {}
    template <class F, class = std::invoke_result_t<F &, log_level, const char *>>
    log_ref(F &callable) noexcept : fn_(&call<F>), opaque_(const_cast<void *>(static_cast<const void *>(&callable)))
    {
    }
    template <class F> log_ref(const F &&) = delete;

    bsq_log_fn fn() const noexcept { return fn_; }
    void *opaque() const noexcept { return opaque_; }

private:
    template <class F> static void BSQ_CALL call(std::int32_t level, const char *text, void *opaque) noexcept
    {
        (void)detail::guarded(0, [&] {
            (*static_cast<F *>(opaque))(static_cast<log_level>(level), text);
            return 0;
        });
    }

    bsq_log_fn fn_ = nullptr;
    void *opaque_ = nullptr;
};

// One block of work for a host's pool, callable on any thread with an index 0..count-1; it does not throw.
class block {
public:
    block(bsq_block_fn fn, void *context) noexcept : fn_(fn), context_(context) {}
    void operator()(std::int64_t index) const noexcept { fn_(context_, index); }

private:
    bsq_block_fn fn_;
    void *context_;
};

// Refers to a host's thread pool (bsq_parallel_for_fn): void f(int64_t count, block run) calls run(i) for every i in
// 0..count-1 and returns when all have returned. It may throw, but only when no block runs any more.
class pool_ref {
public:
    constexpr pool_ref() noexcept = default;
    constexpr pool_ref(bsq_parallel_for_fn function, void *context) noexcept : fn_(function), opaque_(context) {}
    template <class F, class = std::invoke_result_t<F &, std::int64_t, block>>
    pool_ref(F &callable) noexcept : fn_(&call<F>), opaque_(const_cast<void *>(static_cast<const void *>(&callable)))
    {
    }
    template <class F> pool_ref(const F &&) = delete;

    bsq_parallel_for_fn fn() const noexcept { return fn_; }
    void *opaque() const noexcept { return opaque_; }

private:
    template <class F>
    static void BSQ_CALL call(std::int64_t count, bsq_block_fn fn, void *context, void *opaque) noexcept
    {
        (void)detail::guarded(0, [&] {
            (*static_cast<F *>(opaque))(count, block(fn, context));
            return 0;
        });
    }

    bsq_parallel_for_fn fn_ = nullptr;
    void *opaque_ = nullptr;
};

// Refers to a host's memory (bsq_alloc_fn, bsq_free_fn), an object with
//   void *allocate(std::size_t size)   aligned for any type; NULL or an exception fails the call with status::memory
//   void deallocate(void *block)       must not throw
// It must live until the last layer and stats that came from it are gone.
class memory_ref {
public:
    constexpr memory_ref() noexcept = default;
    constexpr memory_ref(bsq_alloc_fn alloc, bsq_free_fn free, void *context) noexcept
        : alloc_(alloc), free_(free), opaque_(context)
    {
    }
    template <class M, class = decltype(std::declval<M &>().allocate(std::size_t()))>
    memory_ref(M &memory) noexcept : alloc_(&allocate<M>), free_(&deallocate<M>), opaque_(&memory)
    {
    }
    template <class M> memory_ref(const M &&) = delete;

    bsq_alloc_fn alloc_fn() const noexcept { return alloc_; }
    bsq_free_fn free_fn() const noexcept { return free_; }
    void *opaque() const noexcept { return opaque_; }

private:
    template <class M> static void *BSQ_CALL allocate(std::size_t size, void *opaque) noexcept
    {
        return detail::guarded(static_cast<void *>(nullptr),
                               [&]() -> void * { return static_cast<M *>(opaque)->allocate(size); });
    }
    template <class M> static void BSQ_CALL deallocate(void *block, void *opaque) noexcept
    {
        static_cast<M *>(opaque)->deallocate(block);
    }

    bsq_alloc_fn alloc_ = nullptr;
    bsq_free_fn free_ = nullptr;
    void *opaque_ = nullptr;
};

// ---- enumerations, with the values of bsq.h -------------------------------------------------------------------

enum class solver : std::int32_t { automatic = BSQ_SOLVER_AUTO, round = BSQ_SOLVER_ROUND, paper = BSQ_SOLVER_PAPER };
enum class weight_grid : std::int32_t {
    symmetric = BSQ_WEIGHT_GRID_SYMMETRIC,
    full = BSQ_WEIGHT_GRID_FULL,
    zero_point = BSQ_WEIGHT_GRID_ZERO_POINT,
    offset = BSQ_WEIGHT_GRID_OFFSET,
    levels = BSQ_WEIGHT_GRID_LEVELS,
    powers_of_two = BSQ_WEIGHT_GRID_POWERS_OF_TWO,
    nf4 = BSQ_WEIGHT_GRID_NF4,
    iq4_nl = BSQ_WEIGHT_GRID_IQ4_NL,
    e2m1 = BSQ_WEIGHT_GRID_E2M1
};
enum class scale_kind : std::int32_t {
    per_tensor = BSQ_SCALE_KIND_PER_TENSOR,
    per_channel = BSQ_SCALE_KIND_PER_CHANNEL,
    per_group = BSQ_SCALE_KIND_PER_GROUP
};
enum class scale_format : std::int32_t {
    float32 = BSQ_SCALE_FORMAT_FLOAT32,
    float16 = BSQ_SCALE_FORMAT_FLOAT16,
    power_of_two = BSQ_SCALE_FORMAT_POWER_OF_TWO,
    bfloat16 = BSQ_SCALE_FORMAT_BFLOAT16,
    e8m0 = BSQ_SCALE_FORMAT_E8M0,
    e4m3 = BSQ_SCALE_FORMAT_E4M3
};
enum class input_type : std::int32_t {
    automatic = BSQ_INPUT_TYPE_AUTO,
    unsigned_codes = BSQ_INPUT_TYPE_UNSIGNED,
    signed_codes = BSQ_INPUT_TYPE_SIGNED,
    zero_point = BSQ_INPUT_TYPE_ZERO_POINT
};
enum class input_scale_kind : std::int32_t {
    per_tensor = BSQ_INPUT_SCALE_KIND_PER_TENSOR,
    per_channel = BSQ_INPUT_SCALE_KIND_PER_CHANNEL
};
enum class input_clip : std::int32_t {
    squared_error = BSQ_INPUT_CLIP_SQUARED_ERROR,
    minimum_maximum = BSQ_INPUT_CLIP_MINIMUM_MAXIMUM,
    percentile = BSQ_INPUT_CLIP_PERCENTILE
};
enum class kind : std::int32_t { linear = BSQ_KIND_LINEAR, conv = BSQ_KIND_CONV };
enum class weight_layout : std::int32_t { oihw = BSQ_WEIGHT_LAYOUT_OIHW, ohwi = BSQ_WEIGHT_LAYOUT_OHWI };
enum class activation_layout : std::int32_t {
    channels_first = BSQ_ACTIVATION_LAYOUT_CHANNELS_FIRST,
    channels_last = BSQ_ACTIVATION_LAYOUT_CHANNELS_LAST
};
enum class row_weights_kind : std::int32_t {
    per_sample = BSQ_ROW_WEIGHTS_KIND_PER_SAMPLE,
    per_row = BSQ_ROW_WEIGHTS_KIND_PER_ROW
};
enum class stage : std::int32_t {
    statistics = BSQ_STAGE_STATISTICS,
    round = BSQ_STAGE_ROUND,
    prepare = BSQ_STAGE_PREPARE,
    beam = BSQ_STAGE_BEAM,
    bitsplit = BSQ_STAGE_BITSPLIT,
    descent = BSQ_STAGE_DESCENT,
    exact = BSQ_STAGE_EXACT,
    scale = BSQ_STAGE_SCALE,
    bias = BSQ_STAGE_BIAS,
    norm = BSQ_STAGE_NORM
};
enum class outcome : std::int32_t {
    none = BSQ_OUTCOME_NONE,
    converged = BSQ_OUTCOME_CONVERGED,
    limit = BSQ_OUTCOME_LIMIT,
    proven = BSQ_OUTCOME_PROVEN
};
enum class kernel : std::int32_t {
    portable = BSQ_KERNEL_PORTABLE,
    avx2 = BSQ_KERNEL_AVX2,
    avx512 = BSQ_KERNEL_AVX512,
    neon = BSQ_KERNEL_NEON
};
enum class format : std::int32_t {
    int8 = BSQ_FORMAT_INT8,
    onnx_int4 = BSQ_FORMAT_ONNX_INT4,
    onnx_int2 = BSQ_FORMAT_ONNX_INT2,
    ternary_planes = BSQ_FORMAT_TERNARY_PLANES,
    sign_magnitude_planes = BSQ_FORMAT_SIGN_MAGNITUDE_PLANES,
    onnx_int4_blocks = BSQ_FORMAT_ONNX_INT4_BLOCKS,
    onnx_uint4_blocks = BSQ_FORMAT_ONNX_UINT4_BLOCKS,
    onnx_int2_blocks = BSQ_FORMAT_ONNX_INT2_BLOCKS,
    onnx_uint2_blocks = BSQ_FORMAT_ONNX_UINT2_BLOCKS,
    onnx_int8_blocks = BSQ_FORMAT_ONNX_INT8_BLOCKS,
    onnx_uint8_blocks = BSQ_FORMAT_ONNX_UINT8_BLOCKS,
    onnx_matmul_nbits = BSQ_FORMAT_ONNX_MATMUL_NBITS,
    gguf_q4_0 = BSQ_FORMAT_GGUF_Q4_0,
    gguf_q4_1 = BSQ_FORMAT_GGUF_Q4_1,
    gguf_q5_0 = BSQ_FORMAT_GGUF_Q5_0,
    gguf_q5_1 = BSQ_FORMAT_GGUF_Q5_1,
    gguf_q8_0 = BSQ_FORMAT_GGUF_Q8_0,
    gguf_q2_k = BSQ_FORMAT_GGUF_Q2_K,
    gguf_q3_k = BSQ_FORMAT_GGUF_Q3_K,
    gguf_q4_k = BSQ_FORMAT_GGUF_Q4_K,
    gguf_q5_k = BSQ_FORMAT_GGUF_Q5_K,
    gguf_q6_k = BSQ_FORMAT_GGUF_Q6_K,
    gguf_iq4_nl = BSQ_FORMAT_GGUF_IQ4_NL,
    gguf_iq4_xs = BSQ_FORMAT_GGUF_IQ4_XS,
    gguf_tq2_0 = BSQ_FORMAT_GGUF_TQ2_0,
    gguf_mxfp4 = BSQ_FORMAT_GGUF_MXFP4,
    gptq = BSQ_FORMAT_GPTQ,
    gptq_v2 = BSQ_FORMAT_GPTQ_V2,
    awq = BSQ_FORMAT_AWQ,
    mlx = BSQ_FORMAT_MLX,
    ncnn_int8 = BSQ_FORMAT_NCNN_INT8,
    ncnn_gemm = BSQ_FORMAT_NCNN_GEMM,
    tflite_int8 = BSQ_FORMAT_TFLITE_INT8,
    tflite_int4 = BSQ_FORMAT_TFLITE_INT4,
    nvfp4 = BSQ_FORMAT_NVFP4
};
enum class element_type : std::int32_t {
    int8 = BSQ_ELEMENT_TYPE_INT8,
    uint8 = BSQ_ELEMENT_TYPE_UINT8,
    int32 = BSQ_ELEMENT_TYPE_INT32,
    uint32 = BSQ_ELEMENT_TYPE_UINT32,
    uint64 = BSQ_ELEMENT_TYPE_UINT64,
    int4 = BSQ_ELEMENT_TYPE_INT4,
    uint4 = BSQ_ELEMENT_TYPE_UINT4,
    int2 = BSQ_ELEMENT_TYPE_INT2,
    uint2 = BSQ_ELEMENT_TYPE_UINT2,
    float32 = BSQ_ELEMENT_TYPE_FLOAT32,
    float16 = BSQ_ELEMENT_TYPE_FLOAT16,
    bfloat16 = BSQ_ELEMENT_TYPE_BFLOAT16,
    e4m3 = BSQ_ELEMENT_TYPE_E4M3
};
enum class fingerprint_of : std::int32_t {
    description = BSQ_FINGERPRINT_DESCRIPTION,
    weights = BSQ_FINGERPRINT_WEIGHTS,
    inputs = BSQ_FINGERPRINT_INPUTS,
    statistics = BSQ_FINGERPRINT_STATISTICS
};
enum class result : std::int32_t {
    codes = BSQ_RESULT_CODES,
    scales = BSQ_RESULT_SCALES,
    bias = BSQ_RESULT_BIAS,
    dequantized = BSQ_RESULT_DEQUANTIZED,
    planes = BSQ_RESULT_PLANES,
    code_bias = BSQ_RESULT_CODE_BIAS
};

// Bits of state and warnings: BSQ_STATE_... as has(info, state::result), BSQ_WARNING_... of a report.
enum class state : std::int32_t {
    statistics = BSQ_STATE_STATISTICS,
    targets = BSQ_STATE_TARGETS,
    means = BSQ_STATE_MEANS,
    held_out = BSQ_STATE_HELD_OUT,
    observed = BSQ_STATE_OBSERVED,
    quantizer_fixed = BSQ_STATE_QUANTIZER_FIXED,
    result = BSQ_STATE_RESULT
};
enum class warning : std::int32_t {
    few_rows = BSQ_WARNING_FEW_ROWS,
    scale_limited = BSQ_WARNING_SCALE_LIMITED,
    raised_damping = BSQ_WARNING_RAISED_DAMPING,
    dead_inputs = BSQ_WARNING_DEAD_INPUTS,
    dead_outputs = BSQ_WARNING_DEAD_OUTPUTS,
    no_statistics = BSQ_WARNING_NO_STATISTICS
};

// bsq_stage_string, bsq_outcome_string, bsq_kernel_string, bsq_format_string.
inline const char *to_string(stage value) noexcept
{
    return bsq_stage_string(detail::number(value));
}
inline const char *to_string(outcome value) noexcept
{
    return bsq_outcome_string(detail::number(value));
}
inline const char *to_string(kernel value) noexcept
{
    return bsq_kernel_string(detail::number(value));
}
inline const char *to_string(format value) noexcept
{
    return bsq_format_string(detail::number(value));
}

// ---- value types: what a host fills --------------------------------------------------------------------------
//
// Aggregates, so that C++20 fills them by name, bsq::options{.weight_bits = 3, .threads = 2}, and C++17 field by field
// or in a chain, bsq::options().set_weight_bits(3).set_threads(2).

// How to quantize: bsq_options_t, in its order and with its defaults. Copied by every call that takes it, but for the
// callables, which are referred to.
struct options {
    memory_ref memory{}; // malloc and free
    progress_ref progress{};
    log_ref log{};
    pool_ref pool{};                  // the library's own threads
    double damping = -1.0;            // 0..1; negative: by the number of rows
    double asymmetry = 1.0;           // 0..1: 1 reproduces the target
    double input_percentile = 0.9999; // above 0.5 to 1
    std::int64_t group_size = 0;      // 1..n, with scale_kind::per_group
    std::int32_t weight_bits = 4;     // 2..8
    bsq::weight_grid weight_grid = bsq::weight_grid::symmetric;
    bsq::scale_kind scale_kind = bsq::scale_kind::per_channel;
    bsq::scale_format scale_format = bsq::scale_format::float32;
    bsq::solver solver = bsq::solver::automatic;
    std::int32_t effort = 5;  // 0..9
    std::int32_t threads = 1; // 1..1024: how many one call may use
    bool bias_correction = false;
    std::int32_t input_bits = 0; // 0: inputs stay float; 2..8
    bsq::input_type input_type = bsq::input_type::automatic;
    bsq::input_clip input_clip = bsq::input_clip::squared_error;
    bool select_on_held_out = false;
    bsq::input_scale_kind input_scale_kind = bsq::input_scale_kind::per_tensor;
    bool lower_bound = false;
    span<const std::int8_t> levels{}; // with weight_grid::levels, ascending
    std::int64_t super_group = 0;     // with scale_bits: scales that share a multiple
    std::int32_t scale_bits = 0;      // 4, 6, 8: two-level scales
    bool scale_signed = false;
    float scale_unit = 0.0F; // with scale_format::e4m3; 0: chosen from the weights
    bool zero_point_least = false;
    bool keep_scales = false;

    options &set_memory(memory_ref value) noexcept { return memory = value, *this; }
    options &set_progress(progress_ref value) noexcept { return progress = value, *this; }
    options &set_log(log_ref value) noexcept { return log = value, *this; }
    options &set_pool(pool_ref value) noexcept { return pool = value, *this; }
    options &set_damping(double value) noexcept { return damping = value, *this; }
    options &set_asymmetry(double value) noexcept { return asymmetry = value, *this; }
    options &set_input_percentile(double value) noexcept { return input_percentile = value, *this; }
    options &set_group_size(std::int64_t value) noexcept { return group_size = value, *this; }
    options &set_weight_bits(std::int32_t value) noexcept { return weight_bits = value, *this; }
    options &set_weight_grid(bsq::weight_grid value) noexcept { return weight_grid = value, *this; }
    options &set_scale_kind(bsq::scale_kind value) noexcept { return scale_kind = value, *this; }
    options &set_scale_format(bsq::scale_format value) noexcept { return scale_format = value, *this; }
    options &set_solver(bsq::solver value) noexcept { return solver = value, *this; }
    options &set_effort(std::int32_t value) noexcept { return effort = value, *this; }
    options &set_threads(std::int32_t value) noexcept { return threads = value, *this; }
    options &set_bias_correction(bool value) noexcept { return bias_correction = value, *this; }
    options &set_input_bits(std::int32_t value) noexcept { return input_bits = value, *this; }
    options &set_input_type(bsq::input_type value) noexcept { return input_type = value, *this; }
    options &set_input_clip(bsq::input_clip value) noexcept { return input_clip = value, *this; }
    options &set_select_on_held_out(bool value) noexcept { return select_on_held_out = value, *this; }
    options &set_input_scale_kind(bsq::input_scale_kind value) noexcept { return input_scale_kind = value, *this; }
    options &set_lower_bound(bool value) noexcept { return lower_bound = value, *this; }
    options &set_levels(span<const std::int8_t> value) noexcept { return levels = value, *this; }
    options &set_super_group(std::int64_t value) noexcept { return super_group = value, *this; }
    options &set_scale_bits(std::int32_t value) noexcept { return scale_bits = value, *this; }
    options &set_scale_signed(bool value) noexcept { return scale_signed = value, *this; }
    options &set_scale_unit(float value) noexcept { return scale_unit = value, *this; }
    options &set_zero_point_least(bool value) noexcept { return zero_point_least = value, *this; }
    options &set_keep_scales(bool value) noexcept { return keep_scales = value, *this; }
};

// What a layer computes: bsq_layer_desc_t, in its order and with its defaults.
struct layer_desc {
    std::int64_t in_channels = 0;
    std::int64_t out_channels = 0; // M
    std::int64_t groups = 1;       // G
    extents kernel{{1, 1, 1}};
    extents stride{{1, 1, 1}};
    extents dilation{{1, 1, 1}};
    extents pad_begin{{0, 0, 0}};
    extents pad_end{{0, 0, 0}};
    bsq::kind kind = bsq::kind::linear;
    std::int32_t spatial_dims = 0; // of a convolution: 1, 2 or 3
    bsq::weight_layout weight_layout = bsq::weight_layout::oihw;
    bsq::activation_layout activation_layout = bsq::activation_layout::channels_first;

    layer_desc &set_in_channels(std::int64_t value) noexcept { return in_channels = value, *this; }
    layer_desc &set_out_channels(std::int64_t value) noexcept { return out_channels = value, *this; }
    layer_desc &set_groups(std::int64_t value) noexcept { return groups = value, *this; }
    layer_desc &set_kernel(const extents &value) noexcept { return kernel = value, *this; }
    layer_desc &set_stride(const extents &value) noexcept { return stride = value, *this; }
    layer_desc &set_dilation(const extents &value) noexcept { return dilation = value, *this; }
    layer_desc &set_pad_begin(const extents &value) noexcept { return pad_begin = value, *this; }
    layer_desc &set_pad_end(const extents &value) noexcept { return pad_end = value, *this; }
    layer_desc &set_kind(bsq::kind value) noexcept { return kind = value, *this; }
    layer_desc &set_spatial_dims(std::int32_t value) noexcept { return spatial_dims = value, *this; }
    layer_desc &set_weight_layout(bsq::weight_layout value) noexcept { return weight_layout = value, *this; }
    layer_desc &set_activation_layout(bsq::activation_layout value) noexcept
    {
        return activation_layout = value, *this;
    }
};

// One batch of activations: bsq_batch_t. Buffers are borrowed until the call returns.
struct batch {
    span<const float> input{};       // (size, in_channels, spatial...), or channels last
    span<const float> target{};      // (size, M, output spatial...), or channels last; or none
    span<const float> row_weights{}; // one per sample or row, >= 0; or none: all 1
    std::int64_t size = 0;           // samples
    extents spatial{{0, 0, 0}};      // input extents without padding
    bsq::row_weights_kind row_weights_kind = bsq::row_weights_kind::per_sample;
    bool held_out = false; // into statistics that only judge the result

    batch &set_input(span<const float> value) noexcept { return input = value, *this; }
    batch &set_target(span<const float> value) noexcept { return target = value, *this; }
    batch &set_row_weights(span<const float> value) noexcept { return row_weights = value, *this; }
    batch &set_size(std::int64_t value) noexcept { return size = value, *this; }
    batch &set_spatial(const extents &value) noexcept { return spatial = value, *this; }
    batch &set_row_weights_kind(bsq::row_weights_kind value) noexcept { return row_weights_kind = value, *this; }
    batch &set_held_out(bool value) noexcept { return held_out = value, *this; }
};

// How inputs are quantized: bsq_input_quantizer_t. 'type' is 0 where inputs stay float.
struct input_quantizer {
    double scale = 0.0; // > 0, a normal float32 value
    std::int32_t zero_point = 0;
    std::int32_t bits = 0; // 2..8
    bsq::input_type type = bsq::input_type(0);
    bsq::input_scale_kind scale_kind = bsq::input_scale_kind::per_tensor;

    input_quantizer &set_scale(double value) noexcept { return scale = value, *this; }
    input_quantizer &set_zero_point(std::int32_t value) noexcept { return zero_point = value, *this; }
    input_quantizer &set_bits(std::int32_t value) noexcept { return bits = value, *this; }
    input_quantizer &set_type(bsq::input_type value) noexcept { return type = value, *this; }
    input_quantizer &set_scale_kind(bsq::input_scale_kind value) noexcept { return scale_kind = value, *this; }
};

// A host's own second moments: bsq_moments_t. Means over rows; buffers are borrowed until the call returns.
struct moments {
    span<const double> h{};             // (G, n, n)
    span<const double> input_mean{};    // (G, n); or none
    span<const double> p{};             // (M, n); or none
    span<const double> target_mean{};   // (M); or none
    span<const double> target_square{}; // (M); needed with p
    double rows = 0.0;                  // N; 0 when unknown
    bool held_out = false;              // which statistics are meant

    moments &set_h(span<const double> value) noexcept { return h = value, *this; }
    moments &set_input_mean(span<const double> value) noexcept { return input_mean = value, *this; }
    moments &set_p(span<const double> value) noexcept { return p = value, *this; }
    moments &set_target_mean(span<const double> value) noexcept { return target_mean = value, *this; }
    moments &set_target_square(span<const double> value) noexcept { return target_square = value, *this; }
    moments &set_rows(double value) noexcept { return rows = value, *this; }
    moments &set_held_out(bool value) noexcept { return held_out = value, *this; }
};

// The same with buffers that a call fills: bsq_moments_buffers_t. Those that are empty are not asked for.
struct moments_buffers {
    span<double> h{};             // (G, n, n)
    span<double> input_mean{};    // (G, n)
    span<double> p{};             // (M, n)
    span<double> target_mean{};   // (M)
    span<double> target_square{}; // (M)
    double rows = 0.0;            // written
    bool held_out = false;        // which statistics are meant

    moments_buffers &set_h(span<double> value) noexcept { return h = value, *this; }
    moments_buffers &set_input_mean(span<double> value) noexcept { return input_mean = value, *this; }
    moments_buffers &set_p(span<double> value) noexcept { return p = value, *this; }
    moments_buffers &set_target_mean(span<double> value) noexcept { return target_mean = value, *this; }
    moments_buffers &set_target_square(span<double> value) noexcept { return target_square = value, *this; }
    moments_buffers &set_rows(double value) noexcept { return rows = value, *this; }
    moments_buffers &set_held_out(bool value) noexcept { return held_out = value, *this; }
};

// Quantized weights that describe themselves: bsq_tensor_t. Buffers are the host's; what a grid does not have is empty.
struct tensor {
    span<std::int8_t> codes{};        // (M, n), in the weight layout
    span<float> scales{};             // (), (M) or (M, ceil(n / group_size))
    span<std::int32_t> zero_points{}; // as many as scales, of grids that have them
    span<float> offsets{};            // as many as scales, of grids that have them
    span<std::int8_t> levels{};       // of grids that are tables, ascending
    std::int64_t channels = 0;        // M
    std::int64_t fan_in = 0;          // n
    std::int64_t group_size = 0;      // inputs that share a scale
    std::int32_t weight_bits = 4;
    bsq::weight_grid weight_grid = bsq::weight_grid::symmetric;
    bsq::scale_kind scale_kind = bsq::scale_kind::per_channel;
    bsq::scale_format scale_format = bsq::scale_format::float32;
    float scale_unit = 0.0F;     // with scale_format::e4m3
    std::int32_t scale_bits = 0; // 4, 6, 8: two-level scales
    bool scale_signed = false;
    std::int64_t super_group = 0;     // with scale_bits
    span<std::int32_t> input_order{}; // (n): the engine's input that each of these is; none: they are in its order

    tensor &set_codes(span<std::int8_t> value) noexcept { return codes = value, *this; }
    tensor &set_scales(span<float> value) noexcept { return scales = value, *this; }
    tensor &set_zero_points(span<std::int32_t> value) noexcept { return zero_points = value, *this; }
    tensor &set_offsets(span<float> value) noexcept { return offsets = value, *this; }
    tensor &set_levels(span<std::int8_t> value) noexcept { return levels = value, *this; }
    tensor &set_channels(std::int64_t value) noexcept { return channels = value, *this; }
    tensor &set_fan_in(std::int64_t value) noexcept { return fan_in = value, *this; }
    tensor &set_group_size(std::int64_t value) noexcept { return group_size = value, *this; }
    tensor &set_weight_bits(std::int32_t value) noexcept { return weight_bits = value, *this; }
    tensor &set_weight_grid(bsq::weight_grid value) noexcept { return weight_grid = value, *this; }
    tensor &set_scale_kind(bsq::scale_kind value) noexcept { return scale_kind = value, *this; }
    tensor &set_scale_format(bsq::scale_format value) noexcept { return scale_format = value, *this; }
    tensor &set_scale_unit(float value) noexcept { return scale_unit = value, *this; }
    tensor &set_scale_bits(std::int32_t value) noexcept { return scale_bits = value, *this; }
    tensor &set_scale_signed(bool value) noexcept { return scale_signed = value, *this; }
    tensor &set_super_group(std::int64_t value) noexcept { return super_group = value, *this; }
    tensor &set_input_order(span<std::int32_t> value) noexcept { return input_order = value, *this; }
};

namespace detail {

inline bsq_options_t to_c(const options &from) noexcept
{
    bsq_options_t to;
    bsq_options_init(&to, sizeof to);
    to.memory_alloc = from.memory.alloc_fn();
    to.memory_free = from.memory.free_fn();
    to.memory_opaque = from.memory.opaque();
    to.progress = from.progress.fn();
    to.progress_opaque = from.progress.opaque();
    to.log = from.log.fn();
    to.log_opaque = from.log.opaque();
    to.parallel_for = from.pool.fn();
    to.parallel_opaque = from.pool.opaque();
    to.damping = from.damping;
    to.asymmetry = from.asymmetry;
    to.input_percentile = from.input_percentile;
    to.group_size = from.group_size;
    to.weight_bits = from.weight_bits;
    to.weight_grid = number(from.weight_grid);
    to.scale_kind = number(from.scale_kind);
    to.scale_format = number(from.scale_format);
    to.solver = number(from.solver);
    to.effort = from.effort;
    to.threads = from.threads;
    to.bias_correction = number(from.bias_correction);
    to.input_bits = from.input_bits;
    to.input_type = number(from.input_type);
    to.input_clip = number(from.input_clip);
    to.select_on_held_out = number(from.select_on_held_out);
    to.input_scale_kind = number(from.input_scale_kind);
    to.lower_bound = number(from.lower_bound);
    to.levels = from.levels.data();
    to.level_count = static_cast<std::int32_t>(count(from.levels));
    to.super_group = from.super_group;
    to.scale_bits = from.scale_bits;
    to.scale_signed = number(from.scale_signed);
    to.scale_unit = from.scale_unit;
    to.zero_point_least = number(from.zero_point_least);
    to.keep_scales = number(from.keep_scales);
    return to;
}

inline bsq_layer_desc_t to_c(const layer_desc &from) noexcept
{
    bsq_layer_desc_t to;
    bsq_layer_desc_init(&to, sizeof to);
    to.in_channels = from.in_channels;
    to.out_channels = from.out_channels;
    to.groups = from.groups;
    copy3(to.kernel, from.kernel);
    copy3(to.stride, from.stride);
    copy3(to.dilation, from.dilation);
    copy3(to.pad_begin, from.pad_begin);
    copy3(to.pad_end, from.pad_end);
    to.kind = number(from.kind);
    to.spatial_dims = from.spatial_dims;
    to.weight_layout = number(from.weight_layout);
    to.activation_layout = number(from.activation_layout);
    return to;
}

inline bsq_batch_t to_c(const batch &from) noexcept
{
    bsq_batch_t to;
    bsq_batch_init(&to, sizeof to);
    to.input = from.input.data();
    to.target = from.target.data();
    to.row_weights = from.row_weights.data();
    to.size = from.size;
    copy3(to.spatial, from.spatial);
    to.row_weights_kind = number(from.row_weights_kind);
    to.held_out = number(from.held_out);
    return to;
}

inline bsq_input_quantizer_t to_c(const input_quantizer &from) noexcept
{
    bsq_input_quantizer_t to;
    bsq_input_quantizer_init(&to, sizeof to);
    to.scale = from.scale;
    to.zero_point = from.zero_point;
    to.bits = from.bits;
    to.type = number(from.type);
    to.scale_kind = number(from.scale_kind);
    return to;
}

inline bsq_moments_t to_c(const moments &from) noexcept
{
    bsq_moments_t to;
    bsq_moments_init(&to, sizeof to);
    to.h = from.h.data();
    to.input_mean = from.input_mean.data();
    to.p = from.p.data();
    to.target_mean = from.target_mean.data();
    to.target_square = from.target_square.data();
    to.rows = from.rows;
    to.held_out = number(from.held_out);
    return to;
}

inline bsq_moments_buffers_t to_c(const moments_buffers &from) noexcept
{
    bsq_moments_buffers_t to;
    bsq_moments_buffers_init(&to, sizeof to);
    to.h = from.h.data();
    to.input_mean = from.input_mean.data();
    to.p = from.p.data();
    to.target_mean = from.target_mean.data();
    to.target_square = from.target_square.data();
    to.rows = from.rows;
    to.held_out = number(from.held_out);
    return to;
}

inline bsq_tensor_t to_c(const tensor &from) noexcept
{
    bsq_tensor_t to;
    bsq_tensor_init(&to, sizeof to);
    to.codes = from.codes.data();
    to.code_count = count(from.codes);
    to.scales = from.scales.data();
    to.scale_count = count(from.scales);
    to.zero_points = from.zero_points.data();
    to.zero_point_count = count(from.zero_points);
    to.offsets = from.offsets.data();
    to.offset_count = count(from.offsets);
    to.levels = from.levels.data();
    to.level_count = count(from.levels);
    to.channels = from.channels;
    to.fan_in = from.fan_in;
    to.group_size = from.group_size;
    to.weight_bits = from.weight_bits;
    to.weight_grid = number(from.weight_grid);
    to.scale_kind = number(from.scale_kind);
    to.scale_format = number(from.scale_format);
    to.scale_unit = from.scale_unit;
    to.scale_bits = from.scale_bits;
    to.scale_signed = number(from.scale_signed);
    to.super_group = from.super_group;
    to.input_order = from.input_order.data();
    to.input_order_count = count(from.input_order);
    return to;
}

inline void from_c(options &to, const bsq_options_t &from) noexcept
{
    to.memory = memory_ref(from.memory_alloc, from.memory_free, from.memory_opaque);
    to.progress = progress_ref(from.progress, from.progress_opaque);
    to.log = log_ref(from.log, from.log_opaque);
    to.pool = pool_ref(from.parallel_for, from.parallel_opaque);
    to.damping = from.damping;
    to.asymmetry = from.asymmetry;
    to.input_percentile = from.input_percentile;
    to.group_size = from.group_size;
    to.weight_bits = from.weight_bits;
    to.weight_grid = static_cast<bsq::weight_grid>(from.weight_grid);
    to.scale_kind = static_cast<bsq::scale_kind>(from.scale_kind);
    to.scale_format = static_cast<bsq::scale_format>(from.scale_format);
    to.solver = static_cast<bsq::solver>(from.solver);
    to.effort = from.effort;
    to.threads = from.threads;
    to.bias_correction = from.bias_correction != 0;
    to.input_bits = from.input_bits;
    to.input_type = static_cast<bsq::input_type>(from.input_type);
    to.input_clip = static_cast<bsq::input_clip>(from.input_clip);
    to.select_on_held_out = from.select_on_held_out != 0;
    to.input_scale_kind = static_cast<bsq::input_scale_kind>(from.input_scale_kind);
    to.lower_bound = from.lower_bound != 0;
    to.levels = span<const std::int8_t>(from.levels, static_cast<std::size_t>(from.level_count));
    to.super_group = from.super_group;
    to.scale_bits = from.scale_bits;
    to.scale_signed = from.scale_signed != 0;
    to.scale_unit = from.scale_unit;
    to.zero_point_least = from.zero_point_least != 0;
    to.keep_scales = from.keep_scales != 0;
}

inline void from_c(input_quantizer &to, const bsq_input_quantizer_t &from) noexcept
{
    to.scale = from.scale;
    to.zero_point = from.zero_point;
    to.bits = from.bits;
    to.type = static_cast<bsq::input_type>(from.type);
    to.scale_kind = static_cast<bsq::input_scale_kind>(from.scale_kind);
}

// Reads what a call wrote; the buffers stay.
inline void from_c(tensor &to, const bsq_tensor_t &from) noexcept
{
    to.channels = from.channels;
    to.fan_in = from.fan_in;
    to.group_size = from.group_size;
    to.weight_bits = from.weight_bits;
    to.weight_grid = static_cast<bsq::weight_grid>(from.weight_grid);
    to.scale_kind = static_cast<bsq::scale_kind>(from.scale_kind);
    to.scale_format = static_cast<bsq::scale_format>(from.scale_format);
    to.scale_unit = from.scale_unit;
    to.scale_bits = from.scale_bits;
    to.scale_signed = from.scale_signed != 0;
    to.super_group = from.super_group;
}

} // namespace detail

// ---- value types: what the library fills ---------------------------------------------------------------------
//
// The structs of bsq.h, initialised: their fields are its fields, enumerations and bits among them as int32_t.

// What optimize did and how good it is: bsq_report_t.
struct report : bsq_report_t {
    report() noexcept : bsq_report_t() { bsq_report_init(this, sizeof(bsq_report_t)); }
};

// One stage of the last optimize: bsq_stage_t.
struct stage_report : bsq_stage_t {
    stage_report() noexcept : bsq_stage_t() { bsq_stage_init(this, sizeof(bsq_stage_t)); }
};

// One output channel of the result: bsq_channel_t.
struct channel_report : bsq_channel_t {
    channel_report() noexcept : bsq_channel_t() { bsq_channel_init(this, sizeof(bsq_channel_t)); }
};

// Extents and state of a layer: bsq_layer_info_t.
struct layer_info : bsq_layer_info_t {
    layer_info() noexcept : bsq_layer_info_t() { bsq_layer_info_init(this, sizeof(bsq_layer_info_t)); }
};

// What a snapshot holds: bsq_stats_info_t.
struct stats_info : bsq_stats_info_t {
    stats_info() noexcept : bsq_stats_info_t() { bsq_stats_info_init(this, sizeof(bsq_stats_info_t)); }
};

// One array of a packed tensor: bsq_part_t.
struct part : bsq_part_t {
    part() noexcept : bsq_part_t() { bsq_part_init(this, sizeof(bsq_part_t)); }
};

// Bounds of an operator norm: bsq_norm_t.
struct norm : bsq_norm_t {
    norm() noexcept : bsq_norm_t() { bsq_norm_init(this, sizeof(bsq_norm_t)); }
};

// What allocate_bits found: bsq_allocation_t.
struct allocation : bsq_allocation_t {
    allocation() noexcept : bsq_allocation_t() { bsq_allocation_init(this, sizeof(bsq_allocation_t)); }
};

// Whether a bit is set: has(report, warning::few_rows), has(info, state::result).
inline bool has(const bsq_report_t &report, warning bit) noexcept
{
    return (report.warnings & detail::number(bit)) != 0;
}
inline bool has(const bsq_layer_info_t &info, state bit) noexcept
{
    return (info.state & detail::number(bit)) != 0;
}

// How many elements the buffers of a batch have (bsq_layer_batch_counts), and those of a tensor.
struct batch_counts {
    std::size_t input = 0;
    std::size_t target = 0;
    std::size_t row_weights = 0;
};
struct tensor_counts {
    std::size_t codes = 0;
    std::size_t scales = 0;
    std::size_t zero_points = 0;
    std::size_t offsets = 0;
    std::size_t levels = 0;
};

#if BSQ_HPP_EXCEPTIONS
// A tensor whose buffers are its own: allocates.
struct tensor_storage {
    std::vector<std::int8_t> codes;
    std::vector<float> scales;
    std::vector<std::int32_t> zero_points;
    std::vector<float> offsets;
    std::vector<std::int8_t> levels;
    tensor description; // without buffers

    // The tensor for calls; it lives as long as the vectors stay as they are.
    tensor view() noexcept
    {
        tensor all = description;
        all.codes = codes, all.scales = scales, all.zero_points = zero_points, all.offsets = offsets,
        all.levels = levels;
        return all;
    }
};
#endif
namespace detail {

inline status to_status(bsq_status_t code) noexcept
{
    return static_cast<status>(code);
}

// Makes a call of bsq.h that takes a bsq_error_t; 'text' may be NULL.
template <class F> status with_text(message *text, F fn) noexcept
{
    if (!text)
        return to_status(fn(nullptr));
    bsq_error_t c = text->c_error();
    return to_status(fn(&c));
}

#if BSQ_HPP_EXCEPTIONS
// Makes a call that may throw, with a text of its own.
template <class F> void run(F fn)
{
    const thrower call;
    message text;
    const status code = fn(text);
    call.check(code, text.c_str());
}
#endif

inline status fail(message *text, status code, const char *why) noexcept
{
    if (text)
        text->set(why);
    return code;
}

// Whether the weights have M * n elements. What C refuses anyway, in its own words, passes.
inline bool weights_fit(const layer_desc &desc, span<const float> weights) noexcept
{
    const int dims = desc.kind == kind::conv ? desc.spatial_dims : 0;
    const extents &k = desc.kernel;
    if (!weights.data() || dims < 0 || dims > 3 || desc.groups < 1 || desc.out_channels < 1 ||
        desc.in_channels < desc.groups || (dims > 0 && k[0] < 1) || (dims > 1 && k[1] < 1) || (dims > 2 && k[2] < 1))
        return true;
    return is_product(weights.size(), {desc.out_channels, desc.in_channels / desc.groups, dims > 0 ? k[0] : 1,
                                       dims > 1 ? k[1] : 1, dims > 2 ? k[2] : 1});
}

inline constexpr const char *weights_size = "'weights' has not M * n elements";
inline constexpr const char *bias_size = "'bias' has not M elements";

} // namespace detail

class layer;

// ---- statistics ----------------------------------------------------------------------------------------------

// A snapshot of statistics, immutable: bsq_stats_t. Holds one reference. Threads: may be read by several at once.
class stats {
public:
    stats() noexcept = default;
    explicit stats(bsq_stats_t *owned) noexcept : handle_(owned) {}
    stats(stats &&other) noexcept : handle_(other.release()) {}
    stats &operator=(stats &&other) noexcept
    {
        if (this != &other)
            reset(other.release());
        return *this;
    }
    ~stats() { bsq_stats_release(handle_); }

    bsq_stats_t *get() const noexcept { return handle_; }
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    // Gives the reference to the caller, who then calls bsq_stats_release.
    bsq_stats_t *release() noexcept { return std::exchange(handle_, nullptr); }
    void reset(bsq_stats_t *owned = nullptr) noexcept { bsq_stats_release(std::exchange(handle_, owned)); }

    // bsq_stats_merge: 'parts' are handles (get()), in the order in which they are merged.
    static status try_merge(span<const bsq_stats_t *const> parts, const options &how, stats &merged,
                            message *text = nullptr) noexcept
    {
        const detail::quiet call;
        const bsq_options_t c_options = detail::to_c(how);
        return made(merged, text, [&](bsq_stats_t **made_stats, bsq_error_t *c_error) {
            return bsq_stats_merge(parts.data(), parts.size(), &c_options, made_stats, c_error);
        });
    }
    // bsq_stats_info.
    status try_info(stats_info &info, message *text = nullptr) const noexcept
    {
        const detail::quiet call;
        return detail::with_text(text, [&](bsq_error_t *c) { return bsq_stats_info(handle_, &info, c); });
    }
    // bsq_stats_export_size: bytes.
    status try_export_size(std::size_t &size, message *text = nullptr) const noexcept
    {
        const detail::quiet call;
        return detail::with_text(text, [&](bsq_error_t *c) { return bsq_stats_export_size(handle_, &size, c); });
    }
    // bsq_stats_export: 'buffer' has exactly that size.
    status try_export_to(bytes buffer, message *text = nullptr) const noexcept
    {
        const detail::quiet call;
        return detail::with_text(
            text, [&](bsq_error_t *c) { return bsq_stats_export(handle_, buffer.data(), buffer.size(), c); });
    }
    // bsq_stats_sum_count, bsq_stats_get_sums: 'sums' has exactly that size.
    status try_sum_count(std::size_t &count, message *text = nullptr) const noexcept
    {
        const detail::quiet call;
        return detail::with_text(text, [&](bsq_error_t *c) { return bsq_stats_sum_count(handle_, &count, c); });
    }
    status try_get_sums(const options &how, span<double> sums, message *text = nullptr) const noexcept
    {
        const detail::quiet call;
        const bsq_options_t c_options = detail::to_c(how);
        return detail::with_text(
            text, [&](bsq_error_t *c) { return bsq_stats_get_sums(handle_, &c_options, sums.data(), sums.size(), c); });
    }
    // bsq_stats_import.
    static status try_import(const_bytes data, const options &how, stats &imported, message *text = nullptr) noexcept
    {
        const detail::quiet call;
        const bsq_options_t c_options = detail::to_c(how);
        return made(imported, text, [&](bsq_stats_t **made_stats, bsq_error_t *c_error) {
            return bsq_stats_import(data.data(), data.size(), &c_options, made_stats, c_error);
        });
    }

#if BSQ_HPP_EXCEPTIONS
    static stats merge(span<const bsq_stats_t *const> parts, const options &how = options())
    {
        stats merged;
        detail::run([&](message &text) { return try_merge(parts, how, merged, &text); });
        return merged;
    }
    stats_info info() const
    {
        stats_info value;
        detail::run([&](message &text) { return try_info(value, &text); });
        return value;
    }
    std::size_t export_size() const
    {
        std::size_t size = 0;
        detail::run([&](message &text) { return try_export_size(size, &text); });
        return size;
    }
    void export_to(bytes buffer) const
    {
        detail::run([&](message &text) { return try_export_to(buffer, &text); });
    }
    std::size_t sum_count() const
    {
        std::size_t count = 0;
        detail::run([&](message &text) { return try_sum_count(count, &text); });
        return count;
    }
    // Allocates.
    std::vector<double> sums(const options &how = options()) const
    {
        std::vector<double> numbers(sum_count());
        detail::run([&](message &text) { return try_get_sums(how, numbers, &text); });
        return numbers;
    }
    // Allocates.
    std::vector<unsigned char> export_bytes() const
    {
        std::vector<unsigned char> buffer(export_size());
        export_to(buffer);
        return buffer;
    }
    static stats import(const_bytes data, const options &how = options())
    {
        stats imported;
        detail::run([&](message &text) { return try_import(data, how, imported, &text); });
        return imported;
    }
#endif

private:
    template <class F> static status made(stats &to, message *text, F fn) noexcept
    {
        bsq_stats_t *handle = nullptr;
        const status code = detail::with_text(text, [&](bsq_error_t *c) { return fn(&handle, c); });
        if (code == status::ok)
            to.reset(handle);
        return code;
    }

    bsq_stats_t *handle_ = nullptr;
};

// ---- the layer -----------------------------------------------------------------------------------------------

// One layer: bsq_layer_t. Frees itself; like bsq_layer_free that does nothing while the layer is at work, so a callable
// must not destroy, assign to or move the layer that calls it. One thread at a time.
class layer {
public:
    layer() noexcept = default;
    explicit layer(bsq_layer_t *owned) noexcept : handle_(owned) {}
    layer(layer &&other) noexcept
        : handle_(other.release()), text_(other.text_), inputs_(other.inputs_), outputs_(other.outputs_)
    {
    }
    layer &operator=(layer &&other) noexcept
    {
        if (this != &other) {
            reset(other.release());
            text_ = other.text_, inputs_ = other.inputs_, outputs_ = other.outputs_;
        }
        return *this;
    }
    ~layer() { bsq_layer_free(handle_); }

    bsq_layer_t *get() const noexcept { return handle_; }
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    // Gives the layer to the caller, who then calls bsq_layer_free.
    bsq_layer_t *release() noexcept { return std::exchange(handle_, nullptr); }
    void reset(bsq_layer_t *owned = nullptr) noexcept
    {
        bsq_layer_free(std::exchange(handle_, owned));
        text_ = nullptr, inputs_ = 0, outputs_ = 0;
    }

    // Text of the last call that failed (bsq_layer_error_message), valid until the next call.
    const char *message() const noexcept { return text_ ? text_ : bsq_layer_error_message(handle_); }

    // ---- calls that return a status ----

    // bsq_layer_create: weights (M, n) float32 in the weight layout, bias (M) or empty; all is copied.
    static status try_create(const layer_desc &desc, const options &how, span<const float> weights,
                             span<const float> bias, layer &created, bsq::message *text = nullptr) noexcept
    {
        const detail::quiet call;
        if (!detail::weights_fit(desc, weights))
            return detail::fail(text, status::size, detail::weights_size);
        if (bias.data() && desc.out_channels > 0 && detail::count(bias) != desc.out_channels)
            return detail::fail(text, status::size, detail::bias_size);
        const bsq_layer_desc_t c_desc = detail::to_c(desc);
        const bsq_options_t c_options = detail::to_c(how);
        bsq_layer_t *handle = nullptr;
        const status code = detail::with_text(text, [&](bsq_error_t *c) {
            return bsq_layer_create(&c_desc, &c_options, weights.data(), bias.data(), &handle, c);
        });
        if (code == status::ok) {
            created = layer(handle);
            if (desc.kind == kind::linear)
                created.inputs_ = desc.in_channels, created.outputs_ = desc.out_channels;
        }
        return code;
    }
    // bsq_layer_memory: the most bytes that such a layer asks for at one time.
    static status try_memory(const layer_desc &desc, const options &how, std::size_t &size,
                             bsq::message *text = nullptr) noexcept
    {
        const detail::quiet call;
        const bsq_layer_desc_t c_desc = detail::to_c(desc);
        const bsq_options_t c_options = detail::to_c(how);
        return detail::with_text(text, [&](bsq_error_t *c) { return bsq_layer_memory(&c_desc, &c_options, &size, c); });
    }
    // bsq_layer_clone: without results, with shared statistics.
    status try_clone(layer &copy) noexcept
    {
        const detail::quiet call;
        bsq_layer_t *handle = nullptr;
        const status code = done(bsq_layer_clone(handle_, &handle));
        if (code == status::ok) {
            const std::int64_t inputs = inputs_, outputs = outputs_;
            copy = layer(handle);
            copy.inputs_ = inputs, copy.outputs_ = outputs;
        }
        return code;
    }
    // bsq_layer_slice: a layer of 'count' output channels from 'first' on.
    status try_slice(std::int64_t first, std::int64_t count, layer &part) noexcept
    {
        const detail::quiet call;
        bsq_layer_t *handle = nullptr;
        const status code = done(bsq_layer_slice(handle_, first, count, &handle));
        if (code == status::ok) {
            const std::int64_t inputs = inputs_, outputs = outputs_ ? count : 0;
            part = layer(handle);
            part.inputs_ = inputs, part.outputs_ = outputs;
        }
        return code;
    }
    // bsq_layer_fingerprint.
    status try_fingerprint(fingerprint_of what, std::int64_t &value) noexcept
    {
        const detail::quiet call;
        return done(bsq_layer_fingerprint(handle_, detail::number(what), &value));
    }
    // bsq_layer_set_options, bsq_layer_get_options.
    status try_set_options(const options &how) noexcept
    {
        const detail::quiet call;
        const bsq_options_t c = detail::to_c(how);
        return done(bsq_layer_set_options(handle_, &c));
    }
    status try_get_options(options &how) noexcept
    {
        const detail::quiet call;
        bsq_options_t c;
        bsq_options_init(&c, sizeof c);
        const status code = done(bsq_layer_get_options(handle_, &c));
        if (code == status::ok)
            detail::from_c(how, c);
        return code;
    }
    // bsq_layer_info.
    status try_info(layer_info &info) noexcept
    {
        const detail::quiet call;
        return done(bsq_layer_info(handle_, &info));
    }

    // bsq_layer_batch_counts: elements that the buffers of such a batch have; its buffers are not looked at.
    status try_batch_counts(const batch &rows, batch_counts &counts) noexcept
    {
        const detail::quiet call;
        const bsq_batch_t c = detail::to_c(rows);
        return done(bsq_layer_batch_counts(handle_, &c, &counts.input, &counts.target, &counts.row_weights));
    }
    // bsq_layer_observe: values for the input quantizer.
    status try_observe(const batch &rows) noexcept
    {
        const detail::quiet call;
        const bsq_batch_t c = detail::to_c(rows);
        const status code = check_batch(rows, c, false);
        return code == status::ok ? done(bsq_layer_observe(handle_, &c)) : code;
    }
    // bsq_layer_calibrate: rows into the statistics.
    status try_calibrate(const batch &rows) noexcept
    {
        const detail::quiet call;
        const bsq_batch_t c = detail::to_c(rows);
        const status code = check_batch(rows, c, true);
        return code == status::ok ? done(bsq_layer_calibrate(handle_, &c)) : code;
    }

    // bsq_layer_set_input_quantizer, bsq_layer_get_input_quantizer.
    status try_set_input_quantizer(const input_quantizer &quantizer) noexcept
    {
        const detail::quiet call;
        const bsq_input_quantizer_t c = detail::to_c(quantizer);
        return done(bsq_layer_set_input_quantizer(handle_, &c));
    }
    status try_get_input_quantizer(input_quantizer &quantizer) noexcept
    {
        const detail::quiet call;
        bsq_input_quantizer_t c = detail::to_c(input_quantizer());
        const status code = done(bsq_layer_get_input_quantizer(handle_, &c));
        if (code == status::ok)
            detail::from_c(quantizer, c);
        return code;
    }
    // bsq_layer_set_input_channels, bsq_layer_get_input_channels: in_channels elements each; zero_points may be empty,
    // when reading either.
    status try_set_input_channels(const input_quantizer &quantizer, span<const double> scales,
                                  span<const std::int32_t> zero_points) noexcept
    {
        const detail::quiet call;
        if (zero_points.data() && zero_points.size() != scales.size())
            return refuse("'scales' and 'zero_points' differ in size");
        const bsq_input_quantizer_t c = detail::to_c(quantizer);
        return done(bsq_layer_set_input_channels(handle_, &c, scales.data(), zero_points.data(), scales.size()));
    }
    status try_get_input_channels(span<double> scales, span<std::int32_t> zero_points) noexcept
    {
        const detail::quiet call;
        if (scales.data() && zero_points.data() && zero_points.size() != scales.size())
            return refuse("'scales' and 'zero_points' differ in size");
        return done(bsq_layer_get_input_channels(handle_, scales.data(), zero_points.data(),
                                                 scales.data() ? scales.size() : zero_points.size()));
    }

    // bsq_layer_set_moments, bsq_layer_get_moments.
    status try_set_moments(const moments &values) noexcept
    {
        const detail::quiet call;
        const status code = check_moments(values);
        const bsq_moments_t c = detail::to_c(values);
        return code == status::ok ? done(bsq_layer_set_moments(handle_, &c)) : code;
    }
    status try_get_moments(moments_buffers &buffers) noexcept
    {
        const detail::quiet call;
        status code = check_moments(buffers);
        if (code != status::ok)
            return code;
        bsq_moments_buffers_t c = detail::to_c(buffers);
        code = done(bsq_layer_get_moments(handle_, &c));
        if (code == status::ok)
            buffers.rows = c.rows;
        return code;
    }
    // bsq_layer_acquire_stats, bsq_layer_merge_stats, bsq_layer_share_stats, bsq_layer_share_input.
    status try_acquire_stats(stats &snapshot, bool held_out = false) noexcept
    {
        const detail::quiet call;
        bsq_stats_t *handle = nullptr;
        const status code = done(bsq_layer_acquire_stats(handle_, held_out, &handle));
        if (code == status::ok)
            snapshot.reset(handle);
        return code;
    }
    status try_merge_stats(const stats &snapshot, bool held_out = false) noexcept
    {
        const detail::quiet call;
        return done(bsq_layer_merge_stats(handle_, held_out, snapshot.get()));
    }
    status try_share_stats(const stats &snapshot, bool held_out = false) noexcept
    {
        const detail::quiet call;
        return done(bsq_layer_share_stats(handle_, held_out, snapshot.get()));
    }
    // bsq_layer_add_sums: those of stats::try_get_sums, of one snapshot or added up.
    status try_add_sums(span<const double> sums, bool held_out = false) noexcept
    {
        const detail::quiet call;
        return done(bsq_layer_add_sums(handle_, held_out, sums.data(), sums.size()));
    }
    status try_share_input(layer &source) noexcept
    {
        const detail::quiet call;
        return done(bsq_layer_share_input(handle_, source.handle_));
    }

    // bsq_optimize: codes, scales and bias; without a report, or with one.
    status try_optimize() noexcept
    {
        const detail::quiet call;
        return done(bsq_optimize(handle_, nullptr));
    }
    status try_optimize(report &result) noexcept
    {
        const detail::quiet call;
        return done(bsq_optimize(handle_, &result));
    }
    // bsq_layer_error_table: relative output errors of bits_lo..bits_hi.
    status try_error_table(std::int32_t bits_lo, std::int32_t bits_hi, span<double> errors) noexcept
    {
        const detail::quiet call;
        return done(bsq_layer_error_table(handle_, bits_lo, bits_hi, errors.data(), errors.size()));
    }
    // bsq_layer_get_report, bsq_layer_get_stage_report, bsq_layer_get_channel_report.
    status try_get_report(report &result) noexcept
    {
        const detail::quiet call;
        return done(bsq_layer_get_report(handle_, &result));
    }
    status try_get_stage_report(std::int32_t index, stage_report &result) noexcept
    {
        const detail::quiet call;
        return done(bsq_layer_get_stage_report(handle_, index, &result));
    }
    status try_get_channel_report(std::int64_t index, channel_report &result) noexcept
    {
        const detail::quiet call;
        return done(bsq_layer_get_channel_report(handle_, index, &result));
    }

    // How many elements the buffers of the result's tensor have: bsq_layer_get_tensor without buffers.
    status try_tensor_counts(tensor_counts &counts) noexcept
    {
        const detail::quiet call;
        bsq_tensor_t c = detail::to_c(tensor());
        const status code = done(bsq_layer_get_tensor(handle_, &c));
        if (code == status::ok) {
            counts.codes = static_cast<std::size_t>(c.code_count);
            counts.scales = static_cast<std::size_t>(c.scale_count);
            counts.zero_points = static_cast<std::size_t>(c.zero_point_count);
            counts.offsets = static_cast<std::size_t>(c.offset_count);
            counts.levels = static_cast<std::size_t>(c.level_count);
        }
        return code;
    }
    // bsq_layer_get_tensor: describes the result and fills the buffers that are not empty, whose sizes must be exact.
    status try_get_tensor(tensor &weights) noexcept
    {
        const detail::quiet call;
        bsq_tensor_t c = detail::to_c(weights);
        const status code = done(bsq_layer_get_tensor(handle_, &c));
        if (code == status::ok)
            detail::from_c(weights, c);
        return code;
    }
    // bsq_layer_set_tensor: makes it the result.
    status try_set_tensor(const tensor &weights) noexcept
    {
        const detail::quiet call;
        const bsq_tensor_t c = detail::to_c(weights);
        return done(bsq_layer_set_tensor(handle_, &c));
    }
    // bsq_layer_set_result: what was found elsewhere, as the calls that read a result give it; the handle's M channels
    // and biases, report.stages stages.
    status try_set_result(const tensor &weights, span<const float> bias, const report &found,
                          span<const stage_report> stages, span<const channel_report> channels) noexcept
    {
        const detail::quiet call;
        const bsq_tensor_t c = detail::to_c(weights);
        if (detail::count(bias) != c.channels || detail::count(channels) != c.channels ||
            detail::count(stages) != found.stages)
            return refuse("bias, stages or channels have another size than the tensor and the report say");
        return done(bsq_layer_set_result(handle_, &c, bias.data(), &found, stages.data(), channels.data()));
    }
    // bsq_layer_evaluate: judges it.
    status try_evaluate(const tensor &weights, report &judgement) noexcept
    {
        const detail::quiet call;
        const bsq_tensor_t c = detail::to_c(weights);
        return done(bsq_layer_evaluate(handle_, &c, &judgement));
    }

    // bsq_layer_result_count: elements of a result.
    status try_result_count(result which, std::size_t &count) noexcept
    {
        const detail::quiet call;
        return done(bsq_layer_result_count(handle_, detail::number(which), &count));
    }
    // bsq_layer_get_codes (M, n), bsq_layer_get_scales, bsq_layer_get_bias (M), bsq_layer_get_dequantized (M, n),
    // bsq_layer_get_planes (b - 1, M, n), bsq_layer_get_code_bias (M): buffers of exactly result_count elements.
    status try_get_codes(span<std::int8_t> codes) noexcept { return fill(bsq_layer_get_codes, codes); }
    status try_get_scales(span<float> scales) noexcept { return fill(bsq_layer_get_scales, scales); }
    status try_get_bias(span<float> bias) noexcept { return fill(bsq_layer_get_bias, bias); }
    status try_get_dequantized(span<float> weights) noexcept { return fill(bsq_layer_get_dequantized, weights); }
    status try_get_planes(span<std::int8_t> planes) noexcept { return fill(bsq_layer_get_planes, planes); }
    status try_get_code_bias(span<float> bias) noexcept { return fill(bsq_layer_get_code_bias, bias); }

#if BSQ_HPP_EXCEPTIONS
    // ---- the same calls, which throw ----

    layer(const layer_desc &desc, const options &how, span<const float> weights, span<const float> bias = {})
    {
        detail::run([&](bsq::message &text) { return try_create(desc, how, weights, bias, *this, &text); });
    }
    static std::size_t memory(const layer_desc &desc, const options &how = options())
    {
        std::size_t size = 0;
        detail::run([&](bsq::message &text) { return try_memory(desc, how, size, &text); });
        return size;
    }
    layer clone()
    {
        layer copy;
        run([&] { return try_clone(copy); });
        return copy;
    }
    layer slice(std::int64_t first, std::int64_t count)
    {
        layer part;
        run([&] { return try_slice(first, count, part); });
        return part;
    }
    std::int64_t fingerprint(fingerprint_of what)
    {
        std::int64_t value = 0;
        run([&] { return try_fingerprint(what, value); });
        return value;
    }
    void set_options(const options &how)
    {
        run([&] { return try_set_options(how); });
    }
    options get_options()
    {
        options how;
        run([&] { return try_get_options(how); });
        return how;
    }
    layer_info info()
    {
        layer_info value;
        run([&] { return try_info(value); });
        return value;
    }
    batch_counts counts(const batch &rows)
    {
        batch_counts value;
        run([&] { return try_batch_counts(rows, value); });
        return value;
    }
    void observe(const batch &rows)
    {
        run([&] { return try_observe(rows); });
    }
    void calibrate(const batch &rows)
    {
        run([&] { return try_calibrate(rows); });
    }
    void set_input_quantizer(const input_quantizer &quantizer)
    {
        run([&] { return try_set_input_quantizer(quantizer); });
    }
    input_quantizer get_input_quantizer()
    {
        input_quantizer quantizer;
        run([&] { return try_get_input_quantizer(quantizer); });
        return quantizer;
    }
    void set_input_channels(const input_quantizer &quantizer, span<const double> scales,
                            span<const std::int32_t> zero_points = {})
    {
        run([&] { return try_set_input_channels(quantizer, scales, zero_points); });
    }
    void get_input_channels(span<double> scales, span<std::int32_t> zero_points = {})
    {
        run([&] { return try_get_input_channels(scales, zero_points); });
    }
    void set_moments(const moments &values)
    {
        run([&] { return try_set_moments(values); });
    }
    void get_moments(moments_buffers &buffers)
    {
        run([&] { return try_get_moments(buffers); });
    }
    stats acquire_stats(bool held_out = false)
    {
        stats snapshot;
        run([&] { return try_acquire_stats(snapshot, held_out); });
        return snapshot;
    }
    void merge_stats(const stats &snapshot, bool held_out = false)
    {
        run([&] { return try_merge_stats(snapshot, held_out); });
    }
    void share_stats(const stats &snapshot, bool held_out = false)
    {
        run([&] { return try_share_stats(snapshot, held_out); });
    }
    void add_sums(span<const double> sums, bool held_out = false)
    {
        run([&] { return try_add_sums(sums, held_out); });
    }
    void share_input(layer &source)
    {
        run([&] { return try_share_input(source); });
    }
    report optimize()
    {
        report value;
        run([&] { return try_optimize(value); });
        return value;
    }
    void error_table(std::int32_t bits_lo, std::int32_t bits_hi, span<double> errors)
    {
        run([&] { return try_error_table(bits_lo, bits_hi, errors); });
    }
    report get_report()
    {
        report value;
        run([&] { return try_get_report(value); });
        return value;
    }
    stage_report get_stage_report(std::int32_t index)
    {
        stage_report value;
        run([&] { return try_get_stage_report(index, value); });
        return value;
    }
    channel_report get_channel_report(std::int64_t index)
    {
        channel_report value;
        run([&] { return try_get_channel_report(index, value); });
        return value;
    }
    tensor_counts counts()
    {
        tensor_counts value;
        run([&] { return try_tensor_counts(value); });
        return value;
    }
    void get_tensor(tensor &weights)
    {
        run([&] { return try_get_tensor(weights); });
    }
    // Allocates.
    tensor_storage get_tensor()
    {
        const tensor_counts needed = counts();
        tensor_storage own;
        own.codes.resize(needed.codes);
        own.scales.resize(needed.scales);
        own.zero_points.resize(needed.zero_points);
        own.offsets.resize(needed.offsets);
        own.levels.resize(needed.levels);
        own.description = own.view();
        get_tensor(own.description);
        own.description.codes = {}, own.description.scales = {}, own.description.zero_points = {};
        own.description.offsets = {}, own.description.levels = {};
        return own;
    }
    void set_result(const tensor &weights, span<const float> bias, const report &found, span<const stage_report> stages,
                    span<const channel_report> channels)
    {
        run([&] { return try_set_result(weights, bias, found, stages, channels); });
    }
    void set_tensor(const tensor &weights)
    {
        run([&] { return try_set_tensor(weights); });
    }
    report evaluate(const tensor &weights)
    {
        report value;
        run([&] { return try_evaluate(weights, value); });
        return value;
    }
    std::size_t result_count(result which)
    {
        std::size_t count = 0;
        run([&] { return try_result_count(which, count); });
        return count;
    }
    void get_codes(span<std::int8_t> codes)
    {
        run([&] { return try_get_codes(codes); });
    }
    void get_scales(span<float> scales)
    {
        run([&] { return try_get_scales(scales); });
    }
    void get_bias(span<float> bias)
    {
        run([&] { return try_get_bias(bias); });
    }
    void get_dequantized(span<float> weights)
    {
        run([&] { return try_get_dequantized(weights); });
    }
    void get_planes(span<std::int8_t> planes)
    {
        run([&] { return try_get_planes(planes); });
    }
    void get_code_bias(span<float> bias)
    {
        run([&] { return try_get_code_bias(bias); });
    }
    // The same results in vectors: each allocates.
    std::vector<std::int8_t> codes()
    {
        return vector<std::int8_t>(result::codes, &layer::get_codes);
    }
    std::vector<float> scales()
    {
        return vector<float>(result::scales, &layer::get_scales);
    }
    std::vector<float> bias()
    {
        return vector<float>(result::bias, &layer::get_bias);
    }
    std::vector<float> dequantized()
    {
        return vector<float>(result::dequantized, &layer::get_dequantized);
    }
    std::vector<std::int8_t> planes()
    {
        return vector<std::int8_t>(result::planes, &layer::get_planes);
    }
    std::vector<float> code_bias()
    {
        return vector<float>(result::code_bias, &layer::get_code_bias);
    }
#endif

private:
    // What C returned; a failure has its text from C.
    status done(bsq_status_t code) noexcept
    {
        if (code != BSQ_OK)
            text_ = nullptr;
        return detail::to_status(code);
    }
    // A failure that C does not see.
    status refuse(const char *why) noexcept
    {
        text_ = why;
        return status::size;
    }

    // Whether the buffers of 'rows' are of its size; only 'input' unless the batch counts whole.
    status check_batch(const batch &rows, const bsq_batch_t &c, bool whole) noexcept
    {
        const auto wrong = [](auto buffer, bool fits) { return buffer.data() && !fits; };
        bool input, target, row_weights;
        if (inputs_ > 0 && rows.size > 0) {
            input = detail::is_product(rows.input.size(), {rows.size, inputs_});
            target = detail::is_product(rows.target.size(), {rows.size, outputs_});
            row_weights = detail::is_product(rows.row_weights.size(), {rows.size});
        } else {
            batch_counts needed;
            const bsq_status_t code =
                bsq_layer_batch_counts(handle_, &c, &needed.input, &needed.target, &needed.row_weights);
            if (code != BSQ_OK)
                return done(code);
            input = rows.input.size() == needed.input;
            target = rows.target.size() == needed.target;
            row_weights = rows.row_weights.size() == needed.row_weights;
        }
        if (wrong(rows.input, input))
            return refuse("'input' has another number of elements than such a batch");
        if (whole && wrong(rows.target, target))
            return refuse("'target' has another number of elements than such a batch");
        if (whole && wrong(rows.row_weights, row_weights))
            return refuse("'row_weights' has another number of elements than such a batch");
        return status::ok;
    }

    template <class M> status check_moments(const M &values) noexcept
    {
        layer_info own;
        const status code = done(bsq_layer_info(handle_, &own));
        if (code != status::ok)
            return code;
        const std::int64_t g = own.groups, m = own.out_channels, n = own.fan_in;
        if (values.h.data() && !detail::is_product(values.h.size(), {g, n, n}))
            return refuse("'h' has not G * n * n elements");
        if (values.input_mean.data() && !detail::is_product(values.input_mean.size(), {g, n}))
            return refuse("'input_mean' has not G * n elements");
        if (values.p.data() && !detail::is_product(values.p.size(), {m, n}))
            return refuse("'p' has not M * n elements");
        if (values.target_mean.data() && !detail::is_product(values.target_mean.size(), {m}))
            return refuse("'target_mean' has not M elements");
        if (values.target_square.data() && !detail::is_product(values.target_square.size(), {m}))
            return refuse("'target_square' has not M elements");
        return status::ok;
    }

    template <class T>
    status fill(bsq_status_t(BSQ_CALL *reader)(bsq_layer_t *, T *, std::size_t), span<T> buffer) noexcept
    {
        const detail::quiet call;
        return done(reader(handle_, buffer.data(), buffer.size()));
    }

#if BSQ_HPP_EXCEPTIONS
    template <class F> void run(F fn)
    {
        const detail::thrower call;
        const status code = fn();
        call.check(code, code == status::ok ? "" : message());
    }
    template <class T> std::vector<T> vector(result which, void (layer::*reader)(span<T>))
    {
        std::vector<T> values(result_count(which));
        (this->*reader)(values);
        return values;
    }
#endif

    bsq_layer_t *handle_ = nullptr;
    const char *text_ = nullptr; // of a failure that C did not see, or NULL
    // Of a linear layer that was created here, whose batches need no call of C to be checked; else 0.
    std::int64_t inputs_ = 0;
    std::int64_t outputs_ = 0;
};

// ---- packing -------------------------------------------------------------------------------------------------

// bsq_format_by_name: format(0) when there is none of that name, which ends in 0.
inline format format_by_name(const char *name) noexcept
{
    return static_cast<format>(bsq_format_by_name(name));
}

// bsq_format_next: the first for format(0), which also follows the last.
inline format next(format before) noexcept
{
    return static_cast<format>(bsq_format_next(detail::number(before)));
}

// bsq_options_for_format: what the format needs; the rest of 'how' stays.
inline status try_options_for_format(format layout, options &how, message *text = nullptr) noexcept
{
    bsq_options_t c = detail::to_c(how);
    const status code = detail::with_text(
        text, [&](bsq_error_t *c_error) { return bsq_options_for_format(detail::number(layout), &c, c_error); });
    if (code == status::ok)
        detail::from_c(how, c);
    return code;
}

// bsq_tensor_dequantize: (M, n).
inline status try_dequantize(const tensor &weights, span<float> values, message *text = nullptr) noexcept
{
    const bsq_tensor_t c = detail::to_c(weights);
    return detail::with_text(
        text, [&](bsq_error_t *c_error) { return bsq_tensor_dequantize(&c, values.data(), values.size(), c_error); });
}

// bsq_tensor_part_count, bsq_tensor_get_part: the arrays of a packed tensor; buffers of 'weights' are not looked at.
inline status try_part_count(const tensor &weights, format layout, std::int32_t &count,
                             message *text = nullptr) noexcept
{
    const bsq_tensor_t c = detail::to_c(weights);
    return detail::with_text(
        text, [&](bsq_error_t *c_error) { return bsq_tensor_part_count(&c, detail::number(layout), &count, c_error); });
}
inline status try_get_part(const tensor &weights, format layout, std::int32_t index, part &described,
                           message *text = nullptr) noexcept
{
    const bsq_tensor_t c = detail::to_c(weights);
    return detail::with_text(text, [&](bsq_error_t *c_error) {
        return bsq_tensor_get_part(&c, detail::number(layout), index, &described, c_error);
    });
}

// bsq_tensor_packed_size: bytes of such a tensor; its buffers are not looked at.
inline status try_packed_size(const tensor &weights, format layout, std::size_t &size, message *text = nullptr) noexcept
{
    const bsq_tensor_t c = detail::to_c(weights);
    return detail::with_text(
        text, [&](bsq_error_t *c_error) { return bsq_tensor_packed_size(&c, detail::number(layout), &size, c_error); });
}

// bsq_tensor_pack: into a buffer of exactly that size.
inline status try_pack(const tensor &weights, format layout, bytes buffer, message *text = nullptr) noexcept
{
    const bsq_tensor_t c = detail::to_c(weights);
    return detail::with_text(text, [&](bsq_error_t *c_error) {
        return bsq_tensor_pack(&c, detail::number(layout), buffer.data(), buffer.size(), c_error);
    });
}

// bsq_tensor_unpack: into the buffers of 'weights', which also says extents, bits and grid.
inline status try_unpack(format layout, const_bytes packed, tensor &weights, message *text = nullptr) noexcept
{
    bsq_tensor_t c = detail::to_c(weights);
    const status code = detail::with_text(text, [&](bsq_error_t *c_error) {
        return bsq_tensor_unpack(detail::number(layout), packed.data(), packed.size(), &c, c_error);
    });
    if (code == status::ok)
        detail::from_c(weights, c);
    return code;
}

// ---- networks ------------------------------------------------------------------------------------------------

// bsq_operator_norm: weights (M, n) in the layout of 'desc', tolerance 0.01..10.
inline status try_operator_norm(const layer_desc &desc, const options &how, span<const float> weights, double tolerance,
                                norm &bounds, message *text = nullptr) noexcept
{
    const detail::quiet call;
    if (!detail::weights_fit(desc, weights))
        return detail::fail(text, status::size, detail::weights_size);
    const bsq_layer_desc_t c_desc = detail::to_c(desc);
    const bsq_options_t c_options = detail::to_c(how);
    return detail::with_text(text, [&](bsq_error_t *c) {
        return bsq_operator_norm(&c_desc, &c_options, weights.data(), tolerance, &bounds, c);
    });
}

// bsq_allocate_bits: errors and costs (layers, choices), weights (layers) or empty: all 1; 'chosen' (layers) is
// written.
inline status try_allocate_bits(span<const double> errors, span<const std::int64_t> costs, span<const double> weights,
                                std::size_t choices, std::int64_t budget, const options &how, span<std::int32_t> chosen,
                                allocation &found, message *text = nullptr) noexcept
{
    const detail::quiet call;
    if (choices && (errors.size() / choices != chosen.size() || errors.size() % choices != 0))
        return detail::fail(text, status::size, "'errors' has not one element for each layer and choice");
    if (costs.size() != errors.size())
        return detail::fail(text, status::size, "'costs' has not as many elements as 'errors'");
    if (weights.data() && weights.size() != chosen.size())
        return detail::fail(text, status::size, "'weights' has not one element for each layer");
    const bsq_options_t c_options = detail::to_c(how);
    return detail::with_text(text, [&](bsq_error_t *c) {
        return bsq_allocate_bits(errors.data(), costs.data(), weights.data(), chosen.size(), choices, budget,
                                 &c_options, chosen.data(), &found, c);
    });
}

#if BSQ_HPP_EXCEPTIONS

// ---- the same calls, which throw -----------------------------------------------------------------------------

inline void options_for_format(format layout, options &how)
{
    detail::run([&](message &text) { return try_options_for_format(layout, how, &text); });
}

inline void dequantize(const tensor &weights, span<float> values)
{
    detail::run([&](message &text) { return try_dequantize(weights, values, &text); });
}

// Allocates.
inline std::vector<part> parts(const tensor &weights, format layout)
{
    std::int32_t count = 0;
    detail::run([&](message &text) { return try_part_count(weights, layout, count, &text); });
    std::vector<part> all(static_cast<std::size_t>(count));
    for (std::int32_t i = 0; i < count; i++)
        detail::run(
            [&](message &text) { return try_get_part(weights, layout, i, all[static_cast<std::size_t>(i)], &text); });
    return all;
}

inline std::size_t packed_size(const tensor &weights, format layout)
{
    std::size_t size = 0;
    detail::run([&](message &text) { return try_packed_size(weights, layout, size, &text); });
    return size;
}

inline void pack(const tensor &weights, format layout, bytes buffer)
{
    detail::run([&](message &text) { return try_pack(weights, layout, buffer, &text); });
}

// Allocates.
inline std::vector<unsigned char> pack(const tensor &weights, format layout)
{
    std::vector<unsigned char> buffer(packed_size(weights, layout));
    pack(weights, layout, buffer);
    return buffer;
}

inline void unpack(format layout, const_bytes packed, tensor &weights)
{
    detail::run([&](message &text) { return try_unpack(layout, packed, weights, &text); });
}

inline norm operator_norm(const layer_desc &desc, span<const float> weights, double tolerance,
                          const options &how = options())
{
    norm bounds;
    detail::run([&](message &text) { return try_operator_norm(desc, how, weights, tolerance, bounds, &text); });
    return bounds;
}

inline allocation allocate_bits(span<const double> errors, span<const std::int64_t> costs, span<const double> weights,
                                std::size_t choices, std::int64_t budget, span<std::int32_t> chosen,
                                const options &how = options())
{
    allocation found;
    detail::run([&](message &text) {
        return try_allocate_bits(errors, costs, weights, choices, budget, how, chosen, found, &text);
    });
    return found;
}

#endif

} // inline namespace
} // namespace bsq

#endif
