/* Golden traces of the issuer's core: each line is a call and, after " -> ", what must come
 * of it. The player repeats the calls on a core with a real ledger, writes the same lines
 * with what really came, and compares the whole.
 *
 *   make 1 10..20 of 3                a coupon; "make - …": the server chooses the id
 *   change 1 10..30 | of 5 | paused | open | archived
 *   at 12: ann@1 bob@1#key + cat@2    one step: claims, "+" begins another batch; the outcome
 *                                     has a verdict for each and the counts given to the ledger
 *   fail append full                  the next append fails; "fail append full after": when the
 *                                     real one has worked; "… for ever"; "fail nothing"
 *   probe | tend | reload | state
 *   record 1                          who is in the file, by rank: user@time#key
 *   board 1                           what is published of it
 */
#ifndef TEST_ISSUER_TRACE_H
#define TEST_ISSUER_TRACE_H

void check_trace(const char *expected);

#endif
