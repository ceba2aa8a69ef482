"""Whatever is wrong raises the class of its status, with a text, and loses nothing."""
import gc
import pickle
import subprocess
import sys

import numpy as np
import pytest
from conftest import PACKAGE

import bsq
from bsq import _errors, _native


def test_a_class_for_each_status():
    for status, kind in _errors.BY_STATUS.items():
        error = _errors.error_of(status, "")
        assert type(error) is kind and error.status == status and str(error) == error.text and error.text
        assert _native.lib.bsq_status_string(status).decode() == error.text
        assert pickle.loads(pickle.dumps(error)).text == error.text
    later = _errors.error_of(-12345, "of a later library")
    assert type(later) is bsq.Error and later.status == -12345
    assert issubclass(bsq.ShapeError, ValueError) and issubclass(bsq.StateError, RuntimeError)
    assert issubclass(bsq.MemoryError, MemoryError) and issubclass(bsq.DtypeError, TypeError)


def test_wrong_shapes(linear):
    weights, inputs = linear
    for bad in (weights[0], weights[None, None, None, None], np.float32(3), np.zeros((0, 4)), np.zeros((4, 0)), [[1], [1, 2]]):
        with pytest.raises(bsq.ShapeError):
            bsq.quantize(bad, inputs)
    for bad in (inputs[:, :39], np.zeros((5, 41)), np.float32(2)):
        with pytest.raises((bsq.ShapeError, bsq.ArgumentError)):
            bsq.quantize(weights, bad)
    for more in ({"target": np.zeros((900, 23))}, {"target": np.zeros((899, 24))}, {"bias": np.zeros(23)},
                 {"row_weights": np.zeros(899)}, {"bias": np.zeros((24, 1))}):
        with pytest.raises(bsq.ShapeError):
            bsq.quantize(weights, inputs, **more)
    conv = np.ones((4, 3, 3, 3))
    for shape, more in (((5, 2, 8, 8), {}), ((5, 3, 8), {}), ((5, 3, 2, 8), {}), ((5, 8, 8, 3), {}),
                        ((5, 3, 8, 8), {"stride": (1, 2, 3)}), ((5, 3, 8, 8), {"padding": [(1, 1)]}),
                        ((5, 3, 8, 8), {"stride": 0}), ((5, 3, 8, 8), {"stride": 2 ** 70})):
        with pytest.raises(bsq.ShapeError):
            bsq.quantize(conv, np.ones(shape), **more)
    with pytest.raises(bsq.ShapeError):
        bsq.quantize(weights, inputs, geometry=bsq.Geometry.of((24, 41)))


def test_wrong_dtypes(linear):
    weights, inputs = linear
    for bad in (weights.astype(complex), weights.astype(str), weights.astype(object), np.array("x"),
                np.zeros((24, 40), "datetime64[s]")):
        with pytest.raises(bsq.DtypeError):
            bsq.quantize(bad, inputs)
        with pytest.raises(bsq.Error):
            bsq.quantize(weights, bad)
    for bad in ("text", b"bytes", {"a": 1}, 5, object()):
        with pytest.raises(bsq.ArgumentError):
            bsq.quantize(weights, bad)


def test_not_finite(linear):
    weights, inputs = linear
    for value in (np.nan, np.inf, -np.inf):
        bad = weights.copy()
        bad[1, 2] = value
        with pytest.raises(bsq.NumericError):
            bsq.quantize(bad, inputs)
        bad = inputs.copy()
        bad[800, 2] = value
        with bsq.Layer(weights) as layer:
            layer.calibrate(inputs)
            with pytest.raises(bsq.NumericError):
                layer.calibrate(bad)
            assert layer.stats().rows == 900  # nothing of the bad batch counts
    with pytest.raises(bsq.NumericError):
        bsq.quantize(weights, inputs.astype(np.float64) * 1e200)


