/* Operators: they create coupons, change them in the midst of the crowd, archive them, and import
 * issues while the server is stopped. See run.h. */
#include "sim/run.h"

#include <stdio.h>
#include <stdlib.h>

/* A command under way, with the room its texts need. */
struct order {
    struct command command; /* first */
    uint32_t change;
    uint32_t if_version;
};

void command_drop(struct command *command) {
    if (command->job.context) { /* a read's */
        run.reads_under_way--;
    }
    free(command->holdings);
    free(command->coupons);
    free(command->issues);
    free(command->audits);
    free(command);
}

/* ---- answers ---- */

static enum change_state state_of(const struct command *command) {
    switch (command->status) {
    case STATUS_OK:
        return command->replayed ? CHANGE_UNKNOWN : CHANGE_DONE;
    case STATUS_AMBIGUOUS:
        return CHANGE_UNKNOWN;
    case STATUS_DAMAGED:
        run_violated("a change was answered with damaged");
        return CHANGE_UNKNOWN;
    default:
        return CHANGE_REFUSED;
    }
}

static void note_hit(const struct change *change) {
    if (change->in_crowd) {
        world_hit(change->archives ? FAULT_ARCHIVE_IN_CROWD : FAULT_CHANGE_IN_CROWD);
    }
}

static void order_done(struct job *job) {
    IN_SIMULATOR;
    struct order *order = (struct order *)job;
    struct change *change = &run.changes[order->change];
    if (!world->dead) {
        change->state = state_of(&order->command);
        world_trace("change %u: %s", order->change, status_name(order->command.status));
        if (order->command.status == STATUS_OK) {
            change->coupon_id = order->command.coupon.id;
            change->version = order->command.coupon.version;
            note_hit(change);
        }
        bool lost =
            !run.healed && (run.plan.weather & UINT64_C(1) << FAULT_REPLY_LOST) && run_chance(50);
        if (lost) {
            change->state = CHANGE_UNKNOWN;
            world_hit(FAULT_REPLY_LOST);
        }
        run_plan(run_between(1, run.plan.network_us), EVENT_OPERATED, order->change);
    }
    command_drop(&order->command);
}

static void know(const struct change *change) {
    struct known_coupon *coupon = NULL;
    for (size_t i = 0; change->creates && i < run.coupon_count; i++) {
        if (run.coupons[i].id == 0 && change->creation == i) {
            coupon = &run.coupons[i];
            coupon->id = change->coupon_id;
        }
    }
    coupon = coupon ? coupon : coupon_find(change->coupon_id);
    if (coupon && change->version > coupon->version_floor) {
        coupon->version_floor = change->version;
    }
}

void operators_answered(uint32_t number) {
    struct change *change = &run.changes[number];
    change->returned_step = run.step;
    if (change->version) { /* it was done, now or before */
        know(change);
    }
}

void operators_server_ended(void) {
    for (uint32_t i = 0; i < run.change_count; i++) {
        struct change *change = &run.changes[i];
        if (change->state == CHANGE_UNDER_WAY && change->incarnation < run.server.incarnation) {
            change->state = CHANGE_UNKNOWN;
        }
    }
}

/* ---- orders ---- */

static struct change *change_new(void) {
    if (run.change_count == CHANGES_MAX) {
        return NULL;
    }
    struct change *change = &run.changes[run.change_count++];
    *change = (struct change){.invoked_step = run.step, .incarnation = run.server.incarnation};
    return change;
}

static void order_submit(struct change *change, struct command command) {
    struct order *order = calloc(1, sizeof(*order));
    assert(order);
    order->command = command;
    order->change = (uint32_t)(change - run.changes);
    order->command.job.done = order_done;
    order->command.audit.admin = slice_of("operator");
    if (command.if_versions) {
        order->if_version = *command.if_versions;
        order->command.if_versions = &order->if_version;
        order->command.if_version_count = 1;
    }
    if (change->creates) {
        order->command.key.key = slice_of(change->key);
        memcpy(order->command.key.request_digest, change->key, NAME_SIZE);
    }
    change->in_crowd = !change->creates && server_takes_claims() &&
                       atomic_load(&run.server.writer.queue.claim_count) > 0;
    if (!server_takes_claims() || server_submit(&order->command.job)) {
        change->state = CHANGE_REFUSED;
        change->returned_step = run.step;
        command_drop(&order->command);
    }
}

