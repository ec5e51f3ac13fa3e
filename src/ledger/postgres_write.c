/* What changes the PostgreSQL ledger: appends, imports, creations, changes, the probe. For the
 * issuer, through ledger.h.
 *
 * Locks are taken in one order, so that no two of our transactions wait for each other: the
 * coupons of an append by id, and before an audit is written the row of ledger_version, which
 * makes the operators' changes one after the other. */
#include "ledger/postgres_ledger.h"

#include <stdio.h>
#include <stdlib.h>

/* Rows of one INSERT. More would only make the arrays longer. */
#define INSERT_ROWS_MAX 4096

/* ---- issues ---- */

enum issue_column {
    COLUMN_COUPON_ID,
    COLUMN_RANK,
    COLUMN_USER,
    COLUMN_CLAIM,
    COLUMN_KEY,
    COLUMN_DATE,
};
static_assert(COLUMN_DATE + 1 == COUNT_OF(((struct postgres_ledger *)NULL)->columns), "each one");

static int columns_fill(struct postgres_ledger *ledger, const struct issue_row *issues,
                        size_t count, struct postgres_values *ret_values) {
    struct buffer *columns = ledger->columns;
    array_begin_integers(&columns[COLUMN_COUPON_ID], count);
    array_begin_integers(&columns[COLUMN_RANK], count);
    array_begin_texts(&columns[COLUMN_USER], count);
    array_begin_texts(&columns[COLUMN_CLAIM], count);
    array_begin_texts(&columns[COLUMN_KEY], count);
    array_begin_integers(&columns[COLUMN_DATE], count);
    for (size_t i = 0; i < count; i++) {
        array_integer(&columns[COLUMN_COUPON_ID], (int64_t)issues[i].reference.coupon_id);
        array_integer(&columns[COLUMN_RANK], issues[i].reference.rank);
        array_text(&columns[COLUMN_USER], issues[i].user_id);
        array_text(&columns[COLUMN_CLAIM], issues[i].claim_id);
        array_text(&columns[COLUMN_KEY], issues[i].request_key);
        array_integer(&columns[COLUMN_DATE], issues[i].issued_at_us);
    }
    int status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < COUNT_OF(ledger->columns); i++) {
        status = values_array(ret_values, &columns[i]);
    }
    return status;
}

/* Which row it was: the server tells the key, as "…)=(coupon, rank) …" in any language. */
static int rows_fail(const struct postgres_ledger *ledger, int status,
                     const struct issue_row *first, struct complaint *complaint) {
    char doing[256];
    const char *key = strstr(ledger->detail, ")=(");
    char *end = NULL;
    unsigned long long coupon_id = key ? strtoull(key + 3, &end, 10) : 0;
    bool told = end && strncmp(end, ", ", 2) == 0;
    if (told && strcmp(ledger->constraint, "coupon_issues_pkey") == 0) {
        snprintf(doing, sizeof(doing), "add coupon %llu rank %lu to", coupon_id,
                 strtoul(end + 2, NULL, 10));
    } else if (told && strcmp(ledger->constraint, "coupon_issues_user") == 0) {
        snprintf(doing, sizeof(doing), "add a second issue of coupon %llu for user %.*s to",
                 coupon_id, (int)strcspn(end + 2, ")"), end + 2);
    } else {
        snprintf(doing, sizeof(doing), "add coupon %llu rank %u and what follows to",
                 (unsigned long long)first->reference.coupon_id, first->reference.rank);
    }
    return postgres_fail(ledger, status, doing, complaint);
}

static int rows_insert(struct postgres_ledger *ledger, const struct issue_row *issues, size_t count,
                       struct complaint *complaint) {
    struct postgres_values values = {.count = 0};
    uint64_t added = 0;
    int status = columns_fill(ledger, issues, count, &values);
    if (status < 0) {
        return complain(complaint, status, "not enough memory for %zu issues", count);
    }
    status = postgres_run_change(ledger, PG_ISSUES_INSERT, &values, &added);
    if (status < 0) {
        return rows_fail(ledger, status, &issues[0], complaint);
    }
    assert(added == count);
    return STATUS_OK;
}

