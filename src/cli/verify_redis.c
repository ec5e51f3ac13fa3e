/* Redis against the record: gates against cursors, and the queues; then the coupons
 * (verify_coupons.c). See verify_redis.h. Not for: the record itself (verify.c). */
#include "cli/verify_redis.h"
#include "cli/options.h"
#include "cli/verify_compare.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Lines printed. */
enum { LINES_SHOWN_MAX = 1000 };

void compare_tell(struct comparison *comparison, const char *what, const char *format, ...) {
    va_list arguments;
    if (++comparison->lines > LINES_SHOWN_MAX) {
        return;
    }
    va_start(arguments, format);
    printf("%s: ", what);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

/* ---- a partition's queue ---- */

/* What one XRANGE came to. */
struct queue_reading {
    struct comparison *comparison;
    struct compared *partition;
    unsigned number;
    size_t elements;
};

static int flight_add(struct compared *partition, const struct partition_entry *entry) {
    if (partition->flight_count == partition->flight_capacity) {
        size_t capacity = partition->flight_capacity * 2 + 64;
        struct flight *flights = realloc(partition->flights, capacity * sizeof(flights[0]));
        if (!flights) {
            return STATUS_NO_MEMORY;
        }
        partition->flights = flights;
        partition->flight_capacity = capacity;
    }
    partition->flights[partition->flight_count++] =
        (struct flight){entry->n, entry->coupon_id, entry->claim_count};
    return STATUS_OK;
}

static int entries_take(void *context, const redisReply *reply) {
    struct queue_reading *reading = context;
    struct complaint *complaint = reading->comparison->complaint;
    if (reply->type != REDIS_REPLY_ARRAY) {
        return complain(complaint, STATUS_IO, "Redis did not answer with entries");
    }
    reading->elements = reply->elements;
    for (size_t i = 0; i < reply->elements; i++) {
        struct partition_entry entry;
        if (partition_entry_read(reply->element[i], reading->number, &entry)) {
            return complain(complaint, STATUS_IO,
                            "partition %u: an entry of the queue has no number", reading->number);
        }
        if (flight_add(reading->partition, &entry)) {
            return complain(complaint, STATUS_NO_MEMORY, "not enough memory for a queue");
        }
    }
    return STATUS_OK;
}

static int queue_read(struct comparison *comparison, unsigned number, uint64_t epoch) {
    struct compared *partition = &comparison->partitions[number];
    struct partition_key key = partition_key_queue(number, epoch);
    struct queue_reading reading = {comparison, partition, number, COMPARE_SLICE};
    uint64_t last_n = 0;
    char from[32], count[16];
    snprintf(count, sizeof(count), "%d", COMPARE_SLICE);
    while (reading.elements == COMPARE_SLICE) {
        snprintf(from, sizeof(from), "(%llu-0", (unsigned long long)last_n);
        struct slice words[] = {slice_of("XRANGE"), partition_key_view(&key), slice_of(from),
                                slice_of("+"),      slice_of("COUNT"),        slice_of(count)};
        int status = partition_call(comparison->link, words[1], words, COUNT_OF(words),
                                    entries_take, &reading, comparison->complaint);
        if (status) {
            return status;
        }
        last_n = partition->flight_count ? partition->flights[partition->flight_count - 1].n : 0;
    }
    return STATUS_OK;
}

/* Entries that left the queue while it was read are settled, and so not behind the cursor. */
static uint64_t gap_of(const struct compared *partition) {
    uint64_t next = partition->cursor.n + 1;
    for (size_t i = 0; i < partition->flight_count; i++) {
        uint64_t n = partition->flights[i].n;
        if (n > next) {
            return next;
        }
        next = n == next ? n + 1 : next;
    }
    return next <= partition->gate.n ? next : 0;
}

/* ---- a partition ---- */

int compare_cursors(struct comparison *comparison,
                    struct ledger_cursor ret_cursors[static PARTITION_COUNT]) {
    int status = ledger_cursors_read(comparison->ledger, ret_cursors);
    return status ? complain(comparison->complaint, status,
                             "the ledger's cursors cannot be read (%s)", status_name(status))
                  : STATUS_OK;
}

/* Whether the coupons can be compared by it. */
static bool judge_gate(struct comparison *comparison, const struct compared *partition) {
    const struct partition_status *gate = &partition->gate;
    const struct ledger_cursor *cursor = &partition->cursor;
    unsigned long long epoch = cursor->epoch;
    if (gate->epoch > cursor->epoch) {
        VIOLATION(comparison, "I3",
                  "partition %u: Redis admits for epoch %llu, and the ledger knows %llu only: the "
                  "ledger was set back",
                  cursor->partition, (unsigned long long)gate->epoch, epoch);
        return false;
    }
    if (gate->epoch == 0) {
        DIFFERENCE(
            comparison,
            "partition %u: its gate is shut; it opens for epoch %llu with the next claim, or "
            "by itself within seconds",
            cursor->partition, epoch + 1);
        return false;
    }
    if (gate->epoch < cursor->epoch || !gate->open) {
        DIFFERENCE(comparison,
                   "partition %u: its gate is of epoch %llu%s and admits nothing; it opens anew "
                   "with the next claim, or by itself within seconds",
                   cursor->partition, (unsigned long long)gate->epoch,
                   gate->open ? "" : " of a server that was restarted or replaced");
        return false;
    }
    if (gate->settled_n > cursor->n) {
        VIOLATION(
            comparison, "I6", "partition %u: Redis has %llu entries settled, and the ledger %llu",
            cursor->partition, (unsigned long long)gate->settled_n, (unsigned long long)cursor->n);
    }
    return true;
}

static void judge_queue(struct comparison *comparison, struct compared *partition) {
    uint64_t entries = 0, claims = 0, untrimmed = 0;
    unsigned number = partition->cursor.partition;
    for (size_t i = 0; i < partition->flight_count; i++) {
        bool behind = partition->flights[i].n > partition->cursor.n;
        entries += behind;
        claims += behind ? partition->flights[i].claim_count : 0;
        untrimmed += !behind;
    }
    comparison->in_flight += claims;
    if (entries > 0) {
        DIFFERENCE(comparison,
                   "partition %u: %llu entries with %llu claims are in flight; a worker settles "
                   "them",
                   number, (unsigned long long)entries, (unsigned long long)claims);
    }
    if (untrimmed > 0) {
        DIFFERENCE(
            comparison,
            "partition %u: %llu entries are settled and still in Redis, which a worker tells "
            "it",
            number, (unsigned long long)untrimmed);
    }
    partition->gap_n = partition->usable ? gap_of(partition) : 0;
    if (partition->gap_n > 0) {
        DIFFERENCE(comparison,
                   "partition %u: entry %llu is missing in Redis: admissions from there on are "
                   "lost; a worker begins a new epoch",
                   number, (unsigned long long)partition->gap_n);
    }
}

static int compare_partition(struct comparison *comparison, unsigned number, uint64_t epoch) {
    struct compared *partition = &comparison->partitions[number];
    struct ledger_cursor cursors[PARTITION_COUNT];
    int status = partition_status_read(comparison->link, number, epoch, &partition->gate,
                                       comparison->complaint);
    if (status == STATUS_OK) {
        status = queue_read(comparison, number, epoch);
    }
    if (status == STATUS_OK) {
        status = compare_cursors(comparison, cursors);
    }
    if (status) {
        return status;
    }
    comparison->used++;
    partition->cursor = cursors[number];
    if (partition->cursor.epoch != epoch) {
        DIFFERENCE(comparison, "partition %u: it began a new epoch meanwhile; not compared",
                   number);
        return STATUS_OK;
    }
    partition->usable = judge_gate(comparison, partition);
    judge_queue(comparison, partition);
    return STATUS_OK;
}

/* ---- the whole ---- */

static int compare(struct comparison *comparison) {
    struct ledger_cursor cursors[PARTITION_COUNT];
    int status = compare_cursors(comparison, cursors);
    for (unsigned p = 0; status == STATUS_OK && p < PARTITION_COUNT; p++) {
        if (cursors[p].epoch > 0) {
            status = compare_partition(comparison, p, cursors[p].epoch);
        }
    }
    return status ? status : compare_coupons(comparison);
}

static int conclude(const struct comparison *comparison, int status) {
    if (status) {
        fprintf(stderr, "coupon verify: Redis was not compared (%s): %s\n", status_name(status),
                comparison->complaint->text);
        return comparison->violations ? EXIT_CODE_FAILED : EXIT_CODE_USAGE;
    }
    printf("\nRedis: %llu partitions in use, %llu coupons loaded, %llu claims in flight, %llu lost "
           "admissions, %llu differences: ",
           (unsigned long long)comparison->used, (unsigned long long)comparison->coupons,
           (unsigned long long)comparison->in_flight, (unsigned long long)comparison->lost,
           (unsigned long long)comparison->differences);
    if (comparison->violations) {
        printf("%llu violations\n", (unsigned long long)comparison->violations);
        return EXIT_CODE_FAILED;
    }
    printf("no violation\n");
    return EXIT_CODE_OK;
}

static void comparison_free(struct comparison *comparison) {
    for (size_t p = 0; p < PARTITION_COUNT; p++) {
        free(comparison->partitions[p].flights);
    }
    buffer_done(&comparison->texts);
    free(comparison->holders);
    free(comparison->claims);
    free(comparison);
}

int verify_redis(const char *redis_url, const char *ledger_url) {
    struct complaint complaint = {0};
    struct comparison *comparison = calloc(1, sizeof(*comparison));
    struct settle_claim *claims = calloc(SETTLE_CLAIMS_MAX, sizeof(*claims));
    if (!comparison || !claims) {
        free(comparison);
        free(claims);
        fprintf(stderr, "coupon verify: not enough memory\n");
        return EXIT_CODE_USAGE;
    }
    comparison->complaint = &complaint;
    comparison->claims = claims;
    buffer_init(&comparison->texts);
    struct queue_urls urls = {.ledger = ledger_url, .redis = redis_url, .reads_only = true};
    int status = queue_link_open(&urls, &comparison->ledger, &comparison->link, &complaint);
    if (status == STATUS_OK) {
        status = compare(comparison);
        queue_link_close(comparison->ledger, comparison->link);
    }
    int exit_code = conclude(comparison, status);
    comparison_free(comparison);
    return exit_code;
}
