#include "place.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct place_kind *const kinds[] = {&place_sqlite, &place_postgres, &place_mysql};

struct place {
    char *url;
    struct ledger *ledger;
};

/* ---- URLs ---- */

const char *url_database(const char *url) {
    const char *slash = strrchr(url, '/');
    assert_non_null(slash);
    assert_null(strchr(slash, '?')); /* the suite's servers need no more */
    return slash + 1;
}

char *url_with_database(const char *url, const char *database) {
    char *text = NULL;
    int before = (int)(url_database(url) - url);
    assert_true(asprintf(&text, "%.*s%s", before, url, database) > 0);
    return text;
}

/* ---- the store ---- */

static const char *base_url(void) {
    const char *url = getenv("COUPON_CONTRACT_LEDGER");
    return url ? url : "sqlite:/tmp";
}

static const struct place_kind *kind_of(const char *url) {
    size_t size = strcspn(url, ":");
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (slice_is((struct slice){url, size}, kinds[i]->scheme)) {
            return kinds[i];
        }
    }
    fail_msg("COUPON_CONTRACT_LEDGER: no kind of place is for %.*s", (int)size, url);
    return NULL;
}

bool place_is_shared(void) {
    return kind_of(base_url()) != &place_sqlite;
}

/* ---- ledgers ---- */

static struct ledger *open_place(const char *url) {
    struct ledger_sql_options options = {.url = url};
    struct ledger *ledger = NULL;
    int status = ledger_open_url(&options, &ledger, &complaint);
    if (status != STATUS_OK) {
        fail_msg("open: %s: %s", status_name(status), complaint.text);
    }
    return ledger;
}

const char *url_of(void **state) {
    return ((struct place *)*state)->url;
}

struct ledger *ledger_of(void **state) {
    return ((struct place *)*state)->ledger;
}

struct ledger *ledger_reopened(void **state) {
    struct place *place = *state;
    close_ledger(place->ledger);
    place->ledger = open_place(place->url);
    return place->ledger;
}

struct ledger *ledger_another(void **state) {
    return open_place(url_of(state));
}

void *session_begin(void **state) {
    return kind_of(base_url())->session_begin(url_of(state));
}

char *session_ask(void *session, const char *sql) {
    return kind_of(base_url())->session_ask(session, sql);
}

void session_end(void *session) {
    kind_of(base_url())->session_end(session);
}

void assert_sql(void **state, const char *sql, const char *answer) {
    void *session = session_begin(state);
    char *found = session_ask(session, sql);
    assert_string_equal(found, answer);
    free(found);
    session_end(session);
}

int place_setup(void **state) {
    static unsigned number;
    struct place *place = calloc(1, sizeof(*place));
    assert_non_null(place);
    place->url = kind_of(base_url())->make(base_url(), number++);
    place->ledger = open_place(place->url);
    *state = place;
    return 0;
}

int place_teardown(void **state) {
    struct place *place = *state;
    close_ledger(place->ledger);
    kind_of(base_url())->unmake(base_url(), place->url);
    free(place->url);
    free(place);
    return 0;
}
