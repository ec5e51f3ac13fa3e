/* Which store a URL opens, and that none is repeated in a complaint. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

static int open_url(const char *url) {
    struct ledger_sql_options options = {.url = url};
    struct ledger *ledger = NULL;
    complaint.text[0] = '\0';
    int status = ledger_open_url(&options, &ledger, &complaint);
    assert_true((status == STATUS_OK) == (ledger != NULL));
    close_ledger(ledger);
    return status;
}

static void another_scheme_is_refused_and_not_repeated(void **state) {
    static const char *const urls[] = {"",
                                       "sqlite:",
                                       "oracle://a:secret@b/c",
                                       "/secret/folder",
                                       "postgresql:secret",
                                       "mysql:/secret"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        assert_int_equal(open_url(urls[i]), STATUS_INVALID);
        assert_says("postgresql://");
        assert_null(strstr(complaint.text, "secret"));
    }
}

static void a_url_that_cannot_be_read_is_not_repeated(void **state) {
    static const char *const urls[] = {"postgresql://[secret",
                                       "postgres://u:secret@h:5/d?no=1",
                                       "postgresql://u:secret@h/d?sslmode",
                                       "postgresql://u:secret%zz@h/d",
                                       "postgresql://u:secret@[::1/d",
                                       "postgresql://u:@secret@h/d",
                                       "postgresql://u:secret/x@h/d",
                                       "postgresql://u:secret",
                                       "mysql://u:secret",
                                       "mariadb://u:secret@h:x/d"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        assert_int_equal(open_url(urls[i]), STATUS_INVALID);
        assert_null(strstr(complaint.text, "secret"));
    }
}

static void a_server_that_is_not_there_is_named_without_the_password(void **state) {
    (void)state;
    /* Port 1 of this machine; nobody listens there. */
    assert_int_equal(open_url("postgresql://u:secret@127.0.0.1:1/d"), STATUS_IO);
    assert_says("postgresql://127.0.0.1:1/d");
    assert_null(strstr(complaint.text, "secret"));
    /* What is left out is left out of the name too. */
    assert_int_equal(open_url("postgresql://?host=127.0.0.1&port=1&password=secret"), STATUS_IO);
    assert_says("postgresql://127.0.0.1:1/");
    assert_null(strstr(complaint.text, "secret"));
    assert_int_equal(open_url("postgresql://?host=%2Fno%2Fsuch%2Ffolder"), STATUS_IO);
    assert_says("postgresql:///no/such/folder/");
    assert_int_equal(open_url("postgresql:///d?host=%2Fno%2Fsuch%2Ffolder"), STATUS_IO);
    assert_says("postgresql:///no/such/folder/d");
    static const char *const urls[] = {"mysql://u:secret@127.0.0.1:1/d",
                                       "mariadb://u:secret@127.0.0.1:1/d"};
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        assert_int_equal(open_url(urls[i]), STATUS_IO);
        assert_says("127.0.0.1:1/d");
        assert_null(strstr(complaint.text, "secret"));
    }
}

static void a_folder_is_opened_by_its_url(void **state) {
    char *folder = folder_new();
    char url[256];
    (void)state;
    snprintf(url, sizeof(url), "sqlite:%s", folder);
    assert_int_equal(open_url(url), STATUS_OK);
    assert_true(exists(folder, "coupon.db"));
    folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_scheme_is_refused_and_not_repeated),
        cmocka_unit_test(a_url_that_cannot_be_read_is_not_repeated),
        cmocka_unit_test(a_server_that_is_not_there_is_named_without_the_password),
        cmocka_unit_test(a_folder_is_opened_by_its_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
