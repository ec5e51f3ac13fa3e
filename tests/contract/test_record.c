/* Every call of a ledger on a healthy store: what is written is read back, and what
 * contradicts the record is refused and leaves no trace. */
#include "place.h"

/* ---- coupons ---- */

static void a_coupon_is_read_back_as_it_was_written(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct coupon_record coupon = coupon_example(100);
    coupon.paused = true;
    coupon.version = 9;
    coupon.issued_quantity = 9;
    coupon.archived_us = 9;
    assert_int_equal(ledger_coupon_create(ledger, &coupon, NULL, NULL, &complaint), STATUS_OK);
    assert_int_equal(coupon.id, 1);
    struct coupon_record read;
    assert_int_equal(ledger_coupon_read(ledger, 1, &read), STATUS_OK);
    assert_int_equal(read.id, 1);
    assert_string_equal(read.title, coupon.title);
    assert_string_equal(read.metadata, coupon.metadata);
    assert_int_equal(read.total_quantity, 100);
    assert_int_equal(read.issued_quantity, 0);
    assert_int_equal(read.discount_amount, 1000);
    assert_int_equal(read.min_available_amount, 5000);
    assert_int_equal(read.issue_start_us, coupon.issue_start_us);
    assert_int_equal(read.issue_end_us, coupon.issue_end_us);
    assert_true(read.paused);
    assert_int_equal(read.version, 1);
    assert_int_equal(read.created_us, NOW_US);
    assert_int_equal(read.updated_us, NOW_US);
    assert_int_equal(read.archived_us, 0);
    assert_int_equal(coupon.version, 1);
    assert_int_equal(coupon.issued_quantity, 0);
    assert_int_equal(coupon.archived_us, 0);
}

static void the_longest_texts_and_no_texts_fit(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct coupon_record coupon = coupon_example(COUPON_UNLIMITED);
    memset(coupon.title, 0xc3, COUPON_TITLE_MAX);
    for (size_t i = 1; i < COUPON_TITLE_MAX; i += 2) {
        coupon.title[i] = (char)0xa9;
    }
    memset(coupon.metadata, 'x', COUPON_METADATA_MAX);
    assert_int_equal(ledger_coupon_create(ledger, &coupon, NULL, NULL, &complaint), STATUS_OK);
    struct coupon_record read;
    assert_int_equal(ledger_coupon_read(ledger, coupon.id, &read), STATUS_OK);
    assert_string_equal(read.title, coupon.title);
    assert_string_equal(read.metadata, coupon.metadata);
    assert_int_equal(read.total_quantity, COUPON_UNLIMITED);
    coupon.title[0] = coupon.metadata[0] = '\0';
    coupon.id = 0;
    assert_int_equal(ledger_coupon_create(ledger, &coupon, NULL, NULL, &complaint), STATUS_OK);
    assert_int_equal(ledger_coupon_read(ledger, coupon.id, &read), STATUS_OK);
    assert_string_equal(read.title, "");
    assert_string_equal(read.metadata, "");
}

static void ids_go_on_above_the_highest_archived_ones_included(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct coupon_record coupon = coupon_example(1);
    coupon.id = 41;
    assert_int_equal(ledger_coupon_create(ledger, &coupon, NULL, NULL, &complaint), STATUS_OK);
    coupon.version = 2;
    coupon.archived_us = NOW_US + 1;
    assert_int_equal(ledger_coupon_change(ledger, &coupon, NULL, &complaint), STATUS_OK);
    assert_int_equal(add_coupon(ledger, 1), 42);
    coupon.id = 7;
    assert_int_equal(ledger_coupon_create(ledger, &coupon, NULL, NULL, &complaint), STATUS_OK);
    assert_int_equal(add_coupon(ledger, 1), 43);
}

static void an_id_that_was_used_is_refused(void **state) {
    struct ledger *ledger = ledger_of(state);
    add_coupon(ledger, 1);
    struct coupon_record coupon = coupon_example(1);
    coupon.id = 1;
    assert_complains(STATUS_EXISTS, ledger_coupon_create(ledger, &coupon, NULL, NULL, &complaint));
    coupon.id = 2;
    assert_int_equal(ledger_coupon_create(ledger, &coupon, NULL, NULL, &complaint), STATUS_OK);
}

