/* The command line. */
#ifndef BSQ_LAYER_SETTINGS_H
#define BSQ_LAYER_SETTINGS_H

#include "common/arguments.h"

#include <bsq.h>

struct settings {
    const char *weights;
    const char *bias;
    const char *stats;
    const char *held_out;
    const char *out;
    const char *scale;
    struct argument_list input;
    struct argument_list target;
    struct argument_extents conv;
    struct argument_extents stride;
    struct argument_extents dilation;
    struct argument_extents pad;
    int32_t groups; /* 0: not given */
    int32_t channels_last;
    int32_t ohwi;
    const char *format_name;
    int32_t format; /* 0: by the number of bits */
    int32_t pretty;
    int32_t help;
    int32_t version;
    bsq_options_t options;
};

/* What names on the command line and in the report stand for. */
extern const struct argument_choice ranges[];
extern const struct argument_choice solvers[];
extern const struct argument_choice scale_formats[];
extern const struct argument_choice input_types[];

/* Reads and checks the command line; returns the exit status, after a message where that is not 0. In any case
 * free_settings() comes in the end. With 'help' or 'version' nothing else is checked. */
int read_settings(int count, char **words, struct settings *settings);
void free_settings(struct settings *settings);

void print_help(void);

/* A format's name as this program writes it, in 'text'. */
const char *format_text(int32_t format, char text[64]);

#endif
