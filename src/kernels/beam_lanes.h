/* Beam search in vectors, included by each file that has the vectors. What it asks of them is said in vectors.h.
 *
 * A group is a few vectors of states: one or more whole lanes. Their survivors are extended at once, code after code
 * from the nearest outwards. An extension is a double whose bits are its cost, its survivor, the number of the code on
 * the way outwards, and the code: doubles that are not negative are ordered like their bits, so that minimum and
 * maximum carry everything along, and no two are equal. Sorting is a bitonic network over the bits of an index. */

/* State i of a group is element i % FLOATS of vector i / FLOATS. Split into keys, it is element (i & 1) + 2 * (i / 4)
 * of the lower (i & 2 is 0) or upper vector. */
enum { MOST_VECTORS = BSQ_BEAM_WIDTH / FLOATS > 2 ? BSQ_BEAM_WIDTH / FLOATS : 2, MOST_STATES = MOST_VECTORS * FLOATS };

/* Added to the bits of a cost: the double is then never subnormal, and infinity is still a finite one. */
enum { COST_BIAS = 0x00100000 };

/* Levels of a table that are searched here: larger ones are the portable version's. */
enum { TABLE_LEVELS = 16, TABLE_VECTORS = TABLE_LEVELS / FLOATS };

/* Parts of the lower half of a key. */
enum { CODE_BIAS = 128, CODE_MASK = 0xff, TURN_SHIFT = 8, SURVIVOR_SHIFT = 16 };

struct group {
    _Alignas(64) float t[BSQ_BEAM_ROWS][MOST_STATES];
    _Alignas(64) float e[BSQ_BEAM_ROWS][MOST_STATES];        /* v - step q */
    _Alignas(64) int32_t parent[BSQ_BEAM_ROWS][MOST_STATES]; /* as lookup() takes it */
    _Alignas(64) float cost[MOST_STATES];
    _Alignas(64) float step[BSQ_BEAM_ROWS][MOST_STATES / 2 + FLOATS];
    _Alignas(64) float inverse[BSQ_BEAM_ROWS][MOST_STATES / 2 + FLOATS];
    _Alignas(64) float v[BSQ_BEAM_ROWS][MOST_STATES / 2 + FLOATS];
};

/* Constants of a width, by state. */
struct places {
    _Alignas(64) int32_t id[MOST_STATES]; /* survivor, shifted to its place in a key */
    _Alignas(64) int32_t base[FLOATS];    /* first survivor of the lane within a vector */
    _Alignas(64) int32_t last[FLOATS];    /* last survivor of the lane within a vector */
    _Alignas(64) int32_t lane[FLOATS];    /* which lane of the vector */
};

/* Vectors of a group, and of one lane. */
static INLINE int vectors_of(int width)
{
    return width / FLOATS > 2 ? width / FLOATS : 2;
}

static INLINE int lane_vectors(int width)
{
    return width > FLOATS ? width / FLOATS : 1;
}

static INLINE struct places places_of(int width)
{
    struct places places;

    for (int i = 0; i < MOST_STATES; i++)
        places.id[i] = (i & (width - 1)) << SURVIVOR_SHIFT;
    for (int i = 0; i < FLOATS; i++) {
        places.lane[i] = i / width;
        places.base[i] = i / width * width;
        places.last[i] = width < FLOATS ? places.base[i] + width - 1 : FLOATS - 1;
    }
    return places;
}

/* ---- sorting ---------------------------------------------------------------------------------------------- */

/* Which elements of a key vector have this bit in the index of their state. */
static INLINE int elements_with(int bit, int vector, int upper)
{
    if (bit == 1)
        return 0xaa & KEY_MASK;
    if (bit == 2)
        return upper ? KEY_MASK : 0;
    if (bit < FLOATS)
        return (bit == 4 ? 0xcc : 0xf0) & KEY_MASK;
    return vector * FLOATS & bit ? KEY_MASK : 0;
}

/* Elements whose run of 'size' states is sorted downwards. */
static INLINE int elements_down(int size, int width, int down, int vector, int upper)
{
    int runs = size < width ? elements_with(size, vector, upper) : 0;

    return down ? runs ^ KEY_MASK : runs;
}

