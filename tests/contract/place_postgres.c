/* A database for each test. */
#include "place.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *postgres_begin(const char *url) {
    PGconn *connection = PQconnectdb(url);
    if (PQstatus(connection) != CONNECTION_OK) {
        fail_msg("%s", PQerrorMessage(connection));
    }
    return connection;
}

static char *postgres_ask(void *session, const char *sql) {
    PGresult *result = PQexec(session, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(session));
    }
    struct buffer rows = {.size = 0};
    for (int row = 0; row < PQntuples(result); row++) {
        for (int i = 0; i < PQnfields(result); i++) {
            buffer_text(&rows, i > 0 ? "|" : row > 0 ? "\n" : "");
            buffer_text(&rows, PQgetisnull(result, row, i) ? "-" : PQgetvalue(result, row, i));
        }
    }
    PQclear(result);
    char *text = strndup(rows.size ? rows.bytes : "", rows.size);
    assert_non_null(text);
    buffer_done(&rows);
    return text;
}

static void postgres_end(void *session) {
    PQfinish(session);
}

static void run(const char *base, const char *sql) {
    void *session = postgres_begin(base);
    free(postgres_ask(session, sql));
    postgres_end(session);
}

static char *postgres_make(const char *base, unsigned number) {
    char name[64];
    char sql[128];
    snprintf(name, sizeof(name), "contract_%d_%u", (int)getpid(), number);
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s", name);
    run(base, sql);
    return url_with_database(base, name);
}

static void postgres_unmake(const char *base, const char *url) {
    char sql[128];
    snprintf(sql, sizeof(sql), "DROP DATABASE %s WITH (FORCE)", url_database(url));
    run(base, sql);
}

const struct place_kind place_postgres = {"postgresql",   postgres_make, postgres_unmake,
                                          postgres_begin, postgres_ask,  postgres_end};
