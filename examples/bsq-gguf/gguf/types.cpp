#include "gguf/types.hpp"

#include <cctype>

#include "bsq.h"

namespace bsq_gguf {

const std::vector<Type> &all_types()
{
    static const std::vector<Type> types = {
        {"F32", 0, 1, 4, 0, 0},
        {"F16", 1, 1, 2, 1, 0},
        {"BF16", 30, 1, 2, 32, 0},
        {"Q8_0", 8, 32, 34, 7, BSQ_FORMAT_GGUF_Q8_0},
        {"Q6_K", 14, 256, 210, 18, BSQ_FORMAT_GGUF_Q6_K},
        {"Q5_1", 7, 32, 24, 9, BSQ_FORMAT_GGUF_Q5_1},
        {"Q5_0", 6, 32, 22, 8, BSQ_FORMAT_GGUF_Q5_0},
        {"Q5_K", 13, 256, 176, 16, BSQ_FORMAT_GGUF_Q5_K},
        {"Q4_1", 3, 32, 20, 3, BSQ_FORMAT_GGUF_Q4_1},
        {"Q4_0", 2, 32, 18, 2, BSQ_FORMAT_GGUF_Q4_0},
        {"IQ4_NL", 20, 32, 18, 25, BSQ_FORMAT_GGUF_IQ4_NL},
        {"Q4_K", 12, 256, 144, 14, BSQ_FORMAT_GGUF_Q4_K},
        {"IQ4_XS", 23, 256, 136, 30, BSQ_FORMAT_GGUF_IQ4_XS},
        {"MXFP4", 39, 32, 17, 38, BSQ_FORMAT_GGUF_MXFP4},
        {"Q3_K", 11, 256, 110, 11, BSQ_FORMAT_GGUF_Q3_K},
        {"Q2_K", 10, 256, 84, 10, BSQ_FORMAT_GGUF_Q2_K},
        {"TQ2_0", 35, 256, 66, 37, BSQ_FORMAT_GGUF_TQ2_0},
    };
    return types;
}

const Type *type_of_number(uint32_t number)
{
    for (const Type &type : all_types())
        if (type.number == number)
            return &type;
    return nullptr;
}

const Type *type_of_name(const std::string &name)
{
    std::string upper;
    for (const char c : name)
        upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    for (const Type &type : all_types())
        if (upper == type.name)
            return &type;
    return nullptr;
}

double bits_of(const Type &type)
{
    return 8.0 * static_cast<double>(type.bytes) / static_cast<double>(type.block);
}

std::string type_names()
{
    std::string names;
    for (const Type &type : all_types())
        names += (names.empty() ? "" : ", ") + std::string(type.name);
    return names;
}

} // namespace bsq_gguf
