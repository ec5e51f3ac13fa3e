/* Two programs that open an empty database at once, of which the second comes between two
 * statements of the first, whichever: both find the ledger, and its tables are made once. For the
 * stores that are SQL servers. Not here: openings that fail (test_calls_fail.c). */
#include "claims.h"
#include "failing.h"

#include <pthread.h>
#include <time.h>

#define STATEMENTS_MAX 400
/* Once the first makes the tables the second waits for it, and this long it may. Before that it is
 * through sooner; if it is not, that is no failure. */
#define WAIT_MS 500
/* Of the first's statements while it makes the tables, so many are tried. */
#define WAITS_MAX 4

struct race {
    const char *url;
    pthread_t thread;
    bool started;
    bool ended; /* before the first went on */
    int status;
    char why[sizeof(complaint.text)];
};

static int open_and_close(const char *url, struct complaint *why) {
    struct ledger_sql_options options = {.url = url};
    struct ledger *ledger = NULL;
    int status = ledger_open_url(&options, &ledger, why);
    return status == STATUS_OK ? ledger_close(ledger, why) : status;
}

static void *open_second(void *context) {
    struct race *race = context;
    struct complaint why = {0};
    race->status = open_and_close(race->url, &why);
    memcpy(race->why, why.text, sizeof(race->why));
    return NULL;
}

static void come_between(void *context) {
    struct race *race = context;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += WAIT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    race->started = pthread_create(&race->thread, NULL, open_second, race) == 0;
    race->ended = race->started && pthread_timedjoin_np(race->thread, NULL, &until) == 0;
}

static void drop_tables(void **state) {
    assert_sql(state,
               "DROP TABLE IF EXISTS coupon_issues, coupon_imports, coupon_revisions, "
               "coupon_rejects, coupon_creations, audits, partitions, coupons, ledger_version, "
               "probes",
               "");
}

static void a_ledger_that_another_makes_meanwhile_is_opened(void **state) {
    unsigned waits = 0;
    bool reached = true;
    for (unsigned nth = 1; reached && waits < WAITS_MAX; nth++) {
        assert_true(nth < STATEMENTS_MAX);
        drop_tables(state);
        struct race race = {.url = url_of(state)};
        failing_arm_call(nth, come_between, &race);
        int status = open_and_close(race.url, &complaint);
        reached = failing_disarm();
        if (race.started && !race.ended) {
            waits++;
            assert_int_equal(pthread_join(race.thread, NULL), 0);
        }
        if (status != STATUS_OK || race.status != STATUS_OK) {
            fail_msg("at statement %u: %s: %s, %s: %s", nth, status_name(status), complaint.text,
                     status_name(race.status), race.why);
        }
        assert_sql(state, "SELECT count(*) FROM ledger_version", "1");
        assert_sql(state, "SELECT count(*) FROM partitions", "64");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        with_ledger(a_ledger_that_another_makes_meanwhile_is_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
