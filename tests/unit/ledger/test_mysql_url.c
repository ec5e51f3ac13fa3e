/* The URL of a MariaDB or MySQL ledger: what it means, and that no complaint repeats it. */
#include "ledger/mysql_ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct complaint complaint;

static struct mysql_url url_of(const char *text) {
    struct mysql_url url;
    complaint.text[0] = '\0';
    if (maria_url_parse(&url, text, &complaint) != STATUS_OK) {
        fail_msg("%s: %s", text, complaint.text);
    }
    return url;
}

static void every_part_is_taken_for_what_it_is(void **state) {
    (void)state;
    struct mysql_url url = url_of("mysql://ann:se%2Fcret%40%3f@db.example:3307/shop"
                                  "?tls=verified&ca=%2Fetc%2Fca.pem&socket=/run/m.sock");
    assert_string_equal(url.user, "ann");
    assert_string_equal(url.password, "se/cret@?");
    assert_string_equal(url.host, "db.example");
    assert_int_equal(url.port, 3307);
    assert_string_equal(url.database, "shop");
    assert_int_equal(url.tls, MYSQL_TLS_VERIFIED);
    assert_string_equal(url.tls_ca, "/etc/ca.pem");
    assert_string_equal(url.socket, "/run/m.sock");
    maria_url_done(&url);
}

static void what_is_left_out_has_the_usual_value(void **state) {
    (void)state;
    struct mysql_url url = url_of("mariadb://ann@/shop");
    assert_string_equal(url.host, "localhost");
    assert_int_equal(url.port, 3306);
    assert_null(url.password);
    assert_null(url.socket);
    assert_int_equal(url.tls, MYSQL_TLS_OFF);
    maria_url_done(&url);
}

static void an_empty_password_is_one(void **state) {
    (void)state;
    struct mysql_url url = url_of("mysql://ann:@h/shop");
    assert_string_equal(url.password, "");
    maria_url_done(&url);
}

static void an_address_of_version_6_stands_in_brackets(void **state) {
    (void)state;
    struct mysql_url url = url_of("mysql://ann@[::1]:3308/shop");
    assert_string_equal(url.host, "::1");
    assert_int_equal(url.port, 3308);
    maria_url_done(&url);
    url = url_of("mysql://ann@[::1]/shop");
    assert_string_equal(url.host, "::1");
    assert_int_equal(url.port, 3306);
    maria_url_done(&url);
}

static void an_at_sign_in_the_password_is_not_the_end_of_it(void **state) {
    (void)state;
    struct mysql_url url = url_of("mysql://ann:se@cret@h/shop");
    assert_string_equal(url.password, "se@cret");
    assert_string_equal(url.host, "h");
    maria_url_done(&url);
}

static void a_wrong_url_is_refused_and_never_repeated(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        "secret",
        "postgresql://ann:secret@h/shop",
        "mysql://",
        "mysql:///shop",
        "mysql://h/shop",
        "mysql://ann:secret@h",
        "mysql://ann:secret@h/",
        "mysql://ann:secret@h/?tls=off",
        "mysql://:secret@h/shop",
        "mysql://ann:se/secret@h/shop",
        "mysql://ann:secret%@h/shop",
        "mysql://ann:secret%2@h/shop",
        "mysql://ann:secret%zz@h/shop",
        "mysql://ann:secret%00@h/shop",
        "mysql://ann:secret@h:0/shop",
        "mysql://ann:secret@h:65536/shop",
        "mysql://ann:secret@h:x/shop",
        "mysql://ann:secret@h:/shop",
        "mysql://ann:secret@[::1/shop",
        "mysql://ann:secret@[::1]x/shop",
        "mysql://ann:secret@h%0/shop",
        "mysql://ann:secret@h/shop%",
        "mysql://ann:secret@h/shop?tls=secret",
        "mysql://ann:secret@h/shop?secret=secret",
        "mysql://ann:secret@h/shop?ca=/secret&ca=/secret",
        "mysql://ann:secret@h/shop?socket=%",
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct mysql_url url;
        complaint.text[0] = '\0';
        assert_int_equal(maria_url_parse(&url, wrong[i], &complaint), STATUS_INVALID);
        assert_true(complaint.text[0] != '\0');
        assert_null(strstr(complaint.text, "secret"));
        maria_url_done(&url);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_is_taken_for_what_it_is),
        cmocka_unit_test(what_is_left_out_has_the_usual_value),
        cmocka_unit_test(an_empty_password_is_one),
        cmocka_unit_test(an_address_of_version_6_stands_in_brackets),
        cmocka_unit_test(an_at_sign_in_the_password_is_not_the_end_of_it),
        cmocka_unit_test(a_wrong_url_is_refused_and_never_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
