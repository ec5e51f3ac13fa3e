/* The clock that never steps back (I5), and the sources behind it. */
#include "base/base.h"

#include <time.h>

static int64_t read_clock(clockid_t id) {
    struct timespec now;
    int failed = clock_gettime(id, &now);
    assert(!failed);
    return (int64_t)now.tv_sec * US_PER_SECOND + now.tv_nsec / 1000;
}

int64_t clock_realtime(void *context) {
    (void)context;
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_monotonic_us(void) {
    return read_clock(CLOCK_MONOTONIC);
}

void clock_init(struct clock *clock, int64_t (*source)(void *), void *context, int64_t last_us) {
    *clock = (struct clock){
        .source = source ? source : clock_realtime, .context = context, .last_us = last_us};
}

int64_t clock_now(struct clock *clock) {
    int64_t source_us = clock->source(clock->context);
    clock->held_back_us = source_us < clock->last_us ? clock->last_us - source_us : 0;
    if (source_us > clock->last_us) {
        clock->last_us = source_us;
    }
    return clock->last_us;
}
