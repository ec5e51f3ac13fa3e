/* Who is calling: files of tokens, and what the credentials in force let a caller do. */
#include "support.h"

#include <jwt.h>
#include <stdio.h>
#include <stdlib.h>

#define JSON_FIELD "Content-Type: application/json\r\n"
#define SECRET     "a secret of more than thirty-two bytes"
#define GATEWAY    "a-gateway's-token-1."

/* ---- files of tokens ---- */

/* The admin's name for the token; "" for none; "?" when the file is refused. */
static const char *name_in(const char *file, const char *token) {
    static char name[TOKEN_NAME_MAX + 1];
    struct api_rules rules = {.claim_auth = CLAIM_AUTH_TOKEN};
    struct api_secrets secrets = {.admin_tokens = {slice_of(file), "the-file"},
                                  .claim_tokens = {slice_of(GATEWAY), "the-gateways"}};
    struct credentials *credentials = NULL;
    struct complaint complaint = {0};
    if (credentials_new(&rules, &secrets, &credentials, &complaint)) {
        assert_non_null(strstr(complaint.text, "the-file"));
        assert_null(strstr(complaint.text, "0123456789")); /* it is a secret */
        return "?";
    }
    struct finding finding;
    credentials_judge(credentials, slice_of(token), 0, &finding);
    assert_int_equal(finding.caller == CALLER_UNKNOWN,
                     finding.why && !finding.admin_name && finding.caller == CALLER_UNKNOWN);
    snprintf(name, sizeof(name), "%s", finding.admin_name ? finding.admin_name : "");
    credentials_release(credentials);
    return name;
}

#define T1 "0123456789abcdef"
#define T2 "0123456789ABCDEF-2"

static void a_file_of_tokens_has_names_comments_and_empty_lines(void **state) {
    (void)state;
    static const char file[] = "# people\r\n\n  \t\nann " T1 "\r\n" T2 "\n# " T1 "x\n";
    assert_string_equal(name_in(file, T1), "ann");
    assert_string_equal(name_in(file, T2), "admin");
    assert_string_equal(name_in(file, T1 "x"), "");
    assert_string_equal(name_in(file, "ann"), "");
    assert_string_equal(name_in(file, ""), "");
    assert_string_equal(name_in(T1, T1), "admin");
    assert_string_equal(name_in("\tann\t" T1 " ", T1), "ann");
    assert_string_equal(name_in("ann " T1 "\nann " T2, T2), "ann");
}

static void a_bad_file_of_tokens_is_refused_as_a_whole(void **state) {
    (void)state;
    static const char *const files[] = {
        "",
        "\n",
        "# " T1,
        "ann",
        "ann short",
        "ann " T1 " more",
        T1 "\n" T1,
        "a " T1 "\nb " T1,
        "ann \x01" T1,
        "\x80 " T1,
        T1 "\nann",
        "0123456789012345678901234567890123456789012345678901234567890123x " T1,
    };
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        assert_string_equal(name_in(files[i], T1), "?");
    }
}

static void a_file_holds_so_many_tokens(void **state) {
    (void)state;
    struct buffer file;
    buffer_init(&file);
    for (unsigned i = 0; i <= TOKENS_MAX; i++) {
        buffer_format(&file, "name-%u 0123456789abcdef-%03u\n", i, i);
        buffer_append(&file, "", 1);
        assert_string_equal(name_in(file.bytes, "0123456789abcdef-000"),
                            i < TOKENS_MAX ? "name-0" : "?");
        file.size--;
    }
    buffer_done(&file);
}

static void the_first_token_of_a_file_is_for_who_calls(void **state) {
    (void)state;
    static const struct {
        const char *file;
        const char *token; /* "": refused */
    } files[] = {
        {T1, T1},      {"# note\n\n  ann\t" T1 "\r\nbob " T2 "\n", T1},
        {"", ""},      {"# note", ""},
        {"short", ""}, {"ann " T1 " more\nbob " T2, ""},
    };
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        struct complaint complaint = {0};
        struct secret tokens = {slice_of(files[i].file), "FILE"};
        struct slice token = {NULL, 0};
        int status = api_token_first(&tokens, &token, &complaint);
        assert_int_equal(status, files[i].token[0] ? STATUS_OK : STATUS_INVALID);
        assert_true(slice_is(token, files[i].token));
        assert_true(status == STATUS_OK || strstr(complaint.text, "FILE"));
    }
}

/* ---- calls ---- */

