#include "report/report_charts.hpp"

#include <algorithm>
#include <cmath>

#include "shared.hpp"
#include "tool/html.hpp"

namespace bsq_onnx {

static bool positive(double value)
{
    return std::isfinite(value) && value > 0;
}

// Where there is too little room, what is cut off is the front: ends tell layers apart.
static std::string end_first(const std::string &name)
{
    return "<bdi>" + escape(name) + "</bdi>";
}

// ---- errors -----------------------------------------------------------------------------------------------------

// Whole decades. Positions are percents of the cell, so that the chart takes whatever width there is.
class LogAxis {
public:
    explicit LogAxis(const RunResult &result)
    {
        double least = HUGE_VAL, most = 0;
        for (const LayerResult &layer : result.layers) {
            for (const double error : {layer.error, layer.error_rounding, layer.held_out_error}) {
                if (layer.bits > 0 && positive(error)) {
                    least = std::min(least, error);
                    most = std::max(most, error);
                }
            }
        }
        if (most > 0) {
            low_ = int(std::floor(std::log10(least)));
            high_ = std::max(int(std::ceil(std::log10(most))), low_ + 1);
        }
    }

    // Zero is drawn at the left end.
    std::string at(double value) const
    {
        const double share = positive(value) ? (std::log10(value) - low_) / (high_ - low_) : 0;
        return coordinate(4 + 92 * std::clamp(share, 0.0, 1.0)) + "%";
    }

    std::string grid() const
    {
        std::string out;
        for (int e = low_; e <= high_; e++) {
            const std::string x = at(std::pow(10.0, e));
            out += "<line class=\"grid\" x1=\"" + x + "\" x2=\"" + x + "\" y1=\"0\" y2=\"100%\"/>";
        }
        return out;
    }

