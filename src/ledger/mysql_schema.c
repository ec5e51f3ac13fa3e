/* The tables of the MariaDB and MySQL ledger, how older ones are brought up to date, and the
 * text of every kept statement. For mysql_open.c and those that run statements.
 *
 * The server commits every CREATE and ALTER by itself, so a migration may stop in its middle:
 * each text in `tables` must do nothing where it was done before. A migration, once released,
 * is never edited: a change is a new one.
 *
 * Users, request keys and claim ids are VARBINARY: compared byte by byte, where every text
 * collation that both servers have takes "u" and "u " for one. Times are microseconds in a
 * BIGINT: the server's own types know no year 1, and convert by the session's time zone. */
#include "ledger/mysql_ledger.h"

#include <stdio.h>

/* The bounds in the tables; mysql_read.c checks them again on the way out. */
static_assert(JSON_INTEGER_MAX == INT64_C(9007199254740991), "ids and amounts");
static_assert(COUPON_QUANTITY_MAX == INT64_C(4000000000), "total_quantity");
static_assert(TIME_US_MIN == INT64_C(-62135596800000000), "dates");
static_assert(TIME_US_MAX == INT64_C(253402300799999999), "dates");
static_assert(COUPON_TITLE_MAX == 256 && COUPON_METADATA_MAX == 2048, "texts");
static_assert(USER_ID_MAX == 128 && REQUEST_KEY_MAX == 128, "texts");
static_assert(ADMIN_NAME_MAX == 64 && AUDIT_REQUEST_MAX == 4096, "texts");

/* How long another node may take to make the tables. Less than a statement may take. */
#define MIGRATION_WAIT_SECONDS 15

/* ---- tables ---- */

/* All but ledger_version, which tells whose they are. */
#define TABLE_NAMES                                                                                \
    "'coupons', 'coupon_revisions', 'coupon_issues', 'coupon_creations', 'probes', 'audits',"      \
    " 'coupon_imports', 'partitions', 'coupon_rejects'"
#define TABLE_OPTIONS      " ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
#define TIME_CHECK(column) "CHECK (" column " BETWEEN -62135596800000000 AND 253402300799999999)"

/* clang-format off */

/* One row. The version is raised with each migration; the row is also what an operator's
 * change locks, so that changes, and the ids they take, are one after the other. */
static const char version_table[] =
    "CREATE TABLE IF NOT EXISTS ledger_version (\n"
    "  id TINYINT NOT NULL PRIMARY KEY CHECK (id = 1),\n"
    "  version INT UNSIGNED NOT NULL\n"
    ")" TABLE_OPTIONS;

/* `issued_quantity <= total_quantity` is what makes over-issue impossible (I1): the count is
 * raised in the transaction that adds the rows. */
static const char coupons_table[] =
    "CREATE TABLE IF NOT EXISTS coupons (\n"
    "  id BIGINT NOT NULL PRIMARY KEY CHECK (id BETWEEN 1 AND 9007199254740991),\n"
    "  title VARCHAR(256) NOT NULL CHECK (length(title) <= 256),\n"
    "  coupon_type VARCHAR(64) NOT NULL CHECK (length(coupon_type) BETWEEN 1 AND 64),\n"
    "  total_quantity BIGINT CHECK (total_quantity BETWEEN 0 AND 4000000000),\n"
    "  issued_quantity BIGINT NOT NULL CHECK (issued_quantity BETWEEN 0 AND 4294967295),\n"
    "  discount_amount BIGINT NOT NULL\n"
    "    CHECK (discount_amount BETWEEN 0 AND 9007199254740991),\n"
    "  min_available_amount BIGINT NOT NULL\n"
    "    CHECK (min_available_amount BETWEEN 0 AND 9007199254740991),\n"
    "  date_issue_start BIGINT NOT NULL " TIME_CHECK("date_issue_start") ",\n"
    "  date_issue_end BIGINT NOT NULL " TIME_CHECK("date_issue_end") ",\n"
    "  paused TINYINT NOT NULL CHECK (paused IN (0, 1)),\n"
    "  metadata VARCHAR(2048) CHECK (length(metadata) BETWEEN 1 AND 2048),\n"
    "  version BIGINT NOT NULL CHECK (version BETWEEN 1 AND 4294967295),\n"
    "  date_created BIGINT NOT NULL " TIME_CHECK("date_created") ",\n"
    "  date_updated BIGINT NOT NULL " TIME_CHECK("date_updated") ",\n"
    "  date_archived BIGINT " TIME_CHECK("date_archived") ",\n"
    "  CONSTRAINT coupons_not_over_issued\n"
    "    CHECK (total_quantity IS NULL OR issued_quantity <= total_quantity),\n"
    "  CONSTRAINT coupons_period CHECK (date_issue_start < date_issue_end)\n"
    ")" TABLE_OPTIONS;

