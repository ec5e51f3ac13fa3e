/* Tables, sessions, transactions: see sql_server.h. */
#include "sim/distributed/sql_server.h"

#include "sim/distributed/bugs.h"
#include "sim/distributed/oracle.h"
#include "sim/distributed/trouble.h"

#include <stdio.h>

/* A transaction that is shown and not in the record yet. */
struct logged {
    struct logged *next;
    struct sql_writes writes;
};

static struct {
    struct sql_server server;
    struct sql_session *sessions;
    struct logged *log_first;
    struct logged *log_last;
    int64_t synced_us; /* when the last of them will be */
} world;

struct sql_server *sql_server(void) {
    return &world.server;
}

void sql_server_begin(void) {
    memset(&world, 0, sizeof(world));
    world.server.up = true;
    world.server.record.is_record = true;
    world.server.clock_skew_us = random_between(dice(), -2000, 2000);
    world.server.shows_unsynced = random_chance(dice(), 1, 2);
}

int64_t sql_clock_us(void) {
    return realtime_us() + world.server.clock_skew_us;
}

void sql_coupon_add(const struct coupon_record *record) {
    sql_tables_coupon_add(&world.server.shown, record);
    sql_tables_coupon_add(&world.server.record, record);
}

struct sql_coupon *sql_coupon_find(uint64_t coupon_id) {
    return sql_tables_coupon(&world.server.shown, coupon_id);
}

const struct sql_coupon *sql_coupon_recorded(uint64_t coupon_id) {
    return sql_tables_coupon(&world.server.record, coupon_id);
}

/* ---- sessions ---- */

struct sql_session *sql_session_new(struct process *process, int64_t idle_timeout_us) {
    struct sql_session *session = world_alloc(sizeof(*session));
    session->process = process;
    session->open = true;
    session->idle_timeout_us = idle_timeout_us;
    session->heard_us = now_us();
    session->next = world.sessions;
    world.sessions = session;
    return session;
}

void sql_begin(struct sql_session *session) {
    assert(!session->in_transaction);
    session->in_transaction = true;
    session->number++;
    session->writes = (struct sql_writes){0};
}

bool sql_lock(struct sql_session *session, struct sql_session **locked_by) {
    assert(session->in_transaction);
    if (*locked_by && *locked_by != session) {
        return false;
    }
    *locked_by = session;
    return true;
}

static void unlock_all(struct sql_session *session) {
    for (size_t i = 0; i < PARTITION_COUNT; i++) {
        if (world.server.shown.partitions[i].locked_by == session) {
            world.server.shown.partitions[i].locked_by = NULL;
        }
    }
    for (size_t i = 0; i < world.server.shown.coupon_count; i++) {
        if (world.server.shown.coupons[i]->locked_by == session) {
            world.server.shown.coupons[i]->locked_by = NULL;
        }
    }
}

void sql_rollback(struct sql_session *session) {
    session->in_transaction = session->in_commit = false;
    unlock_all(session);
}

void sql_session_end(struct sql_session *session) {
    if (session->open) {
        sql_rollback(session);
        session->open = false;
    }
}

void sql_end_idle(void) {
    for (struct sql_session *session = world.sessions; session; session = session->next) {
        if (session->open && session->in_transaction && !session->in_commit &&
            now_us() - session->heard_us > session->idle_timeout_us) {
            trouble_count(TROUBLE_SQL_IDLE_ENDED);
            sql_session_end(session);
        }
    }
}

static void on_noticed(void *context, uint64_t word) {
    struct sql_session *session = context;
    (void)word;
    if (!session->in_commit) {
        sql_session_end(session);
    }
}

void sql_process_died(struct process *process) {
    for (struct sql_session *session = world.sessions; session; session = session->next) {
        if (session->process == process && session->open) {
            event_at(now_us() + random_between(dice(), 0, 30000), NULL, on_noticed, session, 0);
        }
    }
}

void sql_server_crash(void) {
    world.server.up = false;
    for (struct sql_session *session = world.sessions; session; session = session->next) {
        sql_session_end(session);
    }
    world.server.crashes++;
    if (world.log_first) {
        trouble_count(TROUBLE_SQL_TAKEN_BACK);
        world.log_first = world.log_last = NULL;
        world.synced_us = 0;
        sql_tables_take_back(&world.server.shown, &world.server.record);
    }
}

void sql_server_start(void) {
    world.server.up = true;
}

/* ---- what a settlement writes ---- */

static bool is_taken(const struct sql_session *session, const struct issue_row *row) {
    const struct sql_coupon *coupon = sql_coupon_find(row->reference.coupon_id);
    if (row->reference.rank <= coupon->issue_count || sql_issue_of(coupon, row->user_id)) {
        return true;
    }
    for (size_t i = 0; i < session->writes.row_count; i++) {
        if (session->writes.rows[i].reference.coupon_id == row->reference.coupon_id &&
            (session->writes.rows[i].reference.rank == row->reference.rank ||
             slice_equal(session->writes.rows[i].user_id, row->user_id))) {
            return true;
        }
    }
    return false;
}

