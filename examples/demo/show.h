/* show.h - pictures, bars and colours in a terminal
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DEMO_SHOW_H
#define DEMO_SHOW_H

#include <stdint.h>

enum { SHOW_PLAIN, SHOW_BOLD, SHOW_DIM, SHOW_GREEN, SHOW_YELLOW, SHOW_RED };

/* Must come first. Colours only when stdout is a terminal, TERM is not "dumb" and NO_COLOR is unset or empty. */
void show_start(void);

/* Switches the style of what is printed next; nothing without colours. */
void show_style(int style);

/* Draws pictures of PICTURE_VALUES values beside each other, their names under them: half blocks in colours, or
 * characters of different darkness without. */
void show_pictures(const float *const *pictures, const char *const *names, int count);

/* A horizontal rule of 'width' columns and a newline. */
void show_rule(int width);

/* A bar of 'share' (0..1) of 'width' columns in eighths of a column, blanks up to 'width'. */
void show_bar(double share, int width, int style);

/* Three values on one bar of 'width' columns: solid up to 'solid', then grey up to 'grey', then light up to 'light'. */
void show_bars(double solid, double grey, double light, int width);

/* What is being done now, on stderr when that is a terminal; NULL removes it. */
void show_progress(const char *text);

#endif
