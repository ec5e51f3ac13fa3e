/* Asking Redis: claims of one coupon are one call of coupon_claim, and what it answers sends each
 * of them on: to its submitter, to wait for its settlement, to the ledger, or to the keeper first.
 * The door's thread. See redis_issuer.h. */
#include "issuer/redis_issuer.h"

#include <stdio.h>
#include <stdlib.h>

/* Redis is asked again after so long when it gave no answer, or had no seats. */
static const int64_t RETRY_US = US_PER_SECOND / 20;
/* A worker's hint is waited for so long before the ledger is asked. */
static const int64_t SILENCE_US = US_PER_SECOND / 10;

/* ---- one call ---- */

/* The claims of one coupon that are asked of Redis together. */
struct ask {
    struct redis_issuer *issuer;
    uint64_t coupon_id;
    uint64_t epoch;
    size_t count;
    struct seat *seats[];
};

static struct slice text_of(const redisReply *reply) {
    return (struct slice){reply->str, (size_t)reply->len};
}

/* The text behind the last ':', which it cuts off. STATUS_INVALID. */
static int number_cut(struct slice *text, uint64_t max, uint64_t *ret_number) {
    size_t at = text->size;
    while (at > 0 && text->bytes[at - 1] != ':') {
        at--;
    }
    if (at == 0) {
        return STATUS_INVALID;
    }
    struct slice digits = {text->bytes + at, text->size - at};
    text->size = at - 1;
    return slice_to_u64(digits, max, ret_number);
}

/* "a:<n>:<index>" or "d:<claim id>:<n>:<index>" */
static int place_read(struct slice verdict, struct seat *seat) {
    uint64_t n, at;
    if (number_cut(&verdict, CLAIM_BATCH_MAX, &at) || number_cut(&verdict, INT64_MAX, &n) ||
        n == 0) {
        return STATUS_INVALID;
    }
    seat->n = n;
    seat->index = (uint32_t)at;
    return STATUS_OK;
}

struct reply_context {
    struct ask *ask;
    uint64_t settled_n;
    bool complete;
    int64_t now_us;             /* monotonic */
    int64_t redis_us;           /* the moment of the call by Redis' clock; 0: it did not tell */
    struct seat_list looked_at; /* for the ledger to judge, now */
};

static void look_now(struct reply_context *context, struct seat *seat) {
    seat->n = 0;
    seat->epoch = context->ask->epoch;
    seat->refused_us = context->redis_us;
    seat_push(&context->looked_at, seat);
}

static void refuse(struct reply_context *context, struct seat *seat, enum verdict verdict) {
    if (context->complete) {
        door_finish(context->ask->issuer, seat, verdict);
    } else {
        look_now(context, seat); /* the user may hold one from before this epoch */
    }
}

static void refuse_not_started(struct reply_context *context, struct seat *seat,
                               struct slice verdict) {
    uint64_t starts_us;
    if (number_cut(&verdict, (uint64_t)TIME_US_MAX, &starts_us)) {
        look_now(context, seat);
        return;
    }
    seat->claim->starts_us = (int64_t)starts_us;
    refuse(context, seat, VERDICT_NOT_STARTED);
}

static void take_place(struct reply_context *context, struct seat *seat, struct slice verdict) {
    struct redis_issuer *issuer = context->ask->issuer;
    seat->epoch = context->ask->epoch;
    if (place_read(verdict, seat)) {
        look_now(context, seat);
        return;
    }
    seat->own = verdict.bytes[0] == 'a';
    if (seat->own) {
        counter_add(&issuer->figures.admitted, 1);
    }
    if (seat->claim->respond_async && seat->n > context->settled_n) {
        door_finish_admitted(issuer, seat);
    } else if (seat->n > context->settled_n) {
        seat->ask_at_us = context->now_us + SILENCE_US;
        seat_push(&issuer->door.admitted[partition_of(context->ask->coupon_id)], seat);
    } else {
        seat_push(&context->looked_at, seat);
    }
}

