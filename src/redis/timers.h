/* timers: many deadlines behind one clock: a heap of what is due, the earliest first. Not for
 * asking the time or waiting: client.c does. Private to this folder. */
#ifndef COUPON_REDIS_TIMERS_H
#define COUPON_REDIS_TIMERS_H

#include "base/base.h"

/* Embedded in what has a deadline. Zeroed, with `expired` set, it is not due at all. */
struct timed {
    int64_t due_us;
    size_t place;                         /* in the heap, from 1; 0: not in it */
    void (*expired)(struct timed *timed); /* it is out of the heap already */
};

struct timers {
    struct timed **heap; /* heap[0] is unused */
    size_t count;
    size_t capacity; /* places that were reserved never fail */
    size_t reserved;
};

void timers_done(struct timers *timers);
/* Room for one more; STATUS_NO_MEMORY. Every struct timed that is used was reserved once. */
int MUST_CHECK timers_reserve(struct timers *timers);
void timers_unreserve(struct timers *timers);
/* Due at this time, whether it was due before or not. */
void timers_set(struct timers *timers, struct timed *timed, int64_t due_us);
void timers_cancel(struct timers *timers, struct timed *timed);
/* Takes the first that is due at `now_us` out, or NULL. */
struct timed *timers_take_due(struct timers *timers, int64_t now_us);
/* When the first is due; INT64_MAX: none. */
int64_t timers_due_us(const struct timers *timers);

#endif
