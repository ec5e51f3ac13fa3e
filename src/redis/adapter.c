/* hiredis on a uv loop: hiredis' own adapter, but for its ears. For connection.c.
 *
 * hiredis 0.14's adapter passes over every event that libuv reports with an error, and libuv
 * reports a refused or reset connection like that (POLLERR), having stopped the poll: nobody would
 * ever hear of it. It also restarts the poll, with a system call, for every command. So its
 * functions that start and stop the poll are replaced by the ones here, in the struct of hiredis
 * that is made for this. */
#include <hiredis/adapters/libuv.h>

#include "redis/internal.h"

/* The context may be freed by whatever is called here; the adapter's cleanup then clears it. */
static void on_poll(uv_poll_t *handle, int failed, int events) {
    redisLibuvEvents *adapter = handle->data;
    if (failed) {
        adapter->events = 0; /* libuv has stopped it */
    }
    if (adapter->context && (failed || (events & UV_READABLE))) {
        redisAsyncHandleRead(adapter->context); /* reading tells which error it is */
    }
    if (adapter->context && !failed && (events & UV_WRITABLE)) {
        redisAsyncHandleWrite(adapter->context);
    }
}

static void listen_for(redisLibuvEvents *adapter, int events) {
    if (adapter->events == events) {
        return;
    }
    adapter->events = events;
    if (events) {
        int failed = uv_poll_start(&adapter->handle, events, on_poll);
        assert(failed == 0); /* it fails for a handle that is closing only */
    } else {
        uv_poll_stop(&adapter->handle);
    }
}

static void add_read(void *data) {
    redisLibuvEvents *adapter = data;
    listen_for(adapter, adapter->events | UV_READABLE);
}

static void del_read(void *data) {
    redisLibuvEvents *adapter = data;
    listen_for(adapter, adapter->events & ~UV_READABLE);
}

static void add_write(void *data) {
    redisLibuvEvents *adapter = data;
    listen_for(adapter, adapter->events | UV_WRITABLE);
}

static void del_write(void *data) {
    redisLibuvEvents *adapter = data;
    listen_for(adapter, adapter->events & ~UV_WRITABLE);
}

int redis_adapter_attach(redisAsyncContext *context, uv_loop_t *loop) {
    if (redisLibuvAttach(context, loop) != REDIS_OK) {
        return REDIS_ERR;
    }
    context->ev.addRead = add_read;
    context->ev.delRead = del_read;
    context->ev.addWrite = add_write;
    context->ev.delWrite = del_write;
    return REDIS_OK;
}
