/* Makes one call of a store fail that goes to its server, or one of its allocations: the nth since
 * it was armed. Linked with --wrap for each function that failing.c wraps; while nothing is armed
 * they do what they always do. For test_calls_fail.c. */
#ifndef COUPON_TESTS_CONTRACT_FAILING_H
#define COUPON_TESTS_CONTRACT_FAILING_H

#include <stdbool.h>

enum failing_how {
    FAILING_CUT_BEFORE, /* the connection is lost; the server has not heard of the statement */
    FAILING_CUT_AFTER,  /* … and has done it, but the answer is lost */
    FAILING_DEADLOCK,   /* what the server says instead of doing it */
    FAILING_DISK_FULL,
    FAILING_NO_TABLE,
    FAILING_KEY,
    FAILING_SERVER_MEMORY,
    FAILING_FORBIDDEN,
    FAILING_TABLE_FULL,
    FAILING_VALUE, /* one that no column takes */
    FAILING_DAMAGE,
    FAILING_CHANGED, /* by another since the snapshot */
    FAILING_READ_ONLY,
    FAILING_KILLED, /* the session, by an operator */
    FAILING_SHUTDOWN,
    FAILING_MEMORY, /* an allocation of ours */
    FAILING_CALL,   /* see failing_arm_call */
    FAILING_COUNT,
};

const char *failing_name(enum failing_how how);
void failing_arm(enum failing_how how, unsigned nth);
/* Nothing fails, but before the nth statement `call` is called, once, by whoever sends it. */
void failing_arm_call(unsigned nth, void (*call)(void *context), void *context);
/* How many calls are left until it fails. */
unsigned failing_left(void);
/* Whether the call was reached, and so has failed. */
bool failing_disarm(void);

#endif
