"""Tiny networks for the tests, each with a few of the forms that layers and operators take."""
import numpy as np
from onnx import defs, TensorProto, helper, numpy_helper, shape_inference

NEWEST = defs.onnx_opset_version()  # that this ONNX knows


class Network:
    """Nodes are added one after the other; each method gives the name of the tensor that it adds."""

    def __init__(self, shape, opset=13, ir_version=7, seed=1):
        self.shape = shape
        self.opset = opset
        self.ir_version = ir_version
        self.random = np.random.RandomState(seed)
        self.nodes = []
        self.constants = []

    def constant(self, value, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, values):
        return self.constant(values, np.int64)

    def weights(self, *shape, scale=None):
        scale = scale or 1.5 / np.sqrt(max(np.prod(shape[1:]), 1))
        return self.constant(self.random.normal(0, scale, shape))

    def positive(self, *shape):
        return self.constant(self.random.uniform(0.5, 2, shape))

    def add(self, op, *inputs, outputs=1, **attributes):
        index = len(self.nodes)
        names = [f"{op.lower()}_{index}" + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, f"{op}_{index}", **attributes))
        return names[0] if outputs == 1 else names

    def conv(self, x, shape, bias=True, **attributes):
        inputs = [x, self.weights(*shape)] + ([self.weights(shape[0], scale=0.3)] if bias else [])
        return self.add("Conv", *inputs, **attributes)

    def batch_normalization(self, x, channels):
        return self.add("BatchNormalization", x, self.positive(channels), self.weights(channels), self.weights(channels),
                        self.positive(channels), epsilon=1e-3)

    def model(self, *outputs, shape=None):
        graph = helper.make_graph(
            self.nodes, "tiny", [helper.make_tensor_value_info("input", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in outputs], self.constants)
        if self.ir_version < 4:
            for tensor in self.constants:
                graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = self.ir_version
        # Outputs must have shapes for the checker.
        return shape_inference.infer_shapes(model, data_prop=True) if self.opset <= NEWEST else model


def convolutions():
    n = Network([1, 6, 11, 9])
    x = n.conv("input", (8, 3, 3, 3), group=2, pads=[0, 1, 2, 0])
    x = n.add("Relu", x)
    x = n.conv(x, (8, 1, 3, 3), bias=False, group=8, pads=[1, 1, 1, 1])  # depthwise
    x = n.add("LeakyRelu", x, alpha=0.1)
    x = n.conv(x, (16, 1, 3, 2), group=8, strides=[2, 1], dilations=[1, 2], pads=[1, 1, 1, 1])  # two outputs a channel
    x = n.add("Sigmoid", x)
    x = n.conv(x, (5, 16, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3])
    x = n.add("Clip", x, n.constant(-0.5), n.constant(0.75))
    x = n.conv(x, (4, 5, 2, 2), auto_pad="SAME_LOWER")
    x = n.conv(x, (4, 4, 1, 1), auto_pad="VALID")
    return n.model(x)


def one_dimension():
    n = Network([1, 4, 20])
    x = n.conv("input", (6, 4, 5), auto_pad="SAME_LOWER", strides=[2])
    x = n.add("Relu", x)
    x = n.conv(x, (6, 2, 3), group=3, pads=[2, 0], dilations=[2])
    return n.model(x)


def three_dimensions():
    n = Network([1, 2, 5, 6, 7])
    x = n.conv("input", (4, 2, 3, 3, 3), pads=[1, 1, 1, 1, 1, 1])
    x = n.add("Relu", x)
    x = n.conv(x, (3, 4, 1, 3, 2), strides=[1, 2, 1])
    return n.model(x)


def batch_normalizations():
    n = Network([1, 4, 8, 8], opset=9, ir_version=3)
    x = n.batch_normalization("input", 4)  # before any layer: stays
    x = n.conv(x, (6, 4, 3, 3), bias=False)
    x = n.batch_normalization(x, 6)
    x = n.add("Relu", x)
    y = n.conv(x, (6, 6, 1, 1))
    x = n.batch_normalization(y, 6)  # its layer has another reader: stays
    x = n.add("Add", x, y)
    x = n.add("ConvTranspose", x, n.weights(6, 2, 2, 3), n.weights(4), group=2, strides=[2, 2], pads=[0, 1, 0, 0])
    x = n.batch_normalization(x, 4)
    x = n.conv(x, (4, 4, 3, 3), bias=False)
    x = n.add("Mul", x, n.weights(4, 1, 1))
    x = n.add("Add", n.weights(1, 4, 1, 1), x)
    x = n.batch_normalization(x, 4)
    x = n.add("Mul", x, n.constant(0.5))
    x = n.add("GlobalAveragePool", x)
    x = n.add("Flatten", x)
    x = n.add("Gemm", x, n.weights(4, 5), n.weights(5))
    x = n.batch_normalization(x, 5)
    return n.model(x)


def gemms():
    n = Network([1, 12], opset=11)
    x = n.add("Gemm", "input", n.weights(12, 8), n.constant(0.25), alpha=0.5, beta=2.0)
    x = n.add("Relu", x)
    x = n.add("Gemm", x, n.weights(7, 8), transB=1)
    x = n.add("Reshape", x, n.ints([7, 1]))
    x = n.add("Gemm", x, n.weights(7, 6), n.weights(1, 6), transA=1, beta=-1.0)
    x = n.add("Reshape", x, n.ints([2, 3]))
    x = n.add("Gemm", x, n.weights(3, 3), n.weights(2, 1), beta=0.5)  # a value for each row
    x = n.add("Reshape", x, n.ints([1, 6]))
    x = n.add("Sigmoid", x)
    x = n.add("Gemm", x, n.weights(6, 4), n.weights(4))
    return n.model(x)


def matrices():
    n = Network([1, 5, 8])
    x = n.add("MatMul", "input", n.weights(8, 6))
    y = n.add("Relu", "input")
    x = n.add("Add", n.weights(6), x)
    x = n.add("Relu", x)
    x = n.add("MatMul", x, n.weights(6, 8))
    x = n.add("Add", x, y)
    x = n.add("Softmax", x)
    x = n.add("Reshape", x, n.ints([1, -1]))
    x = n.add("MatMul", x, n.weights(40, 3))
    return n.model(x)


def old_operators():
    n = Network([1, 4, 8, 8], opset=9, ir_version=4)
    x = n.conv("input", (8, 4, 3, 3), pads=[1, 1, 1, 1])
    x = n.add("Clip", x, min=0.0, max=1.0)
    x = n.add("Pad", x, pads=[0, 0, 1, 0, 0, 0, 0, 1], value=0.0)
    x = n.add("Slice", x, starts=[0, 1], ends=[9, 9], axes=[2, 3])
    x = n.add("Dropout", x)
    x = n.conv(x, (4, 8, 3, 3))
    a, b = n.add("Split", x, outputs=2, axis=1)
    a = n.add("Upsample", a, n.constant([1, 1, 2, 2]), mode="nearest")
    b = n.add("Upsample", b, n.constant([1, 1, 2, 2]), mode="nearest")
    x = n.add("Concat", a, b, axis=1)
    x = n.conv(x, (3, 4, 3, 3))
    y = n.add("ReduceMean", x, axes=[2, 3], keepdims=0)
    y = n.add("Unsqueeze", y, axes=[2, 3])
    y = n.add("Squeeze", y, axes=[3])
    z = n.add("Softmax", x)  # over all of a sample
    return n.model(y, z)


def resize_ten():
    n = Network([1, 3, 4, 5], opset=10, ir_version=5)
    x = n.conv("input", (4, 3, 1, 1))
    x = n.add("Clip", x, max=6.0)
    x = n.add("Resize", x, n.constant([1, 1, 2, 2]), mode="nearest")
    x = n.add("Slice", x, n.ints([1]), n.ints([7]), n.ints([2]))
    x = n.conv(x, (2, 4, 3, 3))
    x = n.add("ReduceSum", x, axes=[1], keepdims=1)
    x = n.add("LogSoftmax", n.add("Flatten", x), axis=1)
    return n.model(x)


def residual():
    n = Network([1, 4, 6, 6])
    x = n.conv("input", (4, 4, 3, 3), pads=[1, 1, 1, 1])
    x = n.add("Relu", x)
    y = n.conv(x, (4, 4, 3, 4), pads=[0, 1, 2, 2])
    x = n.add("Add", y, x)  # of the layer's own input
    x = n.add("Relu", x)
    a = n.conv(x, (3, 4, 1, 1))
    b = n.conv(x, (5, 4, 3, 3), pads=[1, 1, 1, 1])
    x = n.add("Concat", n.add("Relu", a), n.add("Relu", b), axis=1)
    x = n.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = n.conv(x, (6, 8, 3, 3), pads=[1, 1, 1, 1])
    y = n.add("Mul", x, n.add("Sigmoid", x))
    y = n.conv(y, (4, 6, 1, 1))
    return n.model(x, y)


def exported():
    """A batch that is not fixed, and a reshape that the network computes, as frameworks export them."""
    n = Network(["batch", 3, 6, 6], opset=12)
    x = n.conv("input", (4, 3, 3, 3))
    x = n.add("Identity", n.add("Relu", x))
    batch = n.add("Gather", n.add("Shape", x), n.ints(0), axis=0)
    batch = n.add("Unsqueeze", batch, axes=[0])
    x = n.add("Reshape", x, n.add("Concat", batch, n.ints([-1]), axis=0))
    x = n.add("Gemm", x, n.weights(5, 64), n.weights(5), transB=1)
    x = n.add("Identity", x)
    return n.model(x, shape=["batch", 5])


def new_operators():
    """Newer than the ONNX of Debian 12, which cannot check it."""
    n = Network([1, 4, 8, 8], opset=21, ir_version=10)
    x = n.conv("input", (8, 4, 3, 3), pads=[1, 1, 1, 1])
    low = n.add("Constant", value_float=0.0)
    x = n.add("Clip", x, low, n.constant(1.0))
    a, b = n.add("Split", x, outputs=2, axis=1, num_outputs=2)
    x = n.add("Add", a, n.add("ReduceMean", b, n.ints([2, 3]), keepdims=1))
    x = n.add("Resize", x, "", n.constant([1, 1, 2, 2]), mode="nearest", coordinate_transformation_mode="asymmetric",
              nearest_mode="floor", antialias=0, keep_aspect_ratio_policy="stretch")
    x = n.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2], dilations=[1, 1])
    x = n.add("Pad", x, n.ints([0, 0, 1, 1, 0, 0, 1, 1]))
    x = n.conv(x, (3, 4, 3, 3))
    x = n.add("ReduceMax", x, n.add("Constant", value_ints=[2, 3]), keepdims=0)
    return n.model(x, shape=[1, 3])


