"""Layers of other kinds than convolutions and matrices, and files of other forms, through bsq-onnx and back to NumPy.

    forms.py PROGRAM FOLDER
"""
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import executor  # noqa: E402
from tally import closing_line, expect  # noqa: E402

PROGRAM, FOLDER = (os.path.abspath(path) for path in sys.argv[1:3])


def run(*words):
    return subprocess.run([PROGRAM, *words, "--quiet"], capture_output=True, text=True, check=False)


def good(what, *words):
    done = run(*words, "--json")
    expect(done.returncode == 0 and done.stderr == "", f"{what}: status {done.returncode}, {done.stderr.strip()}")
    return json.loads(done.stdout) if done.returncode == 0 else {}


def refused(text, *words):
    done = run(*words, "-o", "none.onnx")
    lines = done.stderr.splitlines()
    fine = done.returncode == 1 and len(lines) == 1 and all(part in lines[0] for part in text.split(" ... "))
    expect(fine and not os.path.exists("none.onnx"), f"'{text}': status {done.returncode}, {done.stderr.strip()}")


def model_of(nodes, constants, inputs, outputs, opset=14, domains=(), kind=TensorProto.FLOAT):
    info = lambda pair: helper.make_tensor_value_info(pair[0], kind, pair[1])  # noqa: E731
    graph = helper.make_graph(nodes, "forms", [info(pair) for pair in inputs], [info(pair) for pair in outputs],
                              [numpy_helper.from_array(value, name) for name, value in constants.items()])
    imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid(domain, 1) for domain in domains]
    model = helper.make_model(graph, opset_imports=imports)
    model.ir_version = 8
    return model


def outputs(path, samples, name):
    model = path if isinstance(path, onnx.ModelProto) else onnx.load(path)
    results = [executor.run(model, {executor.input_name(model): sample if sample.ndim == 3 else sample[None]})
               for sample in samples]
    return [np.asarray(result[name], np.float64) for result in results]


def distance(a, b):
    return sum(np.sum((x - y) ** 2) for x, y in zip(a, b)) / sum(np.sum(y ** 2) for y in b)


# ---- LSTM and GRU --------------------------------------------------------------------------------------------------

STEPS, INPUTS, HIDDEN = 9, 10, 8


def sequence_network(kind, seed=1, directions=1, backward=False, reset=0, initial=False, shorter=0, peepholes=False):
    random = np.random.RandomState(seed)
    gates = 4 if kind == "LSTM" else 3
    real = lambda deviation, *shape: random.normal(0, deviation, shape).astype(np.float32)  # noqa: E731
    constants = {"W": real(0.4, directions, gates * HIDDEN, INPUTS), "R": real(0.4, directions, gates * HIDDEN, HIDDEN),
                 "B": real(0.2, directions, 2 * gates * HIDDEN), "V": real(0.3, directions * HIDDEN, 5),
                 "extents": np.array([0, 0, -1])}
    inputs = ["steps_first", "W", "R", "B"] + [""] * 4
    if shorter:
        inputs[4], constants["lengths"] = "lengths", np.array([STEPS - shorter], np.int32)
    if initial:
        inputs[5], constants["h"] = "h", real(0.5, directions, 1, HIDDEN)
    if peepholes:
        inputs[7], constants["P"] = "P", real(0.3, directions, 3 * HIDDEN)
    while not inputs[-1]:
        inputs.pop()
    words = {"hidden_size": HIDDEN}
    if kind == "GRU":
        words["linear_before_reset"] = reset
    if directions == 2 or backward:
        words["direction"] = "bidirectional" if directions == 2 else "reverse"
    nodes = [helper.make_node("Transpose", ["input"], ["steps_first"], "first", perm=[1, 0, 2]),
             helper.make_node(kind, inputs, ["Y", "last"], "steps", **words),
             helper.make_node("Transpose", ["Y"], ["turned"], "turn", perm=[2, 0, 1, 3]),
             helper.make_node("Reshape", ["turned", "extents"], ["rows"], "join"),
             helper.make_node("MatMul", ["rows", "V"], ["out"], "end")]
    return model_of(nodes, constants, [("input", [1, STEPS, INPUTS])],
                    [("out", [1, STEPS, 5]), ("last", [directions, 1, HIDDEN])])