static INLINE void exchange(keys *a, keys *b, int down)
{
    keys low = k_min(*a, *b), high = k_max(*a, *b);

    *a = k_select(down, high, low);
    *b = k_select(down, low, high);
}

/* Compares states whose index differs in 'bit' and puts them in the order that their run of 'size' wants. */
static INLINE void compare(keys key[][2], int width, int bit, int size, int down)
{
    int count = vectors_of(width), far = bit / FLOATS;

    if (bit == 2) {
        UNROLL
        for (int i = 0; i < count; i++)
            exchange(&key[i][0], &key[i][1], elements_down(size, width, down, i, 0));
        return;
    }
    if (far > 0) {
        UNROLL
        for (int i = 0; i < count; i++)
            if (!(i & far)) {
                exchange(&key[i][0], &key[i | far][0], elements_down(size, width, down, i, 0));
                exchange(&key[i][1], &key[i | far][1], elements_down(size, width, down, i, 1));
            }
        return;
    }
    UNROLL
    for (int i = 0; i < count; i++)
        UNROLL
    for (int upper = 0; upper < 2; upper++) {
        keys mine = key[i][upper], other = k_swap(mine, bit);
        int takes_high = elements_with(bit, i, upper) ^ elements_down(size, width, down, i, upper);

        key[i][upper] = k_min_or_max(mine, other, takes_high);
    }
}

/* Runs of 'size' states that rise and then fall, or the other way round, become sorted. */
static INLINE void merge(keys key[][2], int width, int size, int down)
{
    if (size >= 64)
        compare(key, width, 32, size, down);
    if (size >= 32)
        compare(key, width, 16, size, down);
    if (size >= 16)
        compare(key, width, 8, size, down);
    if (size >= 8)
        compare(key, width, 4, size, down);
    if (size >= 4)
        compare(key, width, 2, size, down);
    compare(key, width, 1, size, down);
}

/* Sorts the states of every lane. */
static INLINE void sort(keys key[][2], int width, int down)
{
    merge(key, width, 2, down);
    if (width >= 4)
        merge(key, width, 4, down);
    if (width >= 8)
        merge(key, width, 8, down);
    if (width >= 16)
        merge(key, width, 16, down);
    if (width >= 32)
        merge(key, width, 32, down);
    if (width >= 64)
        merge(key, width, 64, down);
}

/* The best of 'best' (sorted upwards) and 'key' (in any order) become 'best'. */
static INLINE void take_best(keys best[][2], keys key[][2], int width)
{
    int count = vectors_of(width);

    sort(key, width, 1);
    UNROLL
    for (int i = 0; i < count; i++) {
        best[i][0] = k_min(best[i][0], key[i][0]);
        best[i][1] = k_min(best[i][1], key[i][1]);
    }
    merge(best, width, width, 0);
}

/* ---- one row ---------------------------------------------------------------------------------------------- */

/* What a row of the factor says to all states, and the levels where codes count those of a table (from -128, so that
 * their place in a key is their number); NULL where codes are values. */
struct row {
    floats diagonal, inverse, lowest, highest;
    const float *levels;
    int32_t level_count;
};

/* Where each survivor of a vector is on its way outwards: the next codes on both sides, and what they would cost. */
struct way {
    floats cost, t, v, step, inverse, up, down, up_total, down_total;
};

static INLINE void make_keys(keys key[2], floats total, floats code, ints id)
{
    ints bits = i_add(i_from_bits(f_min(total, f_all(INFINITY))), i_all(COST_BIAS));
    ints low = i_add(id, i_from_codes(code));

    key[0] = k_lower(low, bits);
    key[1] = k_upper(low, bits);
}

/* What a code stands for; of what is no code, anything finite. */
static INLINE floats value_of(const float *levels, floats code)
{
    return levels ? f_lookup(levels, i_from_codes(code), TABLE_VECTORS) : code;
}

