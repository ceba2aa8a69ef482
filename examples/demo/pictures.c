/* pictures.c - draws symbols of random place, size, angle and colour on a textured, noisy ground, partly covered
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Both the training script and the demo draw with this file, so that they see the same kind of pictures.
 */
#include "pictures.h"

#include <math.h>
#include <stddef.h>

/* ---- random numbers --------------------------------------------------------------------------------------- */

static uint64_t mixed(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static uint64_t random_bits(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return mixed(*state);
}

static float random_between(uint64_t *state, float low, float high)
{
    return low + (high - low) * (float)(random_bits(state) >> 40) * 0x1p-24f;
}

/* Nearly normal, with deviation 1: the sum of four uniform numbers. */
static float random_noise(uint64_t *state)
{
    uint64_t bits = random_bits(state);
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        sum += (float)(bits >> (16 * i) & 0xffff);
    }
    return (sum * 0x1p-16f - 2) * 1.732f;
}

/* ---- symbols, in a frame where they reach from about -1 to 1, v downwards ----------------------------------- */

enum symbol {
    SYMBOL_DISC,
    SYMBOL_RING,
    SYMBOL_MOON,
    SYMBOL_DROP,
    SYMBOL_HEART,
    SYMBOL_LEAF,
    SYMBOL_FISH,
    SYMBOL_KEY,
    SYMBOL_TRIANGLE,
    SYMBOL_SQUARE,
    SYMBOL_PENTAGON,
    SYMBOL_STAR,
    SYMBOL_CROSS,
    SYMBOL_ARROW,
    SYMBOL_BOLT,
    SYMBOL_HOUSE
};

static const char *const symbol_names[PICTURE_CLASSES] = {
    "disc",     "ring",   "moon",     "drop", "heart", "leaf",  "fish", "key",
    "triangle", "square", "pentagon", "star", "cross", "arrow", "bolt", "house",
};

struct polygon {
    int count;
    float points[12][2];
};

static const struct polygon triangle = {3, {{0, -1}, {0.866f, 0.5f}, {-0.866f, 0.5f}}};
static const struct polygon square = {4, {{-0.75f, -0.75f}, {0.75f, -0.75f}, {0.75f, 0.75f}, {-0.75f, 0.75f}}};
static const struct polygon pentagon = {
    5, {{0, -0.95f}, {0.904f, -0.294f}, {0.558f, 0.769f}, {-0.558f, 0.769f}, {-0.904f, -0.294f}}};
static const struct polygon star = {10,
                                    {{0, -1},
                                     {0.259f, -0.356f},
                                     {0.951f, -0.309f},
                                     {0.418f, 0.136f},
                                     {0.588f, 0.809f},
                                     {0, 0.44f},
                                     {-0.588f, 0.809f},
                                     {-0.418f, 0.136f},
                                     {-0.951f, -0.309f},
                                     {-0.259f, -0.356f}}};
static const struct polygon cross = {12,
                                     {{-0.3f, -0.95f},
                                      {0.3f, -0.95f},
                                      {0.3f, -0.3f},
                                      {0.95f, -0.3f},
                                      {0.95f, 0.3f},
                                      {0.3f, 0.3f},
                                      {0.3f, 0.95f},
                                      {-0.3f, 0.95f},
                                      {-0.3f, 0.3f},
                                      {-0.95f, 0.3f},
                                      {-0.95f, -0.3f},
                                      {-0.3f, -0.3f}}};
static const struct polygon arrow = {
    7, {{0, -1}, {0.8f, -0.1f}, {0.28f, -0.1f}, {0.28f, 0.95f}, {-0.28f, 0.95f}, {-0.28f, -0.1f}, {-0.8f, -0.1f}}};
static const struct polygon bolt = {
    6, {{0.25f, -1}, {-0.65f, 0.2f}, {-0.1f, 0.2f}, {-0.25f, 1}, {0.65f, -0.2f}, {0.1f, -0.2f}}};
static const struct polygon house = {
    7, {{0, -0.95f}, {0.95f, -0.1f}, {0.65f, -0.1f}, {0.65f, 0.8f}, {-0.65f, 0.8f}, {-0.65f, -0.1f}, {-0.95f, -0.1f}}};

static int in_polygon(const struct polygon *polygon, float u, float v)
{
    int inside = 0;
    for (int i = 0, j = polygon->count - 1; i < polygon->count; j = i++) {
        const float *a = polygon->points[i];
        const float *b = polygon->points[j];
        if ((a[1] > v) != (b[1] > v) && u < a[0] + (b[0] - a[0]) * (v - a[1]) / (b[1] - a[1])) {
            inside = !inside;
        }
    }
    return inside;
}

static int in_disc(float u, float v, float radius)
{
    return u * u + v * v < radius * radius;
}

static int in_box(float u, float v, float left, float top, float right, float bottom)
{
    return u > left && u < right && v > top && v < bottom;
}

