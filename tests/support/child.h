/* child: something that a test program does in a process of its own, since it may end it. Links
 * with the dependency child_process (meson.build). Not for children that are talked to meanwhile.
 */
#ifndef COUPON_TESTS_SUPPORT_CHILD_H
#define COUPON_TESTS_SUPPORT_CHILD_H

/* The wait status (waitpid(2)) of a child that did it and made its result, 0 to 255, its exit code.
 * What dies leaves no core, and what does not end dies of SIGALRM after 20 seconds. -1, which no
 * macro takes for an exit or a signal: there is no child. */
int child_status(int (*deed)(const void *context), const void *context);

#endif
