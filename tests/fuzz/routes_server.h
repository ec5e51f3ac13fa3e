/* routes_server: a whole server in this process, on a folder in memory, and a plain client of it.
 * Not for: what the answers mean. Called by fuzz_routes.c. */
#ifndef COUPON_TESTS_FUZZ_ROUTES_SERVER_H
#define COUPON_TESTS_FUZZ_ROUTES_SERVER_H

#include "base/base.h"

#include <jansson.h>

#define ADMIN_TOKEN "the-admin-token-of-the-fuzzer"

/* ---- the server ---- */

/* Starts on an empty record and returns once claims are taken. */
void server_start(void);
void server_stop(void); /* and forgets the record */

/* ---- a connection that asks one thing at a time ---- */

struct asker {
    int socket; /* -1: none */
    bool asked; /* an answer is owed */
    bool head;  /* … without a body */
};

struct answer {
    int status;
    bool close;
    bool replayed;     /* Idempotent-Replayed: true */
    bool problem;      /* its media type */
    json_t *json;      /* NULL: the body is no JSON, or there is none */
    struct buffer raw; /* all of it */
};

void asker_send(struct asker *asker, struct slice request, bool head);
/* Waits for the answer, which must come whole and well-formed. */
void asker_receive(struct asker *asker, struct answer *ret_answer);
void asker_close(struct asker *asker);
void answer_done(struct answer *answer);

#endif
