/* The ledger behind the product's own interface (ledger.h, settle_store.h): a store that is the
 * SQL server of sql_server.h, reached over connections that delay, fail and are lost. Opened by
 * ledger_open_url(), which is linked in the place of src/ledger's. What is decided within a
 * settlement is src/ledger/settle.c's, which runs as it is.
 *
 * What a lost connection means is as in postgres_transaction.c: before COMMIT known, in COMMIT
 * ambiguous; a session that was lost is ended before the next one is used. Lost deadlocks and lock
 * timeouts are done again inside the call. */
#include "sim/distributed/sql_store.h"
#include "sim/distributed/bugs.h"
#include "sim/distributed/trouble.h"

#include <stdio.h>
#include <stdlib.h>

#define ATTEMPTS_MAX 5
static const int64_t RETRY_PAUSE_FIRST_US = 10000;
static const int64_t RETRY_PAUSE_MAX_US = US_PER_SECOND;

/* ---- the way there and back ---- */

static int lose(struct sql_ledger *ledger, struct complaint *complaint) {
    ledger->lost = true;
    ledger->left = ledger->session;
    ledger->session = NULL;
    return complain(complaint, STATUS_IO, "the connection is lost");
}

static bool is_usable(const struct sql_session *session) {
    return session && session->open && sql_server()->up;
}

/* Until the server does the statement. */
int sql_statement(struct sql_ledger *ledger, struct complaint *complaint) {
    int64_t until_us = now_us() + ledger->options.statement_timeout_us;
    fiber_sleep(trouble_sql_delay());
    if (is_usable(ledger->session) && trouble_strikes(TROUBLE_SQL_CONNECTION_LOST)) {
        sql_session_end(ledger->session);
    }
    while (is_usable(ledger->session) && sql_server()->slow_until_us > now_us()) {
        fiber_sleep(random_between(dice(), 1000, 20000));
        if (now_us() >= until_us) {
            ledger->late = true;
            sql_session_end(ledger->session);
        }
    }
    if (!is_usable(ledger->session)) {
        return lose(ledger, complaint);
    }
    ledger->session->heard_us = now_us();
    return STATUS_OK;
}

void sql_statement_done(void) {
    fiber_sleep(trouble_sql_delay());
}

/* An error after which the server has rolled back and the same again may succeed. */
static int replayable(struct sql_ledger *ledger, struct complaint *complaint) {
    sql_rollback(ledger->session);
    ledger->replay = true;
    return complain(complaint, STATUS_IO, "rolled back");
}

static int change_statement(struct sql_ledger *ledger, struct complaint *complaint) {
    int status = sql_statement(ledger, complaint);
    if (status == STATUS_OK && trouble_strikes(TROUBLE_SQL_DEADLOCK)) {
        return replayable(ledger, complaint);
    }
    return status;
}

/* ---- connecting ---- */

/* A COMMIT of the session that was lost comes before its end, or not at all. */
static void left_end(struct sql_ledger *ledger) {
    struct sql_session *left = ledger->left;
    ledger->left = NULL;
    if (left && left->open && left->in_commit && random_chance(dice(), 1, 2)) {
        sql_commit(left);
    }
    if (left) {
        sql_session_end(left);
    }
}

static int session_make(struct sql_ledger *ledger, struct complaint *complaint) {
    if (now_us() < ledger->retry_at_us) {
        return complain(complaint, STATUS_IO, "it is tried again soon");
    }
    fiber_sleep(2 * trouble_sql_delay());
    if (!sql_server()->up || sql_server()->slow_until_us > now_us()) {
        int64_t pause_us =
            ledger->retry_pause_us ? 2 * ledger->retry_pause_us : RETRY_PAUSE_FIRST_US;
        ledger->retry_pause_us = pause_us < RETRY_PAUSE_MAX_US ? pause_us : RETRY_PAUSE_MAX_US;
        ledger->retry_at_us = now_us() + ledger->retry_pause_us;
        return complain(complaint, STATUS_IO, "the server cannot be reached");
    }
    left_end(ledger);
    ledger->retry_pause_us = 0;
    ledger->session = sql_session_new(ledger->process, ledger->options.idle_timeout_us);
    ledger->ledger.sessions++;
    return STATUS_OK;
}