def states_before(model, x, direction):
    """What the recurrent weights of a direction are multiplied with, step by step, after the definition of the node."""
    (node,) = [n for n in model.graph.node if n.op_type in ("LSTM", "GRU")]
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    backward = direction == 1 or any(a.name == "direction" and a.s == b"reverse" for a in node.attribute)
    states = np.asarray(executor.recurrent(executor.Node(node, [values.get(n, x[:, None] if n else None) for n in node.input], 14))[0],
                        np.float64)[:, direction, 0]
    length = int(values["lengths"][0]) if "lengths" in values else len(states)
    first = values["h"][direction, 0] if "h" in values else np.zeros(HIDDEN)
    order = list(range(length))[::-1] if backward else list(range(length))
    return np.array([first] + [states[t] for t in order[:-1]], np.float64)


def check_sequences():
    samples = np.random.RandomState(5).normal(0, 1, (60, STEPS, INPUTS)).astype(np.float32)
    np.save("sequences.npy", samples)
    networks = {"lstm": ("LSTM", {}), "lstm both ways": ("LSTM", {"directions": 2, "initial": True, "shorter": 3}),
                "lstm back": ("LSTM", {"backward": True, "initial": True, "shorter": 2}),
                "lstm peepholes": ("LSTM", {"peepholes": True, "initial": True}),
                "gru": ("GRU", {"reset": 1, "initial": True}),
                "gru both ways": ("GRU", {"directions": 2, "initial": True, "shorter": 1})}
    for name, (kind, words) in networks.items():
        model = sequence_network(kind, **words)
        onnx.checker.check_model(model)
        onnx.save(model, "steps.onnx")
        basic = ["steps.onnx", "--images", "sequences.npy", "--calib", "40", "--calib-first", "--held-out", "0", "--edge-bits", "0", "--weight-bits", "4"]
        wanted = outputs(model, samples[40:], "out")
        for form in (["qdq"], ["qdq-layers"], ["float", "--act-bits", "0"], ["int4", "--group-size", "8", "--range", "zero-point"]):
            result = good(f"{name} {form}", *basic, "--format", *form, "-o", "out.onnx")
            if not result:
                return
            expect(result["quantized_layers"] == len(result.get("layers", [])) or result["quantized_layers"] >= 3,
                   f"{name}: {result['quantized_layers']} layers")
            written = onnx.load("out.onnx")
            expect([n.op_type for n in written.graph.node].count(kind) == 1, f"{name} {form}: is not one {kind}")
            got = outputs(written, samples[40:], "out")
            off = distance(got, wanted)
            expect(0 < off < 0.1, f"{name} {form}: the file has an error of {off}")
            both = [np.concatenate([a.reshape(-1), b.reshape(-1)]) for a, b in zip(got, outputs(written, samples[40:], "last"))]
            real = [np.concatenate([a.reshape(-1), b.reshape(-1)]) for a, b in zip(wanted, outputs(model, samples[40:], "last"))]
            told = result["evaluation"]["output_error"]
            # A value at a tie may be rounded another way in float32.
            expect(any(abs(told - e) < 0.02 * e for e in (off, distance(both, real))),
                   f"{name} {form}: the run told {told}, the file has {off} or {distance(both, real)}")


