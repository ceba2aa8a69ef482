#!/usr/bin/env python3
"""libbsq from Python with ctypes and numpy alone: no compiler, no binding to build.

This is the model for a binding in any language: every public struct and function of bsq.h is declared below, then
a thin class takes care of what a binding must take care of (buffers that stay alive during a call, texts of errors,
exceptions inside of callbacks, releasing handles), then four small demonstrations use it and check the results
with numpy. The library is looked for in BSQ_LIBRARY, in lib/ of this source tree, then where the system has it.

    python3 examples/python/quickstart.py
"""
import ctypes
import ctypes.util
import os
import re
import sys
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_double, c_float, c_int8, c_int32, c_int64, c_size_t, c_void_p

import numpy as np

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")

# ---- constants of bsq.h ------------------------------------------------------------------------------------------

OK, E_ARGUMENT, E_RANGE, E_SHAPE, E_SIZE, E_STATE = 0, -100, -110, -200, -210, -300
E_MEMORY, E_NUMERIC, E_FORMAT, E_CORRUPT, E_MISMATCH, E_CANCELLED, E_VERSION = -400, -500, -600, -610, -620, -700, -800
SOLVER_AUTO, SOLVER_ROUND, SOLVER_PAPER = 10, 11, 12
WEIGHT_GRID_SYMMETRIC, WEIGHT_GRID_FULL = 100, 101
SCALE_KIND_PER_TENSOR, SCALE_KIND_PER_CHANNEL, SCALE_KIND_PER_GROUP = 200, 201, 202
SCALE_FORMAT_FLOAT32, SCALE_FORMAT_FLOAT16, SCALE_FORMAT_POWER_OF_TWO = 300, 301, 302
INPUT_TYPE_AUTO, INPUT_TYPE_UNSIGNED, INPUT_TYPE_SIGNED, INPUT_TYPE_ZERO_POINT = 400, 401, 402, 403
INPUT_SCALE_KIND_PER_TENSOR, INPUT_SCALE_KIND_PER_CHANNEL = 500, 501
KIND_LINEAR, KIND_CONV = 700, 701
STATE_STATISTICS, STATE_QUANTIZER_FIXED, STATE_RESULT = 1, 32, 64
RESULT_CODES, RESULT_SCALES, RESULT_BIAS, RESULT_DEQUANTIZED, RESULT_PLANES, RESULT_CODE_BIAS = range(1401, 1407)
OUTCOME_NONE, OUTCOME_PROVEN = 0, 1203
FORMAT_INT8, FORMAT_ONNX_INT4, FORMAT_ONNX_INT2, FORMAT_TERNARY_PLANES = 2000, 2100, 2110, 2200

# ---- structs: names, order and types as in bsq.h -----------------------------------------------------------------


class Error(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("message", c_void_p), ("capacity", c_size_t), ("status", c_int32),
                ("reserved", c_int32)]


class Progress(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("fraction", c_double), ("objective", c_double), ("done", c_int64),
                ("total", c_int64), ("stage", c_int32), ("reserved", c_int32)]


AllocFn = CFUNCTYPE(c_void_p, c_size_t, c_void_p)
FreeFn = CFUNCTYPE(None, c_void_p, c_void_p)
ProgressFn = CFUNCTYPE(c_int32, POINTER(Progress), c_void_p)
LogFn = CFUNCTYPE(None, c_int32, c_char_p, c_void_p)
BlockFn = CFUNCTYPE(None, c_void_p, c_int64)
ParallelForFn = CFUNCTYPE(None, c_int64, BlockFn, c_void_p, c_void_p)


class Options(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("memory_alloc", AllocFn), ("memory_free", FreeFn),
                ("memory_opaque", c_void_p), ("progress", ProgressFn), ("progress_opaque", c_void_p), ("log", LogFn),
                ("log_opaque", c_void_p), ("parallel_for", ParallelForFn), ("parallel_opaque", c_void_p),
                ("damping", c_double), ("asymmetry", c_double), ("input_percentile", c_double),
                ("group_size", c_int64), ("weight_bits", c_int32), ("weight_grid", c_int32),
                ("scale_kind", c_int32), ("scale_format", c_int32), ("solver", c_int32), ("effort", c_int32),
                ("threads", c_int32), ("bias_correction", c_int32), ("input_bits", c_int32), ("input_type", c_int32),
                ("input_clip", c_int32), ("select_on_held_out", c_int32),
                ("input_scale_kind", c_int32), ("lower_bound", c_int32)]


class LayerDesc(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("in_channels", c_int64), ("out_channels", c_int64), ("groups", c_int64),
                ("kernel", c_int64 * 3), ("stride", c_int64 * 3), ("dilation", c_int64 * 3),
                ("pad_begin", c_int64 * 3), ("pad_end", c_int64 * 3), ("kind", c_int32), ("spatial_dims", c_int32),
                ("weight_layout", c_int32), ("activation_layout", c_int32)]


class LayerInfo(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("in_channels", c_int64), ("out_channels", c_int64), ("groups", c_int64),
                ("fan_in", c_int64), ("state", c_int32), ("reserved", c_int32)]


class Batch(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("input", c_void_p), ("target", c_void_p), ("row_weights", c_void_p),
                ("size", c_int64), ("spatial", c_int64 * 3), ("row_weights_kind", c_int32), ("held_out", c_int32)]


class InputQuantizer(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("scale", c_double), ("zero_point", c_int32), ("bits", c_int32),
                ("type", c_int32), ("scale_kind", c_int32)]


