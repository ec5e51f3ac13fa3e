/* Statements of the MariaDB and MySQL ledger: values into texts, rows out of answers, and what
 * the numbers of failures mean. The one place where a value is quoted. For the other mysql_
 * files. */
#include "ledger/mysql_ledger.h"

#include <errmsg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- values ---- */

void maria_value_append(struct mysql_ledger *ledger, struct buffer *text,
                        const struct mysql_value *value) {
    switch (value->kind) {
    case VALUE_NULL:
        buffer_text(text, "NULL");
        return;
    case VALUE_INTEGER:
        buffer_format(text, "%lld", (long long)value->integer);
        return;
    case VALUE_TEXT:
        buffer_text(text, "'");
        break;
    case VALUE_BYTES:
        buffer_text(text, "_binary'");
        break;
    }
    size_t room = 2 * value->text.size + 1; /* as mysql_real_escape_string asks for */
    if (buffer_reserve(text, room) == STATUS_OK) {
        text->size += mysql_real_escape_string(ledger->connection, text->bytes + text->size,
                                               value->text.bytes, value->text.size);
    }
    buffer_text(text, "'");
}

/* Copies the template up to the next ?N and tells N; 0 at the end. */
static unsigned parameter_next(const char **template, struct buffer *text) {
    size_t size = strcspn(*template, "?");
    buffer_append(text, *template, size);
    *template += size;
    if (**template == '\0') {
        return 0;
    }
    char *end;
    unsigned long parameter = strtoul(*template + 1, &end, 10);
    assert(parameter >= 1 && parameter < 100);
    *template = end;
    return (unsigned)parameter;
}

static int statement_build(struct mysql_ledger *ledger, enum mysql_statement statement,
                           const struct mysql_value *values, size_t count) {
    struct buffer *text = &ledger->statement;
    const char *template = maria_statements[statement];
    unsigned parameter;
    buffer_clear(text);
    while ((parameter = parameter_next(&template, text)) != 0) {
        assert(parameter <= count);
        maria_value_append(ledger, text, &values[parameter - 1]);
    }
    return text->failed ? STATUS_NO_MEMORY : STATUS_OK;
}

/* ---- failures ---- */

/* The server's numbers. They are written out, as the headers of the library lack those of the
 * other server's: MariaDB and MySQL share the ones below 1900 and 3000 to 3999 are MySQL's,
 * 4000 and on mean different things (MariaDB's share/errmsg-utf8.txt, MySQL's
 * messages_to_clients.txt). */
enum server_error {
    NULL_REFUSED = 1048,
    HANDLES_EXHAUSTED = 1041,
    OUT_OF_MEMORY = 1037,
    OUT_OF_SORT_MEMORY = 1038,
    DISK_FULL = 1021,
    CHECKREAD = 1020, /* MariaDB: changed by another since the snapshot */
    SHUTDOWN = 1053,
    UNKNOWN_COLUMN = 1054,
    DUPLICATE_KEY = 1062,
    TABLE_FULL = 1114,
    NO_TABLE = 1146,
    TABLE_CRASHED = 1194,
    TABLE_CRASHED_REPAIR = 1195,
    LOCK_TIMEOUT = 1205,
    DEADLOCK = 1213,
    OUT_OF_RANGE = 1264,
    INCORRECT_VALUE = 1366,
    TOO_LONG = 1406,
    FOREIGN_KEY = 1452,
    INDEX_CORRUPT = 1712,
    KILLED = 1927,        /* MariaDB: ER_CONNECTION_KILLED */
    KILLED_TOO = 3169,    /* MySQL: ER_SESSION_WAS_KILLED */
    IDLE = 4031,          /* MySQL: ER_CLIENT_INTERACTION_TIMEOUT */
    MYSQL_CHECK = 3819,   /* ER_CHECK_CONSTRAINT_VIOLATED */
    MARIADB_CHECK = 4025, /* ER_CONSTRAINT_FAILED */
};

static bool error_is_of_library(unsigned error) {
    return (error >= CR_MIN_ERROR && error <= CR_MAX_ERROR) || (error >= 5000 && error < 5100);
}

/* ER_OPTION_PREVENTS_STATEMENT, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ER_READ_ONLY_MODE */
bool maria_error_is_read_only(unsigned error) {
    return error == 1290 || error == 1792 || error == 1836;
}