/* ---- creating ---- */

static struct change creations[COUPONS_MAX]; /* what is asked for, also when it is asked again */

void operators_begin(void) {
    int64_t wall_us = world_wall_clock(NULL);
    run.coupon_count = run.plan.coupons;
    for (size_t i = 0; i < COUPONS_MAX; i++) {
        struct change *creation = &creations[i];
        *creation = (struct change){
            .creates = true,
            .creation = i,
            .asked_id = run_chance(200) ? 1000 * (i + 1) : 0,
            .issue_start_us = wall_us + run_between(-20000, run.plan.length_us / 2),
            .total_quantity = run_chance(150) ? COUPON_UNLIMITED : run_between(0, 40),
            .paused = run_chance(50),
        };
        creation->issue_end_us = creation->issue_start_us + run_between(1, 2 * run.plan.length_us);
        snprintf(creation->key, sizeof(creation->key), "c%zu", i);
    }
}

static void create(size_t at) {
    const struct change *asked = &creations[at];
    struct change *change = change_new();
    if (!change) {
        return;
    }
    uint64_t invoked_step = change->invoked_step;
    uint32_t incarnation = change->incarnation;
    *change = *asked;
    change->invoked_step = invoked_step;
    change->incarnation = incarnation;
    struct command command = {.job = {.kind = JOB_COUPON_CREATE}};
    command.coupon = (struct coupon_record){
        .id = asked->asked_id,
        .title = "coupon",
        .total_quantity = asked->total_quantity,
        .issue_start_us = asked->issue_start_us,
        .issue_end_us = asked->issue_end_us,
        .paused = asked->paused,
    };
    world_trace("change %u: create %s, total %lld, from %lld to %lld", run.change_count - 1,
                change->key, (long long)asked->total_quantity, (long long)asked->issue_start_us,
                (long long)asked->issue_end_us);
    order_submit(change, command);
}

/* ---- changing ---- */

static void draw_patch(struct change *change, const struct known_coupon *coupon) {
    int64_t wall_us = world_wall_clock(NULL);
    switch (run_between(0, 7)) {
    case 0:
    case 1:
        change->patch_set = PATCH_TOTAL_QUANTITY;
        change->total_quantity =
            run_chance(100) ? COUPON_UNLIMITED : coupon->count_floor + run_between(-2, 15);
        change->total_quantity =
            change->total_quantity < COUPON_UNLIMITED ? 0 : change->total_quantity;
        break;
    case 2:
        change->patch_set = PATCH_ISSUE_END;
        change->issue_end_us = wall_us + run_between(-20000, run.plan.length_us);
        break;
    case 3:
        change->patch_set = PATCH_ISSUE_START;
        change->issue_start_us = wall_us + run_between(-50000, 20000);
        break;
    case 4:
        change->patch_set = PATCH_PAUSED;
        change->paused = run_chance(500);
        break;
    case 5:
        change->patch_set = PATCH_ISSUE_START | PATCH_ISSUE_END | PATCH_PAUSED;
        change->issue_start_us = wall_us - 1000;
        change->issue_end_us = wall_us + run.plan.length_us;
        break;
    case 6:
        change->patch_set = PATCH_TITLE;
        break;
    case 7:
        change->archives = run_chance(300);
        change->patch_set = change->archives ? PATCH_ARCHIVED : PATCH_PAUSED;
        break;
    default:
        break;
    }
}

