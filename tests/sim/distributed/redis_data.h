/* redis_data: what a Redis server keeps, and the commands on it that coupon.lua and src/partition
 * give: hashes and streams, with Redis 7.0's answers and errors. A model; nothing of Redis runs.
 * Not for: servers, replicas and connections (redis_servers.c). */
#ifndef SIM_DISTRIBUTED_REDIS_DATA_H
#define SIM_DISTRIBUTED_REDIS_DATA_H

#include "sim/distributed/scheduler.h"

enum value_type { VALUE_NIL, VALUE_INTEGER, VALUE_TEXT, VALUE_STATUS, VALUE_ERROR, VALUE_ARRAY };

/* An answer. Lives as long as the run. */
struct value {
    enum value_type type;
    int64_t integer;
    struct slice text;
    struct value *elements;
    size_t count;
};

/* The words of a command. */
struct command_words {
    struct slice *words;
    size_t count;
};

struct redis_data;

struct redis_data *redis_data_new(void);
struct redis_data *redis_data_copy(const struct redis_data *data);
/* Carries the command out. INFO, TIME and PUBLISH are the server's, not known here. */
struct value redis_data_run(struct redis_data *data, const struct command_words *command);
/* Whether it can change anything, so that replicas must hear of it. */
bool command_writes(const struct command_words *command);
bool command_is(const struct command_words *command, const char *name);
/* Forgets a key by chance, as an eviction does; the empty slice: there is none. */
struct slice redis_data_evict(struct redis_data *data);

struct value value_integer(int64_t integer);
struct value value_text(struct slice text); /* which lasts */
struct value value_error(const char *text); /* a constant */
struct value value_array(size_t count);     /* of nils */

#endif
