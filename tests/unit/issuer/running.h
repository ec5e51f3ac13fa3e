/* What the tests of the running issuer share: one issuer in a private folder, on the faulty
 * VFS, with its changes of state and its finished jobs noted so that a test can wait for
 * them. */
#ifndef TEST_ISSUER_RUNNING_H
#define TEST_ISSUER_RUNNING_H

#include "support.h"

#include "faulty_vfs.h"

#include <pthread.h>

struct running {
    char folder[FOLDER_SIZE];
    struct issuer_local_options options; /* may be changed before running_start */
    struct issuer *issuer;
    _Atomic int64_t clock_us; /* what the clock_source says; 0: CLOCK_REALTIME */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t done; /* jobs, of all */
    size_t state_count;
    enum issuer_state states[64];
    char why[512]; /* of the newest change */
};

/* cmocka's setup and teardown: a folder, default options with room for 64 coupons and an
 * hour between probes; nothing is started. The teardown expects it stopped. */
int running_setup(void **state);
int running_teardown(void **state);

/* Starts, and waits until it is READY or BROKEN. States and jobs are counted from 0. */
void running_start(struct running *running);
void running_stop(struct running *running);
/* Waits until there were so many changes of state; returns the last of them. */
enum issuer_state running_wait_state(struct running *running, size_t count);
void running_wait_done(struct running *running, size_t count);

/* ---- jobs ---- */

/* A batch of one user's claim with the room it needs. */
struct single {
    struct claim_batch batch;
    struct claim claim;
    char user[16];
};

struct command running_command(struct running *running, enum job_kind kind);
void running_submit(struct running *running, struct job *job); /* must be taken */
/* Submits and waits until it is done. */
int running_do(struct running *running, struct command *command);
void running_make_coupon(struct running *running, uint64_t id, int64_t total);

void single_init(struct single *single, struct running *running, uint64_t coupon_id,
                 const char *user);
enum verdict running_claim(struct running *running, uint64_t coupon_id, const char *user);

/* The opened ledger's rows of the coupon are `count`, and each user has one. */
void assert_record(const char *folder, uint64_t coupon_id, uint32_t count);

#endif