def pools():
    n = Network([1, 3, 13, 13])
    x = n.conv("input", (6, 3, 3, 3))
    x = n.add("HardSigmoid", x)
    x = n.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    x = n.conv(x, (6, 6, 1, 1))
    x = n.add("PRelu", x, n.positive(6, 1, 1))
    x = n.add("AveragePool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1], count_include_pad=1)
    x = n.conv(x, (4, 6, 3, 3))
    x = n.add("Tanh", x)
    y = n.add("GlobalMaxPool", x)
    x = n.add("DepthToSpace", x, blocksize=2, mode="CRD")
    x = n.conv(x, (2, 1, 3, 3), strides=[2, 2])
    y = n.conv(y, (3, 4, 1, 1))
    return n.model(x, y)


def between(opset, function, *attributes, **more):
    """A network with what 'function' adds between two layers."""

    def build():
        n = Network([1, 3, 6, 6], opset=opset)
        x = n.conv("input", (4, 3, 3, 3), pads=[1, 1, 1, 1])
        x = function(n, x)
        x = n.add("Relu", x)
        x = n.conv(x, (3, more.get("channels", 4), 1, 1))
        return n.model(x)

    build.__name__ = attributes[0]
    return build


def one_operator(op, opset=13, **attributes):
    return between(opset, lambda n, x: n.add(op, x, **attributes), op)


def positive(op, opset=13):
    return between(opset, lambda n, x: n.add(op, n.add("Add", n.add("Sigmoid", x), n.constant(0.5))), op)


def with_constant(op, value, opset=13):
    return between(opset, lambda n, x: n.add(op, x, n.constant(value)), op)


OPERATORS = [
    one_operator("Abs"), one_operator("Ceil"), one_operator("Elu", alpha=0.5), one_operator("Erf"), one_operator("Exp"),
    one_operator("Floor"), one_operator("HardSigmoid", alpha=0.3, beta=0.4), one_operator("HardSwish", opset=14),
    one_operator("LRN", size=3, alpha=0.1, beta=0.7, bias=1.5), one_operator("Neg"), one_operator("Selu"),
    one_operator("Softplus"), one_operator("Softsign"), one_operator("Tanh"), positive("Log"), positive("Reciprocal"),
    positive("Sqrt"), with_constant("Pow", 2.0), with_constant("Div", 3.0), with_constant("Sub", [[[0.5]], [[1]], [[2]], [[3]]]),
    with_constant("Max", 0.25), with_constant("Min", 0.25),
    one_operator("Transpose", perm=[0, 1, 3, 2]),
    between(13, lambda n, x: n.add("InstanceNormalization", x, n.positive(4), n.weights(4), epsilon=1e-3), "InstanceNormalization"),
    between(13, lambda n, x: n.add("Div", x, n.add("Add", n.add("Sigmoid", x), n.constant(0.5))), "Div"),
    between(13, lambda n, x: n.add("Sub", x, n.add("Sigmoid", x)), "Sub"),
    between(13, lambda n, x: n.add("Max", x, n.add("Sigmoid", x)), "Max"),
    between(13, lambda n, x: n.add("Min", x, n.add("Sigmoid", x)), "Min"),
    between(13, lambda n, x: n.add("Sum", x, n.add("Sigmoid", x), x), "Sum"),
    between(13, lambda n, x: n.add("Expand", n.add("GlobalAveragePool", x), n.ints([1, 4, 5, 5])), "Expand"),
    between(13, lambda n, x: n.add("Add", x, n.add("ReduceSum", x, n.ints([2, 3]), keepdims=1)), "ReduceSum"),
    between(13, lambda n, x: n.add("SpaceToDepth", x, blocksize=2), "SpaceToDepth", channels=16),
    between(11, lambda n, x: n.add("DepthToSpace", x, blocksize=2), "DepthToSpace", channels=1),
    between(13, lambda n, x: n.add("Unsqueeze", n.add("Squeeze", x, n.ints([0])), n.ints([0])), "Squeeze"),
]
for reduction in "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin":
    OPERATORS.append(between(13, lambda n, x, op=reduction: n.add("Add", x, n.add(op, x, axes=[2, 3])), reduction))
    OPERATORS.append(between(13, lambda n, x, op=reduction: n.add("Add", x, n.add(op, x, axes=[-1])), reduction + "1"))

NETWORKS = [convolutions, one_dimension, three_dimensions, batch_normalizations, gemms, matrices, old_operators,
            resize_ten, residual, exported, new_operators, pools]
