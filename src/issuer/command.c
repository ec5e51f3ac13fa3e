/* Operators' changes and single reads, one at a time between the claims. See step.h.
 *
 * A change is written first and then told to engine and board. When memory fails after the
 * commit the two are apart, which only a new start from the record can mend: BROKEN. */
#include "issuer/change.h"
#include "issuer/step.h"

#include <stdio.h>
#include <stdlib.h>

struct engine_terms core_terms(const struct coupon_record *coupon) {
    /* cut to 32 bits, a larger one would sell out early (I6); the ledger hands none out */
    assert(coupon->total_quantity <= COUPON_QUANTITY_MAX);
    return (struct engine_terms){
        .start_us = coupon->issue_start_us,
        .end_us = coupon->issue_end_us,
        .total_quantity = coupon->total_quantity == COUPON_UNLIMITED
                              ? ENGINE_UNLIMITED
                              : (uint32_t)coupon->total_quantity,
        .paused = coupon->paused,
    };
}

/* After a commit that memory could not follow. */
static int fall_apart(struct core *core) {
    complain(&core->why, STATUS_NO_MEMORY, "no memory to follow a committed change");
    core_failed(core, STATUS_AMBIGUOUS);
    return STATUS_AMBIGUOUS;
}

/* ---- create ---- */

/* The answer for a taken id does not depend on how many coupons there are. */
static bool id_is_taken(struct core *core, uint64_t coupon_id) {
    struct coupon_record present;
    return coupon_id != 0 && ledger_coupon_read(core->ledger, coupon_id, &present) == STATUS_OK;
}

static int create(struct core *core, int64_t now_us, struct command *command) {
    int status = creation_find(core->ledger, command);
    if (status != STATUS_NOT_FOUND) {
        return status;
    }
    struct coupon_record *coupon = &command->coupon;
    if (board_count(core->board) >= core->coupons_max) {
        return id_is_taken(core, coupon->id)
                   ? STATUS_EXISTS
                   : command_refuse(command, "id",
                                    "The server holds all the coupons it can; archive one.");
    }
    FAILPOINT("creation");
    status = creation_write(core->ledger, now_us, command, &core->why);
    FAILPOINT("creation-written");
    if (status == STATUS_EXISTS || status == STATUS_INVALID) {
        return status;
    }
    if (status) {
        core_failed(core, status);
        return status;
    }
    struct engine_terms terms = core_terms(coupon);
    if (engine_coupon_add(core->engine, coupon->id, &terms) || board_put(core->board, coupon)) {
        return fall_apart(core);
    }
    return STATUS_OK;
}

/* ---- change ---- */

/* Engine and board follow a committed change. */
static int follow_change(struct core *core, const struct coupon_record *coupon) {
    if (coupon->archived_us) {
        engine_coupon_remove(core->engine, coupon->id);
        board_remove(core->board, coupon->id);
        return STATUS_OK;
    }
    struct engine_terms terms = core_terms(coupon);
    if (engine_coupon_change(core->engine, coupon->id, &terms) || board_put(core->board, coupon)) {
        return fall_apart(core);
    }
    return STATUS_OK;
}

static int change(struct core *core, int64_t now_us, struct command *command) {
    struct coupon_record coupon;
    int status = change_prepare(core->ledger, now_us, command, &coupon);
    if (status) {
        return status;
    }
    FAILPOINT("change");
    status = change_write(core->ledger, &coupon, command, &core->why);
    FAILPOINT("change-written");
    if (status == STATUS_INVALID) {
        return status;
    }
    if (status) {
        core_failed(core, status);
        return status;
    }
    command->coupon = coupon;
    return follow_change(core, &coupon);
}

/* ---- reads ---- */

static void copy_user(struct command *command) {
    assert(command->user_id.size <= USER_ID_MAX);
    memcpy(command->issue.user_id, command->user_id.bytes, command->user_id.size);
    command->issue.user_id[command->user_id.size] = '\0';
}

/* An archived coupon's issues are in the ledger only, by rank: looked through in slices.
 * STATUS_BUSY: not found yet, more to look through. */
static int search_archived(struct core *core, struct command *command) {
    size_t count = 0;
    int status =
        ledger_issues_read(core->ledger, command->reference, LEDGER_SLICE_MAX, core->slice, &count);
    if (status) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        if (slice_is(command->user_id, core->slice[i].user_id)) {
            command->issue = core->slice[i];
            return STATUS_OK;
        }
    }
    if (count < LEDGER_SLICE_MAX) {
        return STATUS_NOT_FOUND;
    }
    command->reference.rank = core->slice[count - 1].reference.rank;
    return STATUS_BUSY;
}

/* Each is a read of up to a whole coupon's record, for anybody who asks; and waiting searches are
 * waiting reads, of which there are as many as may be. */
enum { SEARCHES_MAX = 8 };

