/* Makes one value in the rows that a server answers with another than it is: the nth since it was
 * armed. Linked with --wrap for each function that wrong_values.c wraps; while nothing is armed
 * they do what they always do. For test_values_fail.c. */
#ifndef COUPON_TESTS_CONTRACT_WRONG_VALUES_H
#define COUPON_TESTS_CONTRACT_WRONG_VALUES_H

#include <stdbool.h>

enum wrong_value {
    WRONG_NULL,  /* NULL */
    WRONG_LONG,  /* a text longer than any column's, and no number */
    WRONG_SMALL, /* of a number: the least there is but one */
    WRONG_COUNT,
};

const char *wrong_value_name(enum wrong_value wrong);
void wrong_values_arm(enum wrong_value wrong, unsigned nth);
/* Whether there were so many. */
bool wrong_values_disarm(void);

#endif
