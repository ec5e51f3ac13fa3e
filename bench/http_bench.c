/* A server of one constant 200 reply: what src/http itself costs a request, to be compared
 * with nginx `return 200` (./dev bench floor runs both).
 *
 *   http-bench PORT [LOOPS]     until SIGINT or SIGTERM
 */
#include "http/http.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static int64_t on_head(void *loop_context, struct http_exchange *exchange,
                       const struct http_head *head) {
    (void)loop_context;
    (void)exchange;
    (void)head;
    return 4096;
}

static void answer(struct http_exchange *exchange, int status, struct slice body) {
    struct http_response response = {
        .status = status, .content_type = "application/json", .body = body};
    http_reply(exchange, &response);
}

static void on_request(void *loop_context, struct http_exchange *exchange,
                       const struct http_head *head, struct slice body) {
    (void)loop_context;
    (void)head;
    (void)body;
    answer(exchange, 200, slice_of("{\"issueId\":\"1-1\",\"couponId\":1,\"rank\":1}"));
}

static void on_refused(void *loop_context, struct http_exchange *exchange,
                       enum http_refusal refusal, const char *why) {
    (void)loop_context;
    answer(exchange, refusal == HTTP_REFUSED_CROWDED ? 503 : 400, slice_of(why));
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s PORT [LOOPS]\n", argv[0]);
        return 2;
    }
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    struct http_options options;
    http_options_default(&options);
    options.port = (uint16_t)strtoul(argv[1], NULL, 10);
    options.loop_count = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
    struct http_handler handler = {.head = on_head, .request = on_request, .refused = on_refused};
    struct http_server *server = NULL;
    struct complaint complaint;
    if (http_server_start(&options, &handler, &server, &complaint) != STATUS_OK) {
        fprintf(stderr, "%s\n", complaint.text);
        return 1;
    }
    printf("%u\n", (unsigned)http_server_port(server));
    fflush(stdout);
    int signal_number = 0;
    sigwait(&ends, &signal_number);
    http_server_stop(server, US_PER_SECOND);
    http_server_free(server);
    return 0;
}
