/* The door of the redis issuer: claims come in by the batch, are asked of Redis by coupon, and
 * leave with a verdict or wait (redis_waiting.c). One thread with a loop. See redis_issuer.h. */
#include "issuer/redis_issuer.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

/* How often deadlines are looked at. */
#define TICK_MS 20

/* ---- answers ---- */

/* Whether this would not hold for an earlier call of the claim that got no answer, and that a Redis
 * which stood still may carry out any time later. In one epoch the other refusals are for good, and
 * calls of another one find the gate closed; but what has not started will, and an id without a
 * coupon may be given to one. */
static bool is_for_now(enum verdict verdict) {
    return verdict == VERDICT_STORAGE_UNAVAILABLE || verdict == VERDICT_OVERLOADED ||
           verdict == VERDICT_NOT_STARTED || verdict == VERDICT_NO_SUCH_COUPON;
}

void door_finish(struct redis_issuer *issuer, struct seat *seat, enum verdict verdict) {
    FAILPOINT("door-answer");
    struct batch *batch = seat->batch;
    seat->claim->verdict = seat->maybe && is_for_now(verdict) ? VERDICT_OUTCOME_UNKNOWN : verdict;
    assert(batch->open > 0);
    if (--batch->open == 0) {
        struct job *job = &batch->asked->job;
        atomic_fetch_sub(&issuer->claim_count, batch->asked->count);
        issuer->door.open_batches--;
        free(batch);
        job->done(job);
    }
}

void door_finish_admitted(struct redis_issuer *issuer, struct seat *seat) {
    if (seat->n == 0) {
        door_finish(issuer, seat, VERDICT_STORAGE_UNAVAILABLE);
        return;
    }
    seat->claim->queue_epoch = seat->epoch;
    seat->claim->queue_n = seat->n;
    seat->claim->rank = seat->index;
    door_finish(issuer, seat, VERDICT_ADMITTED);
}

/* ---- coming in ---- */

/* Two words of 64 bits: the node's, random, and a count. */
static void name_claim(struct door *door, struct seat *seat) {
    static const char digits[] = "0123456789abcdef";
    uint64_t words[] = {door->name_high, ++door->name_low};
    for (size_t i = 0; i < CLAIM_NAME_SIZE; i++) {
        seat->name[i] = digits[words[i / 16] >> (60 - 4 * (i % 16)) & 0xf];
    }
    seat->name[CLAIM_NAME_SIZE] = '\0';
}

/* Ids that no coupon can have are none that Redis or the ledger could be asked about. */
static void no_such_coupons(struct redis_issuer *issuer, struct seat_list *seats) {
    struct seat_list possible = {0};
    struct seat *seat;
    while ((seat = seat_pop(seats)) != NULL) {
        uint64_t id = seat->claim->coupon_id;
        if (id >= 1 && id <= (uint64_t)JSON_INTEGER_MAX) {
            seat_push(&possible, seat);
        } else {
            door_finish(issuer, seat, VERDICT_NO_SUCH_COUPON);
        }
    }
    *seats = possible;
}

static void batch_begin(struct redis_issuer *issuer, struct claim_batch *asked_batch) {
    struct door *door = &issuer->door;
    size_t count = asked_batch->count;
    struct batch *batch = malloc(sizeof(*batch) + count * sizeof(batch->seats[0]));
    struct seat_list seats = {0};
    if (!batch) {
        for (size_t i = 0; i < count; i++) {
            asked_batch->claims[i].verdict = VERDICT_OVERLOADED;
        }
        atomic_fetch_sub(&issuer->claim_count, count);
        asked_batch->job.done(&asked_batch->job);
        return;
    }
    *batch = (struct batch){.asked = asked_batch, .open = count};
    int64_t deadline_us = clock_monotonic_us() + issuer->options.answer_timeout_us;
    for (size_t i = 0; i < count; i++) {
        batch->seats[i] = (struct seat){
            .claim = &asked_batch->claims[i], .batch = batch, .deadline_us = deadline_us};
        name_claim(door, &batch->seats[i]);
        seat_push(&seats, &batch->seats[i]);
    }
    door->open_batches++;
    no_such_coupons(issuer, &seats);
    door_ask(issuer, &seats);
}

/* ---- coming back ---- */

static void opened(struct redis_issuer *issuer, const struct keeper_errand *errand) {
    struct door *door = &issuer->door;
    struct seat_list seats = {0};
    door->opening_asked[errand->partition] = false;
    seat_append(&seats, &door->opening[errand->partition]);
    if (errand->status == STATUS_OK) {
        door->epochs[errand->partition] = errand->epoch;
        door_ask(issuer, &seats);
    } else {
        door_retry(issuer, &seats);
    }
}

