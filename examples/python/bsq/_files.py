"""Tensors in .npz and .safetensors files.

A safetensors file is eight bytes with the length of a JSON header, the header, and the arrays one after the other; it is
simple enough to be read and written here. Files are written under another name and take their own when complete.
"""
from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import struct
import tempfile
import zipfile
from typing import Any, BinaryIO, Dict, Iterator, Mapping, Optional, Tuple

import numpy as np
import numpy.typing as npt

from ._errors import ArgumentError, CorruptError, VersionError
from ._options import Geometry, InputQuantizer
from ._tensor import Path, Tensor

Array = npt.NDArray[Any]

# The version of what tensors say about themselves in files.
LAYOUT = 1

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1",
           "U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "|b1", "BF16": "<u2"}
_ARRAYS = ("codes", "scales", "zero_points", "offsets", "levels", "input_order", "bias")
_FIELDS = ("bits", "grid", "scale_kind", "scale_format", "group_size", "scale_unit", "scale_bits", "scale_signed",
           "super_group")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the name when the context ends well; otherwise what had the name stays."""
    path = os.fspath(path)
    handle, name = tempfile.mkstemp(prefix=os.path.basename(path) + ".", dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


# ---- safetensors -------------------------------------------------------------------------------------------------


def save_safetensors(path: Path, arrays: Mapping[str, Array], metadata: Optional[Mapping[str, str]] = None) -> None:
    """Writes arrays under their names; metadata is text by name."""
    kinds = {np.dtype(code): name for name, code in _DTYPES.items() if name != "BF16"}
    header: Dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset, parts = 0, []
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name]).reshape(arrays[name].shape)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if array.dtype not in kinds:
            raise ArgumentError("%s: safetensors has no type for %s" % (name, array.dtype))
        header[name] = {"dtype": kinds[array.dtype], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
        parts.append(array)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # arrays start at a multiple of 8
    with replacing(path) as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for array in parts:
            file.write(array.tobytes())


def load_safetensors(path: Path) -> Tuple[Dict[str, Array], Dict[str, str]]:
    """The arrays of a file and its metadata. BF16 comes as the uint16 bits. CorruptError for any other bytes."""
    with open(os.fspath(path), "rb") as file:
        data = file.read()
    try:
        (size,) = struct.unpack_from("<Q", data)
        if size > len(data) - 8:
            raise ValueError("the header is longer than the file")
        header = json.loads(data[8:8 + size].decode())
        metadata = {str(key): str(value) for key, value in header.pop("__metadata__", {}).items()}
        arrays, body = {}, memoryview(data)[8 + size:]
        for name, entry in header.items():
            dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(int(v) for v in entry["shape"])
            begin, end = (int(v) for v in entry["data_offsets"])
            count = 1
            for extent in shape:
                count *= extent
            if not 0 <= begin <= end <= len(body) or any(v < 0 for v in shape) or end - begin != count * dtype.itemsize:
                raise ValueError("%s: extents and offsets disagree" % name)
            arrays[name] = np.frombuffer(body[begin:end], dtype).reshape(shape)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as problem:
        raise CorruptError("%s is not a complete safetensors file: %s" % (os.fspath(path), problem)) from None
    return arrays, metadata


# ---- tensors -----------------------------------------------------------------------------------------------------


def describe(tensor: Tensor) -> Tuple[Dict[str, Array], Dict[str, Any]]:
    """A tensor as arrays by name, and what JSON can say of it."""
    arrays = {name: getattr(tensor, name) for name in _ARRAYS if getattr(tensor, name) is not None}
    said: Dict[str, Any] = {name: getattr(tensor, name) for name in _FIELDS}
    said.update(layout=LAYOUT, shape=list(tensor.shape))
    if tensor.geometry is not None:
        said["geometry"] = dataclasses.asdict(tensor.geometry)
    if tensor.input is not None:
        said["input"] = {name: value for name, value in tensor.input.as_dict().items()
                         if name not in ("scales", "zero_points")}
        for name in ("scales", "zero_points"):
            if getattr(tensor.input, name) is not None:
                arrays["input_" + name] = getattr(tensor.input, name)
    return arrays, said


def restore(arrays: Mapping[str, Array], said: Mapping[str, Any]) -> Tensor:
    """The tensor that `describe` described."""
    if said["layout"] != LAYOUT:
        raise VersionError("a tensor of layout %s; this package knows %d" % (said["layout"], LAYOUT))
    fields = {name: said[name] for name in _FIELDS}
    fields.update({name: np.array(arrays[name]) for name in _ARRAYS if name in arrays})
    if "geometry" in said:
        fields["geometry"] = Geometry(**{name: tuple(value) if isinstance(value, list) else value
                                         for name, value in said["geometry"].items()})
    if "input" in said:
        channels: Dict[str, Any] = {name: np.array(arrays["input_" + name]) for name in ("scales", "zero_points")
                                    if "input_" + name in arrays}
        fields["input"] = InputQuantizer(**said["input"], **channels)
    return Tensor(shape=tuple(said["shape"]), **fields)


def save_tensor(tensor: Tensor, path: Path) -> None:
    arrays, said = describe(tensor)
    suffix = os.path.splitext(os.fspath(path))[1]
    if suffix == ".safetensors":
        save_safetensors(path, arrays, {"bsq": json.dumps(said)})
    elif suffix == ".npz":
        with replacing(path) as file:
            np.savez(file, bsq=np.array(json.dumps(said)), **arrays)
    else:
        raise ArgumentError("a tensor is saved as .npz or .safetensors, not as %r" % os.fspath(path))


def load_tensor(path: Path) -> Tensor:
    suffix = os.path.splitext(os.fspath(path))[1]
    try:
        if suffix == ".safetensors":
            arrays, metadata = load_safetensors(path)
            return restore(arrays, json.loads(metadata["bsq"]))
        if suffix == ".npz":
            with open(os.fspath(path), "rb") as file, np.load(io.BytesIO(file.read()), allow_pickle=False) as found:
                loaded = {name: found[name] for name in found.files}
            return restore(loaded, json.loads(str(loaded.pop("bsq"))))
    except (KeyError, TypeError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as problem:
        if isinstance(problem, CorruptError):
            raise
        raise CorruptError("%s is not a tensor that bsq saved: %s" % (os.fspath(path), problem)) from None
    raise ArgumentError("a tensor is loaded from .npz or .safetensors, not from %r" % os.fspath(path))
