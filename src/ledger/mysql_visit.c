/* Hands out the whole record of the MariaDB and MySQL ledger in order, as it was at one
 * moment: a read-only transaction with a snapshot, and slices of rows in it, so that neither
 * this process nor the server holds more than a slice. For ledger_visit.
 *
 * What the schema promises of a row is checked here; what the rows promise of each other
 * (ranks without gaps, no user twice) is the visitor's business. */
#include "ledger/mysql_ledger.h"

#include <stdio.h>

#define PROGRESS_EVERY 100000
/* Rows a statement: an issue takes about 100 bytes here, a coupon up to 3 KiB. */
#define SLICE_ISSUES  5000
#define SLICE_COUPONS 100
#define SLICE_OTHERS  500
/* How long a visitor may take between two slices. */
#define VISITOR_IDLE_US (24 * 60 * 60 * US_PER_SECOND)

struct visit {
    struct mysql_ledger *ledger;
    const struct ledger_visitor *visitor;
    struct complaint *complaint;
    uint64_t visited;
    uint64_t total;
};

static int visit_damaged(const struct visit *visit, const char *what, uint64_t coupon_id) {
    return complain(visit->complaint, STATUS_DAMAGED,
                    "%s: %s of coupon %llu is not what it can be; stop, and put a backup back",
                    visit->ledger->name, what, (unsigned long long)coupon_id);
}

/* ---- what a coupon has: read in slices by a rising key ---- */

/* Takes the row the rows are at; gives the key to go on after. */
typedef int (*visit_row)(struct visit *visit, const struct mysql_rows *rows, uint64_t coupon_id,
                         int64_t *ret_key);

/* One slice of rows with a key above *key, which is then its last. */
static int slice_visit(struct visit *visit, enum mysql_statement statement, uint64_t coupon_id,
                       int64_t limit, visit_row row, int64_t *key, int64_t *ret_count) {
    struct mysql_rows rows;
    int status = maria_query(
        visit->ledger, statement,
        VALUES(value_integer((int64_t)coupon_id), value_integer(*key), value_integer(limit)),
        &rows);
    if (status < 0) {
        return maria_fail(visit->ledger, status, "read", visit->complaint);
    }
    int64_t count = 0;
    while (status >= 0 && maria_rows_next(&rows)) {
        status = row(visit, &rows, coupon_id, key);
        count++;
    }
    maria_rows_done(&rows);
    *ret_count = count;
    return status < 0 ? status : STATUS_OK;
}

static int slices_visit(struct visit *visit, enum mysql_statement statement, uint64_t coupon_id,
                        int64_t limit, visit_row row) {
    int64_t key = 0;
    int64_t count = limit;
    int status = STATUS_OK;
    while (status == STATUS_OK && count == limit) {
        status = slice_visit(visit, statement, coupon_id, limit, row, &key, &count);
    }
    return status;
}

static int visit_issue(struct visit *visit, const struct mysql_rows *rows, uint64_t coupon_id,
                       int64_t *ret_key) {
    const struct ledger_visitor *visitor = visit->visitor;
    struct issue_row issue;
    if (maria_issue_decode(rows, coupon_id, &issue) < 0) {
        char what[48];
        snprintf(what, sizeof(what), "rank %.24s", rows->row[0] ? rows->row[0] : "NULL");
        return visit_damaged(visit, what, coupon_id);
    }
    *ret_key = issue.reference.rank;
    int status = visitor->issue(visitor->context, &issue);
    if (status >= 0 && ++visit->visited % PROGRESS_EVERY == 0 && visitor->progress) {
        visitor->progress(visitor->context, visit->visited, visit->total);
    }
    return status;
}

static int revision_decode(const struct mysql_rows *rows, uint64_t coupon_id,
                           struct coupon_revision *ret_revision) {
    struct coupon_revision revision = {.coupon_id = coupon_id};
    int64_t version, paused, archived, first_rank;
    int damage = 0;
    damage |= maria_integer_decode(rows, 0, 1, UINT32_MAX, &version);
    damage |= maria_integer_decode(rows, 1, TIME_US_MIN, TIME_US_MAX, &revision.changed_us);
    damage |= maria_optional_decode(rows, 2, 0, COUPON_QUANTITY_MAX, COUPON_UNLIMITED,
                                    &revision.total_quantity);
    damage |= maria_integer_decode(rows, 3, TIME_US_MIN, TIME_US_MAX, &revision.issue_start_us);
    damage |= maria_integer_decode(rows, 4, TIME_US_MIN, TIME_US_MAX, &revision.issue_end_us);
    damage |= maria_integer_decode(rows, 5, 0, 1, &paused);
    damage |= maria_integer_decode(rows, 6, 0, 1, &archived);
    damage |= maria_integer_decode(rows, 7, 1, UINT32_MAX, &first_rank);
    if (damage) {
        return STATUS_DAMAGED;
    }
    revision.version = (uint32_t)version;
    revision.paused = paused == 1;
    revision.archived = archived == 1;
    revision.first_rank = (uint32_t)first_rank;
    *ret_revision = revision;
    return STATUS_OK;
}

