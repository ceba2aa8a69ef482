#!/usr/bin/env python3
"""Trains the demo's network with numpy alone and writes its weights.

    python3 examples/demo/train.py examples/demo/weights

Pictures are drawn by pictures.c, the same file that the demo draws with; it is compiled into a shared object
here (environment variable CC, default cc). No picture is seen twice, and none of the demo's calibration or test
pictures is used. The same machine and numpy give the same weights again; others give weights that are as good.
"""
import argparse
import ctypes
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
SIZE, COLORS, CLASSES = 24, 3, 16
STREAM_TRAINING, STREAM_VALIDATION = 1, 4
MAGIC = b"bsqdemo1"
CONV, DEPTHWISE, LINEAR = 1, 2, 3


@dataclass
class Layer:
    """Weights are (outputs, kernel, kernel, inputs of one output), ReLU follows every layer but the last.

    A residual layer adds its input before the ReLU; a linear layer takes the mean over the picture first."""

    name: str
    kind: int
    inputs: int
    outputs: int
    kernel: int
    stride: int
    residual: bool = False


NETWORK = [
    Layer("stem", CONV, COLORS, 24, 5, 2),
    Layer("depthwise", DEPTHWISE, 24, 24, 3, 1),
    Layer("pointwise", CONV, 24, 32, 1, 1),
    Layer("shrink", CONV, 32, 48, 3, 2),
    Layer("residual", CONV, 48, 48, 3, 1, residual=True),
    Layer("widen", CONV, 48, 96, 1, 1),
    Layer("classes", LINEAR, 96, CLASSES, 1, 1),
]


class Demo:
    """The demo's own C files, called through ctypes."""

    def __init__(self, folder):
        library = pathlib.Path(folder) / "demo.so"
        command = os.environ.get("CC", "cc").split()
        command += ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-shared", "-fPIC", "-pthread", "-o", str(library)]
        command += [str(HERE / name) for name in ("pictures.c", "network.c", "work.c")]
        subprocess.run(command + ["-lm"], check=True)
        self.library = ctypes.CDLL(str(library))
        self.library.network_read.restype = ctypes.c_void_p

    def draw(self, stream, first, count):
        pixels = np.empty((count, SIZE, SIZE, COLORS), np.float32)
        labels = np.empty(count, np.int32)
        self.library.pictures_draw(ctypes.c_int64(stream), ctypes.c_int64(first), ctypes.c_int64(count),
                                   pixels.ctypes.data_as(ctypes.c_void_p), labels.ctypes.data_as(ctypes.c_void_p))
        return pixels, labels

    def scores(self, path, pixels):
        problem = ctypes.c_char_p()
        network = self.library.network_read(str(path).encode(), ctypes.c_int32(SIZE), ctypes.c_int32(COLORS),
                                            ctypes.byref(problem))
        if not network:
            raise RuntimeError(f"{path} {problem.value.decode()}")
        scores = np.empty((len(pixels), CLASSES), np.float32)
        self.library.network_run(ctypes.c_void_p(network), ctypes.c_int64(len(pixels)),
                                 pixels.ctypes.data_as(ctypes.c_void_p), scores.ctypes.data_as(ctypes.c_void_p))
        self.library.network_free(ctypes.c_void_p(network))
        return scores


def windows(layer, x):
    """The kernel * kernel shifted views of the padded input; each is (pictures, height, width, inputs)."""
    pad = layer.kernel // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    height, width = (x.shape[1] - 1) // layer.stride + 1, (x.shape[2] - 1) // layer.stride + 1
    cuts = [(slice(None), slice(i, i + (height - 1) * layer.stride + 1, layer.stride),
             slice(j, j + (width - 1) * layer.stride + 1, layer.stride))
            for i in range(layer.kernel) for j in range(layer.kernel)]
    return padded, cuts


BUFFERS = {}


def buffer(layer, purpose, shape):
    """The same memory at every step: fresh pages for large arrays would cost as much time as the arithmetic."""
    key = layer.name, purpose, shape
    if key not in BUFFERS:
        BUFFERS[key] = np.empty(shape, np.float32)
    return BUFFERS[key]


def forward(layer, weights, x):
    """The sum of products, and what backward needs."""
    if layer.kind == LINEAR:
        mean = x.mean((1, 2))
        return mean @ weights.reshape(layer.outputs, -1).T, mean
    padded, cuts = windows(layer, x)
    if layer.kind == DEPTHWISE:
        taps = weights.reshape(layer.outputs, -1).T
        return sum(padded[cut] * tap for cut, tap in zip(cuts, taps)), padded
    views = [padded[cut] for cut in cuts]
    shape = views[0].shape[:3] + (len(cuts) * layer.inputs,)
    columns = np.concatenate(views, axis=3, out=buffer(layer, "columns", shape))
    matrix = weights.reshape(layer.outputs, -1)
    return (columns.reshape(-1, shape[3]) @ matrix.T).reshape(shape[:3] + (layer.outputs,)), columns


