/* What the tests of the SQLite ledger share: private folders, a look at the bytes of a folder,
 * and a VFS that fails when it is told to. What any store must do is in tests/contract. */
#ifndef COUPON_TESTS_LEDGER_SUPPORT_H
#define COUPON_TESTS_LEDGER_SUPPORT_H

#include "../../contract/rows.h"

/* ---- folders ---- */

/* A new folder that only this test uses; freed and removed by folder_remove. */
char *folder_new(void);
void folder_remove(char *folder);
void folder_copy(const char *from, const char *to);
/* DIRECTORY/NAME, in one of four static rooms. */
const char *path_of(const char *folder, const char *name);
/* Names, sizes and bytes of all files: equal when nothing changed. The caller's to free. */
struct buffer folder_bytes(const char *folder);
void assert_folder_is(const char *folder, struct buffer *bytes); /* frees the bytes */
bool exists(const char *folder, const char *name);
void file_write(const char *path, const void *bytes, size_t size);
/* Runs SQL on coupon.db with a plain connection of its own. */
void sql_run(const char *folder, const char *text);

/* ---- ledgers ---- */

struct ledger *open_ledger(const char *folder, const char *vfs);
struct ledger *open_existing(const char *folder);
/* The status of an open that is to fail; says why in `complaint`. */
int open_status(const char *folder, bool existing_only);

/* A closed ledger with a coupon of `issues` issues. */
void make_ledger(const char *folder, uint32_t issues);
/* The same, but its last `tail` issues are in a WAL that nobody folded. */
void make_ledger_with_wal(const char *folder, uint32_t issues, uint32_t tail);

/* ---- faults ---- */

enum fault_call { FAULT_NONE, FAULT_WRITE, FAULT_SYNC, FAULT_TRUNCATE };

/* What the VFS named FAULT_VFS does; set by the test between calls. */
struct faults {
    enum fault_call call;        /* which call fails */
    int countdown;               /* the n-th from now on; 0: none */
    bool stays;                  /* and every one after it */
    int result;                  /* with this code */
    int last_errno;              /* what SQLite is told of it then; 0: it is not asked */
    bool half_done;              /* a failing write has written half of its bytes, else all */
    bool skip_sync;              /* leave real syncs out, for speed */
    bool no_powersafe_overwrite; /* as a VFS that does not promise it */
    int failed;                  /* how often it failed */
    int wal_syncs;               /* successful syncs of a -wal file */
    int wal_writes;
};
extern struct faults faults;
#define FAULT_VFS "faults"
void faults_register(void);
void faults_arm(enum fault_call call, int countdown, int result, bool stays);
void faults_clear(void);

/* ---- changes that a fault may hit ---- */

#define BEFORE       5 /* issues of coupon 1 when the fault comes */
#define BATCH        300
#define CHANGE_COUNT 5

typedef int (*change)(struct ledger *ledger);
extern const change changes[CHANGE_COUNT];
int change_append(struct ledger *ledger); /* BATCH issues more */

/* An open ledger with BEFORE issues. `fresh_wal`: the next write begins a WAL, header and
 * all; else it goes on in one. */
struct ledger *ledger_before(const char *folder, bool fresh_wal);
/* What the record is without and with the change, learnt where nothing fails. */
void learn(change make, struct buffer *ret_before, struct buffer *ret_after);
/* Nothing of the change is there, now or after a kill, and the ledger works. Closes it. */
void assert_known(const char *folder, struct ledger *ledger, change make, struct buffer *before,
                  struct buffer *after);
/* All of the change or nothing is there, and stays what it is. Tells whether it is there.
 * Closes the ledger. */
bool assert_ambiguous(const char *folder, struct ledger *ledger, struct buffer *before,
                      struct buffer *after);
void assert_stopped(struct ledger *ledger); /* every call says STATUS_AMBIGUOUS */
/* Opens with FAULT_VFS and closes: the first failure. */
int open_status_with_faults(const char *folder);

#endif
