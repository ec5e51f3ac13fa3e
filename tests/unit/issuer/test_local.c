/* The embedded issuer as it runs: start, group commit, bounds, stop, failures of the disk. */
#include "running.h"

#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- start and stop ---- */

static void it_starts_issues_and_stops(void **state) {
    struct running *running = *state;
    struct coupon_record coupon;
    struct single late;
    running_start(running);
    assert_int_equal(running->states[0], ISSUER_READY);
    assert_int_equal(issuer_state(running->issuer), ISSUER_READY);
    assert_int_equal(issuer_coupon(running->issuer, 1, &coupon), STATUS_NOT_FOUND);
    running_make_coupon(running, 1, 2);
    assert_int_equal(running_claim(running, 1, "ann"), VERDICT_ISSUED);
    assert_int_equal(running_claim(running, 1, "ann"), VERDICT_ALREADY_ISSUED);
    assert_int_equal(running_claim(running, 1, "bob"), VERDICT_ISSUED);
    assert_int_equal(running_claim(running, 1, "cat"), VERDICT_SOLD_OUT);
    assert_int_equal(issuer_coupon(running->issuer, 1, &coupon), STATUS_OK);
    assert_int_equal(coupon.issued_quantity, 2);
    struct issuer_figures figures = issuer_figures(running->issuer);
    assert_int_equal(figures.coupons, 1);
    assert_int_equal(figures.issues, 2);
    assert_int_equal(figures.queue_depth, 0);
    assert_int_equal(figures.clock_held_back_us, 0);
    single_init(&late, running, 1, "dan");
    assert_int_equal(issuer_stop(running->issuer, NULL), STATUS_OK);
    assert_int_equal(issuer_state(running->issuer), ISSUER_STOPPING);
    assert_int_equal(issuer_submit(running->issuer, &late.batch.job), STATUS_STOPPED);
    issuer_free(running->issuer);
    running->issuer = NULL;
    issuer_free(NULL);
    assert_int_equal(running->state_count, 1);
    assert_record(running->folder, 1, 2);
}

static uint64_t count_in(const struct histogram_reading *reading) {
    uint64_t count = 0;
    for (size_t i = 0; i < COUNT_OF(reading->counts); i++) {
        count += reading->counts[i];
    }
    return count;
}

static void what_it_did_is_told_in_figures(void **state) {
    struct running *running = *state;
    struct coupon_quantities coupons[3];
    running_start(running);
    struct issuer_figures figures = issuer_figures(running->issuer);
    assert_int_equal(count_in(&figures.step_claims), 0);
    assert_int_equal(issuer_quantities(running->issuer, 0, 3, coupons), 0);
    running_make_coupon(running, 5, 2);
    running_make_coupon(running, 2, COUPON_UNLIMITED);
    assert_int_equal(running_claim(running, 5, "ann"), VERDICT_ISSUED);
    assert_int_equal(running_claim(running, 5, "ann"), VERDICT_ALREADY_ISSUED);
    assert_int_equal(running_claim(running, 5, "bob"), VERDICT_ISSUED);
    figures = issuer_figures(running->issuer);
    assert_int_equal(count_in(&figures.step_claims), 3);
    assert_int_equal(figures.step_claims.sum, 3);
    assert_int_equal(count_in(&figures.commit_rows), 2); /* a refusal writes nothing */
    assert_int_equal(figures.commit_rows.sum, 2);
    assert_int_equal(count_in(&figures.commit_us), 2);
    assert_true(figures.commit_us.sum > 0);
    assert_int_equal(figures.commit_failures, 0);
    assert_true(figures.memory_bytes > 0);
    assert_int_equal(issuer_quantities(running->issuer, 0, 3, coupons), 2);
    assert_int_equal(coupons[0].coupon_id, 2);
    assert_true(coupons[0].total_quantity == COUPON_UNLIMITED);
    assert_int_equal(coupons[1].coupon_id, 5);
    assert_int_equal(coupons[1].issued_quantity, 2);
    assert_int_equal(issuer_quantities(running->issuer, 0, 1, coupons), 1);
    assert_int_equal(issuer_quantities(running->issuer, 2, 3, coupons), 1);
    assert_int_equal(coupons[0].coupon_id, 5);
    running_stop(running);
}