int sql_connect(struct sql_ledger *ledger, struct complaint *complaint) {
    ledger->lost = ledger->late = ledger->replay = false;
    if (ledger->session && !is_usable(ledger->session)) {
        ledger->left = ledger->session;
        ledger->session = NULL;
    }
    return ledger->session ? STATUS_OK : session_make(ledger, complaint);
}

/* ---- COMMIT ---- */

struct commit {
    struct sql_session *session;
    struct fiber *fiber;
    uint64_t number;
    uint64_t crashes; /* of the server, when it was shown */
    int status;
};

static void commit_answer(struct commit *commit, int status) {
    commit->status = status;
    fiber_wake(commit->fiber, commit);
}

static void on_commit_answer(void *context, uint64_t status) {
    commit_answer(context, (int)(int64_t)status);
}

static void commit_lost(struct commit *commit) {
    sql_session_end(commit->session);
    event_at(now_us() + random_between(dice(), 0, 50000), commit->session->process,
             on_commit_answer, commit, (uint64_t)(int64_t)STATUS_AMBIGUOUS);
}

/* It is in the record, unless the server has crashed since it was shown. */
static void on_synced(void *context, uint64_t word) {
    struct commit *commit = context;
    (void)word;
    if (commit->crashes != sql_server()->crashes ||
        trouble_strikes(TROUBLE_SQL_COMMIT_ANSWER_LOST)) {
        commit_lost(commit);
    } else {
        event_at(now_us() + trouble_sql_delay(), commit->session->process, on_commit_answer, commit,
                 STATUS_OK);
    }
}

static void on_commit(void *context, uint64_t word) {
    struct commit *commit = context;
    struct sql_session *session = commit->session;
    (void)word;
    bool waits = session->open && session->in_commit && session->number == commit->number;
    if (waits && sql_server()->slow_until_us > now_us()) {
        event_at(sql_server()->slow_until_us, NULL, on_commit, commit, 0);
        return;
    }
    if (!waits || trouble_strikes(TROUBLE_SQL_LOST_BEFORE_COMMIT)) {
        commit_lost(commit);
        return;
    }
    if (trouble_strikes(TROUBLE_SQL_CRASH_BEFORE_COMMIT)) {
        trouble_sql_crash();
        commit_lost(commit);
        return;
    }
    if (trouble_strikes(TROUBLE_SQL_COMMIT_REFUSED)) {
        sql_rollback(session);
        commit_answer(commit, STATUS_IO);
        return;
    }
    commit->crashes = sql_server()->crashes;
    event_at(sql_commit(session), NULL, on_synced, commit, 0); /* behind the log's own event */
    if (trouble_strikes(TROUBLE_SQL_CRASH_AFTER_COMMIT)) {
        trouble_sql_crash();
    }
}

static int commit_wait(struct sql_ledger *ledger, struct commit *commit,
                       struct complaint *complaint) {
    bool answered = fiber_wait(commit, now_us() + ledger->options.statement_timeout_us);
    if (!answered || commit->status == STATUS_AMBIGUOUS) {
        ledger->late = !answered;
        lose(ledger, NULL);
        return complain(complaint, STATUS_AMBIGUOUS, "no answer to COMMIT");
    }
    ledger->session->heard_us = now_us();
    return commit->status;
}

static int commit(struct sql_ledger *ledger, struct complaint *complaint) {
    if (!is_usable(ledger->session)) { /* it will not take a COMMIT any more */
        return lose(ledger, complaint);
    }
    struct sql_session *session = ledger->session;
    struct commit *commit = world_alloc(sizeof(*commit));
    *commit = (struct commit){session, fiber_self(), session->number, 0, STATUS_AMBIGUOUS};
    session->in_commit = true;
    int64_t delay_us = trouble_sql_delay();
    if (bug_is(BUG_REPLY_BEFORE_COMMIT) && session->writes.writes_cursor) {
        delay_us += random_between(dice(), 5000, 50000);
        event_at(now_us() + delay_us, NULL, on_commit, commit, 0);
        ledger->session = NULL;
        return STATUS_OK;
    }
    event_at(now_us() + delay_us, NULL, on_commit, commit, 0);
    return commit_wait(ledger, commit, complaint);
}

