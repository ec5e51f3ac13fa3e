/* export: the record's issues as lines of text, from a folder or from a server that runs.
 * Not for: what the command line says (export.c). Internal to cli/. */
#ifndef COUPON_CLI_EXPORT_H
#define COUPON_CLI_EXPORT_H

#include "ledger/ledger.h"

#include <stdio.h>

/* ---- the lines (export_rows.c) ---- */

/* Where lines go. One thread. The caller sets the first three, the rest is zeroed. */
struct export_rows {
    const char *path; /* a new file; NULL: standard output */
    bool ndjson;      /* else CSV */
    struct complaint *complaint;
    FILE *output;        /* NULL until export_rows_begin */
    struct buffer lines; /* gathered, not written yet */
    uint64_t count;      /* issues so far */
    uint64_t total;      /* how many there will be, set by the source; 0: it does not know */
};

/* Makes the file and begins it. Called once the source is known to be there, so that a
 * mistake leaves no file. STATUS_EXISTS: there is one of this name; STATUS_IO. */
int MUST_CHECK export_rows_begin(struct export_rows *rows);
/* One issue more. STATUS_IO, STATUS_NO_MEMORY. Tells the log after every million. */
int MUST_CHECK export_rows_add(struct export_rows *rows, const struct issue_row *issue);
/* Writes what is left and closes. `status` is how the reading ended: after a failure the
 * file, which would be half a record, is removed. Returns `status`, or what went wrong now. */
int MUST_CHECK export_rows_end(struct export_rows *rows, int status);

/* ---- the sources: each begins the rows, and adds coupons by id, issues by rank ---- */

/* A folder nobody holds. `coupon_id` 0: all. STATUS_NOT_FOUND, and ledger_sqlite_open's. */
int MUST_CHECK export_from_data(const char *directory, uint64_t coupon_id,
                                struct export_rows *rows);

/* A server that runs, and how it is asked. */
struct export_server {
    const char *url;
    const char *token_file; /* its first token is sent */
    const char *ca_file;    /* NULL: certificates that this machine trusts */
};

/* Each coupon up to what was issued of it when the server told of the coupon.
 * STATUS_INVALID, STATUS_NOT_FOUND, STATUS_IO, STATUS_NO_MEMORY. */
int MUST_CHECK export_from_url(const struct export_server *server, uint64_t coupon_id,
                               struct export_rows *rows);

#endif