static int rows_insert_all(struct postgres_ledger *ledger, const struct issue_row *issues,
                           size_t count, struct complaint *complaint) {
    int status = STATUS_OK;
    for (size_t at = 0; status == STATUS_OK && at < count; at += INSERT_ROWS_MAX) {
        size_t size = count - at < INSERT_ROWS_MAX ? count - at : INSERT_ROWS_MAX;
        status = rows_insert(ledger, issues + at, size, complaint);
    }
    return status;
}

static int counts_fill(struct postgres_ledger *ledger, const struct issued_count *counts,
                       size_t count, struct postgres_values *ret_values) {
    struct buffer *ids = &ledger->columns[0];
    struct buffer *issued = &ledger->columns[1];
    array_begin_integers(ids, count);
    array_begin_integers(issued, count);
    for (size_t i = 0; i < count; i++) {
        array_integer(ids, (int64_t)counts[i].coupon_id);
        array_integer(issued, counts[i].issued_quantity);
    }
    int status = values_array(ret_values, ids);
    return status < 0 ? status : values_array(ret_values, issued);
}

int postgres_coupons_lock(struct postgres_ledger *ledger, const uint64_t *ids, size_t count,
                          struct complaint *complaint) {
    struct postgres_values values = {.count = 0};
    struct buffer *column = &ledger->columns[0];
    array_begin_integers(column, count);
    for (size_t i = 0; i < count; i++) {
        array_integer(column, (int64_t)ids[i]);
    }
    PGresult *result;
    int status = values_array(&values, column);
    if (status == STATUS_OK) {
        status = postgres_run(ledger, PG_COUPONS_LOCK, &values, &result);
    }
    if (status < 0) {
        return postgres_fail(ledger, status, "lock coupons in", complaint);
    }
    PQclear(result);
    return STATUS_OK;
}

/* One of several coupons is locked by the UPDATE itself. */
static int counts_lock(struct postgres_ledger *ledger, const struct postgres_values *counts) {
    struct postgres_values ids = {
        .count = 1, .bytes = {counts->bytes[0]}, .sizes = {counts->sizes[0]}};
    PGresult *result;
    int status = postgres_run(ledger, PG_COUPONS_LOCK, &ids, &result);
    if (status == STATUS_OK) {
        PQclear(result);
    }
    return status;
}

/* The CHECK on issued_quantity is the last guard of I1. Before the rows, so that whoever else
 * appends to the coupon waits here and not at a key. */
static int counts_update(struct postgres_ledger *ledger, const struct issued_count *counts,
                         size_t count, bool locked, struct complaint *complaint) {
    struct postgres_values values = {.count = 0};
    uint64_t changed = 0;
    int status = counts_fill(ledger, counts, count, &values);
    if (status < 0) {
        return complain(complaint, status, "not enough memory for %zu coupons", count);
    }
    if (count > 1 && !locked) {
        status = counts_lock(ledger, &values);
    }
    if (status == STATUS_OK) {
        status = postgres_run_change(ledger, PG_ISSUED_UPDATE, &values, &changed);
    }
    if (status < 0) {
        char doing[96];
        snprintf(doing, sizeof(doing), "raise coupon %llu%s to %u issues in",
                 (unsigned long long)counts[0].coupon_id, count > 1 ? " and others" : "",
                 counts[0].issued_quantity);
        return postgres_fail(ledger, status, doing, complaint);
    }
    if (changed != count) {
        return complain(complaint, STATUS_CONFLICT,
                        "the ledger has no coupon %llu, or not fewer than %u issues of it%s",
                        (unsigned long long)counts[0].coupon_id, counts[0].issued_quantity,
                        count > 1 ? "; or that is so for another coupon of the batch" : "");
    }
    return STATUS_OK;
}

struct append {
    const struct issue_row *issues;
    size_t issue_count;
    const struct issued_count *counts;
    size_t coupon_count;
};

