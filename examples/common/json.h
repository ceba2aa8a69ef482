/* Writes JSON to a stream, one value after the other; commas and indentation come by themselves. */
#ifndef BSQ_EXAMPLES_JSON_H
#define BSQ_EXAMPLES_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
    FILE *file;
    bool pretty; /* a line for each value, else all in one line */
    int depth;
    bool first; /* nothing was written in the innermost object or array yet */
};

struct json json_begin(FILE *file, bool pretty);

/* 'key' is NULL inside an array and for the outermost value. 'bracket' is '{' or '['. */
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);

/* Nine digits; null for what JSON has no number for. */
void json_number(struct json *json, const char *key, double value);
void json_integer(struct json *json, const char *key, int64_t value);
void json_string(struct json *json, const char *key, const char *text); /* NULL is null */

#endif
