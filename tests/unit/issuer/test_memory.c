/* Memory that fails at each place where the issuer asks for it: nothing leaks, nothing is
 * handed out that the record has not, and what was committed is found again. */
#include "support.h"

#include "support/allocation.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Allocations of our code that still work; negative: all do. SQLite is not counted. */
static _Atomic int64_t allocations_left = -1;

bool allocation_fails(void) {
    int64_t left = atomic_load(&allocations_left);
    if (left > 0) {
        atomic_fetch_sub(&allocations_left, 1);
    }
    return left == 0;
}

static void a_core_that_cannot_be_made_closes_its_ledger(void **state) {
    struct world *world = *state;
    int64_t allocations = 0;
    int status = STATUS_NO_MEMORY;
    world_close(world);
    for (; status == STATUS_NO_MEMORY; allocations++) {
        struct ledger_sqlite_options options = {.directory = world->folder};
        struct digest_key key = {{0}};
        struct ledger *ledger = NULL;
        struct core *core = NULL;
        assert_int_equal(ledger_sqlite_open(&options, &ledger, NULL), STATUS_OK);
        atomic_store(&allocations_left, allocations);
        status = core_new(ledger, 4, &key, &core);
        atomic_store(&allocations_left, -1);
        if (status == STATUS_OK) {
            assert_int_equal(core_close(core, NULL), STATUS_OK);
            core_free(core);
        }
    }
    assert_int_equal(status, STATUS_OK);
    assert_in_range(allocations, 5, 20);
}

enum { CLAIMS = 60, STEPS = 60 };

static void claims_of_step(const struct world *world, size_t step, struct claim *claims,
                           char users[CLAIMS][16]) {
    for (size_t i = 0; i < CLAIMS; i++) {
        snprintf(users[i], sizeof(users[i]), "u%zu", step * CLAIMS + i);
        claims[i] = claim_of(world, 1, users[i], "");
    }
}

/* Every step is tried without memory first. */
static void a_step_without_memory_is_taken_back(void **state) {
    struct world *world = *state;
    struct claim claims[CLAIMS];
    char users[CLAIMS][16];
    size_t failures = 0;
    coupon_make(world, 1, COUPON_UNLIMITED);
    for (size_t step = 0; step < STEPS; step++) {
        claims_of_step(world, step, claims, users);
        atomic_store(&allocations_left, 0);
        step_claims(world, 5, claims, CLAIMS);
        atomic_store(&allocations_left, -1);
        if (world->core->state == ISSUER_UNWRITABLE) {
            failures++;
            for (size_t i = 0; i < CLAIMS; i++) {
                assert_int_equal(claims[i].verdict, VERDICT_STORAGE_UNAVAILABLE);
            }
            core_probe(world->core);
            assert_int_equal(world->core->state, ISSUER_READY);
            step_claims(world, 6, claims, CLAIMS);
        }
        for (size_t i = 0; i < CLAIMS; i++) {
            assert_int_equal(claims[i].verdict, VERDICT_ISSUED);
            assert_int_equal(claims[i].rank, step * CLAIMS + i + 1);
        }
    }
    assert_in_range(failures, 3, STEPS);
    assert_coupon_agrees(world, 1, CLAIMS * STEPS);
    world_reload(world);
    assert_coupon_agrees(world, 1, CLAIMS * STEPS);
}

/* The creation is in the record before memory is asked for: the process must start anew. */
static void a_creation_that_memory_cannot_follow_breaks(void **state) {
    struct world *world = *state;
    int status = STATUS_AMBIGUOUS;
    uint64_t id = 0;
    while (status == STATUS_AMBIGUOUS) {
        struct command command = command_of(JOB_COUPON_CREATE);
        command.coupon = coupon_example(++id, 5, 0, US_PER_SECOND);
        atomic_store(&allocations_left, (int64_t)id - 1);
        status = command_do(world, 1, &command);
        atomic_store(&allocations_left, -1);
        if (status == STATUS_AMBIGUOUS) {
            assert_int_equal(world->core->state, ISSUER_BROKEN);
            assert_non_null(strstr(world->core->why.text, "no memory"));
            assert_int_equal(step_one(world, 2, id, "ann"), VERDICT_OUTCOME_UNKNOWN);
            world_reload(world);
        }
        assert_int_equal(step_one(world, 2, id, "ann"), VERDICT_ISSUED);
    }
    assert_int_equal(status, STATUS_OK);
    assert_in_range(id, 3, 10);
}

