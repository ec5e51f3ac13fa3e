/* Goes round the partitions that have work: see worker.h.
 *
 * A hint makes a partition due; a queue that was left full stays due; all are due once a poll
 * interval, since hints may be lost. Where another worker is, the partition is due again after a
 * short pause: it may have read the queue before the hint's entry came. */
#include "worker/worker.h"

#include <stdlib.h>

/* How soon to look again where another worker was. */
static const int64_t BUSY_PAUSE_US = 2000;
/* How long the first connection to Redis may take before it is worth a word. */
static const int64_t FIRST_CONNECT_US = US_PER_SECOND;

struct worker {
    struct worker_options options;
    struct partition_link *link;
    uv_async_t stop_asked;
    uv_timer_t timer;
    atomic_bool stopping;
    enum worker_state state;
    bool due[PARTITION_COUNT];
    int64_t due_at_us[PARTITION_COUNT]; /* not before, after another was there */
    int64_t poll_at_us;
    int64_t check_at_us;
    int64_t patient_until_us; /* Redis is being connected to for the first time */
    unsigned next;            /* where the round goes on */
    struct worker_figures figures;
};

void worker_options_default(struct worker_options *ret_options) {
    *ret_options = (struct worker_options){
        .poll_interval_us = US_PER_SECOND / 4,
        .check_interval_us = US_PER_SECOND,
    };
}

static void enter(struct worker *worker, enum worker_state state, const char *why) {
    if (worker->state != state) {
        worker->state = state;
        if (worker->options.state_changed) {
            worker->options.state_changed(worker->options.context, state, why);
        }
    }
}

/* ---- what wakes it ---- */

static void on_hint(void *context, struct slice message) {
    struct worker *worker = context;
    struct ledger_cursor heard;
    if (partition_queued_read(message, &heard) == STATUS_OK) {
        partition_heard(worker->link, heard.partition, heard.epoch);
        worker->due[heard.partition] = true;
    }
}

/* Hints may have been missed. */
static void on_subscribed(void *context) {
    ((struct worker *)context)->poll_at_us = 0;
}

static void on_stop(uv_async_t *handle) {
    (void)handle; /* the loop's turn ends, and with it the wait */
}

static void on_timer(uv_timer_t *handle) {
    (void)handle;
}

/* ---- one partition ---- */

/* The ledger cannot be used, or Redis cannot: which one the status tells. */
static void note_failure(struct worker *worker, int status, const struct complaint *why) {
    bool redis =
        !redis_client_ready(partition_link_redis(worker->link)) || status == STATUS_INVALID;
    enter(worker, redis ? WORKER_REDIS_AWAY : WORKER_LEDGER_AWAY, why->text);
}

static void rebuild(struct worker *worker, unsigned partition, const struct complaint *why) {
    struct complaint complaint = {0};
    uint64_t epoch = 0;
    int status = partition_reopen(worker->link, partition, true, &epoch, &complaint);
    if (status) {
        note_failure(worker, status, &complaint);
    } else if (worker->options.rebuilt) {
        worker->options.rebuilt(worker->options.context, partition, epoch, why->text);
    }
}

static void count(struct worker *worker, const struct partition_progress *progress) {
    worker->figures.settlements += progress->claims > 0;
    worker->figures.claims += progress->claims;
    worker->figures.issued += progress->issued;
    worker->figures.rejected += progress->rejected;
}

/* Returns whether there is no need to pause. */
static bool settle(struct worker *worker, unsigned partition) {
    struct complaint complaint = {0};
    struct partition_progress progress;
    worker->due[partition] = false;
    int status = partition_settle(worker->link, partition, &progress, &complaint);
    count(worker, &progress);
    switch (status) {
    case STATUS_OK:
        worker->due[partition] |= progress.more || progress.claims > 0;
        enter(worker, WORKER_WORKING, "");
        return true;
    case STATUS_BUSY:
        worker->due[partition] = true;
        worker->due_at_us[partition] = clock_monotonic_us() + BUSY_PAUSE_US;
        return true;
    case STATUS_CONFLICT:
        rebuild(worker, partition, &complaint);
        return true;
    default:
        worker->due[partition] = true;
        note_failure(worker, status, &complaint);
        return false;
    }
}

/* ---- the round ---- */

static void poll_when_due(struct worker *worker, int64_t now_us) {
    if (now_us >= worker->poll_at_us) {
        for (unsigned p = 0; p < PARTITION_COUNT; p++) {
            worker->due[p] = true;
        }
        worker->poll_at_us = now_us + worker->options.poll_interval_us;
    }
}

