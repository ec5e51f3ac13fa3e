/* Small reads of the SQLite ledger, and how rows become records: every value is checked
 * against what the schema promises, since a damaged page can hold anything. For the issuer's
 * writer thread and verify, through ledger.h. */
#include "ledger/sqlite_ledger.h"

/* ---- decoding ---- */

int sqlite_integer_decode(sqlite3_stmt *statement, int column, int64_t min, int64_t max,
                          int64_t *ret_value) {
    sqlite3_value *value = sqlite3_column_value(statement, column);
    if (sqlite3_value_type(value) != SQLITE_INTEGER) {
        return STATUS_DAMAGED;
    }
    int64_t number = sqlite3_value_int64(value);
    if (number < min || number > max) {
        return STATUS_DAMAGED;
    }
    *ret_value = number;
    return STATUS_OK;
}

/* The same for a column that may be NULL, which becomes `absent`. */
static int optional_decode(sqlite3_stmt *statement, int column, int64_t min, int64_t max,
                           int64_t absent, int64_t *ret_value) {
    if (sqlite3_column_type(statement, column) == SQLITE_NULL) {
        *ret_value = absent;
        return STATUS_OK;
    }
    return sqlite_integer_decode(statement, column, min, max, ret_value);
}

/* A text of size_min to size_max bytes; NULL has none. The bytes are the statement's. */
static int text_decode(sqlite3_stmt *statement, int column, size_t size_min, size_t size_max,
                       struct slice *ret_text) {
    sqlite3_value *value = sqlite3_column_value(statement, column);
    int type = sqlite3_value_type(value);
    if (type == SQLITE_NULL && size_min == 0) {
        *ret_text = (struct slice){NULL, 0};
        return STATUS_OK;
    }
    /* As a blob, because that adds no terminator; before the size, as SQLite asks for. */
    const char *bytes = sqlite3_value_blob(value);
    size_t size = (size_t)sqlite3_value_bytes(value);
    if (type != SQLITE_TEXT || size < size_min || size > size_max || (!bytes && size > 0)) {
        return STATUS_DAMAGED;
    }
    *ret_text = (struct slice){bytes, size};
    return STATUS_OK;
}

/* `room` has space for the largest text and its terminator. A zero inside would hide what
 * follows it, so it is damage. */
static int text_copy(sqlite3_stmt *statement, int column, size_t size_max, char *room) {
    struct slice text;
    int status = text_decode(statement, column, 0, size_max, &text);
    if (status < 0 || (text.size > 0 && memchr(text.bytes, 0, text.size))) {
        return STATUS_DAMAGED;
    }
    if (text.size > 0) {
        memcpy(room, text.bytes, text.size);
    }
    room[text.size] = '\0';
    return STATUS_OK;
}

int sqlite_coupon_decode(sqlite3_stmt *statement, struct coupon_record *ret_coupon) {
    struct coupon_record coupon;
    int64_t id, issued, paused, version;
    int damage = 0;
    damage |= sqlite_integer_decode(statement, 0, 1, JSON_INTEGER_MAX, &id);
    damage |= text_copy(statement, 1, COUPON_TITLE_MAX, coupon.title);
    damage |= optional_decode(statement, 2, 0, COUPON_QUANTITY_MAX, COUPON_UNLIMITED,
                              &coupon.total_quantity);
    damage |= sqlite_integer_decode(statement, 3, 0, UINT32_MAX, &issued);
    damage |= sqlite_integer_decode(statement, 4, 0, JSON_INTEGER_MAX, &coupon.discount_amount);
    damage |=
        sqlite_integer_decode(statement, 5, 0, JSON_INTEGER_MAX, &coupon.min_available_amount);
    damage |= sqlite_integer_decode(statement, 6, TIME_US_MIN, TIME_US_MAX, &coupon.issue_start_us);
    damage |= sqlite_integer_decode(statement, 7, TIME_US_MIN, TIME_US_MAX, &coupon.issue_end_us);
    damage |= sqlite_integer_decode(statement, 8, 0, 1, &paused);
    damage |= text_copy(statement, 9, COUPON_METADATA_MAX, coupon.metadata);
    damage |= sqlite_integer_decode(statement, 10, 1, UINT32_MAX, &version);
    damage |= sqlite_integer_decode(statement, 11, TIME_US_MIN, TIME_US_MAX, &coupon.created_us);
    damage |= sqlite_integer_decode(statement, 12, TIME_US_MIN, TIME_US_MAX, &coupon.updated_us);
    damage |= optional_decode(statement, 13, TIME_US_MIN, TIME_US_MAX, 0, &coupon.archived_us);
    /* More issued than the total is for verify to tell and for the issuer to refuse. */
    if (damage || coupon.issue_start_us >= coupon.issue_end_us) {
        return STATUS_DAMAGED;
    }
    coupon.id = (uint64_t)id;
    coupon.issued_quantity = (uint32_t)issued;
    coupon.paused = paused == 1;
    coupon.version = (uint32_t)version;
    *ret_coupon = coupon;
    return STATUS_OK;
}

