/* The handler: loops' beginnings and ends, calls in, jobs back. See api.h.
 *
 * A job that the issuer is done with goes through the loop's inbox: the writer's thread puts
 * it there and wakes the loop, the loop takes all of them at once. */
#include "api/call.h"

#include <sodium.h>
#include <stdlib.h>

int api_new(const struct api_options *options, struct api **ret_api, struct complaint *complaint) {
    struct slice token = slice_of(options->admin_token);
    if (token.size < ADMIN_TOKEN_MIN || token.size > ADMIN_TOKEN_MAX) {
        return complain(complaint, STATUS_INVALID, "the admin token must have %d to %d characters",
                        ADMIN_TOKEN_MIN, ADMIN_TOKEN_MAX);
    }
    for (size_t i = 0; i < token.size; i++) {
        if (token.bytes[i] < 0x21 || token.bytes[i] > 0x7e) {
            return complain(complaint, STATUS_INVALID,
                            "the admin token may only have visible ASCII characters");
        }
    }
    struct api *api = calloc(1, sizeof(*api));
    struct api_loop *loops = calloc(options->loop_count, sizeof(*loops));
    if (!api || !loops || pthread_mutex_init(&api->lock, NULL)) {
        free(api);
        free(loops);
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory to start");
    }
    api->issuer = options->issuer;
    api->claim_auth = options->claim_auth;
    api->loop_count = options->loop_count;
    api->loops = loops;
    crypto_generichash(api->token_digest, sizeof(api->token_digest),
                       (const unsigned char *)token.bytes, token.size, NULL, 0);
    *ret_api = api;
    return STATUS_OK;
}

void api_free(struct api *api) {
    if (!api) {
        return;
    }
    for (unsigned i = 0; i < api->loops_started; i++) {
        assert(!api->loops[i].inbox.first);
        pthread_mutex_destroy(&api->loops[i].inbox_lock);
    }
    pthread_mutex_destroy(&api->lock);
    free(api->loops);
    free(api);
}

/* ---- the inbox ---- */

void inbox_put(struct job *job) {
    struct api_loop *loop = job->context;
    pthread_mutex_lock(&loop->inbox_lock);
    job_list_push(&loop->inbox, job);
    if (!loop->stopped) {
        http_loop_wake(loop->http_loop);
    }
    pthread_mutex_unlock(&loop->inbox_lock);
}

static struct job_list inbox_take(struct api_loop *loop) {
    pthread_mutex_lock(&loop->inbox_lock);
    struct job_list jobs = loop->inbox;
    loop->inbox = (struct job_list){0};
    pthread_mutex_unlock(&loop->inbox_lock);
    return jobs;
}

/* ---- the handler's calls ---- */

static int loop_start(void *context, struct http_loop *http_loop, void **ret_loop_context) {
    struct api *api = context;
    pthread_mutex_lock(&api->lock);
    assert(api->loops_started < api->loop_count);
    struct api_loop *loop = &api->loops[api->loops_started];
    int failed = pthread_mutex_init(&loop->inbox_lock, NULL);
    api->loops_started += failed ? 0 : 1;
    pthread_mutex_unlock(&api->lock);
    if (failed) {
        return STATUS_NO_MEMORY;
    }
    loop->api = api;
    loop->http_loop = http_loop;
    randombytes_buf(&loop->request_seed, sizeof(loop->request_seed));
    *ret_loop_context = loop;
    return STATUS_OK;
}

static void loop_stop(void *loop_context) {
    struct api_loop *loop = loop_context;
    pthread_mutex_lock(&loop->inbox_lock);
    loop->stopped = true;
    pthread_mutex_unlock(&loop->inbox_lock);
    claims_free(loop);
    buffer_done(&loop->body);
    buffer_done(&loop->fields);
}

static struct call *call_of(struct api_loop *loop, struct http_exchange *exchange) {
    struct call *call = http_exchange_room(exchange);
    call->loop = loop;
    call->exchange = exchange;
    return call;
}

static int64_t on_head(void *loop_context, struct http_exchange *exchange,
                       const struct http_head *head) {
    return route_head(call_of(loop_context, exchange), head);
}

static void on_request(void *loop_context, struct http_exchange *exchange,
                       const struct http_head *head, struct slice body) {
    struct call *call = call_of(loop_context, exchange);
    call->route->handle(call, head, body);
}

static void on_refused(void *loop_context, struct http_exchange *exchange,
                       enum http_refusal refusal, const char *why) {
    static const enum problem problems[] = {
        [HTTP_REFUSED_MALFORMED] = PROBLEM_MALFORMED_HTTP,
        [HTTP_REFUSED_TIMEOUT] = PROBLEM_REQUEST_TIMEOUT,
        [HTTP_REFUSED_BODY_TOO_LARGE] = PROBLEM_BODY_TOO_LARGE,
        [HTTP_REFUSED_EXPECTATION] = PROBLEM_EXPECTATION_FAILED,
        [HTTP_REFUSED_HEAD_TOO_LARGE] = PROBLEM_HEAD_TOO_LARGE,
        [HTTP_REFUSED_CROWDED] = PROBLEM_OVERLOADED,
    };
    problem_reply(call_of(loop_context, exchange), problems[refusal], why);
}

static void on_turn_end(void *loop_context) {
    claims_send(loop_context);
}

static void on_woken(void *loop_context) {
    struct job_list jobs = inbox_take(loop_context);
    struct job *job;
    while ((job = job_list_pop(&jobs)) != NULL) {
        if (job->kind == JOB_CLAIMS) {
            claims_answer(loop_context, job);
        } else {
            command_answer(job);
        }
    }
}

struct http_handler api_handler(struct api *api) {
    return (struct http_handler){
        .context = api,
        .exchange_size = sizeof(struct call),
        .loop_start = loop_start,
        .loop_stop = loop_stop,
        .head = on_head,
        .request = on_request,
        .refused = on_refused,
        .turn_end = on_turn_end,
        .woken = on_woken,
    };
}

/* ---- health ---- */

void handle_health(struct call *call, const struct http_head *head, struct slice body) {
    (void)head;
    (void)body;
    reply_fields(call);
    buffer_text(reply_body(call), "{\"status\":\"ok\"}");
    reply_json(call, 200);
}

void handle_ready(struct call *call, const struct http_head *head, struct slice body) {
    (void)head;
    (void)body;
    switch (issuer_state(call->loop->api->issuer)) {
    case ISSUER_READY:
        reply_fields(call);
        buffer_text(reply_body(call), "{\"status\":\"ready\"}");
        reply_json(call, 200);
        return;
    case ISSUER_STARTING:
        problem_reply(call, PROBLEM_STARTING, "The server is reading its record.");
        return;
    case ISSUER_UNWRITABLE:
        problem_reply_status(call, STATUS_IO);
        return;
    case ISSUER_BROKEN:
        problem_reply(call, PROBLEM_OUTCOME_UNKNOWN, "The server must be started anew.");
        return;
    case ISSUER_STOPPING:
        problem_reply_status(call, STATUS_STOPPED);
        return;
    }
    assert(false && "a state");
}
