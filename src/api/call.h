/* call: one request on its way through the api, and its loop: what the files of this folder
 * share. Not for anyone else: outside there is only api.h. */
#ifndef COUPON_API_CALL_H
#define COUPON_API_CALL_H

#include "api/api.h"
#include "api/credential.h"
#include "api/figures.h"

#include <pthread.h>
#include <stdatomic.h>

struct api {
    struct issuer *issuer;
    struct api_rules rules;
    struct credentials *credentials; /* guarded by lock, as are all references to it */
    atomic_uint credentials_turn;    /* raised with each new set; loops look at this alone */
    unsigned loop_count;
    unsigned loops_started; /* guarded by lock */
    pthread_mutex_t lock;
    struct api_loop *loops;
    int64_t started_us;
    _Atomic(const struct http_server *) server; /* for its figures; NULL before it is known */
};

struct call;
struct route;
struct flight;
struct api_loop;

/* What every job of the api has as its context: where it comes back to, and who then takes
 * it. Lives with the job. */
struct parcel {
    struct api_loop *loop;
    void (*answer)(struct job *job);
};

/* What one loop owns. All but the inbox belongs to the loop's thread. */
struct api_loop {
    struct api *api;
    struct http_loop *http_loop;
    struct flight *gathering[2]; /* the claims of this turn, apart those that a place in the queue
                                    is answer enough for; NULL: none yet */
    struct flight *spare;        /* flights that came back */
    struct buffer body;          /* for rendering one reply */
    struct buffer fields;
    uint64_t request_seed;
    uint64_t request_count;
    struct credentials *credentials; /* the loop's own reference; NULL before its first */
    unsigned credentials_turn;
    struct loop_figures figures; /* read by whichever loop tells them */
    pthread_mutex_t inbox_lock;
    struct job_list inbox; /* jobs the issuer is done with */
    bool stopped;          /* guarded by inbox_lock: no more wake-ups */
};

/* The handler's room in an exchange. */
struct call {
    struct api_loop *loop;
    struct http_exchange *exchange;
    const struct route *route;
    struct issue_reference reference;    /* ids of the path */
    struct reject_place place;           /* of the claim that the path names */
    enum caller caller;                  /* with CALLER_USER the user's name is user_id */
    char admin_name[TOKEN_NAME_MAX + 1]; /* CALLER_ADMIN: who, else "" */
    struct digest user;
    size_t user_id_size;
    size_t request_key_size;
    char user_id[USER_ID_MAX];
    char request_key[REQUEST_KEY_MAX];
};

static inline struct slice call_user_id(const struct call *call) {
    return (struct slice){call->user_id, call->user_id_size};
}
static inline struct slice call_request_key(const struct call *call) {
    return (struct slice){call->request_key, call->request_key_size};
}

/* ---- replies (reply.c) ---- */

/* Begins a reply: both buffers of the loop, emptied. */
struct buffer *reply_body(struct call *call);
struct buffer *reply_fields(struct call *call);
/* Sends what the two buffers hold as JSON; the call is over. */
void reply_json(struct call *call, int status);
void reply_coupon(struct call *call, int status, const struct coupon_record *coupon, bool replayed);
void render_coupon(struct buffer *body, const struct coupon_record *coupon);
void render_issue_id(struct buffer *text, struct issue_reference reference);
void render_issue(struct buffer *body, struct issue_reference reference, struct slice user_id,
                  int64_t issued_at_us);

/* ---- problems (problem.c) ---- */

/* Every refusal there is; the table in problem.c has status, code and title. */
enum problem {
    PROBLEM_COUPON_NOT_FOUND,
    PROBLEM_ISSUE_NOT_FOUND,
    PROBLEM_NOT_FOUND,
    PROBLEM_NOT_STARTED,
    PROBLEM_ENDED,
    PROBLEM_PAUSED,
    PROBLEM_SOLD_OUT,
    PROBLEM_ALREADY_ISSUED,
    PROBLEM_COUPON_EXISTS,
    PROBLEM_MALFORMED_HTTP,
    PROBLEM_MALFORMED_REQUEST,
    PROBLEM_INVALID_VALUE,
    PROBLEM_PRECONDITION_FAILED,
    PROBLEM_UNAUTHORIZED,
    PROBLEM_FORBIDDEN,
    PROBLEM_METHOD_NOT_ALLOWED,
    PROBLEM_REQUEST_TIMEOUT,
    PROBLEM_BODY_TOO_LARGE,
    PROBLEM_UNSUPPORTED_MEDIA_TYPE,
    PROBLEM_EXPECTATION_FAILED,
    PROBLEM_HEAD_TOO_LARGE,
    PROBLEM_OVERLOADED,
    PROBLEM_STORAGE_UNAVAILABLE,
    PROBLEM_OUTCOME_UNKNOWN,
    PROBLEM_STARTING,
};

