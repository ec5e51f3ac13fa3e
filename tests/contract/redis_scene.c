#include "redis_scene.h"

#include "scripted.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- jobs ---- */

static void note_done(struct job *job) {
    struct handed *handed = job->context;
    pthread_mutex_lock(&handed->lock);
    handed->done = true;
    pthread_cond_signal(&handed->changed);
    pthread_mutex_unlock(&handed->lock);
}

void handed_begin(struct scene *scene, struct handed *handed, struct job *job) {
    *handed = (struct handed){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    job->done = note_done;
    job->context = handed;
    assert_int_equal(issuer_submit(scene->issuer, job), STATUS_OK);
}

void never_done(struct job *job) {
    (void)job;
    fail_msg("a job that was not taken is done");
}

bool handed_is_done(struct handed *handed) {
    pthread_mutex_lock(&handed->lock);
    bool done = handed->done;
    pthread_mutex_unlock(&handed->lock);
    return done;
}

static void handed_wait(struct handed *handed) {
    pthread_mutex_lock(&handed->lock);
    while (!handed->done) {
        pthread_cond_wait(&handed->changed, &handed->lock);
    }
    pthread_mutex_unlock(&handed->lock);
}

void do_job(struct scene *scene, struct job *job) {
    struct handed handed;
    handed_begin(scene, &handed, job);
    handed_wait(&handed);
}

/* ---- claims ---- */

void crowd_begin(struct scene *scene, struct crowd *crowd, const char *user, size_t count) {
    assert_true(count <= CROWD_MAX);
    for (size_t i = 0; i < count; i++) {
        snprintf(crowd->users[i], sizeof(crowd->users[i]), count == 1 ? "%s" : "%s-%zu", user, i);
        crowd->claims[i] =
            (struct claim){.coupon_id = scene->coupon_id, .user_id = slice_of(crowd->users[i])};
    }
    crowd->batch =
        (struct claim_batch){.job = {.kind = JOB_CLAIMS}, .claims = crowd->claims, .count = count};
    handed_begin(scene, &crowd->handed, &crowd->batch.job);
}

void worker_turn(struct scene *scene) {
    struct partition_progress progress;
    struct ledger_cursor cursors[PARTITION_COUNT];
    if (ledger_cursors_read(scene->ledger, cursors) == STATUS_OK) {
        partition_heard(scene->worker, scene->partition, cursors[scene->partition].epoch);
    }
    int status = partition_settle(scene->worker, scene->partition, &progress, NULL);
    (void)status; /* a worker comes again */
}

void crowd_settled(struct scene *scene, struct crowd *crowd) {
    while (!handed_is_done(&crowd->handed)) {
        worker_turn(scene);
        usleep(1000);
    }
}

void crowd_unsettled(struct scene *scene, struct crowd *crowd) {
    (void)scene;
    handed_wait(&crowd->handed);
}

struct claim claim_once(struct scene *scene, const char *user) {
    struct crowd crowd;
    crowd_begin(scene, &crowd, user, 1);
    crowd_settled(scene, &crowd);
    return crowd.claims[0];
}

enum verdict verdict_unsettled(struct scene *scene, const char *user) {
    struct crowd crowd;
    crowd_begin(scene, &crowd, user, 1);
    crowd_unsettled(scene, &crowd);
    return crowd.claims[0].verdict;
}

/* ---- the servers ---- */

static const char *redis_url(void) {
    const char *url = getenv("COUPON_CONTRACT_REDIS");
    assert_non_null(url); /* run.py sets it */
    return url;
}

void redis_do(struct scene *scene, const char *const *words, size_t count) {
    struct slice slices[8];
    assert_true(count <= COUNT_OF(slices));
    for (size_t i = 0; i < count; i++) {
        slices[i] = slice_of(words[i]);
    }
    int status = partition_call(scene->worker, slices[0], slices, count, NULL, NULL, &complaint);
    if (status != STATUS_OK) {
        fail_msg("Redis: %s: %s", status_name(status), complaint.text);
    }
}

void redis_empty(struct scene *scene) {
    redis_do(scene, (const char *const[]){"FLUSHALL"}, 1);
}

void *partitions_locked(void **state) {
    void *session = session_begin(state);
    bool postgres = strncmp(url_of(state), "postgresql", strlen("postgresql")) == 0;
    free(session_ask(session, postgres ? "BEGIN" : "LOCK TABLES partitions WRITE"));
    if (postgres) {
        free(session_ask(session, "LOCK TABLE partitions IN ACCESS EXCLUSIVE MODE"));
    }
    return session;
}

/* ---- the scene ---- */

static void note_state(void *context, enum issuer_state state, const char *why) {
    struct scene *scene = context;
    pthread_mutex_lock(&scene->lock);
    if (state == ISSUER_UNWRITABLE) {
        snprintf(scene->why, sizeof(scene->why), "%s", why);
    }
    pthread_mutex_unlock(&scene->lock);
}

struct issuer_redis_options scene_options(struct scene *scene, void **state) {
    struct issuer_redis_options options;
    issuer_redis_options_default(&options);
    options.redis_url = redis_url();
    options.ledger.url = url_of(state);
    options.refresh_interval_us = 3600 * US_PER_SECOND;
    options.state_changed = note_state;
    options.context = scene;
    return options;
}

void scene_begin(struct scene *scene, void **state) {
    *scene = (struct scene){.ledger = ledger_of(state), .lock = PTHREAD_MUTEX_INITIALIZER};
    struct partition_link_options options = {.redis = {.url = redis_url()},
                                             .ledger = {.url = url_of(state)}};
    assert_int_equal(partition_link_open(&options, &scene->worker, &complaint), STATUS_OK);
    redis_empty(scene);
    scene->coupon_id = add_open_coupon(scene->ledger, COUPON_UNLIMITED);
    scene->partition = partition_of(scene->coupon_id);
}

void scene_start_with(struct scene *scene, const struct issuer_redis_options *options) {
    int status = issuer_redis_start(options, &scene->issuer, &complaint);
    if (status != STATUS_OK) {
        fail_msg("start: %s: %s", status_name(status), complaint.text);
    }
    wait_until(issuer_state(scene->issuer) == ISSUER_READY);
}

void scene_start(struct scene *scene, void **state, unsigned answer_timeout_ms) {
    struct issuer_redis_options options = scene_options(scene, state);
    options.answer_timeout_us = (int64_t)answer_timeout_ms * 1000;
    scene_start_with(scene, &options);
}

void scene_stop(struct scene *scene) {
    assert_int_equal(issuer_stop(scene->issuer, &complaint), STATUS_OK);
    assert_int_equal(issuer_state(scene->issuer), ISSUER_STOPPING);
    issuer_free(scene->issuer);
    scene->issuer = NULL;
}

void scene_warm(struct scene *scene, void **state, unsigned answer_timeout_ms) {
    scene_begin(scene, state);
    scene_start(scene, state, answer_timeout_ms);
    assert_claimed(scene, "first", VERDICT_ISSUED, 1);
}

void scene_stop_and_start(struct scene *scene, void **state, unsigned answer_timeout_ms) {
    scene_stop(scene);
    scene_start(scene, state, answer_timeout_ms);
    assert_claimed(scene, "first", VERDICT_ALREADY_ISSUED, 1);
}

void scene_end(struct scene *scene) {
    if (scene->issuer) {
        scene_stop(scene);
    }
    assert_true(scripted_end());
    partition_link_close(scene->worker);
    (void)sound_issues(scene->ledger, scene->coupon_id);
}
