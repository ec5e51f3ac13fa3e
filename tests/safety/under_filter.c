/* under-filter: runs a program under the filter of system calls that systemd would make of a unit:
 * the calls and the address families named in a file, one a line, and no memory that is writable
 * and executable; all others fail with EPERM. For tests/safety, where no systemd runs; not for use.
 *
 *   under-filter FILE PROGRAM ARGUMENTS... */
#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FAILED = 125 };

static void require(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "under-filter: %s: %s\n", what, strerror(errno));
        exit(FAILED);
    }
}

/* The call, when `mask` of this argument is `value`. */
static void allow_if(scmp_filter_ctx filter, int call, unsigned argument, scmp_datum_t mask,
                     scmp_datum_t value) {
    struct scmp_arg_cmp is = {argument, SCMP_CMP_MASKED_EQ, mask, value};
    require(seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &is) == 0, "a rule");
}

static void allow(scmp_filter_ctx filter, const char *name) {
    static const struct {
        const char *name;
        int number;
    } families[] = {{"AF_UNIX", AF_UNIX}, {"AF_INET", AF_INET}, {"AF_INET6", AF_INET6}};
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (strcmp(name, families[i].name) == 0) {
            allow_if(filter, SCMP_SYS(socket), 0, 0xffffffff, (scmp_datum_t)families[i].number);
            return;
        }
    }
    int call = seccomp_syscall_resolve_name(name);
    if (call == SCMP_SYS(mprotect)) {
        allow_if(filter, call, 2, PROT_EXEC, 0);
    } else if (call == SCMP_SYS(mmap)) {
        allow_if(filter, call, 2, PROT_WRITE | PROT_EXEC, 0);
        allow_if(filter, call, 2, PROT_WRITE | PROT_EXEC, PROT_WRITE);
        allow_if(filter, call, 2, PROT_WRITE | PROT_EXEC, PROT_EXEC);
    } else if (call != __NR_SCMP_ERROR && call != SCMP_SYS(socket)) {
        require(seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) == 0, name);
    }
}

int main(int argc, char **argv) {
    char name[128];
    require(argc > 2, "usage: under-filter FILE PROGRAM ARGUMENTS");
    FILE *names = fopen(argv[1], "re");
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    require(names && filter, argv[1]);
    while (fgets(name, sizeof(name), names)) {
        name[strcspn(name, "\n")] = '\0';
        allow(filter, name);
    }
    fclose(names);
    require(seccomp_load(filter) == 0, "the filter");
    seccomp_release(filter);
    execvp(argv[2], argv + 2);
    require(false, argv[2]);
}