class Moments(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("h", c_void_p), ("input_mean", c_void_p), ("p", c_void_p),
                ("target_mean", c_void_p), ("target_square", c_void_p), ("rows", c_double), ("held_out", c_int32),
                ("reserved", c_int32)]


class MomentsBuffers(ctypes.Structure):
    _fields_ = Moments._fields_


class StatsInfo(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("in_channels", c_int64), ("out_channels", c_int64), ("groups", c_int64),
                ("fan_in", c_int64), ("kernel", c_int64 * 3), ("stride", c_int64 * 3), ("dilation", c_int64 * 3),
                ("pad_begin", c_int64 * 3), ("pad_end", c_int64 * 3), ("rows", c_double), ("effective_rows", c_double),
                ("target_rows", c_double), ("input_scale", c_double), ("kind", c_int32), ("spatial_dims", c_int32),
                ("weight_layout", c_int32), ("activation_layout", c_int32), ("has_target", c_int32),
                ("has_means", c_int32), ("shares_inputs", c_int32), ("input_bits", c_int32), ("input_type", c_int32),
                ("input_zero_point", c_int32), ("input_scale_kind", c_int32), ("reserved", c_int32)]


class Report(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("objective_start", c_double), ("objective", c_double),
                ("energy", c_double), ("error", c_double), ("error_start", c_double), ("error_floor", c_double),
                ("held_out_error", c_double), ("held_out_energy", c_double), ("weight_error", c_double),
                ("error_uncorrected", c_double), ("error_corrected", c_double), ("damping", c_double),
                ("rows", c_double), ("rows_per_input", c_double), ("seconds", c_double), ("sweeps", c_int64),
                ("channels_improved", c_int64), ("dead_inputs", c_int64), ("dead_outputs", c_int64),
                ("channels_proven", c_int64), ("lower_bound", c_double), ("stages", c_int32),
                ("outcome", c_int32), ("warnings", c_int32), ("kernel", c_int32), ("solver", c_int32),
                ("effort", c_int32), ("weight_bits", c_int32), ("weight_grid", c_int32)]


class Stage(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("objective_before", c_double), ("objective_after", c_double),
                ("seconds", c_double), ("sweeps", c_int64), ("stage", c_int32), ("effort", c_int32)]


class Channel(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("objective_start", c_double), ("objective", c_double),
                ("energy", c_double), ("error", c_double), ("error_start", c_double), ("held_out_error", c_double),
                ("weight_error", c_double), ("lower_bound", c_double), ("sweeps", c_int64), ("outcome", c_int32),
                ("bias_corrected", c_int32)]


class Tensor(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("codes", c_void_p), ("scales", c_void_p), ("zero_points", c_void_p),
                ("offsets", c_void_p), ("levels", c_void_p), ("code_count", c_int64), ("scale_count", c_int64),
                ("zero_point_count", c_int64), ("offset_count", c_int64), ("level_count", c_int64),
                ("channels", c_int64), ("fan_in", c_int64), ("group_size", c_int64), ("weight_bits", c_int32),
                ("weight_grid", c_int32), ("scale_kind", c_int32), ("scale_format", c_int32)]


class Norm(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("upper", c_double), ("lower", c_double)]


class Allocation(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("error", c_double), ("lower_bound", c_double), ("cost", c_int64),
                ("outcome", c_int32), ("reserved", c_int32)]


INIT = {Error: "bsq_error_init", Options: "bsq_options_init", LayerDesc: "bsq_layer_desc_init",
        Batch: "bsq_batch_init", InputQuantizer: "bsq_input_quantizer_init", Moments: "bsq_moments_init",
        MomentsBuffers: "bsq_moments_buffers_init", StatsInfo: "bsq_stats_info_init",
        Report: "bsq_report_init", Stage: "bsq_stage_init", Channel: "bsq_channel_init", Norm: "bsq_norm_init",
        Allocation: "bsq_allocation_init", LayerInfo: "bsq_layer_info_init", Tensor: "bsq_tensor_init"}

# ---- functions: name, result, arguments --------------------------------------------------------------------------

HANDLE = c_void_p  # bsq_layer_t * and bsq_stats_t *: never looked into

