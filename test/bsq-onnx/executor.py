"""Runs ONNX networks with NumPy, slowly, after the specification of the operators and not after any engine.

It is the oracle of the tests of bsq-onnx: it knows the operators in their older and newer forms (attributes and inputs), quantized
weights and activations, and packed INT4.

    run(model, feeds)   {name of output: array}
"""
import itertools
import math

import numpy as np
from onnx import TensorProto, helper, numpy_helper

INT4 = 22


def to_array(tensor):
    if tensor.data_type == INT4:
        return int4_values(tensor)
    return numpy_helper.to_array(tensor)


def int4_values(tensor):
    """Two codes a byte, the first in the lower half, signed."""
    count = math.prod(tensor.dims)
    data = np.frombuffer(tensor.raw_data, np.uint8)
    assert len(data) == (count + 1) // 2, "packed INT4 has a wrong size"
    halves = np.stack([data & 15, data >> 4], axis=1).reshape(-1)
    assert count % 2 == 0 or halves[-1] == 0, "the half byte behind the last code is not zero"
    codes = halves[:count].astype(np.int8)
    return np.where(codes > 7, codes - 16, codes).astype(np.int8).reshape(tensor.dims)


class Node:
    """A node with its inputs' values; attributes by name with a default."""

    def __init__(self, node, values, opset):
        self.op = node.op_type
        self.opset = opset
        self.outputs = len(node.output)
        self.inputs = values
        self.attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}

    def __getitem__(self, index):
        return self.inputs[index] if index < len(self.inputs) else None

    def get(self, name, default=None):
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def parameter(self, name, index, default=None):
        """What was an attribute once and is an input in newer opsets."""
        if name in self.attributes:
            return self.attributes[name]
        value = self[index]
        return default if value is None else value


# ---- sequences ----

def steps_of(node, length, backward):
    """The steps of one sequence in the order in which they are taken."""
    return range(length - 1, -1, -1) if backward else range(length)


def recurrent(node):
    """LSTM and GRU with their default functions: all states, the last ones, and an LSTM's last cells."""
    x, w, r = (np.asarray(value, np.float64) for value in node.inputs[:3])
    directions, hidden, lstm = w.shape[0], r.shape[2], node.op == "LSTM"
    length, batch = x.shape[:2]
    optional = lambda i, shape: np.zeros(shape) if node[i] is None else np.asarray(node[i], np.float64)  # noqa: E731
    bias = optional(3, (directions, 2 * w.shape[1]))
    lengths = [length] * batch if node[4] is None else [int(n) for n in node[4]]
    h, c = optional(5, (directions, batch, hidden)).copy(), np.zeros((directions, batch, hidden))
    peephole = np.zeros((directions, 3 * hidden))
    if lstm:
        c, peephole = optional(6, c.shape).copy(), optional(7, peephole.shape)
    states = np.zeros((length, directions, batch, hidden))
    for d in range(directions):
        backward = d == 1 or node.get("direction", "forward") == "reverse"
        wb, rb = np.split(bias[d], 2)
        pi, po, pf = np.split(peephole[d], 3)
        for b in range(batch):
            for t in steps_of(node, lengths[b], backward):
                before = h[d, b]
                u, v = w[d] @ x[t, b] + wb, r[d] @ before + rb
                if lstm:
                    i, o, f, g = np.split(u + v, 4)
                    cell = sigmoid(f + pf * c[d, b]) * c[d, b] + sigmoid(i + pi * c[d, b]) * np.tanh(g)
                    h[d, b] = sigmoid(o + po * cell) * np.tanh(cell)
                    c[d, b] = cell
                else:
                    z, reset = (sigmoid(a + e) for a, e in zip(np.split(u, 3)[:2], np.split(v, 3)[:2]))
                    if node.get("linear_before_reset", 0):
                        new = np.tanh(u[2 * hidden:] + reset * v[2 * hidden:])
                    else:
                        new = np.tanh(u[2 * hidden:] + r[d][2 * hidden:] @ (reset * before) + rb[2 * hidden:])
                    h[d, b] = (1 - z) * new + z * before
                states[t, d, b] = h[d, b]
    results = [states, h] + ([c] if lstm else [])
    return tuple(value.astype(np.float32) for value in results)[:node.outputs]


