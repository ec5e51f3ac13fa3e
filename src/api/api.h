/* api: the HTTP contract (docs/api.md): routes, credentials, JSON, verdict to status.
 *
 * Makes an http_handler out of an issuer. Not for: sockets and framing (http), deciding and
 * writing (issuer). Called by cli. Works in the loops' threads; takes back the issuer's
 * answers through one inbox a loop.
 */
#ifndef COUPON_API_H
#define COUPON_API_H

#include "base/base.h"
#include "http/http.h"
#include "issuer/issuer.h"

/* An admin token has this many characters at least; a shorter one could be guessed. */
#define ADMIN_TOKEN_MIN 16
#define ADMIN_TOKEN_MAX 256

/* Tokens of one file at most, and their names' characters. */
#define TOKENS_MAX     64
#define TOKEN_NAME_MAX ADMIN_NAME_MAX

/* How a claimer proves who they are. */
enum claim_auth {
    CLAIM_AUTH_NONE,  /* not at all: the userId they send is believed */
    CLAIM_AUTH_TOKEN, /* a gateway's token, whose userId is believed */
    CLAIM_AUTH_JWT,   /* a JSON Web Token, whose `sub` is the user */
};

enum jwt_algorithm { JWT_HS256, JWT_RS256, JWT_ES256 };

/* What holds from start to end. */
struct api_rules {
    enum claim_auth claim_auth;
    enum jwt_algorithm jwt_algorithm; /* the only one taken, whatever a token says */
    const char *jwt_issuer;           /* what `iss` must be; NULL: anything. Outlives the api */
    const char *jwt_audience;         /* what `aud` must be or hold; likewise */
};

/* What a file holds, and its name for complaints. */
struct secret {
    struct slice text;
    const char *source;
};

/* What may change while the server runs. All is copied. Tokens: lines of `name token`, or a
 * token alone, whose name is "admin"; empty lines and those that begin with '#' are passed
 * over. */
struct api_secrets {
    struct secret admin_tokens;
    struct secret claim_tokens; /* CLAIM_AUTH_TOKEN */
    struct secret jwt_key;      /* CLAIM_AUTH_JWT: the secret, or the public key in PEM */
};

/* The first token of such a text, for who calls the API. STATUS_INVALID: a line of it cannot be
 * taken, or it holds none. */
int MUST_CHECK api_token_first(const struct secret *tokens, struct slice *ret_token,
                               struct complaint *complaint);

struct api_options {
    struct issuer *issuer; /* outlives the api */
    struct api_rules rules;
    struct api_secrets secrets;
    unsigned loop_count; /* loops the handler will be started in, at most */
};

struct api;

/* STATUS_NO_MEMORY; STATUS_INVALID: one of the secrets cannot be taken. */
int MUST_CHECK api_new(const struct api_options *options, struct api **ret_api,
                       struct complaint *complaint);
/* Takes these secrets from now on: every request that arrives after it returned is judged by
 * them, all by one set or the other. On failure, as api_new's, the former stay. Any thread. */
int MUST_CHECK api_secrets_replace(struct api *api, const struct api_secrets *secrets,
                                   struct complaint *complaint);
/* The handler for http_server_start; refers to the api. */
struct http_handler api_handler(struct api *api);
/* Whose connections and requests /metrics tells; it leaves them out before. */
void api_server_started(struct api *api, const struct http_server *server);
/* After the server and the issuer were stopped. Takes NULL. */
void api_free(struct api *api);

#endif
