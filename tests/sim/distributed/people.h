/* people: those who use the programs of a run: clients who claim, ask again and give up, and an
 * operator who changes coupons. For run.c and trouble.c. */
#ifndef SIM_DISTRIBUTED_PEOPLE_H
#define SIM_DISTRIBUTED_PEOPLE_H

#include "sim/distributed/scheduler.h"

/* Draws coupons, and who asks for them when, until `until_us`. Before the oracle begins … */
void people_coupons(void);
/* … and after. */
void people_begin(int64_t until_us);
/* Fresh users ask for each coupon; when they are told the scheduler is stopped. */
void people_probe(void);
/* Then: they are all told, and nobody waits for a node that is there. */
void people_check(void);
/* The process is about to die: who waits for it sees the connection break. */
void people_cut_off(struct process *process);

enum change_kind { CHANGE_PAUSE, CHANGE_RAISE, CHANGE_NARROW, CHANGE_PERIOD };
void operator_change(enum change_kind kind);

uint64_t people_claims(void); /* of all runs */

#endif
