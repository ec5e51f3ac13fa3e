/* Opening and closing the MariaDB and MySQL ledger. Through open.h, for cli. */
#include "ledger/mysql_ledger.h"

#include <stdio.h>
#include <stdlib.h>

#define CONNECT_TIMEOUT_US   (5 * US_PER_SECOND)
#define LOCK_TIMEOUT_US      (2 * US_PER_SECOND)
#define STATEMENT_TIMEOUT_US (30 * US_PER_SECOND)
#define IDLE_TIMEOUT_US      (60 * US_PER_SECOND)

static int maria_close(struct ledger *base, struct complaint *complaint) {
    (void)complaint;
    struct mysql_ledger *ledger = mysql_of(base);
    assert(!ledger->in_transaction);
    maria_disconnect(ledger);
    maria_url_done(&ledger->url);
    buffer_done(&ledger->statement);
    free(ledger);
    return STATUS_OK;
}

static const struct ledger_operations mysql_operations = {
    .close = maria_close,
    .latest_us = maria_latest_us,
    .append = maria_append,
    .import = maria_import,
    .coupon_create = maria_coupon_create,
    .creation_read = maria_creation_read,
    .coupon_change = maria_coupon_change,
    .coupon_read = maria_coupon_read,
    .coupons_read = maria_coupons_read,
    .issue_read = maria_issue_read,
    .issues_read = maria_issues_read,
    .audits_read = maria_audits_read,
    .visit = maria_visit,
    .probe = maria_probe,
    .tend = maria_tend,
    .check = maria_check,
};

static void timeouts_default(struct ledger_sql_options *options) {
    struct {
        int64_t *timeout_us;
        int64_t fallback_us;
    } timeouts[] = {
        {&options->connect_timeout_us, CONNECT_TIMEOUT_US},
        {&options->lock_timeout_us, LOCK_TIMEOUT_US},
        {&options->statement_timeout_us, STATEMENT_TIMEOUT_US},
        {&options->idle_timeout_us, IDLE_TIMEOUT_US},
    };
    for (size_t i = 0; i < COUNT_OF(timeouts); i++) {
        assert(*timeouts[i].timeout_us >= 0);
        if (*timeouts[i].timeout_us == 0) {
            *timeouts[i].timeout_us = timeouts[i].fallback_us;
        }
    }
}

/* A name nobody else has: two ledgers of one process are two sessions. */
static void session_lock_name(struct mysql_ledger *ledger) {
    struct digest_key random;
    digest_key_random(&random);
    size_t size = (size_t)snprintf(ledger->session_lock, sizeof(ledger->session_lock), "coupon.");
    for (size_t i = 0; i < sizeof(random.bytes); i++) {
        size += (size_t)snprintf(ledger->session_lock + size, sizeof(ledger->session_lock) - size,
                                 "%02x", random.bytes[i]);
    }
}

static int prepare(struct mysql_ledger *ledger, const struct ledger_sql_options *options,
                   struct complaint *complaint) {
    ledger->ledger.operations = &mysql_operations;
    ledger->ledger.shared = &maria_shared_operations;
    ledger->ledger.partitions = &maria_partition_operations;
    ledger->options = *options;
    ledger->options.url = NULL;
    timeouts_default(&ledger->options);
    buffer_init(&ledger->statement);
    session_lock_name(ledger);
    int status = maria_url_parse(&ledger->url, options->url, complaint);
    if (status == STATUS_OK) {
        const struct mysql_url *url = &ledger->url;
        snprintf(ledger->name, sizeof(ledger->name), "mysql://%s@%s:%u/%s", url->user, url->host,
                 url->port, url->database);
    }
    return status;
}

/* existing_only changes nothing: older tables are for a program that may. */
static int tables_check(struct mysql_ledger *ledger, struct complaint *complaint) {
    uint32_t version = 0;
    int status = maria_version_read(ledger, &version, complaint);
    if (status < 0 || version == MYSQL_LEDGER_VERSION) {
        return status;
    }
    if (!ledger->options.existing_only) {
        return maria_migrate(ledger, maria_migrations, MYSQL_LEDGER_VERSION, complaint);
    }
    return version == 0
               ? complain(complaint, STATUS_NOT_FOUND, "there is no ledger in %s", ledger->name)
               : complain(complaint, STATUS_CONFLICT,
                          "%s was written by an older coupon (version %u of its tables, this one "
                          "knows %d); start coupon serve on it once, which brings it up to date",
                          ledger->name, version, MYSQL_LEDGER_VERSION);
}

int ledger_mysql_open(const struct ledger_sql_options *options, struct ledger **ret_ledger,
                      struct complaint *complaint) {
    struct mysql_ledger *ledger = calloc(1, sizeof(*ledger));
    if (!ledger) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for a ledger");
    }
    int status = prepare(ledger, options, complaint);
    if (status == STATUS_OK) {
        status = maria_connect(ledger, complaint);
    }
    if (status == STATUS_OK) {
        status = tables_check(ledger, complaint);
    }
    if (status < 0) {
        (void)maria_close(&ledger->ledger, NULL);
        return status;
    }
    *ret_ledger = &ledger->ledger;
    return STATUS_OK;
}