static bool error_ends_connection(const struct mysql_ledger *ledger, unsigned error) {
    /* a server that only reads now was the primary: whoever is it now is found by connecting anew
     */
    return error_is_of_library(error) || maria_error_is_read_only(error) || error == SHUTDOWN ||
           error == KILLED || (!ledger->is_mariadb && (error == IDLE || error == KILLED_TOO));
}

static int error_status(const struct mysql_ledger *ledger, unsigned error) {
    switch (error) {
    case CR_OUT_OF_MEMORY:
    case OUT_OF_MEMORY:
    case OUT_OF_SORT_MEMORY:
    case HANDLES_EXHAUSTED:
        return STATUS_NO_MEMORY;
    case DISK_FULL:
    case TABLE_FULL:
        return STATUS_FULL;
    case DUPLICATE_KEY:
    case NULL_REFUSED:
    case OUT_OF_RANGE:
    case INCORRECT_VALUE:
    case TOO_LONG:
    case FOREIGN_KEY:
        return STATUS_CONFLICT;
    case MYSQL_CHECK:
        return ledger->is_mariadb ? STATUS_IO : STATUS_CONFLICT;
    case MARIADB_CHECK:
        return ledger->is_mariadb ? STATUS_CONFLICT : STATUS_IO;
    case NO_TABLE:
    case UNKNOWN_COLUMN:
    case TABLE_CRASHED:
    case TABLE_CRASHED_REPAIR:
    case INDEX_CORRUPT:
        return STATUS_DAMAGED;
    default:
        return STATUS_IO;
    }
}

/* Takes note of why the last statement failed, while the library still knows. */
static int statement_failed(struct mysql_ledger *ledger) {
    ledger->error = mysql_errno(ledger->connection);
    snprintf(ledger->why, sizeof(ledger->why), "%s", mysql_error(ledger->connection));
    ledger->replay = ledger->error == DEADLOCK || ledger->error == LOCK_TIMEOUT ||
                     (ledger->error == CHECKREAD && ledger->is_mariadb);
    int status = error_status(ledger, ledger->error);
    if (error_ends_connection(ledger, ledger->error)) {
        ledger->lost = true;
        maria_disconnect(ledger);
    }
    return status;
}

static const char *advice(const struct mysql_ledger *ledger, int status) {
    switch (status) {
    case STATUS_FULL:
        return "; make room on the server's disk";
    case STATUS_DAMAGED:
        return "; stop, look into the server's log, and put a backup back";
    case STATUS_IO:
        return ledger->lost     ? "; is the server up, and the way to it?"
               : ledger->replay ? "; other sessions hold what it needs: look at who they are"
                                : "; look into the server's log";
    default:
        return "";
    }
}

int maria_fail(struct mysql_ledger *ledger, int status, const char *doing,
               struct complaint *complaint) {
    return complain(complaint, status, "cannot %s %s: %s (%s %u)%s", doing, ledger->name,
                    ledger->why, ledger->is_mariadb ? "MariaDB" : "MySQL", ledger->error,
                    advice(ledger, status));
}

/* No memory for the text of a statement. */
static int build_failed(struct mysql_ledger *ledger) {
    ledger->error = CR_OUT_OF_MEMORY;
    snprintf(ledger->why, sizeof(ledger->why), "no memory for a statement");
    return STATUS_NO_MEMORY;
}

/* ---- statements ---- */

static int statement_send(struct mysql_ledger *ledger, struct slice text) {
    assert(ledger->connection);
    ledger->lost = false;
    ledger->replay = false;
    return mysql_real_query(ledger->connection, text.bytes, text.size) == 0
               ? STATUS_OK
               : statement_failed(ledger);
}

int maria_send(struct mysql_ledger *ledger, struct slice text, uint64_t *ret_changed) {
    int status = statement_send(ledger, text);
    if (status == STATUS_OK) {
        assert(mysql_field_count(ledger->connection) == 0);
        *ret_changed = mysql_affected_rows(ledger->connection);
    }
    return status;
}

int maria_send_text(struct mysql_ledger *ledger, const char *text) {
    uint64_t changed;
    return maria_send(ledger, slice_of(text), &changed);
}