    std::string ticks() const
    {
        std::string out = "<svg class=\"axis\" aria-hidden=\"true\">";
        const int step = (high_ - low_ + 7) / 8;
        for (int e = low_; e <= high_; e += step) {
            out += "<text x=\"" + at(std::pow(10.0, e)) + "\" y=\"13\" text-anchor=\"middle\">" + power_of_ten(e) +
                   "</text>";
        }
        return out + "</svg>";
    }

private:
    int low_ = -2, high_ = 0;
};

static std::string dot(const LogAxis &axis, double value, const char *kind, const char *radius)
{
    return "<circle class=\"" + std::string(kind) + "\" cx=\"" + axis.at(value) + "\" cy=\"50%\" r=\"" + radius +
           "\"/>";
}

// A nested picture at the place, because a path has no percents.
static std::string diamond(const LogAxis &axis, double value)
{
    return "<svg class=\"at\" x=\"" + axis.at(value) +
           "\" y=\"50%\"><path class=\"held\" d=\"M0-5 5 0 0 5-5 0Z\"/></svg>";
}

static std::string error_marks(const LayerResult &layer, const LogAxis &axis)
{
    std::string out = "<svg class=\"row\" aria-hidden=\"true\">" + axis.grid();
    if (std::isfinite(layer.error) && std::isfinite(layer.error_rounding)) {
        out += "<line class=\"gain\" x1=\"" + axis.at(layer.error_rounding) + "\" x2=\"" + axis.at(layer.error) +
               "\" y1=\"50%\" y2=\"50%\"/>";
    }
    if (std::isfinite(layer.error_rounding)) {
        out += dot(axis, layer.error_rounding, "rounding", "4");
    }
    if (layer.held_out_error >= 0 && std::isfinite(layer.held_out_error)) {
        out += diamond(axis, layer.held_out_error);
    }
    if (std::isfinite(layer.error)) {
        out += dot(axis, layer.error, "ours", "4.5");
    }
    return out + "</svg>";
}

static std::string error_row(const LayerResult &layer, const LogAxis &axis, bool held_out)
{
    std::string out = "<tr><th scope=\"row\" class=\"name\">" + end_first(layer.name) + "</th>";
    if (layer.bits == 0) {
        const std::string why = "not quantized" + (layer.reason.empty() ? "" : ": " + escape(layer.reason));
        return out + number_cell("float", "extra") + "<td class=\"chart\"><span class=\"why\">" + why + "</span></td>" +
               number_cell("", "extra") + number_cell("") + number_cell("", "extra") +
               (held_out ? number_cell("", "extra") : "") + "</tr>\n";
    }
    out += number_cell(std::to_string(layer.bits), "extra");
    out += "<td class=\"chart\">" + error_marks(layer, axis) + "</td>";
    out += number_cell(number(layer.error_rounding), "extra") + number_cell(number(layer.error), "strong");
    const bool ratio = positive(layer.error) && positive(layer.error_rounding);
    out += number_cell(ratio ? number(layer.error_rounding / layer.error, 2) + "\u2009\u00d7" : "", "extra");
    if (held_out) {
        out += number_cell(layer.held_out_error >= 0 ? number(layer.held_out_error) : "", "extra");
    }
    return out + "</tr>\n";
}

static std::string error_legend(bool held_out)
{
    std::string out =
        "<p class=\"legend\" aria-hidden=\"true\">"
        "<span><svg class=\"key\"><circle class=\"rounding\" cx=\"8\" cy=\"8\" r=\"4\"/></svg>rounding</span>"
        "<span><svg class=\"key\"><circle class=\"ours\" cx=\"8\" cy=\"8\" r=\"4.5\"/></svg>result</span>";
    if (held_out) {
        out += "<span><svg class=\"key\"><path class=\"held\" d=\"M8 3 13 8 8 13 3 8Z\"/></svg>"
               "result on held-out samples</span>";
    }
    return out + "</p>\n";
}

std::string error_chart(const RunResult &result)
{
    const LogAxis axis(result);
    const bool held_out = std::any_of(result.layers.begin(), result.layers.end(),
                                      [](const LayerResult &layer) { return layer.held_out_error >= 0; });
    const std::string extra = "<th scope=\"col\" class=\"n extra\">";
    const std::string open =
        "<table class=\"errors\"><thead><tr><th scope=\"col\">Layer</th><th scope=\"col\" class=\"n bits extra\">"
        "Bits</th><th scope=\"col\" class=\"chart\"><span class=\"hidden\">Errors on a logarithmic axis</span>" +
        axis.ticks() + "</th>" + extra + "Rounding</th><th scope=\"col\" class=\"n\">Result</th>" + extra +
        "Less by</th>" + (held_out ? extra + "Held out</th>" : "") + "</tr></thead><tbody>\n";
    return error_legend(held_out) + worst_first(result, open, "</tbody></table>\n", [&](const LayerResult &layer) {
               return error_row(layer, axis, held_out);
           });
}

std::string worst_first(const RunResult &result, const std::string &open, const std::string &close,
                        const std::function<std::string(const LayerResult &)> &row)
{
    constexpr size_t most_open = 16;
    std::vector<const LayerResult *> order;
    for (const LayerResult &layer : result.layers) {
        order.push_back(&layer);
    }
    // What is not finite is worse than all that is; what stays float has no error.
    const auto badness = [](const LayerResult &layer) {
        return layer.bits == 0 ? -1 : std::isfinite(layer.error) ? layer.error : HUGE_VAL;
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](const LayerResult *a, const LayerResult *b) { return badness(*a) > badness(*b); });
    std::string out = open;
    for (size_t i = 0; i < order.size(); i++) {
        if (i == most_open) {
            out += close + "<details class=\"more\"><summary>the other " + counted(int64_t(order.size() - i), "layer") +
                   "</summary>\n" + open;
        }
        out += row(*order[i]);
    }
    return out + close + (order.size() > most_open ? "</details>\n" : "");
}

// ---- contributions ----------------------------------------------------------------------------------------------

