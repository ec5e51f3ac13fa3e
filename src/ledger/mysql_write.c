/* What changes the MariaDB and MySQL ledger: appends, imports, creations, changes, the probe.
 * For ledger.h. Any number of nodes may write at once, so every transaction locks in one
 * order: an operator's change the row of ledger_version first; then coupons, by id; then rows
 * that belong to them. Who waits for a coupon's row waits before it has written anything.
 *
 * No IGNORE, REPLACE or ON DUPLICATE KEY anywhere: they would turn a contradiction into a
 * false success. */
#include "ledger/mysql_ledger.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- counts ---- */

static int count_order(const void *a, const void *b) {
    uint64_t first = ((const struct issued_count *)a)->coupon_id;
    uint64_t second = ((const struct issued_count *)b)->coupon_id;
    return (first > second) - (first < second);
}

/* The CHECK on issued_quantity is the last guard of I1. */
static int count_raise(struct mysql_ledger *ledger, const struct issued_count *count,
                       struct complaint *complaint) {
    uint64_t changed = 0;
    int status = STATUS_OK;
    if (count->coupon_id <= JSON_INTEGER_MAX) {
        status = maria_run(
            ledger, MARIA_COUNT_RAISE,
            VALUES(value_integer((int64_t)count->coupon_id), value_integer(count->issued_quantity)),
            &changed);
    }
    if (status < 0) {
        char doing[96];
        snprintf(doing, sizeof(doing), "raise coupon %llu to %u issues in",
                 (unsigned long long)count->coupon_id, count->issued_quantity);
        return maria_fail(ledger, status, doing, complaint);
    }
    return changed == 1 ? STATUS_OK
                        : complain(complaint, STATUS_CONFLICT,
                                   "the ledger has no coupon %llu, or not fewer than %u issues "
                                   "of it",
                                   (unsigned long long)count->coupon_id, count->issued_quantity);
}

/* ---- issues ---- */

static void row_append(struct mysql_ledger *ledger, const struct issue_row *issue) {
    struct buffer *text = &ledger->statement;
    struct mysql_value user = value_bytes(issue->user_id);
    struct mysql_value claim = value_bytes(issue->claim_id);
    struct mysql_value key = value_bytes(issue->request_key);
    struct mysql_value issued_at = value_integer(issue->issued_at_us);
    buffer_text(text, "(");
    buffer_u64(text, issue->reference.coupon_id);
    buffer_text(text, ",");
    buffer_u64(text, issue->reference.rank);
    buffer_text(text, ",");
    maria_value_append(ledger, text, &user);
    buffer_text(text, ",");
    maria_value_append(ledger, text, &claim);
    buffer_text(text, ",");
    maria_value_append(ledger, text, &key);
    buffer_text(text, ",");
    maria_value_append(ledger, text, &issued_at);
    buffer_text(text, "),");
}

/* The largest row: three texts with every byte quoted, three numbers, what is between them. */
#define ROW_TEXT_MAX (2 * (2 * 128 + 12) + 2 * 64 + 12 + 3 * 20 + 16)
static_assert(USER_ID_MAX == 128 && REQUEST_KEY_MAX == 128 && CLAIM_ID_MAX == 64, "as above");

/* Puts as many rows into one INSERT as it may have; tells how many. 0: one is impossible. */
static size_t insert_build(struct mysql_ledger *ledger, const struct issue_row *issues,
                           size_t count) {
    struct buffer *text = &ledger->statement;
    buffer_clear(text);
    buffer_text(text, "INSERT INTO coupon_issues (coupon_id, rank_no, user_id, claim_id,"
                      " request_key, date_issued) VALUES ");
    size_t taken = 0;
    while (taken < count && text->size + ROW_TEXT_MAX <= ledger->statement_size_max) {
        row_append(ledger, &issues[taken++]);
    }
    assert(taken > 0);
    text->size -= text->failed ? 0 : 1; /* the last comma */
    return taken;
}

