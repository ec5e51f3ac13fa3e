/* runner: what a program needs besides its cases, each in a process and a folder of its own: to
 * end when it is asked to, to tell how far it is, to wait. For io-faults and io-images; not for
 * what is judged. Whatever of the machine is missing ends the program with 2. */
#ifndef COUPON_TESTS_CRASH_IO_RUNNER_H
#define COUPON_TESTS_CRASH_IO_RUNNER_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

/* A folder of its own in memory; a pattern for runner_folder_make. */
#define RUNNER_FOLDER "/dev/shm/coupon-io-XXXXXX"

/* From here on SIGINT and SIGTERM are requests to end. The name stands before what it complains
 * of, and is not copied. */
void runner_begin(const char *name);
/* Whether it was asked to end. */
bool runner_stopped(void);
/* Whether it is time for another line about how far it is; true every few seconds. */
bool runner_tells(void);

/* `pattern`, an array of RUNNER_FOLDER, becomes the folder's path. */
void runner_folder_make(char *pattern);
void runner_folder_remove(const char *folder);

/* The state, as of waitpid(2), in which the child of fork(2) ended. Negative: fork failed. */
int runner_wait(pid_t child);

/* The file for the figures, for the caller to close; NULL when path is. */
FILE *runner_result(const char *path);

#endif
