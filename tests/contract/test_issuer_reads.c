/* What a node of the SQL issuer answers from its connection for reads: what became of a claim that
 * was admitted, published quantities; and a start that is refused. */
#include "claims.h"
#include "issuer/issuer.h"

#include <pthread.h>

#include <stdio.h>
#include <stdlib.h>

struct asked {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

static struct issuer *issuer;

static void note_done(struct job *job) {
    struct asked *asked = job->context;
    pthread_mutex_lock(&asked->lock);
    asked->done = true;
    pthread_cond_signal(&asked->changed);
    pthread_mutex_unlock(&asked->lock);
}

static int ask(struct command *command) {
    struct asked asked = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    command->job.done = note_done;
    command->job.context = &asked;
    assert_int_equal(issuer_submit(issuer, &command->job), STATUS_OK);
    pthread_mutex_lock(&asked.lock);
    while (!asked.done) {
        pthread_cond_wait(&asked.changed, &asked.lock);
    }
    pthread_mutex_unlock(&asked.lock);
    return command->status;
}

static int start(const char *url) {
    struct issuer_sql_options options;
    issuer_sql_options_default(&options);
    options.ledger.url = url;
    options.refresh_interval_us = 1; /* after each command, and all the time */
    issuer = NULL;
    return issuer_sql_start(&options, &issuer, &complaint);
}

static void stop(void) {
    assert_int_equal(issuer_stop(issuer, &complaint), STATUS_OK);
    issuer_free(issuer);
}

/* Two commands: behind the first the quantities are read. */
static int refreshed(void) {
    struct command command = {.job = {.kind = JOB_COUPON_READ}, .coupon.id = 1};
    int status = ask(&command);
    return ask(&command) == status ? status : STATUS_CONFLICT;
}

static void run_sql(void **state, const char *sql) {
    void *session = session_begin(state);
    free(session_ask(session, sql));
    session_end(session);
}

/* ---- what became of a claim ---- */

static struct command claim_read(uint64_t coupon_id, const char *user, struct reject_place place) {
    struct command command = {.job = {.kind = JOB_CLAIM_READ},
                              .reference = {coupon_id, 0},
                              .user_id = slice_of(user),
                              .place = place};
    command.status = ask(&command);
    return command;
}

static void an_admitted_claim_is_told_what_became_of_it(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, 1);
    uint64_t other = add_open_coupon(ledger, 1);
    struct settle_claim claims[] = {claim_of(id, "a", "1"), claim_of(id, "b", "2")};
    struct ledger_cursor cursor = {.partition = partition_of(id)};
    claims[0].n = claims[1].n = 1;
    claims[1].index = 1;
    struct settlement settlement = {
        .claims = claims, .count = 2, .fresh = true, .cursor = &cursor, .cursor_n = 1};
    assert_int_equal(ledger_settle(ledger, &settlement, &complaint), STATUS_OK);
    struct reject_place place = {cursor.partition, 0, 1, 1};
    struct reject_place earlier = {cursor.partition, 0, 1, 0};
    struct reject_place later = {cursor.partition, 0, 2, 0};
    struct reject_place over = {cursor.partition, 9, 2, 0};
    const struct {
        uint64_t coupon_id;
        const char *user;
        struct reject_place place;
        int status;
        enum claim_standing standing;
    } cases[] = {
        {id, "a", earlier, STATUS_OK, CLAIM_ISSUED},
        {id, "b", place, STATUS_OK, CLAIM_REFUSED},
        {id, "c", place, STATUS_OK, CLAIM_LOST}, /* the reject there is another's */
        {other, "b", place, STATUS_OK, CLAIM_LOST},
        {id, "b", earlier, STATUS_OK, CLAIM_LOST},
        {id, "b", later, STATUS_OK, CLAIM_PENDING},
        {id, "b", over, STATUS_OK, CLAIM_LOST},
        {id + 1000, "b", later, STATUS_NOT_FOUND, CLAIM_PENDING},
        {id + 1000, "b", place, STATUS_NOT_FOUND, CLAIM_LOST},
    };
    assert_int_equal(start(url_of(state)), STATUS_OK);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct command command = claim_read(cases[i].coupon_id, cases[i].user, cases[i].place);
        assert_int_equal(command.status, cases[i].status);
        if (command.status == STATUS_OK) {
            assert_int_equal(command.standing, cases[i].standing);
        }
        if (command.standing == CLAIM_REFUSED) {
            assert_string_equal(command.reject.reason, "sold-out");
        }
    }
    run_sql(state, "ALTER TABLE coupon_rejects RENAME TO away");
    assert_true(claim_read(id, "b", place).status < 0);
    stop();
}

