"""What a layer computes and how it is to be quantized: Geometry, Options, InputQuantizer."""
from __future__ import annotations

import ctypes
import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from . import _native as native
from ._arrays import Float64, Int8, Int32, extents, numbers
from ._errors import ArgumentError, RangeError, ShapeError, call

Padding = Union[int, Sequence[Union[int, Tuple[int, int]]]]


def value_of(names: Mapping[str, int], name: Any, what: str) -> int:
    """The number of a name; ArgumentError lists the names that there are."""
    value = names.get(name) if isinstance(name, str) else None
    if value is None:
        raise ArgumentError("%s: %r is none of %s" % (what, name, ", ".join(names)))
    return value


def integer(value: Any, bits: int, what: str) -> int:
    """An integer that C can hold. Checked here since ctypes would cut it."""
    if not isinstance(value, (int, np.integer)):
        raise ArgumentError("%s: an integer, not %r" % (what, value))
    if not -2 ** (bits - 1) <= value < 2 ** (bits - 1):
        raise RangeError("%s: %d is beyond %d bits" % (what, value, bits))
    return int(value)


def number(value: Any, what: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError("%s: a number, not %r" % (what, value)) from None


@dataclass(frozen=True)
class Geometry:
    """What a layer computes: a linear layer (`kernel` empty) or a convolution of 1 to 3 spatial dimensions.

    Weights are (out_channels, in_channels) or (out_channels, in_channels / groups, kernel...) ("oihw"), with
    `weight_layout` "ohwi" (out_channels, kernel..., in_channels / groups). Activations are (..., channels) or
    (samples, channels, spatial...), with `layout` "channels_last" (samples, spatial..., channels). Padding reads as 0.
    """

    in_channels: int
    out_channels: int
    groups: int = 1
    kernel: Tuple[int, ...] = ()
    stride: Tuple[int, ...] = ()
    dilation: Tuple[int, ...] = ()
    pad_begin: Tuple[int, ...] = ()
    pad_end: Tuple[int, ...] = ()
    weight_layout: str = "oihw"
    layout: str = "channels_first"

    @classmethod
    def of(cls, shape: Sequence[int], stride: Union[int, Sequence[int]] = 1, padding: Padding = 0,
           dilation: Union[int, Sequence[int]] = 1, groups: int = 1, weight_layout: str = "oihw",
           layout: str = "channels_first") -> Geometry:
        """The geometry of weights of this shape. Padding: a number, one for each dimension, or pairs (before, after)."""
        value_of(native.WEIGHT_LAYOUTS, weight_layout, "weight_layout")
        value_of(native.ACTIVATION_LAYOUTS, layout, "layout")
        groups = integer(groups, 64, "groups")
        if not 2 <= len(shape) <= 5:
            raise ShapeError("weights have 2 dimensions (linear) or 3 to 5 (convolution), not %d" % len(shape))
        last = weight_layout == "ohwi"
        kernel = tuple(int(v) for v in (shape[1:-1] if last else shape[2:]))
        dims = len(kernel)
        given = ((groups, 1), (stride, 1), (padding, 0), (dilation, 1))
        if not dims and not all(isinstance(value, (int, np.integer)) and value == plain for value, plain in given):
            raise ArgumentError("a linear layer has no stride, padding, dilation and groups")
        begin, end = _pads(padding, dims)
        return cls(int(shape[-1] if last else shape[1]) * groups, int(shape[0]), groups, kernel,
                   extents(stride, dims, "stride"), extents(dilation, dims, "dilation"), begin, end, weight_layout,
                   layout)

    @property
    def fan_in(self) -> int:
        """n: the number of weights of one output channel."""
        return self.in_channels // self.groups * int(np.prod(self.kernel, dtype=np.int64))

    @property
    def weight_shape(self) -> Tuple[int, ...]:
        """The extents of the weights, in their layout."""
        inner = self.in_channels // self.groups
        if self.weight_layout == "ohwi":
            return (self.out_channels, *self.kernel, inner)
        return (self.out_channels, inner, *self.kernel)

    def with_outputs(self, out_channels: int) -> Geometry:
        """The same for other output channels, which read the same rows."""
        return dataclasses.replace(self, out_channels=out_channels)

    def positions(self, spatial: Sequence[int]) -> Tuple[int, ...]:
        """Output extents for input extents; ShapeError where the kernel does not fit."""
        out = tuple((x + b + e - d * (k - 1) - 1) // s + 1 if s > 0 else 0 for x, b, e, d, k, s in zip(
            spatial, self.pad_begin, self.pad_end, self.dilation, self.kernel, self.stride))
        if any(o < 1 for o in out):
            raise ShapeError("the kernel %s does not fit into inputs of %s" % (self.kernel, tuple(spatial)))
        return out

    def split(self, shape: Sequence[int], channels: int, what: str) -> Tuple[int, Tuple[int, ...]]:
        """Samples and spatial extents of an activation; ShapeError when it is not one of this layer."""
        dims = len(self.kernel)
        last = not dims or self.layout == "channels_last"
        if len(shape) < 1 or (dims and len(shape) != dims + 2) or shape[-1 if last else 1] != channels:
            wanted = "(..., %d)" % channels if not dims else \
                ("(samples, spatial..., %d)" if last else "(samples, %d, spatial...)") % channels
            raise ShapeError("%s: shape %s, where %s is needed" % (what, tuple(shape), wanted))
        if not dims:
            return int(np.prod(shape[:-1], dtype=np.int64)), ()
        return int(shape[0]), tuple(int(v) for v in (shape[1:-1] if last else shape[2:]))

    def struct(self) -> Any:
        """The C struct."""
        desc = native.new(native.LayerDesc)
        desc.in_channels, desc.out_channels, desc.groups = self.in_channels, self.out_channels, self.groups
        desc.kind = native.KINDS["conv" if self.kernel else "linear"]
        desc.spatial_dims = len(self.kernel)
        for name in ("kernel", "stride", "dilation", "pad_begin", "pad_end"):
            getattr(desc, name)[:len(self.kernel)] = getattr(self, name)
        desc.weight_layout = native.WEIGHT_LAYOUTS[self.weight_layout]
        desc.activation_layout = native.ACTIVATION_LAYOUTS[self.layout]
        return desc


