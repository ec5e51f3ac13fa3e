/* Hands out the whole record of the SQLite ledger in order: the way memory is rebuilt at the
 * start and the way verify reads. One kept statement per level, nothing allocated per row.
 * For ledger_visit.
 *
 * What the schema promises of a row is checked here; what the rows promise of each other
 * (ranks without gaps, no user twice) is the visitor's business. */
#include "ledger/sqlite_ledger.h"

#define PROGRESS_EVERY 100000

struct visit {
    struct sqlite_ledger *ledger;
    const struct ledger_visitor *visitor;
    struct complaint *complaint;
    uint64_t visited;
    uint64_t total;
};

static int visit_damaged(const struct visit *visit, const char *what, uint64_t coupon_id) {
    return complain(visit->complaint, STATUS_DAMAGED,
                    "%s/" DATABASE_NAME ": %s of coupon %llu is not what it can be; stop, keep a "
                    "copy of the folder, and put a backup back",
                    visit->ledger->folder.directory, what, (unsigned long long)coupon_id);
}

/* Steps through the rows of a statement with one parameter, which `one` gets with each row. */
static int visit_rows(struct visit *visit, enum sqlite_statement which, int64_t parameter,
                      const char *doing,
                      int (*one)(struct visit *, sqlite3_stmt *, uint64_t parameter)) {
    sqlite3_stmt *statement = visit->ledger->statements[which];
    sqlite_bind_integer(statement, 1, parameter);
    int status = STATUS_OK;
    int result;
    while (status == STATUS_OK && (result = sqlite3_step(statement)) != SQLITE_DONE) {
        status = result == SQLITE_ROW ? one(visit, statement, (uint64_t)parameter)
                                      : sqlite_fail(visit->ledger, result, doing, visit->complaint);
    }
    sqlite3_reset(statement);
    return status;
}

/* ---- issues, of which there are millions: a loop of their own ---- */

static int issue_damaged(const struct visit *visit, sqlite3_stmt *statement, uint64_t coupon_id) {
    char what[48];
    sqlite3_snprintf(sizeof(what), what, "rank %lld", sqlite3_column_int64(statement, 0));
    return visit_damaged(visit, what, coupon_id);
}

static int visit_issues(struct visit *visit, uint64_t coupon_id) {
    const struct ledger_visitor *visitor = visit->visitor;
    sqlite3_stmt *statement = visit->ledger->statements[SQL_VISIT_ISSUES];
    sqlite_bind_integer(statement, 1, (int64_t)coupon_id);
    int status = STATUS_OK;
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        struct issue_row issue = {.issued_at_us = 0};
        if (sqlite_issue_decode(statement, coupon_id, &issue) < 0) {
            status = issue_damaged(visit, statement, coupon_id);
            break;
        }
        status = visitor->issue(visitor->context, &issue);
        if (status < 0) {
            break;
        }
        if (++visit->visited % PROGRESS_EVERY == 0 && visitor->progress) {
            visitor->progress(visitor->context, visit->visited, visit->total);
        }
    }
    if (result != SQLITE_ROW && result != SQLITE_DONE) {
        status = sqlite_fail(visit->ledger, result, "read the issues of", visit->complaint);
    }
    sqlite3_reset(statement);
    return status;
}

/* ---- revisions ---- */

