/* JSON Web Tokens and their keys, of every wrong kind. Keys are made here, tokens signed by
 * libjwt, or by hand where libjwt would not. */
#include "support.h"

#include <jwt.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define SECRET "a secret of more than thirty-two bytes"

static const int64_t NOW_S = 1800000000;

struct keys {
    char private_pem[4096];
    char public_pem[4096];
};
static struct keys rsa, weak_rsa, p256, p384;

static void write_pem(EVP_PKEY *key, struct keys *ret_keys) {
    BIO *memory = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(memory, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_true(BIO_read(memory, ret_keys->private_pem, sizeof(ret_keys->private_pem) - 1) > 0);
    assert_int_equal(PEM_write_bio_PUBKEY(memory, key), 1);
    assert_true(BIO_read(memory, ret_keys->public_pem, sizeof(ret_keys->public_pem) - 1) > 0);
    BIO_free(memory);
    EVP_PKEY_free(key);
}

static struct jwt_key *read_keys[3]; /* by algorithm */

static int read_key(enum jwt_algorithm algorithm, const char *text, struct jwt_key **ret_key) {
    struct secret secret = {slice_of(text), "the-key"};
    struct complaint complaint = {0};
    int status = jwt_key_read(algorithm, &secret, ret_key, &complaint);
    assert_int_equal(strstr(complaint.text, "the-key") != NULL, status != STATUS_OK);
    return status;
}

static int make_keys(void **state) {
    (void)state;
    assert_true(sodium_init() >= 0);
    write_pem(EVP_RSA_gen(2048), &rsa);
    write_pem(EVP_RSA_gen(1024), &weak_rsa);
    write_pem(EVP_EC_gen("P-256"), &p256);
    write_pem(EVP_EC_gen("P-384"), &p384);
    assert_int_equal(read_key(JWT_HS256, SECRET, &read_keys[JWT_HS256]), STATUS_OK);
    assert_int_equal(read_key(JWT_RS256, rsa.public_pem, &read_keys[JWT_RS256]), STATUS_OK);
    assert_int_equal(read_key(JWT_ES256, p256.public_pem, &read_keys[JWT_ES256]), STATUS_OK);
    return 0;
}

static int free_keys(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(read_keys); i++) {
        jwt_key_free(read_keys[i]);
    }
    jwt_key_free(NULL);
    return 0;
}

/* ---- tokens ---- */

static const struct {
    jwt_alg_t libjwt;
    const char *name;
} algorithms[] = {{JWT_ALG_HS256, "HS256"}, {JWT_ALG_RS256, "RS256"}, {JWT_ALG_ES256, "ES256"}};

static const char *signing_key(enum jwt_algorithm algorithm) {
    return algorithm == JWT_HS256   ? SECRET
           : algorithm == JWT_RS256 ? rsa.private_pem
                                    : p256.private_pem;
}

/* Claims in JSON, signed. The caller's to free. */
static char *sign_with(jwt_alg_t algorithm, const char *key, const char *claims) {
    jwt_t *jwt = NULL;
    assert_int_equal(jwt_new(&jwt), 0);
    assert_int_equal(jwt_add_grants_json(jwt, claims), 0);
    assert_int_equal(jwt_set_alg(jwt, algorithm, (const unsigned char *)key, (int)strlen(key)), 0);
    char *token = jwt_encode_str(jwt);
    assert_non_null(token);
    jwt_free(jwt);
    return token;
}

static char *sign(enum jwt_algorithm algorithm, const char *claims) {
    return sign_with(algorithms[algorithm].libjwt, signing_key(algorithm), claims);
}

static void encode(char *room, size_t room_size, const void *bytes, size_t size) {
    sodium_bin2base64(room, room_size, bytes, size, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* By hand: any header and claims under a true HMAC with the key, for what libjwt refuses. */
static char *sign_by_hand(const char *header, const char *claims, const char *key) {
    static const size_t room_size = 3 * 8192;
    static char parts[2][8192];
    char *token = malloc(room_size);
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    assert_non_null(token);
    encode(parts[0], sizeof(parts[0]), header, strlen(header));
    encode(parts[1], sizeof(parts[1]), claims, strlen(claims));
    int size = snprintf(token, room_size, "%s.%s", parts[0], parts[1]);
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)key, strlen(key));
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)token, (unsigned long long)size);
    crypto_auth_hmacsha256_final(&state, mac);
    encode(parts[0], sizeof(parts[0]), mac, sizeof(mac));
    snprintf(token + size, room_size - (size_t)size, ".%s", parts[0]);
    return token;
}

