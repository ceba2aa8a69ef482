"""What comes out of a model: numbers by layer, packed tensors, files."""
from __future__ import annotations

import contextlib
import html
import json
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import torch
from torch import nn

from .._errors import ArgumentError, CorruptError, FormatError
from .._files import describe, replacing, restore, save_safetensors
from .._tensor import Path, Tensor
from ._sites import KINDS


@dataclass
class LayerResult:
    """One module: its `Tensor`, and the numbers of its report (`bsq.Report.as_dict`). `kind` is how the module's weight
    lies: "linear", "linear_transposed", "conv", "conv_transposed", "embedding"; `format` what it was solved for."""

    name: str
    kind: str
    tensor: Tensor
    numbers: Dict[str, Any]
    seconds: float
    format: Optional[str] = None

    @property
    def error(self) -> float:
        """The relative output error; of an embedding that of its weights."""
        return float(self.numbers["error"])


@dataclass
class Result:
    """A quantized model.

    model      the model with dequantized weights, and hooks that quantize activations where input_bits asked for it
    layers     {module name: `LayerResult`}
    skipped    {module name: why it stayed float}
    seconds    of "forward" passes, of "statistics", of "solve", in "total"

    Prints as a table.
    """

    model: nn.Module
    layers: Dict[str, LayerResult]
    skipped: Dict[str, str]
    seconds: Dict[str, float]
    hooks: List[Any] = field(default_factory=list, repr=False)

    @property
    def tensors(self) -> Dict[str, Tensor]:
        """{module name: `bsq.Tensor`}."""
        return {name: layer.tensor for name, layer in self.layers.items()}

    @property
    def avg_bits(self) -> float:
        """Bits of codes by weight, over the quantized modules."""
        sizes = {name: tensor.codes.size for name, tensor in self.tensors.items()}
        return sum(self.layers[name].tensor.bits * size for name, size in sizes.items()) / max(sum(sizes.values()), 1)

    def remove_hooks(self) -> None:
        """Lets activations be float again."""
        for hook in self.hooks:
            hook.remove()
        self.hooks = []

    # ---- text ----------------------------------------------------------------------------------------------------

    def _rows(self) -> List[List[str]]:
        rows = [["module", "weights", "bits", "error", "rounding", "seconds"]]
        for layer in self.layers.values():
            rows.append([layer.name, " x ".join(map(str, layer.tensor.shape)), "%d" % layer.tensor.bits,
                         "%.6f" % layer.error, "%.6f" % layer.numbers["error_start"], "%.2f" % layer.seconds])
        return rows

    def __str__(self) -> str:
        rows = self._rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
                 for row in rows]
        lines.append("%.3g bits a weight; seconds: %s" % (self.avg_bits, ", ".join(
            "%s %.2f" % item for item in self.seconds.items())))
        lines += ["float: %s (%s)" % item for item in self.skipped.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, *rows = [["<td>%s</td>" % html.escape(cell) for cell in row] for row in self._rows()]
        return "<table>%s</table>" % "".join("<tr>%s</tr>" % "".join(row) for row in [head, *rows])

    # ---- packed --------------------------------------------------------------------------------------------------

    def state_dict(self, format: Optional[str] = None) -> Dict[str, torch.Tensor]:
        """The model's state dict with packed weights: in the place of NAME.weight there are NAME.weight.packed, the bytes
        of `format` (None: the one that the layer was solved for, else the smallest of onnx_int2, onnx_int4, int8 that holds
        the codes, else a byte each), NAME.weight.scales and what else the tensor has, and NAME.weight.bsq, a description
        as JSON. `load_state_dict` reads it."""
        state: Dict[str, torch.Tensor] = OrderedDict(self.model.state_dict())
        for name, layer in self.layers.items():
            prefix = name + "." if name else ""
            state.pop(prefix + "weight")
            arrays, said = describe(layer.tensor)
            codes = arrays.pop("codes")
            arrays.pop("bias", None)  # the module's own
            said["format"], arrays["packed"] = _packed(layer.tensor, format, layer.format)
            said["codes"], said["kind"] = list(codes.shape), layer.kind
            arrays["bsq"] = np.frombuffer(json.dumps(said).encode(), np.uint8)
            for key, array in arrays.items():
                state["%sweight.%s" % (prefix, key)] = torch.from_numpy(np.array(array))
        return state

    def save_gptq(self, path: Path, format: str = "gptq") -> None:
        """Writes the model as a .safetensors file in the layout of GPTQ: for each linear layer NAME.qweight, NAME.qzeros,
        NAME.scales and NAME.g_idx in the place of NAME.weight; all else is float, embeddings and convolutions with their
        dequantized weights. Needs layers that were solved for it: quantize(..., format="gptq", group_size=128). "gptq_v2"
        is its second version, whose zero points are stored as they are. quantize_config.json, beside the file, says bits
        and group size as loaders ask for them."""
        arrays: Dict[str, Any] = {}
        state = OrderedDict(self.model.state_dict())
        config: Dict[str, Any] = {}
        for name, layer in self.layers.items():
            if layer.kind not in ("linear", "linear_transposed"):
                continue
            prefix = name + "." if name else ""
            try:
                parts = layer.tensor.parts(format)
            except FormatError as error:
                raise FormatError("%s: %s" % (name, error.text)) from None
            arrays.update({prefix + key: part for key, part in parts.items()})
            state.pop(prefix + "weight")
            tensor = layer.tensor
            said = {"bits": tensor.bits, "group_size": tensor.group_size or -1, "desc_act": tensor.input_order is not None,
                    "sym": tensor.grid != "zero_point", "quant_method": "gptq", "checkpoint_format": format}
            # Loaders know one setting for all; what differs is listed by module.
            if not config:
                config = said
            elif any(said[key] != config[key] for key in said):
                config.setdefault("dynamic", {})[name] = {key: said[key] for key in ("bits", "group_size", "desc_act")}
        if not config:
            raise FormatError("no linear layer was quantized")
        for key, value in state.items():
            plain = value.detach().cpu().contiguous()
            arrays[key] = plain.float().numpy() if plain.dtype == torch.bfloat16 else plain.numpy()
        save_safetensors(path, arrays, {"format": "pt"})
        with replacing(os.path.join(os.path.dirname(os.fspath(path)), "quantize_config.json")) as file:
            file.write(json.dumps(config, indent=2).encode() + b"\n")


def _packed(tensor: Tensor, format: Optional[str], solved_for: Optional[str]) -> Tuple[Optional[str], Any]:
    """The name of a format, and the bytes in it; None: the codes as they are."""
    if format is not None:
        return format, tensor.pack(format)
    for name in (solved_for, "onnx_int2", "onnx_int4", "int8"):
        if name is not None:
            with contextlib.suppress(FormatError):
                return name, tensor.pack(name)
    return None, tensor.codes.view(np.uint8)


def load_state_dict(model: nn.Module, state: Mapping[str, torch.Tensor], activations: bool = True) -> Dict[str, Tensor]:
    """Reads what `Result.state_dict` gave into a model of the same structure: dequantized weights, all else as it is, and
    the hooks that quantize activations. Returns the tensors by module name."""
    from ._run import add_activation_hook

    state = OrderedDict(state)
    tensors: Dict[str, Tensor] = {}
    modules = dict(model.named_modules())
    for key in [key for key in state if key.endswith("weight.bsq")]:
        prefix = key[:-len("bsq")]
        name = prefix[:-len("weight.")].rstrip(".")
        if name not in modules:
            raise ArgumentError("the model has no module %s" % name)
        parts = {k[len(prefix):]: state.pop(k).cpu().numpy() for k in list(state) if k.startswith(prefix)}
        try:
            said = json.loads(parts.pop("bsq").tobytes().decode())
            packed, format, kind = parts.pop("packed"), said["format"], KINDS[said["kind"]]
            parts["codes"] = np.zeros(said["codes"], np.int8)
            if said["grid"] not in ("symmetric", "full"):
                parts["codes"] = parts["codes"].view(np.uint8)
            if format is None:
                parts["codes"] = packed.reshape(said["codes"]).view(parts["codes"].dtype)
            blank = restore(parts, said)
        except (KeyError, TypeError, ValueError) as problem:
            raise CorruptError("%s: not a packed tensor: %s" % (name, problem)) from None
        tensor = blank if format is None else blank.unpack(format, packed)
        site = kind(name, modules[name])
        values = torch.from_numpy(tensor.dequantize().reshape(site.geometry.weight_shape))
        state[prefix[:-1]] = site.restored(values).contiguous()
        tensors[name] = tensor
        if activations and tensor.input is not None:
            add_activation_hook(modules[name], tensor.input, len(site.geometry.kernel))
    model.load_state_dict(state)
    return tensors