PROTOTYPES = [
    ("bsq_version", c_int32, []),
    ("bsq_version_string", c_char_p, []),
    ("bsq_status_string", c_char_p, [c_int32]),
    ("bsq_stage_string", c_char_p, [c_int32]),
    ("bsq_outcome_string", c_char_p, [c_int32]),
    ("bsq_kernel_string", c_char_p, [c_int32]),
    ("bsq_layer_create", c_int32, [POINTER(LayerDesc), POINTER(Options), c_void_p, c_void_p, POINTER(HANDLE),
                                   POINTER(Error)]),
    ("bsq_layer_clone", c_int32, [HANDLE, POINTER(HANDLE)]),
    ("bsq_layer_set_options", c_int32, [HANDLE, POINTER(Options)]),
    ("bsq_layer_get_options", c_int32, [HANDLE, POINTER(Options)]),
    ("bsq_layer_info", c_int32, [HANDLE, POINTER(LayerInfo)]),
    ("bsq_layer_memory", c_int32, [POINTER(LayerDesc), POINTER(Options), POINTER(c_size_t), POINTER(Error)]),
    ("bsq_layer_free", None, [HANDLE]),
    ("bsq_layer_error_message", c_char_p, [HANDLE]),
    ("bsq_layer_batch_counts", c_int32, [HANDLE, POINTER(Batch), POINTER(c_size_t), POINTER(c_size_t),
                                         POINTER(c_size_t)]),
    ("bsq_layer_observe", c_int32, [HANDLE, POINTER(Batch)]),
    ("bsq_layer_calibrate", c_int32, [HANDLE, POINTER(Batch)]),
    ("bsq_layer_set_input_quantizer", c_int32, [HANDLE, POINTER(InputQuantizer)]),
    ("bsq_layer_get_input_quantizer", c_int32, [HANDLE, POINTER(InputQuantizer)]),
    ("bsq_layer_set_input_channels", c_int32, [HANDLE, POINTER(InputQuantizer), c_void_p, c_void_p, c_size_t]),
    ("bsq_layer_get_input_channels", c_int32, [HANDLE, c_void_p, c_void_p, c_size_t]),
    ("bsq_layer_set_moments", c_int32, [HANDLE, POINTER(Moments)]),
    ("bsq_layer_get_moments", c_int32, [HANDLE, POINTER(MomentsBuffers)]),
    ("bsq_layer_share_input", c_int32, [HANDLE, HANDLE]),
    ("bsq_layer_acquire_stats", c_int32, [HANDLE, c_int32, POINTER(HANDLE)]),
    ("bsq_layer_merge_stats", c_int32, [HANDLE, c_int32, HANDLE]),
    ("bsq_layer_share_stats", c_int32, [HANDLE, c_int32, HANDLE]),
    ("bsq_stats_merge", c_int32, [POINTER(HANDLE), c_size_t, POINTER(Options), POINTER(HANDLE), POINTER(Error)]),
    ("bsq_stats_info", c_int32, [HANDLE, POINTER(StatsInfo), POINTER(Error)]),
    ("bsq_stats_export_size", c_int32, [HANDLE, POINTER(c_size_t), POINTER(Error)]),
    ("bsq_stats_export", c_int32, [HANDLE, c_void_p, c_size_t, POINTER(Error)]),
    ("bsq_stats_import", c_int32, [c_void_p, c_size_t, POINTER(Options), POINTER(HANDLE), POINTER(Error)]),
    ("bsq_stats_release", None, [HANDLE]),
    ("bsq_optimize", c_int32, [HANDLE, POINTER(Report)]),
    ("bsq_layer_error_table", c_int32, [HANDLE, c_int32, c_int32, c_void_p, c_size_t]),
    ("bsq_layer_get_report", c_int32, [HANDLE, POINTER(Report)]),
    ("bsq_layer_get_stage_report", c_int32, [HANDLE, c_int32, POINTER(Stage)]),
    ("bsq_layer_get_channel_report", c_int32, [HANDLE, c_int64, POINTER(Channel)]),
    ("bsq_layer_result_count", c_int32, [HANDLE, c_int32, POINTER(c_size_t)]),
    ("bsq_layer_get_codes", c_int32, [HANDLE, c_void_p, c_size_t]),
    ("bsq_layer_get_scales", c_int32, [HANDLE, c_void_p, c_size_t]),
    ("bsq_layer_get_bias", c_int32, [HANDLE, c_void_p, c_size_t]),
    ("bsq_layer_get_dequantized", c_int32, [HANDLE, c_void_p, c_size_t]),
    ("bsq_layer_get_planes", c_int32, [HANDLE, c_void_p, c_size_t]),
    ("bsq_layer_get_code_bias", c_int32, [HANDLE, c_void_p, c_size_t]),
    ("bsq_operator_norm", c_int32, [POINTER(LayerDesc), POINTER(Options), c_void_p, c_double, POINTER(Norm),
                                    POINTER(Error)]),
    ("bsq_allocate_bits", c_int32, [c_void_p, c_void_p, c_void_p, c_size_t, c_size_t, c_int64, POINTER(Options),
                                    c_void_p, POINTER(Allocation), POINTER(Error)]),
    ("bsq_layer_get_tensor", c_int32, [HANDLE, POINTER(Tensor)]),
    ("bsq_layer_set_tensor", c_int32, [HANDLE, POINTER(Tensor)]),
    ("bsq_layer_evaluate", c_int32, [HANDLE, POINTER(Tensor), POINTER(Report)]),
    ("bsq_format_string", c_char_p, [c_int32]),
    ("bsq_tensor_packed_size", c_int32, [POINTER(Tensor), c_int32, POINTER(c_size_t), POINTER(Error)]),
    ("bsq_tensor_pack", c_int32, [POINTER(Tensor), c_int32, c_void_p, c_size_t, POINTER(Error)]),
    ("bsq_tensor_unpack", c_int32, [c_int32, c_void_p, c_size_t, POINTER(Tensor), POINTER(Error)]),
] + [(name, None, [POINTER(struct), c_size_t]) for struct, name in INIT.items()]

# The major and minor version that these declarations were written for.
VERSION = (0, 1)


