#include "report/report_pictures.hpp"

#include <algorithm>
#include <cmath>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "judge/tasks/tasks.hpp"
#include "shared.hpp"
#include "tool/html.hpp"

namespace bsq_onnx {

// ---- picture ----------------------------------------------------------------------------------------------------

// As a data URI: JPEG of at most 800 pixels a side, PNG for small ones. Empty when the exhibit has no picture.
static std::string data_uri(const Exhibit &exhibit)
{
    const size_t size = size_t(std::max(exhibit.width, 0)) * size_t(std::max(exhibit.height, 0)) * 3;
    if (size == 0 || exhibit.bgr.size() != size) {
        return "";
    }
    cv::Mat picture(exhibit.height, exhibit.width, CV_8UC3, const_cast<uint8_t *>(exhibit.bgr.data()));
    const int side = std::max(exhibit.width, exhibit.height);
    if (side > 800) {
        cv::Mat smaller;
        cv::resize(picture, smaller, {}, 800.0 / side, 800.0 / side, cv::INTER_AREA);
        picture = smaller;
    }
    const bool small = side <= 128;
    std::vector<unsigned char> file;
    cv::imencode(small ? ".png" : ".jpg", picture, file,
                 small ? std::vector<int>() : std::vector<int>{cv::IMWRITE_JPEG_QUALITY, 85});
    return std::string(small ? "data:image/png;base64," : "data:image/jpeg;base64,") + base64(file);
}

// ---- objects ----------------------------------------------------------------------------------------------------

struct Marked {
    Box box;
    int color;     // the same on both sides for the same object
    bool is_alone; // the other network does not have it
};

struct Sides {
    std::vector<Marked> of_float, quantized;
    int64_t confident = 0, found = 0, extra = 0;
};

// As Comparison counts them. An object that one side is sure of is drawn on both sides where both have it.
static Sides pair_objects(const Exhibit &exhibit, const Detection &detection)
{
    const auto from = [](const std::vector<Box> &boxes, float score) {
        std::vector<Box> kept;
        std::copy_if(boxes.begin(), boxes.end(), std::back_inserter(kept),
                     [&](const Box &b) { return b.score >= score; });
        return kept;
    };
    const float sure = detection.confident_score, least = detection.match_score;
    const std::vector<Box> seen = from(exhibit.float_boxes, least), wanted = from(seen, sure);
    const std::vector<Box> among = from(exhibit.boxes, least);
    const std::vector<int> matches = match_boxes(wanted, among);
    std::vector<bool> drawn(among.size());
    Sides sides;
    int color = 0;
    for (size_t i = 0; i < wanted.size(); i++, color++) {
        const bool found = matches[i] >= 0;
        sides.of_float.push_back({wanted[i], color, !found});
        if (found) {
            sides.quantized.push_back({among[size_t(matches[i])], color, false});
            drawn[size_t(matches[i])] = true;
            sides.found++;
        }
        sides.confident++;
    }
    const std::vector<int> backed = match_boxes(among, seen);
    for (size_t i = 0; i < among.size(); i++) {
        if (!drawn[i] && among[i].score >= sure) {
            sides.quantized.push_back({among[i], color, backed[i] < 0});
            if (backed[i] >= 0) {
                sides.of_float.push_back({seen[size_t(backed[i])], color, false});
            }
            sides.extra += backed[i] < 0;
            color++;
        }
    }
    return sides;
}

static std::string class_name(const RunResult &result, int label)
{
    return label >= 0 && size_t(label) < result.classes.size() ? result.classes[size_t(label)]
                                                               : "class " + std::to_string(label);
}

// Outlines of the mask, holes included.
static std::string mask_path(const Mask &mask)
{
    if (mask.width < 1 || mask.height < 1 || mask.pixels.size() != size_t(mask.width) * size_t(mask.height)) {
        return "";
    }
    cv::Mat framed;
    cv::copyMakeBorder(cv::Mat(mask.height, mask.width, CV_8UC1, const_cast<uint8_t *>(mask.pixels.data())), framed, 1,
                       1, 1, 1, cv::BORDER_CONSTANT, cv::Scalar(0));
    std::vector<std::vector<cv::Point>> outlines;
    cv::findContours(framed, outlines, cv::RETR_CCOMP, cv::CHAIN_APPROX_NONE);
    std::string path;
    for (const std::vector<cv::Point> &outline : outlines) {
        std::vector<cv::Point> simple;
        cv::approxPolyDP(outline, simple, 0.8, true);
        for (size_t i = 0; i < simple.size() && simple.size() > 2; i++) {
            path += (i == 0 ? "M" : "L") + coordinate(mask.left + simple[i].x - 0.5) + " " +
                    coordinate(mask.top + simple[i].y - 0.5) + (i + 1 == simple.size() ? "Z" : "");
        }
    }
    return path;
}

static std::string object(const Marked &marked, const std::string &label, double unit)
{
    static const char *const colors[] = {"#4cc9f0", "#ffd166", "#8ce99a", "#ff8fa3", "#c9a0ff",
                                         "#ffa94d", "#63e6be", "#74a9ff", "#f783e6", "#d8f068"};
    const Box &box = marked.box;
    const std::string color = colors[marked.color % 10];
    const std::string path = mask_path(box.mask);
    std::string out =
        "<g class=\"object" + std::string(marked.is_alone ? " alone" : "") + "\"><title>" + label + "</title>";
    if (!path.empty()) {
        out += "<path class=\"mask\" fill=\"" + color + "\" d=\"" + path + "\"/>";
    }
    out += "<rect class=\"box\" stroke=\"" + color + "\" stroke-width=\"" + coordinate(2 * unit) + "\" x=\"" +
           coordinate(double(box.left)) + "\" y=\"" + coordinate(double(box.top)) + "\" width=\"" +
           coordinate(double(box.right) - double(box.left)) + "\" height=\"" +
           coordinate(double(box.bottom) - double(box.top)) + "\"";
    if (marked.is_alone) {
        out += " stroke-dasharray=\"" + coordinate(6 * unit) + " " + coordinate(4 * unit) + "\"";
    }
    return out + "/></g>";
}

// Finds a place for one label after the other: at the box, in the picture, and where it covers others least.
class Labels {
public:
    Labels(const Exhibit &exhibit, double size) : width_(exhibit.width), height_(exhibit.height), size_(size) {}