static void ids_end_at_the_largest_exact_json_integer(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct coupon_record coupon = coupon_example(1);
    coupon.id = (uint64_t)JSON_INTEGER_MAX + 1;
    assert_complains(STATUS_INVALID, ledger_coupon_create(ledger, &coupon, NULL, NULL, &complaint));
    coupon.id = (uint64_t)JSON_INTEGER_MAX;
    assert_int_equal(ledger_coupon_create(ledger, &coupon, NULL, NULL, &complaint), STATUS_OK);
    coupon.id = 0;
    assert_complains(STATUS_FULL, ledger_coupon_create(ledger, &coupon, NULL, NULL, &complaint));
    assert_int_equal(coupon.id, 0);
    struct coupon_record read;
    assert_int_equal(ledger_coupon_read(ledger, (uint64_t)JSON_INTEGER_MAX, &read), STATUS_OK);
    assert_int_equal(ledger_coupon_read(ledger, UINT64_MAX, &read), STATUS_NOT_FOUND);
}

static void impossible_coupons_are_refused(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct coupon_record good = coupon_example(10);
    struct coupon_record bad[6];
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        bad[i] = good;
    }
    bad[0].issue_end_us = bad[0].issue_start_us;
    bad[1].total_quantity = -2;
    bad[2].discount_amount = -1;
    bad[3].min_available_amount = -1;
    bad[4].issue_end_us = TIME_US_MAX + 1;
    bad[5].total_quantity = COUPON_QUANTITY_MAX + 1;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_complains(STATUS_INVALID,
                         ledger_coupon_create(ledger, &bad[i], NULL, NULL, &complaint));
    }
    struct coupon_record rooms[2];
    size_t count = 9;
    assert_int_equal(ledger_coupons_read(ledger, 0, 2, rooms, &count), STATUS_OK);
    assert_int_equal(count, 0);
}

static void a_change_is_written_with_its_revision(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_coupon(ledger, 10);
    assert_int_equal(append_ranks(ledger, id, 1, 3), STATUS_OK);
    struct coupon_record coupon;
    assert_int_equal(ledger_coupon_read(ledger, id, &coupon), STATUS_OK);
    coupon.version = 2;
    coupon.total_quantity = 3;
    coupon.paused = true;
    coupon.issued_quantity = 77; /* not written */
    coupon.created_us = 0;       /* not written */
    coupon.updated_us = NOW_US + 50;
    assert_int_equal(ledger_coupon_change(ledger, &coupon, NULL, &complaint), STATUS_OK);
    struct coupon_record read;
    assert_int_equal(ledger_coupon_read(ledger, id, &read), STATUS_OK);
    assert_int_equal(read.version, 2);
    assert_int_equal(read.total_quantity, 3);
    assert_int_equal(read.issued_quantity, 3);
    assert_int_equal(read.created_us, NOW_US);
    assert_true(read.paused);
}

static void a_change_of_another_version_is_a_conflict(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct coupon_record coupon = coupon_example(10);
    assert_int_equal(ledger_coupon_create(ledger, &coupon, NULL, NULL, &complaint), STATUS_OK);
    coupon.version = 3;
    assert_complains(STATUS_CONFLICT, ledger_coupon_change(ledger, &coupon, NULL, &complaint));
    coupon.version = 2;
    coupon.id = 9;
    assert_complains(STATUS_NOT_FOUND, ledger_coupon_change(ledger, &coupon, NULL, &complaint));
    coupon.id = 1;
    assert_int_equal(ledger_coupon_change(ledger, &coupon, NULL, &complaint), STATUS_OK);
}

static void a_quantity_below_what_is_issued_is_refused(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_coupon(ledger, 10);
    assert_int_equal(append_ranks(ledger, id, 1, 3), STATUS_OK);
    struct coupon_record coupon;
    assert_int_equal(ledger_coupon_read(ledger, id, &coupon), STATUS_OK);
    coupon.version = 2;
    coupon.total_quantity = 2;
    assert_complains(STATUS_INVALID, ledger_coupon_change(ledger, &coupon, NULL, &complaint));
    assert_int_equal(ledger_coupon_read(ledger, id, &coupon), STATUS_OK);
    assert_int_equal(coupon.version, 1);
    assert_int_equal(coupon.total_quantity, 10);
}

