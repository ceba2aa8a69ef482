"""Layers whose inputs are in another order, so that groups hold inputs of similar size: GPTQ's "desc_act"."""
from __future__ import annotations

from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from ._arrays import Int32, numbers
from ._errors import ArgumentError
from ._layer import Layer, Moments
from ._options import Geometry, Options

# The formats that say which group each input belongs to.
FORMATS = ("gptq", "gptq_v2")


def check(geometry: Geometry, options: Options) -> None:
    """Refuses what cannot be stored, or solved, along another order of inputs."""
    if options.format not in FORMATS:
        raise ArgumentError("desc_act: format must be one of %s, which store the group of each input, not %s" %
                            (", ".join(FORMATS), options.format))
    if geometry.kernel or geometry.groups != 1:
        raise ArgumentError("desc_act: %s holds linear layers alone" % options.format)
    if options.input_bits and options.input_scale_kind == "per_channel":
        raise ArgumentError("desc_act: not with scales for input channels, which are folded into the weights")


def by_size(layer: Layer) -> Int32:
    """The inputs of a linear layer, largest mean square first; of equal ones the first."""
    order: Int32 = np.argsort(-np.diagonal(layer.moments().h[0]), kind="stable").astype(np.int32)
    return order


def in_order(layer: Layer, weights: Any, bias: Any, order: Int32, options: Options, **hooks: Any) -> Layer:
    """A second linear layer, with the statistics of the first, whose input k is its input order[k]. `hooks` are progress
    and log of `Layer`."""

    def along(values: Optional[npt.NDArray[Any]]) -> Optional[npt.NDArray[Any]]:
        return None if values is None else values[..., order]

    # Its inputs are already as the layer sees them, so they are observed no more.
    made = Layer(numbers(weights, "weights")[:, order], bias, options=options, **hooks)
    try:
        if options.input_bits or "quantizer_fixed" in layer.state:
            quantizer = layer.input_quantizer
            if quantizer is not None:
                made.input_quantizer = quantizer
        for held_out in (held_out for held_out, kind in ((False, "statistics"), (True, "held_out")) if kind in layer.state):
            found = layer.moments(held_out)
            made.set_moments(Moments(found.h[:, order][:, :, order], along(found.input_mean), along(found.p),
                                     found.target_mean, found.target_square, found.rows), held_out)
    except BaseException:
        made.close()
        raise
    return made