int sqlite_issue_decode(sqlite3_stmt *statement, uint64_t coupon_id, struct issue_row *ret_issue) {
    struct issue_row issue = {.issued_at_us = 0};
    int64_t rank;
    if (sqlite_integer_decode(statement, 0, 1, UINT32_MAX, &rank) < 0 ||
        text_decode(statement, 1, 1, USER_ID_MAX, &issue.user_id) < 0 ||
        text_decode(statement, 2, 0, REQUEST_KEY_MAX, &issue.request_key) < 0 ||
        sqlite_integer_decode(statement, 3, TIME_US_MIN, TIME_US_MAX, &issue.issued_at_us) < 0) {
        return STATUS_DAMAGED;
    }
    issue.reference = (struct issue_reference){coupon_id, (uint32_t)rank};
    *ret_issue = issue;
    return STATUS_OK;
}

static int issue_copy(sqlite3_stmt *statement, uint64_t coupon_id, struct issue_record *ret_issue) {
    struct issue_row row;
    int status = sqlite_issue_decode(statement, coupon_id, &row);
    if (status == STATUS_OK) {
        status = text_copy(statement, 1, USER_ID_MAX, ret_issue->user_id);
    }
    if (status == STATUS_OK) {
        status = text_copy(statement, 2, REQUEST_KEY_MAX, ret_issue->request_key);
    }
    if (status == STATUS_OK) {
        ret_issue->reference = row.reference;
        ret_issue->issued_at_us = row.issued_at_us;
    }
    return status;
}

static int audit_decode(sqlite3_stmt *statement, struct audit_record *ret_audit) {
    int64_t id, coupon_id, version;
    int damage = 0;
    damage |= sqlite_integer_decode(statement, 0, 1, INT64_MAX, &id);
    damage |= sqlite_integer_decode(statement, 1, TIME_US_MIN, TIME_US_MAX, &ret_audit->changed_us);
    damage |= text_copy(statement, 2, ADMIN_NAME_MAX, ret_audit->admin);
    damage |= text_copy(statement, 3, sizeof(ret_audit->action) - 1, ret_audit->action);
    damage |= sqlite_integer_decode(statement, 4, 1, JSON_INTEGER_MAX, &coupon_id);
    damage |= sqlite_integer_decode(statement, 5, 1, UINT32_MAX, &version);
    damage |= text_copy(statement, 6, AUDIT_REQUEST_MAX, ret_audit->request);
    if (damage) {
        return STATUS_DAMAGED;
    }
    ret_audit->id = (uint64_t)id;
    ret_audit->coupon_id = (uint64_t)coupon_id;
    ret_audit->version = (uint32_t)version;
    return STATUS_OK;
}

/* ---- reads ---- */

/* What a step that gave no row means. */
static int without_row(int result) {
    return result == SQLITE_DONE ? STATUS_NOT_FOUND : sqlite_status(result);
}

int sqlite_latest_us(struct ledger *base, int64_t *ret_latest_us) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    if (ledger->broken) {
        return STATUS_AMBIGUOUS;
    }
    sqlite3_stmt *statement = ledger->statements[SQL_LATEST_READ];
    int result = sqlite3_step(statement);
    int status = result == SQLITE_ROW
                     ? sqlite_integer_decode(statement, 0, TIME_US_MIN, TIME_US_MAX, ret_latest_us)
                     : without_row(result);
    sqlite3_reset(statement);
    return status;
}