static const char revisions_table[] =
    "CREATE TABLE IF NOT EXISTS coupon_revisions (\n"
    "  coupon_id BIGINT NOT NULL,\n"
    "  version BIGINT NOT NULL CHECK (version BETWEEN 1 AND 4294967295),\n"
    "  changed_at BIGINT NOT NULL " TIME_CHECK("changed_at") ",\n"
    "  total_quantity BIGINT CHECK (total_quantity BETWEEN 0 AND 4000000000),\n"
    "  date_issue_start BIGINT NOT NULL " TIME_CHECK("date_issue_start") ",\n"
    "  date_issue_end BIGINT NOT NULL " TIME_CHECK("date_issue_end") ",\n"
    "  paused TINYINT NOT NULL CHECK (paused IN (0, 1)),\n"
    "  archived TINYINT NOT NULL CHECK (archived IN (0, 1)),\n"
    "  first_rank BIGINT NOT NULL CHECK (first_rank BETWEEN 1 AND 4294967296),\n"
    "  PRIMARY KEY (coupon_id, version),\n"
    "  FOREIGN KEY (coupon_id) REFERENCES coupons (id)\n"
    ")" TABLE_OPTIONS;

/* Clustered by (coupon_id, rank_no): appends go to a coupon's right edge, and its record is
 * read in order. The second key keeps I2 where several nodes write. No CHECKs, and no foreign
 * key, which would look for the coupon once a row: ledger_rows_check and
 * maria_issue_decode ask of every row what CHECKs would, and an append raises the count of
 * each coupon it names. */
static const char issues_table[] =
    "CREATE TABLE IF NOT EXISTS coupon_issues (\n"
    "  coupon_id BIGINT NOT NULL,\n"
    "  rank_no INT UNSIGNED NOT NULL,\n"
    "  user_id VARBINARY(128) NOT NULL,\n"
    "  claim_id VARBINARY(64),\n"
    "  request_key VARBINARY(128),\n"
    "  date_issued BIGINT NOT NULL,\n"
    "  PRIMARY KEY (coupon_id, rank_no),\n"
    "  UNIQUE KEY coupon_issues_user (coupon_id, user_id)\n"
    ")" TABLE_OPTIONS;

static const char creations_table[] =
    "CREATE TABLE IF NOT EXISTS coupon_creations (\n"
    "  request_key VARBINARY(128) NOT NULL PRIMARY KEY CHECK (length(request_key) >= 1),\n"
    "  coupon_id BIGINT NOT NULL,\n"
    "  request_digest VARBINARY(32) NOT NULL CHECK (length(request_digest) = 32),\n"
    "  date_created BIGINT NOT NULL " TIME_CHECK("date_created") ",\n"
    "  FOREIGN KEY (coupon_id) REFERENCES coupons (id)\n"
    ")" TABLE_OPTIONS;

/* One row that means nothing: raising its count tells whether writing works. */
static const char probes_table[] =
    "CREATE TABLE IF NOT EXISTS probes (\n"
    "  id TINYINT NOT NULL PRIMARY KEY CHECK (id = 1),\n"
    "  count BIGINT NOT NULL\n"
    ")" TABLE_OPTIONS;

/* Who changed what: written in the transaction of the change. Rows are never changed; the
 * id is the order, so it is not the server's to give: those follow the order of beginning. */
