/* Tokens, the keys they are checked with, and the operator's files of tokens. The first byte
 * chooses:
 *   a line is a header, the next the claims: they are signed here, so that what is judged is what
 *   they say; a plain second judgement says the same;
 *   any token, which nobody signed: never taken;
 *   any key file; any file of tokens, where a token is known exactly when it stands in it. */
#include "api/credential.h"
#include "fuzz.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <strings.h>

#define SECRET  "a secret of thirty-two bytes, or more"
#define NOW_S   INT64_C(1700000000)
#define VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

static struct jwt_key *key;

static void append_base64(struct buffer *text, const void *bytes, size_t size) {
    size_t room_size = sodium_base64_encoded_len(size, VARIANT);
    char *room = malloc(room_size);
    assert(room != NULL);
    sodium_bin2base64(room, room_size, bytes, size, VARIANT);
    buffer_text(text, room);
    free(room);
}

static void sign(struct buffer *token, struct slice header, struct slice claims) {
    unsigned char signature[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    buffer_init(token);
    append_base64(token, header.bytes, header.size);
    buffer_text(token, ".");
    append_base64(token, claims.bytes, claims.size);
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)SECRET, strlen(SECRET));
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)token->bytes, token->size);
    crypto_auth_hmacsha256_final(&state, signature);
    buffer_text(token, ".");
    append_base64(token, signature, sizeof(signature));
}

/* ---- what a signed token says ---- */

static bool naive_type(const json_t *type) {
    static const char *const names[] = {"jwt", "at+jwt", "application/jwt", "application/at+jwt"};
    for (size_t i = 0; json_is_string(type) && i < COUNT_OF(names); i++) {
        if (strcasecmp(json_string_value(type), names[i]) == 0) {
            return true;
        }
    }
    return type == NULL;
}

static bool naive_header(struct slice text) {
    json_t *header = json_loadb(text.bytes, text.size, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(header, "alg"));
    bool fits = json_is_object(header) && name && strcmp(name, "HS256") == 0 &&
                naive_type(json_object_get(header, "typ")) &&
                json_object_get(header, "crit") == NULL;
    json_decref(header);
    return fits;
}

static bool names(const json_t *audience, const char *name) {
    bool found = json_is_string(audience) && strcmp(json_string_value(audience), name) == 0;
    for (size_t i = 0; i < json_array_size(audience); i++) {
        const json_t *one = json_array_get(audience, i);
        found = found || (json_is_string(one) && strcmp(json_string_value(one), name) == 0);
    }
    return found;
}