static void coupons_are_listed_in_slices_by_id(void **state) {
    struct ledger *ledger = ledger_of(state);
    for (int i = 0; i < 5; i++) {
        add_coupon(ledger, 1);
    }
    struct coupon_record rooms[3];
    size_t count;
    assert_int_equal(ledger_coupons_read(ledger, 0, 3, rooms, &count), STATUS_OK);
    assert_int_equal(count, 3);
    assert_int_equal(rooms[0].id, 1);
    assert_int_equal(rooms[2].id, 3);
    assert_int_equal(ledger_coupons_read(ledger, 3, 3, rooms, &count), STATUS_OK);
    assert_int_equal(count, 2);
    assert_int_equal(rooms[1].id, 5);
    assert_int_equal(ledger_coupons_read(ledger, UINT64_MAX, 3, rooms, &count), STATUS_OK);
    assert_int_equal(count, 0);
    assert_int_equal(ledger_coupons_read(ledger, 0, 0, rooms, &count), STATUS_OK);
    assert_int_equal(count, 0);
}

/* ---- creation keys ---- */

static void a_creation_key_finds_its_coupon_again(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct creation_key key = {.key = slice_of("order-1"), .request_digest = {1, 2, 3}};
    uint64_t id = 0;
    assert_int_equal(ledger_creation_read(ledger, &key, &id), STATUS_NOT_FOUND);
    struct coupon_record coupon = coupon_example(1);
    assert_int_equal(ledger_coupon_create(ledger, &coupon, &key, NULL, &complaint), STATUS_OK);
    assert_int_equal(ledger_creation_read(ledger, &key, &id), STATUS_OK);
    assert_int_equal(id, coupon.id);
    struct creation_key other = {.key = slice_of("Order-1")};
    assert_int_equal(ledger_creation_read(ledger, &other, &id), STATUS_NOT_FOUND);
    key.request_digest[31] = 1;
    assert_int_equal(ledger_creation_read(ledger, &key, &id), STATUS_CONFLICT);
}

static void a_creation_key_used_twice_creates_nothing(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct creation_key key = {.key = slice_of("order-1")};
    struct coupon_record coupon = coupon_example(1);
    assert_int_equal(ledger_coupon_create(ledger, &coupon, &key, NULL, &complaint), STATUS_OK);
    coupon.id = 0;
    assert_complains(STATUS_CONFLICT,
                     ledger_coupon_create(ledger, &coupon, &key, NULL, &complaint));
    struct coupon_record read;
    assert_int_equal(ledger_coupon_read(ledger, 2, &read), STATUS_NOT_FOUND);
    struct creation_key none = {.key = {NULL, 0}};
    assert_int_equal(ledger_coupon_create(ledger, &coupon, &none, NULL, &complaint), STATUS_OK);
}

/* ---- issues ---- */

static void issues_are_read_back_as_they_were_appended(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_coupon(ledger, 5000);
    assert_int_equal(append_ranks(ledger, id, 1, 1), STATUS_OK);
    assert_int_equal(append_ranks(ledger, id, 2, 2048), STATUS_OK);
    assert_ranks(ledger, id, 2049);
    struct issue_record issue;
    struct issue_reference reference = {id, 2049};
    assert_int_equal(ledger_issue_read(ledger, reference, &issue), STATUS_OK);
    assert_string_equal(issue.user_id, "u2049");
    assert_string_equal(issue.request_key, "k2049");
    assert_int_equal(issue.reference.rank, 2049);
    assert_int_equal(issue.issued_at_us, NOW_US + 2049);
    reference.rank = 2;
    assert_int_equal(ledger_issue_read(ledger, reference, &issue), STATUS_OK);
    assert_string_equal(issue.request_key, "");
    reference.rank = 2050;
    assert_int_equal(ledger_issue_read(ledger, reference, &issue), STATUS_NOT_FOUND);
    reference.coupon_id = UINT64_MAX;
    assert_int_equal(ledger_issue_read(ledger, reference, &issue), STATUS_NOT_FOUND);
}

static void issues_are_listed_in_slices_by_rank(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_coupon(ledger, 100);
    uint64_t other = add_coupon(ledger, 100);
    assert_int_equal(append_ranks(ledger, id, 1, 5), STATUS_OK);
    assert_int_equal(append_ranks(ledger, other, 1, 5), STATUS_OK);
    struct issue_record rooms[4];
    size_t count;
    struct issue_reference after = {id, 0};
    assert_int_equal(ledger_issues_read(ledger, after, 4, rooms, &count), STATUS_OK);
    assert_int_equal(count, 4);
    assert_int_equal(rooms[0].reference.rank, 1);
    after.rank = 4;
    assert_int_equal(ledger_issues_read(ledger, after, 4, rooms, &count), STATUS_OK);
    assert_int_equal(count, 1);
    assert_int_equal(rooms[0].reference.rank, 5);
    assert_int_equal(rooms[0].reference.coupon_id, id);
    after.coupon_id = UINT64_MAX;
    assert_int_equal(ledger_issues_read(ledger, after, 4, rooms, &count), STATUS_OK);
    assert_int_equal(count, 0);
}

