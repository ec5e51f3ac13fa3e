/* The writer's turns, its clock and its figures. See writer.h. */
#include "issuer/writer.h"

#include <stdlib.h>

/* Start is refused when the record is further ahead of the clock than this (I5). */
static const int64_t AHEAD_MAX_US = 60 * US_PER_SECOND;

/* So long nobody asked, then the engine may take its time: longer than any pause within a
 * crowd. And the breath it takes between its parts, in which a claim gets its turn. */
static const int64_t QUIET_US = US_PER_SECOND / 20;
static const int64_t BREATH_US = US_PER_SECOND / 1000;

/* Housekeeping that took less found nothing to do: a checkpoint writes hundreds of pages. */
static const int64_t CHECKPOINT_US_MIN = 100;

/* ---- what others may know ---- */

/* Tells a change of state. The first try to write again is an interval away too: a small
 * write may work where the claims' larger one just failed, and the state would change to and
 * fro with every step. */
static void publish_state(struct writer *writer) {
    enum issuer_state state = writer->core->state;
    if (atomic_exchange(&writer->state, (int)state) == (int)state) {
        return;
    }
    if (state == ISSUER_UNWRITABLE) {
        writer->next_probe_us = clock_monotonic_us() + writer->options.probe_interval_us;
    }
    if (writer->options.state_changed) {
        writer->options.state_changed(writer->options.context, state, writer->core->why.text);
    }
}

static void publish(struct writer *writer) {
    struct engine_figures figures = engine_figures(writer->core->engine);
    atomic_store(&writer->issues, figures.issues);
    atomic_store_explicit(&writer->figures.memory_bytes.value, figures.memory_bytes,
                          memory_order_relaxed);
    atomic_store(&writer->held_back_us, writer->clock.held_back_us);
    publish_state(writer);
}

struct issuer_figures writer_figures(const struct writer *writer) {
    struct issuer_figures figures = {
        .coupons = board_count(writer->core->board),
        .issues = atomic_load(&writer->issues),
        .queue_depth = atomic_load(&writer->queue.claim_count),
        .clock_held_back_us = atomic_load(&writer->held_back_us),
        .memory_bytes = counter_read(&writer->figures.memory_bytes),
        .commit_failures = counter_read(&writer->figures.commit_failures),
    };
    histogram_read(&writer->figures.step_claims, &figures.step_claims);
    histogram_read(&writer->figures.commit_rows, &figures.commit_rows);
    histogram_read(&writer->figures.commit_us, &figures.commit_us);
    histogram_read(&writer->figures.checkpoint_us, &figures.checkpoint_us);
    return figures;
}

/* ---- a turn ---- */

static void deliver(struct job_list *jobs) {
    struct job *job;
    while ((job = job_list_pop(jobs)) != NULL) {
        job->done(job);
    }
}

