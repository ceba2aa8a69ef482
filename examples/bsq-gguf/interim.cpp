#include "interim.hpp"

#include <cmath>
#include <cstdio>
#include <cstring>

namespace {

int bits_of(int32_t format)
{
    return format == BSQ_FORMAT_GGUF_Q4_0   ? 4
           : format == BSQ_FORMAT_GGUF_Q5_0 ? 5
           : format == BSQ_FORMAT_GGUF_Q8_0 ? 8
                                            : 0;
}

size_t block_of(int32_t format)
{
    return format == BSQ_FORMAT_GGUF_Q4_0 ? 18 : format == BSQ_FORMAT_GGUF_Q5_0 ? 22 : 34;
}

bsq_status_t unknown(bsq_error_t *error)
{
    std::snprintf(error->message, error->capacity, "this type is not there yet");
    return BSQ_E_FORMAT;
}

float value(uint16_t half)
{
    const int e = half >> 10 & 31, m = half & 1023;
    const float v = e == 0 ? std::ldexp(static_cast<float>(m), -24) : std::ldexp(static_cast<float>(1024 + m), e - 25);
    return half & 0x8000 ? -v : v;
}

uint16_t half_of(float x)
{
    int e;
    const float f = std::frexp(std::fabs(x), &e);
    const auto m = static_cast<uint32_t>(std::ldexp(f, 11));
    return static_cast<uint16_t>((x < 0 ? 0x8000u : 0u) | static_cast<uint32_t>(e + 14) << 10 | (m & 1023));
}

} // namespace

bsq_status_t interim_options_for_format(int32_t format, bsq_options_t *options, bsq_error_t *error)
{
    if (bits_of(format) == 0)
        return unknown(error);
    options->weight_bits = bits_of(format);
    options->weight_grid = BSQ_WEIGHT_GRID_FULL;
    options->scale_kind = BSQ_SCALE_KIND_PER_GROUP;
    options->group_size = 32;
    options->scale_format = BSQ_SCALE_FORMAT_FLOAT16;
    return BSQ_OK;
}

bsq_status_t interim_packed_size(const bsq_tensor_t *tensor, int32_t format, size_t *size, bsq_error_t *)
{
    *size = static_cast<size_t>(tensor->channels * tensor->fan_in / 32) * block_of(format);
    return BSQ_OK;
}

bsq_status_t interim_pack(const bsq_tensor_t *tensor, int32_t format, void *buffer, size_t size, bsq_error_t *)
{
    auto *out = static_cast<unsigned char *>(buffer);
    const size_t block = block_of(format);
    for (size_t b = 0; b < size / block; b++, out += block) {
        const uint16_t scale = half_of(tensor->scales[b]);
        std::memcpy(out, &scale, 2);
        const int8_t *q = tensor->codes + b * 32;
        std::memset(out + 2, 0, block - 2);
        if (format == BSQ_FORMAT_GGUF_Q8_0) {
            std::memcpy(out + 2, q, 32);
            continue;
        }
        const int half = format == BSQ_FORMAT_GGUF_Q4_0 ? 8 : 16;
        unsigned char *low = out + (half == 8 ? 2 : 6);
        for (int j = 0; j < 32; j++) {
            const int u = q[j] + half;
            low[j % 16] = static_cast<unsigned char>(low[j % 16] | (u & 15) << (j < 16 ? 0 : 4));
            if (half == 16)
                out[2 + j / 8] = static_cast<unsigned char>(out[2 + j / 8] | (u >> 4) << j % 8);
        }
    }
    return BSQ_OK;
}

bsq_status_t interim_unpack(int32_t format, const void *packed, size_t size, bsq_tensor_t *tensor, bsq_error_t *error)
{
    if (bits_of(format) == 0)
        return unknown(error);
    const auto *in = static_cast<const unsigned char *>(packed);
    const size_t block = block_of(format);
    for (size_t b = 0; b < size / block; b++, in += block) {
        uint16_t scale;
        std::memcpy(&scale, in, 2);
        tensor->scales[b] = value(scale);
        int8_t *q = tensor->codes + b * 32;
        if (format == BSQ_FORMAT_GGUF_Q8_0) {
            std::memcpy(q, in + 2, 32);
            continue;
        }
        const int half = format == BSQ_FORMAT_GGUF_Q4_0 ? 8 : 16;
        const unsigned char *low = in + (half == 8 ? 2 : 6);
        for (int j = 0; j < 32; j++) {
            int u = low[j % 16] >> (j < 16 ? 0 : 4) & 15;
            if (half == 16)
                u |= (in[2 + j / 8] >> j % 8 & 1) << 4;
            q[j] = static_cast<int8_t>(u - half);
        }
    }
    return BSQ_OK;
}

bsq_status_t interim_dequantize(const bsq_tensor_t *tensor, float *weights, size_t count, bsq_error_t *)
{
    for (size_t i = 0; i < count; i++)
        weights[i] = tensor->scales[i / 32] * static_cast<float>(tensor->codes[i]);
    return BSQ_OK;
}
