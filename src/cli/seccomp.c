/* The system calls that a server needs once everything is open, and a filter in the kernel that
 * refuses the others (seccomp, by libseccomp). Not for: start-up, which needs more. Called by
 * confine.c.
 *
 * Three answers. A call of the list is carried out. One that no library of ours has a lawful reason
 * for, such as execve, ends the process: somebody else's code runs in it. Any other gets ENOSYS, as
 * from an older kernel: a library that was upgraded and tries something new falls back to what it
 * did before, and an event does not end because of it. */
#include "cli/confine.h"

#include <errno.h>
#include <linux/prctl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* By name, for the architectures that have them; tests/safety reads these tables. */
static const int allowed[] = {
    /* memory (mmap, mprotect: see conditions) */
    SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(membarrier), SCMP_SYS(mremap), SCMP_SYS(munmap),
    /* threads, signals, time, chance */
    SCMP_SYS(clock_getres), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(exit),
    SCMP_SYS(exit_group), SCMP_SYS(futex), SCMP_SYS(getcpu), SCMP_SYS(getrandom), SCMP_SYS(gettid),
    SCMP_SYS(gettimeofday), SCMP_SYS(nanosleep), SCMP_SYS(restart_syscall), SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list), SCMP_SYS(sigaltstack), SCMP_SYS(time), SCMP_SYS(times),
    /* who we are, and what we use */
    SCMP_SYS(getegid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getpid), SCMP_SYS(getppid),
    SCMP_SYS(getrlimit), SCMP_SYS(getrusage), SCMP_SYS(getuid), SCMP_SYS(sysinfo), SCMP_SYS(uname),
    /* files: the record, tokens, what name look-up and TLS read */
    SCMP_SYS(access), SCMP_SYS(close), SCMP_SYS(dup), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
    SCMP_SYS(fadvise64), SCMP_SYS(fallocate), SCMP_SYS(fchmod), SCMP_SYS(fchown), SCMP_SYS(fcntl),
    SCMP_SYS(fdatasync), SCMP_SYS(flock), SCMP_SYS(fstat), SCMP_SYS(fstatfs), SCMP_SYS(fsync),
    SCMP_SYS(ftruncate), SCMP_SYS(getcwd), SCMP_SYS(getdents64), SCMP_SYS(lseek), SCMP_SYS(lstat),
    SCMP_SYS(newfstatat), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(pread64), SCMP_SYS(preadv),
    SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(read), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
    SCMP_SYS(readv), SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(stat),
    SCMP_SYS(statx), SCMP_SYS(umask), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(write),
    SCMP_SYS(writev),
    /* connections that are there, and waiting (socket, connect: see outward) */
    SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_wait), SCMP_SYS(eventfd2), SCMP_SYS(getpeername),
    SCMP_SYS(getsockname), SCMP_SYS(getsockopt), SCMP_SYS(pipe2), SCMP_SYS(poll), SCMP_SYS(ppoll),
    SCMP_SYS(pselect6), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(select), SCMP_SYS(sendmsg),
    SCMP_SYS(sendto), SCMP_SYS(setsockopt), SCMP_SYS(shutdown)};

/* For a SQL server or Redis: connecting anew, after asking a name server for the address. */
static const int outward[] = {SCMP_SYS(connect), SCMP_SYS(recvmmsg), SCMP_SYS(sendmmsg)};

/* Calls that an intruder wants and no library of ours makes. */
static const int deadly[] = {
    /* another program, another process, another's memory */
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd),
    /* another user or more rights */
    SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
    SCMP_SYS(setresgid), SCMP_SYS(setgroups), SCMP_SYS(capset),
    /* another view of the machine */
    SCMP_SYS(chroot), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root),
    SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(fsopen), SCMP_SYS(setns), SCMP_SYS(unshare),
    SCMP_SYS(open_by_handle_at),
    /* the kernel itself */
    SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(init_module),
    SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(swapon),
    SCMP_SYS(swapoff), SCMP_SYS(clock_settime), SCMP_SYS(settimeofday)};

bool seccomp_is_possible(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
    return false;
#else
    return true;
#endif
#else
    return true;
#endif
}

/* A rule that holds when `mask` of an argument is `value`. */
struct condition {
    int call;
    unsigned argument;
    uint64_t mask;
    uint64_t value;
};

/* Whole arguments of type int come in the lower half of a register. */
#define WHOLE   UINT64_C(0xffffffff)
#define W_AND_X (PROT_WRITE | PROT_EXEC)

/* Memory is never writable and executable at once, nor made executable later; a library that is
 * loaded late (a method of name look-up, a way to log in to a SQL server) is mapped so at once.
 * Settings of the process are read, not changed: resource limits by no new value, names of threads.
 */
