/* See support.h. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- http, as far as the api sees it; the linker puts these in front (meson.build) ---- */

void __wrap_http_reply(struct http_exchange *exchange, const struct http_response *response);
void *__wrap_http_exchange_room(struct http_exchange *exchange);
void __wrap_http_loop_wake(struct http_loop *loop);

void (*before_reading)(void);

void __wrap_http_reply(struct http_exchange *exchange, const struct http_response *response) {
    if (before_reading) {
        before_reading();
    }
    assert_int_equal(++exchange->replies, 1);
    assert_in_range(response->fields.size, 0, sizeof(exchange->fields) - 1);
    exchange->status = response->status;
    exchange->close = response->close;
    snprintf(exchange->content_type, sizeof(exchange->content_type), "%s", response->content_type);
    snprintf(exchange->fields, sizeof(exchange->fields), "%.*s", (int)response->fields.size,
             response->fields.size ? response->fields.bytes : "");
    if (strncmp(exchange->content_type, "text/plain", 10) == 0) {
        exchange->text = strndup(response->body.bytes, response->body.size);
        return;
    }
    json_error_t error;
    exchange->json = json_loadb(response->body.bytes, response->body.size,
                                JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (!exchange->json) {
        fail_msg("%s in %.*s", error.text, (int)response->body.size, response->body.bytes);
    }
}

void *__wrap_http_exchange_room(struct http_exchange *exchange) {
    return &exchange->room;
}

/* The loop is the test's world. */
void __wrap_http_loop_wake(struct http_loop *loop) {
    ((struct world *)loop)->wakes++;
}

void exchange_done(struct http_exchange *exchange) {
    json_decref(exchange->json);
    free(exchange->text);
    *exchange = (struct http_exchange){0};
}

const char *answer_text(const struct http_exchange *exchange, const char *name) {
    const char *text = json_string_value(json_object_get(exchange->json, name));
    return text ? text : "";
}

const char *answer_field(const struct http_exchange *exchange, const char *name) {
    static char value[256];
    size_t size = strlen(name);
    for (const char *line = exchange->fields; *line;) {
        const char *end = strstr(line, "\r\n");
        assert_non_null(end);
        if (strncmp(line, name, size) == 0 && strncmp(line + size, ": ", 2) == 0) {
            snprintf(value, sizeof(value), "%.*s", (int)(end - line - (long)size - 2),
                     line + size + 2);
            return value;
        }
        line = end + 2;
    }
    return "";
}

json_t *parse_object(struct slice text) {
    json_error_t error;
    json_t *object = json_loadb(text.bytes, text.size, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(object)) {
        fail_msg("%s in %.*s", error.text, (int)text.size, text.bytes);
    }
    return object;
}

void assert_problem(const struct http_exchange *exchange, int status, const char *code) {
    assert_int_equal(exchange->replies, 1);
    if (exchange->status != status || strcmp(answer_text(exchange, "code"), code) != 0) {
        fail_msg("%d %s, not %d %s", exchange->status, answer_text(exchange, "code"), status, code);
    }
    assert_string_equal(exchange->content_type, "application/problem+json");
    assert_string_equal(answer_text(exchange, "type"), "about:blank");
    assert_int_equal(json_integer_value(json_object_get(exchange->json, "status")), status);
    assert_true(answer_text(exchange, "title")[0] != '\0');
    assert_true(answer_text(exchange, "detail")[0] != '\0');
    assert_int_equal(strlen(answer_text(exchange, "requestId")), 16);
    if (status == 503) {
        assert_in_range(strtol(answer_field(exchange, "Retry-After"), NULL, 10), 1, 5);
    }
}

/* ---- the issuer, as far as the api sees it ---- */

static struct world *world_of(const struct issuer *issuer) {
    return (struct world *)issuer;
}

static int fake_submit(struct issuer *issuer, struct job *job) {
    struct world *world = world_of(issuer);
    if (world->submit_status == STATUS_OK) {
        assert_in_range(world->job_count, 0, COUNT_OF(world->jobs) - 1);
        world->jobs[world->job_count++] = job;
    }
    return world->submit_status;
}

/* Not the real digest: the user's size and first character tell users apart enough. */
static struct digest fake_digest(const struct issuer *issuer, struct slice user_id) {
    (void)issuer;
    return (struct digest){.low = user_id.size, .high = (unsigned char)user_id.bytes[0]};
}

static enum issuer_state fake_state(const struct issuer *issuer) {
    return world_of(issuer)->state;
}

static int fake_coupon(const struct issuer *issuer, uint64_t coupon_id,
                       struct coupon_record *ret_coupon) {
    const struct world *world = world_of(issuer);
    if (!world->has_coupon || world->coupon.id != coupon_id) {
        return STATUS_NOT_FOUND;
    }
    *ret_coupon = world->coupon;
    return STATUS_OK;
}

static struct issuer_figures fake_figures(const struct issuer *issuer) {
    return world_of(issuer)->figures;
}

/* Coupon n has n + 1, of which n are issued; every third is unlimited. */
static size_t fake_quantities(const struct issuer *issuer, uint64_t after_id, size_t limit,
                              struct coupon_quantities *ret_quantities) {
    size_t count = 0;
    uint64_t last_id = world_of(issuer)->quantities_max;
    for (uint64_t id = after_id + 1; id <= last_id && count < limit; id++) {
        ret_quantities[count++] = (struct coupon_quantities){
            .coupon_id = id,
            .total_quantity = id % 3 == 0 ? COUPON_UNLIMITED : (int64_t)id + 1,
            .issued_quantity = (uint32_t)id,
        };
    }
    return count;
}

static const struct issuer_operations fake_operations = {
    .submit = fake_submit,
    .user_digest = fake_digest,
    .state = fake_state,
    .coupon = fake_coupon,
    .quantities = fake_quantities,
    .figures = fake_figures,
};

/* ---- the world ---- */

int world_setup(void **state) {
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->issuer.operations = &fake_operations;
    world->state = ISSUER_READY;
    struct api_options options = {
        .issuer = &world->issuer,
        .secrets.admin_tokens = {slice_of(ADMIN_TOKEN), "the tokens"},
        .loop_count = 1,
    };
    assert_int_equal(api_new(&options, &world->api, NULL), STATUS_OK);
    world->handler = api_handler(world->api);
    assert_int_equal(world->handler.exchange_size, sizeof(struct call));
    assert_int_equal(
        world->handler.loop_start(world->handler.context, (struct http_loop *)world, &world->loop),
        STATUS_OK);
    *state = world;
    return 0;
}

int world_teardown(void **state) {
    struct world *world = *state;
    world->handler.loop_stop(world->loop);
    api_free(world->api);
    free(world);
    return 0;
}

struct http_head head_of(const char *text) {
    struct http_head head;
    const char *why = "";
    if (http_parse_head(slice_of(text), &head, &why) != HTTP_PARSE_DONE) {
        fail_msg("%s: %s", why, text);
    }
    return head;
}

void world_request(struct world *world, struct http_exchange *exchange, const char *line,
                   const char *fields, const char *body) {
    static char text[HTTP_HEAD_MAX];
    size_t body_size = body ? strlen(body) : 0;
    snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n%s\r\n", line,
             body_size, fields);
    struct http_head head = head_of(text);
    *exchange = (struct http_exchange){0};
    int64_t body_max = world->handler.head(world->loop, exchange, &head);
    assert_int_equal(body_max<0, exchange->replies> 0);
    if (body_max >= 0) {
        assert_true(body_size <= (size_t)body_max);
        world->handler.request(world->loop, exchange, &head, (struct slice){body, body_size});
    }
    world->handler.turn_end(world->loop);
}

void world_admin(struct world *world, struct http_exchange *exchange, const char *line,
                 const char *body) {
    world_request(world, exchange, line,
                  "Authorization: Bearer " ADMIN_TOKEN "\r\nContent-Type: application/json\r\n",
                  body);
}

struct job *world_job(struct world *world) {
    assert_int_equal(world->job_count, 1);
    return world->jobs[0];
}

void world_answer(struct world *world) {
    unsigned wakes = world->wakes;
    size_t count = world->job_count;
    world->job_count = 0;
    for (size_t i = 0; i < count; i++) {
        world->jobs[i]->done(world->jobs[i]);
    }
    assert_int_equal(world->wakes, wakes + count);
    world->handler.woken(world->loop);
}

struct coupon_record coupon_example(int64_t start_after_us, int64_t end_after_us) {
    int64_t now_us = clock_realtime(NULL);
    return (struct coupon_record){
        .id = 7,
        .title = "A coupon",
        .total_quantity = 500,
        .issued_quantity = 12,
        .discount_amount = 1000,
        .min_available_amount = 10000,
        .issue_start_us = now_us + start_after_us,
        .issue_end_us = now_us + end_after_us,
        .version = 3,
        .created_us = 1,
        .updated_us = 2,
    };
}
