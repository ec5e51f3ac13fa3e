/* Stands before mariadbd's libraries and keeps InnoDB's log from being written while the file that
 * COUPON_HOLD_LOG names is there: what is committed meanwhile is visible and not durable, and a
 * kill -9 takes it back. Its syncs wait with it. For test_mariadb_log.py. */
#undef _FILE_OFFSET_BITS /* with which pwrite would be a name of pwrite64 */

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset);

static bool is_log(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof(path) - 1);
    path[size > 0 ? size : 0] = '\0';
    return strstr(path, "/ib_logfile") != NULL;
}

static void wait_if_held(int fd) {
    const char *hold = getenv("COUPON_HOLD_LOG");
    const struct timespec pause = {0, 5000000};
    while (hold && is_log(fd) && access(hold, F_OK) == 0) {
        nanosleep(&pause, NULL);
    }
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
    return pwrite64(fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) {
        real = (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    }
    wait_if_held(fd);
    return real(fd, bytes, size, offset);
}
