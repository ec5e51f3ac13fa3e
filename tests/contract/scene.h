/* A ledger in a SQL server that has been used, and each of the calls of ledger.h on it,
 * to be made while something fails: for test_calls_fail.c and test_values_fail.c. */
#ifndef COUPON_TESTS_CONTRACT_SCENE_H
#define COUPON_TESTS_CONTRACT_SCENE_H

#include "claims.h"

#define STATEMENTS_MAX 400 /* of one call: it comes to an end */
#define USERS          3   /* claims of one settlement */
#define WRITING_COUNT  10
#define READ_COUNT     18

/* What the calls work on. */
struct scene {
    void **state;
    void *session; /* at the server, of the test's own */
    struct ledger *ledger;
    uint64_t appended; /* coupons, one for each way to issue */
    uint64_t settled;
    uint64_t queued;
    uint64_t imported;
    uint64_t changed;
    unsigned serial; /* differs from try to try */
    char texts[USERS][2][32];
    struct settle_claim claims[USERS];
    struct ledger_cursor cursor;
    struct coupon_record coupon;
    uint64_t seen; /* by a read: the same as long as nobody writes */
};

/* A call that writes. */
struct writing {
    const char *name;
    void (*prepare)(struct scene *scene); /* may be NULL */
    int (*run)(struct scene *scene);
    uint64_t (*look)(struct scene *scene); /* a number that the call raises by `step` */
    uint64_t step;
};

/* A call that only reads. */
struct reading {
    const char *name;
    int (*run)(struct scene *scene); /* puts what it has read into scene->seen */
};

extern const struct writing writings[WRITING_COUNT];
extern const struct reading reads[READ_COUNT];

void assert_ok(int status, const char *what);
/* Opens the same ledger once more, and closes it. */
int run_open(struct scene *scene);
/* Ended by session_end(scene->session). */
void scene_begin(struct scene *scene, void **state);
/* … and a reject and an import, for the reads. */
void scene_fill(struct scene *scene);
/* A ledger that lost its connection makes it anew, at once or after a pause. */
void wait_until_usable(struct scene *scene, const char *after);

#endif
