/* The board of published coupons: what is put can be read, by any thread, as a copy. */
#include "support.h"

#include <pthread.h>
#include <stdio.h>

static struct board *board_of(size_t coupons_max) {
    struct board *board = NULL;
    assert_int_equal(board_new(coupons_max, &board), STATUS_OK);
    return board;
}

static struct coupon_record coupon_numbered(uint64_t id, uint32_t version) {
    struct coupon_record coupon = coupon_example(id, 100, 10, 20);
    coupon.version = version;
    coupon.issued_quantity = (uint32_t)id % 7 + version;
    snprintf(coupon.title, sizeof(coupon.title), "coupon %llu at %u", (unsigned long long)id,
             version);
    snprintf(coupon.metadata, sizeof(coupon.metadata), "{\"v\":%0*u}",
             (int)(version * 37 % 2000) + 1, version);
    return coupon;
}

static void put(struct board *board, uint64_t id, uint32_t version) {
    struct coupon_record coupon = coupon_numbered(id, version);
    assert_int_equal(board_put(board, &coupon), STATUS_OK);
}

static bool same_coupon(const struct coupon_record *a, const struct coupon_record *b) {
    return a->id == b->id && strcmp(a->title, b->title) == 0 &&
           a->total_quantity == b->total_quantity && a->issued_quantity == b->issued_quantity &&
           a->discount_amount == b->discount_amount &&
           a->min_available_amount == b->min_available_amount &&
           a->issue_start_us == b->issue_start_us && a->issue_end_us == b->issue_end_us &&
           a->paused == b->paused && a->version == b->version && a->created_us == b->created_us &&
           a->updated_us == b->updated_us && a->archived_us == b->archived_us &&
           strcmp(a->metadata, b->metadata) == 0;
}

/* Version 0: it must not be there. */
static void expect(struct board *board, uint64_t id, uint32_t version) {
    struct coupon_record read;
    struct coupon_record expected = coupon_numbered(id, version);
    memset(&read, 0x5a, sizeof(read));
    if (version == 0) {
        assert_int_equal(board_read(board, id, &read), STATUS_NOT_FOUND);
        assert_null(board_find(board, id));
        return;
    }
    assert_int_equal(board_read(board, id, &read), STATUS_OK);
    assert_true(same_coupon(&read, &expected));
    assert_int_equal(board_find(board, id)->coupon_id, id);
}

static void what_is_put_is_read_whole(void **state) {
    (void)state;
    struct board *board = board_of(4);
    struct coupon_record read;
    struct coupon_record coupon = {
        .id = (uint64_t)JSON_INTEGER_MAX,
        .total_quantity = COUPON_UNLIMITED,
        .issued_quantity = UINT32_MAX,
        .discount_amount = JSON_INTEGER_MAX,
        .min_available_amount = 1,
        .issue_start_us = TIME_US_MIN,
        .issue_end_us = TIME_US_MAX,
        .paused = true,
        .version = 3,
        .created_us = 4,
        .updated_us = 5,
    };
    memset(coupon.title, 't', COUPON_TITLE_MAX);
    memset(coupon.metadata, 'm', COUPON_METADATA_MAX);
    expect(board, coupon.id, 0);
    assert_int_equal(board_put(board, &coupon), STATUS_OK);
    assert_int_equal(board_read(board, coupon.id, &read), STATUS_OK);
    assert_true(same_coupon(&read, &coupon));
    coupon.metadata[0] = '\0';
    assert_int_equal(board_put(board, &coupon), STATUS_OK);
    memset(&read, 0x5a, sizeof(read));
    assert_int_equal(board_read(board, coupon.id, &read), STATUS_OK);
    assert_true(same_coupon(&read, &coupon));
    assert_int_equal(board_count(board), 1);
    board_free(board);
}

