/* interrupt: Ctrl-C, SIGTERM and SIGHUP as a question, for commands that have something to clean up
 * before they end. Internal to cli/: for backup and export. */
#ifndef COUPON_CLI_INTERRUPT_H
#define COUPON_CLI_INTERRUPT_H

#include <stdbool.h>

/* From now on these signals end nothing, but system calls that wait: whoever works on asks whether
 * one came. Main's thread. */
void interrupt_take(void);
/* Whether one came. Any thread. */
bool interrupt_came(void);

#endif