/* Infinite where 'code' is none. */
static INLINE floats total_of(const struct way *way, const struct row *row, floats code)
{
    floats e = f_sub(way->v, f_mul(way->step, value_of(row->levels, code)));
    floats residual = f_add(way->t, f_mul(row->diagonal, e));
    floats total = f_add(way->cost, f_mul(residual, residual)), none = f_all(INFINITY);

    return f_select(f_at_most(row->lowest, code), f_select(f_at_most(code, row->highest), total, none), none);
}

/* Before the first code. */
static INLINE void start_way(struct way *way, const struct row *row)
{
    floats rounder = f_all(ROUNDER), one = f_all(1.0F);
    floats wanted = f_mul(f_add(way->v, f_mul(way->t, row->inverse)), way->inverse);
    floats below = f_min(f_max(f_sub(wanted, f_all(0.5F)), f_sub(row->lowest, one)), row->highest);

    way->down = f_sub(f_add(below, rounder), rounder);
    if (row->levels) {
        way->down = f_all(-(float)CODE_BIAS - 1.0F);
        for (int32_t i = 0; i < row->level_count; i++)
            way->down = f_select(f_at_most(f_all(row->levels[i]), wanted), f_all((float)(i - CODE_BIAS)), way->down);
    }
    way->up = f_add(way->down, one);
    way->down_total = total_of(way, row, way->down);
    way->up_total = total_of(way, row, way->up);
}

/* The next code outwards and its total. */
static INLINE floats next_code(struct way *way, const struct row *row, floats *total)
{
    mask upwards = f_at_most(way->up_total, way->down_total);
    floats code = f_select(upwards, way->up, way->down);
    floats next = f_add(code, f_select(upwards, f_all(1.0F), f_all(-1.0F))), next_total = total_of(way, row, next);

    *total = f_min(way->up_total, way->down_total);
    way->up = f_select(upwards, next, way->up);
    way->up_total = f_select(upwards, next_total, way->up_total);
    way->down = f_select(upwards, way->down, next);
    way->down_total = f_select(upwards, way->down_total, next_total);
    return code;
}

/* The most that an extension may cost to be among the best of its lane: one that costs as much may come before the last
 * of them. Finite, so that what is no extension costs more. */
static INLINE floats worst_of(keys best[][2], const struct places *places, int width, int vector)
{
    int of_lane = lane_vectors(width), last = vector / of_lane * of_lane + of_lane - 1;
    ints bits = i_sub(k_high(best[last][0], best[last][1]), i_all(COST_BIAS));

    return f_min(f_lookup_one(f_from_bits(bits), i_load(places->last)), f_all(FLT_MAX));
}

/* What is one number for a lane, for each of its states. */
static INLINE floats of_lanes(const float *lanes, const struct places *places, int width, int vector)
{
    if (width >= FLOATS)
        return f_all(lanes[vector / lane_vectors(width)]);
    return f_lookup_one(f_load(lanes + vector * (FLOATS / width)), i_load(places->lane));
}

/* Finds the best extensions of every lane. */
static INLINE void extend(const struct group *group, int64_t k, const struct row *row, const struct places *places,
                          int width, keys best[][2])
{
    int count = vectors_of(width);
    struct way way[MOST_VECTORS];
    floats total[MOST_VECTORS], code[MOST_VECTORS];

    UNROLL
    for (int i = 0; i < count; i++) {
        way[i].cost = f_load(group->cost + i * FLOATS);
        way[i].t = f_load(group->t[k] + i * FLOATS);
        way[i].v = of_lanes(group->v[k], places, width, i);
        way[i].step = of_lanes(group->step[k], places, width, i);
        way[i].inverse = of_lanes(group->inverse[k], places, width, i);
        start_way(&way[i], row);
        code[i] = next_code(&way[i], row, &total[i]);
        make_keys(best[i], total[i], code[i], i_load(places->id + i * FLOATS));
    }
    sort(best, width, 0);
    for (int32_t turn = 1;; turn++) {
        keys key[MOST_VECTORS][2];
        bool any = false;

        UNROLL
        for (int i = 0; i < count; i++) {
            code[i] = next_code(&way[i], row, &total[i]);
            any |= f_any_at_most(total[i], worst_of(best, places, width, i));
        }
        if (!any)
            return;
        UNROLL
        for (int i = 0; i < count; i++)
            make_keys(key[i], total[i], code[i], i_add(i_load(places->id + i * FLOATS), i_all(turn << TURN_SHIFT)));
        take_best(best, key, width);
    }
}

