/* A change of a coupon in a ledger that others write to as well, which a ledger of the test's own
 * stands in for: whoever got ahead is no condition of the caller's. The rest of changes is in
 * test_commands.c, and of shared ledgers in tests/contract. */
#include "issuer/change.h"
#include "support.h"

/* Somebody else changes the coupon before each of so many tries to write. */
struct busy_ledger {
    struct ledger ledger; /* first */
    unsigned others;
    unsigned tries;
    uint32_t version;
    unsigned probes;
    bool reconnects; /* in each of them */
};

static int now_us(struct ledger *ledger, int64_t *ret_now_us) {
    (void)ledger;
    *ret_now_us = 7;
    return STATUS_OK;
}

static int coupon_read(struct ledger *ledger, uint64_t id, struct coupon_record *ret_coupon) {
    *ret_coupon = coupon_example(id, 10, 5, 9);
    ret_coupon->version = ((struct busy_ledger *)ledger)->version;
    return STATUS_OK;
}

static int coupon_change(struct ledger *ledger, const struct coupon_record *coupon,
                         const struct audit *audit, struct complaint *complaint) {
    struct busy_ledger *busy = (struct busy_ledger *)ledger;
    (void)audit;
    busy->tries++;
    if (busy->others > 0) {
        busy->others--;
        busy->version++;
    }
    if (coupon->version != busy->version + 1) {
        return complain(complaint, STATUS_CONFLICT, "another version");
    }
    busy->version = coupon->version;
    return STATUS_OK;
}

static int coupon_create(struct ledger *ledger, struct coupon_record *coupon,
                         const struct creation_key *key, const struct audit *audit,
                         struct complaint *complaint) {
    (void)coupon;
    (void)key;
    (void)audit;
    ((struct busy_ledger *)ledger)->tries++;
    return complain(complaint, STATUS_CONFLICT, "the key is taken");
}

static int creation_read(struct ledger *ledger, const struct creation_key *key,
                         uint64_t *ret_coupon_id) {
    (void)key;
    *ret_coupon_id = 3;
    return ((struct busy_ledger *)ledger)->others > 0 ? STATUS_NOT_FOUND : STATUS_OK;
}

static int probe(struct ledger *ledger, struct complaint *complaint) {
    (void)complaint;
    struct busy_ledger *busy = (struct busy_ledger *)ledger;
    busy->probes++;
    ledger->sessions += busy->reconnects;
    return STATUS_OK;
}

static const struct ledger_operations operations = {.coupon_read = coupon_read,
                                                    .coupon_change = coupon_change,
                                                    .coupon_create = coupon_create,
                                                    .creation_read = creation_read,
                                                    .probe = probe};
static const struct ledger_shared_operations shared = {.now_us = now_us};

static struct busy_ledger busy_ledger(unsigned others) {
    return (struct busy_ledger){
        .ledger = {.operations = &operations, .shared = &shared, .shows_unsynced = true},
        .others = others,
        .version = 1};
}

static struct command pausing(const uint32_t *if_version) {
    struct command command = {.job = {.kind = JOB_COUPON_CHANGE}, .patch_set = PATCH_PAUSED};
    command.coupon.id = 3;
    command.coupon.paused = true;
    command.if_versions = if_version;
    command.if_version_count = if_version ? 1 : 0;
    return command;
}

static void who_gets_ahead_now_and_then_does_not_matter(void **state) {
    (void)state;
    struct busy_ledger busy = busy_ledger(20);
    struct command command = pausing(NULL);
    assert_int_equal(change_perform(&busy.ledger, &command, NULL), STATUS_OK);
    assert_int_equal(busy.tries, 21);
    assert_int_equal(command.coupon.version, 22);
}

static void who_always_gets_ahead_is_no_condition_of_the_callers(void **state) {
    (void)state;
    struct busy_ledger busy = busy_ledger(1000);
    struct command command = pausing(NULL);
    assert_int_equal(change_perform(&busy.ledger, &command, NULL), STATUS_BUSY);
    assert_in_range(busy.tries, 9, 100);
}

static void a_condition_that_another_made_untrue_is_one(void **state) {
    (void)state;
    const uint32_t version = 1;
    struct busy_ledger busy = busy_ledger(1);
    struct command command = pausing(&version);
    assert_int_equal(change_perform(&busy.ledger, &command, NULL), STATUS_CONFLICT);
    assert_int_equal(busy.tries, 1);
}

static struct command creating(void) {
    struct command command = {.job = {.kind = JOB_COUPON_CREATE}};
    command.coupon = coupon_example(3, 10, 5, 9);
    command.key.key = slice_of("key");
    return command;
}

static void a_key_that_is_taken_and_not_found_is_no_other_request(void **state) {
    (void)state;
    struct busy_ledger busy = busy_ledger(1);
    struct command command = creating();
    assert_int_equal(creation_perform(&busy.ledger, &command, NULL), STATUS_BUSY);
}

/* What another program has made is told of once it is durable. */
static void a_creation_that_was_made_is_told_behind_a_barrier(void **state) {
    (void)state;
    struct busy_ledger busy = busy_ledger(0);
    struct command command = creating();
    assert_int_equal(creation_perform(&busy.ledger, &command, NULL), STATUS_OK);
    assert_true(command.replayed);
    assert_int_equal(busy.probes, 1);
}

/* What the session before has read may have been taken back: no write of this one is a barrier. */
static void a_barrier_is_of_the_session_that_has_read(void **state) {
    (void)state;
    struct busy_ledger busy = busy_ledger(0);
    busy.ledger.sessions = 3;
    assert_int_equal(ledger_session(&busy.ledger), 3);
    assert_int_equal(ledger_barrier(&busy.ledger, 2, NULL), STATUS_IO);
    assert_int_equal(busy.probes, 0);
    assert_int_equal(ledger_barrier(&busy.ledger, 3, NULL), STATUS_OK);
    assert_int_equal(busy.probes, 1);
    busy.reconnects = true;
    assert_int_equal(ledger_barrier(&busy.ledger, 3, NULL), STATUS_IO);
    assert_int_equal(busy.probes, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_gets_ahead_now_and_then_does_not_matter),
        cmocka_unit_test(who_always_gets_ahead_is_no_condition_of_the_callers),
        cmocka_unit_test(a_condition_that_another_made_untrue_is_one),
        cmocka_unit_test(a_key_that_is_taken_and_not_found_is_no_other_request),
        cmocka_unit_test(a_creation_that_was_made_is_told_behind_a_barrier),
        cmocka_unit_test(a_barrier_is_of_the_session_that_has_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