static void take_verdict(struct reply_context *context, struct seat *seat, struct slice verdict) {
    switch (verdict.size > 0 ? verdict.bytes[0] : '\0') {
    case 'a':
    case 'd':
        take_place(context, seat, verdict);
        return;
    case 'p':
        refuse(context, seat, VERDICT_PAUSED);
        return;
    case 's':
        refuse_not_started(context, seat, verdict);
        return;
    case 'e':
        refuse(context, seat, VERDICT_ENDED);
        return;
    case 'o':
        refuse(context, seat, VERDICT_SOLD_OUT);
        return;
    case 'f':
        door_ask_later(context->ask->issuer, seat);
        return;
    default:
        look_now(context, seat);
        return;
    }
}

/* What Redis answers to coupon_claim in its order. */
enum { REPLY_SETTLED = 1, REPLY_COMPLETE = 2, REPLY_NOW = 3, REPLY_VERDICTS = 4 };

static void take_verdicts(struct ask *ask, const redisReply *reply) {
    struct reply_context context = {.ask = ask, .now_us = clock_monotonic_us()};
    if (slice_to_u64(text_of(reply->element[REPLY_SETTLED]), INT64_MAX, &context.settled_n)) {
        context.settled_n = 0; /* the hints will tell */
    }
    uint64_t redis_us;
    if (slice_to_u64(text_of(reply->element[REPLY_NOW]), TIME_US_MAX, &redis_us) == STATUS_OK) {
        context.redis_us = (int64_t)redis_us;
    }
    context.complete = slice_is(text_of(reply->element[REPLY_COMPLETE]), "1");
    for (size_t i = 0; i < ask->count; i++) {
        take_verdict(&context, ask->seats[i], text_of(reply->element[REPLY_VERDICTS + i]));
    }
    waiting_ask(ask->issuer, &context.looked_at);
}

/* ---- what the keeper must do first ---- */

void door_open_first(struct redis_issuer *issuer, unsigned partition, struct seat_list *seats) {
    struct door *door = &issuer->door;
    door->epochs[partition] = 0;
    if (door->opening_asked[partition]) {
        seat_append(&door->opening[partition], seats);
        return;
    }
    struct keeper_errand *errand = calloc(1, sizeof(*errand));
    if (!errand) {
        door_retry(issuer, seats);
        return;
    }
    seat_append(&door->opening[partition], seats);
    errand->kind = ERRAND_OPEN;
    errand->partition = partition;
    door->opening_asked[partition] = true;
    keeper_errand(issuer, errand);
}

static struct loading *loading_find(struct door *door, uint64_t coupon_id) {
    struct loading *loading = door->loading[partition_of(coupon_id)];
    while (loading && loading->coupon_id != coupon_id) {
        loading = loading->next;
    }
    return loading;
}

static void load_first(struct redis_issuer *issuer, struct ask *ask, struct seat_list *seats) {
    struct door *door = &issuer->door;
    unsigned partition = partition_of(ask->coupon_id);
    struct loading *loading = loading_find(door, ask->coupon_id);
    if (loading) {
        seat_append(&loading->seats, seats);
        return;
    }
    if (door->loading_count[partition] >= LOADING_MAX) {
        struct seat *seat;
        while ((seat = seat_pop(seats)) != NULL) {
            door_finish(issuer, seat, VERDICT_OVERLOADED);
        }
        return;
    }
    struct keeper_errand *errand = calloc(1, sizeof(*errand));
    loading = errand ? calloc(1, sizeof(*loading)) : NULL;
    if (!loading) {
        free(errand);
        door_retry(issuer, seats);
        return;
    }
    loading->coupon_id = ask->coupon_id;
    seat_append(&loading->seats, seats);
    loading->next = door->loading[partition];
    door->loading[partition] = loading;
    door->loading_count[partition]++;
    errand->kind = ERRAND_LOAD;
    errand->partition = partition;
    errand->coupon_id = ask->coupon_id;
    errand->epoch = ask->epoch;
    keeper_errand(issuer, errand);
}

/* ---- replies ---- */

