/* show.c - pictures, bars and colours in a terminal
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pictures.h"

/* Columns of a shown picture, and lines of half that many: a character is twice as high as wide. */
enum { SHOWN = 18, GAP = 2 };

static int colors;
static int true_color;

static int is_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

static int is_one_of(const char *name, const char *first, const char *second)
{
    const char *value = getenv(name);
    return value && (strcmp(value, first) == 0 || strcmp(value, second) == 0);
}

void show_start(void)
{
    colors = isatty(STDOUT_FILENO) && !is_set("NO_COLOR") && is_set("TERM") && !is_one_of("TERM", "dumb", "dumb");
    true_color = is_one_of("COLORTERM", "truecolor", "24bit");
}

void show_style(int style)
{
    static const char *const codes[] = {"\033[0m", "\033[0;1m", "\033[0;2m", "\033[0;32m", "\033[0;33m", "\033[0;31m"};
    if (colors) {
        fputs(codes[style], stdout);
    }
}

/* ---- pictures ----------------------------------------------------------------------------------------------- */

/* The mean of one colour over the part of the picture that a cell at 'column', 'row' of SHOWN x SHOWN covers. */
static float cell(const float *picture, int column, int row, int color)
{
    enum { POINTS = 4 };
    float sum = 0;
    for (int i = 0; i < POINTS * POINTS; i++) {
        int x = (2 * (column * POINTS + i % POINTS) + 1) * PICTURE_SIZE / (2 * SHOWN * POINTS);
        int y = (2 * (row * POINTS + i / POINTS) + 1) * PICTURE_SIZE / (2 * SHOWN * POINTS);
        sum += picture[(y * PICTURE_SIZE + x) * PICTURE_COLORS + color];
    }
    return sum / (POINTS * POINTS);
}

/* 'plane' is 38 for the character and 48 for what is behind it. */
static void set_color(int plane, const float *picture, int column, int row)
{
    int levels = true_color ? 255 : 5;
    int c[PICTURE_COLORS];
    for (int i = 0; i < PICTURE_COLORS; i++) {
        c[i] = (int)(cell(picture, column, row, i) * (float)levels + 0.5f);
    }
    if (true_color) {
        printf("\033[%d;2;%d;%d;%dm", plane, c[0], c[1], c[2]);
    } else {
        printf("\033[%d;5;%dm", plane, 16 + 36 * c[0] + 6 * c[1] + c[2]);
    }
}

static float brightness(const float *picture, int column, int line)
{
    float sum = 0;
    for (int i = 0; i < 2 * PICTURE_COLORS; i++) {
        sum += cell(picture, column, 2 * line + i % 2, i / 2) / (2 * PICTURE_COLORS);
    }
    return sum;
}

/* The darkest cell of a picture is blank, the brightest full. */
static void show_line_plain(const float *picture, int line)
{
    static const char ramp[] = " .:-=+*#%@";
    float low = 1;
    float high = 0;
    for (int i = 0; i < SHOWN * SHOWN / 2; i++) {
        float value = brightness(picture, i % SHOWN, i / SHOWN);
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    for (int column = 0; column < SHOWN; column++) {
        float share = (brightness(picture, column, line) - low) / (high - low + 1e-6f);
        putchar(ramp[(int)(share * (float)(sizeof ramp - 2) + 0.5f)]);
    }
}

static void show_line(const float *picture, int line)
{
    if (!colors) {
        show_line_plain(picture, line);
        return;
    }
    for (int column = 0; column < SHOWN; column++) {
        set_color(38, picture, column, 2 * line);
        set_color(48, picture, column, 2 * line + 1);
        fputs("▀", stdout);
    }
    show_style(SHOW_PLAIN);
}

void show_pictures(const float *const *pictures, const char *const *names, int count)
{
    for (int line = 0; line < SHOWN / 2; line++) {
        for (int i = 0; i < count; i++) {
            printf("%*s", i == 0 ? 1 : GAP, "");
            show_line(pictures[i], line);
        }
        putchar('\n');
    }
    for (int i = 0; i < count; i++) {
        int left = (SHOWN - (int)strlen(names[i])) / 2;
        printf("%*s%*s%-*s", i == 0 ? 1 : GAP, "", left, "", SHOWN - left, names[i]);
    }
    putchar('\n');
}

/* ---- lines and bars ----------------------------------------------------------------------------------------- */

static void repeat(const char *text, int count)
{
    for (int i = 0; i < count; i++) {
        fputs(text, stdout);
    }
}

void show_rule(int width)
{
    show_style(SHOW_DIM);
    repeat("─", width);
    show_style(SHOW_PLAIN);
    putchar('\n');
}

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

void show_bar(double share, int width, int style)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int length = clamp((int)(share * width * 8 + 0.5), 0, width * 8);
    show_style(style);
    repeat("█", length / 8);
    fputs(eighths[length % 8], stdout);
    show_style(SHOW_PLAIN);
    repeat(" ", width - (length + 7) / 8);
}

void show_bars(double solid, double grey, double light, int width)
{
    int first = clamp((int)(solid * width + 0.5), 0, width);
    int second = clamp((int)(grey * width + 0.5), first, width);
    int third = clamp((int)(light * width + 0.5), second, width);
    show_style(SHOW_GREEN);
    repeat("█", first);
    show_style(SHOW_YELLOW);
    repeat("▒", second - first);
    show_style(SHOW_RED);
    repeat("░", third - second);
    show_style(SHOW_PLAIN);
}

void show_progress(const char *text)
{
    if (isatty(STDERR_FILENO)) {
        fflush(stdout);
        fprintf(stderr, "\r\033[K%s", text ? text : "");
        fflush(stderr);
    }
}
