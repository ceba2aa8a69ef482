// What the user sees while it works, and Ctrl-C.
#include "tool/progress.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>

#include <unistd.h>

namespace tool {

static volatile std::sig_atomic_t interrupts = 0;

// Once it is noted; a second Ctrl-C ends the program at once.
static void on_interrupt(int number)
{
    interrupts = number;
    std::signal(number, SIG_DFL);
}

void catch_interrupts()
{
    std::signal(SIGINT, on_interrupt);
    std::signal(SIGTERM, on_interrupt);
}

bool interrupted()
{
    return interrupts != 0;
}

void Progress::step(const std::string &what, double work)
{
    what_ = what;
    work_ = work;
    drawn_ = {};
    at(0);
}

void Progress::at(double share)
{
    if (interrupted())
        throw Interrupted();
    draw(share);
}

void Progress::draw(double share)
{
    const auto now = std::chrono::steady_clock::now();
    if (style_ != Style::bar || now - drawn_ < std::chrono::milliseconds(100))
        return;
    drawn_ = now;
    constexpr int width = 30;
    const double done = std::max(shown_, std::min(1.0, (done_ + share * work_) / std::max(total_, 1e-9)));
    shown_ = done;
    const double spent = std::chrono::duration<double>(now - start_).count();
    char bar[width + 1], rest[48] = "", error[32] = "";
    for (int i = 0; i < width; i++)
        bar[i] = i < done * width ? '#' : '.';
    bar[width] = '\0';
    if (done > 0.01)
        std::snprintf(rest, sizeof rest, "%.0f s left", spent / done * (1 - done));
    if (error_ >= 0)
        std::snprintf(error, sizeof error, "error %.2g, ", error_);
    std::fprintf(stderr, "\r[%s] %3.0f %%  %s%s  %.40s\033[K", bar, 100 * done, error, rest, what_.c_str());
    std::fflush(stderr);
    visible_ = true;
}

void Progress::end(const std::string &line, double error)
{
    done_ += work_;
    work_ = 0;
    if (error >= 0)
        error_ = error;
    if (style_ == Style::lines && !line.empty())
        note(line);
    draw(0);
}

void Progress::note(const std::string &line)
{
    if (style_ == Style::none)
        return;
    clear();
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
}

void Progress::clear()
{
    if (visible_)
        std::fputs("\r\033[K", stderr);
    visible_ = false;
}

int32_t Progress::callback(const bsq_progress_t *progress, void *opaque)
{
    static_cast<Progress *>(opaque)->draw(0.5 + 0.5 * progress->fraction);
    return interrupted();
}

} // namespace tool
