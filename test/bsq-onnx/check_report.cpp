// The report: what it says of a made-up run with everything in it, and that a real browser shows it.
#include "shared.hpp"
#include "tool/html.hpp"
#include "report/report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

extern "C" {
#include "support.h"
}

using namespace bsq_onnx;

// Would end an attribute and an element, start a script and fetch something, if it were not escaped.
static const char hostile[] = "evil\"'><script>alert(1)</script><img src=http://evil.example/x>&\x01\xff";

static size_t occurrences(const std::string &text, const std::string &part)
{
    size_t count = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) {
        count++;
    }
    return count;
}

static bool has(const std::string &text, const std::string &part)
{
    return text.find(part) != std::string::npos;
}

// ---- a made-up run ----------------------------------------------------------------------------------------------

enum { LAYERS = 24 };

static LayerResult made_up_layer(int i)
{
    LayerResult layer;
    layer.name = "features." + std::to_string(i) + ".conv";
    layer.op = i == LAYERS - 1 ? "Gemm" : "Conv";
    layer.input = "relu_" + std::to_string(i);
    layer.bits = i == 0 || i == LAYERS - 1 ? 8 : 4;
    layer.channels = 16 << (i / 6);
    layer.fan_in = i % 2 ? 9 : 27 * (i + 1);
    layer.weight_bytes = layer.channels * layer.fan_in * layer.bits / 8;
    layer.multiplications = 1234567 * (i + 1);
    layer.error = 0.0004 * std::exp(0.12 * i) * (i % 3 + 1);
    layer.error_rounding = layer.error * (2 + i % 4);
    layer.held_out_error = layer.error * 1.2;
    layer.error_floor = layer.error / 7;
    layer.lower_bound = i % 2 ? 1 : 0;
    layer.contribution = 0.02 * (i + 1) / (LAYERS * (LAYERS + 1));
    layer.rows_per_input = 400.0 / (i + 1);
    layer.seconds = 0.01 * i * i;
    return layer;
}

static std::vector<LayerResult> made_up_layers()
{
    std::vector<LayerResult> layers;
    for (int i = 0; i < LAYERS; i++) {
        layers.push_back(made_up_layer(i));
    }
    layers[2].name = hostile;
    layers[3].warnings = BSQ_WARNING_FEW_ROWS;
    layers[3].rows_per_input = 0.7;
    layers[3].held_out_error = 5 * layers[3].error;
    layers[4].warnings = BSQ_WARNING_DEAD_INPUTS | BSQ_WARNING_DEAD_OUTPUTS;
    layers[5].error = 0; // exact
    layers[6].error = std::numeric_limits<double>::quiet_NaN();
    layers[7].bits = 0;
    layers[7].contribution = 0;
    layers[7].reason = "asked for by --skip <7>";
    layers[8].text = "a warning <of its own>";
    layers[9].held_out_error = -1;
    layers[10].name = "a/very/long/path/of/a/layer/in/some/exported/network/block_10/branch_2/depthwise/Conv2D_quant";
    for (size_t i = 11; i < 17; i++) {
        layers[i].warnings = BSQ_WARNING_NO_STATISTICS;
    }
    return layers;
}

static InputResult made_up_input(const std::string &tensor, int32_t type, int bits)
{
    InputResult input;
    input.tensor = tensor;
    input.bits = bits;
    input.type = type;
    input.minimum = type == BSQ_INPUT_TYPE_UNSIGNED ? 0 : -2.5;
    input.maximum = 6.25;
    input.clipped = 0.0004;
    for (int i = 0; i < 64; i++) {
        const double x = input.minimum + (input.maximum - input.minimum) * (i + 0.5) / 64;
        input.histogram.push_back(std::exp(-x * x / 2) / 8 + (i == 60 ? 0.002 : 0));
    }
    const double levels = std::pow(2.0, bits) - 1;
    input.zero_point = type == BSQ_INPUT_TYPE_ZERO_POINT ? int32_t(levels / 3) : 0;
    input.scales = {5.0 / levels};
    return input;
}

