/* work.h - the demo's own loops on several threads, and a clock
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DEMO_WORK_H
#define DEMO_WORK_H

#include <stddef.h>
#include <stdint.h>

enum { WORK_MAX_THREADS = 64 };

typedef void (*work_fn)(void *context, int64_t first, int64_t end);

/* Calls fn(context, first, end) for 'threads' ranges that together are 0..count, and returns when all have returned. */
void work_run(int threads, int64_t count, work_fn fn, void *context);

/* How many threads this machine can run at one time, at most WORK_MAX_THREADS. */
int work_threads(void);

double work_seconds(void);

/* Memory for count elements, zeroed. The demo ends with a message when there is none. */
void *work_alloc(int64_t count, size_t size);

#endif
