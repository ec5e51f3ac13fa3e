/* request: the bytes of one claim, put together from parts that are made once; or a body as given.
 *
 * Called by main.c (make) and worker.c (render). */
#ifndef LOAD_REQUEST_H
#define LOAD_REQUEST_H

#include "base/base.h"

#define REQUEST_MAX        2048
#define REQUEST_PREFIX_MAX 32

/* Immutable once made: any thread may render. */
struct request {
    struct buffer before_coupon; /* "POST " and the path up to "{}", or all of it */
    struct buffer after_coupon;  /* the rest of the head, up to Content-Length's number */
    bool has_coupon;
    const char *prefix; /* of the users' names: PREFIX-NUMBER; borrowed */
    size_t prefix_size;
    const char *body; /* instead of a claim's; borrowed. NULL: a claim's */
};

/* `path` may have one "{}", where the coupon's id goes; `headers` are "Name: value".
 * STATUS_INVALID when it might not fit into REQUEST_MAX, STATUS_NO_MEMORY. */
int MUST_CHECK request_make(struct request *ret_request, uint16_t port, const char *path,
                            const char *const *headers, size_t header_count, const char *prefix,
                            const char *body);
void request_done(struct request *request);
/* Returns the size. */
size_t request_render(const struct request *request, uint64_t coupon_id, uint64_t user,
                      char room[static REQUEST_MAX]);
/* PREFIX-NUMBER into `room`; returns its size. */
size_t request_user(const struct request *request, uint64_t user,
                    char room[static REQUEST_PREFIX_MAX + 24]);

#endif
