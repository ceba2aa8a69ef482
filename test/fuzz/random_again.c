/* Solves and judges a layer again: its tensor, put back, is what it was, and more effort is never worse. */
#include "random_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- tensors ---- */

static bool same_bytes(const void *a, const void *b, int64_t count, size_t size)
{
    return !count || memcmp(a, b, (size_t)count * size) == 0;
}

/* Checks that the tensor of another layer is this one's. */
static void expect_same_tensor(struct run *run, struct run *other)
{
    const bsq_tensor_t *tensor = &run->tensor;
    bsq_tensor_t again;

    if (read_tensor(other, &again) &&
        (again.scale_count != tensor->scale_count || again.code_count != tensor->code_count ||
         !same_bytes(again.codes, tensor->codes, tensor->code_count, sizeof *tensor->codes) ||
         !same_bytes(again.scales, tensor->scales, tensor->scale_count, sizeof *tensor->scales) ||
         !same_bytes(again.zero_points, tensor->zero_points, tensor->zero_point_count, sizeof *tensor->zero_points) ||
         !same_bytes(again.offsets, tensor->offsets, tensor->offset_count, sizeof *tensor->offsets) ||
         !same_bytes(again.levels, tensor->levels, tensor->level_count, sizeof *tensor->levels)))
        fail(other, "the tensor that was put back is another one");
    release_tensor(&again);
}

/* Checks that a report of the tensor says what that of the result says. */
static void expect_same_figures(struct run *run, struct run *other, const bsq_report_t *judged)
{
    const bsq_report_t *report = &run->report;
    real tolerance = 2 * run->tolerance_sum, energy = (real)report->energy;

    expect_near(other, "judged: objective", -1, (real)judged->objective, (real)report->objective, tolerance);
    expect_near(other, "judged: energy", -1, (real)judged->energy, energy,
                tolerance + (may_be_single(run) ? 1e-5L * energy : 0));
    if (report->energy > 0.0)
        expect_near(other, "judged: error * energy", -1, (real)judged->error * energy, (real)report->error * energy,
                    tolerance);
    if (!(judged->weight_error == report->weight_error))
        fail(other, "judged: weight_error is %.17g, of the result %.17g", judged->weight_error, report->weight_error);
    if (judged->solver || judged->effort || judged->stages || judged->outcome != BSQ_OUTCOME_NONE ||
        judged->weight_bits != report->weight_bits || judged->weight_grid != report->weight_grid)
        fail(other, "judged: solver %d, effort %d, %d stages, outcome %d, %d bits, grid %d", (int)judged->solver,
             (int)judged->effort, (int)judged->stages, (int)judged->outcome, (int)judged->weight_bits,
             (int)judged->weight_grid);
    if ((judged->held_out_error >= 0.0) != (report->held_out_error >= 0.0))
        fail(other, "judged: held_out_error is %g", judged->held_out_error);
}

void check_tensor_again(struct run *run)
{
    struct drawn_layer same = *run->drawn;
    bsq_report_t judged;
    struct run other;

    same.options.keep_scales = 0;
    same.options.damping = run->report.damping;
    if (same.options.solver == BSQ_SOLVER_PAPER)
        same.options.solver = BSQ_SOLVER_AUTO;
    bsq_report_init(&judged, sizeof judged);
    if (clone_run(run, &other, &same) &&
        ok(&other, "evaluate", bsq_layer_evaluate(other.layer, &run->tensor, &judged))) {
        expect_same_figures(run, &other, &judged);
        if (ok(&other, "set_tensor of the result", bsq_layer_set_tensor(other.layer, &run->tensor)) &&
            ok(&other, "report", read_report(other.layer, &judged))) {
            expect_same_figures(run, &other, &judged);
            expect_same_tensor(run, &other);
        }
    }
    bsq_layer_free(other.layer);
    run->failures = other.failures;
}

/* ---- efforts ---- */

void check_efforts(struct run *run, bool at_limit)
{
    const double single = 1e-4; /* of J, where it is from single precision */
    struct drawn_layer other = *run->drawn;
    double before = INFINITY, more = may_be_single(run) ? single : 1e-14;

    for (int32_t effort = 0; effort <= run->drawn->options.effort && !run->failures; effort++) {
        bsq_status_t status = BSQ_OK;
        bsq_report_t report;
        struct run solved;
        bool ready;

        other.options.effort = effort;
        bsq_report_init(&report, sizeof report);
        ready = clone_run(run, &solved, &other);
        if (ready && (status = bsq_optimize(solved.layer, &report)) == BSQ_E_NUMERIC && at_limit) {
            bsq_layer_free(solved.layer);
            continue;
        }
        if (ready && ok(&solved, "optimize", status) &&
            !((real)report.objective <= (real)before * (1 + (real)more) + run->tolerance_sum))
            fail(&solved, "J of effort %d is %.17g, of that below %.17g", (int)effort, report.objective, before);
        before = report.objective;
        bsq_layer_free(solved.layer);
        run->failures = solved.failures;
    }
}