def load_library():
    """The library, with the prototypes of all of its functions set."""
    # An explicit choice is never replaced by another library.
    path = os.environ.get("BSQ_LIBRARY")
    if not path:
        built = os.path.join(ROOT, "lib", "libbsq.so.0")
        path = built if os.path.exists(built) else ctypes.util.find_library("bsq")
    if not path:
        sys.exit("quickstart.py: libbsq was not found: build it (make), or set BSQ_LIBRARY")
    # CDLL, not PyDLL: Python's lock is released during calls and taken again for callbacks.
    library = ctypes.CDLL(path)
    for name, result, arguments in PROTOTYPES:
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    version = library.bsq_version()
    if (version // 10000, version // 100 % 100) != VERSION:
        sys.exit("quickstart.py: this is libbsq %s" % library.bsq_version_string().decode())
    return library


bsq = load_library()

# ---- a thin class ------------------------------------------------------------------------------------------------


class BsqError(Exception):
    """A call that failed; 'status' is one of the E_ constants, the text is the library's own."""

    def __init__(self, status, text):
        super().__init__("%s: %s" % (bsq.bsq_status_string(status).decode(), text))
        self.status = status
        self.text = text


def new(struct, **fields):
    """A struct with its defaults, then with those fields set."""
    made = struct()
    getattr(bsq, INIT[struct])(byref(made), ctypes.sizeof(made))
    for name, value in fields.items():
        if isinstance(value, (tuple, list)):
            array = getattr(made, name)
            array[:len(value)] = value
        elif name in [field[0] for field in struct._fields_]:
            setattr(made, name, value)
        else:
            raise TypeError("%s has no field %s" % (struct.__name__, name))
    return made


def new_error():
    """An error struct with room for a text, for calls that have no handle."""
    text = ctypes.create_string_buffer(256)
    error = new(Error, message=ctypes.addressof(text), capacity=len(text))
    error.text = text  # keeps the buffer alive as long as the struct
    return error


def check_stats(call, *arguments):
    """Calls what takes no layer and leaves its text in an error, its last argument."""
    error = new_error()
    status = call(*arguments, byref(error))
    if status != OK:
        raise BsqError(status, error.text.value.decode())


def floats(values):
    """Contiguous float32, copied only when it is something else."""
    return None if values is None else np.ascontiguousarray(values, np.float32)


def address(array):
    return None if array is None else array.ctypes.data


def as_dict(struct):
    return {name: getattr(struct, name) for name, _ in struct._fields_ if name not in ("struct_size", "reserved")}


class Layer:
    """One layer: float weights in, codes and scales out.

    'desc' and 'options' are dictionaries of fields; 'progress' is called with a dictionary, and cancels when it
    returns something true or raises: the exception then comes out of the method that was running.
    """

    def __init__(self, weights, bias=None, desc=None, options=None, progress=None):
        self.handle = HANDLE()
        self.exception = None
        self.progress = progress
        self.weights = floats(weights)
        # The library keeps the pointer, so the callback object must live as long as the layer.
        self.callback = ProgressFn(self._on_progress)
        self.options = new(Options, **(options or {}))
        if progress:
            self.options.progress = self.callback
        fields = {"out_channels": self.weights.shape[0], "in_channels": self.weights.shape[1]}
        fields.update(desc or {})
        self.desc = new(LayerDesc, **fields)
        bias = floats(bias)
        error = new_error()
        status = bsq.bsq_layer_create(byref(self.desc), byref(self.options), address(self.weights), address(bias),
                                      byref(self.handle), byref(error))
        if status != OK:
            raise BsqError(status, error.text.value.decode())

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        bsq.bsq_layer_free(self.handle)
        self.handle = HANDLE()

    def _on_progress(self, progress, _):
        # An exception must not run through C: it is kept here and raised again when the call has returned.
        try:
            return 1 if self.progress(as_dict(progress.contents)) else 0
        except BaseException as exception:  # Ctrl-C too
            self.exception = exception
            return 1

    def _check(self, status):
        exception, self.exception = self.exception, None
        if status == E_CANCELLED and exception is not None:
            raise exception
        if status != OK:
            raise BsqError(status, bsq.bsq_layer_error_message(self.handle).decode())

    def _batch(self, values, target, spatial, held_out):
        values, target = floats(values), floats(target)
        batch = new(Batch, input=address(values), target=address(target), size=len(values), spatial=spatial,
                    held_out=held_out)
        return batch, (values, target)  # the arrays must stay alive until the call returns

    def observe(self, values, spatial=()):
        batch, alive = self._batch(values, None, spatial, 0)
        self._check(bsq.bsq_layer_observe(self.handle, byref(batch)))
        del alive

    def calibrate(self, values, target=None, spatial=(), held_out=0):
        batch, alive = self._batch(values, target, spatial, held_out)
        self._check(bsq.bsq_layer_calibrate(self.handle, byref(batch)))
        del alive

    def set_options(self, **fields):
        for name, value in fields.items():
            setattr(self.options, name, value)
        self._check(bsq.bsq_layer_set_options(self.handle, byref(self.options)))

    def optimize(self):
        report = new(Report)
        self._check(bsq.bsq_optimize(self.handle, byref(report)))
        return as_dict(report)

    def stages(self):
        report, found = new(Report), []
        self._check(bsq.bsq_layer_get_report(self.handle, byref(report)))
        for i in range(report.stages):
            stage = new(Stage)
            self._check(bsq.bsq_layer_get_stage_report(self.handle, i, byref(stage)))
            found.append(as_dict(stage))
        return found

    def channel(self, index):
        channel = new(Channel)
        self._check(bsq.bsq_layer_get_channel_report(self.handle, index, byref(channel)))
        return as_dict(channel)

    def error_table(self, lowest, highest):
        errors = np.empty(highest - lowest + 1)
        self._check(bsq.bsq_layer_error_table(self.handle, lowest, highest, address(errors), errors.size))
        return errors

    def _result(self, which, function, dtype):
        count = c_size_t()
        self._check(bsq.bsq_layer_result_count(self.handle, which, byref(count)))
        array = np.empty(count.value, dtype)
        self._check(function(self.handle, address(array), count))
        return array

    def codes(self):
        return self._result(RESULT_CODES, bsq.bsq_layer_get_codes, np.int8).reshape(self.weights.shape)

    def scales(self):
        return self._result(RESULT_SCALES, bsq.bsq_layer_get_scales, np.float32)

    def bias(self):
        return self._result(RESULT_BIAS, bsq.bsq_layer_get_bias, np.float32)

    def dequantized(self):
        return self._result(RESULT_DEQUANTIZED, bsq.bsq_layer_get_dequantized, np.float32).reshape(self.weights.shape)

    def planes(self):
        planes = self._result(RESULT_PLANES, bsq.bsq_layer_get_planes, np.int8)
        return planes.reshape((-1,) + self.weights.shape)

    def state(self):
        info = new(LayerInfo)
        self._check(bsq.bsq_layer_info(self.handle, byref(info)))
        return info.state

    def code_bias(self):
        return self._result(RESULT_CODE_BIAS, bsq.bsq_layer_get_code_bias, np.float32)

    def input_quantizer(self):
        quantizer = new(InputQuantizer)
        self._check(bsq.bsq_layer_get_input_quantizer(self.handle, byref(quantizer)))
        return as_dict(quantizer)

    def input_channels(self):
        """Scale and zero point of each input channel."""
        scales, zero_points = np.empty(self.desc.in_channels), np.empty(self.desc.in_channels, np.int32)
        self._check(bsq.bsq_layer_get_input_channels(self.handle, address(scales), address(zero_points), scales.size))
        return scales, zero_points

    def set_input_channels(self, quantizer, scales, zero_points=None):
        """Type, bits and scale of the folded inputs from the dictionary 'quantizer', the rest by channel."""
        scales = np.ascontiguousarray(scales, np.float64)
        zero_points = None if zero_points is None else np.ascontiguousarray(zero_points, np.int32)
        self._check(bsq.bsq_layer_set_input_channels(self.handle, byref(new(InputQuantizer, **quantizer)),
                                                     address(scales), address(zero_points), scales.size))

    def moments(self):
        """H and the number of rows of a layer with one group."""
        fan_in = self.weights[0].size
        h = np.empty((fan_in, fan_in))
        moments = new(MomentsBuffers, h=address(h))
        self._check(bsq.bsq_layer_get_moments(self.handle, byref(moments)))
        return h, moments.rows

    def set_moments(self, h, rows=0.0):
        h = np.ascontiguousarray(h, np.float64)
        self._check(bsq.bsq_layer_set_moments(self.handle, byref(new(Moments, h=address(h), rows=rows))))

    def export_statistics(self):
        stats, size = HANDLE(), c_size_t()
        self._check(bsq.bsq_layer_acquire_stats(self.handle, 0, byref(stats)))
        try:
            check_stats(bsq.bsq_stats_export_size, stats, byref(size))
            exported = ctypes.create_string_buffer(size.value)
            check_stats(bsq.bsq_stats_export, stats, exported, size)
            return exported.raw
        finally:
            bsq.bsq_stats_release(stats)

    def merge_statistics(self, exported):
        stats = HANDLE()
        check_stats(bsq.bsq_stats_import, exported, len(exported), None, byref(stats))
        try:
            self._check(bsq.bsq_layer_merge_stats(self.handle, 0, stats))
        finally:
            bsq.bsq_stats_release(stats)

    def tensor(self):
        """The result as it describes itself, with arrays that it keeps alive."""
        tensor = new(Tensor)
        self._check(bsq.bsq_layer_get_tensor(self.handle, byref(tensor)))
        give_buffers(tensor)
        self._check(bsq.bsq_layer_get_tensor(self.handle, byref(tensor)))
        return tensor

    def set_tensor(self, tensor):
        self._check(bsq.bsq_layer_set_tensor(self.handle, byref(tensor)))

    def evaluate(self, tensor):
        report = new(Report)
        self._check(bsq.bsq_layer_evaluate(self.handle, byref(tensor), byref(report)))
        return as_dict(report)


def give_buffers(tensor):
    """Arrays for the codes and scales that a tensor says it has."""
    tensor.arrays = np.empty(tensor.code_count, np.int8), np.empty(tensor.scale_count, np.float32)
    tensor.codes, tensor.scales = (address(array) for array in tensor.arrays)


def pack(tensor, layout):
    size, error = c_size_t(), new_error()
    status = bsq.bsq_tensor_packed_size(byref(tensor), layout, byref(size), byref(error))
    array = np.empty(size.value, np.uint8)
    if status == OK:
        status = bsq.bsq_tensor_pack(byref(tensor), layout, address(array), size, byref(error))
    if status != OK:
        raise BsqError(status, error.text.value.decode())
    return array


def unpack(layout, packed, like):
    """The codes of a packed tensor with the extents and bits of another."""
    tensor, error = new(Tensor), new_error()
    ctypes.memmove(byref(tensor), byref(like), ctypes.sizeof(tensor))
    give_buffers(tensor)
    status = bsq.bsq_tensor_unpack(layout, address(packed), packed.size, byref(tensor), byref(error))
    if status != OK:
        raise BsqError(status, error.text.value.decode())
    return tensor.arrays[0].reshape(tensor.channels, tensor.fan_in)


def operator_norm(weights, tolerance=0.1, **desc):
    """Bounds of how far a layer stretches its input: (lower, upper)."""
    weights, norm, error = floats(weights), new(Norm), new_error()
    fields = {"out_channels": weights.shape[0], "in_channels": weights.shape[1]}
    fields.update(desc)
    status = bsq.bsq_operator_norm(byref(new(LayerDesc, **fields)), None, address(weights), tolerance, byref(norm),
                                   byref(error))
    if status != OK:
        raise BsqError(status, error.text.value.decode())
    return norm.lower, norm.upper


def network_bound(errors, norms):
    """The bound of a chain's error, and what each layer contributes: its error times the norms of those behind it."""
    gains = np.append(np.cumprod(np.array(norms)[::-1])[::-1][1:], 1.0)
    contributions = np.array(errors) * gains
    return contributions.sum(), contributions


def allocate_bits(errors, costs, budget, weights=None):
    """The choice of each layer (rows of the tables) with the least error whose costs fit the budget."""
    errors, costs = np.ascontiguousarray(errors, np.float64), np.ascontiguousarray(costs, np.int64)
    weights = None if weights is None else np.ascontiguousarray(weights, np.float64)
    chosen, allocation, error = np.empty(len(errors), np.int32), new(Allocation), new_error()
    status = bsq.bsq_allocate_bits(address(errors), address(costs), address(weights), *errors.shape, budget, None,
                                   address(chosen), byref(allocation), byref(error))
    if status != OK:
        raise BsqError(status, error.text.value.decode())
    return chosen, as_dict(allocation)


# ---- demonstrations ----------------------------------------------------------------------------------------------


def expect(condition, what):
    if not condition:
        sys.exit("quickstart.py: FAILED: " + what)


def expect_error(status, function, *arguments, **named):
    """The error that a call ends with."""
    try:
        function(*arguments, **named)
    except BsqError as error:
        expect(error.status == status and error.text, "another error was expected than: %s" % error)
        return error
    expect(False, "a call that must fail did not")


def activations(random, samples, *shape):
    """Correlated values behind a ReLU."""
    values = random.standard_normal((samples,) + shape)
    for i in range(1, shape[-1]):
        values[..., i] += 0.8 * values[..., i - 1]
    return np.maximum(values, 0).astype(np.float32)


def check_declarations():
    """The structs above have the size and the defaults that the library gives them, and no function is missing."""
    guard = 16
    for struct, name in INIT.items():
        size = ctypes.sizeof(struct)
        raw = (ctypes.c_ubyte * (size + guard))(*([0xAA] * (size + guard)))
        made = struct.from_buffer(raw)
        getattr(bsq, name)(ctypes.cast(raw, POINTER(struct)), size)
        expect(made.struct_size == size, name + " does not set struct_size")
        expect(bytes(raw[size:]) == b"\xaa" * guard, name + " writes behind the struct")
        expect(getattr(made, "reserved", 0) == 0, name + " leaves a reserved field")
    options, desc = new(Options), new(LayerDesc)
    expect((options.damping, options.asymmetry, options.input_percentile) == (-1, 1, 0.9999), "options: numbers")
    expect((options.weight_bits, options.effort, options.threads) == (4, 5, 1), "options")
    expect((options.scale_kind, options.solver) == (SCALE_KIND_PER_CHANNEL, SOLVER_AUTO), "options: kinds")
    expect(options.group_size == 0 and not options.progress and options.lower_bound == 0, "options: zeros")
    expect((options.select_on_held_out, options.input_scale_kind) == (0, INPUT_SCALE_KIND_PER_TENSOR),
           "options: switches")
    expect((desc.groups, desc.kind, list(desc.kernel), list(desc.stride)) == (1, KIND_LINEAR, [1] * 3, [1] * 3),
           "desc")
    header = os.path.join(ROOT, "include", "bsq.h")
    if os.path.exists(header):
        with open(header, encoding="utf-8") as text:
            public = set(re.findall(r"^BSQ_API[^(]*?\b(bsq_\w+)\(", text.read(), re.M))
        expect(public == {name for name, _, _ in PROTOTYPES}, "bsq.h has other functions than this program")
    print("declarations  %d structs, %d functions, libbsq %s" %
          (len(INIT) + 1, len(PROTOTYPES), bsq.bsq_version_string().decode()))


def demonstrate_linear(random):
    """A linear layer, 3 bits: everything that can be read, with the errors computed again in numpy."""
    weights = random.standard_normal((24, 40)).astype(np.float32)
    inputs = activations(random, 1500, 40)
    seen = []
    with Layer(weights, options={"weight_bits": 3, "threads": 2}, progress=seen.append) as layer:
        for batch in np.array_split(inputs, 4):
            layer.calibrate(batch)
        report = layer.optimize()
        codes, scales, dequantized = layer.codes(), layer.scales(), layer.dequantized()

        x = inputs.astype(np.float64)
        wanted = x @ weights.astype(np.float64).T
        error = np.sum((wanted - x @ dequantized.astype(np.float64).T) ** 2) / np.sum(wanted ** 2)
        expect(abs(error - report["error"]) <= 1e-3 * error, "the reported error is not the one of numpy")
        expect(report["error"] < report["error_start"], "not better than rounding")
        expect(report["rows"] == len(inputs), "rows")
        expect(np.abs(codes).max() <= 3, "codes outside of the symmetric range")
        expect(np.array_equal(dequantized, scales[:, None] * codes.astype(np.float32)), "dequantized")
        expect(np.array_equal(layer.bias(), np.zeros(24, np.float32)), "bias of a layer without one")

        planes = layer.planes()
        expect(np.array_equal(sum(2 ** m * planes[m].astype(int) for m in range(2)), codes), "planes")
        tensor = layer.tensor()
        for layout in (FORMAT_INT8, FORMAT_ONNX_INT4, FORMAT_TERNARY_PLANES):
            expect(np.array_equal(unpack(layout, pack(tensor, layout), tensor), codes), "packing %d" % layout)
        low = codes.reshape(-1)[0::2].astype(np.uint8) & 15
        high = codes.reshape(-1)[1::2].astype(np.uint8) & 15
        expect(np.array_equal(pack(tensor, FORMAT_ONNX_INT4), low | high << 4), "ONNX int4, byte by byte")

        judged = layer.evaluate(tensor)
        expect(abs(judged["error"] - error) <= 1e-3 * error and judged["outcome"] == OUTCOME_NONE, "a judged tensor")
        expect(layer.state() & (STATE_STATISTICS | STATE_RESULT) == STATE_STATISTICS | STATE_RESULT, "state")

        h, rows = layer.moments()
        reference = x.T @ x / len(x)
        expect(np.allclose(h, reference, rtol=0, atol=1e-6 * reference.max()) and rows == len(x), "moments")
        table = layer.error_table(2, 5)
        expect(np.all(np.diff(table) < 0) and abs(table[1] - error) <= 1e-3 * error, "error table")
        expect(abs(layer.channel(0)["energy"] - np.mean(wanted[:, 0] ** 2)) <= 1e-5 * np.mean(wanted[:, 0] ** 2),
               "energy of a channel")
        expect(seen and all(a["fraction"] <= 1 for a in seen), "progress")
        stages = [bsq.bsq_stage_string(stage["stage"]).decode() for stage in layer.stages()]
    print("linear        3 bits: error %.5f, rounding %.5f, %s; %d progress calls" %
          (report["error"], report["error_start"], bsq.bsq_outcome_string(report["outcome"]).decode(), len(seen)))
    print("              2..5 bits: %s; stages: %s" % (" ".join("%.5f" % e for e in table), ", ".join(stages)))


def demonstrate_conv(random):
    """A 3x3 convolution, stride 2, inputs of 8 bits, a target from other inputs, the bias corrected."""
    weights = random.standard_normal((12, 6, 3, 3)).astype(np.float32) / 7
    bias = random.standard_normal(12).astype(np.float32)

    def convolve(w, b, x):
        x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))[:, :, ::2, ::2]
        return np.einsum("nchwij,ocij->nohw", windows, w.astype(np.float64)) + b.astype(np.float64)[:, None, None]

    clean = activations(random, 12, 6, 13, 10)
    inputs = np.maximum(clean + 0.1 * random.standard_normal(clean.shape), 0).astype(np.float32)
    target = convolve(weights, bias, clean).astype(np.float32)
    desc = {"kind": KIND_CONV, "spatial_dims": 2, "kernel": (3, 3), "stride": (2, 2), "pad_begin": (1, 1),
            "pad_end": (1, 1)}
    options = {"weight_bits": 4, "weight_grid": WEIGHT_GRID_FULL, "input_bits": 8, "bias_correction": 1}
    with Layer(weights, bias, desc, options) as layer:
        for part in range(0, 12, 4):
            layer.observe(inputs[part:part + 4], spatial=(13, 10))
        for part in range(0, 12, 4):
            layer.calibrate(inputs[part:part + 4], target[part:part + 4], spatial=(13, 10))
        quantizer = layer.input_quantizer()
        report = layer.optimize()
        expect(quantizer["type"] == INPUT_TYPE_UNSIGNED and quantizer["bits"] == 8, "input quantizer")
        expect(layer.input_channels()[0][0] == quantizer["scale"], "input scales")
        seen = np.clip(np.rint(inputs.astype(np.float64) / quantizer["scale"]), 0, 255) * quantizer["scale"]
        squares = (convolve(layer.dequantized(), layer.bias(), seen) - target) ** 2
        error = squares.sum(axis=1).mean() / report["energy"]
        expect(abs(error - report["error"]) <= 1e-3 * error, "the reported error is not the one of numpy")
        expect(error >= report["error_floor"] * (1 - 1e-3), "better than possible")
    print("conv          4 bits, inputs 8 bits: error %.5f, rounding %.5f, floor %.5f" %
          (report["error"], report["error_start"], report["error_floor"]))


