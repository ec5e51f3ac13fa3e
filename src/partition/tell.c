/* What a settlement means for Redis: counts, seats that are free again, users that may claim again.
 * See internal.h. */
#include "partition/internal.h"

#include <stdlib.h>

/* Claims by coupon, in their order within it. */
static int by_coupon(const void *a, const void *b) {
    const struct settle_claim *first = *(const struct settle_claim *const *)a;
    const struct settle_claim *second = *(const struct settle_claim *const *)b;
    if (first->coupon_id != second->coupon_id) {
        return first->coupon_id < second->coupon_id ? -1 : 1;
    }
    return (first > second) - (first < second);
}

struct report {
    uint64_t issued; /* at least */
    uint64_t seats;
    size_t forgotten;
};

/* A reject gives its seat back. Who holds one already stays known as a holder. */
static bool is_forgotten(const struct settle_claim *claim) {
    return claim->outcome != SETTLE_ISSUED && claim->outcome != SETTLE_ALREADY_ISSUED;
}

static struct report report_of(const struct settle_claim *const *claims, size_t count) {
    struct report report = {.issued = 0};
    for (size_t i = 0; i < count; i++) {
        report.seats += claims[i]->outcome != SETTLE_ISSUED;
        report.forgotten += is_forgotten(claims[i]);
        bool has_rank = !is_forgotten(claims[i]);
        report.issued =
            has_rank && claims[i]->rank > report.issued ? claims[i]->rank : report.issued;
    }
    return report;
}

/* How many of the claims, from the first on, are of one coupon. */
static size_t run_of(const struct settle_claim *const *claims, size_t count) {
    size_t size = 1;
    while (size < count && claims[size]->coupon_id == claims[0]->coupon_id) {
        size++;
    }
    return size;
}

/* Settled without our being there, the ranks are not among the claims: the ledger counts. Others
 * may have issued more since the cursor was read, and Redis may call it sold out by that. */
static int issued_ask(struct partition_link *link, uint64_t coupon_id, struct report *report,
                      struct complaint *complaint) {
    struct coupon_record *coupon;
    if (report->issued > 0) {
        return STATUS_OK;
    }
    coupon = malloc(sizeof(*coupon));
    int status = coupon ? ledger_coupon_read(link->ledger, coupon_id, coupon) : STATUS_NO_MEMORY;
    if (status == STATUS_OK) {
        report->issued = coupon->issued_quantity;
        status = ledger_barrier(link->ledger, ledger_session(link->ledger), complaint);
    }
    free(coupon);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static int report_words(struct partition_link *link, const struct settle_claim *const *claims,
                        size_t count, struct words *arguments, struct complaint *complaint) {
    struct report report = report_of(claims, count);
    int status = issued_ask(link, claims[0]->coupon_id, &report, complaint);
    if (status) {
        return status;
    }
    words_number(arguments, (int64_t)report.issued);
    words_number(arguments, (int64_t)report.seats);
    words_number(arguments, (int64_t)report.forgotten);
    for (size_t i = 0; i < count; i++) {
        if (is_forgotten(claims[i])) {
            words_text(arguments, claims[i]->user_id);
            words_text(arguments, claims[i]->claim_id);
        }
    }
    return STATUS_OK;
}

static int told(void *context, const redisReply *reply) {
    (void)context;
    return reply_is(reply, "apart") ? STATUS_CONFLICT : STATUS_OK; /* closed: a rebuild will load */
}

/* The claims that are of a coupon, by coupon. */
static size_t order(const struct settle_claim *claims, size_t count,
                    const struct settle_claim **ret_ordered) {
    size_t readable = 0;
    for (size_t i = 0; i < count; i++) {
        if (claims[i].coupon_id != 0) {
            ret_ordered[readable++] = &claims[i];
        }
    }
    qsort(ret_ordered, readable, sizeof(ret_ordered[0]), by_coupon);
    return readable;
}

static int gather(struct partition_link *link, const struct ledger_cursor *last,
                  const struct settle_claim *const *claims, size_t count, struct words *keys,
                  struct words *arguments, struct complaint *complaint) {
    size_t coupons = 0;
    for (size_t at = 0; at < count; at += run_of(claims + at, count - at)) {
        coupons++;
    }
    words_number(arguments, (int64_t)coupons);
    for (size_t at = 0; at < count;) {
        size_t size = run_of(claims + at, count - at);
        struct partition_key meta = partition_key_meta(claims[at]->coupon_id);
        struct partition_key holders = partition_key_holders(claims[at]->coupon_id, last->epoch);
        words_key(keys, &meta);
        words_key(keys, &holders);
        int status = report_words(link, claims + at, size, arguments, complaint);
        if (status) {
            return status;
        }
        at += size;
    }
    return STATUS_OK;
}

/* The arguments behind the keys, as one list. */
static void append(struct words *words, const struct words *more) {
    for (size_t i = 0; i < more->count; i++) {
        const struct word *word = &more->list[i];
        words_text(words,
                   (struct slice){word->bytes ? word->bytes : more->texts.bytes + word->offset,
                                  word->size});
    }
    words->failed |= more->failed || more->texts.failed;
}

int tell_settled(struct partition_link *link, const struct ledger_cursor *last, uint64_t first_n,
                 const struct settle_claim *claims, size_t count, struct complaint *complaint) {
    const struct settle_claim **ordered = calloc(count + 1, sizeof(*ordered));
    if (!ordered) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory to tell Redis");
    }
    struct words words, arguments;
    struct partition_key gate = partition_key_gate(last->partition);
    struct partition_key queue = partition_key_queue(last->partition, last->epoch);
    words_init(&words);
    words_init(&arguments);
    words_key(&words, &gate);
    words_key(&words, &queue);
    words_number(&arguments, (int64_t)last->epoch);
    words_number(&arguments, (int64_t)first_n);
    words_number(&arguments, (int64_t)last->n);
    int status =
        gather(link, last, ordered, order(claims, count, ordered), &words, &arguments, complaint);
    size_t key_count = words.count;
    append(&words, &arguments);
    if (status == STATUS_OK) {
        status = words_call(link, "coupon_settled", key_count, &words, told, NULL, complaint);
    }
    words_done(&words);
    words_done(&arguments);
    free(ordered);
    return status;
}
