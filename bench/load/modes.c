/* modes: who asks next, and when.
 *
 *   crowd, event   a sequence of users made beforehand, in a closed loop
 *   sustain        a new user each time, in a closed loop, until the time is over
 *   rate           a new user at each tick of a constant rate, whether or not answers come
 *   herd           a connection a user, opened evenly over the time given
 *
 * Called by worker.c. */
#include "load/load.h"

#include <stdlib.h>

/* ---- the sequence ---- */

/* splitmix64, by Vigna: a whole period from any seed. */
static uint64_t random_next(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void shuffle(uint32_t *users, uint64_t count, uint64_t *state) {
    for (uint64_t i = count; i > 1; i--) {
        uint64_t other = random_next(state) % i;
        uint32_t user = users[i - 1];
        users[i - 1] = users[other];
        users[other] = user;
    }
}

/* The users shuffled; those who ask again do so directly after themselves. */
static int make_sequence(struct plan *plan) {
    uint64_t state = plan->seed;
    uint64_t twice = plan->users * plan->again / 100;
    uint32_t *users = malloc(plan->users * sizeof(*users));
    plan->sequence = malloc((plan->users + twice) * sizeof(*users));
    if (!users || !plan->sequence) {
        free(users);
        return STATUS_NO_MEMORY;
    }
    for (uint64_t i = 0; i < plan->users; i++) {
        users[i] = (uint32_t)i;
    }
    shuffle(users, plan->users, &state);
    uint64_t left = twice;
    for (uint64_t i = 0; i < plan->users; i++) {
        plan->sequence[plan->planned++] = users[i];
        if (random_next(&state) % (plan->users - i) < left) {
            plan->sequence[plan->planned++] = users[i];
            left--;
        }
    }
    free(users);
    return STATUS_OK;
}

int plan_prepare(struct plan *plan) {
    if (plan->mode == &mode_crowd || plan->mode == &mode_event) {
        return make_sequence(plan);
    }
    if (plan->mode == &mode_rate) {
        plan->planned = plan->rate * (uint64_t)plan->duration_us / US_PER_SECOND;
    } else if (plan->mode == &mode_herd) {
        plan->planned = plan->users;
    }
    return STATUS_OK;
}

/* ---- crowd and event ---- */

static void sequence_ready(struct worker *worker, struct connection *connection) {
    struct plan *plan = worker->plan;
    uint64_t at = atomic_fetch_add_explicit(&plan->next, 1, memory_order_relaxed);
    if (at < plan->planned) {
        uint64_t user = plan->sequence[at];
        uint64_t coupon_id = plan->coupon_first + user % plan->coupon_count;
        worker->taken++;
        worker_send(worker, connection, coupon_id, user, worker->now_us);
    }
}

static bool sequence_spent(const struct worker *worker) {
    return atomic_load_explicit(&worker->plan->next, memory_order_relaxed) >= worker->plan->planned;
}

const struct mode mode_crowd = {
    .name = "crowd", .keeps_open = true, .ready = sequence_ready, .spent = sequence_spent};
const struct mode mode_event = {
    .name = "event", .keeps_open = true, .ready = sequence_ready, .spent = sequence_spent};

/* ---- sustain ---- */

/* The worker's next new user: theirs do not overlap. */
static uint64_t new_user(const struct worker *worker) {
    return worker->taken * worker->plan->threads + worker->number;
}

static bool sustain_spent(const struct worker *worker) {
    return worker->now_us >= worker->plan->start_us + worker->plan->duration_us;
}

static void sustain_ready(struct worker *worker, struct connection *connection) {
    if (!sustain_spent(worker)) {
        uint64_t user = new_user(worker);
        worker->taken++;
        worker_send(worker, connection, worker->plan->coupon_first, user, worker->now_us);
    }
}

const struct mode mode_sustain = {
    .name = "sustain", .keeps_open = true, .ready = sustain_ready, .spent = sustain_spent};

/* ---- rate ---- */

/* When the worker's next request is meant to be sent. What waits for a connection is whatever
 * is due and not taken: a queue without memory. */
static int64_t rate_due_us(const struct worker *worker) {
    const struct plan *plan = worker->plan;
    return plan->start_us + (int64_t)(new_user(worker) * US_PER_SECOND / plan->rate);
}

/* What waits longer than all patience after the end is not sent any more. */
static bool rate_spent(const struct worker *worker) {
    const struct plan *plan = worker->plan;
    return new_user(worker) >= plan->planned ||
           worker->now_us > plan->start_us + plan->duration_us + plan->patience_us;
}

static void rate_tick(struct worker *worker) {
    while (worker->free.first && !rate_spent(worker)) {
        int64_t due_us = rate_due_us(worker);
        if (due_us > worker->now_us) {
            break;
        }
        int64_t could_us = due_us > worker->free_since_us ? due_us : worker->free_since_us;
        int64_t late_us = worker->now_us - could_us;
        worker->late_us_max = late_us > worker->late_us_max ? late_us : worker->late_us_max;
        uint64_t user = new_user(worker);
        worker->taken++;
        worker_send(worker, queue_pop(&worker->free), worker->plan->coupon_first, user, due_us);
    }
}

static void rate_ready(struct worker *worker, struct connection *connection) {
    if (!worker->free.first) {
        worker->free_since_us = worker->now_us;
    }
    queue_push(&worker->free, connection);
    rate_tick(worker);
}

static int64_t rate_wake_us(const struct worker *worker) {
    if (!worker->free.first || rate_spent(worker)) {
        return INT64_MAX;
    }
    int64_t due_us = rate_due_us(worker);
    int64_t grain_us = worker->now_us + SEND_GRAIN_US;
    return due_us > grain_us ? due_us : grain_us;
}

const struct mode mode_rate = {.name = "rate",
                               .keeps_open = true,
                               .ready = rate_ready,
                               .tick = rate_tick,
                               .wake_us = rate_wake_us,
                               .spent = rate_spent};

/* ---- herd ---- */

static bool herd_spent(const struct worker *worker) {
    return worker->taken == worker->connection_count;
}

/* The worker's next connection is due at its share of the time. */
static int64_t herd_due_us(const struct worker *worker) {
    const struct plan *plan = worker->plan;
    uint64_t share = new_user(worker) * (uint64_t)plan->duration_us / plan->users;
    return plan->start_us + (int64_t)share;
}

static void herd_tick(struct worker *worker) {
    while (!herd_spent(worker) && herd_due_us(worker) <= worker->now_us) {
        struct connection *connection = &worker->connections[worker->taken];
        connection->user = new_user(worker);
        connection->since_us = clock_monotonic_us();
        worker->taken++;
        worker_open(worker, connection);
    }
}

/* A connection's claim is its first and last request. */
static void herd_ready(struct worker *worker, struct connection *connection) {
    if (connection->reply.status == 0) {
        worker_send(worker, connection, worker->plan->coupon_first, connection->user,
                    connection->since_us);
    }
}

static int64_t herd_wake_us(const struct worker *worker) {
    return herd_spent(worker) ? INT64_MAX : herd_due_us(worker);
}

const struct mode mode_herd = {.name = "herd",
                               .keeps_open = false,
                               .ready = herd_ready,
                               .tick = herd_tick,
                               .wake_us = herd_wake_us,
                               .spent = herd_spent};
