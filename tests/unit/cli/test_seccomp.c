/* The filter of system calls: what is needed goes on, what an intruder wants ends the process, the
 * rest is answered as by an older kernel. Each case is a process of its own, which has threads
 * before it takes the filter. Not built with sanitizers, which the filter is left out of. */
#include "cli/confine.h"
#include "support/child.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What a child does under the filter: 0, or the errno it met, or more than that. */
typedef int deed_fn(void);
enum { WRONG = 255 };

struct older {
    deed_fn *deed;
    sem_t go;
    int result;
};

static void *older_thread(void *argument) {
    struct older *older = argument;
    while (sem_wait(&older->go)) {
    }
    older->result = older->deed();
    return NULL;
}

struct confined {
    deed_fn *deed;
    bool connects;
    bool log_only;
};

/* In a thread that is older than the filter, which has to bind it all the same. */
static int do_in_older_thread(const void *context) {
    const struct confined *confined = context;
    struct older older = {.deed = confined->deed};
    pthread_t thread;
    if (sem_init(&older.go, 0, 0) || pthread_create(&thread, NULL, older_thread, &older) ||
        seccomp_apply(confined->connects, confined->log_only, NULL)) {
        return WRONG;
    }
    sem_post(&older.go);
    return pthread_join(thread, NULL) ? WRONG : older.result;
}

/* The wait status of a child that did it. */
static int status_of(deed_fn *deed, bool connects, bool log_only) {
    return child_status(do_in_older_thread, &(struct confined){deed, connects, log_only});
}

static void kills(deed_fn *deed) {
    int status = status_of(deed, true, false);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void answers(int expected, deed_fn *deed, bool connects) {
    int status = status_of(deed, connects, false);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), expected);
}

static int errno_of(long result) {
    return result < 0 ? errno : 0;
}

/* ---- deeds ---- */

static int run_program(void) {
    return errno_of(execl("/bin/true", "true", NULL));
}

static int run_program_at(void) {
    char *const words[] = {"true", NULL};
    return errno_of(syscall(SYS_execveat, AT_FDCWD, "/bin/true", words, words, 0));
}

/* Where it is not refused, the child has nothing to do. */
static int forked(long child) {
    if (child == 0) {
        _exit(0);
    }
    return errno_of(child);
}

static int fork_old(void) {
#ifdef SYS_fork
    return forked(syscall(SYS_fork));
#else
    raise(SIGSYS); /* the architecture has none */
    return WRONG;
#endif
}

