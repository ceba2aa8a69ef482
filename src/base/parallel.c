/* Independent blocks of work on threads of our own or on the host's pool. */
#include "base/parallel.h"

#include "base/floats.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* Threads beyond this are not started for one call: the handles live on the stack. */
enum { MOST_THREADS = 1024 };

struct run {
    atomic_llong next; /* the block that is taken next */
    atomic_llong done;
    int64_t end;
    bsq_work_fn work;
    void *context;
};

struct bsq_parallel bsq_parallel_of(const bsq_options_t *options)
{
    return (struct bsq_parallel){options->threads, options->parallel_for, options->parallel_opaque};
}

int32_t bsq_parallel_slots(const struct bsq_parallel *parallel, int64_t blocks)
{
    int32_t slots = parallel->threads < MOST_THREADS ? parallel->threads : MOST_THREADS;

    if (blocks < slots)
        slots = (int32_t)blocks;
    return slots > 0 ? slots : 1;
}

/* Blocks are taken from a common counter, so a slow or absent thread delays nothing: whoever is there does the rest.
 * A host's thread may come with another floating-point environment than the calling thread. */
static void run_slot(void *opaque, int64_t slot)
{
    struct run *run = opaque;
    struct bsq_floats floats;
    int64_t block;

    bsq_floats_enter(&floats);
    while ((block = atomic_fetch_add(&run->next, 1)) < run->end) {
        run->work(run->context, block, (int32_t)slot);
        atomic_fetch_add(&run->done, 1);
    }
    bsq_floats_leave(&floats);
}

struct own_thread {
    pthread_t handle;
    struct run *run;
    int32_t slot;
};

static void *own_main(void *opaque)
{
    struct own_thread *own = opaque;

    run_slot(own->run, own->slot);
    return NULL;
}

/* Signals that may be delivered to any thread belong to the host's threads. Those that a thread brings upon itself are
 * left alone: blocked, they would kill the process without asking the host's handler. */
static void fill_shared_signals(sigset_t *set)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};

    (void)sigfillset(set);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        (void)sigdelset(set, own[i]);
}

static void run_on_own_threads(struct run *run, int32_t slots)
{
    struct own_thread own[MOST_THREADS];
    int32_t started = 1;
    sigset_t shared, before;

    fill_shared_signals(&shared);
    (void)pthread_sigmask(SIG_BLOCK, &shared, &before);
    for (; started < slots; started++) {
        own[started].run = run;
        own[started].slot = started;
        if (pthread_create(&own[started].handle, NULL, own_main, &own[started]))
            break; /* the others do its share */
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    run_slot(run, 0);
    for (int32_t i = 1; i < started; i++)
        (void)pthread_join(own[i].handle, NULL);
}

bsq_status_t bsq_parallel_run(const struct bsq_parallel *parallel, int64_t first, int64_t count, bsq_work_fn work,
                              void *context, struct bsq_message *message)
{
    struct run run = {.end = first + count, .work = work, .context = context};
    int32_t slots = bsq_parallel_slots(parallel, count);

    atomic_init(&run.next, first);
    atomic_init(&run.done, 0);
    if (slots == 1)
        run_slot(&run, 0);
    else if (parallel->pool)
        parallel->pool(slots, run_slot, &run, parallel->opaque);
    else
        run_on_own_threads(&run, slots);
    if (atomic_load(&run.done) != count)
        return bsq_fail(message, BSQ_E_STATE, "parallel_for returned before all of its blocks had run");
    return BSQ_OK;
}
