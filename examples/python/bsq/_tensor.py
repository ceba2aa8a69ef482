"""Quantized weights: arrays with what they are."""
from __future__ import annotations

import ctypes
import dataclasses
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple, Union

import numpy as np
import numpy.typing as npt

from . import _native as native
from ._arrays import Float32, Int8, Int32, UInt8, address, numbers
from ._errors import ArgumentError, FormatError, ShapeError, call
from ._options import Geometry, InputQuantizer, integer, number, value_of
from ._report import Report

if TYPE_CHECKING:
    from ._layer import Layer

Path = Union[str, "os.PathLike[str]"]

# numpy's types of parts, and whether one element is one of the part.
_PART_DTYPES = {"int8": ("|i1", True), "uint8": ("|u1", True), "int32": ("<i4", True), "uint32": ("<u4", True),
                "uint64": ("<u8", True), "float32": ("<f4", True), "float16": ("<f2", True), "bfloat16": ("<u2", True),
                "e4m3": ("|u1", True)}

# Codes of these are int8 and lie around 0; those of all other grids start at 0 and are uint8.
_AROUND_ZERO = ("symmetric", "full")


def formats() -> Tuple[str, ...]:
    """The names that `Tensor.pack` takes (docs/formats.md has their bytes)."""
    return tuple(native.FORMATS)