/* The row that a duplicate key was found for, by the server's words ("Duplicate entry '8-3' for
 * key …"); for any other failure the first, as it is not known. */
static const struct issue_row *row_blamed(const struct mysql_ledger *ledger,
                                          const struct issue_row *issues, size_t count) {
    bool by_user = strstr(ledger->why, "coupon_issues_user") != NULL;
    for (size_t i = 0; i < count; i++) {
        char entry[USER_ID_MAX + 32];
        int size = snprintf(entry, sizeof(entry), "'%llu-",
                            (unsigned long long)issues[i].reference.coupon_id);
        if (by_user) {
            snprintf(entry + size, sizeof(entry) - (size_t)size, "%.*s'",
                     (int)issues[i].user_id.size, issues[i].user_id.bytes);
        } else {
            snprintf(entry + size, sizeof(entry) - (size_t)size, "%u'", issues[i].reference.rank);
        }
        if (strstr(ledger->why, entry)) {
            return &issues[i];
        }
    }
    return issues;
}

static int insert_failed(struct mysql_ledger *ledger, int status, const struct issue_row *issues,
                         size_t count, struct complaint *complaint) {
    const struct issue_row *row = row_blamed(ledger, issues, count);
    char doing[96];
    snprintf(doing, sizeof(doing), "add coupon %llu rank %u to",
             (unsigned long long)row->reference.coupon_id, row->reference.rank);
    return maria_fail(ledger, status, doing, complaint);
}

static int rows_insert(struct mysql_ledger *ledger, const struct issue_row *issues, size_t count,
                       struct complaint *complaint) {
    for (size_t at = 0; at < count;) {
        size_t taken = insert_build(ledger, issues + at, count - at);
        if (ledger->statement.failed) {
            return complain(complaint, STATUS_NO_MEMORY, "not enough memory for an INSERT");
        }
        uint64_t changed = 0;
        int status = maria_send(ledger, buffer_view(&ledger->statement), &changed);
        if (status < 0) {
            return insert_failed(ledger, status, &issues[at], taken, complaint);
        }
        assert(changed == taken);
        at += taken;
    }
    return STATUS_OK;
}

/* ---- appends ---- */

struct append {
    const struct issue_row *issues;
    size_t issue_count;
    const struct issued_count *counts; /* by coupon */
    size_t coupon_count;
};

int maria_issues_write(struct mysql_ledger *ledger, const struct issue_row *issues,
                       size_t issue_count, const struct issued_count *counts, size_t coupon_count,
                       struct complaint *complaint) {
    int status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < coupon_count; i++) {
        status = count_raise(ledger, &counts[i], complaint);
    }
    return status == STATUS_OK ? rows_insert(ledger, issues, issue_count, complaint) : status;
}

static int append_write(struct mysql_ledger *ledger, void *context, struct complaint *complaint) {
    const struct append *append = context;
    return maria_issues_write(ledger, append->issues, append->issue_count, append->counts,
                              append->coupon_count, complaint);
}

int maria_append(struct ledger *base, const struct issue_row *issues, size_t issue_count,
                 const struct issued_count *counts, size_t coupon_count,
                 struct complaint *complaint) {
    int status = ledger_rows_check(issues, issue_count, complaint);
    if (status < 0) {
        return status;
    }
    struct issued_count *ordered = malloc(coupon_count * sizeof(*ordered));
    if (!ordered) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for an append");
    }
    memcpy(ordered, counts, coupon_count * sizeof(*ordered));
    qsort(ordered, coupon_count, sizeof(*ordered), count_order);
    struct append append = {issues, issue_count, ordered, coupon_count};
    status = maria_transact(mysql_of(base), append_write, &append, complaint);
    free(ordered);
    return status;
}

/* ---- what an operator changes ---- */

