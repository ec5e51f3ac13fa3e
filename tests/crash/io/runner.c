/* See runner.h. */
#include "runner.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define TELL_SECONDS 5

static const char *program;
static volatile sig_atomic_t stopped;

static void on_stop(int signal) {
    (void)signal;
    stopped = 1;
}

void runner_begin(const char *name) {
    struct sigaction action = {.sa_handler = on_stop};
    program = name;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool runner_stopped(void) {
    return stopped;
}

bool runner_tells(void) {
    static time_t last;
    time_t now = time(NULL);
    bool due = now - last >= TELL_SECONDS;
    last = due ? now : last;
    return due;
}

static void __attribute__((noreturn)) give_up(const char *what) {
    fprintf(stderr, "%s: %s: %s\n", program, what, strerror(errno));
    exit(2);
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *walk) {
    (void)facts;
    (void)kind;
    (void)walk;
    return remove(path);
}

void runner_folder_make(char *pattern) {
    if (!mkdtemp(pattern)) {
        give_up("no folder in /dev/shm");
    }
}

void runner_folder_remove(const char *folder) {
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int runner_wait(pid_t child) {
    int state = 0;
    while (child < 0 || waitpid(child, &state, 0) < 0) {
        if (child < 0 || errno != EINTR) {
            give_up("no process");
        }
    }
    return state;
}

FILE *runner_result(const char *path) {
    FILE *file = path ? fopen(path, "w") : NULL;
    if (path && !file) {
        give_up(path);
    }
    return file;
}