static int read_holding(struct core *core, struct command *command) {
    uint64_t coupon_id = command->reference.coupon_id;
    if (engine_coupon_known(core->engine, coupon_id)) {
        command->known = true;
        command->issue.reference.coupon_id = coupon_id;
        copy_user(command);
        return engine_holding(core->engine, coupon_id, command->user,
                              &command->issue.reference.rank, &command->issue.issued_at_us);
    }
    if (!command->known) {
        if (core->searches == SEARCHES_MAX) {
            return STATUS_FULL;
        }
        int status = ledger_coupon_read(core->ledger, coupon_id, &command->coupon);
        if (status) {
            return status;
        }
        command->known = true;
        command->reference.rank = 0;
        core->searches++;
    }
    int status = search_archived(core, command);
    core->searches -= status != STATUS_BUSY;
    return status;
}

/* A coupon that has no issues is told from one that does not exist. */
static int read_issues(struct core *core, struct command *command) {
    int status = ledger_issues_read(core->ledger, command->reference, command->limit,
                                    command->issues, &command->issue_count);
    if (status == STATUS_OK && command->issue_count == 0) {
        status = ledger_coupon_read(core->ledger, command->reference.coupon_id, &command->coupon);
    }
    return status;
}

static int add_holding(struct command *command, struct holding holding) {
    if (command->holding_count == command->holding_capacity) {
        size_t capacity = command->holding_capacity * 2 + 8;
        struct holding *holdings = realloc(command->holdings, capacity * sizeof(holdings[0]));
        if (!holdings) {
            return STATUS_NO_MEMORY;
        }
        command->holdings = holdings;
        command->holding_capacity = capacity;
    }
    command->holdings[command->holding_count++] = holding;
    return STATUS_OK;
}

/* Buckets of the board looked through in one turn: of 262,144 there are a few hundred turns
 * of microseconds each, between which claims are taken. */
enum { BUCKETS_A_TURN = 1024 };

static int read_user_issues(struct core *core, struct command *command) {
    size_t end = command->progress + BUCKETS_A_TURN;
    size_t buckets = board_buckets(core->board);
    end = end < buckets ? end : buckets;
    for (; command->progress < end; command->progress++) {
        const struct board_entry *entry = board_bucket(core->board, command->progress);
        for (; entry; entry = entry->next) {
            struct holding holding = {.reference.coupon_id = entry->coupon_id};
            if (engine_holding(core->engine, entry->coupon_id, command->user,
                               &holding.reference.rank, &holding.issued_at_us) == STATUS_OK &&
                add_holding(command, holding)) {
                return STATUS_NO_MEMORY;
            }
        }
    }
    return end < buckets ? STATUS_BUSY : STATUS_OK;
}

static int perform(struct core *core, int64_t now_us, struct command *command) {
    switch (command->job.kind) {
    case JOB_COUPON_CREATE:
        return create(core, now_us, command);
    case JOB_COUPON_CHANGE:
        return change(core, now_us, command);
    case JOB_COUPON_READ:
        return ledger_coupon_read(core->ledger, command->coupon.id, &command->coupon);
    case JOB_COUPONS_READ:
        return ledger_coupons_read(core->ledger, command->after_id, command->limit,
                                   command->coupons, &command->coupon_count);
    case JOB_ISSUE_READ:
        return ledger_issue_read(core->ledger, command->reference, &command->issue);
    case JOB_HOLDING_READ:
        return read_holding(core, command);
    case JOB_ISSUES_READ:
        return read_issues(core, command);
    case JOB_USER_ISSUES_READ:
        return read_user_issues(core, command);
    case JOB_AUDITS_READ:
        return ledger_audits_read(core->ledger, command->after_id, command->limit, command->audits,
                                  &command->audit_count);
    case JOB_CLAIM_READ:
        return STATUS_NOT_FOUND; /* no claim ever waits in a queue here */
    case JOB_CLAIMS:
        break;
    }
    assert(false && "a command");
    abort();
}

bool core_command(struct core *core, int64_t now_us, struct command *command) {
    bool writes = command->job.kind == JOB_COUPON_CREATE || command->job.kind == JOB_COUPON_CHANGE;
    if (core->state == ISSUER_BROKEN || (writes && core->state != ISSUER_READY)) {
        /* Broken, it cannot say "nothing was changed": this may be asked for the second time. */
        command->status = writes && core->state == ISSUER_BROKEN ? STATUS_AMBIGUOUS : STATUS_IO;
        return true;
    }
    if (core->state == ISSUER_STARTING) {
        command->status = STATUS_STOPPED; /* the reading of the record was given up */
        return true;
    }
    command->status = perform(core, now_us, command);
    if (command->status == STATUS_BUSY && atomic_load(&core->hurry)) {
        command->status = STATUS_STOPPED;
    }
    return command->status != STATUS_BUSY;
}
