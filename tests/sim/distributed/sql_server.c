/* Tables, sessions, transactions: see sql_server.h. */
#include "sim/distributed/sql_server.h"

#include "sim/distributed/bugs.h"
#include "sim/distributed/oracle.h"
#include "sim/distributed/trouble.h"

#include <stdio.h>

static struct {
    struct sql_server server;
    struct sql_session *sessions;
} world;

struct sql_server *sql_server(void) {
    return &world.server;
}

void sql_server_begin(void) {
    memset(&world, 0, sizeof(world));
    world.server.up = true;
    world.server.clock_skew_us = random_between(dice(), -2000, 2000);
}

int64_t sql_clock_us(void) {
    return realtime_us() + world.server.clock_skew_us;
}

/* Room for `more` of an array that grows. */
static void *grown(void *array, size_t count, size_t more, size_t *capacity, size_t size) {
    if (count + more <= *capacity) {
        return array;
    }
    while (*capacity < count + more) {
        *capacity = *capacity ? 2 * *capacity : 16;
    }
    void *larger = world_alloc(*capacity * size);
    if (count > 0) {
        memcpy(larger, array, count * size);
    }
    return larger;
}

/* ---- coupons ---- */

static void revision_add(struct sql_coupon *coupon) {
    const struct coupon_record *record = &coupon->record;
    coupon->revisions = grown(coupon->revisions, coupon->revision_count, 1,
                              &coupon->revision_capacity, sizeof(coupon->revisions[0]));
    coupon->revisions[coupon->revision_count++] = (struct coupon_revision){
        .coupon_id = record->id,
        .version = record->version,
        .changed_us = record->updated_us,
        .total_quantity = record->total_quantity,
        .issue_start_us = record->issue_start_us,
        .issue_end_us = record->issue_end_us,
        .paused = record->paused,
        .archived = record->archived_us != 0,
        .first_rank = record->issued_quantity + 1,
    };
}

void sql_coupon_add(const struct coupon_record *record) {
    struct sql_server *server = &world.server;
    assert(server->coupon_count < SQL_COUPONS_MAX);
    struct sql_coupon *coupon = world_alloc(sizeof(*coupon));
    coupon->record = *record;
    revision_add(coupon);
    size_t at = server->coupon_count++;
    while (at > 0 && server->coupons[at - 1]->record.id > record->id) {
        server->coupons[at] = server->coupons[at - 1];
        at--;
    }
    server->coupons[at] = coupon;
}

struct sql_coupon *sql_coupon_find(uint64_t coupon_id) {
    for (size_t i = 0; i < world.server.coupon_count; i++) {
        if (world.server.coupons[i]->record.id == coupon_id) {
            return world.server.coupons[i];
        }
    }
    return NULL;
}

const struct sql_issue *sql_issue_of(const struct sql_coupon *coupon, struct slice user_id) {
    for (size_t i = 0; i < coupon->issue_count; i++) {
        if (slice_equal(coupon->issues[i].row.user_id, user_id)) {
            return &coupon->issues[i];
        }
    }
    return NULL;
}

