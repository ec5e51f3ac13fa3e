/* Where a test of the contract opens its ledger: a place of its own, empty at first, in the store
 * that COUPON_CONTRACT_LEDGER names. run.py here starts servers and sets it.
 *
 *   sqlite:DIRECTORY        a new folder in DIRECTORY (this, with /tmp, when it is not set)
 *   postgresql://…/DATABASE a new database beside DATABASE, which is only connected to
 *   mysql://…/DATABASE      the same */
#ifndef COUPON_TESTS_CONTRACT_PLACE_H
#define COUPON_TESTS_CONTRACT_PLACE_H

#include "rows.h"

/* One kind of store. */
struct place_kind {
    const char *scheme; /* what the URL begins with, without "://" or ":" */
    /* Makes an empty place and returns its URL, the caller's to free. `base` is the environment's
     * URL, `number` differs from call to call. */
    char *(*make)(const char *base, unsigned number);
    void (*unmake)(const char *base, const char *url);
    /* A session of the test's own in the place, and SQL there; as place_session_… below. The
     * stores that are one program's have none. */
    void *(*session_begin)(const char *url);
    char *(*session_ask)(void *session, const char *sql);
    void (*session_end)(void *session);
};

extern const struct place_kind place_sqlite;   /* place_sqlite.c */
extern const struct place_kind place_postgres; /* place_postgres.c */
extern const struct place_kind place_mysql;    /* place_mysql.c */

/* DATABASE of SCHEME://…/DATABASE, and the same URL with another one, the caller's to free. */
const char *url_database(const char *url);
char *url_with_database(const char *url, const char *database);

/* ---- for the tests ---- */

/* Whether the store is a server that any number of programs use at once. */
bool place_is_shared(void);
/* The URL of the test's place. */
const char *url_of(void **state);
/* The ledger in the test's place, open. */
struct ledger *ledger_of(void **state);
/* The same after it was closed and opened again. */
struct ledger *ledger_reopened(void **state);
/* One more ledger in the place: what another program has. The caller closes it. */
struct ledger *ledger_another(void **state);
/* A session at the server that is no ledger's: to look behind the ledger, and to be in its way. */
void *session_begin(void **state);
/* The answer's rows, each "A|B|…" (NULL: "-"), one a line; the caller's to free. */
char *session_ask(void *session, const char *sql);
void session_end(void *session);
/* Runs it in a session of its own; the answer must be this one. */
void assert_sql(void **state, const char *sql, const char *answer);

int place_setup(void **state);
int place_teardown(void **state);
#define with_ledger(test) cmocka_unit_test_setup_teardown(test, place_setup, place_teardown)

#endif
