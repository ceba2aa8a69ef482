"""Weights that several layers share, through bsq-onnx and back to NumPy.

    shared_weights.py PROGRAM FOLDER
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import executor  # noqa: E402
import networks  # noqa: E402
from tally import closing_line, expect  # noqa: E402

PROGRAM, FOLDER = (os.path.abspath(path) for path in sys.argv[1:3])
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
WIDTH, SAMPLES, CALIBRATING = 24, 120, 80


def run(*words):
    return subprocess.run([PROGRAM, *words, "--quiet"], capture_output=True, text=True, check=False)


def good(what, *words):
    """What a run that must end well says, and the sidecar of its network."""
    done = run(*words, "--json")
    expect(done.returncode == 0 and done.stderr == "", f"{what}: status {done.returncode}, {done.stderr.strip()}")
    if done.returncode != 0:
        return {}, {}
    with open(words[words.index("-o") + 1] + ".json", encoding="utf-8") as file:
        return json.loads(done.stdout), json.load(file)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def outputs(path, samples):
    model = onnx.load(path)
    return np.array([list(executor.run(model, {executor.input_name(model): x[None]}).values())[0][0] for x in samples])


# ---- networks ------------------------------------------------------------------------------------------------------

def spread(random):
    """Factors of channels, so that what one use reads is unlike what another one reads."""
    return np.exp(1.5 * random.normal(0, 1, WIDTH))


def matrices(kind):
    """One matrix used by three nodes in sequence, between two of their own."""
    n = networks.Network([1, WIDTH], seed=5)
    shared = n.weights(WIDTH, WIDTH)
    x = n.add("MatMul", "input", n.weights(WIDTH, WIDTH))
    for _ in range(3):
        x = n.add("Mul", n.add("Tanh", x), n.constant(spread(n.random)))
        if kind == "MatMul":
            x = n.add("Add", n.add("MatMul", x, shared), n.weights(WIDTH))
        else:
            x = n.add("Gemm", x, shared, n.weights(WIDTH), transB=int(kind == "Gemm"))
    return n.model(n.add("MatMul", n.add("Relu", x), n.weights(WIDTH, 8)))


def convolutions(folded=False):
    """A convolution shared by two; with 'folded' each has a BatchNormalization behind it, which makes them two."""
    n = networks.Network([1, 3, 10, 10], seed=6)
    x = n.add("Relu", n.conv("input", (8, 3, 3, 3), pads=[1, 1, 1, 1]))
    shared = n.weights(8, 8, 3, 3)
    for _ in range(2):
        x = n.add("Conv", x, shared, n.weights(8, scale=0.3), pads=[1, 1, 1, 1])
        x = n.add("Relu", n.batch_normalization(x, 8) if folded else x)
    x = n.add("Flatten", n.add("GlobalAveragePool", x))
    return n.model(n.add("Gemm", x, n.weights(5, 8), n.weights(5), transB=1))


def tables():
    """Rows of one table picked twice, and the table's own product: a use of another kind."""
    random = np.random.RandomState(7)
    table = random.normal(0, 1, (20, WIDTH)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "input"], ["a"], "first"),
             helper.make_node("Neg", ["input"], ["minus"], "minus"),
             helper.make_node("Add", ["minus", "most"], ["other"], "other"),
             helper.make_node("Gather", ["table", "other"], ["b"], "second"),
             helper.make_node("Add", ["a", "b"], ["x"], "sum"),
             helper.make_node("MatMul", ["x", "turned"], ["out"], "end")]
    constants = [numpy_helper.from_array(value, name) for name, value in
                 (("table", table), ("turned", np.ascontiguousarray(table.T)), ("most", np.array(19)))]
    graph = helper.make_graph(nodes, "tables", [helper.make_tensor_value_info("input", TensorProto.INT64, ["batch", 6])],
                              [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 6, 20])], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def attentions(width=12):
    """Two blocks of Attention, and of an LSTM, with the same weights."""
    random = np.random.RandomState(9)
    real = lambda *shape: (random.normal(0, 1.5, shape) / np.sqrt(shape[-2])).astype(np.float32)  # noqa: E731
    values = {"W": real(width, 3 * width), "b": real(1, 3 * width)[0], "I": real(1, width, 4 * width).swapaxes(1, 2).copy(),
              "R": real(1, width, 4 * width).swapaxes(1, 2).copy(), "E": real(width, 5), "one": np.array([1])}
    nodes, x = [], "input"
    for i in "12":
        nodes += [helper.make_node("Attention", [x, "W", "b"], ["y" + i], "attention" + i, domain="com.microsoft", num_heads=3),
                  helper.make_node("Transpose", ["y" + i], ["t" + i], "turn" + i, perm=[1, 0, 2]),
                  helper.make_node("LSTM", ["t" + i, "I", "R"], ["h" + i], "steps" + i, hidden_size=width),
                  helper.make_node("Squeeze", ["h" + i, "one"], ["s" + i], "flat" + i),
                  helper.make_node("Transpose", ["s" + i], ["x" + i], "back" + i, perm=[1, 0, 2])]
        x = "x" + i
    nodes.append(helper.make_node("MatMul", [x, "E"], ["out"], "end"))
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 7, extent]) for name, extent in (("input", width), ("out", 5))]
    graph = helper.make_graph(nodes, "attentions", info[:1], info[1:], [numpy_helper.from_array(v, k) for k, v in values.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14), helper.make_opsetid("com.microsoft", 1)], ir_version=8)


