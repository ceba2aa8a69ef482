"""Arrays in: any dtype and any strides become what C reads, without a copy where they already are that."""
from __future__ import annotations

from typing import Any, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import numpy.typing as npt

from ._errors import ArgumentError, DtypeError, RangeError, ShapeError

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int8 = npt.NDArray[np.int8]
UInt8 = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]


def from_bfloat16(bits: Any) -> Float32:
    """The values of bfloat16 numbers that are given as uint16 bits, any shape, as float32: exact."""
    raw = np.asarray(bits)
    if raw.dtype != np.uint16:
        raise DtypeError("the bits of bfloat16 values are uint16, not %s" % raw.dtype)
    widened: Float32 = (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return widened


def _is_bfloat16(values: Any) -> bool:
    """Whether these are bfloat16 of PyTorch ("torch.bfloat16") or of ml_dtypes ("bfloat16")."""
    return str(getattr(values, "dtype", "")).rpartition(".")[2] == "bfloat16"


def numbers(values: Any, what: str, dtype: Any = np.float32) -> npt.NDArray[Any]:
    """C-contiguous numbers of 'dtype': the same memory when they are that already, else a converted copy."""
    if _is_bfloat16(values):
        # PyTorch's tensors have float(), the arrays of ml_dtypes have two bytes an element.
        values = values.float() if hasattr(values, "float") else from_bfloat16(np.asarray(values).view(np.uint16))
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    try:
        array = np.asarray(values)
    except ValueError as problem:  # nested lists of different lengths
        raise ShapeError("%s: %s" % (what, problem)) from None
    if array.dtype.kind not in "fiub":
        raise DtypeError("%s: elements of type %s, where numbers are needed" % (what, array.dtype))
    if np.dtype(dtype).kind == "i" and array.dtype != dtype:
        _check_whole(array, np.iinfo(dtype), what)
    if array.dtype == np.float64 and np.dtype(dtype) == np.float32:
        # What leaves float32 becomes infinite, which the library finds and names.
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(array, dtype)
    return np.ascontiguousarray(array, dtype) if array.ndim else np.asarray(array, dtype)


def _check_whole(array: npt.NDArray[Any], bounds: Any, what: str) -> None:
    """RangeError for numbers that a conversion to these integers would change."""
    with np.errstate(invalid="ignore"):
        fits = np.all((array == np.trunc(array)) & (array >= bounds.min) & (array <= bounds.max))
    if not fits:
        raise RangeError("%s: whole numbers from %d to %d are needed" % (what, bounds.min, bounds.max))


def address(array: Optional[npt.NDArray[Any]]) -> Optional[int]:
    return None if array is None else int(array.ctypes.data)


def extents(value: Union[int, Sequence[int]], dims: int, what: str) -> Tuple[int, ...]:
    """One number for all spatial dimensions, or one for each."""
    try:
        found = (int(value),) * dims if isinstance(value, (int, np.integer)) else tuple(int(v) for v in value)
    except (TypeError, ValueError):
        raise ArgumentError("%s: an integer, or one for each of %d dimensions, not %r" % (what, dims, value)) from None
    if len(found) != dims:
        raise ShapeError("%s: %d numbers for %d spatial dimensions" % (what, len(found), dims))
    if any(not -2 ** 63 <= v < 2 ** 63 for v in found):
        raise ShapeError("%s: beyond 64 bits" % what)
    return found


def batches(values: Any) -> Iterator[Any]:
    """One array as one batch; a list, a tuple or any other iterable of arrays as one batch each."""
    if hasattr(values, "shape") or hasattr(values, "__array__"):
        return iter((values,))
    if isinstance(values, (str, bytes, dict)) or not isinstance(values, Iterable):
        raise ArgumentError("an array, or an iterable of arrays, not %s" % type(values).__name__)
    return iter(values)


def together(values: Any, targets: Any, weights: Any) -> Iterator[List[Any]]:
    """Batches of inputs with those of targets and row weights; None where there are none."""
    missing = object()
    # Each batch of a single array of inputs may come with arrays alone, too.
    columns = [batches(values)] + [None if more is None else batches(more) for more in (targets, weights)]
    assert columns[0] is not None
    for first in columns[0]:
        rest = [None if column is None else next(column, missing) for column in columns[1:]]
        if any(value is missing for value in rest):
            raise ShapeError("fewer batches of targets or row weights than of inputs")
        yield [first] + rest
    for column in columns[1:]:
        if column is not None and next(column, missing) is not missing:
            raise ShapeError("more batches of targets or row weights than of inputs")
