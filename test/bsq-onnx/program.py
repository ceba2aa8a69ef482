"""bsq-onnx end to end: results against the NumPy executor, every option, every unusable input, interruption and resumption.

    program.py PROGRAM FOLDER SHARED_DATA [check_...]
"""
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import onnx

sys.path.insert(0, os.path.dirname(__file__))
import executor  # noqa: E402
import networks  # noqa: E402
import sequences  # noqa: E402
from tally import closing_line, expect, skip  # noqa: E402

PROGRAM, FOLDER, SHARED = (os.path.abspath(path) for path in sys.argv[1:4])


# ---- what the program works on -------------------------------------------------------------------------------------

def classifier(convolution_last=False):
    """Layers of several kinds; between some of them channels can be folded, around the addition not."""
    n = networks.Network([1, 3, 12, 12])
    x = n.add("Relu", n.conv("input", (8, 3, 3, 3), pads=[1, 1, 1, 1]))
    x = n.add("Relu", n.conv(x, (8, 1, 3, 3), group=8, pads=[1, 1, 1, 1]))
    x = n.add("Relu", n.conv(x, (12, 8, 1, 1), strides=[2, 2]))
    y = n.add("Relu", n.conv(x, (12, 12, 3, 3), pads=[1, 1, 1, 1]))
    x = n.add("Relu", n.add("Add", n.conv(y, (12, 12, 3, 3), pads=[1, 1, 1, 1]), x))
    x = n.add("GlobalAveragePool", x)
    if convolution_last:
        x = n.add("Flatten", n.conv(x, (7, 12, 1, 1)))
    else:
        x = n.add("Gemm", n.add("Flatten", x), n.weights(7, 12, scale=1.5), n.weights(7), transB=1)
    return n.model(n.add("Softmax", x, axis=1))


def make_files():
    random = np.random.RandomState(3)
    onnx.save(classifier(), "net.onnx")
    onnx.save(detector(), "detector.onnx")
    onnx.save(classifier(convolution_last=True), "convolutions.onnx")
    coarse = random.randint(0, 256, (60, 4, 4, 3))
    pictures = np.clip(np.kron(coarse, np.ones((1, 5, 5, 1))) + random.randint(-20, 21, (60, 20, 20, 3)), 0, 255)
    os.mkdir("pictures")
    with open("labels.txt", "w", encoding="ascii") as labels:
        for i, picture in enumerate(pictures.astype(np.uint8)):
            with open(f"pictures/p{i:02d}.ppm", "wb") as file:
                file.write(b"P6\n20 20\n255\n" + picture.tobytes())
            labels.write(f"{i % 7} p{i:02d}.ppm\n")
    np.save("pictures.npy", pictures.astype(np.uint8))
    np.save("labels.npy", np.arange(60) % 7)
    small = pictures[:, 4:16, 4:16].astype(np.float32)
    np.save("samples.npy", np.ascontiguousarray(((small - 120) / 60).transpose(0, 3, 1, 2)).astype(np.float32))


# The same samples in three forms.
CUT = ["--size", "12", "--crop", "--shorter", "20", "--mean", "120", "--std", "60"]
TENSORS = ["net.onnx", "--images", "samples.npy", "--calib", "40"]
QUIET = ["--quiet"]
# What tests of single settings start from; what they say themselves comes later and counts.
BASE = ["--equalize", "off", "--evaluate", "--calib-first", "--format", "qdq-layers", "--depthwise-bits", "0", "--effort", "5", "--engine", "opencv"]
used = set()
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))


def run(*words, **more):
    words = [*BASE, *words]
    used.update(word.split("=")[0] for word in words if word.startswith("-"))
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False, **more)


def good(what, *words):
    """The JSON object of a run that must end well and say nothing else."""
    done = run(*words, "--json", *QUIET)
    expect(done.returncode == 0 and done.stderr == "", f"{what}: status {done.returncode}, {done.stderr.strip()}")
    return json.loads(done.stdout) if done.returncode == 0 else {}


def refused(text, *words, status=1, **more):
    """One line with 'text' on stderr, nothing on stdout, no file."""
    done = run(*words, *QUIET, **more)
    lines = done.stderr.splitlines()
    fine = done.returncode == status and len(lines) == 1 and lines[0].startswith("bsq-onnx: ") and text in lines[0]
    expect(fine and done.stdout == "", f"'{text}': status {done.returncode}, {done.stderr.strip()}")
    left = [name for name in os.listdir(".") if name.startswith("none")]
    expect(not left, f"'{text}' leaves {left}")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def sidecar(*words):
    good(" ".join(words), *TENSORS, "--eval", "0", *words, "-o", "out.onnx")
    with open("out.onnx.json", encoding="utf-8") as file:
        return json.load(file)


# ---- results -------------------------------------------------------------------------------------------------------

def outputs(path, samples, tensor=None):
    model = onnx.load(path)
    return np.array([list(executor.run(model, {executor.input_name(model): x[None]}).values())[0] for x in samples])


def check_results():
    samples = np.load("samples.npy")[40:]
    result = good("results", *TENSORS, "-o", "out.onnx", "--report", "out.html", "--act-bits", "6", "--weight-bits", "3")
    onnx.checker.check_model(onnx.load("out.onnx"))
    expect(b"<html" in read("out.html"), "the report")
    reference, quantized = outputs("net.onnx", samples), outputs("out.onnx", samples)
    logits, wanted = np.log(quantized), np.log(reference)
    agreement = np.mean(reference.argmax(-1) == quantized.argmax(-1))
    expect(abs(agreement - result["evaluation"]["agreement"]) < 0.051, f"agreement {agreement} of the file, "
           f"{result['evaluation']['agreement']} of the run")
    # Softmax forgets a constant: compare what it does not.
    center = lambda x: x - x.mean(-1, keepdims=True)  # noqa: E731
    error = np.sum(center(logits - wanted) ** 2) / np.sum(center(wanted) ** 2)
    expect(error < 0.1, f"the file's outputs: relative error {error}")
    expect(0 < result["evaluation"]["output_error"] < 0.1, "output error of the run")

    good("float weights", *TENSORS, "--act-bits", "0", "-o", "qdq.onnx")
    good("float weights", *TENSORS, "--act-bits", "0", "-o", "float.onnx", "--format", "float")
    expect(np.allclose(outputs("qdq.onnx", samples), outputs("float.onnx", samples), atol=1e-6), "QDQ against float file")
    good("INT4", *TENSORS, "--act-bits", "0", "-o", "int4.onnx", "--format", "int4", "--edge-bits", "0")
    good("four bits", *TENSORS, "--act-bits", "0", "-o", "four.onnx", "--edge-bits", "0")
    expect(np.allclose(outputs("int4.onnx", samples), outputs("four.onnx", samples), atol=1e-6), "INT4 against QDQ file")
    exact = good("eight bits", *TENSORS, "--weight-bits", "8", "--act-bits", "8")
    rough = good("three bits", *TENSORS, "--weight-bits", "3", "--edge-bits", "0")
    rounded = good("rounding", *TENSORS, "--weight-bits", "3", "--edge-bits", "0", "--effort", "0")
    errors = [r["evaluation"]["output_error"] for r in (exact, rough, rounded)]
    expect(errors[0] < errors[1] < errors[2], f"errors of 8 bits, 3 bits, 3 bits rounded: {errors}")


def check_samples():
    files = ["--images", "pictures", "--calib", "40", "--weight-bits", "3"]
    expected = good("tensors", *TENSORS, "--weight-bits", "3", "-o", "a.onnx")
    good("folder", "net.onnx", *files, *CUT, "-o", "b.onnx")
    good("array", "net.onnx", "--images", "pictures.npy", "--calib", "40", "--weight-bits", "3", *CUT, "-o", "c.onnx")
    with open("preset", "w", encoding="ascii") as preset:
        preset.write("# as the network was trained\nsize 12\ncrop\nshorter 20\nmean 120\nstd 60\n\n")
    good("preset", "net.onnx", *files, "--preset", "preset", "-o", "d.onnx")
    for name in "bcd":
        expect(read("a.onnx") == read(f"{name}.onnx"), f"the same samples another way: {name}")
    labelled = good("labels", "net.onnx", *files, *CUT, "--labels", "labels.txt")
    again = good("labels", "net.onnx", *files, *CUT, "--labels", "labels.npy")
    expect(labelled["evaluation"] == again["evaluation"] and "top1" in labelled["evaluation"], "labels")
    expect(labelled["evaluation"]["samples"] == 20 and expected["samples"]["calibration"] == {
        "count": 40, "first": "samples.npy [0]", "last": "samples.npy [39]"}, "numbers of samples")
    np.save("rest.npy", np.load("samples.npy")[40:])
    np.save("first.npy", np.load("samples.npy")[:40])
    apart = good("--test", "net.onnx", "--images", "first.npy", "--test", "rest.npy", "--weight-bits", "3", "-o", "e.onnx")
    expect(read("a.onnx") == read("e.onnx") and apart["evaluation"] == expected["evaluation"], "--test")
    joined = good("twice", "net.onnx", "--images", "first.npy", "--images", "rest.npy", "--calib", "40", "--weight-bits", "3",
                  "-o", "f.onnx")
    expect(read("a.onnx") == read("f.onnx") and joined["evaluation"] == expected["evaluation"], "--images twice")
    for words in (["--letterbox", "--pad", "114"], ["--bgr"], ["--mean", "1,2,3", "--std", "4,5,6"], []):
        good(" ".join(words), "net.onnx", *files, *words, "-o", "g.onnx")
        expect(read("g.onnx") != read("a.onnx"), f"{words} change nothing")