static void loaded(struct redis_issuer *issuer, const struct keeper_errand *errand) {
    struct door *door = &issuer->door;
    struct loading **place = &door->loading[errand->partition];
    assert(*place);
    while ((*place)->coupon_id != errand->coupon_id) {
        place = &(*place)->next;
        assert(*place);
    }
    struct loading *loading = *place;
    struct seat_list seats = loading->seats;
    struct seat *seat;
    *place = loading->next;
    door->loading_count[errand->partition]--;
    free(loading);
    if (errand->status == STATUS_OK) {
        door_ask(issuer, &seats);
    } else if (errand->status == STATUS_CONFLICT) {
        door_open_first(issuer, errand->partition, &seats);
    } else if (errand->status == STATUS_NOT_FOUND) {
        /* but what was issued before it was archived is told */
        for (seat = seats.first; seat; seat = seat->next) {
            seat->n = 0;
        }
        waiting_ask(issuer, &seats);
    } else {
        door_retry(issuer, &seats);
    }
}

/* What other threads have left here. */
static void take_in(struct redis_issuer *issuer) {
    struct door *door = &issuer->door;
    int64_t now_us = clock_monotonic_us();
    pthread_mutex_lock(&door->lock);
    struct job_list jobs = door->submitted;
    struct question_list answered = door->answered;
    struct errand_list errands = door->errands_done;
    door->submitted = (struct job_list){0};
    door->answered = (struct question_list){0};
    door->errands_done = (struct errand_list){0};
    pthread_mutex_unlock(&door->lock);
    struct keeper_errand *errand;
    struct question *question;
    struct job *job;
    while ((errand = errand_pop(&errands)) != NULL) {
        (errand->kind == ERRAND_OPEN ? opened : loaded)(issuer, errand);
        free(errand);
    }
    while ((question = question_pop(&answered)) != NULL) {
        waiting_answered(issuer, question, now_us);
    }
    while ((job = job_list_pop(&jobs)) != NULL) {
        batch_begin(issuer, (struct claim_batch *)job);
    }
}

/* ---- time ---- */

static void enter(struct redis_issuer *issuer, enum issuer_state state, const char *why) {
    if (atomic_exchange(&issuer->state, (int)state) != (int)state &&
        issuer->options.state_changed) {
        issuer->options.state_changed(issuer->options.context, state, why);
    }
}

static void judge_state(struct redis_issuer *issuer) {
    struct door *door = &issuer->door;
    bool redis = redis_client_ready(door->redis);
    bool ledger = !atomic_load(&issuer->ledger_away);
    if (redis && ledger && !door->refusing) {
        enter(issuer, ISSUER_READY, "");
    } else if (atomic_load(&issuer->state) != ISSUER_STARTING) {
        enter(issuer, ISSUER_UNWRITABLE,
              !redis    ? "Redis is not connected"
              : !ledger ? "the SQL server does not answer"
                        : door->why.text);
    }
}

/* A partition whose epoch moved on in the ledger is asked about before its next claim. */
static void heed_epochs(struct redis_issuer *issuer) {
    struct door *door = &issuer->door;
    for (unsigned p = 0; p < PARTITION_COUNT; p++) {
        if (atomic_load(&issuer->ledger_epochs[p]) > door->epochs[p]) {
            door->epochs[p] = 0;
        }
    }
}

static void end_late(struct redis_issuer *issuer, struct seat_list *list, int64_t now_us) {
    struct seat_list kept = {0};
    struct seat *seat;
    while ((seat = seat_pop(list)) != NULL) {
        if (now_us >= seat->deadline_us) {
            door_finish(issuer, seat, VERDICT_STORAGE_UNAVAILABLE);
        } else {
            seat_push(&kept, seat);
        }
    }
    *list = kept;
}

static void retry_when_due(struct redis_issuer *issuer, int64_t now_us) {
    struct door *door = &issuer->door;
    struct seat_list seats = {0};
    if (door->retry.count > 0 && now_us >= door->retry_at_us) {
        end_late(issuer, &door->retry, now_us);
        seat_append(&seats, &door->retry);
        door_ask(issuer, &seats);
    }
}

static void close_all(struct door *door);

static void on_tick(uv_timer_t *timer) {
    struct redis_issuer *issuer = timer->data;
    struct door *door = &issuer->door;
    int64_t now_us = clock_monotonic_us();
    heed_epochs(issuer);
    waiting_look(issuer, now_us);
    for (unsigned p = 0; p < PARTITION_COUNT; p++) {
        for (struct loading *loading = door->loading[p]; loading; loading = loading->next) {
            end_late(issuer, &loading->seats, now_us);
        }
    }
    retry_when_due(issuer, now_us);
    judge_state(issuer);
    pthread_mutex_lock(&door->lock);
    bool over = door->closed && !door->submitted.first;
    pthread_mutex_unlock(&door->lock);
    if (over && door->open_batches == 0) {
        close_all(door);
    }
}

