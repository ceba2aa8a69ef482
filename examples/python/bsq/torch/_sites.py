"""Sites: the modules whose weights are quantized, each as a layer of libbsq."""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Type, Union

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from .._arrays import Float32
from .._errors import ArgumentError, ShapeError
from .._options import Geometry

Array = npt.NDArray[Any]
Classes = Mapping[Union[str, Type[nn.Module]], str]


def to_numpy(values: torch.Tensor) -> Float32:
    """float32 in C order: the same memory where the tensor already is that."""
    return np.asarray(values.detach().to("cpu", torch.float32).contiguous().numpy())


class Site:
    """A module with a weight, for libbsq a linear layer or a convolution.

    What a kind of module adds: how its weight lies there (`weights`, `restored`), and what of its inputs the rows are
    (`rows`), so that the layer of libbsq computes on them what the module computes.
    """

    kind = "linear"
    needs_rows = True

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name = name
        self.module = module
        self.parameter: nn.Parameter = module._parameters["weight"]  # type: ignore[assignment]
        self.original = self.parameter.data
        bias = module._parameters.get("bias")
        self.bias_parameter: Optional[nn.Parameter] = bias
        self.original_bias = None if bias is None else bias.data
        self.quantized: Optional[torch.Tensor] = None
        self.quantized_bias: Optional[torch.Tensor] = None
        self.geometry = self._geometry()

    def _geometry(self) -> Geometry:
        return Geometry.of(tuple(self.original.shape))

    def weights(self) -> Float32:
        """The float weights as libbsq's layer has them."""
        return to_numpy(self.original)

    def bias(self) -> Optional[Float32]:
        return None if self.original_bias is None else to_numpy(self.original_bias)

    def restored(self, values: torch.Tensor) -> torch.Tensor:
        """Weights of libbsq's layer in the shape of the module's."""
        return values

    def rows(self, values: torch.Tensor) -> torch.Tensor:
        """The module's input as the layer's."""
        return values

    def outputs(self, values: torch.Tensor) -> torch.Tensor:
        """The module's output as the layer's."""
        return values

    def row_key(self) -> Optional[Tuple[Any, ...]]:
        """Sites of equal keys gather the same rows from the same tensor; None: from no other's."""
        return ("linear", self.geometry.in_channels)

    # ---- weights in and out --------------------------------------------------------------------------------------

    def take(self, weights: Array, bias: Optional[Array]) -> None:
        """Makes these, in the layer's shape, the quantized weights; None keeps the bias."""
        restored = self.restored(torch.from_numpy(np.ascontiguousarray(weights)))
        self.quantized = restored.contiguous().to(self.original)
        if bias is not None and self.original_bias is not None:
            self.quantized_bias = torch.from_numpy(np.ascontiguousarray(bias)).to(self.original_bias)

    def use_quantized(self) -> None:
        if self.quantized is not None:
            self.parameter.data = self.quantized
        if self.quantized_bias is not None and self.bias_parameter is not None:
            self.bias_parameter.data = self.quantized_bias

    def use_original(self) -> None:
        self.parameter.data = self.original
        if self.bias_parameter is not None and self.original_bias is not None:
            self.bias_parameter.data = self.original_bias


class TransposedLinear(Site):
    """A linear layer whose weight is (in, out): `Conv1D` of Hugging Face's GPT-2."""

    kind = "linear_transposed"

    def _geometry(self) -> Geometry:
        inputs, outputs = self.original.shape
        return Geometry.of((outputs, inputs))

    def weights(self) -> Float32:
        return to_numpy(self.original.t())

    def restored(self, values: torch.Tensor) -> torch.Tensor:
        return values.t()


def _spatial(value: Any, dims: int) -> Tuple[int, ...]:
    return (int(value),) * dims if isinstance(value, int) else tuple(int(v) for v in value)


