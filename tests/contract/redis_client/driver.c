/* A client of Redis that does what lines on its input say, for the tests with real servers
 * (test_redis_*.py). The loop runs on while no line comes.
 *
 *   contract-redis-driver URL [call-ms=N] [calls-max=N] [coupon | version=N]
 *
 * In: TAG VERB ...   Out: TAG STATUS TEXT, when it is done, in whatever order; "# ..." tells of
 * events. Words have no spaces. */
#include "redis/redis.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define WORDS_MAX 16
#define WORD_SIZE 64

static uv_loop_t loop;
static uv_pipe_t input;
static struct redis_client *client;
static struct redis_options options = {.seed = 1};
static struct redis_library library = {.version_function = "test_version"};
static char library_text[1024];
static char line[1024];
static size_t line_size;

struct words {
    char text[WORDS_MAX][WORD_SIZE];
    struct slice list[WORDS_MAX];
    size_t count;
};

/* ---- what comes out ---- */

static void print_reply(const redisReply *reply) {
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        printf("%lld", reply->integer);
        break;
    case REDIS_REPLY_NIL:
        printf("nil");
        break;
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < reply->elements; i++) {
            printf(i > 0 ? "," : "");
            print_reply(reply->element[i]);
        }
        break;
    default:
        printf(reply->type == REDIS_REPLY_ERROR ? "error %s" : "%s", reply->str);
    }
}

struct one {
    char tag[WORD_SIZE];
    unsigned answers;
};

static struct one *one_new(const char *tag) {
    struct one *one = calloc(1, sizeof(*one));
    assert(one);
    snprintf(one->tag, sizeof(one->tag), "%s", tag);
    return one;
}

static void tell(const char *tag, int status, const char *text) {
    printf("%s %s %s\n", tag, status_name(status), text);
}

static void on_done(void *context, int status, const redisReply *reply) {
    struct one *one = context;
    assert((status == STATUS_OK) == (reply != NULL));
    printf("%s %s ", one->tag, status_name(status));
    if (reply) {
        print_reply(reply);
    }
    printf("\n");
    free(one);
}

static void on_connected(void *context, const char *server) {
    (void)context;
    printf("# connected %s\n", server);
}

static void on_lost(void *context, const char *server, const char *why) {
    (void)context;
    printf("# lost %s %s\n", server, why);
}

/* ---- verbs ---- */

static int64_t deadline_of(const char *milliseconds) {
    int64_t timeout_us = strtoll(milliseconds, NULL, 10) * 1000;
    return timeout_us != 0 ? clock_monotonic_us() + timeout_us : 0;
}

/* TAG call MILLISECONDS KEY WORD ... ("-": any master) */
static void do_call(struct words *words) {
    struct one *one = one_new(words->text[0]);
    struct slice key = slice_is(words->list[3], "-") ? slice_of("") : words->list[3];
    int status = redis_call(client, key, words->list + 4, words->count - 4,
                            deadline_of(words->text[2]), on_done, one);
    if (status < 0) {
        tell(words->text[0], status, "refused");
        free(one);
    }
}

struct many {
    char tag[WORD_SIZE];
    size_t wanted;
    size_t open;
    size_t refused;
    size_t errors;
    size_t counts[16]; /* by -status */
    size_t twice;
    bool in_order;
    long long last;
    struct many_one {
        struct many *many;
        size_t answers;
    } * ones;
};

static void many_end(struct many *many) {
    for (size_t i = 0; i < many->wanted; i++) {
        many->twice += many->ones[i].answers > 1 ? 1 : 0;
    }
    printf("%s ok ok=%zu error=%zu io=%zu ambiguous=%zu stopped=%zu refused=%zu twice=%zu "
           "in-order=%d\n",
           many->tag, many->counts[0], many->errors, many->counts[-STATUS_IO],
           many->counts[-STATUS_AMBIGUOUS], many->counts[-STATUS_STOPPED], many->refused,
           many->twice, many->in_order);
    free(many->ones);
    free(many);
}

