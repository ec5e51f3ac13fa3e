/* engine_issues: who holds which rank of one coupon since when, a dense array by rank.
 *
 * Grown in segments, so that nothing ever moves: 8, 8, 16, 32 … 2048, then 4096 entries
 * each (96 KiB, side by side in an arena). Not for: finding a user (engine_index). Called by
 * engine.c and the index. */
#ifndef COUPON_ENGINE_ISSUES_H
#define COUPON_ENGINE_ISSUES_H

#include "engine/engine_arena.h"

#define ISSUES_FIRST_LOG2   3  /* the first two segments: 8 entries */
#define ISSUES_SEGMENT_LOG2 12 /* segments from the eleventh on: 4096 entries */

struct engine_issue {
    struct digest user;
    int64_t issued_at_us;
};

struct engine_issues {
    struct engine_issue **segments; /* owned, as is what they point to */
    struct engine_arena arena;      /* the segments from the eleventh on */
    uint32_t segment_count;
    uint32_t segment_capacity;
    uint32_t count; /* the newest rank, pending ones included */
};

void engine_issues_init(struct engine_issues *issues);
/* Retires the arena: engine_arena_release gives back most of the memory. */
void engine_issues_done(struct engine_issues *issues, struct engine_memory *memory);

/* The issue becomes rank count + 1. STATUS_NO_MEMORY: nothing changed. */
int MUST_CHECK engine_issues_append(struct engine_issues *issues, struct engine_memory *memory,
                                    const struct engine_issue *issue);

/* Takes the newest back; its segment stays for the next. */
void engine_issues_pop(struct engine_issues *issues);

/* Where the entry of a rank lies: the powers of two up to 4096 start a segment each. */
static inline struct engine_issue *engine_issue_at(const struct engine_issues *issues,
                                                   uint32_t rank) {
    uint32_t position = rank - 1;
    if (position >> ISSUES_SEGMENT_LOG2) {
        uint32_t segment =
            (position >> ISSUES_SEGMENT_LOG2) + ISSUES_SEGMENT_LOG2 - ISSUES_FIRST_LOG2;
        return &issues->segments[segment][position & ((1U << ISSUES_SEGMENT_LOG2) - 1)];
    }
    if (position < 1U << ISSUES_FIRST_LOG2)
        return &issues->segments[0][position];
    uint32_t log2 = 31 - (uint32_t)__builtin_clz(position);
    return &issues->segments[log2 - ISSUES_FIRST_LOG2 + 1][position - (1U << log2)];
}

#endif
