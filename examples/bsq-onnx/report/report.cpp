#include "report/report.hpp"

#include <algorithm>
#include <cmath>

#include "shared.hpp"
#include "tool/html.hpp"
#include "report/metric_text.hpp"
#include "report/report_charts.hpp"
#include "report/report_pictures.hpp"
#include "tool/report_style.hpp"

namespace bsq_onnx {

static const char plus_minus[] = " \u00b1 ", times[] = "\u2009\u00d7";

static std::string file_name(const std::string &path)
{
    return path.substr(path.find_last_of('/') + 1);
}

// ---- warnings ---------------------------------------------------------------------------------------------------

static const struct {
    int32_t flag;
    const char *text, *words; // in the list of warnings, in the table
} warning_texts[] = {
    {BSQ_WARNING_NO_STATISTICS, "solved from the weights alone, errors are those of the weights", "no statistics"},
    {BSQ_WARNING_FEW_ROWS, "fewer than two rows for each input, the error on other samples may be larger", "few rows"},
    {BSQ_WARNING_SCALE_LIMITED, "a scale left the range of its format, the nearest normal value was taken",
     "scale limited"},
    {BSQ_WARNING_RAISED_DAMPING, "the search needed more damping than the objective has", "more damping"},
    {BSQ_WARNING_DEAD_INPUTS, "some inputs were zero in all samples", "dead inputs"},
    {BSQ_WARNING_DEAD_OUTPUTS, "some channels have no weights other than zero", "dead outputs"},
};

// A held-out error this many times the calibration error is told.
static const double much_larger = 2;

static bool is_overfitted(const LayerResult &layer)
{
    return layer.bits > 0 && layer.error > 0 && layer.held_out_error > much_larger * layer.error;
}

static std::string warning_words(const LayerResult &layer)
{
    std::string out;
    const auto add = [&](const std::string &text) { out += (out.empty() ? "" : ", ") + text; };
    for (const auto &warning : warning_texts) {
        if (layer.warnings & warning.flag) {
            add(warning.words);
        }
    }
    if (is_overfitted(layer)) {
        add("large held-out error");
    }
    if (!layer.text.empty()) {
        add(escape(layer.text));
    }
    if (!layer.shared_with.empty()) {
        add("weights of " + escape(layer.shared_with));
    }
    if (layer.bits == 0 && !layer.reason.empty()) {
        add("not quantized: " + escape(layer.reason));
    }
    return out;
}

// "4 layers: text (a, b, c, d)"; many names are folded away.
static std::string warning_item(const std::vector<std::string> &names, const char *noun, const std::string &text)
{
    if (names.empty()) {
        return "";
    }
    std::string list;
    for (const std::string &name : names) {
        list += (list.empty() ? "" : ", ") + escape(name);
    }
    const std::string item = counted(int64_t(names.size()), noun) + ": " + text;
    return "<li>" + item +
           (names.size() <= 4 ? " (" + list + ")" : " <details><summary>which</summary> " + list + "</details>") +
           "</li>\n";
}

template <typename Items, typename Pick> static std::vector<std::string> names_of(const Items &items, const Pick &pick)
{
    std::vector<std::string> names;
    for (const auto &item : items) {
        const std::string name = pick(item);
        if (!name.empty()) {
            names.push_back(name);
        }
    }
    return names;
}

static std::string warnings(const RunResult &result)
{
    std::string items;
    for (const std::string &text : result.warnings) {
        items += "<li>" + escape(text) + "</li>\n";
    }
    for (const auto &warning : warning_texts) {
        const auto has = [&](const LayerResult &l) { return l.warnings & warning.flag ? l.name : ""; };
        items += warning_item(names_of(result.layers, has), "layer", warning.text);
    }
    items += warning_item(names_of(result.layers, [](const LayerResult &l) { return is_overfitted(l) ? l.name : ""; }),
                          "layer", "the held-out error is more than twice the calibration error");
    const auto is_clipped = [](const InputResult &i) { return i.bits > 0 && i.clipped > much_clipped ? i.tensor : ""; };
    items +=
        warning_item(names_of(result.inputs, is_clipped), "input",
                     "more than " + percent(much_clipped, 0) + " of the values lie beyond the range that codes reach");
    for (const LayerResult &layer : result.layers) {
        items += layer.text.empty() ? "" : "<li>" + escape(layer.name) + ": " + escape(layer.text) + "</li>\n";
    }
    if (items.empty()) {
        return "<p class=\"soft\">No warnings.</p>\n";
    }
    return "<section class=\"warnings\" aria-labelledby=\"warnings\"><h2 id=\"warnings\">Warnings</h2><ul>\n" + items +
           "</ul></section>\n";
}

// ---- summary ----------------------------------------------------------------------------------------------------

static std::string tile(const std::string &title, const std::string &figure, const std::string &text)
{
    return "<div><dt>" + title + "</dt><dd class=\"figure\">" + figure + "</dd><dd>" + text + "</dd></div>\n";
}

// Of a share of n samples; "" where all samples agree, which the formula takes for certainty.
static std::string standard_error(double share, int64_t samples)
{
    if (samples < 2 || share <= 0 || share >= 1) {
        return "";
    }
    return plus_minus + fixed(100 * std::sqrt(share * (1 - share) / double(samples)), 1);
}

static std::string difference(double float_share, double share)
{
    return (share > float_share ? "+" : "") + fixed(100 * (share - float_share), 1);
}

// Both accuracies are measured on the same samples, so what counts is how many changed sides: not more than changed
// their class.
static std::string top1_difference(const Evaluation &evaluation)
{
    const double drop = evaluation.top1 - evaluation.float_top1;
    const double variance = std::max(0.0, 1 - evaluation.agreement - drop * drop);
    return difference(evaluation.float_top1, evaluation.top1) +
           (evaluation.agreement >= 0 ? plus_minus + fixed(100 * std::sqrt(variance / double(evaluation.samples)), 1)
                                      : "");
}

static std::string ratio(int64_t before, int64_t after)
{
    return after > 0 ? number(double(before) / double(after), 2) + times + " smaller" : "";
}

static std::string found_share(const Detection &detection)
{
    return detection.confident > 0 ? percent(double(detection.found) / double(detection.confident)) : "\u2013";
}

static std::string tiles(const RunResult &result)
{
    const Evaluation &evaluation = result.evaluation;
    std::string out = "<dl class=\"tiles\">\n";
    if (evaluation.samples > 0 && evaluation.labelled) {
        out +=
            tile("Top-1 accuracy", percent(evaluation.top1),
                 "float " + percent(evaluation.float_top1) + ", difference " + top1_difference(evaluation) + " points");
    }
    if (evaluation.samples > 0 && evaluation.agreement >= 0) {
        out += tile("Agreement with float", percent(evaluation.agreement),
                    "same class on " + counted(evaluation.samples, "sample"));
    }
    if (result.has_detection) {
        out += tile("Boxes found again", found_share(result.detection),
                    whole(result.detection.found) + " of " + counted(result.detection.confident, "confident box") +
                        " of the float network");
    }
    if (result.has_detection && result.detection.mask_iou >= 0) {
        out += tile("Mask IoU", fixed(result.detection.mask_iou, 3), "mean over the boxes found");
    }
    if (evaluation.samples > 0) {
        out += tile("Output error", number(evaluation.output_error),
                    "|y \u2212 y<sub>float</sub>|\u00b2 / |y<sub>float</sub>|\u00b2");
    }
    out += tile("File", bytes(result.quantized_bytes),
                "float " + bytes(result.float_bytes) + ", " + ratio(result.float_bytes, result.quantized_bytes));
    out += tile("Average bits", number(result.average_bits), "of a weight");
    out += tile("Time", duration(result.seconds_solving), "solving; " + duration(result.seconds_total) + " in all");
    return out + "</dl>\n";
}

static std::string row(const std::string &name, const std::vector<std::string> &cells)
{
    std::string out = "<tr><th scope=\"row\">" + name + "</th>";
    for (const std::string &cell : cells) {
        out += number_cell(cell);
    }
    return out + "</tr>\n";
}

static std::string accuracy_table(const Evaluation &evaluation)
{
    if (evaluation.samples < 1 || !evaluation.labelled) {
        return "";
    }
    const auto share = [&](double value) { return percent(value) + standard_error(value, evaluation.samples); };
    return "<table class=\"small\"><caption class=\"hidden\">Accuracy</caption><thead><tr><th "
           "scope=\"col\">Accuracy</th>"
           "<th scope=\"col\" class=\"n\">Float</th><th scope=\"col\" class=\"n\">Quantized</th>"
           "<th scope=\"col\" class=\"n\">Difference, points</th></tr></thead><tbody>\n" +
           row("Top-1", {share(evaluation.float_top1), share(evaluation.top1), top1_difference(evaluation)}) +
           row("Top-5", {share(evaluation.float_top5), share(evaluation.top5),
                         difference(evaluation.float_top5, evaluation.top5)}) +
           "</tbody></table>\n";
}

// "128 samples (a.jpg to b.jpg)"
static std::string range_text(const SampleRange &range)
{
    return counted(range.count, "sample") +
           (range.count > 0 ? " (" + escape(file_name(range.first)) +
                                  (range.count > 1 ? " to " + escape(file_name(range.last)) : "") + ")"
                            : "");
}

static std::string metrics_list(const RunResult &result)
{
    std::string items;
    for (const MetricResult &metric : result.metrics) {
        items += "<li>" + escape(metric_text(metric)) + "</li>\n";
    }
    return items.empty() ? "" : "<ul class=\"metrics\">\n" + items + "</ul>\n";
}

static std::string evaluation_text(const RunResult &result)
{
    const Evaluation &evaluation = result.evaluation;
    if (evaluation.samples < 1) {
        return "<p>The quantized network was not evaluated: no samples were left for it.</p>\n";
    }
    std::string out =
        "<p>Measured on " + range_text(result.samples.evaluation) +
        ", which calibration did not see, against the float network on the same ones; calibrated on " +
        range_text(result.samples.calibration) + ". " +
        (result.samples.shared ? "Among the former are those that the layers' held-out errors are of. " : "");
    if (evaluation.agreement >= 0) {
        out += "Both give the same class on " + percent(evaluation.agreement) +
               standard_error(evaluation.agreement, evaluation.samples) + ". ";
    }
    out += "The output error is relative and squared, of the outputs before a final softmax, over all samples "
           "together.</p>\n";
    if (evaluation.labelled || evaluation.agreement >= 0) {
        out += "<p class=\"about\">\u00b1 is one standard error of a share of so many samples.";
        if (evaluation.labelled && evaluation.agreement >= 0) {
            out +=
                " That of the top-1 difference is an upper bound: it takes every changed class for a gain or a loss.";
        }
        out += "</p>\n";
    }
    return out;
}

static std::string detection_text(const Detection &d)
{
    std::string out = "<p>" + counted(d.pictures, "picture") +
                      " without ground truth: the quantized network is compared "
                      "with the float network, not with the truth. A float box with a score from " +
                      fixed(double(d.confident_score), 2) +
                      " on counts as found when a quantized box of its class, with a score from " +
                      fixed(double(d.match_score), 2) +
                      " on, overlaps it with IoU \u2265 0.5; each quantized box serves once.</p>\n";
    out += "<table class=\"small\"><caption class=\"hidden\">Objects</caption><tbody>\n" +
           row("Confident boxes of the float network", {whole(d.confident)}) +
           row("Found by the quantized network",
               {whole(d.found) + " (" + found_share(d) +
                (d.confident > 0 ? standard_error(double(d.found) / double(d.confident), d.confident) : "") + ")"}) +
           row("Confident boxes of the quantized network alone", {whole(d.extra)}) +
           row("Mean IoU of the boxes found", {d.found > 0 ? fixed(d.box_iou, 3) : "\u2013"});
    if (d.mask_iou >= 0) {
        out += row("Mean IoU of their masks, cut to the boxes", {fixed(d.mask_iou, 3)});
    }
    if (d.mean_iou >= 0) {
        out += row("Mean IoU over classes, all confident pixels", {fixed(d.mean_iou, 3)});
    }
    return out + "</tbody></table>\n";
}

static std::string summary(const RunResult &result)
{
    std::string out =
        tiles(result) + evaluation_text(result) + accuracy_table(result.evaluation) + metrics_list(result);
    if (result.has_detection) {
        out += detection_text(result.detection);
    }
    return out;
}

// A command whose lines break before options, not in the middle of one.
static std::string in_parts(const std::string &command)
{
    std::string out;
    for (size_t at = 0; at < command.size();) {
        const size_t end = std::min(command.find(" -", at), command.size());
        out += (at > 0 ? " <span>" : "<span>") + escape(command.substr(at, end - at)) + "</span>";
        at = end + 1;
    }
    return out;
}

static std::string how(const RunResult &result)
{
    std::string out =
        "<section><h2 id=\"run\">The run</h2>\n<pre><code>" + in_parts(result.command) + "</code></pre>\n";
    if (!result.settings.empty()) {
        out += "<ul class=\"settings\">\n";
        for (const std::string &setting : result.settings) {
            out += "<li>" + escape(setting) + "</li>\n";
        }
        out += "</ul>\n";
    }
    if (!result.rescaled.empty()) {
        out += "<p class=\"about\">Channels of " + counted(int64_t(result.rescaled.size()), "tensor") +
               " were rescaled by powers of two, because their ranges differ; the layers around them took the factors "
               "over.</p>\n";
    }
    if (!result.tried.empty()) {
        out += "<ol class=\"settings\">\n";
        for (const std::string &line : result.tried) {
            out += "<li>" + escape(line) + "</li>\n";
        }
        out += "</ol>\n";
    }
    return out + "</section>\n";
}

// ---- layers -----------------------------------------------------------------------------------------------------

static std::string errors(const RunResult &result)
{
    if (result.layers.empty()) {
        return "";
    }
    const SampleRange &others = result.samples.held_out;
    const std::string held_out =
        others.count > 0 ? "<em>Held out</em>: the result on " + range_text(others) + ", which it was not fitted to. "
                         : "";
    return "<section><h2 id=\"errors\">Error of every layer</h2>\n"
           "<p class=\"about\">The relative squared error of a layer's output, before its activation function, on the "
           "calibration samples: how far it is from the output that it should have, in the quantized network so far. "
           "<em>Rounding</em> is the same layer with its weights rounded, the better of two scales in each channel. " +
           held_out +
           "Further left is better; each line of the grid is a factor of ten. The worst layers come first.</p>\n" +
           error_chart(result) + "</section>\n";
}

static std::string layer_row(const LayerResult &layer)
{
    std::string out = "<tr><th scope=\"row\" class=\"name\">" + escape(layer.name) + "</th><td>" + escape(layer.op) +
                      "</td>" + number_cell(layer.bits > 0 ? std::to_string(layer.bits) : "float") +
                      number_cell(whole(layer.channels)) + number_cell(whole(layer.fan_in));
    if (layer.bits > 0) {
        out += number_cell(number(layer.rows_per_input)) + number_cell(number(layer.error)) +
               number_cell(number(layer.error_floor)) +
               number_cell(layer.lower_bound > 0 ? percent(layer.lower_bound, 0) : "\u2013") +
               number_cell(layer.contribution >= 0 ? number(layer.contribution) : "\u2013") +
               number_cell(bytes(layer.weight_bytes)) + number_cell(number(double(layer.multiplications) / 1e6)) +
               number_cell(duration(layer.seconds));
    } else {
        out += "<td></td><td></td><td></td><td></td><td></td><td></td>" +
               number_cell(number(double(layer.multiplications) / 1e6)) + "<td></td>";
    }
    return out + "<td class=\"words\">" + warning_words(layer) + "</td></tr>\n";
}

static std::string layers(const RunResult &result)
{
    if (result.layers.empty()) {
        return "";
    }
    std::string out =
        "<section><h2 id=\"layers\">Layers in detail</h2>\n"
        "<p class=\"about\">M: output channels. n: inputs of one. Rows / n: calibration rows for each input; below 2 "
        "is "
        "few. Floor: the error that no codes can pass with the inputs that the layer gets. Proven: how much of the "
        "objective is known to be unavoidable, 100&nbsp;% is the optimum. Alone: the relative error of the network's "
        "outputs when this layer alone is quantized. Size: codes alone. Mult.: millions of multiplications for one "
        "sample.</p>\n"
        "<p class=\"about scrolls\">The table is wider than the page: it scrolls sideways.</p>\n";
    std::string open =
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-labelledby=\"layers\"><table><thead><tr>"
        "<th scope=\"col\">Layer</th><th scope=\"col\">Kind</th>";
    for (const char *title :
         {"Bits", "M", "n", "Rows / n", "Error", "Floor", "Proven", "Alone", "Size", "Mult.", "Solve"}) {
        open += "<th scope=\"col\" class=\"n\">" + std::string(title) + "</th>";
    }
    open += "<th scope=\"col\">Warnings</th></tr></thead><tbody>\n";
    return out + worst_first(result, open, "</tbody></table></div>\n", layer_row) + "</section>\n";
}

static std::string contributions(const RunResult &result)
{
    const std::string chart = contribution_chart(result);
    if (chart.empty() && result.network_bound < 0) {
        return "";
    }
    std::string out = "<section><h2 id=\"contributions\">Where the output error comes from</h2>\n";
    if (!chart.empty()) {
        out +=
            "<p class=\"about\">Measured on " + counted(result.contribution_samples, "sample") +
            " that no layer was fitted to: the relative error of the float network's outputs when this layer and its "
            "input alone are quantized. Shares are of the sum, which need not be the error of all together.</p>\n" +
            chart;
    }
    if (result.network_bound >= 0) {
        out += "<p class=\"about\">By the norms of layers it is proven that the outputs of a sample are never further "
               "off, "
               "taken relative to their length, than " +
               number(result.network_bound) + ". Such bounds are far above what happens.</p>\n";
    }
    return out + "</section>\n";
}

static std::string activations(const RunResult &result)
{
    if (result.inputs.empty()) {
        return "";
    }
    return "<section><h2 id=\"activations\">Ranges of activations</h2>\n"
           "<p class=\"about\">Values of each quantized tensor in the calibration samples; heights are square roots of "
           "shares, so that tails show. Shaded between two lines: what the codes reach. Values outside of it are "
           "clipped.</p>\n" +
           activation_charts(result) + "</section>\n";
}

static std::string exhibits(const RunResult &result)
{
    if (result.exhibits.empty()) {
        return "";
    }
    const Evaluation &evaluation = result.evaluation;
    std::string out = "<section><h2 id=\"pictures\">Pictures</h2>\n";
    if (evaluation.changed > 0) {
        out += "<p class=\"about\">The networks differ on " + whole(evaluation.changed) + " of " +
               counted(evaluation.samples, "sample") +
               (result.has_detection ? ": a confident box has no match" : ": the class is another one") +
               ". Pictures where they differ are shown before all others.</p>\n";
    }
    if (result.has_detection) {
        out +=
            "<p class=\"about\">Objects that at least one of the networks is sure of; the same colour on both sides is "
            "the same object, numbers are scores. Dashed in red: the other network has no match.</p>\n";
    }
    return out + pictures(result) + "</section>\n";
}

// ---- page -------------------------------------------------------------------------------------------------------

static std::string head(const RunResult &result)
{
    const std::string title = escape(file_name(result.model));
    return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
           "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
           "'unsafe-inline'\">\n"
           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
           "<title>" +
           title + ", quantized</title>\n<style>" + report_style +
           "</style>\n</head>\n<body>\n<header>\n"
           "<h1>" +
           title + ", quantized</h1>\n<p class=\"soft\">" +
           (result.output.empty() ? "" : "Written to <code>" + escape(result.output) + "</code> by ") + "bsq-onnx " +
           escape(result.version) + "</p>\n</header>\n";
}

static std::string navigation(const std::string &body)
{
    static const char *const places[][2] = {{"run", "The run"},
                                            {"errors", "Errors"},
                                            {"layers", "Layers"},
                                            {"contributions", "Contributions"},
                                            {"activations", "Activations"},
                                            {"pictures", "Pictures"}};
    std::string out = "<nav aria-label=\"Sections\">";
    for (const auto &place : places) {
        if (body.find("<h2 id=\"" + std::string(place[0]) + "\"") != std::string::npos) {
            out += "<a href=\"#" + std::string(place[0]) + "\">" + place[1] + "</a>";
        }
    }
    return out + "</nav>\n";
}

std::string write_report(const RunResult &result)
{
    const std::string body =
        how(result) + errors(result) + layers(result) + contributions(result) + activations(result) + exhibits(result);
    return head(result) + navigation(body) + "<main>\n" + warnings(result) + summary(result) + body +
           "</main>\n<footer>One file, no script, nothing fetched. Errors are relative: 0.01 is one percent of the "
           "output's "
           "energy.</footer>\n</body>\n</html>\n";
}

} // namespace bsq_onnx