static void what_was_issued_is_there_after_a_new_start(void **state) {
    struct running *running = *state;
    struct digest_key former;
    running_start(running);
    former = running->options.digest_key;
    running_make_coupon(running, 1, 2);
    assert_int_equal(running_claim(running, 1, "ann"), VERDICT_ISSUED);
    running_stop(running);
    running_start(running);
    assert_memory_not_equal(&former, &running->options.digest_key, sizeof(former));
    assert_int_equal(issuer_figures(running->issuer).issues, 1);
    assert_int_equal(running_claim(running, 1, "ann"), VERDICT_ALREADY_ISSUED);
    assert_int_equal(running_claim(running, 1, "bob"), VERDICT_ISSUED);
    assert_int_equal(running_claim(running, 1, "cat"), VERDICT_SOLD_OUT);
    running_stop(running);
}

static void a_folder_has_one_issuer_at_a_time(void **state) {
    struct running *running = *state;
    struct issuer *second = NULL;
    struct complaint complaint = {0};
    running_start(running);
    assert_int_equal(issuer_local_start(&running->options, &second, &complaint), STATUS_BUSY);
    assert_true(complaint.text[0] != '\0');
    assert_null(second);
    assert_int_equal(running->state_count, 1); /* it never had a state */
    running_stop(running);
    running_start(running);
    running_stop(running);
}

static void a_folder_that_cannot_be_is_refused_at_once(void **state) {
    struct running *running = *state;
    struct issuer *issuer = NULL;
    struct complaint complaint = {0};
    running->options.directory = "/dev/null/data";
    assert_int_equal(issuer_local_start(&running->options, &issuer, &complaint), STATUS_IO);
    assert_non_null(strstr(complaint.text, "/dev/null/data"));
}

static void a_damaged_record_ends_in_broken_and_says_why(void **state) {
    struct running *running = *state;
    running_start(running);
    running_make_coupon(running, 1, 9);
    for (char user[] = "a"; user[0] < 'f'; user[0]++) {
        assert_int_equal(running_claim(running, 1, user), VERDICT_ISSUED);
    }
    running_stop(running);
    folder_sql(running->folder, "DELETE FROM coupon_issues WHERE rank_no = 3");
    running_start(running);
    assert_int_equal(running->states[0], ISSUER_BROKEN);
    assert_non_null(strstr(running->why, "rank 4 of coupon 1 is not the next rank"));
    assert_int_equal(running_claim(running, 1, "new"), VERDICT_OUTCOME_UNKNOWN);
    struct command command = running_command(running, JOB_COUPON_READ);
    command.coupon.id = 1;
    assert_int_equal(running_do(running, &command), STATUS_IO);
    running_stop(running);
}

/* ---- the clock (I5) ---- */

static const int64_t RECORD_US = INT64_C(1760000000) * US_PER_SECOND;

static void make_record_of(struct running *running, int64_t now_us) {
    atomic_store(&running->clock_us, now_us);
    running_start(running);
    running_make_coupon(running, 1, 9);
    assert_int_equal(running_claim(running, 1, "ann"), VERDICT_ISSUED);
    running_stop(running);
}

static void a_record_too_far_ahead_of_the_clock_is_refused(void **state) {
    struct running *running = *state;
    static const int64_t ahead_us[] = {60 * US_PER_SECOND + 1, 61 * US_PER_SECOND,
                                       366 * 24 * 3600 * US_PER_SECOND};
    make_record_of(running, RECORD_US);
    for (size_t i = 0; i < COUNT_OF(ahead_us); i++) {
        struct issuer *issuer = NULL;
        struct complaint complaint = {0};
        atomic_store(&running->clock_us, RECORD_US - ahead_us[i]);
        assert_int_equal(issuer_local_start(&running->options, &issuer, &complaint),
                         STATUS_INVALID);
        assert_non_null(strstr(complaint.text, "ahead of this machine's clock"));
    }
    atomic_store(&running->clock_us, RECORD_US); /* the folder was let go */
    running_start(running);
    running_stop(running);
}

