/* The clock that never steps back (I5), on a source the test moves by hand. */
#include "base/base.h"

#include "random.h"
#include "test.h"

#include <time.h>

static int64_t read_hand(void *context) {
    return *(const int64_t *)context;
}

static void time_goes_on_with_its_source(void **state) {
    (void)state;
    int64_t hand = 100;
    struct clock clock;
    clock_init(&clock, read_hand, &hand, 0);
    assert_int_equal(clock_now(&clock), 100);
    hand = 101;
    assert_int_equal(clock_now(&clock), 101);
    assert_int_equal(clock_now(&clock), 101);
    assert_int_equal(clock.held_back_us, 0);
}

static void time_stands_still_while_its_source_is_behind(void **state) {
    (void)state;
    int64_t hand = 100;
    struct clock clock;
    clock_init(&clock, read_hand, &hand, 0);
    assert_int_equal(clock_now(&clock), 100);
    hand = 40;
    assert_int_equal(clock_now(&clock), 100);
    assert_int_equal(clock.held_back_us, 60);
    hand = 99;
    assert_int_equal(clock_now(&clock), 100);
    assert_int_equal(clock.held_back_us, 1);
    hand = 100;
    assert_int_equal(clock_now(&clock), 100);
    assert_int_equal(clock.held_back_us, 0);
    hand = 102;
    assert_int_equal(clock_now(&clock), 102);
    assert_int_equal(clock.held_back_us, 0);
}

static void time_is_never_before_what_the_ledger_has_seen(void **state) {
    (void)state;
    int64_t hand = 100;
    struct clock clock;
    clock_init(&clock, read_hand, &hand, 5000);
    assert_int_equal(clock_now(&clock), 5000);
    assert_int_equal(clock.held_back_us, 4900);
    hand = 5001;
    assert_int_equal(clock_now(&clock), 5001);
    assert_int_equal(clock.held_back_us, 0);
}

static void a_random_source_never_takes_time_back(void **state) {
    (void)state;
    uint64_t random = random_seed();
    int64_t hand = 0;
    int64_t most = 1000;
    struct clock clock;
    clock_init(&clock, read_hand, &hand, most);
    for (int i = 0; i < 100000; i++) {
        hand += random_between(&random, -1000, 1010);
        most = hand > most ? hand : most;
        assert_int_equal(clock_now(&clock), most);
        assert_int_equal(clock.held_back_us, most - hand);
    }
}

static int64_t real_us(void) {
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    return (int64_t)now.tv_sec * US_PER_SECOND + now.tv_nsec / 1000;
}

static void without_a_source_it_is_the_real_time(void **state) {
    (void)state;
    struct clock clock;
    clock_init(&clock, NULL, NULL, 0);
    int64_t before_us = real_us(); /* not time(), which lags a tick behind */
    int64_t now_us = clock_now(&clock);
    assert_true(now_us >= before_us);
    assert_true(now_us <= real_us());
}

static void the_monotonic_clock_does_not_step_back(void **state) {
    (void)state;
    int64_t last_us = clock_monotonic_us();
    for (int i = 0; i < 10000; i++) {
        int64_t now_us = clock_monotonic_us();
        assert_true(now_us >= last_us);
        last_us = now_us;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_goes_on_with_its_source),
        cmocka_unit_test(time_stands_still_while_its_source_is_behind),
        cmocka_unit_test(time_is_never_before_what_the_ledger_has_seen),
        cmocka_unit_test(a_random_source_never_takes_time_back),
        cmocka_unit_test(without_a_source_it_is_the_real_time),
        cmocka_unit_test(the_monotonic_clock_does_not_step_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
