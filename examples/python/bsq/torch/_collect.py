"""Samples through the model: who is called when, with which input, and the statistics of that."""
from __future__ import annotations

import inspect
import time
import weakref
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import nn

from .._errors import ArgumentError, StateError
from .._layer import Layer
from .._options import InputQuantizer
from ._sites import Array, Site, to_numpy

Forward = Callable[[nn.Module, Any], Any]
RowWeights = Union[None, str, Callable[[Any, str, torch.Tensor], Optional[torch.Tensor]]]


class Enough(Exception):
    """Ends a forward pass when all that is wanted from it was seen."""


class Samples:
    """What goes through the model, any number of times, and how."""

    def __init__(self, model: nn.Module, samples: Any, forward: Optional[Forward], limit: Optional[int]) -> None:
        if isinstance(samples, (torch.Tensor, Mapping, str, bytes)) or not isinstance(samples, Iterable):
            raise ArgumentError("samples: an iterable (a list, a DataLoader), not one %s" % type(samples).__name__)
        # An iterator can be gone through once only; what it gives is kept.
        self.samples: Iterable[Any] = list(samples) if iter(samples) is samples else samples
        self.model, self.forward, self.limit = model, forward, limit
        self.positional = _positional(model)
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Any]:
        for index, sample in enumerate(self.samples):
            if self.limit is not None and index >= self.limit:
                return
            yield sample

    def run(self, sample: Any) -> None:
        """One forward pass, until a hook has had enough."""
        started = time.perf_counter()
        try:
            if self.forward is not None:
                self.forward(self.model, sample)
                return
            sample = _moved(sample, _device(self.model))
            if isinstance(sample, Mapping):
                self.model(**sample)
            elif isinstance(sample, (tuple, list)):
                # What forward() has no place for, as the labels of a DataLoader, is left out.
                self.model(*sample[:self.positional])
            else:
                self.model(sample)
        except Enough:
            pass
        finally:
            self.seconds += time.perf_counter() - started