/* The survivors become the best extensions. */
static INLINE void choose(struct group *group, int64_t k, const float *levels, const struct places *places, int width,
                          keys best[][2])
{
    int count = vectors_of(width);

    UNROLL
    for (int i = 0; i < count; i++) {
        ints low = k_low(best[i][0], best[i][1]);
        ints parent = i_and(i_shift_right(low, SURVIVOR_SHIFT), i_all(width - 1));
        floats code = f_from_codes(i_and(low, i_all(CODE_MASK)));
        floats v = of_lanes(group->v[k], places, width, i), step = of_lanes(group->step[k], places, width, i);

        if (width < FLOATS)
            parent = i_add(parent, i_load(places->base));
        f_store(group->cost + i * FLOATS, f_from_bits(i_sub(k_high(best[i][0], best[i][1]), i_all(COST_BIAS))));
        f_store(group->e[k] + i * FLOATS, f_sub(v, f_mul(step, value_of(levels, code))));
        i_store(group->parent[k] + i * FLOATS, parent);
    }
}

/* The rows before row k follow the survivors that were chosen for it, and learn what their codes add. */
static INLINE void follow_row(struct group *group, int64_t k, const float *r, int64_t ldr, int width)
{
    int count = vectors_of(width), of_lane = lane_vectors(width);

    for (int64_t row = 0; row < k; row++) {
        floats rik = f_all(r[row * ldr + k]), after[MOST_VECTORS];

        UNROLL
        for (int i = 0; i < count; i++) {
            int lane = i / of_lane * of_lane * FLOATS;
            ints parent = i_load(group->parent[k] + i * FLOATS);

            after[i] =
                f_add(f_lookup(group->t[row] + lane, parent, of_lane), f_mul(rik, f_load(group->e[k] + i * FLOATS)));
        }
        UNROLL
        for (int i = 0; i < count; i++)
            f_store(group->t[row] + i * FLOATS, after[i]);
    }
}

/* ---- one block -------------------------------------------------------------------------------------------- */

/* Lanes first..first+lanes-1 into a group; room that is left over holds lanes without survivors. */
static INLINE void load_group(struct group *group, const struct bsq_beam_block *block, int64_t first, int64_t lanes,
                              int64_t width)
{
    int64_t states = block->lanes * width, from = first * width;
    size_t row = (size_t)(lanes * width) * sizeof(float), line = (size_t)lanes * sizeof(float);

    for (int64_t k = 0; k < block->rows; k++) {
        memcpy(group->t[k], block->t + k * states + from, row);
        memcpy(group->v[k], block->v + k * block->ldv + first, line);
        memcpy(group->step[k], block->step + k * block->lds + first, line);
        memcpy(group->inverse[k], block->inverse + k * block->lds + first, line);
    }
    memcpy(group->cost, block->cost + from, row);
}

static INLINE void clear_group(struct group *group)
{
    memset(group, 0, sizeof *group);
    for (int i = 0; i < MOST_STATES; i++)
        group->cost[i] = INFINITY;
    for (int k = 0; k < BSQ_BEAM_ROWS; k++)
        for (int i = 0; i < MOST_STATES / 2 + FLOATS; i++)
            group->step[k][i] = group->inverse[k][i] = 1.0F;
}

/* Back along each path, from the row decided last. */
static INLINE void trace(struct group *group, int64_t rows, int width, int32_t *parent)
{
    int count = vectors_of(width), of_lane = lane_vectors(width);
    ints at[MOST_VECTORS];

    UNROLL
    for (int i = 0; i < count; i++) {
        at[i] = i_load(group->parent[0] + i * FLOATS);
        for (int64_t k = 1; k < rows; k++) {
            int lane = i / of_lane * of_lane * FLOATS;
            floats e = f_lookup(group->e[k] + lane, at[i], of_lane);

            f_store(group->t[k] + i * FLOATS, e);
            at[i] = i_lookup(group->parent[k] + lane, at[i], of_lane);
        }
        f_store(group->t[0] + i * FLOATS, f_load(group->e[0] + i * FLOATS));
        i_store(parent + i * FLOATS, i_and(at[i], i_all(width - 1)));
    }
}

