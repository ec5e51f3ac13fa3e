/* The tables of the PostgreSQL ledger, how older ones are brought up to date, and the text of
 * every statement that is kept prepared. For postgres_connection.c.
 *
 * A migration, once released, is never edited: a change is a new one. All that are missing are
 * one transaction, under an advisory lock that other nodes wait for.
 *
 * Times are microseconds in a bigint, not timestamptz, which could tell them as exactly: the
 * record then has the same numbers in every store, and no session's time zone or date style is
 * between it and its reader. Users, request keys and claim ids have COLLATE "C": compared byte by
 * byte, whatever the database's locale is and becomes. */
#include "ledger/postgres_ledger.h"

#include <stdio.h>
#include <stdlib.h>

/* The bounds in the tables; postgres_values.c checks them again on the way out. */
static_assert(JSON_INTEGER_MAX == INT64_C(9007199254740991), "ids and amounts");
static_assert(COUPON_QUANTITY_MAX == INT64_C(4000000000), "total_quantity");
static_assert(TIME_US_MIN == INT64_C(-62135596800000000), "dates");
static_assert(TIME_US_MAX == INT64_C(253402300799999999), "dates");
static_assert(COUPON_TITLE_MAX == 256 && COUPON_METADATA_MAX == 2048, "texts");
static_assert(USER_ID_MAX == 128 && REQUEST_KEY_MAX == 128, "texts");
static_assert(ADMIN_NAME_MAX == 64 && AUDIT_REQUEST_MAX == 4096, "texts");
static_assert(POSTGRES_PARTITIONS == 64, "partitions");

/* How long another node may take to make the tables. */
#define MIGRATION_WAIT_US (60 * US_PER_SECOND)

/* ---- tables ---- */

#define TIME_CHECK(column) "CHECK (" column " BETWEEN -62135596800000000 AND 253402300799999999)"

/* clang-format off */

/* One row. The version is raised with each migration; the row is also what an operator's
 * change locks, so that changes, and the ids they take, are one after the other. */
static const char version_table[] =
    "CREATE TABLE ledger_version ("
    " id bigint PRIMARY KEY CHECK (id = 1),"
    " version bigint NOT NULL"
    ") WITH (fillfactor = 50)";

/* `issued_quantity <= total_quantity` is what makes over-issue impossible (I1): the count is
 * raised in the transaction that adds the rows. Pages are left half empty, so that the new
 * version of a row, one a batch, finds room beside the old one and no index is touched. */
static const char coupons_table[] =
    "CREATE TABLE coupons ("
    " id bigint CONSTRAINT coupons_pkey PRIMARY KEY CHECK (id BETWEEN 1 AND 9007199254740991),"
    " title text NOT NULL CHECK (octet_length(title) <= 256),"
    " coupon_type text NOT NULL CHECK (octet_length(coupon_type) BETWEEN 1 AND 64),"
    " total_quantity bigint CHECK (total_quantity BETWEEN 0 AND 4000000000),"
    " issued_quantity bigint NOT NULL CHECK (issued_quantity BETWEEN 0 AND 4294967295),"
    " discount_amount bigint NOT NULL CHECK (discount_amount BETWEEN 0 AND 9007199254740991),"
    " min_available_amount bigint NOT NULL"
    "  CHECK (min_available_amount BETWEEN 0 AND 9007199254740991),"
    " date_issue_start bigint NOT NULL " TIME_CHECK("date_issue_start") ","
    " date_issue_end bigint NOT NULL " TIME_CHECK("date_issue_end") ","
    " paused boolean NOT NULL,"
    " metadata text CHECK (octet_length(metadata) BETWEEN 1 AND 2048),"
    " version bigint NOT NULL CHECK (version BETWEEN 1 AND 4294967295),"
    " date_created bigint NOT NULL " TIME_CHECK("date_created") ","
    " date_updated bigint NOT NULL " TIME_CHECK("date_updated") ","
    " date_archived bigint " TIME_CHECK("date_archived") ","
    " CONSTRAINT coupons_not_over_issued"
    "  CHECK (total_quantity IS NULL OR issued_quantity <= total_quantity),"
    " CONSTRAINT coupons_period CHECK (date_issue_start < date_issue_end)"
    ") WITH (fillfactor = 50)";

