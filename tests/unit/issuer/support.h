/* What the issuer's tests share: a private data folder with a real SQLite ledger in it, a
 * test ledger before that one which fails on command, and a core on top. */
#ifndef TEST_ISSUER_SUPPORT_H
#define TEST_ISSUER_SUPPORT_H

#include "../base/test.h"

#include "../base/random.h"
#include "issuer/step.h"

/* ---- folders ---- */

#define FOLDER_SIZE 128

/* A new empty folder that only this test uses, and its end with all that is in it. */
void folder_make(char ret_folder[static FOLDER_SIZE]);
void folder_remove(const char *folder);
/* Runs SQL on the closed ledger of this folder, with CHECKs off: plants damage. */
void folder_sql(const char *folder, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- the test ledger ---- */

enum operation {
    OPERATION_LATEST,
    OPERATION_APPEND,
    OPERATION_CREATE,
    OPERATION_CREATION_READ,
    OPERATION_CHANGE,
    OPERATION_COUPON_READ,
    OPERATION_COUPONS_READ,
    OPERATION_ISSUE_READ,
    OPERATION_ISSUES_READ,
    OPERATION_VISIT,
    OPERATION_PROBE,
    OPERATION_TEND,
    OPERATION_CHECK,
    OPERATION_COUNT,
};

#define FOR_EVER UINT32_MAX

/* Hands every call to the real ledger, unless the test said that it fails. */
struct test_ledger {
    struct ledger ledger; /* first */
    struct ledger *real;
    struct {
        int status;             /* what it fails with … */
        uint32_t times;         /* … and how often; FOR_EVER */
        bool done_all_the_same; /* the real call is made first, then said to have failed */
        uint32_t calls;         /* of all, failed ones included */
    } operations[OPERATION_COUNT];
    /* of the newest append, whatever became of it */
    size_t row_count;
    size_t count_count;
    struct issued_count counts[CLAIM_BATCH_MAX];
};

void ledger_fails(struct test_ledger *ledger, enum operation operation, int status, uint32_t times);
void ledger_works(struct test_ledger *ledger); /* nothing fails any more */

/* ---- a core in a folder ---- */

struct world {
    char folder[FOLDER_SIZE];
    struct test_ledger *ledger; /* the core's */
    struct core *core;
    size_t coupons_max;
    unsigned reopened; /* gives every opening another digest key */
};

void world_init(struct world *world, size_t coupons_max);
void world_done(struct world *world);
/* Opens ledger and core; the core is not loaded. */
void world_open(struct world *world);
void world_close(struct world *world);
/* Closes, opens and loads; the load must work. */
void world_reload(struct world *world);

/* cmocka's setup and teardown: a loaded world with room for 64 coupons. */
int world_setup(void **state);
int world_teardown(void **state);

struct digest world_user(const struct world *world, const char *user);
const char *verdict_name(enum verdict verdict);
const char *state_name(enum issuer_state state);

/* ---- short calls ---- */

/* A coupon from `start_us` to `end_us`; makes it and must succeed. */
struct coupon_record coupon_example(uint64_t id, int64_t total, int64_t start_us, int64_t end_us);
void coupon_make(struct world *world, uint64_t id, int64_t total);
/* Does the command until it is finished; its status. */
int command_do(struct world *world, int64_t now_us, struct command *command);
struct command command_of(enum job_kind kind);

struct claim claim_of(const struct world *world, uint64_t coupon_id, const char *user,
                      const char *request_key);
/* One step of one batch. */
void step_claims(struct world *world, int64_t now_us, struct claim *claims, size_t count);
/* One step of one claim; its verdict. */
enum verdict step_one(struct world *world, int64_t now_us, uint64_t coupon_id, const char *user);
/* Issues `count` of the coupon to users "u1", "u2" … in steps of at most CLAIM_BATCH_MAX. */
void issue_many(struct world *world, uint64_t coupon_id, uint32_t count);

/* Engine, board and file tell the same of this coupon, which has `count` issues. */
void assert_coupon_agrees(struct world *world, uint64_t coupon_id, uint32_t count);

#endif
