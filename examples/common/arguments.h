/* Command lines: a table of options, each with the field that it fills. */
#ifndef BSQ_EXAMPLES_ARGUMENTS_H
#define BSQ_EXAMPLES_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ARGUMENTS_MESSAGE_SIZE = 300 };

/* What an option takes, and the type of its field. */
enum argument_kind {
    ARGUMENT_FLAG,    /* nothing; int32_t, becomes 1 */
    ARGUMENT_TEXT,    /* const char *, not empty */
    ARGUMENT_LIST,    /* struct argument_list; the option may be given several times */
    ARGUMENT_INTEGER, /* int32_t within bounds */
    ARGUMENT_NUMBER,  /* double within bounds */
    ARGUMENT_CHOICE,  /* int32_t, one of a few words */
    ARGUMENT_EXTENTS, /* struct argument_extents: 3, 3x5 or 3x5x7 */
    ARGUMENT_PAIRS    /* struct argument_extents: the same, each 1 or 1:2 for begin and end */
};

struct argument_choice {
    const char *name; /* NULL ends the list */
    int32_t value;
};

struct argument_list {
    int32_t count;
    const char **text; /* room for as many as there are words, by the caller */
};

struct argument_extents {
    int32_t count; /* 0: not given */
    int64_t begin[3];
    int64_t end[3]; /* as begin unless a pair was given */
};

struct argument {
    const char *name; /* without the dashes; NULL ends the table */
    enum argument_kind kind;
    const char *value; /* what help calls the value; NULL for flags and choices */
    const char *help;
    size_t offset; /* of the field in the caller's struct */
    double lowest; /* bounds of numbers */
    double highest;
    const struct argument_choice *choices; /* of ARGUMENT_CHOICE */
};

/* Reads --name value and --name=value into the fields; of an option that is given twice the last counts. False, with
 * a line of text in 'message', when something is unknown, missing or out of bounds. */
bool arguments_read(const struct argument *table, int count, char **words, void *fields,
                    char message[ARGUMENTS_MESSAGE_SIZE]);

/* Prints the options with their help on stdout. */
void arguments_print(const struct argument *table);

/* The name of a choice's value, NULL if it has none. */
const char *argument_choice_name(const struct argument_choice *choices, int32_t value);

/* A whole number of digits alone within bounds; false otherwise. */
bool argument_whole(const char *text, int64_t lowest, int64_t highest, int64_t *number);

#endif