static void do_command(struct writer *writer, struct command *command, int64_t now_us) {
    bool finished = core_command(writer->core, now_us, command);
    publish(writer);
    if (finished) {
        command->job.done(&command->job);
    } else {
        queue_push_again(&writer->queue, &command->job);
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
static void measured_step(struct writer *writer, int64_t now_us, const struct job_list *claims) {
    const struct core *core = writer->core;
    struct writer_figures *figures = &writer->figures;
    bool was_ready = core->state == ISSUER_READY;
    int64_t begin_us = clock_monotonic_us();
    issuer_step(writer->core, now_us, claims);
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

static void measured_tend(struct writer *writer) {
    bool idle = queue_is_empty(&writer->queue);
    int64_t begin_us = clock_monotonic_us();
    core_tend(writer->core, idle);
    int64_t took_us = clock_monotonic_us() - begin_us;
    if (took_us >= CHECKPOINT_US_MIN) {
        histogram_add(&writer->figures.checkpoint_us, (uint64_t)took_us, 1);
    }
}

static void do_step(struct writer *writer, struct job_list *claims, struct job *command) {
    int64_t now_us = clock_now(&writer->clock);
    if (claims->first) {
        measured_step(writer, now_us, claims);
        publish(writer);
        FAILPOINT("step-answer");
        deliver(claims);
        FAILPOINT("step-answered");
    }
    if (command) {
        do_command(writer, (struct command *)command, clock_now(&writer->clock));
    }
    measured_tend(writer);
    engine_tend(writer->core->engine, false);
    writer->engine_untidy = true;
    writer->quiet = false;
    publish(writer);
}

/* Nobody asked for QUIET_US. */
static void do_quiet(struct writer *writer) {
    writer->quiet = true;
    writer->engine_untidy = engine_tend(writer->core->engine, true);
    publish(writer);
}

/* While writing fails, until the next try is due; while the engine is untidy, until it is
 * quiet. */
int64_t writer_wait_us(const struct writer *writer) {
    if (writer->engine_untidy) {
        return writer->quiet ? BREATH_US : QUIET_US;
    }
    if (writer->core->state != ISSUER_UNWRITABLE) {
        return -1;
    }
    int64_t left_us = writer->next_probe_us - clock_monotonic_us();
    return left_us > 0 ? left_us : 0;
}

static void probe_when_due(struct writer *writer) {
    if (writer->core->state == ISSUER_UNWRITABLE && clock_monotonic_us() >= writer->next_probe_us) {
        core_probe(writer->core);
        writer->next_probe_us = clock_monotonic_us() + writer->options.probe_interval_us;
        publish(writer);
    }
}

void writer_turn(struct writer *writer, struct job_list *claims, struct job *command) {
    if (claims->first || command) {
        do_step(writer, claims, command);
    } else {
        do_quiet(writer);
    }
    probe_when_due(writer);
}

/* ---- start and end ---- */

/* The clock goes on from the record's latest moment, or refuses when that is far ahead. */
static int start_clock(struct writer *writer, struct ledger *ledger, struct complaint *complaint) {
    int64_t latest_us = 0;
    int status = ledger_latest_us(ledger, &latest_us);
    if (status) {
        return complain(complaint, status, "the record cannot be read (%s)", status_name(status));
    }
    clock_init(&writer->clock, writer->options.clock_source, writer->options.clock_context,
               latest_us);
    clock_now(&writer->clock);
    if (writer->clock.held_back_us > AHEAD_MAX_US) {
        return complain(complaint, STATUS_INVALID,
                        "the record is %lld s ahead of this machine's clock; set the clock right "
                        "before issuing coupons by it",
                        (long long)(writer->clock.held_back_us / US_PER_SECOND));
    }
    return STATUS_OK;
}

static int open_ledger(struct writer *writer, struct ledger **ret_ledger,
                       struct complaint *complaint) {
    struct ledger_sqlite_options options = {.directory = writer->options.directory,
                                            .vfs = writer->options.vfs,
                                            .held_size_max = writer->options.held_size_max,
                                            .held = writer->options.held,
                                            .held_context = writer->options.context};
    int status = ledger_sqlite_open(&options, ret_ledger, complaint);
    if (status == STATUS_OK && (status = start_clock(writer, *ret_ledger, complaint)) != 0) {
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

int writer_open(struct writer *writer, const struct issuer_local_options *options,
                struct complaint *complaint) {
    struct ledger *ledger = NULL;
    *writer = (struct writer){.options = *options};
    atomic_init(&writer->state, ISSUER_STARTING);
    init_figures(&writer->figures);
    int status = open_ledger(writer, &ledger, complaint);
    if (status) {
        return status;
    }
    if (core_new(ledger, options->coupons_max, &options->digest_key, &writer->core)) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory to start");
    }
    queue_init(&writer->queue, options->queue_max);
    return STATUS_OK;
}

void writer_load(struct writer *writer) {
    FAILPOINT("load");
    if (core_load(writer->core, writer->options.progress, writer->options.context) == STATUS_OK) {
        writer->core->why.text[0] = '\0';
    }
    writer->engine_untidy = true;
    publish(writer);
}

int writer_close(struct writer *writer, struct complaint *complaint) {
    return core_close(writer->core, complaint);
}

void writer_done(struct writer *writer) {
    core_free(writer->core);
    queue_done(&writer->queue);
}
