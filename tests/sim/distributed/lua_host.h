/* lua_host: runs coupon.lua as it is, in Lua 5.1 as Redis does, with the model's redis.call(). For
 * redis_servers.c. */
#ifndef SIM_DISTRIBUTED_LUA_HOST_H
#define SIM_DISTRIBUTED_LUA_HOST_H

#include "sim/distributed/redis_servers.h"

enum { LUA_HOST_NO_WRITES = 1, LUA_HOST_ALLOW_OOM = 2 };

/* Loads the library once for the program; its functions remember nothing between calls.
 * STATUS_INVALID with the reason. */
int MUST_CHECK lua_host_begin(const char *text, struct complaint *complaint);
void lua_host_end(void);

/* The function's flags; 0 also where there is no such function. */
unsigned lua_host_flags(struct slice function);
/* FCALL function key_count keys … arguments … */
struct value lua_host_call(struct redis_server *server, const struct command_words *command,
                           size_t key_count);

#endif
