/* The heap of deadlines: timers.h. For client.c. */
#include "redis/timers.h"

#include <stdlib.h>

void timers_done(struct timers *timers) {
    free(timers->heap);
    *timers = (struct timers){.heap = NULL};
}

int timers_reserve(struct timers *timers) {
    if (timers->reserved == timers->capacity) {
        size_t capacity = timers->capacity ? timers->capacity * 2 : 64;
        struct timed **heap = realloc(timers->heap, (capacity + 1) * sizeof(struct timed *));
        if (!heap) {
            return STATUS_NO_MEMORY;
        }
        timers->heap = heap;
        timers->capacity = capacity;
    }
    timers->reserved++;
    return STATUS_OK;
}

void timers_unreserve(struct timers *timers) {
    assert(timers->reserved > 0);
    timers->reserved--;
    assert(timers->count <= timers->reserved);
}

static void put(struct timers *timers, size_t place, struct timed *timed) {
    timers->heap[place] = timed;
    timed->place = place;
}

static void sift_up(struct timers *timers, size_t place, struct timed *timed) {
    while (place > 1 && timers->heap[place / 2]->due_us > timed->due_us) {
        put(timers, place, timers->heap[place / 2]);
        place /= 2;
    }
    put(timers, place, timed);
}

static void sift_down(struct timers *timers, size_t place, struct timed *timed) {
    for (;;) {
        size_t child = place * 2;
        if (child < timers->count &&
            timers->heap[child + 1]->due_us < timers->heap[child]->due_us) {
            child++;
        }
        if (child > timers->count || timers->heap[child]->due_us >= timed->due_us) {
            break;
        }
        put(timers, place, timers->heap[child]);
        place = child;
    }
    put(timers, place, timed);
}

void timers_set(struct timers *timers, struct timed *timed, int64_t due_us) {
    assert(timed->expired);
    timers_cancel(timers, timed);
    assert(timers->count < timers->reserved);
    timed->due_us = due_us;
    sift_up(timers, ++timers->count, timed);
}

void timers_cancel(struct timers *timers, struct timed *timed) {
    size_t place = timed->place;
    if (place == 0) {
        return;
    }
    assert(timers->heap[place] == timed);
    timed->place = 0;
    struct timed *last = timers->heap[timers->count--];
    if (last == timed) {
        return;
    }
    if (place > 1 && timers->heap[place / 2]->due_us > last->due_us) {
        sift_up(timers, place, last);
    } else {
        sift_down(timers, place, last);
    }
}

struct timed *timers_take_due(struct timers *timers, int64_t now_us) {
    if (timers->count == 0 || timers->heap[1]->due_us > now_us) {
        return NULL;
    }
    struct timed *timed = timers->heap[1];
    timers_cancel(timers, timed);
    return timed;
}

int64_t timers_due_us(const struct timers *timers) {
    return timers->count > 0 ? timers->heap[1]->due_us : INT64_MAX;
}
