"""Whole networks: bits for each layer within a budget, and how far a layer stretches an error."""
from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from typing import Any, Optional, Tuple

import numpy as np
import numpy.typing as npt

from . import _native as native
from ._arrays import address, numbers
from ._errors import ShapeError, call
from ._options import Geometry, Padding, integer, number
from ._work import Work, new_key


@dataclass(frozen=True)
class Allocation:
    """What `allocate_bits` found.

    chosen        (layers,) the index of each layer's choice
    error         sum of weight * error; lower_bound: no assignment within the budget is below this
    cost          sum of costs, at most the budget
    outcome       "proven": the least error there is; "limit": the best found until a limit of work
    """

    chosen: npt.NDArray[np.int32]
    error: float
    lower_bound: float
    cost: int
    outcome: str


def allocate_bits(errors: Any, costs: Any, budget: int, weights: Any = None) -> Allocation:
    """Chooses for each layer one of its numbers of bits so that the weighted error is least within the budget.

    errors   (layers, choices): finite, >= 0: rows of `Layer.error_table`, say
    costs    (layers, choices): integers >= 0: bits, bytes, or anything that adds up
    weights  (layers,): what the error of each layer matters; None: all 1
    """
    table, prices = numbers(errors, "errors", np.float64), numbers(costs, "costs", np.int64)
    if table.ndim != 2 or prices.shape != table.shape:
        raise ShapeError("errors and costs are (layers, choices), not %s and %s" % (table.shape, prices.shape))
    matters = None if weights is None else numbers(weights, "weights", np.float64)
    if matters is not None and matters.shape != table.shape[:1]:
        raise ShapeError("weights: shape %s, where %s is needed" % (matters.shape, table.shape[:1]))
    chosen, found = np.empty(len(table), np.int32), native.new(native.Allocation)
    call(native.lib.bsq_allocate_bits, address(table), address(prices), address(matters), *table.shape,
         integer(budget, 64, "budget"), None, address(chosen), ctypes.byref(found))
    return Allocation(chosen, found.error, found.lower_bound, found.cost,
                      native.name_of(native.OUTCOMES, found.outcome))


def operator_norm(weights: Any, tolerance: float = 0.1, *, stride: Any = 1, padding: Padding = 0, dilation: Any = 1,
                  groups: int = 1, weight_layout: str = "oihw",
                  geometry: Optional[Geometry] = None) -> Tuple[float, float]:
    """(lower, upper): bounds of how far a layer stretches its input, in Euclidean norms; upper is certified."""
    values = numbers(weights, "weights")
    if geometry is None:
        geometry = Geometry.of(values.shape, stride, padding, dilation, groups, weight_layout)
    elif values.shape not in (geometry.weight_shape, (geometry.out_channels, geometry.fan_in)):
        raise ShapeError("weights: shape %s, where %s is needed" % (values.shape, geometry.weight_shape))
    norm = native.new(native.Norm)
    with Work(threading.Lock(), new_key(), None, None):
        call(native.lib.bsq_operator_norm, ctypes.byref(geometry.struct()), None, address(values),
             number(tolerance, "tolerance"), ctypes.byref(norm))
    return norm.lower, norm.upper