int postgres_issues_write(struct postgres_ledger *ledger, const struct issue_row *issues,
                          size_t issue_count, const struct issued_count *counts,
                          size_t coupon_count, struct complaint *complaint) {
    int status = counts_update(ledger, counts, coupon_count, true, complaint);
    return status < 0 ? status : rows_insert_all(ledger, issues, issue_count, complaint);
}

static int append_write(struct postgres_ledger *ledger, void *context,
                        struct complaint *complaint) {
    const struct append *append = context;
    int status = counts_update(ledger, append->counts, append->coupon_count, false, complaint);
    return status < 0 ? status
                      : rows_insert_all(ledger, append->issues, append->issue_count, complaint);
}

int postgres_append(struct ledger *base, const struct issue_row *issues, size_t issue_count,
                    const struct issued_count *counts, size_t coupon_count,
                    struct complaint *complaint) {
    struct append append = {issues, issue_count, counts, coupon_count};
    int status = ledger_rows_check(issues, issue_count, complaint);
    return status < 0 ? status
                      : postgres_transact(postgres_of(base), append_write, &append, complaint);
}

/* ---- audits ---- */

/* From here to the end of the transaction no other one changes a coupon or adds an audit. */
static int changes_lock(struct postgres_ledger *ledger, struct complaint *complaint) {
    PGresult *result;
    int status = postgres_run(ledger, PG_CHANGES_LOCK, NULL, &result);
    if (status < 0) {
        return postgres_fail(ledger, status, "wait for another change of", complaint);
    }
    PQclear(result);
    return STATUS_OK;
}

/* The row that tells who did it; the coupon's own row is written already. */
static int audit_insert(struct postgres_ledger *ledger, const struct audit *audit, uint64_t id,
                        const char *action, int64_t changed_us, struct complaint *complaint) {
    if (!audit) {
        return STATUS_OK;
    }
    struct postgres_values values = {.count = 0};
    values_integer(&values, (int64_t)id);
    values_text(&values, audit->admin);
    values_text(&values, slice_of(action));
    values_integer(&values, changed_us);
    values_text(&values, audit->request);
    uint64_t added = 0;
    int status = postgres_run_change(ledger, PG_AUDIT_INSERT, &values, &added);
    if (status < 0) {
        return postgres_fail(ledger, status, "add an audit to", complaint);
    }
    assert(added == 1);
    return STATUS_OK;
}

/* ---- imports ---- */

struct import {
    const struct coupon_import *import;
    const struct slice *users;
    struct issue_row *rows; /* room for LEDGER_IMPORT_ROWS */
};

static int import_rows_insert(struct postgres_ledger *ledger, const struct import *import,
                              struct complaint *complaint) {
    size_t count = (size_t)import->import->last_rank - import->import->first_rank + 1;
    int status = STATUS_OK;
    for (size_t at = 0; status == STATUS_OK && at < count; at += LEDGER_IMPORT_ROWS) {
        size_t size = count - at < LEDGER_IMPORT_ROWS ? count - at : LEDGER_IMPORT_ROWS;
        ledger_import_rows(import->import, import->users, at, size, import->rows);
        status = ledger_rows_check(import->rows, size, complaint);
        if (status == STATUS_OK) {
            status = rows_insert(ledger, import->rows, size, complaint);
        }
    }
    return status;
}

static int import_insert(struct postgres_ledger *ledger, const struct coupon_import *import,
                         struct complaint *complaint) {
    struct postgres_values values = {.count = 0};
    values_integer(&values, (int64_t)import->coupon_id);
    values_integer(&values, import->first_rank);
    values_integer(&values, import->last_rank);
    values_integer(&values, import->imported_us);
    uint64_t added;
    int status = postgres_run_change(ledger, PG_IMPORT_INSERT, &values, &added);
    return status < 0 ? postgres_fail(ledger, status, "add an import to", complaint) : STATUS_OK;
}

