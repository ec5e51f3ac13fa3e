/* A binary heap. See events.h. */
#include "sim/events.h"

#include <stdlib.h>

void events_init(struct events *events) {
    *events = (struct events){.capacity = 1024};
    events->heap = calloc(events->capacity, sizeof(events->heap[0]));
    assert(events->heap);
}

void events_done(struct events *events) {
    free(events->heap);
}

void events_clear(struct events *events) {
    events->count = 0;
    events->planned = 0;
}

static bool is_before(const struct event *a, const struct event *b) {
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void swap(struct event *a, struct event *b) {
    struct event kept = *a;
    *a = *b;
    *b = kept;
}

void events_plan(struct events *events, struct event event) {
    if (events->count == events->capacity) {
        events->capacity *= 2;
        events->heap = realloc(events->heap, events->capacity * sizeof(events->heap[0]));
        assert(events->heap);
    }
    event.order = events->planned++;
    size_t at = events->count++;
    events->heap[at] = event;
    while (at > 0 && is_before(&events->heap[at], &events->heap[(at - 1) / 2])) {
        swap(&events->heap[at], &events->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

bool events_take(struct events *events, struct event *ret_event) {
    if (events->count == 0) {
        return false;
    }
    *ret_event = events->heap[0];
    events->heap[0] = events->heap[--events->count];
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < events->count; child++) {
            least = is_before(&events->heap[child], &events->heap[least]) ? child : least;
        }
        if (least == at) {
            return true;
        }
        swap(&events->heap[at], &events->heap[least]);
        at = least;
    }
}