static const char audits_table[] =
    "CREATE TABLE IF NOT EXISTS audits (\n"
    "  id BIGINT NOT NULL PRIMARY KEY CHECK (id >= 1),\n"
    "  changed_at BIGINT NOT NULL " TIME_CHECK("changed_at") ",\n"
    "  admin VARCHAR(64) NOT NULL CHECK (length(admin) BETWEEN 1 AND 64),\n"
    "  action VARCHAR(31) NOT NULL CHECK (action IN ('coupon-created', 'coupon-changed',\n"
    "    'coupon-archived', 'issues-imported')),\n"
    "  coupon_id BIGINT NOT NULL,\n"
    "  version BIGINT NOT NULL CHECK (version BETWEEN 1 AND 4294967295),\n"
    "  request VARCHAR(4096) CHECK (length(request) BETWEEN 1 AND 4096),\n"
    "  FOREIGN KEY (coupon_id) REFERENCES coupons (id)\n"
    ")" TABLE_OPTIONS;

/* Which ranks were imported, so that verify can tell them from claims. */
static const char imports_table[] =
    "CREATE TABLE IF NOT EXISTS coupon_imports (\n"
    "  coupon_id BIGINT NOT NULL,\n"
    "  first_rank BIGINT NOT NULL CHECK (first_rank BETWEEN 1 AND 4294967295),\n"
    "  last_rank BIGINT NOT NULL,\n"
    "  date_imported BIGINT NOT NULL " TIME_CHECK("date_imported") ",\n"
    "  PRIMARY KEY (coupon_id, first_rank),\n"
    "  FOREIGN KEY (coupon_id) REFERENCES coupons (id),\n"
    "  CONSTRAINT coupon_imports_ranks\n"
    "    CHECK (last_rank BETWEEN first_rank AND 4294967295)\n"
    ")" TABLE_OPTIONS;

/* How far the queue of each partition is settled; a coupon's is its id modulo 64. */
static const char partitions_table[] =
    "CREATE TABLE IF NOT EXISTS partitions (\n"
    "  p TINYINT UNSIGNED NOT NULL PRIMARY KEY CHECK (p BETWEEN 0 AND 63),\n"
    "  epoch BIGINT NOT NULL CHECK (epoch >= 0),\n"
    "  n BIGINT NOT NULL CHECK (n >= 0),\n"
    "  last_id VARBINARY(64) NOT NULL,\n"
    "  last_ms BIGINT NOT NULL CHECK (last_ms >= 0)\n"
    ")" TABLE_OPTIONS;

static const char rejects_table[] =
    "CREATE TABLE IF NOT EXISTS coupon_rejects (\n"
    "  p TINYINT UNSIGNED NOT NULL CHECK (p BETWEEN 0 AND 63),\n"
    "  epoch BIGINT NOT NULL CHECK (epoch >= 0),\n"
    "  n BIGINT NOT NULL CHECK (n >= 1),\n"
    "  idx INT UNSIGNED NOT NULL,\n"
    "  claim_id VARBINARY(64),\n"
    "  coupon_id BIGINT,\n"
    "  user_id VARBINARY(128),\n"
    "  reason VARCHAR(64) NOT NULL,\n"
    "  raw MEDIUMBLOB,\n"
    "  PRIMARY KEY (p, epoch, n, idx)\n"
    ")" TABLE_OPTIONS;
/* clang-format on */

static const char *const tables_1[] = {
    coupons_table, revisions_table, issues_table,     creations_table, probes_table,
    audits_table,  imports_table,   partitions_table, rejects_table,   NULL,
};

/* clang-format off */
#define DIGITS                                                                                     \
    "(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3"                      \
    " UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7)"
static const char *const rows_1[] = {
    "INSERT INTO probes (id, count) VALUES (1, 0)",
    "INSERT INTO partitions (p, epoch, n, last_id, last_ms)"
    " SELECT 8 * eights.d + ones.d, 0, 0, '', 0 FROM " DIGITS " AS eights, " DIGITS " AS ones",
    NULL,
};
static_assert(MYSQL_PARTITIONS == 8 * 8, "as in rows_1 and in the CHECKs on p");