def test_wrong_options(linear):
    weights, inputs = linear
    for more, kind in (({"bits": 9}, bsq.RangeError), ({"bits": 0}, bsq.RangeError), ({"bits": 2 ** 40}, bsq.RangeError),
                       ({"bits": 4.5}, bsq.ArgumentError), ({"bits": "4"}, bsq.ArgumentError),
                       ({"grid": "round"}, bsq.ArgumentError), ({"grid": 100}, bsq.ArgumentError),
                       ({"group_size": -1}, bsq.RangeError), ({"group_size": 41}, bsq.RangeError),
                       ({"group_size": 2 ** 80}, bsq.RangeError), ({"effort": 10}, bsq.RangeError),
                       ({"damping": 2}, bsq.RangeError), ({"damping": "x"}, bsq.ArgumentError),
                       ({"damping": float("nan")}, bsq.Error), ({"threads": 0}, bsq.RangeError),
                       ({"scale_format": "float8"}, bsq.ArgumentError), ({"no_such": 1}, bsq.ArgumentError),
                       ({"levels": (300,)}, bsq.RangeError), ({"levels": "x"}, bsq.DtypeError),
                       ({"progress": 5}, bsq.ArgumentError), ({"log": 5}, bsq.ArgumentError),
                       ({"layout": "first"}, bsq.ArgumentError), ({"stride": 2}, bsq.ArgumentError),
                       ({"stats": 5}, bsq.ArgumentError), ({"held_out_target": inputs}, bsq.ArgumentError)):
        with pytest.raises(kind):
            bsq.quantize(weights, inputs, **more)
    with pytest.raises(bsq.ArgumentError, match="no option no_such; there are asymmetry, bias_correction, bits"):
        bsq.quantize(weights, inputs, no_such=1)
    with pytest.raises(bsq.ArgumentError, match="'round' is none of symmetric, full"):
        bsq.quantize(weights, inputs, grid="round")
    with pytest.raises(bsq.ArgumentError):
        bsq.quantize(weights, target=inputs)
    with pytest.raises(bsq.ArgumentError, match="seen twice"):
        bsq.quantize(weights, iter([inputs]), input_bits=8)
    with pytest.raises(bsq.StateError):
        bsq.quantize(weights, input_bits=8)


def test_wrong_order(linear):
    weights, inputs = linear
    with bsq.Layer(weights, input_bits=8) as layer:
        for call in (layer.tensor, layer.dequantized, layer.bias, layer.planes, layer.optimize, layer.moments,
                     layer.stats, layer.error_table, lambda: layer.report, lambda: layer.input_quantizer,
                     lambda: layer.calibrate(inputs)):
            with pytest.raises(bsq.StateError):
                call()
        layer.observe(inputs)
        layer.calibrate(inputs)
        with pytest.raises(bsq.StateError):
            layer.observe(inputs)
        with pytest.raises(bsq.StateError):
            layer.calibrate(inputs, inputs @ weights.T)
        layer.optimize()
    with bsq.Layer(weights) as layer:
        with pytest.raises(bsq.StateError):
            layer.observe(inputs)
        layer.calibrate(inputs)
        with pytest.raises(bsq.StateError):
            layer.input_quantizer = bsq.InputQuantizer(0.1)


def test_closed_handles(linear):
    weights, inputs = linear
    layer = bsq.Layer(weights)
    layer.close()
    layer.close()
    assert layer.closed and repr(layer) == "<bsq.Layer 24 x 40: closed>"
    for call in (layer.tensor, layer.optimize, layer.stats, layer.error_table, layer.moments, layer.clone, layer.bias,
                 layer.planes, layer.dequantized, layer.code_bias, lambda: layer.report, lambda: layer.state,
                 lambda: layer.input_quantizer, lambda: layer.calibrate(inputs), lambda: layer.set_options(bits=2),
                 lambda: layer.observe(inputs), lambda: layer.evaluate(bsq.quantize(weights)),
                 lambda: layer.set_moments(bsq.Moments(np.eye(40)))):
        with pytest.raises(bsq.StateError, match="closed"):
            call()
    with bsq.Layer(weights) as other, pytest.raises(bsq.StateError):
        other.share(layer)


def test_layers_do_not_pickle(linear):
    with bsq.Layer(linear[0]) as layer, pytest.raises(TypeError):
        pickle.dumps(layer)


def test_half_made_layers_are_let_go(linear):
    """A constructor that fails leaves something that can be deleted."""
    for arguments in (("x",), (np.ones((2, 2)), np.ones(3))):
        with pytest.raises(bsq.Error):
            bsq.Layer(*arguments)
    gc.collect()


