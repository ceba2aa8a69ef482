"""bsq.h in ctypes: structs, prototypes, constants by name, and the shared library itself.

Needs the standard library alone. Structs have the names, order and types of include/bsq.h; the tests compare them, the
prototypes and the constants with what the library's own tests pin. Enumerations are dictionaries from the names that
this package takes to the values of the header; formats are those that the library lists.
"""
from __future__ import annotations

import ctypes
import ctypes.util
import os
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_void_p
from typing import Any, Dict, List, Optional, Tuple, Type

from . import _version

# ---- constants: names of this package, values of bsq.h -----------------------------------------------------------

OK = 0
CANCELLED = -700
SOLVERS = {"auto": 10, "round": 11, "paper": 12}
GRIDS = {"symmetric": 100, "full": 101, "zero_point": 102, "offset": 103, "levels": 104, "powers_of_two": 105,
         "nf4": 106, "iq4_nl": 107, "e2m1": 108}
SCALE_KINDS = {"per_tensor": 200, "per_channel": 201, "per_group": 202}
SCALE_FORMATS = {"float32": 300, "float16": 301, "power_of_two": 302, "bfloat16": 303, "e8m0": 304, "e4m3": 305}
INPUT_TYPES = {"auto": 400, "unsigned": 401, "signed": 402, "zero_point": 403}
INPUT_SCALE_KINDS = {"per_tensor": 500, "per_channel": 501}
INPUT_CLIPS = {"squared_error": 600, "minimum_maximum": 601, "percentile": 602}
KINDS = {"linear": 700, "conv": 701}
WEIGHT_LAYOUTS = {"oihw": 800, "ohwi": 801}
ACTIVATION_LAYOUTS = {"channels_first": 900, "channels_last": 901}
ROW_WEIGHTS_KINDS = {"per_sample": 1000, "per_row": 1001}
STAGES = {"statistics": 1101, "round": 1110, "prepare": 1120, "beam": 1130, "bitsplit": 1140, "descent": 1150,
          "exact": 1155, "scale": 1160, "bias": 1170, "norm": 1180}
OUTCOMES = {"none": 0, "converged": 1201, "limit": 1202, "proven": 1203}
KERNELS = {"portable": 1301, "avx2": 1302, "avx512": 1303, "neon": 1304}
FINGERPRINTS = {"description": 1701, "weights": 1702, "inputs": 1703, "statistics": 1704}
RESULTS = {"codes": 1401, "scales": 1402, "bias": 1403, "dequantized": 1404, "planes": 1405, "code_bias": 1406}
LOG_LEVELS = {"warning": 1501, "info": 1502}
ELEMENT_TYPES = {"int8": 1601, "uint8": 1602, "int32": 1603, "uint32": 1604, "uint64": 1605, "int4": 1611, "uint4": 1612,
                 "int2": 1613, "uint2": 1614, "float32": 1621, "float16": 1622, "bfloat16": 1623, "e4m3": 1624}
FORMATS: Dict[str, int] = {}  # filled from the library, which lists what it knows
STATES = {"statistics": 1, "targets": 2, "means": 4, "held_out": 8, "observed": 16, "quantizer_fixed": 32,
          "result": 64}
WARNINGS = {"few_rows": 1, "scale_limited": 2, "raised_damping": 4, "dead_inputs": 8, "dead_outputs": 16,
            "no_statistics": 32}

# By the prefix that the header gives them: how the tests find each constant here.
ENUMERATIONS: Dict[str, Dict[str, int]] = {
    "SOLVER": SOLVERS, "WEIGHT_GRID": GRIDS, "SCALE_KIND": SCALE_KINDS, "SCALE_FORMAT": SCALE_FORMATS,
    "INPUT_TYPE": INPUT_TYPES, "INPUT_SCALE_KIND": INPUT_SCALE_KINDS, "INPUT_CLIP": INPUT_CLIPS, "KIND": KINDS,
    "WEIGHT_LAYOUT": WEIGHT_LAYOUTS, "ACTIVATION_LAYOUT": ACTIVATION_LAYOUTS, "ROW_WEIGHTS_KIND": ROW_WEIGHTS_KINDS,
    "STAGE": STAGES, "OUTCOME": OUTCOMES, "KERNEL": KERNELS, "RESULT": RESULTS, "FINGERPRINT": FINGERPRINTS, "LOG": LOG_LEVELS, "FORMAT": FORMATS, "ELEMENT_TYPE": ELEMENT_TYPES,
    "STATE": STATES, "WARNING": WARNINGS}


