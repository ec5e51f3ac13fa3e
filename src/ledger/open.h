/* How each store of the ledger is opened. A part of ledger.h, which includes it. */
#ifndef COUPON_LEDGER_OPEN_H
#define COUPON_LEDGER_OPEN_H

#include "base/base.h"

struct ledger;

/* ---- SQLite ---- */

struct ledger_sqlite_options {
    const char *directory; /* the data folder; made (0700) when it is missing */
    const char *vfs;       /* SQLite VFS name; NULL: the default */
    bool existing_only;    /* verify: STATUS_NOT_FOUND rather than a new file, and nothing
                              in the folder is changed, not even by recovery or closing */
    bool no_new;           /* import: STATUS_NOT_FOUND rather than a new file */
    bool synced;           /* backup: what is in the WAL was written and synced by the caller */
    int64_t held_size_max; /* bytes the WAL may grow to for a backup's sake; 0: 1 GiB */
    /* a backup keeps the WAL from being folded, or was broken by a fold; NULL: not told */
    void (*held)(void *context, bool broken, int64_t wal_size);
    void *held_context;
};

/* The VFS must keep its files under their names in the file system. A folder's lock, the names
 * in it and the copying of a backup are the operating system's.
 * Opens DIRECTORY/coupon.db and holds DIRECTORY/coupon.lock until closed. Recovers what a
 * crash left in the WAL and, before it returns, makes that durable in the main file.
 * STATUS_BUSY another process holds the folder, STATUS_DAMAGED, STATUS_NEWER,
 * STATUS_NOT_FOUND, STATUS_IO, STATUS_NO_MEMORY; the complaint says what to do. */
int MUST_CHECK ledger_sqlite_open(const struct ledger_sqlite_options *options,
                                  struct ledger **ret_ledger, struct complaint *complaint);

/* Copies the ledger in DIRECTORY to TARGET/coupon.db, whole, folded and checked, also while
 * another process uses it. TARGET is made, or empty, and as it was after a failure. A negative
 * return of `progress` gives up. STATUS_EXISTS, STATUS_INVALID: not this TARGET;
 * STATUS_CONFLICT: it took longer than the ledger could wait; and as for opening. */
int MUST_CHECK ledger_sqlite_backup(const char *directory, const char *target,
                                    int (*progress)(void *context, int64_t copied, int64_t total),
                                    void *context, struct complaint *complaint);

/* ---- SQL servers ---- */

/* Texts last until the open returns; the store keeps what it needs. */
struct ledger_sql_options {
    /* SCHEME://USER:PASSWORD@HOST:PORT/DATABASE?MORE. The password may be left out where the
     * store's client library finds it by itself. Nobody is shown it: no complaint has it. */
    const char *url;
    bool existing_only;           /* verify: STATUS_NOT_FOUND rather than new tables, and nothing
                                     is written, by this session, at all */
    bool weak_durability;         /* take a server that may lose what it confirmed */
    int64_t connect_timeout_us;   /* for each host that the URL names; 0: 5 s */
    int64_t lock_timeout_us;      /* what one statement waits for another's lock; 0: 2 s */
    int64_t statement_timeout_us; /* for the answer to one statement; 0: 30 s */
    int64_t idle_timeout_us;      /* the server ends a transaction of ours in which it has not
                                     heard from us for so long; 0: 60 s */
};

/* Opens the ledger in a database of a server. Its tables are made, or brought up to this
 * version, in a transaction that only one program at a time is in. Any number of programs may
 * have it open: what they write at the same time is told apart by the tables' keys and CHECKs.
 *
 * A write that met a deadlock, a serialization failure or a lock held for too long is rolled
 * back whole and done again inside the call, a few times; then it is STATUS_IO. A connection
 * that is lost is made anew by the next call: at once, and while that fails not sooner than a
 * growing time of at most 1 s later (calls in between are STATUS_IO). A session that was lost
 * with a transaction open is ended first, so what is read then stays so.
 *
 * STATUS_INVALID the URL, or a setting of the server (I3: the complaint names it; see
 * weak_durability), STATUS_NEWER the tables are of a newer version, STATUS_CONFLICT of an
 * older one and existing_only, STATUS_NOT_FOUND, STATUS_DAMAGED other tables have their names,
 * STATUS_IO, STATUS_NO_MEMORY. */
int MUST_CHECK ledger_postgres_open(const struct ledger_sql_options *options,
                                    struct ledger **ret_ledger, struct complaint *complaint);
int MUST_CHECK ledger_mysql_open(const struct ledger_sql_options *options,
                                 struct ledger **ret_ledger, struct complaint *complaint);

/* Opens what the URL's scheme says: postgresql:// or postgres://, mysql:// or mariadb://, or
 * sqlite:DIRECTORY (of the options only existing_only counts). STATUS_INVALID: another one. */
int MUST_CHECK ledger_open_url(const struct ledger_sql_options *options, struct ledger **ret_ledger,
                               struct complaint *complaint);

#endif