def _pads(padding: Padding, dims: int) -> Tuple[Tuple[int, ...], Tuple[int, ...]]:
    if isinstance(padding, (int, np.integer)):
        both = extents(int(padding), dims, "padding")
        return both, both
    try:
        pairs = [(p, p) if isinstance(p, (int, np.integer)) else (p[0], p[1]) for p in padding]
    except (TypeError, IndexError):
        raise ArgumentError("padding: a number, one for each dimension, or pairs, not %r" % (padding,)) from None
    return (extents([p[0] for p in pairs], dims, "padding"), extents([p[1] for p in pairs], dims, "padding"))


@dataclass(frozen=True)
class Options:
    """How to quantize; the defaults are the library's.

    Fields are those of `bsq_options_t` in bsq.h, with `weight_bits` and `weight_grid` shortened:

    format              "gguf_q4_k", "gptq", ...: sets grid and scales as that format needs them, and bits and group_size
                        where it has one of them alone (`bsq.formats`), whatever the fields below say; then
                        `Tensor.pack(format)` holds the result
    bits                2..8 (1 with some grids)
    grid                "symmetric", "full", "zero_point", "offset", "levels", "powers_of_two", "nf4", "iq4_nl", "e2m1"
    group_size          inputs that share a scale, counted along a channel's n weights; None: no groups
    scale_kind          "per_tensor", "per_channel", "per_group"; None: per group with a group_size, else per channel
    scale_format        "float32", "float16", "power_of_two", "bfloat16", "e8m0", "e4m3"
    solver              "auto", "round", "paper"
    effort              0..9: how much work "auto" spends; 0 rounds; the objective never rises with it
    threads             how many threads one call may use; results do not depend on it
    damping             0..1, a share of mean(diag H); negative: chosen from the number of rows
    asymmetry           0: reproduce the layer's own output, 1: reproduce the target that batches bring
    bias_correction     also correct the bias for the mean of the output error
    input_bits          0: inputs stay float; 2..8: they are quantized before they enter the statistics
    input_type          "auto", "unsigned", "signed", "zero_point"
    input_clip          "squared_error", "minimum_maximum", "percentile"
    input_percentile    share of the values inside of the range with "percentile"
    input_scale_kind    "per_tensor", "per_channel"
    select_on_held_out  of all efforts, keep the one of least held-out error
    lower_bound         the report says what the objective cannot be below; may take long
    levels              the int8 levels of grid "levels", ascending
    super_group, scale_bits, scale_signed, scale_unit, zero_point_least, keep_scales    as in bsq.h, "grids"
    """

    bits: int = 4
    grid: str = "symmetric"
    group_size: Optional[int] = None
    scale_kind: Optional[str] = None
    scale_format: str = "float32"
    solver: str = "auto"
    effort: int = 5
    threads: int = 1
    damping: float = -1.0
    asymmetry: float = 1.0
    bias_correction: bool = False
    input_bits: int = 0
    input_type: str = "auto"
    input_clip: str = "squared_error"
    input_percentile: float = 0.9999
    input_scale_kind: str = "per_tensor"
    select_on_held_out: bool = False
    lower_bound: bool = False
    levels: Optional[Tuple[int, ...]] = None
    super_group: int = 0
    scale_bits: int = 0
    scale_signed: bool = False
    scale_unit: float = 0.0
    zero_point_least: bool = False
    keep_scales: bool = False
    format: Optional[str] = None

    @classmethod
    def of(cls, fields: Mapping[str, Any], base: Optional[Options] = None) -> Options:
        """Options from keyword arguments, above those of 'base'; ArgumentError names one that does not exist."""
        unknown = set(fields) - _OPTION_NAMES
        if unknown:
            raise ArgumentError("no option %s; there are %s" % (", ".join(sorted(unknown)),
                                                                ", ".join(sorted(_OPTION_NAMES))))
        return dataclasses.replace(base or cls(), **fields)

    def struct(self) -> Tuple[Any, Optional[Int8]]:
        """The C struct, and the levels that it points to, which must live as long."""
        made = native.new(native.Options)
        kind = self.scale_kind
        if kind is None:
            kind = "per_channel" if self.group_size is None else "per_group"
        made.weight_bits = integer(self.bits, 32, "bits")
        made.group_size = integer(0 if self.group_size is None else self.group_size, 64, "group_size")
        for name, names, value in (("weight_grid", native.GRIDS, self.grid), ("scale_kind", native.SCALE_KINDS, kind),
                                   ("scale_format", native.SCALE_FORMATS, self.scale_format),
                                   ("solver", native.SOLVERS, self.solver),
                                   ("input_type", native.INPUT_TYPES, self.input_type),
                                   ("input_clip", native.INPUT_CLIPS, self.input_clip),
                                   ("input_scale_kind", native.INPUT_SCALE_KINDS, self.input_scale_kind)):
            setattr(made, name, value_of(names, value, name))
        for name in ("effort", "threads", "bias_correction", "input_bits", "select_on_held_out", "lower_bound",
                     "scale_bits", "scale_signed", "zero_point_least", "keep_scales"):
            setattr(made, name, integer(getattr(self, name), 32, name))
        made.super_group = integer(self.super_group, 64, "super_group")
        for name in ("damping", "asymmetry", "input_percentile", "scale_unit"):
            setattr(made, name, number(getattr(self, name), name))
        levels: Optional[Int8] = None
        if self.levels is not None:
            wide = numbers(self.levels, "levels", np.int64).ravel()
            if wide.size and (wide.min() < -128 or wide.max() > 127):
                raise RangeError("levels: int8 values are -128..127")
            levels = wide.astype(np.int8)
            made.levels, made.level_count = levels.ctypes.data, levels.size
        if self.format is not None:
            call(native.lib.bsq_options_for_format, value_of(native.FORMATS, self.format, "format"), ctypes.byref(made))
        return made, levels


