/* oracle: watches a run and judges it: at each COMMIT, at each answer, at each entry that Redis
 * takes, and in the end by the history of what everybody was told (tests/sim/checker).
 *
 * Told by the models and by people.c; asks the model of the SQL server, whose record is the truth:
 * what a crash would leave, whatever else statements are shown. */
#ifndef SIM_DISTRIBUTED_ORACLE_H
#define SIM_DISTRIBUTED_ORACLE_H

#include "issuer/issuer.h"
#include "sim/checker/history.h"
#include "sim/distributed/sql_server.h"

struct redis_server;
struct command_words;

void oracle_begin(void);
/* The last checks. Returns how many violations there are. */
size_t oracle_end(void);
void PRINTF_LIKE(1, 2) oracle_violation(const char *format, ...);
size_t oracle_violations(void);
const char *oracle_first(void); /* the first violation's sentence; "" */
struct history *oracle_history(void);

/* ---- Redis ---- */

/* XADD of a queue, by a command that a client has called. */
void oracle_queued(const struct redis_server *server, const struct command_words *command);

/* ---- the ledger, as its record is written ---- */

void oracle_issued(const struct sql_coupon *coupon, const struct issue_row *row);
void oracle_rejected(const struct reject_record *reject);
void oracle_changed(const struct sql_coupon *coupon);
/* After the rows and rejects. */
void oracle_cursor_moved(const struct ledger_cursor *before, const struct ledger_cursor *after);
void oracle_epoch_raised(const struct ledger_cursor *before, bool by_change);

/* ---- answers, as they leave a node ---- */

/* A claim that came in at `asked_us`. */
void oracle_answered(const struct claim *claim, int64_t asked_us);
/* A change of the coupon, which has this version by it. */
void oracle_change_told(uint64_t coupon_id, uint32_t version);
/* The status of a claim that was admitted. */
void oracle_status(const struct command *command);

/* ---- the end ---- */

/* Every queue is settled as far as it goes. */
void oracle_all_settled(void);

#endif
