/* The audit log: a row with each change that names its admin, in the change's transaction. */
#include "place.h"

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
    struct ledger *ledger = ledger_of(state);
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

    ledger = ledger_reopened(state);
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
}

static void a_refused_change_leaves_no_row(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct audit_record audits[2];
    create(ledger, &shop);
    struct coupon_record coupon = coupon_example(10);
    coupon.id = 1;
    assert_int_equal(ledger_coupon_create(ledger, &coupon, NULL, &shop, &complaint), STATUS_EXISTS);
    coupon.version = 5;
    assert_int_equal(ledger_coupon_change(ledger, &coupon, &shop, &complaint), STATUS_CONFLICT);
    assert_int_equal(read(ledger, 0, 2, audits), 1);
}

static void the_largest_texts_fit(void **state) {
    struct ledger *ledger = ledger_of(state);
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
}

int main(void) {
    const struct CMUnitTest tests[] = {
        with_ledger(each_change_has_its_row),
        with_ledger(a_refused_change_leaves_no_row),
        with_ledger(the_largest_texts_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