int sqlite_creation_read(struct ledger *base, const struct creation_key *key,
                         uint64_t *ret_coupon_id) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    if (ledger->broken) {
        return STATUS_AMBIGUOUS;
    }
    sqlite3_stmt *statement = ledger->statements[SQL_CREATION_READ];
    sqlite_bind_text(statement, 1, key->key);
    int result = sqlite3_step(statement);
    int64_t id = 0;
    int status = without_row(result);
    if (result == SQLITE_ROW) {
        status = sqlite_integer_decode(statement, 0, 1, JSON_INTEGER_MAX, &id);
        const void *digest = sqlite3_column_blob(statement, 1);
        bool whole = digest && sqlite3_column_bytes(statement, 1) == sizeof(key->request_digest);
        if (status == STATUS_OK && !whole) {
            status = STATUS_DAMAGED;
        } else if (status == STATUS_OK &&
                   memcmp(digest, key->request_digest, sizeof(key->request_digest)) != 0) {
            status = STATUS_CONFLICT;
        }
    }
    sqlite3_reset(statement);
    if (status == STATUS_OK) {
        *ret_coupon_id = (uint64_t)id;
    }
    return status;
}

int sqlite_coupon_read(struct ledger *base, uint64_t coupon_id, struct coupon_record *ret_coupon) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    if (ledger->broken) {
        return STATUS_AMBIGUOUS;
    }
    if (coupon_id > JSON_INTEGER_MAX) {
        return STATUS_NOT_FOUND;
    }
    sqlite3_stmt *statement = ledger->statements[SQL_COUPON_READ];
    sqlite_bind_integer(statement, 1, (int64_t)coupon_id);
    int result = sqlite3_step(statement);
    int status =
        result == SQLITE_ROW ? sqlite_coupon_decode(statement, ret_coupon) : without_row(result);
    sqlite3_reset(statement);
    return status;
}

int sqlite_coupons_read(struct ledger *base, uint64_t after_id, size_t limit,
                        struct coupon_record *ret_coupons, size_t *ret_count) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    if (ledger->broken) {
        return STATUS_AMBIGUOUS;
    }
    sqlite3_stmt *statement = ledger->statements[SQL_COUPONS_READ];
    sqlite_bind_integer(statement, 1,
                        after_id < JSON_INTEGER_MAX ? (int64_t)after_id : JSON_INTEGER_MAX);
    sqlite_bind_integer(statement, 2, (int64_t)limit);
    size_t count = 0;
    int status = STATUS_OK;
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW && status == STATUS_OK) {
        assert(count < limit);
        status = sqlite_coupon_decode(statement, &ret_coupons[count++]);
    }
    sqlite3_reset(statement);
    status = status < 0 ? status : sqlite_status(result);
    if (status == STATUS_OK) {
        *ret_count = count;
    }
    return status;
}

int sqlite_issue_read(struct ledger *base, struct issue_reference reference,
                      struct issue_record *ret_issue) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    if (ledger->broken) {
        return STATUS_AMBIGUOUS;
    }
    if (reference.coupon_id > JSON_INTEGER_MAX) {
        return STATUS_NOT_FOUND;
    }
    sqlite3_stmt *statement = ledger->statements[SQL_ISSUE_READ];
    sqlite_bind_integer(statement, 1, (int64_t)reference.coupon_id);
    sqlite_bind_integer(statement, 2, reference.rank);
    int result = sqlite3_step(statement);
    int status = result == SQLITE_ROW ? issue_copy(statement, reference.coupon_id, ret_issue)
                                      : without_row(result);
    sqlite3_reset(statement);
    return status;
}

int sqlite_issues_read(struct ledger *base, struct issue_reference after, size_t limit,
                       struct issue_record *ret_issues, size_t *ret_count) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    if (ledger->broken) {
        return STATUS_AMBIGUOUS;
    }
    if (after.coupon_id > JSON_INTEGER_MAX) {
        *ret_count = 0;
        return STATUS_OK;
    }
    sqlite3_stmt *statement = ledger->statements[SQL_ISSUES_READ];
    sqlite_bind_integer(statement, 1, (int64_t)after.coupon_id);
    sqlite_bind_integer(statement, 2, after.rank);
    sqlite_bind_integer(statement, 3, (int64_t)limit);
    size_t count = 0;
    int status = STATUS_OK;
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW && status == STATUS_OK) {
        assert(count < limit);
        status = issue_copy(statement, after.coupon_id, &ret_issues[count++]);
    }
    sqlite3_reset(statement);
    status = status < 0 ? status : sqlite_status(result);
    if (status == STATUS_OK) {
        *ret_count = count;
    }
    return status;
}

