/* story: a scripted run of the real embedded issuer, each answer judged by the model as it comes.
 * Without a fault every answer is known beforehand. With one (fault.h) an answer may be a refusal
 * that blames the storage, or the outcome may be unknown; then it is looked at what became of it,
 * and it goes on from there. What is wrong ends the process with exit code 1 and a message.
 *
 * What was told must be there at every moment and after the end; what was refused must not; what
 * was left unknown is there whole or not at all.
 *
 * Not for: making faults (shim_*.c), or damaging what is on the disk (disk.c). */
#ifndef COUPON_TESTS_CRASH_IO_STORY_H
#define COUPON_TESTS_CRASH_IO_STORY_H

#include "fault.h"
#include "model.h"

#include <limits.h>

#define STORY_NEVER INT_MAX

/* For who watches the run without faults. Texts as in model.h; each member may be NULL. */
struct story_listener {
    void (*pending)(const struct buffer *text); /* a change is asked for: the record after it … */
    void (*told)(void);                         /* … it was told that it is made … */
    void (*dropped)(void);                      /* … or that it is not */
    void (*folder)(const char *name);           /* the record lies there from now on */
    void (*backup)(const char *name, bool done);
};

struct story {
    const char *root;    /* an empty folder, without links, for all of it */
    const char *vfs;     /* NULL: SQLite's own */
    struct fault *fault; /* armed by the caller */
    int mend_after;      /* asks after the first strike until the disk is mended; STORY_NEVER */
    const struct story_listener *listener; /* may be NULL */
    bool planted; /* a false belief, for the checkers' own test: one refusal was a success */

    /* the story's */
    char folder[PATH_MAX];
    int64_t now_us;
    struct model *told; /* what was told */
    struct model *next; /* … and what is asked for */
    bool over;          /* it cannot go on: the disk stays broken */
    int since_strike;
    bool is_mended;
    uint64_t asks;
    uint64_t refused; /* known failures */
    uint64_t unknown; /* outcomes unknown … */
    uint64_t found;   /* … of which so many were found to be made */
    uint64_t restarts;
};

/* Runs the script (script.c) to its end, where the record is judged without faults. */
void story_run(struct story *story);

/* ---- for the script ---- */

/* A message to stderr, and the end of the process. */
void story_violation(const struct story *story, const char *format, ...) __attribute__((noreturn))
PRINTF_LIKE(2, 3);

struct asked_claim {
    uint64_t coupon_id;
    char user[MODEL_NAME_SIZE];
    char key[MODEL_NAME_SIZE];
};
/* Each starts the server first when none runs. `asked` in one batch. */
void story_claims(struct story *story, const struct asked_claim *asked, size_t count);
void story_create(struct story *story, const struct coupon_record *record, const char *key);
void story_change(struct story *story, uint64_t coupon_id, unsigned patch_set,
                  const struct coupon_record *values, uint32_t if_version);
void story_reads(struct story *story, uint64_t coupon_id, const char *user);
void story_stop(struct story *story);
/* While no server runs. */
void story_import(struct story *story, uint64_t coupon_id, const char *const *users, size_t count);
/* To a folder of this name under the root. */
void story_backup(struct story *story, const char *name);
/* As after a kill: the files as they lie there now go on in a folder of this name. */
void story_move(struct story *story, const char *name);
/* The record as it is, by readers that change nothing, is what was told. */
void story_check(struct story *story);

/* The script itself. */
void script_run(struct story *story);

#endif
