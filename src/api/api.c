/* The handler: loops' beginnings and ends, calls in, jobs back. See api.h.
 *
 * A job that the issuer is done with goes through the loop's inbox: the writer's thread puts
 * it there and wakes the loop, the loop takes all of them at once. */
#include "api/call.h"

#include <sodium.h>
#include <stdlib.h>

int api_new(const struct api_options *options, struct api **ret_api, struct complaint *complaint) {
    struct credentials *credentials = NULL;
    json_watch_memory();
    int status = credentials_new(&options->rules, &options->secrets, &credentials, complaint);
    if (status) {
        return status;
    }
    struct api *api = calloc(1, sizeof(*api));
    struct api_loop *loops = calloc(options->loop_count, sizeof(*loops));
    if (!api || !loops || pthread_mutex_init(&api->lock, NULL)) {
        free(api);
        free(loops);
        credentials_release(credentials);
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory to start");
    }
    api->issuer = options->issuer;
    api->rules = options->rules;
    api->credentials = credentials;
    atomic_init(&api->credentials_turn, 1);
    api->loop_count = options->loop_count;
    api->loops = loops;
    api->started_us = clock_realtime(NULL);
    for (unsigned i = 0; i < options->loop_count; i++) {
        loop_figures_init(&loops[i].figures);
    }
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
    credentials_release(api->credentials);
    pthread_mutex_destroy(&api->lock);
    free(api->loops);
    free(api);
}

/* ---- the credentials in force ---- */

int api_secrets_replace(struct api *api, const struct api_secrets *secrets,
                        struct complaint *complaint) {
    struct credentials *credentials = NULL;
    int status = credentials_new(&api->rules, secrets, &credentials, complaint);
    if (status) {
        return status;
    }
    pthread_mutex_lock(&api->lock);
    struct credentials *former = api->credentials;
    api->credentials = credentials;
    atomic_fetch_add(&api->credentials_turn, 1);
    credentials_release(former);
    pthread_mutex_unlock(&api->lock);
    return STATUS_OK;
}

/* A loop takes the lock only after a change. */
const struct credentials *loop_credentials(struct api_loop *loop) {
    struct api *api = loop->api;
    if (atomic_load(&api->credentials_turn) != loop->credentials_turn) {
        pthread_mutex_lock(&api->lock);
        credentials_release(loop->credentials);
        loop->credentials = credentials_hold(api->credentials);
        loop->credentials_turn = atomic_load(&api->credentials_turn);
        pthread_mutex_unlock(&api->lock);
    }
    return loop->credentials;
}

void api_server_started(struct api *api, const struct http_server *server) {
    atomic_store(&api->server, server);
}

/* ---- the inbox ---- */

void inbox_put(struct job *job) {
    struct api_loop *loop = ((struct parcel *)job->context)->loop;
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
    pthread_mutex_lock(&loop->api->lock);
    credentials_release(loop->credentials);
    loop->credentials = NULL;
    pthread_mutex_unlock(&loop->api->lock);
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
        ((struct parcel *)job->context)->answer(job);
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