def check_options():
    plain = sidecar()
    bits = {layer["name"]: layer["bits"] for layer in plain["layers"]}
    names = list(bits)
    expect(list(bits.values()) == [8, 4, 4, 4, 4, 8], f"bits {bits}")

    def changed(text, condition, *words):
        other = sidecar(*words)
        expect(condition(other), text)
        return other

    def layer_bits(other):
        return [layer["bits"] for layer in other["layers"]]

    changed("--weight-bits", lambda s: layer_bits(s) == [8, 2, 2, 2, 2, 8], "--weight-bits", "2")
    changed("--edge-bits 0", lambda s: layer_bits(s) == [4] * 6, "--edge-bits", "0")
    changed("--edge-bits 5", lambda s: layer_bits(s) == [5, 4, 4, 4, 4, 5], "--edge-bits", "5")
    changed("--skip", lambda s: layer_bits(s)[2] == 0, "--skip", names[2])
    changed("--bits-for", lambda s: layer_bits(s)[1] == 6, "--bits-for", f"{names[1]}=6")
    changed("--act-bits", lambda s: {i["bits"] for i in s["inputs"]} == {5, 8}, "--act-bits", "5")
    changed("--act-bits 0", lambda s: not s["inputs"], "--act-bits", "0")
    changed("--act-type", lambda s: {i["type"] for i in s["inputs"]} == {"signed"}, "--act-type", "signed")
    folded = changed("--act-scale", lambda s: {len(i["scales"]) for i in s["inputs"]} == {1, 3, 8, 12},
                     "--act-scale", "per-channel", "--act-bits", "4")
    expect([i["note"] != "" for i in folded["inputs"]].count(True) == 1, "one tensor must not be folded")
    for i in folded["inputs"]:
        expect(("strength" in i) == (i["note"] == ""), f"strength of {i['tensor']}")
        expect(i.get("strength", 0) in (0, 0.5, 1) and (i.get("strength", 0) > 0) == (len(i["scales"]) > 1),
               f"strength {i.get('strength')} of {i['tensor']} with {len(i['scales'])} scales")
    expect(not any("strength" in i for i in plain["inputs"]), "strengths without scales of channels")
    errors = {}
    for words in ((), ("--effort", "0"), ("--mu", "0"), ("--damping", "0.5"), ("--act-clip", "minimum-maximum"),
                  ("--act-clip", "percentile", "--act-percentile", "0.9"), ("--bias-correction", "off"), ("--calib", "20"),
                  ("--range", "symmetric")):
        sidecar(*words)
        errors[words] = read("out.onnx")
    expect(len(set(errors.values())) == len(errors), "an option that changes nothing")
    for words in (("--threads", "1"), ("--threads", "3"), ("--memory", "1"), ("--task", "none")):
        sidecar(*words)
        expect(read("out.onnx") == errors[()], f"{words} change the result")
    # Held-out samples decide about corrected biases, and about nothing else.
    sidecar("--bias-correction", "off", "--held-out", "0")
    expect(read("out.onnx") == errors["--bias-correction", "off"], "--held-out 0 changes more than biases")
    for network in ("net.onnx", "convolutions.onnx"):
        mixed = good("--avg-bits, " + network, network, *TENSORS[1:], "--avg-bits", "3.5")
        expect(3.2 < mixed["average_bits"] <= 3.5, f"{network}: --avg-bits gives {mixed['average_bits']}")

    text = run(*TENSORS)
    expect(text.returncode == 0 and "layer 6/6" in text.stdout and "same class as float" in text.stdout, "plain lines")
    expect("layer 1/" not in run(*TENSORS, *QUIET).stdout, "--quiet")
    expect(run("--help").returncode == 0 and run("--help", "more", "--and").returncode == 2, "--help")
    expect(run("--version").stdout.startswith("bsq-onnx 0."), "--version")


# ---- integer form --------------------------------------------------------------------------------------------------