static void on_many(void *context, int status, const redisReply *reply) {
    struct many_one *one = context;
    struct many *many = one->many;
    one->answers++;
    if (reply && reply->type == REDIS_REPLY_ERROR) {
        many->errors++;
    } else {
        many->counts[-status]++;
    }
    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        many->in_order = many->in_order && reply->integer > many->last;
        many->last = reply->integer;
    }
    if (--many->open == 0) {
        many_end(many);
    }
}

/* TAG many MILLISECONDS COUNT KEYS: as many INCRs, spread over as many keys. */
static void do_many(struct words *words) {
    struct many *many = calloc(1, sizeof(*many));
    size_t keys = (size_t)strtoull(words->text[4], NULL, 10);
    int64_t deadline_us = deadline_of(words->text[2]);
    assert(many && keys > 0);
    memcpy(many->tag, words->text[0], sizeof(many->tag));
    many->wanted = (size_t)strtoull(words->text[3], NULL, 10);
    many->in_order = true;
    many->ones = calloc(many->wanted, sizeof(*many->ones));
    many->open = 1;
    for (size_t i = 0; i < many->wanted; i++) {
        char key[32];
        snprintf(key, sizeof(key), "many:{%zu}", i % keys);
        const struct slice list[] = {slice_of("INCR"), slice_of(key)};
        many->ones[i].many = many;
        int status = redis_call(client, list[1], list, 2, deadline_us, on_many, &many->ones[i]);
        many->open += status == STATUS_OK ? 1 : 0;
        many->refused += status == STATUS_OK ? 0 : 1;
    }
    if (--many->open == 0) {
        many_end(many);
    }
}

static void on_masters(void *context, int status, const struct redis_result *results,
                       size_t count) {
    struct one *one = context;
    printf("%s %s %zu", one->tag, status_name(status), count);
    for (size_t i = 0; i < count; i++) {
        printf(" %s=%s:", results[i].server, status_name(results[i].status));
        if (results[i].reply) {
            print_reply(results[i].reply);
        }
    }
    printf("\n");
    free(one);
}

/* TAG masters MILLISECONDS WORD ... */
static void do_masters(struct words *words) {
    struct one *one = one_new(words->text[0]);
    int status = redis_call_masters(client, words->list + 3, words->count - 3,
                                    deadline_of(words->text[2]), on_masters, one);
    if (status < 0) {
        tell(words->text[0], status, "refused");
        free(one);
    }
}

static void on_loaded(void *context, int status, const char *why) {
    struct one *one = context;
    tell(one->tag, status, why);
    free(one);
}

/* TAG load MILLISECONDS */
static void do_load(struct words *words) {
    struct one *one = one_new(words->text[0]);
    int status = redis_library_load(client, deadline_of(words->text[2]), on_loaded, one);
    if (status < 0) {
        tell(words->text[0], status, "refused");
        free(one);
    }
}

static void on_message(void *context, struct slice payload) {
    (void)context;
    printf("# message %.*s\n", (int)payload.size, payload.bytes);
}

static void on_subscribed(void *context) {
    (void)context;
    printf("# subscribed\n");
}

/* TAG subscribe CHANNEL */
static void do_subscribe(struct words *words) {
    struct redis_subscriber subscriber = {.message = on_message, .subscribed = on_subscribed};
    tell(words->text[0], redis_subscribe(client, words->text[2], &subscriber), "");
}

static void do_ready(struct words *words) {
    tell(words->text[0], STATUS_OK, redis_client_ready(client) ? "yes" : "no");
}

static void on_closed(void *context) {
    struct one *one = context;
    client = NULL;
    tell(one->tag, STATUS_OK, "closed");
    free(one);
}

static void do_close(struct words *words) {
    redis_client_close(client, on_closed, one_new(words->text[0]));
}

static void on_done_closing(void *context, int status, const redisReply *reply) {
    on_done(context, status, reply);
    redis_client_close(client, on_closed, one_new("#"));
}