def check_states():
    """The error of recurrent weights is that of their products with the node's own states."""
    samples = np.random.RandomState(6).normal(0, 1, (40, STEPS, INPUTS)).astype(np.float32)
    np.save("sequences.npy", samples)
    for words in ({"kind": "LSTM", "directions": 2, "initial": True, "shorter": 3},
                  {"kind": "GRU", "reset": 1, "backward": True, "initial": True, "shorter": 2}):
        model = sequence_network(**words)
        onnx.save(model, "steps.onnx")
        directions = words.get("directions", 1)
        names = ["steps/recurrent", "steps/recurrent_reverse"][:directions]
        others = ["steps/input", "steps/input_reverse"][:directions] + ["end"]
        good("states", "steps.onnx", "--images", "sequences.npy", "--calib", "40", "--calib-first", "--held-out", "0", "--act-bits", "0",
             "--format", "float", "--mu", "0", "--bias-correction", "off", "--edge-bits", "0", "--weight-bits", "3",
             *[word for name in others for word in ("--skip", name)], "-o", "out.onnx")
        with open("out.onnx.json", encoding="utf-8") as file:
            layers = {layer["name"]: layer for layer in json.load(file)["layers"]}
        constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        written = onnx.load("out.onnx")
        (node,) = [n for n in written.graph.node if n.op_type in ("LSTM", "GRU")]
        changed = next(numpy_helper.to_array(t) for t in written.graph.initializer if t.name == node.input[2])
        for direction, name in enumerate(names):
            h = np.concatenate([states_before(model, x, direction) for x in samples])
            real, own = (w[direction].astype(np.float64) for w in (constants["R"], changed))
            bias = np.split(constants["B"][direction], 2)[1]
            wanted = h @ real.T
            off = np.sum((h @ (own - real).T) ** 2)
            told = layers[name]["error"]
            errors = [off / np.sum(wanted ** 2), off / np.sum((wanted + bias) ** 2)]
            expect(any(abs(told - e) < 1e-4 * e for e in errors), f"{words}: {name} told {told}, directly {errors}")


# ---- embeddings, and operators of com.microsoft ----

def check_attention():
    random = np.random.RandomState(11)
    real = lambda *shape: (random.normal(0, 1.2, shape) / np.sqrt(shape[0] if len(shape) > 1 else 9)).astype(np.float32)  # noqa: E731
    constants = {"table": real(50, 24) * 7, "W": real(24, 72), "b": real(72), "F": real(20, 24), "C": real(20, 6)}
    nodes = [helper.make_node("Gather", ["table", "input"], ["x"], "embedding"),
             helper.make_node("Attention", ["x", "W", "b"], ["y"], "attention", domain="com.microsoft", num_heads=3),
             helper.make_node("FusedMatMul", ["y", "F"], ["z"], "fused", domain="com.microsoft", transB=1, alpha=0.5),
             helper.make_node("Relu", ["z"], ["r"], "relu"), helper.make_node("MatMul", ["r", "C"], ["out"], "end")]
    model = model_of(nodes, constants, [("input", ["batch", "length"])], [("out", ["batch", "length", 6])], domains=["com.microsoft"])
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    onnx.save(model, "attention.onnx")
    ids = random.randint(0, 50, (90, 7))
    np.save("ids.npy", ids)
    wanted = outputs(model, ids[60:], "out")
    basic = ["attention.onnx", "--images", "ids.npy", "--calib", "60", "--calib-first", "--held-out", "0", "--edge-bits", "0"]
    for form, bits, picks in ((["qdq"], 8, "Gather"), (["qdq-layers"], 5, "Gather"), (["float", "--act-bits", "0"], 4, "Gather"),
                              (["int4", "--group-size", "8", "--range", "zero-point", "--bits-for", "embedding=4"], 4, "Gather"), (["matmulnbits"], 4, "Gather")):
        result = good(f"attention {form}", *basic, "--weight-bits", str(bits), "--format", *form, "-o", "out.onnx")
        if not result:
            return
        written = onnx.load("out.onnx")
        operators = [n.op_type for n in written.graph.node]
        expect(operators.count("Attention") == 1 and picks in operators, f"attention {form}: {operators}")
        with open("out.onnx.json", encoding="utf-8") as file:
            layers = {layer["name"]: layer for layer in json.load(file)["layers"]}
        expect(set(layers) == {"embedding", "attention/projection", "fused", "end"}, f"attention {form}: layers {list(layers)}")
        whole = form[0] != "matmulnbits"
        expect(all((layers[name]["bits"] > 0) == (whole or name in ("fused", "end")) for name in layers), f"attention {form}: bits")
        off = distance(outputs(written, ids[60:], "out"), wanted)
        told = result["evaluation"]["output_error"]
        expect(abs(off - told) < 0.02 * told + 1e-7 and 0 < told < 0.1, f"attention {form}: error {off} of the file, {told} of the run")
    # A row of codes a scale: those of the table are found by its own weights, as rounding to the best scale does at least.
    table = next(t for t in onnx.load("attention.onnx").graph.initializer if t.name == "table")
    values = numpy_helper.to_array(table).astype(np.float64)
    good("table", *basic, "--bits-for", "embedding=4", "--weight-bits", "4", "--format", "float", "--act-bits", "0", "-o", "out.onnx")
    written = onnx.load("out.onnx")
    (node,) = [n for n in written.graph.node if n.op_type == "Gather"]
    own = next(numpy_helper.to_array(t) for t in written.graph.initializer if t.name == node.input[0]).astype(np.float64)
    searched = 0
    for row in values:
        scales = np.linspace(0.3, 1.2, 200) * np.abs(row).max() / 8
        searched += min(np.sum((row - s * np.clip(np.round(row / s), -8, 7)) ** 2) for s in scales)
    off = np.sum((values - own) ** 2)
    expect(off <= 1.05 * searched, f"the table has an error of {off}, the best scale for each row {searched}")


