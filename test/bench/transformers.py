#!/usr/bin/python3
"""Transformers with bsq-onnx: what they lose, beside rounding and GPTQ, and what their files give in ONNX Runtime; how long
one token takes there through matrices that no cache holds.

    transformers.py PROGRAM BENCH_TRANSFORMERS PACKAGES SHARED_DATA TRAINED [--only NETWORK] [--parts DIR] [--markdown FILE]

PACKAGES is the folder node_modules that `make deps-engines` fills, TRAINED the one that train.py filled. A network loses points of top-1: of classes, or of the next token. With
--markdown the tables replace those between the markers in FILE. With --parts every result is kept in DIR, and what is there
already is not run again. Fails when one of the figures misses what is required of it.
"""
import argparse
import json
import os
import subprocess
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BEGIN = "<!-- below: written by make bench-transformers -->"
END = "<!-- above: written by make bench-transformers -->"


def networks(data, trained):
    cifar = f"{data}/cifar10"
    return {
        "encoder": [f"{trained}/encoder.onnx", "--images", f"{trained}/encoder-calibration", "--test", f"{trained}/encoder-test",
                    "--labels", f"{trained}/encoder-test-labels.npy", "--row-mask", "mask", "--calib", "256", "--eval", "2000"],
        "vit": [f"{trained}/vit.onnx", "--images", f"{cifar}/calib_images.npy", "--test", f"{cifar}/test_images.npy",
                "--labels", f"{cifar}/test_labels.npy", "--mean", "122", "--std", "63", "--calib", "128"],
        "decoder": [f"{trained}/decoder.onnx", "--images", f"{trained}/decoder-calibration.npy", "--test",
                    f"{trained}/decoder-test.npy", "--metric", "tokens", "--calib", "128", "--eval", "200"],
        "lstm": [f"{trained}/lstm.onnx", "--images", f"{trained}/lstm-calibration.npy", "--test", f"{trained}/lstm-test.npy",
                 "--metric", "tokens", "--calib", "128", "--eval", "200"],
        "unet": [f"{trained}/unet.onnx", "--images", f"{trained}/unet-calibration.npy", "--test", f"{trained}/unet-test.npy",
                 "--labels", f"{trained}/unet-test-classes.npy", "--metric", "top1", "--calib", "128"],
    }


# Setting, options, bits and group for layers' errors, points that may be lost. MatMulNBits has no 3 bits: those weights are
# written as float32.
GROUPS = ["--edge-bits", "0", "--act-bits", "0", "--group-size", "32", "--range", "zero-point"]
SETTINGS = [
    ("W8A8", ["--format", "qdq"], 8, 0, 0.3),
    ("W4, groups of 32", ["--format", "matmulnbits", "--weight-bits", "4"], 4, 32, 0.3),
    ("W3, groups of 32", ["--format", "float", "--weight-bits", "3", *GROUPS], 3, 32, 1.5),
]
# MatMulNBits cannot be a part of an LSTM, nor of convolutions.
WITHOUT_MATMUL = {"W4, groups of 32": ["--format", "int4", "--weight-bits", "4", *GROUPS]}
ROUNDING = ["--effort", "0", "--mu", "0", "--bias-correction", "off"]
MOST_OF_GPTQ = 0.75  # the library's error, as a share of it
MOST_OFF = 0.2       # points between the report and ONNX Runtime
MOST_TIME = 0.6      # of float's, for one token at 4 bits
PRODUCTS = ("MatMul", "Gemm", "FusedMatMul", "Conv", "FusedConv", "ConvTranspose", "LSTM")
IN_INTEGERS = ("MatMulIntegerToFloat", "MatMulInteger", "QLinearMatMul", "QGemm", "QLinearConv")


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.missed = []

    def run(self, name, words):
        """The JSON that a command prints."""
        path = self.arguments.parts and os.path.join(self.arguments.parts, name.replace(" ", "_").replace(",", "") + ".json")
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return json.load(file)
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{name}: {' '.join(words)}: status {done.returncode}")
        if path:
            os.makedirs(self.arguments.parts, exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(done.stdout)
        return json.loads(done.stdout)

    def row(self, network, words, setting, options, bits, group, most_lost):
        file = os.path.join(self.arguments.trained, f"{network}-{bits}.onnx")
        name = f"{network} {setting}"
        program, bench = self.arguments.program, self.arguments.bench
        ours = self.run(name, [program, *words, *options, "-o", file, "--json", "--quiet"])
        rounded = self.run(name + " rounding", [program, *words, *options, *ROUNDING, "--evaluate", "--json", "--quiet"])
        there = self.run(name + " engine", [bench, "judge", file, *words, "--evaluate"])
        packages = self.arguments.packages
        counts = self.run(name + " operators", ["node", "test/engines/onnxruntime.js", packages, "operators", words[0], file])
        layers = self.run(name + " layers", [bench, "errors", str(bits), str(group), *words, "--effort", "7", "--evaluate"])
        float_points, points = accuracy(ours)
        share = layers["library"] / layers["gptq"]
        off = accuracy(there)[1] - points
        for what, good in ((f"loses {float_points - points:.2f} points, {most_lost} allowed", float_points - points <= most_lost),
                           (f"{share:.2f} x GPTQ's error, {MOST_OF_GPTQ} allowed", share <= MOST_OF_GPTQ),
                           (f"{off:+.2f} points in ONNX Runtime, {MOST_OFF} allowed", abs(off) <= MOST_OFF)):
            if not good:
                self.missed.append(f"{name}: {what}")
        return (f"| {network} | {setting} | {float_points:.2f} | {points:.2f} | {accuracy(rounded)[1]:.2f} | {accuracy(there)[1]:.2f} | "
                f"{perplexity(ours)} | {ours['evaluation']['output_error']:.3g} | {rounded['evaluation']['output_error']:.3g} | "
                f"{integer_kernels(counts[words[0]], counts[file]) if setting == 'W8A8' else ''} | "
                f"{layers['rounding'] / layers['gptq']:.2f} | {share:.2f} | {ours['quantized_bytes'] / ours['float_bytes']:.2f} |")


def integer_kernels(real, quantized):
    """Of the products of the float network, after ONNX Runtime's optimization of both."""
    return f"{sum(quantized.get(op, 0) for op in IN_INTEGERS)} of {sum(real.get(op, 0) for op in PRODUCTS)}"


def accuracy(result):
    """Points of the float and of the quantized network."""
    if "metrics" in result:
        return 100 * result["metrics"][0]["float_accuracy"], 100 * result["metrics"][0]["accuracy"]
    return 100 * result["evaluation"]["float_top1"], 100 * result["evaluation"]["top1"]


def perplexity(result):
    if "perplexity" not in result.get("metrics", [{}])[0]:
        return ""
    return f"{result['metrics'][0]['perplexity']:.4f} ({result['metrics'][0]['float_perplexity']:.4f})"


def save_wide(trained, width=2048, layers=6):
    """Random matrices of 100 MB: one token through them takes what it takes to read them."""
    random = np.random.RandomState(1)
    nodes, constants, x = [], [], "token"
    for i in range(layers):
        weights = (random.standard_normal((width, width)) * (2 / width) ** 0.5).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"weights{i}"))
        last = i == layers - 1
        nodes.append(helper.make_node("MatMul", [x, f"weights{i}"], ["out" if last else f"product{i}"], name=f"matrix{i}"))
        if not last:
            nodes.append(helper.make_node("Relu", [f"product{i}"], [f"positive{i}"], name=f"relu{i}"))
        x = f"positive{i}"
    info = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width])  # noqa: E731
    graph = helper.make_graph(nodes, "wide", [info("token")], [info("out")], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), f"{trained}/wide.onnx")
    np.save(f"{trained}/wide-tokens.npy", random.standard_normal((96, width)).astype(np.float32))