def name_of(names: Dict[str, int], value: int) -> str:
    """The name of a value, or its digits when this package is older than the library that gave it."""
    for name, known in names.items():
        if known == value:
            return name
    return str(value)


# ---- structs -----------------------------------------------------------------------------------------------------


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
                ("group_size", c_int64), ("weight_bits", c_int32), ("weight_grid", c_int32), ("scale_kind", c_int32),
                ("scale_format", c_int32), ("solver", c_int32), ("effort", c_int32), ("threads", c_int32),
                ("bias_correction", c_int32), ("input_bits", c_int32), ("input_type", c_int32),
                ("input_clip", c_int32), ("select_on_held_out", c_int32), ("input_scale_kind", c_int32),
                ("lower_bound", c_int32), ("levels", c_void_p), ("super_group", c_int64), ("level_count", c_int32),
                ("scale_bits", c_int32), ("scale_signed", c_int32), ("scale_unit", c_float),
                ("zero_point_least", c_int32), ("keep_scales", c_int32)]


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
                ("channels_proven", c_int64), ("lower_bound", c_double), ("stages", c_int32), ("outcome", c_int32),
                ("warnings", c_int32), ("kernel", c_int32), ("solver", c_int32), ("effort", c_int32),
                ("weight_bits", c_int32), ("weight_grid", c_int32)]


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
                ("weight_grid", c_int32), ("scale_kind", c_int32), ("scale_format", c_int32), ("scale_unit", c_float),
                ("scale_bits", c_int32), ("scale_signed", c_int32), ("reserved", c_int32), ("super_group", c_int64),
                ("input_order", c_void_p), ("input_order_count", c_int64)]


class Part(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("name", c_char_p), ("offset", c_int64), ("size", c_int64),
                ("shape", c_int64 * 4), ("rank", c_int32), ("element_type", c_int32)]


class Norm(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("upper", c_double), ("lower", c_double)]


class Allocation(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("error", c_double), ("lower_bound", c_double), ("cost", c_int64),
                ("outcome", c_int32), ("reserved", c_int32)]


# Each struct by the name of the header without bsq_ and _t; its init function is bsq_NAME_init.
STRUCTS: Dict[str, Type[ctypes.Structure]] = {
    "error": Error, "options": Options, "layer_desc": LayerDesc, "layer_info": LayerInfo, "batch": Batch,
    "input_quantizer": InputQuantizer, "moments": Moments, "moments_buffers": MomentsBuffers, "stats_info": StatsInfo,
    "report": Report, "stage": Stage, "channel": Channel, "tensor": Tensor, "part": Part, "norm": Norm, "allocation": Allocation}

# ---- functions: name, result, arguments --------------------------------------------------------------------------

HANDLE = c_void_p  # bsq_layer_t * and bsq_stats_t *: never looked into
SIZE = POINTER(c_size_t)

