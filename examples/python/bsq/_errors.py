"""Exceptions: one class for each status of the library, each also of the built-in kind that fits it."""
from __future__ import annotations

import builtins
import ctypes
from typing import Any, Callable, Dict, Type

from . import _native as native


class Error(Exception):
    """A call that failed. `status` is the number of bsq.h, `text` what the library, or this package, says about it.

    Nothing is lost by a failure: the layer stays usable, its statistics and results are what they were.
    """

    status = 0

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class ArgumentError(Error, ValueError):
    """An unknown name, an option that does not exist, something missing."""

    status = -100


class DtypeError(ArgumentError, TypeError):
    """An array whose elements are not numbers that the call can take; found before the library sees it."""


class RangeError(Error, ValueError):
    """A number outside of the bounds that its description gives."""

    status = -110


class ShapeError(Error, ValueError):
    """Extents that are not positive, disagree, or are too large."""

    status = -200


class SizeError(Error, ValueError):
    """A buffer that has not exactly the size that is needed."""

    status = -210


class StateError(Error, RuntimeError):
    """A call that is too early, too late, on a closed handle, or on a layer that is at work in another thread."""

    status = -300


class MemoryError(Error, builtins.MemoryError):
    """There is not enough memory."""

    status = -400


class NumericError(Error, ArithmeticError, ValueError):
    """NaN or infinity in data; the text names the index."""

    status = -500


class FormatError(Error, ValueError):
    """A format that cannot hold these codes, or bytes that are not of it."""

    status = -600


class CorruptError(Error, ValueError):
    """Saved statistics that are truncated or damaged."""

    status = -610


class MismatchError(Error, ValueError):
    """Statistics of another geometry or input quantizer, a tensor of another layer."""

    status = -620


class CancelledError(Error):
    """The progress callable asked to stop."""

    status = -700


class VersionError(Error):
    """Saved statistics, or a struct, of a version that this library does not know."""

    status = -800


BY_STATUS: Dict[int, Type[Error]] = {
    kind.status: kind for kind in (ArgumentError, RangeError, ShapeError, SizeError, StateError, MemoryError,
                                   NumericError, FormatError, CorruptError, MismatchError, CancelledError,
                                   VersionError)}


def error_of(status: int, text: str) -> Error:
    """The exception for a status. One of a later library is an `Error` that carries its number."""
    text = text or str(native.lib.bsq_status_string(status).decode())
    kind = BY_STATUS.get(status)
    if kind is not None:
        return kind(text)
    error = Error(text)
    error.status = status
    return error


def call(function: Callable[..., int], *arguments: Any) -> None:
    """Calls what takes no layer and leaves its text in an error, its last argument."""
    text = ctypes.create_string_buffer(256)
    error = native.new(native.Error)
    error.message, error.capacity = ctypes.addressof(text), len(text)
    status = function(*arguments, ctypes.byref(error))
    if status != native.OK:
        raise error_of(status, text.value.decode(errors="replace"))