    // 'text' is escaped, of so many 'letters'.
    void add(const Box &box, const std::string &text, size_t letters)
    {
        const double line = 1.2 * size_, long_ = 0.62 * size_ * double(letters);
        const double left = std::clamp(double(box.left), 0.0, std::max(0.0, width_ - long_));
        const double right = std::clamp(double(box.right) - long_, 0.0, std::max(0.0, width_ - long_));
        const cv::Rect2d places[] = {{left, box.top - line, long_, line},     {left, double(box.top), long_, line},
                                     {left, double(box.bottom), long_, line}, {left, box.bottom - line, long_, line},
                                     {right, box.top - line, long_, line},    {right, double(box.bottom), long_, line},
                                     {left, box.top - 2 * line, long_, line}, {left, box.bottom + line, long_, line}};
        const auto worse = [&](const cv::Rect2d &a, const cv::Rect2d &b) { return cost(a) < cost(b); };
        taken_.push_back(*std::min_element(std::begin(places), std::end(places), worse));
        text_ += "<text x=\"" + coordinate(taken_.back().x) + "\" y=\"" + coordinate(taken_.back().y + 0.85 * line) +
                 "\">" + text + "</text>";
    }

    std::string svg() const
    {
        return text_.empty() ? ""
                             : "<g class=\"labels\" font-size=\"" + coordinate(size_) + "\" stroke-width=\"" +
                                   coordinate(size_ / 4.5) + "\">" + text_ + "</g>";
    }

private:
    // What of it covers other labels, or lies above or below the picture.
    double cost(const cv::Rect2d &place) const
    {
        const cv::Rect2d picture(0, 0, width_, height_);
        double covered = place.area() - (place & picture).area();
        for (const cv::Rect2d &other : taken_) {
            covered += (place & other).area();
        }
        return covered;
    }