static const char revisions_table[] =
    "CREATE TABLE coupon_revisions ("
    " coupon_id bigint NOT NULL REFERENCES coupons (id),"
    " version bigint NOT NULL CHECK (version BETWEEN 1 AND 4294967295),"
    " changed_at bigint NOT NULL " TIME_CHECK("changed_at") ","
    " total_quantity bigint CHECK (total_quantity BETWEEN 0 AND 4000000000),"
    " date_issue_start bigint NOT NULL " TIME_CHECK("date_issue_start") ","
    " date_issue_end bigint NOT NULL " TIME_CHECK("date_issue_end") ","
    " paused boolean NOT NULL,"
    " archived boolean NOT NULL,"
    " first_rank bigint NOT NULL CHECK (first_rank BETWEEN 1 AND 4294967296),"
    " PRIMARY KEY (coupon_id, version)"
    ")";

/* The two keys are what keeps I4 and I2 where several nodes write. No foreign key, which would
 * look for the coupon once a row, and no CHECKs: ledger_rows_check and postgres_issue_decode ask
 * of every row what they would, and an append raises the count of each coupon it names. */
static const char issues_table[] =
    "CREATE TABLE coupon_issues ("
    " coupon_id bigint NOT NULL,"
    " rank_no bigint NOT NULL,"
    " user_id text COLLATE \"C\" NOT NULL,"
    " claim_id text COLLATE \"C\","
    " request_key text COLLATE \"C\","
    " date_issued bigint NOT NULL,"
    " CONSTRAINT coupon_issues_pkey PRIMARY KEY (coupon_id, rank_no),"
    " CONSTRAINT coupon_issues_user UNIQUE (coupon_id, user_id)"
    ")";

static const char creations_table[] =
    "CREATE TABLE coupon_creations ("
    " request_key text COLLATE \"C\" CONSTRAINT coupon_creations_pkey PRIMARY KEY"
    "  CHECK (octet_length(request_key) BETWEEN 1 AND 128),"
    " coupon_id bigint NOT NULL REFERENCES coupons (id),"
    " request_digest bytea NOT NULL CHECK (octet_length(request_digest) = 32),"
    " date_created bigint NOT NULL " TIME_CHECK("date_created")
    ")";

/* One row that means nothing: raising its count tells whether writing works. */
static const char probes_table[] =
    "CREATE TABLE probes ("
    " id bigint PRIMARY KEY CHECK (id = 1),"
    " count bigint NOT NULL"
    ") WITH (fillfactor = 50)";

/* Who changed what: written in the transaction of the change. Rows are never changed; the id is
 * the order, so it is not a sequence's to give: those leave gaps, and follow the order of
 * beginning. */
static const char audits_table[] =
    "CREATE TABLE audits ("
    " id bigint PRIMARY KEY CHECK (id >= 1),"
    " changed_at bigint NOT NULL " TIME_CHECK("changed_at") ","
    " admin text NOT NULL CHECK (octet_length(admin) BETWEEN 1 AND 64),"
    " action text NOT NULL CHECK (action IN ('coupon-created', 'coupon-changed',"
    "  'coupon-archived', 'issues-imported')),"
    " coupon_id bigint NOT NULL REFERENCES coupons (id),"
    " version bigint NOT NULL CHECK (version BETWEEN 1 AND 4294967295),"
    " request text CHECK (octet_length(request) BETWEEN 1 AND 4096)"
    ")";

/* Which ranks were imported, so that verify can tell them from claims. */
static const char imports_table[] =
    "CREATE TABLE coupon_imports ("
    " coupon_id bigint NOT NULL REFERENCES coupons (id),"
    " first_rank bigint NOT NULL CHECK (first_rank BETWEEN 1 AND 4294967295),"
    " last_rank bigint NOT NULL CHECK (last_rank <= 4294967295),"
    " date_imported bigint NOT NULL " TIME_CHECK("date_imported") ","
    " PRIMARY KEY (coupon_id, first_rank),"
    " CONSTRAINT coupon_imports_ranks CHECK (first_rank <= last_rank)"
    ")";