static std::vector<InputResult> made_up_inputs()
{
    std::vector<InputResult> inputs = {
        made_up_input("input", BSQ_INPUT_TYPE_SIGNED, 8),      made_up_input("relu_1", BSQ_INPUT_TYPE_UNSIGNED, 4),
        made_up_input("silu_2", BSQ_INPUT_TYPE_ZERO_POINT, 8), made_up_input("folded", BSQ_INPUT_TYPE_UNSIGNED, 4),
        made_up_input(hostile, BSQ_INPUT_TYPE_UNSIGNED, 8),    made_up_input("constant", BSQ_INPUT_TYPE_UNSIGNED, 8),
        made_up_input("float", BSQ_INPUT_TYPE_UNSIGNED, 0),    made_up_input("empty", BSQ_INPUT_TYPE_SIGNED, 8)};
    inputs[1].clipped = 0.034;
    inputs[1].note = "shared with add_1, add_2";
    inputs[3].scales = {0.02, 0.1, 0.4};
    inputs[3].strength = 0.5;
    inputs[3].clipped = 0;
    inputs[5].minimum = inputs[5].maximum = 0;
    inputs[5].histogram = {1};
    inputs[6].scales.clear();
    inputs[6].note = "not quantized <because>";
    inputs[7].histogram.clear();
    return inputs;
}

static Box made_up_box(int label, float score, float left, float top, float right, float bottom, bool with_mask)
{
    Box box;
    box.label = label;
    box.score = score;
    box.left = left;
    box.top = top;
    box.right = right;
    box.bottom = bottom;
    if (with_mask) { // an ellipse with a hole
        box.mask = {int(left), int(top), int(right - left), int(bottom - top), {}};
        for (int i = 0; i < box.mask.width * box.mask.height; i++) {
            const double x = (i % box.mask.width + 0.5) / box.mask.width * 2 - 1;
            const double y = (i / box.mask.width + 0.5) / box.mask.height * 2 - 1;
            box.mask.pixels.push_back(x * x + y * y < 1 && x * x + y * y > 0.1);
        }
    }
    return box;
}

static Exhibit made_up_picture(const std::string &name, int width, int height)
{
    Exhibit exhibit;
    exhibit.name = name;
    exhibit.width = width;
    exhibit.height = height;
    for (int i = 0; i < width * height; i++) {
        const int x = i % width, y = i / width;
        exhibit.bgr.push_back(uint8_t(200 - 100 * y / height));
        exhibit.bgr.push_back(uint8_t(100 + 80 * x / width));
        exhibit.bgr.push_back(uint8_t((x / 20 + y / 20) % 2 ? 110 : 90));
    }
    return exhibit;
}

static RunResult made_up_run()
{
    RunResult run;
    run.model = "networks/" + std::string(hostile) + ".onnx";
    run.output = "out & about.onnx";
    run.version = "1.2.3";
    run.command =
        "bsq-onnx 'my <network>.onnx' --images pictures --weight-bits 4 -o 'out & about.onnx' --report out.html";
    run.settings = {"weights: 4 bits, first and last layer 8", "activations: 8 bits", "folder <pictures>"};
    run.layers = made_up_layers();
    run.inputs = made_up_inputs();
    run.samples = {{128, "pictures/a.jpg", "pictures/b<1>.jpg"}, {16, "c.jpg", "d.jpg"}, {372, "e.jpg", "f.jpg"}, true};
    run.evaluation.changed = 48;
    run.evaluation.samples = 372;
    run.evaluation.labelled = true;
    run.evaluation.float_top1 = 0.618;
    run.evaluation.float_top5 = 0.841;
    run.evaluation.top1 = 0.602;
    run.evaluation.top5 = 0.845;
    run.evaluation.agreement = 0.871;
    run.evaluation.output_error = 0.0123;
    run.float_bytes = 4940000;
    run.quantized_bytes = 652000;
    run.average_bits = 4.123;
    run.network_bound = 3.7;
    run.seconds_solving = 12.34;
    run.seconds_total = 187;
    run.warnings = {"a general warning about <everything>"};
    run.exhibits = {made_up_picture("one.jpg", 300, 200), made_up_picture("two <2>.jpg", 32, 32),
                    made_up_picture("no picture.npy", 0, 0)};
    run.exhibits[0].float_text = "tabby cat 0.83";
    run.exhibits[0].text = "tabby cat 0.79";
    run.exhibits[1].float_text = "ship 0.61";
    run.exhibits[1].text = "<plane> 0.48";
    run.exhibits[1].label_text = "truth & ship";
    run.exhibits[1].changes = 1;
    return run;
}

