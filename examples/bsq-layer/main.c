/* bsq-layer: quantizes one layer whose weights and statistics, or activations, are .npy files.
 *
 * One JSON object on stdout says how good the result is; with --out the result goes to .npy files. Whatever is wrong is
 * one line on stderr, exit status 2 for a wrong command line and 1 for everything else; stdout is then empty. */
#include "load.h"
#include "messages.h"
#include "outputs.h"
#include "packed.h"
#include "ranks.h"
#include "report.h"
#include "settings.h"

#include <bsq.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int print_text(const char *text)
{
    if (fputs(text, stdout) < 0 || fflush(stdout) != 0) {
        return complain(EXIT_FAILED, "stdout: %s", strerror(errno));
    }
    return 0;
}

/* Everything that can fail comes before the first byte on stdout. */
static int run(struct work *work)
{
    bsq_report_t report;
    bsq_report_init(&report, sizeof report);
    int status = ranks_stream(work, load_layer(work));
    if (status == 0) {
        status = load_held_out(work);
    }
    if (status == 0 && work->settings->out != NULL) {
        status = check_packed(work);
    }
    if (status == 0 && work->settings->out != NULL && ranks_first()) {
        status = make_directory(work);
    }
    status = ranks_agree(status);
    if (status == 0) {
        status = ranks_solve(work, &report);
    }
    clear_bar();
    if (!ranks_first()) {
        return status;
    }
    char *text = status == 0 ? report_text(work, &report, &status) : NULL;
    if (status == 0 && work->settings->out != NULL) {
        status = write_outputs(work);
    }
    if (status == 0 && !interrupted) {
        status = print_text(text);
    }
    free(text);
    return status;
}

static int quantize(const struct settings *settings)
{
    struct work work = {.settings = settings};
    int status = run(&work);
    if (interrupted) {
        clear_bar();
        if (ranks_first()) {
            fputs("bsq-layer: interrupted\n", stderr);
        }
        status = EXIT_SIGNAL + interrupted;
    }
    if (status != 0 && work.created_out) {
        rmdir(settings->out);
    }
    npy_free(&work.weights);
    free(work.values);
    free(work.bias);
    bsq_layer_free(work.layer);
    return status;
}

static int print_about(const struct settings *settings)
{
    if (!ranks_first()) {
        return 0;
    }
    if (settings->help) {
        print_help();
    } else {
        printf("bsq-layer %s\n", bsq_version_string());
    }
    return fflush(stdout) == 0 ? 0 : complain(EXIT_FAILED, "stdout: %s", strerror(errno));
}

int main(int count, char **words)
{
    struct settings settings;
    ranks_begin(&count, &words);
    if (ranks_first()) {
        show_bar();
    }
    handle_signal(SIGINT);
    handle_signal(SIGTERM);
    int status = read_settings(count, words, &settings);
    if (status == 0) {
        status = settings.help || settings.version ? print_about(&settings) : quantize(&settings);
    }
    free_settings(&settings);
    return ranks_end(status);
}
