// Runs networks with ONNX Runtime, whose library is loaded when the program runs.
#include "engines/engine.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
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

// A network that is loaded, and calls of it.
class Session {
public:
    Session(std::shared_ptr<const Library> library, const std::string &bytes, bool fused = true)
        : library_(std::move(library))
    {
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
        library_->check(api.set_optimization.call(options, fused ? ort::optimize_all : ort::optimize_nothing));
        library_->check(api.disable_arena.call(options));
        library_->check(api.disable_memory_pattern.call(options));
        library_->check(api.create_session.call(library_->env(), bytes.data(), bytes.size(), options, &session_));
    }
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;
    ~Session() { library_->api().release_session.call(session_); }

    const Library &library() const { return *library_; }

    // 'results': tensors to write to, or NULL for those that are to be made.
    void run(const std::vector<const char *> &inputs, const std::vector<ort::Value *> &values,
             const std::vector<const char *> &outputs, std::vector<ort::Value *> &results) const
    {
        library_->check(library_->api().run.call(session_, nullptr, inputs.data(), values.data(), values.size(),
                                                 outputs.data(), outputs.size(), results.data()));
    }

private:
    std::shared_ptr<const Library> library_;
    ort::Session *session_ = nullptr;
};

// ONNX Runtime's values, which go with this.
struct Tensors {
    const Library &library;
    std::vector<ort::Value *> values;

    explicit Tensors(const Library &lib) : library(lib) {}
    Tensors(const Tensors &) = delete;
    Tensors &operator=(const Tensors &) = delete;
    ~Tensors()
    {
        for (ort::Value *value : values)
            library.api().release_value.call(value);
    }

    // One that lies in the caller's memory. Element types have the same numbers in ONNX and here.
    void add(int32_t type, const Shape &shape, const void *memory)
    {
        const auto bytes = static_cast<size_t>(count(shape)) * element_size(type);
        values.push_back(nullptr);
        library.check(library.api().create_tensor.call(library.memory(), const_cast<void *>(memory), bytes,
                                                       shape.data(), shape.size(), type, &values.back()));
    }
};

std::vector<const char *> pointers(const std::vector<std::string> &names)
{
    std::vector<const char *> list;
    for (const std::string &name : names)
        list.push_back(name.c_str());
    return list;
}

class OrtProgram : public Program {
public:
    OrtProgram(std::shared_ptr<const Library> library, const std::string &bytes, const std::vector<Value> &inputs,
               const std::vector<Value> &outputs)
        : session_(std::move(library), bytes), inputs_(inputs)
    {
        for (const Value &output : outputs) {
            const auto at = std::find_if(outputs_.begin(), outputs_.end(),
                                         [&](const Value &before) { return before.name == output.name; });
            source_.push_back(static_cast<size_t>(at - outputs_.begin()));
            if (at == outputs_.end())
                outputs_.push_back(output);
        }
        for (const Value &input : inputs_)
            input_names_.push_back(input.name.c_str());
        for (const Value &output : outputs_)
            output_names_.push_back(output.name.c_str());
    }
    OrtProgram(const OrtProgram &) = delete;
    OrtProgram &operator=(const OrtProgram &) = delete;

    void run(const std::vector<Place<const void *>> &inputs, const std::vector<Place<void *>> &outputs) override
    {
        Tensors in(session_.library()), out(session_.library());
        put(inputs_, inputs, in);
        std::vector<Place<void *>> first(outputs_.size(), Place<void *>{nullptr});
        for (size_t i = 0; i < outputs.size(); i++)
            if (first[source_[i]].values == nullptr)
                first[source_[i]] = outputs[i];
        put(outputs_, first, out);
        std::vector<ort::Value *> results = out.values;
        session_.run(input_names_, in.values, output_names_, results);
        for (size_t i = 0; i < outputs.size(); i++) {
            const Place<void *> &from = first[source_[i]];
            const Value &what = outputs_[source_[i]];
            const auto bytes = static_cast<size_t>(count(from.shape != nullptr ? *from.shape : what.shape));
            if (outputs[i].values != from.values)
                std::memcpy(outputs[i].values, from.values, bytes * element_size(what.type));
        }
    }

private:
    template <typename Places> static void put(const std::vector<Value> &what, const Places &places, Tensors &tensors)
    {
        for (size_t i = 0; i < what.size(); i++)
            tensors.add(what[i].type, places[i].shape != nullptr ? *places[i].shape : what[i].shape, places[i].values);
    }