/* A number that a statement gives as its one row. */
static int number_read(struct mysql_ledger *ledger, enum mysql_statement statement,
                       int64_t *ret_number, struct complaint *complaint) {
    struct mysql_rows rows;
    int status = maria_query(ledger, statement, NULL, 0, &rows);
    if (status < 0) {
        return maria_fail(ledger, status, "read", complaint);
    }
    if (!maria_rows_next(&rows) || maria_integer_decode(&rows, 0, 0, INT64_MAX, ret_number) < 0) {
        status = complain(complaint, STATUS_DAMAGED, "%s: a number is missing", ledger->name);
    }
    maria_rows_done(&rows);
    return status;
}

/* Waits for the operators' changes before this one. */
static int changes_lock(struct mysql_ledger *ledger, struct complaint *complaint) {
    int64_t version;
    return number_read(ledger, MARIA_CHANGES_LOCK, &version, complaint);
}

/* The row that tells who did it; the coupon's own row is written already, and changes are
 * locked, so that ids rise in the order of the commits. */
static int audit_insert(struct mysql_ledger *ledger, const struct audit *audit, uint64_t id,
                        const char *action, int64_t changed_us, struct complaint *complaint) {
    if (!audit) {
        return STATUS_OK;
    }
    int64_t last = 0;
    int status = number_read(ledger, MARIA_AUDIT_ID_LAST, &last, complaint);
    if (status < 0) {
        return status;
    }
    uint64_t changed = 0;
    status = maria_run(ledger, MARIA_AUDIT_INSERT,
                       VALUES(value_integer((int64_t)id), value_text(audit->admin),
                              value_text(slice_of(action)), value_integer(changed_us),
                              value_text(audit->request), value_integer(last + 1)),
                       &changed);
    if (status < 0) {
        return maria_fail(ledger, status, "add an audit to", complaint);
    }
    assert(changed == 1);
    return STATUS_OK;
}

static int revision_insert(struct mysql_ledger *ledger, uint64_t id, struct complaint *complaint) {
    uint64_t changed = 0;
    int status =
        maria_run(ledger, MARIA_REVISION_INSERT, VALUES(value_integer((int64_t)id)), &changed);
    if (status < 0) {
        return maria_fail(ledger, status, "add a revision to", complaint);
    }
    assert(changed == 1); /* the coupon was written just now */
    return STATUS_OK;
}

/* ---- imports ---- */

struct import {
    const struct coupon_import *import;
    const struct slice *users;
    struct issue_row *rows; /* LEDGER_IMPORT_ROWS of them */
};

static int import_rows_insert(struct mysql_ledger *ledger, const struct import *context,
                              struct complaint *complaint) {
    const struct coupon_import *import = context->import;
    size_t count = (size_t)import->last_rank - import->first_rank + 1;
    int status = STATUS_OK;
    for (size_t at = 0; status == STATUS_OK && at < count; at += LEDGER_IMPORT_ROWS) {
        size_t size = count - at < LEDGER_IMPORT_ROWS ? count - at : LEDGER_IMPORT_ROWS;
        ledger_import_rows(import, context->users, at, size, context->rows);
        status = ledger_rows_check(context->rows, size, complaint);
        if (status == STATUS_OK) {
            status = rows_insert(ledger, context->rows, size, complaint);
        }
    }
    return status;
}

static int import_insert(struct mysql_ledger *ledger, const struct coupon_import *import,
                         struct complaint *complaint) {
    uint64_t changed = 0;
    int status = maria_run(
        ledger, MARIA_IMPORT_INSERT,
        VALUES(value_integer((int64_t)import->coupon_id), value_integer(import->first_rank),
               value_integer(import->last_rank), value_integer(import->imported_us)),
        &changed);
    return status == STATUS_OK ? STATUS_OK
                               : maria_fail(ledger, status, "add an import to", complaint);
}

