/* GET /openapi.json: the contract for machines. Written by hand in openapi.json; a test walks
 * it against the running server. Called by route.c's table. */
#include "api/openapi.h"
#include "api/call.h"

void handle_openapi(struct call *call, const struct http_head *head, struct slice body) {
    struct http_response response = {
        .status = 200,
        .content_type = "application/json",
        .body = openapi_text,
    };
    (void)head;
    (void)body;
    http_reply(call->exchange, &response);
}
