// The frame of a program: help and version, work whose results go to stdout, and whatever is wrong as one line on stderr.
#ifndef BSQ_TOOL_PROGRAM_HPP
#define BSQ_TOOL_PROGRAM_HPP

#include <functional>
#include <iostream>
#include <string>

#include "bsq.h"
#include "tool/command_line.hpp"
#include "tool/progress.hpp"

namespace tool {

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

// Prints the text as one line and gives the status back.
int complain(const char *program, int status, const std::string &text);

// How progress is shown by a program with --quiet and --json.
Progress::Style progress_style(bool quiet, bool json);

// Runs 'work', which prints results; 'resume' is the folder that finished work is kept in, or "". Returns the exit status.
int run_work(const char *program, const std::string &resume, Progress &progress, const std::function<void()> &work);

// main() of a program: reads the command line, and works unless it asks for help or the version.
template <typename Settings>
int run_program(const char *program, int count, char **words, Settings (*read)(int, char **), void (*help)(),
                int (*work)(const Settings &))
{
    try {
        const Settings settings = read(count, words);
        if (settings.help) {
            help();
            return EXIT_DONE;
        }
        if (settings.version) {
            std::cout << program << " " << bsq_version_string() << std::endl;
            return EXIT_DONE;
        }
        catch_interrupts();
        return work(settings);
    } catch (const UsageError &error) {
        return complain(program, EXIT_USAGE, error.what());
    } catch (const std::exception &error) {
        return complain(program, EXIT_FAILED, error.what());
    }
}

} // namespace tool

#endif