static void row_keep(struct sql_session *session, const struct issue_row *row) {
    struct sql_writes *writes = &session->writes;
    writes->rows = sql_grown(writes->rows, writes->row_count, 1, &writes->row_capacity,
                             sizeof(writes->rows[0]));
    writes->rows[writes->row_count++] = (struct issue_row){
        .reference = row->reference,
        .user_id = world_copy(row->user_id),
        .request_key = world_copy(row->request_key),
        .claim_id = world_copy(row->claim_id),
        .issued_at_us = row->issued_at_us,
    };
}

/* UPDATE coupons, whose rows are locked. */
static int counts_raise(struct sql_session *session, const struct issued_count *counts,
                        size_t count, struct complaint *complaint) {
    for (size_t i = 0; i < count; i++) {
        const struct sql_coupon *coupon = sql_coupon_find(counts[i].coupon_id);
        if (!coupon || coupon->record.issued_quantity >= counts[i].issued_quantity) {
            return complain(complaint, STATUS_CONFLICT, "not fewer issues");
        }
        int64_t total = coupon->record.total_quantity;
        if (total != COUPON_UNLIMITED && counts[i].issued_quantity > total &&
            !bug_is(BUG_QUANTITY_OFF_BY_ONE)) {
            oracle_violation("I1: the CHECK on issued_quantity had to refuse %u of %lld",
                             counts[i].issued_quantity, (long long)total);
            return complain(complaint, STATUS_CONFLICT, "more issues than there are");
        }
        assert(session->writes.count_count < SQL_COUPONS_MAX);
        session->writes.counts[session->writes.count_count++] = counts[i];
    }
    return STATUS_OK;
}

int sql_write(struct sql_session *session, const struct issue_row *rows, size_t row_count,
              const struct issued_count *counts, size_t count_count, struct complaint *complaint) {
    int status = counts_raise(session, counts, count_count, complaint);
    for (size_t i = 0; status == STATUS_OK && i < row_count; i++) {
        if (!is_taken(session, &rows[i])) {
            row_keep(session, &rows[i]);
        } else if (!bug_is(BUG_DUPLICATE_IGNORED)) {
            status = complain(complaint, STATUS_CONFLICT, "a key is taken");
        }
    }
    return status;
}

void sql_rejects_add(struct sql_session *session, const struct ledger_cursor *cursor,
                     const struct settle_claim *const *rejects, size_t count) {
    struct sql_writes *writes = &session->writes;
    writes->rejects = sql_grown(writes->rejects, writes->reject_count, count,
                                &writes->reject_capacity, sizeof(writes->rejects[0]));
    for (size_t i = 0; i < count; i++) {
        const struct settle_claim *claim = rejects[i];
        struct reject_record *reject = &writes->rejects[writes->reject_count++];
        *reject = (struct reject_record){
            .place = {cursor->partition, cursor->epoch, claim->n, claim->index},
            .coupon_id = claim->raw.size > 0 ? 0 : claim->coupon_id,
            .raw_size = claim->raw.size,
        };
        snprintf(reject->claim_id, sizeof(reject->claim_id), "%.*s", (int)claim->claim_id.size,
                 claim->claim_id.size ? claim->claim_id.bytes : "");
        snprintf(reject->user_id, sizeof(reject->user_id), "%.*s", (int)claim->user_id.size,
                 claim->user_id.size ? claim->user_id.bytes : "");
        snprintf(reject->reason, sizeof(reject->reason), "%s", settle_outcome_name(claim->outcome));
    }
}

/* ---- COMMIT ---- */

static void log_sync(void) {
    struct logged *logged = world.log_first;
    world.log_first = logged->next;
    world.log_last = logged->next ? world.log_last : NULL;
    sql_tables_write(&world.server.record, &logged->writes);
}

/* One event for each that is logged, in its order; after a crash those before it find nothing. */
static void on_sync(void *context, uint64_t crashes) {
    (void)context;
    if (crashes == world.server.crashes) {
        log_sync();
    }
}

/* A log is written from its beginning to its end: who comes later is not durable earlier. */
static int64_t log_add(const struct sql_writes *writes, int64_t delay_us) {
    struct logged *logged = world_alloc(sizeof(*logged));
    logged->writes = *writes;
    *(world.log_last ? &world.log_last->next : &world.log_first) = logged;
    world.log_last = logged;
    sql_tables_write(&world.server.shown, writes);
    if (world.synced_us < now_us() + delay_us) {
        world.synced_us = now_us() + delay_us;
    }
    if (world.synced_us == now_us() && world.log_first == logged) {
        log_sync();
    } else {
        event_at(world.synced_us, NULL, on_sync, NULL, world.server.crashes);
    }
    return world.synced_us;
}

int64_t sql_commit(struct sql_session *session) {
    assert(session->open && session->in_transaction);
    int64_t synced_us = now_us(); /* nothing written is nothing to sync */
    if (!sql_writes_nothing(&session->writes)) {
        synced_us = log_add(&session->writes, world.server.shows_unsynced ? trouble_sql_sync() : 0);
    }
    sql_rollback(session); /* drops the locks */
    return synced_us;
}

void sql_cursor_write(const struct ledger_cursor *cursor) {
    log_add(&(struct sql_writes){.cursor = *cursor, .writes_cursor = true}, 0);
}