static void a_change_that_memory_cannot_follow_breaks(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 5);
    struct command command = command_of(JOB_COUPON_CHANGE);
    command.coupon.id = 1;
    command.coupon.paused = true;
    command.patch_set = PATCH_PAUSED;
    atomic_store(&allocations_left, 0);
    assert_int_equal(command_do(world, 1, &command), STATUS_AMBIGUOUS);
    atomic_store(&allocations_left, -1);
    assert_int_equal(world->core->state, ISSUER_BROKEN);
    assert_int_equal(step_one(world, 2, 1, "ann"), VERDICT_OUTCOME_UNKNOWN);
    world_reload(world);
    assert_int_equal(step_one(world, 2, 1, "ann"), VERDICT_PAUSED);
}

static void a_record_too_large_for_memory_is_refused(void **state) {
    struct world *world = *state;
    int status = STATUS_NO_MEMORY;
    coupon_make(world, 1, COUPON_UNLIMITED);
    coupon_make(world, 2, COUPON_UNLIMITED);
    issue_many(world, 1, 40);
    issue_many(world, 2, 1);
    for (int64_t allocations = 0; status == STATUS_NO_MEMORY; allocations++) {
        world_close(world);
        world_open(world);
        atomic_store(&allocations_left, allocations);
        status = core_load(world->core, NULL, NULL);
        atomic_store(&allocations_left, -1);
        if (status) {
            assert_int_equal(world->core->state, ISSUER_BROKEN);
            assert_non_null(strstr(world->core->why.text, "memory"));
        }
    }
    assert_int_equal(status, STATUS_OK);
    assert_coupon_agrees(world, 1, 40);
    assert_coupon_agrees(world, 2, 1);
}

struct start {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum issuer_state state;
};

static void note_state(void *context, enum issuer_state state, const char *why) {
    struct start *start = context;
    (void)why;
    pthread_mutex_lock(&start->lock);
    start->state = state;
    pthread_cond_signal(&start->changed);
    pthread_mutex_unlock(&start->lock);
}

/* What became of a start that got a writer. */
static enum issuer_state outcome_of(struct start *start, struct issuer *issuer) {
    pthread_mutex_lock(&start->lock);
    while (start->state == ISSUER_STARTING) {
        pthread_cond_wait(&start->changed, &start->lock);
    }
    pthread_mutex_unlock(&start->lock);
    atomic_store(&allocations_left, -1);
    assert_int_equal(issuer_stop(issuer, NULL), STATUS_OK);
    issuer_free(issuer);
    return start->state;
}

static void a_start_without_memory_leaves_nothing_behind(void **state) {
    struct world *world = *state;
    struct start start = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct issuer_local_options options;
    coupon_make(world, 1, COUPON_UNLIMITED);
    issue_many(world, 1, 40);
    world_close(world);
    issuer_local_options_default(&options);
    options.directory = world->folder;
    options.coupons_max = 4;
    options.state_changed = note_state;
    options.context = &start;
    size_t refused = 0;
    size_t broken = 0;
    for (int64_t allocations = 0; start.state != ISSUER_READY; allocations++) {
        struct issuer *issuer = NULL;
        struct complaint complaint = {0};
        start.state = ISSUER_STARTING;
        atomic_store(&allocations_left, allocations);
        int status = issuer_local_start(&options, &issuer, &complaint);
        if (status) {
            atomic_store(&allocations_left, -1);
            assert_int_equal(status, STATUS_NO_MEMORY);
            assert_true(complaint.text[0] != '\0');
            refused++;
        } else {
            broken += outcome_of(&start, issuer) == ISSUER_BROKEN;
        }
    }
    assert_in_range(refused, 5, 30);
    assert_in_range(broken, 3, 30);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_WORLD(a_core_that_cannot_be_made_closes_its_ledger),
        WITH_WORLD(a_step_without_memory_is_taken_back),
        WITH_WORLD(a_creation_that_memory_cannot_follow_breaks),
        WITH_WORLD(a_change_that_memory_cannot_follow_breaks),
        WITH_WORLD(a_record_too_large_for_memory_is_refused),
        WITH_WORLD(a_start_without_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