# ---- what is expected ----------------------------------------------------------------------------------------------

WORDS = ["--calib", str(CALIBRATING), "--calib-first", "--edge-bits", "0", "--weight-bits", "4", "--effort", "4"]
MATRICES = ["--images", "rows.npy", *WORDS]
PICTURES = ["--images", "pictures.npy", *WORDS]
FORMS = (["qdq", "--weight-bits", "8"], ["qdq-layers"], ["int4"], ["int4", "--group-size", "8", "--range", "zero-point"], ["matmulnbits"],
         ["float", "--act-bits", "0"])


def shared_names(side):
    """For each layer the one whose weights it has."""
    return [layer.get("shared_with", layer["name"]) for layer in side.get("layers", [])]


def readers(graph, name):
    return [node for node in graph.node if name in node.input]


def check_once(what, path, side, name, suffixes):
    """The weights of the layers that share with 'name' are there once, and all of these read them."""
    layers = shared_names(side).count(name)
    graph = onnx.load(path).graph
    names = [t.name for t in graph.initializer]
    others = [layer["name"] for layer in side["layers"] if layer.get("shared_with") == name]
    expect(others, f"{what}: nothing shares weights with {name}")
    for suffix in suffixes:
        expect(len(readers(graph, name + suffix)) == layers, f"{what}: {name}{suffix} is read {len(readers(graph, name + suffix))} times of {layers}")
        expect(not any(other + suffix in names for other in others), f"{what}: there are copies of {name}{suffix}")


def suffixes_of(form):
    if form[0] == "matmulnbits":
        return [".B", ".scales", ".zero_points"]
    if form[0] == "float":
        return [".weight_dequantized"]
    return [".weight_quantized", ".weight_scale"] + [".weight_zero_point"] * (form[0] == "qdq" or "zero-point" in form)


def check_forms():
    rows = np.load("rows.npy")[CALIBRATING:]
    for kind in ("MatMul", "Gemm", "Gemm the other way round"):
        network = f"{kind.replace(' ', '-')}.onnx"
        onnx.save(matrices(kind), network)
        wanted = outputs(network, rows)
        for form in FORMS:
            what = f"{kind} {' '.join(form)}"
            result, side = good(what, network, *MATRICES, "--held-out", "0", "--format", *form, "-o", "out.onnx")
            if not side:
                continue
            names = shared_names(side)
            expect(names[1:4] == [names[1]] * 3 and len(set(names)) == 3, f"{what}: layers share with {names}")
            check_once(what, "out.onnx", side, names[1], suffixes_of(form))
            off = np.sum((outputs("out.onnx", rows) - wanted) ** 2) / np.sum(wanted ** 2)
            told = result["evaluation"]["output_error"]
            expect(abs(off - told) < 0.05 * told + 1e-6 and 0 < told < 0.1, f"{what}: error {off} of the file, {told} of the run")
            biases = [layer["bias"] for layer in side["layers"][1:4]]
            expect(biases[0] != biases[1] != biases[2] and len(biases[2]) == WIDTH, f"{what}: biases are not each use's own")
            bytes_of = [layer["weight_bytes"] for layer in side["layers"][1:4]]
            expect(bytes_of[0] > 0 and bytes_of[1:] == [0, 0], f"{what}: weights take {bytes_of} bytes")
    good("a report", "MatMul.onnx", *MATRICES, "--report", "out.html", "-o", "out.onnx")
    expect(read("out.html").count(b"weights of MatMul_") == 2, "the report says whose weights the later uses have")
    onnx.save(convolutions(), "convolutions.onnx")
    pictures = np.load("pictures.npy")[CALIBRATING:]
    wanted = outputs("convolutions.onnx", pictures)
    for form in FORMS[:4] + FORMS[5:]:
        what = f"convolutions {' '.join(form)}"
        result, side = good(what, "convolutions.onnx", *PICTURES, "--held-out", "0", "--format", *form, "-o", "out.onnx")
        if not side:
            continue
        names = shared_names(side)
        expect(names[1] == names[2] and len(set(names)) == 3, f"{what}: layers share with {names}")
        check_once(what, "out.onnx", side, names[1], suffixes_of(form))
        off = np.sum((outputs("out.onnx", pictures) - wanted) ** 2) / np.sum(wanted ** 2)
        told = result["evaluation"]["output_error"]
        expect(abs(off - told) < 0.05 * told + 1e-6 and 0 < told < 0.1, f"{what}: error {off} of the file, {told} of the run")
    onnx.save(convolutions(folded=True), "folded.onnx")
    _, side = good("folded", "folded.onnx", *PICTURES, "-o", "out.onnx")
    expect(len(set(shared_names(side))) == 4, f"what is folded into one copy makes it another matrix: {shared_names(side)}")