static int import_audit(struct mysql_ledger *ledger, const struct coupon_import *import,
                        struct complaint *complaint) {
    char request[64];
    snprintf(request, sizeof(request), "{\"firstRank\":%u,\"lastRank\":%u}", import->first_rank,
             import->last_rank);
    struct audit audit = {.admin = slice_of("import"), .request = slice_of(request)};
    return audit_insert(ledger, &audit, import->coupon_id, "issues-imported", import->imported_us,
                        complaint);
}

static int import_write(struct mysql_ledger *ledger, void *argument, struct complaint *complaint) {
    const struct import *context = argument;
    struct issued_count issued = {context->import->coupon_id, context->import->last_rank};
    int status = changes_lock(ledger, complaint);
    if (status == STATUS_OK) {
        status = count_raise(ledger, &issued, complaint);
    }
    if (status == STATUS_OK) {
        status = import_rows_insert(ledger, context, complaint);
    }
    if (status == STATUS_OK) {
        status = import_insert(ledger, context->import, complaint);
    }
    return status == STATUS_OK ? import_audit(ledger, context->import, complaint) : status;
}

int maria_import(struct ledger *base, const struct coupon_import *import, const struct slice *users,
                 struct complaint *complaint) {
    struct import context = {import, users, calloc(LEDGER_IMPORT_ROWS, sizeof(struct issue_row))};
    if (!context.rows) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for an import");
    }
    int status = maria_transact(mysql_of(base), import_write, &context, complaint);
    free(context.rows);
    return status;
}

/* ---- coupons ---- */

/* Values 1 to 10 of a creation and of a change. */
static void coupon_values(const struct coupon_record *coupon, uint64_t id,
                          struct mysql_value ret_values[static 10]) {
    assert(id >= 1 && id <= JSON_INTEGER_MAX);
    struct slice title = slice_of(coupon->title);
    bool unlimited = coupon->total_quantity == COUPON_UNLIMITED;
    ret_values[0] = value_integer((int64_t)id);
    ret_values[1] = (struct mysql_value){.kind = VALUE_TEXT, .text = title}; /* "" is one */
    ret_values[2] = unlimited ? (struct mysql_value){.kind = VALUE_NULL}
                              : value_integer(coupon->total_quantity);
    ret_values[3] = value_integer(coupon->discount_amount);
    ret_values[4] = value_integer(coupon->min_available_amount);
    ret_values[5] = value_integer(coupon->issue_start_us);
    ret_values[6] = value_integer(coupon->issue_end_us);
    ret_values[7] = value_integer(coupon->paused ? 1 : 0);
    ret_values[8] = value_text(slice_of(coupon->metadata));
    ret_values[9] = value_integer(coupon->updated_us);
}

/* ER_DUP_ENTRY */
static bool failed_on_key(const struct mysql_ledger *ledger, int status) {
    return status == STATUS_CONFLICT && ledger->error == 1062;
}

static int coupon_insert(struct mysql_ledger *ledger, const struct coupon_record *coupon,
                         uint64_t id, struct complaint *complaint) {
    struct mysql_value values[11];
    uint64_t changed = 0;
    coupon_values(coupon, id, values);
    values[10] = value_integer(coupon->created_us);
    int status = maria_run(ledger, MARIA_COUPON_INSERT, values, COUNT_OF(values), &changed);
    if (status == STATUS_OK) {
        return STATUS_OK;
    }
    if (failed_on_key(ledger, status)) {
        return complain(complaint, STATUS_EXISTS, "there is a coupon %llu already",
                        (unsigned long long)id);
    }
    maria_fail(ledger, status, "add a coupon to", complaint);
    return status == STATUS_CONFLICT ? STATUS_INVALID : status; /* a CHECK on its values */
}

