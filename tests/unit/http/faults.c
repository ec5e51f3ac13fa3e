#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fault armed; /* nth 0: none */
static pthread_t owner;
static unsigned happened;

void fault_arm(struct fault fault) {
    pthread_mutex_lock(&lock);
    armed = fault;
    owner = pthread_self();
    happened = 0;
    pthread_mutex_unlock(&lock);
}

unsigned fault_happened(void) {
    pthread_mutex_lock(&lock);
    unsigned result = happened;
    pthread_mutex_unlock(&lock);
    return result;
}

bool fault_disarm(void) {
    pthread_mutex_lock(&lock);
    armed.nth = 0;
    bool result = happened > 0;
    pthread_mutex_unlock(&lock);
    return result;
}

static bool is_meant(const char *name, size_t size) {
    return armed.nth > 0 && (armed.name == NULL || strcmp(armed.name, name) == 0) &&
           size >= armed.size_min && (!armed.here_only || pthread_equal(owner, pthread_self()));
}

static bool fails(const char *name, size_t size) {
    pthread_mutex_lock(&lock);
    bool now = is_meant(name, size) && --armed.nth == 0;
    happened += now;
    armed.nth = now && armed.lasts ? 1 : armed.nth;
    pthread_mutex_unlock(&lock);
    return now;
}

/* A function that is to be wrapped: its result, name, what it returns when it fails, parameters and
 * arguments. */
#define WRAPPED(type, name, size, failure, parameters, arguments)                                  \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters {                                                                \
        return fails(#name, size) ? (failure) : __real_##name arguments;                           \
    }

static int error_of_accept(void) {
    pthread_mutex_lock(&lock);
    int error = armed.error ? armed.error : ENOMEM;
    pthread_mutex_unlock(&lock);
    return error;
}

static int with_errno(int error) {
    errno = error;
    return -1;
}

WRAPPED(void *, malloc, size, NULL, (size_t size), (size))
WRAPPED(void *, calloc, count *size, NULL, (size_t count, size_t size), (count, size))
WRAPPED(void *, realloc, size, NULL, (void *old, size_t size), (old, size))
WRAPPED(int, socket, 0, with_errno(EMFILE), (int domain, int type, int protocol),
        (domain, type, protocol))
WRAPPED(int, setsockopt, 0, with_errno(ENOPROTOOPT),
        (int fd, int level, int name, const void *value, socklen_t size),
        (fd, level, name, value, size))
WRAPPED(int, listen, 0, with_errno(EOPNOTSUPP), (int fd, int backlog), (fd, backlog))
WRAPPED(int, getsockname, 0, with_errno(ENOBUFS),
        (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size))
WRAPPED(int, shutdown, 0, with_errno(ENOTCONN), (int fd, int how), (fd, how))
WRAPPED(int, sem_wait, 0, with_errno(EINTR), (sem_t * semaphore), (semaphore))
WRAPPED(int, sched_getaffinity, 0, with_errno(EPERM), (pid_t pid, size_t size, cpu_set_t *set),
        (pid, size, set))
WRAPPED(int, pthread_create, 0, EAGAIN,
        (pthread_t * thread, const pthread_attr_t *attributes, void *(*start)(void *),
         void *argument),
        (thread, attributes, start, argument))
WRAPPED(int, uv_loop_init, 0, UV_EMFILE, (uv_loop_t * loop), (loop))
WRAPPED(int, uv_async_init, 0, UV_EMFILE,
        (uv_loop_t * loop, uv_async_t *async, uv_async_cb callback), (loop, async, callback))
WRAPPED(int, uv_tcp_init, 0, UV_EMFILE, (uv_loop_t * loop, uv_tcp_t *tcp), (loop, tcp))
WRAPPED(int, uv_tcp_open, 0, UV_EINVAL, (uv_tcp_t * tcp, uv_os_sock_t fd), (tcp, fd))
WRAPPED(int, uv_poll_init, 0, UV_EEXIST, (uv_loop_t * loop, uv_poll_t *poll, int fd),
        (loop, poll, fd))
WRAPPED(int, uv_poll_start, 0, UV_ENOMEM, (uv_poll_t * poll, int events, uv_poll_cb callback),
        (poll, events, callback))
WRAPPED(int, accept4, 0, with_errno(error_of_accept()),
        (int fd, struct sockaddr *address, socklen_t *size, int flags), (fd, address, size, flags))
WRAPPED(int, uv_read_start, 0, UV_ENOTCONN,
        (uv_stream_t * stream, uv_alloc_cb allocate, uv_read_cb callback),
        (stream, allocate, callback))
WRAPPED(int, uv_try_write, 0, UV_EPIPE,
        (uv_stream_t * stream, const uv_buf_t buffers[], unsigned int count),
        (stream, buffers, count))
WRAPPED(int, uv_write, 0, UV_EBADF,
        (uv_write_t * request, uv_stream_t *stream, const uv_buf_t buffers[], unsigned int count,
         uv_write_cb callback),
        (request, stream, buffers, count, callback))