/* ---- the latest moment ---- */

static void the_latest_moment_is_of_issues_creations_and_changes(void **state) {
    struct ledger *ledger = ledger_of(state);
    int64_t latest_us = -1;
    assert_int_equal(ledger_latest_us(ledger, &latest_us), STATUS_OK);
    assert_int_equal(latest_us, 0);
    uint64_t id = add_coupon(ledger, 100);
    assert_int_equal(ledger_latest_us(ledger, &latest_us), STATUS_OK);
    assert_int_equal(latest_us, NOW_US);
    assert_int_equal(append_ranks(ledger, id, 1, 7), STATUS_OK);
    add_coupon(ledger, 100);
    assert_int_equal(ledger_latest_us(ledger, &latest_us), STATUS_OK);
    assert_int_equal(latest_us, NOW_US + 7);
    struct coupon_record coupon;
    assert_int_equal(ledger_coupon_read(ledger, id, &coupon), STATUS_OK);
    coupon.version = 2;
    coupon.updated_us = NOW_US + 8;
    coupon.archived_us = NOW_US + 9;
    assert_int_equal(ledger_coupon_change(ledger, &coupon, NULL, &complaint), STATUS_OK);
    assert_int_equal(ledger_latest_us(ledger, &latest_us), STATUS_OK);
    assert_int_equal(latest_us, NOW_US + 9);
}

/* ---- visits ---- */

struct trace {
    struct buffer text;
    int stop_at_issue; /* 0: never */
};

static int trace_coupon(void *context, const struct coupon_record *coupon) {
    struct trace *trace = context;
    buffer_format(&trace->text, "c%d ", (int)coupon->id);
    return STATUS_OK;
}
static int trace_revision(void *context, const struct coupon_revision *revision) {
    struct trace *trace = context;
    buffer_format(&trace->text, "v%u@%u/%d%s%s ", revision->version, revision->first_rank,
                  (int)revision->total_quantity, revision->paused ? "p" : "",
                  revision->archived ? "a" : "");
    return STATUS_OK;
}
static int trace_issue(void *context, const struct issue_row *issue) {
    struct trace *trace = context;
    buffer_format(&trace->text, "i%u:%.*s ", issue->reference.rank, (int)issue->user_id.size,
                  issue->user_id.bytes);
    return --trace->stop_at_issue == 0 ? STATUS_STOPPED : STATUS_OK;
}
static int trace_orphan(void *context, uint64_t coupon_id) {
    struct trace *trace = context;
    buffer_format(&trace->text, "o%d ", (int)coupon_id);
    return STATUS_OK;
}

static void assert_trace(struct ledger *ledger, struct ledger_visitor visitor, int status,
                         const char *expected) {
    struct trace trace = {.stop_at_issue = status == STATUS_STOPPED ? 2 : 0};
    buffer_init(&trace.text);
    visitor.context = &trace;
    assert_int_equal(ledger_visit(ledger, &visitor, &complaint), status);
    buffer_append(&trace.text, "", 1);
    assert_string_equal(trace.text.bytes, expected);
    buffer_done(&trace.text);
}

static const struct ledger_visitor everything = {.archived_too = true,
                                                 .coupon = trace_coupon,
                                                 .revision = trace_revision,
                                                 .issue = trace_issue,
                                                 .orphan = trace_orphan};

static void make_visited(struct ledger *ledger) {
    uint64_t first = add_coupon(ledger, 10);
    uint64_t second = add_coupon(ledger, COUPON_UNLIMITED);
    assert_int_equal(append_ranks(ledger, second, 1, 2), STATUS_OK);
    assert_int_equal(append_ranks(ledger, first, 1, 2), STATUS_OK);
    struct coupon_record coupon;
    assert_int_equal(ledger_coupon_read(ledger, first, &coupon), STATUS_OK);
    coupon.version = 2;
    coupon.total_quantity = 20;
    coupon.paused = true;
    assert_int_equal(ledger_coupon_change(ledger, &coupon, NULL, &complaint), STATUS_OK);
    assert_int_equal(append_ranks(ledger, first, 3, 1), STATUS_OK);
    coupon.version = 3;
    coupon.archived_us = NOW_US + 5;
    assert_int_equal(ledger_coupon_change(ledger, &coupon, NULL, &complaint), STATUS_OK);
}

