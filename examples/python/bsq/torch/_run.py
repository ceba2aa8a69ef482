"""A whole model, layer by layer."""
from __future__ import annotations

import contextlib
import copy
import dataclasses
import fnmatch
import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import nn

from .. import _order as order_of
from .._errors import ArgumentError, Error
from .._files import replacing
from .._layer import Layer, Moments, layer_memory
from .._network import allocate_bits
from .._options import InputQuantizer, Options
from .._quantize import prepare
from .._tensor import Path, Tensor
from .._work import Bar
from ._collect import Collector, FakeQuantizer, Forward, Group, RowWeights, Samples, trace
from ._result import LayerResult, Result
from ._sites import Array, Classes, Site, find

Overrides = Mapping[str, Optional[Mapping[str, Any]]]


@dataclass(frozen=True)
class Step:
    """How far `quantize` is: `done` of `total` samples and layers, and what was done last."""

    done: int
    total: int
    what: str
    name: str


ProgressArgument = Union[None, bool, Callable[[Step], Any]]


def quantize(model: nn.Module, samples: Any, bits: Optional[int] = None, group_size: Optional[int] = None, *,
             passes: Optional[int] = None, overrides: Optional[Overrides] = None, avg_bits: Optional[float] = None,
             choices: Sequence[int] = (2, 3, 4, 5, 6, 7, 8), forward: Optional[Forward] = None,
             limit: Optional[int] = None, row_weights: RowWeights = "attention_mask", share: bool = True,
             memory: Optional[int] = None, classes: Optional[Classes] = None, resume: Optional[Path] = None,
             inplace: bool = True, desc_act: bool = False, progress: ProgressArgument = None,
             options: Optional[Options] = None, **fields: Any) -> Result:
    """Quantizes the weights of a model's Linear, Conv1d to 3d, ConvTranspose1d to 3d and Embedding modules.

        result = bsq.torch.quantize(model, loader, bits=4, group_size=128)

    model        any nn.Module; afterwards it has the dequantized weights (inplace=False: a copy has them). It is put into
                 eval mode while samples go through it
    samples      an iterable that is gone through several times: a DataLoader, a list; an iterator is made a list. A dict
                 is passed as keyword arguments, a tuple or list as positional ones, as many as forward() takes (labels are
                 left out), anything else as the one argument
    bits, group_size, and every other field of `bsq.Options` as a keyword argument: how to quantize. input_bits=8 also
                 quantizes the activations: the model gets hooks that do it
    passes       None: layers in the order of the model, each with the inputs that the quantized part before it gives, and
                 the float model's output as target. 1: all layers from the float model's inputs at once. k: the layers in
                 k parts, each behind the quantized parts before it. Each part costs the samples' way through the model up
                 to it, twice where there is a target (asymmetry=0: none)
    overrides    {"layer4.*": {"bits": 8}, "fc": None}: options by pattern of module names, the last one that fits;
                 None leaves a module as it is
    avg_bits     bits by layer, of `choices`, so that their average over the weights is at most this and the sum of
                 relative errors least, by error tables of the float model; layers with bits of their own apart
    forward      forward(model, sample), in the place of the rule for samples above
    limit        how many samples count
    row_weights  the key of the samples whose value, an attention mask (batch, tokens), says which rows of a linear layer
                 count; or a function of (sample, module name, input) that returns weights or None
    share        modules that read one tensor (query, key, value) share one matrix of statistics
    memory       bytes that statistics may take at one time; parts are divided to stay below
    classes      {MyLinear: "linear"}: classes, or their names, of other modules with a weight: "linear",
                 "linear_transposed", "conv", "conv_transposed", "embedding"
    resume       a folder: layers that are done are kept there, and taken from there when the same call starts again
    desc_act     linear layers of the formats gptq and gptq_v2 get groups of inputs of similar size, largest first, which
                 `Result.save_gptq` stores as g_idx
    progress     True: a bar; or a function of a `Step`; whatever it raises ends the call

    Returns a `Result`. Memory: statistics of one part, and the float weights besides the quantized ones; activations are
    not kept. A failure, Ctrl-C too, leaves the model as it was. Modules that no sample reaches stay float (`skipped`).
    """
    if bits is not None:
        fields["bits"] = bits
    if group_size is not None:
        fields["group_size"] = group_size
    if passes is not None and (not isinstance(passes, int) or passes < 1):
        raise ArgumentError("passes: None, or a number from 1 on, not %r" % (passes,))
    base = Options.of(fields, options)
    base.struct()  # finds wrong values before any sample runs
    model = model if inplace else copy.deepcopy(model)
    run = _Run(model, samples, base, overrides or {}, forward, limit, row_weights, share, classes or {}, desc_act,
               progress)
    with run.prepared():
        if avg_bits is not None:
            run.choose_bits(avg_bits, choices, memory)
        run.quantize(passes, memory, resume)
    return run.result()


