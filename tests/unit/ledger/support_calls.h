/* The calls of the SQLite ledger to the operating system, to SQLite and for memory, of which one
 * or all from the nth on fail when a test says so. Linked with --wrap (meson.build), so SQLite's
 * own calls do what they always do; those fail by support.h's VFS. For test_system and
 * test_statements. */
#ifndef COUPON_TESTS_LEDGER_SUPPORT_CALLS_H
#define COUPON_TESTS_LEDGER_SUPPORT_CALLS_H

#include <stdbool.h>

enum call_kind {
    CALLS_NONE,
    CALLS_SYSTEM, /* and memory: fail with an errno */
    CALLS_UNLINK, /* the removal of names: the same */
    CALLS_LOCK,   /* flock: the same */
    CALLS_READ,   /* pread: the same */
    CALLS_SYNC,   /* fsync: the same */
    CALLS_LIST,   /* readdir: the same */
    CALLS_KILL,   /* kill: the same */
    CALLS_SQLITE, /* what can fail of SQLite: not done, but a result code, or no memory */
    CALLS_VALUE,  /* a value in a row shows a type of SQLite that it is not of */
};

/* The nth call of the kind fails with `how`, which is an errno, a result code or a type; with
 * `stays` every one after it too. */
void calls_arm(enum call_kind kind, unsigned nth, int how, bool stays);
/* Nothing fails, but `meddle` runs once, before the nth call of the kind. */
void calls_arm_meddler(enum call_kind kind, unsigned nth, void (*meddle)(void *context),
                       void *context);
/* How many have failed since; none does from now on. */
unsigned calls_disarm(void);
/* While it is set, pread and pwrite do half of what they are asked for, but for short headers. */
void calls_halve(bool halve);

#endif