static INLINE void store_group(struct group *group, const struct bsq_beam_block *block, int64_t first, int64_t lanes,
                               int64_t width)
{
    _Alignas(64) int32_t parent[MOST_STATES];
    int64_t states = block->lanes * width, from = first * width;
    size_t row = (size_t)(lanes * width) * sizeof(float);

    trace(group, block->rows, (int)width, parent);
    for (int64_t k = 0; k < block->rows; k++)
        memcpy(block->e + k * states + from, group->t[k], row);
    memcpy(block->cost + from, group->cost, row);
    memcpy(block->parent + from, parent, (size_t)(lanes * width) * sizeof *parent);
}

static INLINE void search_group(struct group *group, const struct bsq_beam_block *block, const struct places *places,
                                int width, const float *levels)
{
    float lowest = levels ? -(float)CODE_BIAS : block->lowest;
    float highest = levels ? (float)(block->level_count - 1 - CODE_BIAS) : block->highest;

    for (int64_t k = block->rows - 1; k >= 0; k--) {
        float diagonal = block->r[k * block->ldr + k];
        struct row row = {f_all(diagonal), f_all(1.0F / diagonal), f_all(lowest), f_all(highest),
                          levels,          block->level_count};
        keys best[MOST_VECTORS][2];

        extend(group, k, &row, places, width, best);
        choose(group, k, levels, places, width, best);
        follow_row(group, k, block->r, block->ldr, width);
    }
}

/* 'width' is a constant where this is called, and 'levels' NULL or the block's: every loop over vectors and every mask
 * is then one, too. */
static INLINE void search_lanes(const struct bsq_beam_block *block, int width, const float *levels)
{
    const struct places places = places_of(width);
    int64_t room = vectors_of(width) * FLOATS / width, first = 0;
    struct group group;

    clear_group(&group);
    for (; first + room <= block->lanes; first += room) {
        load_group(&group, block, first, room, width);
        search_group(&group, block, &places, width, levels);
        store_group(&group, block, first, room, width);
    }
    if (first < block->lanes) {
        clear_group(&group);
        load_group(&group, block, first, block->lanes - first, width);
        search_group(&group, block, &places, width, levels);
        store_group(&group, block, first, block->lanes - first, width);
    }
}

/* One function each, so that compilers optimise them one at a time. */
static NOINLINE void search_2(const struct bsq_beam_block *block)
{
    search_lanes(block, 2, NULL);
}

static NOINLINE void search_4(const struct bsq_beam_block *block)
{
    search_lanes(block, 4, NULL);
}

static NOINLINE void search_8(const struct bsq_beam_block *block)
{
    search_lanes(block, 8, NULL);
}

static NOINLINE void search_16(const struct bsq_beam_block *block)
{
    search_lanes(block, 16, NULL);
}

static NOINLINE void search_32(const struct bsq_beam_block *block)
{
    search_lanes(block, 32, NULL);
}

static NOINLINE void search_64(const struct bsq_beam_block *block)
{
    search_lanes(block, 64, NULL);
}

/* The same for tables, at the widths that efforts have (effort.c). */
static NOINLINE void search_table_16(const struct bsq_beam_block *block)
{
    search_lanes(block, 16, block->levels);
}

static NOINLINE void search_table_64(const struct bsq_beam_block *block)
{
    search_lanes(block, 64, block->levels);
}

/* ---- error feedback --------------------------------------------------------------------------------------- */

enum { FEEDBACK_VECTORS = 4, FEEDBACK_LANES = FEEDBACK_VECTORS * FLOATS };

/* The errors of the rows decided before row k, added up in the order in which portable.c does. */
static INLINE void feed(floats t[FEEDBACK_VECTORS], const float (*e)[FEEDBACK_LANES], const float *r, int64_t k,
                        int64_t rows, int vectors)
{
    for (int64_t j = k + 1; j < rows; j++) {
        floats rkj = f_all(r[j]);

        UNROLL
        for (int i = 0; i < vectors; i++)
            t[i] = f_add(t[i], f_mul(rkj, f_load(e[j] + i * FLOATS)));
    }
}

