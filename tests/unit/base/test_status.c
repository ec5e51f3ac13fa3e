/* Statuses as words, and complaints cut to fit. */
#include "base/base.h"

#include "test.h"

#include <limits.h>

static void every_status_has_its_own_name(void **state) {
    (void)state;
    for (int status = STATUS_STOPPED; status <= STATUS_OK; status++) {
        const char *name = status_name(status);
        assert_non_null(name);
        assert_string_not_equal(name, "unknown");
        for (const char *c = name; *c; c++) {
            assert_true((*c >= 'a' && *c <= 'z') || *c == '-');
        }
        for (int other = STATUS_STOPPED; other < status; other++) {
            assert_string_not_equal(name, status_name(other));
        }
    }
    assert_string_equal(status_name(STATUS_OK), "ok");
    assert_string_equal(status_name(STATUS_NO_MEMORY), "no-memory");
}

static void a_number_that_is_no_status_has_a_name_too(void **state) {
    (void)state;
    assert_string_equal(status_name(STATUS_STOPPED - 1), "unknown");
    assert_string_equal(status_name(1), "unknown");
    assert_string_equal(status_name(INT_MIN), "unknown");
    assert_string_equal(status_name(INT_MAX), "unknown");
}

static void a_complaint_says_what_happened_and_gives_the_status_back(void **state) {
    (void)state;
    struct complaint complaint;
    assert_int_equal(complain(&complaint, STATUS_IO, "%s is full: free %d MB", "disk", 3),
                     STATUS_IO);
    assert_string_equal(complaint.text, "disk is full: free 3 MB");
    assert_int_equal(complain(NULL, STATUS_BUSY, "nobody listens: %d", 1), STATUS_BUSY);
}

static void a_long_complaint_is_cut(void **state) {
    (void)state;
    struct complaint complaint;
    memset(&complaint, 'x', sizeof(complaint));
    assert_int_equal(complain(&complaint, STATUS_IO, "%2000d", 7), STATUS_IO);
    assert_int_equal(strlen(complaint.text), sizeof(complaint.text) - 1);
    assert_int_equal(complain(&complaint, STATUS_IO, "%511d", 7), STATUS_IO);
    assert_int_equal(complaint.text[510], '7');
    assert_int_equal(strlen(complaint.text), 511);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_own_name),
        cmocka_unit_test(a_number_that_is_no_status_has_a_name_too),
        cmocka_unit_test(a_complaint_says_what_happened_and_gives_the_status_back),
        cmocka_unit_test(a_long_complaint_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
