/* engine_index: see the header for the shape.
 *
 * An entry goes into its home group, or into the next one with an empty slot. Every group it
 * passed sets one bit of 16, chosen by the digest, in `passed`, so a look-up goes on only from
 * a group where its own bit is set: seldom, as few groups were passed, and by few. A passed
 * group also counts in `overflow`, so a removal needs no tombstone: it counts down what the
 * insertion counted up, and at zero the bits are cleared (the counts are those of F14, Bronson
 * and Shi, "Open-sourcing F14", 2019). A bit too many costs a line, never an answer.
 *
 * A page is crowded, and grows, when `displaced` of its entries are not at home. That number
 * is kept in the first group, which is touched only when an entry overflows, so the usual
 * insertion writes one line. Growing needs memory but can wait: until the page is full, an
 * insertion without it succeeds. Both counts stop at 255 and then stay until the page is
 * refilled, which is what only digests made to collide bring about. */
#include "engine/engine_index.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define PAGE_SLOTS_MAX (INDEX_GROUPS_MAX * INDEX_GROUP_SLOTS)
/* Displaced entries per 64 groups at which a page counts as crowded: at a load of 0.75 or so.
 * More would save memory and cost time, as every displaced entry is a second line to read
 * (bench/engine_bench.c prints what follows from it for both). */
#define CROWDED_PER_64_GROUPS 16
/* Directory slots allowed for each 512 issues, so that digests that share long prefixes
 * cannot blow it up; keyed ones need about 4 (Flajolet, "On the performance evaluation of
 * extendible hashing and trie searching", Acta Informatica 20, 1983). */
#define DIRECTORY_SLOTS_PER_512 16
#define DEPTH_MAX               30
/* Issues read ahead of the one being placed: enough to keep all line fill buffers busy. */
#define REFILL_AHEAD 24

struct engine_index_group {
    uint8_t tags[INDEX_GROUP_SLOTS]; /* 0: the slot is empty */
    uint8_t overflow;                /* entries that passed this group for a later one */
    uint8_t displaced;               /* first group of a page: its entries not at home */
    uint16_t passed;                 /* the bits of the entries that passed this group */
    uint32_t ranks[INDEX_GROUP_SLOTS];
};

static_assert(sizeof(struct engine_index_group) == ENGINE_CACHE_LINE, "a group is one line");

/* The slots whose tag is this one, as bits. */
static unsigned group_match(const struct engine_index_group *group, uint8_t tag) {
#ifdef __SSE2__
    __m128i bytes = _mm_load_si128((const __m128i *)(const void *)group);
    __m128i equal = _mm_cmpeq_epi8(bytes, _mm_set1_epi8((char)tag));
    return (unsigned)_mm_movemask_epi8(equal) & ((1U << INDEX_GROUP_SLOTS) - 1);
#else
    unsigned slots = 0;
    for (unsigned i = 0; i < INDEX_GROUP_SLOTS; i++)
        slots |= (unsigned)(group->tags[i] == tag) << i;
    return slots;
#endif
}

static uint8_t tag_of(struct digest user) {
    uint8_t tag = (uint8_t)(user.low >> 8);
    return tag ? tag : 1;
}

static uint16_t passed_bit(struct digest user) {
    return (uint16_t)(1U << (user.low >> 16 & 15));
}

static uint32_t home_of(const struct engine_index *index, struct digest user) {
    return (uint32_t)user.low & index->group_mask;
}

static size_t slot_of(const struct engine_index *index, struct digest user) {
    return (size_t)(user.high >> 1 >> (63 - index->depth)); /* two steps: depth may be 0 */
}

static struct engine_index_group *page_of(const struct engine_index *index, struct digest user) {
    return index->directory[slot_of(index, user)];
}

static void count_up(uint8_t *count) {
    *count = (uint8_t)(*count + (*count < UINT8_MAX));
}

static void count_down(uint8_t *count) {
    assert(*count > 0);
    *count = (uint8_t)(*count - (*count < UINT8_MAX));
}

/* ---- pages ----------------------------------------------------------------------------- */

static size_t page_bytes(uint32_t group_mask) {
    return (group_mask + 1) * sizeof(struct engine_index_group);
}

/* An empty page. Those of full size stay until the coupon goes, so they lie in the arena. */
static struct engine_index_group *page_new(struct engine_index *index, struct engine_memory *memory,
                                           uint32_t group_mask) {
    size_t size = page_bytes(group_mask);
    struct engine_index_group *page = group_mask + 1 == INDEX_GROUPS_MAX
                                          ? engine_arena_take(&index->arena, memory, size)
                                          : engine_memory_lines(memory, size);
    if (page)
        memset(page, 0, size);
    return page;
}

void engine_index_init(struct engine_index *index) {
    *index = (struct engine_index){.directory = NULL};
}

void engine_index_done(struct engine_index *index, struct engine_memory *memory) {
    if (index->directory && index->group_mask + 1 < INDEX_GROUPS_MAX)
        engine_memory_free(memory, index->directory[0]);
    engine_memory_free(memory, index->directory);
    engine_arena_retire(&index->arena, memory);
    engine_index_init(index);
}