static RunResult made_up_detection()
{
    RunResult run = made_up_run();
    run.evaluation.labelled = false;
    run.evaluation.agreement = -1;
    run.has_detection = true;
    run.detection = {0.4F, 0.25F, 374, 1200, 1160, 31, 0.912, 0.871, 0.83};
    run.classes = {"person", "<bus>"};
    Exhibit street = made_up_picture("street.jpg", 1280, 640), empty = made_up_picture("empty.jpg", 320, 200);
    street.float_boxes = {made_up_box(0, 0.91F, 100, 200, 260, 620, true),
                          made_up_box(1, 0.83F, 400, 4, 1000, 500, true),
                          made_up_box(0, 0.55F, 1050, 300, 1150, 600, true), made_up_box(0, 0.3F, 10, 10, 60, 60, true),
                          made_up_box(0, 0.28F, 700, 550, 760, 630, true)};
    street.boxes = {made_up_box(0, 0.87F, 104, 205, 262, 618, true), made_up_box(1, 0.35F, 410, 2, 990, 505, true),
                    made_up_box(7, 0.62F, 1180, 60, 1260, 200, true), made_up_box(0, 0.45F, 12, 10, 61, 58, true)};
    run.exhibits = {street, empty};
    return run;
}

static void assert_text(const std::string &got, const char *wanted)
{
    ck_assert_str_eq(got.c_str(), wanted);
}

// ---- text -------------------------------------------------------------------------------------------------------

START_TEST(text_is_escaped)
{
    assert_text(escape("a<b>\"'&"), "a&lt;b&gt;&quot;&#39;&amp;");
    assert_text(escape("\u00fc\u20ac\U0001f600"), "\u00fc\u20ac\U0001f600");
    assert_text(escape("a\x01z\xff"), "a\ufffdz\ufffd");
    assert_text(escape("\xe2\x82"), "\ufffd\ufffd");           // ends too early
    assert_text(escape("\xc0\xbc"), "\ufffd\ufffd");           // '<' written too long
    assert_text(escape("\xed\xa0\x80"), "\ufffd\ufffd\ufffd"); // a surrogate
}
END_TEST

START_TEST(numbers_are_readable)
{
    assert_text(number(0.0043219), "0.00432");
    assert_text(number(12.345), "12.3");
    assert_text(number(0), "0");
    assert_text(number(-0.5), "\u22120.500");
    assert_text(number(0.00001234), "1.23\u00b710\u207b\u2075");
    assert_text(number(0.99996), "1.00");
    assert_text(number(1e300), "1.00\u00b710\u00b3\u2070\u2070");
    assert_text(number(std::numeric_limits<double>::infinity()), "\u2013");
    assert_text(fixed(-0.001, 1), "0.0");
    assert_text(percent(0.8714), "87.1\u202f%");
    assert_text(bytes(999), "999\u202fbytes");
    assert_text(bytes(4940000), "4.94\u202fMB");
    assert_text(duration(1.234), "1.23\u202fs");
    assert_text(duration(187.4), "3\u202fmin 7\u202fs");
    assert_text(duration(7260), "2\u202fh 1\u202fmin");
    assert_text(whole(-1234567), "\u22121\u202f234\u202f567");
    assert_text(counted(1, "box"), "1 box");
    assert_text(counted(2, "box"), "2 boxes");
    assert_text(base64({'M', 'a', 'n', 'M', 'a'}), "TWFuTWE=");
    assert_text(base64({'M'}), "TQ==");
    assert_text(base64({}), "");
}
END_TEST

// ---- page -------------------------------------------------------------------------------------------------------