static bool naive_claims(struct slice text, struct user_name *ret_user) {
    json_t *claims = json_loadb(text.bytes, text.size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *expires = json_object_get(claims, "exp");
    const json_t *starts = json_object_get(claims, "nbf");
    const json_t *issuer = json_object_get(claims, "iss");
    const json_t *subject = json_object_get(claims, "sub");
    struct slice user = {json_string_value(subject), json_string_length(subject)};
    bool good =
        json_is_number(expires) && json_number_value(expires) + JWT_LEEWAY_S > (double)NOW_S &&
        (!starts ||
         (json_is_number(starts) && json_number_value(starts) - JWT_LEEWAY_S <= (double)NOW_S)) &&
        names(issuer, "us") && json_is_string(issuer) &&
        names(json_object_get(claims, "aud"), "them") && json_is_string(subject) &&
        user_id_is_valid(user);
    if (good) {
        memcpy(ret_user->text, user.bytes, user.size);
        ret_user->size = user.size;
    }
    json_decref(claims);
    return good;
}

static int judge(struct slice token, struct user_name *ret_user) {
    const char *why = NULL;
    struct jwt_terms terms = {JWT_HS256, key, "us", "them"};
    int status = jwt_read(&terms, token, NOW_S * US_PER_SECOND, ret_user, &why);
    assert(status == STATUS_OK || (status == STATUS_INVALID && why && why[0] != '\0'));
    return status;
}

static void check_signed(struct slice input) {
    struct buffer token;
    struct user_name user = {.size = 0};
    struct user_name expected = {.size = 0};
    struct slice header = fuzz_line(&input);
    sign(&token, header, input);
    bool good = token.size <= JWT_SIZE_MAX && header.size > 0 && input.size > 0 &&
                naive_header(header) && naive_claims(input, &expected);
    int status = judge(buffer_view(&token), &user);
    assert((status == STATUS_OK) == good);
    assert(user.size == expected.size && memcmp(user.text, expected.text, user.size) == 0);
    /* One byte of it changed, and it is nobody's. */
    if (good) {
        size_t at = input.size % token.size;
        token.bytes[at] = token.bytes[at] == 'A' ? 'B' : 'A';
        status = judge(buffer_view(&token), &user);
        assert(status == STATUS_INVALID);
    }
    buffer_done(&token);
}

static void check_unsigned(struct slice token) {
    struct user_name user;
    int status = judge(token, &user);
    assert(status == STATUS_INVALID);
}

/* ---- keys ---- */

static void check_key(enum jwt_algorithm algorithm, struct slice text) {
    struct complaint complaint = {{0}};
    struct secret secret = {text, "the file"};
    struct jwt_key *other = NULL;
    int status = jwt_key_read(algorithm, &secret, &other, &complaint);
    assert((status == STATUS_OK) == (complaint.text[0] == '\0'));
    assert((status == STATUS_OK) == (other != NULL));
    if (other != NULL) {
        assert(algorithm != JWT_HS256 || text.size >= JWT_SECRET_MIN);
        char zeros[64] = {0};
        bool fits = jwt_key_has_signed(other, text, (struct slice){zeros, sizeof(zeros)});
        assert(!fits);
    }
    jwt_key_free(other);
}

/* ---- files of tokens ---- */

static bool line_has(struct slice line, struct slice token) {
    while (line.size > 0 &&
           (line.bytes[line.size - 1] == '\r' || line.bytes[line.size - 1] == ' ' ||
            line.bytes[line.size - 1] == '\t')) {
        line.size--;
    }
    return line.size >= token.size &&
           memcmp(line.bytes + line.size - token.size, token.bytes, token.size) == 0;
}

/* Known exactly when a line ends in it; the file, once taken, has no token within another. */
static void check_tokens(struct slice input) {
    struct slice asked = fuzz_line(&input);
    struct api_rules rules = {.claim_auth = CLAIM_AUTH_NONE};
    struct api_secrets secrets = {.admin_tokens = {input, "the file"}};
    struct complaint complaint = {{0}};
    struct credentials *credentials = NULL;
    struct finding finding;
    int status = credentials_new(&rules, &secrets, &credentials, &complaint);
    assert((status == STATUS_OK) == (complaint.text[0] == '\0'));
    if (status) {
        return;
    }
    bool found = false;
    for (struct slice rest = input; rest.size > 0;) {
        struct slice line = fuzz_line(&rest);
        found = found || (asked.size > 0 && line.size > 0 && line_has(line, asked));
    }
    credentials_judge(credentials, asked, NOW_S * US_PER_SECOND, &finding);
    assert(finding.caller == CALLER_ADMIN || finding.caller == CALLER_BELIEVED);
    assert(finding.caller != CALLER_ADMIN || found);
    assert(finding.caller != CALLER_ADMIN || asked.size >= ADMIN_TOKEN_MIN);
    struct slice first;
    status = api_token_first(&secrets.admin_tokens, &first, &complaint);
    assert(status == STATUS_OK);
    credentials_judge(credentials, first, NOW_S * US_PER_SECOND, &finding);
    assert(finding.caller == CALLER_ADMIN && finding.admin_name[0] != '\0');
    credentials_release(credentials);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    struct secret secret = {slice_of(SECRET), "the secret"};
    int status = sodium_init() < 0 ? STATUS_IO : jwt_key_read(JWT_HS256, &secret, &key, NULL);
    assert(status == STATUS_OK);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice input = {(const char *)data, size};
    uint8_t kind = fuzz_byte(&input);
    char *block = fuzz_exact(input);
    struct slice text = {block, input.size};
    switch (kind % 4) {
    case 0:
        check_signed(text);
        break;
    case 1:
        check_unsigned(text);
        break;
    case 2:
        check_key(kind / 4 % 3, text);
        break;
    default:
        check_tokens(text);
        break;
    }
    free(block);
    return 0;
}