PROTOTYPES: List[Tuple[str, Any, List[Any]]] = [
    ("bsq_version", c_int32, []),
    ("bsq_version_string", c_char_p, []),
    ("bsq_status_string", c_char_p, [c_int32]),
    ("bsq_stage_string", c_char_p, [c_int32]),
    ("bsq_outcome_string", c_char_p, [c_int32]),
    ("bsq_kernel_string", c_char_p, [c_int32]),
    ("bsq_format_string", c_char_p, [c_int32]),
    ("bsq_format_by_name", c_int32, [c_char_p]),
    ("bsq_format_next", c_int32, [c_int32]),
    ("bsq_options_for_format", c_int32, [c_int32, POINTER(Options), POINTER(Error)]),
    ("bsq_layer_create", c_int32, [POINTER(LayerDesc), POINTER(Options), c_void_p, c_void_p, POINTER(HANDLE),
                                   POINTER(Error)]),
    ("bsq_layer_clone", c_int32, [HANDLE, POINTER(HANDLE)]),
    ("bsq_layer_slice", c_int32, [HANDLE, c_int64, c_int64, POINTER(HANDLE)]),
    ("bsq_layer_fingerprint", c_int32, [HANDLE, c_int32, POINTER(c_int64)]),
    ("bsq_layer_free", None, [HANDLE]),
    ("bsq_layer_set_options", c_int32, [HANDLE, POINTER(Options)]),
    ("bsq_layer_get_options", c_int32, [HANDLE, POINTER(Options)]),
    ("bsq_layer_error_message", c_char_p, [HANDLE]),
    ("bsq_layer_info", c_int32, [HANDLE, POINTER(LayerInfo)]),
    ("bsq_layer_memory", c_int32, [POINTER(LayerDesc), POINTER(Options), SIZE, POINTER(Error)]),
    ("bsq_layer_batch_counts", c_int32, [HANDLE, POINTER(Batch), SIZE, SIZE, SIZE]),
    ("bsq_layer_observe", c_int32, [HANDLE, POINTER(Batch)]),
    ("bsq_layer_calibrate", c_int32, [HANDLE, POINTER(Batch)]),
    ("bsq_layer_set_input_quantizer", c_int32, [HANDLE, POINTER(InputQuantizer)]),
    ("bsq_layer_set_input_channels", c_int32, [HANDLE, POINTER(InputQuantizer), c_void_p, c_void_p, c_size_t]),
    ("bsq_layer_get_input_quantizer", c_int32, [HANDLE, POINTER(InputQuantizer)]),
    ("bsq_layer_get_input_channels", c_int32, [HANDLE, c_void_p, c_void_p, c_size_t]),
    ("bsq_layer_set_moments", c_int32, [HANDLE, POINTER(Moments)]),
    ("bsq_layer_get_moments", c_int32, [HANDLE, POINTER(MomentsBuffers)]),
    ("bsq_layer_acquire_stats", c_int32, [HANDLE, c_int32, POINTER(HANDLE)]),
    ("bsq_layer_merge_stats", c_int32, [HANDLE, c_int32, HANDLE]),
    ("bsq_layer_share_stats", c_int32, [HANDLE, c_int32, HANDLE]),
    ("bsq_layer_share_input", c_int32, [HANDLE, HANDLE]),
    ("bsq_stats_merge", c_int32, [POINTER(HANDLE), c_size_t, POINTER(Options), POINTER(HANDLE), POINTER(Error)]),
    ("bsq_stats_sum_count", c_int32, [HANDLE, SIZE, POINTER(Error)]),
    ("bsq_stats_get_sums", c_int32, [HANDLE, POINTER(Options), c_void_p, c_size_t, POINTER(Error)]),
    ("bsq_layer_add_sums", c_int32, [HANDLE, c_int32, c_void_p, c_size_t]),
    ("bsq_stats_info", c_int32, [HANDLE, POINTER(StatsInfo), POINTER(Error)]),
    ("bsq_stats_export_size", c_int32, [HANDLE, SIZE, POINTER(Error)]),
    ("bsq_stats_export", c_int32, [HANDLE, c_void_p, c_size_t, POINTER(Error)]),
    ("bsq_stats_import", c_int32, [c_void_p, c_size_t, POINTER(Options), POINTER(HANDLE), POINTER(Error)]),
    ("bsq_layer_set_result", c_int32, [HANDLE, POINTER(Tensor), c_void_p, POINTER(Report), c_void_p, c_void_p]),
    ("bsq_stats_release", None, [HANDLE]),
    ("bsq_optimize", c_int32, [HANDLE, POINTER(Report)]),
    ("bsq_layer_error_table", c_int32, [HANDLE, c_int32, c_int32, c_void_p, c_size_t]),
    ("bsq_layer_get_report", c_int32, [HANDLE, POINTER(Report)]),
    ("bsq_layer_get_stage_report", c_int32, [HANDLE, c_int32, POINTER(Stage)]),
    ("bsq_layer_get_channel_report", c_int32, [HANDLE, c_int64, c_void_p]),
    ("bsq_layer_get_tensor", c_int32, [HANDLE, POINTER(Tensor)]),
    ("bsq_layer_set_tensor", c_int32, [HANDLE, POINTER(Tensor)]),
    ("bsq_layer_evaluate", c_int32, [HANDLE, POINTER(Tensor), POINTER(Report)]),
    ("bsq_tensor_dequantize", c_int32, [POINTER(Tensor), c_void_p, c_size_t, POINTER(Error)]),
    ("bsq_tensor_part_count", c_int32, [POINTER(Tensor), c_int32, POINTER(c_int32), POINTER(Error)]),
    ("bsq_tensor_get_part", c_int32, [POINTER(Tensor), c_int32, c_int32, POINTER(Part), POINTER(Error)]),
    ("bsq_tensor_packed_size", c_int32, [POINTER(Tensor), c_int32, SIZE, POINTER(Error)]),
    ("bsq_tensor_pack", c_int32, [POINTER(Tensor), c_int32, c_void_p, c_size_t, POINTER(Error)]),
    ("bsq_tensor_unpack", c_int32, [c_int32, c_void_p, c_size_t, POINTER(Tensor), POINTER(Error)]),
    ("bsq_layer_result_count", c_int32, [HANDLE, c_int32, SIZE]),
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
]
for _name in STRUCTS:
    PROTOTYPES.append(("bsq_%s_init" % _name, None, [c_void_p, c_size_t]))

