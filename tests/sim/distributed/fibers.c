/* Switching stacks: see fibers.h. With a sanitizer of addresses the switches are told to it, and
 * are those of ucontext, which it knows. */
#include "sim/distributed/fibers.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define WITH_ASAN 1
#endif

#define STACK_SIZE ((size_t)256 << 10)
#define POOL_MAX   256

static struct {
    void *stacks[POOL_MAX];
    size_t count;
    jmp_buf back;
    ucontext_t scheduler;
    struct fiber_stack *first;
    const void *scheduler_stack; /* as the sanitizer tells it */
    size_t scheduler_size;
} pool;

#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>

static void switch_to(void **save, const void *stack, size_t size) {
    __sanitizer_start_switch_fiber(save, stack, size);
}

static void switched(void *fake, const void **ret_stack, size_t *ret_size) {
    __sanitizer_finish_switch_fiber(fake, ret_stack, ret_size);
}
#endif

static void *stack_new(void) {
    /* pages are touched as they are used; the lowest one is a wall */
    char *memory = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    assert(memory != MAP_FAILED);
    int failed = mprotect(memory, 4096, PROT_NONE);
    assert(failed == 0);
    return memory;
}

/* makecontext() hands over ints only: what to run is left in the pool. */
static void first_turn(void) {
    struct fiber_stack *stack = pool.first;
#ifdef WITH_ASAN
    switched(NULL, &pool.scheduler_stack, &pool.scheduler_size);
#endif
    stack->run(stack->context);
    assert(false && "a fiber leaves its stack");
    abort();
}

void fiber_stack_take(struct fiber_stack *stack, void (*run)(void *context), void *context) {
    *stack = (struct fiber_stack){.run = run, .context = context};
    stack->memory = pool.count > 0 ? pool.stacks[--pool.count] : stack_new();
    int failed = getcontext(&stack->first);
    assert(failed == 0);
    stack->first.uc_stack.ss_sp = stack->memory;
    stack->first.uc_stack.ss_size = STACK_SIZE;
    stack->first.uc_link = NULL;
    makecontext(&stack->first, first_turn, 0);
}

void fiber_stack_return(struct fiber_stack *stack) {
    assert(stack->memory);
    if (pool.count < POOL_MAX) {
        pool.stacks[pool.count++] = stack->memory;
    } else {
        munmap(stack->memory, STACK_SIZE);
    }
    stack->memory = NULL;
}

#ifdef WITH_ASAN

void fiber_stack_enter(struct fiber_stack *stack) {
    void *fake = NULL;
    pool.first = stack;
    switch_to(&fake, stack->memory, STACK_SIZE);
    swapcontext(&pool.scheduler, &stack->first);
    switched(fake, NULL, NULL);
}

void fiber_stack_leave(struct fiber_stack *stack) {
    void *fake = NULL;
    switch_to(&fake, pool.scheduler_stack, pool.scheduler_size);
    swapcontext(&stack->first, &pool.scheduler);
    switched(fake, &pool.scheduler_stack, &pool.scheduler_size);
}

#else

void fiber_stack_enter(struct fiber_stack *stack) {
    pool.first = stack;
    if (_setjmp(pool.back) == 0) {
        if (stack->entered) {
            _longjmp(stack->place, 1);
        }
        stack->entered = true;
        setcontext(&stack->first);
        abort(); /* it does not return */
    }
}

void fiber_stack_leave(struct fiber_stack *stack) {
    if (_setjmp(stack->place) == 0) {
        _longjmp(pool.back, 1);
    }
}

#endif