/* ---- transactions ---- */

static int attempt(struct sql_ledger *ledger, ledger_change change, void *context,
                   struct complaint *complaint) {
    int status = sql_connect(ledger, complaint);
    if (status < 0) {
        return status;
    }
    sql_begin(ledger->session);
    status = change(context, complaint);
    if (status == STATUS_OK) {
        return commit(ledger, complaint);
    }
    if (ledger->session && ledger->session->in_transaction) {
        bool replay = ledger->replay;
        sql_rollback(ledger->session);
        sql_statement_done();
        ledger->replay = replay;
    }
    return status;
}

static int transact(struct ledger *base, ledger_change change, void *context,
                    struct complaint *complaint) {
    struct sql_ledger *ledger = sql_ledger_of(base);
    int status = STATUS_OK;
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        status = attempt(ledger, change, context, complaint);
        if (status == STATUS_OK || status == STATUS_AMBIGUOUS || !ledger->replay) {
            break;
        }
    }
    return status;
}

static int observe(struct ledger *base, ledger_change change, void *context,
                   struct complaint *complaint) {
    struct sql_ledger *ledger = sql_ledger_of(base);
    for (int attempt = 0;; attempt++) {
        int status = sql_connect(ledger, complaint);
        if (status < 0) {
            return status;
        }
        status = change(context, complaint);
        if (status == STATUS_OK || !ledger->lost || ledger->late || attempt > 0) {
            return status;
        }
    }
}

/* Waits for a row that another transaction has. */
static int row_lock(struct sql_ledger *ledger, struct sql_session **locked_by,
                    struct complaint *complaint) {
    int64_t until_us = now_us() + ledger->options.lock_timeout_us;
    if (trouble_strikes(TROUBLE_SQL_LOCK_TIMEOUT)) {
        return replayable(ledger, complaint);
    }
    while (!sql_lock(ledger->session, locked_by)) {
        fiber_sleep(random_between(dice(), 200, 3000));
        if (!is_usable(ledger->session)) {
            return lose(ledger, complaint);
        }
        if (now_us() >= until_us) {
            return replayable(ledger, complaint);
        }
    }
    ledger->session->heard_us = now_us();
    return STATUS_OK;
}

/* ---- a settlement ---- */

static int cursor_lock(struct ledger *base, struct ledger_cursor *cursor,
                       struct complaint *complaint) {
    struct sql_ledger *ledger = sql_ledger_of(base);
    struct sql_partition *partition = &sql_server()->shown.partitions[cursor->partition];
    int status = change_statement(ledger, complaint);
    if (status < 0) {
        return status;
    }
    if (!sql_lock(ledger->session, &partition->locked_by)) { /* SKIP LOCKED */
        trouble_count(TROUBLE_WORKERS_MEET);
        status = complain(complaint, STATUS_BUSY, "another program is there");
    }
    cursor->epoch = partition->epoch;
    cursor->n = partition->n;
    if (bug_is(BUG_NO_EPOCH_CHECK) && ledger->wanted->epoch != partition->epoch) {
        cursor->epoch = ledger->wanted->epoch;
        cursor->n = ledger->wanted->n;
    }
    sql_statement_done();
    return status;
}

static int cursor_move(struct ledger *base, const struct ledger_cursor *cursor,
                       struct complaint *complaint) {
    struct sql_ledger *ledger = sql_ledger_of(base);
    int status = change_statement(ledger, complaint);
    if (status < 0) {
        return status;
    }
    if (bug_is(BUG_CURSOR_APART)) {
        sql_cursor_write(cursor);
    } else {
        ledger->session->writes.cursor = *cursor;
        ledger->session->writes.writes_cursor = true;
        trouble_settler(ledger->process);
    }
    sql_statement_done();
    return STATUS_OK;
}

static int coupons_lock(struct ledger *base, const uint64_t *ids, size_t count,
                        struct complaint *complaint) {
    struct sql_ledger *ledger = sql_ledger_of(base);
    int status = change_statement(ledger, complaint);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        struct sql_coupon *coupon = sql_coupon_find(ids[i]);
        status = coupon ? row_lock(ledger, &coupon->locked_by, complaint) : STATUS_OK;
    }
    if (status == STATUS_OK) {
        sql_statement_done();
    }
    return status;
}