static void patch(struct known_coupon *coupon) {
    struct change *change = change_new();
    if (!change) {
        return;
    }
    change->coupon_id = coupon->id;
    draw_patch(change, coupon);
    coupon->archived = coupon->archived || change->archives;
    struct command command = {.job = {.kind = JOB_COUPON_CHANGE}, .patch_set = change->patch_set};
    if (run_chance(300)) {
        command.if_versions = &coupon->version_floor;
    }
    command.coupon = (struct coupon_record){
        .id = coupon->id,
        .title = "another title",
        .total_quantity = change->total_quantity,
        .issue_start_us = change->issue_start_us,
        .issue_end_us = change->issue_end_us,
        .paused = change->paused,
    };
    world_trace("change %u: patch %llu, set %#x, total %lld, from %lld to %lld%s",
                run.change_count - 1, (unsigned long long)coupon->id, change->patch_set,
                (long long)change->total_quantity, (long long)change->issue_start_us,
                (long long)change->issue_end_us, change->paused ? ", paused" : "");
    order_submit(change, command);
}

void operators_act(void) {
    if (!server_takes_claims()) {
        run_plan(run_between(500, 5000), EVENT_OPERATE, 0);
        return;
    }
    for (size_t i = 0; i < run.coupon_count; i++) {
        if (run.coupons[i].id == 0) {
            create(i);
            run_plan(run_between(500, 5000), EVENT_OPERATE, 0);
            return;
        }
    }
    if (run.healed) {
        return;
    }
    if (run_chance(100) && run.coupon_count < COUPONS_MAX / 2) {
        run.coupon_count++;
        create(run.coupon_count - 1);
    } else {
        patch(&run.coupons[run_between(0, (int64_t)run.coupon_count - 1)]);
    }
    run_plan(run_between(1, 2 * run.plan.operate_us), EVENT_OPERATE, 0);
}

/* ---- importing ---- */

static int latest_of(struct ledger *ledger, int64_t *ret_now_us) {
    int64_t latest_us = 0;
    struct clock clock;
    int status = ledger_latest_us(ledger, &latest_us);
    if (status == STATUS_OK) {
        clock_init(&clock, world_wall_clock, NULL, latest_us);
        *ret_now_us = clock_now(&clock);
    }
    return status;
}

/* New people, so that nobody who gets one has one. */
static int import_into(struct ledger *ledger, const struct known_coupon *known) {
    struct coupon_record coupon;
    char names[8][NAME_SIZE];
    struct slice users[8];
    size_t count = (size_t)run_between(1, 8);
    int64_t now_us = 0;
    int status = ledger_coupon_read(ledger, known->id, &coupon);
    if (status == STATUS_OK) {
        status = latest_of(ledger, &now_us);
    }
    if (status || coupon.archived_us || now_us >= coupon.issue_end_us) {
        return status ? status : STATUS_INVALID; /* as the command refuses it */
    }
    for (size_t i = 0; i < count; i++) {
        name_write(PERSONAS_MAX + run.imported_names++, names[i]);
        users[i] = slice_of(names[i]);
    }
    struct coupon_import import = {
        .coupon_id = known->id,
        .first_rank = coupon.issued_quantity + 1,
        .last_rank = coupon.issued_quantity + (uint32_t)count,
        .imported_us = now_us,
    };
    run.server.clock_us = now_us > run.server.clock_us ? now_us : run.server.clock_us;
    status = ledger_import(ledger, &import, users, NULL);
    for (size_t i = 0; status == STATUS_OK && !world->dead && i < count; i++) {
        oracle_fact(known->id, import.first_rank + (uint32_t)i, name_read(users[i]), now_us);
    }
    return status;
}

void operators_import(void) {
    const struct known_coupon *coupon =
        run.coupon_count ? &run.coupons[run_between(0, (int64_t)run.coupon_count - 1)] : NULL;
    if (!run.wants_import || !coupon || coupon->id == 0) {
        return;
    }
    run.wants_import = false;
    struct ledger_sqlite_options options = {
        .directory = WORLD_FOLDER, .vfs = WORLD_VFS, .no_new = true};
    struct ledger *ledger = NULL;
    world->in_product = true;
    int status = ledger_sqlite_open(&options, &ledger, NULL);
    if (status == STATUS_OK) {
        status = import_into(ledger, coupon);
        (void)ledger_close(ledger, NULL);
    }
    world->in_product = false;
    world_trace("import into coupon %llu: %s", (unsigned long long)coupon->id, status_name(status));
    if (status == STATUS_OK) {
        world_hit(FAULT_IMPORT);
    }
    world->dead = false;
    world->folding = false;
}