def demonstrate_folding(random):
    """Input channels of very different size, 4 bits: with a scale for each, folded into the weights, the arithmetic of
    an engine on integers is that of the layer, and the error is a fraction."""
    spread = 2.0 ** random.integers(-6, 3, 32)
    weights = (random.standard_normal((16, 32)) / spread).astype(np.float32)
    bias = random.standard_normal(16).astype(np.float32)
    inputs = (random.standard_normal((2000, 32)) * spread + 0.5 * spread).astype(np.float32)
    reports = []
    for kind in (INPUT_SCALE_KIND_PER_TENSOR, INPUT_SCALE_KIND_PER_CHANNEL):
        with Layer(weights, bias, options={"input_bits": 4, "input_scale_kind": kind}) as layer:
            layer.observe(inputs)
            layer.calibrate(inputs, inputs @ weights.T + bias)
            reports.append(layer.optimize())
            if kind == INPUT_SCALE_KIND_PER_TENSOR:
                continue
            quantizer, (scales, zero_points) = layer.input_quantizer(), layer.input_channels()
            expect(quantizer["scale_kind"] == kind and quantizer["scale"] == scales.max(), "scale of the quantizer")
            codes = np.clip(np.rint(inputs / scales) + zero_points, 0, 15).astype(np.int32)
            products = codes @ layer.codes().astype(np.int32).T  # what an engine computes, in 32 bits
            engine = products * (quantizer["scale"] * layer.scales()) + layer.code_bias()
            real = ((codes - zero_points) * scales) @ layer.dequantized().astype(np.float64).T + layer.bias()
            expect(np.allclose(engine, real, rtol=0, atol=1e-5 * np.abs(real).max()), "arithmetic on integers")
            with Layer(weights, bias) as other:
                other.set_input_channels(quantizer, scales, zero_points)
                expect(np.array_equal(other.input_channels()[1], zero_points), "the quantizer that was handed over")
    expect(reports[1]["error"] < 0.5 * reports[0]["error"], "scales of channels are of no use")
    print("folding       4 bits, inputs 4 bits: error %.5f with one scale for the inputs, %.5f with one a channel" %
          tuple(report["error"] for report in reports))


