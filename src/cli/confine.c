/* Giving up what a server does not need. See confine.h; the system calls are seccomp.c's. */
#include "cli/confine.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- options ---- */

/* The place of `value` among `names`, which end with NULL; -1 after a message. */
static int choice(const char *subcommand, const char *option, const char *value,
                  const char *const *names) {
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], value) == 0) {
            return i;
        }
    }
    fprintf(stderr, "coupon %s: --%s cannot be \"%s\"; see coupon %s --help\n", subcommand, option,
            value, subcommand);
    return -1;
}

bool confine_read(const char *subcommand, const char *user, const char *seccomp,
                  const char *core_dumps, struct confine_options *ret_options) {
    static const char *const wishes[] = {
        [SECCOMP_WISH_OFF] = "off", [SECCOMP_WISH_LOG] = "log", [SECCOMP_WISH_ON] = "on", NULL};
    static const char *const switches[] = {"off", "on", NULL};
    int wish = choice(subcommand, "seccomp", seccomp, wishes);
    int dumps = wish < 0 ? -1 : choice(subcommand, "core-dumps", core_dumps, switches);
    if (dumps < 0) {
        return false;
    }
    ret_options->user = user;
    ret_options->seccomp = (enum seccomp_wish)wish;
    ret_options->core_dumps = dumps == 1;
    return true;
}

/* ---- the user ---- */

static int become(const struct passwd *user, struct complaint *complaint) {
    if (initgroups(user->pw_name, user->pw_gid) ||
        setresgid(user->pw_gid, user->pw_gid, user->pw_gid) ||
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid)) {
        return complain(complaint, STATUS_IO, "cannot become the user %s: %s", user->pw_name,
                        strerror(errno));
    }
    int back = setresuid(0, 0, 0);
    assert(back < 0 && "root is given up for good");
    return STATUS_OK;
}

static int take_user(const char *name, struct complaint *complaint) {
    errno = 0;
    const struct passwd *user = getpwnam(name);
    if (!user) {
        return complain(complaint, STATUS_INVALID, "--user: there is no user \"%s\"", name);
    }
    if (user->pw_uid == geteuid()) {
        return STATUS_OK; /* also root, who then means it */
    }
    if (geteuid() != 0) {
        return complain(complaint, STATUS_INVALID,
                        "--user: only root can become %s; start it as that user, or as root", name);
    }
    return become(user, complaint);
}

/* ---- the stages ---- */

/* A filter of system calls cannot be asked for without PR_SET_NO_NEW_PRIVS, and it is right
 * without one, too. Becoming another user sets what may be dumped anew, hence after that. */
static int close_memory(bool core_dumps, struct complaint *complaint) {
    struct rlimit none = {0, 0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, core_dumps, 0, 0, 0) ||
        (!core_dumps && setrlimit(RLIMIT_CORE, &none))) {
        return complain(complaint, STATUS_IO, "cannot give up privileges: %s", strerror(errno));
    }
    return STATUS_OK;
}

int confine_begin(const struct confine_options *options, struct complaint *complaint) {
    int status = options->user ? take_user(options->user, complaint) : STATUS_OK;
    if (status == STATUS_OK) {
        status = close_memory(options->core_dumps, complaint);
    }
    if (status == STATUS_OK && !options->user && geteuid() == 0) {
        log_event(LOG_WARN, "running-as-root",
                  LOG_TEXT("hint", "it needs no privileges: start it as a user of its own, or "
                                   "give --user NAME"));
    }
    return status;
}

int confine_finish(const struct confine_options *options, struct complaint *complaint) {
    if (options->seccomp == SECCOMP_WISH_OFF) {
        return STATUS_OK;
    }
    if (!seccomp_is_possible()) {
        log_event(LOG_INFO, "seccomp-left-out",
                  LOG_TEXT("hint", "this build has a sanitizer, whose library needs other system "
                                   "calls; no build for use has one"));
        return STATUS_OK;
    }
    return seccomp_apply(options->connects, options->seccomp == SECCOMP_WISH_LOG, complaint);
}