static void a_record_a_little_ahead_holds_the_clock(void **state) {
    struct running *running = *state;
    static const int64_t ahead_us[] = {60 * US_PER_SECOND, 59 * US_PER_SECOND, 1};
    static const char *const users[] = {"bob", "cat", "dan"};
    make_record_of(running, RECORD_US);
    for (size_t i = 0; i < COUNT_OF(ahead_us); i++) {
        struct single single;
        atomic_store(&running->clock_us, RECORD_US - ahead_us[i]);
        running_start(running);
        single_init(&single, running, 1, users[i]);
        running_submit(running, &single.batch.job);
        running_wait_done(running, 1);
        assert_int_equal(single.claim.verdict, VERDICT_ISSUED);
        assert_int_equal(single.claim.issued_at_us, RECORD_US); /* it stands still */
        assert_int_equal(issuer_figures(running->issuer).clock_held_back_us, ahead_us[i]);
        running_stop(running);
    }
}

static void a_clock_that_steps_back_is_not_followed(void **state) {
    struct running *running = *state;
    struct single singles[3];
    static const char *const users[] = {"ann", "bob", "cat"};
    static const int64_t steps_us[] = {0, -7 * US_PER_SECOND, 5};
    atomic_store(&running->clock_us, RECORD_US);
    running_start(running);
    running_make_coupon(running, 1, 9);
    for (size_t i = 0; i < COUNT_OF(singles); i++) {
        atomic_store(&running->clock_us, RECORD_US + steps_us[i]);
        single_init(&singles[i], running, 1, users[i]);
        running_submit(running, &singles[i].batch.job);
        running_wait_done(running, i + 2);
        assert_int_equal(singles[i].claim.issued_at_us, RECORD_US + (i == 2 ? 5 : 0));
        assert_int_equal(issuer_figures(running->issuer).clock_held_back_us,
                         i == 1 ? 7 * US_PER_SECOND : 0);
    }
    running_stop(running);
}

/* ---- while a commit is under way ---- */

/* Leaves the writer inside the sync of this claim's commit. */
static void hold_writer(struct running *running, struct single *single) {
    faulty_vfs_hold();
    single_init(single, running, 1, "the held one");
    running_submit(running, &single->batch.job);
    faulty_vfs_wait_until_held();
}

static void nothing_is_told_before_the_disk_has_it(void **state) {
    struct running *running = *state;
    struct single single;
    struct coupon_record coupon;
    running_start(running);
    running_make_coupon(running, 1, 9);
    hold_writer(running, &single);
    assert_int_equal(running->done, 1); /* the coupon's creation */
    assert_int_equal(issuer_coupon(running->issuer, 1, &coupon), STATUS_OK);
    assert_int_equal(coupon.issued_quantity, 0);
    assert_int_equal(issuer_figures(running->issuer).issues, 0);
    faulty_vfs_release();
    running_wait_done(running, 2);
    assert_int_equal(single.claim.verdict, VERDICT_ISSUED);
    assert_int_equal(issuer_coupon(running->issuer, 1, &coupon), STATUS_OK);
    assert_int_equal(coupon.issued_quantity, 1);
    running_stop(running);
}

static void what_gathers_meanwhile_is_one_commit(void **state) {
    struct running *running = *state;
    static struct single singles[500];
    struct single held;
    char user[16];
    running_start(running);
    running_make_coupon(running, 1, 1000);
    hold_writer(running, &held);
    size_t syncs = faulty_vfs_syncs();
    for (size_t i = 0; i < COUNT_OF(singles); i++) {
        snprintf(user, sizeof(user), "u%zu", i);
        single_init(&singles[i], running, 1, user);
        running_submit(running, &singles[i].batch.job);
    }
    assert_int_equal(issuer_figures(running->issuer).queue_depth, COUNT_OF(singles));
    faulty_vfs_release();
    running_wait_done(running, 2 + COUNT_OF(singles));
    assert_int_equal(faulty_vfs_syncs(), syncs + 1);
    for (size_t i = 0; i < COUNT_OF(singles); i++) {
        assert_int_equal(singles[i].claim.verdict, VERDICT_ISSUED);
        assert_int_equal(singles[i].claim.rank, i + 2); /* in the order they came */
    }
    running_stop(running);
    assert_record(running->folder, 1, 1 + COUNT_OF(singles));
}

