"""Reads packed tensors with NumPy, by the published layouts, and holds them against what the library says that they are.

    formats.py WRITE_CASES FOLDER
"""

import json
import pathlib
import subprocess
import sys

import numpy as np

INT8, UINT8, INT32, UINT32, UINT64 = range(1601, 1606)
INT4, UINT4, INT2, UINT2 = range(1611, 1615)
FLOAT32, FLOAT16, BFLOAT16, E4M3 = range(1621, 1625)
SYMMETRIC, FULL, ZERO_POINT = 100, 101, 102
DTYPES = {INT8: np.int8, UINT8: np.uint8, INT32: np.int32, UINT32: np.uint32, FLOAT32: np.float32, FLOAT16: np.float16}
f32 = np.float32


def bits_of(array, width, count):
    """Unsigned numbers of a few bits from a little-endian stream of bits: the last axis is bytes."""
    stream = np.unpackbits(array, axis=-1, bitorder="little")[..., : count * width]
    return stream.reshape(*array.shape[:-1], count, width) @ (1 << np.arange(width))


def signed(fields, width):
    return np.where(fields >= 1 << (width - 1), fields - (1 << width), fields)


def e4m3(bytes_):
    sign, exponent, fraction = bytes_ >> 7, bytes_ >> 3 & 15, bytes_ & 7
    value = np.where(exponent > 0, (8 + fraction) * 2.0 ** (exponent.astype(int) - 10), fraction * 2.0**-9)
    return np.where(sign == 1, -value, value).astype(f32)


class Case:
    def __init__(self, description, packed, weights, order):
        self.__dict__.update(description)
        self.packed, self.weights, self.order_of = packed, weights, order
        self.groups = -(-self.fan_in // self.group_size)

    def part(self, name):
        part = self.parts[name]
        raw = self.packed[part["offset"] : part["offset"] + part["size"]]
        kind, shape = part["type"], part["shape"]
        if kind in DTYPES:
            return raw.view(DTYPES[kind]).reshape(shape)
        if kind == BFLOAT16:
            return (raw.view(np.uint16).astype(np.uint32) << 16).view(f32).reshape(shape)
        if kind == E4M3:
            return e4m3(raw).reshape(shape)
        width = 4 if kind in (INT4, UINT4) else 2
        fields = bits_of(raw, width, int(np.prod(shape, dtype=int)))
        return (signed(fields, width) if kind in (INT4, INT2) else fields).reshape(shape)

    def spread(self, values):
        """One for each group, along the inputs."""
        return np.repeat(values, self.group_size, axis=-1)[..., : self.fan_in]


def product(scale, integers):
    return scale.astype(f32) * integers.astype(f32)


# ---- GPTQ and AWQ ----


def words_to_codes(words, bits):
    """Codes that go down an axis of words (words, columns): 32 / bits of them in each, low bits first; 32 in 3 for 3 bits."""
    words = words.view(np.uint32).astype(np.uint64)
    if bits != 3:
        shifts = np.arange(0, 32, bits, dtype=np.uint64)
        return (words[:, None, :] >> shifts[None, :, None] & np.uint64((1 << bits) - 1)).reshape(-1, words.shape[1])
    first, second, third = words[0::3], words[1::3], words[2::3]
    seven, rows = np.uint64(7), []
    for j in range(10):
        rows.append(first >> np.uint64(3 * j) & seven)
    rows.append(first >> np.uint64(30) | (second & np.uint64(1)) << np.uint64(2))
    for j in range(10):
        rows.append(second >> np.uint64(3 * j + 1) & seven)
    rows.append(second >> np.uint64(31) | (third & np.uint64(3)) << np.uint64(1))
    for j in range(10):
        rows.append(third >> np.uint64(3 * j + 2) & seven)
    return np.stack(rows, axis=1).reshape(-1, words.shape[1])


def read_gptq(case):
    codes = words_to_codes(case.part("qweight"), case.bits).astype(int)
    zeros = words_to_codes(case.part("qzeros").T.copy(), case.bits).T.astype(int)
    if case.format == "gptq":
        zeros = zeros + 1
    group = case.part("g_idx")
    weights = product(case.part("scales")[group], codes - zeros[group]).T
    return weights if case.order_of is None else weights[:, case.order_of]


def read_awq(case):
    order = np.array([0, 2, 4, 6, 1, 3, 5, 7])

    def columns(words):
        nibbles = words.view(np.uint32)[..., None] >> np.arange(0, 32, 4, dtype=np.uint32) & 15
        out = np.empty_like(nibbles)
        out[..., order] = nibbles
        return out.reshape(words.shape[0], -1).astype(int)

    group = np.arange(case.fan_in) // case.group_size
    codes, zeros = columns(case.part("qweight")), columns(case.part("qzeros"))
    return product(case.part("scales")[group], codes - zeros[group]).T


# ---- MLX, NVFP4, ncnn, TFLite, ONNX ----


def read_mlx(case):
    words = case.part("weight")
    codes = bits_of(words.view(np.uint8), case.bits, case.fan_in)
    return product(case.spread(case.part("scales")), codes) + case.spread(case.part("biases")).astype(f32)


def read_nvfp4(case):
    values = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6], f32)
    codes = bits_of(case.part("weight"), 4, case.fan_in)
    return case.spread(case.part("weight_scale") * case.part("weight_scale_2")) * values[codes]


