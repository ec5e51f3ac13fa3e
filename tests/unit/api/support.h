/* What the api's tests share: the handler between an http and an issuer that are the test's.
 * Requests are parsed from text by the real parser; answers are kept and parsed as JSON;
 * jobs lie where the test can answer them. No sockets and no threads. */
#ifndef TEST_API_SUPPORT_H
#define TEST_API_SUPPORT_H

#include "../base/test.h"

#include "../base/random.h"
#include "api/call.h"

#include <jansson.h>

#define ADMIN_TOKEN "a-token-of-twenty-1."

/* ---- answers ---- */

/* Opaque to the api. What it replied to this exchange. */
struct http_exchange {
    struct call room; /* of the api's own */
    unsigned replies;
    int status;
    bool close;
    char content_type[64];
    char fields[512]; /* terminated */
    json_t *json;     /* the body; NULL when it is plain text */
    char *text;       /* the body when it is plain text; terminated */
};

void exchange_done(struct http_exchange *exchange);
/* Unless NULL, called before an answer is read, which allocates. */
extern void (*before_reading)(void);
/* A member of the answer's body; "" when it is absent or no text. */
const char *answer_text(const struct http_exchange *exchange, const char *name);
/* The value of a header line of the answer, in one static room; "" when it is absent. */
const char *answer_field(const struct http_exchange *exchange, const char *name);
/* The answer is a problem of this status and code, whole and well-formed. */
void assert_problem(const struct http_exchange *exchange, int status, const char *code);

/* Parses and checks that the bytes are one JSON object. The caller's to json_decref. */
json_t *parse_object(struct slice text);

/* ---- the world ---- */

struct world {
    struct issuer issuer; /* first; what is below answers for it */
    enum issuer_state state;
    int submit_status;
    struct job *jobs[8]; /* submitted and not answered */
    size_t job_count;
    struct issuer_figures figures;
    size_t quantities_max; /* issuer_quantities tells coupons 1 to this: support.c */
    bool has_coupon;
    struct coupon_record coupon; /* what issuer_coupon finds */
    struct api *api;
    struct http_handler handler;
    void *loop;
    unsigned wakes;
};

int world_setup(void **state); /* cmocka's */
int world_teardown(void **state);

/* One request: "GET /path", further field lines each ending in CRLF or "", the body or NULL.
 * Content-Length and Host are added. Ends the turn after it. */
void world_request(struct world *world, struct http_exchange *exchange, const char *line,
                   const char *fields, const char *body);
/* The same with the admin's token and JSON. */
void world_admin(struct world *world, struct http_exchange *exchange, const char *line,
                 const char *body);
/* The only job that waits. */
struct job *world_job(struct world *world);
/* Gives the waiting jobs back, as the issuer's thread does, and wakes the loop. */
void world_answer(struct world *world);

/* A head as the parser gives it; the text lasts as long as the test. */
struct http_head head_of(const char *text);

/* Where the time is now, roughly: a coupon that opens or ended in an hour. */
struct coupon_record coupon_example(int64_t start_after_us, int64_t end_after_us);

#endif