static struct jwt_terms terms_of(enum jwt_algorithm algorithm) {
    return (struct jwt_terms){
        .algorithm = algorithm,
        .key = read_keys[algorithm],
        .issuer = "https://login.test",
        .audience = "coupon",
    };
}

/* The user, or "" for a token that is refused, which has a reason. Frees the token. */
static const char *user_of(const struct jwt_terms *terms, char *token) {
    static char text[USER_ID_MAX + 1];
    struct user_name user = {.size = 0};
    const char *why = NULL;
    int status = jwt_read(terms, slice_of(token), NOW_S * US_PER_SECOND, &user, &why);
    assert_true(status == STATUS_OK || status == STATUS_INVALID);
    assert_int_equal(status == STATUS_INVALID, why != NULL);
    memcpy(text, user.text, user.size);
    text[status ? 0 : user.size] = '\0';
    free(token);
    return text;
}

#define GOOD "\"sub\":\"ann\",\"exp\":1800000600,\"iss\":\"https://login.test\",\"aud\":\"coupon\""

static void a_good_token_names_its_user_under_each_algorithm(void **state) {
    (void)state;
    for (int algorithm = JWT_HS256; algorithm <= JWT_ES256; algorithm++) {
        struct jwt_terms terms = terms_of((enum jwt_algorithm)algorithm);
        assert_string_equal(user_of(&terms, sign(terms.algorithm, "{" GOOD "}")), "ann");
    }
}

static void claims_are_judged(void **state) {
    (void)state;
    static const struct {
        const char *claims;
        const char *user;
    } table[] = {
        {"{" GOOD ",\"nbf\":1799999000,\"iat\":1,\"other\":{\"a\":[]}}", "ann"},
        {"{\"sub\":\"ann\",\"exp\":1799999971,\"iss\":\"https://login.test\",\"aud\":\"coupon\"}",
         "ann"},
        {"{\"sub\":\"ann\",\"exp\":1799999970,\"iss\":\"https://login.test\",\"aud\":\"coupon\"}",
         ""},
        {"{\"sub\":\"ann\",\"exp\":1.8e9,\"iss\":\"https://login.test\",\"aud\":\"coupon\"}",
         "ann"},
        {"{\"sub\":\"ann\",\"exp\":-1,\"iss\":\"https://login.test\",\"aud\":\"coupon\"}", ""},
        {"{\"sub\":\"ann\",\"exp\":\"1800000600\",\"iss\":\"https://"
         "login.test\",\"aud\":\"coupon\"}",
         ""},
        {"{\"sub\":\"ann\",\"iss\":\"https://login.test\",\"aud\":\"coupon\"}", ""},
        {"{" GOOD ",\"nbf\":1800000030}", "ann"},
        {"{" GOOD ",\"nbf\":1800000031}", ""},
        {"{" GOOD ",\"nbf\":\"0\"}", ""},
        {"{" GOOD ",\"nbf\":null}", ""},
        {"{\"sub\":\"ann\",\"exp\":1800000600,\"aud\":\"coupon\"}", ""},
        {"{\"sub\":\"ann\",\"exp\":1800000600,\"iss\":\"https://login.test/\",\"aud\":\"coupon\"}",
         ""},
        {"{\"sub\":\"ann\",\"exp\":1800000600,\"iss\":[\"https://login.test\"],\"aud\":\"coupon\"}",
         ""},
        {"{\"sub\":\"ann\",\"exp\":1800000600,\"iss\":\"https://login.test\"}", ""},
        {"{\"sub\":\"ann\",\"exp\":1800000600,\"iss\":\"https://login.test\",\"aud\":\"coupons\"}",
         ""},
        {"{\"sub\":\"ann\",\"exp\":1800000600,\"iss\":\"https://login.test\",\"aud\":[]}", ""},
        {"{\"sub\":\"ann\",\"exp\":1800000600,\"iss\":\"https://login.test\",\"aud\":[1,\"shop\"]}",
         ""},
        {"{\"sub\":\"ann\",\"exp\":1800000600,\"iss\":\"https://login.test\","
         "\"aud\":[\"shop\",\"coupon\"]}",
         "ann"},
        {"{\"exp\":1800000600,\"iss\":\"https://login.test\",\"aud\":\"coupon\"}", ""},
        {"{\"sub\":\"\",\"exp\":1800000600,\"iss\":\"https://login.test\",\"aud\":\"coupon\"}", ""},
        {"{\"sub\":7,\"exp\":1800000600,\"iss\":\"https://login.test\",\"aud\":\"coupon\"}", ""},
        {"{\"sub\":\"a b\",\"exp\":1800000600,\"iss\":\"https://login.test\",\"aud\":\"coupon\"}",
         ""},
        {"{\"sub\":\"\xc3\xa4\",\"exp\":1800000600,\"iss\":\"https://login.test\","
         "\"aud\":\"coupon\"}",
         ""},
        {"{" GOOD ",\"sub\":\"eve\"}", ""},
        {"["
         "]",
         ""},
        {"7", ""},
        {"not JSON", ""},
    };
    struct jwt_terms terms = terms_of(JWT_HS256);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char *token = sign_by_hand("{\"alg\":\"HS256\"}", table[i].claims, SECRET);
        const char *user = user_of(&terms, token);
        if (strcmp(user, table[i].user) != 0) {
            fail_msg("\"%s\", not \"%s\", of %s", user, table[i].user, table[i].claims);
        }
    }
}

