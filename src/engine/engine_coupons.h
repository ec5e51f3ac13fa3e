/* engine_coupons: the coupons in memory, by id.
 *
 * Open addressing with linear probing, made once for the most coupons there may be, at most
 * half full. Not for: outside src/engine. Called by engine.c only. */
#ifndef COUPON_ENGINE_COUPONS_H
#define COUPON_ENGINE_COUPONS_H

#include "engine/engine.h"
#include "engine/engine_index.h"

/* A coupon stays where it is from add to remove: pending grants point to it. */
struct engine_coupon {
    struct engine_terms terms;
    uint32_t committed; /* of issues.count, those that the ledger has */
    struct engine_issues issues;
    struct engine_index index;
};

struct engine_coupons_slot {
    uint64_t coupon_id; /* 0: empty */
    struct engine_coupon *coupon;
};

struct engine_coupons {
    struct engine_coupons_slot *slots; /* owned, as are the coupons */
    size_t mask;
    uint32_t shift; /* what is left of a product of 64 bits after it is a slot */
    size_t count;
    size_t count_max;
};

/* STATUS_NO_MEMORY. The slots are zero pages until they are used. */
int MUST_CHECK engine_coupons_init(struct engine_coupons *coupons, size_t count_max);
void engine_coupons_done(struct engine_coupons *coupons, struct engine_memory *memory);

/* NULL when there is none. */
struct engine_coupon *engine_coupons_find(const struct engine_coupons *coupons, uint64_t coupon_id);

/* STATUS_EXISTS, STATUS_FULL, STATUS_NO_MEMORY. */
int MUST_CHECK engine_coupons_add(struct engine_coupons *coupons, struct engine_memory *memory,
                                  uint64_t coupon_id, const struct engine_terms *terms);

/* Frees the coupon with all it holds; no effect when there is none. */
void engine_coupons_remove(struct engine_coupons *coupons, struct engine_memory *memory,
                           uint64_t coupon_id);

#endif
