"""One layer, call by call: what bsq_layer_t is in C."""
from __future__ import annotations

import ctypes
import dataclasses
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, FrozenSet, List, Optional, Sequence, Tuple, Type, Union

import numpy as np
import numpy.typing as npt

from . import _native as native
from ._arrays import Float32, Float64, Int8, address, numbers
from ._errors import ArgumentError, ShapeError, StateError, call, error_of
from ._options import Geometry, InputQuantizer, Options, Padding, integer
from ._report import CHANNEL_DTYPE, Report
from ._tensor import Tensor
from ._work import LOG, PROGRESS, Bar, LogCallable, ProgressArgument, ProgressCallable, Work, new_key

if TYPE_CHECKING:
    from ._stats import Stats

lib = native.lib


@dataclasses.dataclass
class Moments:
    """A layer's second moments, means over rows in double, for G groups of n inputs and M output channels.

    h (G, n, n): mean of x x'; input_mean (G, n); p (M, n): mean of y x', y the target without bias; target_mean (M,);
    target_square (M,): mean of y^2; rows: how many the means are of, 0 when unknown. None where there is none.
    """

    h: Float64
    input_mean: Optional[Float64] = None
    p: Optional[Float64] = None
    target_mean: Optional[Float64] = None
    target_square: Optional[Float64] = None
    rows: float = 0.0