static int write_issues(struct ledger *base, const struct issue_row *rows, size_t row_count,
                        const struct issued_count *counts, size_t coupon_count,
                        struct complaint *complaint) {
    struct sql_ledger *ledger = sql_ledger_of(base);
    int status = change_statement(ledger, complaint);
    if (status == STATUS_OK) {
        status = sql_write(ledger->session, rows, row_count, counts, coupon_count, complaint);
        if (!ledger->wanted) { /* no cursor will follow */
            trouble_settler(ledger->process);
        }
        sql_statement_done();
    }
    return status;
}

static int rejects_write(struct ledger *base, const struct ledger_cursor *cursor,
                         const struct settle_claim *const *rejects, size_t count,
                         struct complaint *complaint) {
    struct sql_ledger *ledger = sql_ledger_of(base);
    int status = change_statement(ledger, complaint);
    if (status == STATUS_OK && !bug_is(BUG_REJECTS_LOST)) {
        sql_rejects_add(ledger->session, cursor, rejects, count);
        sql_statement_done();
    }
    return status;
}

/* ---- epochs and changes ---- */

/* UPDATE partitions SET epoch = epoch + 1, n = 0: of this epoch, or of any. */
static int epoch_write(struct sql_ledger *ledger, unsigned number, const uint64_t *epoch,
                       struct complaint *complaint) {
    struct sql_partition *partition = &sql_server()->shown.partitions[number];
    int status = change_statement(ledger, complaint);
    if (status == STATUS_OK) {
        status = row_lock(ledger, &partition->locked_by, complaint);
    }
    if (status == STATUS_OK && epoch && partition->epoch != *epoch) {
        status = complain(complaint, STATUS_CONFLICT, "another epoch");
    }
    if (status == STATUS_OK) {
        ledger->session->writes.cursor = (struct ledger_cursor){number, partition->epoch + 1, 0};
        ledger->session->writes.raises_epoch = true;
        sql_statement_done();
    }
    return status;
}

struct raise {
    struct sql_ledger *ledger;
    const struct ledger_cursor *cursor;
};

static int raise_change(void *context, struct complaint *complaint) {
    const struct raise *raise = context;
    return epoch_write(raise->ledger, raise->cursor->partition, &raise->cursor->epoch, complaint);
}

static int epoch_raise(struct ledger *base, struct ledger_cursor *cursor,
                       struct complaint *complaint) {
    struct raise raise = {sql_ledger_of(base), cursor};
    struct ledger_cursor all[PARTITION_COUNT];
    int status = transact(base, raise_change, &raise, complaint);
    if (status == STATUS_OK) {
        cursor->epoch++;
        cursor->n = 0;
    } else if (status == STATUS_CONFLICT && sql_cursors_read(base, all) == STATUS_OK) {
        *cursor = all[cursor->partition];
    }
    return status;
}

struct coupon_change {
    struct sql_ledger *ledger;
    const struct coupon_record *coupon;
};

static int change_write(void *context, struct complaint *complaint) {
    const struct coupon_change *change = context;
    struct sql_ledger *ledger = change->ledger;
    struct sql_coupon *coupon = sql_coupon_find(change->coupon->id);
    int status = epoch_write(ledger, partition_of(change->coupon->id), NULL, complaint);
    if (status == STATUS_OK) {
        status = change_statement(ledger, complaint);
    }
    if (status == STATUS_OK) {
        status = coupon ? row_lock(ledger, &coupon->locked_by, complaint) : STATUS_NOT_FOUND;
    }
    if (status < 0) {
        return status;
    }
    if (coupon->record.version + 1 != change->coupon->version) {
        return complain(complaint, STATUS_CONFLICT, "another version");
    }
    if (change->coupon->total_quantity != COUPON_UNLIMITED &&
        change->coupon->total_quantity < coupon->record.issued_quantity) {
        return complain(complaint, STATUS_INVALID, "below what is issued");
    }
    struct coupon_record *copy = world_alloc(sizeof(*copy));
    *copy = *change->coupon;
    ledger->session->writes.change = copy;
    sql_statement_done();
    return STATUS_OK;
}

