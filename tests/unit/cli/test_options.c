/* What of a command line others may see: passwords of URLs are covered where they stood, and what
 * the program goes on with is whole. The reading of options is tested by its commands and fuzzed.
 */
#include "cli/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *given;
    const char *shown;
} table[] = {
    {"serve", "serve"},
    {"--data=a:b@c", "--data=a:b@c"}, /* no URL */
    {"redis://host:6379", "redis://host:6379"},
    {"postgresql://ann@host:5432/db", "postgresql://ann@host:5432/db"},
    {"postgresql://ann:one@host/db", "postgresql://ann:***@host/db"},
    {"--ledger=mysql://ann:one@host/db", "--ledger=mysql://ann:***@host/db"},
    {"mysql://ann:o@n/e?x@host/db", "mysql://ann:*******@host/db"},
    {"redis://:one@a:1,b:2", "redis://:***@a:1,b:2"},
    {"postgresql://ann@h:5432/d?password=se@cret", "postgresql://ann@h:5432/d?password=*******"},
    {"postgresql://ann:one@h/d?password=two", "postgresql://ann:***@h/d?password=***"},
    {"postgresql://h/d?sslpassword=one&user=ann&password=two",
     "postgresql://h/d?sslpassword=***&user=ann&password=***"},
    {"postgresql://ann:@h/d?password=", "postgresql://ann:@h/d?password="},
};

static void passwords_are_covered_where_they_stood_and_kept(void **state) {
    (void)state;
    char *shown[COUNT_OF(table)];
    char *argv[COUNT_OF(table)];
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        argv[i] = shown[i] = strdup(table[i].given);
    }
    assert_true(options_hide_passwords((int)COUNT_OF(table), argv));
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        assert_string_equal(argv[i], table[i].given);
        assert_string_equal(shown[i], table[i].shown);
        if (argv[i] != shown[i]) {
            free(argv[i]);
        }
        free(shown[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passwords_are_covered_where_they_stood_and_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