static void check_when_due(struct worker *worker, int64_t now_us) {
    struct complaint complaint = {0};
    if (now_us < worker->check_at_us) {
        return;
    }
    for (unsigned p = 0; p < PARTITION_COUNT; p++) {
        int status = partition_catch_up(worker->link, p, &complaint);
        if (status == STATUS_CONFLICT) {
            rebuild(worker, p, &complaint);
        } else if (status) {
            note_failure(worker, status, &complaint);
            break;
        }
    }
    worker->check_at_us = clock_monotonic_us() + worker->options.check_interval_us;
}

/* The next one that is due; PARTITION_COUNT: none is, now. */
static unsigned next_due(struct worker *worker, int64_t now_us) {
    for (unsigned i = 0; i < PARTITION_COUNT; i++) {
        unsigned partition = (worker->next + i) % PARTITION_COUNT;
        if (worker->due[partition] && now_us >= worker->due_at_us[partition]) {
            worker->next = partition + 1;
            return partition;
        }
    }
    return PARTITION_COUNT;
}

/* Until something comes, or `most_us` have passed. */
static void wait(struct worker *worker, int64_t most_us) {
    uint64_t most_ms = (uint64_t)(most_us > 1000 ? most_us / 1000 : 1);
    uv_update_time(partition_link_loop(worker->link));
    uv_timer_start(&worker->timer, on_timer, most_ms, 0);
    uv_run(partition_link_loop(worker->link), UV_RUN_ONCE);
    uv_timer_stop(&worker->timer);
}

static int64_t wait_us_of(const struct worker *worker, int64_t now_us) {
    int64_t until_us =
        worker->poll_at_us < worker->check_at_us ? worker->poll_at_us : worker->check_at_us;
    for (unsigned p = 0; p < PARTITION_COUNT; p++) {
        if (worker->due[p] && worker->due_at_us[p] < until_us) {
            until_us = worker->due_at_us[p];
        }
    }
    return until_us - now_us;
}

static void turn(struct worker *worker) {
    int64_t now_us = clock_monotonic_us();
    if (!redis_client_ready(partition_link_redis(worker->link))) {
        if (now_us >= worker->patient_until_us) {
            enter(worker, WORKER_REDIS_AWAY, "Redis is not connected");
        }
        wait(worker, worker->options.poll_interval_us);
        return;
    }
    poll_when_due(worker, now_us);
    check_when_due(worker, now_us);
    unsigned partition = next_due(worker, clock_monotonic_us());
    if (partition == PARTITION_COUNT) {
        wait(worker, wait_us_of(worker, now_us));
    } else if (!settle(worker, partition)) {
        wait(worker, worker->options.poll_interval_us);
    }
}

void worker_run(struct worker *worker) {
    worker->patient_until_us = clock_monotonic_us() + FIRST_CONNECT_US;
    while (!atomic_load(&worker->stopping)) {
        turn(worker);
    }
}

/* ---- life ---- */

void worker_stop(struct worker *worker) {
    atomic_store(&worker->stopping, true);
    uv_async_send(&worker->stop_asked);
}

int worker_new(const struct worker_options *options, struct worker **ret_worker,
               struct complaint *complaint) {
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory to start");
    }
    worker->options = *options;
    int status = partition_link_open(&options->link, &worker->link, complaint);
    if (status) {
        free(worker);
        return status;
    }
    struct redis_subscriber subscriber = {
        .message = on_hint, .subscribed = on_subscribed, .context = worker};
    uv_loop_t *loop = partition_link_loop(worker->link);
    uv_async_init(loop, &worker->stop_asked, on_stop);
    uv_timer_init(loop, &worker->timer);
    status =
        redis_subscribe(partition_link_redis(worker->link), PARTITION_CHANNEL_QUEUED, &subscriber);
    if (status) {
        worker_free(worker);
        return complain(complaint, status, "Redis cannot be listened to (%s)", status_name(status));
    }
    *ret_worker = worker;
    return STATUS_OK;
}

void worker_free(struct worker *worker) {
    if (!worker) {
        return;
    }
    uv_close((uv_handle_t *)&worker->stop_asked, NULL);
    uv_close((uv_handle_t *)&worker->timer, NULL);
    partition_link_close(worker->link);
    free(worker);
}

struct worker_figures worker_figures(const struct worker *worker) {
    return worker->figures;
}