/* The nearest level of a table, of two as near the upper one. */
static INLINE floats nearest_level(floats x, const float *levels, int32_t count)
{
    floats nearest = f_all(levels[0]);

    for (int32_t i = 1; i < count; i++)
        nearest = f_select(f_at_most(f_all(0.5F * (levels[i - 1] + levels[i])), x), f_all(levels[i]), nearest);
    return nearest;
}

/* As many lanes as fill 'vectors', from 'first' on, all of which there are. */
static INLINE void feedback(const struct bsq_beam_block *block, int64_t first, int vectors, const float *levels)
{
    int64_t lanes = block->lanes;
    _Alignas(64) float e[BSQ_BEAM_ROWS][FEEDBACK_LANES];
    floats cost[FEEDBACK_VECTORS], t[FEEDBACK_VECTORS], rounder = f_all(ROUNDER);
    floats lowest = f_all(block->lowest), highest = f_all(block->highest);

    UNROLL
    for (int i = 0; i < vectors; i++)
        cost[i] = f_load(block->cost + first + i * FLOATS);
    for (int64_t k = block->rows - 1; k >= 0; k--) {
        const float *r = block->r + k * block->ldr;
        floats diagonal = f_all(r[k]), inverse = f_all(1.0F / r[k]);

        UNROLL
        for (int i = 0; i < vectors; i++)
            t[i] = f_load(block->t + k * lanes + first + i * FLOATS);
        feed(t, (const float(*)[FEEDBACK_LANES])e, r, k, block->rows, vectors);
        UNROLL
        for (int i = 0; i < vectors; i++) {
            int64_t lane = first + i * FLOATS, at = k * block->lds + lane;
            floats v = f_load(block->v + k * block->ldv + lane);
            floats code = f_mul(f_add(v, f_mul(t[i], inverse)), f_load(block->inverse + at)), residual;

            if (levels) {
                code = nearest_level(code, levels, block->level_count);
            } else {
                code = f_min(f_max(code, lowest), highest);
                code = f_sub(f_add(code, rounder), rounder);
            }
            v = f_sub(v, f_mul(f_load(block->step + at), code));
            residual = f_add(t[i], f_mul(diagonal, v));
            cost[i] = f_add(cost[i], f_mul(residual, residual));
            f_store(e[k] + i * FLOATS, v);
            f_store(block->e + k * lanes + lane, v);
        }
    }
    UNROLL
    for (int i = 0; i < vectors; i++)
        f_store(block->cost + first + i * FLOATS, cost[i]);
}

static INLINE void feed_lanes(const struct bsq_beam_block *block, const float *levels)
{
    int64_t first = 0;

    for (; first + FEEDBACK_LANES <= block->lanes; first += FEEDBACK_LANES)
        feedback(block, first, FEEDBACK_VECTORS, levels);
    for (; first + FLOATS <= block->lanes; first += FLOATS)
        feedback(block, first, 1, levels);
    bsq_beam_feedback(block, first);
}

static NOINLINE void search_1(const struct bsq_beam_block *block)
{
    feed_lanes(block, NULL);
}

static NOINLINE void search_table_1(const struct bsq_beam_block *block)
{
    feed_lanes(block, block->levels);
}

/* ---- all -------------------------------------------------------------------------------------------------- */

static void search_table(const struct bsq_beam_block *block)
{
    switch (block->level_count > TABLE_LEVELS ? 0 : block->width) {
    case 1: search_table_1(block); break;
    case 16: search_table_16(block); break;
    case 64: search_table_64(block); break;
    default: bsq_kernels_portable.beam(block); break;
    }
}

static void beam(const struct bsq_beam_block *block)
{
    if (block->levels) {
        search_table(block);
        return;
    }
    switch (block->width) {
    case 1: search_1(block); break;
    case 2: search_2(block); break;
    case 4: search_4(block); break;
    case 8: search_8(block); break;
    case 16: search_16(block); break;
    case 32: search_32(block); break;
    case 64: search_64(block); break;
    default: bsq_kernels_portable.beam(block); break;
    }
}