// Every element that is opened is closed in turn; nothing is fetched; no script.
static void assert_well_formed(const std::string &page)
{
    static const std::vector<std::string> empty = {"meta", "!DOCTYPE"};
    std::vector<std::string> open;
    const size_t style = page.find("<style>"), style_end = page.find("</style>");
    for (size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
        if (at > style && at < style_end) {
            continue;
        }
        const size_t end = page.find('>', at);
        ck_assert(end != std::string::npos);
        const std::string tag = page.substr(at + 1, end - at - 1);
        const std::string name = tag.substr(tag[0] == '/', tag.find_first_of(" /", 1) - (tag[0] == '/'));
        if (tag[0] == '/') {
            ck_assert_msg(!open.empty() && open.back() == name, "</%s> closes <%s>", name.c_str(),
                          open.empty() ? "" : open.back().c_str());
            open.pop_back();
        } else if (tag.back() != '/' && std::find(empty.begin(), empty.end(), name) == empty.end()) {
            open.push_back(name);
        }
    }
    ck_assert(open.empty());
    ck_assert(!has(page, "<script"));
    ck_assert(!has(page, "<link"));
    ck_assert(!has(page, "<img"));
    ck_assert(!has(page, "url("));
    ck_assert(!has(page, "@import"));
    ck_assert(!has(page, "nan%") && !has(page, "\"nan") && !has(page, "inf%") && !has(page, "\"inf"));
    const size_t links = occurrences(page, "href=\"");
    ck_assert_uint_eq(links, occurrences(page, "href=\"#") + occurrences(page, "href=\"data:image/"));
}

START_TEST(classification_says_everything)
{
    const std::string page = write_report(made_up_run());
    assert_well_formed(page);
    for (const char *text : {"my &lt;network&gt;.onnx",
                             "out &amp; about.onnx",
                             "1.2.3",
                             "folder &lt;pictures&gt;", // the run
                             "61.8\u202f%",
                             "60.2\u202f%",
                             "\u22121.6 \u00b1 1.9",
                             "+0.4",
                             "87.1\u202f% \u00b1 1.7",
                             "372 samples (e.jpg to f.jpg)",
                             "128 samples (a.jpg to b&lt;1&gt;.jpg)",
                             "Among the former are those",
                             "the result on 16 samples (c.jpg to d.jpg)",
                             "differ on 48 of 372 samples: the class is another one",
                             "<dt>label</dt><dd>truth &amp; ship",
                             "0.0123",
                             "652\u202fkB",
                             "4.94\u202fMB",
                             "7.6\u2009\u00d7 smaller",
                             "4.12",
                             "12.3\u202fs",
                             "3\u202fmin 7\u202fs",
                             "a general warning about &lt;everything&gt;",
                             "1 layer: fewer than two rows for each input",
                             "6 layers: solved from the weights alone",
                             "1 layer: the held-out error is more than twice",
                             "<summary>which",
                             "1 input: more than 1\u202f% of the values lie beyond",
                             "a warning &lt;of its own&gt;",
                             "not quantized: asked for by --skip &lt;7&gt;",
                             "dead inputs, dead outputs",
                             "the other 3 layers",
                             "3.70",
                             "shared with add_1, add_2",
                             "stays float",
                             "zero point 85",
                             "3 scales",
                             "<dt>strength of own scales</dt><dd>0.500</dd>",
                             "widest range",
                             "narrowest range",
                             "3.40\u202f%",
                             "&lt;plane&gt; 0.48",
                             "another class",
                             "no picture.npy"}) {
        ck_assert_msg(has(page, text), "'%s' is missing", text);
    }
    ck_assert_uint_eq(occurrences(page, "another class"), 1);
    ck_assert_uint_eq(occurrences(page, "circle class=\"rounding\" cx=") - 1, LAYERS - 1); // and the legend's
    ck_assert_uint_eq(occurrences(page, "circle class=\"ours\" cx=") - 1, LAYERS - 2);     // one is not finite
    ck_assert_uint_eq(occurrences(page, "path class=\"held\"") - 1, LAYERS - 2);
    ck_assert_uint_eq(occurrences(page, "<rect class=\"bar"), 21);
    ck_assert_uint_eq(occurrences(page, "class=\"histogram\""), 8);
    ck_assert_uint_eq(occurrences(page, "class=\"bars\""), 7);
    ck_assert_uint_eq(occurrences(page, "<image "), 2);
    ck_assert_uint_eq(occurrences(page, "data:image/png"), 1);
}
END_TEST