static int import_write(struct postgres_ledger *ledger, void *context,
                        struct complaint *complaint) {
    const struct import *import = context;
    const struct coupon_import *range = import->import;
    struct issued_count issued = {range->coupon_id, range->last_rank};
    char request[64];
    snprintf(request, sizeof(request), "{\"firstRank\":%u,\"lastRank\":%u}", range->first_rank,
             range->last_rank);
    struct audit audit = {.admin = slice_of("import"), .request = slice_of(request)};
    int status = counts_update(ledger, &issued, 1, false, complaint);
    if (status == STATUS_OK) {
        status = import_rows_insert(ledger, import, complaint);
    }
    if (status == STATUS_OK) {
        status = import_insert(ledger, range, complaint);
    }
    if (status == STATUS_OK) { /* late, since the rows may have taken long */
        status = changes_lock(ledger, complaint);
    }
    if (status == STATUS_OK) {
        status = audit_insert(ledger, &audit, range->coupon_id, "issues-imported",
                              range->imported_us, complaint);
    }
    return status;
}

int postgres_import(struct ledger *base, const struct coupon_import *import,
                    const struct slice *users, struct complaint *complaint) {
    struct import context = {import, users, calloc(LEDGER_IMPORT_ROWS, sizeof(struct issue_row))};
    if (!context.rows) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for an import");
    }
    int status = postgres_transact(postgres_of(base), import_write, &context, complaint);
    free(context.rows);
    return status;
}

/* ---- coupons ---- */

/* Values 1 to 10 of a creation and of a change. */
static void coupon_values(struct postgres_values *values, const struct coupon_record *coupon,
                          uint64_t id) {
    assert(id >= 1 && id <= JSON_INTEGER_MAX);
    values_integer(values, (int64_t)id);
    values_bytes(values, coupon->title, strlen(coupon->title));
    if (coupon->total_quantity == COUPON_UNLIMITED) {
        values_null(values);
    } else {
        values_integer(values, coupon->total_quantity);
    }
    values_integer(values, coupon->discount_amount);
    values_integer(values, coupon->min_available_amount);
    values_integer(values, coupon->issue_start_us);
    values_integer(values, coupon->issue_end_us);
    values_boolean(values, coupon->paused);
    values_text(values, slice_of(coupon->metadata));
    values_integer(values, coupon->updated_us);
}

static int revision_insert(struct postgres_ledger *ledger, uint64_t id,
                           struct complaint *complaint) {
    struct postgres_values values = {.count = 0};
    values_integer(&values, (int64_t)id);
    uint64_t added = 0;
    int status = postgres_run_change(ledger, PG_REVISION_INSERT, &values, &added);
    if (status < 0) {
        return postgres_fail(ledger, status, "add a revision to", complaint);
    }
    assert(added == 1); /* the coupon was written just now */
    return STATUS_OK;
}

struct creation {
    const struct coupon_record *coupon;
    const struct creation_key *key;
    const struct audit *audit;
    uint64_t id; /* that was given */
};

static int creation_insert(struct postgres_ledger *ledger, const struct creation *creation,
                           struct complaint *complaint) {
    const struct creation_key *key = creation->key;
    if (!key || key->key.size == 0) {
        return STATUS_OK;
    }
    struct postgres_values values = {.count = 0};
    values_text(&values, key->key);
    values_integer(&values, (int64_t)creation->id);
    values_bytes(&values, key->request_digest, sizeof(key->request_digest));
    values_integer(&values, creation->coupon->created_us);
    uint64_t added;
    int status = postgres_run_change(ledger, PG_CREATION_INSERT, &values, &added);
    return status < 0 ? postgres_fail(ledger, status, "add a creation key to", complaint)
                      : STATUS_OK;
}

/* Ids are never used twice: the next one is above all there ever were. */
static int id_next(struct postgres_ledger *ledger, uint64_t *ret_id, struct complaint *complaint) {
    PGresult *result;
    int status = postgres_run(ledger, PG_ID_LAST, NULL, &result);
    if (status < 0) {
        return postgres_fail(ledger, status, "read the coupons of", complaint);
    }
    int64_t last = 0;
    status = row_integer((struct postgres_row){result, 0}, 0, 0, JSON_INTEGER_MAX, &last);
    PQclear(result);
    if (status < 0) {
        return complain(complaint, status, "%s has a coupon id that cannot be", ledger->name);
    }
    if (last >= JSON_INTEGER_MAX) {
        return complain(complaint, STATUS_FULL, "there is no coupon id above %lld: name a free one",
                        (long long)last);
    }
    *ret_id = (uint64_t)last + 1;
    return STATUS_OK;
}

