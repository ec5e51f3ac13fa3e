/* Coupons and rows to put into a ledger, and a look at whether they are there: for the tests of
 * any store, the contract's and those of one store alone (tests/unit/ledger). */
#ifndef COUPON_TESTS_CONTRACT_ROWS_H
#define COUPON_TESTS_CONTRACT_ROWS_H

#include "ledger/ledger.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOW_US INT64_C(1760000000000000)

extern struct complaint complaint; /* for every call of a test */

void assert_says(const char *words); /* `complaint` has them */
/* The status of the call, with its complaint not empty. */
#define assert_complains(status, call)                                                             \
    do {                                                                                           \
        complaint.text[0] = '\0';                                                                  \
        assert_int_equal(call, status);                                                            \
        assert_true(complaint.text[0] != '\0');                                                    \
    } while (0)

void close_ledger(struct ledger *ledger);
struct coupon_record coupon_example(int64_t total_quantity);
uint64_t add_coupon(struct ledger *ledger, int64_t total_quantity);
/* Appends ranks first … first+count-1 of the coupon: users "u<rank>", dates NOW_US + rank;
 * odd ranks have the request key "k<rank>". */
int append_ranks(struct ledger *ledger, uint64_t coupon_id, uint32_t first, uint32_t count);
/* Visits and asserts that the coupon has exactly the ranks 1 … count as append_ranks made
 * them, and that issued_quantity says so. */
void assert_ranks(struct ledger *ledger, uint64_t coupon_id, uint32_t count);
/* issued_quantity of the coupon, after assert_ranks on it. */
uint32_t ranks_of(struct ledger *ledger, uint64_t coupon_id);

#endif