START_TEST(detection_shows_both_networks)
{
    const std::string page = write_report(made_up_detection());
    assert_well_formed(page);
    for (const char *text : {"differ on 48 of 372 samples: a confident box has no match", "96.7\u202f%",
                             "1160 of 1200 confident boxes", "0.871", "0.912", "0.830", "score from 0.40",
                             "score from 0.25", "2 of 3 confident boxes found, 1 only in the quantized network",
                             "0 of 0 confident boxes found", "&lt;bus&gt; 0.83", "class 7 0.62",
                             "Float: person 0.91, &lt;bus&gt; 0.83, person 0.55, person 0.30", "nothing found"}) {
        ck_assert_msg(has(page, text), "'%s' is missing", text);
    }
    ck_assert(!has(page, "Top-1"));
    ck_assert(!has(page, "Agreement"));
    ck_assert_uint_eq(occurrences(page, "<g class=\"object\">"), 6);
    ck_assert_uint_eq(occurrences(page, "<g class=\"object alone\">"), 2);
    ck_assert_uint_eq(occurrences(page, "class=\"mask\""), 8);
    ck_assert_uint_eq(occurrences(page, "<image "), 2);
    ck_assert_uint_eq(occurrences(page, "<use "), 2);
    ck_assert(!has(page, "0.28")); // neither network is sure of it
}
END_TEST

START_TEST(little_is_known)
{
    RunResult run;
    run.model = "net.onnx";
    std::string page = write_report(run);
    assert_well_formed(page);
    ck_assert(has(page, "No warnings"));
    ck_assert(has(page, "was not evaluated"));
    ck_assert(!has(page, "id=\"errors\"") && !has(page, "id=\"layers\""));
    ck_assert(!has(page, "id=\"contributions\"") && !has(page, "id=\"activations\"") && !has(page, "id=\"pictures\""));
    run.layers = {made_up_layer(0)};
    run.layers[0].held_out_error = -1;
    run.layers[0].contribution = 0;
    run.evaluation.samples = 1;
    run.evaluation.agreement = 1;
    run.has_detection = true;
    page = write_report(run);
    assert_well_formed(page);
    ck_assert(!has(page, "Held out"));
    ck_assert(has(page, "0 of 0 confident boxes"));
    ck_assert(!has(page, "\u00b1 0.0"));
}
END_TEST

// The worst layer comes first, also before what stays float, and little is open.
START_TEST(worst_layers_come_first)
{
    RunResult run;
    for (int i = 0; i < LAYERS; i++) {
        run.layers.push_back(made_up_layer(i));
        run.layers.back().error = i == 5 ? 1 : 0.001 * i;
    }
    run.layers[7].bits = 0;
    const std::string page = write_report(run);
    assert_well_formed(page);
    ck_assert_uint_eq(occurrences(page, "<summary>the other 8 layers</summary>"), 2); // of the chart, of the table
    const size_t table = page.find("<table class=\"errors\">");
    const auto place = [&](const char *name) { return page.find("<bdi>" + std::string(name) + "</bdi>", table); };
    ck_assert_uint_lt(place("features.5.conv"), place("features.23.conv"));
    ck_assert_uint_lt(place("features.23.conv"), place("features.22.conv"));
    ck_assert_uint_lt(place("features.0.conv"), place("features.7.conv"));
    ck_assert(!has(page, " title=\""));
}
END_TEST

START_TEST(little_contributions_are_together)
{
    RunResult run;
    run.layers = {made_up_layer(0), made_up_layer(1), made_up_layer(2)};
    run.layers[0].contribution = 0.06999;
    run.layers[1].contribution = 0.00001;
    run.layers[2].contribution = 0.03;
    const std::string page = write_report(run);
    ck_assert_uint_eq(occurrences(page, "<rect class=\"bar"), 3);
    ck_assert(has(page, "the other 1 layer<"));
}
END_TEST

