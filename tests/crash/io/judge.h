/* judge: what a data folder holds, by the real ledger and by `coupon verify`'s own rules. */
#ifndef COUPON_TESTS_CRASH_IO_JUDGE_H
#define COUPON_TESTS_CRASH_IO_JUDGE_H

#include "model.h"

/* The record as ledger_text has it. With existing_only nothing in the folder is changed; else it
 * is opened as a server does, which recovers and folds, and SQLite's own check is made too. */
int MUST_CHECK judge_read(const char *folder, bool existing_only, struct buffer *text,
                          struct complaint *complaint);
/* The exit code of `coupon verify --data FOLDER`: 0 no violation, 1 some, 2 could not look. What
 * it says goes to stdout, which programs here turn away. */
int judge_verify(const char *folder);
/* What a program of this folder calls first: no output of the product's but its log. */
void judge_silence(void);

#endif
