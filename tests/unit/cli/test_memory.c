/* Without memory for libuv's table of descriptors a process ends with words and exit code 1, at
 * its start and later; with memory nothing is different. Each end is a child's. */
#include "base/base.h"
#include "cli/memory.h"
#include "support/child.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

static bool starved;

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_realloc(void *memory, size_t size) {
    return starved ? NULL : __real_realloc(memory, size);
}

enum { FAR_DESCRIPTOR = 500, UNFINISHED = 99 };

static void begin_loop(uv_loop_t *loop) {
    assert_int_equal(uv_loop_init(loop), 0);
}

static void end_loop(uv_loop_t *loop) {
    assert_int_equal(uv_run(loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(loop), 0);
}

static void ignore(uv_poll_t *poll, int status, int events) {
    (void)poll, (void)status, (void)events;
}

/* Watches a descriptor for which a new loop's table is too short. */
static void watch_far(uv_loop_t *loop) {
    uv_poll_t poll;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int far = fcntl(ends[0], F_DUPFD, FAR_DESCRIPTOR);
    assert_true(far >= FAR_DESCRIPTOR);
    assert_int_equal(uv_poll_init(loop, &poll, far), 0);
    assert_int_equal(uv_poll_start(&poll, UV_READABLE, ignore), 0);
    uv_close((uv_handle_t *)&poll, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    close(far);
    close(ends[0]);
    close(ends[1]);
}

static void starve_at_start(void) {
    uv_loop_t loop;
    starved = true;
    begin_loop(&loop);
}

static void starve_later(void) {
    uv_loop_t loop;
    begin_loop(&loop);
    starved = true;
    watch_far(&loop);
}

struct heard {
    void (*deed)(void);
    int stderr_fd; /* the child's */
};

static int do_heard(const void *context) {
    const struct heard *heard = context;
    dup2(heard->stderr_fd, STDERR_FILENO);
    heard->deed();
    return UNFINISHED;
}

static void ends_with_words(void (*deed)(void)) {
    char words[1024] = "";
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int status = child_status(do_heard, &(struct heard){deed, ends[1]});
    close(ends[1]);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_true(read(ends[0], words, sizeof(words) - 1) > 0); /* one line, by one call */
    close(ends[0]);
    assert_non_null(strstr(words, "level=error event=out-of-memory why="));
    assert_non_null(strstr(words, " bytes="));
}

static void test_start_without_memory_ends_with_words(void **state) {
    (void)state;
    ends_with_words(starve_at_start);
}

static void test_later_without_memory_ends_with_words(void **state) {
    (void)state;
    ends_with_words(starve_later);
}

static void test_with_memory_the_table_grows(void **state) {
    (void)state;
    uv_loop_t loop;
    begin_loop(&loop);
    watch_far(&loop);
    end_loop(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_without_memory_ends_with_words),
        cmocka_unit_test(test_later_without_memory_ends_with_words),
        cmocka_unit_test(test_with_memory_the_table_grows),
    };
    memory_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
