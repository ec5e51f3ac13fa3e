/* redis: calls to a Redis server or a Redis Cluster, many at a time over one connection a
 * master; the function library on every master; messages of a channel.
 *
 * Not for: what a call means. Which keys there are, and what their functions do, is coupon.lua's
 * and its callers'. Called by the Redis issuer, the worker, verify and rebuild.
 *
 * Single-threaded: a client belongs to the uv loop it was given, and every function here is
 * called, and calls back, in that loop's thread. No function calls back before it returns,
 * except that redis_client_close() answers calls that are under way. The process ignores
 * SIGPIPE.
 */
#ifndef COUPON_REDIS_H
#define COUPON_REDIS_H

#include "base/base.h"

#include <hiredis/hiredis.h> /* redisReply */
#include <uv.h>

struct redis_client;

/* ---- the client ---- */

/* Functions that every master must have, as one library (Redis 7: FUNCTION LOAD). */
struct redis_library {
    const char *text;             /* "#!lua name=…", terminated */
    const char *version_function; /* no-writes, no keys; answers its version: an integer, a
                                     decimal string, or an array that begins with one */
    uint64_t version;             /* what it answers for this text */
};

/* coupon.lua, as it was when this program was built. */
extern const struct redis_library redis_coupon_library;

/* Texts last until redis_client_new() returns, the library until the client is closed. */
struct redis_options {
    /* redis://[USER[:PASSWORD]@]HOST[:PORT][,HOST:PORT…][/DB][?cluster=1], with %XX in USER,
     * PASSWORD and HOST; ":PASSWORD@" for a password alone. Several hosts without cluster=1: a
     * master and its replicas; whichever says role:master is used. With it: seeds. */
    const char *url;
    int64_t connect_timeout_us; /* until a connection may be used; 0: 1 s */
    int64_t call_timeout_us;    /* of a call without a deadline, and how long a server
                                   that owes answers may say nothing; 0: 1 s */
    size_t calls_max;           /* calls at once, those answered late included; 0: 16,384 */
    uint64_t seed;              /* of the jitter; 0: taken from the clock */
    const struct redis_library *library; /* NULL: none */
    /* Changes only, for logs and readiness; SERVER is "host:port". Each may be NULL. */
    void (*connected)(void *context, const char *server);
    void (*lost)(void *context, const char *server, const char *why);
    void *context;
};

/* Connects in the background, for as long as it takes; calls wait until their deadline.
 * STATUS_INVALID: the URL; its complaint shows nothing of it but the name of an option.
 * STATUS_NO_MEMORY, STATUS_IO. */
int MUST_CHECK redis_client_new(uv_loop_t *loop, const struct redis_options *options,
                                struct redis_client **ret_client, struct complaint *complaint);

/* Ends it, from anywhere in the loop's thread, once. Calls under way are answered at once or,
 * where this is called by one of their callbacks, soon after: STATUS_STOPPED when never sent,
 * else STATUS_AMBIGUOUS. `done`, which may be NULL, is called by the loop when the client is no
 * more. */
void redis_client_close(struct redis_client *client, void (*done)(void *context), void *context);

/* Whether every master is known and connected: a call now would be sent at once. */
bool redis_client_ready(const struct redis_client *client);

/* ---- calls ---- */

/* Called once for a call that was taken.
 *   STATUS_OK         `reply` is the server's answer, to be read during the callback only. An error
 *                     answer too: reply->type is REDIS_REPLY_ERROR; what it asked was not done,
 *                     unless the function says otherwise.
 *   STATUS_IO         its deadline passed before any server did it: it has no effect, ever.
 *   STATUS_AMBIGUOUS  it was sent, and the answer did not come in time or the connection was
 *                     lost: it may have been done, or may yet be.
 *   STATUS_STOPPED    the client was closed before it was sent. */
typedef void redis_done(void *context, int status, const redisReply *reply);

/* Sends the command `words` to the master of the key's hash slot; an empty key: to any master.
 * The words are copied. `deadline_us` is a time of clock_monotonic_us(), 0: call_timeout_us from
 * now.
 *
 * What a server did not do, it said, is done again where and when it may work, until the deadline:
 * MOVED, ASK, TRYAGAIN, CLUSTERDOWN, LOADING, MASTERDOWN, BUSY, READONLY. A function that is not
 * there, with options.library: the library is loaded and the call sent once more. Calls reach a
 * server in the order in which they were made, but for those that had to wait or be repeated.
 * A call that is sent is never sent again without such an answer.
 *
 * STATUS_FULL calls_max are under way; STATUS_STOPPED it is being closed; STATUS_NO_MEMORY. Then
 * there is no callback. */
int MUST_CHECK redis_call(struct redis_client *client, struct slice key, const struct slice *words,
                          size_t word_count, int64_t deadline_us, redis_done *done, void *context);

/* What one master answered. */
struct redis_result {
    const char *server; /* "host:port" */
    int status;         /* as for redis_done */
    redisReply *reply;  /* with STATUS_OK */
};

/* STATUS_OK: every master was asked; the results say what each answered. Otherwise there are no
 * results: STATUS_IO, the masters were not known before the deadline; STATUS_STOPPED. Results and
 * replies are the client's and last during the callback. */
typedef void redis_masters_done(void *context, int status, const struct redis_result *results,
                                size_t count);

/* Sends a command to every master. A master that is not there is waited for until the deadline.
 * Errors as for redis_call(), but these calls are not counted: no STATUS_FULL. */
int MUST_CHECK redis_call_masters(struct redis_client *client, const struct slice *words,
                                  size_t word_count, int64_t deadline_us, redis_masters_done *done,
                                  void *context);

/* ---- the function library ---- */

/* STATUS_OK       every master has the library, of this version
 * STATUS_NEWER    and one has a newer version, which was left as it is
 * STATUS_INVALID  a master refused it; `why` says with which words
 * STATUS_IO, STATUS_AMBIGUOUS, STATUS_STOPPED as for redis_done; it may be tried again */
typedef void redis_library_done(void *context, int status, const char *why);

/* Puts options.library on every master that has no such library or an older one. Of two versions
 * that are loaded in the same moment either may win. STATUS_STOPPED, STATUS_NO_MEMORY. */
int MUST_CHECK redis_library_load(struct redis_client *client, int64_t deadline_us,
                                  redis_library_done *done, void *context);

/* ---- channels ---- */

struct redis_subscriber {
    void (*message)(void *context, struct slice payload);
    void (*subscribed)(void *context); /* from now on, also after a gap, in which messages may
                                          have been missed; may be NULL */
    void *context;
};

/* Listens to a channel over a connection of its own, made again whenever it is lost, until the
 * client is closed. STATUS_STOPPED, STATUS_NO_MEMORY. */
int MUST_CHECK redis_subscribe(struct redis_client *client, const char *channel,
                               const struct redis_subscriber *subscriber);

#endif
