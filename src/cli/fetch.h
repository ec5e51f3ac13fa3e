/* fetch: answers of a coupon server, asked for by GET over one connection that is kept. Not
 * for: what the answers mean (export_url.c). Internal to cli/. */
#ifndef COUPON_CLI_FETCH_H
#define COUPON_CLI_FETCH_H

#include "base/base.h"

/* A longer answer is no coupon server's: a page of 500 coupons has about 1.6 MB at most. */
#define FETCH_BODY_MAX (16 << 20)

struct fetch;

/* What came back. The body lasts until the next call. */
struct fetch_answer {
    int status; /* of HTTP */
    struct slice body;
};

/* `url`: http or https, a host, maybe a port and a path that stands before every target;
 * `ca_file`: PEM of who may sign the server's certificate, NULL: who this machine trusts;
 * `token` is sent as a bearer's. All are copied. STATUS_INVALID: the URL cannot be one;
 * STATUS_NO_MEMORY. */
int MUST_CHECK fetch_new(const char *url, const char *ca_file, struct slice token,
                         struct fetch **ret_fetch, struct complaint *complaint);
void fetch_free(struct fetch *fetch); /* takes NULL */

/* GET of a target as "/v1/coupons?limit=1". Connects within 5 s; the answer has 30 s. A 503
 * is asked again, four times, after what its Retry-After says (1 s when it says nothing, 30 s
 * at most); the last one is returned. Redirections are not followed, proxies of the
 * environment not used: the token goes to this server only. STATUS_IO: there is no answer;
 * STATUS_NO_MEMORY. */
int MUST_CHECK fetch_get(struct fetch *fetch, const char *target, struct fetch_answer *ret_answer,
                         struct complaint *complaint);

#endif
