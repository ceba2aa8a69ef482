/* A JSON writer. */
#include "json.h"

#include <inttypes.h>
#include <math.h>

struct json json_begin(FILE *file, bool pretty)
{
    return (struct json){.file = file, .pretty = pretty, .depth = 0, .first = true};
}

/* Text is passed on byte by byte, as UTF-8 should be; only what JSON forbids in a string is replaced. */
static void write_string(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fprintf(file, "\\%c", *text);
        } else if ((unsigned char)*text < 0x20) {
            fprintf(file, "\\u%04x", (unsigned)(unsigned char)*text);
        } else {
            fputc(*text, file);
        }
    }
    fputc('"', file);
}

static void new_line(struct json *json)
{
    if (json->pretty) {
        fprintf(json->file, "\n%*s", 2 * json->depth, "");
    }
}

/* What comes in front of every value. */
static void start_value(struct json *json, const char *key)
{
    if (!json->first) {
        fputs(json->pretty ? "," : ", ", json->file);
    }
    if (json->depth > 0) {
        new_line(json);
    }
    json->first = false;
    if (key != NULL) {
        write_string(json->file, key);
        fputs(": ", json->file);
    }
}

void json_open(struct json *json, const char *key, char bracket)
{
    start_value(json, key);
    fputc(bracket, json->file);
    json->depth++;
    json->first = true;
}

void json_close(struct json *json, char bracket)
{
    json->depth--;
    if (!json->first) {
        new_line(json);
    }
    fputc(bracket, json->file);
    json->first = false;
    if (json->depth == 0) {
        fputc('\n', json->file);
    }
}

void json_number(struct json *json, const char *key, double value)
{
    start_value(json, key);
    if (isfinite(value)) {
        fprintf(json->file, "%.9g", value);
    } else {
        fputs("null", json->file);
    }
}

void json_integer(struct json *json, const char *key, int64_t value)
{
    start_value(json, key);
    fprintf(json->file, "%" PRId64, value);
}

void json_string(struct json *json, const char *key, const char *text)
{
    start_value(json, key);
    if (text != NULL) {
        write_string(json->file, text);
    } else {
        fputs("null", json->file);
    }
}
