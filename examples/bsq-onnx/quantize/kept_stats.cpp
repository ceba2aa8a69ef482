// Statistics of the layer at hand, kept for --resume.
#include "quantize/kept_stats.hpp"

#include "quantize/handle.hpp"

namespace bsq_onnx {

bool import_stats(const Checkpoint &checkpoint, const Layer &layer, size_t index, bool held_out_too,
                  bsq_layer_t *handle)
{
    std::vector<bsq_stats_t *> parts;
    for (int held_out = 0; held_out <= (held_out_too ? 1 : 0); held_out++) {
        const std::string bytes = checkpoint.load_stats(index, held_out != 0);
        bsq_stats_t *stats = nullptr;
        if (!bytes.empty() && bsq_stats_import(bytes.data(), bytes.size(), nullptr, &stats, nullptr) == BSQ_OK)
            parts.push_back(stats);
    }
    const bool good = parts.size() == (held_out_too ? 2u : 1u);
    for (size_t i = 0; good && i < parts.size(); i++)
        check(bsq_layer_merge_stats(handle, static_cast<int32_t>(i), parts[i]), layer, handle);
    for (bsq_stats_t *stats : parts)
        bsq_stats_release(stats);
    return good;
}

void export_stats(Checkpoint &checkpoint, const Layer &layer, size_t index, bool held_out_too, bsq_layer_t *handle)
{
    for (int held_out = held_out_too ? 1 : 0; held_out >= 0; held_out--) {
        bsq_stats_t *stats = nullptr;
        size_t size = 0;
        check(bsq_layer_acquire_stats(handle, held_out, &stats), layer, handle);
        std::string bytes;
        bsq_status_t status = bsq_stats_export_size(stats, &size, nullptr);
        bytes.resize(size);
        if (status == BSQ_OK)
            status = bsq_stats_export(stats, bytes.data(), size, nullptr);
        bsq_stats_release(stats);
        if (status != BSQ_OK)
            throw Error("layer '" + layer.name + "': statistics: " + bsq_status_string(status));
        checkpoint.save_stats(index, held_out != 0, bytes);
    }
}

} // namespace bsq_onnx