static void issuer_and_audience_count_only_where_they_are_asked_for(void **state) {
    (void)state;
    struct jwt_terms terms = terms_of(JWT_HS256);
    terms.issuer = NULL;
    terms.audience = NULL;
    const char *claims = "{\"sub\":\"ann\",\"exp\":1800000600,\"iss\":\"x\",\"aud\":\"y\"}";
    assert_string_equal(user_of(&terms, sign(JWT_HS256, claims)), "ann");
    claims = "{\"sub\":\"ann\",\"exp\":1800000600}";
    assert_string_equal(user_of(&terms, sign(JWT_HS256, claims)), "ann");
}

static void a_header_that_is_not_as_agreed_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *header;
        const char *user;
    } table[] = {
        {"{\"alg\":\"HS256\"}", "ann"},
        {"{\"typ\":\"JWT\",\"alg\":\"HS256\",\"kid\":\"1\"}", "ann"},
        {"{\"typ\":\"jwt\",\"alg\":\"HS256\"}", "ann"},
        {"{\"typ\":\"at+jwt\",\"alg\":\"HS256\"}", "ann"},
        {"{\"typ\":\"application/at+JWT\",\"alg\":\"HS256\"}", "ann"},
        {"{\"typ\":\"logout+jwt\",\"alg\":\"HS256\"}", ""},
        {"{\"typ\":\"secevent+jwt\",\"alg\":\"HS256\"}", ""},
        {"{\"typ\":\"application/\",\"alg\":\"HS256\"}", ""},
        {"{\"typ\":\"\",\"alg\":\"HS256\"}", ""},
        {"{\"typ\":7,\"alg\":\"HS256\"}", ""},
        {"{\"typ\":null,\"alg\":\"HS256\"}", ""},
        {"{\"alg\":\"hs256\"}", ""},
        {"{\"alg\":\"none\"}", ""},
        {"{\"alg\":\"HS384\"}", ""},
        {"{\"alg\":\"RS256\"}", ""},
        {"{\"alg\":\"none\",\"alg\":\"HS256\"}", ""},
        {"{\"alg\":[\"HS256\"]}", ""},
        {"{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", ""},
        {"{\"typ\":\"JWT\"}", ""},
        {"{}", ""},
        {"\"HS256\"", ""},
        {"", ""},
    };
    struct jwt_terms terms = terms_of(JWT_HS256);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        const char *user = user_of(&terms, sign_by_hand(table[i].header, "{" GOOD "}", SECRET));
        if (strcmp(user, table[i].user) != 0) {
            fail_msg("\"%s\", not \"%s\", of %s", user, table[i].user, table[i].header);
        }
    }
}

