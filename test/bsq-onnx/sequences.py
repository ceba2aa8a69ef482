"""What only ONNX Runtime can run, with the program: a transformer with three inputs of three types and sequences of any length."""
import json
import os
import signal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import networks

WIDTH, TOKENS = 16, 20


def network():
    """Weights lie behind Transpose, Reshape, Identity and Cast."""
    random, nodes, constants = np.random.RandomState(5), [], []

    def constant(values, kind=np.float32):
        name = f"constant{len(constants)}"
        constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def node(kind, *inputs, name="", **attributes):
        name = name or f"{kind}{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def weights(*shape):
        return random.randn(*shape) / np.sqrt(shape[0])
    x = node("Gather", constant(random.randn(TOKENS, WIDTH)), "ids")
    tone = node("Unsqueeze", node("Cast", "tone", to=TensorProto.FLOAT), constant([1], np.int64))
    x = node("Add", x, tone)
    y = node("LayerNormalization", x, constant(np.ones(WIDTH)), constant(np.zeros(WIDTH)))
    query = node("MatMul", y, node("Transpose", constant(weights(WIDTH, WIDTH).T), perm=[1, 0]), name="query")
    flat = node("Identity", constant(weights(WIDTH, WIDTH).ravel()))
    key = node("MatMul", y, node("Reshape", flat, constant([1, WIDTH, WIDTH], np.int64)), name="key")
    value = node("MatMul", y, node("Cast", constant(weights(WIDTH, WIDTH), np.float16), to=TensorProto.FLOAT), name="value")
    value = node("Add", constant(0.1 * random.randn(WIDTH)), value)
    real = node("Cast", "mask", to=TensorProto.FLOAT)
    hidden = node("Mul", node("Sub", constant(1), node("Unsqueeze", real, constant([1], np.int64))), constant(-1e4))
    scores = node("Add", node("Div", node("MatMul", query, node("Transpose", key, perm=[0, 2, 1])), constant(4)), hidden)
    x = node("Add", x, node("MatMul", node("Softmax", scores, axis=-1), value))
    y = node("Relu", node("Add", node("MatMul", x, constant(weights(WIDTH, 32)), name="up"), constant(0.1 * random.randn(32))))
    x = node("Add", x, node("MatMul", y, constant(weights(32, WIDTH)), name="down"), name="embedding")
    node("MatMul", x, constant(weights(WIDTH, TOKENS)), name="logits")
    rows = node("Unsqueeze", real, constant([2], np.int64))
    pooled = node("Div", node("ReduceSum", node("Mul", x, rows), constant([1], np.int64), keepdims=0),
                  node("ReduceSum", rows, constant([1], np.int64), keepdims=0))
    node("Gemm", pooled, constant(weights(WIDTH, 3)), constant(random.randn(3)), name="kind")
    inputs = [helper.make_tensor_value_info(*what) for what in (
        ("ids", TensorProto.INT64, ["batch", "length"]), ("mask", TensorProto.BOOL, ["batch", "length"]),
        ("tone", TensorProto.FLOAT16, ["batch", WIDTH]))]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("embedding", "logits", "kind")]
    graph = helper.make_graph(nodes, "transformer", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def make_files():
    """The same sequences as they are and padded, and arrays of sequences of one length."""
    random = np.random.RandomState(6)
    onnx.save(network(), "transformer.onnx")
    for folder in ("short", "padded", "even", "wrong"):
        os.mkdir(folder)
    every = {"ids": [], "mask": [], "tone": []}
    for i in range(40):
        length = random.randint(3, 12)
        ids, tone = random.randint(0, TOKENS, (1, length)), random.randn(1, WIDTH).astype(np.float16)
        np.savez(f"short/{i:02d}.npz", ids=ids, mask=np.ones((1, length), bool), tone=tone)
        more = np.concatenate([ids, np.full((1, 5), 19)], 1)
        np.savez_compressed(f"padded/{i:02d}.npz", ids=more, mask=np.arange(length + 5)[None] < length, tone=tone)
        same = {"ids": random.randint(0, TOKENS, (1, 9)), "mask": np.arange(9)[None] < length, "tone": tone}
        np.savez(f"even/{i:02d}.npz", **same)
        for name, values in same.items():
            every[name].append(values[0])
    for name, values in every.items():
        np.save(f"{name}.npy", np.stack(values))
    np.save("int32.npy", np.stack(every["ids"]).astype(np.int32))
    np.save("kinds.npy", np.arange(40) % 3)


WORDS = ["transformer.onnx", "--calib", "24", "--effort", "3", "--engine", "onnxruntime", "--format", "qdq"]
METRICS = ["--metric", "tokens=logits", "--token-ids", "ids", "--metric", "cosine=embedding", "--metric", "error=kind", "--metric", "top1=kind",
           "--labels", "kinds.npy"]


def arrays(ids="ids.npy"):
    return ["--input", f"ids={ids}", "--input", "mask=mask.npy", "--input", "tone=tone.npy"]


def numbers(test, what, *words):
    """Layers' errors, and the evaluation, of a run."""
    result = test.good(what, *WORDS, *words, "-o", "sequence.onnx")
    with open("sequence.onnx.json", encoding="utf-8") as file:
        return np.array([layer["error"] for layer in json.load(file)["layers"]]), result


def check_results(test):
    result = test.good("sequences", *WORDS, "--images", "short", *METRICS, "--report", "sequence.html", "-o", "sequence.onnx")
    test.expect(result.get("quantized_layers") == 8, f"{result.get('quantized_layers')} of 8 layers of the transformer, its table one of them")
    found = {metric["metric"]: metric for metric in result.get("metrics", [])}
    test.expect(set(found) == {"tokens", "cosine", "error", "top1"}, f"metrics {set(found)}")
    lengths = [np.load(f"short/{name}")["ids"].shape[1] for name in sorted(os.listdir("short"))]
    judged = lengths[24:]
    if found:
        test.expect(found["cosine"]["count"] == sum(judged), "every position has a vector")
        test.expect(found["tokens"]["count"] == sum(judged) - len(judged), "all positions but the last have a next token")
        test.expect(found["top1"]["count"] == 16 and found["error"]["count"] == 16, "16 samples are judged")
        test.expect(found["cosine"]["mean_cosine"] > 0.999 and found["error"]["error"] < 0.01, f"W8A8 loses little: {found}")
        test.expect(found["tokens"]["agreement"] > 0.9 and abs(found["tokens"]["perplexity"] / found["tokens"]["float_perplexity"] - 1) < 0.05,
                    f"W8A8 agrees: {found['tokens']}")
        test.expect(b"cosine similarity" in test.read("sequence.html"), "the report has the metrics")
    written = onnx.load("sequence.onnx")
    dims = [dim.dim_param for dim in written.graph.input[0].type.tensor_type.shape.dim]
    test.expect(dims == ["batch", "length"], f"the file's axes are {dims}")
    shared = [i for i in written.graph.initializer if i.name.endswith("weight_quantized")]
    test.expect(len(shared) == 8 and all(i.data_type == TensorProto.INT8 for i in shared), f"{len(shared)} of 8 matrices of int8")
    for words in (["--format", "matmulnbits", "--group-size", "16"], ["--format", "int4"], ["--format", "float", "--weight-bits", "3"],
                  ["--format", "qdq-layers", "--act-scale", "per-channel"]):
        good = test.good(" ".join(words), *WORDS, "--images", "short", *words, "--metric", "error=logits", "-o", "sequence.onnx")
        test.expect(good and good["metrics"][0]["error"] < 0.1, f"{words}: {good.get('metrics')}")
    some = test.good("average", *WORDS, "--images", "short", "--avg-bits", "5", "--format", "float", "--row-mask", "mask", "--evaluate")
    test.expect(some and 4.5 < some["average_bits"] <= 5, f"{some.get('average_bits')} bits on average")


def check_padding(test):
    """Padding that --row-mask takes out changes no statistics; padding that counts does."""
    short, alone = numbers(test, "short", "--images", "short", "--metric", "error=logits")
    masked, without = numbers(test, "masked", "--images", "padded", "--row-mask", "mask", "--metric", "error=logits")
    counted, _ = numbers(test, "counted", "--images", "padded", "--metric", "error=logits")
    test.expect(np.allclose(masked, short, rtol=1e-3), f"errors with padding {masked}, without {short}")
    test.expect(not np.allclose(counted, short, rtol=1e-2), "padding that counts changes nothing")
    a, b = (result["metrics"][0]["error"] for result in (alone, without))
    test.expect(abs(a / b - 1) < 1e-3, f"the judged error is {b} with padding, {a} without")


def check_sources(test):
    """Arrays of single inputs are the same samples as .npz files; threads and interruption change nothing."""
    words = [*WORDS, "--row-mask", "mask"]
    test.good("archives", *words, "--images", "even", "-o", "archives.onnx", "--threads", "1")
    for threads in (2, 3):
        test.good(f"{threads} threads", *words, *arrays(), "-o", "arrays.onnx", "--threads", str(threads))
        test.expect(test.read("arrays.onnx") == test.read("archives.onnx"), f"arrays on {threads} threads give another file")
    test.good("int32", *words, *arrays("int32.npy"), "--test", "even", "--eval", "4", "--evaluate")
    split = test.good("a test set", *words, "--images", "even", "--test-input", "ids=ids.npy", "--test-input", "mask=mask.npy",
                      "--test-input", "tone=tone.npy", "--evaluate")
    test.expect(split and split["evaluation"]["samples"] == 40, "the test set judges")
    status, _ = test.interrupt("sequences/layer-0002", *words, "--images", "even", "--resume", "sequences", "-o", "resumed.onnx")
    test.expect(status in (130, -signal.SIGINT), f"interrupted: status {status}")
    test.good("resumed", *words, "--images", "even", "--resume", "sequences", "-o", "resumed.onnx")
    test.expect(test.read("resumed.onnx") == test.read("archives.onnx"), "a resumed run gives another file")


def check_batches(test):
    """Several samples at a time, where the batch is open and where it is fixed: each is judged as when it is alone."""
    fixed = network()
    for value in fixed.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 3
    onnx.save(fixed, "three.onnx")
    common = [*WORDS[1:], "--row-mask", "mask", *arrays(), "--held-out", "0", *METRICS, "--evaluate"]
    alone = test.good("alone", "transformer.onnx", *common)
    open_batch = test.good("--batch 5", "transformer.onnx", *common, "--batch", "5")
    three = test.good("a batch of 3", "three.onnx", *common)
    for result, judged in ((alone, 16), (open_batch, 16), (three, 15)):
        test.expect(result["evaluation"]["samples"] == judged and result["samples"]["calibration"]["count"] == 24,
                    f"{result['samples']} of 24 and {judged} samples")
    for a, b in zip(alone["metrics"], open_batch["metrics"]):
        test.expect(a["count"] == b["count"] and all(np.isclose(a[k], b[k], rtol=0.02) for k in a if isinstance(a[k], float)),
                    f"five at a time: {b}, alone: {a}")
    test.expect(any("1 sample is left out" in text for text in three["warnings"]), f"what is left out is told: {three['warnings']}")
    test.refused("--batch is 2, but the network's input 'ids' has a batch of 3", "three.onnx", *common, "--batch", "2")
    test.refused("cannot be put together with that of short/", "transformer.onnx", *WORDS[1:], "--images", "short", "--batch", "4",
                 "-o", "none.onnx")
    test.refused("--batch needs ONNX Runtime", "transformer.onnx", *common, "--batch", "2", "--engine", "opencv")


def check_own_sizes(test):
    """Pictures of any size where the network leaves it open."""
    n = networks.Network([1, 3, 12, 12])
    x = n.add("Relu", n.conv("input", (8, 3, 3, 3), pads=[1, 1, 1, 1]))
    x = n.add("GlobalAveragePool", n.add("Relu", n.conv(x, (12, 8, 1, 1), strides=[2, 2])))
    model = n.model(n.add("Gemm", n.add("Flatten", x), n.weights(7, 12), n.weights(7), transB=1))
    for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.save(model, "any.onnx")
    os.mkdir("sizes")
    random = np.random.RandomState(1)
    for i in range(24):
        height, width = random.randint(9, 30, 2)
        with open(f"sizes/p{i:02d}.ppm", "wb") as file:
            file.write(b"P6\n%d %d\n255\n" % (width, height) + random.randint(0, 256, (height, width, 3)).astype(np.uint8).tobytes())
    words = ["any.onnx", "--images", "sizes", "--mean", "120", "--std", "60", "--calib", "12", "--engine", "onnxruntime"]
    own = test.good("own sizes", *words, "--format", "qdq", "-o", "sizes.onnx")
    test.expect(own and own["quantized_layers"] == 3 and own["evaluation"]["output_error"] < 1e-3, f"own sizes: {own.get('evaluation')}")
    one = test.good("one size", *words, "--size", "16", "--batch", "4", "--evaluate")
    test.expect(one and one["evaluation"]["samples"] == 12, "twelve pictures of one size, four at a time")
    test.refused("--crop and --letterbox need --size", *words, "--crop", "-o", "none.onnx")
    test.refused("input input has a dynamic shape", *words, "--engine", "opencv", "-o", "none.onnx")


def check_refusals(test):
    words = [*WORDS, "-o", "none.onnx"]
    np.save("halves.npy", np.full((40, 9), 0.5))
    np.save("few.npy", np.zeros((3, 9), np.int64))
    np.save("far.npy", np.full((40, 9), TOKENS))
    np.save("wide.npy", np.zeros((40, 9, 2), np.int64))
    good = dict(np.load("even/00.npz"))
    cases = {"missing": {"ids": good["ids"], "mask": good["mask"]}, "more": {**good, "other": good["ids"]},
             "flat": {**good, "ids": good["ids"][0]}, "real": {**good, "ids": good["ids"].astype(np.float32)},
             "nothing": {**good, "mask": good["mask"] & False}, "endless": {**good, "tone": good["tone"] + np.float16(np.inf)}}
    for name, values in cases.items():
        np.savez(f"wrong/{name}.npz", **values)
    with open("wrong/cut.npz", "wb") as file:
        file.write(test.read("even/00.npz")[:-40])
    for text, *more in (
            ("wrong/missing.npz: has no array for input 'tone'", "--images", "wrong/missing.npz"),
            ("wrong/more.npz: the network has no input 'other'", "--images", "wrong/more.npz"),
            ("wrong/flat.npz: 'ids' is 9, the network's input is ?x?", "--images", "wrong/flat.npz"),
            ("'ids': values of float32 are no int64, which input 'ids' is", "--images", "wrong/real.npz"),
            ("wrong/endless.npz: 'tone': value 0 is not finite", "--images", "wrong/endless.npz"),
            ("wrong/cut.npz: ", "--images", "wrong/cut.npz"),
            ("leaves nothing", "--images", "wrong/nothing.npz", "--calib", "1", "--row-mask", "mask"),
            ("--row-mask: the network has no input 'none'", "--images", "even", "--row-mask", "none"),
            ("neither 0 nor 1", "--images", "even", "--row-mask", "ids"),
            ("ids.npy: the network has 3 inputs besides", "--images", "ids.npy"),
            ("input 'tone' has no values: --input tone=FILE.npy is missing", "--input", "ids=ids.npy", "--input", "mask=mask.npy"),
            ("the network has no input 'words'", "--input", "words=ids.npy"),
            ("input 'ids' is given twice", "--input", "ids=ids.npy", "--input", "ids=ids.npy"),
            ("few.npy: 3 samples of input 'ids', and 40 of others", "--input", "mask=mask.npy", "--input", "ids=few.npy",
             "--input", "tone=tone.npy"),
            ("wide.npy: a sample is 1x9x2, the network's input 'ids' is ?x?", *arrays("wide.npy")),
            ("halves.npy: values of float64 are no int64", *arrays("halves.npy")),
            ("ONNX Runtime cannot run this network: ", *arrays("far.npy")),
            ("--metric error: the network has 3 outputs", "--images", "even", "--metric", "error"),
            ("--metric error: the network has no output 'none'", "--images", "even", "--metric", "error=none"),
            ("--metric top1 needs --labels", "--images", "even", "--metric", "top1=kind"),
            ("--metric tokens: no input has the tokens of output 'kind'", "--images", "even", "--metric", "tokens=kind"),
            ("--metric tokens: several inputs may have the tokens", "--images", "even", "--metric", "tokens=logits"),
            ("--token-ids: the network has no input 'none'", "--images", "even", "--metric", "tokens=logits", "--token-ids", "none"),
            ("--token-ids: input 'tone' is 1x16 of float16, which are no tokens", "--images", "even", "--metric", "tokens=logits",
             "--token-ids", "tone"),
            ("operator LayerNormalization LayerNormalization4 is not supported; ONNX Runtime runs such networks, but it is not in use", "--images", "even",
             "--engine", "opencv")):
        test.refused(text, *words, *more)


def foreign_network(domain, operator, opset=17, **attributes):
    """Two matrices, between them a node that is none of ONNX's own."""
    random = np.random.RandomState(12)
    constants = [numpy_helper.from_array((random.randn(WIDTH, WIDTH) / 4).astype(np.float32), name) for name in ("A", "C")]
    inputs = ["x"]
    if operator == "BiasGelu":
        constants.append(numpy_helper.from_array(random.randn(WIDTH).astype(np.float32), "bias"))
        inputs.append("bias")
    if operator == "RMSNormalization":
        constants.append(numpy_helper.from_array(random.uniform(0.5, 2, WIDTH).astype(np.float32), "factors"))
        inputs.append("factors")
    nodes = [helper.make_node("MatMul", ["input", "A"], ["x"], "first"),
             helper.make_node(operator, inputs, ["y"], "between", domain=domain, **attributes),
             helper.make_node("MatMul", ["y", "C"], ["out"], "second")]
    graph = helper.make_graph(nodes, "foreign", [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", WIDTH])],
                              [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", WIDTH])], constants)
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def check_foreign(test):
    """Operators that are not known here: what the engine runs stays as it is, another one is named."""
    np.save("foreign.npy", np.random.RandomState(13).randn(60, WIDTH).astype(np.float32))
    words = ["foreign.onnx", "--images", "foreign.npy", "--calib", "40", "--held-out", "0", "--engine", "onnxruntime"]
    for opset, domain, operator, attributes in ((17, "com.microsoft", "QuickGelu", {"alpha": 1.5}), (17, "com.microsoft", "BiasGelu", {}),
                                                (23, "", "Gelu", {"approximate": "tanh"}), (23, "", "RMSNormalization", {"epsilon": 1e-3})):
        onnx.save(foreign_network(domain, operator, opset, **attributes), "foreign.onnx")
        for form in ("qdq", "int4", "matmulnbits", "float"):
            what = f"{operator} of opset {opset}, {form}"
            result = test.good(what, *words, "--format", form, "--weight-bits", "8" if form != "int4" else "4", "-o", "out.onnx")
            written = onnx.load("out.onnx")
            between = [node for node in written.graph.node if node.name == "between"]
            imports = {entry.domain: entry.version for entry in written.opset_import}
            test.expect(len(between) == 1 and (between[0].op_type, between[0].domain) == (operator, domain) and
                        {a.name: helper.get_attribute_value(a) for a in between[0].attribute if a.name != "axis"} ==
                        {k: v.encode() if isinstance(v, str) else np.float32(v) for k, v in attributes.items()}, f"{what}: {between}")
            test.expect(imports.get(domain) == (opset if not domain else 1), f"{what}: of opsets {imports}")
            test.expect(result.get("quantized_layers") == 2 and result["evaluation"]["output_error"] < 0.05, f"{what}: {result.get('evaluation')}")
            again = test.run("out.onnx", "--images", "foreign.npy", "--evaluate", "--engine", "onnxruntime")
            test.expect("is quantized already" in again.stderr or form == "float", f"{what}: {again.stderr}")
    onnx.save(foreign_network("org.example", "Mystery"), "foreign.onnx")
    test.refused("Mystery", *words, "-o", "none.onnx")
    test.refused("operator org.example.Mystery between is not supported", *words, "--engine", "opencv", "-o", "none.onnx")
    onnx.save(foreign_network("", "Gelu", 24), "foreign.onnx")
    test.refused("opset 24", *words, "--engine", "opencv", "-o", "none.onnx")


def check(test):
    for text, *more in (("--metric is error, cosine, tokens or top1", "--metric", "error2"), ("--input is NAME=FILE.npy", "--input", "ids"),
                        ("--test-input is NAME=FILE.npy", "--test-input", "ids=x.txt"),
                        ("--token-ids needs --metric tokens", "--token-ids", "ids"),
                        ("--batch is a whole number from 1", "--batch", "0"), ("--images or --input is missing", "--row-mask", "mask")):
        test.refused(text, "net.onnx", *(["--images", "pictures"] if "missing" not in text else []), *more, status=2)
    here = test.run("net.onnx", "--images", "samples.npy", "--eval", "1", "--engine", "onnxruntime", "--json", "--quiet")
    if here.returncode != 0:
        test.skip("sequences: ONNX Runtime is not here (make deps-engines)")
        return
    make_files()
    check_results(test)
    check_padding(test)
    check_sources(test)
    check_batches(test)
    check_own_sizes(test)
    check_refusals(test)
    check_foreign(test)
