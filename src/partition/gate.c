/* Gates: opening, closing, the rebuild that begins an epoch, and loading coupons. See partition.h.
 *
 * The ledger's epoch is the truth; a gate says which epoch a Redis server admits for. Every step
 * can be done by several programs at once and stopped anywhere: closing and opening name the epoch
 * they mean, and of two that raise it in the ledger one finds it raised. */
#include "partition/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Another program that settles the same queue is waited for so often, so long. */
#define BUSY_TURNS_MAX 400
static const int64_t BUSY_PAUSE_US = 5000;
/* Two servers that claim to be the master, or a Redis that restarts all the time. */
#define REOPEN_TURNS_MAX 8
/* Longer than from the beginning of an epoch in the ledger to the opening of its gate. */
static const int64_t REOPEN_PAUSE_US = 20000;

static void pause_us(int64_t pause_us) {
    struct timespec pause = {.tv_nsec = pause_us * 1000};
    nanosleep(&pause, NULL);
}

/* ---- status ---- */

static int status_take(void *context, const redisReply *reply) {
    struct partition_status *status = context;
    uint64_t own, oldest;
    if (!reply_is(reply, "ok") || reply_number(reply, 1, &status->epoch) ||
        reply_number(reply, 2, &status->n) || reply_number(reply, 3, &status->settled_n) ||
        reply_number(reply, 4, &own) || reply_number(reply, 5, &status->queued) ||
        reply_number(reply, 6, &oldest)) {
        return STATUS_DAMAGED;
    }
    status->open = status->epoch > 0 && own == 1;
    status->oldest_us = (int64_t)oldest;
    return STATUS_OK;
}

int partition_status_read(struct partition_link *link, unsigned partition, uint64_t epoch,
                          struct partition_status *ret_status, struct complaint *complaint) {
    struct words words;
    struct partition_key gate = partition_key_gate(partition);
    struct partition_key queue = partition_key_queue(partition, epoch);
    words_init(&words);
    words_key(&words, &gate);
    words_key(&words, &queue);
    int status = words_call(link, "coupon_status", 2, &words, status_take, ret_status, complaint);
    words_done(&words);
    return status;
}

/* ---- closing ---- */

static int gate_call(struct partition_link *link, const char *function, unsigned partition,
                     uint64_t epoch, partition_take *take, void *context,
                     struct complaint *complaint) {
    struct words words;
    struct partition_key gate = partition_key_gate(partition);
    words_init(&words);
    words_key(&words, &gate);
    words_number(&words, (int64_t)epoch);
    int status = words_call(link, function, 1, &words, take, context, complaint);
    words_done(&words);
    return status;
}

