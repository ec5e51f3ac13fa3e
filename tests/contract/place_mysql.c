/* A database for each test, on MariaDB or MySQL. */
#include "place.h"

#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* %XX of a part of a URL becomes the byte. */
static void decode(char *text) {
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned byte = 0;
        if (sscanf(from, "%%%2x", &byte) == 1) {
            *to = (char)byte;
            from += 3;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* At the server of a URL as tests/servers makes them. */
static void *mysql_begin(const char *base) {
    char user[64], password[64], host[64];
    unsigned port;
    assert_int_equal(
        sscanf(base, "mysql://%63[^:]:%63[^@]@%63[^:]:%u/", user, password, host, &port), 4);
    decode(password);
    MYSQL *connection = mysql_init(NULL);
    assert_non_null(connection);
    if (!mysql_real_connect(connection, host, user, password, url_database(base), port, NULL, 0)) {
        fail_msg("%s", mysql_error(connection));
    }
    return connection;
}

static char *mysql_ask(void *session, const char *sql) {
    if (mysql_query(session, sql) != 0) {
        fail_msg("%s: %s", sql, mysql_error(session));
    }
    struct buffer rows = {.size = 0};
    MYSQL_RES *result = mysql_store_result(session); /* NULL: it gives no rows */
    for (MYSQL_ROW row; result && (row = mysql_fetch_row(result)) != NULL;) {
        buffer_text(&rows, rows.size > 0 ? "\n" : "");
        for (unsigned i = 0; i < mysql_num_fields(result); i++) {
            buffer_text(&rows, i > 0 ? "|" : "");
            buffer_text(&rows, row[i] ? row[i] : "-");
        }
    }
    mysql_free_result(result);
    char *text = strndup(rows.size ? rows.bytes : "", rows.size);
    assert_non_null(text);
    buffer_done(&rows);
    return text;
}

static void mysql_end(void *session) {
    mysql_close(session);
}

static void run(const char *base, const char *sql) {
    void *session = mysql_begin(base);
    free(mysql_ask(session, sql));
    mysql_end(session);
}

static char *mysql_make(const char *base, unsigned number) {
    char name[64];
    char sql[128];
    snprintf(name, sizeof(name), "contract_%d_%u", (int)getpid(), number);
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s", name);
    run(base, sql);
    return url_with_database(base, name);
}

static void mysql_unmake(const char *base, const char *url) {
    char sql[128];
    snprintf(sql, sizeof(sql), "DROP DATABASE %s", url_database(url));
    run(base, sql);
}

const struct place_kind place_mysql = {"mysql",     mysql_make, mysql_unmake,
                                       mysql_begin, mysql_ask,  mysql_end};