/* UPDATE probes, for which nobody waits. */
static int probe_write(void *context, struct complaint *complaint) {
    struct sql_ledger *ledger = context;
    int status = change_statement(ledger, complaint);
    if (status == STATUS_OK) {
        ledger->session->writes.probes = true;
        sql_statement_done();
    }
    return status;
}

static int probe(struct ledger *base, struct complaint *complaint) {
    int status = transact(base, probe_write, base, complaint);
    return status == STATUS_AMBIGUOUS ? STATUS_IO : status;
}

static int coupon_change(struct ledger *base, const struct coupon_record *coupon,
                         const struct audit *audit, struct complaint *complaint) {
    struct coupon_change change = {sql_ledger_of(base), coupon};
    (void)audit;
    return transact(base, change_write, &change, complaint);
}

/* ---- opening and closing ---- */

static int ledger_end(struct ledger *base, struct complaint *complaint) {
    struct sql_ledger *ledger = sql_ledger_of(base);
    (void)complaint;
    if (ledger->session) {
        sql_session_end(ledger->session);
    }
    free(ledger);
    return STATUS_OK;
}

/* What is not here nobody asks for: no creations, imports, audits, visits. */
static const struct ledger_operations operations = {
    .close = ledger_end,
    .latest_us = sql_latest_read,
    .coupon_change = coupon_change,
    .coupon_read = sql_coupon_read,
    .coupons_read = sql_coupons_list,
    .issue_read = sql_issue_read,
    .probe = probe,
};

static const struct ledger_shared_operations shared_operations = {
    .transact = transact,
    .observe = observe,
    .cursor_lock = cursor_lock,
    .cursor_move = cursor_move,
    .coupons_lock = coupons_lock,
    .coupons_read = sql_settle_coupons_read,
    .holders_read = sql_holders_read,
    .write = write_issues,
    .rejects_write = rejects_write,
    .now_us = sql_now_read,
    .holding_read = sql_holding_read,
};

static const struct ledger_partition_operations partition_operations = {
    .cursors_read = sql_cursors_read,
    .epoch_raise = epoch_raise,
    .rejects_read = sql_rejects_read,
    .rejects_count = sql_rejects_count,
};

static int64_t or_default(int64_t given_us, int64_t default_us) {
    return given_us ? given_us : default_us;
}

int ledger_open_url(const struct ledger_sql_options *options, struct ledger **ret_ledger,
                    struct complaint *complaint) {
    struct sql_ledger *ledger = calloc(1, sizeof(*ledger));
    assert(ledger);
    ledger->ledger =
        (struct ledger){.operations = &operations,
                        .shared = &shared_operations,
                        .partitions = &partition_operations,
                        .shows_unsynced = sql_server()->shows_unsynced && !bug_is(BUG_NO_BARRIER)};
    ledger->process = process_self();
    ledger->options = *options;
    ledger->options.lock_timeout_us = or_default(options->lock_timeout_us, 2 * US_PER_SECOND);
    ledger->options.statement_timeout_us =
        or_default(options->statement_timeout_us, 30 * US_PER_SECOND);
    ledger->options.idle_timeout_us = or_default(options->idle_timeout_us, 60 * US_PER_SECOND);
    int status = sql_connect(ledger, complaint);
    if (status < 0) {
        free(ledger);
        return status;
    }
    *ret_ledger = &ledger->ledger;
    return STATUS_OK;
}

/* ---- what is planted around a settlement ---- */

int __real_ledger_settle(struct ledger *ledger, struct settlement *settlement,
                         struct complaint *complaint);
int __wrap_ledger_settle(struct ledger *ledger, struct settlement *settlement,
                         struct complaint *complaint);

int __wrap_ledger_settle(struct ledger *ledger, struct settlement *settlement,
                         struct complaint *complaint) {
    uint64_t epoch = settlement->cursor ? settlement->cursor->epoch : 0;
    sql_ledger_of(ledger)->wanted = settlement->cursor;
    int status = __real_ledger_settle(ledger, settlement, complaint);
    if (settlement->cursor && status == STATUS_NOT_FOUND && settlement->cursor->epoch > epoch) {
        trouble_count(TROUBLE_LATE_SETTLEMENT);
    }
    return status;
}