def one_token(bench):
    """Rows of float, and of 4 bits in groups of 32 with each way to multiply."""
    arguments, trained = bench.arguments, bench.arguments.trained
    words = [f"{trained}/wide.onnx", "--images", f"{trained}/wide-tokens.npy", "--calib", "64", "--held-out", "0"]
    save_wide(trained)
    files, errors = [], []
    for level in (0, 4):
        files.append(f"{trained}/wide-level{level}.onnx")
        bench.run(f"wide level {level}", [arguments.program, *words, "--format", "matmulnbits", "--edge-bits", "0", "--effort", "1",
                                          "--accuracy-level", str(level), "--resume", f"{trained}/wide-done", "-o", files[-1],
                                          "--json", "--quiet"])
        judged = bench.run(f"wide level {level} engine", [arguments.bench, "judge", files[-1], *words, "--evaluate"])
        errors.append(judged["evaluation"]["output_error"])
    timed = bench.run("wide times", ["node", "test/engines/onnxruntime.js", arguments.packages, "time", "60", words[0], *files])
    rows = []
    for what, one, error in zip(("float", "4 bits", "4 bits, `--accuracy-level 4`"), timed, [0, *errors]):
        rows.append(f"| {what} | {os.path.getsize(one['network']) / 1e6:.1f} | {one['processor']:.2f} | {one['ratio']:.2f} | "
                    f"{one['clock_ratio']:.2f} | {error:.3g} |")
        if what != "float" and one["ratio"] > MOST_TIME:
            bench.missed.append(f"one token, {what}: {one['ratio']:.2f} x the time of float, {MOST_TIME} allowed")
    return ["| one token | file, MB | processor, ms | share of float's | on the clock | error of the outputs |",
            "|" + " --- |" * 6, *rows]


def replace(path, table):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + "\n" + table + END + after)


def main():
    parser = argparse.ArgumentParser()
    for name in ("program", "bench", "packages", "data", "trained"):
        parser.add_argument(name)
    for name in ("--only", "--parts", "--markdown"):
        parser.add_argument(name)
    arguments = parser.parse_args()
    bench = Bench(arguments)
    lines = ["| network | setting | float | quantized | rounding | in ONNX Runtime | perplexity (float) | error of the outputs | "
             "by rounding | in integers | layers: rounding / GPTQ | layers: library / GPTQ | file / float |",
             "|" + " --- |" * 13]
    for network, words in networks(arguments.data, arguments.trained).items():
        for setting, options, *more in SETTINGS:
            if arguments.only in (None, network):
                if network in ("lstm", "unet"):
                    options = WITHOUT_MATMUL.get(setting, options)
                lines.append(bench.row(network, words, setting, options, *more))
                print(lines[-1], flush=True)
    if arguments.only in (None, "wide"):
        lines += ["", *one_token(bench)]
        print("\n".join(lines[-5:]), flush=True)
    if arguments.markdown and not arguments.only:
        replace(arguments.markdown, "\n" + "\n".join(lines) + "\n\n")
    for miss in bench.missed:
        print("missed:", miss)
    return 1 if bench.missed else 0


if __name__ == "__main__":
    sys.exit(main())
