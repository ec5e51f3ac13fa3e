/* The embedded issuer: one writer thread around issuer_step, with the clock and the queue.
 * It owns engine, ledger and the board's changes; loops only push jobs and read the board. */
#include "issuer/step.h"

#include <stdlib.h>

/* Start is refused when the record is further ahead of the clock than this (I5). */
static const int64_t AHEAD_MAX_US = 60 * US_PER_SECOND;

/* So long nobody asked, then the engine may take its time: longer than any pause within a
 * crowd. And the breath it takes between its parts, in which a claim gets its turn. */
static const int64_t QUIET_US = US_PER_SECOND / 20;
static const int64_t BREATH_US = US_PER_SECOND / 1000;

/* Housekeeping that took less found nothing to do: a checkpoint writes hundreds of pages. */
static const int64_t CHECKPOINT_US_MIN = 100;

/* Counted by the writer. */
struct writer_figures {
    struct counter memory_bytes;
    struct counter commit_failures;
    struct histogram step_claims;
    struct histogram commit_rows;
    struct histogram commit_us;
    struct histogram checkpoint_us;
};

struct local {
    struct issuer issuer; /* first */
    struct issuer_local_options options;
    struct core *core;
    struct queue queue;
    struct clock clock;
    int64_t next_probe_us; /* monotonic; the writer's */
    bool engine_untidy;    /* it may have more to do when it is quiet; the writer's */
    bool quiet;            /* nobody has asked since do_quiet; the writer's */
    struct writer_figures figures;
    pthread_t writer;
    int close_status;
    struct complaint close_complaint;
    _Atomic int state; /* as published */
    _Atomic uint64_t issues;
    _Atomic int64_t held_back_us;
};

/* ---- the writer's thread ---- */

/* Tells a change of state. The first try to write again is an interval away too: a small
 * write may work where the claims' larger one just failed, and the state would change to and
 * fro with every step. */
static void publish_state(struct local *local) {
    enum issuer_state state = local->core->state;
    if (atomic_exchange(&local->state, (int)state) == (int)state) {
        return;
    }
    if (state == ISSUER_UNWRITABLE) {
        local->next_probe_us = clock_monotonic_us() + local->options.probe_interval_us;
    }
    if (local->options.state_changed) {
        local->options.state_changed(local->options.context, state, local->core->why.text);
    }
}

static void publish(struct local *local) {
    struct engine_figures figures = engine_figures(local->core->engine);
    atomic_store(&local->issues, figures.issues);
    atomic_store_explicit(&local->figures.memory_bytes.value, figures.memory_bytes,
                          memory_order_relaxed);
    atomic_store(&local->held_back_us, local->clock.held_back_us);
    publish_state(local);
}

static void deliver(struct job_list *jobs) {
    struct job *job;
    while ((job = job_list_pop(jobs)) != NULL) {
        job->done(job);
    }
}

static void do_command(struct local *local, struct command *command, int64_t now_us) {
    bool finished = core_command(local->core, now_us, command);
    publish(local);
    if (finished) {
        command->job.done(&command->job);
    } else {
        queue_push_again(&local->queue, &command->job);
    }
}

static uint64_t claims_in(const struct job_list *batches) {
    uint64_t count = 0;
    for (const struct job *job = batches->first; job; job = job->next) {
        count += ((const struct claim_batch *)job)->count;
    }
    return count;
}

/* issuer_step with the clock held beside it. A step that granted nothing wrote nothing, so
 * it counts among the steps and not among the commits. */
static void measured_step(struct local *local, int64_t now_us, const struct job_list *claims) {
    const struct core *core = local->core;
    struct writer_figures *figures = &local->figures;
    bool was_ready = core->state == ISSUER_READY;
    int64_t begin_us = clock_monotonic_us();
    issuer_step(local->core, now_us, claims);
    int64_t took_us = clock_monotonic_us() - begin_us;
    if (!was_ready) {
        return;
    }
    histogram_add(&figures->step_claims, claims_in(claims), 1);
    if (core->state != ISSUER_READY) {
        counter_add(&figures->commit_failures, 1);
    } else if (core->row_count > 0) {
        histogram_add(&figures->commit_rows, core->row_count, 1);
        histogram_add(&figures->commit_us, (uint64_t)took_us, 1);
    }
}