def read_ncnn_int8(case):
    return case.part("weight") / case.part("scale")[:, None]


def read_ncnn_gemm(case):
    codes = signed(bits_of(case.part("qweight"), case.bits, case.fan_in), case.bits)
    return codes / case.spread(case.part("scale"))


def read_tflite(case):
    return product(case.part("scale")[:, None], case.part("weight"))


def read_onnx(case):
    scale, codes = case.part("x_scale"), case.part("x").astype(int)
    zero = case.part("x_zero_point").astype(int) if "x_zero_point" in case.parts else np.zeros(scale.shape, int)
    if scale.ndim == 1:
        scale, zero = scale[:, None], zero[:, None]
    elif scale.ndim == 2:
        scale, zero = case.spread(scale), case.spread(zero)
    return product(scale, codes - zero)


def read_matmul_nbits(case):
    blocks = case.part("B")
    codes = bits_of(blocks.reshape(case.channels, -1), case.bits, case.groups * case.group_size)[:, : case.fan_in]
    zeros = np.full((case.channels, case.groups), 1 << (case.bits - 1))
    if "zero_points" in case.parts:
        zeros = bits_of(case.part("zero_points"), case.bits, case.groups)
    return product(case.spread(case.part("scales")), codes - case.spread(zeros))


# ---- GGUF: ggml's structs, block by block ----

IQ4 = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113])
MXFP4 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12])


def half(blocks, at):
    return blocks[:, at : at + 2].copy().view(np.float16).astype(f32)


def halves(bytes_):
    """Low nibbles, then high nibbles."""
    return np.concatenate([bytes_ & 15, bytes_ >> 4], axis=-1).astype(int)


def fifth(bytes_):
    return np.unpackbits(bytes_, axis=-1, bitorder="little").astype(int) << 4


def pairs(bytes_):
    """64 bytes: in each 32 first the lowest two bits of all, then the next."""
    lines = bytes_.reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6]).reshape(1, 1, 4, 1) & 3
    return lines.reshape(-1, 256).astype(int)


def nibbles_of_64(bytes_):
    lines = bytes_.reshape(-1, 4, 1, 32) >> np.array([0, 4]).reshape(1, 1, 2, 1) & 15
    return lines.reshape(-1, 256).astype(int)


def planes(bytes_):
    lines = bytes_.reshape(-1, 1, 32) >> np.arange(8).reshape(1, 8, 1) & 1
    return lines.reshape(-1, 256).astype(int)


def k_scales(bytes_):
    """12 bytes: 8 scales and 8 minimums of 6 bits."""
    b = bytes_.astype(int)
    scale = np.concatenate([b[:, 0:4] & 63, (b[:, 8:12] & 15) | (b[:, 0:4] >> 6) << 4], axis=1)
    least = np.concatenate([b[:, 4:8] & 63, (b[:, 8:12] >> 4) | (b[:, 4:8] >> 6) << 4], axis=1)
    return scale, least