static int fork_by_clone(void) {
    return forked(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

/* As system(), popen() and many a library do. */
static int spawn_program(void) {
    char *const words[] = {"true", NULL};
    return posix_spawn(NULL, "/bin/true", NULL, NULL, words, words);
}

static int look_into_process(void) {
    return errno_of(ptrace(PTRACE_PEEKDATA, getpid(), NULL, NULL));
}

static int read_other_memory(void) {
    return errno_of(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
}

static int become_root(void) {
    return errno_of(syscall(SYS_setuid, 0));
}

static int mount_something(void) {
    return errno_of(syscall(SYS_mount, "none", "/nowhere", "tmpfs", 0, NULL));
}

static int new_namespace(void) {
    return errno_of(syscall(SYS_unshare, 0));
}

static int load_program_into_kernel(void) {
    return errno_of(syscall(SYS_bpf, 0, NULL, 0));
}

static int open_packet_socket(void) {
    return errno_of(socket(AF_PACKET, SOCK_RAW, 0));
}

static int open_raw_socket(void) {
    return errno_of(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

static int open_netlink_socket(void) {
    return errno_of(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int open_socket(void) {
    int unix_one = errno_of(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int six = errno_of(socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    return unix_one || six ? unix_one + six : errno_of(socket(AF_INET, SOCK_STREAM, 0));
}

static int open_to_others(void) {
    struct sockaddr address = {.sa_family = AF_INET};
    return errno_of(bind(0, &address, sizeof(address)));
}

static int listen_anew(void) {
    return errno_of(listen(0, 1));
}

static int look_up_names(void) {
    struct addrinfo *found = NULL;
    int failed = getaddrinfo("localhost", "5432", NULL, &found);
    if (failed == 0) {
        freeaddrinfo(found);
    }
    return failed;
}

static int make_memory_executable(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? WRONG : errno_of(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static int map_writable_and_executable(void) {
    void *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? errno : 0;
}

static int load_library(void) {
    return dlopen("libm.so.6", RTLD_NOW) ? 0 : WRONG;
}

static int raise_limit(void) {
    struct rlimit limit = {16, 16};
    return errno_of(setrlimit(RLIMIT_NOFILE, &limit));
}

static int read_limit(void) {
    struct rlimit limit;
    return errno_of(getrlimit(RLIMIT_NOFILE, &limit));
}

static int signal_parent(void) {
    return errno_of(kill(getppid(), 0));
}

static int signal_itself(void) {
    return errno_of(kill(getpid(), 0));
}

static int be_dumpable_again(void) {
    return errno_of(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int type_into_terminal(void) {
    char letter = 'x';
    return errno_of(syscall(SYS_ioctl, 0, UINT64_C(0x5412), &letter)); /* TIOCSTI */
}

static int unknown_call(void) {
    return errno_of(syscall(4000));
}

/* The number of a call as the x32 programs of x86-64 make it. */
static int call_of_another_form(void) {
#if defined(__x86_64__)
    return errno_of(syscall(0x40000000 | SYS_getpid));
#else
    raise(SIGSYS); /* the architecture has one form */
    return WRONG;
#endif
}

static int memory_as_file(void) {
    return errno_of(syscall(SYS_memfd_create, "x", 0));
}

static int abort_itself(void) {
    abort();
}

static void *nothing(void *argument) {
    return argument;
}

static int daily_work(void) {
    pthread_t thread;
    char path[] = "/tmp/coupon-seccomp-XXXXXX";
    int file = mkstemp(path);
    int event = eventfd(0, EFD_CLOEXEC);
    bool works = file >= 0 && event >= 0 && unlink(path) == 0 && write(file, "x", 1) == 1 &&
                 fdatasync(file) == 0 && ftruncate(file, 0) == 0 && close(file) == 0 &&
                 eventfd_write(event, 1) == 0 && prctl(PR_SET_NAME, "worker", 0, 0, 0) == 0 &&
                 pthread_create(&thread, NULL, nothing, NULL) == 0 &&
                 pthread_join(thread, NULL) == 0;
    return works ? 0 : WRONG;
}

/* ---- what comes of them ---- */

static void what_a_server_does_goes_on(void **state) {
    (void)state;
    answers(0, daily_work, false);
    answers(0, daily_work, true);
    answers(0, read_limit, false);
    answers(0, signal_itself, false);
    answers(0, load_library, true);
}

static void another_program_or_process_ends_it(void **state) {
    (void)state;
    kills(run_program);
    kills(run_program_at);
    kills(spawn_program);
    kills(fork_old);
    kills(fork_by_clone);
}

static void what_only_an_intruder_wants_ends_it(void **state) {
    (void)state;
    kills(look_into_process);
    kills(read_other_memory);
    kills(become_root);
    kills(mount_something);
    kills(new_namespace);
    kills(load_program_into_kernel);
    kills(open_packet_socket);
    kills(call_of_another_form);
}

static void what_is_not_needed_is_as_in_an_older_kernel(void **state) {
    (void)state;
    answers(ENOSYS, unknown_call, true);
    answers(ENOSYS, memory_as_file, true);
    answers(ENOSYS, open_raw_socket, true);
    answers(ENOSYS, open_to_others, true);
    answers(ENOSYS, listen_anew, true);
    answers(ENOSYS, raise_limit, true);
    answers(ENOSYS, signal_parent, true);
    answers(ENOSYS, be_dumpable_again, true);
    answers(ENOSYS, type_into_terminal, true);
}

static void memory_is_never_made_executable(void **state) {
    (void)state;
    answers(ENOSYS, make_memory_executable, true);
    answers(ENOSYS, map_writable_and_executable, true);
}

static void only_who_has_others_to_talk_to_makes_sockets(void **state) {
    (void)state;
    answers(0, open_socket, true);
    answers(ENOSYS + ENOSYS, open_socket, false);
    answers(EAFNOSUPPORT, open_netlink_socket, true);
}

static void names_are_looked_up_as_before(void **state) {
    (void)state;
    answers(look_up_names(), look_up_names, true);
}

static void a_failed_assertion_is_still_told_by_its_own_signal(void **state) {
    (void)state;
    int status = status_of(abort_itself, false, false);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void when_it_only_logs_nothing_is_refused(void **state) {
    (void)state;
    assert_int_equal(status_of(run_program, false, true), 0);
    assert_int_equal(status_of(memory_as_file, false, true), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_server_does_goes_on),
        cmocka_unit_test(another_program_or_process_ends_it),
        cmocka_unit_test(what_only_an_intruder_wants_ends_it),
        cmocka_unit_test(what_is_not_needed_is_as_in_an_older_kernel),
        cmocka_unit_test(memory_is_never_made_executable),
        cmocka_unit_test(only_who_has_others_to_talk_to_makes_sockets),
        cmocka_unit_test(names_are_looked_up_as_before),
        cmocka_unit_test(a_failed_assertion_is_still_told_by_its_own_signal),
        cmocka_unit_test(when_it_only_logs_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
