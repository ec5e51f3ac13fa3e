/* The server's process in a simulated run: the writer's real turns, when they come, and how the
 * process begins and ends. See run.h.
 *
 * A crash in the midst of a turn is done this way: from the fatal I/O on the world is dead, so
 * every call fails and nothing changes any more; the turn's code ends by itself, its answers are
 * dropped, and what is left of the process is put away. */
#include "sim/run.h"

static struct server *server = &run.server;

/* ---- planning the writer ---- */

static void plan_writer(int64_t at_us) {
    if (server->writer_planned && server->writer_at_us <= at_us) {
        return; /* which finds what is there, or plans on */
    }
    server->writer_planned = true;
    server->writer_at_us = at_us;
    events_plan(
        &run.events,
        (struct event){.at_us = at_us, .kind = EVENT_WRITER, .incarnation = server->incarnation});
}

static void plan_next_turn(void) {
    int64_t wait_us = writer_wait_us(&server->writer);
    server->quiet_at_us = wait_us < 0 ? INT64_MAX : world->now_us + wait_us;
    if (server->state == SERVER_STOPPING || !queue_is_empty(&server->writer.queue)) {
        plan_writer(world->now_us);
    } else if (wait_us >= 0) {
        plan_writer(server->quiet_at_us);
    }
}

static void plan_start(int64_t in_us) {
    if (!server->start_planned) {
        server->start_planned = true;
        run_plan(in_us, EVENT_START, 0);
    }
}

bool server_takes_claims(void) {
    return server->state == SERVER_UP;
}

int server_submit(struct job *job) {
    assert(server->state == SERVER_UP);
    int status = queue_push(&server->writer.queue, job);
    if (status == STATUS_OK) {
        plan_writer(world->now_us + run_between(0, 100));
    }
    return status;
}

/* ---- ends ---- */

static void drop_job(struct job *job) {
    if (job->kind == JOB_CLAIMS) {
        batch_free((struct batch *)job);
    } else {
        command_drop((struct command *)job);
    }
}

static void drop_queue(void) {
    struct job_list claims;
    struct job *command;
    queue_close(&server->writer.queue);
    while (queue_take(&server->writer.queue, 0, &claims, &command)) {
        struct job *job;
        while ((job = job_list_pop(&claims)) != NULL) {
            drop_job(job);
        }
        if (command) {
            drop_job(command);
        }
    }
}

/* The process is gone, whatever it was. */
static void note_end(void) {
    server->state = SERVER_DOWN;
    server->incarnation++;
    server->writer_planned = false;
    world->dead = false;
    world->folding = false;
    world->phase = PHASE_SERVING;
    world->held_file = 0;
    if (run.end_count < ENDS_MAX) {
        run.ends[run.end_count++] = run.step;
    } else {
        run_violated("more than %d ends of the server: it does not come up", ENDS_MAX);
    }
    crowd_server_ended();
    operators_server_ended();
    plan_start(run_between(200, 20000));
}

/* Puts away what a dead process had in memory. */
static void bury(void) {
    assert(world->dead);
    drop_queue();
    (void)writer_close(&server->writer, NULL);
    writer_done(&server->writer);
    note_end();
}

void server_crash(bool power) {
    if (server->state == SERVER_DOWN) {
        if (power) {
            world_power_cut();
            world_trace("power cut while the server is down");
        }
        return;
    }
    world_hit(FAULT_CRASH_IDLE);
    world_crash(power);
    bury();
}

static void close_down(void) {
    struct complaint complaint = {""};
    world->phase = PHASE_STOPPING;
    world->in_product = true;
    int status = writer_close(&server->writer, &complaint);
    world->in_product = false;
    writer_done(&server->writer);
    world_trace("server stopped: %s %s", status_name(status), complaint.text);
    if (!world->dead) {
        world_hit(server->told_broken ? FAULT_BROKEN : FAULT_CLEAN_STOP);
        if (status && world->failures == server->failures_before) {
            run_violated("closing failed (%s) though nothing had: %s", status_name(status),
                         complaint.text);
        }
    }
    note_end();
    operators_import();
}

void server_stop(uint32_t incarnation) {
    if (server->state != SERVER_UP || server->incarnation != incarnation) {
        return;
    }
    world_trace("server is told to stop");
    server->state = SERVER_STOPPING;
    queue_close(&server->writer.queue);
    plan_writer(world->now_us);
}

/* ---- start ---- */

static const char *state_text(enum issuer_state state) {
    static const char *const texts[] = {"starting", "ready", "unwritable", "broken", "stopping"};
    return texts[state];
}

/* In the writer's turns. */
static void state_changed(void *context, enum issuer_state state, const char *why) {
    IN_SIMULATOR;
    (void)context;
    if (world->dead) {
        return;
    }
    world_trace("server is %s %s", state_text(state), state == ISSUER_READY ? "" : why);
    if (strstr(why, "damaged") && state == ISSUER_BROKEN) {
        run_violated("the server calls the record damaged: %s", why);
    } else if (state != ISSUER_READY && world->failures == server->failures_before) {
        run_violated("the server is %s though nothing failed: %s", state_text(state), why);
    }
    if (state == ISSUER_BROKEN) {
        server->told_broken = true;
        events_plan(&run.events, (struct event){.at_us = world->now_us + run_between(0, 5000),
                                                .kind = EVENT_STOP,
                                                .incarnation = server->incarnation});
    } else if (state == ISSUER_UNWRITABLE) {
        world_hit(FAULT_UNWRITABLE);
    }
}

