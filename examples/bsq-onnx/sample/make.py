#!/usr/bin/env python3
"""Writes what bsq-onnx can be tried on: the demo's network as ONNX, and pictures as the demo draws them.

    python3 examples/bsq-onnx/sample/make.py

symbols.onnx, pictures.npy (uint8, (256, 24, 24, 3)) and labels.npy (int64) come out the same again, byte for byte, with the same
version of onnx. Needs numpy, onnx and a C compiler. No picture was trained on.
"""
import pathlib
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent
DEMO = HERE.parents[1] / "demo"
sys.path.insert(0, str(DEMO))
import train  # noqa: E402

PICTURES, STREAM_TEST = 256, 3


def network():
    nodes, constants, x = [], [], "pictures"
    for layer, (weights, bias) in zip(train.NETWORK, train.read(DEMO / "weights")):
        last = layer.kind == train.LINEAR
        values = weights.reshape(layer.outputs, -1) if last else weights.transpose(0, 3, 1, 2)
        constants += [numpy_helper.from_array(np.ascontiguousarray(values), f"{layer.name}.weight"),
                      numpy_helper.from_array(np.ascontiguousarray(bias), f"{layer.name}.bias")]
        inputs = [f"{layer.name}.weight", f"{layer.name}.bias"]
        if last:
            nodes += [helper.make_node("GlobalAveragePool", [x], ["mean"], "mean"), helper.make_node("Flatten", ["mean"], ["flat"], "flat"),
                      helper.make_node("Gemm", ["flat", *inputs], ["scores"], layer.name, transB=1)]
            continue
        given = f"{layer.name}/sum"
        nodes.append(helper.make_node("Conv", [x, *inputs], [given], layer.name, kernel_shape=[layer.kernel] * 2,
                                      pads=[layer.kernel // 2] * 4, strides=[layer.stride] * 2,
                                      group=layer.inputs if layer.kind == train.DEPTHWISE else 1))
        if layer.residual:
            nodes.append(helper.make_node("Add", [given, x], [f"{layer.name}/added"], f"{layer.name}/add"))
            given = f"{layer.name}/added"
        x = f"{layer.name}/out"
        nodes.append(helper.make_node("Relu", [given], [x], f"{layer.name}/relu"))
    size = train.SIZE
    graph = helper.make_graph(nodes, "symbols", [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, [1, 3, size, size])],
                              [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, train.CLASSES])], constants)
    model = helper.make_model(graph, producer_name="libbsq", opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 7
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    onnx.save(network(), HERE / "symbols.onnx")
    with tempfile.TemporaryDirectory() as folder:
        pixels, labels = train.Demo(folder).draw(STREAM_TEST, 0, PICTURES)
    np.save(HERE / "pictures.npy", np.rint(255 * pixels).astype(np.uint8))
    np.save(HERE / "labels.npy", labels.astype(np.int64))


main()