# ---- operators of com.microsoft ----

def attention(node):
    """Query, key and value from one matrix, without masks."""
    x = node[0].astype(np.float64) @ node[1] + node[2]
    heads = node.get("num_heads")
    split = lambda y: y.reshape(*y.shape[:2], heads, -1).transpose(0, 2, 1, 3)  # noqa: E731
    query, key, value = (split(part) for part in np.split(x, 3, -1))
    scores = query @ key.transpose(0, 1, 3, 2) / math.sqrt(query.shape[-1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = weights / weights.sum(-1, keepdims=True) @ value
    return mixed.transpose(0, 2, 1, 3).reshape(*x.shape[:2], -1)


def embedding(node):
    """Rows of tables of words, positions and segments, normalized."""
    ids = node[0].astype(int)
    x = node[2][ids].astype(np.float64) + (node[3][:ids.shape[1]] if node[8] is None else node[3][node[8].astype(int)])
    if node[4] is not None:
        x = x + node[4][node[1].astype(int)]
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x ** 2).mean(-1, keepdims=True) + node.get("epsilon", 1e-12)) * node[5] + node[6]


def fused_matmul(node):
    second = node[1].T if node.get("transB", 0) else node[1]
    return node.get("alpha", 1.0) * (node[0].astype(np.float64) @ second)


# ---- convolutions and pools ----


def pads_of(node, shape, kernel, strides, dilations):
    dims = len(kernel)
    mode = node.get("auto_pad", "NOTSET")
    if mode == "NOTSET":
        pads = node.get("pads", [0] * 2 * dims)
        return list(zip(pads[:dims], pads[dims:]))
    if mode == "VALID":
        return [(0, 0)] * dims
    result = []
    for size, k, s, d in zip(shape, kernel, strides, dilations):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        small = total // 2
        result.append((total - small, small) if mode == "SAME_LOWER" else (small, total - small))
    return result


