/* A connection to MariaDB, its statements as text. Not for: what they say (tables.c, the designs).
 */
#include "strategy.h"

#include <mysqld_error.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define STATEMENT_MAX 4096
enum { CONNECT_TIMEOUT_S = 5, ANSWER_TIMEOUT_S = 60 };

int sql_open(struct desk *desk) {
    if (desk->sql) {
        return STATUS_OK;
    }
    const struct address *to = desk->sql_address;
    unsigned connect_s = CONNECT_TIMEOUT_S, answer_s = ANSWER_TIMEOUT_S;
    desk->sql = mysql_init(NULL);
    if (!desk->sql) {
        return complain(&desk->why, STATUS_NO_MEMORY, "not enough memory for a connection");
    }
    mysql_optionsv(desk->sql, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
    mysql_optionsv(desk->sql, MYSQL_OPT_READ_TIMEOUT, &answer_s);
    mysql_optionsv(desk->sql, MYSQL_OPT_WRITE_TIMEOUT, &answer_s);
    mysql_optionsv(desk->sql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    if (!mysql_real_connect(desk->sql, to->host, to->user, to->password, to->database, to->port,
                            NULL, 0)) {
        int status = complain(&desk->why, STATUS_IO, "MariaDB on port %u: %s", to->port,
                              mysql_error(desk->sql));
        sql_close(desk);
        return status;
    }
    return STATUS_OK;
}

void sql_close(struct desk *desk) {
    if (desk->sql) {
        mysql_close(desk->sql);
        desk->sql = NULL;
    }
}

/* A key that is taken leaves the connection as it was. */
static int sql_failed(struct desk *desk) {
    int status = mysql_errno(desk->sql) == ER_DUP_ENTRY ? STATUS_EXISTS : STATUS_IO;
    complain(&desk->why, status, "MariaDB: %s", mysql_error(desk->sql));
    if (status == STATUS_IO) {
        sql_close(desk);
    }
    return status;
}

int sql_run_long(struct desk *desk, struct slice statement) {
    int status = sql_open(desk);
    if (status) {
        return status;
    }
    return mysql_real_query(desk->sql, statement.bytes, statement.size) ? sql_failed(desk)
                                                                        : STATUS_OK;
}

static int run_formatted(struct desk *desk, const char *format, va_list arguments) {
    char room[STATEMENT_MAX];
    int size = vsnprintf(room, sizeof(room), format, arguments);
    assert(size > 0 && (size_t)size < sizeof(room));
    return sql_run_long(desk, (struct slice){room, (size_t)size});
}

int sql_run(struct desk *desk, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int status = run_formatted(desk, format, arguments);
    va_end(arguments);
    return status;
}

int sql_read(struct desk *desk, int64_t *ret_values, size_t count, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int status = run_formatted(desk, format, arguments);
    va_end(arguments);
    if (status) {
        return status;
    }
    MYSQL_RES *result = mysql_store_result(desk->sql);
    if (!result) {
        return sql_failed(desk);
    }
    assert(mysql_num_fields(result) == count);
    MYSQL_ROW row = mysql_fetch_row(result);
    for (size_t i = 0; row && i < count; i++) {
        ret_values[i] = row[i] ? strtoll(row[i], NULL, 10) : -1;
    }
    mysql_free_result(result);
    return row ? STATUS_OK : STATUS_NOT_FOUND;
}

const char *sql_text(struct desk *desk, struct slice text, char *room) {
    room[0] = '\0';
    if (sql_open(desk) == STATUS_OK) { /* the statement will say why not */
        mysql_real_escape_string(desk->sql, room, text.bytes, text.size);
    }
    return room;
}