static void a_full_queue_refuses_claims_and_says_no_more(void **state) {
    struct running *running = *state;
    static struct single singles[11];
    struct single held;
    char user[16];
    running->options.queue_max = 10;
    running_start(running);
    running_make_coupon(running, 1, 1000);
    hold_writer(running, &held);
    for (size_t i = 0; i < COUNT_OF(singles); i++) {
        snprintf(user, sizeof(user), "u%zu", i);
        single_init(&singles[i], running, 1, user);
        assert_int_equal(issuer_submit(running->issuer, &singles[i].batch.job),
                         i < 10 ? STATUS_OK : STATUS_FULL);
    }
    faulty_vfs_release();
    running_wait_done(running, 12);
    assert_int_equal(singles[9].claim.verdict, VERDICT_ISSUED);
    running_submit(running, &singles[10].batch.job); /* it stayed ours */
    running_wait_done(running, 13);
    assert_int_equal(singles[10].claim.rank, 12);
    running_stop(running);
}

static void *stop_issuer(void *context) {
    struct running *running = context;
    int status = issuer_stop(running->issuer, NULL);
    assert(status == STATUS_OK);
    return NULL;
}

/* Stopped while the writer is in a commit, with claims and a creation behind it. */
static void a_stop_finishes_every_job_there_is(void **state) {
    struct running *running = *state;
    enum { SINGLES = 400 };
    static struct single singles[SINGLES];
    struct single held;
    size_t taken = 0;
    pthread_t stopper;
    running->options.queue_max = 100;
    running_start(running);
    running_make_coupon(running, 1, COUPON_UNLIMITED);
    hold_writer(running, &held);
    struct command create = running_command(running, JOB_COUPON_CREATE);
    create.coupon = coupon_example(2, 5, 0, TIME_US_MAX);
    running_submit(running, &create.job);
    assert_int_equal(pthread_create(&stopper, NULL, stop_issuer, running), 0);
    for (int status = STATUS_OK; status != STATUS_STOPPED && taken < SINGLES;) {
        char user[16];
        snprintf(user, sizeof(user), "u%zu", taken);
        single_init(&singles[taken], running, 1, user);
        status = issuer_submit(running->issuer, &singles[taken].batch.job);
        taken += status == STATUS_OK;
        if (status == STATUS_FULL) {
            sched_yield();
        }
    }
    faulty_vfs_release();
    pthread_join(stopper, NULL);
    assert_int_equal(running->done, 3 + taken);
    assert_int_equal(create.status, STATUS_OK);
    for (size_t i = 0; i < taken; i++) {
        assert_int_equal(singles[i].claim.verdict, VERDICT_ISSUED);
    }
    issuer_free(running->issuer);
    running->issuer = NULL;
    assert_record(running->folder, 1, 1 + (uint32_t)taken);
    assert_record(running->folder, 2, 0);
}

/* ---- commands of several turns ---- */

enum { MANY = 1500 };

static void issue_to_many(struct running *running) {
    static struct claim claims[MANY];
    static char users[MANY][16];
    struct claim_batch batch = {
        .job = running_command(running, JOB_CLAIMS).job, .claims = claims, .count = MANY};
    for (size_t i = 0; i < MANY; i++) {
        snprintf(users[i], sizeof(users[i]), "u%zu", i + 1);
        claims[i] = (struct claim){
            .coupon_id = 1,
            .user_id = slice_of(users[i]),
            .user = issuer_user_digest(running->issuer, slice_of(users[i])),
        };
    }
    running_submit(running, &batch.job);
    running_wait_done(running, 2);
}