class _Run:
    def __init__(self, model: nn.Module, samples: Any, base: Options, overrides: Overrides, forward: Optional[Forward],
                 limit: Optional[int], row_weights: RowWeights, share: bool, classes: Classes,
                 desc_act: bool, progress: ProgressArgument) -> None:
        self.started = time.perf_counter()
        self.model, self.base, self.share = model, base, share
        self.skipped: Dict[str, str] = {}
        self.samples = Samples(model, samples, forward, limit)
        found = find(model, classes, self.skipped.__setitem__)
        self.options: Dict[str, Options] = {}
        self.own_bits: Dict[str, bool] = {}
        self._override(found, overrides)
        self.sites = [site for site in found if site.name in self.options]
        self.ordered = {site.name for site in self.sites if desc_act and self._orders(site)}
        if desc_act and not self.ordered:
            raise ArgumentError("desc_act: no linear layer is solved for one of %s" % ", ".join(order_of.FORMATS))
        self.collector = Collector(self.samples, self.sites, row_weights, self._step)
        self.hooks: List[Any] = []
        self.layers: Dict[str, LayerResult] = {}
        self.solve_seconds = 0.0
        self.done = self.total = 0
        self.name = ""
        self.bar = Bar("bsq.torch", 1000, "") if progress is True else None
        self.progress = progress if callable(progress) else None

    def _override(self, sites: Sequence[Site], overrides: Overrides) -> None:
        used = set()
        for site in sites:
            chosen: Optional[Mapping[str, Any]] = {}
            for pattern, wanted in overrides.items():
                if fnmatch.fnmatchcase(site.name, pattern):
                    chosen = wanted
                    used.add(pattern)
            if chosen is None:
                self.skipped[site.name] = "left out by overrides"
                continue
            options = Options.of(chosen, self.base)
            options.struct()
            if options.bias_correction and site.original_bias is None:
                options = dataclasses.replace(options, bias_correction=False)
            if not site.needs_rows:
                options = dataclasses.replace(options, input_bits=0, bias_correction=False)
            self.options[site.name] = options
            self.own_bits[site.name] = "bits" in chosen
        unused = set(overrides) - used
        if unused:
            raise ArgumentError("overrides: no module is named %s" % ", ".join(sorted(unused)))

    def _orders(self, site: Site) -> bool:
        """Whether the groups of a site are formed along the size of its inputs."""
        options = self.options[site.name]
        if options.format not in order_of.FORMATS or site.geometry.kernel or not site.needs_rows:
            return False
        order_of.check(site.geometry, options)
        return True

    # ---- around --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def prepared(self) -> Iterator[None]:
        """Eval mode, no gradients; on failure the model gets back what it had."""
        modes = {module: module.training for module in self.model.modules()}
        try:
            with torch.no_grad():
                self.model.eval()
                order, calls, leaders = trace(self.samples, self.sites)
                self.calls, self.leaders = calls, leaders
                for site in self.sites:
                    if site.name not in calls and site.needs_rows:
                        self.skipped[site.name] = "no sample reaches it"
                tables = [site for site in self.sites if not site.needs_rows]
                self.order = tables + [site for site in order if site.needs_rows]
                yield
        except BaseException:
            for site in self.sites:
                site.use_original()
            for hook in self.hooks:
                hook.remove()
            raise
        finally:
            for module, mode in modes.items():
                module.training = mode
            if self.bar is not None:
                self.bar.close()

    def _step(self, what: str) -> None:
        self.done += 1
        if self.bar is not None and self.total:
            self.bar.to(min(1000, 1000 * self.done // self.total))
        if self.progress is not None:
            self.progress(Step(self.done, max(self.total, self.done), what, self.name))

    def _groups(self, sites: Sequence[Site]) -> List[Group]:
        """Sites by the tensor that they read, in order."""
        found: Dict[Tuple[str, Any], Group] = {}
        for site in sites:
            options = self.options[site.name]
            leader = self.leaders[site.name] if self.share else site
            # Statistics are of the inputs as the layer sees them, so these must be alike as well.
            kind = (options.input_bits, options.input_type, options.input_clip, options.input_percentile,
                    options.input_scale_kind, options.asymmetry > 0)
            group = found.get((leader.name, kind))
            if group is None:
                found[leader.name, kind] = Group([site], options, self.calls[site.name])
            else:
                group.sites.append(site)
        return list(found.values())

    def _memory(self, group: Group) -> int:
        outputs = sum(site.geometry.out_channels for site in group.sites)
        return layer_memory(group.leader.geometry.with_outputs(outputs), group.options)

    def _parts(self, groups: List[Group], passes: Optional[int], memory: Optional[int]) -> List[List[Group]]:
        """Groups that gather at the same time: as many parts as wanted, and each below the memory that it may take."""
        count = len(groups) if passes is None else min(passes, len(groups))
        parts: List[List[Group]] = []
        for indices in np.array_split(np.arange(len(groups)), max(count, 1)):
            part: List[Group] = []
            taken = 0
            for index in indices:
                needed = self._memory(groups[index])
                if memory is not None and part and taken + needed > memory:
                    parts.append(part)
                    part, taken = [], 0
                part.append(groups[index])
                taken += needed
            if part:
                parts.append(part)
        return parts

    # ---- bits ----------------------------------------------------------------------------------------------------

    def choose_bits(self, average: float, choices: Sequence[int], memory: Optional[int]) -> None:
        """Error tables of all layers on the float model, then the best bits within the budget."""
        wanted = sorted({int(choice) for choice in choices})
        if not wanted or wanted[0] < 2 or wanted[-1] > 8:
            raise ArgumentError("choices: numbers of bits from 2 to 8, not %r" % (choices,))
        chosen = [site for site in self.order if not self.own_bits[site.name]]
        if not chosen:
            return
        tables: Dict[str, Array] = {}
        self._expect(chosen, 1, memory)
        for site in chosen:
            if not site.needs_rows:
                with self._alone(site) as layer:
                    tables[site.name] = layer.error_table(wanted[0], wanted[-1])
        for part in self._parts(self._groups([site for site in chosen if site.needs_rows]), 1, memory):
            try:
                for group in part:
                    group.open()
                self.collector.gather(part, False)
                for group in part:
                    for site, layer in self._solved(group):
                        self.name = site.name
                        tables[site.name] = self._timed(layer.error_table, wanted[0], wanted[-1])
                        self._step("table")
            finally:
                for group in part:
                    group.close()
        index = [w - wanted[0] for w in wanted]
        sizes = np.array([site.original.numel() for site in chosen], np.int64)
        errors = np.array([tables[site.name][index] for site in chosen])
        costs = sizes[:, None] * np.array(wanted, np.int64)
        found = allocate_bits(errors, costs, int(average * int(sizes.sum())))
        for site, choice in zip(chosen, found.chosen):
            self.options[site.name] = dataclasses.replace(self.options[site.name], bits=wanted[int(choice)])

    # ---- the order of things -------------------------------------------------------------------------------------

    def _expect(self, sites: Sequence[Site], passes: Optional[int], memory: Optional[int]) -> None:
        """Adds what these will take to the total of progress, where the number of samples is known."""
        try:
            count = len(self.samples.samples)  # type: ignore[arg-type]
        except TypeError:
            return
        count = count if self.samples.limit is None else min(count, self.samples.limit)
        parts = self._parts(self._groups([site for site in sites if site.needs_rows]), passes, memory)
        observed = sum(any(group.options.input_bits for group in part) for part in parts)
        self.total += len(sites) + count * (len(parts) + observed)

    def quantize(self, passes: Optional[int], memory: Optional[int], resume: Optional[Path]) -> None:
        keep = _Kept(resume, self)
        self._expect(self.order, passes, memory)
        for site in self.order:
            if not site.needs_rows:
                self._table(site, keep)
        groups = self._groups([site for site in self.order if site.needs_rows])
        for number, part in enumerate(self._parts(groups, passes, memory)):
            self.name = part[0].leader.name
            kept = {site.name: keep.read(site) for group in part for site in group.sites}
            if all(kept.values()):
                for group in part:
                    for site in group.sites:
                        self._take(site, kept[site.name])  # type: ignore[arg-type]
                        self._step("resume")
                continue
            try:
                for group in part:
                    group.open()
                # In the first part the float model's inputs are the ones that there are.
                targets = number > 0 or bool(self.layers) or any(group.options.input_bits for group in part)
                self.collector.gather(part, targets and any(group.options.asymmetry > 0 for group in part))
                found: List[Tuple[Site, LayerResult]] = []
                for group in part:
                    for site, layer in self._solved(group):
                        self.name = site.name
                        found.append((site, self._solve(site, layer)))
                        keep.write(site, found[-1][1])
                        self._step("solve")
                    group.close()
                for site, result in found:
                    self._take(site, result)
            finally:
                for group in part:
                    group.close()

    @contextlib.contextmanager
    def _alone(self, site: Site) -> Iterator[Layer]:
        with prepare(site.weights(), None, geometry=site.geometry, options=self.options[site.name]) as layer:
            yield layer

    def _table(self, site: Site, keep: _Kept) -> None:
        self.name = site.name
        result = keep.read(site)
        if result is None:
            with self._alone(site) as layer:
                result = self._solve(site, layer)
            keep.write(site, result)
        self._take(site, result)
        self._step("solve")

    def _timed(self, function: Callable[..., Any], *arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            self.solve_seconds += time.perf_counter() - started

    def _solved(self, group: Group) -> Iterator[Tuple[Site, Layer]]:
        """Each site of a group with a layer that has its part of the group's statistics."""
        layer = group.layer
        assert layer is not None
        if len(group.sites) == 1:
            layer.options = self.options[group.leader.name]
            yield group.leader, layer
            return
        state = layer.state
        moments = layer.moments()
        quantizer = layer.input_quantizer if group.options.input_bits else None
        group.close()
        first = 0
        for site in group.sites:
            outputs = slice(first, first + site.geometry.out_channels)
            first = outputs.stop
            part = Moments(moments.h, moments.input_mean, rows=moments.rows)
            if "targets" in state:
                for name in ("p", "target_mean", "target_square"):
                    values = getattr(moments, name)
                    setattr(part, name, None if values is None else values[outputs])
            with Layer(site.weights(), site.bias(), geometry=site.geometry, options=self.options[site.name]) as own:
                if quantizer is not None:
                    own.input_quantizer = quantizer
                own.set_moments(part)
                yield site, own

    def _solve(self, site: Site, layer: Layer) -> LayerResult:
        started = time.perf_counter()
        order = order_of.by_size(layer) if site.name in self.ordered else None
        with contextlib.ExitStack() as opened:
            if order is not None:
                layer = opened.enter_context(order_of.in_order(layer, site.weights(), site.bias(), order, layer.options))
            try:
                report = self._timed(layer.optimize)
            except Error as error:
                raise type(error)("%s: %s" % (site.name, error.text)) from error
            tensor = layer.tensor()
        tensor.input_order = order
        tensor.shape = site.geometry.weight_shape
        tensor.report = report
        return LayerResult(site.name, site.kind, tensor, report.as_dict(), time.perf_counter() - started,
                           self.options[site.name].format)

    def _take(self, site: Site, result: LayerResult) -> None:
        self.layers[site.name] = result
        tensor = result.tensor
        site.take(tensor.dequantize().reshape(site.geometry.weight_shape), tensor.bias)
        site.use_quantized()
        if tensor.input is not None:
            self.hooks.append(add_activation_hook(site.module, tensor.input, len(site.geometry.kernel),
                                                  lambda: self.collector.enabled))

    def result(self) -> Result:
        for hook in self.hooks:
            hook.remove()
        handles = []
        for site in self.sites:
            result = self.layers.get(site.name)
            if result is not None and result.tensor.input is not None:
                handles.append(add_activation_hook(site.module, result.tensor.input, len(site.geometry.kernel)))
        seconds = {"forward": self.samples.seconds, "statistics": self.collector.seconds, "solve": self.solve_seconds,
                   "total": time.perf_counter() - self.started}
        names = [name for name, _ in self.model.named_modules() if name in self.layers]
        return Result(self.model, {name: self.layers[name] for name in names}, dict(self.skipped), seconds, handles)


def add_activation_hook(module: nn.Module, quantizer: InputQuantizer, dims: int,
                        enabled: Optional[Callable[[], bool]] = None) -> Any:
    """Makes a module see its input as the quantizer leaves it; the handle that PyTorch gives removes the hook."""
    register: Any = module.register_forward_pre_hook
    return register(FakeQuantizer(quantizer, dims, enabled))


class _Kept:
    """Layers that are done, in a folder: a tensor and its numbers a layer, under the layer's name.

    Each is marked by a hash of its options and weights and of all that was done before it, so that nothing is taken over
    from a call that was another one. That the samples are the same is the caller's word.
    """

    def __init__(self, folder: Optional[Path], run: _Run) -> None:
        self.folder = None if folder is None else os.fspath(folder)
        self.marks: Dict[str, str] = {}
        if self.folder is None:
            return
        os.makedirs(self.folder, exist_ok=True)
        chain = hashlib.sha256(repr((run.samples.limit, sorted(run.skipped), sorted(run.ordered))).encode())
        for site in run.order:
            chain.update(repr((site.name, run.options[site.name])).encode())
            chain.update(site.weights().tobytes())
            self.marks[site.name] = chain.hexdigest()

    def _path(self, site: Site) -> str:
        return os.path.join(self.folder or "", re.sub(r"[^\w.-]", "_", site.name) + ".%s" % self.marks[site.name][:16])

    def read(self, site: Site) -> Optional[LayerResult]:
        if self.folder is None:
            return None
        try:
            with open(self._path(site) + ".json", encoding="utf-8") as file:
                said = json.load(file)
            tensor = Tensor.load(self._path(site) + ".npz")
            return LayerResult(site.name, site.kind, tensor, dict(said["numbers"]), float(said["seconds"]), said["format"])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # not there, or not whole: it is solved again

    def write(self, site: Site, result: LayerResult) -> None:
        if self.folder is None:
            return
        result.tensor.save(self._path(site) + ".npz")
        with replacing(self._path(site) + ".json") as file:
            file.write(json.dumps({"numbers": result.numbers, "seconds": result.seconds, "format": result.format}).encode())
