/* Messages, the progress bar and the signals that stop a run. */
#include "messages.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

volatile sig_atomic_t interrupted = 0;

static void on_signal(int number)
{
    interrupted = number;
}

void handle_signal(int number)
{
    struct sigaction action;
    if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        sigemptyset(&action.sa_mask);
        sigaction(number, &action, NULL);
    }
}

static struct {
    int visible; /* whether stderr is a terminal that can move its cursor */
    int drawn;
    int percent;
    int32_t stage;
} bar;

void show_bar(void)
{
    const char *terminal = getenv("TERM");
    bar.visible = isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

void clear_bar(void)
{
    if (bar.drawn) {
        fputs("\r\033[K", stderr);
        bar.drawn = 0;
    }
}

int complain(int status, const char *format, ...)
{
    clear_bar();
    if (interrupted) {
        return EXIT_SIGNAL + interrupted;
    }
    va_list arguments;
    va_start(arguments, format);
    fputs("bsq-layer: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return status;
}

int complain_memory(void)
{
    return complain(EXIT_FAILED, "not enough memory");
}

int complain_layer(const bsq_layer_t *layer, const char *what)
{
    return complain(EXIT_FAILED, "%s: %s", what, bsq_layer_error_message(layer));
}

static void draw_bar(const bsq_progress_t *progress)
{
    enum { WIDTH = 40 };
    const int percent = (int)(progress->fraction * 100);
    if (bar.drawn && percent == bar.percent && progress->stage == bar.stage) {
        return;
    }
    char line[WIDTH + 1];
    const int full = percent * WIDTH / 100;
    for (int i = 0; i < WIDTH; i++) {
        line[i] = i < full ? '#' : '.';
    }
    line[WIDTH] = '\0';
    fprintf(stderr, "\r[%s] %3d %%  %s\033[K", line, percent, bsq_stage_string(progress->stage));
    fflush(stderr);
    bar.drawn = 1;
    bar.percent = percent;
    bar.stage = progress->stage;
}

int32_t on_progress(const bsq_progress_t *progress, void *opaque)
{
    (void)opaque;
    if (bar.visible) {
        draw_bar(progress);
    }
    return interrupted != 0;
}
