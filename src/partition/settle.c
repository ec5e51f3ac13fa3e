/* From the queue into the ledger: reads entries behind the cursor, settles them in one transaction,
 * tells Redis. See partition.h. Exactly once, since the cursor moves in that transaction: whatever
 * is read or told twice is passed over. */
#include "partition/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define ENTRIES_AHEAD_FIRST 64

/* ---- cursors ---- */

int link_cursor_anew(struct partition_link *link, unsigned partition,
                     struct ledger_cursor *ret_cursor, struct complaint *complaint) {
    struct ledger_cursor cursors[PARTITION_COUNT];
    int status = ledger_cursors_read(link->ledger, cursors);
    if (status) {
        return complain(complaint, status, "the ledger's cursors cannot be read (%s)",
                        status_name(status));
    }
    for (unsigned p = 0; p < PARTITION_COUNT; p++) {
        link->seen[p] = (struct cursor_seen){cursors[p], true};
    }
    *ret_cursor = cursors[partition];
    return STATUS_OK;
}

int link_cursor(struct partition_link *link, unsigned partition, struct ledger_cursor *ret_cursor,
                struct complaint *complaint) {
    assert(partition < PARTITION_COUNT);
    if (!link->seen[partition].known) {
        return link_cursor_anew(link, partition, ret_cursor, complaint);
    }
    *ret_cursor = link->seen[partition].cursor;
    return STATUS_OK;
}

void partition_heard(struct partition_link *link, unsigned partition, uint64_t epoch) {
    assert(partition < PARTITION_COUNT);
    link->seen[partition].known &= link->seen[partition].cursor.epoch == epoch;
}

/* ---- reading ---- */

/* The entries behind a place that fit one settlement: copied out of the answer, which does not
 * last, into the link. */
struct slice_of_queue {
    struct partition_link *link;
    struct ledger_cursor cursor;
    struct partition_progress *progress;
    struct complaint *complaint;
    size_t entry_count;
    size_t claim_count;
    uint64_t last_n;
    bool gap; /* the next entry is not the one behind */
    bool cut; /* there are more than fit */
};

static void entry_keep(struct slice_of_queue *slice, const struct partition_entry *entry) {
    struct partition_link *link = slice->link;
    link->entries[slice->entry_count] = *entry;
    link->offsets[slice->entry_count++] = link->packed.size;
    buffer_slice(&link->packed, entry->packed);
    slice->claim_count += entry->claim_count;
    slice->last_n = entry->n;
}

static int entries_take(void *context, const redisReply *reply) {
    struct slice_of_queue *slice = context;
    if (reply->type != REDIS_REPLY_ARRAY) {
        return complain(slice->complaint, STATUS_DAMAGED, "Redis did not answer with entries");
    }
    for (size_t i = 0; i < reply->elements && !slice->gap && !slice->cut; i++) {
        struct partition_entry entry;
        if (partition_entry_read(reply->element[i], slice->cursor.partition, &entry)) {
            return complain(slice->complaint, STATUS_CONFLICT,
                            "partition %u: an entry has no number", slice->cursor.partition);
        }
        slice->gap = entry.n != slice->last_n + 1;
        slice->cut = slice->claim_count + entry.claim_count > SETTLE_CLAIMS_MAX ||
                     slice->entry_count == ENTRIES_AHEAD_MAX;
        if (!slice->gap && !slice->cut) {
            entry_keep(slice, &entry);
        }
    }
    slice->progress->more = slice->cut || reply->elements >= slice->link->entries_ahead;
    return slice->link->packed.failed
               ? complain(slice->complaint, STATUS_NO_MEMORY, "not enough memory for entries")
               : STATUS_OK;
}

/* The claims of what was kept, in the link. */
static void claims_fill(struct slice_of_queue *slice) {
    struct partition_link *link = slice->link;
    size_t at = 0;
    for (size_t i = 0; i < slice->entry_count; i++) {
        link->entries[i].packed.bytes = link->packed.bytes + link->offsets[i];
        partition_entry_claims(&link->entries[i], &link->claims[at]);
        at += link->entries[i].claim_count;
    }
    assert(at == slice->claim_count);
}

/* XRANGE queue (n)-0 + COUNT ahead, exclusive: what is behind slice->cursor. */
static int slice_read(struct slice_of_queue *slice) {
    struct partition_link *link = slice->link;
    struct partition_key queue = partition_key_queue(slice->cursor.partition, slice->cursor.epoch);
    char from[32];
    char count[24];
    link->entries_ahead = link->entries_ahead ? link->entries_ahead : ENTRIES_AHEAD_FIRST;
    snprintf(from, sizeof(from), "(%llu-0", (unsigned long long)slice->cursor.n);
    snprintf(count, sizeof(count), "%zu", link->entries_ahead);
    struct slice words[] = {slice_of("XRANGE"), partition_key_view(&queue), slice_of(from),
                            slice_of("+"),      slice_of("COUNT"),          slice_of(count)};
    buffer_clear(&link->packed);
    slice->last_n = slice->cursor.n;
    int status = partition_call(link, words[1], words, COUNT_OF(words), entries_take, slice,
                                slice->complaint);
    if (status == STATUS_OK) {
        claims_fill(slice);
    }
    return status;
}

