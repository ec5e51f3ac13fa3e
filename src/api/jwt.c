/* A JSON Web Token (RFC 7519) to the user it names. See credential.h.
 *
 * libjwt checks the signature and no more: what it takes the algorithm from is the token
 * itself. So header and claims are read here, strictly, from the very bytes that are signed,
 * and a header that names another algorithm than the operator's never reaches libjwt. */
#include "api/credential.h"

#include <jansson.h>
#include <jwt.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sodium.h>

enum { RSA_BITS_MIN = 2048 };

static const struct {
    const char *name;
    jwt_alg_t libjwt;
} algorithms[] = {
    [JWT_HS256] = {"HS256", JWT_ALG_HS256},
    [JWT_RS256] = {"RS256", JWT_ALG_RS256},
    [JWT_ES256] = {"ES256", JWT_ALG_ES256},
};

/* ---- the key ---- */

static bool is_p256(const EVP_PKEY *key) {
    char group[64];
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

static bool is_strong_rsa(const EVP_PKEY *key) {
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= RSA_BITS_MIN;
}

static int check_secret(const struct secret *key, struct complaint *complaint) {
    static const char pem[] = "-----BEGIN";
    if (key->text.size < JWT_SECRET_MIN) {
        return complain(complaint, STATUS_INVALID, "%s: an HS256 secret needs %d bytes at least",
                        key->source, JWT_SECRET_MIN);
    }
    /* A public key is no secret: whoever reads it could sign. */
    if (memcmp(key->text.bytes, pem, sizeof(pem) - 1) == 0) {
        return complain(complaint, STATUS_INVALID,
                        "%s holds a PEM key, which is no secret: is the algorithm RS256 or ES256?",
                        key->source);
    }
    return STATUS_OK;
}

int jwt_key_check(enum jwt_algorithm algorithm, const struct secret *key,
                  struct complaint *complaint) {
    if (algorithm == JWT_HS256) {
        return check_secret(key, complaint);
    }
    BIO *memory = BIO_new_mem_buf(key->text.bytes, (int)key->text.size);
    EVP_PKEY *parsed = memory ? PEM_read_bio_PUBKEY(memory, NULL, NULL, NULL) : NULL;
    bool fits = parsed && (algorithm == JWT_RS256 ? is_strong_rsa(parsed) : is_p256(parsed));
    EVP_PKEY_free(parsed);
    BIO_free(memory);
    if (!fits) {
        return complain(complaint, STATUS_INVALID, "%s: %s needs a public key in PEM, %s",
                        key->source, algorithms[algorithm].name,
                        algorithm == JWT_RS256 ? "RSA of 2048 bits at least" : "on curve P-256");
    }
    return STATUS_OK;
}

/* ---- the token's form ---- */

/* Three parts with dots between. */
static bool split(struct slice token, struct slice ret_parts[static 3]) {
    size_t count = 0;
    size_t start = 0;
    for (size_t at = 0; at <= token.size; at++) {
        if (at < token.size && token.bytes[at] != '.') {
            continue;
        }
        if (count == 3 || at == start) {
            return false;
        }
        ret_parts[count++] = (struct slice){token.bytes + start, at - start};
        start = at + 1;
    }
    return count == 3;
}

static bool decode(struct slice part, unsigned char room[static JWT_SIZE_MAX], size_t *ret_size) {
    return sodium_base642bin(room, JWT_SIZE_MAX, part.bytes, part.size, NULL, ret_size, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0;
}

/* NULL unless the part is a JSON object without duplicates. The caller's to json_decref. */
static json_t *read_part(struct slice part) {
    unsigned char text[JWT_SIZE_MAX];
    size_t size = 0;
    if (!decode(part, text, &size)) {
        return NULL;
    }
    json_t *object = json_loadb((const char *)text, size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* `crit` names extensions that must be understood (RFC 7515, 4.1.11); none is. */
static bool header_fits(struct slice part, enum jwt_algorithm algorithm) {
    json_t *header = read_part(part);
    const char *name = json_string_value(json_object_get(header, "alg"));
    bool fits =
        name && strcmp(name, algorithms[algorithm].name) == 0 && !json_object_get(header, "crit");
    json_decref(header);
    return fits;
}

static bool signature_fits(const struct jwt_terms *terms, struct slice token) {
    char text[JWT_SIZE_MAX + 1];
    memcpy(text, token.bytes, token.size);
    text[token.size] = '\0';
    jwt_t *jwt = NULL;
    bool fits = jwt_decode(&jwt, text, (const unsigned char *)terms->key.bytes,
                           (int)terms->key.size) == 0 &&
                jwt_get_alg(jwt) == algorithms[terms->algorithm].libjwt;
    jwt_free(jwt);
    return fits;
}

/* ---- the claims ---- */

static bool is_for(const json_t *audience, const char *name) {
    const char *text = json_string_value(audience);
    if (text) {
        return strcmp(text, name) == 0;
    }
    for (size_t i = 0; i < json_array_size(audience); i++) {
        text = json_string_value(json_array_get(audience, i));
        if (text && strcmp(text, name) == 0) {
            return true;
        }
    }
    return false;
}

/* NULL: nothing is wrong with them. */
static const char *claims_fault(const json_t *claims, const struct jwt_terms *terms,
                                int64_t now_us) {
    const json_t *expires = json_object_get(claims, "exp");
    const json_t *starts = json_object_get(claims, "nbf");
    const char *issuer = json_string_value(json_object_get(claims, "iss"));
    double now_s = (double)now_us / (double)US_PER_SECOND;
    if (!json_is_number(expires)) {
        return "The token has no exp.";
    }
    if (now_s >= json_number_value(expires) + JWT_LEEWAY_S) {
        return "The token has expired.";
    }
    if (starts && !json_is_number(starts)) {
        return "The token's nbf is no number.";
    }
    if (starts && now_s < json_number_value(starts) - JWT_LEEWAY_S) {
        return "The token is not valid yet.";
    }
    if (terms->issuer && (!issuer || strcmp(issuer, terms->issuer) != 0)) {
        return "The token is from another issuer.";
    }
    if (terms->audience && !is_for(json_object_get(claims, "aud"), terms->audience)) {
        return "The token is for another audience.";
    }
    return NULL;
}

static bool read_subject(const json_t *claims, struct user_name *ret_user) {
    const json_t *subject = json_object_get(claims, "sub");
    size_t size = json_string_length(subject);
    const char *text = json_string_value(subject);
    if (!text || size < 1 || size > USER_ID_MAX) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] < 0x21 || text[i] > 0x7e) {
            return false;
        }
    }
    memcpy(ret_user->text, text, size);
    ret_user->size = size;
    return true;
}

int jwt_read(const struct jwt_terms *terms, struct slice token, int64_t now_us,
             struct user_name *ret_user, const char **ret_why) {
    struct slice parts[3];
    unsigned char signature[JWT_SIZE_MAX];
    size_t signature_size = 0;
    assert(terms->key.size > 0); /* without a key libjwt would check nothing */
    *ret_why = "The token is none that this server takes.";
    if (token.size > JWT_SIZE_MAX || !split(token, parts) ||
        !decode(parts[2], signature, &signature_size) || !header_fits(parts[0], terms->algorithm) ||
        !signature_fits(terms, token)) {
        return STATUS_INVALID;
    }
    json_t *claims = read_part(parts[1]);
    if (claims) {
        *ret_why = claims_fault(claims, terms, now_us);
        if (!*ret_why && !read_subject(claims, ret_user)) {
            *ret_why = "The token's sub must have 1 to 128 visible ASCII characters.";
        }
    }
    json_decref(claims);
    return *ret_why ? STATUS_INVALID : STATUS_OK;
}
