/* Creating and changing coupons: see change.h. For command.c and the shared issuers. */
#include "issuer/change.h"

#include <stdio.h>

int command_refuse(struct command *command, const char *field, const char *why) {
    command->field = field;
    command->why = why;
    return STATUS_INVALID;
}

const struct audit *command_audit(const struct command *command) {
    return command->audit.admin.size ? &command->audit : NULL;
}

/* ---- creating ---- */

int creation_find(struct ledger *ledger, struct command *command) {
    if (command->key.key.size == 0) {
        return STATUS_NOT_FOUND;
    }
    uint64_t coupon_id = 0;
    int status = ledger_creation_read(ledger, &command->key, &coupon_id);
    if (status == STATUS_OK) {
        command->replayed = true;
        status = ledger_coupon_read(ledger, coupon_id, &command->coupon);
        return status == STATUS_NOT_FOUND ? STATUS_DAMAGED : status;
    }
    return status;
}

/* FULL is what the ledger says of a full disk, and of a largest id that is in use when it is
 * to choose the next one. The second is no failed write. */
static bool ids_are_used_up(struct ledger *ledger) {
    struct coupon_record last;
    size_t count = 0;
    uint64_t before = (uint64_t)JSON_INTEGER_MAX - 1;
    return ledger_coupons_read(ledger, before, 1, &last, &count) == STATUS_OK && count == 1;
}

int creation_write(struct ledger *ledger, int64_t now_us, struct command *command,
                   struct complaint *complaint) {
    struct coupon_record *coupon = &command->coupon;
    coupon->created_us = now_us;
    coupon->updated_us = now_us;
    int status =
        ledger_coupon_create(ledger, coupon, &command->key, command_audit(command), complaint);
    if (status == STATUS_INVALID) {
        return command_refuse(command, NULL, "The record does not take these values.");
    }
    if (status == STATUS_FULL && coupon->id == 0 && ids_are_used_up(ledger)) {
        return command_refuse(command, "id",
                              "There is no id above the last coupon's: name a free one.");
    }
    return status;
}

/* ---- changing ---- */

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
        return command_refuse(command, "totalQuantity",
                              "It may not be below what is issued already.");
    }
    if (coupon->issue_start_us >= coupon->issue_end_us) {
        return command_refuse(command,
                              command->patch_set & PATCH_ISSUE_END ? "issueEnd" : "issueStart",
                              "issueStart must be before issueEnd.");
    }
    return STATUS_OK;
}

int change_prepare(struct ledger *ledger, int64_t now_us, struct command *command,
                   struct coupon_record *ret_coupon) {
    struct coupon_record coupon;
    int status = ledger_coupon_read(ledger, command->coupon.id, &coupon);
    if (status) {
        return status;
    }
    if (!version_matches(command, coupon.version)) {
        return STATUS_CONFLICT;
    }
    if (coupon.archived_us) {
        return command_refuse(command, "archived", "The coupon is archived, which is final.");
    }
    apply_patch(command, &coupon);
    status = check_patched(command, &coupon);
    if (status) {
        return status;
    }
    coupon.version++;
    coupon.updated_us = now_us;
    coupon.archived_us = command->patch_set & PATCH_ARCHIVED ? now_us : 0;
    *ret_coupon = coupon;
    return STATUS_OK;
}

int change_write(struct ledger *ledger, const struct coupon_record *coupon, struct command *command,
                 struct complaint *complaint) {
    int status = ledger_coupon_change(ledger, coupon, command_audit(command), complaint);
    return status == STATUS_INVALID
               ? command_refuse(command, NULL, "The record does not take these values.")
               : status;
}

/* ---- a ledger that others write to as well ---- */

/* So often something is prepared anew that another node got ahead of. Eight nodes that did nothing
 * but change one coupon lost a tenth of their changes in 8 attempts. */
#define ATTEMPTS_MAX 32

/* What the last attempt came to: of nobody's condition, but of too many others. */
static int of_last_attempt(int status) {
    return status == STATUS_CONFLICT ? STATUS_BUSY : status;
}

int creation_perform(struct ledger *ledger, struct command *command, struct complaint *complaint) {
    struct coupon_record asked = command->coupon;
    int status = STATUS_CONFLICT;
    for (int i = 0; status == STATUS_CONFLICT && i < ATTEMPTS_MAX; i++) {
        int64_t now_us = 0;
        command->coupon = asked;
        status = creation_find(ledger, command);
        if (status != STATUS_NOT_FOUND) {
            return status == STATUS_OK ? ledger_barrier(ledger, ledger_session(ledger), complaint)
                                       : status;
        }
        status = ledger_now_us(ledger, &now_us);
        if (status == STATUS_OK) {
            /* CONFLICT: another node used the key meanwhile; it is found in the next turn */
            status = creation_write(ledger, now_us, command, complaint);
        }
    }
    return of_last_attempt(status);
}

int change_perform(struct ledger *ledger, struct command *command, struct complaint *complaint) {
    int status = STATUS_CONFLICT;
    struct coupon_record coupon;
    for (int i = 0; status == STATUS_CONFLICT && i < ATTEMPTS_MAX; i++) {
        int64_t now_us = 0;
        status = ledger_now_us(ledger, &now_us);
        if (status == STATUS_OK) {
            status = change_prepare(ledger, now_us, command, &coupon);
        }
        if (status) {
            return status;
        }
        /* CONFLICT: another node changed it meanwhile, which If-Match asks about again */
        status = change_write(ledger, &coupon, command, complaint);
    }
    if (status) {
        return of_last_attempt(status);
    }
    /* the ledger may have dated it later, and knows what was issued up to then; if another node has
     * changed it since, what was asked for is told as it was written */
    status = ledger_coupon_read(ledger, coupon.id, &command->coupon);
    if (status == STATUS_OK && command->coupon.version != coupon.version) {
        command->coupon = coupon;
    }
    return status == STATUS_OK ? STATUS_OK : STATUS_AMBIGUOUS;
}
