"""Tensors: formats, files, pickles, damaged files."""
import dataclasses
import json
import pickle
import struct

import numpy as np
import pytest

import bsq
from bsq import _native


@pytest.fixture
def tensors(linear, random):
    weights, inputs = linear
    conv = random.standard_normal((4, 3, 3, 3)).astype(np.float32)
    return [bsq.quantize(weights, inputs, bits=3), bsq.quantize(weights, inputs, bits=4, group_size=16, grid="full"),
            bsq.quantize(weights, inputs, bits=2, scale_kind="per_tensor"),
            bsq.quantize(conv, random.standard_normal((9, 3, 8, 8)), bits=5, padding=1, bias=np.ones(4), input_bits=4,
                         input_scale_kind="per_channel", bias_correction=True)]


def test_formats_round_trip(tensors):
    assert bsq.formats() == tuple(_native.FORMATS)
    tried = 0
    for tensor in tensors:
        for name in bsq.formats():
            try:
                packed = tensor.pack(name)
            except bsq.FormatError:
                continue
            assert packed.dtype == np.uint8
            assert tensor.unpack(name, packed) == tensor
            assert tensor.unpack(name, packed.tobytes()) == tensor
            tried += 1
    assert tried >= 12


def test_every_format_by_its_options(random):
    """Solved for a format, a tensor packs in it, and comes back with the same weights, but for what ncnn's floats cannot
    hold; its parts are the bytes."""
    weights, inputs = random.standard_normal((32, 256)), random.standard_normal((600, 256))
    tried = set()
    for name in bsq.formats():
        for bits in (4, 2):
            try:
                tensor = bsq.quantize(weights, inputs, format=name, bits=bits, effort=1)
                break
            except bsq.RangeError:
                continue
        packed = tensor.pack(name)
        again = tensor.unpack(name, packed)
        if name.startswith("ncnn"):
            assert np.allclose(again.dequantize(), tensor.dequantize(), rtol=1e-6)
        else:
            assert again == tensor and np.array_equal(again.dequantize(), tensor.dequantize())
        parts = tensor.parts(name)
        assert parts and sum(part.nbytes for part in parts.values()) <= packed.nbytes
        tried.add(name)
    assert tried == set(bsq.formats()) and len(tried) > 30
    assert set(bsq.quantize(weights, inputs, format="gptq", effort=0).parts("gptq")) == {"qweight", "qzeros", "scales", "g_idx"}