static int creation_insert(struct mysql_ledger *ledger, const struct creation_key *key, uint64_t id,
                           int64_t created_us, struct complaint *complaint) {
    struct slice digest = {(const char *)key->request_digest, sizeof(key->request_digest)};
    uint64_t changed = 0;
    int status = maria_run(ledger, MARIA_CREATION_INSERT,
                           VALUES(value_bytes(key->key), value_integer((int64_t)id),
                                  value_bytes(digest), value_integer(created_us)),
                           &changed);
    return status == STATUS_OK ? STATUS_OK
                               : maria_fail(ledger, status, "add a creation key to", complaint);
}

/* Ids are never used twice: the next one is above all there ever were. */
static int id_next(struct mysql_ledger *ledger, uint64_t *ret_id, struct complaint *complaint) {
    int64_t last = 0;
    int status = number_read(ledger, MARIA_COUPON_ID_LAST, &last, complaint);
    if (status < 0) {
        return status;
    }
    if (last >= JSON_INTEGER_MAX) {
        return complain(complaint, STATUS_FULL, "there is no coupon id above %lld: name a free one",
                        (long long)last);
    }
    *ret_id = (uint64_t)last + 1;
    return STATUS_OK;
}

struct creation {
    const struct coupon_record *coupon;
    const struct creation_key *key;
    const struct audit *audit;
    uint64_t id; /* of the coupon, once written */
};

static int creation_write(struct mysql_ledger *ledger, void *context, struct complaint *complaint) {
    struct creation *creation = context;
    const struct coupon_record *coupon = creation->coupon;
    int status = changes_lock(ledger, complaint);
    creation->id = coupon->id;
    if (status == STATUS_OK && creation->id == 0) {
        status = id_next(ledger, &creation->id, complaint);
    }
    if (status == STATUS_OK) {
        status = coupon_insert(ledger, coupon, creation->id, complaint);
    }
    if (status == STATUS_OK) {
        status = revision_insert(ledger, creation->id, complaint);
    }
    if (status == STATUS_OK && creation->key && creation->key->key.size > 0) {
        status =
            creation_insert(ledger, creation->key, creation->id, coupon->created_us, complaint);
    }
    return status == STATUS_OK ? audit_insert(ledger, creation->audit, creation->id,
                                              "coupon-created", coupon->created_us, complaint)
                               : status;
}

int maria_coupon_create(struct ledger *base, struct coupon_record *coupon,
                        const struct creation_key *key, const struct audit *audit,
                        struct complaint *complaint) {
    if (coupon->id > JSON_INTEGER_MAX) {
        return complain(complaint, STATUS_INVALID, "a coupon id is at most 2^53-1");
    }
    struct creation creation = {coupon, key, audit, 0};
    int status = maria_transact(mysql_of(base), creation_write, &creation, complaint);
    if (status == STATUS_OK) {
        coupon->id = creation.id;
        coupon->version = 1;
        coupon->issued_quantity = 0;
        coupon->archived_us = 0;
    }
    return status;
}

/* Why no row had this id and the version before. */
static int change_refused(struct mysql_ledger *ledger, const struct coupon_record *coupon,
                          struct complaint *complaint) {
    struct coupon_record present;
    struct mysql_rows rows;
    int status =
        maria_query(ledger, MARIA_COUPON_READ, VALUES(value_integer((int64_t)coupon->id)), &rows);
    if (status == STATUS_OK) {
        status = maria_rows_next(&rows) ? maria_coupon_decode(&rows, &present) : STATUS_NOT_FOUND;
        maria_rows_done(&rows);
    }
    if (status == STATUS_OK) {
        return complain(complaint, STATUS_CONFLICT, "coupon %llu is at version %u, not %u",
                        (unsigned long long)coupon->id, present.version, coupon->version - 1);
    }
    return complain(complaint, status, "coupon %llu cannot be changed: %s",
                    (unsigned long long)coupon->id, status_name(status));
}