def backward(layer, weights, x, kept, slope):
    """Gradients of weights and input, from the slope of the loss at the output."""
    matrix = weights.reshape(layer.outputs, -1)
    if layer.kind == LINEAR:
        input_slope = (slope @ matrix)[:, None, None, :] / (x.shape[1] * x.shape[2])
        return (slope.T @ kept).reshape(weights.shape), np.broadcast_to(input_slope, x.shape)
    padded, cuts = windows(layer, x)
    padded_slope = np.zeros_like(padded)
    if layer.kind == DEPTHWISE:
        weight_slope = np.stack([np.einsum("bhwc,bhwc->c", padded[cut], slope) for cut in cuts], axis=1)
        for cut, tap in zip(cuts, matrix.T):
            padded_slope[cut] += slope * tap
    else:
        rows = slope.reshape(-1, layer.outputs)
        weight_slope = rows.T @ kept.reshape(len(rows), -1)
        column_slope = np.matmul(rows, matrix, out=buffer(layer, "slopes", (len(rows), matrix.shape[1])))
        for cut, part in zip(cuts, np.split(column_slope.reshape(kept.shape), len(cuts), axis=3)):
            padded_slope[cut] += part
    pad = layer.kernel // 2
    inner = padded_slope[:, pad:pad + x.shape[1], pad:pad + x.shape[2]]
    return weight_slope.reshape(weights.shape), inner


class Norm:
    """Batch normalization of one layer's outputs; gain and bias are trained, the mean and variance are followed."""

    def __init__(self, outputs, gain):
        self.gain, self.bias = np.full(outputs, gain, np.float32), np.zeros(outputs, np.float32)
        self.mean, self.variance = np.zeros(outputs, np.float32), np.ones(outputs, np.float32)

    def forward(self, y):
        axes = tuple(range(y.ndim - 1))
        mean, variance = y.mean(axes), y.var(axes)
        self.mean += 0.01 * (mean - self.mean)
        self.variance += 0.01 * (variance - self.variance)
        deviation = np.sqrt(variance + 1e-5)
        unit = (y - mean) / deviation
        return unit * self.gain + self.bias, (unit, deviation)

    def backward(self, kept, slope):
        unit, deviation = kept
        axes = tuple(range(slope.ndim - 1))
        bias_slope, gain_slope = slope.sum(axes), (slope * unit).sum(axes)
        count = slope.size // slope.shape[-1]
        y_slope = (slope - bias_slope / count - unit * (gain_slope / count)) * (self.gain / deviation)
        return gain_slope, bias_slope, y_slope

    def folded(self, weights):
        """The weights and bias of the same layer without normalization."""
        factor = self.gain / np.sqrt(self.variance + 1e-5)
        return weights * factor[:, None, None, None], self.bias - self.mean * factor


def finish(layer, x, y):
    """What follows the sum of products: residual and ReLU."""
    if layer.residual:
        y = y + x
    return y if layer.kind == LINEAR else np.maximum(y, 0)


def scores_of(folded, x):
    """The finished network: class scores."""
    for layer, (weights, bias) in zip(NETWORK, folded):
        x = finish(layer, x, forward(layer, weights, x)[0] + bias)
    return x


def gradients(weights, norms, x, labels):
    """Mean cross entropy over the batch, and its gradient for all weights, gains and biases, in this order."""
    trace = []
    for layer, w, norm in zip(NETWORK, weights, norms):
        product, kept = forward(layer, w, x)
        y, kept_norm = norm.forward(product)
        y = finish(layer, x, y)
        trace.append((layer, w, norm, x, kept, kept_norm, y))
        x = y
    chance = np.exp(x - x.max(1, keepdims=True))
    chance /= chance.sum(1, keepdims=True)
    picked = np.arange(len(labels)), labels
    loss = -np.log(chance[picked] + 1e-12).mean()
    chance[picked] -= 1
    slope = chance / len(labels)
    slopes = []
    for layer, w, norm, x, kept, kept_norm, y in reversed(trace):
        if layer.kind != LINEAR:
            slope = slope * (y > 0)
        gain_slope, bias_slope, product_slope = norm.backward(kept_norm, slope)
        weight_slope, input_slope = backward(layer, w, x, kept, product_slope)
        slope = input_slope + slope if layer.residual else input_slope
        slopes.append((weight_slope, gain_slope, bias_slope))
    return loss, [slope for group in zip(*reversed(slopes)) for slope in group]


