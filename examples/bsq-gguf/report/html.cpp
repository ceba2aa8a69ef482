// The report as one page: no script, nothing fetched.
#include "report/report.hpp"

#include <algorithm>
#include <cmath>

#include "bsq.h"
#include "shared.hpp"
#include "tool/html.hpp"
#include "tool/report_style.hpp"

namespace bsq_gguf {

namespace {

const char plus_minus[] = " \u00b1 ";

std::string file_name(const std::string &path)
{
    return path.substr(path.find_last_of('/') + 1);
}

std::string with_error(double value, double error, int decimals)
{
    return fixed(value, decimals) + plus_minus + fixed(error, decimals);
}

std::string tile(const std::string &title, const std::string &figure, const std::string &about)
{
    return "<div><dt>" + title + "</dt><dd class=\"figure\">" + figure + "</dd><dd>" + about + "</dd></div>\n";
}

std::string tiles(const RunResult &result)
{
    std::string out = "<dl class=\"tiles\">\n";
    if (result.size_after > 0) {
        out += tile("Size", bytes(static_cast<int64_t>(result.size_after)),
                    "was " + bytes(static_cast<int64_t>(result.size_before)));
        out += tile("Bits of a quantized weight", fixed(average_bits(result), 2), "scales included");
        if (mean_error(result) > 0)
            out += tile("Error of layers", number(mean_error(result)), "geometric mean, relative");
    }
    const Judgement &j = result.judgement;
    if (j.positions > 0) {
        const double before = std::exp(j.loss.value), after = std::exp(j.quantized_loss.value);
        out += tile("Perplexity before", fixed(before, 4), plus_minus + fixed(before * j.loss.error, 4));
        if (result.size_after > 0) {
            out += tile("Perplexity after", fixed(after, 4), plus_minus + fixed(after * j.quantized_loss.error, 4));
            out += tile("Divergence", number(j.divergence.value),
                        "nats a token" + std::string(plus_minus) + number(j.divergence.error));
            out += tile("Same top token", percent(j.same_top.value, 2), plus_minus + percent(j.same_top.error, 2));
        }
    }
    return out + "</dl>\n";
}

std::string row(const std::string &title, const std::vector<std::string> &cells)
{
    std::string out = "<tr><th scope=\"row\">" + title + "</th>";
    for (const std::string &cell : cells)
        out += number_cell(cell);
    return out + "</tr>\n";
}

std::string evaluation(const RunResult &result)
{
    const Judgement &j = result.judgement;
    if (j.positions == 0)
        return "";
    std::string out =
        "<section><h2 id=\"prediction\">Prediction</h2>\n<p class=\"about\">On " + whole(j.positions) +
        " positions of text that calibration did not need to see. " + std::string(plus_minus) +
        "is one standard error over sequences. The divergence is that of Kullback and Leibler, from the "
        "float model's predictions: it has far less noise than a difference of losses.</p>\n"
        "<table class=\"small\"><thead><tr><th scope=\"col\"></th><th scope=\"col\" class=\"n\">Before</th>";
    const bool both = result.size_after > 0;
    out += both ? "<th scope=\"col\" class=\"n\">After</th></tr></thead><tbody>\n" : "</tr></thead><tbody>\n";
    std::vector<std::string> losses = {with_error(j.loss.value, j.loss.error, 4)};
    if (both)
        losses.push_back(with_error(j.quantized_loss.value, j.quantized_loss.error, 4));
    return out + row("Loss, nats a token", losses) + "</tbody></table></section>\n";
}

std::string warning_words(int32_t warnings)
{
    static const struct {
        int32_t flag;
        const char *words;
    } texts[] = {{BSQ_WARNING_FEW_ROWS, "few rows"},           {BSQ_WARNING_SCALE_LIMITED, "scale limited"},
                 {BSQ_WARNING_RAISED_DAMPING, "more damping"}, {BSQ_WARNING_DEAD_INPUTS, "dead inputs"},
                 {BSQ_WARNING_DEAD_OUTPUTS, "dead outputs"},   {BSQ_WARNING_NO_STATISTICS, "weights alone"}};
    std::string out;
    for (const auto &text : texts)
        if (warnings & text.flag)
            out += (out.empty() ? "" : ", ") + std::string(text.words);
    return out;
}

// Rounding and the result on a logarithmic axis, from 'low' to 'high' powers of ten.
std::string marks(const TensorResult &tensor, double low, double high)
{
    const auto place = [&](double error) {
        return coordinate(100 * std::clamp((std::log10(std::max(error, 1e-300)) - low) / (high - low), 0.0, 1.0)) + "%";
    };
    std::string out = "<td class=\"chart\"><svg class=\"row\" role=\"img\" aria-label=\"error " + number(tensor.error) +
                      ", rounding " + number(tensor.error_rounding) + "\">";
    for (double power = std::ceil(low); power <= high; power++) {
        const std::string x = coordinate(100 * (power - low) / (high - low)) + "%";
        out += "<line class=\"grid\" x1=\"" + x + "\" x2=\"" + x + "\" y1=\"0\" y2=\"100%\"/>";
    }
    const std::string ours = place(tensor.error), rounding = place(tensor.error_rounding);
    return out + "<line class=\"gain\" x1=\"" + ours + "\" x2=\"" + rounding + "\" y1=\"50%\" y2=\"50%\"/>" +
           "<circle class=\"rounding\" cx=\"" + rounding + "\" cy=\"50%\" r=\"3.5\"/><circle class=\"ours\" cx=\"" +
           ours + "\" cy=\"50%\" r=\"4\"/></svg></td>";
}

std::string errors(const RunResult &result)
{
    double low = 0, high = -300;
    for (const TensorResult &tensor : result.tensors) {
        if (!tensor.solved || !(tensor.error > 0))
            continue;
        low = std::min(low, std::log10(tensor.error));
        high = std::max(high, std::log10(std::max(tensor.error, tensor.error_rounding)));
    }
    if (high <= low)
        return "";
    low = std::floor(low), high = std::max(low + 1, std::ceil(high));
    std::string out =
        "<section><h2 id=\"errors\">Error by tensor</h2>\n<p class=\"about\">The relative squared error of a layer's "
        "output, on the calibration text, with the inputs that the quantized part gives it. <em>Rounding</em> is the "
        "same grid, rounded. Further left is better; each line of the grid is a factor of ten.</p>\n"
        "<p class=\"legend\"><span><svg class=\"key\"><circle class=\"ours\" cx=\"8\" cy=\"8\" "
        "r=\"4\"/></svg>result</span>"
        "<span><svg class=\"key\"><circle class=\"rounding\" cx=\"8\" cy=\"8\" r=\"3.5\"/></svg>rounding</span></p>\n"
        "<table class=\"errors\"><thead><tr><th scope=\"col\">Tensor</th><th scope=\"col\" class=\"n bits\">Type</th>"
        "<th scope=\"col\" class=\"chart\"></th><th scope=\"col\" class=\"n\">Error</th>"
        "<th scope=\"col\" class=\"n\">Rounding</th></tr></thead><tbody>\n";
    for (const TensorResult &tensor : result.tensors)
        if (tensor.solved)
            out += "<tr><th scope=\"row\" class=\"name\">" + escape(tensor.name) + "</th>" +
                   number_cell(tensor.type->name) + marks(tensor, low, high) + number_cell(number(tensor.error)) +
                   number_cell(number(tensor.error_rounding)) + "</tr>\n";
    return out + "</tbody></table></section>\n";
}

std::string tensors(const RunResult &result)
{
    if (result.tensors.empty())
        return "";
    std::string out =
        "<section><h2 id=\"tensors\">Tensors</h2>\n<p class=\"about\">Floor: the error that no weights can pass with "
        "the "
        "inputs that the layer gets. Rows / n: positions of the calibration text for each input; below 2 is few.</p>\n"
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-labelledby=\"tensors\"><table><thead><tr>"
        "<th scope=\"col\">Tensor</th><th scope=\"col\">Was</th><th scope=\"col\">Type</th>";
    for (const char *title : {"Outputs", "Inputs", "Size", "Rows / n", "Error", "Floor", "Solve"})
        out += "<th scope=\"col\" class=\"n\">" + std::string(title) + "</th>";
    out += "<th scope=\"col\">Notes</th></tr></thead><tbody>\n";
    for (const TensorResult &tensor : result.tensors) {
        out += "<tr><th scope=\"row\" class=\"name\">" + escape(tensor.name) + "</th><td>" + tensor.from->name +
               "</td><td>" + tensor.type->name + "</td>" + number_cell(whole(tensor.rows)) +
               number_cell(whole(tensor.columns)) + number_cell(bytes(static_cast<int64_t>(tensor.size)));
        if (tensor.solved)
            out += number_cell(tensor.by_weights ? "\u2013" : number(tensor.rows_per_input)) +
                   number_cell(number(tensor.error)) + number_cell(number(tensor.error_floor)) +
                   number_cell(duration(tensor.seconds));
        else
            out += "<td></td><td></td><td></td><td></td>";
        out += "<td class=\"words\">" + warning_words(tensor.warnings) + "</td></tr>\n";
    }
    return out + "</tbody></table></div></section>\n";
}

std::string how(const RunResult &result)
{
    std::string out = "<section><h2 id=\"run\">The run</h2>\n<pre><code>" + escape(result.command) +
                      "</code></pre>\n<ul class=\"settings\">\n";
    for (const std::string &setting : result.settings)
        out += "<li>" + escape(setting) + "</li>\n";
    const Shape &shape = result.shape;
    out += "<li>" + escape(shape.architecture) + ", " + counted(shape.blocks, "block") + ", width " +
           whole(shape.width) + ", " + counted(shape.heads, "head") + " (" + whole(shape.value_heads) +
           " of keys and values), feed-forward " + whole(shape.hidden) + ", " + counted(shape.vocabulary, "token") +
           "</li>\n";
    if (result.sequences > 0)
        out += "<li>calibrated on " + counted(result.sequences, "sequence") + " of " + whole(result.context) +
               " tokens</li>\n";
    const Seconds &s = result.seconds;
    return out + "<li>time: forward pass " + duration(s.forward) + ", statistics " + duration(s.statistics) +
           ", solving " + duration(s.solve) + ", evaluation " + duration(s.evaluation) + ", all " + duration(s.all) +
           "</li>\n<li>memory: " + bytes(static_cast<int64_t>(result.peak_memory)) + " at most</li>\n</ul></section>\n";
}

} // namespace

std::string write_report(const RunResult &result)
{
    const std::string title = escape(file_name(result.model)) + (result.size_after > 0 ? ", quantized" : ", evaluated");
    const std::string body = how(result) + evaluation(result) + errors(result) + tensors(result);
    std::string navigation = "<nav aria-label=\"Sections\">";
    static const char *const places[][2] = {
        {"run", "The run"}, {"prediction", "Prediction"}, {"errors", "Errors"}, {"tensors", "Tensors"}};
    for (const auto &place : places)
        if (body.find("<h2 id=\"" + std::string(place[0]) + "\"") != std::string::npos)
            navigation += "<a href=\"#" + std::string(place[0]) + "\">" + place[1] + "</a>";
    return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
           "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
           "'unsafe-inline'\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
           title + "</title>\n<style>" + report_style + "</style>\n</head>\n<body>\n<header>\n<h1>" + title +
           "</h1>\n<p class=\"soft\">" +
           (result.output.empty() ? "" : "Written to <code>" + escape(result.output) + "</code> by ") + "bsq-gguf " +
           bsq_version_string() + "</p>\n</header>\n" + navigation + "</nav>\n<main>\n" + tiles(result) + body +
           "</main>\n<footer>One file, no script, nothing fetched. Errors are relative: 0.01 is one percent of the "
           "output's energy.</footer>\n</body>\n</html>\n";
}

} // namespace bsq_gguf
