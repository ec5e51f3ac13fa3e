/* The people who claim coupons, what the network does to their requests, and the loops that
 * gather them for the writer. See run.h. */
#include "sim/run.h"

#include "history.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- attempts ---- */

static bool is_business(enum verdict verdict) {
    return verdict < VERDICT_ADMITTED;
}

static int64_t network_us(void) {
    return run_between(1, run.plan.network_us);
}

static struct attempt *attempt_new(uint32_t persona_number, uint32_t key) {
    if (run.attempt_count == ATTEMPTS_MAX) {
        return NULL;
    }
    const struct persona *persona = &run.personas[persona_number];
    struct attempt *attempt = &run.attempts[run.attempt_count++];
    *attempt = (struct attempt){
        .persona = persona_number,
        .coupon_id = run.coupons[persona->coupon].id,
        .key = key,
        .invoked_step = run.step,
    };
    return attempt;
}

static void deliver_request(uint32_t number, int64_t in_us) {
    events_plan(&run.events, (struct event){.at_us = world->now_us + in_us,
                                            .kind = EVENT_ARRIVE,
                                            .subject = number,
                                            .incarnation = run.server.incarnation});
}

static void send(uint32_t persona, uint32_t key) {
    struct attempt *attempt = attempt_new(persona, key);
    if (!attempt) {
        return;
    }
    uint32_t number = (uint32_t)(attempt - run.attempts);
    world_trace("attempt %u: persona %u claims coupon %llu, key %u", number, persona,
                (unsigned long long)attempt->coupon_id, key);
    run_plan(run_between(run.plan.patience_us / 2, run.plan.patience_us), EVENT_PATIENCE, number);
    if (!server_takes_claims()) {
        return; /* no connection */
    }
    uint64_t weather = run.healed ? 0 : run.plan.weather;
    if ((weather & UINT64_C(1) << FAULT_REQUEST_LOST) && run_chance(30)) {
        world_hit(FAULT_REQUEST_LOST);
        return;
    }
    int64_t in_us = network_us();
    deliver_request(number, in_us);
    if ((weather & UINT64_C(1) << FAULT_DUPLICATE) && run_chance(50)) {
        struct attempt *echo = attempt_new(persona, key);
        if (echo) {
            echo->echo = true;
            world_hit(FAULT_DUPLICATE);
            deliver_request((uint32_t)(echo - run.attempts), in_us + run_between(0, 300));
        }
    }
}

void crowd_ask(uint32_t number) {
    struct persona *persona = &run.personas[number];
    if (run.coupons[persona->coupon].id == 0) { /* nobody knows it yet */
        run_plan(run_between(500, 5000), EVENT_ASK, number);
        return;
    }
    if (persona->tries_left == 0) {
        return;
    }
    persona->tries_left--;
    bool new_key = persona->has_key && (persona->keys == 0 || run_chance(100));
    persona->keys += new_key;
    send(number, persona->has_key ? persona->keys : 0);
    if (run_chance(60)) { /* a double click */
        send(number, persona->has_key ? persona->keys : 0);
    }
}

/* Sometimes it tries another key, or none: a second device of the same person. */
static void ask_again(uint32_t number, int64_t in_us) {
    struct persona *persona = &run.personas[number];
    if (persona->tries_left > 0) {
        if (run_chance(50)) {
            persona->has_key = !persona->has_key;
        }
        run_plan(in_us, EVENT_ASK, number);
    }
}

/* ---- loops ---- */

static struct batch *batch_take(void) {
    struct batch *batch = run.free_batches;
    if (batch) {
        run.free_batches = batch->next_free;
        return batch;
    }
    batch = calloc(1, sizeof(*batch));
    assert(batch);
    return batch;
}

void batch_free(struct batch *batch) {
    batch->next_free = run.free_batches;
    run.free_batches = batch;
}

void crowd_done(void) {
    while (run.free_batches) {
        struct batch *batch = run.free_batches;
        run.free_batches = batch->next_free;
        free(batch);
    }
}

/* The answer to one attempt leaves the server. */
static void answer(struct attempt *attempt, const struct claim *claim) {
    uint32_t number = (uint32_t)(attempt - run.attempts);
    attempt->claim.verdict = claim->verdict;
    attempt->claim.rank = claim->rank;
    attempt->claim.issued_at_us = claim->issued_at_us;
    world_trace("attempt %u: %s rank %u", number, history_verdict_word(claim->verdict),
                claim->rank);
    if (attempt->echo) {
        return;
    }
    if (!run.healed && (run.plan.weather & UINT64_C(1) << FAULT_REPLY_LOST) && run_chance(50)) {
        world_hit(FAULT_REPLY_LOST);
        return;
    }
    run_plan(network_us(), EVENT_REPLY, number);
}

static void batch_done(struct job *job) {
    IN_SIMULATOR;
    struct batch *batch = (struct batch *)job;
    for (size_t i = 0; !world->dead && i < batch->batch.count; i++) {
        struct attempt *attempt = &run.attempts[batch->attempts[i]];
        if (attempt->state == ATTEMPT_LOST) {
            world_hit(FAULT_GAVE_UP);
        } else if (!attempt->claim.context) {
            answer(attempt, &batch->claims[i]);
        }
    }
    batch_free(batch);
}