/* A board for one coupon has one bucket: all collide. */
static void coupons_in_one_bucket_do_not_touch_each_other(void **state) {
    (void)state;
    struct board *board = board_of(1);
    for (uint64_t id = 1; id <= 5; id++) {
        put(board, id, 1);
    }
    put(board, 1, 2); /* the chain's first, middle and last */
    put(board, 3, 2);
    put(board, 5, 2);
    for (uint64_t id = 1; id <= 5; id++) {
        expect(board, id, id % 2 ? 2 : 1);
    }
    assert_int_equal(board_count(board), 5);
    board_remove(board, 3);
    board_remove(board, 1);
    board_remove(board, 5);
    board_remove(board, 5);
    board_remove(board, 99);
    assert_int_equal(board_count(board), 2);
    for (uint64_t id = 1; id <= 5; id++) {
        expect(board, id, id % 2 ? 0 : 1);
    }
    put(board, 3, 7);
    expect(board, 3, 7);
    board_free(board);
}

static void a_copy_stays_as_it_was_read(void **state) {
    (void)state;
    struct board *board = board_of(4);
    struct coupon_record copy;
    struct coupon_record expected = coupon_numbered(1, 1);
    put(board, 1, 1);
    assert_int_equal(board_read(board, 1, &copy), STATUS_OK);
    atomic_store(&board_find(board, 1)->issued_quantity, 77);
    put(board, 1, 2);
    board_remove(board, 1);
    assert_true(same_coupon(&copy, &expected));
    board_free(board);
}

static void a_published_count_is_read_without_a_put(void **state) {
    (void)state;
    struct board *board = board_of(4);
    struct coupon_record read;
    put(board, 1, 1);
    atomic_store(&board_find(board, 1)->issued_quantity, 77);
    assert_int_equal(board_read(board, 1, &read), STATUS_OK);
    assert_int_equal(read.issued_quantity, 77);
    put(board, 1, 2); /* a change brings its own, from the record */
    expect(board, 1, 2);
    board_free(board);
}

/* The board walked in slices of `limit` tells the coupons whose version is not 0, by id. */
static void expect_walk(struct board *board, const uint32_t *versions, size_t ids, size_t limit) {
    struct coupon_quantities slice[BOARD_SLICE_MAX];
    uint64_t after_id = 0;
    size_t id = 0;
    size_t count;
    do {
        count = board_quantities(board, after_id, limit, slice);
        for (size_t i = 0; i < count; i++) {
            for (id++; id <= ids && versions[id] == 0; id++) {
                /* not on the board */
            }
            assert_int_equal(slice[i].coupon_id, id);
            assert_int_equal(slice[i].issued_quantity, id % 7 + versions[id]);
            assert_int_equal(slice[i].total_quantity, 100);
            after_id = id;
        }
    } while (count == limit);
    for (id++; id <= ids; id++) {
        assert_int_equal(versions[id], 0);
    }
}

static void coupons_are_walked_in_slices_by_id(void **state) {
    (void)state;
    enum { IDS = 300 };
    uint32_t versions[IDS + 1] = {0};
    struct board *board = board_of(16);
    struct coupon_quantities none[1];
    assert_int_equal(board_quantities(board, 0, 1, none), 0);
    for (uint32_t id = IDS; id >= 1; id -= 3) { /* each before all that are there */
        versions[id] = id;
        put(board, id, id);
    }
    expect_walk(board, versions, IDS, BOARD_SLICE_MAX);
    expect_walk(board, versions, IDS, 1);
    expect_walk(board, versions, IDS, 7);
    assert_int_equal(board_quantities(board, IDS, 1, none), 0);
    assert_int_equal(board_quantities(board, IDS - 1, 1, none), 1);
    assert_int_equal(board_quantities(board, 0, 0, none), 0);
    board_free(board);
}

/* More than one slice, and not a multiple of it: nothing is written beyond the limit. */
static void no_more_are_told_than_there_is_room_for(void **state) {
    (void)state;
    enum { LIMIT = BOARD_SLICE_MAX + 7, IDS = 3 * BOARD_SLICE_MAX };
    static struct coupon_quantities found[LIMIT + BOARD_SLICE_MAX];
    struct board *board = board_of(IDS);
    for (uint32_t id = 1; id <= IDS; id++) {
        put(board, id, id);
    }
    assert_int_equal(board_quantities(board, 0, LIMIT, found), LIMIT);
    for (size_t i = 0; i < COUNT_OF(found); i++) {
        assert_int_equal(found[i].coupon_id, i < LIMIT ? i + 1 : 0);
    }
    board_free(board);
}