def test_groups_by_size(random, tmp_path):
    """desc_act: groups of inputs of similar size. The tensor's weights are in the order of the layer, packed and saved, and
    their error is what the report says."""
    size = np.exp(2 * random.standard_normal(64))
    inputs = random.standard_normal((300, 64)) * size
    weights, target = random.standard_normal((32, 64)) / size, random.standard_normal((300, 32))
    options = dict(format="gptq", bits=4, group_size=32, effort=2)
    plain = bsq.quantize(weights, inputs[:200], held_out=inputs[200:], **options)
    tensor = bsq.quantize(weights, inputs[:200], held_out=inputs[200:], desc_act=True, **options)
    assert np.array_equal(tensor.input_order, np.argsort(-np.square(inputs[:200]).sum(0), kind="stable"))
    assert tensor.report.error < 0.7 * plain.report.error
    assert tensor.report.held_out_error < 0.8 * plain.report.held_out_error
    off = weights - tensor.dequantize()
    error = np.square(inputs[:200] @ off.T).sum() / np.square(inputs[:200] @ weights.T).sum()
    assert tensor.report.error == pytest.approx(error, rel=1e-3)
    assert tensor.error(weights, inputs[:200]) == pytest.approx(tensor.report.error, rel=1e-5)
    assert tensor.error(weights) == pytest.approx(np.square(off).sum() / np.square(weights).sum(), rel=1e-5)
    assert np.array_equal(tensor.parts("gptq")["g_idx"][tensor.input_order], np.arange(64) // 32)
    again = tensor.unpack("gptq", tensor.pack("gptq"))
    assert np.array_equal(again.dequantize(), tensor.dequantize())
    tensor.save(tmp_path / "layer.safetensors")
    assert bsq.Tensor.load(tmp_path / "layer.safetensors") == tensor
    with_target = bsq.quantize(weights, inputs[:200], target=target[:200], bias=np.ones(32), desc_act=True, input_bits=8,
                               **options)
    assert with_target.error(weights, inputs[:200], target[:200], bias=np.ones(32), input_quantizer=with_target.input) == \
        pytest.approx(with_target.report.error, rel=1e-5)


def test_groups_by_size_are_refused(random):
    weights, inputs = random.standard_normal((32, 64)), random.standard_normal((300, 64))
    with pytest.raises(bsq.ArgumentError, match="format must be one of gptq, gptq_v2, .* not awq"):
        bsq.quantize(weights, inputs, format="awq", bits=4, group_size=32, desc_act=True)
    with pytest.raises(bsq.ArgumentError, match="linear layers alone"):
        bsq.quantize(weights.reshape(32, 16, 4), inputs.reshape(30, 16, 40), format="gptq", bits=4, group_size=32,
                     desc_act=True)
    with pytest.raises(bsq.StateError, match="needs inputs, or stats"):
        bsq.quantize(weights, format="gptq", bits=4, group_size=32, desc_act=True, effort=0)


def test_dequantize_is_the_formula_of_the_grid(random):
    """For every grid, what C gives is what its formula gives in numpy."""
    weights = random.standard_normal((6, 32))
    for grid in ("symmetric", "full", "zero_point", "offset", "powers_of_two", "nf4", "iq4_nl", "e2m1"):
        tensor = bsq.quantize(weights, bits=4, grid=grid, group_size=16, effort=1)
        assert np.allclose(tensor.dequantize(), tensor._folded(), rtol=1e-6, atol=1e-6), grid
    levels = bsq.quantize(weights, bits=2, grid="levels", levels=(-7, -1, 2, 9), effort=1)
    assert np.allclose(levels.dequantize(), levels._folded(), rtol=1e-6) and list(levels.levels) == [-7, -1, 2, 9]
    one = bsq.quantize(weights, bits=1, effort=1)
    assert set(np.unique(one.codes)) == {0, 1} and np.allclose(one.dequantize(), one._folded(), rtol=1e-6)


def test_onnx_int4_byte_by_byte(tensors):
    flat = tensors[0].codes.reshape(-1)
    low, high = flat[0::2].astype(np.uint8) & 15, flat[1::2].astype(np.uint8) & 15
    assert np.array_equal(tensors[0].pack("onnx_int4"), low | high << 4)


def test_bytes_that_are_not_of_the_format(tensors):
    tensor = tensors[0]
    packed = tensor.pack("int8")
    with pytest.raises(bsq.SizeError):
        tensor.unpack("int8", packed[:-1])
    packed[5] = 100
    with pytest.raises(bsq.FormatError):
        tensor.unpack("int8", packed)
    with pytest.raises(bsq.FormatError):
        tensors[3].pack("onnx_int2")
    with pytest.raises(bsq.ArgumentError, match="'int5' is none of int8, onnx_int4"):
        tensor.pack("int5")
    with pytest.raises(bsq.ArgumentError):
        tensor.unpack("int8", packed.astype(np.int32))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files(tensors, suffix, tmp_path):
    for tensor in tensors:
        path = tmp_path / ("tensor" + suffix)
        tensor.save(path)
        found = bsq.Tensor.load(path)
        assert found == tensor and found.report is None
        assert np.array_equal(found.dequantize(), tensor.dequantize())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tensor" + suffix]


def test_unknown_suffix(tensors, tmp_path):
    with pytest.raises(bsq.ArgumentError):
        tensors[0].save(tmp_path / "tensor.bin")
    with pytest.raises(bsq.ArgumentError):
        bsq.Tensor.load(tmp_path / "tensor.bin")
    with pytest.raises(FileNotFoundError):
        bsq.Tensor.load(tmp_path / "tensor.npz")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_damaged_files(tensors, suffix, tmp_path):
    """Cut at any place, a file is refused; nothing else than CorruptError comes out."""
    path, cut = tmp_path / ("whole" + suffix), tmp_path / ("cut" + suffix)
    tensors[1].save(path)
    data = path.read_bytes()
    for size in list(range(0, 200, 7)) + list(range(200, len(data), 97)):
        cut.write_bytes(data[:size])
        with pytest.raises(bsq.CorruptError):
            bsq.Tensor.load(cut)


def test_damaged_headers(tmp_path):
    """Headers that lie about what follows."""
    path = tmp_path / "bad.safetensors"

    def write(header, body=b"\0" * 16):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + body)

    good = {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    write(good)
    arrays, _ = bsq.load_safetensors(path)
    assert np.array_equal(arrays["a"], np.zeros(4, np.float32))
    for entry in ({"dtype": "F33"}, {"shape": [5]}, {"shape": [-4]}, {"shape": "x"}, {"data_offsets": [0, 17]},
                  {"data_offsets": [4, 0]}, {"data_offsets": [-16, 0]}, {"data_offsets": [0]}, {"dtype": None},
                  {"shape": [2 ** 62, 4]}):
        write({"a": {**good["a"], **entry}})
        with pytest.raises(bsq.CorruptError):
            bsq.load_safetensors(path)
    for header in (b"", b"[]", b"{", b"\xff\xfe", {"a": 5}, {"__metadata__": 5}):
        write(header)
        with pytest.raises(bsq.CorruptError):
            bsq.load_safetensors(path)
    write(good)
    with pytest.raises(bsq.CorruptError):
        bsq.Tensor.load(path)  # safetensors, but not a tensor


def test_safetensors_by_its_own_library(tensors, tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    tensors[0].save(tmp_path / "t.safetensors")
    assert np.array_equal(library.load_file(tmp_path / "t.safetensors")["codes"], tensors[0].codes)


def test_saving_loses_nothing(tensors, tmp_path, monkeypatch):
    """A file that cannot be written whole leaves the one that was there."""
    path = tmp_path / "t.npz"
    tensors[0].save(path)
    before = path.read_bytes()

    def fail(*arguments, **named):
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError):
        tensors[1].save(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_later_layout(tensors, tmp_path):
    from bsq import _files

    arrays, said = _files.describe(tensors[0])
    said["layout"] = 99
    _files.save_safetensors(tmp_path / "t.safetensors", arrays, {"bsq": json.dumps(said)})
    with pytest.raises(bsq.VersionError):
        bsq.Tensor.load(tmp_path / "t.safetensors")


def test_pickle(tensors):
    for tensor in tensors:
        found = pickle.loads(pickle.dumps(tensor))
        assert found == tensor and found.report.error == tensor.report.error
    assert tensors[0] != tensors[1] and tensors[0] != 3
    assert dataclasses.replace(tensors[0], bits=4) != tensors[0]


def test_own_tensors(linear):
    """A tensor of a host's own, judged and made a result; one outside of its grid is refused."""
    weights, inputs = linear
    scales = np.abs(weights).max(1) / 7
    own = bsq.Tensor(np.clip(np.rint(weights / scales[:, None]), -7, 7), scales, bits=4)
    assert own.codes.dtype == np.int8
    assert 0 < own.error(weights, inputs) < 0.1
    with pytest.raises(bsq.RangeError):
        dataclasses.replace(own, codes=own.codes * 2).error(weights, inputs)
    with pytest.raises(bsq.MismatchError):
        dataclasses.replace(own, codes=own.codes[:, :-1], shape=(), geometry=bsq.Geometry.of(weights.shape)).error(
            weights, inputs)
    with pytest.raises(bsq.FormatError):
        bsq.Tensor(np.full((2, 3), 300), np.ones(2), bits=4)
    with pytest.raises(bsq.ShapeError):
        bsq.Tensor(np.zeros(6), np.ones(2), bits=4)
    with pytest.raises(bsq.ShapeError):
        bsq.Tensor(np.zeros((2, 3)), np.ones(2), bits=4, shape=(2, 4))


def test_dequantize_by_grid():
    """The formulas of bsq.h, grid by grid."""
    codes = np.array([[0, 1, 2, 3], [3, 2, 1, 0]])
    scales = np.array([[0.5, 2.0], [1.0, 3.0]], np.float32)
    wide = np.repeat(scales, 2, axis=1)
    group = dict(scales=scales, scale_kind="per_group", group_size=2, bits=2)
    assert np.array_equal(bsq.Tensor(codes - 2, grid="full", **group).dequantize(), wide * (codes - 2))
    zero = np.array([[1, 2], [3, 0]], np.int32)
    found = bsq.Tensor(codes, grid="zero_point", zero_points=zero, **group)
    assert found.codes.dtype == np.uint8
    assert np.array_equal(found.dequantize(), wide * (codes - np.repeat(zero, 2, axis=1)))
    offsets = np.array([[0.25, -1], [0, 1.5]], np.float32)
    found = bsq.Tensor(codes, grid="offset", offsets=offsets, **group)
    assert np.array_equal(found.dequantize(), wide * codes + np.repeat(offsets, 2, axis=1))
    levels = np.array([-8, -1, 1, 7], np.int8)
    assert np.array_equal(bsq.Tensor(codes, grid="levels", levels=levels, **group).dequantize(), wide * levels[codes])
    signs = bsq.Tensor(codes // 2, scales, bits=1, scale_kind="per_group", group_size=2)
    assert signs.codes.dtype == np.uint8 and np.array_equal(signs.dequantize(), wide * (2 * (codes // 2) - 1))
    ragged = bsq.Tensor(codes, np.ones((2, 2), np.float32), bits=3, scale_kind="per_group", group_size=3)
    assert ragged.dequantize(np.float64).dtype == np.float64
