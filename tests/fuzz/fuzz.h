/* fuzz: what the targets share: choices taken from the front of an input, and a mutator for
 * inputs that are lines of text. Not for: what a target claims; that is in its own file.
 *
 * A target's claim is an assert: libFuzzer takes the abort for a finding. All of an input's
 * meaning is in its bytes, so that a finding replays.
 */
#ifndef COUPON_TESTS_FUZZ_H
#define COUPON_TESTS_FUZZ_H

#include "base/base.h"

#include <stdlib.h>

/* What libFuzzer calls, and what it offers. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* ---- choices: each shortens *input; 0 or an empty text when it is used up ---- */

uint8_t fuzz_byte(struct slice *input);
/* From 0 to `max`. */
uint64_t fuzz_number(struct slice *input, uint64_t max);
/* All eight bytes of it, any value. */
uint64_t fuzz_u64(struct slice *input);
/* A byte tells how many follow. */
struct slice fuzz_text(struct slice *input);
/* Up to the next line end, which is dropped. */
struct slice fuzz_line(struct slice *input);
/* Up to the next space, which is dropped. */
struct slice fuzz_word(struct slice *input);

/* A copy in a block of its exact size, so that the sanitizer sees a byte too far. The caller's
 * to free. */
char *fuzz_exact(struct slice text);
/* The same, terminated at its first zero. */
char *fuzz_terminated(struct slice text);

/* ---- files ---- */

/* A new private folder, in memory where there is room for files; removed at exit. */
const char *fuzz_folder(void);

/* ---- the mutator for lines ---- */

/* Repeats, drops, swaps or replaces a line, puts in a sample, or has libFuzzer change bytes
 * within one line. Returns the new size. */
size_t fuzz_mutate_lines(uint8_t *data, size_t size, size_t max_size, unsigned seed,
                         const char *const *samples, size_t sample_count);

#endif
