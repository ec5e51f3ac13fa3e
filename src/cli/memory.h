/* memory: what becomes of the process where libuv cannot go on for want of memory. Not for: any
 * other want of it, which is answered where it is met. Internal to cli/: called by main. */
#ifndef COUPON_CLI_MEMORY_H
#define COUPON_CLI_MEMORY_H

/* libuv allocates as before, but where it would call abort() (it cannot let its table of
 * descriptors grow: uv_loop_init, and whatever starts to watch one) the process ends with the
 * event out-of-memory and exit code 1. As after a kill -9, nothing that was told is lost. Once,
 * before any other call of libuv and any other thread. */
void memory_begin(void);

#endif