    double width_, height_, size_;
    std::vector<cv::Rect2d> taken_;
    std::string text_;
};

// ---- figures ----------------------------------------------------------------------------------------------------

// Pixels of the page for the longer side of a picture, about: small ones are not blown up.
static double shown_size(const Exhibit &exhibit)
{
    return std::clamp(1.5 * std::max(exhibit.width, exhibit.height), 200.0, 560.0);
}

static std::string canvas(const Exhibit &exhibit, const std::string &image, const std::string &label,
                          const std::string &over)
{
    const std::string width = std::to_string(exhibit.width), height = std::to_string(exhibit.height);
    return "<svg class=\"picture" + std::string(exhibit.width <= 128 ? " small" : "") + "\" viewBox=\"0 0 " + width +
           " " + height + "\" role=\"img\" aria-label=\"" + label + "\">" + image + over + "</svg>";
}

static std::string image_element(const Exhibit &exhibit, const std::string &uri, const std::string &id)
{
    return "<image id=\"" + id + "\" width=\"" + std::to_string(exhibit.width) + "\" height=\"" +
           std::to_string(exhibit.height) + "\" href=\"" + uri + "\"/>";
}

// 'letter' is the size of a label's letters in units of the page.
static std::string side(const Exhibit &exhibit, const RunResult &result, const std::vector<Marked> &objects,
                        const char *title, const std::string &image, double letter)
{
    const double unit = std::max(exhibit.width, exhibit.height) / shown_size(exhibit);
    Labels labels(exhibit, letter * unit);
    std::string over, summary = std::string(title) + ": ";
    for (const Marked &marked : objects) {
        const std::string label = class_name(result, marked.box.label) + " " + fixed(double(marked.box.score), 2);
        over += object(marked, escape(label), unit);
        labels.add(marked.box, escape(label), label.size());
        summary += (&marked == &objects[0] ? "" : ", ") + escape(label);
    }
    summary += objects.empty() ? "nothing found" : "";
    return "<div><p class=\"side\">" + std::string(title) + "</p>" +
           canvas(exhibit, image, summary, over + labels.svg()) + "</div>";
}

static std::string detection_figure(const Exhibit &exhibit, const RunResult &result, const std::string &uri,
                                    const std::string &id)
{
    const Sides sides = pair_objects(exhibit, result.detection);
    const double letter = std::max(sides.of_float.size(), sides.quantized.size()) > 6 ? 10 : 13; // smaller in a crowd
    std::string out =
        "<figure class=\"pair\"><figcaption><span class=\"name\">" + escape(exhibit.name) + "</span> \u00b7 " +
        whole(sides.found) + " of " + counted(sides.confident, "confident box") + " found" +
        (sides.extra > 0 ? ", " + whole(sides.extra) + " only in the quantized network" : "") +
        "</figcaption><div class=\"two\" style=\"max-width:" + whole(std::llround(2 * shown_size(exhibit) + 12)) +
        "px\">";
    out += side(exhibit, result, sides.of_float, "Float", image_element(exhibit, uri, id), letter);
    out += side(exhibit, result, sides.quantized, "Quantized", "<use href=\"#" + id + "\"/>", letter);
    return out + "</div></figure>\n";
}

static std::string class_card(const Exhibit &exhibit, const std::string &uri, const std::string &id)
{
    std::string out = "<figure class=\"card\">";
    if (!uri.empty()) {
        out += canvas(exhibit, image_element(exhibit, uri, id), escape(exhibit.name), "");
    }
    out += "<figcaption class=\"name\">" + escape(exhibit.name) + "</figcaption><dl><div><dt>float</dt><dd>" +
           escape(exhibit.float_text) + "</dd></div><div" + (exhibit.changes == 0 ? "" : " class=\"differs\"") +
           "><dt>quantized</dt><dd>" + escape(exhibit.text) + "</dd></div>" +
           (exhibit.label_text.empty() ? "" : "<div><dt>label</dt><dd>" + escape(exhibit.label_text) + "</dd></div>") +
           "</dl>";
    return out + (exhibit.changes == 0 ? "" : "<p class=\"differs\">another class</p>") + "</figure>\n";
}

std::string pictures(const RunResult &result)
{
    std::string pairs, cards;
    int index = 0;
    for (const Exhibit &exhibit : result.exhibits) {
        const std::string uri = data_uri(exhibit), id = "picture-" + std::to_string(++index);
        if (!uri.empty() && (result.has_detection || !exhibit.float_boxes.empty() || !exhibit.boxes.empty())) {
            pairs += detection_figure(exhibit, result, uri, id);
        } else {
            cards += class_card(exhibit, uri, id);
        }
    }
    return pairs + (cards.empty() ? "" : "<div class=\"cards\">\n" + cards + "</div>\n");
}

} // namespace bsq_onnx