/* Settles until nothing is left that can be: STATUS_OK, also where entries are missing. */
static int settle_rest(struct partition_link *link, unsigned partition,
                       struct complaint *complaint) {
    struct partition_progress progress = {.more = true};
    int busy = 0;
    while (progress.more) {
        int status = partition_settle(link, partition, &progress, complaint);
        if (status == STATUS_BUSY && busy++ < BUSY_TURNS_MAX) {
            pause_us(BUSY_PAUSE_US);
            progress.more = true;
        } else if (status == STATUS_CONFLICT) {
            return STATUS_OK;
        } else if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

static int close_and_settle(struct partition_link *link, const struct ledger_cursor *cursor,
                            struct complaint *complaint) {
    if (cursor->epoch == 0) {
        return STATUS_OK;
    }
    int status =
        gate_call(link, "coupon_close", cursor->partition, cursor->epoch, NULL, NULL, complaint);
    return status ? status : settle_rest(link, cursor->partition, complaint);
}

int partition_drain(struct partition_link *link, unsigned partition, struct complaint *complaint) {
    struct ledger_cursor cursor;
    int status = link_cursor_anew(link, partition, &cursor, complaint);
    return status ? status : close_and_settle(link, &cursor, complaint);
}

/* ---- opening ---- */

static int open_take(void *context, const redisReply *reply) {
    uint64_t *epoch = context;
    if (!reply_is(reply, "ok")) {
        return STATUS_CONFLICT;
    }
    return reply_number(reply, 1, epoch);
}

static void queue_remove(struct partition_link *link, unsigned partition, uint64_t epoch) {
    struct partition_key queue = partition_key_queue(partition, epoch);
    struct slice words[] = {slice_of("UNLINK"), partition_key_view(&queue)};
    /* What stays behind is memory, no more. */
    if (partition_call(link, words[1], words, COUNT_OF(words), NULL, NULL, NULL) != STATUS_OK) {
        return;
    }
}

static bool is_as_it_should(struct partition_link *link, const struct ledger_cursor *cursor,
                            int *status, struct complaint *complaint) {
    struct partition_status present;
    *status = partition_status_read(link, cursor->partition, cursor->epoch, &present, complaint);
    return *status == STATUS_OK && cursor->epoch > 0 && present.open &&
           present.epoch == cursor->epoch;
}

struct reopening {
    struct partition_link *link;
    unsigned partition;
    bool always;
    bool suspected; /* the last look found the gate of … */
    uint64_t epoch; /* … this epoch not as it should be */
    struct complaint *complaint;
};

/* Whether to look again before anything is done: the gate is wrong, and it may be that another
 * program has begun this epoch and is about to open it. What its gate admits meanwhile would be
 * lost with the epoch. */
static bool is_news(struct reopening *reopening, uint64_t epoch) {
    bool news = !reopening->suspected || reopening->epoch != epoch;
    reopening->suspected = true;
    reopening->epoch = epoch;
    return news;
}

/* Begins the epoch behind the cursor's, and opens its gate. */
static int epoch_begin(struct reopening *reopening, struct ledger_cursor *cursor,
                       uint64_t *ret_epoch) {
    struct partition_link *link = reopening->link;
    uint64_t former = cursor->epoch;
    FAILPOINT("rebuild");
    int status = close_and_settle(link, cursor, reopening->complaint);
    if (status == STATUS_OK) {
        FAILPOINT("rebuild-closed");
        status = ledger_epoch_raise(link->ledger, cursor, reopening->complaint);
    }
    link->seen[cursor->partition].known = false;
    if (status == STATUS_OK) {
        FAILPOINT("rebuild-raised");
        status = gate_call(link, "coupon_open", cursor->partition, cursor->epoch, open_take,
                           ret_epoch, reopening->complaint);
    }
    FAILPOINT("rebuild-opened");
    /* A change begins an epoch in the ledger itself, and so does who ends here before the gate is
     * open: the queue before is the one that was admitted to. */
    for (uint64_t epoch = former; status == STATUS_OK && epoch > 0 && epoch + 2 > former; epoch--) {
        queue_remove(link, cursor->partition, epoch);
    }
    return status;
}

/* One turn of a rebuild. STATUS_CONFLICT: another is faster, or Redis changed: look again. */
static int reopen_once(struct reopening *reopening, uint64_t *ret_epoch) {
    struct partition_link *link = reopening->link;
    struct ledger_cursor cursor;
    struct cursor_seen seen = link->seen[reopening->partition];
    int status = link_cursor_anew(link, reopening->partition, &cursor, reopening->complaint);
    if (status) {
        return status;
    }
    /* else another has done it already */
    reopening->always &= !seen.known || seen.cursor.epoch == cursor.epoch;
    bool open = is_as_it_should(link, &cursor, &status, reopening->complaint);
    if (status) {
        return status;
    }
    if (open && !reopening->always) {
        *ret_epoch = cursor.epoch;
        return STATUS_OK;
    }
    return !open && is_news(reopening, cursor.epoch) ? STATUS_CONFLICT
                                                     : epoch_begin(reopening, &cursor, ret_epoch);
}

int partition_reopen(struct partition_link *link, unsigned partition, bool always,
                     uint64_t *ret_epoch, struct complaint *complaint) {
    struct reopening reopening = {
        .link = link, .partition = partition, .always = always, .complaint = complaint};
    int status = reopen_once(&reopening, ret_epoch);
    for (int turn = 1; status == STATUS_CONFLICT && turn < REOPEN_TURNS_MAX; turn++) {
        reopening.always = false;
        pause_us(REOPEN_PAUSE_US);
        status = reopen_once(&reopening, ret_epoch);
    }
    return status == STATUS_CONFLICT
               ? complain(complaint, STATUS_IO, "partition %u did not stay open", partition)
               : status;
}

/* ---- loading ---- */

static int load_take(void *context, const redisReply *reply) {
    (void)context;
    return reply_is(reply, "ok") ? STATUS_OK : STATUS_CONFLICT;
}

/* The moment before which none of its admissions may be dated. */
static int latest_of(struct partition_link *link, const struct coupon_record *coupon,
                     int64_t *ret_latest_us) {
    struct issue_record issue;
    *ret_latest_us = coupon->updated_us;
    if (coupon->issued_quantity == 0) {
        return STATUS_OK;
    }
    struct issue_reference last = {coupon->id, coupon->issued_quantity};
    int status = ledger_issue_read(link->ledger, last, &issue);
    if (status == STATUS_OK && issue.issued_at_us > *ret_latest_us) {
        *ret_latest_us = issue.issued_at_us;
    }
    return status == STATUS_NOT_FOUND ? STATUS_DAMAGED : status;
}

static int load(struct partition_link *link, const struct coupon_record *coupon, int64_t latest_us,
                uint64_t epoch, struct complaint *complaint) {
    struct words words;
    struct partition_key gate = partition_key_gate(partition_of(coupon->id));
    struct partition_key meta = partition_key_meta(coupon->id);
    words_init(&words);
    words_key(&words, &gate);
    words_key(&words, &meta);
    words_number(&words, (int64_t)epoch);
    words_number(&words, coupon->version);
    words_number(&words, coupon->total_quantity);
    words_number(&words, coupon->issue_start_us);
    words_number(&words, coupon->issue_end_us);
    words_number(&words, coupon->paused);
    words_number(&words, coupon->issued_quantity);
    words_number(&words, latest_us > 0 ? latest_us : 0);
    words_number(&words, coupon->issued_quantity == 0);
    int status = words_call(link, "coupon_load", 2, &words, load_take, NULL, complaint);
    words_done(&words);
    return status;
}

int partition_load(struct partition_link *link, uint64_t coupon_id, uint64_t epoch,
                   struct complaint *complaint) {
    struct coupon_record *coupon = malloc(sizeof(*coupon));
    if (!coupon) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for a coupon");
    }
    int64_t latest_us = 0;
    int status = ledger_coupon_read(link->ledger, coupon_id, coupon);
    uint64_t session = ledger_session(link->ledger);
    if (status == STATUS_OK && coupon->archived_us) {
        status = STATUS_NOT_FOUND;
    }
    if (status == STATUS_OK) {
        status = latest_of(link, coupon, &latest_us);
    }
    if (status == STATUS_OK) {
        /* Redis may call it sold out from now on */
        status = ledger_barrier(link->ledger, session, complaint);
    }
    if (status) {
        complain(complaint, status, "coupon %llu cannot be read from the ledger (%s)",
                 (unsigned long long)coupon_id, status_name(status));
    } else {
        status = load(link, coupon, latest_us, epoch, complaint);
    }
    free(coupon);
    return status;
}