def initial(random):
    """He's start: the outputs of every layer have about the variance of its inputs."""
    weights = []
    for layer in NETWORK:
        inputs = 1 if layer.kind == DEPTHWISE else layer.inputs
        shape = (layer.outputs, layer.kernel, layer.kernel, inputs)
        weights.append((random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32))
    return weights, [Norm(layer.outputs, 0.3 if layer.residual else 1.0) for layer in NETWORK]


class Adam:
    """Adam with decoupled weight decay."""

    def __init__(self, arrays, decay):
        self.arrays, self.decay, self.step = arrays, decay, 0
        self.first = [np.zeros_like(a) for a in arrays]
        self.second = [np.zeros_like(a) for a in arrays]

    def update(self, slopes, rate):
        self.step += 1
        rate_now = rate * np.sqrt(1 - 0.999 ** self.step) / (1 - 0.9 ** self.step)
        for a, m, v, g in zip(self.arrays, self.first, self.second, slopes):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            a -= (rate_now * m / (np.sqrt(v) + 1e-8) + rate * self.decay * (a.ndim > 1) * a).astype(np.float32)


def accuracy(folded, draw, count):
    right = 0
    for first in range(0, count, 250):
        x, labels = draw(STREAM_VALIDATION, first, 250)
        right += (scores_of(folded, x).argmax(1) == labels).sum()
    return right / count


def train(draw, steps, batch, rate):
    weights, norms = initial(np.random.default_rng(2020))
    adam = Adam(weights + [norm.gain for norm in norms] + [norm.bias for norm in norms], decay=0.01)
    start, shown = time.time(), 0.0
    for step in range(steps):
        x, labels = draw(STREAM_TRAINING, step * batch, batch)
        loss, slopes = gradients(weights, norms, x, labels)
        rising, falling = min(1, step / 200), 0.5 + 0.5 * np.cos(np.pi * step / steps)
        adam.update(slopes, rate * rising * falling)
        shown = loss if step == 0 else 0.98 * shown + 0.02 * loss
        if (step + 1) % 500 == 0:
            folded = [norm.folded(w) for w, norm in zip(weights, norms)]
            print(f"step {step + 1:6d}  loss {shown:.3f}  accuracy {accuracy(folded, draw, 1000):.3f}"
                  f"  {time.time() - start:4.0f} s", flush=True)
    return [norm.folded(w) for w, norm in zip(weights, norms)]


def write(path, folded):
    """Magic, number of layers, then for each layer its name (16 bytes) and six int32; then all weights and biases."""
    with open(path, "wb") as file:
        file.write(MAGIC + np.array([len(NETWORK)], "<i4").tobytes())
        for layer in NETWORK:
            numbers = [layer.kind, layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.residual]
            file.write(layer.name.encode().ljust(16, b"\0") + np.array(numbers, "<i4").tobytes())
        for weights, bias in folded:
            file.write(weights.astype("<f4").tobytes() + bias.astype("<f4").tobytes())


def read(path):
    with open(path, "rb") as file:
        file.seek(len(MAGIC) + 4 + len(NETWORK) * 40)
        values = np.frombuffer(file.read(), "<f4")
    folded = []
    for layer in NETWORK:
        shape = (layer.outputs, layer.kernel, layer.kernel, 1 if layer.kind == DEPTHWISE else layer.inputs)
        weights, bias, values = np.split(values, np.cumsum([np.prod(shape), layer.outputs]))
        folded.append((weights.reshape(shape), bias))
    return folded


def main():
    parser = argparse.ArgumentParser(description="train the demo's network")
    parser.add_argument("weights", help="file to write")
    parser.add_argument("--check", action="store_true", help="only compare numpy and C on weights that are there")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=5e-3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(folder)
        if not arguments.check:
            write(arguments.weights, train(demo.draw, arguments.steps, arguments.batch, arguments.rate))
        folded = read(arguments.weights)
        print(f"{sum(a.size for pair in folded for a in pair)} parameters, "
              f"accuracy on 8000 validation pictures: {accuracy(folded, demo.draw, 8000):.4f}")
        pixels, _ = demo.draw(STREAM_VALIDATION, 0, 250)
        scores = scores_of(folded, pixels)
        difference = abs(demo.scores(arguments.weights, pixels) - scores).max() / abs(scores).max()
        print(f"numpy and C differ by at most {difference:.1e} of the largest score")
    return 0 if difference < 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