static int open_writer(struct complaint *complaint) {
    struct issuer_local_options options = {
        .directory = WORLD_FOLDER,
        .vfs = WORLD_VFS,
        .queue_max = run.plan.queue_max,
        .coupons_max = COUPONS_MAX,
        .probe_interval_us = 5000,
        .clock_source = world_wall_clock,
        .digest_key = server->digest_key,
        .state_changed = state_changed,
    };
    world->in_product = true;
    int status = writer_open(&server->writer, &options, complaint);
    if (status == STATUS_OK) {
        writer_load(&server->writer);
    }
    world->in_product = false;
    return status;
}

/* A start that was refused must have been for a reason. */
static void judge_refusal(int status, const char *why) {
    bool for_failures = world->failures > server->failures_before;
    server->refused_starts++;
    if (status == STATUS_INVALID && strstr(why, "clock")) {
        world_hit(FAULT_CLOCK_FAR_BEHIND);
        world->clock_stuck_us = 0;
        int64_t behind_us = server->clock_us - world_wall_clock(NULL);
        bool half_way = run_chance(300);
        world->clock_offset_us += behind_us > 0 ? behind_us / (half_way ? 2 : 1) : 0;
    } else if (!for_failures ||
               (status != STATUS_IO && status != STATUS_FULL && status != STATUS_NO_MEMORY)) {
        run_violated("a start was refused (%s): %s", status_name(status), why);
    }
    plan_start(run_between(1000, 20000));
}

static void begin_serving(void) {
    server->state = SERVER_UP;
    server->told_broken = server->writer.core->state == ISSUER_BROKEN;
    if (server->writer.clock.last_us < server->clock_us) {
        run.jump_step = run.step;
        server->clock_us = server->writer.clock.last_us;
    }
    if (server->writer.core->state == ISSUER_READY) {
        oracle_compare();
    }
    plan_next_turn();
}

void server_start(void) {
    server->start_planned = false;
    if (server->state != SERVER_DOWN) {
        return;
    }
    struct complaint complaint = {""};
    server->failures_before = world->failures;
    server->told_broken = false;
    world->phase = PHASE_STARTING;
    world_trace("server starts");
    int status = open_writer(&complaint);
    if (world->dead && status == STATUS_OK) {
        bury();
        return;
    }
    if (world->dead) {
        note_end();
        return;
    }
    world->phase = PHASE_SERVING;
    if (status) {
        world_trace("start refused: %s: %s", status_name(status), complaint.text);
        judge_refusal(status, complaint.text);
        return;
    }
    begin_serving();
}

/* ---- turns ---- */

static void note_clock(int64_t lowest_us) {
    int64_t last_us = server->writer.clock.last_us;
    server->clock_us = last_us > server->clock_us ? last_us : server->clock_us;
    if (server->writer.clock.held_back_us > 0) {
        world_hit(FAULT_CLOCK_BACK);
    }
    if (world->clock_stuck_us) {
        world_hit(FAULT_CLOCK_STUCK);
    }
    if (run.reading_count < READINGS_MAX) {
        run.readings[run.reading_count++] =
            (struct reading){.step = run.step, .lowest_us = lowest_us, .highest_us = last_us};
    }
}

static size_t jobs_in(const struct job_list *jobs) {
    size_t count = 0;
    for (const struct job *job = jobs->first; job; job = job->next) {
        count++;
    }
    return count;
}

static void take_turn(struct job_list *claims, struct job *command) {
    if (claims->first || command) {
        world_trace("turn: %zu batches%s", jobs_in(claims), command ? " and a command" : "");
        int64_t wall_us = world_wall_clock(NULL);
        int64_t last_us = server->writer.clock.last_us;
        world->in_product = true;
        writer_turn(&server->writer, claims, command);
        world->in_product = false;
        note_clock(wall_us > last_us ? wall_us : last_us);
    } else {
        world->in_product = true;
        writer_turn(&server->writer, claims, command);
        world->in_product = false;
    }
}

void server_turn(uint32_t incarnation) {
    if (server->state == SERVER_DOWN || server->incarnation != incarnation) {
        return;
    }
    bool is_quiet = queue_is_empty(&server->writer.queue);
    if (is_quiet && server->state == SERVER_UP && world->now_us < server->quiet_at_us) {
        return; /* an event that another overtook */
    }
    server->writer_planned = false;
    struct job_list claims;
    struct job *command;
    world->phase = server->state == SERVER_STOPPING ? PHASE_STOPPING : PHASE_SERVING;
    if (!queue_take(&server->writer.queue, 0, &claims, &command)) {
        close_down();
        return;
    }
    take_turn(&claims, command);
    if (world->dead) {
        bury();
    } else {
        plan_next_turn();
    }
}