static std::string contribution_row(const std::string &name, double error, double all, double most, const char *kind)
{
    return "<tr><th scope=\"row\" class=\"name\">" + name +
           "</th><td class=\"chart\"><svg class=\"row\" aria-hidden=\"true\"><rect class=\"" + kind +
           "\" x=\"0\" y=\"5\" height=\"12\" rx=\"2\" width=\"" + coordinate(100 * error / most) + "%\"/></svg></td>" +
           number_cell(number(error), "extra") + number_cell(percent(error / all)) + "</tr>\n";
}

std::string contribution_chart(const RunResult &result)
{
    const size_t most_shown = 20;
    const double least_share = 0.0005; // smaller ones would be printed as none
    std::vector<const LayerResult *> ranked;
    double all = 0;
    for (const LayerResult &layer : result.layers) {
        if (positive(layer.contribution)) {
            ranked.push_back(&layer);
            all += layer.contribution;
        }
    }
    if (ranked.empty()) {
        return "";
    }
    std::stable_sort(ranked.begin(), ranked.end(),
                     [](const LayerResult *a, const LayerResult *b) { return a->contribution > b->contribution; });
    const auto small = [&](const LayerResult *layer) { return layer->contribution < least_share * all; };
    const auto large = std::find_if(ranked.begin(), ranked.end(), small) - ranked.begin();
    const size_t shown = std::min(most_shown, size_t(large));
    double rest = 0;
    for (size_t i = shown; i < ranked.size(); i++) {
        rest += ranked[i]->contribution;
    }
    const double most = std::max(ranked[0]->contribution, rest);
    std::string out =
        "<table class=\"contributions\"><thead><tr><th scope=\"col\">Layer</th><th scope=\"col\" class=\"chart\">"
        "<span class=\"hidden\">Bar</span></th><th scope=\"col\" class=\"n extra\">Error</th><th scope=\"col\" "
        "class=\"n\">Share</th></tr></thead><tbody>\n";
    for (size_t i = 0; i < shown; i++) {
        out += contribution_row(end_first(ranked[i]->name), ranked[i]->contribution, all, most, "bar");
    }
    if (ranked.size() > shown) {
        out += contribution_row("<bdi>the other " + counted(int64_t(ranked.size() - shown), "layer") + "</bdi>", rest,
                                all, most, "bar rest");
    }
    return out + "</tbody></table>\n";
}

// ---- activations ------------------------------------------------------------------------------------------------

Reach reach(const InputResult &input)
{
    Reach reach;
    if (input.bits < 1 || input.scales.empty()) {
        return reach;
    }
    const auto [narrowest, widest] = std::minmax_element(input.scales.begin(), input.scales.end());
    const double levels = std::ldexp(1.0, input.bits), zero = input.zero_point;
    const bool is_signed = input.type == BSQ_INPUT_TYPE_SIGNED;
    const double low = is_signed ? -levels / 2 : -zero, high = is_signed ? levels / 2 - 1 : levels - 1 - zero;
    reach.low = *widest * low;
    reach.high = *widest * high;
    reach.narrow_low = *narrowest * low;
    reach.narrow_high = *narrowest * high;
    return reach;
}

// From the least to the greatest of what was seen and what codes reach.
struct Span {
    double low, high;
    std::string at(double value) const { return coordinate(high > low ? 200 * (value - low) / (high - low) : 0); }
};

static std::string band(const Span &span, double low, double high, const char *kind)
{
    return "<rect class=\"" + std::string(kind) + "\" x=\"" + span.at(low) + "\" y=\"0\" width=\"" +
           coordinate(std::max(0.0, std::stod(span.at(high)) - std::stod(span.at(low)))) + "\" height=\"60\"/>";
}

static std::string edge(const Span &span, double value)
{
    return "<line class=\"edge\" x1=\"" + span.at(value) + "\" x2=\"" + span.at(value) + "\" y1=\"0\" y2=\"60\"/>";
}

