/* Where admitted claims wait until they are settled: by partition, in the order of their coming.
 * What a worker says of its COMMIT answers them; whom it says nothing of is asked after, as is
 * everybody after a tenth of a second without a word. See redis_issuer.h; the door's thread. */
#include "issuer/redis_issuer.h"

#include <stdlib.h>

/* Without a hint the ledger is asked after so long, and then again each time. */
static const int64_t SILENCE_US = US_PER_SECOND / 10;

/* Takes those out of `list` that `chosen` says. */
static void take_out(struct seat_list *list, struct seat_list *out,
                     bool (*chosen)(const struct seat *seat, const void *context),
                     const void *context) {
    struct seat_list kept = {0};
    struct seat *seat;
    while ((seat = seat_pop(list)) != NULL) {
        seat_push(chosen(seat, context) ? out : &kept, seat);
    }
    *list = kept;
}

static bool is_settled(const struct seat *seat, const struct ledger_cursor *cursor) {
    return seat->epoch != cursor->epoch || seat->n <= cursor->n;
}

/* They came in the order of n, so those in front are done first. Who came back behind them is asked
 * after in time. */
void waiting_settled(struct redis_issuer *issuer, const struct ledger_cursor *cursor) {
    struct door *door = &issuer->door;
    struct seat_list *admitted = &door->admitted[cursor->partition];
    struct seat_list asked = {0};
    struct seat_list again = {0};
    while (admitted->first && is_settled(admitted->first, cursor)) {
        seat_push(&asked, seat_pop(admitted));
    }
    waiting_ask(issuer, &asked);
    if (admitted->count == 0) { /* else whoever found it full would ask at every settlement */
        seat_append(&again, &door->full[cursor->partition]);
        door_ask(issuer, &again);
    }
}

/* What the message says of the entry that the seat waits for; NULL: nothing, or the entry is not
 * of this node, whose claims have names that begin alike. */
static const struct partition_issued *issued_of(const struct door *door, const struct seat *seat,
                                                const struct ledger_cursor *before) {
    if (!seat->own || seat->epoch != before->epoch || seat->n <= before->n) {
        return NULL;
    }
    const struct partition_issued *entry = &door->issued[seat->n - before->n - 1];
    bool ours = entry->claim_id.size == CLAIM_NAME_SIZE &&
                memcmp(entry->claim_id.bytes, seat->name, CLAIM_NAME_SIZE / 2) == 0;
    return entry->rank > 0 && ours ? entry : NULL;
}

/* Those in front, as waiting_settled() does. */
void waiting_issued(struct redis_issuer *issuer, struct slice message) {
    struct door *door = &issuer->door;
    struct ledger_cursor before;
    size_t count;
    if (partition_issued_read(message, &before, door->issued, COUNT_OF(door->issued), &count)) {
        return;
    }
    struct seat_list *admitted = &door->admitted[before.partition];
    struct ledger_cursor last = {before.partition, before.epoch, before.n + count};
    struct seat_list asked = {0};
    while (admitted->first && is_settled(admitted->first, &last)) {
        struct seat *seat = seat_pop(admitted);
        const struct partition_issued *entry = issued_of(door, seat, &before);
        if (entry) {
            seat->claim->rank = entry->rank + seat->index;
            seat->claim->issued_at_us = entry->issued_at_us;
            door_finish(issuer, seat, VERDICT_ISSUED);
        } else {
            seat_push(&asked, seat);
        }
    }
    waiting_ask(issuer, &asked);
}

static bool is_late(const struct seat *seat, const void *context) {
    return *(const int64_t *)context >= seat->deadline_us;
}

static bool is_silent(const struct seat *seat, const void *context) {
    return *(const int64_t *)context >= seat->ask_at_us;
}

/* It is told its place, or that nobody knows. */
static void finish_late(struct redis_issuer *issuer, struct seat *seat) {
    counter_add(&issuer->figures.late, 1);
    door_finish_admitted(issuer, seat);
}

static void look_at(struct redis_issuer *issuer, unsigned partition, int64_t now_us) {
    struct door *door = &issuer->door;
    struct seat_list late = {0};
    struct seat_list silent = {0};
    struct seat *seat;
    take_out(&door->admitted[partition], &late, is_late, &now_us);
    while ((seat = seat_pop(&late)) != NULL) {
        finish_late(issuer, seat);
    }
    take_out(&door->admitted[partition], &silent, is_silent, &now_us);
    waiting_ask(issuer, &silent);
    take_out(&door->full[partition], &late, is_late, &now_us);
    while ((seat = seat_pop(&late)) != NULL) {
        door_finish(issuer, seat, VERDICT_OVERLOADED);
    }
    take_out(&door->full[partition], &silent, is_silent, &now_us);
    door_ask(issuer, &silent);
    take_out(&door->opening[partition], &late, is_late, &now_us);
    take_out(&door->gathering[partition], &late, is_late, &now_us);
    while ((seat = seat_pop(&late)) != NULL) {
        door_finish(issuer, seat, VERDICT_STORAGE_UNAVAILABLE);
    }
}