def demonstrate_network(random):
    """Three layers and ReLU: bits for an average of 4, and the bound of what that does to the output."""
    weights = [(random.standard_normal((24, 24)) / 6).astype(np.float32) for _ in range(3)]
    exact = inputs = activations(random, 800, 24)
    tables, energies, chain = [], [], []
    for w in weights:
        layer = Layer(w, options={"effort": 3, "asymmetry": 0})
        layer.calibrate(exact)
        tables.append(layer.error_table(2, 8))
        energies.append(np.mean(np.sum((exact @ w.T) ** 2, axis=1)))
        chain.append(layer)
        exact = np.maximum(exact @ w.T, 0)
    costs = np.array([[w.size * bits for bits in range(2, 9)] for w in weights])
    chosen, allocation = allocate_bits(np.array(tables) * np.array(energies)[:, None], costs, 4 * 3 * 24 * 24)
    expect(allocation["cost"] <= 4 * 3 * 24 * 24 and allocation["outcome"] == OUTCOME_PROVEN, "allocation")
    expect_error(E_RANGE, allocate_bits, tables, costs, 100)
    errors, norms, seen = [], [], inputs
    for w, layer, choice in zip(weights, chain, chosen):
        layer.set_options(weight_bits=2 + int(choice))
        layer.optimize()
        used = layer.dequantized()
        errors.append(np.sqrt(np.mean(np.sum((seen @ (used - w).T) ** 2, axis=1))))
        norms.append(operator_norm(w, 0.05)[1])
        expect(norms[-1] >= np.linalg.norm(w, 2), "the norm is not an upper bound")
        seen = np.maximum(seen @ used.T, 0)
        layer.close()
    bound, contributions = network_bound(errors, norms)
    error = np.sqrt(np.mean(np.sum((seen - exact) ** 2, axis=1)))
    expect(error <= bound and abs(contributions.sum() - bound) <= 1e-9 * bound, "the bound does not hold")
    print("network       bits %s; error at the end %.4f, bound %.4f, by layer %s" %
          (", ".join(str(2 + c) for c in chosen), error, bound, ", ".join("%.4f" % c for c in contributions)))


