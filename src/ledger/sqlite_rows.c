/* The rows of an append as a table that SQLite can read: `issue_rows`, a virtual table with
 * no storage whose rows are the caller's array. One INSERT … SELECT then takes a whole batch
 * in one run of its program, where a run for each row would spend about as much on binding,
 * starting and ending it as on the row. For sqlite_append, which puts the array in place.
 *
 * Eponymous (there is no xCreate), so nothing of it is in the file. */
#include "ledger/sqlite_ledger.h"

struct rows_table {
    sqlite3_vtab base; /* first */
    struct sqlite_rows *rows;
};

enum rows_column {
    ROWS_COUPON_ID,
    ROWS_RANK_NO,
    ROWS_USER_ID,
    ROWS_REQUEST_KEY,
    ROWS_DATE_ISSUED,
};

static const char rows_declaration[] =
    "CREATE TABLE issue_rows (coupon_id, rank_no, user_id, request_key, date_issued)";

static struct sqlite_rows *rows_of(sqlite3_vtab_cursor *cursor) {
    return ((struct rows_table *)cursor->pVtab)->rows;
}

static int rows_connect(sqlite3 *db, void *context, int argument_count,
                        const char *const *arguments, sqlite3_vtab **ret_table, char **ret_why) {
    (void)argument_count;
    (void)arguments;
    (void)ret_why;
    int result = sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY); /* not for views or triggers */
    if (result == SQLITE_OK) {
        result = sqlite3_declare_vtab(db, rows_declaration);
    }
    if (result != SQLITE_OK) {
        return result;
    }
    struct rows_table *table = sqlite3_malloc(sizeof(*table));
    if (!table) {
        return SQLITE_NOMEM;
    }
    *table = (struct rows_table){.rows = context};
    *ret_table = &table->base;
    return SQLITE_OK;
}

static int rows_disconnect(sqlite3_vtab *table) {
    sqlite3_free(table);
    return SQLITE_OK;
}

/* There is one way to read it: all, in the array's order. */
static int rows_best_index(sqlite3_vtab *table, sqlite3_index_info *plan) {
    (void)table;
    plan->estimatedCost = 1;
    return SQLITE_OK;
}

static int rows_open(sqlite3_vtab *table, sqlite3_vtab_cursor **ret_cursor) {
    (void)table;
    sqlite3_vtab_cursor *cursor = sqlite3_malloc(sizeof(*cursor));
    if (!cursor) {
        return SQLITE_NOMEM;
    }
    *cursor = (sqlite3_vtab_cursor){.pVtab = NULL};
    *ret_cursor = cursor;
    return SQLITE_OK;
}

static int rows_close(sqlite3_vtab_cursor *cursor) {
    sqlite3_free(cursor);
    return SQLITE_OK;
}

static int rows_filter(sqlite3_vtab_cursor *cursor, int plan, const char *plan_text,
                       int argument_count, sqlite3_value **arguments) {
    (void)plan;
    (void)plan_text;
    (void)argument_count;
    (void)arguments;
    rows_of(cursor)->position = 0;
    return SQLITE_OK;
}

static int rows_next(sqlite3_vtab_cursor *cursor) {
    rows_of(cursor)->position++;
    return SQLITE_OK;
}

static int rows_eof(sqlite3_vtab_cursor *cursor) {
    const struct sqlite_rows *rows = rows_of(cursor);
    return rows->position >= rows->count;
}

/* The bytes are the caller's and outlast the statement: not copied. */
static void result_text(sqlite3_context *context, struct slice text) {
    assert(text.size <= INT_MAX);
    if (text.size > 0) { /* else NULL, as a result is until it is set */
        sqlite3_result_text(context, text.bytes, (int)text.size, SQLITE_STATIC);
    }
}

static int rows_column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int column) {
    const struct sqlite_rows *rows = rows_of(cursor);
    assert(rows->position < rows->count);
    const struct issue_row *row = &rows->issues[rows->position];
    switch ((enum rows_column)column) {
    case ROWS_COUPON_ID:
        sqlite3_result_int64(context, (int64_t)row->reference.coupon_id);
        break;
    case ROWS_RANK_NO:
        sqlite3_result_int64(context, row->reference.rank);
        break;
    case ROWS_USER_ID:
        result_text(context, row->user_id);
        break;
    case ROWS_REQUEST_KEY:
        result_text(context, row->request_key);
        break;
    case ROWS_DATE_ISSUED:
        sqlite3_result_int64(context, row->issued_at_us);
        break;
    }
    return SQLITE_OK;
}

static int rows_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *ret_rowid) {
    *ret_rowid = (sqlite3_int64)rows_of(cursor)->position;
    return SQLITE_OK;
}

static const sqlite3_module rows_module = {
    .iVersion = 0,
    .xConnect = rows_connect,
    .xBestIndex = rows_best_index,
    .xDisconnect = rows_disconnect,
    .xOpen = rows_open,
    .xClose = rows_close,
    .xFilter = rows_filter,
    .xNext = rows_next,
    .xEof = rows_eof,
    .xColumn = rows_column,
    .xRowid = rows_rowid,
};

int sqlite_rows_register(struct sqlite_ledger *ledger, struct complaint *complaint) {
    int result =
        sqlite3_create_module_v2(ledger->db, "issue_rows", &rows_module, &ledger->rows, NULL);
    return result == SQLITE_OK ? STATUS_OK : sqlite_fail(ledger, result, "prepare", complaint);
}