static int in_drop(float u, float v)
{
    float t = 0.5f * (v + 1);
    return t > 0 && t < 1 && fabsf(u) < 1.75f * t * sqrtf(1 - t);
}

static int in_heart(float u, float v)
{
    float x = 1.25f * u;
    float y = 0.15f - 1.25f * v;
    float ring = x * x + y * y - 1;
    return ring * ring * ring < x * x * y * y * y;
}

static int in_fish(float u, float v)
{
    int body = in_disc(u + 0.25f, 1.6f * v, 0.75f);
    int tail = u > 0.25f && u < 0.95f && fabsf(v) < 0.75f * (u - 0.2f);
    return body || tail;
}

static int in_key(float u, float v)
{
    int head = in_disc(u, v + 0.55f, 0.47f) && !in_disc(u, v + 0.55f, 0.2f);
    int shaft = in_box(u, v, -0.14f, -0.15f, 0.14f, 1);
    int teeth = in_box(u, v, 0, 0.35f, 0.5f, 0.58f) || in_box(u, v, 0, 0.77f, 0.5f, 1);
    return head || shaft || teeth;
}

static int in_symbol(enum symbol symbol, float u, float v)
{
    switch (symbol) {
    case SYMBOL_DISC: return in_disc(u, v, 0.85f);
    case SYMBOL_RING: return in_disc(u, v, 0.92f) && !in_disc(u, v, 0.5f);
    case SYMBOL_MOON: return in_disc(u, v, 0.95f) && !in_disc(u - 0.5f, v, 0.8f);
    case SYMBOL_DROP: return in_drop(u, v);
    case SYMBOL_HEART: return in_heart(u, v);
    case SYMBOL_LEAF: return in_disc(fabsf(u) + 0.65f, v, 1.19f);
    case SYMBOL_FISH: return in_fish(u, v);
    case SYMBOL_KEY: return in_key(u, v);
    case SYMBOL_TRIANGLE: return in_polygon(&triangle, u, v);
    case SYMBOL_SQUARE: return in_polygon(&square, u, v);
    case SYMBOL_PENTAGON: return in_polygon(&pentagon, u, v);
    case SYMBOL_STAR: return in_polygon(&star, u, v);
    case SYMBOL_CROSS: return in_polygon(&cross, u, v);
    case SYMBOL_ARROW: return in_polygon(&arrow, u, v);
    case SYMBOL_BOLT: return in_polygon(&bolt, u, v);
    case SYMBOL_HOUSE: return in_polygon(&house, u, v);
    }
    return 0;
}

/* ---- one picture -------------------------------------------------------------------------------------------- */

enum { WAVES = 2, STROKES = 2, GRID = 3 };

struct wave {
    float fx, fy, phase;
    float color[PICTURE_COLORS];
};

/* A straight stroke of some width: the points within 'half' of a line's 'offset', from 'from' to 'to' along it. */
struct stroke {
    float nx, ny, offset, half, from, to;
    float color[PICTURE_COLORS];
};

struct scene {
    enum symbol symbol;
    float x, y;           /* centre, pixels */
    float uu, uv, vu, vv; /* pixels to the symbol's frame */
    float ink[PICTURE_COLORS];
    float ground[PICTURE_COLORS];
    struct wave waves[WAVES];
    struct stroke strokes[STROKES]; /* the first lies over the symbol, the others under it */
    float noise;
};

static void random_color(uint64_t *state, float color[PICTURE_COLORS], float low, float high)
{
    for (int c = 0; c < PICTURE_COLORS; c++) {
        color[c] = random_between(state, low, high);
    }
}

/* A dark ground and a lighter ink, apart by a least mean distance, so that every symbol can be seen. */
static void choose_colors(uint64_t *state, struct scene *scene)
{
    float distance = 0;
    while (distance < 0.25f) {
        random_color(state, scene->ground, 0.0f, 0.5f);
        random_color(state, scene->ink, 0.3f, 1.0f);
        distance = 0;
        for (int c = 0; c < PICTURE_COLORS; c++) {
            distance += (scene->ink[c] - scene->ground[c]) / PICTURE_COLORS;
        }
    }
}

static void choose_symbol(uint64_t *state, struct scene *scene)
{
    scene->symbol = (enum symbol)(random_bits(state) % PICTURE_CLASSES);
    scene->x = 0.5f * PICTURE_SIZE + random_between(state, -3, 3);
    scene->y = 0.5f * PICTURE_SIZE + random_between(state, -3, 3);
    float radius = random_between(state, 6, 10.5f);
    float stretch = random_between(state, 0.87f, 1.15f);
    float mirror = random_bits(state) >> 63 ? 1.0f : -1.0f;
    float angle = random_between(state, -0.5f, 0.5f);
    float across = mirror / (radius * stretch);
    float along = stretch / radius;
    scene->uu = cosf(angle) * across;
    scene->uv = sinf(angle) * across;
    scene->vu = -sinf(angle) * along;
    scene->vv = cosf(angle) * along;
}