def random_call(random, weights, inputs):
    """One call with something wrong in it, chosen at random."""
    nasty = [None, np.nan, -1, 0, 2 ** 31, 2 ** 63, -2 ** 70, "text", b"", (), [], {}, object(), 1e300, np.zeros(0),
             np.zeros((3, 3), complex), np.full((24, 40), np.inf), np.zeros((24, 40, 1, 1, 1, 1)), np.zeros((7, 11)),
             True, "float16", iter(()), np.float16(3), bsq.Stats()]

    def pick():
        return nasty[random.integers(len(nasty))]

    names = [field for field in bsq.Options.__dataclass_fields__] + [
        "target", "bias", "row_weights", "held_out", "stats", "stride", "padding", "dilation", "groups", "layout",
        "geometry", "input_quantizer", "options", "weight_layout"]
    more = {names[i]: pick() for i in random.integers(len(names), size=random.integers(1, 4))}
    more.pop("threads", None)  # a thousand threads are legal, and slow
    which = random.integers(8)
    if which == 0:
        return bsq.quantize(pick(), inputs, **more)
    if which == 1:
        return bsq.quantize(weights, pick(), **more)
    if which == 2:
        return bsq.quantize(weights, inputs, **more)
    if which == 3:
        return bsq.Stats.of_bytes(random.bytes(random.integers(300)))
    with bsq.Layer(weights, effort=1) as layer:
        layer.calibrate(inputs)
        if which == 4:
            layer.calibrate(pick(), pick(), pick())
        elif which == 5:
            layer.set_moments(bsq.Moments(pick(), pick(), pick()))
        elif which == 6:
            codes, scales = random.integers(-128, 128, (24, 40)), np.ones(24)
            layer.set_tensor(bsq.Tensor(pick() if random.integers(2) else codes, pick() if random.integers(2) else scales,
                                        bits=int(random.integers(1, 10)), levels=pick()))
        else:
            layer.optimize()
            layer.tensor().unpack("int8", pick())
            layer.error_table(pick(), pick())


EXPECTED = (bsq.Error, TypeError, ValueError, AttributeError, OverflowError)


def test_random_wrong_calls_leak_nothing(linear):
    """A thousand of them: no crash, and no memory that stays."""
    weights, inputs = linear
    inputs = inputs[:64]
    random = np.random.default_rng(3)

    def run(count):
        failed = 0
        for _ in range(count):
            try:
                random_call(random, weights, inputs)
            except EXPECTED:
                failed += 1
        gc.collect()
        return failed

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    run(300)  # pools and caches fill
    before = resident()
    failed = run(1000)
    grown = resident() - before
    assert failed > 700
    # A layer of 24 x 40 takes some 100 KB: were one in a hundred left, this would be passed.
    assert grown < 1 << 20, "%d bytes" % grown


def test_raw_wrong_calls_leak_nothing():
    """A thousand calls of the C functions with wrong arguments through ctypes, in a process of its own."""
    program = r"""
import ctypes, gc, random, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import bsq
from bsq import _native as n
rng = random.Random(5)
skip = ("bsq_layer_free", "bsq_stats_release")

def argument(kind, layer):
    if kind is ctypes.c_void_p:
        return rng.choice([None, layer._handle if layer else None])
    if kind in (ctypes.c_int32, ctypes.c_int64):
        return rng.choice([-1, 0, 5, 2 ** 31 - 1, -2 ** 31])
    if kind is ctypes.c_size_t:
        return rng.choice([0, 1, 7])
    if kind is ctypes.c_double:
        return rng.choice([float("nan"), -1.0, 0.5, 1e300])
    if kind is ctypes.c_char_p:
        return rng.choice([None, b"", b"gptq", b"\xff" * 300])
    pointed = kind._type_
    if issubclass(pointed, ctypes.Structure):
        made = rng.choice([n.new(pointed), pointed(), None])
        if made is not None and rng.random() < 0.5:
            made.struct_size = rng.choice([0, 1, 8, ctypes.sizeof(pointed) - 8])
        return None if made is None else ctypes.byref(made)
    return rng.choice([None, ctypes.byref(pointed())])

def run(count):
    failed = 0
    for _ in range(count):
        name, result, kinds = rng.choice([p for p in n.PROTOTYPES if p[0] not in skip and "_init" not in p[0] and p[2]])
        layer = bsq.Layer(np.ones((3, 4), np.float32)) if kinds[0] is n.HANDLE and name.startswith("bsq_layer") or \
            name == "bsq_optimize" else None
        # A handle in the first place where one belongs; a buffer of the caller is never anything but NULL.
        arguments = [argument(kind, layer if index == 0 else None) for index, kind in enumerate(kinds)]
        status = getattr(n.lib, name)(*arguments)
        failed += result is ctypes.c_int32 and status != 0
    gc.collect()
    return failed

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

run(300)
before = resident()
failed = run(1000)
print(failed, resident() - before)
"""
    ended = subprocess.run([sys.executable, "-c", program, str(PACKAGE)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    failed, grown = map(int, ended.stdout.split())
    assert failed > 500 and grown < 1 << 20, ended.stdout
