"""Statistics: gathered, merged, saved, shared."""
import pickle

import numpy as np
import pytest
from conftest import correlated

import bsq


def test_same_as_inputs(linear):
    weights, inputs = linear
    stats = bsq.Stats()
    assert stats.empty and stats.rows == 0 and repr(stats) == "<bsq.Stats: empty>"
    for part in np.array_split(inputs, 3):
        stats.update(part)
    assert stats.rows == 900 and not stats.has_target and stats.geometry.in_channels == 40
    assert bsq.quantize(weights, stats=stats, bits=3) == bsq.quantize(weights, inputs, bits=3)


def test_targets_and_bias(linear, random):
    weights, inputs = linear
    bias = random.standard_normal(24).astype(np.float32)
    target = inputs @ weights.T + bias
    stats = bsq.Stats(bias=bias)
    stats.update(np.array_split(inputs, 3), np.array_split(target, 3))
    assert stats.has_target and stats.info()["out_channels"] == 24
    found = bsq.quantize(weights, stats=stats, bias=bias, bits=3)
    assert found == bsq.quantize(weights, inputs, target=target, bias=bias, bits=3)


def test_conv(random):
    inputs = correlated(random, 6, 4, 9, 9)
    for layout, weight_layout, shape in (("channels_first", "oihw", (8, 2, 3, 3)), ("channels_last", "ohwi", (8, 3, 3, 2))):
        seen = inputs if layout == "channels_first" else inputs.transpose(0, 2, 3, 1)
        weights = random.standard_normal(shape).astype(np.float32)
        conv = dict(stride=2, padding=1, groups=2, layout=layout, weight_layout=weight_layout)
        stats = bsq.Stats(kernel=(3, 3), **conv)
        stats.update(seen)
        assert bsq.quantize(weights, stats=stats, **conv) == bsq.quantize(weights, seen, **conv)
        assert stats.geometry == bsq.Geometry.of((2, *shape[1:]), **conv)


def test_saved_in_the_middle_of_a_tile(linear, tmp_path):
    """Going on after save, or after pickle, gives the same bits as never having stopped."""
    weights, inputs = linear
    whole = bsq.Stats()
    whole.update(inputs)
    first = bsq.Stats(bias=None, threads=2)
    first.update(inputs[:333])
    first.save(tmp_path / "stats")
    for again in (bsq.Stats.load(tmp_path / "stats"), pickle.loads(pickle.dumps(first))):
        assert again.rows == 333
        again.update(inputs[333:])
        assert again.export() == whole.export()
    assert first.rows == 333
    assert pickle.loads(pickle.dumps(bsq.Stats())).empty


def test_merge(linear):
    weights, inputs = linear
    parts = [bsq.Stats() for _ in range(3)]
    for stats, rows in zip(parts, np.array_split(inputs, 3)):
        stats.update(rows)
    merged = bsq.Stats()
    merged.merge(*parts)
    assert merged.rows == 900 and [part.rows for part in parts] == [300] * 3
    again = bsq.Stats()
    again.merge(*parts)
    assert again.export() == merged.export()
    error = bsq.quantize(weights, stats=merged).report.error
    assert error == pytest.approx(bsq.quantize(weights, inputs).report.error, rel=0.05)
    merged.update(inputs[:10])
    assert merged.rows == 910
    for wrong in (merged, 5):
        with pytest.raises(bsq.ArgumentError):
            merged.merge(wrong)
    other = bsq.Stats()
    other.update(inputs[:, :8])
    with pytest.raises(bsq.MismatchError):
        merged.merge(other)
    assert merged.rows == 910


def test_merge_of_nothing():
    stats = bsq.Stats()
    stats.merge()
    assert stats.empty
    with pytest.raises(bsq.StateError, match="no statistics yet"):
        stats.export()
    with pytest.raises(bsq.StateError):
        stats.merge(bsq.Stats())


def test_shared_by_layers(linear, random):
    """Query, key and value: one pass over the inputs."""
    weights, inputs = linear
    others = [random.standard_normal((m, 40)).astype(np.float32) for m in (5, 24)]
    with bsq.Layer(weights) as layer:
        layer.calibrate(inputs)
        for source in (layer, layer.stats()):
            for other in others:
                with bsq.Layer(other) as shared:
                    shared.share(source)
                    shared.optimize()
                    assert shared.tensor() == bsq.quantize(other, inputs)
        with pytest.raises(bsq.StateError):
            layer.share(layer.stats())
        with pytest.raises(bsq.ArgumentError):
            layer.share(layer)
        snapshot = layer.stats()
        layer.calibrate(inputs)
        assert snapshot.rows == 900 and layer.stats().rows == 1800


def test_quantized_inputs_go_on(linear):
    """Statistics of quantized inputs keep their quantizer."""
    weights, inputs = linear
    with bsq.Layer(weights, input_bits=6) as layer, bsq.Layer(weights, input_bits=6) as whole:
        for one in (layer, whole):
            one.observe(inputs)
        whole.calibrate(inputs)
        layer.calibrate(inputs[:500])
        stats = bsq.Stats.of_bytes(layer.stats().export())
        stats.update(inputs[500:])
        assert stats.export() == whole.stats().export() and stats.info()["input_bits"] == 6


def test_damaged(linear, tmp_path):
    _, inputs = linear
    stats = bsq.Stats()
    stats.update(inputs)
    data = bytearray(stats.export())
    data[len(data) // 2] ^= 1
    for bad, kind in ((bytes(data), bsq.CorruptError), (bytes(data[:-1]), bsq.CorruptError), (b"", bsq.Error),
                      (b"something else that is long enough", bsq.FormatError)):
        (tmp_path / "bad").write_bytes(bad)
        with pytest.raises(kind):
            bsq.Stats.load(tmp_path / "bad")
        with pytest.raises(kind):
            bsq.Stats.of_bytes(bad)
