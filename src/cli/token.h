/* token: the files of credentials: admin tokens, claimers' tokens, the key of theirs. Not
 * for: judging a credential (api). Internal to cli/: called by serve. */
#ifndef COUPON_CLI_TOKEN_H
#define COUPON_CLI_TOKEN_H

#include "api/api.h"

/* A larger file is refused. */
#define SECRET_FILE_MAX 65536

struct secret_file {
    const char *kind;    /* "admin-token": for complaints and events of the log */
    bool public;         /* others may read it */
    char path[4096];     /* "": there is none */
    struct buffer bytes; /* as last read */
};

struct secret_files {
    struct secret_file admin;
    struct secret_file claim;
    struct secret_file jwt_key;
};

/* Where they are; NULL: none, but DIRECTORY/admin-token for the admin's. STATUS_INVALID: a
 * path is too long. */
int MUST_CHECK secret_files_init(struct secret_files *files, const char *admin, const char *claim,
                                 const char *jwt_key, const char *directory,
                                 struct complaint *complaint);
/* Makes the admin token's file (0600, one random token) when it is missing. */
int MUST_CHECK secret_files_make(const struct secret_files *files, struct complaint *complaint);
/* Reads them all. What is handed out lasts until secret_files_wipe, which forgets them. */
int MUST_CHECK secret_files_read(struct secret_files *files, struct api_secrets *ret_secrets,
                                 struct complaint *complaint);
void secret_files_wipe(struct secret_files *files);

#endif