/* TAG close-within: closes in the callback of a call; the end is an event. */
static void do_close_within(struct words *words) {
    const struct slice list[] = {slice_of("PING")};
    int status =
        redis_call(client, slice_of(""), list, 1, 0, on_done_closing, one_new(words->text[0]));
    assert(status == STATUS_OK);
}

static void do_open(struct words *words) {
    struct complaint complaint = {.text = ""};
    tell(words->text[0], redis_client_new(&loop, &options, &client, &complaint), complaint.text);
}

static const struct {
    const char *verb;
    void (*run)(struct words *words);
    size_t words_min;
} verbs[] = {
    {"call", do_call, 5},       {"many", do_many, 5},
    {"masters", do_masters, 4}, {"load", do_load, 3},
    {"ready", do_ready, 2},     {"subscribe", do_subscribe, 3},
    {"close", do_close, 2},     {"close-within", do_close_within, 2},
    {"open", do_open, 2},
};

/* ---- what comes in ---- */

static void run_line(char *text) {
    struct words words = {.count = 0};
    char *rest = text, *word;
    while (words.count < WORDS_MAX && (word = strsep(&rest, " "))) {
        snprintf(words.text[words.count], WORD_SIZE, "%s", word);
        words.list[words.count] = slice_of(words.text[words.count]);
        words.count++;
    }
    for (size_t i = 0; words.count > 1 && i < COUNT_OF(verbs); i++) {
        if (slice_is(words.list[1], verbs[i].verb) && words.count >= verbs[i].words_min) {
            verbs[i].run(&words);
            return;
        }
    }
    tell(words.text[0], STATUS_INVALID, "no such command");
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_room) {
    (void)handle;
    (void)suggested;
    *ret_room = uv_buf_init(line + line_size, (unsigned)(sizeof(line) - line_size - 1));
}

static void on_input(uv_stream_t *stream, ssize_t size, const uv_buf_t *room) {
    (void)room;
    if (size < 0) {
        uv_close((uv_handle_t *)stream, NULL);
        if (client) {
            redis_client_close(client, NULL, NULL);
        }
        return;
    }
    line_size += (size_t)size;
    char *end;
    while ((end = memchr(line, '\n', line_size))) {
        size_t used = (size_t)(end - line) + 1;
        *end = '\0';
        char copy[sizeof(line)];
        memcpy(copy, line, used);
        memmove(line, line + used, line_size - used);
        line_size -= used;
        run_line(copy);
    }
}

static void option_read(const char *word) {
    if (strncmp(word, "call-ms=", 8) == 0) {
        options.call_timeout_us = strtoll(word + 8, NULL, 10) * 1000;
    } else if (strncmp(word, "calls-max=", 10) == 0) {
        options.calls_max = strtoull(word + 10, NULL, 10);
    } else if (strcmp(word, "coupon") == 0) {
        options.library = &redis_coupon_library;
    } else if (strncmp(word, "version=", 8) == 0) {
        library.version = strtoull(word + 8, NULL, 10);
        library.text = library_text;
        options.library = &library;
        snprintf(library_text, sizeof(library_text),
                 "#!lua name=test\n"
                 "redis.register_function{function_name='test_version', flags={'no-writes'},"
                 " callback=function() return '%" PRIu64 "' end}\n"
                 "redis.register_function('test_add', function(keys, args)"
                 " return redis.call('INCRBY', keys[1], args[1]) end)\n",
                 library.version);
    }
}

int main(int count, char **words) {
    if (count < 2) {
        fprintf(stderr,
                "contract-redis-driver URL [call-ms=N] [calls-max=N] [coupon | version=N]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    options.url = words[1];
    options.connected = on_connected;
    options.lost = on_lost;
    for (int i = 2; i < count; i++) {
        option_read(words[i]);
    }
    int failed = uv_loop_init(&loop);
    failed = failed ? failed : uv_pipe_init(&loop, &input, 0);
    failed = failed ? failed : uv_pipe_open(&input, 0);
    failed = failed ? failed : uv_read_start((uv_stream_t *)&input, on_room, on_input);
    assert(failed == 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) == 0 ? 0 : 1;
}
