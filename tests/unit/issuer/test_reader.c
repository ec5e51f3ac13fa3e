/* What the reader's thread publishes when a ledger has more coupons than it may keep, and when
 * memory runs out. What it answers is in tests/contract/test_issuer_reads.c. */
#include "issuer/reader.h"

#include "support.h"

#include "support/allocation.h"

/* Who has no memory. */
enum { NOBODY, READER, EVERYBODY };
static atomic_int starved;
static pthread_t main_thread;

bool allocation_fails(void) {
    int who = atomic_load(&starved);
    return who == EVERYBODY || (who == READER && !pthread_equal(pthread_self(), main_thread));
}

/* ---- a reader of two coupons ---- */

struct asked {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

static struct reader reader;
static char folder[FOLDER_SIZE];

static void note_done(struct job *job) {
    struct asked *asked = job->context;
    pthread_mutex_lock(&asked->lock);
    asked->done = true;
    pthread_cond_signal(&asked->changed);
    pthread_mutex_unlock(&asked->lock);
}

static int coupon_read(uint64_t id) {
    struct asked asked = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    struct command command = {
        .job = {.kind = JOB_COUPON_READ, .done = note_done, .context = &asked}, .coupon.id = id};
    assert_int_equal(reader_submit(&reader, &command.job), STATUS_OK);
    pthread_mutex_lock(&asked.lock);
    while (!asked.done) {
        pthread_cond_wait(&asked.changed, &asked.lock);
    }
    pthread_mutex_unlock(&asked.lock);
    return command.status;
}

/* Between two commands the quantities are read. */
static void refresh(void) {
    assert_int_equal(coupon_read(1), STATUS_OK);
    assert_int_equal(coupon_read(2), STATUS_OK);
}

static struct ledger *ledger_with_two(void) {
    struct ledger *ledger = NULL;
    folder_make(folder);
    struct ledger_sqlite_options options = {.directory = folder};
    assert_int_equal(ledger_sqlite_open(&options, &ledger, NULL), STATUS_OK);
    for (uint64_t id = 1; id <= 2; id++) {
        struct coupon_record coupon = coupon_example(id, 5, 0, US_PER_SECOND);
        assert_int_equal(ledger_coupon_create(ledger, &coupon, NULL, NULL, NULL), STATUS_OK);
    }
    return ledger;
}

static void reader_begin(size_t coupons_max) {
    assert_int_equal(reader_start(&reader, ledger_with_two(), coupons_max, 1), STATUS_OK);
}

static void reader_end(void) {
    reader_stop(&reader);
    reader_done(&reader);
    folder_remove(folder);
}

static size_t published(struct coupon_quantities ret_found[static 3]) {
    return board_quantities(reader.board, 0, 3, ret_found);
}

/* ---- tests ---- */

static void more_coupons_than_there_is_room_for_are_not_published(void **state) {
    struct coupon_quantities found[3];
    (void)state;
    reader_begin(1);
    refresh();
    assert_int_equal(published(found), 1);
    assert_int_equal(found[0].coupon_id, 1);
    reader_end();
}

static void a_coupon_without_memory_is_published_when_there_is_some(void **state) {
    struct coupon_quantities found[3];
    (void)state;
    main_thread = pthread_self();
    atomic_store(&starved, READER);
    reader_begin(8);
    refresh();
    assert_int_equal(published(found), 0);
    atomic_store(&starved, NOBODY);
    refresh();
    assert_int_equal(published(found), 2);
    reader_end();
}

static void a_reader_without_memory_closes_its_ledger(void **state) {
    (void)state;
    struct ledger *ledger = ledger_with_two();
    atomic_store(&starved, EVERYBODY);
    int status = reader_start(&reader, ledger, 8, 1);
    atomic_store(&starved, NOBODY);
    assert_int_equal(status, STATUS_NO_MEMORY);
    struct ledger_sqlite_options options = {.directory = folder};
    assert_int_equal(ledger_sqlite_open(&options, &ledger, NULL), STATUS_OK); /* not locked */
    assert_int_equal(ledger_close(ledger, NULL), STATUS_OK);
    folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_coupons_than_there_is_room_for_are_not_published),
        cmocka_unit_test(a_coupon_without_memory_is_published_when_there_is_some),
        cmocka_unit_test(a_reader_without_memory_closes_its_ledger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
