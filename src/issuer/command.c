/* Operators' changes and single reads, one at a time between the claims. See step.h.
 *
 * A change is written first and then told to engine and board. When memory fails after the
 * commit the two are apart, which only a new start from the record can mend: BROKEN. */
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

static int refuse(struct command *command, const char *field, const char *why) {
    command->field = field;
    command->why = why;
    return STATUS_INVALID;
}

/* After a commit that memory could not follow. */
static int fall_apart(struct core *core) {
    complain(&core->why, STATUS_NO_MEMORY, "no memory to follow a committed change");
    core_failed(core, STATUS_AMBIGUOUS);
    return STATUS_AMBIGUOUS;
}

/* ---- create ---- */

/* STATUS_NOT_FOUND: the key is new and the coupon is to be made. */
static int find_creation(struct core *core, struct command *command) {
    if (command->key.key.size == 0) {
        return STATUS_NOT_FOUND;
    }
    uint64_t coupon_id = 0;
    int status = ledger_creation_read(core->ledger, &command->key, &coupon_id);
    if (status == STATUS_OK) {
        command->replayed = true;
        status = ledger_coupon_read(core->ledger, coupon_id, &command->coupon);
        return status == STATUS_NOT_FOUND ? STATUS_DAMAGED : status;
    }
    return status;
}

/* FULL is what the ledger says of a full disk, and of a largest id that is in use when it is
 * to choose the next one. The second is no failed write. */
static bool ids_are_used_up(struct core *core) {
    struct coupon_record last;
    size_t count = 0;
    uint64_t before = (uint64_t)JSON_INTEGER_MAX - 1;
    return ledger_coupons_read(core->ledger, before, 1, &last, &count) == STATUS_OK && count == 1;
}

/* The answer for a taken id does not depend on how many coupons there are. */
static bool id_is_taken(struct core *core, uint64_t coupon_id) {
    struct coupon_record present;
    return coupon_id != 0 && ledger_coupon_read(core->ledger, coupon_id, &present) == STATUS_OK;
}

static const struct audit *audit_of(const struct command *command) {
    return command->audit.admin.size ? &command->audit : NULL;
}

static int create(struct core *core, int64_t now_us, struct command *command) {
    int status = find_creation(core, command);
    if (status != STATUS_NOT_FOUND) {
        return status;
    }
    struct coupon_record *coupon = &command->coupon;
    if (board_count(core->board) >= core->coupons_max) {
        return id_is_taken(core, coupon->id)
                   ? STATUS_EXISTS
                   : refuse(command, "id", "The server holds all the coupons it can; archive one.");
    }
    coupon->created_us = now_us;
    coupon->updated_us = now_us;
    status =
        ledger_coupon_create(core->ledger, coupon, &command->key, audit_of(command), &core->why);
    if (status == STATUS_EXISTS) {
        return status;
    }
    if (status == STATUS_INVALID) {
        return refuse(command, NULL, "The record does not take these values.");
    }
    if (status == STATUS_FULL && coupon->id == 0 && ids_are_used_up(core)) {
        return refuse(command, "id", "There is no id above the last coupon's: name a free one.");
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

static bool version_matches(const struct command *command, uint32_t version) {
    if (!command->if_versions) {
        return true;
    }
    for (size_t i = 0; i < command->if_version_count; i++) {
        if (command->if_versions[i] == version) {
            return true;
        }
    }
    return false;
}

static void apply_patch(const struct command *command, struct coupon_record *coupon) {
    const struct coupon_record *asked = &command->coupon;
    unsigned set = command->patch_set;
    if (set & PATCH_TITLE) {
        snprintf(coupon->title, sizeof(coupon->title), "%s", asked->title);
    }
    if (set & PATCH_TOTAL_QUANTITY) {
        coupon->total_quantity = asked->total_quantity;
    }
    if (set & PATCH_ISSUE_START) {
        coupon->issue_start_us = asked->issue_start_us;
    }
    if (set & PATCH_ISSUE_END) {
        coupon->issue_end_us = asked->issue_end_us;
    }
    if (set & PATCH_DISCOUNT_AMOUNT) {
        coupon->discount_amount = asked->discount_amount;
    }
    if (set & PATCH_MIN_AVAILABLE_AMOUNT) {
        coupon->min_available_amount = asked->min_available_amount;
    }
    if (set & PATCH_PAUSED) {
        coupon->paused = asked->paused;
    }
    if (set & PATCH_METADATA) {
        snprintf(coupon->metadata, sizeof(coupon->metadata), "%s", asked->metadata);
    }
}

static int check_patched(struct command *command, const struct coupon_record *coupon) {
    if (coupon->total_quantity != COUPON_UNLIMITED &&
        coupon->total_quantity < (int64_t)coupon->issued_quantity) {
        return refuse(command, "totalQuantity", "It may not be below what is issued already.");
    }
    if (coupon->issue_start_us >= coupon->issue_end_us) {
        return refuse(command, command->patch_set & PATCH_ISSUE_END ? "issueEnd" : "issueStart",
                      "issueStart must be before issueEnd.");
    }
    return STATUS_OK;
}

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
    int status = ledger_coupon_read(core->ledger, command->coupon.id, &coupon);
    if (status) {
        return status;
    }
    if (!version_matches(command, coupon.version)) {
        return STATUS_CONFLICT;
    }
    if (coupon.archived_us) {
        return refuse(command, "archived", "The coupon is archived, which is final.");
    }
    apply_patch(command, &coupon);
    status = check_patched(command, &coupon);
    if (status) {
        return status;
    }
    coupon.version++;
    coupon.updated_us = now_us;
    coupon.archived_us = command->patch_set & PATCH_ARCHIVED ? now_us : 0;
    status = ledger_coupon_change(core->ledger, &coupon, audit_of(command), &core->why);
    if (status == STATUS_INVALID) {
        return refuse(command, NULL, "The record does not take these values.");
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
        int status = ledger_coupon_read(core->ledger, coupon_id, &command->coupon);
        if (status) {
            return status;
        }
        command->known = true;
        command->reference.rank = 0;
    }
    return search_archived(core, command);
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
