/* coupon rebuild: shuts the gate of partitions, settles what Redis still has of them, begins their
 * next epoch in the ledger and opens it. API nodes and workers do this by themselves where they see
 * a need; this is for an operator who knows of one that they cannot see. */
#include "cli/options.h"
#include "cli/queue_link.h"

#include <stdio.h>

enum option { OPTION_REDIS, OPTION_LEDGER, OPTION_PARTITION, OPTION_WEAK_DURABILITY, OPTION_COUNT };

static const struct option_spec specs[] = {
    [OPTION_REDIS] = {"redis", "URL", "as for coupon worker", NULL},
    [OPTION_LEDGER] = {"ledger", "URL", "the SQL server's database, as for coupon worker", NULL},
    [OPTION_PARTITION] = {"partition", "N|all",
                          "which one, 0 to 63 (of a coupon: its id modulo 64), or all that were "
                          "ever used",
                          "all"},
    [OPTION_WEAK_DURABILITY] = {"allow-weak-durability", NULL,
                                "take a SQL server whose settings may lose what it confirmed",
                                NULL},
    [OPTION_COUNT] = {NULL, NULL, NULL, NULL},
};

static int cursor_read(struct partition_link *link, unsigned partition,
                       struct ledger_cursor *ret_cursor, struct complaint *complaint) {
    struct ledger_cursor cursors[PARTITION_COUNT];
    int status = ledger_cursors_read(partition_link_ledger(link), cursors);
    if (status) {
        return complain(complaint, status, "the ledger's cursors cannot be read (%s)",
                        status_name(status));
    }
    *ret_cursor = cursors[partition];
    return STATUS_OK;
}

/* What the gate says to be admitted and the queue did not have; at least, since some may have come
 * between. */
static uint64_t missing_of(const struct partition_status *before,
                           const struct ledger_cursor *drained) {
    bool same = before->epoch == drained->epoch && before->n > drained->n;
    return same ? before->n - drained->n : 0;
}

static int rebuild(struct partition_link *link, unsigned partition, struct complaint *complaint) {
    struct ledger_cursor former, drained;
    struct partition_status gate = {.epoch = 0};
    uint64_t epoch = 0;
    int status = cursor_read(link, partition, &former, complaint);
    if (status == STATUS_OK && former.epoch > 0) {
        status = partition_status_read(link, partition, former.epoch, &gate, complaint);
    }
    if (status == STATUS_OK) {
        status = partition_drain(link, partition, complaint);
    }
    if (status == STATUS_OK) {
        status = cursor_read(link, partition, &drained, complaint);
    }
    if (status == STATUS_OK) {
        status = partition_reopen(link, partition, true, &epoch, complaint);
    }
    if (status) {
        return status;
    }
    bool same = drained.epoch == former.epoch; /* else another has begun one meanwhile */
    printf("partition %u: epoch %llu -> %llu, entries settled on the way: %llu, missing: %llu\n",
           partition, (unsigned long long)former.epoch, (unsigned long long)epoch,
           (unsigned long long)(same ? drained.n - former.n : 0),
           (unsigned long long)missing_of(&gate, &drained));
    return STATUS_OK;
}

static int rebuild_all(struct partition_link *link, struct complaint *complaint) {
    struct ledger_cursor cursor = {.epoch = 0};
    unsigned unused = 0;
    for (unsigned p = 0; p < PARTITION_COUNT; p++) {
        int status = cursor_read(link, p, &cursor, complaint);
        if (status == STATUS_OK && cursor.epoch > 0) {
            status = rebuild(link, p, complaint);
        }
        if (status) {
            return status;
        }
        unused += cursor.epoch == 0;
    }
    if (unused > 0) {
        printf("%u partitions were never used\n", unused);
    }
    return STATUS_OK;
}

static int run(const char *const *values, bool all, unsigned partition) {
    struct complaint complaint = {0};
    struct ledger *ledger = NULL;
    struct partition_link *link = NULL;
    struct queue_urls urls = {
        .ledger = values[OPTION_LEDGER],
        .redis = values[OPTION_REDIS],
        .weak_durability = values[OPTION_WEAK_DURABILITY] != NULL,
    };
    int status = queue_link_open(&urls, &ledger, &link, &complaint);
    if (status == STATUS_OK) {
        status = all ? rebuild_all(link, &complaint) : rebuild(link, partition, &complaint);
    }
    queue_link_close(ledger, link);
    if (status) {
        fprintf(stderr, "coupon rebuild: %s\n",
                complaint.text[0] ? complaint.text : status_name(status));
    }
    return status ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

int command_rebuild(int argc, char **argv) {
    const char *values[OPTION_COUNT];
    bool help = false;
    uint64_t partition = 0;
    if (!options_read("rebuild", specs, argc, argv, values, &help)) {
        if (help) {
            printf("coupon rebuild: begin the queues of Redis anew, by hand\n\n"
                   "usage: coupon rebuild --redis URL --ledger URL [--partition N]\n\n");
            options_print(specs);
            printf(
                "\nShuts each partition's gate, settles what Redis has of its queue, begins the\n"
                "next epoch in the ledger and opens it. Nodes and workers may go on; they do\n"
                "this by themselves after a loss that they can see. Entries that are missing in\n"
                "Redis are admissions that are lost: claims that still wait are admitted again.\n"
                "Exit code 0: done; 1: not, or not all, the reason is on stderr; 2: wrong\n"
                "options.\n");
        }
        return help ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    }
    if (!values[OPTION_REDIS] || !values[OPTION_LEDGER]) {
        fprintf(stderr, "coupon rebuild: --redis and --ledger must be given\n");
        return EXIT_CODE_USAGE;
    }
    bool all = strcmp(values[OPTION_PARTITION], "all") == 0;
    if (!all && !option_number(&specs[OPTION_PARTITION], values[OPTION_PARTITION], 0,
                               PARTITION_COUNT - 1, &partition)) {
        return EXIT_CODE_USAGE;
    }
    return run(values, all, (unsigned)partition);
}