static void on_wake(uv_async_t *wake) {
    take_in(wake->data);
}

static void on_settled(void *context, struct slice message) {
    struct ledger_cursor cursor;
    if (partition_settled_read(message, &cursor) == STATUS_OK) {
        waiting_settled(context, &cursor);
    } else {
        waiting_issued(context, message);
    }
}

/* ---- life ---- */

static void *keep_door(void *context) {
    struct redis_issuer *issuer = context;
    uv_run(&issuer->door.loop, UV_RUN_DEFAULT);
    return NULL;
}

/* The last turn of the loop ends when these are closed. */
static void close_all(struct door *door) {
    assert(!uv_is_closing((uv_handle_t *)&door->timer)); /* whose tick this is */
    uv_close((uv_handle_t *)&door->timer, NULL);
    uv_close((uv_handle_t *)&door->wake, NULL);
    redis_client_close(door->redis, NULL, NULL);
}

int door_submit(struct redis_issuer *issuer, struct job *job) {
    struct door *door = &issuer->door;
    size_t count = ((struct claim_batch *)job)->count;
    size_t in_hand = atomic_fetch_add(&issuer->claim_count, count);
    if (in_hand > 0 && in_hand + count > issuer->options.queue_max) {
        atomic_fetch_sub(&issuer->claim_count, count);
        return STATUS_FULL;
    }
    pthread_mutex_lock(&door->lock);
    bool closed = door->closed;
    if (!closed) {
        job_list_push(&door->submitted, job);
        uv_async_send(&door->wake);
    }
    pthread_mutex_unlock(&door->lock);
    if (closed) {
        atomic_fetch_sub(&issuer->claim_count, count);
    }
    return closed ? STATUS_STOPPED : STATUS_OK;
}

void door_answered(struct redis_issuer *issuer, struct question_list *questions) {
    struct door *door = &issuer->door;
    pthread_mutex_lock(&door->lock);
    question_append(&door->answered, questions);
    uv_async_send(&door->wake);
    pthread_mutex_unlock(&door->lock);
}

void door_errand_done(struct redis_issuer *issuer, struct keeper_errand *errand) {
    struct door *door = &issuer->door;
    pthread_mutex_lock(&door->lock);
    errand_push(&door->errands_done, errand);
    uv_async_send(&door->wake);
    pthread_mutex_unlock(&door->lock);
}

static int open_redis(struct redis_issuer *issuer, struct complaint *complaint) {
    struct door *door = &issuer->door;
    struct redis_options options = {
        .url = issuer->options.redis_url,
        .calls_max = issuer->options.queue_max,
        .library = &redis_coupon_library,
    };
    struct redis_subscriber subscriber = {.message = on_settled, .context = issuer};
    int status = redis_client_new(&door->loop, &options, &door->redis, complaint);
    if (status) {
        return status;
    }
    status = redis_subscribe(door->redis, PARTITION_CHANNEL_SETTLED, &subscriber);
    return status ? complain(complaint, status, "Redis cannot be listened to") : STATUS_OK;
}

int door_start(struct redis_issuer *issuer, struct complaint *complaint) {
    struct door *door = &issuer->door;
    randombytes_buf(&door->name_high, sizeof(door->name_high));
    door->words = calloc(DOOR_WORDS_MAX, sizeof(door->words[0]));
    if (!door->words || uv_loop_init(&door->loop)) {
        free(door->words);
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory to start");
    }
    pthread_mutex_init(&door->lock, NULL);
    uv_async_init(&door->loop, &door->wake, on_wake);
    uv_timer_init(&door->loop, &door->timer);
    door->wake.data = issuer;
    door->timer.data = issuer;
    uv_timer_start(&door->timer, on_tick, TICK_MS, TICK_MS);
    int status = open_redis(issuer, complaint);
    if (status == STATUS_OK && pthread_create(&door->thread, NULL, keep_door, issuer)) {
        status = complain(complaint, STATUS_NO_MEMORY, "a thread cannot be started");
    }
    if (status) {
        uv_close((uv_handle_t *)&door->timer, NULL);
        uv_close((uv_handle_t *)&door->wake, NULL);
        if (door->redis) {
            redis_client_close(door->redis, NULL, NULL);
        }
        uv_run(&door->loop, UV_RUN_DEFAULT);
        door_done(issuer);
    }
    return status;
}

void door_stop(struct redis_issuer *issuer) {
    struct door *door = &issuer->door;
    pthread_mutex_lock(&door->lock);
    door->closed = true;
    pthread_mutex_unlock(&door->lock);
    pthread_join(door->thread, NULL);
}

void door_done(struct redis_issuer *issuer) {
    struct door *door = &issuer->door;
    int busy = uv_loop_close(&door->loop);
    assert(busy == 0);
    pthread_mutex_destroy(&door->lock);
    free(door->words);
}
