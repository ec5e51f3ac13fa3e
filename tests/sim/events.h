/* events: what is to happen in a simulated run, by simulated time and then by the order in which
 * it was planned. For the simulation of the embedded server. */
#ifndef SIM_EVENTS_H
#define SIM_EVENTS_H

#include "base/base.h"

enum event_kind {
    EVENT_ASK,      /* persona: wants a coupon */
    EVENT_ARRIVE,   /* attempt: its request reaches a loop */
    EVENT_LOOP,     /* loop: hands over what it gathered */
    EVENT_WRITER,   /* the writer's next turn */
    EVENT_REPLY,    /* attempt: its answer reaches the client */
    EVENT_PATIENCE, /* attempt: the client's patience ends */
    EVENT_OPERATE,  /* an operator does something */
    EVENT_OPERATED, /* change: its answer reaches the operator */
    EVENT_READ,     /* somebody reads */
    EVENT_WEATHER,  /* something goes wrong, or is about to */
    EVENT_START,    /* the server is started */
    EVENT_STOP,     /* the server is told to stop, or stops since it is broken */
};

struct event {
    int64_t at_us;
    uint64_t order;
    enum event_kind kind;
    uint32_t subject;
    uint32_t incarnation; /* of the server it concerns; others' are dropped by who handles it */
};

struct events {
    struct event *heap;
    size_t count;
    size_t capacity;
    uint64_t planned;
};

void events_init(struct events *events);
void events_done(struct events *events);
void events_clear(struct events *events);
/* `order` is given here. */
void events_plan(struct events *events, struct event event);
/* The next one; false: there is none. */
bool events_take(struct events *events, struct event *ret_event);

#endif
