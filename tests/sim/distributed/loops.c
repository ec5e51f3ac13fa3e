/* The part of libuv that the product uses below HTTP: loops, timers, wake-ups, closing; on
 * simulated time. Linked instead of libuv, behind its own header. A turn of a loop does what
 * libuv 1.44's does, in its order: timers, what arrived, and for UV_RUN_ONCE timers again. */
#include "sim/distributed/loops.h"

#include <stdlib.h>

#define TIMERS_MAX 8

struct post {
    struct post *next;
    loop_action *action;
    void *context;
    uint64_t word;
};

struct loop {
    struct process *process;
    struct post *first;
    struct post *last;
    uv_timer_t *timers[TIMERS_MAX];
    size_t timer_count;
    int64_t time_ms;
    size_t users; /* handles and clients that are open */
};

static struct loop *loop_of(const uv_loop_t *loop) {
    return loop->data;
}

int uv_loop_init(uv_loop_t *loop) {
    struct loop *state = world_alloc(sizeof(*state));
    memset(loop, 0, sizeof(*loop));
    state->process = process_self();
    loop->data = state;
    uv_update_time(loop);
    return 0;
}

int uv_loop_close(uv_loop_t *loop) {
    return loop_of(loop)->users > 0 ? UV_EBUSY : 0;
}

void uv_update_time(uv_loop_t *loop) {
    loop_of(loop)->time_ms = process_monotonic_us(loop_of(loop)->process) / 1000;
}

/* ---- what arrives ---- */

void loop_hold(uv_loop_t *loop) {
    loop_of(loop)->users++;
}

void loop_release(uv_loop_t *loop) {
    assert(loop_of(loop)->users > 0);
    loop_of(loop)->users--;
}

void loop_post(uv_loop_t *loop, loop_action *action, void *context, uint64_t word) {
    struct loop *state = loop_of(loop);
    struct post *post = world_alloc(sizeof(*post));
    *post = (struct post){.action = action, .context = context, .word = word};
    if (state->last) {
        state->last->next = post;
    } else {
        state->first = post;
    }
    state->last = post;
    fibers_wake(state, false);
}

static void on_async(void *context, uint64_t word) {
    uv_async_t *handle = context;
    (void)word;
    handle->pending = 0;
    if (!uv_is_closing((uv_handle_t *)handle)) {
        handle->async_cb(handle);
    }
}

int uv_async_init(uv_loop_t *loop, uv_async_t *handle, uv_async_cb action) {
    memset(handle, 0, sizeof(*handle));
    handle->type = UV_ASYNC;
    handle->loop = loop;
    handle->async_cb = action;
    loop_hold(loop);
    return 0;
}

int uv_async_send(uv_async_t *handle) {
    if (!handle->pending) {
        handle->pending = 1;
        loop_post(handle->loop, on_async, handle, 0);
    }
    return 0;
}

/* ---- timers ---- */

int uv_timer_init(uv_loop_t *loop, uv_timer_t *handle) {
    memset(handle, 0, sizeof(*handle));
    handle->type = UV_TIMER;
    handle->loop = loop;
    loop_hold(loop);
    return 0;
}

int uv_timer_stop(uv_timer_t *handle) {
    struct loop *state = loop_of(handle->loop);
    for (size_t i = 0; i < state->timer_count; i++) {
        if (state->timers[i] == handle) {
            state->timers[i] = state->timers[--state->timer_count];
            return 0;
        }
    }
    return 0;
}

int uv_timer_start(uv_timer_t *handle, uv_timer_cb action, uint64_t timeout_ms,
                   uint64_t repeat_ms) {
    struct loop *state = loop_of(handle->loop);
    uv_timer_stop(handle);
    assert(state->timer_count < TIMERS_MAX);
    handle->timer_cb = action;
    handle->timeout = (uint64_t)state->time_ms + timeout_ms;
    handle->repeat = repeat_ms;
    state->timers[state->timer_count++] = handle;
    return 0;
}

static uv_timer_t *timer_due(const struct loop *state) {
    for (size_t i = 0; i < state->timer_count; i++) {
        if ((int64_t)state->timers[i]->timeout <= state->time_ms) {
            return state->timers[i];
        }
    }
    return NULL;
}

static void timers_run(struct loop *state) {
    uv_timer_t *timer;
    while ((timer = timer_due(state)) != NULL) {
        uv_timer_stop(timer);
        if (timer->repeat > 0) {
            uv_timer_start(timer, timer->timer_cb, timer->repeat, timer->repeat);
        }
        timer->timer_cb(timer);
    }
}

/* ---- closing ---- */

void uv_close(uv_handle_t *handle, uv_close_cb closed) {
    assert(!closed && !uv_is_closing(handle));
    handle->flags |= 1;
    if (handle->type == UV_TIMER) {
        uv_timer_stop((uv_timer_t *)handle);
    }
    loop_release(handle->loop);
}

int uv_is_closing(const uv_handle_t *handle) {
    return handle->flags & 1;
}

/* ---- turns ---- */

static int64_t next_due_us(const struct loop *state) {
    int64_t until_us = INT64_MAX;
    for (size_t i = 0; i < state->timer_count; i++) {
        int64_t due_us = (int64_t)state->timers[i]->timeout * 1000 + state->process->boot_us;
        until_us = due_us < until_us ? due_us : until_us;
    }
    return until_us;
}

static void posts_run(struct loop *state) {
    struct post *post = state->first;
    state->first = state->last = NULL;
    for (; post; post = post->next) {
        post->action(post->context, post->word);
    }
}

int uv_run(uv_loop_t *loop, uv_run_mode mode) {
    struct loop *state = loop_of(loop);
    uv_update_time(loop);
    while (state->users > 0 || state->first) {
        timers_run(state);
        int64_t until_us = next_due_us(state);
        if (mode != UV_RUN_NOWAIT && !state->first && state->users > 0 && until_us > now_us()) {
            fiber_wait(state, until_us);
        }
        uv_update_time(loop);
        posts_run(state);
        if (mode == UV_RUN_ONCE) {
            uv_update_time(loop);
            timers_run(state);
        }
        if (mode != UV_RUN_DEFAULT) {
            break;
        }
    }
    return state->users > 0;
}
