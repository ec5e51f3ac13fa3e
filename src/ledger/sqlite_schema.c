/* The tables of the SQLite ledger, how an older file is brought up to them, and the text of
 * every statement that is kept prepared. For sqlite_open.c.
 *
 * A step of sqlite_migrations, once released, is never edited: a change is a new step. */
#include "ledger/sqlite_ledger.h"

#include <stdio.h>

/* The bounds in the tables; sqlite_read.c checks them again on the way out. */
static_assert(JSON_INTEGER_MAX == INT64_C(9007199254740991), "ids and amounts");
static_assert(COUPON_QUANTITY_MAX == INT64_C(4000000000), "total_quantity");
static_assert(TIME_US_MIN == INT64_C(-62135596800000000), "dates");
static_assert(TIME_US_MAX == INT64_C(253402300799999999), "dates");
static_assert(COUPON_TITLE_MAX == 256 && COUPON_METADATA_MAX == 2048, "texts");
static_assert(REQUEST_KEY_MAX == 128, "texts");

/* ---- tables, laid out as the `.schema` of the sqlite3 shell shows them ---- */

/* clang-format off */

/* `issued_quantity <= total_quantity` is what makes over-issue impossible (I1): the count is
 * raised in the transaction that adds the rows. */
static const char coupons_table[] =
    "CREATE TABLE coupons (\n"
    "  id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 9007199254740991),\n"
    "  title TEXT NOT NULL CHECK (length(CAST(title AS BLOB)) <= 256),\n"
    "  coupon_type TEXT NOT NULL CHECK (length(coupon_type) BETWEEN 1 AND 64),\n"
    "  total_quantity INTEGER CHECK (total_quantity BETWEEN 0 AND 4000000000),\n"
    "  issued_quantity INTEGER NOT NULL CHECK (issued_quantity BETWEEN 0 AND 4294967295),\n"
    "  discount_amount INTEGER NOT NULL\n"
    "    CHECK (discount_amount BETWEEN 0 AND 9007199254740991),\n"
    "  min_available_amount INTEGER NOT NULL\n"
    "    CHECK (min_available_amount BETWEEN 0 AND 9007199254740991),\n"
    "  date_issue_start INTEGER NOT NULL\n"
    "    CHECK (date_issue_start BETWEEN -62135596800000000 AND 253402300799999999),\n"
    "  date_issue_end INTEGER NOT NULL\n"
    "    CHECK (date_issue_end BETWEEN -62135596800000000 AND 253402300799999999),\n"
    "  paused INTEGER NOT NULL CHECK (paused IN (0, 1)),\n"
    "  metadata TEXT CHECK (length(CAST(metadata AS BLOB)) BETWEEN 1 AND 2048),\n"
    "  version INTEGER NOT NULL CHECK (version BETWEEN 1 AND 4294967295),\n"
    "  date_created INTEGER NOT NULL\n"
    "    CHECK (date_created BETWEEN -62135596800000000 AND 253402300799999999),\n"
    "  date_updated INTEGER NOT NULL\n"
    "    CHECK (date_updated BETWEEN -62135596800000000 AND 253402300799999999),\n"
    "  date_archived INTEGER\n"
    "    CHECK (date_archived BETWEEN -62135596800000000 AND 253402300799999999),\n"
    "  CHECK (total_quantity IS NULL OR issued_quantity <= total_quantity),\n"
    "  CHECK (date_issue_start < date_issue_end)\n"
    ") STRICT";

static const char revisions_table[] =
    "CREATE TABLE coupon_revisions (\n"
    "  coupon_id INTEGER NOT NULL REFERENCES coupons (id),\n"
    "  version INTEGER NOT NULL CHECK (version BETWEEN 1 AND 4294967295),\n"
    "  changed_at INTEGER NOT NULL\n"
    "    CHECK (changed_at BETWEEN -62135596800000000 AND 253402300799999999),\n"
    "  total_quantity INTEGER CHECK (total_quantity BETWEEN 0 AND 4000000000),\n"
    "  date_issue_start INTEGER NOT NULL\n"
    "    CHECK (date_issue_start BETWEEN -62135596800000000 AND 253402300799999999),\n"
    "  date_issue_end INTEGER NOT NULL\n"
    "    CHECK (date_issue_end BETWEEN -62135596800000000 AND 253402300799999999),\n"
    "  paused INTEGER NOT NULL CHECK (paused IN (0, 1)),\n"
    "  archived INTEGER NOT NULL CHECK (archived IN (0, 1)),\n"
    "  first_rank INTEGER NOT NULL CHECK (first_rank BETWEEN 1 AND 4294967296),\n"
    "  PRIMARY KEY (coupon_id, version)\n"
    ") STRICT, WITHOUT ROWID";