@dataclass(eq=False)
class Tensor:
    """The quantized weights of one layer: M output channels of n inputs.

    codes         (M, n) int8, or uint8 with grids whose codes start at 0, in the weight layout
    scales        float32: () per tensor, (M,) per channel, (M, ceil(n / group_size)) per group
    zero_points   int32, as many as scales, of the grid "zero_point"; else None
    offsets       float32, as many as scales, of the grid "offset"; else None
    levels        int8, ascending, of grids by table; else None
    input_order   (n,) int32: which input of the engine's layer each of these is, for formats that keep groups of inputs
                  apart that do not follow each other; None: they are in the engine's order
    shape         of the float weights, for `dequantize`
    bias          (M,) float32: of the layer, with its correction if there is one; None without
    input         the `InputQuantizer` that the weights were solved for; None when inputs stay float
    geometry      of the layer, which `error` needs for convolutions; None when unknown
    report        what the solve said; not saved

    Tensors pickle, compare by ==, and save themselves as .npz or .safetensors.
    """

    codes: npt.NDArray[Any]
    scales: Float32
    bits: int
    grid: str = "symmetric"
    scale_kind: str = "per_channel"
    scale_format: str = "float32"
    group_size: int = 0
    zero_points: Optional[Int32] = None
    offsets: Optional[Float32] = None
    levels: Optional[Int8] = None
    scale_unit: float = 0.0
    scale_bits: int = 0
    scale_signed: bool = False
    super_group: int = 0
    input_order: Optional[Int32] = None
    shape: Tuple[int, ...] = ()
    bias: Optional[Float32] = None
    input: Optional[InputQuantizer] = None
    geometry: Optional[Geometry] = None
    report: Optional[Report] = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.codes = np.ascontiguousarray(self.codes)
        if self.codes.ndim != 2:
            raise ShapeError("codes are (M, n), not %s" % (self.codes.shape,))
        if self.codes.dtype not in (np.int8, np.uint8):
            wide = numbers(self.codes, "codes", np.int64)
            low, high = (-128, 127) if self.signed else (0, 255)
            if wide.size and (wide.min() < low or wide.max() > high):
                raise FormatError("codes outside of %d..%d" % (low, high))
            self.codes = wide.astype(np.int8 if self.signed else np.uint8)
        self.scales = numbers(self.scales, "scales")
        if not self.shape:
            self.shape = tuple(self.codes.shape)
        if int(np.prod(self.shape, dtype=np.int64)) != self.codes.size:
            raise ShapeError("codes of %s do not make weights of %s" % (self.codes.shape, self.shape))

    @property
    def signed(self) -> bool:
        """Whether codes are int8 around 0."""
        return self.grid in _AROUND_ZERO and not (self.grid == "symmetric" and self.bits == 1)

    @property
    def channels(self) -> int:
        """M, the number of output channels."""
        return int(self.codes.shape[0])

    @property
    def fan_in(self) -> int:
        """n, the number of weights of an output channel."""
        return int(self.codes.shape[1])

    def __eq__(self, other: object) -> bool:
        """Everything but the report."""
        if not isinstance(other, Tensor):
            return NotImplemented
        for field in dataclasses.fields(self):
            a, b = getattr(self, field.name), getattr(other, field.name)
            if field.name == "report":
                continue
            if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
                if a is None or b is None or a.dtype != b.dtype or not np.array_equal(a, b):
                    return False
            elif a != b:
                return False
        return True

    def __repr__(self) -> str:
        scales = {"per_tensor": "one scale", "per_channel": "a scale a channel",
                  "per_group": "groups of %d" % self.group_size}[self.scale_kind]
        error = "" if self.report is None else ", error %.6g" % self.report.error
        return "<bsq.Tensor %s: %d bits, %s, %s%s>" % (" x ".join(map(str, self.shape)), self.bits, self.grid, scales,
                                                       error)

    # ---- values --------------------------------------------------------------------------------------------------

    def _per_weight(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What a tensor, a channel or a group has, in a shape that goes with (M, n)."""
        if self.scale_kind == "per_tensor":
            return values.reshape(1, 1)
        if self.scale_kind == "per_channel":
            return values.reshape(self.channels, 1)
        spread: npt.NDArray[Any] = np.repeat(values.reshape(self.channels, -1), self.group_size, axis=1)
        return spread[:, :self.fan_in]

    def _levels(self) -> Float32:
        """Codes as the numbers that scales multiply."""
        if self.levels is not None:
            found: Float32 = self.levels[self.codes.astype(np.intp)].astype(np.float32)
            return found
        if self.grid == "zero_point":
            if self.zero_points is None:
                raise ArgumentError("a tensor of the grid zero_point without zero points")
            steps = self.codes.astype(np.int32) - self._per_weight(self.zero_points)
            return np.asarray(steps, np.float32)
        if self.grid == "symmetric" and self.bits == 1:
            signs: Float32 = self.codes.astype(np.float32) * np.float32(2) - np.float32(1)
            return signs
        return self.codes.astype(np.float32)

    def _folded(self) -> npt.NDArray[np.float64]:
        """The weights (M, n) that multiply inputs divided by beta, in double."""
        values = self._levels() * self._per_weight(self.scales).astype(np.float64)
        if self.offsets is not None:
            values += self._per_weight(self.offsets)
        return values

    def dequantize(self, dtype: Any = np.float32) -> npt.NDArray[Any]:
        """The weights that multiply real inputs, in the shape of the float ones, with inputs in the engine's order; bit for
        bit those of the library."""
        beta = None if self.input is None else self.input.beta
        if beta is None:
            weights, made = np.empty(self.shape, np.float32), self.struct()
            call(native.lib.bsq_tensor_dequantize, ctypes.byref(made), address(weights), weights.size)
            if self.input_order is not None:
                ordered, weights = weights.reshape(self.codes.shape), np.empty(self.codes.shape, np.float32)
                weights[:, self.input_order] = ordered
                weights = weights.reshape(self.shape)
            return weights.astype(dtype, copy=False)
        if self.geometry is None:
            raise ArgumentError("a tensor with scales for input channels needs its geometry")
        values = self._folded() / self._beta_of_weights(beta, self.geometry)
        return values.reshape(self.shape).astype(np.float32).astype(dtype, copy=False)

    def _beta_of_weights(self, beta: npt.NDArray[np.float64], geometry: Geometry) -> npt.NDArray[np.float64]:
        """The beta of the input channel of each weight, (M, n) or (1, n)."""
        inner = geometry.in_channels // geometry.groups
        by_group = beta.reshape(geometry.groups, inner)
        kernel = geometry.fan_in // inner
        wide = np.tile(by_group, (1, kernel)) if geometry.weight_layout == "ohwi" else np.repeat(by_group, kernel, 1)
        spread: npt.NDArray[np.float64] = np.repeat(wide, geometry.out_channels // geometry.groups, axis=0)
        return spread

    def error(self, weights: Any, inputs: Any = None, target: Any = None, **more: Any) -> float:
        """The relative output error of these weights in the place of float ones, on inputs of any number of batches.

        weights: the float weights, of `shape`; inputs and target as `bsq.quantize` takes them; without inputs the error
        of the weights themselves. More keyword arguments are those of `bsq.quantize`: `bias` (the float one; that of the
        tensor by default), bias_correction=True where the tensor's bias is corrected, `input_quantizer`, `stats`,
        `row_weights`, `asymmetry`.
        """
        return self.judge(weights, inputs, target, **more).error

    def judge(self, weights: Any, inputs: Any = None, target: Any = None, **more: Any) -> Report:
        """The whole report of what `error` returns one number of."""
        from ._order import in_order
        from ._quantize import prepare

        geometry = self.geometry or Geometry.of(self.shape)
        if "bias" not in more and self.bias is not None and target is not None:
            more["bias"] = self.bias
        if inputs is None and more.get("stats") is None:
            more.setdefault("solver", "round")
        layer: Layer = prepare(weights, inputs, target=target, geometry=geometry, **more)
        with layer:
            if self.input_order is None:
                return layer.evaluate(self)
            with in_order(layer, weights, more.get("bias"), self.input_order, layer.options) as ordered:
                return ordered.evaluate(self)

    # ---- C's own form --------------------------------------------------------------------------------------------

    def struct(self) -> Any:
        """The C struct. It points into the arrays of this tensor, which must live as long and not change."""
        made = native.new(native.Tensor)
        made.weight_bits = integer(self.bits, 32, "bits")
        made.weight_grid = value_of(native.GRIDS, self.grid, "grid")
        made.scale_kind = value_of(native.SCALE_KINDS, self.scale_kind, "scale_kind")
        made.scale_format = value_of(native.SCALE_FORMATS, self.scale_format, "scale_format")
        made.group_size = integer(self.group_size, 64, "group_size")
        made.super_group = integer(self.super_group, 64, "super_group")
        made.scale_unit = number(self.scale_unit, "scale_unit")
        made.scale_bits, made.scale_signed = integer(self.scale_bits, 32, "scale_bits"), int(self.scale_signed)
        made.channels, made.fan_in = self.codes.shape
        kept = []
        for name, count, dtype in (("codes", "code_count", None), ("scales", "scale_count", np.float32),
                                   ("zero_points", "zero_point_count", np.int32),
                                   ("offsets", "offset_count", np.float32), ("levels", "level_count", np.int8),
                                   ("input_order", "input_order_count", np.int32)):
            array = getattr(self, name)
            if array is None:
                continue
            array = array if dtype is None else numbers(array, name, dtype)
            kept.append(array)
            setattr(made, name, address(array))
            setattr(made, count, array.size)
        made.kept = kept
        return made

    @classmethod
    def of_struct(cls, made: Any, arrays: Dict[str, npt.NDArray[Any]], **more: Any) -> Tensor:
        """From a C struct that was filled, and the arrays that it points to."""
        kind = native.name_of(native.SCALE_KINDS, made.scale_kind)
        grid = native.name_of(native.GRIDS, made.weight_grid)
        fields: Dict[str, Any] = {name: array for name, array in arrays.items() if array.size}
        codes = fields["codes"].reshape(made.channels, made.fan_in)
        if grid not in _AROUND_ZERO or (grid == "symmetric" and made.weight_bits == 1):
            codes = codes.view(np.uint8)
        shape = {"per_tensor": (), "per_channel": (made.channels,)}.get(kind, (made.channels, -1))
        for name in ("scales", "zero_points", "offsets"):
            if name in fields:
                fields[name] = fields[name].reshape(shape)
        fields.update(codes=codes, bits=made.weight_bits, grid=grid, scale_kind=kind,
                      scale_format=native.name_of(native.SCALE_FORMATS, made.scale_format),
                      group_size=made.group_size if kind == "per_group" else 0, scale_unit=made.scale_unit,
                      scale_bits=made.scale_bits, scale_signed=bool(made.scale_signed), super_group=made.super_group)
        fields.update(more)
        return cls(**fields)

    # ---- bytes ---------------------------------------------------------------------------------------------------

    def pack(self, format: str) -> UInt8:
        """The bytes of a layout of docs/formats.md, by its name (`bsq.formats()`)."""
        layout, made, size = value_of(native.FORMATS, format, "format"), self.struct(), ctypes.c_size_t()
        call(native.lib.bsq_tensor_packed_size, ctypes.byref(made), layout, ctypes.byref(size))
        packed = np.empty(size.value, np.uint8)
        call(native.lib.bsq_tensor_pack, ctypes.byref(made), layout, address(packed), size)
        return packed

    def unpack(self, format: str, packed: Any) -> Tensor:
        """The tensor that such bytes hold, with the extents, bits, grid and all else of this one."""
        layout = value_of(native.FORMATS, format, "format")
        raw = np.frombuffer(packed, np.uint8) if isinstance(packed, (bytes, bytearray, memoryview)) else \
            np.ascontiguousarray(packed)
        if raw.dtype != np.uint8:
            raise ArgumentError("packed bytes are uint8, not %s" % raw.dtype)
        copies = {name: getattr(self, name).copy() for name in ("codes", "scales", "zero_points", "offsets", "levels", "input_order")
                  if getattr(self, name) is not None}
        found = dataclasses.replace(self, report=None, **copies)
        made = found.struct()
        call(native.lib.bsq_tensor_unpack, layout, address(raw), raw.size, ctypes.byref(made))
        found.scale_unit = made.scale_unit
        return found

    def parts(self, format: str) -> Dict[str, npt.NDArray[Any]]:
        """The arrays that the bytes of a layout consist of, by the names that its engine gives them: {"qweight": ...,
        "qzeros": ..., "scales": ..., "g_idx": ...} of "gptq". What numpy has no type for comes as its bytes: two int4 in
        one uint8, along the last axis; bfloat16 as uint16, E4M3 as uint8."""
        layout, made, count = value_of(native.FORMATS, format, "format"), self.struct(), ctypes.c_int32()
        packed = self.pack(format)
        call(native.lib.bsq_tensor_part_count, ctypes.byref(made), layout, ctypes.byref(count))
        found: Dict[str, npt.NDArray[Any]] = {}
        for index in range(count.value):
            part = native.new(native.Part)
            call(native.lib.bsq_tensor_get_part, ctypes.byref(made), layout, index, ctypes.byref(part))
            kind = native.name_of(native.ELEMENT_TYPES, part.element_type)
            raw = packed[part.offset:part.offset + part.size]
            dtype, whole = _PART_DTYPES.get(kind, ("|u1", False))
            values = raw.view(dtype)
            found[part.name.decode()] = values.reshape(tuple(part.shape[:part.rank])) if whole else values
        return found

    # ---- files ---------------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Writes .npz or .safetensors, by the name of the file; the report is not part of it."""
        from ._files import save_tensor

        save_tensor(self, path)

    @classmethod
    def load(cls, path: Path) -> Tensor:
        """Reads what `save` wrote."""
        from ._files import load_tensor

        return load_tensor(path)