def check_engine():
    """Shared weights become integer kernels at each of their uses, and the file gives what the report says."""
    packages = os.path.join(ROOT, os.environ.get("BUILD", "build"), "engines", "node_modules")
    if not os.path.isdir(os.path.join(packages, "onnxruntime-node")) or shutil.which("node") is None:
        print("skipped: shared weights in ONNX Runtime (make deps-engines)")
        return
    start = ["node", os.path.join(ROOT, "test/engines/onnxruntime.js"), packages]
    for network, words, kernel, layers, samples in (("Gemm.onnx", MATRICES, "QGemm", 3, "rows.npy"),
                                                    ("convolutions.onnx", PICTURES, "QLinearConv", 3, "pictures.npy")):
        result, _ = good(network, network, *words, "--held-out", "0", "--engine", "onnxruntime", "-o", "out.onnx")
        done = subprocess.run([*start, "operators", "out.onnx"], capture_output=True, text=True, check=True)
        operators = json.loads(done.stdout)["out.onnx"]
        expect(operators.get(kernel, 0) >= layers, f"{network}: {operators}")
        for form in FORMS:
            if form[0] == "matmulnbits" and network != "Gemm.onnx":
                continue
            result, _ = good(f"{network} {form}", network, *words, "--held-out", "0", "--format", *form, "-o", "out.onnx")
            values = np.load(samples)[CALIBRATING:]
            done = subprocess.run([*start, "run", "out.onnx"], input=values.tobytes(), capture_output=True, check=True)
            wanted = outputs(network, values)
            got = np.frombuffer(done.stdout, np.float32).reshape(wanted.shape)
            off, told = np.sum((got - wanted) ** 2) / np.sum(wanted ** 2), result["evaluation"]["output_error"]
            expect(abs(off - told) < 0.1 * told + 1e-6, f"{network} {form}: error {off} in ONNX Runtime, {told} of the run")


def weights_of(path, name):
    return next(executor.to_array(t) for t in onnx.load(path).graph.initializer if t.name == name + ".weight_dequantized").astype(np.float64)


def check_pooled():
    """Weights that are solved for all uses are better over them than those of the first use alone."""
    model = matrices("MatMul")
    names = [node.name for node in model.graph.node if node.op_type == "MatMul"]
    inputs = [node.input[0] for node in model.graph.node if node.name in names[1:4]]
    original = next(numpy_helper.to_array(t) for t in model.graph.initializer
                    if t.name == next(node.input[1] for node in model.graph.node if node.name == names[1])).astype(np.float64)
    for tensor in inputs:
        model.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, [1, WIDTH]))
    onnx.save(matrices("MatMul"), "pooled.onnx")
    words = ["pooled.onnx", *MATRICES, "--weight-bits", "3", "--format", "float", "--act-bits", "0", "--bias-correction", "off", "--mu", "0"]
    good("all uses", *words, "-o", "all.onnx")
    good("the first use", *words, *[word for name in names[2:4] for word in ("--skip", name)], "-o", "first.onnx")
    rows = [executor.run(model, {"input": x[None]}) for x in np.load("rows.npy")[:CALIBRATING]]
    errors = {}
    for which in ("all", "first"):
        off = weights_of(f"{which}.onnx", names[1]) - original
        values = [np.concatenate([row[tensor] for row in rows]).astype(np.float64) for tensor in inputs]
        errors[which] = [np.sum((x @ off) ** 2) / np.sum((x @ original) ** 2) for x in values]
    expect(sum(errors["all"]) < 0.8 * sum(errors["first"]), f"errors over uses {errors}")
    expect(errors["all"][0] > errors["first"][0], f"the first use alone is fitted best by its own rows: {errors}")


