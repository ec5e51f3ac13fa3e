/* station: the real embedded issuer in this process, asked one thing after another. Between two
 * of them its writer is at rest (it waits for work, all housekeeping done), so that a run makes
 * the same calls in the same order every time.
 *
 * For a program linked with --wrap of pthread_cond_wait and pthread_cond_timedwait, by which it
 * is known when the writer waits. One station at a time. */
#ifndef COUPON_TESTS_CRASH_IO_STATION_H
#define COUPON_TESTS_CRASH_IO_STATION_H

#include "issuer/issuer.h"

/* What the issuer's clock says from now on. */
void station_set_clock(int64_t now_us);

/* Starts it on the folder and waits until it has read the record: READY, BROKEN, or what it
 * makes of a write that failed by then. The status of issuer_local_start. */
int MUST_CHECK station_start(const char *folder, const char *vfs, struct complaint *complaint);
/* The status of issuer_stop; the issuer is gone whatever it says. */
int station_stop(struct complaint *complaint);
bool station_is_running(void);

/* Hands the job over and waits until it is done and the writer at rest. */
void station_do(struct job *job);
/* Waits until the writer is READY or BROKEN: while it is UNWRITABLE it tries to write. */
enum issuer_state station_settle(void);
enum issuer_state station_state(void);
/* Whether it was UNWRITABLE since it was started, or is. */
bool station_was_unwritable(void);
/* Why it changed its state last. */
const char *station_why(void);
struct issuer *station_issuer(void);

#endif