class Layer:
    """One layer: float weights and activations in, codes and scales out.

    weights   (out, in) of a linear layer, (out, in / groups, kernel...) of a convolution; any dtype, copied
    bias      (out,) or None, copied
    stride, padding, dilation, groups, layout, weight_layout    as `bsq.Geometry.of` takes them; or a `geometry`
    options   `bsq.Options`, or its fields as keyword arguments (bits=3, group_size=128, ...)
    progress  a callable that gets `bsq.Progress`, and stops the call by raising or by returning something true; True
              shows a bar. With one, large batches are added to a copy of the statistics, so that they can be taken back
    log       a callable that gets a level ("warning", "info") and a line of text

    A failed call raises a `bsq.Error` and leaves everything as it was. A layer is used by one thread at a time: a call
    while another is at work raises `bsq.StateError`. Python's lock is released while C works; Ctrl-C ends `optimize` and
    `error_table` at once, other calls when they are done. Close it, use it in a with statement, or let it go.
    """

    def __init__(self, weights: Any, bias: Any = None, *, stride: Union[int, Sequence[int]] = 1, padding: Padding = 0,
                 dilation: Union[int, Sequence[int]] = 1, groups: int = 1, layout: str = "channels_first",
                 weight_layout: str = "oihw", geometry: Optional[Geometry] = None, options: Optional[Options] = None,
                 progress: ProgressArgument = None, log: Optional[LogCallable] = None, **fields: Any) -> None:
        self._handle = native.HANDLE()
        self._lock = threading.Lock()
        self._key = new_key()
        self._hooked = False
        self._show, self._progress = _progress_of(progress)
        if log is not None and not callable(log):
            raise ArgumentError("log: a callable, not %r" % (log,))
        self._log = log
        self._options = Options.of(fields, options)
        values = numbers(weights, "weights")
        if geometry is None:
            geometry = Geometry.of(values.shape, stride, padding, dilation, groups, weight_layout, layout)
        elif values.shape not in (geometry.weight_shape, (geometry.out_channels, geometry.fan_in)):
            raise ShapeError("weights: shape %s, where %s is needed" % (values.shape, geometry.weight_shape))
        self._geometry = geometry
        self._shape = values.shape
        self._has_bias = bias is not None
        biases = None if bias is None else numbers(bias, "bias")
        if biases is not None and biases.shape != (geometry.out_channels,):
            raise ShapeError("bias: shape %s, where (%d,) is needed" % (biases.shape, geometry.out_channels))
        made, levels = self._struct(self._progress is not None)
        call(lib.bsq_layer_create, ctypes.byref(geometry.struct()), ctypes.byref(made), address(values),
             address(biases), ctypes.byref(self._handle))
        self._hooked = self._progress is not None
        del levels

    def _struct(self, hooked: bool) -> Tuple[Any, Optional[Int8]]:
        made, levels = self._options.struct()
        if hooked:
            made.progress, made.progress_opaque = PROGRESS, self._key
        if self._log is not None:
            made.log, made.log_opaque = LOG, self._key
        return made, levels

    # ---- the handle ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Frees the layer; its methods then raise StateError. StateError while it is at work."""
        if not self._lock.acquire(blocking=False):
            raise StateError("the layer is at work and cannot be closed")
        try:
            handle, self._handle = self._handle, native.HANDLE()
            if handle.value:
                lib.bsq_layer_free(handle)
        finally:
            self._lock.release()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._handle.value

    def __enter__(self) -> Layer:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None and handle.value and lib is not None:
            lib.bsq_layer_free(handle)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self._shape))
        return "<bsq.Layer %s: %s>" % (shape, "closed" if self.closed else ", ".join(sorted(self.state)) or "new")

    def __reduce__(self) -> Any:
        raise TypeError("layers do not pickle; what their stats() and tensor() return does")

    def _work(self) -> Work:
        return Work(self._lock, self._key, self._progress, self._log)

    def _check(self, status: int) -> None:
        if status != native.OK:
            raise error_of(status, str(lib.bsq_layer_error_message(self._handle).decode(errors="replace")))

    def _open(self) -> None:
        if not self._handle.value:
            raise StateError("the layer is closed")

    def _hook(self, hooked: bool) -> None:
        """Gives C the progress callback, or takes it away: with it, batches would be added to copies."""
        if hooked != self._hooked:
            made, levels = self._struct(hooked)
            self._check(lib.bsq_layer_set_options(self._handle, ctypes.byref(made)))
            self._hooked = hooked
            del levels

    def _call(self, function: Callable[..., int], *arguments: Any) -> None:
        with self._work():
            self._open()
            self._check(function(self._handle, *arguments))

    def _long_call(self, function: Callable[..., int], *arguments: Any) -> None:
        """A call that Ctrl-C and the progress callable can stop."""
        bar = Bar("bsq") if self._show else None
        work = Work(self._lock, self._key, bar or self._progress, self._log)
        try:
            with work:
                self._open()
                self._hook(True)
                work.guard_signals()
                self._check(function(self._handle, *arguments))
        finally:
            if bar is not None:
                bar.close()

    # ---- what it is ----------------------------------------------------------------------------------------------

    @property
    def geometry(self) -> Geometry:
        """What the layer computes."""
        return self._geometry

    @property
    def options(self) -> Options:
        """The options of the next call; assign, or use `set_options`."""
        return self._options

    @options.setter
    def options(self, options: Options) -> None:
        before, self._options = self._options, options
        try:
            made, levels = self._struct(self._hooked)
            self._call(lib.bsq_layer_set_options, ctypes.byref(made))
            del levels
        except BaseException:
            self._options = before
            raise

    def set_options(self, **fields: Any) -> None:
        """Changes those options for the next `optimize`; results stay."""
        self.options = Options.of(fields, self._options)

    @property
    def state(self) -> FrozenSet[str]:
        """Of "statistics", "targets", "means", "held_out", "observed", "quantizer_fixed", "result"."""
        info = native.new(native.LayerInfo)
        self._call(lib.bsq_layer_info, ctypes.byref(info))
        return frozenset(name for name, bit in native.STATES.items() if info.state & bit)

    def clone(self) -> Layer:
        """A second layer with the same weights, options, input quantizer and statistics, without results."""
        twin: Layer = object.__new__(Layer)
        twin.__dict__.update(self.__dict__, _handle=native.HANDLE(), _lock=threading.Lock())
        self._call(lib.bsq_layer_clone, ctypes.byref(twin._handle))
        twin._key, twin._hooked = new_key(), False
        made, levels = twin._struct(False)
        twin._call(lib.bsq_layer_set_options, ctypes.byref(made))
        del levels
        return twin

    # ---- calibration ---------------------------------------------------------------------------------------------

    def _batch(self, inputs: Any, target: Any, row_weights: Any, held_out: bool) -> Tuple[Any, List[Any]]:
        """The C struct, and the arrays that it points to, which must live until the call returns."""
        geometry = self._geometry
        values = numbers(inputs, "inputs")
        size, spatial = geometry.split(values.shape, geometry.in_channels, "inputs")
        positions = geometry.positions(spatial) if spatial else ()
        batch = native.new(native.Batch)
        batch.input, batch.size, batch.held_out = address(values), size, int(held_out)
        batch.spatial[:len(spatial)] = spatial
        kept: List[Any] = [values]
        if target is not None:
            wanted = numbers(target, "target")
            found = geometry.split(wanted.shape, geometry.out_channels, "target")
            if found != (size, positions):
                raise ShapeError("target: %d samples of %s, where %d of %s are needed" % (*found, size, positions))
            batch.target = address(wanted)
            kept.append(wanted)
        if row_weights is not None:
            weights = numbers(row_weights, "row_weights").ravel()
            rows = size * int(np.prod(positions, dtype=np.int64))
            if weights.size not in (size, rows):
                raise ShapeError("row_weights: %d of them for %d samples, %d rows" % (weights.size, size, rows))
            kind = "per_sample" if weights.size == size else "per_row"
            batch.row_weights, batch.row_weights_kind = address(weights), native.ROW_WEIGHTS_KINDS[kind]
            kept.append(weights)
        return batch, kept

    def observe(self, inputs: Any) -> None:
        """Shows the range of the inputs, before the first `calibrate`, when `input_bits` is above 0."""
        batch, kept = self._batch(inputs, None, None, False)
        self._call(lib.bsq_layer_observe, ctypes.byref(batch))
        del kept

    def calibrate(self, inputs: Any, target: Any = None, row_weights: Any = None, held_out: bool = False) -> None:
        """Adds a batch to the statistics.

        inputs        linear: (..., in), every leading extent counts rows; convolution: (samples, in, spatial...)
        target        the float network's output, before its activation function, bias included, in the same manner
        row_weights   one for each sample or for each row, finite, >= 0; a row of weight 0 does not count
        held_out      into statistics of their own, which only judge the result
        """
        batch, kept = self._batch(inputs, target, row_weights, held_out)
        with self._work():
            self._open()
            self._hook(self._progress is not None)
            self._check(lib.bsq_layer_calibrate(self._handle, ctypes.byref(batch)))
        del kept

    # ---- input quantizer -----------------------------------------------------------------------------------------

    @property
    def input_quantizer(self) -> Optional[InputQuantizer]:
        """What inputs are quantized by, as it is fixed, or as it would be now; None while inputs stay float."""
        made = native.new(native.InputQuantizer)
        self._call(lib.bsq_layer_get_input_quantizer, ctypes.byref(made))
        if not made.bits:
            return None
        found = InputQuantizer(made.scale, made.bits, native.name_of(native.INPUT_TYPES, made.type), made.zero_point)
        if made.scale_kind != native.INPUT_SCALE_KINDS["per_channel"]:
            return found
        scales, zeros = np.empty(self._geometry.in_channels), np.empty(self._geometry.in_channels, np.int32)
        self._call(lib.bsq_layer_get_input_channels, address(scales), address(zeros), scales.size)
        return dataclasses.replace(found, scales=scales, zero_points=zeros)

    @input_quantizer.setter
    def input_quantizer(self, quantizer: InputQuantizer) -> None:
        made = quantizer.struct()
        if quantizer.scales is None:
            self._call(lib.bsq_layer_set_input_quantizer, ctypes.byref(made))
            return
        scales = numbers(quantizer.scales, "scales", np.float64)
        zeros = None if quantizer.zero_points is None else numbers(quantizer.zero_points, "zero_points", np.int32)
        if zeros is not None and zeros.shape != scales.shape:
            raise ShapeError("zero_points: shape %s, where %s is needed" % (zeros.shape, scales.shape))
        self._call(lib.bsq_layer_set_input_channels, ctypes.byref(made), address(scales), address(zeros), scales.size)

    # ---- statistics ----------------------------------------------------------------------------------------------

    def stats(self, held_out: bool = False) -> Stats:
        """A snapshot of the statistics as they are now; later batches do not change it."""
        from ._stats import Stats

        handle = native.HANDLE()
        self._call(lib.bsq_layer_acquire_stats, int(held_out), ctypes.byref(handle))
        return Stats.of_handle(handle)

    def merge(self, stats: Stats, held_out: bool = False) -> None:
        """Adds a snapshot to the statistics; into a layer without any it is exact."""
        with stats.handle() as handle:
            self._call(lib.bsq_layer_merge_stats, int(held_out), handle)

    def share(self, source: Union[Stats, Layer], held_out: bool = False) -> None:
        """Takes over the inputs, without targets, of a layer that reads the same tensor, or of a snapshot. Batches that
        follow add their targets alone, and must be the same rows in the same order. Nothing is copied."""
        if isinstance(source, Layer):
            if source is self:
                raise ArgumentError("a layer cannot share with itself")
            with source._work():
                source._open()
                self._call(lib.bsq_layer_share_input, source._handle)
            return
        with source.handle() as handle:
            self._call(lib.bsq_layer_share_stats, int(held_out), handle)

    def moments(self, held_out: bool = False) -> Moments:
        """The statistics as means in double; h alone takes 8 G n^2 bytes."""
        state, geometry = self.state, self._geometry
        n, outputs, groups = geometry.fan_in, geometry.out_channels, geometry.groups
        buffers = native.new(native.MomentsBuffers)
        buffers.held_out = int(held_out)
        found = Moments(np.empty((groups, n, n)))
        if "means" in state:
            found.input_mean = np.empty((groups, n))
        if "targets" in state:
            found.p, found.target_square = np.empty((outputs, n)), np.empty(outputs)
            found.target_mean = np.empty(outputs) if "means" in state else None
        for name in ("h", "input_mean", "p", "target_mean", "target_square"):
            setattr(buffers, name, address(getattr(found, name)))
        self._call(lib.bsq_layer_get_moments, ctypes.byref(buffers))
        found.rows = buffers.rows
        return found

    def set_moments(self, moments: Moments, held_out: bool = False) -> None:
        """Replaces the statistics by moments of one's own, of inputs as the layer sees them."""
        n, outputs, groups = self._geometry.fan_in, self._geometry.out_channels, self._geometry.groups
        made = native.new(native.Moments)
        kept = []
        for name, shape in (("h", (groups, n, n)), ("input_mean", (groups, n)), ("p", (outputs, n)),
                            ("target_mean", (outputs,)), ("target_square", (outputs,))):
            values = getattr(moments, name)
            if values is None:
                continue
            array = numbers(values, name, np.float64)
            if array.shape != shape and not (groups == 1 and (1, *array.shape) == shape):
                raise ShapeError("%s: shape %s, where %s is needed" % (name, array.shape, shape))
            setattr(made, name, address(array))
            kept.append(array)
        made.rows, made.held_out = float(moments.rows), int(held_out)
        self._call(lib.bsq_layer_set_moments, ctypes.byref(made))

    # ---- solve ---------------------------------------------------------------------------------------------------

    def optimize(self, **fields: Any) -> Report:
        """Chooses codes, scales and bias; options may be given as keyword arguments, and stay."""
        if fields:
            self.set_options(**fields)
        report = native.new(native.Report)
        self._long_call(lib.bsq_optimize, ctypes.byref(report))
        return self._report(report)

    def error_table(self, lowest: int = 2, highest: int = 8) -> Float64:
        """The relative output errors of each number of bits, for `bsq.allocate_bits`; results stay as they are."""
        lowest, highest = integer(lowest, 32, "lowest"), integer(highest, 32, "highest")
        errors = np.empty(max(1, min(highest - lowest + 1, 64)))
        self._long_call(lib.bsq_layer_error_table, lowest, highest, address(errors), errors.size)
        return errors

    @property
    def report(self) -> Report:
        """The report of the result."""
        report = native.new(native.Report)
        self._call(lib.bsq_layer_get_report, ctypes.byref(report))
        return self._report(report)

    def _report(self, report: Any) -> Report:
        stages = []
        with self._work():
            self._open()
            for index in range(report.stages):
                stage = native.new(native.Stage)
                self._check(lib.bsq_layer_get_stage_report(self._handle, index, ctypes.byref(stage)))
                stages.append(stage)
            size = ctypes.sizeof(native.Channel)
            raw = np.tile(np.frombuffer(bytes(native.new(native.Channel)), np.uint8), self._geometry.out_channels)
            start, read, handle = raw.ctypes.data, lib.bsq_layer_get_channel_report, self._handle
            for index in range(self._geometry.out_channels):
                self._check(read(handle, index, start + index * size))
        layout: Any = {"names": CHANNEL_DTYPE.names, "formats": [CHANNEL_DTYPE[name] for name in CHANNEL_DTYPE.names or ()],
                       "offsets": [getattr(native.Channel, name).offset for name in CHANNEL_DTYPE.names or ()],
                       "itemsize": size}
        channels: npt.NDArray[Any] = raw.view(np.dtype(layout)).astype(CHANNEL_DTYPE)
        return Report.of(report, stages, channels)

    # ---- results -------------------------------------------------------------------------------------------------

    def tensor(self) -> Tensor:
        """The result."""
        made = native.new(native.Tensor)
        arrays: Dict[str, npt.NDArray[Any]] = {}
        counts = (("codes", "code_count", np.int8), ("scales", "scale_count", np.float32),
                  ("zero_points", "zero_point_count", np.int32), ("offsets", "offset_count", np.float32),
                  ("levels", "level_count", np.int8), ("input_order", "input_order_count", np.int32))
        with self._work():
            self._open()
            self._check(lib.bsq_layer_get_tensor(self._handle, ctypes.byref(made)))
            for name, count, dtype in counts:
                arrays[name] = np.empty(getattr(made, count), dtype)
                if arrays[name].size:
                    setattr(made, name, arrays[name].ctypes.data)
            self._check(lib.bsq_layer_get_tensor(self._handle, ctypes.byref(made)))
        bias = self.bias() if self._has_bias or self._options.bias_correction else None
        quantized = self._options.input_bits or "quantizer_fixed" in self.state
        return Tensor.of_struct(made, arrays, shape=self._shape, bias=bias, geometry=self._geometry,
                                input=self.input_quantizer if quantized else None)

    def set_tensor(self, tensor: Tensor) -> None:
        """Makes a tensor the result: one of one's own, or one that was saved; it is judged as by `evaluate`."""
        made = tensor.struct()
        self._call(lib.bsq_layer_set_tensor, ctypes.byref(made))

    def evaluate(self, tensor: Tensor) -> Report:
        """Judges any tensor of the layer's extents by the layer's statistics; the layer stays as it is."""
        made, report = tensor.struct(), native.new(native.Report)
        self._call(lib.bsq_layer_evaluate, ctypes.byref(made), ctypes.byref(report))
        return Report.of(report, [], np.empty(0, CHANNEL_DTYPE))

    def _result(self, name: str, dtype: Any) -> npt.NDArray[Any]:
        count = ctypes.c_size_t()
        with self._work():
            self._open()
            self._check(lib.bsq_layer_result_count(self._handle, native.RESULTS[name], ctypes.byref(count)))
            array = np.empty(count.value, dtype)
            self._check(getattr(lib, "bsq_layer_get_" + name)(self._handle, address(array), array.size))
        return array

    def bias(self) -> Float32:
        """(M,): the layer's bias, zeros without one, with the correction if there is one."""
        return self._result("bias", np.float32)

    def code_bias(self) -> Float32:
        """(M,): the bias for engines that multiply input codes without taking their zero points off."""
        return self._result("code_bias", np.float32)

    def dequantized(self) -> Float32:
        """The weights that multiply real inputs, in the shape of the float ones."""
        return self._result("dequantized", np.float32).reshape(self._shape)

    def planes(self) -> Int8:
        """(bits - 1, M, n): ternary planes, least significant first: code = sum 2^m plane_m."""
        return self._result("planes", np.int8).reshape(-1, self._geometry.out_channels, self._geometry.fan_in)


def _progress_of(progress: ProgressArgument) -> Tuple[bool, Optional[ProgressCallable]]:
    """Whether a bar is to be shown, and the callable that is to be asked."""
    if progress is None or isinstance(progress, bool):
        return bool(progress), None
    if not callable(progress):
        raise ArgumentError("progress: True, or a callable, not %r" % (progress,))
    return False, progress


def layer_memory(geometry: Geometry, options: Optional[Options] = None, **fields: Any) -> int:
    """The most bytes that a layer of this kind asks for at one time over its whole life, however many rows it sees."""
    made, levels = Options.of(fields, options).struct()
    size = ctypes.c_size_t()
    call(lib.bsq_layer_memory, ctypes.byref(geometry.struct()), ctypes.byref(made), ctypes.byref(size))
    del levels
    return int(size.value)