_OPTION_NAMES = {field.name for field in dataclasses.fields(Options)}


@dataclass(frozen=True)
class InputQuantizer:
    """x ~ scale * (code - zero_point), code of `bits` bits: "unsigned", "signed" or with a "zero_point".

    With a scale for each input channel, `scales` and `zero_points` (in_channels) hold them, and beta = scales / scale is
    folded into the weights; `scale` then is that of the folded inputs.
    """

    scale: float
    bits: int = 8
    type: str = "unsigned"
    zero_point: int = 0
    scales: Optional[Float64] = None
    zero_points: Optional[Int32] = None

    def struct(self) -> Any:
        """The C struct, for one scale."""
        made = native.new(native.InputQuantizer)
        made.scale = number(self.scale, "scale")
        made.bits, made.zero_point = integer(self.bits, 32, "bits"), integer(self.zero_point, 32, "zero_point")
        made.type = value_of(native.INPUT_TYPES, self.type, "type")
        return made

    @property
    def beta(self) -> Optional[Float64]:
        """What is folded into the weights of each input channel; None with one scale for all."""
        return None if self.scales is None else self.scales / self.scale

    @property
    def range(self) -> Tuple[int, int]:
        """The lowest and the highest code."""
        if self.type == "signed":
            return -2 ** (self.bits - 1), 2 ** (self.bits - 1) - 1
        return 0, 2 ** self.bits - 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, InputQuantizer):
            return NotImplemented
        return (self.scale, self.bits, self.type, self.zero_point) == (
            other.scale, other.bits, other.type, other.zero_point) and all(
                (a is None) == (b is None) and (a is None or np.array_equal(a, b))  # type: ignore[arg-type]
                for a, b in ((self.scales, other.scales), (self.zero_points, other.zero_points)))

    def as_dict(self) -> Dict[str, Any]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
