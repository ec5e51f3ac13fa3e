/* The keeper of the redis issuer: opens gates, loads coupons, creates and changes them, and looks
 * how the queues stand. One thread that does one thing after the other. See redis_issuer.h.
 *
 * A change: the gate is closed and what was admitted is settled, under the terms it was admitted
 * by; then the ledger has the change, which begins an epoch of the partition in the same
 * transaction; then the gate opens. Stopped anywhere between, the epoch says to whoever comes next
 * that the gate must be opened anew. */
#include "issuer/redis_issuer.h"

#include <stdlib.h>

/* Rejects are counted by looking at them all, so not at every poll. */
#define REJECTS_POLLS 10
/* A gate that was found shut so often in a row is opened, so many at one poll: not at once, since
 * whoever changes a coupon shuts it for a moment, and claims that wait for theirs go first. */
#define SHUT_POLLS_MAX  3
#define SHUT_OPENED_MAX 8

/* ---- errands of the door ---- */

static void open_gate(struct redis_issuer *issuer, struct keeper_errand *errand) {
    struct complaint complaint;
    uint64_t before = atomic_load(&issuer->ledger_epochs[errand->partition]);
    errand->status =
        partition_reopen(issuer->keeper.link, errand->partition, false, &errand->epoch, &complaint);
    if (errand->status == STATUS_OK) {
        atomic_store(&issuer->ledger_epochs[errand->partition], errand->epoch);
        if (errand->epoch > before && before > 0) {
            atomic_fetch_add(&issuer->rebuilt, 1);
            if (issuer->options.rebuilt) {
                issuer->options.rebuilt(issuer->options.context, errand->partition, errand->epoch);
            }
        }
    }
}

static void run_errand(struct redis_issuer *issuer, struct keeper_errand *errand) {
    struct complaint complaint;
    switch (errand->kind) {
    case ERRAND_OPEN:
        open_gate(issuer, errand);
        break;
    case ERRAND_LOAD:
        errand->status =
            partition_load(issuer->keeper.link, errand->coupon_id, errand->epoch, &complaint);
        break;
    }
    door_errand_done(issuer, errand);
}

/* ---- commands ---- */

static int change(struct redis_issuer *issuer, struct command *command) {
    struct partition_link *link = issuer->keeper.link;
    unsigned partition = partition_of(command->coupon.id);
    struct complaint complaint;
    uint64_t epoch;
    /* Without Redis nothing more is admitted, and what was admitted and not settled is asked anew
     * in the next epoch. */
    if (redis_client_ready(partition_link_redis(link))) {
        int drained = partition_drain(link, partition, &complaint);
        if (drained == STATUS_IO || drained == STATUS_AMBIGUOUS) {
            atomic_store(&issuer->ledger_epochs[partition], 0);
        }
    }
    int status = change_perform(partition_link_ledger(link), command, &complaint);
    if (redis_client_ready(partition_link_redis(link)) &&
        partition_reopen(link, partition, false, &epoch, &complaint) == STATUS_OK) {
        atomic_store(&issuer->ledger_epochs[partition], epoch);
    }
    return status;
}

static void run_command(struct redis_issuer *issuer, struct command *command) {
    struct complaint complaint;
    command->status =
        command->job.kind == JOB_COUPON_CREATE
            ? creation_perform(partition_link_ledger(issuer->keeper.link), command, &complaint)
            : change(issuer, command);
    command->job.done(&command->job);
}

/* ---- how things stand ---- */

/* False: Redis did not tell, and the figures stay as they were. */
static bool read_queues(struct redis_issuer *issuer,
                        const struct ledger_cursor cursors[static PARTITION_COUNT]) {
    uint64_t queued = 0;
    uint64_t open = 0;
    int64_t oldest_us = 0;
    for (unsigned p = 0; p < PARTITION_COUNT; p++) {
        struct partition_status status;
        if (cursors[p].epoch == 0) {
            continue;
        }
        if (!redis_client_ready(partition_link_redis(issuer->keeper.link)) ||
            partition_status_read(issuer->keeper.link, p, cursors[p].epoch, &status, NULL)) {
            return false;
        }
        bool first = status.oldest_us > 0 && (oldest_us == 0 || status.oldest_us < oldest_us);
        oldest_us = first ? status.oldest_us : oldest_us;
        queued += status.queued;
        bool is_open = status.open && status.epoch == cursors[p].epoch;
        issuer->keeper.shut_polls[p] = is_open ? 0 : issuer->keeper.shut_polls[p] + 1;
        open += is_open;
    }
    atomic_store(&issuer->queued, queued);
    atomic_store(&issuer->oldest_us, oldest_us);
    atomic_store(&issuer->gates_open, open);
    return true;
}

/* Opens gates that nobody has a claim for, too: what was admitted before they were lost would else
 * be called pending for ever. */
static void open_shut(struct redis_issuer *issuer) {
    unsigned *polls = issuer->keeper.shut_polls;
    for (unsigned p = 0, opened = 0; p < PARTITION_COUNT && opened < SHUT_OPENED_MAX; p++) {
        if (polls[p] >= SHUT_POLLS_MAX) {
            struct keeper_errand errand = {.partition = p};
            open_gate(issuer, &errand);
            polls[p] = 0;
            opened++;
        }
    }
}

