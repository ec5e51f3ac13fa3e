/* users_csv: the users of a CSV file (RFC 4180), one a line, out of its bytes as they come.
 * Pure: no file, no clock, nothing allocated; any bytes are taken. Not for: whether a user
 * may have a coupon (import.c). Internal to cli/. */
#ifndef COUPON_CLI_USERS_CSV_H
#define COUPON_CLI_USERS_CSV_H

#include "ledger/ledger.h"

/* A line that was read. */
struct users_csv_line {
    uint64_t number;   /* from 1, the header counted */
    struct slice user; /* without its quotes; lasts until the next call */
    const char *fault; /* why there is no user on it; NULL: there is one. Lasts as long */
};

enum users_csv_state {
    CSV_LINE_START,
    CSV_PLAIN,       /* in a field without quotes */
    CSV_QUOTED,      /* in one with quotes */
    CSV_QUOTE_AFTER, /* behind a quote in it: the closing one, or the first of two */
    CSV_RETURN,      /* behind a CR that ends the line when LF follows */
};

struct users_csv {
    enum users_csv_state state;
    enum users_csv_state before_return; /* RETURN: what it was */
    uint64_t number;                    /* of the line that is read */
    unsigned mark_size;                 /* bytes of a byte order mark at the file's start */
    bool begun;                         /* the line has bytes */
    bool given;                         /* it is over and was given out */
    size_t size;                        /* of the user; those beyond the room are only counted */
    char user[USER_ID_MAX];
    char fault[128]; /* "": none so far; the first is kept */
};

void users_csv_init(struct users_csv *csv);

/* Reads up to the end of one line and takes what it read off *rest. True: it is in *ret_line.
 * False: *rest is used up and the line goes on; with `at_end`, which says that nothing comes
 * after *rest, there was no more line. A first line that is `userId` or `user_id` is passed
 * over. A quoted field ends with its line at the latest, so that a quote that is never closed
 * costs one line and not the rest of the file. */
bool users_csv_next(struct users_csv *csv, struct slice *rest, bool at_end,
                    struct users_csv_line *ret_line);

#endif