/* Clustered by (coupon_id, rank_no): appends go to a coupon's right edge, and its record is
 * read in order. That a user holds one issue only (I2) is checked in memory, see the design.
 * No CHECKs: they took a fifth of the time of an append. ledger_rows_check and
 * sqlite_issue_decode ask the same of every row. */
static const char issues_table[] =
    "CREATE TABLE coupon_issues (\n"
    "  coupon_id INTEGER NOT NULL REFERENCES coupons (id),\n"
    "  rank_no INTEGER NOT NULL,\n"
    "  user_id TEXT NOT NULL COLLATE BINARY,\n"
    "  claim_id TEXT,\n"
    "  request_key TEXT COLLATE BINARY,\n"
    "  date_issued INTEGER NOT NULL,\n"
    "  PRIMARY KEY (coupon_id, rank_no)\n"
    ") STRICT, WITHOUT ROWID";

static const char creations_table[] =
    "CREATE TABLE coupon_creations (\n"
    "  request_key TEXT NOT NULL COLLATE BINARY PRIMARY KEY\n"
    "    CHECK (length(request_key) BETWEEN 1 AND 128),\n"
    "  coupon_id INTEGER NOT NULL REFERENCES coupons (id),\n"
    "  request_digest BLOB NOT NULL CHECK (length(request_digest) = 32),\n"
    "  date_created INTEGER NOT NULL\n"
    "    CHECK (date_created BETWEEN -62135596800000000 AND 253402300799999999)\n"
    ") STRICT, WITHOUT ROWID";

/* One row that means nothing: raising its count tells whether writing works. */
static const char probes_table[] =
    "CREATE TABLE probes (\n"
    "  id INTEGER PRIMARY KEY CHECK (id = 1),\n"
    "  count INTEGER NOT NULL\n"
    ") STRICT";
/* Who changed what: written in the transaction of the change. Rows are never changed; the
 * id is the order. */
static const char audits_table[] =
    "CREATE TABLE audits (\n"
    "  id INTEGER PRIMARY KEY,\n"
    "  changed_at INTEGER NOT NULL\n"
    "    CHECK (changed_at BETWEEN -62135596800000000 AND 253402300799999999),\n"
    "  admin TEXT NOT NULL CHECK (length(CAST(admin AS BLOB)) BETWEEN 1 AND 64),\n"
    "  action TEXT NOT NULL CHECK (action IN ('coupon-created', 'coupon-changed',\n"
    "    'coupon-archived', 'issues-imported')),\n"
    "  coupon_id INTEGER NOT NULL REFERENCES coupons (id),\n"
    "  version INTEGER NOT NULL CHECK (version BETWEEN 1 AND 4294967295),\n"
    "  request TEXT CHECK (length(CAST(request AS BLOB)) BETWEEN 1 AND 4096)\n"
    ") STRICT";

/* Which ranks were imported, so that verify can tell them from claims. */
static const char imports_table[] =
    "CREATE TABLE coupon_imports (\n"
    "  coupon_id INTEGER NOT NULL REFERENCES coupons (id),\n"
    "  first_rank INTEGER NOT NULL CHECK (first_rank BETWEEN 1 AND 4294967295),\n"
    "  last_rank INTEGER NOT NULL CHECK (last_rank BETWEEN first_rank AND 4294967295),\n"
    "  date_imported INTEGER NOT NULL\n"
    "    CHECK (date_imported BETWEEN -62135596800000000 AND 253402300799999999),\n"
    "  PRIMARY KEY (coupon_id, first_rank)\n"
    ") STRICT, WITHOUT ROWID";
/* clang-format on */

static const char *const migration_1[] = {
    "PRAGMA application_id = 1131378032", /* SQLITE_LEDGER_APPLICATION_ID */
    coupons_table,
    revisions_table,
    issues_table,
    creations_table,
    probes_table,
    "INSERT INTO probes (id, count) VALUES (1, 0)",
    NULL,
};
static_assert(SQLITE_LEDGER_APPLICATION_ID == 1131378032, "as in migration_1");

static const char *const migration_2[] = {
    audits_table,
    imports_table,
    NULL,
};

const sqlite_migration sqlite_migrations[] = {migration_1, migration_2};
static_assert(COUNT_OF(sqlite_migrations) == SQLITE_LEDGER_VERSION, "one step a version");

/* ---- migrating ---- */