static void choose_wave(uint64_t *state, struct wave *wave)
{
    wave->fx = random_between(state, -0.9f, 0.9f);
    wave->fy = random_between(state, -0.9f, 0.9f);
    wave->phase = random_between(state, 0, 6.2831853f);
    random_color(state, wave->color, -0.1f, 0.1f);
}

static void choose_stroke(uint64_t *state, struct stroke *stroke)
{
    float angle = random_between(state, 0, 6.2831853f);
    stroke->nx = cosf(angle);
    stroke->ny = sinf(angle);
    stroke->offset = random_between(state, -8, 8);
    stroke->half = random_between(state, 0.5f, 1.4f);
    stroke->from = random_between(state, -16, 4);
    stroke->to = stroke->from + random_between(state, 6, 20);
    random_color(state, stroke->color, 0, 1);
}

static void choose_scene(uint64_t *state, struct scene *scene)
{
    choose_symbol(state, scene);
    choose_colors(state, scene);
    for (int i = 0; i < WAVES; i++) {
        choose_wave(state, &scene->waves[i]);
    }
    for (int i = 0; i < STROKES; i++) {
        choose_stroke(state, &scene->strokes[i]);
    }
    scene->noise = random_between(state, 0.02f, 0.08f);
}

static int in_stroke(const struct stroke *stroke, float x, float y)
{
    float dx = x - 0.5f * PICTURE_SIZE;
    float dy = y - 0.5f * PICTURE_SIZE;
    float along = dy * stroke->nx - dx * stroke->ny;
    return fabsf(dx * stroke->nx + dy * stroke->ny - stroke->offset) < stroke->half && along > stroke->from &&
           along < stroke->to;
}

static const float *color_at(const struct scene *scene, float x, float y)
{
    if (in_stroke(&scene->strokes[0], x, y)) {
        return scene->strokes[0].color;
    }
    float dx = x - scene->x;
    float dy = y - scene->y;
    if (in_symbol(scene->symbol, dx * scene->uu + dy * scene->uv, dx * scene->vu + dy * scene->vv)) {
        return scene->ink;
    }
    for (int i = 1; i < STROKES; i++) {
        if (in_stroke(&scene->strokes[i], x, y)) {
            return scene->strokes[i].color;
        }
    }
    return scene->ground;
}

/* The mean colour over a grid of points of one pixel, so that edges are smooth. */
static void draw_pixel(const struct scene *scene, int column, int row, float pixel[PICTURE_COLORS])
{
    for (int c = 0; c < PICTURE_COLORS; c++) {
        pixel[c] = 0;
    }
    for (int i = 0; i < GRID * GRID; i++) {
        float x = (float)column + ((float)(i % GRID) + 0.5f) / GRID;
        float y = (float)row + ((float)(i / GRID) + 0.5f) / GRID;
        const float *color = color_at(scene, x, y);
        for (int c = 0; c < PICTURE_COLORS; c++) {
            pixel[c] += color[c] / (GRID * GRID);
        }
    }
    for (int i = 0; i < WAVES; i++) {
        const struct wave *wave = &scene->waves[i];
        float height = sinf(wave->fx * (float)column + wave->fy * (float)row + wave->phase);
        for (int c = 0; c < PICTURE_COLORS; c++) {
            pixel[c] += wave->color[c] * height;
        }
    }
}

/* As a picture file would hold it: 256 levels. */
static float stored(float value)
{
    return floorf(fminf(fmaxf(value, 0), 1) * 255 + 0.5f) / 255;
}

static int32_t draw_picture(uint64_t seed, float *pixels)
{
    uint64_t state = seed;
    struct scene scene;
    choose_scene(&state, &scene);
    for (int i = 0; i < PICTURE_SIZE * PICTURE_SIZE; i++) {
        float *pixel = pixels + (ptrdiff_t)i * PICTURE_COLORS;
        draw_pixel(&scene, i % PICTURE_SIZE, i / PICTURE_SIZE, pixel);
        for (int c = 0; c < PICTURE_COLORS; c++) {
            pixel[c] = stored(pixel[c] + scene.noise * random_noise(&state));
        }
    }
    return (int32_t)scene.symbol;
}

void pictures_draw(int64_t stream, int64_t first, int64_t count, float *pixels, int32_t *labels)
{
    for (int64_t i = 0; i < count; i++) {
        uint64_t seed = mixed((uint64_t)stream << 40 ^ (uint64_t)(first + i));
        labels[i] = draw_picture(seed, pixels + i * PICTURE_VALUES);
    }
}

const char *picture_class_name(int32_t label)
{
    return label >= 0 && label < PICTURE_CLASSES ? symbol_names[label] : "?";
}
