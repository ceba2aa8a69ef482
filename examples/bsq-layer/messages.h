/* Messages, the progress bar and the signals that stop a run. */
#ifndef BSQ_LAYER_MESSAGES_H
#define BSQ_LAYER_MESSAGES_H

#include <bsq.h>

#include <signal.h>

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_SIGNAL = 128 /* plus the signal's number: 130 for Ctrl-C */ };

/* The signal that asked to stop, or 0. */
extern volatile sig_atomic_t interrupted;

/* Lets a signal set 'interrupted'. What was ignored from the start (nohup, a shell's background) stays ignored. */
void handle_signal(int number);

/* Shows progress on stderr from now on, where that is a terminal. */
void show_bar(void);
void clear_bar(void);

/* Draws the bar; stops the call that reports once a signal came. */
int32_t on_progress(const bsq_progress_t *progress, void *opaque);

/* Says what is wrong and returns 'status'. After Ctrl-C what fails is no news: one line about that is enough. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
int complain(int status, const char *format, ...);
int complain_memory(void);
int complain_layer(const bsq_layer_t *layer, const char *what);

#endif
