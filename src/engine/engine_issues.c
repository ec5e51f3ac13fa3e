/* engine_issues: see the header. */
#include "engine/engine_issues.h"

static_assert(sizeof(struct engine_issue) == 24, "24 bytes an issue is the memory budget");

/* The segments that double; those after them are all of the same length. */
#define SEGMENTS_DOUBLING (ISSUES_SEGMENT_LOG2 - ISSUES_FIRST_LOG2 + 1)

static uint32_t segment_length(uint32_t segment) {
    uint32_t log2 = segment == 0 ? ISSUES_FIRST_LOG2 : segment + ISSUES_FIRST_LOG2 - 1;
    return 1U << (log2 < ISSUES_SEGMENT_LOG2 ? log2 : ISSUES_SEGMENT_LOG2);
}

/* How many entries the segments before this one have together. */
static uint32_t segment_start(uint32_t segment) {
    if (segment == 0)
        return 0;
    if (segment < SEGMENTS_DOUBLING)
        return 1U << (segment + ISSUES_FIRST_LOG2 - 1);
    return (segment - SEGMENTS_DOUBLING + 1) << ISSUES_SEGMENT_LOG2;
}

void engine_issues_init(struct engine_issues *issues) {
    *issues = (struct engine_issues){.segments = NULL};
}

void engine_issues_done(struct engine_issues *issues, struct engine_memory *memory) {
    for (uint32_t i = 0; i < issues->segment_count && i < SEGMENTS_DOUBLING; i++)
        engine_memory_free(memory, issues->segments[i]);
    engine_arena_retire(&issues->arena, memory);
    engine_memory_free(memory, issues->segments);
    engine_issues_init(issues);
}

static int segments_reserve(struct engine_issues *issues, struct engine_memory *memory) {
    if (issues->segment_count < issues->segment_capacity)
        return STATUS_OK;
    uint32_t capacity = issues->segment_capacity ? issues->segment_capacity * 2 : 2;
    void *segments =
        engine_memory_resize(memory, issues->segments, capacity * sizeof *issues->segments);
    if (!segments)
        return STATUS_NO_MEMORY;
    issues->segments = segments;
    issues->segment_capacity = capacity;
    return STATUS_OK;
}

static int segment_add(struct engine_issues *issues, struct engine_memory *memory) {
    int status = segments_reserve(issues, memory);
    if (status < 0)
        return status;
    size_t size = segment_length(issues->segment_count) * sizeof **issues->segments;
    struct engine_issue *segment = issues->segment_count < SEGMENTS_DOUBLING
                                       ? engine_memory_resize(memory, NULL, size)
                                       : engine_arena_take(&issues->arena, memory, size);
    if (!segment)
        return STATUS_NO_MEMORY;
    issues->segments[issues->segment_count++] = segment;
    return STATUS_OK;
}

int engine_issues_append(struct engine_issues *issues, struct engine_memory *memory,
                         const struct engine_issue *issue) {
    assert(issues->count < UINT32_MAX);
    if (issues->count == segment_start(issues->segment_count)) {
        int status = segment_add(issues, memory);
        if (status < 0)
            return status;
    }
    issues->count++;
    *engine_issue_at(issues, issues->count) = *issue;
    return STATUS_OK;
}

void engine_issues_pop(struct engine_issues *issues) {
    assert(issues->count > 0);
    issues->count--;
}
