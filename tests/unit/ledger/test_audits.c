/* The audit log: a row with each change that names its admin, in the change's transaction (what
 * a fault leaves of the two is in test_faults.c). */
#include "support.h"

#include <stdio.h>

static const struct audit shop = {.admin = {"shop", 4}, .request = {"{\"paused\":true}", 15}};

static void create(struct ledger *ledger, const struct audit *audit) {
    struct coupon_record coupon = coupon_example(10);
    assert_int_equal(ledger_coupon_create(ledger, &coupon, NULL, audit, &complaint), STATUS_OK);
}

static size_t read(struct ledger *ledger, uint64_t after, size_t limit,
                   struct audit_record *ret_audits) {
    size_t count = 99;
    assert_int_equal(ledger_audits_read(ledger, after, limit, ret_audits, &count), STATUS_OK);
    return count;
}

static void each_change_has_its_row(void **state) {
    const char *folder = *state;
    struct ledger *ledger = open_ledger(folder, NULL);
    struct audit_record audits[4];
    assert_int_equal(read(ledger, 0, 4, audits), 0);
    create(ledger, &(struct audit){.admin = slice_of("a")});
    struct coupon_record coupon;
    assert_int_equal(ledger_coupon_read(ledger, 1, &coupon), STATUS_OK);
    coupon.version = 2;
    coupon.updated_us = NOW_US + 1;
    assert_int_equal(ledger_coupon_change(ledger, &coupon, &shop, &complaint), STATUS_OK);
    coupon.version = 3;
    coupon.updated_us = coupon.archived_us = NOW_US + 2;
    assert_int_equal(ledger_coupon_change(ledger, &coupon, &shop, &complaint), STATUS_OK);
    close_ledger(ledger);

    ledger = open_ledger(folder, NULL);
    assert_int_equal(read(ledger, 0, 4, audits), 3);
    static const char *const actions[] = {"coupon-created", "coupon-changed", "coupon-archived"};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(audits[i].id, i + 1);
        assert_int_equal(audits[i].changed_us, NOW_US + i);
        assert_int_equal(audits[i].coupon_id, 1);
        assert_int_equal(audits[i].version, i + 1);
        assert_string_equal(audits[i].action, actions[i]);
        assert_string_equal(audits[i].admin, i ? "shop" : "a");
        assert_string_equal(audits[i].request, i ? "{\"paused\":true}" : "");
    }
    assert_int_equal(read(ledger, 1, 1, audits), 1);
    assert_int_equal(audits[0].id, 2);
    assert_int_equal(read(ledger, 3, 4, audits), 0);
    assert_int_equal(read(ledger, UINT64_MAX, 4, audits), 0);
    close_ledger(ledger);
}

static void a_refused_change_leaves_no_row(void **state) {
    struct ledger *ledger = open_ledger(*state, NULL);
    struct audit_record audits[2];
    create(ledger, &shop);
    struct coupon_record coupon = coupon_example(10);
    coupon.id = 1;
    assert_int_equal(ledger_coupon_create(ledger, &coupon, NULL, &shop, &complaint), STATUS_EXISTS);
    coupon.version = 5;
    assert_int_equal(ledger_coupon_change(ledger, &coupon, &shop, &complaint), STATUS_CONFLICT);
    assert_int_equal(read(ledger, 0, 2, audits), 1);
    close_ledger(ledger);
}

static void the_largest_texts_fit(void **state) {
    struct ledger *ledger = open_ledger(*state, NULL);
    char name[ADMIN_NAME_MAX];
    char request[AUDIT_REQUEST_MAX];
    memset(name, 'n', sizeof(name));
    memset(request, ' ', sizeof(request));
    memcpy(request, "{}", 2);
    create(ledger,
           &(struct audit){.admin = {name, sizeof(name)}, .request = {request, sizeof(request)}});
    struct audit_record audit;
    assert_int_equal(read(ledger, 0, 1, &audit), 1);
    assert_int_equal(strlen(audit.admin), ADMIN_NAME_MAX);
    assert_int_equal(strlen(audit.request), AUDIT_REQUEST_MAX);
    close_ledger(ledger);
}

static void a_row_the_schema_forbids_is_damage(void **state) {
    const char *folder = *state;
    struct ledger *ledger = open_ledger(folder, NULL);
    create(ledger, &shop);
    close_ledger(ledger);
    sql_run(folder, "PRAGMA ignore_check_constraints = 1; UPDATE audits SET version = 0");
    ledger = open_ledger(folder, NULL);
    struct audit_record audit;
    size_t count;
    assert_int_equal(ledger_audits_read(ledger, 0, 1, &audit, &count), STATUS_DAMAGED);
    close_ledger(ledger);
}

static int setup(void **state) {
    *state = folder_new();
    return 0;
}

static int teardown(void **state) {
    folder_remove(*state);
    return 0;
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_folder(each_change_has_its_row),
        with_folder(a_refused_change_leaves_no_row),
        with_folder(the_largest_texts_fit),
        with_folder(a_row_the_schema_forbids_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
