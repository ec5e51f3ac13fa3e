/* engine_index: from a user's digest to the rank held, for one coupon.
 *
 * Extendible hashing (Fagin, Nievergelt, Pippenger, Strong: "Extendible hashing", ACM TODS
 * 4(3), 1979). The first `depth` bits of digest.high choose a slot of the directory, which
 * points to a page; pages are groups of 12 ranks in one cache line each; digest.low chooses
 * the group and gives every entry a tag. A look-up reads the directory and one line, and
 * for a user who holds nothing seldom more; where the tag matches, also the issue.
 *
 *    1, 2 … 64 groups, one page      a crowded page is refilled into one twice its size
 *    64 groups, 2, 3 … pages         a crowded page splits in two by the next directory bit
 *
 * Nothing else ever moves (the directory's pointers apart, when it doubles). The digests are
 * in the issues, not here. Not for: outside src/engine. Called by engine.c only. */
#ifndef COUPON_ENGINE_INDEX_H
#define COUPON_ENGINE_INDEX_H

#include "engine/engine_issues.h"

#define INDEX_GROUP_SLOTS 12
#define INDEX_GROUPS_MAX  64 /* a page of 4 KiB */

struct engine_index_group;

struct engine_index {
    struct engine_index_group **directory; /* 2^depth slots, owned; NULL while empty */
    struct engine_arena arena;             /* the pages of 64 groups */
    uint32_t depth;
    uint32_t group_mask; /* groups a page, less one; the same for all pages */
};

void engine_index_init(struct engine_index *index);
/* Retires the arena: engine_arena_release gives back most of the memory. */
void engine_index_done(struct engine_index *index, struct engine_memory *memory);

/* The rank this user holds, or 0. */
uint32_t engine_index_find(const struct engine_index *index, const struct engine_issues *issues,
                           struct digest user);

/* Adds the newest of `issues`, whose user must not be in the index yet. STATUS_NO_MEMORY
 * (also when more than 768 digests share all bits the directory may use: crafted ones
 * could, keyed ones do not): nothing changed. */
int MUST_CHECK engine_index_insert(struct engine_index *index, const struct engine_issues *issues,
                                   struct engine_memory *memory);

/* Takes the newest of `issues` out again. Pages stay as they are. */
void engine_index_remove(struct engine_index *index, const struct engine_issues *issues);

/* Loads the group a look-up begins with; then, once it is there, what it leads to: the issue,
 * the next group. */
void engine_index_prefetch_group(const struct engine_index *index, struct digest user);
void engine_index_prefetch_issue(const struct engine_index *index,
                                 const struct engine_issues *issues, struct digest user);

#endif
