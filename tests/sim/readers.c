/* Those who read: coupons as published, holdings, the record in slices. What they see must be what
 * others were told, and stay true to the end. See run.h. */
#include "sim/run.h"

#include <stdlib.h>

#define SLICE 20

/* A read under way, with what was known when it was asked. */
struct look {
    struct command command; /* first */
    uint32_t name;
    uint32_t rank; /* told to be this user's; 0: nothing was told */
    uint32_t count_floor;
    uint32_t version_floor;
    char text[NAME_SIZE];
};

/* ---- what was read ---- */

static void check_coupon(const struct look *look, const struct coupon_record *coupon) {
    if (coupon->issued_quantity < look->count_floor) {
        run_violated("coupon %llu is said to have %u issues after %u were told",
                     (unsigned long long)coupon->id, coupon->issued_quantity, look->count_floor);
    }
    if (coupon->version < look->version_floor) {
        run_violated("coupon %llu is said to be at version %u after %u was told",
                     (unsigned long long)coupon->id, coupon->version, look->version_floor);
    }
    struct known_coupon *known = coupon_find(coupon->id);
    if (known && coupon->issued_quantity > known->count_floor) {
        known->count_floor = coupon->issued_quantity;
    }
    if (known && coupon->version > known->version_floor) {
        known->version_floor = coupon->version;
    }
}

static void check_holding(const struct look *look) {
    const struct command *command = &look->command;
    uint64_t id = command->reference.coupon_id;
    if (command->status == STATUS_OK) {
        oracle_fact(id, command->issue.reference.rank, look->name, command->issue.issued_at_us);
    } else if (command->status == STATUS_NOT_FOUND && look->rank) {
        run_violated("coupon %llu: user %u was told rank %u, and is said to hold none",
                     (unsigned long long)id, look->name, look->rank);
    }
}

static void check_issues(const struct look *look, uint32_t after) {
    const struct command *command = &look->command;
    for (size_t i = 0; command->status == STATUS_OK && i < command->issue_count; i++) {
        const struct issue_record *issue = &command->issues[i];
        if (issue->reference.rank != after + i + 1) {
            run_violated("coupon %llu: rank %u was read where %zu comes",
                         (unsigned long long)issue->reference.coupon_id, issue->reference.rank,
                         after + i + 1);
        }
        oracle_fact(issue->reference.coupon_id, issue->reference.rank,
                    name_read(slice_of(issue->user_id)), issue->issued_at_us);
    }
}

static void check_issue(const struct look *look) {
    const struct command *command = &look->command;
    if (command->status == STATUS_OK) {
        oracle_fact(command->reference.coupon_id, command->reference.rank,
                    name_read(slice_of(command->issue.user_id)), command->issue.issued_at_us);
    } else if (command->status == STATUS_NOT_FOUND &&
               command->reference.rank <= look->count_floor) {
        run_violated("coupon %llu: rank %u was told, and is not found",
                     (unsigned long long)command->reference.coupon_id, command->reference.rank);
    }
}

static void check_holdings(const struct look *look) {
    const struct command *command = &look->command;
    for (size_t i = 0; command->status == STATUS_OK && i < command->holding_count; i++) {
        const struct holding *holding = &command->holdings[i];
        oracle_fact(holding->reference.coupon_id, holding->reference.rank, look->name,
                    holding->issued_at_us);
    }
}

static void check(const struct look *look) {
    const struct command *command = &look->command;
    switch (command->job.kind) {
    case JOB_COUPON_READ:
        if (command->status == STATUS_OK) {
            check_coupon(look, &command->coupon);
        } else if (command->status == STATUS_NOT_FOUND) {
            run_violated("a coupon that was made is not found");
        }
        break;
    case JOB_HOLDING_READ:
        check_holding(look);
        break;
    case JOB_ISSUES_READ:
        check_issues(look, look->rank);
        break;
    case JOB_ISSUE_READ:
        check_issue(look);
        break;
    case JOB_USER_ISSUES_READ:
        check_holdings(look);
        break;
    default:
        break;
    }
    if (command->status == STATUS_DAMAGED) {
        run_violated("a read was answered with damaged");
    } else if (command->status != STATUS_OK && command->status != STATUS_NOT_FOUND &&
               world->failures == run.server.failures_before) {
        run_violated("a read failed (%s) though nothing had", status_name(command->status));
    }
}

