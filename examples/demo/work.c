/* work.c - the demo's own loops on several threads, and a clock
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "work.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct range {
    work_fn fn;
    void *context;
    int64_t first, end;
};

static void *run_range(void *opaque)
{
    struct range *range = opaque;
    range->fn(range->context, range->first, range->end);
    return NULL;
}

void work_run(int threads, int64_t count, work_fn fn, void *context)
{
    struct range ranges[WORK_MAX_THREADS];
    pthread_t ids[WORK_MAX_THREADS];
    int started[WORK_MAX_THREADS] = {0};
    for (int i = 0; i < threads; i++) {
        ranges[i] = (struct range){fn, context, count * i / threads, count * (i + 1) / threads};
        started[i] = i > 0 && pthread_create(&ids[i], NULL, run_range, &ranges[i]) == 0;
    }
    for (int i = 0; i < threads; i++) {
        if (!started[i]) {
            run_range(&ranges[i]);
        }
    }
    for (int i = 0; i < threads; i++) {
        if (started[i]) {
            pthread_join(ids[i], NULL);
        }
    }
}

int work_threads(void)
{
    int64_t online = (int64_t)sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : online > WORK_MAX_THREADS ? WORK_MAX_THREADS : (int)online;
}

double work_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void *work_alloc(int64_t count, size_t size)
{
    void *block = calloc(count > 0 ? (size_t)count : 1, size);
    if (!block) {
        fputs("demo: out of memory\n", stderr);
        exit(1);
    }
    return block;
}