def check_runs():
    """Threads and interruption change nothing; what is kept of a layer must have the shared weights."""
    for network, words in (("MatMul.onnx", MATRICES), ("convolutions.onnx", PICTURES)):
        for form in (["qdq"], ["qdq-layers"]):
            more = [network, *words, "--effort", "7", "--format", form[0]]
            good("one thread", *more, "--threads", "1", "-o", "one.onnx")
            good("two threads", *more, "--threads", "2", "-o", "two.onnx")
            expect(read("one.onnx") == read("two.onnx"), f"{network} {form[0]}: threads change the file")
            for after in ("stats-0001", "layer-0001", "layer-0002"):
                shutil.rmtree("work", ignore_errors=True)
                process = subprocess.Popen([PROGRAM, *more, "--resume", "work", "-o", "resumed.onnx", "--quiet"], stderr=subprocess.PIPE)
                until = time.time() + 60
                while process.poll() is None and not os.path.exists(f"work/{after}") and time.time() < until:
                    time.sleep(0.001)
                process.send_signal(signal.SIGINT)
                process.communicate()
                good("resumed", *more, "--resume", "work", "-o", "resumed.onnx")
                expect(read("resumed.onnx") == read("one.onnx"), f"{network} {form[0]}: resumed after {after}: another file")


def check_bits():
    """Uses of the same weights have the same bits."""
    names = [node.name for node in onnx.load("MatMul.onnx").graph.node if node.op_type == "MatMul"]

    def bits(*words):
        result, side = good(" ".join(words), "MatMul.onnx", *MATRICES, "--format", "float", "--act-bits", "0", *words, "-o", "out.onnx")
        return [layer["bits"] for layer in side.get("layers", [])], result.get("average_bits")

    expect(bits("--bits-for", f"{names[2]}=3")[0] == [4, 3, 3, 3, 4], "--bits-for of one use")
    expect(bits("--bits-for", f"{names[2]}=3", "--bits-for", f"{names[3]}=6")[0] == [4, 6, 6, 6, 4], "--bits-for of two uses")
    expect(bits("--skip", names[1])[0] == [4, 0, 4, 4, 4], "a use that stays float")
    for wanted in (3.5, 5):
        found, average = bits("--avg-bits", str(wanted))
        stored = [found[0]] * WIDTH + [found[1]] * WIDTH + [found[4]] * 8
        expect(len(set(found[1:4])) == 1 and wanted - 1 < average <= wanted and abs(np.mean(stored) - average) < 1e-6,
               f"--avg-bits {wanted}: {found}, {average} on average")
    n = networks.Network([1, WIDTH], seed=5)
    shared = n.weights(WIDTH, WIDTH)
    x = n.add("MatMul", n.add("Tanh", n.add("MatMul", "input", shared)), n.weights(WIDTH, WIDTH))
    onnx.save(n.model(n.add("MatMul", n.add("Tanh", n.add("MatMul", n.add("Tanh", x), shared)), n.weights(WIDTH, 8))), "edge.onnx")
    _, side = good("edge", "edge.onnx", *MATRICES, "--edge-bits", "8", "--format", "float", "--act-bits", "0", "-o", "out.onnx")
    expect([layer["bits"] for layer in side.get("layers", [])] == [8, 4, 8, 8], "a first layer's weights that are used again")
    result, side = good("--target-drop", "MatMul.onnx", *MATRICES, "--target-drop", "100", "--effort", "2", "-o", "out.onnx")
    check_once("--target-drop", "out.onnx", side, names[1], [".weight_quantized", ".weight_scale"])
    _, side = good("--act-scale", "MatMul.onnx", *MATRICES, "--format", "qdq-layers", "--act-scale", "per-channel", "--act-bits", "4",
                   "-o", "out.onnx")
    notes = [i["note"] for i in side.get("inputs", []) if "shares its weights" in i["note"]]
    expect(len(notes) == 3, f"channels of inputs of shared weights have one scale: {[i['note'] for i in side.get('inputs', [])]}")
    check_once("--act-scale", "out.onnx", side, names[1], [".weight_quantized", ".weight_scale"])