/* A public key is known to all: used as an HMAC's secret it must not let anybody in. */
static void a_token_of_another_algorithm_is_refused(void **state) {
    (void)state;
    for (int wanted = JWT_HS256; wanted <= JWT_ES256; wanted++) {
        struct jwt_terms terms = terms_of((enum jwt_algorithm)wanted);
        const char *key = wanted == JWT_HS256   ? SECRET
                          : wanted == JWT_RS256 ? rsa.public_pem
                                                : p256.public_pem;
        for (int other = JWT_HS256; other <= JWT_ES256; other++) {
            if (other != wanted) {
                char *token = sign((enum jwt_algorithm)other, "{" GOOD "}");
                assert_string_equal(user_of(&terms, token), "");
            }
        }
        char *forged = sign_by_hand("{\"alg\":\"HS256\",\"typ\":\"JWT\"}", "{" GOOD "}", key);
        assert_string_equal(user_of(&terms, forged), wanted == JWT_HS256 ? "ann" : "");
        char header[64];
        snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", algorithms[wanted].name);
        forged = sign_by_hand(header, "{" GOOD "}", key);
        assert_string_equal(user_of(&terms, forged), wanted == JWT_HS256 ? "ann" : "");
        assert_string_equal(user_of(&terms, strdup("eyJhbGciOiJub25lIn0."
                                                   "eyJzdWIiOiJhbm4iLCJleHAiOjE4MDAwMDA2MDB9.")),
                            "");
    }
}

static void a_token_under_another_key_is_refused(void **state) {
    (void)state;
    struct jwt_terms terms = terms_of(JWT_HS256);
    const char *other = "another secret of more than thirty-two bytes";
    assert_string_equal(user_of(&terms, sign_with(JWT_ALG_HS256, other, "{" GOOD "}")), "");
    terms = terms_of(JWT_RS256);
    assert_string_equal(
        user_of(&terms, sign_with(JWT_ALG_RS256, weak_rsa.private_pem, "{" GOOD "}")), "");
    struct keys stranger;
    write_pem(EVP_EC_gen("P-256"), &stranger);
    terms = terms_of(JWT_ES256);
    assert_string_equal(
        user_of(&terms, sign_with(JWT_ALG_ES256, stranger.private_pem, "{" GOOD "}")), "");
}

/* Every single character counts, the signature's last one too as far as it has bits. */
static void a_token_changed_anywhere_is_refused(void **state) {
    (void)state;
    for (int algorithm = JWT_HS256; algorithm <= JWT_ES256; algorithm++) {
        struct jwt_terms terms = terms_of((enum jwt_algorithm)algorithm);
        char *token = sign(terms.algorithm, "{" GOOD "}");
        size_t size = strlen(token);
        for (size_t at = 0; at < size; at += algorithm == JWT_HS256 ? 1 : 13) {
            static const char *const others[] = {".", "=", "+", "/", " ", "A"};
            for (size_t i = 0; i < COUNT_OF(others); i++) {
                char *changed = strdup(token);
                assert_non_null(changed);
                changed[at] = changed[at] == *others[i] ? 'Q' : *others[i];
                assert_string_equal(user_of(&terms, changed), "");
            }
        }
        free(token);
    }
}

static void garbage_is_refused(void **state) {
    (void)state;
    static const char *const garbage[] = {"",
                                          ".",
                                          "..",
                                          "...",
                                          "a",
                                          "a.b",
                                          "a.b.c",
                                          "a.b.c.d",
                                          "e30.e30.e30",
                                          "e30.e30.",
                                          "\x80\xff",
                                          "....................",
                                          "e30.e30.AAAA"};
    for (int algorithm = JWT_HS256; algorithm <= JWT_ES256; algorithm++) {
        struct jwt_terms terms = terms_of((enum jwt_algorithm)algorithm);
        for (size_t i = 0; i < COUNT_OF(garbage); i++) {
            assert_string_equal(user_of(&terms, strdup(garbage[i])), "");
        }
    }
}