// Heights are square roots of shares, so that tails can be seen beside the peak at zero.
static std::string bars(const InputResult &input, const Span &span)
{
    double most = 0;
    for (const double share : input.histogram) {
        most = std::max(most, positive(share) ? share : 0);
    }
    const double step = (input.maximum - input.minimum) / double(std::max<size_t>(input.histogram.size(), 1));
    std::string path;
    for (size_t i = 0; i < input.histogram.size(); i++) {
        if (positive(input.histogram[i])) {
            const double left = input.minimum + step * double(i);
            path += "M" + span.at(left) + " 60V" + coordinate(60 - 56 * std::sqrt(input.histogram[i] / most)) + "H" +
                    span.at(left + step) + "V60Z";
        }
    }
    return path.empty() ? "" : "<path class=\"bars\" d=\"" + path + "\"/>";
}

static std::string histogram(const InputResult &input)
{
    const Reach codes = reach(input);
    const bool quantized = input.bits > 0 && !input.scales.empty();
    const Span span = {quantized ? std::min(input.minimum, codes.low) : input.minimum,
                       quantized ? std::max(input.maximum, codes.high) : input.maximum};
    std::string out = "<svg class=\"histogram\" viewBox=\"0 0 200 60\" preserveAspectRatio=\"none\" role=\"img\" "
                      "aria-label=\"Histogram of " +
                      escape(input.tensor) + " from " + number(span.low) + " to " + number(span.high) + "\">";
    if (quantized) {
        out += band(span, codes.low, codes.high, "reach");
    }
    if (quantized && input.scales.size() > 1) {
        out += band(span, codes.narrow_low, codes.narrow_high, "reach");
    }
    out += bars(input, span);
    if (quantized) {
        out += edge(span, codes.low) + edge(span, codes.high);
    }
    out += "</svg><p class=\"ends\"><span>" + number(span.low) + "</span><span>" + number(span.high) + "</span></p>";
    return out;
}

static std::string quantizer_text(const InputResult &input)
{
    if (input.bits == 0) {
        return "stays float";
    }
    std::string out = std::to_string(input.bits) + " bits, ";
    out += input.type == BSQ_INPUT_TYPE_UNSIGNED ? "unsigned"
           : input.type == BSQ_INPUT_TYPE_SIGNED ? "signed"
                                                 : "zero point " + std::to_string(input.zero_point);
    return input.scales.size() > 1 ? out + ", " + counted(int64_t(input.scales.size()), "scale") : out;
}

static std::string line(const char *what, const std::string &value)
{
    return "<div><dt>" + std::string(what) + "</dt><dd>" + value + "</dd></div>";
}

static std::string range_text(double low, double high)
{
    return number(low) + " \u2026 " + number(high);
}

static std::string activation_card(const InputResult &input)
{
    std::string out = "<figure class=\"card\"><figcaption class=\"name\">" + escape(input.tensor) + "</figcaption>" +
                      histogram(input) + "<dl>";
    out += line("quantizer", quantizer_text(input)) + line("seen", range_text(input.minimum, input.maximum));
    if (input.bits > 0 && !input.scales.empty()) {
        const Reach codes = reach(input);
        const auto [least, most] = std::minmax_element(input.scales.begin(), input.scales.end());
        out += line(input.scales.size() > 1 ? "widest range" : "range", range_text(codes.low, codes.high));
        if (input.scales.size() > 1) {
            out += line("narrowest range", range_text(codes.narrow_low, codes.narrow_high));
        }
        out += line(input.scales.size() > 1 ? "scales" : "scale",
                    input.scales.size() > 1 ? range_text(*least, *most) : number(*least));
        if (input.strength >= 0) {
            out += line("strength of own scales", number(input.strength));
        }
        out += line("clipped", input.clipped > 0 ? percent(input.clipped, input.clipped < 0.001 ? 3 : 2) : "none");
    }
    return out + "</dl>" + (input.note.empty() ? "" : "<p class=\"soft\">" + escape(input.note) + "</p>") +
           "</figure>\n";
}

std::string activation_charts(const RunResult &result)
{
    std::string out = "<div class=\"cards\">\n";
    for (const InputResult &input : result.inputs) {
        out += activation_card(input);
    }
    return out + "</div>\n";
}

} // namespace bsq_onnx
