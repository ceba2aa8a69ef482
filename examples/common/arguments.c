/* Command lines. */
#include "arguments.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static bool
fail(char *message, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, ARGUMENTS_MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

static void join_choices(const struct argument_choice *choices, const char *between, char *text, size_t capacity)
{
    size_t length = 0;
    text[0] = '\0';
    for (int i = 0; choices[i].name != NULL && length < capacity; i++) {
        length += (size_t)snprintf(text + length, capacity - length, "%s%s", i > 0 ? between : "", choices[i].name);
    }
}

static bool wrong_value(const struct argument *argument, const char *value, char *message)
{
    char list[160];
    switch (argument->kind) {
    case ARGUMENT_CHOICE:
        join_choices(argument->choices, ", ", list, sizeof list);
        return fail(message, "--%s is one of %s, not '%s'", argument->name, list, value);
    case ARGUMENT_INTEGER:
        return fail(message, "--%s is a whole number from %.10g to %.10g, not '%s'", argument->name, argument->lowest,
                    argument->highest, value);
    case ARGUMENT_NUMBER:
        return fail(message, "--%s is a number from %.10g to %.10g, not '%s'", argument->name, argument->lowest,
                    argument->highest, value);
    case ARGUMENT_EXTENTS:
        return fail(message, "--%s is one to three whole numbers from %.10g to %.10g, as in 3x3, not '%s'",
                    argument->name, argument->lowest, argument->highest, value);
    case ARGUMENT_PAIRS:
        return fail(message, "--%s is one to three whole numbers or pairs, as in 1x1 or 0:1x0:1, not '%s'",
                    argument->name, value);
    default: return fail(message, "--%s needs a value", argument->name);
    }
}

/* Reads digits up to '*end'. */
static bool read_digits(const char *text, double lowest, double highest, const char **end, int64_t *number)
{
    int64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && value <= INT32_MAX; at++) {
        value = value * 10 + (*at - '0');
    }
    *end = at;
    *number = value;
    return at > text && (double)value >= lowest && (double)value <= highest;
}

bool argument_whole(const char *text, int64_t lowest, int64_t highest, int64_t *number)
{
    const char *end;
    return read_digits(text, (double)lowest, (double)highest, &end, number) && *end == '\0';
}

static bool read_integer(const struct argument *argument, const char *value, int32_t *field)
{
    int64_t number;
    if (!argument_whole(value, (int64_t)argument->lowest, (int64_t)argument->highest, &number)) {
        return false;
    }
    *field = (int32_t)number;
    return true;
}

static bool read_number(const struct argument *argument, const char *value, double *field)
{
    char *end;
    const double number = strtod(value, &end);
    if (end == value || *end != '\0' || !(number >= argument->lowest && number <= argument->highest)) {
        return false;
    }
    *field = number;
    return true;
}

static bool read_choice(const struct argument *argument, const char *value, int32_t *field)
{
    for (const struct argument_choice *choice = argument->choices; choice->name != NULL; choice++) {
        if (strcmp(value, choice->name) == 0) {
            *field = choice->value;
            return true;
        }
    }
    return false;
}

static bool read_extents(const struct argument *argument, const char *value, struct argument_extents *field)
{
    const char *at = value;
    struct argument_extents extents = {.count = 0};
    for (bool more = true; more; at += more) {
        const int32_t i = extents.count++;
        if (i == 3 || !read_digits(at, argument->lowest, argument->highest, &at, &extents.begin[i])) {
            return false;
        }
        extents.end[i] = extents.begin[i];
        if (*at == ':' && (argument->kind != ARGUMENT_PAIRS ||
                           !read_digits(at + 1, argument->lowest, argument->highest, &at, &extents.end[i]))) {
            return false;
        }
        more = *at == 'x';
    }
    if (*at != '\0') {
        return false;
    }
    *field = extents;
    return true;
}

static bool read_value(const struct argument *argument, const char *value, void *fields)
{
    void *field = (char *)fields + argument->offset;
    switch (argument->kind) {
    case ARGUMENT_FLAG: *(int32_t *)field = 1; return true;
    case ARGUMENT_TEXT: *(const char **)field = value; return value[0] != '\0';
    case ARGUMENT_LIST: {
        struct argument_list *list = field;
        list->text[list->count++] = value;
        return value[0] != '\0';
    }
    case ARGUMENT_INTEGER: return read_integer(argument, value, field);
    case ARGUMENT_NUMBER: return read_number(argument, value, field);
    case ARGUMENT_CHOICE: return read_choice(argument, value, field);
    case ARGUMENT_EXTENTS:
    case ARGUMENT_PAIRS: break;
    }
    return read_extents(argument, value, field);
}

/* The option that 'word' (--name or --name=value) names, or NULL; '*value' is what follows '=', or NULL. */
static const struct argument *find(const struct argument *table, const char *word, const char **value)
{
    *value = NULL;
    if (strncmp(word, "--", 2) != 0) {
        return NULL;
    }
    const char *name = word + 2;
    const size_t length = strcspn(name, "=");
    for (const struct argument *argument = table; argument->name != NULL; argument++) {
        if (strlen(argument->name) == length && memcmp(argument->name, name, length) == 0) {
            *value = name[length] == '=' ? name + length + 1 : NULL;
            return argument;
        }
    }
    return NULL;
}

bool arguments_read(const struct argument *table, int count, char **words, void *fields,
                    char message[ARGUMENTS_MESSAGE_SIZE])
{
    for (int i = 1; i < count; i++) {
        const char *value;
        const struct argument *argument = find(table, words[i], &value);
        if (argument == NULL) {
            return fail(message, "%s '%s' (--help lists the options)",
                        words[i][0] == '-' ? "unknown option" : "no option takes the argument", words[i]);
        }
        if (argument->kind == ARGUMENT_FLAG && value != NULL) {
            return fail(message, "--%s takes no value", argument->name);
        }
        if (argument->kind != ARGUMENT_FLAG && value == NULL) {
            if (i + 1 == count) {
                return fail(message, "--%s needs a value", argument->name);
            }
            value = words[++i];
        }
        if (!read_value(argument, value, fields)) {
            return wrong_value(argument, value, message);
        }
    }
    return true;
}

void arguments_print(const struct argument *table)
{
    for (const struct argument *argument = table; argument->name != NULL; argument++) {
        if (argument->kind == ARGUMENT_CHOICE) {
            char list[160];
            join_choices(argument->choices, "|", list, sizeof list);
            printf("  --%s %s\n%26s%s\n", argument->name, list, "", argument->help);
        } else {
            char left[64];
            snprintf(left, sizeof left, "--%s %s", argument->name, argument->value != NULL ? argument->value : "");
            printf("  %-23s %s\n", left, argument->help);
        }
    }
}

const char *argument_choice_name(const struct argument_choice *choices, int32_t value)
{
    while (choices->name != NULL && choices->value != value) {
        choices++;
    }
    return choices->name;
}
