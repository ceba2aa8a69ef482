#include "tool/program.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include <unistd.h>

namespace tool {

int complain(const char *program, int status, const std::string &text)
{
    std::string line = text;
    std::replace(line.begin(), line.end(), '\n', ' ');
    std::cerr << program << ": " << line << std::endl;
    return status;
}

Progress::Style progress_style(bool quiet, bool json)
{
    if (quiet)
        return Progress::Style::none;
    if (isatty(STDERR_FILENO))
        return Progress::Style::bar;
    return json ? Progress::Style::none : Progress::Style::lines;
}

int run_work(const char *program, const std::string &resume, Progress &progress, const std::function<void()> &work)
{
    try {
        work();
        if (std::fflush(stdout) != 0)
            return complain(program, EXIT_FAILED, std::string("stdout: ") + std::strerror(errno));
        return EXIT_DONE;
    } catch (const Interrupted &) {
        progress.clear();
        return complain(program, EXIT_INTERRUPTED,
                        resume.empty() ? "interrupted; with --resume DIR finished work is kept"
                                       : "interrupted; the same command goes on from " + resume);
    } catch (const std::bad_alloc &) {
        progress.clear();
        return complain(program, EXIT_FAILED, "not enough memory");
    } catch (const std::exception &error) {
        progress.clear();
        return complain(program, EXIT_FAILED, error.what());
    }
}

} // namespace tool