/* claim.context of an attempt marks that it was told already. */
void crowd_tell_early(const struct job_list *batches, bool granted) {
    for (struct job *job = batches->first; job; job = job->next) {
        struct batch *batch = (struct batch *)job;
        for (size_t i = 0; i < batch->batch.count; i++) {
            struct attempt *attempt = &run.attempts[batch->attempts[i]];
            enum verdict meant = granted ? VERDICT_ISSUED : VERDICT_SOLD_OUT;
            if (batch->claims[i].verdict == meant && attempt->state == ATTEMPT_UNDER_WAY) {
                answer(attempt, &batch->claims[i]);
                attempt->claim.context = attempt;
            }
        }
    }
}

static void fill_claim(struct batch *batch, size_t at, uint32_t number, char texts[2][NAME_SIZE]) {
    const struct attempt *attempt = &run.attempts[number];
    name_write(run.personas[attempt->persona].name, texts[0]);
    snprintf(texts[1], NAME_SIZE, "k%u-%u", attempt->persona, attempt->key);
    batch->attempts[at] = number;
    batch->claims[at] = (struct claim){
        .coupon_id = attempt->coupon_id,
        .user = digest_of(&run.server.digest_key, slice_of(texts[0])),
        .user_id = slice_of(texts[0]),
        .request_key = attempt->key ? slice_of(texts[1]) : (struct slice){NULL, 0},
    };
}

/* Texts of claims last until they are done: one pair for every attempt. */
static char attempt_texts[ATTEMPTS_MAX][2][NAME_SIZE];

static void refuse_all(const struct batch *batch, enum verdict verdict) {
    struct claim refused = {.verdict = verdict};
    for (size_t i = 0; i < batch->batch.count; i++) {
        answer(&run.attempts[batch->attempts[i]], &refused);
    }
}

void crowd_loop(uint32_t number, uint32_t incarnation) {
    struct loop *loop = &run.loops[number];
    if (incarnation != run.server.incarnation) {
        return;
    }
    loop->planned = false;
    if (loop->count == 0) {
        return;
    }
    struct batch *batch = batch_take();
    batch->batch = (struct claim_batch){
        .job = {.kind = JOB_CLAIMS, .done = batch_done},
        .claims = batch->claims,
        .count = loop->count,
    };
    for (size_t i = 0; i < loop->count; i++) {
        fill_claim(batch, i, loop->attempts[i], attempt_texts[loop->attempts[i]]);
    }
    loop->count = 0;
    int status = server_takes_claims() ? server_submit(&batch->batch.job) : STATUS_STOPPED;
    if (status) {
        if (status == STATUS_FULL) {
            world_hit(FAULT_QUEUE_FULL);
        }
        refuse_all(batch, VERDICT_OVERLOADED);
        batch_free(batch);
    }
}

void crowd_arrive(uint32_t number, uint32_t incarnation) {
    if (incarnation != run.server.incarnation) {
        return;
    }
    uint32_t which = (uint32_t)run_between(0, (int64_t)run.plan.loops - 1);
    struct loop *loop = &run.loops[which];
    if (loop->count == run.plan.batch_max) {
        crowd_loop(which, incarnation);
        if (incarnation != run.server.incarnation) {
            return;
        }
    }
    loop->attempts[loop->count++] = number;
    if (!loop->planned) {
        loop->planned = true;
        events_plan(&run.events, (struct event){.at_us = world->now_us + run_between(0, 200),
                                                .kind = EVENT_LOOP,
                                                .subject = which,
                                                .incarnation = incarnation});
    }
}

void crowd_server_ended(void) {
    for (size_t i = 0; i < LOOPS_MAX; i++) {
        run.loops[i] = (struct loop){.count = 0};
    }
}

/* ---- answers ---- */

static void note_success(const struct attempt *attempt) {
    const struct claim *claim = &attempt->claim;
    oracle_fact(attempt->coupon_id, claim->rank, run.personas[attempt->persona].name,
                claim->issued_at_us);
}

void crowd_reply(uint32_t number) {
    struct attempt *attempt = &run.attempts[number];
    if (attempt->state != ATTEMPT_UNDER_WAY) {
        return;
    }
    enum verdict verdict = attempt->claim.verdict;
    attempt->state = ATTEMPT_ANSWERED;
    attempt->returned_step = run.step;
    if (verdict == VERDICT_ISSUED || verdict == VERDICT_REPLAYED ||
        verdict == VERDICT_ALREADY_ISSUED) {
        note_success(attempt);
    }
    if (!is_business(verdict)) {
        ask_again(attempt->persona, run_between(1000, 30000));
    } else if (run_chance(run.plan.again)) {
        ask_again(attempt->persona, run_between(0, 20000));
    }
}

void crowd_patience(uint32_t number) {
    struct attempt *attempt = &run.attempts[number];
    if (attempt->state != ATTEMPT_UNDER_WAY) {
        return;
    }
    attempt->state = ATTEMPT_LOST;
    world_trace("attempt %u: the client waits no longer", number);
    if (run_chance(800)) {
        ask_again(attempt->persona, run_between(0, 10000));
    }
}

/* ---- the crowd ---- */

void crowd_begin(void) {
    int64_t rush_us = run_between(5000, run.plan.length_us);
    bool rushes = run_chance(500);
    run.persona_count = run.plan.personas;
    for (uint32_t i = 0; i < run.persona_count; i++) {
        run.personas[i] = (struct persona){
            .name = (uint32_t)run_between(0, (int64_t)run.plan.names - 1),
            .coupon = (size_t)run_between(0, (int64_t)run.plan.coupons - 1),
            .has_key = run_chance(run.plan.keys),
            .tries_left = (unsigned)run_between(1, 6),
        };
        bool with_all = rushes && run_chance(500);
        run_plan(with_all ? rush_us + run_between(0, 500) : run_between(1000, run.plan.length_us),
                 EVENT_ASK, i);
    }
}
