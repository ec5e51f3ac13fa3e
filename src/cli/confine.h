/* confine: what a server's process gives up before it meets the network: being root, showing its
 * memory, and every system call that it does not need. Not for: commands that end by themselves,
 * and not for the sandbox around the process (deploy/). Internal to cli/: called by serve and
 * worker, confine_begin before anything is opened, confine_finish once all is. Why it is as it is:
 * docs/decisions/0010-confinement.md. */
#ifndef COUPON_CLI_CONFINE_H
#define COUPON_CLI_CONFINE_H

#include "base/base.h"

/* What to do about system calls. */
enum seccomp_wish {
    SECCOMP_WISH_OFF, /* nothing */
    SECCOMP_WISH_LOG, /* allow all, the kernel's log names those that would not be */
    SECCOMP_WISH_ON,  /* those of the list only */
};

struct confine_options {
    const char *user; /* whom to become when started as root; NULL: stay who we are */
    enum seccomp_wish seccomp;
    bool core_dumps; /* memory may be dumped, and looked at by others of the same user */
    bool connects;   /* to a SQL server or Redis: without it no socket can be made any more */
};

/* The rows of a table of options, and their values. False after a message. */
#define CONFINE_USER_SPEC                                                                          \
    { "user", "NAME", "when started as root: become this user before anything is opened", NULL }
#define CONFINE_SECCOMP_SPEC                                                                       \
    {                                                                                              \
        "seccomp", "on|log|off",                                                                   \
            "on: system calls that are not needed are refused; log: only written to the kernel's " \
            "log",                                                                                 \
            "on"                                                                                   \
    }
#define CONFINE_CORE_DUMPS_SPEC                                                                    \
    {                                                                                              \
        "core-dumps", "on|off",                                                                    \
            "on: a crash may leave its memory, secrets and all, and debuggers may attach", "off"   \
    }
bool confine_read(const char *subcommand, const char *user, const char *seccomp,
                  const char *core_dumps, struct confine_options *ret_options);

/* Becomes the user for good, forbids core dumps and new privileges. Main's thread, while it is the
 * only one. STATUS_INVALID: there is no such user, or only root may become it. STATUS_IO. */
int MUST_CHECK confine_begin(const struct confine_options *options, struct complaint *complaint);

/* Puts the filter of system calls on every thread there is and will be. Main's thread, when
 * everything is open. STATUS_IO: the kernel does not take it. */
int MUST_CHECK confine_finish(const struct confine_options *options, struct complaint *complaint);

/* ---- seccomp.c, for confine.c and its own test ---- */

/* False in a build with a sanitizer, whose library needs other calls. */
bool seccomp_is_possible(void);
/* The filter itself; log_only: nothing is refused. STATUS_IO. */
int MUST_CHECK seccomp_apply(bool connects, bool log_only, struct complaint *complaint);

#endif
