/* Counters and histograms: every value in its bucket, sums whole, readable while counted. */
#include "base/base.h"

#include "random.h"
#include "test.h"

#include <pthread.h>

static struct histogram_reading read_of(const struct histogram *histogram) {
    struct histogram_reading reading = {0};
    histogram_read(histogram, &reading);
    return reading;
}

static uint64_t total_of(const struct histogram_reading *reading) {
    uint64_t total = 0;
    for (size_t i = 0; i <= reading->bounds->count; i++) {
        total += reading->counts[i];
    }
    return total;
}

static void bounds_rise_and_end_where_they_are_said_to(void **state) {
    (void)state;
    struct histogram histogram;
    histogram_init(&histogram, &histogram_durations); /* asserts that they rise */
    histogram_init(&histogram, &histogram_sizes);
    assert_int_equal(histogram_durations.values[0], 100);
    assert_int_equal(histogram_durations.values[histogram_durations.count - 1], 10 * US_PER_SECOND);
    assert_int_equal(histogram_sizes.values[0], 1);
    assert_int_equal(histogram_sizes.values[histogram_sizes.count - 1], 2048);
}

static void a_value_equal_to_a_bound_is_counted_with_it(void **state) {
    (void)state;
    struct histogram histogram;
    const struct histogram_bounds *bounds = &histogram_durations;
    for (size_t i = 0; i < bounds->count; i++) {
        histogram_init(&histogram, bounds);
        histogram_add(&histogram, bounds->values[i], 1);
        histogram_add(&histogram, bounds->values[i] + 1, 1);
        struct histogram_reading reading = read_of(&histogram);
        assert_int_equal(reading.counts[i], 1);
        assert_int_equal(reading.counts[i + 1], 1);
        assert_int_equal(reading.sum, 2 * bounds->values[i] + 1);
    }
}

static void what_is_above_all_bounds_is_counted_too(void **state) {
    (void)state;
    struct histogram histogram;
    histogram_init(&histogram, &histogram_sizes);
    histogram_add(&histogram, UINT32_MAX, 3);
    struct histogram_reading reading = read_of(&histogram);
    assert_int_equal(reading.counts[histogram_sizes.count], 3);
    assert_int_equal(reading.sum, UINT64_C(3) * UINT32_MAX);
    assert_int_equal(total_of(&reading), 3);
}

static void nothing_counted_reads_as_nothing(void **state) {
    (void)state;
    struct histogram histogram;
    histogram_init(&histogram, &histogram_sizes);
    histogram_add(&histogram, 5, 0);
    struct histogram_reading reading = read_of(&histogram);
    assert_ptr_equal(reading.bounds, &histogram_sizes);
    assert_int_equal(reading.sum, 0);
    assert_int_equal(total_of(&reading), 0);
}

static void histograms_of_several_threads_add_up(void **state) {
    (void)state;
    struct histogram histograms[3];
    struct histogram_reading reading = {0};
    struct histogram all;
    histogram_init(&all, &histogram_durations);
    uint64_t random = random_seed();
    for (size_t i = 0; i < COUNT_OF(histograms); i++) {
        histogram_init(&histograms[i], &histogram_durations);
        for (int n = 0; n < 1000; n++) {
            uint64_t value = random_next(&random) % 20000000;
            uint64_t count = random_next(&random) % 4;
            histogram_add(&histograms[i], value, count);
            histogram_add(&all, value, count);
        }
        histogram_read(&histograms[i], &reading);
    }
    struct histogram_reading expected = read_of(&all);
    assert_memory_equal(&reading, &expected, sizeof(reading));
}

enum { ADDITIONS = 200000 };

static void *add_many(void *context) {
    struct histogram *histogram = context;
    for (uint64_t i = 0; i < ADDITIONS; i++) {
        histogram_add(histogram, i % 3000, 1);
    }
    return NULL;
}

static void a_reader_sees_counts_only_grow(void **state) {
    (void)state;
    struct histogram histogram;
    pthread_t thread;
    uint64_t before = 0;
    histogram_init(&histogram, &histogram_sizes);
    assert_int_equal(pthread_create(&thread, NULL, add_many, &histogram), 0);
    do {
        struct histogram_reading reading = read_of(&histogram);
        uint64_t total = total_of(&reading);
        assert_true(total >= before);
        assert_true(total <= ADDITIONS);
        before = total;
    } while (before < ADDITIONS);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_rise_and_end_where_they_are_said_to),
        cmocka_unit_test(a_value_equal_to_a_bound_is_counted_with_it),
        cmocka_unit_test(what_is_above_all_bounds_is_counted_too),
        cmocka_unit_test(nothing_counted_reads_as_nothing),
        cmocka_unit_test(histograms_of_several_threads_add_up),
        cmocka_unit_test(a_reader_sees_counts_only_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