static void poll(struct redis_issuer *issuer, unsigned turn) {
    struct ledger_cursor cursors[PARTITION_COUNT];
    struct ledger *ledger = partition_link_ledger(issuer->keeper.link);
    uint64_t rejects = 0;
    int status = ledger_cursors_read(ledger, cursors);
    atomic_store(&issuer->ledger_away, status != STATUS_OK);
    if (status) {
        return;
    }
    for (unsigned p = 0; p < PARTITION_COUNT; p++) {
        atomic_store(&issuer->ledger_epochs[p], cursors[p].epoch);
    }
    if (read_queues(issuer, cursors)) {
        open_shut(issuer);
    }
    if (turn % REJECTS_POLLS == 0 && ledger_rejects_count(ledger, &rejects) == STATUS_OK) {
        atomic_store(&issuer->rejects, rejects);
    }
}

/* ---- the thread ---- */

static void on_wake(uv_async_t *handle) {
    (void)handle; /* the loop's turn ends */
}

static void on_timer(uv_timer_t *handle) {
    (void)handle;
}

static void wait(struct keeper *keeper) {
    int64_t left_us = keeper->poll_at_us - clock_monotonic_us();
    uv_update_time(partition_link_loop(keeper->link));
    uv_timer_start(&keeper->timer, on_timer, left_us > 1000 ? (uint64_t)left_us / 1000 : 1, 0);
    uv_run(partition_link_loop(keeper->link), UV_RUN_ONCE);
    uv_timer_stop(&keeper->timer);
}

/* Errands, for which claims wait, and commands by turns: claims of coupons that nobody knows, an
 * errand each, do not keep an operator from pausing one. Closed, the door has ended, and nobody
 * waits for errands. False: closed, and nothing is left. */
static bool take(struct keeper *keeper, struct keeper_errand **ret_errand, struct job **ret_job) {
    pthread_mutex_lock(&keeper->lock);
    while (keeper->closed && keeper->errands.first) {
        free(errand_pop(&keeper->errands));
    }
    bool command = keeper->commands.first && (keeper->command_is_next || !keeper->errands.first);
    *ret_job = command ? job_list_pop(&keeper->commands) : NULL;
    *ret_errand = command ? NULL : errand_pop(&keeper->errands);
    keeper->command_count -= command ? 1 : 0;
    keeper->command_is_next = !command;
    bool open = *ret_errand || *ret_job || !keeper->closed;
    pthread_mutex_unlock(&keeper->lock);
    return open;
}

static void *keep(void *context) {
    struct redis_issuer *issuer = context;
    struct keeper *keeper = &issuer->keeper;
    struct keeper_errand *errand;
    struct job *job;
    unsigned turn = 0;
    while (take(keeper, &errand, &job)) {
        if (errand) {
            run_errand(issuer, errand);
        } else if (job) {
            run_command(issuer, (struct command *)job);
        } else {
            wait(keeper);
        }
        if (clock_monotonic_us() >= keeper->poll_at_us) {
            poll(issuer, turn++);
            keeper->poll_at_us = clock_monotonic_us() + issuer->options.refresh_interval_us;
        }
    }
    uv_close((uv_handle_t *)&keeper->wake, NULL);
    uv_close((uv_handle_t *)&keeper->timer, NULL);
    partition_link_close(keeper->link);
    return NULL;
}

/* ---- any thread ---- */

void keeper_errand(struct redis_issuer *issuer, struct keeper_errand *errand) {
    struct keeper *keeper = &issuer->keeper;
    pthread_mutex_lock(&keeper->lock);
    /* a gate is every claim's of its partition, a coupon perhaps nobody's */
    (errand->kind == ERRAND_OPEN ? errand_push_first : errand_push)(&keeper->errands, errand);
    uv_async_send(&keeper->wake);
    pthread_mutex_unlock(&keeper->lock);
}

int keeper_submit(struct redis_issuer *issuer, struct job *command) {
    struct keeper *keeper = &issuer->keeper;
    int status = STATUS_OK;
    pthread_mutex_lock(&keeper->lock);
    if (keeper->closed) {
        status = STATUS_STOPPED;
    } else if (keeper->command_count >= QUEUE_COMMANDS_MAX) {
        status = STATUS_FULL;
    } else {
        keeper->command_count++;
        job_list_push(&keeper->commands, command);
        uv_async_send(&keeper->wake);
    }
    pthread_mutex_unlock(&keeper->lock);
    return status;
}

int keeper_start(struct redis_issuer *issuer, struct complaint *complaint) {
    struct keeper *keeper = &issuer->keeper;
    struct partition_link_options options = {
        .redis = {.url = issuer->options.redis_url},
        .ledger = issuer->options.ledger,
    };
    int status = partition_link_open(&options, &keeper->link, complaint);
    if (status) {
        return status;
    }
    pthread_mutex_init(&keeper->lock, NULL);
    uv_async_init(partition_link_loop(keeper->link), &keeper->wake, on_wake);
    uv_timer_init(partition_link_loop(keeper->link), &keeper->timer);
    if (pthread_create(&keeper->thread, NULL, keep, issuer)) {
        uv_close((uv_handle_t *)&keeper->wake, NULL);
        uv_close((uv_handle_t *)&keeper->timer, NULL);
        partition_link_close(keeper->link);
        pthread_mutex_destroy(&keeper->lock);
        return complain(complaint, STATUS_NO_MEMORY, "a thread cannot be started");
    }
    return STATUS_OK;
}

void keeper_stop(struct redis_issuer *issuer) {
    struct keeper *keeper = &issuer->keeper;
    pthread_mutex_lock(&keeper->lock);
    keeper->closed = true;
    uv_async_send(&keeper->wake);
    pthread_mutex_unlock(&keeper->lock);
    pthread_join(keeper->thread, NULL);
    pthread_mutex_destroy(&keeper->lock);
}
