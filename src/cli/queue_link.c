/* See queue_link.h. */
#include "cli/queue_link.h"

/* An operator waits, so longer than a node would. */
static const int64_t CALL_TIMEOUT_US = 5 * US_PER_SECOND;

static int open_alone(const struct ledger_sql_options *options, struct ledger **ret_ledger,
                      struct complaint *complaint) {
    struct ledger *ledger;
    int status = ledger_open_url(options, &ledger, complaint);
    if (status == STATUS_OK && !ledger_is_shared(ledger)) {
        ledger_close(ledger, NULL);
        return complain(complaint, STATUS_INVALID, "a ledger in a file has no queue before it");
    }
    if (status == STATUS_OK) {
        *ret_ledger = ledger;
    }
    return status;
}

static int open_link(const struct queue_urls *urls, const struct ledger_sql_options *ledger,
                     struct partition_link **ret_link, struct complaint *complaint) {
    struct partition_link *link;
    struct partition_link_options options = {
        .redis = {.url = urls->redis, .call_timeout_us = CALL_TIMEOUT_US},
        .ledger = *ledger,
    };
    int status = partition_link_open(&options, &link, complaint);
    if (status) {
        return status;
    }
    struct partition_key gate = partition_key_gate(0);
    struct slice words[] = {slice_of("EXISTS"), partition_key_view(&gate)};
    status = partition_call(link, words[1], words, COUNT_OF(words), NULL, NULL, complaint);
    if (status) {
        partition_link_close(link);
        return status;
    }
    *ret_link = link;
    return STATUS_OK;
}

int queue_link_open(const struct queue_urls *urls, struct ledger **ret_ledger,
                    struct partition_link **ret_link, struct complaint *complaint) {
    struct ledger_sql_options ledger = {
        .url = urls->ledger,
        .existing_only = urls->reads_only,
        .weak_durability = urls->weak_durability,
    };
    if (!urls->redis) {
        *ret_link = NULL;
        return open_alone(&ledger, ret_ledger, complaint);
    }
    int status = open_link(urls, &ledger, ret_link, complaint);
    if (status == STATUS_OK) {
        *ret_ledger = partition_link_ledger(*ret_link);
    }
    return status;
}

void queue_link_close(struct ledger *ledger, struct partition_link *link) {
    if (link) {
        partition_link_close(link);
    } else {
        ledger_close(ledger, NULL);
    }
}
