/* A redis issuer on the real servers that COUPON_CONTRACT_LEDGER and COUPON_CONTRACT_REDIS name,
 * and a link beside it that does a worker's work when the test says so. For the tests of the issuer
 * and of src/partition under answers that no sound server gives (scripted.h) and failures
 * (failing.h). */
#ifndef COUPON_TESTS_CONTRACT_REDIS_SCENE_H
#define COUPON_TESTS_CONTRACT_REDIS_SCENE_H

#include "claims.h"
#include "issuer/issuer.h"
#include "partition/partition.h"

#include <pthread.h>

#define CROWD_MAX   4
#define PATIENCE_MS 20000
#define LONG_MS     60000 /* no claim of these tests waits for its deadline */
#define SHORT_MS    300
#define OFTEN       100 /* more calls than fit SHORT_MS */

/* A job that was handed over, and whether it is done. */
struct handed {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

/* Some claims of one batch. */
struct crowd {
    struct claim_batch batch;
    struct claim claims[CROWD_MAX];
    char users[CROWD_MAX][USER_ID_MAX + 1];
    struct handed handed;
};

struct scene {
    struct ledger *ledger;         /* a look past them all */
    struct partition_link *worker; /* the test's thread */
    struct issuer *issuer;
    uint64_t coupon_id; /* open, without a limit */
    unsigned partition;
    char why[256]; /* of the last time that it became unable; guarded by lock */
    pthread_mutex_t lock;
};

/* Redis is emptied first. Its partitions have no gates yet. */
void scene_begin(struct scene *scene, void **state);
void scene_end(struct scene *scene); /* also judges the coupon's record; stops what runs */
struct issuer_redis_options scene_options(struct scene *scene, void **state);
/* Starts the issuer, and waits until it is ready. `answer_timeout_ms`: of its claims. */
void scene_start_with(struct scene *scene, const struct issuer_redis_options *options);
void scene_start(struct scene *scene, void **state, unsigned answer_timeout_ms);
void scene_stop(struct scene *scene);
/* Begins and starts it, with the gate open, the coupon loaded, and rank 1 issued to "first". */
void scene_warm(struct scene *scene, void **state, unsigned answer_timeout_ms);
void scene_stop_and_start(struct scene *scene, void **state, unsigned answer_timeout_ms);

/* Waits until the condition holds. */
#define wait_until(condition)                                                                      \
    do {                                                                                           \
        for (unsigned scene_ms = 0; scene_ms < PATIENCE_MS && !(condition); scene_ms++) {          \
            usleep(1000);                                                                          \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

/* Hands a job over, which must be taken, and waits for it. */
void handed_begin(struct scene *scene, struct handed *handed, struct job *job);
bool handed_is_done(struct handed *handed);
void never_done(struct job *job); /* of a job that is not to be taken */
void do_job(struct scene *scene, struct job *job);

/* Claims of one user, or of many with names that begin so, are on their way. */
void crowd_begin(struct scene *scene, struct crowd *crowd, const char *user, size_t count);
/* Waits for their answers, while a worker settles or none does. */
void crowd_settled(struct scene *scene, struct crowd *crowd);
void crowd_unsettled(struct scene *scene, struct crowd *crowd);
/* One claim from beginning to end, settled; and one that no worker settles. */
struct claim claim_once(struct scene *scene, const char *user);
enum verdict verdict_unsettled(struct scene *scene, const char *user);
#define assert_claimed(scene, user, expected_verdict, expected_rank)                               \
    do {                                                                                           \
        struct claim scene_claim = claim_once(scene, user);                                        \
        assert_int_equal(scene_claim.verdict, expected_verdict);                                   \
        assert_int_equal(scene_claim.rank, expected_rank);                                         \
    } while (0)

/* A worker's turn on the coupon's partition, whatever comes of it. */
void worker_turn(struct scene *scene);
/* A command of the test's own to Redis. */
void redis_do(struct scene *scene, const char *const *words, size_t count);
void redis_empty(struct scene *scene);
/* Every reader and writer of `partitions` waits until the session ends; see place.h. */
void *partitions_locked(void **state);

#endif
