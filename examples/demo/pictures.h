/* pictures.h - small colour pictures of drawn symbols, made up from a number
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DEMO_PICTURES_H
#define DEMO_PICTURES_H

#include <stdint.h>

enum {
    PICTURE_SIZE = 24,
    PICTURE_COLORS = 3,
    PICTURE_VALUES = PICTURE_SIZE * PICTURE_SIZE * PICTURE_COLORS,
    PICTURE_CLASSES = 16
};

/* Pictures of different streams have nothing in common but the way in which they are drawn. */
enum { PICTURE_STREAM_TRAINING = 1, PICTURE_STREAM_CALIBRATION = 2, PICTURE_STREAM_TEST = 3 };

/* Draws pictures first..first+count-1 of a stream: 'pixels' (count, height, width, colors) in 0..1 with 256 levels,
 * 'labels' (count) the class of each. The same number always gives the same picture. */
void pictures_draw(int64_t stream, int64_t first, int64_t count, float *pixels, int32_t *labels);

const char *picture_class_name(int32_t label);

#endif