void door_retry(struct redis_issuer *issuer, struct seat_list *seats) {
    struct door *door = &issuer->door;
    if (door->retry.count == 0) {
        door->retry_at_us = clock_monotonic_us() + RETRY_US;
    }
    seat_append(&door->retry, seats);
}

void door_ask_later(struct redis_issuer *issuer, struct seat *seat) {
    seat->ask_at_us = clock_monotonic_us() + RETRY_US;
    seat_push(&issuer->door.full[partition_of(seat->claim->coupon_id)], seat);
}

static bool says(const redisReply *reply, const char *word) {
    return reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
           reply->element[0]->type == REDIS_REPLY_STRING &&
           slice_is(text_of(reply->element[0]), word);
}

static bool is_whole(const struct ask *ask, const redisReply *reply) {
    if (!says(reply, "ok") || reply->elements != REPLY_VERDICTS + ask->count) {
        return false;
    }
    for (size_t i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING) {
            return false;
        }
    }
    return true;
}

static struct seat_list seats_of(const struct ask *ask) {
    struct seat_list list = {0};
    for (size_t i = 0; i < ask->count; i++) {
        seat_push(&list, ask->seats[i]);
    }
    return list;
}

/* An error: nothing was changed, and the same again would be refused again. */
static void refused(struct ask *ask, const redisReply *reply) {
    struct door *door = &ask->issuer->door;
    complain(&door->why, STATUS_IO, "Redis refused claims: %s",
             reply->type == REDIS_REPLY_ERROR ? reply->str : "an answer of another form");
    door->refusing = true;
    for (size_t i = 0; i < ask->count; i++) {
        door_finish(ask->issuer, ask->seats[i], VERDICT_STORAGE_UNAVAILABLE);
    }
}

/* Who came while the partition's calls were under way. */
static void ask_gathered(struct redis_issuer *issuer, unsigned partition) {
    struct door *door = &issuer->door;
    struct seat_list seats = {0};
    if (door->asking[partition] == 0) {
        seat_append(&seats, &door->gathering[partition]);
        door_ask(issuer, &seats);
    }
}

static void asked(void *context, int status, const redisReply *reply) {
    FAILPOINT("door-asked");
    struct ask *ask = context;
    struct redis_issuer *issuer = ask->issuer;
    unsigned partition = partition_of(ask->coupon_id);
    struct seat_list seats = {0};
    assert(issuer->door.asking[partition] > 0);
    issuer->door.asking[partition]--;
    if (status != STATUS_OK) {
        seats = seats_of(ask);
        for (size_t i = 0; i < ask->count; i++) {
            ask->seats[i]->maybe |= status == STATUS_AMBIGUOUS;
        }
        door_retry(issuer, &seats);
    } else if (is_whole(ask, reply)) {
        issuer->door.refusing = false;
        take_verdicts(ask, reply);
    } else if (says(reply, "closed")) {
        seats = seats_of(ask);
        door_open_first(issuer, partition, &seats);
    } else if (says(reply, "not-loaded")) {
        seats = seats_of(ask);
        load_first(issuer, ask, &seats);
    } else {
        refused(ask, reply);
    }
    free(ask);
    ask_gathered(issuer, partition);
}

/* ---- asking ---- */

static struct slice number_text(char room[static 24], uint64_t number) {
    int size = snprintf(room, 24, "%llu", (unsigned long long)number);
    return (struct slice){room, (size_t)size};
}