/* A CHECK on the coupon's values, or a value that no column takes. */
static int values_fail(const struct postgres_ledger *ledger, int status, const char *doing,
                       struct complaint *complaint) {
    return postgres_fail(ledger, status == STATUS_CONFLICT ? STATUS_INVALID : status, doing,
                         complaint);
}

static int coupon_insert(struct postgres_ledger *ledger, const struct creation *creation,
                         struct complaint *complaint) {
    struct postgres_values values = {.count = 0};
    coupon_values(&values, creation->coupon, creation->id);
    values_integer(&values, creation->coupon->created_us);
    uint64_t added;
    int status = postgres_run_change(ledger, PG_COUPON_INSERT, &values, &added);
    if (status < 0 && strcmp(ledger->constraint, "coupons_pkey") == 0) {
        return complain(complaint, STATUS_EXISTS, "there is a coupon %llu already",
                        (unsigned long long)creation->id);
    }
    return status < 0 ? values_fail(ledger, status, "add a coupon to", complaint) : STATUS_OK;
}

static int creation_write(struct postgres_ledger *ledger, void *context,
                          struct complaint *complaint) {
    struct creation *creation = context;
    creation->id = creation->coupon->id;
    int status = changes_lock(ledger, complaint);
    if (status == STATUS_OK && creation->id == 0) {
        status = id_next(ledger, &creation->id, complaint);
    }
    if (status == STATUS_OK) {
        status = coupon_insert(ledger, creation, complaint);
    }
    if (status == STATUS_OK) {
        status = revision_insert(ledger, creation->id, complaint);
    }
    if (status == STATUS_OK) {
        status = creation_insert(ledger, creation, complaint);
    }
    if (status == STATUS_OK) {
        status = audit_insert(ledger, creation->audit, creation->id, "coupon-created",
                              creation->coupon->created_us, complaint);
    }
    return status;
}

int postgres_coupon_create(struct ledger *base, struct coupon_record *coupon,
                           const struct creation_key *key, const struct audit *audit,
                           struct complaint *complaint) {
    struct creation creation = {.coupon = coupon, .key = key, .audit = audit};
    if (coupon->id > JSON_INTEGER_MAX) {
        return complain(complaint, STATUS_INVALID, "a coupon id is at most 2^53-1");
    }
    int status = postgres_transact(postgres_of(base), creation_write, &creation, complaint);
    if (status == STATUS_OK) {
        coupon->id = creation.id;
        coupon->version = 1;
        coupon->issued_quantity = 0;
        coupon->archived_us = 0;
    }
    return status;
}

/* Why no row had this id and the version before. */
static int change_refused(struct postgres_ledger *ledger, const struct coupon_record *coupon,
                          struct complaint *complaint) {
    struct postgres_values values = {.count = 0};
    values_integer(&values, (int64_t)coupon->id);
    struct coupon_record present;
    PGresult *result;
    int status = postgres_run(ledger, PG_COUPON_READ, &values, &result);
    if (status == STATUS_OK) {
        status = PQntuples(result) == 0
                     ? STATUS_NOT_FOUND
                     : postgres_coupon_decode((struct postgres_row){result, 0}, &present);
        PQclear(result);
    }
    if (status == STATUS_OK) {
        return complain(complaint, STATUS_CONFLICT, "coupon %llu is at version %u, not %u",
                        (unsigned long long)coupon->id, present.version, coupon->version - 1);
    }
    return complain(complaint, status, "coupon %llu cannot be changed: %s",
                    (unsigned long long)coupon->id, status_name(status));
}