static void a_search_of_an_archived_coupon_takes_its_turns(void **state) {
    struct running *running = *state;
    running_start(running);
    running_make_coupon(running, 1, COUPON_UNLIMITED);
    issue_to_many(running);
    struct command archive = running_command(running, JOB_COUPON_CHANGE);
    archive.coupon.id = 1;
    archive.patch_set = PATCH_ARCHIVED;
    assert_int_equal(running_do(running, &archive), STATUS_OK);
    struct command search = running_command(running, JOB_HOLDING_READ);
    search.reference.coupon_id = 1;
    search.user_id = slice_of("u1500");
    search.user = issuer_user_digest(running->issuer, search.user_id);
    assert_int_equal(running_do(running, &search), STATUS_OK);
    assert_int_equal(search.issue.reference.rank, MANY);
    assert_int_equal(running->done, 4); /* each once */
    search.user_id = slice_of("nobody");
    running_submit(running, &search.job); /* and a stop lets it finish */
    running_stop(running);
    assert_int_equal(search.status, STATUS_NOT_FOUND);
    assert_int_equal(running->done, 5);
}

static void the_defaults_are_those_that_are_told(void **state) {
    struct issuer_local_options options;
    (void)state;
    issuer_local_options_default(&options);
    assert_string_equal(options.directory, "data");
    assert_int_equal(options.queue_max, 65536);
    assert_int_equal(options.coupons_max, 262144);
    assert_int_equal(options.probe_interval_us, 250000);
}

/* ---- failures of the disk (I8) ---- */

static void a_full_disk_is_survived(void **state) {
    struct running *running = *state;
    running->options.probe_interval_us = 1000;
    running_start(running);
    running_make_coupon(running, 1, 2);
    assert_int_equal(running_claim(running, 1, "ann"), VERDICT_ISSUED);
    faulty_vfs_write_fails(SQLITE_FULL);
    assert_int_equal(running_claim(running, 1, "bob"), VERDICT_STORAGE_UNAVAILABLE);
    assert_int_equal(running_wait_state(running, 2), ISSUER_UNWRITABLE);
    assert_non_null(strstr(running->why, "disk"));
    assert_int_equal(running_claim(running, 1, "ann"), VERDICT_STORAGE_UNAVAILABLE);
    faulty_vfs_write_fails(0);
    assert_int_equal(running_wait_state(running, 3), ISSUER_READY);
    assert_int_equal(issuer_state(running->issuer), ISSUER_READY);
    assert_int_equal(running_claim(running, 1, "cat"), VERDICT_ISSUED);
    assert_int_equal(running_claim(running, 1, "bob"), VERDICT_SOLD_OUT);
    assert_int_equal(issuer_figures(running->issuer).commit_failures, 1); /* ann's was none */
    assert_int_equal(running->state_count, 3);
    running_stop(running);
    assert_record(running->folder, 1, 2);
}

static void writing_is_tried_again_an_interval_after_the_failure(void **state) {
    struct running *running = *state; /* the interval is an hour */
    running_start(running);
    running_make_coupon(running, 1, 9);
    faulty_vfs_write_fails_once(SQLITE_FULL);
    assert_int_equal(running_claim(running, 1, "ann"), VERDICT_STORAGE_UNAVAILABLE);
    for (int i = 0; i < 10; i++) {
        struct command command = running_command(running, JOB_COUPON_READ);
        command.coupon.id = 1;
        assert_int_equal(running_do(running, &command), STATUS_OK);
        assert_int_equal(running_claim(running, 1, "ann"), VERDICT_STORAGE_UNAVAILABLE);
    }
    assert_int_equal(running->state_count, 2);
    assert_int_equal(issuer_state(running->issuer), ISSUER_UNWRITABLE);
    running_stop(running);
    running_start(running);
    assert_int_equal(running_claim(running, 1, "ann"), VERDICT_ISSUED);
    running_stop(running);
}

/* … and not after the start: each try waits for longer than the interval before it fails. Who
 * claims at once is then refused, unless the machine takes longer for it than the interval. */
