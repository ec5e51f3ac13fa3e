/* Deadlines come in their order, whatever was set, moved and cancelled before. */
#include "redis/timers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT 500
#define STEPS 20000

static void on_expired(struct timed *timed) {
    (void)timed;
}

static void nothing_is_due_when_nothing_is_set(void **state) {
    (void)state;
    struct timers timers = {.heap = NULL};
    struct timed timed = {.expired = on_expired};
    assert_null(timers_take_due(&timers, INT64_MAX));
    assert_true(timers_due_us(&timers) == INT64_MAX);
    timers_cancel(&timers, &timed);
    timers_done(&timers);
}

static void what_is_set_again_has_its_last_time(void **state) {
    (void)state;
    struct timers timers = {.heap = NULL};
    struct timed timed = {.expired = on_expired};
    assert_int_equal(timers_reserve(&timers), STATUS_OK);
    timers_set(&timers, &timed, 10);
    timers_set(&timers, &timed, 5);
    timers_set(&timers, &timed, 20);
    assert_true(timers_due_us(&timers) == 20);
    assert_null(timers_take_due(&timers, 19));
    assert_ptr_equal(timers_take_due(&timers, 20), &timed);
    assert_null(timers_take_due(&timers, INT64_MAX));
    timers_unreserve(&timers);
    timers_done(&timers);
}

/* The earliest of those that a plain array says are set. */
static int64_t earliest(const struct timed *all) {
    int64_t due_us = INT64_MAX;
    for (size_t i = 0; i < COUNT; i++) {
        if (all[i].place != 0 && all[i].due_us < due_us) {
            due_us = all[i].due_us;
        }
    }
    return due_us;
}

static void the_earliest_is_always_the_first(void **state) {
    (void)state;
    static struct timed all[COUNT];
    struct timers timers = {.heap = NULL};
    uint64_t random = 88172645463325252U;
    for (size_t i = 0; i < COUNT; i++) {
        all[i].expired = on_expired;
        assert_int_equal(timers_reserve(&timers), STATUS_OK);
    }
    for (int step = 0; step < STEPS; step++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        struct timed *timed = &all[random % COUNT];
        if (random / COUNT % 3 == 0) {
            timers_cancel(&timers, timed);
            assert_int_equal(timed->place, 0);
        } else {
            timers_set(&timers, timed, (int64_t)(random >> 40 & 0xfff));
        }
        assert_true(timers_due_us(&timers) == earliest(all));
    }
    int64_t last_us = 0;
    struct timed *timed;
    while ((timed = timers_take_due(&timers, INT64_MAX - 1))) {
        assert_true(timed->due_us >= last_us);
        last_us = timed->due_us;
    }
    assert_true(earliest(all) == INT64_MAX);
    timers_done(&timers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_due_when_nothing_is_set),
        cmocka_unit_test(what_is_set_again_has_its_last_time),
        cmocka_unit_test(the_earliest_is_always_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