/* A complaint about input: which field, and what is wrong with it. Constants. */
struct fault {
    enum problem problem;
    const char *field; /* NULL: none in particular */
    const char *detail;
};

/* Each refuses and ends the call. `members` are further JSON members, each with a comma
 * before it; `fields` further header lines; both may be NULL. Where any of it could not be
 * written for lack of memory, the answer is problem_reply_no_memory()'s. */
void problem_reply(struct call *call, enum problem problem, const char *detail);
void problem_reply_with(struct call *call, enum problem problem, const char *detail,
                        const struct buffer *fields, const struct buffer *members);
void problem_reply_fault(struct call *call, const struct fault *fault);
/* Instead of an answer, whatever it was: outcome-unknown. Needs no memory itself. */
void problem_reply_no_memory(struct call *call);
/* The stable `code` of a problem. */
const char *problem_code(enum problem problem);
/* A command's or claim's failure that is ours: FULL, IO, AMBIGUOUS, STOPPED … as 503. */
void problem_reply_status(struct call *call, int status);

/* ---- input (input.c, claim_body.c, coupon_body.c): 0, or STATUS_INVALID and the fault --- */

/* Fill the fault in and return STATUS_INVALID: a wrong form (400), an impossible value (422). */
int fault_malformed(struct fault *ret_fault, const char *field, const char *detail);
int fault_invalid(struct fault *ret_fault, const char *field, const char *detail);

struct json_t;
/* A JSON object without duplicates, the caller's to json_decref; NULL after a failure.
 * STATUS_INVALID; STATUS_NO_MEMORY, once json_watch_memory was called. */
int MUST_CHECK json_object_read(struct slice text, struct json_t **ret_object);
/* The same of a body: malformed (400), or no memory for it (503). */
int MUST_CHECK json_body_read(struct slice body, struct json_t **ret_object,
                              struct fault *ret_fault);
/* A value of a body as it is kept: without white space. *ret_size is what it takes, which may be
 * more than the room; then the room's content is undefined. No memory for it: 503. */
int MUST_CHECK json_body_write(const struct json_t *value, char *room, size_t room_size,
                               size_t *ret_size, struct fault *ret_fault);
/* For this process, before other threads read JSON. */
void json_watch_memory(void);

/* The Idempotency-Key into the call; none: size 0. */
int MUST_CHECK input_request_key(struct call *call, const struct http_head *head,
                                 struct fault *ret_fault);
/* The user that is asked for into the call. STATUS_INVALID unless it is 1 … USER_ID_MAX
 * visible ASCII characters, and the caller's own when the caller is a user. */
int MUST_CHECK input_user_id(struct call *call, struct slice user_id, struct fault *ret_fault);
/* Refuses query parameters that are not among `names` (ended by NULL). */
int MUST_CHECK input_query_only(struct slice query, const char *const *names,
                                struct fault *ret_fault);
/* Whether the request says Prefer: respond-async (RFC 7240). */
bool input_prefers_async(const struct http_head *head);
/* If-Match: *ret_count 0 means no tag can match; *ret_any: absent or "*". */
#define IF_MATCH_MAX 16
void input_if_match(const struct http_head *head, uint32_t ret_versions[static IF_MATCH_MAX],
                    size_t *ret_count, bool *ret_any);

/* userId into the call and, when `with_coupon`, couponId into call->reference. */
int MUST_CHECK claim_body_read(struct call *call, struct slice body, bool with_coupon,
                               struct fault *ret_fault);
/* The same by jansson alone: what claim_body_read does with a body that has not the plain
 * form, and what the test of that form compares it with. */
int MUST_CHECK claim_body_read_any(struct call *call, struct slice body, bool with_coupon,
                                   struct fault *ret_fault);
/* The claims of {"userIds":[…]}: user_id of each is set, pointing into *ret_texts. Both are
 * the caller's to free, on success only. */
int MUST_CHECK bulk_body_read(struct slice body, struct claim **ret_claims, size_t *ret_count,
                              char **ret_texts, struct fault *ret_fault);
int MUST_CHECK coupon_body_create(struct slice body, struct coupon_record *ret_coupon,
                                  struct fault *ret_fault);
int MUST_CHECK coupon_body_patch(struct slice body, struct coupon_record *ret_coupon,
                                 unsigned *ret_patch_set, struct fault *ret_fault);

/* ---- tickets of admitted claims (ticket.c) ---- */