/* MariaDB shows what others have committed before it is durable: whoever is told of an issue waits
 * for that, which without its table cannot be had. */
static void a_user_is_told_of_what_is_durable(void **state) {
    bool waits = strncmp(url_of(state), "mysql", 5) == 0;
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, 5);
    struct settle_claim claim = claim_of(id, "a", "1");
    settle(ledger, &claim, 1, true);
    assert_int_equal(start(url_of(state)), STATUS_OK);
    run_sql(state, "ALTER TABLE probes RENAME TO away");
    struct command commands[] = {
        {.job = {.kind = JOB_ISSUE_READ}, .reference = {id, 1}},
        {.job = {.kind = JOB_HOLDING_READ}, .reference = {id, 0}, .user_id = slice_of("a")},
        {.job = {.kind = JOB_USER_ISSUES_READ}, .user_id = slice_of("a")},
        {.job = {.kind = JOB_CLAIM_READ}, .reference = {id, 0}, .user_id = slice_of("a")},
    };
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        assert_int_equal(ask(&commands[i]), waits ? STATUS_IO : STATUS_OK);
        free(commands[i].holdings);
    }
    struct reject_place later = {partition_of(id), 0, 2, 0};
    assert_int_equal(claim_read(id, "b", later).status, STATUS_OK); /* pending: nothing is told */
    stop();
}

/* ---- quantities ---- */

static void quantities_stay_while_the_ledger_cannot_be_read(void **state) {
    struct coupon_quantities found;
    uint64_t id = add_open_coupon(ledger_of(state), 5);
    assert_int_equal(start(url_of(state)), STATUS_OK);
    assert_int_equal(refreshed(), refreshed());
    run_sql(state, "ALTER TABLE coupons RENAME TO away");
    int failed = refreshed();
    assert_true(failed != STATUS_OK && failed != STATUS_NOT_FOUND && failed != STATUS_CONFLICT);
    assert_int_equal(issuer_quantities(issuer, 0, 1, &found), 1);
    assert_int_equal(found.coupon_id, id);
    run_sql(state, "ALTER TABLE away RENAME TO coupons");
    uint64_t second = add_open_coupon(ledger_of(state), 5);
    assert_int_equal(refreshed(), refreshed());
    assert_int_equal(issuer_quantities(issuer, id, 1, &found), 1);
    assert_int_equal(found.coupon_id, second);
    stop();
}

/* ---- a start that is refused ---- */

static void a_record_ahead_of_the_servers_clock_is_not_added_to(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, 5);
    struct settle_claim claim = claim_of(id, "a", "1");
    settle(ledger, &claim, 1, true);
    assert_int_equal(start(url_of(state)), STATUS_OK);
    stop();
    run_sql(state, "UPDATE coupon_issues SET date_issued = date_issued + 90000000");
    assert_complains(STATUS_INVALID, start(url_of(state)));
    assert_says("s ahead of the SQL server's clock");
    assert_null(issuer);
}

static void a_ledger_in_a_file_is_not_shared(void **state) {
    (void)state;
    assert_complains(STATUS_INVALID, start("sqlite:/tmp"));
    assert_null(issuer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        with_ledger(an_admitted_claim_is_told_what_became_of_it),
        with_ledger(a_user_is_told_of_what_is_durable),
        with_ledger(quantities_stay_while_the_ledger_cannot_be_read),
        with_ledger(a_record_ahead_of_the_servers_clock_is_not_added_to),
        cmocka_unit_test(a_ledger_in_a_file_is_not_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
