/* A JSON Web Token (RFC 7519) to the user it names. See credential.h.
 *
 * Header and claims are read strictly, from the very bytes that are signed, and a header that
 * names another algorithm than the operator's is refused before anything is checked. */
#include "api/call.h"
#include "api/credential.h"

#include <jansson.h>
#include <sodium.h>
#include <strings.h>

static const char *const algorithm_names[] = {
    [JWT_HS256] = "HS256", [JWT_RS256] = "RS256", [JWT_ES256] = "ES256"};

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
    json_t *object;
    return json_object_read((struct slice){(const char *)text, size}, &object) ? NULL : object;
}

/* A media type whose "application/" may be left out, in any case (RFC 7515, 4.1.9). Tokens that the
 * same key signs for other ends, such as logout+jwt, are no credentials (RFC 8725, 3.11). */
static bool type_fits(const json_t *type) {
    static const char prefix[] = "application/";
    const char *name = json_string_value(type);
    if (!type || !name) {
        return !type;
    }
    if (strncasecmp(name, prefix, sizeof(prefix) - 1) == 0) {
        name += sizeof(prefix) - 1;
    }
    return strcasecmp(name, "JWT") == 0 || strcasecmp(name, "at+jwt") == 0; /* RFC 7519; RFC 9068 */
}

/* `crit` names extensions that must be understood (RFC 7515, 4.1.11); none is. */
static bool header_fits(struct slice part, enum jwt_algorithm algorithm) {
    json_t *header = read_part(part);
    const char *name = json_string_value(json_object_get(header, "alg"));
    bool fits = name && strcmp(name, algorithm_names[algorithm]) == 0 &&
                type_fits(json_object_get(header, "typ")) && !json_object_get(header, "crit");
    json_decref(header);
    return fits;
}

static bool signature_fits(const struct jwt_terms *terms, struct slice token,
                           struct slice encoded) {
    unsigned char signature[JWT_SIZE_MAX];
    size_t size = 0;
    struct slice signed_part = {token.bytes, (size_t)(encoded.bytes - token.bytes) - 1};
    return decode(encoded, signature, &size) &&
           jwt_key_has_signed(terms->key, signed_part,
                              (struct slice){(const char *)signature, size});
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
    if (!text || !user_id_is_valid((struct slice){text, size})) {
        return false;
    }
    memcpy(ret_user->text, text, size);
    ret_user->size = size;
    return true;
}

int jwt_read(const struct jwt_terms *terms, struct slice token, int64_t now_us,
             struct user_name *ret_user, const char **ret_why) {
    struct slice parts[3];
    *ret_why = "The token is none that this server takes.";
    if (token.size > JWT_SIZE_MAX || !split(token, parts) ||
        !header_fits(parts[0], terms->algorithm) || !signature_fits(terms, token, parts[2])) {
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
