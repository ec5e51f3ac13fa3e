/* engine_coupons: see the header. Multiplicative hashing and deletion without tombstones are
 * those of Knuth, The Art of Computer Programming, volume 3, section 6.4 (algorithm R). */
#include "engine/engine_coupons.h"

#include <stdlib.h>

#define GOLDEN_RATIO_64 UINT64_C(0x9e3779b97f4a7c15) /* 2^64 / phi, odd */
#define SLOTS_LOG2_MIN  4

static size_t home_of(const struct engine_coupons *coupons, uint64_t coupon_id) {
    return (size_t)(coupon_id * GOLDEN_RATIO_64 >> coupons->shift);
}

int engine_coupons_init(struct engine_coupons *coupons, size_t count_max) {
    assert(count_max > 0);
    if (count_max > SIZE_MAX / 4 / sizeof *coupons->slots)
        return STATUS_NO_MEMORY;
    uint32_t log2 = SLOTS_LOG2_MIN;
    while ((size_t)1 << log2 < 2 * count_max)
        log2++;
    struct engine_coupons_slot *slots = calloc((size_t)1 << log2, sizeof *slots);
    if (!slots)
        return STATUS_NO_MEMORY;
    *coupons = (struct engine_coupons){.slots = slots,
                                       .mask = ((size_t)1 << log2) - 1,
                                       .shift = 64 - log2,
                                       .count_max = count_max};
    return STATUS_OK;
}

static void coupon_free(struct engine_coupon *coupon, struct engine_memory *memory) {
    engine_index_done(&coupon->index, memory);
    engine_issues_done(&coupon->issues, memory);
    engine_memory_free(memory, coupon);
}

void engine_coupons_done(struct engine_coupons *coupons, struct engine_memory *memory) {
    for (size_t i = 0; coupons->slots && i <= coupons->mask; i++) {
        if (coupons->slots[i].coupon_id > 0)
            coupon_free(coupons->slots[i].coupon, memory);
    }
    free(coupons->slots);
    *coupons = (struct engine_coupons){.slots = NULL};
}

/* The slot of this coupon, or the empty one where it would go. There is always an empty one,
 * as at most half are taken. */
static size_t slot_find(const struct engine_coupons *coupons, uint64_t coupon_id) {
    size_t slot = home_of(coupons, coupon_id);
    while (coupons->slots[slot].coupon_id != coupon_id && coupons->slots[slot].coupon_id > 0)
        slot = (slot + 1) & coupons->mask;
    return slot;
}

struct engine_coupon *engine_coupons_find(const struct engine_coupons *coupons,
                                          uint64_t coupon_id) {
    return coupons->slots[slot_find(coupons, coupon_id)].coupon;
}

int engine_coupons_add(struct engine_coupons *coupons, struct engine_memory *memory,
                       uint64_t coupon_id, const struct engine_terms *terms) {
    assert(coupon_id > 0);
    size_t slot = slot_find(coupons, coupon_id);
    if (coupons->slots[slot].coupon)
        return STATUS_EXISTS;
    if (coupons->count == coupons->count_max)
        return STATUS_FULL;
    struct engine_coupon *coupon = engine_memory_resize(memory, NULL, sizeof *coupon);
    if (!coupon)
        return STATUS_NO_MEMORY;
    *coupon = (struct engine_coupon){.terms = *terms};
    engine_issues_init(&coupon->issues);
    engine_index_init(&coupon->index);
    coupons->slots[slot] = (struct engine_coupons_slot){coupon_id, coupon};
    coupons->count++;
    return STATUS_OK;
}

/* Fills the hole with a later entry of the same run that may go there, and goes on with the
 * hole this leaves, so that every entry can still be reached from its home. */
static void hole_close(struct engine_coupons *coupons, size_t hole) {
    struct engine_coupons_slot *slots = coupons->slots;
    size_t mask = coupons->mask;
    for (size_t i = (hole + 1) & mask; slots[i].coupon_id > 0; i = (i + 1) & mask) {
        size_t home = home_of(coupons, slots[i].coupon_id);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            slots[hole] = slots[i];
            hole = i;
        }
    }
    slots[hole] = (struct engine_coupons_slot){.coupon_id = 0};
}

void engine_coupons_remove(struct engine_coupons *coupons, struct engine_memory *memory,
                           uint64_t coupon_id) {
    size_t slot = slot_find(coupons, coupon_id);
    if (!coupons->slots[slot].coupon)
        return;
    coupon_free(coupons->slots[slot].coupon, memory);
    hole_close(coupons, slot);
    coupons->count--;
}
