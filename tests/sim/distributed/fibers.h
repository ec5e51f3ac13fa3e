/* Stacks that can be left and entered again. For scheduler.c alone. */
#ifndef SIM_DISTRIBUTED_FIBERS_H
#define SIM_DISTRIBUTED_FIBERS_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <ucontext.h>

struct fiber_stack {
    void *memory;
    bool entered;
    ucontext_t first; /* how it is entered the first time */
    jmp_buf place;    /* … and then */
    void (*run)(void *context);
    void *context;
};

/* A stack from the pool, on which `run` will be. It must not return but leave. */
void fiber_stack_take(struct fiber_stack *stack, void (*run)(void *context), void *context);
void fiber_stack_return(struct fiber_stack *stack);
/* From the scheduler's own stack; returns when it is left. */
void fiber_stack_enter(struct fiber_stack *stack);
/* From itself; returns when it is entered again. */
void fiber_stack_leave(struct fiber_stack *stack);

#endif
