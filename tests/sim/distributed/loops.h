/* loops: what else the simulation wants of the loops in loops.c: to hand something to one from
 * outside. For redis_client.c. */
#ifndef SIM_DISTRIBUTED_LOOPS_H
#define SIM_DISTRIBUTED_LOOPS_H

#include "sim/distributed/scheduler.h"

#include <uv.h>

typedef void loop_action(void *context, uint64_t word);

/* Calls action(context, word) in the loop's next turn, behind what was handed to it before. */
void loop_post(uv_loop_t *loop, loop_action *action, void *context, uint64_t word);
/* Keeps the loop going, as an open handle does. */
void loop_hold(uv_loop_t *loop);
void loop_release(uv_loop_t *loop);

#endif