const struct mysql_migration maria_migrations[] = {{tables_1, rows_1}};
static_assert(COUNT_OF(maria_migrations) == MYSQL_LEDGER_VERSION, "one a version");

/* ---- statements ---- */

/* No change is dated before what was issued under the terms it ends (I5): another node's clock
 * may have been read a moment earlier. */
#define LAST_ISSUED                                                                                \
    "(SELECT date_issued FROM coupon_issues WHERE coupon_id = coupons.id"                          \
    " ORDER BY rank_no DESC LIMIT 1)"

/* A creation and a change take the same values as 1-10. */
const char *const maria_statements[MARIA_STATEMENT_COUNT] = {
    [MARIA_COUNT_RAISE] =
        "UPDATE coupons SET issued_quantity = ?2 WHERE id = ?1 AND issued_quantity < ?2",
    [MARIA_CHANGES_LOCK] = "SELECT version FROM ledger_version WHERE id = 1 FOR UPDATE",
    [MARIA_COUPON_ID_LAST] = "SELECT coalesce(max(id), 0) FROM coupons",
    [MARIA_AUDIT_ID_LAST] = "SELECT coalesce(max(id), 0) FROM audits",
    [MARIA_COUPON_INSERT] =
        "INSERT INTO coupons"
        " (id, title, coupon_type, total_quantity, issued_quantity, discount_amount,"
        "  min_available_amount, date_issue_start, date_issue_end, paused, metadata, version,"
        "  date_created, date_updated, date_archived)"
        " VALUES"
        " (?1, ?2, 'FIRST_COME_FIRST_SERVED', ?3, 0, ?4,"
        "  ?5, ?6, ?7, ?8, ?9, 1,"
        "  ?11, ?10, NULL)",
    [MARIA_COUPON_UPDATE] =
        "UPDATE coupons"
        " SET title = ?2, total_quantity = ?3, discount_amount = ?4, min_available_amount = ?5,"
        "  date_issue_start = ?6, date_issue_end = ?7, paused = ?8, metadata = ?9,"
        "  date_updated = greatest(?10, coalesce(" LAST_ISSUED ", ?10)), version = ?11,"
        "  date_archived = greatest(?12, coalesce(" LAST_ISSUED ", ?12))"
        " WHERE id = ?1 AND version = ?11 - 1",
    [MARIA_REVISION_INSERT] =
        "INSERT INTO coupon_revisions"
        " (coupon_id, version, changed_at, total_quantity, date_issue_start, date_issue_end,"
        "  paused, archived, first_rank)"
        " SELECT id, version, date_updated, total_quantity, date_issue_start, date_issue_end,"
        "  paused, date_archived IS NOT NULL, issued_quantity + 1"
        " FROM coupons WHERE id = ?1",
    [MARIA_CREATION_INSERT] =
        "INSERT INTO coupon_creations (request_key, coupon_id, request_digest, date_created)"
        " VALUES (?1, ?2, ?3, ?4)",
    [MARIA_AUDIT_INSERT] =
        "INSERT INTO audits (id, changed_at, admin, action, coupon_id, version, request)"
        " SELECT ?6, ?4, ?2, ?3, id, version, ?5 FROM coupons WHERE id = ?1",
    [MARIA_IMPORT_INSERT] =
        "INSERT INTO coupon_imports (coupon_id, first_rank, last_rank, date_imported)"
        " VALUES (?1, ?2, ?3, ?4)",
    [MARIA_PROBE_UPDATE] = "UPDATE probes SET count = count + 1 WHERE id = 1",
    /* Dates never decrease with rank (I5), so a coupon's last issue is its latest. */
    [MARIA_LATEST_READ] =
        "SELECT greatest("
        " (SELECT coalesce(max(greatest(date_created, date_updated, coalesce(date_archived, 0))),"
        "   0) FROM coupons),"
        " (SELECT coalesce(max(changed_at), 0) FROM coupon_revisions),"
        " (SELECT coalesce(max((SELECT date_issued FROM coupon_issues"
        "   WHERE coupon_id = coupons.id ORDER BY rank_no DESC LIMIT 1)), 0) FROM coupons))",
    [MARIA_CREATION_READ] =
        "SELECT coupon_id, request_digest FROM coupon_creations WHERE request_key = ?1",
    [MARIA_COUPON_READ] = "SELECT " MYSQL_COUPON_COLUMNS " FROM coupons WHERE id = ?1",
    [MARIA_COUPONS_READ] =
        "SELECT " MYSQL_COUPON_COLUMNS " FROM coupons WHERE id > ?1 ORDER BY id LIMIT ?2",
    [MARIA_ISSUE_READ] =
        "SELECT " MYSQL_ISSUE_COLUMNS " FROM coupon_issues WHERE coupon_id = ?1 AND rank_no = ?2",
    [MARIA_ISSUES_READ] =
        "SELECT " MYSQL_ISSUE_COLUMNS " FROM coupon_issues"
        " WHERE coupon_id = ?1 AND rank_no > ?2 ORDER BY rank_no LIMIT ?3",
    [MARIA_AUDITS_READ] =
        "SELECT id, changed_at, admin, action, coupon_id, version, request"
        " FROM audits WHERE id > ?1 ORDER BY id LIMIT ?2",
    [MARIA_VISIT_TOTAL] =
        "SELECT coalesce(sum(issued_quantity), 0) FROM coupons"
        " WHERE ?1 OR date_archived IS NULL",
    [MARIA_VISIT_COUPONS] =
        "SELECT " MYSQL_COUPON_COLUMNS " FROM coupons"
        " WHERE id > ?2 AND (?1 OR date_archived IS NULL) ORDER BY id LIMIT ?3",
    [MARIA_VISIT_REVISIONS] =
        "SELECT version, changed_at, total_quantity, date_issue_start, date_issue_end, paused,"
        "  archived, first_rank"
        " FROM coupon_revisions WHERE coupon_id = ?1 AND version > ?2 ORDER BY version LIMIT ?3",
    [MARIA_VISIT_IMPORTS] =
        "SELECT first_rank, last_rank, date_imported FROM coupon_imports"
        " WHERE coupon_id = ?1 AND first_rank > ?2 ORDER BY first_rank LIMIT ?3",
    /* The next coupon that has issues or imports: steps down the trees, not scans. */
    [MARIA_VISIT_HOLDERS] =
        "SELECT holder, EXISTS (SELECT 1 FROM coupons WHERE id = holder)"
        " FROM (SELECT min(coupon_id) AS holder FROM coupon_issues WHERE coupon_id >= ?1"
        "  UNION ALL SELECT min(coupon_id) FROM coupon_imports WHERE coupon_id >= ?1) AS holders"
        " WHERE holder IS NOT NULL ORDER BY holder LIMIT 1",
    /* The columns of the two keys, the CHECK of I1, and tables that know no transactions. */
    [MARIA_CHECK] =
        "SELECT"
        " (SELECT group_concat(column_name ORDER BY seq_in_index) FROM information_schema.statistics"
        "  WHERE table_schema = database() AND table_name = 'coupon_issues'"
        "  AND index_name = 'PRIMARY' AND sub_part IS NULL),"
        " (SELECT group_concat(column_name ORDER BY seq_in_index) FROM information_schema.statistics"
        "  WHERE table_schema = database() AND table_name = 'coupon_issues'"
        "  AND index_name = 'coupon_issues_user' AND sub_part IS NULL AND non_unique = 0),"
        " (SELECT count(*) FROM information_schema.table_constraints"
        "  WHERE constraint_schema = database() AND table_name = 'coupons'"
        "  AND constraint_name = 'coupons_not_over_issued' AND constraint_type = 'CHECK'),"
        " (SELECT count(*) FROM information_schema.tables"
        "  WHERE table_schema = database() AND engine <> 'InnoDB' AND table_name IN (" TABLE_NAMES
        "))",
    /* Who finds another at work there has nothing to wait for. */
    [MARIA_CURSOR_LOCK] =
        "SELECT epoch, n FROM partitions WHERE p = ?1 FOR UPDATE SKIP LOCKED",
    [MARIA_CURSOR_MOVE] =
        "UPDATE partitions SET n = ?3, last_id = concat(?3, '-0'),"
        "  last_ms = " MYSQL_CLOCK_US " DIV 1000"
        " WHERE p = ?1 AND epoch = ?2",
    [MARIA_CURSORS_READ] = "SELECT p, epoch, n FROM partitions ORDER BY p",
    [MARIA_EPOCH_RAISE] =
        "UPDATE partitions SET epoch = epoch + 1, n = 0, last_id = '', last_ms = 0"
        " WHERE p = ?1 AND epoch = ?2",
    [MARIA_EPOCH_RAISE_ANY] =
        "UPDATE partitions SET epoch = epoch + 1, n = 0, last_id = '', last_ms = 0 WHERE p = ?1",
    /* Not by a comparison of rows, which would not go by the key here. */
    [MARIA_REJECTS_READ] =
        "SELECT p, epoch, n, idx, claim_id, coupon_id, user_id, reason, length(raw)"
        " FROM coupon_rejects WHERE p >= ?1 AND (p > ?1 OR epoch > ?2 OR (epoch = ?2 AND"
        "  (n > ?3 OR (n = ?3 AND idx > ?4)))) ORDER BY p, epoch, n, idx LIMIT ?5",
    [MARIA_REJECTS_COUNT] = "SELECT count(*) FROM coupon_rejects",
    [MARIA_REJECT_DELETE] =
        "DELETE FROM coupon_rejects WHERE p = ?1 AND epoch = ?2 AND n = ?3 AND idx = ?4",
    [MARIA_NOW_READ] = "SELECT " MYSQL_CLOCK_US,
    [MARIA_HOLDING_READ] =
        "SELECT " MYSQL_ISSUE_COLUMNS " FROM coupon_issues WHERE coupon_id = ?1 AND user_id = ?2",
    /* One step down the key for each coupon: an index by user alone would cost every insert. */
    [MARIA_HOLDINGS_READ] =
        "SELECT rank_no, user_id, request_key, date_issued, coupon_id"
        " FROM coupons JOIN coupon_issues ON coupon_id = coupons.id AND user_id = ?1"
        " WHERE coupons.id > ?2 AND date_archived IS NULL ORDER BY coupons.id LIMIT ?3",
};
/* clang-format on */

