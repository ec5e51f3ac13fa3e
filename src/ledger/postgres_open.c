/* Opening and closing the PostgreSQL ledger: the URL, its name without a password, the options.
 * For the issuer and verify, through ledger.h. */
#include "ledger/postgres_ledger.h"

#include <stdio.h>
#include <stdlib.h>

#define CONNECT_TIMEOUT_US   (5 * US_PER_SECOND)
#define LOCK_TIMEOUT_US      (2 * US_PER_SECOND)
#define STATEMENT_TIMEOUT_US (30 * US_PER_SECOND)
#define IDLE_TIMEOUT_US      (60 * US_PER_SECOND)

static const struct ledger_operations postgres_operations;

/* ---- the URL ---- */

static const char *option_of(const PQconninfoOption *options, const char *keyword) {
    for (; options->keyword; options++) {
        if (strcmp(options->keyword, keyword) == 0 && options->val && options->val[0]) {
            return options->val;
        }
    }
    return NULL;
}

static int url_invalid(struct complaint *complaint) {
    return complain(complaint, STATUS_INVALID,
                    "the ledger's URL cannot be read; it is postgresql://USER:PASSWORD@HOST:"
                    "PORT/DATABASE, with other characters than letters and digits as %%XX");
}

/* Whether the text has an '@' that does not end the user's part: a password that holds '@' or '/'
 * as it is, of which libpq would take a half for a host, a port or a database, and repeat it. */
static bool has_stray_at(const char *url) {
    const char *rest = strstr(url, "://");
    assert(rest); /* what made it a URL of PostgreSQL's (open_url.c) */
    rest += 3;
    struct slice authority = {rest, strcspn(rest, "/?")};
    struct slice path = {rest + authority.size, strcspn(rest + authority.size, "?")};
    const char *at = authority.size ? memchr(authority.bytes, '@', authority.size) : NULL;
    bool second = at && memrchr(authority.bytes, '@', authority.size) != at;
    return second || (path.size && memchr(path.bytes, '@', path.size));
}

/* What complaints call it. libpq's words about a URL it cannot read are not passed on: they
 * repeat it, with the password. So do those about a port that is none, since that is what it takes
 * a password for whose host was forgotten. */
static int name_make(struct postgres_ledger *ledger, struct complaint *complaint) {
    PQconninfoOption *options =
        has_stray_at(ledger->options.url) ? NULL : PQconninfoParse(ledger->options.url, NULL);
    const char *port = options ? option_of(options, "port") : NULL;
    if (!options || (port && port[strspn(port, "0123456789,")] != '\0')) {
        PQconninfoFree(options);
        return url_invalid(complaint);
    }
    const char *host = option_of(options, "host");
    const char *database = option_of(options, "dbname");
    snprintf(ledger->name, sizeof(ledger->name), "postgresql://%s%s%s/%s", host ? host : "",
             port ? ":" : "", port ? port : "", database ? database : "");
    PQconninfoFree(options);
    return STATUS_OK;
}

/* ---- open and close ---- */

static int64_t or_else(int64_t value, int64_t otherwise) {
    assert(value >= 0);
    return value > 0 ? value : otherwise;
}

static struct postgres_ledger *ledger_make(const struct ledger_sql_options *options) {
    struct postgres_ledger *ledger = calloc(1, sizeof(*ledger));
    char *url = strdup(options->url);
    if (!ledger || !url) {
        free(ledger);
        free(url);
        return NULL;
    }
    ledger->ledger.operations = &postgres_operations;
    ledger->ledger.shared = &postgres_shared_operations;
    ledger->ledger.partitions = &postgres_partition_operations;
    ledger->options = *options;
    ledger->options.url = url;
    ledger->options.connect_timeout_us = or_else(options->connect_timeout_us, CONNECT_TIMEOUT_US);
    ledger->options.lock_timeout_us = or_else(options->lock_timeout_us, LOCK_TIMEOUT_US);
    ledger->options.statement_timeout_us =
        or_else(options->statement_timeout_us, STATEMENT_TIMEOUT_US);
    ledger->options.idle_timeout_us = or_else(options->idle_timeout_us, IDLE_TIMEOUT_US);
    for (size_t i = 0; i < COUNT_OF(ledger->columns); i++) {
        buffer_init(&ledger->columns[i]);
    }
    return ledger;
}

static int postgres_close(struct ledger *base, struct complaint *complaint) {
    struct postgres_ledger *ledger = postgres_of(base);
    (void)complaint;
    postgres_disconnect(ledger);
    for (size_t i = 0; i < COUNT_OF(ledger->columns); i++) {
        buffer_done(&ledger->columns[i]);
    }
    char *url = (char *)ledger->options.url;
    explicit_bzero(url, strlen(url)); /* a password may be in it */
    free(url);
    free(ledger);
    return STATUS_OK;
}

int ledger_postgres_open(const struct ledger_sql_options *options, struct ledger **ret_ledger,
                         struct complaint *complaint) {
    assert(options->url);
    assert(ret_ledger);
    struct postgres_ledger *ledger = ledger_make(options);
    if (!ledger) {
        return complain(complaint, STATUS_NO_MEMORY, "no memory for the ledger");
    }
    int status = name_make(ledger, complaint);
    if (status == STATUS_OK) {
        status = postgres_connect(ledger, complaint);
    }
    if (status < 0) {
        (void)postgres_close(&ledger->ledger, NULL);
        return status;
    }
    ledger->opened = true;
    *ret_ledger = &ledger->ledger;
    return STATUS_OK;
}

static const struct ledger_operations postgres_operations = {
    .close = postgres_close,
    .latest_us = postgres_latest_us,
    .append = postgres_append,
    .import = postgres_import,
    .coupon_create = postgres_coupon_create,
    .creation_read = postgres_creation_read,
    .coupon_change = postgres_coupon_change,
    .coupon_read = postgres_coupon_read,
    .coupons_read = postgres_coupons_read,
    .issue_read = postgres_issue_read,
    .issues_read = postgres_issues_read,
    .audits_read = postgres_audits_read,
    .visit = postgres_visit,
    .probe = postgres_probe,
    .tend = postgres_tend,
    .check = postgres_check,
};