def integer_network():
    """Operators between layers that engines have integer forms of: Add, Concat, MaxPool, SiLU, Resize, Clip, Split."""
    n = networks.Network([1, 3, 12, 12])
    x = n.add("Relu", n.conv("input", (8, 3, 3, 3), pads=[1, 1, 1, 1]))
    left = n.add("Relu", n.conv(x, (6, 8, 1, 1)))
    right = n.conv(n.add("MaxPool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]), (6, 8, 1, 1))
    x = n.add("Concat", left, n.add("Mul", right, n.add("Sigmoid", right)), axis=1)
    y = n.add("Clip", n.conv(x, (12, 1, 3, 3), group=12, pads=[1, 1, 1, 1]), n.constant(np.float32(0)), n.constant(np.float32(1)))
    x = n.add("Relu", n.add("Add", n.conv(y, (12, 12, 1, 1)), x))
    x = n.add("GlobalAveragePool", n.add("Relu", n.conv(x, (12, 12, 3, 3), strides=[2, 2])))
    return n.model(n.add("Flatten", n.conv(x, (7, 12, 1, 1))))


class Graph:
    """What an integer file says of its tensors."""

    def __init__(self, path):
        model = onnx.load(path)
        if model.opset_import[0].version < 21:  # else too new for the checker of ONNX 1.12
            onnx.checker.check_model(model, full_check=True)
        self.nodes = model.graph.node
        self.constants = {t.name: executor.to_array(t) for t in model.graph.initializer}
        self.made_by = {name: node for node in self.nodes for name in node.output}
        self.outputs = [o.name for o in model.graph.output]

    def readers(self, name):
        return [node for node in self.nodes if name in node.input]

    def of(self, op):
        return [node for node in self.nodes if node.op_type == op]

    def read_parameters(self, name):
        """Scale and zero point of a dequantized tensor of activations, or None."""
        node = self.made_by.get(name)
        if node is None or node.op_type != "DequantizeLinear" or node.input[0] not in self.made_by:
            return None
        return float(self.constants[node.input[1]]), int(self.constants[node.input[2]])

    def given_parameters(self, name):
        """The same of a tensor that is quantized next, behind a Relu or Clip or not."""
        readers = self.readers(name)
        if len(readers) == 1 and readers[0].op_type in ("Relu", "Clip"):
            return self.given_parameters(readers[0].output[0])
        quantizers = [node for node in readers if node.op_type == "QuantizeLinear"]
        if len(quantizers) != 1 or len(readers) != 1:
            return None
        return float(self.constants[quantizers[0].input[1]]), int(self.constants[quantizers[0].input[2]])


def check_integer_form():
    onnx.save(integer_network(), "integer.onnx")
    words = ["integer.onnx", "--images", "samples.npy", "--calib", "40", "--format", "qdq"]
    result = good("integer form", *words, "-o", "q.onnx")
    graph = Graph("q.onnx")
    convolutions = graph.of("Conv")
    for conv in convolutions:
        what = graph.read_parameters(conv.input[0])
        expect(what is not None, f"{conv.name} does not read a quantized tensor")
        weights, bias = (graph.made_by[conv.input[i]] for i in (1, 2))
        codes, steps = graph.constants[weights.input[0]], graph.constants[weights.input[1]]
        expect(codes.dtype == np.int8 and steps.shape == (codes.shape[0],), f"{conv.name}: weights")
        biases, scales = (graph.constants[name] for name in bias.input)
        expect(biases.dtype == np.int32 and np.allclose(scales, np.float32(what[0]) * steps), f"{conv.name}: int32 bias")
        last = conv is convolutions[-1]
        expect((graph.given_parameters(conv.output[0]) is None) == last, f"{conv.name}: what it gives, last {last}")
    for op in ("Concat", "MaxPool", "Add", "Sigmoid", "Mul"):
        for node in graph.of(op):
            all_read = [graph.read_parameters(name) for name in node.input]
            given = graph.given_parameters(node.output[0])
            expect(None not in all_read and given is not None, f"{op}: reads {all_read}, gives {given}")
            if op in ("Concat", "MaxPool"):
                expect(set(all_read) == {given}, f"{op}: {all_read} and {given} differ")
    for node in graph.of("Clip"):
        scale, zero = graph.given_parameters(node.output[0])
        expect(zero == 0 and np.float32(255) * np.float32(scale) <= 1, f"codes behind Clip reach {255 * scale}")
    expect(all(graph.constants[node.input[2]].dtype == np.uint8 for node in graph.of("QuantizeLinear")), "unsigned codes")
    samples = np.load("samples.npy")[56:]
    quantized, reference = outputs("q.onnx", samples), outputs("integer.onnx", samples)
    error = np.sum((quantized - reference) ** 2) / np.sum(reference ** 2)
    expect(error < 2 * result["evaluation"]["output_error"] + 1e-3 and error < 0.02, f"error {error} of the file, "
           f"{result['evaluation']['output_error']} of the run")

    with open("q.onnx.json", encoding="utf-8") as file:
        inputs = {i["tensor"]: i for i in json.load(file)["inputs"]}
    name = next(node for node in onnx.load("integer.onnx").graph.node if node.op_type == "Sigmoid").output[0]
    expect(name in inputs, "a tensor that no layer reads is not in the sidecar")
    good("--keep-float", *words, "--keep-float", name, "-o", "k.onnx")
    expect(len(Graph("k.onnx").of("QuantizeLinear")) == len(graph.of("QuantizeLinear")) - 1, "--keep-float")
    good("--float-head", *words, "--float-head", "-o", "h.onnx")
    head = Graph("h.onnx").of("Conv")[-1]
    expect(head.input[1] in Graph("h.onnx").constants, "--float-head leaves weights quantized")
    bits = good("--act-bits-for", *words, "--act-bits-for", f"{name}=4", "-o", "b.onnx") and json.loads(read("b.onnx.json"))
    expect([i["bits"] for i in bits["inputs"] if i["tensor"] == name] == [4], "--act-bits-for")
    refused("no tensor 'nothing'", *words, "--act-bits-for", "nothing=4", "-o", "none.onnx")
    refused("no tensor and no node 'nothing'", *words, "--keep-float", "nothing", "-o", "none.onnx")
    refused("per-channel needs --format", *words, "--act-scale", "per-channel", "-o", "none.onnx", status=2)
    refused("--keep-float needs --format qdq", *words, "--format", "float", "--keep-float", name, "-o", "none.onnx", status=2)
    for times in range(2):
        good("--resume", *words, "--resume", "integer", "-o", "r.onnx")
        expect(read("r.onnx") == read("q.onnx"), f"resumed {times} times")
    for threads in ("1", "2", "3"):
        good("threads", *words, "--threads", threads, "-o", f"t{threads}.onnx")
    expect(read("t1.onnx") == read("t2.onnx") == read("t3.onnx"), "threads change the network")


def check_sixteen_bits():
    """Tensors of 16 bits: uint16 of opset 21, from the range; what layers read then has no integer operator."""
    onnx.save(integer_network(), "integer.onnx")
    name = next(node for node in onnx.load("integer.onnx").graph.node if node.op_type == "Concat").output[0]
    for form in ("qdq", "qdq-layers", "int4"):
        words = ["integer.onnx", "--images", "samples.npy", "--calib", "40", "--format", form, "--weight-bits", "4"]
        good(f"16 bits, {form}", *words, "--act-bits-for", f"{name}=16", "-o", "w.onnx")
        model = onnx.load("w.onnx")  # too new for the checker of ONNX 1.12
        expect(model.opset_import[0].version >= 21, f"opset {model.opset_import[0].version} with 16 bits")
        graph = Graph("w.onnx")
        wide = [node for node in graph.of("QuantizeLinear") if graph.constants[node.input[2]].dtype == np.uint16]
        expect(wide and all(graph.constants[node.input[1]] < 1e-3 for node in wide), f"{form}: {len(wide)} of 16 bits")
        reads = {i["tensor"]: i["bits"] for i in json.loads(read("w.onnx.json"))["inputs"]}
        expect(reads[name] == 16, f"{form}: bits {reads}")
        samples = np.load("samples.npy")[50:]
        quantized, reference = outputs("w.onnx", samples), outputs("integer.onnx", samples)
        expect(np.sum((quantized - reference) ** 2) < 0.05 * np.sum(reference ** 2), f"{form}: outputs with 16 bits")
        if engine() is not None:
            done = subprocess.run([*engine(), "run", "w.onnx"], input=samples.tobytes(), capture_output=True, check=False)
            got = np.frombuffer(done.stdout, np.float32).reshape(len(samples), -1) if done.returncode == 0 else np.zeros(1)
            expect(np.sum((got - quantized.reshape(got.shape)) ** 2) < 0.01 * np.sum(quantized ** 2) if done.returncode == 0 else False,
                   f"{form}: 16 bits in ONNX Runtime: {done.stderr.decode()[:300]}")
        for times in range(2):
            good("--resume", *words, "--act-bits-for", f"{name}=16", "--resume", f"wide-{form}", "-o", "r.onnx")
            expect(read("r.onnx") == read("w.onnx"), f"16 bits, {form}: resumed {times} times")
    biases = [node for node in Graph("w.onnx").of("Conv") if node.input[2] in Graph("w.onnx").constants]
    expect(biases, "biases behind 16 bits are float")
    refused("--act-bits-for is NAME=B", *words, "--act-bits-for", f"{name}=9", "-o", "none.onnx", status=2)
    refused("--bits-for is NAME=B", *words, "--bits-for", "Conv_0=16", "-o", "none.onnx", status=2)


def rescaled(model, seed=5):
    """The same function with channels between layers times 2^-4 .. 2^4, through Relu, MaxPool, Concat and Add."""
    random = np.random.RandomState(seed)
    constants = {t.name: t for t in model.graph.initializer}
    factors = {}  # by tensor, of its channels
    nodes = list(model.graph.node)
    sums = {name for node in nodes if node.op_type == "Add" for name in node.input}
    common = 2.0 ** random.randint(-4, 5, 12)
    for node in nodes:
        given = node.output[0]
        read_by = [other for other in nodes if given in other.input]
        if node.op_type in ("Conv", "Gemm"):
            weights = onnx.numpy_helper.to_array(constants[node.input[1]]).copy()
            before = factors.get(node.input[0], np.ones(1))
            shape = (1, -1) + (1,) * (weights.ndim - 2)
            if weights.shape[1] == 1 and len(before) > 1:
                weights /= before.reshape(-1, 1, 1, 1)
            elif len(before) > 1:
                weights /= np.resize(before, weights.shape[1]).reshape(shape)
            last = not any(other.op_type != "Flatten" for other in read_by)
            behind = {given} | {name for other in read_by if other.op_type == "Relu" for name in other.output}
            factor = np.ones(len(weights)) if last else common if behind & sums else 2.0 ** random.randint(-4, 5, len(weights))
            weights *= factor.reshape((-1,) + (1,) * (weights.ndim - 1))
            constants[node.input[1]].CopyFrom(onnx.numpy_helper.from_array(weights.astype(np.float32), node.input[1]))
            bias = onnx.numpy_helper.to_array(constants[node.input[2]]) * factor
            constants[node.input[2]].CopyFrom(onnx.numpy_helper.from_array(bias.astype(np.float32), node.input[2]))
            factors[given] = factor
        elif node.op_type == "Concat":
            factors[given] = np.concatenate([factors[name] for name in node.input])
        else:
            factors[given] = factors.get(node.input[0], np.ones(1))
    return model


def homogeneous():
    """Everything between layers lets factors of channels pass."""
    n = networks.Network([1, 3, 12, 12])
    x = n.add("Relu", n.conv("input", (8, 3, 3, 3), pads=[1, 1, 1, 1]))
    y = n.add("Relu", n.conv(x, (4, 8, 1, 1)))
    z = n.add("Relu", n.conv(n.add("MaxPool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]), (8, 8, 3, 3), pads=[1, 1, 1, 1]))
    x = n.add("Relu", n.conv(n.add("Concat", y, z, axis=1), (12, 12, 1, 1)))
    y = n.add("Relu", n.conv(x, (12, 1, 3, 3), group=12, pads=[1, 1, 1, 1]))
    x = n.add("Relu", n.add("Add", n.conv(y, (12, 12, 1, 1)), x))
    x = n.add("GlobalAveragePool", n.add("Relu", n.conv(x, (16, 12, 3, 3), strides=[2, 2])))
    return n.model(n.add("Gemm", n.add("Flatten", x), n.weights(7, 16, scale=1.5), n.weights(7), transB=1))


def check_equalization():
    """A network whose channels differ by factors up to 256 loses about what it was made from does."""
    onnx.save(homogeneous(), "even.onnx")
    onnx.save(rescaled(homogeneous()), "uneven.onnx")
    samples = np.load("samples.npy")[50:]
    before, after = outputs("even.onnx", samples), outputs("uneven.onnx", samples)
    expect(np.allclose(before, after, rtol=1e-4, atol=1e-5), "the rescaled network computes something else")
    words = ["--images", "samples.npy", "--calib", "40"]
    for form in (["--format", "qdq"], ["--format", "qdq-layers", "--weight-bits", "8"]):
        error = {}
        for network, switch in (("even", "on"), ("even", "off"), ("uneven", "on"), ("uneven", "off")):
            result = good(f"{network}, --equalize {switch}", f"{network}.onnx", *words, *form, "--equalize", switch,
                          "-o", f"{network}-{switch}.onnx")
            error[network, switch] = result["evaluation"]["output_error"]
            if network == "uneven":
                listed = json.loads(read(f"{network}-{switch}.onnx.json"))["rescaled"]
                expect((len(listed) > 3) == (switch == "on"), f"{switch}: rescaled tensors {listed}")
        expect(error["uneven", "on"] <= 1.5 * error["even", "off"], f"{form}: errors {error}")
        expect(error["uneven", "off"] > 3 * error["uneven", "on"], f"{form}: rescaling gains little: {error}")
        got = outputs("uneven-on.onnx", samples)
        expect(np.sum((got - before) ** 2) <= 4 * error["uneven", "on"] * np.sum(before ** 2), f"{form}: outputs of the file")
    good("float", "uneven.onnx", *words, "--format", "float", "--weight-bits", "8", "--equalize", "on", "-o", "f.onnx")
    expect(np.allclose(outputs("f.onnx", samples), before, atol=0.05 * np.abs(before).max()), "float weights, rescaled")


def transformer_like():
    """Gemm and MatMul, with and without bias, of inputs that fill no whole number of blocks."""
    n = networks.Network([1, 3, 12, 12])
    x = n.add("Reshape", "input", n.ints([12, 36]))
    x = n.add("Relu", n.add("Add", n.add("MatMul", x, n.weights(36, 40)), n.weights(40)))
    x = n.add("Relu", n.add("MatMul", x, n.weights(40, 20)))
    x = n.add("Relu", n.add("Gemm", n.add("Reshape", x, n.ints([1, 240])), n.weights(24, 240), n.weights(24), transB=1))
    return n.model(n.add("Gemm", x, n.weights(7, 24, scale=1.5), n.weights(7), transB=1))


def check_matmul_nbits():
    """ONNX Runtime's operator for weights of 4 bits in blocks, and blocks of INT4."""
    onnx.save(transformer_like(), "matrices.onnx")
    samples = np.load("samples.npy")[50:]
    reference = outputs("matrices.onnx", samples)
    words = ["matrices.onnx", "--images", "samples.npy", "--calib", "40"]

    def error(path):
        return np.sum((outputs(path, samples) - reference) ** 2) / np.sum(reference ** 2)

    errors = {}
    for name, more in (("default", []), ("sixteen", ["--group-size", "16"]), ("eight", ["--weight-bits", "8"]),
                       ("symmetric", ["--range", "symmetric"]), ("full", ["--range", "full"]), ("two", ["--weight-bits", "2"]),
                       ("integers", ["--accuracy-level", "4"])):
        start = [word for word in BASE if word not in ("--depthwise-bits", "0", "--format", "qdq-layers")]
        done = subprocess.run([PROGRAM, *start, *words, "--format", "matmulnbits", *more, "-o", f"m-{name}.onnx", "--json", *QUIET],
                              capture_output=True, text=True, check=False)
        expect(done.returncode == 0, f"matmulnbits, {name}: {done.stderr}")
        model = onnx.load(f"m-{name}.onnx")
        onnx.checker.check_model(model)
        expect({o.domain: o.version for o in model.opset_import}["com.microsoft"] == 1, "domain of MatMulNBits")
        nodes = [node for node in model.graph.node if node.op_type == "MatMulNBits"]
        bits, size = {"eight": 8, "two": 2}.get(name, 4), 16 if name == "sixteen" else 32
        expect(len(nodes) == 4 and not [n for n in model.graph.node if n.op_type in ("Gemm", "MatMul")], f"{name}: operators")
        for node in nodes:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            own = size if attributes["K"] >= 32 else 16
            expect(attributes["bits"] == bits and attributes["block_size"] == own and node.domain == "com.microsoft", f"{attributes}")
            expect(attributes.get("accuracy_level", 0) == (4 if name == "integers" else 0), f"{name}: accuracy_level")
            expect((len(node.input) == 4) == (name not in ("symmetric", "full")), f"{name}: zero points")
        errors[name] = error(f"m-{name}.onnx")
        said = json.loads(done.stdout)["evaluation"]["output_error"]
        expect(abs(errors[name] - said) < 0.3 * said + 1e-4, f"{name}: error {errors[name]} of the file, {said} of the run")
    expect(errors["eight"] < errors["sixteen"] < errors["two"] and errors["default"] < errors["two"], f"errors {errors}")
    engine_start = engine()
    if engine_start is not None:
        for name in errors:
            # ONNX Runtime 1.30 and the wasm build; versions before 1.20 know 4 bits alone.
            for package in ("onnxruntime-node", "onnxruntime-web") if name != "two" else ("onnxruntime-node",):
                done = subprocess.run([*engine_start, "check", package, f"m-{name}.onnx"], capture_output=True, text=True, check=False)
                expect(done.returncode == 0 and done.stderr == "", f"m-{name}.onnx in {package}: {done.stderr.strip()}")
            done = subprocess.run([*engine_start, "run", f"m-{name}.onnx"], input=samples.tobytes(), capture_output=True, check=True)
            got = np.frombuffer(done.stdout, np.float32).reshape(len(samples), -1)
            wanted = outputs(f"m-{name}.onnx", samples).reshape(len(samples), -1)
            expect(np.sum((got - wanted) ** 2) < 2e-3 * np.sum(wanted ** 2), f"m-{name}.onnx: outputs in ONNX Runtime")
    else:
        skip("MatMulNBits in ONNX Runtime (make deps-engines)")
    for times in range(2):
        done = subprocess.run([PROGRAM, *start, *words, "--format", "matmulnbits", "--resume", "matrices", "-o", "r.onnx", *QUIET],
                              capture_output=True, text=True, check=False)
        expect(done.returncode == 0 and read("r.onnx") == read("m-default.onnx"), f"matmulnbits, resumed {times} times: {done.stderr}")
    for network, more in (("matrices.onnx", ["--edge-bits", "0"]), ("net.onnx", ["--edge-bits", "4"])):
        for grid in ("full", "zero-point"):
            good(f"blocks of int4, {grid}", network, *words[1:], "--format", "int4", "--weight-bits", "4", "--act-bits", "0", *more,
                 "--group-size", "16", "--range", grid, "-o", "b.onnx")
            model = onnx.load("b.onnx")
            blocked = [n for n in model.graph.node if any(a.name == "block_size" and a.i == 16 for a in n.attribute)]
            expect(len(blocked) >= 3, f"{network}, {grid}: {len(blocked)} blocked layers")
            result = good("the same", network, *words[1:], "--format", "float", "--weight-bits", "4", "--act-bits", "0", *more,
                          "--group-size", "16", "--range", grid, "-o", "f.onnx")
            expect(np.allclose(outputs("b.onnx", samples), outputs("f.onnx", samples), rtol=1e-4, atol=1e-5),
                   f"{network}, {grid}: blocks against float weights, error {result['evaluation']['output_error']}")
            if engine_start is not None:
                done = subprocess.run([*engine_start, "check", "onnxruntime-node", "b.onnx"], capture_output=True, text=True, check=False)
                expect(done.returncode == 0, f"{network}, {grid}: blocks of int4 in ONNX Runtime: {done.stderr.strip()}")
    matrices = ["matrices.onnx", "--images", "samples.npy", "--format", "matmulnbits", "-o", "none.onnx"]
    for text, more in (("MatMulNBits has float activations", ["--act-bits", "8"]), ("--weight-bits and --edge-bits are", ["--weight-bits", "3"]),
                       ("--bits-for is", ["--bits-for", "MatMul_0=5"]), ("--group-size is", ["--group-size", "48"]),
                       ("--avg-bits needs", ["--avg-bits", "4"]), ("--accuracy-level is", ["--accuracy-level", "5"])):
        refused(text, *matrices, *more, status=2)
    for text, more in (("--group-size needs", ["--group-size", "32"]), ("--range zero-point needs", ["--range", "zero-point"]),
                       ("--accuracy-level needs", ["--accuracy-level", "4"])):
        refused(text, *TENSORS, *more, status=2)
    onnx.save(classifier(convolution_last=True), "convolutions.onnx")
    refused("no layer can be a MatMulNBits", "convolutions.onnx", *matrices[1:])


def check_target_drop():
    """The smallest file within a loss: what was tried is said, samples that chose do not judge."""
    words = ["net.onnx", "--images", "samples.npy", "--calib", "30", "--labels", "labels.npy", "--held-out", "0"]
    start = ["--equalize", "off", "--effort", "3"]

    def search(drop, *more):
        done = subprocess.run([PROGRAM, *start, *words, "--target-drop", str(drop), *more, "-o", "d.onnx", "--json", *QUIET],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return done, None
        return json.loads(done.stdout), json.loads(read("d.onnx.json"))

    result, side = search(100)
    expect({layer["bits"] for layer in side["layers"]} == {4} and len(side["tried"]) == 1, f"any loss: {side['tried']}")
    expect(result["evaluation"]["samples"] == 15, f"{result['evaluation']['samples']} samples judge")
    expect(result["quantized_bytes"] == os.path.getsize("d.onnx"), "size of the file")
    everything = os.path.getsize("d.onnx")
    losses = [float(re.search(r"bits a weight: (-?[0-9.]+) points", line)[1]) for line in side["tried"]]
    result, side = search(max(losses[0] - 0.5, 0)) if losses[0] > 0 else search(0)
    if side is not None and losses[0] > 0:
        expect(len(side["tried"]) >= 2 and os.path.getsize("d.onnx") > everything, f"less loss: {side['tried']}")
        expect(all(layer["bits"] in (4, 8) for layer in side["layers"]), "bits of a search")
    text = subprocess.run([PROGRAM, *start, *words, "--target-drop", "100", "-o", "d.onnx"], capture_output=True, text=True, check=True)
    expect(text.stdout.count("tried 4.00 bits a weight") == 2, f"what was tried is said: {text.stdout}")
    for times in range(2):
        done = subprocess.run([PROGRAM, *start, *words, "--target-drop", "100", "--resume", "drop", "-o", "r.onnx", *QUIET],
                              capture_output=True, text=True, check=False)
        expect(done.returncode == 0 and read("r.onnx") == read("d.onnx"), f"--target-drop, resumed {times} times: {done.stderr}")
    plain = ["net.onnx", "--images", "samples.npy", "-o", "none.onnx", "--target-drop", "1"]
    refused("--target-drop needs --format", *plain, status=2)
    start_over = [PROGRAM, *plain]
    for text, more in (("exclude each other", ["--avg-bits", "4"]), ("--eval is 0", ["--eval", "0"])):
        done = subprocess.run([*start_over, *more], capture_output=True, text=True, check=False)
        expect(done.returncode == 2 and text in done.stderr, f"--target-drop with {more}: {done.stderr}")


def check_chosen_samples():
    """--calib-seed draws, the same for the same seed; effort is chosen by work, and both are said."""
    words = ["net.onnx", "--images", "samples.npy", "--calib", "20", "--evaluate", "--json", *QUIET]

    def samples(*more):
        done = subprocess.run([PROGRAM, *words, *more], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    one, again, two, spread = samples("--calib-seed", "1"), samples("--calib-seed", "1"), samples("--calib-seed", "2"), samples()
    expect(one["evaluation"] == again["evaluation"] != two["evaluation"], "seeds")
    expect(one["samples"]["calibration"]["count"] == 20 and one["evaluation"] != spread["evaluation"], "drawn samples")
    refused("exclude each other", *TENSORS, "--calib-first", "--calib-seed", "3", status=2)
    efforts = {}
    for count in (2, 40):
        done = subprocess.run([PROGRAM, "net.onnx", "--images", "samples.npy", "--calib", str(count), "--eval", "4", "--held-out", "0",
                               "--evaluate", *QUIET], capture_output=True, text=True, check=True)
        said = re.search(rf"{count} samples calibrated, (.*); effort (\d)", done.stdout)
        efforts[count] = int(said[2]) if said else None
        expect(said and ("every layer" in said[1]), f"what is said of samples and effort: {done.stdout}")
    expect(None not in efforts.values() and efforts[2] <= efforts[40], f"efforts {efforts}")


def check_contributions():
    """What each layer does alone is measured: it sums up to about the error of all, and the worst layer is the worst."""
    side = sidecar("--eval", "10", "--weight-bits", "8", "--edge-bits", "0", "--bits-for", "Conv_6=2")
    layers = {layer["name"]: layer["contribution"] for layer in side["layers"]}
    expect(side["contribution_samples"] >= 1 and all(value >= 0 for value in layers.values()), f"contributions {layers}")
    expect(max(layers, key=layers.get) == "Conv_6", f"the layer of 2 bits does most: {layers}")
    together = side["evaluation"]["output_error"]
    expect(0.2 * together < sum(layers.values()) < 5 * together, f"sum {sum(layers.values())}, error {together}")
    for threads in ("1", "3"):
        other = sidecar("--eval", "10", "--weight-bits", "8", "--edge-bits", "0", "--bits-for", "Conv_6=2", "--threads", threads)
        expect([layer["contribution"] for layer in other["layers"]] == list(layers.values()), "contributions depend on threads")


def check_dead_channel():
    """A bias that does not fit into int32 at the step of nearly dead weights."""
    model = classifier(convolution_last=True)
    weights = next(t for t in model.graph.initializer if len(t.dims) == 4 and t.dims[1] == 12 and t.dims[2] == 3)
    values = onnx.numpy_helper.to_array(weights).copy()
    values[3] = 1e-13 * np.sign(values[3])
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(model, "dead.onnx")
    result = good("a dead channel", "dead.onnx", *TENSORS[1:], "--format", "qdq", "-o", "q.onnx")
    graph = Graph("q.onnx")
    biases = [graph.constants[graph.made_by[conv.input[2]].input[0]] for conv in graph.of("Conv")]
    expect(all(np.abs(b.astype(np.int64)).max() <= 2 ** 30 for b in biases), "a bias of more than 30 bits")
    expect(result["evaluation"]["output_error"] < 0.02, f"error {result['evaluation']['output_error']} with a dead channel")


def engine():
    """What runs ONNX Runtime, or None."""
    packages = os.path.join(ROOT, os.environ.get("BUILD", "build"), "engines", "node_modules")
    if not os.path.isdir(os.path.join(packages, "onnxruntime-node")) or shutil.which("node") is None:
        return None
    return ["node", os.path.join(ROOT, "test/engines/onnxruntime.js"), packages]


def check_engine():
    """Files in ONNX Runtime: they load in every version without a word, layers fuse, outputs are the same."""
    start = engine()
    if start is None:
        skip("ONNX Runtime is not here (make deps-engines)")
        return
    onnx.save(integer_network(), "integer.onnx")
    for network, fused in (("net.onnx", 5), ("integer.onnx", 6)):
        good(network, network, "--images", "samples.npy", "--calib", "40", "--format", "qdq", "-o", "q.onnx")
        for package in ("onnxruntime-node", "onnxruntime-node-1.23", "onnxruntime-node-1.20", "onnxruntime-node-1.16",
                        "onnxruntime-web"):
            done = subprocess.run([*start, "check", package, "q.onnx"], capture_output=True, text=True, check=False)
            expect(done.returncode == 0 and done.stderr == "", f"{network} in {package}: {done.stderr.strip()}")
        timed = subprocess.run([*start, "time", "1", network, "q.onnx"], capture_output=True, text=True, check=True)
        operators = json.loads(timed.stdout)[1]["operators"]
        expect(operators.get("QLinearConv", 0) >= fused, f"{network}: {operators}")
        samples = np.load("samples.npy")[40:]
        done = subprocess.run([*start, "run", "q.onnx"], input=samples.tobytes(), capture_output=True, check=True)
        got = np.frombuffer(done.stdout, np.float32).reshape(len(samples), -1)
        wanted = outputs("q.onnx", samples).reshape(len(samples), -1)
        expect(np.mean(got.argmax(-1) == wanted.argmax(-1)) > 0.9 and
               np.sum((got - wanted) ** 2) < 0.02 * np.sum(wanted ** 2), f"{network}: outputs in ONNX Runtime")


def check_engines():
    """The network run by ONNX Runtime while it is quantized: results as with OpenCV, the same for any number of threads."""
    words = [*TENSORS, "--format", "qdq", "--effort", "1"]
    with_opencv = good("--engine opencv", *words, "--engine", "opencv", "-o", "cv.onnx")
    expect(with_opencv.get("engine", "").startswith("OpenCV "), "the engine's name")
    refused("ONNX Runtime is not here: ", *words, "--engine", "auto", "--onnxruntime", "/nowhere", "-o", "none.onnx")
    refused("another engine", *words, "--engine", "opencv", "--onnxruntime", "x", "-o", "none.onnx", status=2)
    if engine() is None:
        skip("ONNX Runtime is not here (make deps-engines)")
        return
    for threads in ("1", "3"):
        found = good("--engine onnxruntime", *words, "--engine", "onnxruntime", "--threads", threads, "-o", f"ort{threads}.onnx")
    expect(found.get("engine", "").startswith("ONNX Runtime 1."), "the engine's name")
    expect(read("ort1.onnx") == read("ort3.onnx"), "threads change the network in ONNX Runtime")
    expect(abs(found["evaluation"]["output_error"] / with_opencv["evaluation"]["output_error"] - 1) < 0.1,
           f"errors: {found['evaluation']['output_error']}, in OpenCV {with_opencv['evaluation']['output_error']}")
    good("--resume", *words, "--engine", "auto", "--resume", "engines", "-o", "r.onnx")
    expect(read("r.onnx") == read("ort1.onnx"), "ONNX Runtime is taken where it is")
    refused("engine", *words, "--resume", "engines", "--engine", "opencv", "-o", "none.onnx")


def check_sample():
    """The first command of the walk-through, with what is in the repository: nothing else is needed, also in ONNX Runtime."""
    sample = os.path.join(ROOT, "examples/bsq-onnx/sample")
    with open(os.path.join(ROOT, "examples/bsq-onnx/README.md"), encoding="utf-8") as file:
        text = file.read()
    command = re.search(r"    build/examples/bsq-onnx (examples/bsq-onnx/sample/.*?)\n\n", text, re.DOTALL)[1]
    words = command.replace("\\\n", " ").replace("examples/bsq-onnx/sample", sample).replace("out.", "sample.").split()
    done = subprocess.run([PROGRAM, *words, "--json", *QUIET], capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"the first command: {done.stderr}")
    said = json.loads(done.stdout)["evaluation"]
    expect(said["top1"] >= said["float_top1"] - 0.02 and said["float_top1"] > 0.9 and said["agreement"] > 0.98, f"the sample: {said}")
    if engine() is None:
        skip("the sample in ONNX Runtime (make deps-engines)")
        return
    pictures = np.load(f"{sample}/pictures.npy").astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255)
    labels = np.load(f"{sample}/labels.npy")
    for package in ("onnxruntime-node-1.23", "onnxruntime-node-1.20", "onnxruntime-node-1.16", "onnxruntime-web"):
        done = subprocess.run([*engine(), "check", package, "sample.onnx"], capture_output=True, text=True, check=False)
        expect(done.returncode == 0 and done.stderr == "", f"the sample in {package}: {done.stderr.strip()}")
    done = subprocess.run([*engine(), "run", "sample.onnx"], input=np.ascontiguousarray(pictures).tobytes(), capture_output=True, check=True)
    best = np.frombuffer(done.stdout, np.float32).reshape(len(pictures), -1).argmax(1)
    expect(np.mean(best == labels) > 0.93, f"the sample in ONNX Runtime: top-1 {np.mean(best == labels)}")


def check_defaults():
    """Eight bits in integer form, and depthwise layers; nothing is calibrated on alone the first samples."""
    words = [PROGRAM, "net.onnx", "--images", "samples.npy", "--json", *QUIET]
    done = subprocess.run([*words, "-o", "out.onnx"], capture_output=True, text=True, check=True)
    with open("out.onnx.json", encoding="utf-8") as file:
        layers = json.load(file)["layers"]
    expect([layer["bits"] for layer in layers] == [8] * 6, "bits by default")
    expect(json.loads(done.stdout)["samples"]["calibration"] == {"count": 30, "first": "samples.npy [0]",
                                                                 "last": "samples.npy [58]"}, "samples by default")
    expect(json.loads(done.stdout)["quantized_bytes"] == os.path.getsize("out.onnx"), "size of the file")
    done = subprocess.run([*words, "--format", "qdq-layers", "-o", "out.onnx"], capture_output=True, text=True, check=True)
    with open("out.onnx.json", encoding="utf-8") as file:
        expect([layer["bits"] for layer in json.load(file)["layers"]] == [8, 8, 4, 4, 4, 8], "depthwise bits")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    expect(done.returncode == 2 and "--evaluate" in done.stderr, f"nothing to write: {done.returncode} {done.stderr}")


def check_words():
    """The network stands anywhere; what is typed counts before a preset."""
    plain = [*TENSORS, "--weight-bits", "3"]
    good("network first", *plain, "-o", "a.onnx")
    options = [["--images", "samples.npy"], ["--calib=40"], ["--weight-bits", "3"], ["-o", "b.onnx"]]
    for place in range(len(options) + 1):
        words = [*options[:place], ["net.onnx"], *options[place:]]
        good(f"network at {place}", *sum(words, []))
        expect(read("a.onnx") == read("b.onnx"), f"the network at place {place}")
        os.remove("b.onnx")
    refused("'net.onnx' beside 'other.onnx'", "other.onnx", "--quiet", "net.onnx", "--images", "samples.npy", status=2)
    with open("small", "w", encoding="ascii") as preset:
        preset.write("size 10\nmean 120\nstd 60\ncrop\nshorter 20\n")
    for words in (["--preset", "small", "--size", "12"], ["--size=12", "--preset=small"]):
        good("preset", "net.onnx", "--images", "pictures", "--calib", "40", "--weight-bits", "3", *words, "-o", "b.onnx")
        expect(read("a.onnx") == read("b.onnx"), f"{words}: what is typed must count")
    refused("--size is 10x10", "net.onnx", "--images", "pictures", "--preset", "small")
    refused("--preset needs a value", *TENSORS, "--preset=", status=2)


def check_split():
    """Which samples the figures are of; none serves two things unless that is said."""
    pictures = ["net.onnx", "--images", "pictures", *CUT]
    apart = good("split", *pictures, "--calib", "20", "--held-out", "5", "--eval", "10", "-o", "out.onnx")["samples"]
    ranges = [(apart[use]["count"], apart[use]["first"], apart[use]["last"]) for use in ("calibration", "held_out", "evaluation")]
    path = "pictures/p{:02d}.ppm".format
    expect(ranges == [(20, path(0), path(19)), (5, path(20), path(24)), (10, path(25), path(34))], f"split into {ranges}")
    with open("out.onnx.json", encoding="utf-8") as file:
        expect(json.load(file)["samples"] == apart, "the sidecar's split")
    shared = good("few", *pictures, "--calib", "50", "--report", "out.html")
    expect(shared["samples"]["evaluation"]["count"] == 10 and shared["samples"]["note"] != "" and
           any("too few samples" in text for text in shared["warnings"]), "held-out samples that are evaluated")
    expect(b"too few samples" in read("out.html"), "the report does not say that held-out samples are evaluated")
    good("one sample", *TENSORS[:-1], "59", "--held-out", "0")
    text = run(*TENSORS[:-1], "59", "--held-out", "0", *QUIET).stdout
    expect("on 1 other sample: " in text and "1 samples" not in text, f"one sample: {text}")


def check_pictures():
    """The report shows those on which the networks differ, with the names of the classes."""
    with open("named.txt", "w", encoding="ascii") as labels:
        labels.writelines(f"{i % 7} pictures/p{i:02d}.ppm kind {'ABCDEFG'[i % 7]}\n" for i in range(60))
    words = ["net.onnx", "--images", "pictures", *CUT, "--calib", "30", "--weight-bits", "2", "--edge-bits", "0"]
    e = good("names", *words, "--labels", "named.txt", "--report", "out.html")["evaluation"]
    page = read("out.html").decode()
    changed = round((1 - e["agreement"]) * e["samples"])
    expect(0 < changed < e["samples"], f"{changed} of {e['samples']} classes changed")
    expect(f"differ on {changed} of" in page and page.count(">another class<") == min(changed, 6), "pictures that changed")
    differ = ["another class" in card for card in page.split('id="pictures"')[1].split('<figure class="card">')[1:]]
    expect(len(differ) == 6 and differ == sorted(differ, reverse=True), f"those that changed come first: {differ}")
    expect("<dt>label</dt><dd>kind " in page and "<dt>float</dt><dd>kind " in page and "<dd>class " not in page, "names")
    good("numbers", *words, "--labels", "labels.txt", "--report", "out.html")
    expect("<dt>label</dt><dd>class " in read("out.html").decode(), "numbers of classes")
    os.makedirs("again", exist_ok=True)
    shutil.copy("pictures/p45.ppm", "again")
    refused("line 46 may be of pictures/p45.ppm or of again/p45.ppm", *words, "--images", "again", "--labels", "labels.txt")


def detector():
    """The head of NanoDet, for one stride and three classes, behind three layers."""
    n = networks.Network([1, 3, 32, 48])
    x = "input"
    for channels, inputs in ((8, 3), (12, 8), (16, 12)):
        x = n.add("Relu", n.conv(x, (channels, inputs, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2]))
    outputs = []
    for name, channels in (("cls_pred_stride_8", 3), ("dis_pred_stride_8", 32)):
        y = n.add("Conv", x, n.weights(channels, 16, 1, 1, scale=2), n.constant(np.linspace(-1, 1, channels)))
        y = n.add("Reshape", n.add("Sigmoid", y) if channels == 3 else y, n.ints([1, channels, 24]))
        n.add("Transpose", y, perm=[0, 2, 1])
        n.nodes[-1].output[0] = name
        outputs.append(name)
    return n.model(*outputs)


def check_boxes():
    """Boxes of float and quantized network, whatever is done to the pictures."""
    words = ["detector.onnx", "--images", "pictures", "--calib", "40", "--mean", "120", "--std", "60"]
    for fit in ([], ["--crop"], ["--letterbox"]):
        fine = good("boxes", *words, *fit, "--weight-bits", "8", "--report", "out.html")["detection"]
        page = read("out.html").decode()
        rough = good("boxes", *words, *fit, "--weight-bits", "2", "--edge-bits", "0")["detection"]
        expect(fine["pictures"] == 20 and fine["confident"] > 20, f"{fit}: {fine}")
        share = [result["found"] / result["confident"] for result in (fine, rough)]
        expect(share[0] > 0.9 and share[1] < share[0] and fine["box_iou"] > 0.9, f"{fit}: {fine}, with 2 bits {rough}")
        expect('<g class="object' in page and "Boxes found again" in page and page.count('<figure class="pair">') == 6,
               f"{fit}: boxes in the report")
    expect("detection" not in good("--task none", *words, "--task", "none"), "--task none")
    expect("detection" in good("--task nanodet", *words, "--task", "nanodet"), "--task nanodet")
    refused("", *words, "--task", "yolov5-seg", "-o", "none.onnx")
    np.save("large.npy", np.random.RandomState(1).normal(0, 1, (60, 3, 32, 48)).astype(np.float32))
    tensors = good("tensors", "detector.onnx", "--images", "large.npy", "--calib", "40", "--labels", "labels.npy")
    expect("detection" not in tensors and any("boxes are not compared" in text for text in tensors["warnings"]), "no pictures")
    expect(any("--labels is of no use" in text for text in tensors["warnings"]), "labels of a network without classes")


def check_browser():
    """A report of a run, as a browser shows it: all charts are there, and nothing else."""
    if shutil.which("chromium") is None:
        skip("a report in a browser: there is no Chromium")
        return

    def browse(page, *more):
        done = subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={FOLDER}/browser",
                               *more, "--dump-dom", f"file://{FOLDER}/{page}"], capture_output=True, text=True, check=False,
                              timeout=300)
        return done.stdout

    good("boxes", "detector.onnx", "--images", "pictures", "--calib", "40", "--mean", "120", "--std", "60", "--report", "out.html")
    good("classes", "net.onnx", "--images", "pictures", *CUT, "--labels", "labels.txt", "--report", "classes.html")
    for page, width in (("out.html", 420), ("classes.html", 420), ("classes.html", 360), ("out.html", 1200)):
        with open("frame.html", "w", encoding="ascii") as frame:
            frame.write(f'<iframe id="frame" width="{width}" height="900" src="{page}"></iframe><p id="said"></p><script>onload = '
                        '() => { const page = frame.contentDocument; for (const d of page.querySelectorAll("details")) d.open = true; '
                        'const cut = [...page.querySelectorAll("td.n")].filter((cell) => cell.scrollWidth > cell.clientWidth + 1); '
                        'const wide = [...page.querySelectorAll(".wide")].some((t) => t.scrollWidth > t.clientWidth + 1); '
                        'const told = [...page.querySelectorAll(".scrolls")].some((t) => t.offsetHeight > 0); '
                        'said.textContent = `needs ${page.documentElement.scrollWidth}, ${cut.length} numbers cut, '
                        'hover ${page.querySelectorAll("[title]").length}, scrolls ${wide} told ${told}, '
                        'direction ${getComputedStyle(page.querySelector(".errors .name")).direction}` }</script>')
        seen = re.search(r">needs (\d+), (\d+) numbers cut, hover (\d+), scrolls (\w+) told (\w+), direction (\w+)<",
                         browse("frame.html", "--allow-file-access-from-files"))
        expect(seen and int(seen[1]) <= width, f"{page} in a window of {width} pixels needs {seen and seen[1]}")
        expect(seen and seen[2] == seen[3] == "0", f"{page}, {width} pixels: {seen and seen[0]}")
        expect(seen and (seen[5] == "true" or seen[4] == "false"), f"{page}, {width} pixels: that a table scrolls is not said")
        expect(seen and seen[6] == "rtl", f"{page}: names lose their ends")
    written, shown = read("out.html").decode(), browse("out.html")
    for element in ("<svg", "<circle", "<rect", "<path", "<text", "<image", "<use", "<tr", "<td", "<figure", "<section", "<li"):
        expect(shown.count(element) == written.count(element) > 0, f"{element}: {written.count(element)} written, "
               f"{shown.count(element)} shown")
    for chart in ('class="errors"', 'class="contributions"', 'class="histogram"', 'class="picture', 'class="box"'):
        expect(chart in shown, f"the report has no {chart}")


def check_single():
    """A network of one layer: nothing is said in the plural."""
    n = networks.Network([1, 3, 12, 12])
    onnx.save(n.model(n.conv("input", (4, 3, 3, 3))), "single.onnx")
    done = run("single.onnx", *TENSORS[1:], "--report", "out.html", *QUIET)
    page = read("out.html").decode()
    expect(done.returncode == 0 and "1 of 1 layer quantized" in done.stdout, f"one layer: {done.stdout}{done.stderr}")
    expect("1 layers" not in done.stdout + page and "1 samples" not in done.stdout + page, "one of something in the plural")


def check_transposed():
    """Transposed convolutions, of several groups too, in every form; what is none is said to stay float."""
    n = networks.Network([1, 3, 12, 12])
    x = n.add("Relu", n.conv("input", (8, 3, 3, 3), pads=[1, 1, 1, 1]))
    x = n.add("Relu", n.add("ConvTranspose", x, n.weights(8, 4, 2, 2), n.weights(4), strides=[2, 2]))
    x = n.add("Relu", n.add("ConvTranspose", x, n.weights(4, 3, 3, 3), n.weights(6), group=2, pads=[1, 0, 1, 1], output_padding=[0, 1],
                            strides=[1, 2]))
    onnx.save(n.model(n.add("GlobalAveragePool", n.conv(x, (3, 6, 3, 3), pads=[1, 1, 1, 1]))), "transposed.onnx")
    samples = np.load("samples.npy")[40:]
    wanted = outputs("transposed.onnx", samples)
    for form in (["qdq"], ["qdq-layers"], ["float", "--act-bits", "0"], ["int4"], ["int4", "--group-size", "8", "--range", "zero-point"]):
        result = good("ConvTranspose", "transposed.onnx", *TENSORS[1:], "--weight-bits", "4", "--format", *form, "-o", "out.onnx")
        expect(result["quantized_layers"] == 4 and "stays float" not in str(result["warnings"]), f"warnings {result['warnings']}")
        names = [node.name for node in onnx.load("out.onnx").graph.node]
        expect(len(set(names)) == len(names), f"{form}: nodes have the same name, which ONNX Runtime refuses")
        got = outputs("out.onnx", samples)
        error = np.sum((got - wanted) ** 2) / np.sum(wanted ** 2)
        told = result["evaluation"]["output_error"]
        expect(abs(error - told) < 0.02 * told + 1e-7 and 0 < told < 0.01, f"{form}: error {error} of the file, {told} of the run")
    n = networks.Network([1, 3, 12, 12])
    x = n.add("Relu", n.conv("input", (8, 3, 3, 3), pads=[1, 1, 1, 1]))
    onnx.save(n.model(n.add("ConvTranspose", x, n.weights(8, 4, 2, 2), n.weights(4), strides=[2, 2], output_shape=[24, 24])), "shaped.onnx")
    result = good("ConvTranspose", "shaped.onnx", *TENSORS[1:], "-o", "out.onnx", "--report", "out.html")
    said = "ConvTranspose 'ConvTranspose_2' stays float: its padding depends on output_shape"
    expect(said in result["warnings"] and result["quantized_layers"] == 1, f"warnings {result['warnings']}")
    expect(said.encode().replace(b"'", b"&#39;") in read("out.html"), "the report does not say that a layer stays float")


def check_sharing():
    """With --act-share tensors that meet in an Add or Concat have one quantizer, and no other."""
    n = networks.Network([1, 3, 12, 12])
    x = n.add("Relu", n.conv("input", (4, 3, 3, 3), pads=[1, 1, 1, 1]))
    y = n.add("Relu", n.conv(x, (4, 4, 3, 3), pads=[1, 1, 1, 1]))
    joined = n.add("Concat", x, y, axis=1)
    z = n.add("LeakyRelu", n.conv(joined, (6, 8, 1, 1)), alpha=0.3)
    u = n.add("Relu", n.conv(z, (6, 6, 3, 3), pads=[1, 1, 1, 1]))
    v = n.add("Relu", n.conv(u, (6, 6, 3, 3), pads=[1, 1, 1, 1]))
    onnx.save(n.model(n.conv(n.add("Add", n.add("Add", z, u), v), (3, 6, 1, 1))), "joined.onnx")
    words = ["joined.onnx", *TENSORS[1:], "--act-bits", "6", "-o", "out.onnx"]

    def quantizers(*more):
        result = good("joined", *words, *more)
        with open("out.onnx.json", encoding="utf-8") as file:
            inputs = {i["tensor"]: i for i in json.load(file)["inputs"]}
        return result, inputs, {name: (i["bits"], i["type"], i["zero_point"], *i["scales"]) for name, i in inputs.items()}

    _, _, own = quantizers()
    expect(len(set(own.values())) == len(own), "a quantizer for each tensor")
    result, inputs, shared = quantizers("--act-share")
    expect(shared[x] == shared[joined] and shared[z] == shared[u] and len(set(shared.values())) == len(shared) - 2,
           f"shared quantizers {shared}")
    expect(inputs[z]["type"] == "zero point" and inputs[x]["type"] == "unsigned", "types of shared quantizers")
    expect(inputs[x]["note"] == f"shared with {joined}" and inputs["input"]["note"] == "", "what shares a quantizer")
    expect(0 < result["evaluation"]["output_error"] < 0.05, f"error {result['evaluation']['output_error']} with shared ones")
    model = onnx.load("out.onnx")
    onnx.checker.check_model(model)
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    expect(constants[f"{x}/scale"] == constants[f"{joined}/scale"] != constants[f"{z}/scale"], "scales in the file")
    _, _, folded = quantizers("--act-share", "--act-scale", "per-channel")
    expect(folded[x] == shared[x] and folded[joined] == shared[x], "folding where a quantizer is shared")


def check_folding():
    """A file with folded channels computes what the run did."""
    samples = np.load("samples.npy")[40:]
    for kind in ("unsigned", "zero-point"):
        result = good("folded", *TENSORS, "--act-scale", "per-channel", "--act-bits", "4", "--act-type", kind, "-o", "out.onnx")
        onnx.checker.check_model(onnx.load("out.onnx"))
        agreement = np.mean(outputs("out.onnx", samples).argmax(-1) == outputs("net.onnx", samples).argmax(-1))
        expect(abs(agreement - result["evaluation"]["agreement"]) < 0.051, f"{kind}: agreement {agreement} of the folded file, "
               f"{result['evaluation']['agreement']} of the run")


# ---- what cannot be used -------------------------------------------------------------------------------------------

def check_usage():
    for text, words in (
            ("network is missing", []), ("--images or --input is missing", ["net.onnx"]),
            ("unknown option '--bits'", [*TENSORS, "--bits", "4"]), ("no option takes 'more' beside 'net.onnx'", [*TENSORS, "more"]),
            ("--images needs a value", ["net.onnx", "--images="]), ("--calib is", [*TENSORS, "--calib", "0"]),
            ("network is missing", ["--images", "samples.npy"]),
            ("unknown option '-x'", [*TENSORS, "-x"]), ("--quiet takes no value", [*TENSORS, "--quiet=1"]),
            ("--weight-bits is a whole number", [*TENSORS, "--weight-bits", "9"]),
            ("--act-bits is", [*TENSORS, "--act-bits", "1"]), ("--size is", [*TENSORS, "--size", "12y"]),
            ("exclude each other", [*TENSORS, "--crop", "--letterbox"]), ("--mean is", [*TENSORS, "--mean", "1,,2"]),
            ("--std is", [*TENSORS, "--std", "0"]), ("--bits-for is", [*TENSORS, "--bits-for", "conv"]),
            ("--one-file is", [*TENSORS, "--one-file", "-1"]),
            ("--format is one of", [*TENSORS, "--format", "tf"]), ("--labels needs a value", [*TENSORS, "--labels="]),
            ("need --act-bits", [*TENSORS, "--act-bits", "0", "--act-scale", "per-channel"]),
            ("need --act-bits", [*TENSORS, "--act-bits", "0", "--act-share"]),
            ("nothing to do", [*TENSORS, "--eval", "0"])):
        refused(text, *words, status=2)


def check_refusals():
    out = ["-o", "none.onnx", "--report", "none.html"]
    network = classifier()
    with open("text.onnx", "w", encoding="ascii") as file:
        file.write("no network")
    shape = network.graph.input[0].type.tensor_type.shape
    shape.dim[2].dim_param = "height"
    onnx.save(network, "dynamic.onnx")
    network = classifier()
    network.graph.node[1].op_type = "Unheard"
    onnx.save(network, "operator.onnx")
    n = networks.Network([1, 3, 12, 12])
    onnx.save(n.model(n.add("Relu", "input")), "layerless.onnx")
    n = networks.Network([1, 3, 12, 12])
    weights = n.add("Reshape", n.add("GlobalAveragePool", "input"), n.ints([1, 3, 1, 1]))
    onnx.save(n.model(n.add("Conv", "input", weights)), "computed.onnx")
    for name, size in (("nothing.onnx", 0), ("half.onnx", os.path.getsize("net.onnx") // 2)):
        with open(name, "wb") as file:
            file.write(read("net.onnx")[:size])
    os.makedirs("empty", exist_ok=True)
    os.makedirs("bad", exist_ok=True)
    with open("bad/a.jpg", "w", encoding="ascii") as file:
        file.write("no picture")
    np.save("nan.npy", np.where(np.arange(432).reshape(1, 3, 12, 12) == 5, np.nan, 1).astype(np.float32))
    np.save("wide.npy", np.zeros((4, 3, 12, 13), np.float32))
    np.save("double.npy", np.zeros((4, 3, 12, 12)))
    np.save("few.npy", np.zeros(3, np.int64))
    np.save("zero.npy", np.zeros((0, 3, 12, 12), np.float32))
    shutil.copy("samples.npy", "cut.npy")
    os.truncate("cut.npy", 1000)
    with open("short.txt", "w", encoding="ascii") as file:
        file.write("1 p00.ppm\n")
    with open("wrong.txt", "w", encoding="ascii") as file:
        file.write("cat p00.ppm\n")
    with open("preset2", "w", encoding="ascii") as file:
        file.write("weight-bits 3\n")
    images, pictures = ["--images", "samples.npy"], ["net.onnx", "--images", "pictures", *CUT]
    for text, words in (
            ("missing.onnx: ", ["missing.onnx", *images]), ("text.onnx: ", ["text.onnx", *images]),
            ("operator.onnx: ", ["operator.onnx", *images]), ("dynamic.onnx: ", ["dynamic.onnx", *images]),
            ("layerless.onnx: has no layer with constant weights", ["layerless.onnx", *images]),
            ("computed.onnx: has no layer with constant weights", ["computed.onnx", *images]),
            ("nothing.onnx: ", ["nothing.onnx", *images]), ("half.onnx: ", ["half.onnx", *images]),
            ("empty: ", ["empty", *images]), ("no samples", ["net.onnx", "--images", "zero.npy"]),
            ("cut.npy: ", ["net.onnx", "--images", "cut.npy"]), ("missing: No such file", [*TENSORS, "--test", "missing"]),
            ("missing: No such file", ["net.onnx", "--images", "missing"]),
            ("empty: no pictures", ["net.onnx", "--images", "empty"]),
            ("a.jpg: cannot be read as a picture", ["net.onnx", "--images", "bad"]),
            ("a.jpg: cannot be read as a picture", [*pictures, "--test", "bad"]),
            ("value 5 is not finite", ["net.onnx", "--images", "nan.npy"]),
            ("a sample has 468 values", ["net.onnx", "--images", "wide.npy"]),
            ("not float64", ["net.onnx", "--images", "double.npy"]),
            ("--size is 10x10", [*TENSORS, "--size", "10"]), ("--mean and --std need", [*pictures, "--mean", "1,2"]),
            ("--calib is 61", [*pictures, "--calib", "61"]), ("3 labels for 60", [*TENSORS, "--labels", "few.npy"]),
            ("no line for pictures/p30.ppm", [*pictures, "--labels", "short.txt"]),
            ("line 1 is not", [*pictures, "--labels", "wrong.txt"]), ("missing.txt", [*pictures, "--labels", "missing.txt"]),
            ("no layer 'nothing'", [*TENSORS, "--skip", "nothing"]), ("preset2: line 1", [*TENSORS, "--preset", "preset2"]),
            ("missing", [*TENSORS, "--preset", "missing"]),
            ("--avg-bits", [*TENSORS, "--avg-bits", "2", "--bits-for", "Conv_6=8", "--bits-for", "Conv_8=8"]),
            ("", [*TENSORS, "--task", "nanodet"])):
        refused(text, *words, *out)
    refused("none/out.onnx", *TENSORS, "-o", "none/out.onnx")
    refused("none/out.html", *TENSORS, "--report", "none/out.html")
    refused("net.onnx/out.onnx", *TENSORS, "-o", "net.onnx/out.onnx")
    refused("net.onnx: cannot be made a folder", *TENSORS, "--resume", "net.onnx", "-o", "none.onnx")
    refused("/dev/full", *TENSORS, "-o", "/dev/full")
    os.makedirs("folder", exist_ok=True)
    refused("folder", *TENSORS, "-o", "folder")
    # A disk that is full: files may not grow beyond 4 KB.
    done = subprocess.run(["sh", "-c", 'ulimit -f 4; trap "" XFSZ; exec "$@"', "sh", PROGRAM, *BASE, *TENSORS, *QUIET, "--eval", "0",
                           *out], capture_output=True, text=True, check=False)
    expect(done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "none" in done.stderr,
           f"a full disk: status {done.returncode}, {done.stderr.strip()}")
    expect(not [name for name in os.listdir(".") if name.startswith("none")], "a full disk leaves files")
    # Where finished work goes, too.
    done = subprocess.run(["sh", "-c", 'ulimit -f 4; trap "" XFSZ; exec "$@"', "sh", PROGRAM, *BASE, *TENSORS, *QUIET, *out,
                           "--resume", "kept"], capture_output=True, text=True, check=False)
    expect(done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "kept/" in done.stderr,
           f"a full disk for --resume: status {done.returncode}, {done.stderr.strip()}")
    expect(not [name for name in os.listdir(".") + os.listdir("kept") if name.startswith("none") or name.endswith(".new")],
           "a full disk for --resume leaves files")
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([PROGRAM, *BASE, *TENSORS, *QUIET], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    expect(done.returncode == 1 and done.stderr.startswith("bsq-onnx: stdout: "), f"nowhere to print to: {done.stderr.strip()}")
    if os.getuid() != 0:
        os.chmod("folder", 0o500)
        refused("folder/out.onnx", *TENSORS, "-o", "folder/out.onnx")


def check_memory():
    """Activations beyond --memory go to a file in TMPDIR; results are the same."""
    n = networks.Network([1, 3, 12, 12])
    x = n.add("Relu", n.conv("input", (64, 3, 3, 3), pads=[1, 1, 1, 1]))
    onnx.save(n.model(n.conv(n.add("Relu", n.conv(x, (8, 64, 1, 1))), (4, 8, 3, 3))), "wide.onnx")
    words = ["wide.onnx", *TENSORS[1:], "--eval", "0"]
    good("in memory", *words, "-o", "a.onnx")
    good("in a file", *words, "--memory", "1", "-o", "b.onnx")
    expect(read("a.onnx") == read("b.onnx"), "--memory changes the result")
    refused("none: no file for activations", *words, "--memory", "1", "-o", "none.onnx", env={**os.environ, "TMPDIR": "none"})
    done = subprocess.run(["sh", "-c", 'ulimit -f 4; trap "" XFSZ; exec "$@"', "sh", PROGRAM, *BASE, *words, *QUIET, "--memory", "1",
                           "-o", "none.onnx"], capture_output=True, text=True, check=False)
    expect(done.returncode == 1 and "MB of activations" in done.stderr, f"no space for activations: {done.stderr.strip()}")


def check_limits():
    """A small file with large extents is refused at once; --memory and --skip let it pass."""
    def save(name, pad, *layers):
        n = networks.Network([1, 3, 12, 12])
        x = n.conv("input", (8, 3, 3, 3), pads=[pad] * 4)
        for add in layers:
            x = add(n, x)
        onnx.save(n.model(x), name)
        return [name, "--images", "samples.npy", "--calib", "1", "--held-out", "0", "--eval", "0", "-o", "none.onnx"]

    words = save("large.onnx", 6000)
    refused("large.onnx: node Conv_0: tensor conv_0 of 1x8x12010x12010 takes 4402 MB for one sample, all tensors 4402 MB; "
            "--memory 2", *words)
    refused("; --memory 4000 (MB) is the limit", *words, "--memory", "4000")
    words = save("slow.onnx", 1000, lambda n, x: n.conv(x, (8, 8, 31, 31)))
    refused("slow.onnx: node Conv_1: tensor conv_1 of 1x8x1980x1980 takes 241", *words)
    refused(" million multiplications for one sample", *words)
    words = save("wide.onnx", 30, lambda n, x: n.add("Gemm", n.add("Flatten", x), n.weights(1, 39200), transB=1))
    refused("wide.onnx: node Gemm_2: tensor flatten_1 of 1x39200 has statistics of", *words)
    good("a skipped layer has no statistics", *words[:-2], "--report", "out.html", "--skip", "Gemm_2")
    words = save("long.onnx", 900, lambda n, x: n.conv(x, (1, 8, 9, 9)))
    refused("node Conv_1: tensor conv_0 of 1x8x1810x1810 takes", *words)
    refused(" million multiplications for the statistics of one sample", *words)
    words = save("allowed.onnx", 1460)
    refused("allowed.onnx: node Conv_0: tensor conv_0", *words)
    good("more memory", *words[:-2], "--report", "out.html", "--memory", "300")


def check_bar():
    """On a terminal a bar with the layer's name, its error and the time that is left, wiped out in the end."""
    above, below = pty.openpty()
    process = subprocess.Popen([PROGRAM, *BASE, *TENSORS, "--effort", "9"], stdout=subprocess.PIPE, stderr=below, text=True)
    os.close(below)
    drawn = b""
    while True:
        try:
            part = os.read(above, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        drawn += part
    said, _ = process.communicate()
    os.close(above)
    bars = drawn.decode().split("\r")
    expect(process.returncode == 0 and "layer 2/6" not in said and "6 of 6 layers" in said, f"on a terminal: {said}")
    expect(any(re.match(r"\[[#.]{30}\] +\d+ %  error \S+, \d+ s left  Conv_\d+", bar) for bar in bars), f"bars {bars[-5:]}")
    shares = [int(share[1]) for share in (re.match(r"\[[#.]{30}\] +(\d+) %", bar) for bar in bars) if share]
    expect(shares == sorted(shares) and shares[-1] > 60, f"one bar for all of the run, which never goes back: {shares}")
    expect(bars[-1] == "\x1b[K" and any("evaluation" in bar for bar in bars), "the bar stays")


# ---- interruption --------------------------------------------------------------------------------------------------

def interrupt(after, *words):
    """Starts a run, sends it Ctrl-C when a file 'after' is there; returns its status and what it said."""
    process = subprocess.Popen([PROGRAM, *BASE, *words, *QUIET], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.time() + 60
    while process.poll() is None and not os.path.exists(after) and time.time() < until:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    return process.returncode, said


def check_resume():
    words = [*TENSORS, "--effort", "9", "--weight-bits", "3", "-o", "resumed.onnx"]
    good("without interruption", *TENSORS, "--effort", "9", "--weight-bits", "3", "-o", "whole.onnx")
    for after in ("work/manifest", "work/stats-0001", "work/layer-0002", "work/stats-0004"):
        status, said = interrupt(after, *words, "--resume", "work")
        expect(status == 130 and "the same command goes on" in said, f"interrupted at {after}: status {status}, {said.strip()}")
        expect(not os.path.exists("resumed.onnx") and not os.path.exists("resumed.onnx.json"), "an output of an interrupted run")
    mixed = [*TENSORS, "--avg-bits", "3.5", "--effort", "9", "--act-bits", "4", "--act-scale", "per-channel"]
    good("chosen bits", *mixed, "-o", "whole-mixed.onnx")
    interrupt("mixed/layer-0001", *mixed, "--resume", "mixed", "-o", "none.onnx")
    expect(os.path.exists("mixed/bits"), "chosen bits are not kept")
    good("chosen bits resumed", *mixed, "--resume", "mixed", "-o", "resumed-mixed.onnx")
    expect(read("resumed-mixed.onnx") == read("whole-mixed.onnx"), "resumed with chosen bits: other bytes")
    inputs = []
    for name in ("whole-mixed", "resumed-mixed"):
        with open(f"{name}.onnx.json", encoding="utf-8") as file:
            inputs.append(json.load(file)["inputs"])
    expect(inputs[0] == inputs[1], "resumed with chosen scales: other quantizers in the sidecar")
    refused("setting: weight bits 3, now weight bits 4", *TENSORS, "--effort", "9", "--resume", "work", "-o", "none.onnx")
    refused("another number of samples", *words[:-2], "--calib", "39", "--resume", "work", "-o", "none.onnx")
    changed = np.load("samples.npy")
    changed[3, 0, 0, 0] += 1
    np.save("changed.npy", changed)
    refused("another set of samples", "net.onnx", "--images", "changed.npy", *words[3:-2], "--resume", "work", "-o", "none.onnx")
    network = classifier()
    network.doc_string = "another one"
    onnx.save(network, "other.onnx")
    refused("another network", "other.onnx", *words[1:-2], "--resume", "work", "-o", "none.onnx")
    refused("neither empty nor", *TENSORS, "--resume", "pictures", "-o", "none.onnx")
    good("resumed", *words, "--resume", "work")
    expect(read("resumed.onnx") == read("whole.onnx"), "a resumed run gives other bytes")
    with open("work/layer-0003", "r+b") as file:
        file.seek(40)
        file.write(b"!")
    refused("layer-0003: is damaged", *words[:-2], "--resume", "work", "-o", "none.onnx")
    status, said = interrupt("/", *words[:-2], "-o", "none.onnx")
    expect(status in (130, -signal.SIGINT), f"interrupted: status {status}, {said.strip()}")


def check_all_options():
    known = set(re.findall(r"^  (--[a-z-]+)", run("--help").stdout, re.MULTILINE))
    expect(len(known) > 30 and known <= used | {"--output"}, f"options without a test: {sorted(known - used)}")


def check_sequences():
    sequences.check(sys.modules[__name__])


# ---- a real network ------------------------------------------------------------------------------------------------

def check_real():
    if os.environ.get("BSQ_CHECK_SLOW"):
        skip("a real network: this build is too slow")
        return
    data = os.path.join(SHARED, "cifar10")
    if not os.path.exists(data):
        skip("a real network: there is no " + SHARED)
        return
    result = good("resnet20", os.path.join(SHARED, "models/resnet20_cifar10.onnx"), "--images", f"{data}/calib_images.npy",
                  "--test", f"{data}/test_images.npy", "--labels", f"{data}/test_labels.npy", "--mean", "123.675,116.28,103.53",
                  "--std", "58.395,57.12,57.375", "--calib", "256", "--eval", "1000", "--weight-bits", "4", "--act-bits", "8")
    if result:
        e = result["evaluation"]
        expect(e["float_top1"] - e["top1"] <= 0.013, f"resnet20 W4A8 loses {100 * (e['float_top1'] - e['top1']):.1f} points")
        expect(e["agreement"] >= 0.97, f"resnet20 W4A8 agrees in {100 * e['agreement']:.1f} %")
        # 0.0025; rounding has 0.020.
        expect(e["output_error"] <= 0.005, f"resnet20 W4A8 has an error of {e['output_error']:.4f}")


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell runs in the background ignores it, and so would PROGRAM
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    os.chdir(FOLDER)
    make_files()
    for step in (check_results, check_samples, check_options, check_words, check_split, check_pictures, check_boxes, check_browser,
                 check_single, check_transposed, check_sharing, check_folding, check_usage, check_refusals, check_memory, check_limits,
                 check_bar, check_resume, check_integer_form, check_sixteen_bits, check_equalization, check_matmul_nbits, check_target_drop,
                 check_chosen_samples, check_contributions, check_dead_channel, check_sample, check_defaults, check_engine, check_engines, check_sequences, check_all_options,
                 check_real):
        if len(sys.argv) < 5 or step.__name__ in sys.argv[4:]:
            begin = time.monotonic()
            step()
            with open(os.path.join(FOLDER, "times"), "a") as times:
                print(f"{time.monotonic() - begin:.0f} {step.__name__}", file=times)
    return closing_line("bsq-onnx")


sys.exit(main())