/* ---- the version ---- */

/* A SELECT of one count. */
static int count_query(struct mysql_ledger *ledger, const char *text, int64_t *ret_count,
                       struct complaint *complaint) {
    struct mysql_rows rows;
    int status = maria_query_text(ledger, slice_of(text), &rows);
    if (status < 0) {
        return maria_fail(ledger, status, "read the tables of", complaint);
    }
    bool whole = maria_rows_next(&rows) &&
                 maria_integer_decode(&rows, 0, 0, UINT32_MAX, ret_count) == STATUS_OK;
    maria_rows_done(&rows);
    return whole ? STATUS_OK
                 : complain(complaint, STATUS_DAMAGED, "%s: its version is not a number",
                            ledger->name);
}

static const char version_table_text[] =
    "SELECT count(*) FROM information_schema.tables"
    " WHERE table_schema = database() AND table_name = 'ledger_version'";

/* Without our version table there must be none of the others either: the database may be
 * somebody else's, the original system's own among them. It is the first that is made, so when it
 * is there now, another program is making the tables at this moment. */
static int emptiness_check(struct mysql_ledger *ledger, struct complaint *complaint) {
    int64_t count = 0;
    int64_t versions = 0;
    int status = count_query(ledger,
                             "SELECT count(*) FROM information_schema.tables"
                             " WHERE table_schema = database() AND table_name IN (" TABLE_NAMES ")",
                             &count, complaint);
    if (status == STATUS_OK && count > 0) {
        status = count_query(ledger, version_table_text, &versions, complaint);
    }
    if (status == STATUS_OK && count > 0 && versions == 0) {
        return complain(complaint, STATUS_DAMAGED,
                        "%s has tables named as the ledger's that are not the ledger's; name an "
                        "empty database",
                        ledger->name);
    }
    return status;
}

