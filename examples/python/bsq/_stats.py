"""Statistics without a layer: gathered, merged, saved, and handed to any number of layers."""
from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import threading
from typing import Any, Dict, Iterator, Optional, Sequence, Union

import numpy as np

from . import _native as native
from ._arrays import numbers, together
from ._errors import ArgumentError, ShapeError, StateError, call
from ._layer import Layer
from ._options import Geometry, Options, Padding
from ._tensor import Path

lib = native.lib


class Stats:
    """The second moments of a layer's inputs, and of its targets, over all rows that it has seen.

    kernel, stride, padding, dilation, groups, layout, weight_layout    of the convolution; none for a linear layer
    bias      of the layer, which is taken off targets; needed where the layer has one and `update` gets targets
    threads   how many threads `update` may use

        stats = bsq.Stats()
        for batch in batches:
            stats.update(batch)
        tensor = bsq.quantize(weights, stats=stats, bits=3)

    Memory does not grow with the rows. Statistics of several processes add up by `merge`; `save` and pickle keep them,
    an unfinished tile of rows too, so that going on later gives the same bits as never having stopped. Any layer that
    reads the same tensor in the same way may use them (`bsq.quantize(..., stats=stats)`, `Layer.share`).
    """

    def __init__(self, *, kernel: Union[int, Sequence[int]] = (), stride: Union[int, Sequence[int]] = 1,
                 padding: Padding = 0, dilation: Union[int, Sequence[int]] = 1, groups: int = 1,
                 layout: str = "channels_first", weight_layout: str = "oihw", bias: Any = None, threads: int = 1) -> None:
        self._shape = (kernel,) if isinstance(kernel, int) else tuple(kernel)
        self._conv: Dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups,
                                      "layout": layout, "weight_layout": weight_layout}
        self._bias = None if bias is None else numbers(bias, "bias")
        self._options = Options(threads=threads)
        self._handle = native.HANDLE()  # what was imported or merged, and not gone on with yet
        self._layer: Optional[Layer] = None
        self._lock = threading.RLock()  # of one thread: what is called while it is held may ask again

    @classmethod
    def of_handle(cls, handle: Any) -> Stats:
        """Takes over a reference of C's."""
        made = cls()
        made._handle = handle
        return made

    def _release(self) -> None:
        handle, self._handle = self._handle, native.HANDLE()
        if handle.value:
            lib.bsq_stats_release(handle)

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None and lib is not None:
            self._release()

    # ---- gathering -----------------------------------------------------------------------------------------------

    def _gather(self, inputs: Any, target: Any) -> Layer:
        """The layer that gathers, made for the extents of the first batch or of what was loaded."""
        if self._layer is not None:
            return self._layer
        options = self._options
        if self._handle.value:
            # With the same kind of input quantizer, a layer takes over that of the statistics.
            geometry, info = self.geometry, self.info()
            if info["input_bits"]:
                options = dataclasses.replace(
                    options, input_bits=info["input_bits"],
                    input_scale_kind=native.name_of(native.INPUT_SCALE_KINDS, info["input_scale_kind"]))
        else:
            conv = self._conv
            if len(self._shape) > 3:
                raise ShapeError("kernel: 1 to 3 extents, not %d" % len(self._shape))
            last = not self._shape or conv["layout"] == "channels_last"

            def channels(values: Any, what: str) -> int:
                shape = np.shape(values)
                if len(shape) < 1 or (self._shape and len(shape) != len(self._shape) + 2):
                    raise ShapeError("%s: shape %s for %d spatial dimensions" % (what, shape, len(self._shape)))
                return int(shape[-1] if last else shape[1])

            groups = conv["groups"]
            outputs = groups if target is None else channels(target, "target")
            inner = channels(inputs, "inputs") // max(groups, 1)
            shape = (outputs, *self._shape, inner) if conv["weight_layout"] == "ohwi" else \
                (outputs, inner, *self._shape)
            geometry = Geometry.of(shape, **conv)
        bias = self._bias
        layer = Layer(np.zeros(geometry.weight_shape, np.float32), bias, geometry=geometry, options=options)
        if self._handle.value:
            layer._call(lib.bsq_layer_merge_stats, 0, self._handle)
        return layer

    def update(self, inputs: Any, target: Any = None, row_weights: Any = None) -> None:
        """Adds a batch, or each of an iterable of batches, as `Layer.calibrate` takes them."""
        for values, wanted, weights in together(inputs, target, row_weights):
            if not self._lock.acquire(blocking=False):
                raise StateError("the statistics are at work in another thread")
            try:
                layer = self._gather(values, wanted)
                layer.calibrate(values, wanted, weights)
                if self._layer is None:
                    self._layer = layer
                    self._release()
            finally:
                self._lock.release()

    @contextlib.contextmanager
    def handle(self) -> Iterator[Any]:
        """A snapshot for a call of C, held as long as the context lasts."""
        if not self._lock.acquire(blocking=False):
            raise StateError("the statistics are at work in another thread")
        try:
            if self._layer is None:
                if not self._handle.value:
                    raise StateError("there are no statistics yet")
                yield self._handle
                return
            snapshot = native.HANDLE()
            self._layer._call(lib.bsq_layer_acquire_stats, 0, ctypes.byref(snapshot))
            try:
                yield snapshot
            finally:
                lib.bsq_stats_release(snapshot)
        finally:
            self._lock.release()

    def merge(self, *others: Stats) -> None:
        """Adds other statistics to these, in the given order: the same ones in the same order give the same bits."""
        with contextlib.ExitStack() as stack:
            handles = []
            for part in (self, *others):
                if not isinstance(part, Stats):
                    raise ArgumentError("merge: statistics, not %s" % type(part).__name__)
                if part is self and others and any(other is self for other in others):
                    raise ArgumentError("statistics cannot be merged with themselves")
                if part is self and self.empty:
                    continue
                handles.append(stack.enter_context(part.handle()).value)
            if not handles:
                return
            options, _ = self._options.struct()
            merged = native.HANDLE()
            call(lib.bsq_stats_merge, (native.HANDLE * len(handles))(*handles), len(handles), ctypes.byref(options),
                 ctypes.byref(merged))
        if self._layer is not None:
            self._layer.close()
            self._layer = None
        self._release()
        self._handle = merged

    # ---- what they hold ------------------------------------------------------------------------------------------

    @property
    def empty(self) -> bool:
        """Whether nothing was added yet."""
        return self._layer is None and not self._handle.value

    def info(self) -> Dict[str, Any]:
        """What these statistics hold: the fields of bsq_stats_info_t."""
        made = native.new(native.StatsInfo)
        with self.handle() as handle:
            call(lib.bsq_stats_info, handle, ctypes.byref(made))
        return {name: list(value) if isinstance(value, ctypes.Array) else value
                for name, value in native.as_dict(made).items()}

    @property
    def rows(self) -> float:
        """Rows that count."""
        return 0.0 if self.empty else float(self.info()["rows"])

    @property
    def has_target(self) -> bool:
        """Whether the batches brought targets."""
        return not self.empty and bool(self.info()["has_target"])

    @property
    def geometry(self) -> Geometry:
        """Of the layer that these were gathered for; other output channels read the same rows."""
        info = self.info()
        dims = info["spatial_dims"] if info["kind"] == native.KINDS["conv"] else 0
        spatial = {name: tuple(info[name][:dims]) for name in ("kernel", "stride", "dilation", "pad_begin", "pad_end")}
        return Geometry(info["in_channels"], info["out_channels"], info["groups"],
                        weight_layout=native.name_of(native.WEIGHT_LAYOUTS, info["weight_layout"]),
                        layout=native.name_of(native.ACTIVATION_LAYOUTS, info["activation_layout"]), **spatial)

    def __repr__(self) -> str:
        if self.empty:
            return "<bsq.Stats: empty>"
        info = self.info()
        return "<bsq.Stats: %g rows of %d inputs%s>" % (info["rows"], info["fan_in"],
                                                        ", with targets" if info["has_target"] else "")

    # ---- bytes ---------------------------------------------------------------------------------------------------

    def export(self) -> bytes:
        """The statistics as bytes: versioned, checksummed (docs/formats.md), the same on every machine."""
        size = ctypes.c_size_t()
        with self.handle() as handle:
            call(lib.bsq_stats_export_size, handle, ctypes.byref(size))
            exported = np.empty(size.value, np.uint8)
            call(lib.bsq_stats_export, handle, exported.ctypes.data, size)
        return exported.tobytes()

    @classmethod
    def of_bytes(cls, data: Union[bytes, bytearray, memoryview]) -> Stats:
        """Reads what `export` wrote."""
        raw, handle = np.frombuffer(data, np.uint8), native.HANDLE()
        call(lib.bsq_stats_import, raw.ctypes.data, raw.size, None, ctypes.byref(handle))
        return cls.of_handle(handle)

    def save(self, path: Path) -> None:
        """Writes a file; it appears under its name when it is complete."""
        from ._files import replacing

        with replacing(path) as file:
            file.write(self.export())

    @classmethod
    def load(cls, path: Path) -> Stats:
        """Reads what `save`, or another program by bsq_stats_export, wrote."""
        with open(os.fspath(path), "rb") as file:
            return cls.of_bytes(file.read())

    def __getstate__(self) -> Dict[str, Any]:
        return {"shape": self._shape, "conv": self._conv, "bias": self._bias, "threads": self._options.threads,
                "bytes": None if self.empty else self.export()}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__init__(kernel=state["shape"], bias=state["bias"],  # type: ignore[misc]
                      threads=state["threads"], **state["conv"])
        if state["bytes"] is not None:
            other = Stats.of_bytes(state["bytes"])
            self._handle, other._handle = other._handle, native.HANDLE()
