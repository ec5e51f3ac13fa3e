/* Hands out the whole record of the PostgreSQL ledger in order and as of one moment: all of it
 * is read in one snapshot, slice by slice, each slice beginning behind the last row of the one
 * before. Memory is that of a slice. For ledger_visit.
 *
 * What the schema promises of a row is checked here; what the rows promise of each other
 * (ranks without gaps, no user twice) is the visitor's business. */
#include "ledger/postgres_ledger.h"

#include <inttypes.h>
#include <stdio.h>

#define PROGRESS_EVERY 100000
#define COUPONS_SLICE  64
#define ISSUES_SLICE   4096
#define SMALL_SLICE    256 /* revisions, imports, orphans */

/* The server lets a visitor think for so long between two slices: nobody waits for a snapshot. */
#define VISIT_BEGIN                                                                                \
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"                                             \
    "SET LOCAL idle_in_transaction_session_timeout = '15min'"

struct visit {
    struct postgres_ledger *ledger;
    const struct ledger_visitor *visitor;
    struct complaint *complaint;
    uint64_t visited;
    uint64_t total;
    uint64_t coupon_id; /* under way */
};

static int visit_damaged(const struct visit *visit, const char *what, uint64_t coupon_id) {
    return complain(visit->complaint, STATUS_DAMAGED,
                    "%s: %s of coupon %" PRIu64 " is not what it can be; stop, and look at the "
                    "database",
                    visit->ledger->name, what, coupon_id);
}

/* ---- slices ---- */

/* How the rows of one kind are read. */
struct slices {
    enum postgres_statement statement;
    const char *doing;
    int64_t size;
    /* Hands over one row and tells behind which the next slice begins. */
    int (*row)(struct visit *visit, struct postgres_row row, int64_t *ret_after);
};

static int slice_walk(struct visit *visit, const struct slices *slices, const PGresult *result,
                      int64_t *after) {
    int count = PQntuples(result);
    int status = STATUS_OK;
    for (int i = 0; status >= 0 && i < count; i++) {
        status = slices->row(visit, (struct postgres_row){result, i}, after);
    }
    return status < 0 ? status : STATUS_OK;
}

/* Reads slice after slice; of the coupon that is under way, or of all. */
static int slices_walk(struct visit *visit, const struct slices *slices, bool by_coupon) {
    int64_t after = INT64_MIN;
    int status = STATUS_OK;
    int count = (int)slices->size;
    while (status == STATUS_OK && count == slices->size) {
        struct postgres_values values = {.count = 0};
        if (by_coupon) {
            values_integer(&values, (int64_t)visit->coupon_id);
        }
        values_integer(&values, after);
        if (slices->statement == PG_VISIT_COUPONS) {
            values_boolean(&values, visit->visitor->archived_too);
        }
        values_integer(&values, slices->size);
        PGresult *result;
        status = postgres_run(visit->ledger, slices->statement, &values, &result);
        if (status < 0) {
            return postgres_fail(visit->ledger, status, slices->doing, visit->complaint);
        }
        count = PQntuples(result);
        status = slice_walk(visit, slices, result, &after);
        PQclear(result);
    }
    return status;
}

/* ---- issues ---- */

static int issue_damaged(const struct visit *visit, struct postgres_row row) {
    char what[48];
    int64_t rank = 0;
    if (row_integer(row, 0, INT64_MIN, INT64_MAX, &rank) < 0) {
        return visit_damaged(visit, "an issue", visit->coupon_id);
    }
    snprintf(what, sizeof(what), "rank %" PRId64, rank);
    return visit_damaged(visit, what, visit->coupon_id);
}

static int issue_row(struct visit *visit, struct postgres_row row, int64_t *ret_after) {
    const struct ledger_visitor *visitor = visit->visitor;
    struct issue_row issue;
    if (postgres_issue_decode(row, visit->coupon_id, &issue) < 0) {
        return issue_damaged(visit, row);
    }
    int status = visitor->issue(visitor->context, &issue);
    if (status >= 0 && ++visit->visited % PROGRESS_EVERY == 0 && visitor->progress) {
        visitor->progress(visitor->context, visit->visited, visit->total);
    }
    *ret_after = issue.reference.rank;
    return status;
}

static const struct slices issue_slices = {PG_ISSUES_READ, "read the issues of", ISSUES_SLICE,
                                           issue_row};

/* ---- revisions ---- */

static int revision_row(struct visit *visit, struct postgres_row row, int64_t *ret_after) {
    struct coupon_revision revision = {.coupon_id = visit->coupon_id};
    int64_t version, first_rank;
    int damage = 0;
    damage |= row_integer(row, 0, 1, UINT32_MAX, &version);
    damage |= row_integer(row, 1, TIME_US_MIN, TIME_US_MAX, &revision.changed_us);
    damage |=
        row_optional(row, 2, 0, COUPON_QUANTITY_MAX, COUPON_UNLIMITED, &revision.total_quantity);
    damage |= row_integer(row, 3, TIME_US_MIN, TIME_US_MAX, &revision.issue_start_us);
    damage |= row_integer(row, 4, TIME_US_MIN, TIME_US_MAX, &revision.issue_end_us);
    damage |= row_boolean(row, 5, &revision.paused);
    damage |= row_boolean(row, 6, &revision.archived);
    damage |= row_integer(row, 7, 1, UINT32_MAX, &first_rank);
    if (damage) {
        return visit_damaged(visit, "a revision", visit->coupon_id);
    }
    revision.version = (uint32_t)version;
    revision.first_rank = (uint32_t)first_rank;
    *ret_after = version;
    return visit->visitor->revision(visit->visitor->context, &revision);
}