int maria_version_read(struct mysql_ledger *ledger, uint32_t *ret_version,
                       struct complaint *complaint) {
    int64_t count = 0;
    int64_t version = 0;
    int status = count_query(ledger, version_table_text, &count, complaint);
    if (status == STATUS_OK && count == 0) {
        status = emptiness_check(ledger, complaint);
    } else if (status == STATUS_OK) {
        status = count_query(ledger, "SELECT coalesce(max(version), 0) FROM ledger_version",
                             &version, complaint);
    }
    if (status == STATUS_OK && version > MYSQL_LEDGER_VERSION) {
        return complain(complaint, STATUS_NEWER,
                        "%s was written by a newer coupon (version %lld of its tables, this one "
                        "knows %d); run that one",
                        ledger->name, (long long)version, MYSQL_LEDGER_VERSION);
    }
    if (status == STATUS_OK) {
        *ret_version = (uint32_t)version;
    }
    return status;
}

/* ---- migrating ---- */

static int texts_send(struct mysql_ledger *ledger, const char *const *texts) {
    int status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && texts[i]; i++) {
        status = maria_send_text(ledger, texts[i]);
    }
    return status;
}

/* Whatever of it a crash leaves, the tables say version `from` until the COMMIT. */
static int migrate_one(struct mysql_ledger *ledger, const struct mysql_migration *migration,
                       uint32_t from) {
    char raise[80];
    snprintf(raise, sizeof(raise), "UPDATE ledger_version SET version = %u WHERE id = 1", from + 1);
    int status = texts_send(ledger, migration->tables);
    if (status == STATUS_OK) {
        status = maria_send_text(ledger, "START TRANSACTION");
    }
    if (status == STATUS_OK) {
        status = texts_send(ledger, migration->rows);
    }
    if (status == STATUS_OK) {
        status = maria_send_text(ledger, raise);
    }
    return status == STATUS_OK ? maria_send_text(ledger, "COMMIT") : status;
}