/* A board of one bucket would tell the same, slowly. */
static void coupons_are_spread_over_the_buckets(void **state) {
    (void)state;
    enum { IDS = 256, BUCKET_MAX = 16 };
    struct board *board = board_of(IDS);
    for (uint32_t id = 1; id <= IDS; id++) {
        put(board, id, id);
    }
    size_t most = 0;
    for (size_t i = 0; i < board_buckets(board); i++) {
        size_t count = 0;
        for (const struct board_entry *entry = board_bucket(board, i); entry; entry = entry->next) {
            count++;
        }
        most = count > most ? count : most;
    }
    assert_true(most >= 1 && most <= BUCKET_MAX);
    board_free(board);
}

static void random_changes_agree_with_a_plain_array(void **state) {
    (void)state;
    enum { IDS = 40, CHANGES = 20000 };
    uint32_t versions[IDS + 1] = {0};
    size_t count = 0;
    struct board *board = board_of(8);
    uint64_t random = random_seed();
    for (uint32_t i = 1; i <= CHANGES; i++) {
        uint64_t id = (uint64_t)random_between(&random, 1, IDS);
        bool removes = random_between(&random, 0, 2) == 0;
        count += !removes && versions[id] == 0;
        count -= removes && versions[id] > 0;
        versions[id] = removes ? 0 : i;
        if (removes) {
            board_remove(board, id);
        } else {
            put(board, id, i);
        }
        id = (uint64_t)random_between(&random, 1, IDS);
        expect(board, id, versions[id]);
        assert_int_equal(board_count(board), count);
        if (i % 16 == 0) {
            expect_walk(board, versions, IDS, (size_t)random_between(&random, 1, IDS));
        }
    }
    board_free(board);
}

/* ---- readers while the writer works ---- */

enum { READERS = 3, SHARED_IDS = 4, PUTS = 20000 };

struct reader {
    const struct board *board;
    _Atomic bool *over;
    size_t torn;
};

static void *read_on(void *context) {
    struct reader *reader = context;
    struct coupon_record read;
    struct coupon_quantities walk[SHARED_IDS + 1];
    for (uint64_t id = 1; !atomic_load(reader->over); id = id % SHARED_IDS + 1) {
        if (board_read(reader->board, id, &read) == STATUS_OK) {
            struct coupon_record expected = coupon_numbered(id, read.version);
            reader->torn += !same_coupon(&read, &expected);
        }
        reader->torn += board_count(reader->board) > SHARED_IDS;
        size_t count = board_quantities(reader->board, 0, COUNT_OF(walk), walk);
        reader->torn += count > SHARED_IDS;
        for (size_t i = 0; i < count; i++) {
            reader->torn += walk[i].coupon_id > SHARED_IDS || walk[i].total_quantity != 100;
            reader->torn += i > 0 && walk[i - 1].coupon_id >= walk[i].coupon_id;
        }
    }
    return NULL;
}

static void readers_never_see_half_a_coupon(void **state) {
    (void)state;
    struct board *board = board_of(2);
    _Atomic bool over = false;
    struct reader readers[READERS];
    pthread_t threads[READERS];
    for (size_t i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.board = board, .over = &over};
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    }
    for (uint32_t i = 1; i <= PUTS; i++) {
        put(board, i % SHARED_IDS + 1, i);
        if (i % 5 == 0) {
            board_remove(board, i / 5 % SHARED_IDS + 1);
        }
    }
    atomic_store(&over, true);
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(readers[i].torn, 0);
    }
    board_free(board);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_read_whole),
        cmocka_unit_test(coupons_in_one_bucket_do_not_touch_each_other),
        cmocka_unit_test(a_copy_stays_as_it_was_read),
        cmocka_unit_test(a_published_count_is_read_without_a_put),
        cmocka_unit_test(coupons_are_walked_in_slices_by_id),
        cmocka_unit_test(no_more_are_told_than_there_is_room_for),
        cmocka_unit_test(coupons_are_spread_over_the_buckets),
        cmocka_unit_test(random_changes_agree_with_a_plain_array),
        cmocka_unit_test(readers_never_see_half_a_coupon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