/* How far the queue of each partition is settled; a coupon's is its id modulo 64. */
static const char partitions_table[] =
    "CREATE TABLE partitions ("
    " p bigint PRIMARY KEY CHECK (p BETWEEN 0 AND 63),"
    " epoch bigint NOT NULL CHECK (epoch >= 0),"
    " n bigint NOT NULL CHECK (n >= 0),"
    " last_id text COLLATE \"C\" NOT NULL,"
    " last_ms bigint NOT NULL CHECK (last_ms >= 0)"
    ") WITH (fillfactor = 50)";

static const char rejects_table[] =
    "CREATE TABLE coupon_rejects ("
    " p bigint NOT NULL REFERENCES partitions (p),"
    " epoch bigint NOT NULL CHECK (epoch >= 0),"
    " n bigint NOT NULL CHECK (n >= 1),"
    " idx bigint NOT NULL CHECK (idx >= 0),"
    " claim_id text COLLATE \"C\","
    " coupon_id bigint,"
    " user_id text COLLATE \"C\","
    " reason text NOT NULL CHECK (octet_length(reason) BETWEEN 1 AND 64),"
    " raw bytea,"
    " PRIMARY KEY (p, epoch, n, idx)"
    ")";
/* clang-format on */

static const char *const migration_1[] = {
    version_table,
    coupons_table,
    revisions_table,
    issues_table,
    creations_table,
    probes_table,
    audits_table,
    imports_table,
    partitions_table,
    rejects_table,
    "INSERT INTO ledger_version (id, version) VALUES (1, 0)",
    "INSERT INTO probes (id, count) VALUES (1, 0)",
    "INSERT INTO partitions (p, epoch, n, last_id, last_ms)"
    " SELECT p, 0, 0, '', 0 FROM generate_series(0, 63) AS p",
    NULL,
};

/* One step from version i to i + 1 is a list of SQL texts that ends with NULL. */
static const char *const *const migrations[] = {migration_1};
static_assert(COUNT_OF(migrations) == POSTGRES_LEDGER_VERSION, "one step a version");

/* ---- migrating ---- */

/* By a query on the catalog, as to_regclass would believe what this session remembers: that there
 * was no such table before it waited for the lock. */
static const char version_table_text[] =
    "SELECT 1 FROM pg_tables"
    " WHERE tablename = 'ledger_version' AND schemaname = ANY (current_schemas(false))";