def check_embedding():
    """Three tables in one node; segments are the words' ids modulo 2, made by the network."""
    random = np.random.RandomState(12)
    real = lambda *shape: random.normal(0, 1, shape).astype(np.float32)  # noqa: E731
    constants = {"words": real(40, 16), "places": real(12, 16), "kinds": real(2, 16), "gamma": 1 + 0.1 * real(16), "beta": 0.1 * real(16),
                 "C": real(16, 5), "two": np.array(2)}
    nodes = [helper.make_node("Div", ["input", "two"], ["half"], "half"), helper.make_node("Mul", ["half", "two"], ["even"], "even"),
             helper.make_node("Sub", ["input", "even"], ["segment"], "odd"),
             helper.make_node("Cast", ["segment"], ["segment32"], "segments", to=TensorProto.INT32),
             helper.make_node("Cast", ["input"], ["ids32"], "ids", to=TensorProto.INT32),
             helper.make_node("EmbedLayerNormalization", ["ids32", "segment32", "words", "places", "kinds", "gamma", "beta"], ["x", ""],
                              "embed", domain="com.microsoft", epsilon=1e-6),
             helper.make_node("MatMul", ["x", "C"], ["out"], "end")]
    model = model_of(nodes, constants, [("input", ["batch", "length"])], [("out", ["batch", "length", 5])], domains=["com.microsoft"])
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    onnx.save(model, "embed.onnx")
    ids = random.randint(0, 40, (80, 9))
    np.save("ids.npy", ids)
    divided = onnx.ModelProto.FromString(model.SerializeToString())
    wanted = outputs(divided, ids[60:], "out")
    for form in (["qdq"], ["float", "--act-bits", "0"], ["int4", "--group-size", "8", "--bits-for", "embed/word=4"]):
        result = good(f"embedding {form}", "embed.onnx", "--images", "ids.npy", "--calib", "60", "--calib-first", "--held-out", "0",
                      "--edge-bits", "0", "--weight-bits", "5" if form[0] != "int4" else "4", "--format", *form, "-o", "out.onnx")
        if not result:
            return
        expect(result["quantized_layers"] == 4, f"embedding {form}: {result['quantized_layers']} layers")
        off, told = distance(outputs("out.onnx", ids[60:], "out"), wanted), result["evaluation"]["output_error"]
        expect(abs(off - told) < 0.02 * told + 1e-7 and 0 < told < 0.1, f"embedding {form}: error {off} of the file, {told} of the run")