# ---- the library -------------------------------------------------------------------------------------------------

# The version of bsq.h that these declarations were written for, and the number of its ABI.
VERSION = tuple(int(part) for part in _version.VERSION.split("."))
SONAME = "libbsq.so.0"
HERE = os.path.dirname(os.path.abspath(__file__))


class LibraryError(ImportError):
    """The shared library is missing, or is not one that this package can use; the text says which, and where."""


def _candidates() -> List[str]:
    """Where the library may be: an explicit choice is never replaced by another library."""
    chosen = os.environ.get("BSQ_LIBRARY")
    if chosen:
        return [chosen]
    places = [os.path.join(HERE, SONAME), os.path.join(HERE, "..", "..", "..", "lib", SONAME)]
    return [os.path.normpath(place) for place in places if os.path.exists(place)] + [SONAME]


def load(candidates: Optional[List[str]] = None) -> ctypes.CDLL:
    """The library with the prototypes of all of its functions, from the first place that has it."""
    wanted = ".".join(map(str, VERSION))
    tried = []
    for path in _candidates() if candidates is None else candidates:
        try:
            # CDLL, not PyDLL: Python's lock is released during calls and taken again for callbacks.
            library = ctypes.CDLL(path)
        except OSError as problem:
            tried.append("%s (%s)" % (path, problem))
            continue
        _declare(library, path, wanted)
        return library
    raise LibraryError("libbsq %s was not found: build it (make) or set BSQ_LIBRARY; tried %s" %
                       (wanted, ", ".join(tried)))


def _declare(library: ctypes.CDLL, path: str, wanted: str) -> None:
    try:
        number = int(library.bsq_version())
        library.bsq_version_string.restype = c_char_p
        found = str(library.bsq_version_string().decode())
    except AttributeError:
        raise LibraryError("%s is not libbsq: it has no bsq_version; this package needs libbsq %s" %
                           (path, wanted)) from None
    version = (number // 10000, number // 100 % 100, number % 100)
    if version[0] != VERSION[0] or version < VERSION or (VERSION[0] == 0 and version[1] != VERSION[1]):
        raise LibraryError("%s is libbsq %s; this package needs %s or a later %s" %
                           (path, found, wanted, ".".join(map(str, VERSION[:1 if VERSION[0] else 2]))))
    for name, result, arguments in PROTOTYPES:
        try:
            function = getattr(library, name)
        except AttributeError:
            raise LibraryError("%s is libbsq %s, without %s: it is older than this package, which needs %s" %
                               (path, found, name, wanted)) from None
        function.restype = result
        function.argtypes = arguments


lib = load()

_format = lib.bsq_format_next(0)
while _format:
    FORMATS[lib.bsq_format_string(_format).decode()] = _format
    _format = lib.bsq_format_next(_format)

# ---- structs with their defaults ---------------------------------------------------------------------------------

_DEFAULTS: Dict[Type[ctypes.Structure], bytes] = {}
for _name, _struct in STRUCTS.items():
    _made = _struct()
    getattr(lib, "bsq_%s_init" % _name)(ctypes.addressof(_made), ctypes.sizeof(_made))
    _DEFAULTS[_struct] = bytes(_made)


def new(struct: Type[Any]) -> Any:
    """A struct as its init function leaves it."""
    return struct.from_buffer_copy(_DEFAULTS[struct])


def as_dict(struct: ctypes.Structure) -> Dict[str, Any]:
    """The fields of a struct but those that are the ABI's own."""
    return {name: getattr(struct, name) for name in (field[0] for field in struct._fields_)
            if name not in ("struct_size", "reserved")}
