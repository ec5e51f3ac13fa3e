#include "scripted.h"

#include "redis/redis.h"

#include <pthread.h>
#include <stdlib.h>

#define SCRIPTS_MAX 16

struct script {
    const char *function;
    enum scripted_how how;
    const char *text;
    unsigned times;
    void (*before)(void *context);
    void *context;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct script scripts[SCRIPTS_MAX];
static size_t script_count;

static void add(const struct script *script) {
    pthread_mutex_lock(&lock);
    assert(script_count < SCRIPTS_MAX);
    scripts[script_count++] = *script;
    pthread_mutex_unlock(&lock);
}

void scripted(const char *function, enum scripted_how how, const char *text, unsigned times) {
    add(&(struct script){.function = function, .how = how, .text = text, .times = times});
}

void scripted_before(const char *function, void (*before)(void *context), void *context) {
    add(&(struct script){.function = function, .times = 1, .before = before, .context = context});
}

unsigned scripted_left(void) {
    unsigned left = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < script_count; i++) {
        left += scripts[i].times;
    }
    pthread_mutex_unlock(&lock);
    return left;
}

bool scripted_is_met(void) {
    return scripted_left() == 0;
}

bool scripted_end(void) {
    bool met = scripted_is_met();
    pthread_mutex_lock(&lock);
    script_count = 0;
    pthread_mutex_unlock(&lock);
    return met;
}

/* What is said of this call, if anything is. */
static bool take(struct slice function, struct script *ret_script) {
    bool found = false;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < script_count && !found; i++) {
        found = scripts[i].times > 0 && slice_is(function, scripts[i].function);
        if (found) {
            scripts[i].times--;
            *ret_script = scripts[i];
        }
    }
    pthread_mutex_unlock(&lock);
    return found;
}

/* ---- the call ---- */

struct call {
    redis_done *done;
    void *context;
    struct script script;
};

static redisReply *reply_of(const char *text) {
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    assert(reader);
    for (; *text; text++) {
        redisReaderFeed(reader, *text == '|' ? "\r\n" : text, *text == '|' ? 2 : 1);
    }
    int status = redisReaderGetReply(reader, &reply);
    assert(status == REDIS_OK && reply);
    redisReaderFree(reader);
    return reply;
}

static void call_done(void *context, int status, const redisReply *reply) {
    struct call *call = context;
    redisReply *said = NULL;
    if (call->script.how == SCRIPTED_NOT_DONE || call->script.how == SCRIPTED_LOST) {
        status = call->script.how == SCRIPTED_LOST ? STATUS_AMBIGUOUS : STATUS_IO;
        reply = NULL;
    } else if (status == STATUS_OK) {
        reply = said = reply_of(call->script.text);
    }
    call->done(call->context, status, reply);
    freeReplyObject(said);
    free(call);
}

static void none_done(void *context, int status, const redisReply *reply) {
    (void)context;
    (void)status;
    (void)reply;
}

int __real_redis_call(struct redis_client *client, struct slice key, const struct slice *words,
                      size_t word_count, int64_t deadline_us, redis_done *done, void *context);
int __wrap_redis_call(struct redis_client *client, struct slice key, const struct slice *words,
                      size_t word_count, int64_t deadline_us, redis_done *done, void *context);

static int call_scripted(struct redis_client *client, struct slice key, const struct slice *words,
                         size_t word_count, const struct call *script) {
    const struct slice instead[] = {slice_of("ECHO"), slice_of("")};
    enum scripted_how how = script->script.how;
    bool does = how == SCRIPTED_DOES || how == SCRIPTED_LOST;
    struct call *call = malloc(sizeof(*call));
    assert(call);
    *call = *script;
    int status = __real_redis_call(client, key, does ? words : instead,
                                   does ? word_count : COUNT_OF(instead), 0, call_done, call);
    if (status) {
        free(call);
    }
    return status;
}

int __wrap_redis_call(struct redis_client *client, struct slice key, const struct slice *words,
                      size_t word_count, int64_t deadline_us, redis_done *done, void *context) {
    struct call call = {.done = done, .context = context};
    if (!take(words[slice_is(words[0], "FCALL") ? 1 : 0], &call.script)) {
        return __real_redis_call(client, key, words, word_count, deadline_us, done, context);
    }
    if (call.script.before) {
        call.script.before(call.script.context);
        return __real_redis_call(client, key, words, word_count, deadline_us, done, context);
    }
    if (call.script.how == SCRIPTED_NOT_TAKEN) {
        return STATUS_FULL;
    }
    if (call.script.how != SCRIPTED_LATE) {
        return call_scripted(client, key, words, word_count, &call);
    }
    /* nobody ever pushes to it: what comes behind over the same connection waits so long */
    const struct slice pause[] = {slice_of("BLPOP"), slice_of("nobody"),
                                  slice_of(call.script.text)};
    int status = __real_redis_call(client, key, pause, COUNT_OF(pause), 0, none_done, NULL);
    return status ? status
                  : __real_redis_call(client, key, words, word_count, deadline_us, done, context);
}