# ---- files ---------------------------------------------------------------------------------------------------------

def dense_network(dtype, opset=14, kind=None, names=("input", "out")):
    random = np.random.RandomState(8)
    real = lambda *shape: (random.normal(0, 1.5, shape) / np.sqrt(shape[0])).astype(dtype)  # noqa: E731
    constants = {"A": real(24, 32), "a": real(32), "C": real(32, 6)}
    nodes = [helper.make_node("MatMul", [names[0], "A"], ["x"], "first"), helper.make_node("Add", ["x", "a"], ["y"], "bias"),
             helper.make_node("Relu", ["y"], ["z"], "relu"), helper.make_node("MatMul", ["z", "C"], [names[1]], "second")]
    kind = kind or helper.mapping.NP_TYPE_TO_TENSOR_TYPE[np.dtype(dtype)]
    return model_of(nodes, constants, [(names[0], [1, 24])], [(names[1], [1, 6])], opset, kind=kind)


def as_bfloat16(model):
    """Constants of float32 whose values are of 16 bits, in that type."""
    for tensor in model.graph.initializer:
        bits = numpy_helper.to_array(tensor).astype(np.float32).view(np.uint32) >> 16
        tensor.CopyFrom(helper.make_tensor(tensor.name, TensorProto.BFLOAT16, tensor.dims, bits.astype(np.uint16).tobytes(), raw=True))
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.elem_type = TensorProto.BFLOAT16
    return model


DENSE = ["--images", "dense.npy", "--calib", "60", "--calib-first", "--held-out", "0", "--edge-bits", "0", "--weight-bits", "6"]


def check_halves():
    samples = np.random.RandomState(9).normal(0, 1, (100, 1, 24)).astype(np.float32)
    np.save("dense.npy", samples.reshape(100, 24))
    half = dense_network(np.float16)
    for name, model, kind in (("float16", half, TensorProto.FLOAT16),
                              ("bfloat16", as_bfloat16(dense_network(np.float32, kind=TensorProto.FLOAT)), TensorProto.BFLOAT16)):
        onnx.save(model, "half.onnx")
        wide = model_of(model.graph.node, {t.name: numpy_helper.to_array(t).astype(np.float32) for t in model.graph.initializer},
                        [("input", [1, 24])], [("out", [1, 6])])
        wanted = outputs(wide, samples[60:, 0], "out")
        for form in ("qdq", "qdq-layers", "float", "int4", "matmulnbits"):
            more = ["--weight-bits", "8"] if form == "matmulnbits" else ["--act-bits", "0"] if form == "float" else []
            result = good(f"{name} {form}", "half.onnx", *DENSE, *more, "--format", form, "-o", "out.onnx")
            written = onnx.load("out.onnx")
            types = [v.type.tensor_type.elem_type for v in [*written.graph.input, *written.graph.output]]
            expect(types == [kind, kind], f"{name} {form}: input and output are of types {types}")
            off = distance(outputs(written, samples[60:, 0], "out"), wanted)
            told = result["evaluation"]["output_error"]
            # In the file outputs are of 16 bits.
            expect(off < 0.01 and abs(off - told) < 0.05 * told + 2e-5, f"{name} {form}: error {off}, told {told}")
        # What stays as it is keeps its type: half the bytes.
        result = good(f"{name} kept", "half.onnx", *DENSE, "--skip", "first", "--format", "qdq-layers", "-o", "out.onnx")
        kept = [t for t in onnx.load("out.onnx").graph.initializer if list(t.dims) == [24, 32]]
        expect([t.data_type for t in kept] == [kind], f"{name}: the weights that stay are of types {[t.data_type for t in kept]}")