static void look_done(struct job *job) {
    IN_SIMULATOR;
    struct look *look = (struct look *)job;
    if (!world->dead) {
        world_trace("read of kind %d: %s", (int)job->kind, status_name(look->command.status));
        check(look);
    }
    command_drop(&look->command);
}

/* ---- asking ---- */

static void fill_look(struct look *look, const struct known_coupon *coupon) {
    struct command *command = &look->command;
    uint32_t rank = (uint32_t)run_between(1, (int64_t)coupon->count_floor + 1);
    rank = rank > FACTS_MAX ? FACTS_MAX : rank;
    look->count_floor = coupon->count_floor;
    look->version_floor = coupon->version_floor;
    look->name = coupon->facts[rank].issued_at_us ? coupon->facts[rank].name : 0;
    name_write(look->name, look->text);
    command->coupon.id = coupon->id;
    command->reference.coupon_id = coupon->id;
    command->user_id = slice_of(look->text);
    command->user = digest_of(&run.server.digest_key, command->user_id);
    command->limit = SLICE;
    switch (command->job.kind) {
    case JOB_HOLDING_READ:
        look->rank = coupon->facts[rank].issued_at_us ? rank : 0;
        break;
    case JOB_ISSUES_READ:
        command->reference.rank = look->rank = rank - 1;
        command->issues = calloc(SLICE, sizeof(command->issues[0]));
        break;
    case JOB_ISSUE_READ:
        command->reference.rank = rank;
        break;
    case JOB_COUPONS_READ:
        command->coupons = calloc(SLICE, sizeof(command->coupons[0]));
        break;
    case JOB_AUDITS_READ:
        command->audits = calloc(SLICE, sizeof(command->audits[0]));
        break;
    default:
        break;
    }
}

static void look_at_board(const struct known_coupon *coupon) {
    struct look look = {.count_floor = coupon->count_floor, .version_floor = coupon->version_floor};
    struct coupon_record record;
    int status = board_read(run.server.writer.core->board, coupon->id, &record);
    if (status == STATUS_OK) {
        check_coupon(&look, &record);
    } else if (!coupon->archived && run.server.writer.core->state == ISSUER_READY) {
        run_violated("coupon %llu is not on the board", (unsigned long long)coupon->id);
    }
}

void readers_act(void) {
    static const enum job_kind kinds[] = {JOB_COUPON_READ,  JOB_COUPONS_READ, JOB_ISSUE_READ,
                                          JOB_HOLDING_READ, JOB_ISSUES_READ,  JOB_USER_ISSUES_READ,
                                          JOB_AUDITS_READ};
    if (!run.healed) {
        run_plan(run_between(1, 2 * run.plan.read_us), EVENT_READ, 0);
    }
    size_t which = (size_t)run_between(0, COUNT_OF(kinds) + 2);
    const struct known_coupon *coupon =
        run.coupon_count ? &run.coupons[run_between(0, (int64_t)run.coupon_count - 1)] : NULL;
    if (!coupon || coupon->id == 0 || !server_takes_claims()) {
        return;
    }
    if (which >= COUNT_OF(kinds)) {
        look_at_board(coupon);
        return;
    }
    struct look *look = calloc(1, sizeof(*look));
    assert(look);
    look->command.job = (struct job){.kind = kinds[which], .done = look_done, .context = look};
    run.reads_under_way++;
    fill_look(look, coupon);
    if (server_submit(&look->command.job)) {
        command_drop(&look->command);
    }
}
