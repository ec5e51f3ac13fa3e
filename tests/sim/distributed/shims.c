/* What the product asks of the C library, answered by the scheduler: clocks, threads, locks,
 * conditions, memory, random bytes. The linker puts these in their place (--wrap), in the
 * product's objects as they are; so nothing in src/ knows of it.
 *
 * Locks exclude nobody here: a fiber is left only where it waits, and the product waits nowhere
 * with a lock held but in pthread_cond_wait(). Taking one may let others go first. */
#include "sim/distributed/scheduler.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* 2026-01-01T00:00:00Z */
static const int64_t REALTIME_BEGIN_US = INT64_C(1767225600) * US_PER_SECOND;

int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time);
int __wrap_nanosleep(const struct timespec *request, struct timespec *rest);
int __wrap_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *context);
int __wrap_pthread_join(pthread_t thread, void **ret_value);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_signal(pthread_cond_t *condition);
int __wrap_pthread_cond_broadcast(pthread_cond_t *condition);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);
void __wrap_randombytes_buf(void *bytes, size_t size);

/* ---- time ---- */

int64_t realtime_us(void) {
    return REALTIME_BEGIN_US + now_us();
}

int64_t process_monotonic_us(const struct process *process) {
    return now_us() - (process ? process->boot_us : 0);
}

int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time) {
    const struct process *process = process_self();
    int64_t time_us = id == CLOCK_MONOTONIC
                          ? process_monotonic_us(process)
                          : realtime_us() + (process ? process->clock_skew_us : 0);
    *ret_time = (struct timespec){.tv_sec = time_us / US_PER_SECOND,
                                  .tv_nsec = time_us % US_PER_SECOND * 1000};
    return 0;
}

int __wrap_nanosleep(const struct timespec *request, struct timespec *rest) {
    (void)rest;
    fiber_sleep(request->tv_sec * US_PER_SECOND + request->tv_nsec / 1000);
    return 0;
}

/* ---- threads ---- */

struct thread {
    void *(*run)(void *context);
    void *context;
    struct fiber *fiber;
};

static void thread_run(void *context) {
    struct thread *thread = context;
    thread->run(thread->context);
}

int __wrap_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *context) {
    struct thread *thread = world_alloc(sizeof(*thread));
    (void)attributes;
    *thread = (struct thread){.run = run, .context = context};
    thread->fiber = fiber_new(process_self(), thread_run, thread);
    *ret_thread = (pthread_t)thread;
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret_value) {
    const struct fiber *fiber = ((const struct thread *)thread)->fiber;
    (void)ret_value;
    while (!fiber_is_over(fiber)) {
        fiber_wait(fiber, INT64_MAX);
    }
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex) {
    (void)mutex;
    if (fiber_self() && random_chance(dice(), 1, 32)) {
        fiber_sleep(random_between(dice(), 1, 60));
    }
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex) {
    (void)mutex;
    return 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
    (void)mutex;
    fiber_wait(condition, INT64_MAX);
    return 0;
}

/* Of CLOCK_MONOTONIC: the product's only such wait says so. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until) {
    (void)mutex;
    int64_t until_us = until->tv_sec * US_PER_SECOND + until->tv_nsec / 1000;
    return fiber_wait(condition, until_us + process_self()->boot_us) ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_signal(pthread_cond_t *condition) {
    fibers_wake(condition, false);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition) {
    fibers_wake(condition, true);
    return 0;
}

/* ---- memory and chance ---- */

void *__wrap_malloc(size_t size) {
    return process_memory(size, false);
}

void *__wrap_calloc(size_t count, size_t size) {
    return process_memory(count * size, true);
}

void *__wrap_realloc(void *memory, size_t size) {
    return process_memory_again(memory, size);
}

void __wrap_free(void *memory) {
    process_memory_free(memory);
}

void __wrap_randombytes_buf(void *bytes, size_t size) {
    unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++) {
        at[i] = (unsigned char)random_next(dice());
    }
}
