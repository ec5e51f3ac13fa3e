/* The system calls that a server needs once everything is open, and a filter in the kernel that
 * refuses the others (seccomp). Not for: start-up, which needs more. Called by confine.c.
 *
 * Three answers. A call of the list is carried out. One that no library of ours has a lawful reason
 * for, such as execve, ends the process: somebody else's code runs in it. Any other gets ENOSYS, as
 * from an older kernel: a library that was upgraded and tries something new falls back to what it
 * did before, and an event does not end because of it. */
#include "cli/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h> /* the calls' numbers, negative where the architecture has none */
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#else
#error "name the AUDIT_ARCH of this architecture"
#endif

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

/* Holds when `mask` of an argument is `value`. */
struct comparison {
    unsigned argument;
    uint64_t mask;
    uint64_t value;
};

struct condition {
    int call;
    struct comparison comparison;
};

/* Whole arguments of type int come in the lower half of a register. */
#define WHOLE   UINT64_C(0xffffffff)
#define W_AND_X (PROT_WRITE | PROT_EXEC)

/* Memory is never writable and executable at once, nor made executable later; a library that is
 * loaded late (a method of name look-up, a way to log in to a SQL server) is mapped so at once.
 * Settings of the process are read, not changed: resource limits by no new value, names of threads.
 */
static const struct condition conditions[] = {
    {SCMP_SYS(mmap), {2, W_AND_X, 0}},
    {SCMP_SYS(mmap), {2, W_AND_X, PROT_WRITE}},
    {SCMP_SYS(mmap), {2, W_AND_X, PROT_EXEC}},
    {SCMP_SYS(mprotect), {2, PROT_EXEC, 0}},
    {SCMP_SYS(clone), {0, CLONE_THREAD, CLONE_THREAD}},
    {SCMP_SYS(prlimit64), {2, UINT64_MAX, 0}},
    {SCMP_SYS(prctl), {0, WHOLE, PR_SET_NAME}},
    {SCMP_SYS(prctl), {0, WHOLE, PR_SET_VMA}},
    {SCMP_SYS(ioctl), {1, WHOLE, FIONBIO}},
    {SCMP_SYS(ioctl), {1, WHOLE, FIONREAD}},
    {SCMP_SYS(ioctl), {1, WHOLE, FIOCLEX}},
    {SCMP_SYS(ioctl), {1, WHOLE, SIOCOUTQ}},
    {SCMP_SYS(ioctl), {1, WHOLE, TCGETS}},
};

/* ---- building it ---- */

#define PROGRAM_MAX 1024

/* A program of the kernel's (classic BPF, Documentation/userspace-api/seccomp_filter.rst), which
 * looks through its rules in their order and has the call's number at hand between them. A long
 * list costs nothing: the kernel keeps which calls are allowed whatever their arguments are. It is
 * written here since libseccomp, when an allocation of it fails, makes another filter, or ends or
 * hangs the process (docs/decisions/0010-confinement.md); this needs no memory. */
struct filter {
    struct sock_filter program[PROGRAM_MAX];
    size_t size;
    uint32_t allow; /* what becomes of a call of the list, */
    uint32_t deny;  /* of one that is deadly, */
    uint32_t other; /* and of any other */
};

static void emit(struct filter *filter, unsigned code, uint32_t operand) {
    assert(filter->size < PROGRAM_MAX);
    filter->program[filter->size++] = (struct sock_filter){.code = (uint16_t)code, .k = operand};
}