def by(scales, codes):
    return np.repeat(scales, codes.shape[1] // scales.shape[1], axis=1) * codes.astype(f32)


def q2_k(b):
    scale, least = half(b, 80) * (b[:, :16] & 15), half(b, 82) * (b[:, :16] >> 4)
    return by(scale, pairs(b[:, 16:80])) - np.repeat(least, 16, axis=1)


def q3_k(b):
    s = b[:, 96:108].astype(int)
    low = np.concatenate([s[:, :8] & 15, s[:, :8] >> 4], axis=1)
    high = np.concatenate([s[:, 8:] >> k & 3 for k in (0, 2, 4, 6)], axis=1)
    codes = pairs(b[:, 32:96]) - 4 * (1 - planes(b[:, :32]))
    return by(half(b, 108) * ((low | high << 4) - 32).astype(f32), codes)


def k_type(b, codes):
    scale, least = k_scales(b[:, 4:16])
    return by(half(b, 0) * scale.astype(f32), codes) - np.repeat(half(b, 2) * least.astype(f32), 32, axis=1)


def q6_k(b):
    low, high = b[:, :128].reshape(-1, 2, 2, 32), b[:, 128:192].reshape(-1, 2, 1, 32)
    nibbles = np.concatenate([low & 15, low >> 4], axis=2)
    codes = nibbles | (high >> np.array([0, 2, 4, 6]).reshape(1, 1, 4, 1) & 3) << 4
    return by(half(b, 208) * b[:, 192:208].view(np.int8).astype(f32), codes.reshape(-1, 256).astype(int) - 32)


def iq4_xs(b):
    high = b[:, 2:4].copy().view(np.uint16).astype(int)
    low = np.stack([b[:, 4:8] & 15, b[:, 4:8] >> 4], axis=2).reshape(-1, 8).astype(int)
    scale = (low | (high >> np.arange(0, 16, 2) & 3) << 4) - 32
    codes = halves(b[:, 8:].reshape(-1, 8, 16)).reshape(-1, 256)
    return by(half(b, 0) * scale.astype(f32), IQ4[codes])


GGUF = {
    "q4_0": lambda b: half(b, 0) * (halves(b[:, 2:]) - 8).astype(f32),
    "q4_1": lambda b: half(b, 0) * halves(b[:, 4:]).astype(f32) + half(b, 2),
    "q5_0": lambda b: half(b, 0) * ((halves(b[:, 6:]) | fifth(b[:, 2:6])) - 16).astype(f32),
    "q5_1": lambda b: half(b, 0) * (halves(b[:, 8:]) | fifth(b[:, 4:8])).astype(f32) + half(b, 2),
    "q8_0": lambda b: half(b, 0) * b[:, 2:].view(np.int8).astype(f32),
    "q2_k": q2_k,
    "q3_k": q3_k,
    "q4_k": lambda b: k_type(b, nibbles_of_64(b[:, 16:])),
    "q5_k": lambda b: k_type(b, nibbles_of_64(b[:, 48:]) | planes(b[:, 16:48]) << 4),
    "q6_k": q6_k,
    "iq4_nl": lambda b: half(b, 0) * IQ4[halves(b[:, 2:])].astype(f32),
    "iq4_xs": iq4_xs,
    "tq2_0": lambda b: half(b, 64) * (pairs(b[:, :64]) - 1).astype(f32),
    "mxfp4": lambda b: (2.0 ** (b[:, :1].astype(float) - 128)).astype(f32) * MXFP4[halves(b[:, 1:])].astype(f32),
}


def read_gguf(case):
    blocks = case.part("blocks")
    return GGUF[case.format[5:]](blocks.reshape(-1, blocks.shape[2])).astype(f32).reshape(case.channels, case.fan_in)


READERS = {
    "gptq": read_gptq,
    "gptq_v2": read_gptq,
    "awq": read_awq,
    "mlx": read_mlx,
    "nvfp4": read_nvfp4,
    "ncnn_int8": read_ncnn_int8,
    "ncnn_gemm": read_ncnn_gemm,
    "tflite_int8": read_tflite,
    "tflite_int4": read_tflite,
    "onnx_matmul_nbits": read_matmul_nbits,
}


def reader_of(name):
    if name.startswith("gguf_"):
        return read_gguf
    return READERS.get(name) or read_onnx


def cases(path):
    raw = path.read_bytes()
    at = 0
    while at < len(raw):
        end = raw.index(b"\n", at)
        description = json.loads(raw[at:end])
        at = end + 1
        count = description["channels"] * description["fan_in"]

        def take(dtype, number):
            nonlocal at
            array = np.frombuffer(raw, dtype, number, at).copy()
            at += array.nbytes
            return array

        packed = take(np.uint8, description["size"])
        weights = take(f32, count).reshape(description["channels"], description["fan_in"])
        order = take(np.int32, description["fan_in"]) if description["order"] else None
        yield Case(description, packed, weights, order)


def main():
    program, folder = sys.argv[1:]
    subprocess.run([program, folder], check=True, stdout=subprocess.DEVNULL)
    passed = failed = 0
    for path in sorted(pathlib.Path(folder).glob("*.cases")):
        for case in cases(path):
            read = reader_of(case.format)(case)
            # ncnn's scales are rounded reciprocals.
            close = case.format.startswith("ncnn") and np.allclose(read, case.weights, rtol=3e-7, atol=0)
            if read.shape == case.weights.shape and (close or np.array_equal(read, case.weights)):
                passed += 1
                continue
            failed += 1
            print(f"failed: {case.format}, {case.bits} bits, grid {case.grid}, {case.channels} x {case.fan_in}, groups of "
                  f"{case.group_size}")
    print(f"formats: {passed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not passed else 0


sys.exit(main())