def check_rescaled():
    """Channels around shared weights are not rescaled: that would make them several."""
    n = networks.Network([1, 3, 10, 10], seed=6)
    x = n.add("Relu", n.conv("input", (8, 3, 3, 3), pads=[1, 1, 1, 1]))
    first = next(t for t in n.constants if t.name == n.nodes[0].input[1])
    values = numpy_helper.to_array(first) * np.exp2(np.arange(-12, 12, 3)).reshape(8, 1, 1, 1).astype(np.float32)
    first.CopyFrom(numpy_helper.from_array(values.astype(np.float32), first.name))
    shared = n.weights(8, 8, 3, 3)
    for _ in range(2):
        x = n.add("Relu", n.add("Conv", x, shared, pads=[1, 1, 1, 1]))
    onnx.save(n.model(n.conv(x, (5, 8, 1, 1))), "ranges.onnx")
    _, side = good("ranges", "ranges.onnx", *PICTURES, "-o", "out.onnx")
    names = shared_names(side)
    expect(len(set(names)) == 3 and names[1] == names[2], f"rescaled: layers share with {names}, rescaled {side.get('rescaled')}")


def check_tables():
    onnx.save(tables(), "tables.onnx")
    np.save("ids.npy", np.random.RandomState(8).randint(0, 20, (SAMPLES, 6)))
    probe = run("tables.onnx", "--images", "ids.npy", "--engine", "onnxruntime", "--evaluate")
    if "ONNX Runtime is not here" in probe.stderr:
        print("skipped: tables with shared rows: ONNX Runtime is not here (make deps-engines)")
        return
    for form in (["qdq", "--weight-bits", "8"], ["float", "--act-bits", "0"]):
        _, side = good("tables", "tables.onnx", "--images", "ids.npy", *WORDS, "--format", *form, "-o", "out.onnx")
        expect(shared_names(side) == ["first", "first", "end"], f"tables share with {shared_names(side)}")
        check_once("tables", "out.onnx", side, "first", [".weight_quantized", ".weight_scale"] if form[0] == "qdq" else [".weight_dequantized"])


def check_parts():
    """Nodes that are several layers share the weights of each of them."""
    onnx.save(attentions(), "attentions.onnx")
    np.save("steps.npy", np.random.RandomState(10).normal(0, 1, (SAMPLES, 7, 12)).astype(np.float32))
    probe = run("attentions.onnx", "--images", "steps.npy", "--engine", "onnxruntime", "--evaluate")
    if "ONNX Runtime is not here" in probe.stderr:
        print("skipped: nodes of several layers that share weights: ONNX Runtime is not here (make deps-engines)")
        return
    values = np.load("steps.npy")[CALIBRATING:]
    wanted = outputs("attentions.onnx", values)
    for form in (["qdq", "--weight-bits", "8"], ["int4"], ["int4", "--group-size", "8"], ["float", "--act-bits", "0"]):
        result, side = good(f"attentions {form}", "attentions.onnx", "--images", "steps.npy", *WORDS, "--held-out", "0", "--format", *form,
                            "-o", "out.onnx")
        if not side:
            continue
        names = shared_names(side)
        half = (len(names) - 1) // 2
        expect(half == 3 and len(set(names)) == half + 1 and names[:half] == names[half:-1], f"parts share with {names}")
        sizes = [numpy_helper.to_array(t).size if t.data_type != 22 else int(np.prod(t.dims)) for t in onnx.load("out.onnx").graph.initializer]
        once = 12 * 36 + 2 * 12 * 48
        expect(sum(size for size in sizes if size >= 12 * 12) <= once, f"attentions {form}: {sum(sizes)} values in the file")
        off = np.sum((outputs("out.onnx", values) - wanted) ** 2) / np.sum(wanted ** 2)
        told = result["evaluation"]["output_error"]
        expect(abs(off - told) < 0.05 * told + 1e-6 and 0 < told < 0.2, f"attentions {form}: error {off} of the file, {told} of the run")


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell runs in the background ignores it, and so would PROGRAM
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    os.chdir(FOLDER)
    random = np.random.RandomState(4)
    np.save("rows.npy", random.normal(0, 1, (SAMPLES, WIDTH)).astype(np.float32))
    np.save("pictures.npy", random.normal(0, 1, (SAMPLES, 3, 10, 10)).astype(np.float32))
    check_forms()
    check_pooled()
    check_runs()
    check_bits()
    check_rescaled()
    check_tables()
    check_parts()
    check_engine()
    return closing_line("bsq-onnx, shared weights")


sys.exit(main())