static void measured_tend(struct local *local) {
    bool idle = queue_is_empty(&local->queue);
    int64_t begin_us = clock_monotonic_us();
    core_tend(local->core, idle);
    int64_t took_us = clock_monotonic_us() - begin_us;
    if (took_us >= CHECKPOINT_US_MIN) {
        histogram_add(&local->figures.checkpoint_us, (uint64_t)took_us, 1);
    }
}

static void do_step(struct local *local, struct job_list *claims, struct job *command) {
    int64_t now_us = clock_now(&local->clock);
    if (claims->first) {
        measured_step(local, now_us, claims);
        publish(local);
        deliver(claims);
    }
    if (command) {
        do_command(local, (struct command *)command, clock_now(&local->clock));
    }
    measured_tend(local);
    engine_tend(local->core->engine, false);
    local->engine_untidy = true;
    local->quiet = false;
    publish(local);
}

/* Nobody asked for QUIET_US. */
static void do_quiet(struct local *local) {
    local->quiet = true;
    local->engine_untidy = engine_tend(local->core->engine, true);
    publish(local);
}

/* How long the writer may wait for jobs: while writing fails, until the next try is due; while
 * the engine is untidy, until it is quiet. */
static int64_t wait_us_of(const struct local *local) {
    if (local->engine_untidy) {
        return local->quiet ? BREATH_US : QUIET_US;
    }
    if (local->core->state != ISSUER_UNWRITABLE) {
        return -1;
    }
    int64_t left_us = local->next_probe_us - clock_monotonic_us();
    return left_us > 0 ? left_us : 0;
}

static void probe_when_due(struct local *local) {
    if (local->core->state == ISSUER_UNWRITABLE && clock_monotonic_us() >= local->next_probe_us) {
        core_probe(local->core);
        local->next_probe_us = clock_monotonic_us() + local->options.probe_interval_us;
        publish(local);
    }
}

static void *write_jobs(void *context) {
    struct local *local = context;
    struct job_list claims;
    struct job *command;
    pthread_setname_np(pthread_self(), "writer");
    if (core_load(local->core, local->options.progress, local->options.context) == STATUS_OK) {
        local->core->why.text[0] = '\0';
    }
    local->engine_untidy = true;
    publish(local);
    while (queue_take(&local->queue, wait_us_of(local), &claims, &command)) {
        if (claims.first || command) {
            do_step(local, &claims, command);
        } else {
            do_quiet(local);
        }
        probe_when_due(local);
    }
    local->close_status = core_close(local->core, &local->close_complaint);
    return NULL;
}

/* ---- any thread ---- */

static int local_submit(struct issuer *issuer, struct job *job) {
    return queue_push(&((struct local *)issuer)->queue, job);
}

static struct digest local_user_digest(const struct issuer *issuer, struct slice user_id) {
    return digest_of(&((const struct local *)issuer)->options.digest_key, user_id);
}

static enum issuer_state local_state(const struct issuer *issuer) {
    return (enum issuer_state)atomic_load(&((const struct local *)issuer)->state);
}

static int local_coupon(const struct issuer *issuer, uint64_t coupon_id,
                        struct coupon_record *ret_coupon) {
    return board_read(((const struct local *)issuer)->core->board, coupon_id, ret_coupon);
}

static size_t local_quantities(const struct issuer *issuer, uint64_t after_id, size_t limit,
                               struct coupon_quantities *ret_quantities) {
    return board_quantities(((const struct local *)issuer)->core->board, after_id, limit,
                            ret_quantities);
}

static struct issuer_figures local_figures(const struct issuer *issuer) {
    const struct local *local = (const struct local *)issuer;
    struct issuer_figures figures = {
        .coupons = board_count(local->core->board),
        .issues = atomic_load(&local->issues),
        .queue_depth = atomic_load(&local->queue.claim_count),
        .clock_held_back_us = atomic_load(&local->held_back_us),
        .memory_bytes = counter_read(&local->figures.memory_bytes),
        .commit_failures = counter_read(&local->figures.commit_failures),
    };
    histogram_read(&local->figures.step_claims, &figures.step_claims);
    histogram_read(&local->figures.commit_rows, &figures.commit_rows);
    histogram_read(&local->figures.commit_us, &figures.commit_us);
    histogram_read(&local->figures.checkpoint_us, &figures.checkpoint_us);
    return figures;
}

