"""Layers and the one-line call, with the errors computed again in numpy."""
import numpy as np
import pytest
from conftest import correlated

import bsq


def relative_error(weights, used, inputs, target=None):
    x = inputs.astype(np.float64)
    wanted = x @ weights.astype(np.float64).T if target is None else target.astype(np.float64)
    return np.sum((wanted - x @ used.astype(np.float64).T) ** 2) / np.sum(wanted ** 2)


def convolve(weights, bias, inputs, stride=2):
    x = np.pad(inputs.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwij,ocij->nohw", windows, weights.astype(np.float64)) + bias.astype(np.float64)[:, None, None]


def test_one_line(linear):
    weights, inputs = linear
    tensor = bsq.quantize(weights, inputs, bits=3, group_size=16)
    assert tensor.bits == 3 and tensor.codes.dtype == np.int8 and np.abs(tensor.codes).max() <= 3
    assert tensor.scales.shape == (24, 3) and tensor.scale_kind == "per_group" and tensor.group_size == 16
    used = tensor.dequantize()
    assert used.shape == weights.shape and used.dtype == np.float32
    assert tensor.report.error == pytest.approx(relative_error(weights, used, inputs), rel=1e-3)
    assert tensor.report.error < tensor.report.error_start
    assert tensor.error(weights, inputs) == pytest.approx(tensor.report.error, rel=1e-6)
    assert tensor.error(weights) == pytest.approx(np.sum((used - weights) ** 2) / np.sum(weights ** 2), rel=1e-4)


def test_without_inputs(linear):
    """The weights alone: the least error of the weights, below that of rounding."""
    weights, _ = linear
    tensor = bsq.quantize(weights, bits=3)
    rounded = bsq.quantize(weights, bits=3, solver="round")
    assert tensor.error(weights) < rounded.error(weights)
    assert tensor.report.error == pytest.approx(tensor.error(weights), rel=1e-3)


def test_every_dtype_and_stride_gives_the_same(linear):
    weights, inputs = linear
    weights = weights.astype(np.float16)
    wanted = bsq.quantize(weights.astype(np.float32), inputs, bits=4)
    wide = np.zeros((48, 80), np.float16)
    wide[::2, ::2] = weights
    backwards = weights[::-1, ::-1].copy()[::-1, ::-1]
    for form in (weights, weights.astype(np.float64), np.asfortranarray(weights), wide[::2, ::2], backwards,
                 weights.tolist(), weights.astype(">f4")):
        assert bsq.quantize(form, inputs, bits=4) == wanted
    spread = np.empty((1800, 40), np.float32)
    spread[::2] = inputs
    assert bsq.quantize(weights, spread[::2], bits=4) == wanted
    assert bsq.quantize(weights, inputs.astype(np.float64), bits=4) == wanted


def test_bfloat16(linear):
    weights, inputs = linear
    bits = (weights.view(np.uint32) >> 16).astype(np.uint16)
    exact = (bits.astype(np.uint32) << 16).view(np.float32)
    assert np.array_equal(bsq.from_bfloat16(bits), exact)

    class Bfloat16(np.ndarray):
        """As ml_dtypes gives them: two bytes an element, and a dtype of that name."""

        dtype = type("dtype", (), {"__str__": lambda self: "bfloat16"})()

    assert bsq.quantize(bits.view(Bfloat16), inputs) == bsq.quantize(exact, inputs)
    with pytest.raises(bsq.DtypeError):
        bsq.from_bfloat16(weights)


def test_no_copy_of_what_is_right_already(linear):
    from bsq._arrays import numbers

    weights, inputs = linear
    assert numbers(inputs, "inputs") is inputs or np.shares_memory(numbers(inputs, "inputs"), inputs)
    with bsq.Layer(weights) as layer:
        batch, kept = layer._batch(inputs, None, None, False)
        assert batch.input == inputs.ctypes.data and kept[0] is inputs
    tensor = bsq.quantize(weights, inputs)
    made = tensor.struct()
    assert made.codes == tensor.codes.ctypes.data and made.scales == tensor.scales.ctypes.data


def test_batches_are_one_pass(linear):
    weights, inputs = linear
    target = inputs @ weights.T + 0.1
    whole = bsq.quantize(weights, inputs, target=target)
    assert bsq.quantize(weights, np.array_split(inputs, 4), target=np.array_split(target, 4)) == whole
    assert bsq.quantize(weights, iter(np.array_split(inputs, 7)), target=iter(np.array_split(target, 7))) == whole
    assert bsq.quantize(weights, inputs.reshape(3, 300, 40), target=target.reshape(3, 300, 24)) == whole
    parts, wanted = np.array_split(inputs, 4), np.array_split(target, 4)
    for these, those in ((parts, wanted[:3]), (parts[:3], wanted)):
        with pytest.raises(bsq.ShapeError, match="batches"):
            bsq.quantize(weights, these, target=those)


def test_row_weights(linear):
    weights, inputs = linear
    kept = np.arange(900) % 3 > 0
    wanted = bsq.quantize(weights, inputs[kept])
    found = bsq.quantize(weights, inputs, row_weights=kept)
    assert np.array_equal(found.codes, wanted.codes) and found.report.rows == kept.sum()


def test_held_out(linear, random):
    weights, inputs = linear
    more = correlated(random, 300, 40)
    tensor = bsq.quantize(weights, inputs, bits=3, held_out=more)
    assert tensor.report.held_out_error == pytest.approx(relative_error(weights, tensor.dequantize(), more), rel=1e-3)
    assert bsq.quantize(weights, inputs).report.held_out_error is None


def test_conv_with_quantized_inputs(random):
    """3 x 3, stride 2, inputs of 8 bits, a target from other inputs, the bias corrected."""
    weights = random.standard_normal((12, 6, 3, 3)).astype(np.float32) / 7
    bias = random.standard_normal(12).astype(np.float32)
    clean = correlated(random, 12, 6, 13, 10)
    inputs = np.maximum(clean + 0.1 * random.standard_normal(clean.shape), 0).astype(np.float32)
    target = convolve(weights, bias, clean).astype(np.float32)
    with bsq.Layer(weights, bias, stride=2, padding=1, grid="full", input_bits=8, bias_correction=True) as layer:
        assert layer.state == frozenset()
        layer.observe(inputs)
        assert layer.state == {"observed"}
        layer.calibrate(inputs, target)
        quantizer, report, tensor = layer.input_quantizer, layer.optimize(), layer.tensor()
        assert quantizer.type == "unsigned" and quantizer.bits == 8 and quantizer.range == (0, 255)
        seen = np.clip(np.rint(inputs.astype(np.float64) / quantizer.scale), 0, 255) * quantizer.scale
        squares = (convolve(layer.dequantized(), layer.bias(), seen) - target) ** 2
        assert report.error == pytest.approx(squares.sum(axis=1).mean() / report.energy, rel=1e-3)
        assert report.error >= report.error_floor * (1 - 1e-3)
        assert tensor.input == quantizer and np.array_equal(tensor.bias, layer.bias())
        assert np.array_equal(tensor.dequantize(), layer.dequantized())
        assert layer.state >= {"statistics", "targets", "means", "quantizer_fixed", "result"}
    one = bsq.quantize(weights, inputs, target=target, bias=bias, stride=2, padding=1, grid="full", input_bits=8,
                       bias_correction=True)
    assert one == tensor
    last = bsq.quantize(weights.transpose(0, 2, 3, 1), inputs.transpose(0, 2, 3, 1), bias=bias, stride=(2, 2),
                        target=target.transpose(0, 2, 3, 1), padding=((1, 1), (1, 1)), grid="full", input_bits=8,
                        bias_correction=True, layout="channels_last", weight_layout="ohwi")
    assert last.report.error == pytest.approx(one.report.error, rel=0.05)
    assert last.error(weights.transpose(0, 2, 3, 1), inputs.transpose(0, 2, 3, 1), target.transpose(0, 2, 3, 1),
                      bias=bias, bias_correction=True, input_quantizer=last.input) == pytest.approx(last.report.error, rel=1e-3)


@pytest.mark.parametrize("dims, groups", [(1, 1), (1, 2), (3, 1), (2, 6)])
def test_convolutions(random, dims, groups):
    """A convolution is a linear layer over its windows."""
    inputs = correlated(random, 5, 6, *(7, 6, 5)[:dims])
    weights = random.standard_normal((6, 6 // groups, *(3,) * dims)).astype(np.float32)
    tensor = bsq.quantize(weights, inputs, bits=3, groups=groups)
    axes = tuple(range(2, 2 + dims))
    windows = np.lib.stride_tricks.sliding_window_view(inputs, (3,) * dims, axes)
    windows = np.moveaxis(windows, 1, 1 + dims).reshape(-1, groups, 6 // groups * 3 ** dims).astype(np.float64)
    lost = total = 0.0
    for group, (before, after) in enumerate(zip(np.split(weights.reshape(6, -1), groups),
                                                np.split(tensor.dequantize().reshape(6, -1), groups))):
        lost += np.sum((windows[:, group] @ (before - after).T.astype(np.float64)) ** 2)
        total += np.sum((windows[:, group] @ before.T.astype(np.float64)) ** 2)
    assert tensor.report.error == pytest.approx(lost / total, rel=1e-3)


def test_scales_of_input_channels_are_folded(random):
    """What an engine computes on integers is what the layer says, and dequantize takes beta off again."""
    spread = 2.0 ** random.integers(-6, 3, 32)
    weights = (random.standard_normal((16, 32)) / spread).astype(np.float32)
    bias = random.standard_normal(16).astype(np.float32)
    inputs = (random.standard_normal((2000, 32)) * spread + 0.5 * spread).astype(np.float32)
    target = inputs @ weights.T + bias
    one = bsq.quantize(weights, inputs, target=target, bias=bias, input_bits=4)
    with bsq.Layer(weights, bias, input_bits=4, input_scale_kind="per_channel") as layer:
        layer.observe(inputs)
        layer.calibrate(inputs, target)
        report, tensor = layer.optimize(), layer.tensor()
        quantizer = tensor.input
        assert quantizer.scale == quantizer.scales.max()
        codes = np.clip(np.rint(inputs / quantizer.scales) + quantizer.zero_points, 0, 15).astype(np.int32)
        engine = (codes @ tensor.codes.astype(np.int32).T) * (quantizer.scale * tensor.scales) + layer.code_bias()
        real = ((codes - quantizer.zero_points) * quantizer.scales) @ tensor.dequantize().astype(np.float64).T + tensor.bias
        assert np.allclose(engine, real, rtol=0, atol=1e-5 * np.abs(real).max())
        assert np.array_equal(tensor.dequantize(), layer.dequantized())
    assert report.error < 0.5 * one.report.error
    with bsq.Layer(weights, bias) as other:
        other.input_quantizer = quantizer
        assert np.array_equal(other.input_quantizer.zero_points, quantizer.zero_points)
    weights = random.standard_normal((8, 3, 3, 2)).astype(np.float32)
    for layout, shape in (("oihw", weights), ("ohwi", weights.transpose(0, 2, 3, 1))):
        with bsq.Layer(shape, weight_layout=layout, groups=2, input_bits=6, input_scale_kind="per_channel") as layer:
            layer.observe(random.standard_normal((20, 6, 8, 8)) * np.arange(1, 7)[:, None, None])
            layer.calibrate(random.standard_normal((20, 6, 8, 8)))
            layer.optimize()
            assert np.array_equal(layer.tensor().dequantize(), layer.dequantized()), layout


def test_reading_everything(linear):
    weights, inputs = linear
    with bsq.Layer(weights, bits=3) as layer:
        layer.calibrate(inputs)
        report, tensor = layer.optimize(), layer.tensor()
        planes = layer.planes()
        assert np.array_equal(sum(2 ** m * planes[m].astype(int) for m in range(2)), tensor.codes)
        assert np.array_equal(layer.bias(), np.zeros(24, np.float32)) and tensor.bias is None
        moments, x = layer.moments(), inputs.astype(np.float64)
        reference = x.T @ x / len(x)
        assert np.allclose(moments.h[0], reference, rtol=0, atol=1e-6 * reference.max()) and moments.rows == len(x)
        assert moments.p is None and np.allclose(moments.input_mean[0], x.mean(0), atol=1e-6)
        table = layer.error_table(2, 5)
        assert np.all(np.diff(table) < 0) and table[1] == pytest.approx(report.error, rel=0.05)
        energies = np.mean((x @ weights.T.astype(np.float64)) ** 2, axis=0)
        assert np.allclose(report.channels["energy"], energies, rtol=1e-4)
        assert layer.evaluate(tensor).error == pytest.approx(report.error, rel=1e-9)
        assert repr(layer).startswith("<bsq.Layer 24 x 40: means")
        twin = layer.clone()
        assert "result" not in twin.state and twin.optimize().error == report.error
        twin.close()
        other = bsq.Layer(weights, bits=3)
        other.set_moments(moments)
        assert other.optimize().error == pytest.approx(report.error, rel=1e-3)
        other.set_tensor(tensor)
        assert other.tensor() == tensor
        layer.set_options(bits=2)
        assert layer.options.bits == 2 and layer.optimize().bits == 2
        with pytest.raises(bsq.RangeError):
            layer.set_options(bits=9)
        assert layer.options.bits == 2


def test_options_reach_the_library(linear):
    """Each field of Options, read back from C."""
    import ctypes

    from bsq import _native

    weights, _ = linear
    options = dict(bits=3, grid="full", group_size=8, scale_format="float16", effort=2, threads=3, damping=0.25,
                   asymmetry=0.5, bias_correction=True, input_bits=5, input_type="zero_point", input_clip="percentile",
                   input_percentile=0.99, input_scale_kind="per_channel", select_on_held_out=True, lower_bound=True)
    with bsq.Layer(weights, **options) as layer:
        made = _native.new(_native.Options)
        assert _native.lib.bsq_layer_get_options(layer._handle, ctypes.byref(made)) == 0
        assert (made.weight_bits, made.weight_grid, made.group_size, made.scale_kind) == (3, 101, 8, 202)
        assert (made.scale_format, made.effort, made.threads, made.damping, made.asymmetry) == (301, 2, 3, 0.25, 0.5)
        assert (made.bias_correction, made.input_bits, made.input_type, made.input_clip) == (1, 5, 403, 602)
        assert (made.input_percentile, made.input_scale_kind, made.select_on_held_out, made.lower_bound) == (.99, 501, 1, 1)
        assert not made.progress and not made.log
    struct, levels = bsq.Options(levels=(-3, 0, 5), super_group=8, scale_bits=6, scale_signed=True, scale_unit=0.5,
                                 zero_point_least=True, keep_scales=True).struct()
    assert struct.level_count == 3 and list(levels) == [-3, 0, 5] and struct.levels == levels.ctypes.data
    assert (struct.super_group, struct.scale_bits, struct.scale_signed, struct.scale_unit) == (8, 6, 1, 0.5)
    assert (struct.zero_point_least, struct.keep_scales) == (1, 1)
    defaults = _native.new(_native.Options)
    assert bytes(bsq.Options().struct()[0]) == bytes(defaults)


def test_memory_is_predicted():
    assert 0 < bsq.layer_memory(bsq.Geometry.of((64, 64))) < bsq.layer_memory(bsq.Geometry.of((64, 640)), bits=3)


def test_threads_do_not_change_results(linear):
    weights, inputs = linear
    assert bsq.quantize(weights, inputs, threads=1) == bsq.quantize(weights, inputs, threads=4)


def test_bound_of_a_chain(random):
    """The error at the end of three layers is within the bound of docs/method.md, section 8."""
    weights = [(random.standard_normal((24, 24)) / 6).astype(np.float32) for _ in range(3)]
    seen = exact = correlated(random, 800, 24)
    errors, norms = [], []
    for w in weights:
        used = bsq.quantize(w, seen, bits=4, effort=3).dequantize()
        errors.append(np.sqrt(np.mean(np.sum((seen @ (used - w).T) ** 2, axis=1))))
        norms.append(bsq.operator_norm(w, 0.05)[1])
        seen, exact = np.maximum(seen @ used.T, 0), np.maximum(exact @ w.T, 0)
    bound = errors[0] * norms[1] * norms[2] + errors[1] * norms[2] + errors[2]
    error = np.sqrt(np.mean(np.sum((seen - exact) ** 2, axis=1)))
    assert 0 < error <= bound < 30 * error


def test_network(random):
    """Bits for an average of 4, and certified norms."""
    weights = [(random.standard_normal((24, 24)) / 6).astype(np.float32) for _ in range(3)]
    exact, tables = correlated(random, 800, 24), []
    for w in weights:
        with bsq.Layer(w, effort=3) as layer:
            layer.calibrate(exact)
            tables.append(layer.error_table())
        exact = np.maximum(exact @ w.T, 0)
    costs = np.array([[w.size * bits for bits in range(2, 9)] for w in weights])
    found = bsq.allocate_bits(tables, costs, 4 * 3 * 24 * 24)
    assert found.cost <= 4 * 3 * 24 * 24 and found.outcome == "proven" and found.chosen.shape == (3,)
    assert found.error == pytest.approx(sum(t[c] for t, c in zip(tables, found.chosen)))
    with pytest.raises(bsq.RangeError):
        bsq.allocate_bits(tables, costs, 100)
    with pytest.raises(bsq.ShapeError):
        bsq.allocate_bits(tables, costs[:2], 1000)
    lower, upper = bsq.operator_norm(weights[0], 0.05)
    assert lower <= np.linalg.norm(weights[0], 2) * 1.0001 and np.linalg.norm(weights[0], 2) <= upper <= 1.05 * lower
    assert bsq.operator_norm(random.standard_normal((4, 2, 3, 3)), groups=2, padding=1)[1] > 0


# ---- reports -----------------------------------------------------------------------------------------------------


def test_report_shows_itself(linear):
    weights, inputs = linear
    report = bsq.quantize(weights, inputs, bits=3).report
    text = str(report)
    assert "error of rounding" in text and "%.6g" % report.error in text and "beam" in text
    assert "<table>" in report._repr_html_() and "%.6g" % report.error in report._repr_html_()
    assert "3 bits" in repr(report)
    import json

    assert json.loads(json.dumps(report.as_dict()))["bits"] == 3
    assert len(report.channels) == 24 and report.stages[0].stage == "round"


def test_report_plots_itself(linear):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    weights, inputs = linear
    axes = bsq.quantize(weights, inputs, bits=3).report.plot()
    assert len(axes.lines) == 2 and len(axes.lines[0].get_ydata()) == 24