static int visit_revision(struct visit *visit, const struct mysql_rows *rows, uint64_t coupon_id,
                          int64_t *ret_key) {
    struct coupon_revision revision;
    if (revision_decode(rows, coupon_id, &revision) < 0) {
        return visit_damaged(visit, "a revision", coupon_id);
    }
    *ret_key = revision.version;
    return visit->visitor->revision(visit->visitor->context, &revision);
}

/* Ranks that contradict each other are for verify to tell. */
static int visit_import(struct visit *visit, const struct mysql_rows *rows, uint64_t coupon_id,
                        int64_t *ret_key) {
    int64_t first_rank, last_rank, imported_us;
    if (maria_integer_decode(rows, 0, 1, UINT32_MAX, &first_rank) < 0 ||
        maria_integer_decode(rows, 1, 1, UINT32_MAX, &last_rank) < 0 ||
        maria_integer_decode(rows, 2, TIME_US_MIN, TIME_US_MAX, &imported_us) < 0) {
        return visit_damaged(visit, "an import", coupon_id);
    }
    struct coupon_import import = {coupon_id, (uint32_t)first_rank, (uint32_t)last_rank,
                                   imported_us};
    *ret_key = first_rank;
    return visit->visitor->import(visit->visitor->context, &import);
}

/* ---- coupons ---- */

static int visit_coupon(struct visit *visit, const struct coupon_record *coupon) {
    const struct ledger_visitor *visitor = visit->visitor;
    int status = visitor->coupon ? visitor->coupon(visitor->context, coupon) : STATUS_OK;
    if (status >= 0 && visitor->revision) {
        status =
            slices_visit(visit, MARIA_VISIT_REVISIONS, coupon->id, SLICE_OTHERS, visit_revision);
    }
    if (status >= 0 && visitor->import) {
        status = slices_visit(visit, MARIA_VISIT_IMPORTS, coupon->id, SLICE_OTHERS, visit_import);
    }
    if (status >= 0 && visitor->issue) {
        status = slices_visit(visit, MARIA_ISSUES_READ, coupon->id, SLICE_ISSUES, visit_issue);
    }
    return status < 0 ? status : STATUS_OK;
}

/* One slice of coupons, with all that each has. The rows are in our memory: other statements
 * may run between two of them. */
static int visit_coupons_after(struct visit *visit, uint64_t *after_id, int *ret_count) {
    struct mysql_rows rows;
    int status =
        maria_query(visit->ledger, MARIA_VISIT_COUPONS,
                    VALUES(value_integer(visit->visitor->archived_too ? 1 : 0),
                           value_integer((int64_t)*after_id), value_integer(SLICE_COUPONS)),
                    &rows);
    if (status < 0) {
        return maria_fail(visit->ledger, status, "read the coupons of", visit->complaint);
    }
    int count = 0;
    while (status == STATUS_OK && maria_rows_next(&rows)) {
        struct coupon_record coupon;
        count++;
        if (maria_coupon_decode(&rows, &coupon) < 0) {
            int64_t id = 0;
            int told = maria_integer_decode(&rows, 0, 1, JSON_INTEGER_MAX, &id);
            status = visit_damaged(visit, "the row", told < 0 ? 0 : (uint64_t)id);
        } else {
            *after_id = coupon.id;
            status = visit_coupon(visit, &coupon);
        }
    }
    maria_rows_done(&rows);
    *ret_count = count;
    return status;
}

static int visit_coupons(struct visit *visit) {
    uint64_t after_id = 0;
    int count = SLICE_COUPONS;
    int status = STATUS_OK;
    while (status == STATUS_OK && count == SLICE_COUPONS) {
        status = visit_coupons_after(visit, &after_id, &count);
    }
    return status;
}

/* ---- issues and imports of no coupon ---- */