/* The world with other credentials in force than it began with. */
static void world_rules(struct world *world, enum claim_auth claim_auth) {
    world->handler.loop_stop(world->loop);
    api_free(world->api);
    struct api_options options = {
        .issuer = &world->issuer,
        .rules = {.claim_auth = claim_auth, .jwt_algorithm = JWT_HS256},
        .secrets = {.admin_tokens = {slice_of("ann " ADMIN_TOKEN), "tokens"},
                    .claim_tokens = {slice_of("shop " GATEWAY), "gateways"},
                    .jwt_key = {slice_of(SECRET "\n"), "key"}},
        .loop_count = 1,
    };
    assert_int_equal(api_new(&options, &world->api, NULL), STATUS_OK);
    world->handler = api_handler(world->api);
    assert_int_equal(
        world->handler.loop_start(world->handler.context, (struct http_loop *)world, &world->loop),
        STATUS_OK);
}

static void bearer(char ret_fields[static 1024], const char *token) {
    snprintf(ret_fields, 1024, JSON_FIELD "Authorization: Bearer %s\r\n", token);
}

/* A token that is good for an hour from the real now. */
static void user_bearer(char ret_fields[static 1024], const char *user) {
    jwt_t *jwt = NULL;
    assert_int_equal(jwt_new(&jwt), 0);
    assert_int_equal(jwt_add_grant(jwt, "sub", user), 0);
    assert_int_equal(
        jwt_add_grant_int(jwt, "exp", (long)(clock_realtime(NULL) / US_PER_SECOND + 3600)), 0);
    assert_int_equal(
        jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)SECRET, (int)strlen(SECRET)), 0);
    char *token = jwt_encode_str(jwt);
    assert_non_null(token);
    bearer(ret_fields, token);
    free(token);
    jwt_free(jwt);
}

/* The user the claim reached the issuer for; it is answered and freed. */
static void assert_claim_of(struct world *world, struct http_exchange *exchange, const char *user) {
    struct claim_batch *batch = (struct claim_batch *)world_job(world);
    assert_int_equal(batch->count, 1);
    assert_true(slice_is(batch->claims[0].user_id, user));
    batch->claims[0].verdict = VERDICT_SOLD_OUT;
    world_answer(world);
    assert_problem(exchange, 409, "sold-out");
    exchange_done(exchange);
}

static void assert_refused(struct world *world, const char *line, const char *fields,
                           const char *body, int status, const char *code) {
    struct http_exchange exchange;
    world_request(world, &exchange, line, fields, body);
    assert_problem(&exchange, status, code);
    assert_string_equal(answer_field(&exchange, "WWW-Authenticate"), status == 401 ? "Bearer" : "");
    exchange_done(&exchange);
    assert_int_equal(world->job_count, 0);
}

#define CLAIM "POST /v1/coupons/7/issues"
#define ANN   "{\"userId\":\"ann\"}"

static void a_token_names_the_user_who_claims(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    char ann[1024];
    world_rules(world, CLAIM_AUTH_JWT);
    user_bearer(ann, "ann");
    static const struct {
        const char *line;
        const char *body;
    } table[] = {{CLAIM, ANN},
                 {CLAIM, "{}"},
                 {CLAIM, " { } "},
                 {CLAIM, "{\"userId\":\"\\u0061nn\"}"},
                 {"POST /v1/issue", "{\"couponId\":7}"},
                 {"POST /v1/issue-async", "{\"couponId\":7,\"userId\":\"ann\"}"}};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        world_request(world, &exchange, table[i].line, ann, table[i].body);
        assert_claim_of(world, &exchange, "ann");
    }
    assert_refused(world, CLAIM, ann, "{\"userId\":\"eve\"}", 403, "forbidden");
    assert_refused(world, CLAIM, ann, "{\"userId\":\"an\"}", 403, "forbidden");
    assert_refused(world, CLAIM, ann, "{\"userId\":\"\"}", 422, "invalid-value");
    assert_refused(world, CLAIM, ann, "{\"userId\":null}", 400, "malformed-request");
    assert_refused(world, "POST /v1/issue", ann, "{}", 400, "malformed-request");
    assert_refused(world, "POST /v1/issue", ann, "{\"couponId\":7,\"userId\":\"eve\"}", 403,
                   "forbidden");
}

static void a_claim_without_a_right_credential_is_unauthorized(void **state) {
    struct world *world = *state;
    char fields[1024];
    for (int way = CLAIM_AUTH_TOKEN; way <= CLAIM_AUTH_JWT; way++) {
        world_rules(world, (enum claim_auth)way);
        assert_refused(world, CLAIM, JSON_FIELD, ANN, 401, "unauthorized");
        assert_refused(world, CLAIM, JSON_FIELD "Authorization: Basic " GATEWAY "\r\n", ANN, 401,
                       "unauthorized");
        bearer(fields, "garbage-of-some-length");
        assert_refused(world, CLAIM, fields, ANN, 401, "unauthorized");
        assert_refused(world, "GET /v1/issues/7-4", fields, NULL, 401, "unauthorized");
        assert_refused(world, "GET /v1/coupons/7/issues?userId=ann", "", NULL, 401, "unauthorized");
    }
    bearer(fields, GATEWAY); /* of another way */
    assert_refused(world, CLAIM, fields, ANN, 401, "unauthorized");
}