static int version_read(struct sqlite_ledger *ledger, uint32_t *ret_version) {
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(ledger->db, "PRAGMA user_version", -1, &statement, NULL);
    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
    }
    if (result == SQLITE_ROW) {
        *ret_version = (uint32_t)sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return result == SQLITE_ROW ? SQLITE_OK : result;
}

/* The file says version `from` until the COMMIT, `from` + 1 after it. */
static int migrate_one(struct sqlite_ledger *ledger, sqlite_migration migration, uint32_t from,
                       struct complaint *complaint) {
    char raise_version[48];
    snprintf(raise_version, sizeof(raise_version), "PRAGMA user_version = %u", from + 1);
    int result = sqlite3_exec(ledger->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    for (size_t i = 0; result == SQLITE_OK && migration[i]; i++) {
        result = sqlite3_exec(ledger->db, migration[i], NULL, NULL, NULL);
    }
    if (result == SQLITE_OK) {
        result = sqlite3_exec(ledger->db, raise_version, NULL, NULL, NULL);
    }
    if (result == SQLITE_OK) {
        result = sqlite3_exec(ledger->db, "COMMIT", NULL, NULL, NULL);
    }
    if (result != SQLITE_OK) {
        /* Known or not: the file is closed now and read again by the next open, which finds
         * either version whole. */
        int status = sqlite_fail(ledger, result, "bring up to date", complaint);
        if (!sqlite3_get_autocommit(ledger->db)) {
            (void)sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
        }
        return status;
    }
    return STATUS_OK;
}

int sqlite_migrate(struct sqlite_ledger *ledger, const sqlite_migration *migrations, uint32_t count,
                   struct complaint *complaint) {
    uint32_t version = 0;
    int result = version_read(ledger, &version);
    if (result != SQLITE_OK) {
        return sqlite_fail(ledger, result, "read the version of", complaint);
    }
    assert(version <= count);
    int status = STATUS_OK;
    for (; status == STATUS_OK && version < count; version++) {
        status = migrate_one(ledger, migrations[version], version, complaint);
    }
    return status;
}

/* ---- statements ---- */

/* A creation and a change bind the same parameters to 1-10.
 *
 * The rows of an append are one statement. OR ROLLBACK, as a row that fails ends the whole
 * transaction anyway, and the default, ABORT, would keep a journal of the statement's own. */
/* clang-format off */
static const char *const statement_texts[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_ISSUES_INSERT] =
        "INSERT OR ROLLBACK INTO coupon_issues"
        " (coupon_id, rank_no, user_id, claim_id, request_key, date_issued)"
        " SELECT coupon_id, rank_no, user_id, NULL, request_key, date_issued FROM issue_rows",
    [SQL_ISSUED_UPDATE] =
        "UPDATE coupons SET issued_quantity = ?2 WHERE id = ?1 AND issued_quantity < ?2",
    [SQL_ID_LAST] = "SELECT coalesce(max(id), 0) FROM coupons",
    [SQL_COUPON_INSERT] =
        "INSERT INTO coupons"
        " (id, title, coupon_type, total_quantity, issued_quantity, discount_amount,"
        "  min_available_amount, date_issue_start, date_issue_end, paused, metadata, version,"
        "  date_created, date_updated, date_archived)"
        " VALUES"
        " (?1, ?2, 'FIRST_COME_FIRST_SERVED', ?3, 0, ?4,"
        "  ?5, ?6, ?7, ?8, ?9, 1,"
        "  ?11, ?10, NULL)",
    [SQL_COUPON_UPDATE] =
        "UPDATE coupons"
        " SET title = ?2, total_quantity = ?3, discount_amount = ?4, min_available_amount = ?5,"
        "  date_issue_start = ?6, date_issue_end = ?7, paused = ?8, metadata = ?9,"
        "  date_updated = ?10, version = ?11, date_archived = ?12"
        " WHERE id = ?1 AND version = ?11 - 1",
    [SQL_REVISION_INSERT] =
        "INSERT INTO coupon_revisions"
        " (coupon_id, version, changed_at, total_quantity, date_issue_start, date_issue_end,"
        "  paused, archived, first_rank)"
        " SELECT id, version, date_updated, total_quantity, date_issue_start, date_issue_end,"
        "  paused, date_archived IS NOT NULL, issued_quantity + 1"
        " FROM coupons WHERE id = ?1",
    [SQL_CREATION_INSERT] =
        "INSERT INTO coupon_creations (request_key, coupon_id, request_digest, date_created)"
        " VALUES (?1, ?2, ?3, ?4)",
    [SQL_AUDIT_INSERT] =
        "INSERT INTO audits (changed_at, admin, action, coupon_id, version, request)"
        " SELECT ?4, ?2, ?3, id, version, ?5 FROM coupons WHERE id = ?1",
    [SQL_IMPORT_INSERT] =
        "INSERT INTO coupon_imports (coupon_id, first_rank, last_rank, date_imported)"
        " VALUES (?1, ?2, ?3, ?4)",
    [SQL_PROBE_UPDATE] = "UPDATE probes SET count = count + 1 WHERE id = 1",
    /* Dates never decrease with rank (I5), so a coupon's last issue is its latest. */
    [SQL_LATEST_READ] =
        "SELECT max("
        " (SELECT coalesce(max(max(date_created, date_updated, coalesce(date_archived, 0))), 0)"
        "  FROM coupons),"
        " (SELECT coalesce(max(changed_at), 0) FROM coupon_revisions),"
        " (SELECT coalesce(max((SELECT date_issued FROM coupon_issues"
        "   WHERE coupon_id = coupons.id ORDER BY rank_no DESC LIMIT 1)), 0) FROM coupons))",
    [SQL_CREATION_READ] =
        "SELECT coupon_id, request_digest FROM coupon_creations WHERE request_key = ?1",
    [SQL_COUPON_READ] = "SELECT " COUPON_COLUMNS " FROM coupons WHERE id = ?1",
    [SQL_COUPONS_READ] =
        "SELECT " COUPON_COLUMNS " FROM coupons WHERE id > ?1 ORDER BY id LIMIT ?2",
    [SQL_ISSUE_READ] =
        "SELECT " ISSUE_COLUMNS " FROM coupon_issues WHERE coupon_id = ?1 AND rank_no = ?2",
    [SQL_ISSUES_READ] =
        "SELECT " ISSUE_COLUMNS " FROM coupon_issues"
        " WHERE coupon_id = ?1 AND rank_no > ?2 ORDER BY rank_no LIMIT ?3",
    [SQL_AUDITS_READ] =
        "SELECT id, changed_at, admin, action, coupon_id, version, request"
        " FROM audits WHERE id > ?1 ORDER BY id LIMIT ?2",
    [SQL_VISIT_TOTAL] =
        "SELECT coalesce(sum(issued_quantity), 0) FROM coupons"
        " WHERE ?1 OR date_archived IS NULL",
    [SQL_VISIT_COUPONS] =
        "SELECT " COUPON_COLUMNS " FROM coupons"
        " WHERE ?1 OR date_archived IS NULL ORDER BY id",
    [SQL_VISIT_REVISIONS] =
        "SELECT version, changed_at, total_quantity, date_issue_start, date_issue_end, paused,"
        "  archived, first_rank"
        " FROM coupon_revisions WHERE coupon_id = ?1 ORDER BY version",
    [SQL_VISIT_IMPORTS] =
        "SELECT first_rank, last_rank, date_imported"
        " FROM coupon_imports WHERE coupon_id = ?1 ORDER BY first_rank",
    [SQL_VISIT_ISSUES] =
        "SELECT " ISSUE_COLUMNS " FROM coupon_issues WHERE coupon_id = ?1 ORDER BY rank_no",
    /* The next coupon that has issues or imports: steps down the trees, not scans. */
    [SQL_VISIT_HOLDERS] =
        "SELECT holder, EXISTS (SELECT 1 FROM coupons WHERE id = holder)"
        " FROM (SELECT (SELECT coupon_id FROM coupon_issues WHERE coupon_id >= ?1"
        "               ORDER BY coupon_id LIMIT 1) AS holder"
        "  UNION ALL SELECT (SELECT coupon_id FROM coupon_imports WHERE coupon_id >= ?1"
        "                    ORDER BY coupon_id LIMIT 1))"
        " WHERE holder IS NOT NULL ORDER BY holder LIMIT 1",
};
/* clang-format on */

int sqlite_statements_prepare(struct sqlite_ledger *ledger, struct complaint *complaint) {
    for (size_t i = 0; i < SQL_COUNT; i++) {
        assert(statement_texts[i] && !ledger->statements[i]);
        int result = sqlite3_prepare_v3(ledger->db, statement_texts[i], -1,
                                        SQLITE_PREPARE_PERSISTENT, &ledger->statements[i], NULL);
        if (result != SQLITE_OK) {
            return sqlite_fail(ledger, result, "use the tables of", complaint);
        }
    }
    return STATUS_OK;
}

void sqlite_statements_finalize(struct sqlite_ledger *ledger) {
    for (size_t i = 0; i < SQL_COUNT; i++) {
        sqlite3_finalize(ledger->statements[i]);
        ledger->statements[i] = NULL;
    }
}
