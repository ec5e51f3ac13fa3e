/* change: what creating and changing a coupon asks of the record, wherever the record is and
 * whatever follows it in memory. Not for: writing to memory (command.c) or threads. Internal to
 * issuer/. */
#ifndef COUPON_ISSUER_CHANGE_H
#define COUPON_ISSUER_CHANGE_H

#include "issuer/issuer.h"

/* STATUS_INVALID, with the field and the sentence left in the command. */
int command_refuse(struct command *command, const char *field, const char *why);
/* The audit of a command, or NULL: none is written. */
const struct audit *command_audit(const struct command *command);

/* The creation that had the command's key before: answered, as a replay. STATUS_NOT_FOUND: the
 * key is new, or there is none, and the coupon is to be made; STATUS_CONFLICT: another request
 * had the key. */
int MUST_CHECK creation_find(struct ledger *ledger, struct command *command);
/* Makes it. `now_us` is its date. STATUS_INVALID with a refusal, STATUS_EXISTS; any other failure
 * is one of writing. */
int MUST_CHECK creation_write(struct ledger *ledger, int64_t now_us, struct command *command,
                              struct complaint *complaint);

/* Reads the coupon, asks whether it may be changed so, and leaves in *ret_coupon what it becomes,
 * its version raised. STATUS_NOT_FOUND, CONFLICT (If-Match), INVALID with a refusal. */
int MUST_CHECK change_prepare(struct ledger *ledger, int64_t now_us, struct command *command,
                              struct coupon_record *ret_coupon);
/* Writes what was prepared. STATUS_CONFLICT: somebody else changed it meanwhile, prepare it anew;
 * STATUS_INVALID with a refusal; any other failure is one of writing. */
int MUST_CHECK change_write(struct ledger *ledger, const struct coupon_record *coupon,
                            struct command *command, struct complaint *complaint);

/* ---- a ledger that others write to as well ---- */

/* The whole of a creation or a change, by the ledger's clock: what another node got ahead of is
 * prepared anew. STATUS_BUSY: others got ahead of it again and again, nothing was changed;
 * STATUS_AMBIGUOUS also when a change was made and cannot be read back. */
int MUST_CHECK creation_perform(struct ledger *ledger, struct command *command,
                                struct complaint *complaint);
int MUST_CHECK change_perform(struct ledger *ledger, struct command *command,
                              struct complaint *complaint);

#endif