def demonstrate_cancel(random):
    """A callback stops the solve, by its value and by an exception; the layer stays as it was."""
    weights, inputs = random.standard_normal((32, 48)).astype(np.float32), activations(random, 600, 48)
    answers = {"stop": False, "raise": False}

    def on_progress(progress):
        if answers["raise"]:
            raise KeyboardInterrupt
        return answers["stop"]

    with Layer(weights, options={"effort": 3}, progress=on_progress) as layer:
        layer.calibrate(inputs)
        layer.optimize()
        before = layer.codes()
        layer.set_options(weight_bits=2)
        answers["stop"] = True
        error = expect_error(E_CANCELLED, layer.optimize)
        expect(np.array_equal(layer.codes(), before), "a cancelled call changed the result")
        answers["raise"] = True
        try:
            layer.optimize()
            expect(False, "the exception of the callback was lost")
        except KeyboardInterrupt:
            pass
        answers.update({"stop": False, "raise": False})
        layer.optimize()
        expect(np.abs(layer.codes()).max() <= 1, "the layer is not usable after cancelling")
    print("cancel        \"%s\"; an exception inside of the callback comes out of the call" % error)


def demonstrate_errors(random):
    """What goes wrong has a status and a text, with a handle and without."""
    weights, inputs = random.standard_normal((4, 5)).astype(np.float32), activations(random, 50, 5)
    bad = weights.copy()
    bad[1, 2] = np.nan
    errors = [expect_error(E_NUMERIC, Layer, bad), expect_error(E_RANGE, Layer, weights, options={"weight_bits": 9})]
    with Layer(weights) as layer, Layer(weights) as other:
        errors.append(expect_error(E_STATE, layer.codes))
        errors.append(expect_error(E_STATE, layer.optimize))
        layer.calibrate(inputs)
        exported = layer.export_statistics()
        damaged = bytearray(exported)
        damaged[len(damaged) // 2] ^= 1
        errors.append(expect_error(E_CORRUPT, other.merge_statistics, bytes(damaged)))
        other.merge_statistics(exported)
        layer.optimize()
        other.optimize()
        expect(np.array_equal(layer.codes(), other.codes()), "exported and imported statistics are not the same")
        other.set_moments(inputs.astype(np.float64).T @ inputs / 50, rows=50)
        expect(other.optimize()["rows"] == 50, "own moments")
        errors.append(expect_error(E_FORMAT, pack, layer.tensor(), FORMAT_ONNX_INT2))
        errors.append(expect_error(E_ARGUMENT, layer.set_options, scale_format=SCALE_KIND_PER_TENSOR))
    for error in errors:
        print("error         %s" % error)


def main():
    random = np.random.default_rng(1)
    check_declarations()
    demonstrate_linear(random)
    demonstrate_conv(random)
    demonstrate_folding(random)
    demonstrate_network(random)
    demonstrate_cancel(random)
    demonstrate_errors(random)


if __name__ == "__main__":
    main()