static void emit_load(struct filter *filter, size_t offset) {
    emit(filter, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

static void emit_answer(struct filter *filter, uint32_t action) {
    emit(filter, BPF_RET | BPF_K, action);
}

/* Goes on behind it where the condition holds; where not, is led to a place by lead(). Returns
 * which instruction it is. */
static size_t emit_test(struct filter *filter, unsigned comparison, uint32_t operand) {
    emit(filter, BPF_JMP | comparison | BPF_K, operand);
    return filter->size - 1;
}

/* A test that fails leads to what is emitted next. */
static void lead(struct filter *filter, size_t test) {
    size_t passed_over = filter->size - test - 1;
    assert(passed_over <= UINT8_MAX);
    filter->program[test].jf = (uint8_t)passed_over;
}

/* Whatever the arguments are. What the default does anyway, needs no rule. */
static void add(struct filter *filter, uint32_t action, int call) {
    if (call < 0 || action == filter->other) {
        return;
    }
    size_t test = emit_test(filter, BPF_JEQ, (uint32_t)call);
    emit_answer(filter, action);
    lead(filter, test);
}

static void add_all(struct filter *filter, uint32_t action, const int *calls, size_t count) {
    for (size_t i = 0; i < count; i++) {
        add(filter, action, calls[i]);
    }
}

/* The kernel's programs know 32 bits at a time. Returns the test. */
static size_t emit_half(struct filter *filter, const struct comparison *comparison, bool upper) {
    unsigned shift = upper ? 32 : 0;
    bool second = upper == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
    emit_load(filter, offsetof(struct seccomp_data, args) + 8 * comparison->argument +
                          (second ? sizeof(uint32_t) : 0));
    emit(filter, BPF_ALU | BPF_AND | BPF_K, (uint32_t)(comparison->mask >> shift));
    return emit_test(filter, BPF_JEQ, (uint32_t)(comparison->value >> shift));
}

/* When all of these hold. */
static void add_if(struct filter *filter, uint32_t action, int call,
                   const struct comparison *comparisons, size_t count) {
    enum { COMPARISONS_MAX = 2 };
    size_t tests[2 * COMPARISONS_MAX];
    size_t test_count = 0;
    assert(count <= COMPARISONS_MAX);
    if (call < 0 || action == filter->other) {
        return;
    }
    size_t other_call = emit_test(filter, BPF_JEQ, (uint32_t)call);
    for (size_t i = 0; i < count; i++) {
        tests[test_count++] = emit_half(filter, &comparisons[i], false);
        tests[test_count++] = emit_half(filter, &comparisons[i], true);
    }
    emit_answer(filter, action);
    for (size_t i = 0; i < test_count; i++) {
        lead(filter, tests[i]);
    }
    emit_load(filter, offsetof(struct seccomp_data, nr));
    lead(filter, other_call);
}

/* A fork by clone is as deadly as fork; flags behind a pointer cannot be judged, so clone3 gets
 * what makes the C library use clone. abort() signals the process itself, nobody else is signalled.
 */
static void add_process(struct filter *filter) {
    const struct comparison forks = {0, CLONE_THREAD, 0};
    const struct comparison itself = {0, WHOLE, (uint64_t)getpid()};
    add_if(filter, filter->deny, SCMP_SYS(clone), &forks, 1);
    add(filter, SECCOMP_RET_ERRNO | ENOSYS, SCMP_SYS(clone3));
    add_if(filter, filter->allow, SCMP_SYS(kill), &itself, 1);
    add_if(filter, filter->allow, SCMP_SYS(tgkill), &itself, 1);
}

/* Raw packets, and the kernel's own interfaces behind sockets, are for nobody here. Name look-up
 * asks netlink which addresses the machine has and does without when there is no netlink. */
static void add_sockets(struct filter *filter, bool connects) {
    static const struct comparison netlink = {0, WHOLE, AF_NETLINK};
    static const struct comparison packet = {0, WHOLE, AF_PACKET};
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    for (size_t i = 0; connects && i < COUNT_OF(families) * COUNT_OF(types); i++) {
        const struct comparison both[] = {{0, WHOLE, (uint64_t)families[i / COUNT_OF(types)]},
                                          {1, 0xf, (uint64_t)types[i % COUNT_OF(types)]}};
        add_if(filter, filter->allow, SCMP_SYS(socket), both, COUNT_OF(both));
    }
    add_if(filter, SECCOMP_RET_ERRNO | EAFNOSUPPORT, SCMP_SYS(socket), &netlink, 1);
    add_if(filter, filter->deny, SCMP_SYS(socket), &packet, 1);
    if (connects) {
        add_all(filter, filter->allow, outward, COUNT_OF(outward));
    }
}

/* Calls in the form of another architecture are deadly; so are those of x32, which come as x86-64's
 * with a bit set. */
static void add_foreign(struct filter *filter) {
    emit_load(filter, offsetof(struct seccomp_data, arch));
    filter->program[emit_test(filter, BPF_JEQ, ARCHITECTURE)].jt = 1;
    emit_answer(filter, filter->deny);
    emit_load(filter, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
    size_t test = emit_test(filter, BPF_JGE, UINT32_C(0x40000000));
    emit_answer(filter, filter->deny);
    lead(filter, test);
#endif
}

static void build(struct filter *filter, bool connects) {
    add_foreign(filter);
    add_all(filter, filter->allow, allowed, COUNT_OF(allowed));
    add_all(filter, filter->deny, deadly, COUNT_OF(deadly));
    for (size_t i = 0; i < COUNT_OF(conditions); i++) {
        add_if(filter, filter->allow, conditions[i].call, &conditions[i].comparison, 1);
    }
    add_process(filter);
    add_sockets(filter, connects);
    emit_answer(filter, filter->other);
}

/* For all threads. 0, or an errno. */
static int load(struct filter *filter) {
    struct sock_fprog program = {(unsigned short)filter->size, filter->program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
        return errno;
    }
    long thread =
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    if (thread > 0) {
        return EBUSY; /* that thread has a filter of its own */
    }
    return thread < 0 ? errno : 0;
}

int seccomp_apply(bool connects, bool log_only, struct complaint *complaint) {
    struct filter filter = {
        .allow = SECCOMP_RET_ALLOW,
        .deny = log_only ? SECCOMP_RET_LOG : SECCOMP_RET_KILL_PROCESS,
        .other = log_only ? SECCOMP_RET_LOG : SECCOMP_RET_ERRNO | ENOSYS,
    };
    build(&filter, connects);
    int failed = load(&filter);
    if (failed) {
        return complain(complaint, STATUS_IO,
                        "the kernel does not take the filter of system calls (%s): --seccomp=off "
                        "goes without it",
                        strerror(failed));
    }
    return STATUS_OK;
}