static int coupon_update(struct postgres_ledger *ledger, const struct coupon_record *coupon,
                         struct complaint *complaint) {
    struct postgres_values values = {.count = 0};
    coupon_values(&values, coupon, coupon->id);
    values_integer(&values, coupon->version);
    if (coupon->archived_us != 0) {
        values_integer(&values, coupon->archived_us);
    } else {
        values_null(&values);
    }
    uint64_t changed = 0;
    int status = postgres_run_change(ledger, PG_COUPON_UPDATE, &values, &changed);
    if (status < 0) {
        return values_fail(ledger, status, "change a coupon in", complaint);
    }
    return changed == 1 ? STATUS_OK : change_refused(ledger, coupon, complaint);
}

/* What was admitted under the former terms and is not settled yet will not be: whoever admitted
 * it asks anew. Before the coupon is locked, as a settlement does it. */
static int epoch_begin(struct postgres_ledger *ledger, uint64_t coupon_id,
                       struct complaint *complaint) {
    struct postgres_values values = {.count = 0};
    uint64_t changed = 0;
    values_integer(&values, partition_of(coupon_id));
    int status = postgres_run_change(ledger, PG_EPOCH_RAISE_ANY, &values, &changed);
    return status < 0 ? postgres_fail(ledger, status, "begin an epoch in", complaint) : STATUS_OK;
}

struct coupon_change {
    const struct coupon_record *coupon;
    const struct audit *audit;
};

static int change_write(struct postgres_ledger *ledger, void *context,
                        struct complaint *complaint) {
    const struct coupon_change *change = context;
    const struct coupon_record *coupon = change->coupon;
    int status = epoch_begin(ledger, coupon->id, complaint);
    if (status == STATUS_OK) {
        /* by a statement of its own, so that the UPDATE sees the issues written meanwhile */
        status = postgres_coupons_lock(ledger, &coupon->id, 1, complaint);
    }
    if (status == STATUS_OK) {
        status = coupon_update(ledger, coupon, complaint);
    }
    if (status == STATUS_OK) {
        status = revision_insert(ledger, coupon->id, complaint);
    }
    if (status == STATUS_OK) {
        status = changes_lock(ledger, complaint);
    }
    if (status == STATUS_OK) {
        const char *action = coupon->archived_us ? "coupon-archived" : "coupon-changed";
        status =
            audit_insert(ledger, change->audit, coupon->id, action, coupon->updated_us, complaint);
    }
    return status;
}

int postgres_coupon_change(struct ledger *base, const struct coupon_record *coupon,
                           const struct audit *audit, struct complaint *complaint) {
    struct coupon_change change = {coupon, audit};
    return postgres_transact(postgres_of(base), change_write, &change, complaint);
}

/* ---- housekeeping ---- */

static int probe_once(struct postgres_ledger *ledger, struct complaint *complaint) {
    uint64_t changed = 0;
    int status = postgres_connect(ledger, complaint);
    if (status < 0) {
        ledger->lost = ledger->replay = false;
        return status;
    }
    status = postgres_run_change(ledger, PG_PROBE_UPDATE, NULL, &changed);
    if (status < 0) {
        return postgres_fail(ledger, status, "write to", complaint);
    }
    if (ledger->warned) { /* as in postgres_transaction.c: no standby may have it */
        return complain(complaint, STATUS_IO, "a write to %s may be lost: %s", ledger->name,
                        ledger->why);
    }
    return changed == 1
               ? STATUS_OK
               : complain(complaint, STATUS_DAMAGED, "the probe row of %s is gone", ledger->name);
}

/* One statement that commits itself: all programs write this row, and none may have it locked while
 * it is asleep. Whether one without an answer was done does not matter. */
int postgres_probe(struct ledger *base, struct complaint *complaint) {
    struct postgres_ledger *ledger = postgres_of(base);
    assert(!ledger->options.existing_only);
    int status = probe_once(ledger, complaint);
    bool again = status == STATUS_IO && ((ledger->lost && !ledger->late) || ledger->replay);
    return again ? probe_once(ledger, complaint) : status;
}

int postgres_tend(struct ledger *ledger, bool idle, struct complaint *complaint) {
    (void)ledger;
    (void)idle;
    (void)complaint;
    return STATUS_OK;
}
