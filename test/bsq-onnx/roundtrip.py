"""Tiny networks through reader, segments and writers: what OpenCV computes, segment by segment, and what the files say after
the specification must be the same. Files are checked by onnx's checker as far as it knows their version.

    roundtrip.py PROGRAM FOLDER
"""
import json
import os
import subprocess
import sys

import numpy as np
import onnx

sys.path.insert(0, os.path.dirname(__file__))
import executor  # noqa: E402
import networks  # noqa: E402

failures = []
checks = 0


def check(good, text):
    global checks
    checks += 1
    if not good:
        failures.append(text)
        print("failed:", text)


def close(value, expected, tolerance, text):
    if value.shape != expected.shape:
        check(False, f"{text}: shape {value.shape} instead of {expected.shape}")
        return
    error = np.linalg.norm(value - expected) / max(np.linalg.norm(expected), 1e-30)
    check(error <= tolerance, f"{text}: relative error {error:.3g}")


def compare(model, folder, name, tolerance, text):
    feeds = {executor.input_name(model): np.load(f"{folder}/input.npy")}
    for i, value in enumerate(executor.run(model, feeds).values()):
        close(np.load(f"{folder}/{name}{i}.npy"), value, tolerance, f"{text}, output {i}")


def operators(model):
    return [node.op_type for node in model.graph.node]


def check_network(program, folder, name, model, weight_bits, input_bits, mode):
    text = f"{name} W{weight_bits}A{input_bits} {mode}"
    opset = model.opset_import[0].version
    if opset <= networks.NEWEST:
        onnx.checker.check_model(model)
    path = f"{folder}/network.onnx"
    onnx.save(model, path)
    done = subprocess.run([program, path, folder, str(weight_bits), str(input_bits), mode], capture_output=True, text=True)
    check(done.returncode == 0, f"{text}: {done.stderr.strip().splitlines()[-2:]}")
    if done.returncode != 0:
        return
    compare(model, folder, "float", 1e-5, f"{text}: as it is")

    qdq = onnx.load(f"{folder}/qdq.onnx")
    onnx.checker.check_model(qdq, full_check=True)
    check(qdq.opset_import[0].version == min(max(13, opset), 17), f"{text}: opset")
    # A value that lies near the middle between two codes may get the other one.
    compare(qdq, folder, "quantized", 2e-2 if input_bits < 8 else 2e-3, f"{text}: qdq")

    plain = onnx.load(f"{folder}/float.onnx")
    onnx.checker.check_model(plain, full_check=True)
    check(plain.opset_import[0].version == min(opset, 17), f"{text}: opset of the float file")
    check(not any("Quantize" in op for op in operators(plain)), f"{text}: quantizers in the float file")
    compare(plain, folder, "weights", 1e-5, f"{text}: float")

    int4 = onnx.load(f"{folder}/int4.onnx")
    packed = [t for t in int4.graph.initializer if t.data_type == executor.INT4]
    layers = [op for op in operators(qdq) if op == "DequantizeLinear"]
    check(int4.opset_import[0].version == 21 and int4.ir_version == 10, f"{text}: opset of the int4 file")
    check(bool(packed) == (weight_bits <= 4) and len(packed) <= len(layers), f"{text}: packed weights")
    compare(int4, folder, "quantized", 2e-2 if input_bits < 8 else 2e-3, f"{text}: int4")

    with open(f"{folder}/sidecar.json") as file:
        sidecar = json.load(file)
    check(len(sidecar["layers"]) == sum(t.name.endswith(".weight_quantized") for t in qdq.graph.initializer),
          f"{text}: layers of the sidecar")


def main(program, folder):
    os.makedirs(folder, exist_ok=True)
    for network in networks.NETWORKS:
        for weight_bits, input_bits, mode in (8, 8, "tensor"), (4, 8, "channel"), (3, 4, "channel"), (8, 0, "none"):
            check_network(program, folder, network.__name__, network(), weight_bits, input_bits, mode)
    for network in networks.OPERATORS:
        check_network(program, folder, network.__name__, network(), 8, 8, "channel")
    for name in "resnet20_cifar10", "squeezenet_v1.1":
        path = f"{os.environ.get('SHARED_DATA', '../shared')}/models/{name}.onnx"
        if os.path.exists(path):
            check_network(program, folder, name, onnx.load(path), 8, 8, "tensor")
        else:
            print(f"skipped: {path} is not there")
    print(f"roundtrip: {checks - len(failures)} passed, {len(failures)} failed")
    return bool(failures)


sys.exit(main(*sys.argv[1:]))
