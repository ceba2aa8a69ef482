#!/usr/bin/env python3
"""The Python package in one page: a layer in one line, then step by step, then a network.

    python3 examples/python/quickstart.py
"""
import os
import tempfile

import bsq
import numpy as np


def main() -> None:
    random = np.random.default_rng(1)
    weights = random.standard_normal((64, 128)).astype(np.float32)
    inputs = np.maximum(random.standard_normal((2000, 128)) + 0.3, 0).astype(np.float32)

    # One line: float weights and inputs in, codes and scales out.
    tensor = bsq.quantize(weights, inputs, bits=3, group_size=32)
    print(tensor.report)
    used = tensor.dequantize()
    lost = np.sum((inputs @ (weights - used).T) ** 2) / np.sum((inputs @ weights.T) ** 2)
    assert abs(lost - tensor.error(weights, inputs)) < 1e-3 * lost

    # For an engine: the options that its format needs, its bytes, its arrays.
    engine = bsq.quantize(weights, inputs, format="gptq", bits=4, group_size=32)
    print({name: (array.dtype.name, array.shape) for name, array in engine.parts("gptq").items()})

    # Saved and read again.
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "layer.safetensors")
        tensor.save(path)
        assert bsq.Tensor.load(path) == tensor

    # Statistics on their own: gathered in parts, merged, used for several layers that read the same tensor.
    halves = [bsq.Stats(), bsq.Stats()]
    for stats, part in zip(halves, np.array_split(inputs, 2)):
        stats.update(part)
    halves[0].merge(halves[1])
    print(halves[0], bsq.quantize(weights, stats=halves[0], bits=4))

    # Call by call, as in C: two layers, one after the other, each knowing what the float network wants of it.
    second = random.standard_normal((16, 64)).astype(np.float32)
    wanted = np.maximum(inputs @ weights.T, 0) @ second.T
    seen = np.maximum(inputs @ used.T, 0)
    with bsq.Layer(second, bits=3) as layer:
        for part, target in zip(np.array_split(seen, 4), np.array_split(wanted, 4)):
            layer.calibrate(part, target)
        table = layer.error_table(2, 6)
        report = layer.optimize()
    print("second layer: error %.5f, no less than %.5f; 2..6 bits: %s" % (
        report.error, report.error_floor, " ".join("%.5f" % error for error in table)))

    # Failures have a class for each status, and say what is wrong.
    try:
        bsq.quantize(weights, inputs[:, :100])
    except bsq.ShapeError as error:
        print("ShapeError:", error)


if __name__ == "__main__":
    main()