static void random_bytes_are_refused(void **state) {
    (void)state;
    struct jwt_terms terms = terms_of(JWT_HS256);
    for (size_t i = 0; i < 20000; i++) {
        static const char letters[] = "eyJhbGciOiJIUzI1NiJ9.A_-0.=\x01{";
        char *token = malloc(200);
        assert_non_null(token);
        size_t size = randombytes_uniform(199);
        for (size_t at = 0; at < size; at++) {
            token[at] = letters[randombytes_uniform(sizeof(letters) - 1)];
        }
        token[size] = '\0';
        assert_string_equal(user_of(&terms, token), "");
    }
}

static void a_token_has_a_size(void **state) {
    (void)state;
    struct jwt_terms terms = terms_of(JWT_HS256);
    char *longest = NULL;
    for (size_t padding = 2000; padding < 4000; padding++) {
        char claims[8192];
        snprintf(claims, sizeof(claims), "{" GOOD ",\"x\":\"%0*d\"}", (int)padding, 0);
        char *token = sign_by_hand("{\"alg\":\"HS256\"}", claims, SECRET);
        bool fits = strlen(token) <= JWT_SIZE_MAX;
        longest = fits ? "seen" : longest;
        assert_string_equal(user_of(&terms, token), fits ? "ann" : "");
    }
    assert_non_null(longest);
}

/* ---- keys ---- */

static int check_key(enum jwt_algorithm algorithm, const char *text) {
    struct jwt_key *key = NULL;
    int status = read_key(algorithm, text, &key);
    assert_int_equal(key != NULL, status == STATUS_OK);
    jwt_key_free(key);
    return status;
}

static void a_key_must_be_one_of_its_algorithm(void **state) {
    (void)state;
    assert_int_equal(check_key(JWT_HS256, SECRET), STATUS_OK);
    assert_int_equal(check_key(JWT_HS256, "0123456789abcdef0123456789abcde"), STATUS_INVALID);
    assert_int_equal(check_key(JWT_HS256, "0123456789abcdef0123456789abcdef"), STATUS_OK);
    assert_int_equal(check_key(JWT_HS256, ""), STATUS_INVALID);
    assert_int_equal(check_key(JWT_HS256, rsa.public_pem), STATUS_INVALID);
    assert_int_equal(check_key(JWT_HS256, p256.private_pem), STATUS_INVALID);
    const char *others[] = {
        "", "garbage", SECRET, rsa.private_pem, weak_rsa.public_pem, p384.public_pem};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        assert_int_equal(check_key(JWT_RS256, others[i]), STATUS_INVALID);
        assert_int_equal(check_key(JWT_ES256, others[i]), STATUS_INVALID);
    }
    assert_int_equal(check_key(JWT_RS256, rsa.public_pem), STATUS_OK);
    assert_int_equal(check_key(JWT_RS256, p256.public_pem), STATUS_INVALID);
    assert_int_equal(check_key(JWT_ES256, p256.public_pem), STATUS_OK);
    assert_int_equal(check_key(JWT_ES256, rsa.public_pem), STATUS_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_token_names_its_user_under_each_algorithm),
        cmocka_unit_test(claims_are_judged),
        cmocka_unit_test(issuer_and_audience_count_only_where_they_are_asked_for),
        cmocka_unit_test(a_header_that_is_not_as_agreed_is_refused),
        cmocka_unit_test(a_token_of_another_algorithm_is_refused),
        cmocka_unit_test(a_token_under_another_key_is_refused),
        cmocka_unit_test(a_token_changed_anywhere_is_refused),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test(random_bytes_are_refused),
        cmocka_unit_test(a_token_has_a_size),
        cmocka_unit_test(a_key_must_be_one_of_its_algorithm),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
