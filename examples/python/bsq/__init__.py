"""Quantize the weights of trained layers to a few bits, after training, on a CPU, so that their output changes least.

    import bsq

    tensor = bsq.quantize(W, X, bits=4, group_size=128)   # W (out, in), X (rows, in): numpy arrays
    print(tensor.report)                                  # how much of the output is lost, stage by stage
    W4 = tensor.dequantize()                              # float32, the shape of W
    tensor.pack("onnx_int4")                              # bytes for an engine
    tensor.save("layer.safetensors")

This is libbsq (bsq.h is its manual) by ctypes and numpy alone. Levels, from above:

    bsq.torch.quantize    a whole torch.nn.Module; needs PyTorch, `import bsq.torch`
    bsq.quantize          one layer, one line; returns a bsq.Tensor with a bsq.Report
    bsq.Stats             statistics of activations: gathered, merged, saved, used by several layers
    bsq.Layer             every call of the C library on a layer: observe, calibrate, optimize, error_table, ...
    bsq.allocate_bits     bits for each layer of a network within a budget
    bsq.operator_norm     how far a layer stretches an error
    bsq.Options           how to quantize; every field is a keyword argument of quantize and Layer, too

Shapes: weights (out, in) of a linear layer, (out, in / groups, kernel...) of a convolution of 1 to 3 dimensions;
activations (..., in), or (samples, channels, spatial...). Any float dtype, any strides: float32 in C order is read where it
lies, anything else is converted. bfloat16 comes from PyTorch, from ml_dtypes, or as uint16 bits by `from_bfloat16`.

Errors are relative: 0.01 is 1 % of the energy of the output. Failures raise a subclass of bsq.Error, one for each status
of the library, with its text; nothing is lost by them. Calls release Python's lock; objects belong to one thread at a time.
Ctrl-C ends a solve at once and leaves the layer as it was. Results are the same for any number of threads, and for any cut
of the same rows into batches.

The shared library is the one in the package, or that of the source tree, or the system's; BSQ_LIBRARY names another.
"""
from __future__ import annotations

from ._arrays import from_bfloat16
from ._errors import (ArgumentError, CancelledError, CorruptError, DtypeError, Error, FormatError, MemoryError,
                      MismatchError, NumericError, RangeError, ShapeError, SizeError, StateError, VersionError)
from ._files import load_safetensors, save_safetensors
from ._layer import Layer, Moments, layer_memory
from ._native import LibraryError, lib as _lib
from ._network import Allocation, allocate_bits, operator_norm
from ._options import Geometry, InputQuantizer, Options
from ._quantize import quantize
from ._report import Report, Stage
from ._stats import Stats
from ._tensor import Tensor, formats
from ._version import VERSION
from ._work import Progress

__version__ = VERSION


def library_version() -> str:
    """The version of the shared library that is in use."""
    return str(_lib.bsq_version_string().decode())


__all__ = [
    "Allocation", "ArgumentError", "CancelledError", "CorruptError", "DtypeError", "Error", "FormatError", "Geometry",
    "InputQuantizer", "Layer", "LibraryError", "MemoryError", "MismatchError", "Moments", "NumericError", "Options",
    "Progress", "RangeError", "Report", "ShapeError", "SizeError", "Stage", "StateError", "Stats", "Tensor",
    "VersionError", "allocate_bits", "formats", "from_bfloat16", "layer_memory", "library_version", "load_safetensors",
    "operator_norm", "quantize", "save_safetensors"]