static void the_interval_begins_with_the_failure(void **state) {
    enum { INTERVAL_US = 100000, TRIES = 20 };
    struct running *running = *state;
    running->options.probe_interval_us = INTERVAL_US;
    running_start(running);
    running_make_coupon(running, 1, COUPON_UNLIMITED);
    bool refused = false;
    for (size_t i = 0; i < TRIES && !refused; i++) {
        usleep(2 * INTERVAL_US);
        faulty_vfs_write_fails_once(SQLITE_FULL);
        assert_int_equal(running_claim(running, 1, "ann"), VERDICT_STORAGE_UNAVAILABLE);
        refused = running_claim(running, 1, "bob") == VERDICT_STORAGE_UNAVAILABLE;
        assert_int_equal(running_wait_state(running, 2 * i + 3), ISSUER_READY);
    }
    assert_true(refused);
    running_stop(running);
}

static void a_failed_sync_ends_issuing_until_a_new_start(void **state) {
    struct running *running = *state;
    running->options.probe_interval_us = 1000;
    running_start(running);
    running_make_coupon(running, 1, 9);
    assert_int_equal(running_claim(running, 1, "ann"), VERDICT_ISSUED);
    faulty_vfs_sync_fails(SQLITE_IOERR_FSYNC);
    assert_int_equal(running_claim(running, 1, "bob"), VERDICT_OUTCOME_UNKNOWN);
    assert_int_equal(running_wait_state(running, 2), ISSUER_BROKEN);
    assert_non_null(strstr(running->why, "unknown"));
    faulty_vfs_sync_fails(0);
    assert_int_equal(running_claim(running, 1, "bob"), VERDICT_OUTCOME_UNKNOWN);
    assert_int_equal(running_claim(running, 1, "ann"), VERDICT_OUTCOME_UNKNOWN);
    struct command command = running_command(running, JOB_COUPON_READ);
    command.coupon.id = 1;
    assert_int_equal(running_do(running, &command), STATUS_IO);
    assert_int_equal(running->state_count, 2);
    issuer_stop(running->issuer, NULL); /* may say that it did not fold the log */
    issuer_free(running->issuer);
    running_start(running);
    assert_int_equal(running->states[0], ISSUER_READY);
    assert_int_equal(running_claim(running, 1, "ann"), VERDICT_ALREADY_ISSUED);
    enum verdict verdict = running_claim(running, 1, "bob"); /* the file knows */
    assert_true(verdict == VERDICT_ISSUED || verdict == VERDICT_ALREADY_ISSUED);
    running_stop(running);
    assert_record(running->folder, 1, 2);
}

#define WITH_ISSUER(test) cmocka_unit_test_setup_teardown(test, running_setup, running_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_ISSUER(it_starts_issues_and_stops),
        WITH_ISSUER(what_it_did_is_told_in_figures),
        WITH_ISSUER(what_was_issued_is_there_after_a_new_start),
        WITH_ISSUER(a_folder_has_one_issuer_at_a_time),
        WITH_ISSUER(a_folder_that_cannot_be_is_refused_at_once),
        WITH_ISSUER(a_damaged_record_ends_in_broken_and_says_why),
        WITH_ISSUER(a_record_too_far_ahead_of_the_clock_is_refused),
        WITH_ISSUER(a_record_a_little_ahead_holds_the_clock),
        WITH_ISSUER(a_clock_that_steps_back_is_not_followed),
        WITH_ISSUER(nothing_is_told_before_the_disk_has_it),
        WITH_ISSUER(what_gathers_meanwhile_is_one_commit),
        WITH_ISSUER(a_full_queue_refuses_claims_and_says_no_more),
        WITH_ISSUER(a_stop_finishes_every_job_there_is),
        WITH_ISSUER(a_search_of_an_archived_coupon_takes_its_turns),
        cmocka_unit_test(the_defaults_are_those_that_are_told),
        WITH_ISSUER(a_full_disk_is_survived),
        WITH_ISSUER(writing_is_tried_again_an_interval_after_the_failure),
        WITH_ISSUER(the_interval_begins_with_the_failure),
        WITH_ISSUER(a_failed_sync_ends_issuing_until_a_new_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
