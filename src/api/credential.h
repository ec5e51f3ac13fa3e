/* credential: who is calling, judged by what the operator's files say. Internal to api/.
 *
 * Not for: HTTP answers (route.c) and reading files (cli). A set of credentials never
 * changes; a new one takes its place (api.h, api_secrets_replace). */
#ifndef COUPON_API_CREDENTIAL_H
#define COUPON_API_CREDENTIAL_H

#include "api/api.h"

/* ---- JSON Web Tokens (jwt.c, jwt_key.c) ---- */

/* A longer token is refused unread. */
#define JWT_SIZE_MAX 4096
/* How far the issuer's clock may be from ours. */
#define JWT_LEEWAY_S 30
/* HS256 with less could be searched through (RFC 7518, 3.2). */
#define JWT_SECRET_MIN 32

struct jwt_key; /* opaque; never changes, so any thread may use it */

/* Reads the secret (HS256) or the public key in PEM; the caller's to free. STATUS_INVALID when
 * it is not one of the algorithm's, STATUS_NO_MEMORY. */
int MUST_CHECK jwt_key_read(enum jwt_algorithm algorithm, const struct secret *secret,
                            struct jwt_key **ret_key, struct complaint *complaint);
void jwt_key_free(struct jwt_key *key); /* wipes it; takes NULL */
/* Whether `signature`, as in a token once decoded, is the key's of these bytes. */
bool jwt_key_has_signed(const struct jwt_key *key, struct slice data, struct slice signature);

/* What a token must fulfil. */
struct jwt_terms {
    enum jwt_algorithm algorithm;
    const struct jwt_key *key; /* of this algorithm */
    const char *issuer;        /* NULL: any */
    const char *audience;      /* NULL: any */
};

struct user_name {
    char text[USER_ID_MAX];
    size_t size;
};

/* The token's `sub`, once its algorithm, signature, times, issuer and audience are right.
 * STATUS_INVALID, with a constant sentence for the client. */
int MUST_CHECK jwt_read(const struct jwt_terms *terms, struct slice token, int64_t now_us,
                        struct user_name *ret_user, const char **ret_why);

/* ---- the credentials in force (credential.c) ---- */

struct credentials; /* never changes once made; counted */

/* STATUS_INVALID, STATUS_NO_MEMORY. Copies what it needs. One reference, the caller's. */
int MUST_CHECK credentials_new(const struct api_rules *rules, const struct api_secrets *secrets,
                               struct credentials **ret_credentials, struct complaint *complaint);
/* Both under one lock. The last release wipes and frees; takes NULL. */
struct credentials *credentials_hold(struct credentials *credentials);
void credentials_release(struct credentials *credentials);

enum caller {
    CALLER_UNKNOWN,  /* no right credential */
    CALLER_BELIEVED, /* a claimer who may name any user: a gateway, or nobody is checked */
    CALLER_USER,     /* a claimer who is one user */
    CALLER_ADMIN,    /* an operator, who may name any user too */
};

struct finding {
    enum caller caller;
    const char *admin_name; /* ADMIN: the token's name; as long as the credentials */
    struct user_name user;  /* USER */
    const char *why;        /* UNKNOWN: a constant sentence for the client */
};

/* Judges a bearer's token; size 0: there is none. Loops' threads. */
void credentials_judge(const struct credentials *credentials, struct slice token, int64_t now_us,
                       struct finding *ret_finding);

#endif
