/* redis_servers: the Redis servers of a run: their data, who is master, replicas that follow with
 * a delay, restarts with and without a file, and the wires that clients have to them.
 *
 * A model but for coupon.lua, which Lua 5.1 runs (lua_host.h). Not for: the client's side of a
 * call (redis_client.c). Called by it, and by trouble.c for what befalls the servers. */
#ifndef SIM_DISTRIBUTED_REDIS_SERVERS_H
#define SIM_DISTRIBUTED_REDIS_SERVERS_H

#include "sim/distributed/redis_data.h"

#define SERVERS_MAX 3

enum redis_file { FILE_NONE, FILE_EVERY_SECOND, FILE_ALWAYS }; /* appendonly, appendfsync */

struct effects; /* what one command changed, as replicas and the file hear of it */

struct redis_server {
    unsigned number;
    bool up;
    bool master;
    bool full;        /* memory is at its maximum */
    bool disk_failed; /* MISCONF */
    bool library;     /* coupon.lua is loaded */
    enum redis_file file;
    int64_t paused_until_us;
    int64_t clock_skew_us;
    char replid[41];
    struct redis_data *data;
    struct redis_server *following;
    uint64_t link; /* counts what it followed: what comes from before is dropped */
    int64_t lag_us;
    struct redis_data *kept; /* what its file began with … */
    bool kept_library;
    struct effects *effects; /* … and what came since */
    struct effects *effects_last;
    struct effects *present; /* of the command that is running */
};

/* All are empty; the first one is the master, the others follow it. */
void servers_begin(unsigned count, enum redis_file file);
struct redis_server *server_at(unsigned number); /* NULL: there are no more */
struct redis_server *server_master(void);        /* the first that says so and is up; NULL */

/* Carries a client's command out. */
struct value server_execute(struct redis_server *server, const struct command_words *command);
/* A command within a function: redis.call(). */
struct value server_call(struct redis_server *server, const struct command_words *command);
void server_load_library(struct redis_server *server);

/* ---- what befalls them ---- */

void server_crash(struct redis_server *server);
/* Starts again: as a master, with what its file holds. Returns how many changes are lost. */
size_t server_start(struct redis_server *server);
/* A replica becomes a master, with what it has. Returns how many changes it does not have. */
size_t server_promote(struct redis_server *server);
/* Takes over all of the master's data, and its changes from now on. */
void server_follow(struct redis_server *server, struct redis_server *master);
/* A new replication id without any loss, as when the first replica comes. */
void server_new_replid(struct redis_server *server);
void server_empty(struct redis_server *server); /* FLUSHALL */

/* ---- for redis_client.c ---- */

/* Hands a message to whoever listens to the channel there. */
void clients_publish(struct redis_server *server, struct slice channel, struct slice payload);
/* All connections to it are lost. */
void clients_cut(struct redis_server *server);

#endif
