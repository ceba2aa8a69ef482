// Runs networks with ONNX Runtime, whose library is loaded when the program runs.
#include "engines/engine.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include <dlfcn.h>
#include <onnx/onnx_pb.h>

#include "engines/onnxruntime_api.hpp"
#include "model/graph.hpp"
#include "shared.hpp"

namespace bsq_onnx {

namespace fs = std::filesystem;

namespace {

// ---- the library ----

constexpr const char *library_name = "libonnxruntime.so.1";

// Copies that `make deps-engines` fetched: in the folder 'engines' beside one of those that the program lies in.
std::vector<std::string> fetched()
{
#if defined(__aarch64__)
    const char *const processor = "arm64";
#else
    const char *const processor = "x64";
#endif
    std::vector<std::string> found;
    std::error_code code;
    fs::path folder = fs::read_symlink("/proc/self/exe", code).parent_path();
    for (int up = 0; up < 3 && folder.has_relative_path(); up++, folder = folder.parent_path()) {
        const fs::path modules = folder / "engines" / "node_modules";
        for (fs::directory_iterator at(modules, code), end; !code && at != end; at.increment(code)) {
            if (at->path().filename().string().rfind("onnxruntime-node", 0) != 0)
                continue;
            for (fs::directory_iterator one(at->path() / "bin", code), last; !code && one != last; one.increment(code))
                if (const fs::path path = one->path() / "linux" / processor / library_name; fs::exists(path, code))
                    found.push_back(path.string());
        }
    }
    std::sort(found.rbegin(), found.rend()); // the one without a version in its name, which is the newest, comes first
    return found;
}

std::string in_folder(const std::string &path)
{
    std::error_code code;
    return fs::is_directory(path, code) ? (fs::path(path) / library_name).string() : path;
}

// The library's handle, which stays open: its threads and caches do.
void *open_library(const std::string &path, std::string &opened)
{
    std::vector<std::string> places;
    const char *variable = std::getenv("BSQ_ONNXRUNTIME");
    if (!path.empty()) {
        places = {in_folder(path)};
    } else if (variable != nullptr && *variable != '\0') {
        places = {in_folder(variable)};
    } else {
        places = fetched();
        places.insert(places.begin(), {library_name, "libonnxruntime.so"});
    }
    std::string reasons;
    for (const std::string &place : places) {
        if (void *handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL)) {
            opened = place;
            return handle;
        }
        const char *reason = dlerror();
        reasons += (reasons.empty() ? "" : "; ") + std::string(reason != nullptr ? reason : place.c_str());
    }
    throw Error("ONNX Runtime is not here: " + reasons);
}

// ---- what belongs to it ----

// What all networks share. Its calls may come from any thread.
class Library {
public:
    explicit Library(const std::string &path) : api_(table(path, version_))
    {
        try {
            check(api_.create_env.call(ort::log_fatal, "bsq-onnx", &env_));
            check(api_.create_memory_info.call(ort::arena_allocator, ort::memory_default, &memory_));
        } catch (...) {
            release();
            throw;
        }
    }
    Library(const Library &) = delete;
    Library &operator=(const Library &) = delete;
    ~Library() { release(); }

    const ort::Api &api() const { return api_; }
    const ort::Env *env() const { return env_; }
    const ort::MemoryInfo *memory() const { return memory_; }
    const std::string &version() const { return version_; }

    // Throws Error with the text of a status.
    void check(ort::Status *status) const
    {
        if (status == nullptr)
            return;
        std::string text = api_.error_message.call(status);
        api_.release_status.call(status);
        std::replace(text.begin(), text.end(), '\n', ' ');
        throw Error("ONNX Runtime cannot run this network: " + text);
    }

private:
    void release()
    {
        api_.release_memory_info.call(memory_);
        api_.release_env.call(env_);
    }

    static const void *const *table(const std::string &path, std::string &version)
    {
        std::string opened;
        void *handle = open_library(path, opened);
        const auto get_base = reinterpret_cast<ort::GetBase *>(dlsym(handle, "OrtGetApiBase"));
        const ort::Base *base = get_base != nullptr ? get_base() : nullptr;
        const void *const *found = base != nullptr ? base->get_api(ort::api_version) : nullptr;
        if (found == nullptr) {
            dlclose(handle);
            throw Error(opened + ": is not ONNX Runtime, or does not have version " + std::to_string(ort::api_version) +
                        " of its interface");
        }
        version = base->version();
        return found;
    }