static int revision_decode(sqlite3_stmt *statement, uint64_t coupon_id,
                           struct coupon_revision *ret_revision) {
    struct coupon_revision revision = {.coupon_id = coupon_id, .total_quantity = COUPON_UNLIMITED};
    int64_t version, paused, archived, first_rank;
    int damage = 0;
    damage |= sqlite_integer_decode(statement, 0, 1, UINT32_MAX, &version);
    damage |= sqlite_integer_decode(statement, 1, TIME_US_MIN, TIME_US_MAX, &revision.changed_us);
    if (sqlite3_column_type(statement, 2) != SQLITE_NULL) {
        damage |=
            sqlite_integer_decode(statement, 2, 0, COUPON_QUANTITY_MAX, &revision.total_quantity);
    }
    damage |=
        sqlite_integer_decode(statement, 3, TIME_US_MIN, TIME_US_MAX, &revision.issue_start_us);
    damage |= sqlite_integer_decode(statement, 4, TIME_US_MIN, TIME_US_MAX, &revision.issue_end_us);
    damage |= sqlite_integer_decode(statement, 5, 0, 1, &paused);
    damage |= sqlite_integer_decode(statement, 6, 0, 1, &archived);
    damage |= sqlite_integer_decode(statement, 7, 1, UINT32_MAX, &first_rank);
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

static int visit_revision(struct visit *visit, sqlite3_stmt *statement, uint64_t coupon_id) {
    struct coupon_revision revision;
    return revision_decode(statement, coupon_id, &revision) < 0
               ? visit_damaged(visit, "a revision", coupon_id)
               : visit->visitor->revision(visit->visitor->context, &revision);
}

/* ---- imports ---- */

/* Ranks that contradict each other are for verify to tell. */
static int import_decode(sqlite3_stmt *statement, uint64_t coupon_id,
                         struct coupon_import *ret_import) {
    int64_t first_rank, last_rank, imported_us;
    if (sqlite_integer_decode(statement, 0, 1, UINT32_MAX, &first_rank) < 0 ||
        sqlite_integer_decode(statement, 1, 1, UINT32_MAX, &last_rank) < 0 ||
        sqlite_integer_decode(statement, 2, TIME_US_MIN, TIME_US_MAX, &imported_us) < 0) {
        return STATUS_DAMAGED;
    }
    *ret_import =
        (struct coupon_import){coupon_id, (uint32_t)first_rank, (uint32_t)last_rank, imported_us};
    return STATUS_OK;
}

static int visit_import(struct visit *visit, sqlite3_stmt *statement, uint64_t coupon_id) {
    struct coupon_import import;
    return import_decode(statement, coupon_id, &import) < 0
               ? visit_damaged(visit, "an import", coupon_id)
               : visit->visitor->import(visit->visitor->context, &import);
}

/* ---- coupons ---- */

static int visit_of_coupon(struct visit *visit, const struct coupon_record *coupon) {
    const struct ledger_visitor *visitor = visit->visitor;
    int64_t id = (int64_t)coupon->id;
    int status = visitor->coupon ? visitor->coupon(visitor->context, coupon) : STATUS_OK;
    if (status >= 0 && visitor->revision) {
        status =
            visit_rows(visit, SQL_VISIT_REVISIONS, id, "read the revisions of", visit_revision);
    }
    if (status >= 0 && visitor->import) {
        status = visit_rows(visit, SQL_VISIT_IMPORTS, id, "read the imports of", visit_import);
    }
    if (status >= 0 && visitor->issue) {
        status = visit_issues(visit, coupon->id);
    }
    return status < 0 ? status : STATUS_OK;
}

static int visit_coupon(struct visit *visit, sqlite3_stmt *statement, uint64_t archived_too) {
    struct coupon_record coupon;
    (void)archived_too;
    return sqlite_coupon_decode(statement, &coupon) < 0
               ? visit_damaged(visit, "the row", (uint64_t)sqlite3_column_int64(statement, 0))
               : visit_of_coupon(visit, &coupon);
}

/* ---- issues and imports of no coupon ---- */

/* The first coupon_id from `from` on that has any. STATUS_NOT_FOUND: none. */
static int holder_next(const struct visit *visit, int64_t from, int64_t *ret_id, bool *ret_known) {
    sqlite3_stmt *statement = visit->ledger->statements[SQL_VISIT_HOLDERS];
    sqlite_bind_integer(statement, 1, from);
    int result = sqlite3_step(statement);
    int status = STATUS_NOT_FOUND;
    if (result == SQLITE_ROW) {
        *ret_id = sqlite3_column_int64(statement, 0);
        *ret_known = sqlite3_column_int(statement, 1) == 1;
        status = *ret_id < from ? visit_damaged(visit, "an issue", (uint64_t)*ret_id) : STATUS_OK;
    } else if (result != SQLITE_DONE) {
        status = sqlite_fail(visit->ledger, result, "read the issues of", visit->complaint);
    }
    sqlite3_reset(statement);
    return status;
}

static int visit_orphan(const struct visit *visit, int64_t id) {
    const struct ledger_visitor *visitor = visit->visitor;
    if (!visitor->orphan) {
        return complain(visit->complaint, STATUS_DAMAGED,
                        "%s/" DATABASE_NAME
                        " has issues or imports of coupon %lld, but no such coupon; "
                        "stop, keep a copy of the folder, and put a backup back",
                        visit->ledger->folder.directory, (long long)id);
    }
    return visitor->orphan(visitor->context, (uint64_t)id);
}

static int visit_orphans(const struct visit *visit) {
    int64_t from = INT64_MIN;
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

static int visit_total(struct visit *visit) {
    sqlite3_stmt *statement = visit->ledger->statements[SQL_VISIT_TOTAL];
    sqlite_bind_integer(statement, 1, visit->visitor->archived_too ? 1 : 0);
    int result = sqlite3_step(statement);
    int status = STATUS_OK;
    if (result == SQLITE_ROW) {
        visit->total = (uint64_t)sqlite3_column_int64(statement, 0);
    } else {
        status = sqlite_fail(visit->ledger, result, "read the coupons of", visit->complaint);
    }
    sqlite3_reset(statement);
    return status;
}

int sqlite_visit(struct ledger *base, const struct ledger_visitor *visitor,
                 struct complaint *complaint) {
    struct visit visit = {.ledger = sqlite_of(base), .visitor = visitor, .complaint = complaint};
    if (visit.ledger->broken) {
        return sqlite_refuse(complaint);
    }
    int status = visit_total(&visit);
    if (status == STATUS_OK) {
        status = visit_rows(&visit, SQL_VISIT_COUPONS, visitor->archived_too ? 1 : 0,
                            "read the coupons of", visit_coupon);
    }
    if (status == STATUS_OK) {
        status = visit_orphans(&visit);
    }
    return status;
}