def _positional(model: nn.Module) -> Optional[int]:
    kinds = [p.kind for p in inspect.signature(model.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return None
    return sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)


def _device(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _moved(sample: Any, device: torch.device) -> Any:
    if isinstance(sample, torch.Tensor):
        return sample.to(device)
    if isinstance(sample, np.ndarray):
        return torch.from_numpy(sample).to(device)
    if isinstance(sample, Mapping):
        return {key: _moved(value, device) for key, value in sample.items()}
    if isinstance(sample, (tuple, list)):
        return type(sample)(*(_moved(v, device) for v in sample)) if hasattr(sample, "_fields") else \
            type(sample)(_moved(v, device) for v in sample)
    return sample


def on_call(module: nn.Module, hook: Callable[[torch.Tensor, Any], None], name: str) -> Any:
    """Calls hook(input, output) whenever the module is called; the input may be a keyword argument where this PyTorch
    tells of them (2.0)."""

    def called(_: nn.Module, arguments: Tuple[Any, ...], *rest: Any) -> None:
        values = arguments[0] if arguments else next(iter(rest[0].values()), None) if len(rest) == 2 else None
        if not isinstance(values, torch.Tensor):
            raise ArgumentError("%s is called without a tensor as its first positional argument" % name)
        hook(values, rest[-1])

    register: Any = module.register_forward_hook
    try:
        return register(called, with_kwargs=True)
    except TypeError:
        return register(called)


# ---- order -------------------------------------------------------------------------------------------------------


def trace(samples: Samples, sites: Sequence[Site]) -> Tuple[List[Site], Dict[str, int], Dict[str, Site]]:
    """One sample through the model: the sites in the order of their first call, how often each is called, and the site
    whose input tensor each one reads too (itself when it is the first)."""
    order: List[Site] = []
    calls: Dict[str, int] = {}
    leaders: Dict[str, Site] = {}
    inputs: List[Tuple[Any, Site]] = []
    hooks = []

    def watch(site: Site) -> Callable[[torch.Tensor, Any], None]:
        def hook(values: torch.Tensor, _: Any) -> None:
            calls[site.name] = calls.get(site.name, 0) + 1
            if calls[site.name] > 1:
                return
            order.append(site)
            key = site.row_key()
            same = [leader for seen, leader in inputs if seen() is values and key is not None and key == leader.row_key()]
            leaders[site.name] = same[0] if same else site
            if not same:
                inputs.append((weakref.ref(values), site))

        return hook

    first = next(iter(samples), None)
    if first is None:
        raise ArgumentError("samples: there is none")
    try:
        for site in sites:
            hooks.append(on_call(site.module, watch(site), site.name))
        samples.run(first)
    finally:
        for hook in hooks:
            hook.remove()
    # What is called more than once has statistics of its own.
    for name, count in calls.items():
        if count > 1 or calls[leaders[name].name] > 1:
            leaders[name] = next(site for site in order if site.name == name)
    return order, calls, leaders


# ---- groups ------------------------------------------------------------------------------------------------------


class Group:
    """Sites that read one tensor, with one layer that gathers for all of them: their outputs side by side."""

    def __init__(self, sites: List[Site], options: Any, calls: int) -> None:
        self.sites, self.options, self.calls = sites, options, calls
        self.layer: Optional[Layer] = None
        self.seen = 0

    @property
    def leader(self) -> Site:
        return self.sites[0]

    def open(self, quantizer: Optional[InputQuantizer] = None) -> Layer:
        weights = np.concatenate([site.weights().reshape(site.geometry.out_channels, -1) for site in self.sites])
        biases = [site.bias() for site in self.sites]
        bias: Optional[Array] = None
        if any(b is not None for b in biases):
            bias = np.concatenate([np.zeros(site.geometry.out_channels, np.float32) if b is None else b
                                   for site, b in zip(self.sites, biases)])
        geometry = self.leader.geometry.with_outputs(len(weights))
        self.layer = Layer(weights, bias, geometry=geometry, options=self.options)
        if quantizer is not None:
            self.layer.input_quantizer = quantizer
        return self.layer

    def close(self) -> None:
        if self.layer is not None:
            self.layer.close()
            self.layer = None


class Collector:
    """Gathers the statistics of groups: all samples, through the float model where targets are wanted, then through the
    quantized part."""

    def __init__(self, samples: Samples, sites: Sequence[Site], row_weights: RowWeights,
                 step: Callable[[str], None]) -> None:
        self.samples, self.sites, self.row_weights, self.step = samples, sites, row_weights, step
        self.seconds = 0.0  # in libbsq, not in forward passes
        self.enabled = True  # whether activations are quantized in this pass

    def gather(self, groups: List[Group], targets: bool) -> None:
        if any(group.options.input_bits for group in groups):
            self._pass([g for g in groups if g.options.input_bits], False, True)
        self._pass(groups, targets, False)

    def _pass(self, groups: List[Group], targets: bool, observe: bool) -> None:
        for index, sample in enumerate(self.samples):
            wanted: Dict[str, List[Array]] = {}
            if targets:
                for site in self.sites:
                    site.use_original()
                self.enabled = False
                try:
                    self._run(groups, sample, self._keep(wanted))
                finally:
                    for site in self.sites:
                        site.use_quantized()
            self.enabled = True
            self._run(groups, sample, self._add(sample, index, wanted if targets else None, observe))
            self.step("observe" if observe else "calibrate")

    def _run(self, groups: List[Group], sample: Any, on: Callable[[Group, Site, torch.Tensor, torch.Tensor], None]) -> None:
        """One forward pass with the hooks of these groups; it ends with the last call that matters."""
        left = sum(group.calls * len(group.sites) for group in groups)
        hooks = []

        def watch(group: Group, site: Site) -> Callable[[torch.Tensor, Any], None]:
            def hook(values: torch.Tensor, output: Any) -> None:
                nonlocal left
                started = time.perf_counter()
                on(group, site, values, output)
                left -= 1
                spent = time.perf_counter() - started
                self.seconds += spent
                self.samples.seconds -= spent
                if left == 0:
                    raise Enough

            return hook

        try:
            for group in groups:
                for site in group.sites:
                    hooks.append(on_call(site.module, watch(group, site), site.name))
            self.samples.run(sample)
        finally:
            for hook in hooks:
                hook.remove()

    def _keep(self, wanted: Dict[str, List[Array]]) -> Callable[[Group, Site, torch.Tensor, torch.Tensor], None]:
        def keep(group: Group, site: Site, values: torch.Tensor, output: torch.Tensor) -> None:
            # A copy: what follows may write into the module's output, as ReLU does in place.
            wanted.setdefault(site.name, []).append(np.array(to_numpy(site.outputs(output))))

        return keep

    def _add(self, sample: Any, index: int, wanted: Optional[Dict[str, List[Array]]],
             observe: bool) -> Callable[[Group, Site, torch.Tensor, torch.Tensor], None]:
        inputs: Dict[str, Any] = {}

        def add(group: Group, site: Site, values: torch.Tensor, output: torch.Tensor) -> None:
            assert group.layer is not None
            if site is not group.leader:
                if inputs.get(group.leader.name, lambda: None)() is not values:
                    raise StateError("%s and %s read one tensor in the first sample, but not in sample %d: share=False" %
                                     (group.leader.name, site.name, index))
                return
            inputs[site.name] = weakref.ref(values)
            rows = to_numpy(site.rows(values))
            if observe:
                group.layer.observe(rows)
                return
            target: Optional[Array] = None
            if wanted is not None:
                lists = [wanted.get(member.name) for member in group.sites]
                if not all(lists):
                    raise StateError("%s is called more often in the quantized model than in the float one" % site.name)
                axis = 1 if site.geometry.kernel else -1
                parts = [one.pop(0) for one in lists if one]
                target = parts[0] if len(parts) == 1 else np.concatenate(parts, axis)
            group.layer.calibrate(rows, target, self._weights(sample, site, values))

        return add

    def _weights(self, sample: Any, site: Site, values: torch.Tensor) -> Optional[Array]:
        """Row weights: what the caller's function says, or the attention mask of the sample where the module sees one
        row for each of its elements."""
        if self.row_weights is None:
            return None
        if callable(self.row_weights):
            found = self.row_weights(sample, site.name, values)
            return None if found is None else to_numpy(found)
        mask = sample.get(self.row_weights) if isinstance(sample, Mapping) else None
        if not isinstance(mask, torch.Tensor) or site.geometry.kernel or values.dim() < 2:
            return None
        if values.shape[:-1] == mask.shape or (values.dim() == 2 and values.shape[0] == mask.numel()):
            return to_numpy(mask)
        return None


# ---- activations -------------------------------------------------------------------------------------------------


class FakeQuantizer:
    """A hook in front of a module: its input at the values that the quantizer leaves. 'dims' spatial extents follow the
    channels."""

    def __init__(self, quantizer: InputQuantizer, dims: int, enabled: Optional[Callable[[], bool]] = None) -> None:
        self.quantizer, self.dims, self.enabled = quantizer, dims, enabled

    def __call__(self, module: nn.Module, arguments: Tuple[Any, ...]) -> Optional[Tuple[Any, ...]]:
        if not arguments or (self.enabled is not None and not self.enabled()):
            return None
        return (self.apply(arguments[0]), *arguments[1:])

    def apply(self, values: torch.Tensor) -> torch.Tensor:
        """The values that are left, in the dtype of the values."""
        quantizer, (low, high) = self.quantizer, self.quantizer.range
        scale: Any = quantizer.scale
        zero: Any = quantizer.zero_point
        if quantizer.scales is not None:
            shape = [-1] + [1] * self.dims
            scale = torch.as_tensor(quantizer.scales, device=values.device).reshape(shape)
            zeros = quantizer.zero_points
            zero = 0 if zeros is None else torch.as_tensor(zeros, device=values.device).reshape(shape)
        codes = torch.clamp(torch.round(values.double() / scale) + zero, low, high)
        found: torch.Tensor = ((codes - zero) * scale).to(values.dtype)
        return found