    std::string version_;
    ort::Api api_;
    ort::Env *env_ = nullptr;
    ort::MemoryInfo *memory_ = nullptr;
};

// ---- networks ----

class OrtProgram : public Program {
public:
    OrtProgram(std::shared_ptr<const Library> library, const std::string &bytes, const std::vector<Value> &inputs,
               const std::vector<Value> &outputs)
        : library_(std::move(library)), inputs_(inputs)
    {
        for (const Value &output : outputs) {
            const auto at = std::find_if(outputs_.begin(), outputs_.end(),
                                         [&](const Value &before) { return before.name == output.name; });
            source_.push_back(static_cast<size_t>(at - outputs_.begin()));
            if (at == outputs_.end())
                outputs_.push_back(output);
        }
        const ort::Api &api = library_->api();
        ort::SessionOptions *options = nullptr;
        library_->check(api.create_options.call(&options));
        const std::unique_ptr<ort::SessionOptions, void (*)(ort::SessionOptions *)> owner(options,
                                                                                          api.release_options.call);
        // One thread: samples run side by side, and results do not depend on how many do. Memory is given back, since a
        // network is many of these.
        library_->check(api.set_threads_within.call(options, 1));
        library_->check(api.set_threads_between.call(options, 1));
        library_->check(api.set_log_level.call(options, ort::log_fatal));
        library_->check(api.set_optimization.call(options, ort::optimize_all));
        library_->check(api.disable_arena.call(options));
        library_->check(api.disable_memory_pattern.call(options));
        library_->check(api.create_session.call(library_->env(), bytes.data(), bytes.size(), options, &session_));
        for (const Value &input : inputs_)
            input_names_.push_back(input.name.c_str());
        for (const Value &output : outputs_)
            output_names_.push_back(output.name.c_str());
    }
    OrtProgram(const OrtProgram &) = delete;
    OrtProgram &operator=(const OrtProgram &) = delete;
    ~OrtProgram() override { library_->api().release_session.call(session_); }

    void run(const std::vector<const float *> &inputs, const std::vector<float *> &outputs) override
    {
        const ort::Api &api = library_->api();
        std::vector<float *> first(outputs_.size(), nullptr);
        for (size_t i = 0; i < outputs.size(); i++)
            if (first[source_[i]] == nullptr)
                first[source_[i]] = outputs[i];
        const Tensors in(*library_, inputs_, inputs), out(*library_, outputs_, first);
        std::vector<ort::Value *> results = out.values;
        library_->check(api.run.call(session_, nullptr, input_names_.data(), in.values.data(), in.values.size(),
                                     output_names_.data(), output_names_.size(), results.data()));
        for (size_t i = 0; i < outputs.size(); i++)
            if (const size_t from = source_[i]; outputs[i] != first[from])
                std::copy_n(first[from], count(outputs_[from].shape), outputs[i]);
    }

private:
    // Tensors that lie in the caller's memory.
    struct Tensors {
        const Library &library;
        std::vector<ort::Value *> values;

        template <typename Pointer>
        Tensors(const Library &lib, const std::vector<Value> &what, const std::vector<Pointer> &memory) : library(lib)
        {
            values.reserve(what.size());
            for (size_t i = 0; i < what.size(); i++) {
                const Shape &shape = what[i].shape;
                const auto bytes = static_cast<size_t>(count(shape)) * sizeof(float);
                ort::Value *value = nullptr;
                ort::Status *status =
                    library.api().create_tensor.call(library.memory(), const_cast<float *>(memory[i]), bytes,
                                                     shape.data(), shape.size(), ort::element_float, &value);
                if (status != nullptr)
                    release();
                library.check(status);
                values.push_back(value);
            }
        }
        Tensors(const Tensors &) = delete;
        Tensors &operator=(const Tensors &) = delete;
        ~Tensors() { release(); }

        void release()
        {
            for (ort::Value *value : values)
                library.api().release_value.call(value);
            values.clear();
        }
    };

    std::shared_ptr<const Library> library_;
    std::vector<Value> inputs_, outputs_; // each output once: ONNX Runtime fills but one of several with the same name
    std::vector<size_t> source_;          // of what is asked for, in outputs_
    std::vector<const char *> input_names_, output_names_;
    ort::Session *session_ = nullptr;
};

class OrtEngine : public Engine {
public:
    explicit OrtEngine(const std::string &path) : library_(std::make_shared<const Library>(path)) { try_out(); }

    std::string name() const override { return "ONNX Runtime " + library_->version(); }
    NodeForm form() const override { return NodeForm::onnx; }
    std::unique_ptr<Program> load(const std::string &bytes, const std::vector<Value> &inputs,
                                  const std::vector<Value> &outputs) const override
    {
        return std::make_unique<OrtProgram>(library_, bytes, inputs, outputs);
    }

private:
    // A network of one node: what comes out of it says whether the table is the one that is declared here.
    void try_out() const
    {
        onnx::ModelProto model;
        model.set_ir_version(7);
        model.add_opset_import()->set_version(13);
        model.mutable_graph()->set_name("one node");
        *model.mutable_graph()->add_node() = make_node("Sub", "difference", {"a", "b"}, "c");
        *model.mutable_graph()->add_input() = value_info("a", {2, 2});
        *model.mutable_graph()->add_input() = value_info("b", {2});
        *model.mutable_graph()->add_output() = value_info("c", {2, 2});
        const float a[] = {1, 2, 3, 4}, b[] = {10, 30}, wanted[] = {-9, -28, -7, -26};
        float c[4] = {};
        load(model.SerializeAsString(), {{"a", {2, 2}}, {"b", {2}}}, {{"c", {2, 2}}})->run({a, b}, {c});
        if (!std::equal(c, c + 4, wanted))
            throw Error("ONNX Runtime " + library_->version() + " computes a difference wrong: it is not used");
    }

    std::shared_ptr<const Library> library_;
};

} // namespace

std::unique_ptr<Engine> make_onnxruntime_engine(const std::string &path)
{
    return std::make_unique<OrtEngine>(path);
}

} // namespace bsq_onnx
