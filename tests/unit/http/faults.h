/* faults: makes a call that the server makes fail, as the kernel or libuv might make it fail.
 * Linked with --wrap for every function named in faults.c; until a fault is armed they all do what
 * they always do. For test_failures.c. */
#ifndef COUPON_TEST_HTTP_FAULTS_H
#define COUPON_TEST_HTTP_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

struct fault {
    const char *name; /* of the function; NULL: any of them */
    unsigned nth;     /* the first is 1, of the calls that are meant */
    size_t size_min;  /* of an allocation; smaller ones are not meant */
    bool here_only;   /* calls of other threads are not meant */
    bool lasts;       /* so do all that are meant after it */
    int error;        /* of accept4: errno; 0: ENOMEM */
};

/* From now on the nth of the calls that are meant fails, once if it does not last. */
void fault_arm(struct fault fault);
/* No fault any more. Whether the one that was armed has happened. */
bool fault_disarm(void);
/* How often it has happened until now. */
unsigned fault_happened(void);

#endif