/* ---- finding --------------------------------------------------------------------------- */

/* The rank this user holds among the slots of one group that carry the tag, or 0. */
static uint32_t group_find(const struct engine_index_group *group,
                           const struct engine_issues *issues, struct digest user) {
    for (unsigned slots = group_match(group, tag_of(user)); slots; slots &= slots - 1) {
        uint32_t rank = group->ranks[__builtin_ctz(slots)];
        if (digest_equal(engine_issue_at(issues, rank)->user, user))
            return rank;
    }
    return 0;
}

uint32_t engine_index_find(const struct engine_index *index, const struct engine_issues *issues,
                           struct digest user) {
    if (!index->directory)
        return 0;
    const struct engine_index_group *page = page_of(index, user);
    uint32_t home = home_of(index, user);
    for (uint32_t distance = 0; distance <= index->group_mask; distance++) {
        const struct engine_index_group *group = &page[(home + distance) & index->group_mask];
        uint32_t rank = group_find(group, issues, user);
        if (rank > 0 || !(group->passed & passed_bit(user)))
            return rank;
    }
    return 0; /* not reached: the group that took a page's last entry was never passed */
}

void engine_index_prefetch_group(const struct engine_index *index, struct digest user) {
    if (index->directory)
        __builtin_prefetch(&page_of(index, user)[home_of(index, user)]);
}

/* One issue in four lies across two lines. */
static void issue_prefetch(const struct engine_issue *issue) {
    __builtin_prefetch(issue);
    __builtin_prefetch((const char *)(issue + 1) - 1);
}

void engine_index_prefetch_issue(const struct engine_index *index,
                                 const struct engine_issues *issues, struct digest user) {
    if (!index->directory)
        return;
    const struct engine_index_group *page = page_of(index, user);
    uint32_t home = home_of(index, user);
    const struct engine_index_group *group = &page[home];
    bool full = group_match(group, 0) == 0;
    if (full) /* where an entry that is displaced is counted */
        __builtin_prefetch(page);
    if (full || group->passed & passed_bit(user))
        __builtin_prefetch(&page[(home + 1) & index->group_mask]);
    for (unsigned slots = group_match(group, tag_of(user)); slots; slots &= slots - 1)
        issue_prefetch(engine_issue_at(issues, group->ranks[__builtin_ctz(slots)]));
}

/* ---- growing --------------------------------------------------------------------------- */

/* Puts an entry into its page. How many groups it passed, or -1: every slot is taken. */
static int page_put(const struct engine_index *index, struct digest user, uint32_t rank) {
    struct engine_index_group *page = page_of(index, user);
    uint32_t home = home_of(index, user);
    uint32_t distance = 0;
    unsigned empty;
    while ((empty = group_match(&page[(home + distance) & index->group_mask], 0)) == 0) {
        if (distance == index->group_mask)
            return -1;
        distance++;
    }
    struct engine_index_group *group = &page[(home + distance) & index->group_mask];
    unsigned slot = (unsigned)__builtin_ctz(empty);
    group->tags[slot] = tag_of(user);
    group->ranks[slot] = rank;
    for (uint32_t i = 0; i < distance; i++) {
        struct engine_index_group *full = &page[(home + i) & index->group_mask];
        count_up(&full->overflow);
        full->passed |= passed_bit(user);
    }
    if (distance > 0)
        count_up(&page->displaced);
    return (int)distance;
}

/* Takes all ranks out of a page. */
static size_t page_drain(struct engine_index_group *page, uint32_t group_mask,
                         uint32_t ret_ranks[static PAGE_SLOTS_MAX]) {
    size_t count = 0;
    for (uint32_t i = 0; i <= group_mask; i++) {
        for (unsigned slot = 0; slot < INDEX_GROUP_SLOTS; slot++) {
            if (page[i].tags[slot])
                ret_ranks[count++] = page[i].ranks[slot];
        }
    }
    memset(page, 0, page_bytes(group_mask));
    return count;
}

/* Puts drained ranks where they now belong. Their digests lie anywhere in the issues, so
 * they are asked for ahead: a page costs microseconds, not a cache miss an entry. */
static void refill(const struct engine_index *index, const struct engine_issues *issues,
                   const uint32_t *ranks, size_t count) {
    for (size_t i = 0; i < count && i < REFILL_AHEAD; i++)
        issue_prefetch(engine_issue_at(issues, ranks[i]));
    for (size_t i = 0; i < count; i++) {
        if (i + REFILL_AHEAD < count)
            issue_prefetch(engine_issue_at(issues, ranks[i + REFILL_AHEAD]));
        int distance = page_put(index, engine_issue_at(issues, ranks[i])->user, ranks[i]);
        assert(distance >= 0); /* the new pages have at least the slots of the old one */
    }
}

static int first_page(struct engine_index *index, struct engine_memory *memory) {
    struct engine_index_group *page = page_new(index, memory, 0);
    struct engine_index_group **directory = engine_memory_resize(memory, NULL, sizeof *directory);
    if (!page || !directory) {
        engine_memory_free(memory, page);
        engine_memory_free(memory, directory);
        return STATUS_NO_MEMORY;
    }
    directory[0] = page;
    index->directory = directory;
    return STATUS_OK;
}