/* The first coupon_id from `from` on that has any. STATUS_NOT_FOUND: none. */
static int holder_next(const struct visit *visit, int64_t from, int64_t *ret_id, bool *ret_known) {
    struct mysql_rows rows;
    int64_t known = 0;
    int status =
        maria_query(visit->ledger, MARIA_VISIT_HOLDERS, VALUES(value_integer(from)), &rows);
    if (status < 0) {
        return maria_fail(visit->ledger, status, "read the issues of", visit->complaint);
    }
    if (!maria_rows_next(&rows)) {
        status = STATUS_NOT_FOUND;
    } else if (maria_integer_decode(&rows, 0, from, INT64_MAX, ret_id) < 0 ||
               maria_integer_decode(&rows, 1, 0, 1, &known) < 0) {
        status = visit_damaged(visit, "an issue", (uint64_t)from);
    }
    maria_rows_done(&rows);
    *ret_known = known == 1;
    return status;
}

static int visit_orphan(const struct visit *visit, int64_t id) {
    const struct ledger_visitor *visitor = visit->visitor;
    if (!visitor->orphan) {
        return complain(visit->complaint, STATUS_DAMAGED,
                        "%s has issues or imports of coupon %lld, but no such coupon; stop, and "
                        "put a backup back",
                        visit->ledger->name, (long long)id);
    }
    return visitor->orphan(visitor->context, (uint64_t)id);
}

static int visit_orphans(const struct visit *visit) {
    int64_t from = -INT64_MAX;
    for (;;) {
        int64_t id = from;
        bool known = true;
        int status = holder_next(visit, from, &id, &known);
        if (status == STATUS_NOT_FOUND) {
            return STATUS_OK;
        }
        if (status == STATUS_OK && !known) {
            status = visit_orphan(visit, id);
        }
        if (status < 0 || id == INT64_MAX) {
            return status < 0 ? status : STATUS_OK;
        }
        from = id + 1;
    }
}

/* ---- the snapshot ---- */

static int visit_total(struct visit *visit) {
    struct mysql_rows rows;
    int64_t total = 0;
    int status = maria_query(visit->ledger, MARIA_VISIT_TOTAL,
                             VALUES(value_integer(visit->visitor->archived_too ? 1 : 0)), &rows);
    if (status < 0) {
        return maria_fail(visit->ledger, status, "read the coupons of", visit->complaint);
    }
    if (maria_rows_next(&rows)) {
        status = maria_integer_decode(&rows, 0, 0, INT64_MAX, &total);
    } else {
        status = STATUS_DAMAGED;
    }
    maria_rows_done(&rows);
    visit->total = (uint64_t)total;
    return status < 0 ? visit_damaged(visit, "the count", 0) : STATUS_OK;
}

/* A visitor may take its time: a read-only transaction locks nobody out. */
static int snapshot_begin(struct mysql_ledger *ledger) {
    int status = maria_idle_set(ledger, VISITOR_IDLE_US);
    if (status == STATUS_OK) {
        status = maria_send_text(ledger, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
    }
    if (status == STATUS_OK) {
        status = maria_send_text(ledger, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY");
    }
    ledger->in_transaction = status == STATUS_OK;
    return status;
}

static int snapshot_open(struct visit *visit) {
    struct mysql_ledger *ledger = visit->ledger;
    assert(!ledger->in_transaction);
    for (int attempt = 0;; attempt++) {
        int status = maria_connect_again(ledger, visit->complaint);
        if (status < 0) {
            return status;
        }
        status = snapshot_begin(ledger);
        if (status == STATUS_OK) {
            return STATUS_OK;
        }
        /* A connection that nobody used may be gone since long. */
        if (!ledger->lost || attempt > 0) {
            return maria_fail(ledger, status, "read", visit->complaint);
        }
    }
}

/* There is nothing to commit; a session that cannot even end this is not used again. */
static void snapshot_close(struct mysql_ledger *ledger) {
    if (!ledger->in_transaction) {
        return; /* the connection is lost */
    }
    int status = maria_send_text(ledger, "COMMIT");
    if (status == STATUS_OK) {
        status = maria_idle_set(ledger, ledger->options.idle_timeout_us);
    }
    if (status < 0) {
        maria_disconnect(ledger);
    }
    ledger->in_transaction = false;
}

int maria_visit(struct ledger *base, const struct ledger_visitor *visitor,
                struct complaint *complaint) {
    struct visit visit = {.ledger = mysql_of(base), .visitor = visitor, .complaint = complaint};
    int status = snapshot_open(&visit);
    if (status < 0) {
        return status;
    }
    status = visit_total(&visit);
    if (status == STATUS_OK) {
        status = visit_coupons(&visit);
    }
    if (status == STATUS_OK) {
        status = visit_orphans(&visit);
    }
    snapshot_close(visit.ledger);
    return status;
}
