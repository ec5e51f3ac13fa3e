/* What hiredis makes of a server's bytes, bounded and expected. For connection.c.
 *
 * hiredis 0.14 makes room for as many elements as an array's head announces before one of them
 * has come: "*2147483647" costs 16 GiB. Strings need no bound of their own: room for one is made
 * when all of its bytes are there. And it ends the process by an assert when a server answers
 * what nobody asked, or sends something that is no message over a connection that listens. So the
 * functions by which it makes replies are replaced here by some that look first; what they refuse
 * it takes for want of memory, and ends the connection. */
#include "redis/internal.h"

#define MESSAGE_WORDS 3 /* kind, channel, payload or count */

static void *refuse(const redisReadTask *task, const char *why) {
    struct redis_reading *reading = task->privdata;
    reading->refusal = why;
    return NULL;
}

/* No question is open: hiredis' list of them has its callback until a reply is whole. */
static bool is_unasked(const redisReadTask *task) {
    const struct redis_reading *reading = task->privdata;
    return reading->context != NULL && reading->context->replies.head == NULL;
}

/* An error that nobody asked for is the server's farewell, which hiredis understands. */
static bool may_begin(const redisReadTask *task, int elements) {
    const struct redis_reading *reading = task->privdata;
    bool listens = (reading->context->c.flags & REDIS_SUBSCRIBED) != 0;
    return task->type == REDIS_REPLY_ERROR || (listens && elements == MESSAGE_WORDS);
}

/* `text`: of a string; NULL bytes for what is none. Nobody ever unsubscribes here. */
static bool may_be_in_message(const redisReadTask *task, struct slice text) {
    bool outermost = task->parent->parent == NULL;
    if (!outermost || task->idx > 1) {
        return true;
    }
    return task->idx == 1 ? text.bytes != NULL
                          : slice_is(text, "message") || slice_is(text, "subscribe");
}

static bool is_expected(const redisReadTask *task, int elements, struct slice text) {
    if (!is_unasked(task)) {
        return true;
    }
    return task->parent == NULL ? may_begin(task, elements) : may_be_in_message(task, text);
}

static const char unexpected[] = "it said what it was not asked for";
#define ORIGINAL(task) (((const struct redis_reading *)(task)->privdata)->original)

static void *create_string(const redisReadTask *task, char *bytes, size_t size) {
    struct slice text = {NULL, 0};
    if (task->type == REDIS_REPLY_STRING) {
        text = (struct slice){bytes, size};
    }
    return is_expected(task, 0, text) ? ORIGINAL(task)->createString(task, bytes, size)
                                      : refuse(task, unexpected);
}

static void *create_array(const redisReadTask *task, int elements) {
    if (elements > REPLY_ELEMENTS_MAX) {
        return refuse(task, "its answer has more elements than any that is asked for");
    }
    return is_expected(task, elements, (struct slice){NULL, 0})
               ? ORIGINAL(task)->createArray(task, elements)
               : refuse(task, unexpected);
}

static void *create_integer(const redisReadTask *task, long long value) {
    return is_expected(task, 0, (struct slice){NULL, 0})
               ? ORIGINAL(task)->createInteger(task, value)
               : refuse(task, unexpected);
}

static void *create_nil(const redisReadTask *task) {
    return is_expected(task, 0, (struct slice){NULL, 0}) ? ORIGINAL(task)->createNil(task)
                                                         : refuse(task, unexpected);
}

void redis_reading_init(struct redis_reading *ret_reading, redisReader *reader,
                        const redisAsyncContext *context) {
    *ret_reading = (struct redis_reading){
        .functions = {.createString = create_string,
                      .createArray = create_array,
                      .createInteger = create_integer,
                      .createNil = create_nil,
                      .freeObject = reader->fn->freeObject},
        .original = reader->fn,
        .context = context,
    };
    reader->fn = &ret_reading->functions;
    reader->privdata = ret_reading;
}