int64_t sql_coupon_latest_us(const struct sql_coupon *coupon) {
    int64_t issued_us = coupon->issue_count > 0
                            ? coupon->issues[coupon->issue_count - 1].row.issued_at_us
                            : INT64_MIN;
    return issued_us > coupon->record.updated_us ? issued_us : coupon->record.updated_us;
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
    session->row_count = session->count_count = session->reject_count = 0;
    session->writes_cursor = session->raises_epoch = false;
    session->change = NULL;
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
        if (world.server.partitions[i].locked_by == session) {
            world.server.partitions[i].locked_by = NULL;
        }
    }
    for (size_t i = 0; i < world.server.coupon_count; i++) {
        if (world.server.coupons[i]->locked_by == session) {
            world.server.coupons[i]->locked_by = NULL;
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
    for (size_t i = 0; i < session->row_count; i++) {
        if (session->rows[i].reference.coupon_id == row->reference.coupon_id &&
            (session->rows[i].reference.rank == row->reference.rank ||
             slice_equal(session->rows[i].user_id, row->user_id))) {
            return true;
        }
    }
    return false;
}

static void row_keep(struct sql_session *session, const struct issue_row *row) {
    session->rows = grown(session->rows, session->row_count, 1, &session->row_capacity,
                          sizeof(session->rows[0]));
    session->rows[session->row_count++] = (struct issue_row){
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
        assert(session->count_count < SQL_COUPONS_MAX);
        session->counts[session->count_count++] = counts[i];
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
    session->rejects = grown(session->rejects, session->reject_count, count,
                             &session->reject_capacity, sizeof(session->rejects[0]));
    for (size_t i = 0; i < count; i++) {
        const struct settle_claim *claim = rejects[i];
        struct reject_record *reject = &session->rejects[session->reject_count++];
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

static void commit_issues(const struct sql_session *session) {
    for (size_t i = 0; i < session->row_count; i++) {
        const struct issue_row *row = &session->rows[i];
        struct sql_coupon *coupon = sql_coupon_find(row->reference.coupon_id);
        coupon->issues = grown(coupon->issues, coupon->issue_count, 1, &coupon->issue_capacity,
                               sizeof(coupon->issues[0]));
        coupon->issues[coupon->issue_count++] = (struct sql_issue){
            *row, now_us(),
            world.server.partitions[partition_of(row->reference.coupon_id)].epoch_since_us};
        oracle_issued(coupon, row);
    }
    for (size_t i = 0; i < session->count_count; i++) {
        sql_coupon_find(session->counts[i].coupon_id)->record.issued_quantity =
            session->counts[i].issued_quantity;
    }
}

static int place_order(const struct reject_place *a, const struct reject_place *b) {
    const uint64_t first[] = {a->partition, a->epoch, a->n, a->index};
    const uint64_t second[] = {b->partition, b->epoch, b->n, b->index};
    for (size_t i = 0; i < COUNT_OF(first); i++) {
        if (first[i] != second[i]) {
            return first[i] < second[i] ? -1 : 1;
        }
    }
    return 0;
}

static void commit_rejects(const struct sql_session *session) {
    struct sql_server *server = &world.server;
    for (size_t i = 0; i < session->reject_count; i++) {
        server->rejects = grown(server->rejects, server->reject_count, 1, &server->reject_capacity,
                                sizeof(server->rejects[0]));
        size_t at = server->reject_count++;
        while (at > 0 &&
               place_order(&server->rejects[at - 1].place, &session->rejects[i].place) > 0) {
            server->rejects[at] = server->rejects[at - 1];
            at--;
        }
        server->rejects[at] = session->rejects[i];
        oracle_rejected(&session->rejects[i]);
    }
}

static void commit_change(const struct coupon_record *change) {
    struct sql_coupon *coupon = sql_coupon_find(change->id);
    uint32_t issued = coupon->record.issued_quantity;
    int64_t latest_us = sql_coupon_latest_us(coupon);
    int64_t created_us = coupon->record.created_us;
    coupon->record = *change;
    coupon->record.issued_quantity = issued;
    coupon->record.created_us = created_us;
    coupon->record.updated_us = change->updated_us > latest_us ? change->updated_us : latest_us;
    revision_add(coupon);
    oracle_changed(coupon);
}

static void commit_cursor(const struct sql_session *session) {
    struct sql_partition *partition = &world.server.partitions[session->cursor.partition];
    struct ledger_cursor before = {session->cursor.partition, partition->epoch, partition->n};
    if (session->raises_epoch) {
        partition->epoch_since_us = partition->epoch > 0 ? now_us() : 0;
        partition->epoch = session->cursor.epoch;
        partition->n = 0;
        oracle_epoch_raised(&before, session->change != NULL);
    } else {
        oracle_cursor_moved(&before, &session->cursor);
        partition->n = session->cursor.n;
    }
}

void sql_commit(struct sql_session *session) {
    assert(session->open && session->in_transaction);
    commit_issues(session);
    commit_rejects(session);
    if (session->writes_cursor || session->raises_epoch) {
        commit_cursor(session);
    }
    if (session->change) {
        commit_change(session->change);
    }
    sql_rollback(session); /* drops the locks */
}