static int migrate_locked(struct mysql_ledger *ledger, const struct mysql_migration *migrations,
                          uint32_t count, struct complaint *complaint) {
    static const char *const version_texts[] = {
        version_table,
        "INSERT INTO ledger_version (id, version)"
        " SELECT 1, 0 FROM (SELECT count(*) AS present FROM ledger_version) AS rows_there"
        " WHERE present = 0",
        NULL,
    };
    uint32_t version = 0;
    int status = maria_version_read(ledger, &version, complaint); /* another may have been here */
    if (status < 0) {
        return status;
    }
    if (version == 0) {
        status = texts_send(ledger, version_texts);
    }
    for (; status == STATUS_OK && version < count; version++) {
        status = migrate_one(ledger, &migrations[version], version);
    }
    return status == STATUS_OK ? STATUS_OK
                               : maria_fail(ledger, status, "bring up to date", complaint);
}

/* The lock's name holds in the whole server, so it has the database in it. A failure closes
 * the connection, and with it goes the lock. */
int maria_migrate(struct mysql_ledger *ledger, const struct mysql_migration *migrations,
                  uint32_t count, struct complaint *complaint) {
    char text[128];
    int64_t taken = 0;
    snprintf(text, sizeof(text),
             "SELECT coalesce(get_lock(concat('coupon.', md5(database())), %d), 0)",
             MIGRATION_WAIT_SECONDS);
    int status = count_query(ledger, text, &taken, complaint);
    if (status < 0) {
        return status;
    }
    if (taken != 1) {
        return complain(complaint, STATUS_IO,
                        "another program has been making the tables of %s for %d s; try again",
                        ledger->name, MIGRATION_WAIT_SECONDS);
    }
    status = migrate_locked(ledger, migrations, count, complaint);
    if (status == STATUS_OK) {
        status = count_query(ledger, "SELECT release_lock(concat('coupon.', md5(database())))",
                             &taken, complaint);
    }
    return status;
}
