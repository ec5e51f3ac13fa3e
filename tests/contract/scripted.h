/* Changes what Redis answers to this program: the next calls of a function of the library, or of a
 * command, fail or are answered with a given text. Linked with --wrap=redis_call; what nothing is
 * said of goes to the real server and back. Not for what a server sends over the wire: hiredis and
 * src/redis have their own tests. For the tests of what is made of answers. */
#ifndef COUPON_TESTS_CONTRACT_SCRIPTED_H
#define COUPON_TESTS_CONTRACT_SCRIPTED_H

#include <stdbool.h>

enum scripted_how {
    SCRIPTED_SAYS,      /* nothing is done, and this is the answer: RESP, '|' is a line's end */
    SCRIPTED_DOES,      /* it is done, and this is the answer */
    SCRIPTED_NOT_DONE,  /* STATUS_IO: nothing is done */
    SCRIPTED_LOST,      /* STATUS_AMBIGUOUS: it is done, and the answer lost */
    SCRIPTED_NOT_TAKEN, /* STATUS_FULL of redis_call() */
    SCRIPTED_LATE,      /* done so many seconds later ("0.3") */
};

/* The next `times` calls of `function` (of FCALL, or a command's name), after what was said of it
 * before. The texts are constants. Any thread. */
void scripted(const char *function, enum scripted_how how, const char *text, unsigned times);
/* The next call of it is made when `before` has returned, which may make calls itself. */
void scripted_before(const char *function, void (*before)(void *context), void *context);
/* How many calls are to come yet that something was said of. */
unsigned scripted_left(void);
/* Whether all that was said has been met. */
bool scripted_is_met(void);
/* The same, and forgets the rest. */
bool scripted_end(void);

#endif