/* Ends those whose seat cannot wait for the ledger, and frees those that are back. */
static void look_at_questions(struct redis_issuer *issuer, int64_t now_us) {
    struct question **place = &issuer->door.questions;
    while (*place) {
        struct question *question = *place;
        if (question->seat && now_us >= question->seat->deadline_us) {
            finish_late(issuer, question->seat);
            question->seat = NULL;
        }
        if (question->back) {
            *place = question->next_out;
            issuer->door.question_count--;
            free(question);
        } else {
            place = &question->next_out;
        }
    }
}

void waiting_look(struct redis_issuer *issuer, int64_t now_us) {
    for (unsigned p = 0; p < PARTITION_COUNT; p++) {
        look_at(issuer, p, now_us);
    }
    look_at_questions(issuer, now_us);
}

/* ---- the ledger is asked, and answers ---- */

static struct slice text_keep(char *room, struct slice text) {
    memcpy(room, text.size > 0 ? text.bytes : "", text.size);
    return (struct slice){room, text.size};
}

/* NULL: there is no memory for it, or as many are out, most of them nobody's any more since the
 * ledger is silent. */
static struct question *question_new(struct redis_issuer *issuer, struct seat *seat) {
    struct door *door = &issuer->door;
    const struct claim *claim = seat->claim;
    assert(claim->user_id.size <= USER_ID_MAX && claim->request_key.size <= REQUEST_KEY_MAX);
    struct question *question = NULL;
    if (door->question_count < issuer->options.queue_max) {
        question = calloc(1, sizeof(*question));
    }
    if (!question) {
        return NULL;
    }
    door->question_count++;
    question->seat = seat;
    question->coupon_id = claim->coupon_id;
    question->epoch = seat->epoch;
    question->n = seat->n;
    question->refused_us = seat->n == 0 ? seat->refused_us : 0;
    question->user_id = text_keep(question->texts, claim->user_id);
    question->request_key = text_keep(question->texts + USER_ID_MAX, claim->request_key);
    memcpy(question->name, seat->name, CLAIM_NAME_SIZE);
    question->next_out = door->questions;
    door->questions = question;
    return question;
}

static void wait_on(struct redis_issuer *issuer, struct seat *seat) {
    seat->ask_at_us = clock_monotonic_us() + SILENCE_US;
    seat_push(&issuer->door.admitted[partition_of(seat->claim->coupon_id)], seat);
}

void waiting_ask(struct redis_issuer *issuer, struct seat_list *seats) {
    struct question_list questions = {0};
    struct seat *seat;
    while ((seat = seat_pop(seats)) != NULL) {
        struct question *question = question_new(issuer, seat);
        if (question) {
            question_push(&questions, question);
        } else {
            wait_on(issuer, seat);
        }
    }
    answers_ask(issuer, &questions);
}

static void came_back(struct redis_issuer *issuer, struct seat *seat,
                      const struct question *question, bool late) {
    struct seat_list again = {0};
    switch (question->answer) {
    case SEAT_DECIDED:
        seat->claim->rank = question->rank;
        seat->claim->issued_at_us = question->issued_at_us;
        seat->claim->starts_us = question->starts_us;
        door_finish(issuer, seat, question->verdict);
        return;
    case SEAT_WAITS:
        if (seat->n == 0 && late) {
            door_finish(issuer, seat, VERDICT_STORAGE_UNAVAILABLE);
        } else {
            wait_on(issuer, seat);
        }
        return;
    case SEAT_AGAIN:
        if (late) {
            door_finish(issuer, seat, VERDICT_OVERLOADED);
            return;
        }
        counter_add(&issuer->figures.asked_again, 1);
        if (seat->n == 0) { /* Redis refuses what the ledger does not, until one of them changes */
            door_ask_later(issuer, seat);
            return;
        }
        seat_push(&again, seat);
        door_ask(issuer, &again);
        return;
    }
}

void waiting_answered(struct redis_issuer *issuer, struct question *question, int64_t now_us) {
    struct seat *seat = question->seat;
    question->back = true;
    question->seat = NULL;
    if (seat) {
        came_back(issuer, seat, question, now_us >= seat->deadline_us);
    }
}