static void a_visit_goes_by_coupon_revision_and_rank(void **state) {
    struct ledger *ledger = ledger_of(state);
    assert_trace(ledger, everything, STATUS_OK, "");
    make_visited(ledger);
    assert_trace(ledger, everything, STATUS_OK,
                 "c1 v1@1/10 v2@3/20p v3@4/20pa i1:u1 i2:u2 i3:u3 c2 v1@1/-1 i1:u1 i2:u2 ");
    struct ledger_visitor live = everything;
    live.archived_too = false;
    assert_trace(ledger, live, STATUS_OK, "c2 v1@1/-1 i1:u1 i2:u2 ");
    assert_trace(ledger, (struct ledger_visitor){.issue = trace_issue}, STATUS_OK, "i1:u1 i2:u2 ");
    assert_trace(ledger, (struct ledger_visitor){.coupon = trace_coupon}, STATUS_OK, "c2 ");
}

static void a_visitor_can_stop_the_visit(void **state) {
    struct ledger *ledger = ledger_of(state);
    make_visited(ledger);
    assert_trace(ledger, everything, STATUS_STOPPED, "c1 v1@1/10 v2@3/20p v3@4/20pa i1:u1 i2:u2 ");
    assert_int_equal(append_ranks(ledger, 2, 3, 1), STATUS_OK);
}

static void note_progress(void *context, uint64_t visited, uint64_t total) {
    uint64_t *noted = context;
    noted[0]++;
    noted[1] = visited;
    noted[2] = total;
}
static int skip_issue(void *context, const struct issue_row *issue) {
    (void)context;
    (void)issue;
    return STATUS_OK;
}

static void a_long_visit_tells_how_far_it_is(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_coupon(ledger, COUPON_UNLIMITED);
    assert_int_equal(append_ranks(ledger, id, 1, 200001), STATUS_OK);
    uint64_t noted[3] = {0};
    struct ledger_visitor visitor = {
        .context = noted, .issue = skip_issue, .progress = note_progress};
    assert_int_equal(ledger_visit(ledger, &visitor, &complaint), STATUS_OK);
    assert_int_equal(noted[0], 2);
    assert_int_equal(noted[1], 200000);
    assert_int_equal(noted[2], 200001);
}

/* ---- housekeeping ---- */

static void probe_check_and_tend_work_on_a_healthy_ledger(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_coupon(ledger, COUPON_UNLIMITED);
    assert_int_equal(ledger_probe(ledger, &complaint), STATUS_OK);
    assert_int_equal(ledger_probe(ledger, NULL), STATUS_OK);
    assert_int_equal(append_ranks(ledger, id, 1, 200000), STATUS_OK);
    assert_int_equal(ledger_tend(ledger, true, &complaint), STATUS_OK);
    assert_int_equal(ledger_tend(ledger, false, &complaint), STATUS_OK);
    assert_int_equal(append_ranks(ledger, id, 200001, 10), STATUS_OK);
    assert_int_equal(ledger_check(ledger, &complaint), STATUS_OK);
    assert_ranks(ledger, id, 200010);
}

static void closing_nothing_is_fine(void **state) {
    (void)state;
    assert_int_equal(ledger_close(NULL, NULL), STATUS_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        with_ledger(a_coupon_is_read_back_as_it_was_written),
        with_ledger(the_longest_texts_and_no_texts_fit),
        with_ledger(ids_go_on_above_the_highest_archived_ones_included),
        with_ledger(an_id_that_was_used_is_refused),
        with_ledger(ids_end_at_the_largest_exact_json_integer),
        with_ledger(impossible_coupons_are_refused),
        with_ledger(a_change_is_written_with_its_revision),
        with_ledger(a_change_of_another_version_is_a_conflict),
        with_ledger(a_quantity_below_what_is_issued_is_refused),
        with_ledger(coupons_are_listed_in_slices_by_id),
        with_ledger(a_creation_key_finds_its_coupon_again),
        with_ledger(a_creation_key_used_twice_creates_nothing),
        with_ledger(issues_are_read_back_as_they_were_appended),
        with_ledger(issues_are_listed_in_slices_by_rank),
        with_ledger(the_latest_moment_is_of_issues_creations_and_changes),
        with_ledger(a_visit_goes_by_coupon_revision_and_rank),
        with_ledger(a_visitor_can_stop_the_visit),
        with_ledger(a_long_visit_tells_how_far_it_is),
        with_ledger(probe_check_and_tend_work_on_a_healthy_ledger),
        cmocka_unit_test(closing_nothing_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