/* Where to ask what became of an admitted claim: its place in the queue, and whose it is. */
void render_claim_url(struct buffer *text, const struct claim *claim);
/* What the url ends with, into the call's place, coupon id and user; or refuses the call. */
bool ticket_read(struct call *call, struct slice ticket);
void handle_claim_read(struct call *call, const struct http_head *head, struct slice body);

/* ---- routes (route.c) ---- */

enum access { ACCESS_ANYONE, ACCESS_CLAIMER, ACCESS_ADMIN };
enum body_kind { BODY_NONE, BODY_JSON };
enum path_ids { IDS_NONE, IDS_COUPON, IDS_ISSUE, IDS_USER, IDS_CLAIM };
/* REFUSED: any parameter is a fault; OWN: the handler looks; IGNORED: probes may add some. */
enum query_kind { QUERY_REFUSED, QUERY_OWN, QUERY_IGNORED };

struct route {
    enum http_method method;
    const char *path; /* "*" stands for one segment */
    enum path_ids ids;
    enum access access;
    enum body_kind body;
    enum query_kind query;
    int64_t body_max; /* a larger one is 413; 0: none */
    void (*handle)(struct call *call, const struct http_head *head, struct slice body);
};

/* The largest bodies. */
#define BODY_MAX       4096
#define BODY_MAX_BULK  (2 * 1024 * 1024)
#define BULK_USERS_MAX 10000

/* The credentials in force, for the loop's next judgement (api.c). */
const struct credentials *loop_credentials(struct api_loop *loop);

/* handler.head: finds the route and tries what needs no body. As http.h says. */
int64_t route_head(struct call *call, const struct http_head *head);
/* Whether the request has an admin's credential; refuses it when not. */
bool route_may_admin(struct call *call);

/* ---- handlers ---- */

void handle_claim(struct call *call, const struct http_head *head, struct slice body);
void handle_claim_original(struct call *call, const struct http_head *head, struct slice body);
void handle_claim_original_async(struct call *call, const struct http_head *head,
                                 struct slice body);
void claims_send(struct api_loop *loop); /* hands this turn's claims to the issuer */
void claims_free(struct api_loop *loop);
/* Which refusal a verdict is; not for ISSUED and REPLAYED. */
enum problem claim_problem(enum verdict verdict);

void handle_coupon_create(struct call *call, const struct http_head *head, struct slice body);
void handle_coupon_change(struct call *call, const struct http_head *head, struct slice body);
void handle_coupon_read(struct call *call, const struct http_head *head, struct slice body);
void handle_coupons_read(struct call *call, const struct http_head *head, struct slice body);
void handle_issue_read(struct call *call, const struct http_head *head, struct slice body);
void handle_holding_read(struct call *call, const struct http_head *head, struct slice body);
void handle_health(struct call *call, const struct http_head *head, struct slice body);
void handle_ready(struct call *call, const struct http_head *head, struct slice body);
void handle_metrics(struct call *call, const struct http_head *head, struct slice body);
void handle_openapi(struct call *call, const struct http_head *head, struct slice body);
void handle_claims_bulk(struct call *call, const struct http_head *head, struct slice body);
void handle_issues_read(struct call *call, const struct http_head *head, struct slice body);
void handle_audits_read(struct call *call, const struct http_head *head, struct slice body);
void handle_user_issues_read(struct call *call, const struct http_head *head, struct slice body);

/* The issuer's `done` for every job of the api: into its parcel's loop's inbox (api.c). The
 * writer's thread. */
void inbox_put(struct job *job);

/* ---- errands (errand.c): a command to the issuer and back ---- */

struct errand {
    struct command command; /* first */
    struct parcel parcel;
    struct call *call;
    void (*answer)(struct errand *errand); /* ends the call */
    char *request;                         /* the body, for the audit; from malloc */
    uint32_t if_versions[IF_MATCH_MAX];
};

/* With the call's ids, user and key in its command. NULL after it has refused the call. */
struct errand *errand_new(struct call *call, enum job_kind kind, void (*answer)(struct errand *));
/* Hands it to the issuer, or refuses the call and frees it. Frees it after its answer. */
void errand_send(struct errand *errand);
void errand_free(struct errand *errand); /* only before it was sent */
/* Frees it, which was not sent, and refuses its call for want of memory. */
void errand_refuse(struct errand *errand);
/* The query of a list that is read in pages: `after` (0 when left out), `limit` (100), and
 * nothing else. */
#define PAGE_LIMIT_DEFAULT 100
int MUST_CHECK input_page(struct slice query, uint64_t after_max, uint64_t limit_max,
                          uint64_t *ret_after, uint64_t *ret_limit, struct fault *ret_fault);

#endif