int sqlite_audits_read(struct ledger *base, uint64_t after_id, size_t limit,
                       struct audit_record *ret_audits, size_t *ret_count) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    if (ledger->broken) {
        return STATUS_AMBIGUOUS;
    }
    sqlite3_stmt *statement = ledger->statements[SQL_AUDITS_READ];
    sqlite_bind_integer(statement, 1, after_id < INT64_MAX ? (int64_t)after_id : INT64_MAX);
    sqlite_bind_integer(statement, 2, (int64_t)limit);
    size_t count = 0;
    int status = STATUS_OK;
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW && status == STATUS_OK) {
        assert(count < limit);
        status = audit_decode(statement, &ret_audits[count++]);
    }
    sqlite3_reset(statement);
    status = status < 0 ? status : sqlite_status(result);
    if (status == STATUS_OK) {
        *ret_count = count;
    }
    return status;
}

/* ---- checking the file ---- */

#define ROW_OF_NO_COUPON(table)                                                                    \
    "(SELECT 'a row of " table " is of no coupon' FROM " table                                     \
    "  WHERE coupon_id NOT IN (SELECT id FROM coupons) LIMIT 1),"

/* On a file that is only read SQLite leaves the CHECKs out of what it looks at (3.40, when it
 * parses the schema). Of most columns every reader asks the same; this is the rest. Rows of no
 * coupon are met by no reader: those of issues and imports are told by ledger_visit. */
static const char unread_rows[] =
    "SELECT coalesce("
    "(SELECT 'a row of audits is not as it must be' FROM audits WHERE NOT ("
    "  length(CAST(admin AS BLOB)) BETWEEN 1 AND 64"
    "  AND action IN ('coupon-created', 'coupon-changed', 'coupon-archived', 'issues-imported')"
    "  AND version BETWEEN 1 AND 4294967295"
    "  AND changed_at BETWEEN -62135596800000000 AND 253402300799999999"
    "  AND (request IS NULL OR length(CAST(request AS BLOB)) BETWEEN 1 AND 4096)) LIMIT 1),"
    "(SELECT 'a row of coupon_creations is not as it must be' FROM coupon_creations"
    "  WHERE NOT (length(request_key) BETWEEN 1 AND 128 AND length(request_digest) = 32"
    "  AND date_created BETWEEN -62135596800000000 AND 253402300799999999) LIMIT 1),"
    "(SELECT 'a row of coupons is not as it must be' FROM coupons"
    "  WHERE NOT (length(coupon_type) BETWEEN 1 AND 64"
    "  AND (metadata IS NULL OR length(CAST(metadata AS BLOB)) BETWEEN 1 AND 2048)) LIMIT "
    "1)," ROW_OF_NO_COUPON("coupon_revisions") ROW_OF_NO_COUPON("coupon_creations")
        ROW_OF_NO_COUPON("audits") "'ok')";

/* The first row of what `text` asks says "ok", or what is damaged. */
static int check_with(struct sqlite_ledger *ledger, const char *text, struct complaint *complaint) {
    sqlite3_stmt *statement = NULL;
    uint64_t reads_failed = ledger->vfs.reads_failed;
    int result = sqlite3_prepare_v2(ledger->db, text, -1, &statement, NULL);
    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
    }
    int status = STATUS_OK;
    if (result != SQLITE_ROW) {
        status = sqlite_fail(ledger, result, "check", complaint);
    } else {
        const char *answer = (const char *)sqlite3_column_text(statement, 0);
        if (!answer) {
            status = complain(complaint, STATUS_NO_MEMORY, "no memory to check the ledger");
        } else if (ledger->vfs.reads_failed > reads_failed) {
            /* It lists a page that cannot be read among the damaged ones. */
            status = sqlite_fail(ledger, SQLITE_IOERR_READ, "check", complaint);
        } else if (strcmp(answer, "ok") != 0) {
            status = complain(complaint, STATUS_DAMAGED,
                              "%s/" DATABASE_NAME " is damaged: %s; put a backup back",
                              ledger->folder.directory, answer);
        }
    }
    sqlite3_finalize(statement);
    return status;
}

int sqlite_check(struct ledger *base, struct complaint *complaint) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    if (ledger->broken) {
        return sqlite_refuse(complaint);
    }
    int status = check_with(ledger, "PRAGMA quick_check(1)", complaint);
    return status == STATUS_OK ? check_with(ledger, unread_rows, complaint) : status;
}