static int coupon_update(struct mysql_ledger *ledger, const struct coupon_record *coupon,
                         struct complaint *complaint) {
    struct mysql_value values[12];
    uint64_t changed = 0;
    coupon_values(coupon, coupon->id, values);
    values[10] = value_integer(coupon->version);
    values[11] = coupon->archived_us != 0 ? value_integer(coupon->archived_us)
                                          : (struct mysql_value){.kind = VALUE_NULL};
    int status = maria_run(ledger, MARIA_COUPON_UPDATE, values, COUNT_OF(values), &changed);
    if (status < 0) {
        maria_fail(ledger, status, "change a coupon in", complaint);
        return status == STATUS_CONFLICT ? STATUS_INVALID : status; /* a CHECK on its values */
    }
    return changed == 1 ? STATUS_OK : change_refused(ledger, coupon, complaint);
}

/* What was admitted under the former terms and is not settled yet will not be: whoever admitted
 * it asks anew. Before the coupon is locked, as a settlement does it. */
static int epoch_begin(struct mysql_ledger *ledger, uint64_t coupon_id,
                       struct complaint *complaint) {
    uint64_t changed = 0;
    int status = maria_run(ledger, MARIA_EPOCH_RAISE_ANY,
                           VALUES(value_integer(partition_of(coupon_id))), &changed);
    return status < 0 ? maria_fail(ledger, status, "begin an epoch in", complaint) : STATUS_OK;
}

struct change {
    const struct coupon_record *coupon;
    const struct audit *audit;
};

static int change_write(struct mysql_ledger *ledger, void *context, struct complaint *complaint) {
    const struct change *change = context;
    const struct coupon_record *coupon = change->coupon;
    int status = changes_lock(ledger, complaint);
    if (status == STATUS_OK) {
        status = epoch_begin(ledger, coupon->id, complaint);
    }
    if (status == STATUS_OK) {
        /* by a statement of its own, so that the UPDATE sees the issues written meanwhile */
        status = maria_coupons_lock(ledger, &coupon->id, 1, complaint);
    }
    if (status == STATUS_OK) {
        status = coupon_update(ledger, coupon, complaint);
    }
    if (status == STATUS_OK) {
        status = revision_insert(ledger, coupon->id, complaint);
    }
    const char *action = coupon->archived_us ? "coupon-archived" : "coupon-changed";
    return status == STATUS_OK ? audit_insert(ledger, change->audit, coupon->id, action,
                                              coupon->updated_us, complaint)
                               : status;
}

int maria_coupon_change(struct ledger *base, const struct coupon_record *coupon,
                        const struct audit *audit, struct complaint *complaint) {
    struct change change = {coupon, audit};
    return maria_transact(mysql_of(base), change_write, &change, complaint);
}

/* ---- housekeeping ---- */

static int probe_once(struct mysql_ledger *ledger, struct complaint *complaint) {
    uint64_t changed = 0;
    int status = maria_connect_again(ledger, complaint);
    if (status < 0) {
        ledger->lost = ledger->replay = false;
        return status;
    }
    status = maria_run(ledger, MARIA_PROBE_UPDATE, NULL, 0, &changed);
    if (status < 0) {
        return maria_fail(ledger, status, "write to", complaint);
    }
    return changed == 1 ? STATUS_OK
                        : complain(complaint, STATUS_DAMAGED, "the ledger's probe row is gone");
}

/* One statement that commits itself: all programs write this row, and none may have it locked while
 * it is asleep. Whether one without an answer was done does not matter. */
int maria_probe(struct ledger *base, struct complaint *complaint) {
    struct mysql_ledger *ledger = mysql_of(base);
    assert(!ledger->options.existing_only && !ledger->in_transaction);
    int status = probe_once(ledger, complaint);
    return status == STATUS_IO && (ledger->lost || ledger->replay) ? probe_once(ledger, complaint)
                                                                   : status;
}

/* The server looks after itself. */
int maria_tend(struct ledger *ledger, bool idle, struct complaint *complaint) {
    (void)ledger;
    (void)idle;
    (void)complaint;
    return STATUS_OK;
}
