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

/* How a claimer proves who they are. */
enum claim_auth {
    CLAIM_AUTH_NONE, /* not at all: the userId they send is believed */
};

struct api_options {
    struct issuer *issuer;   /* outlives the api */
    const char *admin_token; /* visible ASCII, ADMIN_TOKEN_MIN to _MAX characters; copied */
    enum claim_auth claim_auth;
    unsigned loop_count; /* loops the handler will be started in, at most */
};

struct api;

/* STATUS_NO_MEMORY; STATUS_INVALID: the token has a bad length or character. */
int MUST_CHECK api_new(const struct api_options *options, struct api **ret_api,
                       struct complaint *complaint);
/* The handler for http_server_start; refers to the api. */
struct http_handler api_handler(struct api *api);
/* After the server and the issuer were stopped. Takes NULL. */
void api_free(struct api *api);

#endif