static const struct condition conditions[] = {
    {SCMP_SYS(mmap), 2, W_AND_X, 0},
    {SCMP_SYS(mmap), 2, W_AND_X, PROT_WRITE},
    {SCMP_SYS(mmap), 2, W_AND_X, PROT_EXEC},
    {SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
    {SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD},
    {SCMP_SYS(prlimit64), 2, UINT64_MAX, 0},
    {SCMP_SYS(prctl), 0, WHOLE, PR_SET_NAME},
    {SCMP_SYS(prctl), 0, WHOLE, PR_SET_VMA},
    {SCMP_SYS(ioctl), 1, WHOLE, FIONBIO},
    {SCMP_SYS(ioctl), 1, WHOLE, FIONREAD},
    {SCMP_SYS(ioctl), 1, WHOLE, FIOCLEX},
    {SCMP_SYS(ioctl), 1, WHOLE, SIOCOUTQ},
    {SCMP_SYS(ioctl), 1, WHOLE, TCGETS},
};

/* ---- building it ---- */

struct filter {
    scmp_filter_ctx context;
    uint32_t allow; /* what becomes of a call of the list, */
    uint32_t deny;  /* of one that is deadly, */
    uint32_t other; /* and of any other */
    int failed;     /* the first failure, as a negative errno */
};

/* `comparison` NULL: whatever the arguments are. What the architecture does not have, libseccomp
 * passes over; what the default does anyway, needs no rule. */
static void add(struct filter *filter, uint32_t action, int call,
                const struct scmp_arg_cmp *comparison, unsigned count) {
    if (filter->failed == 0 && action != filter->other) {
        int failed = seccomp_rule_add_array(filter->context, action, call, count, comparison);
        filter->failed = failed == -EDOM ? 0 : failed;
    }
}

static void add_all(struct filter *filter, uint32_t action, const int *calls, size_t count) {
    for (size_t i = 0; i < count; i++) {
        add(filter, action, calls[i], NULL, 0);
    }
}

static struct scmp_arg_cmp is(unsigned argument, uint64_t mask, uint64_t value) {
    return (struct scmp_arg_cmp){argument, SCMP_CMP_MASKED_EQ, mask, value};
}

static void add_if(struct filter *filter, uint32_t action, int call, unsigned argument,
                   uint64_t mask, uint64_t value) {
    struct scmp_arg_cmp comparison = is(argument, mask, value);
    add(filter, action, call, &comparison, 1);
}

/* A fork by clone is as deadly as fork; flags behind a pointer cannot be judged, so clone3 gets
 * what makes the C library use clone. abort() signals the process itself, nobody else is signalled.
 */
static void add_process(struct filter *filter) {
    add_if(filter, filter->deny, SCMP_SYS(clone), 0, CLONE_THREAD, 0);
    add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), NULL, 0);
    add_if(filter, filter->allow, SCMP_SYS(kill), 0, WHOLE, (uint64_t)getpid());
    add_if(filter, filter->allow, SCMP_SYS(tgkill), 0, WHOLE, (uint64_t)getpid());
}

/* Raw packets, and the kernel's own interfaces behind sockets, are for nobody here. Name look-up
 * asks netlink which addresses the machine has and does without when there is no netlink. */
static void add_sockets(struct filter *filter, bool connects) {
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    for (size_t i = 0; connects && i < COUNT_OF(families) * COUNT_OF(types); i++) {
        struct scmp_arg_cmp both[] = {is(0, WHOLE, (uint64_t)families[i / COUNT_OF(types)]),
                                      is(1, 0xf, (uint64_t)types[i % COUNT_OF(types)])};
        add(filter, filter->allow, SCMP_SYS(socket), both, COUNT_OF(both));
    }
    add_if(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 0, WHOLE, AF_NETLINK);
    add_if(filter, filter->deny, SCMP_SYS(socket), 0, WHOLE, AF_PACKET);
    if (connects) {
        add_all(filter, filter->allow, outward, COUNT_OF(outward));
    }
}

static void build(struct filter *filter, bool connects) {
    seccomp_attr_set(filter->context, SCMP_FLTATR_ACT_BADARCH, filter->deny);
    seccomp_attr_set(filter->context, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a search tree */
    filter->failed = seccomp_attr_set(filter->context, SCMP_FLTATR_CTL_TSYNC, 1);
    add_all(filter, filter->allow, allowed, COUNT_OF(allowed));
    add_all(filter, filter->deny, deadly, COUNT_OF(deadly));
    for (size_t i = 0; i < COUNT_OF(conditions); i++) {
        const struct condition *one = &conditions[i];
        add_if(filter, filter->allow, one->call, one->argument, one->mask, one->value);
    }
    add_process(filter);
    add_sockets(filter, connects);
}

int seccomp_apply(bool connects, bool log_only, struct complaint *complaint) {
    struct filter filter = {
        .allow = SCMP_ACT_ALLOW,
        .deny = log_only ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS,
        .other = log_only ? SCMP_ACT_LOG : SCMP_ACT_ERRNO(ENOSYS),
    };
    filter.context = seccomp_init(filter.other);
    if (filter.context) {
        build(&filter, connects);
        filter.failed = filter.failed ? filter.failed : seccomp_load(filter.context);
    } else {
        filter.failed = -ENOMEM;
    }
    seccomp_release(filter.context);
    if (filter.failed) {
        return complain(complaint, STATUS_IO,
                        "the kernel does not take the filter of system calls (%s): --seccomp=off "
                        "goes without it",
                        strerror(-filter.failed));
    }
    return STATUS_OK;
}