def windows(x, kernel, strides, dilations, pads, fill, ceil=False):
    """(N, C, *out, *kernel) of the padded x."""
    out = []
    extra = []
    for size, k, s, d, (a, b) in zip(x.shape[2:], kernel, strides, dilations, pads):
        reach = (k - 1) * d + 1
        span = size + a + b - reach
        n = (-(-span // s) if ceil else span // s) + 1
        if ceil and (n - 1) * s >= size + a:  # no window starts in the padding behind
            n -= 1
        out.append(n)
        extra.append(max((n - 1) * s + reach - size - a - b, 0))
    padding = [(0, 0), (0, 0)] + [(a, b + e) for (a, b), e in zip(pads, extra)]
    padded = np.pad(x, padding, constant_values=fill)
    result = np.empty(x.shape[:2] + tuple(out) + tuple(kernel), x.dtype)
    dims = len(kernel)
    for offset in itertools.product(*[range(k) for k in kernel]):
        cut = tuple(slice(o * d, o * d + (n - 1) * s + 1, s) for o, d, n, s in zip(offset, dilations, out, strides))
        result[(Ellipsis,) + offset] = padded[(slice(None), slice(None)) + cut]
    assert result.ndim == 2 + 2 * dims
    return result


def conv(node):
    x, w, b = node[0].astype(np.float64), node[1].astype(np.float64), node[2]
    kernel = w.shape[2:]
    dims = len(kernel)
    strides = node.get("strides", [1] * dims)
    dilations = node.get("dilations", [1] * dims)
    groups = node.get("group", 1)
    win = windows(x, kernel, strides, dilations, pads_of(node, x.shape[2:], kernel, strides, dilations), 0.0)
    out = win.shape[2 : 2 + dims]
    win = np.moveaxis(win, 1, 1 + dims).reshape((x.shape[0],) + out + (groups, -1))
    y = np.einsum("n...gi,goi->n...go", win, w.reshape(groups, w.shape[0] // groups, -1))
    y = np.moveaxis(y.reshape((x.shape[0],) + out + (-1,)), -1, 1)
    if b is not None:
        y = y + b.reshape((-1,) + (1,) * dims)
    return y.astype(np.float32)


def conv_transpose(node):
    x, w, b = node[0].astype(np.float64), node[1].astype(np.float64), node[2]
    dims = x.ndim - 2
    strides = node.get("strides", [1] * dims)
    dilations = node.get("dilations", [1] * dims)
    groups = node.get("group", 1)
    pads = node.get("pads", [0] * 2 * dims)
    more = node.get("output_padding", [0] * dims)
    full = [(n - 1) * s + (k - 1) * d + 1 + e
            for n, s, k, d, e in zip(x.shape[2:], strides, w.shape[2:], dilations, more)]
    y = np.zeros((x.shape[0], groups, w.shape[1]) + tuple(full))
    xg = x.reshape((x.shape[0], groups, -1) + x.shape[2:])
    wg = w.reshape((groups, -1) + w.shape[1:])
    for offset in itertools.product(*[range(k) for k in w.shape[2:]]):
        part = np.einsum("ngi...,gio->ngo...", xg, wg[(Ellipsis,) + offset])
        cut = tuple(slice(o * d, o * d + (n - 1) * s + 1, s)
                    for o, d, n, s in zip(offset, dilations, x.shape[2:], strides))
        y[(slice(None),) * 3 + cut] += part
    y = y.reshape((x.shape[0], -1) + tuple(full))
    cut = tuple(slice(a, n - e) for a, e, n in zip(pads[:dims], pads[dims:], full))
    y = y[(slice(None),) * 2 + cut]
    if b is not None:
        y = y + b.reshape((-1,) + (1,) * dims)
    return y.astype(np.float32)


def pool(node):
    x = node[0]
    kernel = node.get("kernel_shape")
    dims = len(kernel)
    strides = node.get("strides", [1] * dims)
    dilations = node.get("dilations", [1] * dims)
    pads = pads_of(node, x.shape[2:], kernel, strides, dilations)
    ceil = bool(node.get("ceil_mode", 0))
    axes = tuple(range(-dims, 0))
    if node.op == "MaxPool":
        return windows(x, kernel, strides, dilations, pads, -np.inf, ceil).max(axes)
    sums = windows(x, kernel, strides, dilations, pads, 0.0, ceil).sum(axes)
    if node.get("count_include_pad", 0):
        padding = [(0, 0), (0, 0)] + list(pads)
        ones = np.pad(np.ones_like(x), padding, constant_values=1)
        return sums / windows(ones, kernel, strides, dilations, [(0, 0)] * dims, 0.0, ceil).sum(axes)
    return sums / windows(np.ones_like(x), kernel, strides, dilations, pads, 0.0, ceil).sum(axes)


# ---- shapes ----


def reshape(node):
    shape = [int(v) for v in node.parameter("shape", 1)]
    shape = [node[0].shape[i] if v == 0 else v for i, v in enumerate(shape)]
    return node[0].reshape(shape)


def flatten(node):
    axis = node.get("axis", 1)
    axis += node[0].ndim if axis < 0 else 0
    return node[0].reshape(math.prod(node[0].shape[:axis]), -1)


def axes_of(node):
    axes = node.parameter("axes", 1)
    return None if axes is None else tuple(int(a) for a in axes)


def unsqueeze(node):
    axes = axes_of(node)
    return np.expand_dims(node[0], tuple(a + (node[0].ndim + len(axes) if a < 0 else 0) for a in axes))


def slice_of(node):
    starts, ends = node.parameter("starts", 1), node.parameter("ends", 2)
    axes = node.parameter("axes", 3, range(len(starts)))
    steps = node[4] if node[4] is not None else [1] * len(starts)
    cut = [slice(None)] * node[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        size = node[0].shape[int(axis)]
        cut[int(axis)] = slice(int(start), None if step < 0 and end < -size else int(end), int(step))
    return node[0][tuple(cut)]


def split(node):
    axis = node.get("axis", 0)
    sizes = node.parameter("split", 1)
    if sizes is None:
        sizes = [node[0].shape[axis] // node.outputs] * node.outputs
    return tuple(np.split(node[0], np.cumsum([int(s) for s in sizes])[:-1], axis))


def pad(node):
    pads = [int(v) for v in node.parameter("pads", 1)]
    value = node.parameter("value", 2, 0.0)
    mode = node.get("mode", "constant")
    pairs = list(zip(pads[: node[0].ndim], pads[node[0].ndim :]))
    if mode == "constant":
        return np.pad(node[0], pairs, constant_values=np.float32(value))
    return np.pad(node[0], pairs, mode)


def resize(node):
    """Nearest and linear, of the ways to place pixels that occur."""
    x = node[0]
    old = node.op == "Upsample" or node.opset < 11
    scales = node.parameter("scales", 1 if old else 2)
    sizes = None if old else node[3]
    shape = sizes if sizes is not None else [math.floor(n * s) for n, s in zip(x.shape, scales)]
    way = "asymmetric" if old else node.get("coordinate_transformation_mode", "half_pixel")
    nearest_mode = "floor" if old else node.get("nearest_mode", "round_prefer_floor")
    for axis, size in enumerate(int(n) for n in shape):
        n = x.shape[axis]
        if size == n:
            continue
        i = np.arange(size)
        scale = scales[axis] if scales is not None and len(scales) else size / n
        if way == "asymmetric":
            at = i / scale
        elif way == "align_corners":
            at = i * (n - 1) / (size - 1)
        else:
            at = (i + 0.5) / scale - 0.5
            if way == "pytorch_half_pixel" and size == 1:
                at = np.zeros(1)
        if node.get("mode", "nearest") == "nearest":
            rounded = np.floor(at) if nearest_mode == "floor" else np.ceil(at - 0.5)
            x = np.take(x, np.clip(rounded, 0, n - 1).astype(int), axis)
        else:
            low = np.floor(at)
            share = (at - low).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
            first, second = (np.take(x, np.clip(low + k, 0, n - 1).astype(int), axis) for k in (0, 1))
            x = first * (1 - share) + second * share
    return x.astype(np.float32)


def depth_to_space(node):
    n, c, h, w = node[0].shape
    b = node.get("blocksize")
    if node.get("mode", "DCR") == "DCR":
        return node[0].reshape(n, b, b, c // b // b, h, w).transpose(0, 3, 4, 1, 5, 2).reshape(n, -1, h * b, w * b)
    return node[0].reshape(n, c // b // b, b, b, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, -1, h * b, w * b)


def space_to_depth(node):
    n, c, h, w = node[0].shape
    b = node.get("blocksize")
    return node[0].reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4).reshape(n, -1, h // b, w // b)


# ---- values ----


def softmax_rows(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def softmax(node):
    x = node[0]
    if node.opset >= 13:
        y = softmax_rows(x, node.get("axis", -1))
    else:
        axis = node.get("axis", 1)
        axis += x.ndim if axis < 0 else 0
        y = softmax_rows(x.reshape(math.prod(x.shape[:axis]), -1), 1).reshape(x.shape)
    return np.log(y) if node.op == "LogSoftmax" else y


def gemm(node):
    a = node[0].T if node.get("transA", 0) else node[0]
    b = node[1].T if node.get("transB", 0) else node[1]
    y = node.get("alpha", 1.0) * (a.astype(np.float64) @ b)
    return (y if node[2] is None else y + node.get("beta", 1.0) * node[2]).astype(np.float32)


def clip(node):
    x = node[0]
    low, high = node.parameter("min", 1), node.parameter("max", 2)
    x = x if low is None else np.maximum(x, np.float32(low))
    return x if high is None else np.minimum(x, np.float32(high))


def along(value, axis, ndim):
    return value if value.ndim == 0 else value.reshape([-1 if a == axis % ndim else 1 for a in range(ndim)])


def batch_normalization(node):
    scale, shift, mean, variance = (along(node[i], 1, node[0].ndim) for i in range(1, 5))
    return ((node[0] - mean) / np.sqrt(variance + node.get("epsilon", 1e-5)) * scale + shift).astype(np.float32)


def quantize_linear(node):
    x, scale, zero = node.inputs[:3]
    axis = node.get("axis", 1)
    limits = np.iinfo(zero.dtype)
    codes = np.rint(x / along(scale, axis, x.ndim)) + along(zero.astype(np.float32), axis, x.ndim)
    return np.clip(codes, limits.min, limits.max).astype(zero.dtype)


def dequantize_linear(node):
    x, scale = node[0], node[1]
    assert x.dtype in (np.int8, np.uint8, np.uint16, np.int32)
    axis = node.get("axis", 1)
    zero = np.zeros((), x.dtype) if node[2] is None else node[2]
    if node.get("block_size", 0) > 0:
        spread = lambda a: np.repeat(a, node.get("block_size"), axis)[tuple(slice(n) for n in x.shape)]  # noqa: E731
        zero = spread(zero) if zero.ndim else zero
        return (x.astype(np.float32) - zero.astype(np.float32)) * spread(scale)
    return (x.astype(np.float32) - along(zero.astype(np.float32), axis, x.ndim)) * along(scale, axis, x.ndim)


def matmul_nbits(node):
    """ONNX Runtime's: codes from 0 on, low bits first, in blocks of inputs; zero points are packed the same way."""
    size, bits = node.get("block_size"), node.get("bits")
    channels, inputs = node.get("N"), node.get("K")
    blocks = -(-inputs // size)

    def fields(data, count):
        rows = data.reshape(channels, -1)
        parts = [(rows >> shift) & (2 ** bits - 1) for shift in range(0, 8, bits)]
        return np.stack(parts, -1).reshape(channels, -1)[:, :count].astype(np.float32)

    codes = fields(node[1], blocks * size).reshape(channels, blocks, size)
    zeros = np.full((channels, blocks), 2 ** (bits - 1)) if node[3] is None else fields(node[3], blocks)
    weights = (codes - zeros[:, :, None]) * node[2].reshape(channels, blocks, 1)
    return node[0] @ weights.reshape(channels, -1)[:, :inputs].T.astype(np.float32)


def reduced(function):
    def apply(node):
        return function(node[0], axis=axes_of(node), keepdims=bool(node.get("keepdims", 1)))

    return apply


def prelu(node):
    slope = node[1]
    return np.where(node[0] < 0, node[0] * slope, node[0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hard_sigmoid(x, alpha, beta):
    return np.clip(alpha * x + beta, 0, 1)


def folded(function):
    def apply(node):
        result = node[0]
        for other in node.inputs[1:]:
            result = function(result, other)
        return result

    return apply


def instance_normalization(node):
    axes = tuple(range(2, node[0].ndim))
    mean, variance = node[0].mean(axes, keepdims=True), node[0].var(axes, keepdims=True)
    normal = (node[0] - mean) / np.sqrt(variance + node.get("epsilon", 1e-5))
    return normal * along(node[1], 1, node[0].ndim) + along(node[2], 1, node[0].ndim)


def local_response(node):
    x, size = node[0], node.get("size")
    padding = [(0, 0)] * x.ndim
    padding[1] = ((size - 1) // 2, size // 2)
    squares = np.pad(x * x, padding)
    sums = sum(squares[:, k : k + x.shape[1]] for k in range(size))
    return x / (node.get("bias", 1.0) + node.get("alpha", 1e-4) / size * sums) ** node.get("beta", 0.75)


SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875

OPERATORS = {
    "Abs": lambda n: np.abs(n[0]),
    "Ceil": lambda n: np.ceil(n[0]),
    "EmbedLayerNormalization": embedding,
    "Erf": lambda n: np.vectorize(math.erf)(n[0]),
    "Expand": lambda n: n[0] * np.ones([int(v) for v in n[1]], np.float32),
    "Floor": lambda n: np.floor(n[0]),
    "InstanceNormalization": instance_normalization,
    "LRN": local_response,
    "Log": lambda n: np.log(n[0]),
    "Neg": lambda n: -n[0],
    "Pow": lambda n: n[0] ** n[1],
    "Reciprocal": lambda n: 1 / n[0],
    "ReduceL1": reduced(lambda x, **where: np.abs(x).sum(**where)),
    "ReduceL2": reduced(lambda x, **where: np.sqrt((x * x).sum(**where))),
    "ReduceMin": reduced(np.min),
    "Selu": lambda n: SELU_GAMMA * np.where(n[0] > 0, n[0], SELU_ALPHA * (np.exp(np.minimum(n[0], 0)) - 1)),
    "Softsign": lambda n: n[0] / (1 + np.abs(n[0])),
    "Add": lambda n: n[0] + n[1],
    "Attention": attention,
    "AveragePool": pool,
    "BatchNormalization": batch_normalization,
    "Cast": lambda n: n[0].astype(helper.mapping.TENSOR_TYPE_TO_NP_TYPE[n.get("to")]),
    "Clip": clip,
    "Concat": lambda n: np.concatenate(n.inputs, n.get("axis")),
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "DepthToSpace": depth_to_space,
    "DequantizeLinear": dequantize_linear,
    "Div": lambda n: n[0] // n[1] if n[0].dtype.kind == "i" else n[0] / n[1],
    "Dropout": lambda n: n[0],
    "Elu": lambda n: np.where(n[0] < 0, n.get("alpha", 1.0) * (np.exp(np.minimum(n[0], 0)) - 1), n[0]),
    "Exp": lambda n: np.exp(n[0]),
    "Flatten": flatten,
    "Gather": lambda n: np.take(n[0], n[1].astype(int), n.get("axis", 0)),
    "FusedMatMul": fused_matmul,
    "GRU": recurrent,
    "Gemm": gemm,
    "GlobalAveragePool": lambda n: n[0].mean(tuple(range(2, n[0].ndim)), keepdims=True),
    "GlobalMaxPool": lambda n: n[0].max(tuple(range(2, n[0].ndim)), keepdims=True),
    "HardSigmoid": lambda n: hard_sigmoid(n[0], n.get("alpha", 0.2), n.get("beta", 0.5)),
    "HardSwish": lambda n: n[0] * hard_sigmoid(n[0], 1 / 6, 0.5),
    "Identity": lambda n: n[0],
    "LeakyRelu": lambda n: np.where(n[0] < 0, np.float32(n.get("alpha", 0.01)) * n[0], n[0]),
    "LSTM": recurrent,
    "LogSoftmax": softmax,
    "MatMul": lambda n: (n[0].astype(np.float64) @ n[1]).astype(np.float32),
    "Max": folded(np.maximum),
    "MaxPool": pool,
    "Min": folded(np.minimum),
    "Mul": lambda n: n[0] * n[1],
    "PRelu": prelu,
    "Pad": pad,
    "QuantizeLinear": quantize_linear,
    "ReduceMax": reduced(np.max),
    "ReduceMean": reduced(np.mean),
    "ReduceSum": reduced(np.sum),
    "Relu": lambda n: np.maximum(n[0], 0),
    "Reshape": reshape,
    "Resize": resize,
    "Shape": lambda n: np.array(n[0].shape, np.int64),
    "Sigmoid": lambda n: sigmoid(n[0]),
    "Slice": slice_of,
    "Softmax": softmax,
    "MatMulNBits": matmul_nbits,
    "Softplus": lambda n: np.log1p(np.exp(n[0])),
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Sqrt": lambda n: np.sqrt(n[0]),
    "Squeeze": lambda n: np.squeeze(n[0], axes_of(n)),
    "Sub": lambda n: n[0] - n[1],
    "Sum": folded(np.add),
    "Tanh": lambda n: np.tanh(n[0]),
    "Transpose": lambda n: np.transpose(n[0], n.get("perm")),
    "Unsqueeze": unsqueeze,
    "Upsample": resize,
}


def constant(node):
    (attribute,) = node.attribute
    value = helper.get_attribute_value(attribute)
    return to_array(value) if attribute.type == attribute.TENSOR else np.array(value)


def run(model, feeds):
    graph = model.graph
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    values = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    values.update(feeds)
    values[""] = None
    with np.errstate(over="ignore"):
        for node in graph.node:
            if node.op_type == "Constant":
                values[node.output[0]] = constant(node)
                continue
            result = OPERATORS[node.op_type](Node(node, [values[name] for name in node.input], opset))
            results = result if isinstance(result, tuple) else (result,)
            for name, value in zip(node.output, results):
                values[name] = value.astype(np.float32) if value.dtype == np.float64 else value
    return {value.name: values[value.name] for value in graph.output}


def input_name(model):
    constants = {tensor.name for tensor in model.graph.initializer}
    (name,) = [value.name for value in model.graph.input if value.name not in constants]
    return name


assert TensorProto.INT8 == 3