/* ---- settling ---- */

static void count_outcomes(struct slice_of_queue *slice) {
    struct partition_progress *progress = slice->progress;
    progress->entries += slice->last_n - slice->cursor.n;
    progress->claims += slice->claim_count;
    for (size_t i = 0; i < slice->claim_count; i++) {
        bool issued = slice->link->claims[i].outcome == SETTLE_ISSUED;
        progress->issued += issued;
        progress->rejected += !issued;
    }
}

/* The cursor was not where it was believed to be, or nobody knows: it is asked for next time. */
static int settle_failed(struct slice_of_queue *slice, int status) {
    slice->link->seen[slice->cursor.partition].known = false;
    if (status == STATUS_NOT_FOUND) {
        slice->progress->more = true;
        return STATUS_OK;
    }
    return status == STATUS_CONFLICT ? STATUS_DAMAGED
                                     : status; /* of the record, not of the queue */
}

static int settle_slice(struct slice_of_queue *slice) {
    struct partition_link *link = slice->link;
    struct ledger_cursor cursor = slice->cursor;
    struct settlement settlement = {
        .claims = link->claims,
        .count = slice->claim_count,
        .fresh = true,
        .cursor = &cursor,
        .cursor_n = slice->last_n,
    };
    FAILPOINT("settle");
    int status = ledger_settle(link->ledger, &settlement, slice->complaint);
    if (status) {
        return settle_failed(slice, status);
    }
    count_outcomes(slice);
    cursor.n = slice->last_n;
    link->seen[cursor.partition].cursor = cursor;
    FAILPOINT("settle-committed");
    tell_issued(link, &slice->cursor, link->claims, slice->claim_count);
    FAILPOINT("settle-hinted");
    /* What Redis does not hear now it will be told later: the ledger has it. */
    if (tell_settled(link, &cursor, slice->cursor.n + 1, link->claims, slice->claim_count, NULL) ==
        STATUS_CONFLICT) {
        return partition_catch_up(link, cursor.partition, slice->complaint);
    }
    FAILPOINT("settle-told");
    return STATUS_OK;
}

/* Entries that another has settled leave the queue: they are missing only where the cursor, asked
 * after them, stands before them still. */
static int gap_found(struct slice_of_queue *slice) {
    struct ledger_cursor present;
    int status = link_cursor_anew(slice->link, slice->cursor.partition, &present, slice->complaint);
    if (status) {
        return status;
    }
    if (present.epoch != slice->cursor.epoch || present.n != slice->cursor.n) {
        slice->progress->more = true;
        return STATUS_OK;
    }
    return complain(slice->complaint, STATUS_CONFLICT,
                    "partition %u: entry %llu of epoch %llu is missing in Redis",
                    slice->cursor.partition, (unsigned long long)slice->last_n + 1,
                    (unsigned long long)slice->cursor.epoch);
}

/* As many entries next time as make a full settlement. Fewer, too, after a read that failed: more
 * than the way from Redis carries within a call's time would fail again and again. */
static void adapt(struct partition_link *link, const struct slice_of_queue *slice, bool failed) {
    if ((slice->cut && link->entries_ahead > 2) || (failed && link->entries_ahead > 1)) {
        link->entries_ahead /= 2;
    } else if (slice->progress->more && link->entries_ahead < ENTRIES_AHEAD_MAX) {
        link->entries_ahead *= 2;
    }
}

int partition_settle(struct partition_link *link, unsigned partition,
                     struct partition_progress *ret_progress, struct complaint *complaint) {
    *ret_progress = (struct partition_progress){.more = false};
    struct slice_of_queue slice = {.link = link, .progress = ret_progress, .complaint = complaint};
    int status = link_cursor(link, partition, &slice.cursor, complaint);
    if (status || slice.cursor.epoch == 0) {
        return status; /* before the first gate there is no queue */
    }
    status = slice_read(&slice);
    adapt(link, &slice, status < 0);
    if (status) {
        return status;
    }
    if (slice.claim_count > 0) {
        return settle_slice(&slice);
    }
    return slice.gap ? gap_found(&slice) : STATUS_OK;
}

/* ---- catching up ---- */

/* The outcome that a reject's reason says. */
static enum settle_outcome outcome_of(const char *reason) {
    for (int o = SETTLE_NO_SUCH_COUPON; o <= SETTLE_UNREADABLE; o++) {
        if (strcmp(settle_outcome_name((enum settle_outcome)o), reason) == 0) {
            return (enum settle_outcome)o;
        }
    }
    return SETTLE_UNREADABLE;
}

