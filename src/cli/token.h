/* token: the admin token's file. Not for: judging a credential (api). Internal to cli/: called
 * by serve. */
#ifndef COUPON_CLI_TOKEN_H
#define COUPON_CLI_TOKEN_H

#include "api/api.h"

struct token {
    char text[ADMIN_TOKEN_MAX + 1];
    char path[4096]; /* where it was read or written */
};

/* Reads the token from `file`, or from DIRECTORY/admin-token when `file` is NULL, which is
 * made (0600, random) when it is missing. The first line counts. */
int MUST_CHECK token_obtain(const char *file, const char *directory, struct token *ret_token,
                            struct complaint *complaint);

#endif