int maria_run(struct mysql_ledger *ledger, enum mysql_statement statement,
              const struct mysql_value *values, size_t count, uint64_t *ret_changed) {
    int status = statement_build(ledger, statement, values, count);
    return status < 0 ? build_failed(ledger)
                      : maria_send(ledger, buffer_view(&ledger->statement), ret_changed);
}

int maria_query_text(struct mysql_ledger *ledger, struct slice text, struct mysql_rows *ret_rows) {
    int status = statement_send(ledger, text);
    if (status < 0) {
        return status;
    }
    MYSQL_RES *result = mysql_store_result(ledger->connection);
    if (!result) {
        /* An answer was cut short: what else may come in on this connection is unknown. */
        status = statement_failed(ledger);
        maria_disconnect(ledger);
        return status;
    }
    *ret_rows = (struct mysql_rows){.result = result};
    return STATUS_OK;
}

int maria_query(struct mysql_ledger *ledger, enum mysql_statement statement,
                const struct mysql_value *values, size_t count, struct mysql_rows *ret_rows) {
    int status = statement_build(ledger, statement, values, count);
    return status < 0 ? build_failed(ledger)
                      : maria_query_text(ledger, buffer_view(&ledger->statement), ret_rows);
}

int maria_read(struct mysql_ledger *ledger, enum mysql_statement statement,
               const struct mysql_value *values, size_t count, struct mysql_rows *ret_rows) {
    assert(!ledger->in_transaction);
    for (int attempt = 0;; attempt++) {
        int status = maria_connect_again(ledger, NULL);
        if (status == STATUS_OK) {
            status = maria_query(ledger, statement, values, count, ret_rows);
        }
        bool again = status < 0 && (ledger->lost || ledger->replay) && attempt == 0;
        if (!again) {
            return status;
        }
    }
}

bool maria_rows_next(struct mysql_rows *rows) {
    rows->row = mysql_fetch_row(rows->result);
    rows->sizes = rows->row ? mysql_fetch_lengths(rows->result) : NULL;
    return rows->row != NULL;
}

void maria_rows_done(struct mysql_rows *rows) {
    mysql_free_result(rows->result); /* takes NULL */
    *rows = (struct mysql_rows){.result = NULL};
}

/* ---- decoding ---- */

int maria_integer_decode(const struct mysql_rows *rows, unsigned column, int64_t min, int64_t max,
                         int64_t *ret_value) {
    assert(column < mysql_num_fields(rows->result));
    const char *bytes = rows->row[column];
    if (!bytes) {
        return STATUS_DAMAGED;
    }
    struct slice digits = {bytes, rows->sizes[column]};
    bool negative = digits.size > 0 && digits.bytes[0] == '-';
    if (negative) {
        digits = (struct slice){digits.bytes + 1, digits.size - 1};
    }
    uint64_t size = 0;
    if (slice_to_u64(digits, INT64_MAX, &size) < 0) {
        return STATUS_DAMAGED;
    }
    int64_t value = negative ? -(int64_t)size : (int64_t)size;
    if (value < min || value > max) {
        return STATUS_DAMAGED;
    }
    *ret_value = value;
    return STATUS_OK;
}

int maria_optional_decode(const struct mysql_rows *rows, unsigned column, int64_t min, int64_t max,
                          int64_t absent, int64_t *ret_value) {
    if (!rows->row[column]) {
        *ret_value = absent;
        return STATUS_OK;
    }
    return maria_integer_decode(rows, column, min, max, ret_value);
}

int maria_text_decode(const struct mysql_rows *rows, unsigned column, size_t size_min,
                      size_t size_max, struct slice *ret_text) {
    assert(column < mysql_num_fields(rows->result));
    struct slice text = {rows->row[column], rows->sizes[column]};
    if (!text.bytes) {
        text.size = 0;
    }
    if (text.size < size_min || text.size > size_max) {
        return STATUS_DAMAGED;
    }
    *ret_text = text;
    return STATUS_OK;
}

int maria_text_copy(const struct mysql_rows *rows, unsigned column, size_t size_max, char *room) {
    struct slice text;
    int status = maria_text_decode(rows, column, 0, size_max, &text);
    if (status < 0 || (text.size > 0 && memchr(text.bytes, 0, text.size))) {
        return STATUS_DAMAGED;
    }
    if (text.size > 0) {
        memcpy(room, text.bytes, text.size);
    }
    room[text.size] = '\0';
    return STATUS_OK;
}
