/* reply: finds the end of each HTTP/1.1 reply in what a connection received, and its status.
 *
 * For replies with a Content-Length, and those that have no body (204, 304). Not for: chunked
 * replies or any other framing, which are told as broken; what a body says. Called by worker.c. */
#ifndef LOAD_REPLY_H
#define LOAD_REPLY_H

#include "base/base.h"

#define REPLY_HEAD_MAX 2048

enum reply_end {
    REPLY_PART,   /* all bytes were taken; more must come */
    REPLY_WHOLE,  /* a reply has ended */
    REPLY_BROKEN, /* not what this reads; the connection is of no more use */
};

/* All zero: before the first byte. */
struct reply {
    int status;   /* of the reply that ended or whose body is under way */
    bool closes;  /* it said Connection: close */
    bool in_body; /* `body_left` bytes of it are still to come */
    uint64_t body_left;
    size_t head_size; /* of a head that came in parts */
    char head[REPLY_HEAD_MAX];
};

/* Takes bytes up to the end of one reply; *ret_taken tells how many. After REPLY_WHOLE the next
 * call begins the next reply; `status` and `closes` stay until then. Keeps no reference. */
enum reply_end reply_feed(struct reply *reply, struct slice bytes, size_t *ret_taken);

#endif