static void local_hurry(struct issuer *issuer) {
    atomic_store(&((struct local *)issuer)->core->hurry, true);
}

static int local_stop(struct issuer *issuer, struct complaint *complaint) {
    struct local *local = (struct local *)issuer;
    queue_close(&local->queue);
    pthread_join(local->writer, NULL);
    atomic_store(&local->state, ISSUER_STOPPING);
    if (complaint) {
        *complaint = local->close_complaint;
    }
    return local->close_status;
}

static void local_free(struct issuer *issuer) {
    struct local *local = (struct local *)issuer;
    core_free(local->core);
    queue_done(&local->queue);
    free(local);
}

static const struct issuer_operations local_operations = {
    .submit = local_submit,
    .user_digest = local_user_digest,
    .state = local_state,
    .coupon = local_coupon,
    .quantities = local_quantities,
    .figures = local_figures,
    .hurry = local_hurry,
    .stop = local_stop,
    .free = local_free,
};

/* ---- start ---- */

void issuer_local_options_default(struct issuer_local_options *ret_options) {
    *ret_options = (struct issuer_local_options){
        .directory = "data",
        .queue_max = 65536,
        .coupons_max = 262144,
        .probe_interval_us = US_PER_SECOND / 4,
    };
}

/* The clock goes on from the record's latest moment, or refuses when that is far ahead. */
static int start_clock(struct local *local, struct ledger *ledger, struct complaint *complaint) {
    int64_t latest_us = 0;
    int status = ledger_latest_us(ledger, &latest_us);
    if (status) {
        return complain(complaint, status, "the record cannot be read (%s)", status_name(status));
    }
    clock_init(&local->clock, local->options.clock_source, local->options.clock_context, latest_us);
    clock_now(&local->clock);
    if (local->clock.held_back_us > AHEAD_MAX_US) {
        return complain(complaint, STATUS_INVALID,
                        "the record is %lld s ahead of this machine's clock; set the clock right "
                        "before issuing coupons by it",
                        (long long)(local->clock.held_back_us / US_PER_SECOND));
    }
    return STATUS_OK;
}

static int open_ledger(struct local *local, struct ledger **ret_ledger,
                       struct complaint *complaint) {
    struct ledger_sqlite_options options = {.directory = local->options.directory,
                                            .vfs = local->options.vfs,
                                            .held_size_max = local->options.held_size_max,
                                            .held = local->options.held,
                                            .held_context = local->options.context};
    int status = ledger_sqlite_open(&options, ret_ledger, complaint);
    if (status == STATUS_OK && (status = start_clock(local, *ret_ledger, complaint)) != 0) {
        ledger_close(*ret_ledger, NULL);
    }
    return status;
}

static void init_figures(struct writer_figures *figures) {
    histogram_init(&figures->step_claims, &histogram_sizes);
    histogram_init(&figures->commit_rows, &histogram_sizes);
    histogram_init(&figures->commit_us, &histogram_durations);
    histogram_init(&figures->checkpoint_us, &histogram_durations);
}

int issuer_local_start(const struct issuer_local_options *options, struct issuer **ret_issuer,
                       struct complaint *complaint) {
    struct ledger *ledger = NULL;
    struct local *local = calloc(1, sizeof(*local));
    if (!local) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory to start");
    }
    local->issuer.operations = &local_operations;
    local->options = *options;
    atomic_init(&local->state, ISSUER_STARTING);
    init_figures(&local->figures);
    int status = open_ledger(local, &ledger, complaint);
    if (status) {
        free(local);
        return status;
    }
    if (core_new(ledger, options->coupons_max, &options->digest_key, &local->core)) {
        free(local);
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory to start");
    }
    if (queue_init(&local->queue, options->queue_max) ||
        pthread_create(&local->writer, NULL, write_jobs, local)) {
        core_close(local->core, NULL);
        local_free(&local->issuer);
        return complain(complaint, STATUS_NO_MEMORY, "the writer's thread cannot be started");
    }
    *ret_issuer = &local->issuer;
    return STATUS_OK;
}