def check_external():
    samples = np.random.RandomState(9).normal(0, 1, (100, 24)).astype(np.float32)
    np.save("dense.npy", samples)
    os.makedirs("apart", exist_ok=True)
    model = dense_network(np.float32)
    onnx.save(model, "one.onnx")
    onnx.save_model(model, "apart/net.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    plain = good("one file", "one.onnx", *DENSE, "--format", "float", "-o", "plain.onnx")
    apart = good("external data", "apart/net.onnx", *DENSE, "--format", "float", "-o", "apart/out.onnx", "--one-file", "0")
    expect(plain["evaluation"] == apart["evaluation"], "external data changes the result")
    expect(os.path.exists("apart/out.onnx.data"), "no file of weights")
    written = onnx.load("apart/out.onnx", load_external_data=False)
    outside = [t for t in written.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    expect(len(outside) >= 1, "no tensor lies in the other file")
    for tensor in outside:
        place = {entry.key: entry.value for entry in tensor.external_data}
        expect(place["location"] == "out.onnx.data" and int(place["offset"]) % 64 == 0, f"{tensor.name} lies at {place}")
    one, two = onnx.load("plain.onnx"), onnx.load("apart/out.onnx")
    for a, b in zip(one.graph.initializer, two.graph.initializer):
        expect(a.name == b.name and np.array_equal(executor.to_array(a), executor.to_array(b)), f"{a.name} is another constant")

    def damaged(text, **entries):
        broken = onnx.load("apart/net.onnx", load_external_data=False)
        tensor = next(t for t in broken.graph.initializer if t.name == "A")
        place = {entry.key: entry.value for entry in tensor.external_data}
        place.update(entries)
        del tensor.external_data[:]
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        onnx.save(broken, "apart/broken.onnx")
        refused(text, "apart/broken.onnx", *DENSE)

    shutil.copy("apart/weights.bin", "outside.bin")
    if not os.path.lexists("apart/link.bin"):
        os.symlink("../outside.bin", "apart/link.bin")
    damaged("tensor A ... outside of the network's folder", location="../outside.bin")
    damaged("tensor A ... outside of the network's folder", location=os.path.abspath("outside.bin"))
    damaged("tensor A ... outside of the network's folder", location="link.bin")
    damaged("tensor A ... not beside the network", location="nothing.bin")
    damaged("tensor A ... beyond the end of weights.bin", offset=1 << 40)
    damaged("tensor A ... beyond the end of weights.bin", offset=os.path.getsize("apart/weights.bin") - 8)
    damaged("tensor A ... impossible offset", offset="-4")
    damaged("tensor A ... impossible offset", offset="99999999999999999999999")
    damaged("tensor A ... not as many values", length=8)
    damaged("tensor A ... beyond the end of .", location=".")


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    os.chdir(FOLDER)
    check_external()
    check_halves()
    onnx.save(sequence_network("LSTM"), "steps.onnx")
    np.save("sequences.npy", np.zeros((4, STEPS, INPUTS), np.float32))
    probe = run("steps.onnx", "--images", "sequences.npy", "--engine", "onnxruntime", "--evaluate")
    if "ONNX Runtime is not here" in probe.stderr:
        refused("LSTM steps ... ONNX Runtime", "steps.onnx", "--images", "sequences.npy")
        print("skipped: LSTM and GRU: ONNX Runtime is not here (make deps-engines)")
    else:
        refused("LSTM steps ... ONNX Runtime", "steps.onnx", "--images", "sequences.npy", "--engine", "opencv")
        check_sequences()
        check_states()
        check_attention()
        check_embedding()
    return closing_line("bsq-onnx, forms")


sys.exit(main())