/* The only page, with less than 64 groups, gets twice as many. */
static bool only_page_double(struct engine_index *index, const struct engine_issues *issues,
                             struct engine_memory *memory) {
    assert(index->depth == 0);
    struct engine_index_group *old = index->directory[0];
    uint32_t group_mask = index->group_mask * 2 + 1;
    struct engine_index_group *page = page_new(index, memory, group_mask);
    if (!page)
        return false;
    uint32_t ranks[PAGE_SLOTS_MAX];
    size_t count = page_drain(old, index->group_mask, ranks);
    engine_memory_free(memory, old);
    index->directory[0] = page;
    index->group_mask = group_mask;
    refill(index, issues, ranks, count);
    return true;
}

static bool directory_double(struct engine_index *index, const struct engine_issues *issues,
                             struct engine_memory *memory) {
    size_t slots = (size_t)1 << index->depth;
    if (index->depth == DEPTH_MAX || slots > (issues->count / 512 + 1) * DIRECTORY_SLOTS_PER_512)
        return false;
    struct engine_index_group **directory =
        engine_memory_resize(memory, index->directory, 2 * slots * sizeof *directory);
    if (!directory)
        return false;
    for (size_t i = slots; i-- > 0;) /* from the end: no slot is overwritten before it is read */
        directory[2 * i] = directory[2 * i + 1] = directory[i];
    index->directory = directory;
    index->depth++;
    return true;
}

/* How many slots point to the page of this slot: a power of two, and aligned to it. */
static size_t slots_of_page(const struct engine_index *index, size_t slot) {
    size_t slots = (size_t)1 << index->depth;
    size_t span = 1;
    while (span < slots && index->directory[slot ^ span] == index->directory[slot])
        span *= 2;
    return span;
}

/* The user's page hands the entries whose next directory bit is 1 to a new page. */
static bool page_split(struct engine_index *index, const struct engine_issues *issues,
                       struct engine_memory *memory, struct digest user) {
    size_t span = slots_of_page(index, slot_of(index, user));
    if (span == 1 && !directory_double(index, issues, memory))
        return false;
    struct engine_index_group *page = page_new(index, memory, index->group_mask);
    if (!page)
        return false;
    span = span == 1 ? 2 : span;
    uint32_t ranks[PAGE_SLOTS_MAX];
    size_t count = page_drain(page_of(index, user), index->group_mask, ranks);
    size_t first = slot_of(index, user) & ~(span - 1);
    for (size_t i = first + span / 2; i < first + span; i++)
        index->directory[i] = page;
    refill(index, issues, ranks, count);
    return true;
}

/* Makes room around this user; false where there is no memory or no bit left to split by. */
static bool grow(struct engine_index *index, const struct engine_issues *issues,
                 struct engine_memory *memory, struct digest user) {
    if (index->group_mask + 1 < INDEX_GROUPS_MAX)
        return only_page_double(index, issues, memory);
    return page_split(index, issues, memory, user);
}

static bool crowded(const struct engine_index *index, struct digest user) {
    uint32_t displaced = page_of(index, user)->displaced;
    return displaced * INDEX_GROUPS_MAX >= (index->group_mask + 1) * CROWDED_PER_64_GROUPS;
}

/* ---- inserting and removing -------------------------------------------------------------- */

int engine_index_insert(struct engine_index *index, const struct engine_issues *issues,
                        struct engine_memory *memory) {
    uint32_t rank = issues->count;
    assert(rank > 0);
    struct digest user = engine_issue_at(issues, rank)->user;
    if (!index->directory && first_page(index, memory) < 0)
        return STATUS_NO_MEMORY;
    int distance = page_put(index, user, rank);
    if (distance == 0)
        return STATUS_OK;
    if (distance > 0) {
        if (crowded(index, user))
            grow(index, issues, memory, user); /* failing that, the next one tries again */
        return STATUS_OK;
    }
    if (!grow(index, issues, memory, user) || page_put(index, user, rank) < 0)
        return STATUS_NO_MEMORY;
    return STATUS_OK;
}

void engine_index_remove(struct engine_index *index, const struct engine_issues *issues) {
    uint32_t rank = issues->count;
    assert(rank > 0 && index->directory);
    struct digest user = engine_issue_at(issues, rank)->user;
    struct engine_index_group *page = page_of(index, user);
    uint32_t home = home_of(index, user);
    for (uint32_t distance = 0; distance <= index->group_mask; distance++) {
        struct engine_index_group *group = &page[(home + distance) & index->group_mask];
        for (unsigned slots = group_match(group, tag_of(user)); slots; slots &= slots - 1) {
            unsigned slot = (unsigned)__builtin_ctz(slots);
            if (group->ranks[slot] != rank)
                continue;
            group->tags[slot] = 0;
            group->ranks[slot] = 0;
            if (distance > 0)
                count_down(&page->displaced);
            return;
        }
        count_down(&group->overflow); /* an entry lies no further than the counts lead */
        if (group->overflow == 0)
            group->passed = 0;
    }
    assert(false); /* it was inserted */
}
