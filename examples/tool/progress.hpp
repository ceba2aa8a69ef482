// What the user sees while it works, and Ctrl-C.
#ifndef BSQ_TOOL_PROGRESS_HPP
#define BSQ_TOOL_PROGRESS_HPP

#include <chrono>
#include <cstdint>
#include <string>

#include "bsq.h"

namespace tool {

// Ctrl-C was pressed: main says so and exits with 130.
struct Interrupted {};

void catch_interrupts();
bool interrupted();

// A bar on a terminal, plain lines on stdout otherwise, or nothing.
class Progress {
public:
    enum class Style { none, lines, bar };

    explicit Progress(Style style) : style_(style), start_(std::chrono::steady_clock::now()) {}
    ~Progress() { clear(); }
    Progress(const Progress &) = delete;
    Progress &operator=(const Progress &) = delete;

    void begin(double total)
    {
        total_ = total;
        done_ = shown_ = 0;
        start_ = std::chrono::steady_clock::now();
    }
    // A step of 'work' of the total begins; 'what' names it.
    void step(const std::string &what, double work);
    // The share of the step that is done. Throws Interrupted after Ctrl-C.
    void at(double share);
    // The step is done. 'line' is what a log would say about it, 'error' goes into the bar; negative: none.
    void end(const std::string &line, double error = -1);
    void note(const std::string &line); // a line of its own
    void clear();

    // For options.progress: 'opaque' is this object. The solve is the second half of a step.
    static int32_t callback(const bsq_progress_t *progress, void *opaque);

private:
    void draw(double share);

    Style style_;
    std::chrono::steady_clock::time_point start_, drawn_;
    std::string what_;
    double total_ = 1, done_ = 0, shown_ = 0, work_ = 0, error_ = -1; // shown_: what is drawn never goes back
    bool visible_ = false;
};

} // namespace tool

#endif
