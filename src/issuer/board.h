/* board: the coupons in memory as loops may see them, published by the writer.
 *
 * The writer alone changes it and looks things up without a lock; any thread may read
 * copies. Issued quantities are atomics, so a commit takes no lock. Internal to issuer/. */
#ifndef COUPON_ISSUER_BOARD_H
#define COUPON_ISSUER_BOARD_H

#include "issuer/issuer.h"

#include <stdatomic.h>

struct board;

/* One coupon on the board. The writer's fields are the writer's alone. */
struct board_entry {
    struct board_entry *next;
    uint64_t coupon_id;
    _Atomic uint32_t issued_quantity;
    int64_t total_quantity;
    uint64_t step;     /* the writer's: the step that touched it last … */
    size_t count_slot; /* … and its place in that step's counts */
    size_t size;       /* of `record` */
    char record[];     /* a coupon_record, up to the end of its metadata */
};

int MUST_CHECK board_new(size_t coupons_max, struct board **ret_board);
void board_free(struct board *board); /* takes NULL */

/* Writer only: adds or replaces. STATUS_NO_MEMORY. */
int MUST_CHECK board_put(struct board *board, const struct coupon_record *coupon);
void board_remove(struct board *board, uint64_t coupon_id); /* writer only */
/* Writer only: NULL when there is none. Valid until the next put or remove. */
struct board_entry *board_find(struct board *board, uint64_t coupon_id);
/* Writer only: the entries of one bucket, of board_buckets; an entry never leaves its own. */
size_t board_buckets(const struct board *board);
const struct board_entry *board_bucket(const struct board *board, size_t bucket);
size_t board_count(const struct board *board); /* any thread */

/* Any thread: a copy. STATUS_NOT_FOUND. */
int MUST_CHECK board_read(const struct board *board, uint64_t coupon_id,
                          struct coupon_record *ret_coupon);
/* Any thread: up to `limit` of the coupons with id > after_id, by id; returns how many. Looked up
 * in slices, so that the writer never waits long. */
#define BOARD_SLICE_MAX 128
size_t board_quantities(const struct board *board, uint64_t after_id, size_t limit,
                        struct coupon_quantities *ret_quantities);

#endif
