/* See running.h. */
#include "running.h"

#include <stdio.h>
#include <stdlib.h>

static int64_t read_clock(void *context) {
    struct running *running = context;
    int64_t now_us = atomic_load(&running->clock_us);
    return now_us ? now_us : clock_realtime(NULL);
}

static void note_state(void *context, enum issuer_state state, const char *why) {
    struct running *running = context;
    pthread_mutex_lock(&running->lock);
    assert(running->state_count < COUNT_OF(running->states));
    running->states[running->state_count++] = state;
    snprintf(running->why, sizeof(running->why), "%s", why);
    pthread_cond_broadcast(&running->changed);
    pthread_mutex_unlock(&running->lock);
}

static void note_done(struct job *job) {
    struct running *running = job->context;
    pthread_mutex_lock(&running->lock);
    running->done++;
    pthread_cond_broadcast(&running->changed);
    pthread_mutex_unlock(&running->lock);
}

int running_setup(void **state) {
    struct running *running = calloc(1, sizeof(*running));
    assert_non_null(running);
    faulty_vfs_register();
    folder_make(running->folder);
    pthread_mutex_init(&running->lock, NULL);
    pthread_cond_init(&running->changed, NULL);
    issuer_local_options_default(&running->options);
    running->options.directory = running->folder;
    running->options.vfs = FAULTY_VFS;
    running->options.coupons_max = 64;
    running->options.probe_interval_us = 3600 * US_PER_SECOND;
    running->options.clock_source = read_clock;
    running->options.clock_context = running;
    running->options.state_changed = note_state;
    running->options.context = running;
    *state = running;
    return 0;
}

int running_teardown(void **state) {
    struct running *running = *state;
    assert_null(running->issuer);
    faulty_vfs_write_fails(0);
    faulty_vfs_sync_fails(0);
    folder_remove(running->folder);
    pthread_cond_destroy(&running->changed);
    pthread_mutex_destroy(&running->lock);
    free(running);
    return 0;
}

void running_start(struct running *running) {
    struct complaint complaint = {0};
    running->done = 0;
    running->state_count = 0;
    digest_key_random(&running->options.digest_key);
    if (issuer_local_start(&running->options, &running->issuer, &complaint)) {
        fail_msg("%s", complaint.text);
    }
    running_wait_state(running, 1);
}

void running_stop(struct running *running) {
    struct complaint complaint = {0};
    if (issuer_stop(running->issuer, &complaint)) {
        fail_msg("%s", complaint.text);
    }
    assert_int_equal(issuer_state(running->issuer), ISSUER_STOPPING);
    issuer_free(running->issuer);
    running->issuer = NULL;
}

enum issuer_state running_wait_state(struct running *running, size_t count) {
    pthread_mutex_lock(&running->lock);
    while (running->state_count < count) {
        pthread_cond_wait(&running->changed, &running->lock);
    }
    enum issuer_state state = running->states[count - 1];
    pthread_mutex_unlock(&running->lock);
    return state;
}

void running_wait_done(struct running *running, size_t count) {
    pthread_mutex_lock(&running->lock);
    while (running->done < count) {
        pthread_cond_wait(&running->changed, &running->lock);
    }
    pthread_mutex_unlock(&running->lock);
}

/* ---- jobs ---- */

struct command running_command(struct running *running, enum job_kind kind) {
    return (struct command){.job = {.kind = kind, .done = note_done, .context = running}};
}

void running_submit(struct running *running, struct job *job) {
    assert_int_equal(issuer_submit(running->issuer, job), STATUS_OK);
}

static size_t done_so_far(struct running *running) {
    pthread_mutex_lock(&running->lock);
    size_t done = running->done;
    pthread_mutex_unlock(&running->lock);
    return done;
}

int running_do(struct running *running, struct command *command) {
    size_t done = done_so_far(running);
    running_submit(running, &command->job);
    running_wait_done(running, done + 1);
    return command->status;
}

void running_make_coupon(struct running *running, uint64_t id, int64_t total) {
    struct command command = running_command(running, JOB_COUPON_CREATE);
    command.coupon = coupon_example(id, total, 0, TIME_US_MAX);
    assert_int_equal(running_do(running, &command), STATUS_OK);
}

void single_init(struct single *single, struct running *running, uint64_t coupon_id,
                 const char *user) {
    *single = (struct single){0};
    snprintf(single->user, sizeof(single->user), "%s", user);
    single->claim.coupon_id = coupon_id;
    single->claim.user_id = slice_of(single->user);
    single->claim.user = issuer_user_digest(running->issuer, single->claim.user_id);
    single->batch.job = (struct job){.kind = JOB_CLAIMS, .done = note_done, .context = running};
    single->batch.claims = &single->claim;
    single->batch.count = 1;
}

enum verdict running_claim(struct running *running, uint64_t coupon_id, const char *user) {
    struct single single;
    size_t done = done_so_far(running);
    single_init(&single, running, coupon_id, user);
    running_submit(running, &single.batch.job);
    running_wait_done(running, done + 1);
    return single.claim.verdict;
}

/* A core of its own loads the record, which is what finds gaps and users with two. */
void assert_record(const char *folder, uint64_t coupon_id, uint32_t count) {
    struct world world = {.coupons_max = 64};
    snprintf(world.folder, sizeof(world.folder), "%s", folder);
    world_open(&world);
    if (core_load(world.core, NULL, NULL)) {
        fail_msg("%s", world.core->why.text);
    }
    assert_coupon_agrees(&world, coupon_id, count);
    world_close(&world);
}