/* Sets the outcome of the claim, if it is among those from *at on, which are in the same order. */
static void reject_mark(struct slice_of_queue *slice, const struct reject_record *reject,
                        size_t *at) {
    struct settle_claim *claims = slice->link->claims;
    for (; *at < slice->claim_count; ++*at) {
        struct settle_claim *claim = &claims[*at];
        if (claim->n == reject->place.n && claim->index == reject->place.index) {
            claim->outcome = outcome_of(reject->reason);
            return;
        }
        if (claim->n > reject->place.n) {
            return;
        }
    }
}

static bool is_within(const struct slice_of_queue *slice, const struct reject_place *place) {
    return place->partition == slice->cursor.partition && place->epoch == slice->cursor.epoch &&
           place->n <= slice->last_n;
}

/* Marks those of the claims that the ledger rejected; the others were issued. */
static int rejects_mark(struct slice_of_queue *slice, struct reject_record *rejects) {
    struct reject_place after = {slice->cursor.partition, slice->cursor.epoch, slice->cursor.n,
                                 UINT32_MAX};
    size_t at = 0;
    for (;;) {
        size_t count = 0;
        int status =
            ledger_rejects_read(slice->link->ledger, &after, LEDGER_SLICE_MAX, rejects, &count);
        if (status) {
            return status;
        }
        for (size_t i = 0; i < count; i++) {
            if (!is_within(slice, &rejects[i].place)) {
                return STATUS_OK;
            }
            reject_mark(slice, &rejects[i], &at);
            after = rejects[i].place;
        }
        if (count < LEDGER_SLICE_MAX) {
            return STATUS_OK;
        }
    }
}

/* Leaves out what is not settled yet. */
static void cut_behind(struct slice_of_queue *slice, uint64_t settled_n) {
    while (slice->claim_count > 0 && slice->link->claims[slice->claim_count - 1].n > settled_n) {
        slice->claim_count--;
    }
    slice->last_n = slice->last_n < settled_n ? slice->last_n : settled_n;
}

/* Tells of the entries behind slice->cursor up to settled_n, as far as one read gives them. */
static int tell_again(struct slice_of_queue *slice, uint64_t settled_n) {
    int status = slice_read(slice);
    if (status) {
        return status;
    }
    cut_behind(slice, settled_n);
    struct reject_record *rejects = calloc(LEDGER_SLICE_MAX, sizeof(*rejects));
    if (!rejects) {
        return complain(slice->complaint, STATUS_NO_MEMORY, "not enough memory for rejects");
    }
    for (size_t i = 0; i < slice->claim_count; i++) {
        slice->link->claims[i].outcome = SETTLE_ISSUED;
        slice->link->claims[i].rank = 0; /* as it is not known here */
    }
    status = rejects_mark(slice, rejects);
    free(rejects);
    if (status || slice->claim_count == 0) {
        return status ? status : STATUS_NOT_FOUND;
    }
    struct ledger_cursor last = {slice->cursor.partition, slice->cursor.epoch, slice->last_n};
    return tell_settled(slice->link, &last, slice->cursor.n + 1, slice->link->claims,
                        slice->claim_count, slice->complaint);
}

int partition_catch_up(struct partition_link *link, unsigned partition,
                       struct complaint *complaint) {
    struct ledger_cursor absent = {.epoch = 0}; /* what of the queue was looked for in vain */
    for (;;) {
        struct partition_status present;
        struct partition_progress progress = {.more = false};
        struct slice_of_queue slice = {.link = link, .progress = &progress, .complaint = complaint};
        struct ledger_cursor cursor;
        int status = link_cursor_anew(link, partition, &cursor, complaint);
        uint64_t session = ledger_session(link->ledger);
        if (status == STATUS_OK) {
            status = partition_status_read(link, partition, cursor.epoch, &present, complaint);
        }
        if (status || present.epoch != cursor.epoch || !present.open) {
            return status;
        }
        if (present.queued < present.n - present.settled_n) {
            return complain(complaint, STATUS_CONFLICT,
                            "partition %u: entries left the queue before they were settled",
                            partition);
        }
        if (present.settled_n >= cursor.n) {
            return STATUS_OK;
        }
        slice.cursor = (struct ledger_cursor){partition, cursor.epoch, present.settled_n};
        if (absent.epoch == cursor.epoch && absent.n == present.settled_n) {
            return complain(complaint, STATUS_CONFLICT,
                            "partition %u: settled entries left the queue before Redis was told",
                            partition);
        }
        status = ledger_barrier(link->ledger, session, complaint); /* Redis forgets what is told */
        if (status) {
            return status;
        }
        status = tell_again(&slice, cursor.n);
        if (status == STATUS_NOT_FOUND) {
            absent = slice.cursor; /* or another told it meanwhile, as it did with CONFLICT */
        } else if (status && status != STATUS_CONFLICT) {
            return status;
        }
    }
}
