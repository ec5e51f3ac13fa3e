/* serve: what the command line of coupon serve says. Internal to cli/: serve_options.c reads it,
 * serve.c acts on it. */
#ifndef COUPON_CLI_SERVE_H
#define COUPON_CLI_SERVE_H

#include "cli/confine.h"
#include "cli/token.h"
#include "http/http.h"
#include "issuer/issuer.h"

struct serve_options {
    struct http_options http;
    const char *ledger_url; /* NULL: embedded */
    struct issuer_local_options local;
    struct issuer_sql_options sql;
    struct issuer_redis_options redis;
    char host[64];
    struct api_rules rules;
    struct secret_files secrets;
    bool admin_token_given; /* by an option: never made */
    struct confine_options confine;
};

/* Fills it in place: it points into itself, argv and the environment. False after a message, or
 * (with *ret_help) when help was asked for. */
bool serve_options_read(int argc, char **argv, struct serve_options *ret_options, bool *ret_help);
/* The table of options, for the help. */
void serve_options_print(void);

#endif