static const struct slices revision_slices = {PG_VISIT_REVISIONS, "read the revisions of",
                                              SMALL_SLICE, revision_row};

/* ---- imports ---- */

/* Ranks that contradict each other are for verify to tell. */
static int import_row(struct visit *visit, struct postgres_row row, int64_t *ret_after) {
    int64_t first_rank, last_rank, imported_us;
    if (row_integer(row, 0, 1, UINT32_MAX, &first_rank) < 0 ||
        row_integer(row, 1, 1, UINT32_MAX, &last_rank) < 0 ||
        row_integer(row, 2, TIME_US_MIN, TIME_US_MAX, &imported_us) < 0) {
        return visit_damaged(visit, "an import", visit->coupon_id);
    }
    struct coupon_import import = {visit->coupon_id, (uint32_t)first_rank, (uint32_t)last_rank,
                                   imported_us};
    *ret_after = first_rank;
    return visit->visitor->import(visit->visitor->context, &import);
}

static const struct slices import_slices = {PG_VISIT_IMPORTS, "read the imports of", SMALL_SLICE,
                                            import_row};

/* ---- coupons ---- */

static int visit_coupon(struct visit *visit, const struct coupon_record *coupon) {
    const struct ledger_visitor *visitor = visit->visitor;
    visit->coupon_id = coupon->id;
    int status = visitor->coupon ? visitor->coupon(visitor->context, coupon) : STATUS_OK;
    if (status >= 0 && visitor->revision) {
        status = slices_walk(visit, &revision_slices, true);
    }
    if (status >= 0 && visitor->import) {
        status = slices_walk(visit, &import_slices, true);
    }
    if (status >= 0 && visitor->issue) {
        status = slices_walk(visit, &issue_slices, true);
    }
    return status;
}

static int coupon_row(struct visit *visit, struct postgres_row row, int64_t *ret_after) {
    struct coupon_record coupon;
    if (postgres_coupon_decode(row, &coupon) < 0) {
        int64_t id = 0;
        int told = row_integer(row, 0, INT64_MIN, INT64_MAX, &id);
        return visit_damaged(visit, "the row", told < 0 ? 0 : (uint64_t)id);
    }
    *ret_after = (int64_t)coupon.id;
    return visit_coupon(visit, &coupon);
}

static const struct slices coupon_slices = {PG_VISIT_COUPONS, "read the coupons of", COUPONS_SLICE,
                                            coupon_row};

/* ---- issues and imports of no coupon ---- */

static int orphan_row(struct visit *visit, struct postgres_row row, int64_t *ret_after) {
    const struct ledger_visitor *visitor = visit->visitor;
    int64_t id;
    if (row_integer(row, 0, INT64_MIN, INT64_MAX, &id) < 0) {
        return visit_damaged(visit, "an issue", 0);
    }
    if (!visitor->orphan) {
        return complain(visit->complaint, STATUS_DAMAGED,
                        "%s has issues or imports of coupon %" PRId64 ", but no such coupon; stop, "
                        "and look at the database",
                        visit->ledger->name, id);
    }
    *ret_after = id;
    return visitor->orphan(visitor->context, (uint64_t)id);
}

static const struct slices orphan_slices = {PG_VISIT_ORPHANS, "read the issues of", SMALL_SLICE,
                                            orphan_row};

/* ---- the visit ---- */

static int visit_total(struct visit *visit) {
    struct postgres_values values = {.count = 0};
    values_boolean(&values, visit->visitor->archived_too);
    PGresult *result;
    int status = postgres_run(visit->ledger, PG_VISIT_TOTAL, &values, &result);
    if (status < 0) {
        return postgres_fail(visit->ledger, status, "read the coupons of", visit->complaint);
    }
    int64_t total = 0;
    status = row_integer((struct postgres_row){result, 0}, 0, 0, INT64_MAX, &total);
    PQclear(result);
    visit->total = (uint64_t)total;
    return status < 0 ? visit_damaged(visit, "the count", 0) : STATUS_OK;
}

static int visit_begin(struct visit *visit) {
    struct postgres_ledger *ledger = visit->ledger;
    int status = postgres_connect(ledger, visit->complaint);
    if (status < 0) {
        return status;
    }
    status = postgres_run_text(ledger, VISIT_BEGIN, NULL);
    return status < 0 ? postgres_fail(ledger, status, "begin to read", visit->complaint)
                      : STATUS_OK;
}

int postgres_visit(struct ledger *base, const struct ledger_visitor *visitor,
                   struct complaint *complaint) {
    struct visit visit = {.ledger = postgres_of(base), .visitor = visitor, .complaint = complaint};
    int status = visit_begin(&visit);
    if (status == STATUS_OK) {
        status = visit_total(&visit);
    }
    if (status == STATUS_OK) {
        status = slices_walk(&visit, &coupon_slices, false);
    }
    if (status == STATUS_OK) {
        status = slices_walk(&visit, &orphan_slices, false);
    }
    int ended = visit.ledger->connection ? postgres_run_text(visit.ledger, "ROLLBACK", NULL) : 0;
    if (ended < 0) {
        postgres_disconnect(visit.ledger);
    }
    return status;
}