START_TEST(labels_do_not_cover_each_other)
{
    RunResult run = made_up_detection();
    Exhibit crowd = made_up_picture("crowd.jpg", 640, 400);
    for (int i = 0; i < 5; i++) {
        const float x = 300.0F + 3.0F * float(i);
        crowd.float_boxes.push_back(made_up_box(0, 0.9F, x, 150, x + 40, 250, false));
    }
    run.exhibits = {crowd};
    const std::string page = write_report(run);
    assert_well_formed(page);
    std::vector<std::pair<double, double>> places;
    const size_t labels = page.find("<g class=\"labels\"");
    const double size = std::stod(page.substr(page.find("font-size=\"", labels) + 11));
    const size_t end = page.find("</svg>", labels);
    for (size_t at = page.find("<text x=\"", labels); at < end; at = page.find("<text x=\"", at + 1)) {
        places.emplace_back(std::stod(page.substr(at + 9)), std::stod(page.substr(page.find("y=\"", at) + 3)));
    }
    ck_assert_uint_eq(places.size(), 5);
    for (size_t i = 0; i < places.size(); i++) {
        for (size_t k = 0; k < i; k++) {
            ck_assert_msg(std::abs(places[i].second - places[k].second) >= size ||
                              std::abs(places[i].first - places[k].first) >= 5 * size,
                          "labels %zu and %zu", k, i);
        }
    }
}
END_TEST

// ---- browser ----------------------------------------------------------------------------------------------------

static std::string build_folder()
{
    const char *folder = getenv("BUILD");
    return folder != nullptr ? folder : "build";
}

static std::string output_of(const std::string &command)
{
    FILE *pipe = popen(command.c_str(), "r");
    ck_assert_ptr_nonnull(pipe);
    std::string text;
    char part[4096];
    for (size_t got = fread(part, 1, sizeof part, pipe); got > 0; got = fread(part, 1, sizeof part, pipe)) {
        text.append(part, got);
    }
    ck_assert_int_eq(pclose(pipe), 0);
    return text;
}

// The page as Chromium understands it, written out again.
static std::string rendered(const std::string &name, const std::string &page)
{
    const std::string file = build_folder() + "/" + name + ".html", profile = build_folder() + "/" + name + ".browser";
    std::ofstream(file, std::ios::binary) << page;
    return output_of("chromium --headless --no-sandbox --disable-gpu --user-data-dir='" + profile +
                     "' --dump-dom \"file://$(realpath '" + file + "')\" 2>/dev/null; status=$?; rm -rf '" + profile +
                     "'; exit $status");
}

static void assert_same_elements(const std::string &page, const std::string &shown)
{
    for (const char *element : {"<svg", "<circle", "<rect", "<path", "<line", "<text", "<image", "<use", "<tr", "<td",
                                "<th ", "<figure", "<section", "<li", "<title", "<details"}) {
        ck_assert_msg(occurrences(page, element) == occurrences(shown, element), "%s: %zu written, %zu shown", element,
                      occurrences(page, element), occurrences(shown, element));
    }
    ck_assert(!has(shown, "<script"));
    ck_assert(!has(shown, "<img"));
    ck_assert(has(shown, "evil\"'&gt;&lt;script&gt;alert(1)&lt;/script&gt;"));
}

START_TEST(a_browser_shows_the_charts)
{
    if (system("command -v chromium >/dev/null 2>&1") != 0) {
        puts("skipped: there is no Chromium");
        return;
    }
    const RunResult runs[] = {made_up_run(), made_up_detection()};
    for (const RunResult &run : runs) {
        const std::string page = write_report(run);
        assert_same_elements(page, rendered(run.has_detection ? "report-detection" : "report-classification", page));
    }
}
END_TEST

Suite *test_suite()
{
    TCase *tests = tcase_create("report");
    tcase_add_test(tests, text_is_escaped);
    tcase_add_test(tests, numbers_are_readable);
    tcase_add_test(tests, classification_says_everything);
    tcase_add_test(tests, detection_shows_both_networks);
    tcase_add_test(tests, little_is_known);
    tcase_add_test(tests, worst_layers_come_first);
    tcase_add_test(tests, little_contributions_are_together);
    tcase_add_test(tests, labels_do_not_cover_each_other);
    tcase_add_test(tests, a_browser_shows_the_charts);
    tcase_set_timeout(tests, 120); // browsers take their time on a busy machine
    return test_suite_of("bsq-onnx: report", tests);
}