    Session session_;
    std::vector<Value> inputs_, outputs_; // each output once: ONNX Runtime fills but one of several with the same name
    std::vector<size_t> source_;          // of what is asked for, in outputs_
    std::vector<const char *> input_names_, output_names_;
};

class OrtTrace : public Trace {
public:
    OrtTrace(std::shared_ptr<const Library> library, const std::string &bytes, const std::vector<std::string> &inputs,
             const std::vector<std::string> &outputs, bool fused)
        : session_(std::move(library), bytes, fused), inputs_(inputs), outputs_(outputs)
    {
    }

    std::vector<Array> run(const std::vector<Array> &inputs, bool values) override
    {
        Tensors in(session_.library()), out(session_.library());
        for (const Array &input : inputs)
            in.add(input.type, input.shape, input.bytes.data());
        out.values.resize(outputs_.size(), nullptr);
        session_.run(pointers(inputs_), in.values, pointers(outputs_), out.values);
        std::vector<Array> arrays;
        for (ort::Value *value : out.values)
            arrays.push_back(array_of(value, values));
        return arrays;
    }

private:
    Array array_of(ort::Value *value, bool with_values) const
    {
        const Library &library = session_.library();
        const ort::Api &api = library.api();
        Array array;
        int tensor = 0;
        if (value != nullptr)
            library.check(api.is_tensor.call(value, &tensor));
        array.type = 0;
        if (tensor == 0)
            return array;
        ort::Extents *extents = nullptr;
        library.check(api.describe.call(value, &extents));
        const std::unique_ptr<ort::Extents, void (*)(ort::Extents *)> owner(extents, api.release_extents.call);
        size_t rank = 0;
        int type = 0;
        library.check(api.type_of.call(extents, &type));
        library.check(api.rank_of.call(extents, &rank));
        array.type = type;
        array.shape.resize(rank);
        library.check(api.extents.call(extents, array.shape.data(), rank));
        void *memory = nullptr;
        const size_t bytes = static_cast<size_t>(count(array.shape)) * element_size(type);
        if (with_values && bytes > 0) {
            library.check(api.values_of.call(value, &memory));
            array.bytes.assign(static_cast<unsigned char *>(memory), static_cast<unsigned char *>(memory) + bytes);
        }
        return array;
    }

    Session session_;
    std::vector<std::string> inputs_, outputs_;
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
    bool runs_all() const override { return true; }
    std::unique_ptr<Trace> trace(const std::string &bytes, const std::vector<std::string> &inputs,
                                 const std::vector<std::string> &outputs, bool fused) const override
    {
        return std::make_unique<OrtTrace>(library_, bytes, inputs, outputs, fused);
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
        load(model.SerializeAsString(), {{"a", {2, 2}}, {"b", {2}}}, {{"c", {2, 2}}})->run({{a}, {b}}, {{c}});
        Array left = make_array(float_type, {2, 2}), right = make_array(float_type, {2});
        std::copy(a, a + 4, left.floats());
        std::copy(b, b + 2, right.floats());
        const Array traced = trace(model.SerializeAsString(), {"a", "b"}, {"c"}, false)->run({left, right}, true).at(0);
        if (!std::equal(c, c + 4, wanted) || traced.type != float_type || traced.shape != left.shape ||
            !std::equal(c, c + 4, traced.floats()))
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
