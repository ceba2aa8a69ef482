// Types of tensors in GGUF files.
#ifndef BSQ_GGUF_TYPES_HPP
#define BSQ_GGUF_TYPES_HPP

#include <cstdint>
#include <string>
#include <vector>

namespace bsq_gguf {

// Numbers are those of the files. A row is blocks of 'block' values of 'bytes' bytes.
struct Type {
    const char *name;
    uint32_t number;
    int64_t block;
    int64_t bytes;
    uint32_t file_type; // general.file_type of a file whose weights have it
    int32_t format;     // BSQ_FORMAT_..., 0 for floats
    bool is_float() const { return format == 0; }
};

const Type *type_of_number(uint32_t number);       // NULL for one that is not known
const Type *type_of_name(const std::string &name); // in lower or upper case
const std::vector<Type> &all_types();              // of floats, then of blocks, from most bits to least
double bits_of(const Type &type);                  // of one weight
std::string type_names();                          // "F32, F16, ..."

} // namespace bsq_gguf

#endif