/* 0: nothing is there. */
static int version_read(struct postgres_ledger *ledger, uint32_t *ret_version,
                        struct complaint *complaint) {
    PGresult *result;
    int status = postgres_run_text(ledger, version_table_text, &result);
    if (status < 0) {
        return postgres_fail(ledger, status, "look for the tables of", complaint);
    }
    bool absent = PQntuples(result) == 0;
    PQclear(result);
    if (absent) {
        *ret_version = 0;
        return STATUS_OK;
    }
    status = postgres_run_text(ledger, "SELECT version::bigint FROM ledger_version WHERE id = 1",
                               &result);
    if (status < 0) {
        return postgres_fail(ledger, status, "read the version of", complaint);
    }
    unsigned long version =
        PQntuples(result) == 1 ? strtoul(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    PQclear(result);
    if (version < 1 || version > UINT32_MAX) {
        return complain(complaint, STATUS_DAMAGED, "%s does not tell its version", ledger->name);
    }
    *ret_version = (uint32_t)version;
    return STATUS_OK;
}

static int migrate_texts(struct postgres_ledger *ledger, uint32_t from,
                         struct complaint *complaint) {
    for (uint32_t version = from; version < POSTGRES_LEDGER_VERSION; version++) {
        for (const char *const *text = migrations[version]; *text; text++) {
            int status = postgres_run_text(ledger, *text, NULL);
            if (status < 0) {
                return postgres_fail(ledger, status, "make the tables of", complaint);
            }
        }
    }
    char text[64];
    snprintf(text, sizeof(text), "UPDATE ledger_version SET version = %d", POSTGRES_LEDGER_VERSION);
    int status = postgres_run_text(ledger, text, NULL);
    return status < 0 ? postgres_fail(ledger, status, "raise the version of", complaint)
                      : STATUS_OK;
}

/* Within the transaction. Another node may have been first. */
static int migrate_locked(struct postgres_ledger *ledger, struct complaint *complaint) {
    char text[160];
    snprintf(text, sizeof(text),
             "SET LOCAL lock_timeout = %lld; SET LOCAL statement_timeout = %lld;"
             "SELECT pg_advisory_xact_lock(" POSTGRES_LOCK_MIGRATE ")",
             (long long)(MIGRATION_WAIT_US / 1000), (long long)(MIGRATION_WAIT_US / 1000));
    int status = postgres_run_text(ledger, text, NULL);
    if (status < 0) {
        return postgres_fail(ledger, status, "wait for the migration of", complaint);
    }
    uint32_t version = 0;
    status = version_read(ledger, &version, complaint);
    if (status == STATUS_OK && version < POSTGRES_LEDGER_VERSION) {
        status = migrate_texts(ledger, version, complaint);
    }
    return status;
}

/* A COMMIT without an answer is a failed open here: the next one finds either version whole. */
static int migrate(struct postgres_ledger *ledger, struct complaint *complaint) {
    int64_t patience_us = ledger->patience_us;
    ledger->patience_us += MIGRATION_WAIT_US;
    int status = postgres_run_text(ledger, "BEGIN ISOLATION LEVEL READ COMMITTED", NULL);
    if (status < 0) {
        status = postgres_fail(ledger, status, "begin to migrate", complaint);
    } else {
        status = migrate_locked(ledger, complaint);
    }
    if (status == STATUS_OK) {
        status = postgres_run_text(ledger, "COMMIT", NULL);
        status = status < 0 ? postgres_fail(ledger, status, "migrate", complaint) : STATUS_OK;
    }
    ledger->patience_us = patience_us;
    return status < 0 ? postgres_abort(ledger, status) : STATUS_OK;
}

int postgres_migrate(struct postgres_ledger *ledger, struct complaint *complaint) {
    uint32_t version = 0;
    int status = version_read(ledger, &version, complaint);
    if (status < 0) {
        return status;
    }
    if (version > POSTGRES_LEDGER_VERSION) {
        return complain(complaint, STATUS_NEWER,
                        "a newer coupon began to use %s (schema %u, this program knows %d): run "
                        "that version",
                        ledger->name, version, POSTGRES_LEDGER_VERSION);
    }
    if (version == POSTGRES_LEDGER_VERSION) {
        return STATUS_OK;
    }
    if (!ledger->options.existing_only) {
        return migrate(ledger, complaint);
    }
    return version == 0
               ? complain(complaint, STATUS_NOT_FOUND, "there is no ledger in %s", ledger->name)
               : complain(complaint, STATUS_CONFLICT,
                          "%s is of an older version: start the server on it once", ledger->name);
}

/* ---- statements ---- */

/* No change is dated before what was issued under the terms it ends (I5): another node's clock
 * may have been read a moment earlier. NULL, which greatest() passes over, without issues. */
#define PG_CLOCK_US "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
#define PG_LAST_ISSUED                                                                             \
    "(SELECT date_issued FROM coupon_issues WHERE coupon_id = coupons.id"                          \
    " ORDER BY rank_no DESC LIMIT 1)"

/* A creation and a change take the same values as 1-10.
 *
 * Plain INSERTs everywhere: ON CONFLICT would turn a contradiction into a false success. */
/* clang-format off */
static const char *const statement_texts[PG_COUNT] = {
    [PG_ISSUES_INSERT] =
        "INSERT INTO coupon_issues"
        " (coupon_id, rank_no, user_id, claim_id, request_key, date_issued)"
        " SELECT coupon_id, rank_no, user_id, claim_id, request_key, date_issued"
        " FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[])"
        "  AS issue_rows (coupon_id, rank_no, user_id, claim_id, request_key, date_issued)",
    /* In the order of their ids, so that two batches never wait for each other. */
    [PG_COUPONS_LOCK] =
        "SELECT id FROM coupons WHERE id = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE",
    [PG_ISSUED_UPDATE] =
        "UPDATE coupons SET issued_quantity = counts.issued"
        " FROM unnest($1::bigint[], $2::bigint[]) AS counts (id, issued)"
        " WHERE coupons.id = ANY ($1::bigint[]) AND coupons.id = counts.id"
        "  AND coupons.issued_quantity < counts.issued",
    [PG_CHANGES_LOCK] = "SELECT version FROM ledger_version WHERE id = 1 FOR NO KEY UPDATE",
    [PG_ID_LAST] = "SELECT coalesce(max(id), 0) FROM coupons",
    [PG_COUPON_INSERT] =
        "INSERT INTO coupons"
        " (id, title, coupon_type, total_quantity, issued_quantity, discount_amount,"
        "  min_available_amount, date_issue_start, date_issue_end, paused, metadata, version,"
        "  date_created, date_updated, date_archived)"
        " VALUES"
        " ($1, $2, 'FIRST_COME_FIRST_SERVED', $3, 0, $4,"
        "  $5, $6, $7, $8, $9, 1,"
        "  $11, $10, NULL)",
    [PG_COUPON_UPDATE] =
        "UPDATE coupons"
        " SET title = $2, total_quantity = $3, discount_amount = $4, min_available_amount = $5,"
        "  date_issue_start = $6, date_issue_end = $7, paused = $8, metadata = $9,"
        "  date_updated = greatest($10::bigint, " PG_LAST_ISSUED "),"
        "  version = $11::bigint,"
        "  date_archived = CASE WHEN $12::bigint IS NULL THEN NULL"
        "   ELSE greatest($12::bigint, " PG_LAST_ISSUED ") END"
        " WHERE id = $1 AND version = $11::bigint - 1",
    [PG_REVISION_INSERT] =
        "INSERT INTO coupon_revisions"
        " (coupon_id, version, changed_at, total_quantity, date_issue_start, date_issue_end,"
        "  paused, archived, first_rank)"
        " SELECT id, version, date_updated, total_quantity, date_issue_start, date_issue_end,"
        "  paused, date_archived IS NOT NULL, issued_quantity + 1"
        " FROM coupons WHERE id = $1",
    [PG_CREATION_INSERT] =
        "INSERT INTO coupon_creations (request_key, coupon_id, request_digest, date_created)"
        " VALUES ($1, $2, $3, $4)",
    [PG_AUDIT_INSERT] =
        "INSERT INTO audits (id, changed_at, admin, action, coupon_id, version, request)"
        " SELECT (SELECT coalesce(max(id), 0) + 1 FROM audits), $4::bigint, $2::text, $3::text,"
        "  id, version, $5::text"
        " FROM coupons WHERE id = $1",
    [PG_IMPORT_INSERT] =
        "INSERT INTO coupon_imports (coupon_id, first_rank, last_rank, date_imported)"
        " VALUES ($1, $2, $3, $4)",
    [PG_PROBE_UPDATE] = "UPDATE probes SET count = count + 1 WHERE id = 1",
    /* Dates never decrease with rank (I5), so a coupon's last issue is its latest. */
    [PG_LATEST_READ] =
        "SELECT greatest("
        " (SELECT coalesce(max(greatest(date_created, date_updated, date_archived, 0)), 0)"
        "  FROM coupons),"
        " (SELECT coalesce(max(changed_at), 0) FROM coupon_revisions),"
        " (SELECT coalesce(max((SELECT date_issued FROM coupon_issues"
        "   WHERE coupon_id = coupons.id ORDER BY rank_no DESC LIMIT 1)), 0) FROM coupons))",
    [PG_CREATION_READ] =
        "SELECT coupon_id, request_digest FROM coupon_creations WHERE request_key = $1",
    [PG_COUPON_READ] = "SELECT " PG_COUPON_COLUMNS " FROM coupons WHERE id = $1",
    [PG_COUPONS_READ] =
        "SELECT " PG_COUPON_COLUMNS " FROM coupons WHERE id > $1 ORDER BY id LIMIT $2",
    [PG_ISSUE_READ] =
        "SELECT " PG_ISSUE_COLUMNS " FROM coupon_issues WHERE coupon_id = $1 AND rank_no = $2",
    [PG_ISSUES_READ] =
        "SELECT " PG_ISSUE_COLUMNS " FROM coupon_issues"
        " WHERE coupon_id = $1 AND rank_no > $2 ORDER BY rank_no LIMIT $3",
    [PG_AUDITS_READ] =
        "SELECT id, changed_at, admin, action, coupon_id, version, request"
        " FROM audits WHERE id > $1 ORDER BY id LIMIT $2",
    [PG_VISIT_TOTAL] =
        "SELECT coalesce(sum(issued_quantity), 0)::bigint FROM coupons"
        " WHERE $1::boolean OR date_archived IS NULL",
    [PG_VISIT_COUPONS] =
        "SELECT " PG_COUPON_COLUMNS " FROM coupons"
        " WHERE id > $1 AND ($2::boolean OR date_archived IS NULL) ORDER BY id LIMIT $3",
    [PG_VISIT_REVISIONS] =
        "SELECT version, changed_at, total_quantity, date_issue_start, date_issue_end, paused,"
        "  archived, first_rank"
        " FROM coupon_revisions WHERE coupon_id = $1 AND version > $2 ORDER BY version LIMIT $3",
    [PG_VISIT_IMPORTS] =
        "SELECT first_rank, last_rank, date_imported"
        " FROM coupon_imports WHERE coupon_id = $1 AND first_rank > $2 ORDER BY first_rank"
        " LIMIT $3",
    /* From coupon to coupon that has issues or imports: steps down the trees, not scans. */
    [PG_VISIT_ORPHANS] =
        "WITH RECURSIVE holders (id) AS ("
        " SELECT least((SELECT min(coupon_id) FROM coupon_issues WHERE coupon_id > $1::bigint),"
        "  (SELECT min(coupon_id) FROM coupon_imports WHERE coupon_id > $1::bigint))"
        " UNION ALL"
        " SELECT least((SELECT min(coupon_id) FROM coupon_issues WHERE coupon_id > holders.id),"
        "  (SELECT min(coupon_id) FROM coupon_imports WHERE coupon_id > holders.id))"
        " FROM holders WHERE holders.id IS NOT NULL)"
        " SELECT id FROM holders WHERE id IS NOT NULL"
        "  AND NOT EXISTS (SELECT 1 FROM coupons WHERE coupons.id = holders.id)"
        " ORDER BY id LIMIT $2",
    /* What the promises rest on and is not there: I1, I2 and I4, and that rows outlive a crash. */
    [PG_CHECK] =
        "SELECT 'constraint ' || name"
        " FROM (VALUES ('coupons', 'coupons_pkey'), ('coupons', 'coupons_not_over_issued'),"
        "  ('coupon_issues', 'coupon_issues_pkey'), ('coupon_issues', 'coupon_issues_user'),"
        "  ('coupon_creations', 'coupon_creations_pkey')) AS wanted (owner, name)"
        " WHERE NOT EXISTS (SELECT 1 FROM pg_constraint"
        "  WHERE conname = name AND conrelid = to_regclass(owner) AND convalidated"
        "   AND NOT condeferrable AND NOT EXISTS (SELECT 1 FROM pg_index"
        "    WHERE indexrelid = conindid AND NOT (indisvalid AND indisready)))"
        " UNION ALL SELECT 'logging of ' || relname FROM pg_class"
        " WHERE relkind = 'r' AND relpersistence <> 'p' AND oid IN (to_regclass('coupons'),"
        "  to_regclass('coupon_revisions'), to_regclass('coupon_issues'),"
        "  to_regclass('coupon_creations'), to_regclass('audits'),"
        "  to_regclass('coupon_imports'), to_regclass('partitions'),"
        "  to_regclass('coupon_rejects'))"
        " LIMIT 1",
    /* Who finds another at work there has nothing to wait for. */
    [PG_CURSOR_LOCK] = "SELECT epoch, n FROM partitions WHERE p = $1 FOR NO KEY UPDATE SKIP LOCKED",
    [PG_CURSOR_MOVE] =
        "UPDATE partitions SET n = $3, last_id = $3::bigint || '-0',"
        "  last_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
        " WHERE p = $1 AND epoch = $2",
    /* A statement of its own behind the lock, so that it sees what was written before. */
    [PG_SETTLE_COUPONS] =
        "SELECT " PG_CLOCK_US ", id, total_quantity, issued_quantity, date_issue_start,"
        "  date_issue_end, paused, greatest(date_updated, " PG_LAST_ISSUED ")"
        " FROM coupons WHERE id = ANY ($1::bigint[]) AND date_archived IS NULL ORDER BY id",
    /* Looks up each by its key. As a plain join it would be planned on an empty table, as one that
     * reads all of it, and be kept so while it grows (OFFSET 0 is what the planner stops at). */
    [PG_SETTLE_HOLDERS] =
        "SELECT held.* FROM unnest($1::bigint[], $2::text[] COLLATE \"C\") AS asked (coupon, holder)"
        " CROSS JOIN LATERAL"
        "  (SELECT coupon_id, rank_no, user_id, request_key, date_issued, claim_id"
        "   FROM coupon_issues WHERE coupon_id = asked.coupon AND user_id = asked.holder OFFSET 0)"
        "  AS held",
    [PG_REJECTS_INSERT] =
        "INSERT INTO coupon_rejects (p, epoch, n, idx, claim_id, coupon_id, user_id, reason)"
        " SELECT $1, $2, n, idx, claim_id, coupon_id, user_id, reason"
        " FROM unnest($3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::text[])"
        "  AS reject_rows (n, idx, claim_id, coupon_id, user_id, reason)",
    [PG_REJECT_RAW_INSERT] =
        "INSERT INTO coupon_rejects (p, epoch, n, idx, reason, raw) VALUES ($1, $2, $3, $4, $5, $6)",
    [PG_CURSORS_READ] = "SELECT p, epoch, n FROM partitions ORDER BY p",
    [PG_EPOCH_RAISE] =
        "UPDATE partitions SET epoch = epoch + 1, n = 0, last_id = '', last_ms = 0"
        " WHERE p = $1 AND epoch = $2",
    [PG_EPOCH_RAISE_ANY] =
        "UPDATE partitions SET epoch = epoch + 1, n = 0, last_id = '', last_ms = 0 WHERE p = $1",
    [PG_REJECTS_READ] =
        "SELECT p, epoch, n, idx, claim_id, coupon_id, user_id, reason,"
        "  octet_length(raw)::bigint FROM coupon_rejects"
        " WHERE (p, epoch, n, idx) > ($1, $2, $3, $4) ORDER BY p, epoch, n, idx LIMIT $5",
    [PG_REJECTS_COUNT] = "SELECT count(*) FROM coupon_rejects",
    [PG_REJECT_DELETE] =
        "DELETE FROM coupon_rejects WHERE p = $1 AND epoch = $2 AND n = $3 AND idx = $4",
    [PG_NOW_READ] = "SELECT " PG_CLOCK_US,
    [PG_HOLDING_READ] =
        "SELECT " PG_ISSUE_COLUMNS " FROM coupon_issues WHERE coupon_id = $1 AND user_id = $2",
    /* One step down the key for each coupon: an index by user alone would cost every insert. The
     * same care as for PG_SETTLE_HOLDERS. */
    [PG_HOLDINGS_READ] =
        "SELECT held.* FROM coupons CROSS JOIN LATERAL"
        "  (SELECT rank_no, user_id, request_key, date_issued, coupon_id"
        "   FROM coupon_issues WHERE coupon_id = coupons.id AND user_id = $1 OFFSET 0) AS held"
        " WHERE coupons.id > $2 AND date_archived IS NULL ORDER BY coupons.id LIMIT $3",
};
/* clang-format on */

int postgres_statements_prepare(struct postgres_ledger *ledger, struct complaint *complaint) {
    for (int i = 0; i < PG_COUNT; i++) {
        assert(statement_texts[i]);
        int status = postgres_prepare(ledger, (enum postgres_statement)i, statement_texts[i]);
        if (status < 0) {
            return postgres_fail(ledger, status, "use the tables of", complaint);
        }
    }
    return STATUS_OK;
}
