"""What a solve did and how good the result is."""
from __future__ import annotations

import html
from dataclasses import dataclass, fields
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import numpy.typing as npt

from . import _native as native

# The channels of a report, one element each, with the fields of bsq_channel_t.
CHANNEL_DTYPE = np.dtype([(name, np.dtype(kind)) for name, kind in native.Channel._fields_
                          if name != "struct_size"])


@dataclass(frozen=True)
class Stage:
    """One stage of a solve, summed over channels; `seconds` are summed over threads."""

    stage: str
    effort: int
    objective_before: float
    objective_after: float
    seconds: float
    sweeps: int


@dataclass(frozen=True)
class Report:
    """How good a result is. Errors are relative: 0.01 is 1 % of the energy of the output.

    error              relative output error on the calibration rows; error_start: that of rounding
    error_floor        what no codes can pass; above 0 only with a target
    held_out_error     the same on held-out rows; None without any
    weight_error       |w - dequantized|^2 / |w|^2
    objective          sum of J over channels; objective_start: that of rounding
    rows               calibration rows, effective when they are weighted; 0 when unknown
    lower_bound        what J cannot be below, as a share of objective; 0 when nothing is known
    outcome            "converged", "limit", "proven", or "none" when nothing was searched for
    warnings           of "few_rows", "scale_limited", "raised_damping", "dead_inputs", "dead_outputs", "no_statistics"
    stages             `Stage` by stage, in the order in which they ran
    channels           a structured array, one element for each output channel: error, error_start, objective, ...

    Prints as a table, shows as one in notebooks, and draws itself with `plot()`.
    """

    error: float
    error_start: float
    error_floor: float
    held_out_error: Optional[float]
    held_out_energy: float
    weight_error: float
    error_uncorrected: float
    error_corrected: Optional[float]
    objective: float
    objective_start: float
    energy: float
    damping: float
    rows: float
    rows_per_input: float
    seconds: float
    sweeps: int
    channels_improved: int
    channels_proven: int
    dead_inputs: int
    dead_outputs: int
    lower_bound: float
    outcome: str
    warnings: Tuple[str, ...]
    kernel: str
    solver: str
    effort: int
    bits: int
    grid: str
    stages: Tuple[Stage, ...]
    channels: npt.NDArray[Any]

    @classmethod
    def of(cls, report: Any, stages: List[Any], channels: npt.NDArray[Any]) -> Report:
        """From the C structs."""
        raw = native.as_dict(report)
        raw.update(
            outcome=native.name_of(native.OUTCOMES, report.outcome), kernel=native.name_of(native.KERNELS, report.kernel),
            solver=native.name_of(native.SOLVERS, report.solver) if report.solver else "none",
            bits=raw.pop("weight_bits"), grid=native.name_of(native.GRIDS, raw.pop("weight_grid")),
            warnings=tuple(name for name, bit in native.WARNINGS.items() if report.warnings & bit),
            held_out_error=None if report.held_out_error < 0 else report.held_out_error,
            error_corrected=None if report.error_corrected < 0 else report.error_corrected, channels=channels,
            stages=tuple(Stage(native.name_of(native.STAGES, s.stage), s.effort, s.objective_before,
                               s.objective_after, s.seconds, s.sweeps) for s in stages))
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in raw.items() if name in known})

    def as_dict(self) -> Dict[str, Any]:
        """Everything but stages and channels, for JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)
                if field.name not in ("stages", "channels")}

    def _rows(self) -> List[Tuple[str, str]]:
        rows = [("bits", "%d, %s" % (self.bits, self.grid)), ("error", "%.6g" % self.error),
                ("error of rounding", "%.6g" % self.error_start)]
        if self.error_floor > 0:
            rows.append(("error floor", "%.6g" % self.error_floor))
        if self.held_out_error is not None:
            rows.append(("held-out error", "%.6g" % self.held_out_error))
        rows += [("weight error", "%.6g" % self.weight_error),
                 ("rows", "%.6g (%.3g per input)" % (self.rows, self.rows_per_input)),
                 ("outcome", "%s, effort %d, %.3g s" % (self.outcome, self.effort, self.seconds))]
        if self.channels_proven:
            rows.append(("channels proven", "%d of %d" % (self.channels_proven, len(self.channels))))
        if self.lower_bound > 0:
            rows.append(("lower bound", "%.4g of the objective" % self.lower_bound))
        if self.warnings:
            rows.append(("warnings", ", ".join(self.warnings)))
        return rows

    def __str__(self) -> str:
        lines = ["%-18s %s" % row for row in self._rows()]
        if self.stages:
            lines += ["", "%-12s %6s %12s %12s %9s" % ("stage", "effort", "J before", "J after", "seconds")]
            lines += ["%-12s %6d %12.6g %12.6g %9.3f" % (s.stage, s.effort, s.objective_before, s.objective_after,
                                                        s.seconds) for s in self.stages]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return "<bsq.Report: %d bits, error %.6g, rounding %.6g, %s>" % (self.bits, self.error, self.error_start,
                                                                         self.outcome)

    def _repr_html_(self) -> str:
        head = "".join("<tr><th style='text-align:left'>%s</th><td>%s</td></tr>" % (html.escape(a), html.escape(b))
                       for a, b in self._rows())
        stages = "".join("<tr><td>%s</td><td>%d</td><td>%.6g</td><td>%.6g</td><td>%.3f</td></tr>" % (
            html.escape(s.stage), s.effort, s.objective_before, s.objective_after, s.seconds) for s in self.stages)
        if stages:
            stages = ("<table><tr><th>stage</th><th>effort</th><th>J before</th><th>J after</th><th>seconds</th></tr>"
                      "%s</table>" % stages)
        return "<table>%s</table>%s" % (head, stages)

    def plot(self, ax: Any = None) -> Any:
        """Draws the error of each channel, sorted, beside that of rounding; returns matplotlib's axes."""
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.figure().subplots()
        order = np.argsort(self.channels["error_start"])
        ax.plot(self.channels["error_start"][order], label="rounding")
        ax.plot(self.channels["error"][order], label="%d bits, effort %d" % (self.bits, self.effort))
        ax.set_xlabel("output channel, by the error of rounding")
        ax.set_ylabel("relative output error")
        ax.set_yscale("log")
        ax.legend()
        return ax