static void a_gateway_and_an_admin_name_any_user(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    char fields[1024];
    for (int way = CLAIM_AUTH_NONE; way <= CLAIM_AUTH_JWT; way++) {
        world_rules(world, (enum claim_auth)way);
        bearer(fields, ADMIN_TOKEN);
        world_request(world, &exchange, CLAIM, fields, ANN);
        assert_claim_of(world, &exchange, "ann");
        assert_refused(world, CLAIM, fields, "{}", 400, "malformed-request");
    }
    world_rules(world, CLAIM_AUTH_TOKEN);
    bearer(fields, GATEWAY);
    world_request(world, &exchange, CLAIM, fields, ANN);
    assert_claim_of(world, &exchange, "ann");
    assert_refused(world, CLAIM, fields, "{}", 400, "malformed-request");
}

static void a_claimer_is_no_operator(void **state) {
    struct world *world = *state;
    char fields[1024];
    world_rules(world, CLAIM_AUTH_NONE);
    assert_refused(world, "GET /v1/coupons", "", NULL, 401, "unauthorized");
    world_rules(world, CLAIM_AUTH_TOKEN);
    bearer(fields, GATEWAY);
    assert_refused(world, "GET /v1/coupons", fields, NULL, 403, "forbidden");
    assert_refused(world, "PATCH /v1/coupons/7", fields, "{\"paused\":true}", 403, "forbidden");
    world_rules(world, CLAIM_AUTH_JWT);
    user_bearer(fields, "ann");
    assert_refused(world, "GET /v1/coupons", fields, NULL, 403, "forbidden");
    bearer(fields, "garbage-of-some-length");
    assert_refused(world, "GET /v1/coupons", fields, NULL, 401, "unauthorized");
}

static void a_user_reads_only_what_is_theirs(void **state) {
    struct world *world = *state;
    static const struct {
        const char *user;
        int status;
    } table[] = {{"ann", 200}, {"an", 403}, {"anna", 403}, {"eve", 403}};
    world_rules(world, CLAIM_AUTH_JWT);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct http_exchange exchange;
        char fields[1024];
        user_bearer(fields, table[i].user);
        world_request(world, &exchange, "GET /v1/issues/7-4", fields, NULL);
        struct command *command = (struct command *)world_job(world);
        snprintf(command->issue.user_id, sizeof(command->issue.user_id), "ann");
        command->status = STATUS_OK;
        world_answer(world);
        assert_int_equal(exchange.status, table[i].status);
        assert_string_equal(answer_text(&exchange, "userId"), i ? "" : "ann");
        exchange_done(&exchange);
        if (i > 0) {
            assert_refused(world, "GET /v1/coupons/7/issues?userId=ann", fields, NULL, 403,
                           "forbidden");
            assert_refused(world, "GET /v1/users/ann/issues", fields, NULL, 403, "forbidden");
            assert_refused(world, "GET /v1/coupons/7/issues?after=0", fields, NULL, 403,
                           "forbidden");
        }
    }
}

static void new_secrets_count_at_once_and_bad_ones_never(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    char former[1024], later[1024];
    world_rules(world, CLAIM_AUTH_TOKEN);
    bearer(former, GATEWAY);
    bearer(later, "a-gateway's-token-2.");
    struct api_secrets secrets = {
        .admin_tokens = {slice_of(ADMIN_TOKEN), "tokens"},
        .claim_tokens = {slice_of("short"), "gateways"},
    };
    assert_int_equal(api_secrets_replace(world->api, &secrets, NULL), STATUS_INVALID);
    world_request(world, &exchange, CLAIM, former, ANN);
    assert_claim_of(world, &exchange, "ann");
    secrets.claim_tokens.text = slice_of("a-gateway's-token-2.");
    assert_int_equal(api_secrets_replace(world->api, &secrets, NULL), STATUS_OK);
    assert_refused(world, CLAIM, former, ANN, 401, "unauthorized");
    world_request(world, &exchange, CLAIM, later, ANN);
    assert_claim_of(world, &exchange, "ann");
    assert_int_equal(api_secrets_replace(world->api, &secrets, NULL), STATUS_OK);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_tokens_has_names_comments_and_empty_lines),
        cmocka_unit_test(a_bad_file_of_tokens_is_refused_as_a_whole),
        cmocka_unit_test(a_file_holds_so_many_tokens),
        cmocka_unit_test(the_first_token_of_a_file_is_for_who_calls),
        WITH_WORLD(a_token_names_the_user_who_claims),
        WITH_WORLD(a_claim_without_a_right_credential_is_unauthorized),
        WITH_WORLD(a_gateway_and_an_admin_name_any_user),
        WITH_WORLD(a_claimer_is_no_operator),
        WITH_WORLD(a_user_reads_only_what_is_theirs),
        WITH_WORLD(new_secrets_count_at_once_and_bad_ones_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
