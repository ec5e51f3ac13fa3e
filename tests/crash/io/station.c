/* See station.h. */
#include "station.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct issuer *issuer;
    _Atomic int64_t now_us;
    bool writer_known;
    pthread_t writer;
    uint64_t waits;      /* how often the writer began to wait … */
    uint64_t done_waits; /* … when it finished the job */
    bool done;
    bool published; /* a state, since the start */
    bool was_unwritable;
    enum issuer_state state;
    char why[512];
} station = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* ---- the writer's thread ---- */

int __real_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock);
int __real_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *lock,
                                  const struct timespec *until);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *lock,
                                  const struct timespec *until);

/* The queue is empty and locked by now, so whoever sees this can only bring new work. */
static void note_wait(void) {
    pthread_mutex_lock(&station.lock);
    if (station.writer_known && pthread_equal(pthread_self(), station.writer)) {
        station.waits++;
        pthread_cond_broadcast(&station.changed);
    }
    pthread_mutex_unlock(&station.lock);
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock) {
    note_wait();
    return __real_pthread_cond_wait(condition, lock);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *lock,
                                  const struct timespec *until) {
    note_wait();
    return __real_pthread_cond_timedwait(condition, lock, until);
}

static void on_state(void *context, enum issuer_state state, const char *why) {
    (void)context;
    pthread_mutex_lock(&station.lock);
    station.writer = pthread_self();
    station.writer_known = true;
    station.published = true;
    station.done_waits = station.waits;
    station.was_unwritable |= state == ISSUER_UNWRITABLE;
    station.state = state;
    snprintf(station.why, sizeof(station.why), "%s", why);
    pthread_cond_broadcast(&station.changed);
    pthread_mutex_unlock(&station.lock);
}

static void on_done(struct job *job) {
    (void)job;
    pthread_mutex_lock(&station.lock);
    station.done = true;
    station.done_waits = station.waits;
    pthread_cond_broadcast(&station.changed);
    pthread_mutex_unlock(&station.lock);
}

static int64_t read_clock(void *context) {
    (void)context;
    return atomic_load(&station.now_us);
}

/* ---- ours ---- */

void station_set_clock(int64_t now_us) {
    atomic_store(&station.now_us, now_us);
}

static void rest_locked(void) {
    while (station.waits == station.done_waits) {
        __real_pthread_cond_wait(&station.changed, &station.lock);
    }
}

int station_start(const char *folder, const char *vfs, struct complaint *complaint) {
    struct issuer_local_options options;
    assert(!station.issuer);
    issuer_local_options_default(&options);
    options.directory = folder;
    options.vfs = vfs;
    options.coupons_max = 64;
    options.probe_interval_us = 2000;
    options.clock_source = read_clock;
    options.state_changed = on_state;
    digest_key_random(&options.digest_key);
    station.writer_known = false;
    station.published = false;
    station.was_unwritable = false;
    station.waits = station.done_waits = 0;
    station.state = ISSUER_STARTING;
    int status = issuer_local_start(&options, &station.issuer, complaint);
    if (status) {
        station.issuer = NULL;
        return status;
    }
    pthread_mutex_lock(&station.lock);
    while (!station.published) {
        __real_pthread_cond_wait(&station.changed, &station.lock);
    }
    rest_locked();
    pthread_mutex_unlock(&station.lock);
    return STATUS_OK;
}

int station_stop(struct complaint *complaint) {
    assert(station.issuer);
    int status = issuer_stop(station.issuer, complaint);
    issuer_free(station.issuer);
    station.issuer = NULL;
    return status;
}

bool station_is_running(void) {
    return station.issuer != NULL;
}

void station_do(struct job *job) {
    job->done = on_done;
    pthread_mutex_lock(&station.lock);
    station.done = false;
    pthread_mutex_unlock(&station.lock);
    int status = issuer_submit(station.issuer, job);
    assert(status == STATUS_OK); /* the queue is empty */
    pthread_mutex_lock(&station.lock);
    while (!station.done) {
        __real_pthread_cond_wait(&station.changed, &station.lock);
    }
    rest_locked();
    pthread_mutex_unlock(&station.lock);
}

enum issuer_state station_settle(void) {
    pthread_mutex_lock(&station.lock);
    while (station.state == ISSUER_UNWRITABLE) {
        __real_pthread_cond_wait(&station.changed, &station.lock);
    }
    rest_locked();
    enum issuer_state state = station.state;
    pthread_mutex_unlock(&station.lock);
    return state;
}

enum issuer_state station_state(void) {
    pthread_mutex_lock(&station.lock);
    enum issuer_state state = station.state;
    pthread_mutex_unlock(&station.lock);
    return state;
}

bool station_was_unwritable(void) {
    return station.was_unwritable;
}

const char *station_why(void) {
    return station.why;
}

struct issuer *station_issuer(void) {
    return station.issuer;
}