static int call(struct redis_issuer *issuer, struct ask *ask) {
    FAILPOINT("door-ask");
    struct door *door = &issuer->door;
    unsigned partition = partition_of(ask->coupon_id);
    struct partition_key gate = partition_key_gate(partition);
    struct partition_key meta = partition_key_meta(ask->coupon_id);
    struct partition_key holders = partition_key_holders(ask->coupon_id, ask->epoch);
    struct partition_key queue = partition_key_queue(partition, ask->epoch);
    char epoch[24], coupon[24], count[24];
    struct slice *words = door->words;
    size_t at = 0;
    words[at++] = slice_of("FCALL");
    words[at++] = slice_of("coupon_claim");
    words[at++] = slice_of("4");
    words[at++] = partition_key_view(&gate);
    words[at++] = partition_key_view(&meta);
    words[at++] = partition_key_view(&holders);
    words[at++] = partition_key_view(&queue);
    words[at++] = number_text(epoch, ask->epoch);
    words[at++] = number_text(coupon, ask->coupon_id);
    words[at++] = number_text(count, ask->count);
    for (size_t i = 0; i < ask->count; i++) {
        const struct seat *seat = ask->seats[i];
        words[at++] = (struct slice){seat->name, CLAIM_NAME_SIZE};
        words[at++] = seat->claim->user_id;
        words[at++] = seat->claim->request_key.size > 0 ? seat->claim->request_key : slice_of("");
    }
    assert(at <= DOOR_WORDS_MAX);
    histogram_add(&issuer->figures.step_claims, ask->count, 1);
    return redis_call(door->redis, partition_key_view(&gate), words, at, 0, asked, ask);
}

/* Claims of one coupon, at most CLAIM_BATCH_MAX. */
static void ask_coupon(struct redis_issuer *issuer, struct seat *const *seats, size_t count) {
    uint64_t coupon_id = seats[0]->claim->coupon_id;
    unsigned partition = partition_of(coupon_id);
    struct ask *ask = malloc(sizeof(*ask) + count * sizeof(ask->seats[0]));
    if (!ask) {
        for (size_t i = 0; i < count; i++) {
            door_finish(issuer, seats[i], VERDICT_OVERLOADED);
        }
        return;
    }
    *ask = (struct ask){.issuer = issuer,
                        .coupon_id = coupon_id,
                        .epoch = issuer->door.epochs[partition],
                        .count = count};
    memcpy(ask->seats, seats, count * sizeof(seats[0]));
    struct seat_list waiting = {0};
    if (ask->epoch == 0) {
        waiting = seats_of(ask);
        door_open_first(issuer, partition, &waiting);
        free(ask);
    } else if (call(issuer, ask)) {
        waiting = seats_of(ask);
        door_retry(issuer, &waiting);
        free(ask);
    } else {
        issuer->door.asking[partition]++;
    }
}

/* By coupon, and in the order of their coming within one. */
static int by_coupon(const void *a, const void *b) {
    const struct seat *first = *(const struct seat *const *)a;
    const struct seat *second = *(const struct seat *const *)b;
    if (first->claim->coupon_id != second->claim->coupon_id) {
        return first->claim->coupon_id < second->claim->coupon_id ? -1 : 1;
    }
    return (first->order > second->order) - (first->order < second->order);
}

static void ask_all(struct redis_issuer *issuer, struct seat **seats, size_t count) {
    for (size_t at = 0; at < count;) {
        size_t size = 1;
        while (at + size < count && size < CLAIM_BATCH_MAX &&
               seats[at + size]->claim->coupon_id == seats[at]->claim->coupon_id) {
            size++;
        }
        ask_coupon(issuer, &seats[at], size);
        at += size;
    }
}

void door_ask(struct redis_issuer *issuer, struct seat_list *list) {
    if (list->count == 0) {
        return;
    }
    struct seat **seats = malloc(list->count * sizeof(seats[0]));
    struct seat *seat;
    size_t count = 0;
    bool one_coupon = true;
    if (!seats) {
        door_retry(issuer, list);
        return;
    }
    while ((seat = seat_pop(list)) != NULL) {
        unsigned partition = partition_of(seat->claim->coupon_id);
        if (issuer->door.asking[partition] > 0) {
            seat_push(&issuer->door.gathering[partition], seat);
            continue;
        }
        seat->order = count;
        seats[count++] = seat;
        one_coupon &= seat->claim->coupon_id == seats[0]->claim->coupon_id;
    }
    if (!one_coupon) {
        qsort(seats, count, sizeof(seats[0]), by_coupon);
    }
    ask_all(issuer, seats, count);
    free(seats);
}
