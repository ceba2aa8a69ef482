"""The one-line call."""
from __future__ import annotations

from typing import Any, Optional, Sequence, Union

import numpy as np

from . import _order as order_of
from ._arrays import batches, together
from ._errors import ArgumentError, StateError
from ._layer import Layer, Moments
from ._options import Geometry, InputQuantizer, Options, Padding
from ._stats import Stats
from ._tensor import Tensor
from ._work import LogCallable, ProgressArgument


def quantize(weights: Any, inputs: Any = None, bits: Optional[int] = None, group_size: Optional[int] = None,
             target: Any = None, *, bias: Any = None, row_weights: Any = None, held_out: Any = None,
             held_out_target: Any = None, stats: Optional[Stats] = None, stride: Union[int, Sequence[int]] = 1,
             padding: Padding = 0, dilation: Union[int, Sequence[int]] = 1, groups: int = 1,
             layout: str = "channels_first", weight_layout: str = "oihw", geometry: Optional[Geometry] = None,
             input_quantizer: Optional[InputQuantizer] = None, desc_act: bool = False, options: Optional[Options] = None,
             progress: ProgressArgument = None, log: Optional[LogCallable] = None, **fields: Any) -> Tensor:
    """Quantizes one layer so that its output changes least.

        tensor = bsq.quantize(W, X, bits=4, group_size=128)

    weights          (out, in) of a linear layer, or (out, in / groups, kernel...) of a convolution; float16, bfloat16,
                     float32 or float64, contiguous or not
    inputs           what the layer gets: (..., in), or (samples, in, spatial...); one array, or an iterable of batches.
                     When `input_bits` is set they are seen twice: an iterator will not do then. Without inputs and
                     stats, codes and scales are those of least error of the weights themselves
    bits, group_size, and every other field of `bsq.Options` as a keyword argument, above those of `options`
    target           the float network's output of this layer for these inputs, bias included, before its activation
                     function: errors of the layers before then are compensated too. As inputs: array or batches
    bias             (out,), taken off the target; corrected with bias_correction=True
    row_weights      one for each sample or row: an attention mask, say
    held_out         other inputs, with held_out_target, which only judge the result (`tensor.report.held_out_error`)
    stats            `bsq.Stats` in the place of inputs, or besides them
    stride, padding, dilation, groups, layout, weight_layout    of a convolution, or a `geometry`
    input_quantizer  how inputs are quantized, in the place of one that is chosen from them (input_bits)
    desc_act         groups of inputs of similar size, largest first, as the formats gptq and gptq_v2 store them; the
                     tensor's `input_order` says which they are
    progress, log    as `bsq.Layer` takes them; progress=True shows a bar

    Returns a `bsq.Tensor`; its `report` says how good it is.
    """
    if bits is not None:
        fields["bits"] = bits
    if group_size is not None:
        fields["group_size"] = group_size
    with prepare(weights, inputs, target=target, bias=bias, row_weights=row_weights, held_out=held_out,
                 held_out_target=held_out_target, stats=stats, stride=stride, padding=padding, dilation=dilation,
                 groups=groups, layout=layout, weight_layout=weight_layout, geometry=geometry,
                 input_quantizer=input_quantizer, options=options, progress=progress, log=log, **fields) as layer:
        if desc_act:
            return _in_order(layer, weights, bias, progress=progress, log=log)
        report = layer.optimize()
        tensor = layer.tensor()
    tensor.report = report
    return tensor


def _in_order(layer: Layer, weights: Any, bias: Any, **hooks: Any) -> Tensor:
    """The result with the inputs of a layer in the order of their size."""
    order_of.check(layer.geometry, layer.options)
    if "statistics" not in layer.state:
        raise StateError("desc_act orders inputs by their size: it needs inputs, or stats")
    order = order_of.by_size(layer)
    with order_of.in_order(layer, weights, bias, order, layer.options, **hooks) as ordered:
        report = ordered.optimize()
        tensor = ordered.tensor()
    tensor.input_order, tensor.report = order, report
    return tensor


def prepare(weights: Any, inputs: Any = None, *, target: Any = None, row_weights: Any = None, held_out: Any = None,
            held_out_target: Any = None, stats: Optional[Stats] = None,
            input_quantizer: Optional[InputQuantizer] = None, **more: Any) -> Layer:
    """A layer with all statistics, ready for `optimize`, from the arguments of `quantize`."""
    if inputs is None and (target is not None or row_weights is not None):
        raise ArgumentError("a target or row weights without inputs")
    if held_out is None and held_out_target is not None:
        raise ArgumentError("a held-out target without held-out inputs")
    if stats is not None and not isinstance(stats, Stats):
        raise ArgumentError("stats: bsq.Stats, not %s" % type(stats).__name__)
    layer = Layer(weights, **more)
    try:
        if input_quantizer is not None:
            layer.input_quantizer = input_quantizer
        if stats is not None:
            layer.merge(stats)
        elif inputs is not None and layer.options.input_bits and input_quantizer is None:
            if hasattr(inputs, "__next__"):
                raise ArgumentError("inputs are seen twice with input_bits: a list of batches, not an iterator")
            for batch in batches(inputs):
                layer.observe(batch)
        if inputs is not None:
            for batch, wanted, counts in together(inputs, target, row_weights):
                layer.calibrate(batch, wanted, counts)
        elif stats is None:
            _weights_alone(layer)
        if held_out is not None:
            for batch, wanted, _ in together(held_out, held_out_target, None):
                layer.calibrate(batch, wanted, held_out=True)
    except BaseException:
        layer.close()
        raise
    return layer


def _weights_alone(layer: Layer) -> None:
    """Makes the error of the weights the objective: every input is independent of the others and as large."""
    options, geometry = layer.options, layer.geometry
    if options.solver == "round" or (options.solver == "auto" and options.effort == 0):
        return
    if options.bias_correction or options.input_bits:
        raise StateError("bias correction and quantized inputs need inputs, or stats")
    one = np.eye(geometry.fan_in)
    layer.set_moments(Moments(np.broadcast_to(one, (geometry.groups, *one.shape))))