class Convolution(Site):
    """Conv1d, Conv2d, Conv3d. Padding that is not of zeros is done before the layer sees its input."""

    kind = "conv"

    def _geometry(self) -> Geometry:
        conv: Any = self.module
        dims = self.original.dim() - 2
        self.dims, self.pad_mode = dims, str(conv.padding_mode)
        dilation, kernel = _spatial(conv.dilation, dims), tuple(self.original.shape[2:])
        if conv.padding == "same":
            total = [d * (k - 1) for d, k in zip(dilation, kernel)]
            pads = [(t // 2, t - t // 2) for t in total]
        elif conv.padding == "valid":
            pads = [(0, 0)] * dims
        else:
            pads = [(p, p) for p in _spatial(conv.padding, dims)]
        # What torch.nn.functional.pad takes: the last dimension first.
        self.pads = [p for pair in reversed(pads) for p in pair]
        inside: Sequence[Tuple[int, int]] = pads if self.pad_mode == "zeros" else [(0, 0)] * dims
        return Geometry.of(tuple(self.original.shape), _spatial(conv.stride, dims), inside, dilation, int(conv.groups))

    def row_key(self) -> Optional[Tuple[Any, ...]]:
        if self.geometry.groups != 1:
            return None
        return (self.kind, self.geometry.with_outputs(1), self.pad_mode, tuple(self.pads))

    def _batched(self, values: torch.Tensor) -> torch.Tensor:
        return values.unsqueeze(0) if values.dim() == self.dims + 1 else values

    def rows(self, values: torch.Tensor) -> torch.Tensor:
        values = self._batched(values)
        if self.pad_mode != "zeros" and any(self.pads):
            values = nn.functional.pad(values, self.pads, mode=self.pad_mode)
        return values

    def outputs(self, values: torch.Tensor) -> torch.Tensor:
        return self._batched(values)


class TransposedConvolution(Convolution):
    """ConvTranspose1d to 3d: a convolution of stride 1, with the kernel reversed, over inputs with zeros between them."""

    kind = "conv_transposed"

    def _geometry(self) -> Geometry:
        conv: Any = self.module
        self.dims, self.groups = self.original.dim() - 2, int(conv.groups)
        self.pad_mode, self.pads = "zeros", []
        self.stride, dilation = _spatial(conv.stride, self.dims), _spatial(conv.dilation, self.dims)
        kernel = tuple(self.original.shape[2:])
        self.reach = [d * (k - 1) - p for d, k, p in zip(dilation, kernel, _spatial(conv.padding, self.dims))]
        inputs, outputs = self.original.shape[:2]
        shape = (outputs * self.groups, inputs // self.groups, *kernel)
        return Geometry.of(shape, 1, 0, dilation, self.groups)

    def _swapped(self, values: torch.Tensor) -> torch.Tensor:
        """(g in', out', k...) to (g out', in', k...), or back, with the kernel reversed."""
        first, second, kernel = values.shape[0] // self.groups, values.shape[1], values.shape[2:]
        split = values.reshape(self.groups, first, second, *kernel).transpose(1, 2)
        return split.flip(list(range(3, 3 + self.dims))).reshape(self.groups * second, first, *kernel)

    def weights(self) -> Float32:
        return to_numpy(self._swapped(self.original))

    def restored(self, values: torch.Tensor) -> torch.Tensor:
        return self._swapped(values)

    def row_key(self) -> Optional[Tuple[Any, ...]]:
        return None

    def rows(self, values: torch.Tensor) -> torch.Tensor:
        return self._spread(self._batched(values), self._tails(self._batched(values)))

    def _tails(self, values: torch.Tensor) -> List[int]:
        """Zeros behind the input: those of output_padding too. What output_size asks for at a call is not known here."""
        extra = _spatial(self.module.output_padding, self.dims)
        return [r + e for r, e in zip(self.reach, extra)]

    def _spread(self, values: torch.Tensor, tails: List[int]) -> torch.Tensor:
        """Puts stride - 1 zeros between inputs, and what the kernel reaches beyond them around."""
        shape = [(x - 1) * s + 1 for x, s in zip(values.shape[2:], self.stride)]
        wide = values.new_zeros((*values.shape[:2], *shape))
        wide[(slice(None), slice(None), *(slice(None, None, s) for s in self.stride))] = values
        pads = [p for pair in reversed(list(zip(self.reach, tails))) for p in pair]
        return nn.functional.pad(wide, pads)  # a negative pad cuts


class Table(Site):
    """An embedding: every token's row is a channel; its weights alone decide, since a look-up multiplies nothing."""

    kind = "embedding"
    needs_rows = False

    def row_key(self) -> Optional[Tuple[Any, ...]]:
        return None

    def bias(self) -> Optional[Float32]:
        return None


KINDS: Dict[str, Type[Site]] = {site.kind: site for site in (Site, TransposedLinear, Convolution, TransposedConvolution,
                                                            Table)}
_CLASSES: List[Tuple[Tuple[Type[nn.Module], ...], Type[Site]]] = [
    ((nn.Linear,), Site), ((nn.Conv1d, nn.Conv2d, nn.Conv3d), Convolution),
    ((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), TransposedConvolution), ((nn.Embedding,), Table)]


def kind_of(module: nn.Module, classes: Classes) -> Optional[Type[Site]]:
    """What kind of site a module is; None when it is none. Classes of the caller come first."""
    for wanted, kind in classes.items():
        if kind not in KINDS:
            raise ArgumentError("classes: %r is none of %s" % (kind, ", ".join(KINDS)))
        if type(module).__name__ == wanted if isinstance(wanted, str) else isinstance(module, wanted):
            return KINDS[kind]
    for known, site in _CLASSES:
        if isinstance(module, known):
            return site
    if type(module).__name__ == "Conv1D" and hasattr(module, "nf"):
        return TransposedLinear
    return None


def find(model: nn.Module, classes: Classes, skipped: Callable[[str, str], None]) -> List[Site]:
    """The sites of a model. Of modules that share a weight the first that multiplies with it stands for all."""
    sites: List[Site] = []
    owners: Dict[int, Site] = {}
    for name, module in model.named_modules():
        kind = kind_of(module, classes)
        if kind is None:
            continue
        weight = module._parameters.get("weight")
        if weight is None:
            skipped(name, "its weight is computed, not a parameter")
            continue
        if weight.dim() < 2 or not weight.is_floating_point():
            skipped(name, "its weight is not a float matrix")
            continue
        site, owner = kind(name, module), owners.get(id(weight))
        if owner is not None and (owner.needs_rows or not site.needs_rows):
            skipped(name, "shares the weight of %s" % owner.name)
            continue
        if owner is not None:
            skipped(owner.name, "shares the weight of %s" % name)
            sites.remove(owner)
        owners[id(weight)] = site
        sites.append(site)
    if not sites:
        raise ShapeError("the model has no module that could be quantized")
    return sites
