/* What the stores promise that several programs use at once: one ledger here stands for each of
 * them, and threads for their running at the same time. Not run against SQLite, which is one
 * program's. */
#include "place.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define NODES 4

static void a_user_is_given_one_issue_of_a_coupon(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_coupon(ledger, 10);
    uint64_t other = add_coupon(ledger, 10);
    assert_int_equal(append_ranks(ledger, id, 1, 2), STATUS_OK);
    struct issue_row row = {
        .reference = {id, 3}, .user_id = slice_of("u1"), .issued_at_us = NOW_US};
    struct issued_count issued = {id, 3};
    assert_complains(STATUS_CONFLICT, ledger_append(ledger, &row, 1, &issued, 1, &complaint));
    assert_ranks(ledger, id, 2);
    row.user_id = slice_of("U1"); /* another user */
    assert_int_equal(ledger_append(ledger, &row, 1, &issued, 1, &complaint), STATUS_OK);
    assert_int_equal(append_ranks(ledger, other, 1, 1), STATUS_OK); /* u1, of another coupon */
}

static void what_one_node_wrote_another_reads(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct ledger *another = ledger_another(state);
    uint64_t id = add_coupon(ledger, 10);
    assert_int_equal(append_ranks(another, id, 1, 3), STATUS_OK);
    assert_ranks(ledger, id, 3);
    assert_complains(STATUS_CONFLICT, append_ranks(ledger, id, 3, 1));
    assert_int_equal(append_ranks(ledger, id, 4, 2), STATUS_OK);
    assert_ranks(another, id, 5);
    struct coupon_record coupon;
    assert_int_equal(ledger_coupon_read(another, id, &coupon), STATUS_OK);
    coupon.version = 2;
    assert_int_equal(ledger_coupon_change(another, &coupon, NULL, &complaint), STATUS_OK);
    assert_complains(STATUS_CONFLICT, ledger_coupon_change(ledger, &coupon, NULL, &complaint));
    close_ledger(another);
}

/* A program in a thread. */
struct node {
    struct ledger *ledger;
    unsigned number;
    uint64_t ids[2];
    int wrong; /* how often it got a status that it should not */
    pthread_t thread;
};

static void nodes_run(void **state, struct node nodes[NODES], void *(*run)(void *)) {
    for (unsigned i = 0; i < NODES; i++) {
        nodes[i].ledger = ledger_another(state);
        nodes[i].number = i;
        nodes[i].wrong = 0;
    }
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(pthread_create(&nodes[i].thread, NULL, run, &nodes[i]), 0);
    }
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(pthread_join(nodes[i].thread, NULL), 0);
        close_ledger(nodes[i].ledger);
    }
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(nodes[i].wrong, 0);
    }
}

/* Two coupons in one batch, in an order that differs from node to node; only one node can have
 * the next rank, the others are told so and go on. */
static void *append_by_turns(void *context) {
    struct node *node = context;
    for (int done = 0; done < 25;) {
        uint64_t first = node->ids[node->number % 2];
        uint64_t second = node->ids[1 - node->number % 2];
        struct coupon_record coupon;
        node->wrong += ledger_coupon_read(node->ledger, first, &coupon) != STATUS_OK;
        uint32_t rank = coupon.issued_quantity + 1;
        char user[32];
        snprintf(user, sizeof(user), "n%u-%u", node->number, rank);
        struct issue_row rows[] = {
            {.reference = {first, rank}, .user_id = slice_of(user), .issued_at_us = NOW_US},
            {.reference = {second, rank}, .user_id = slice_of(user), .issued_at_us = NOW_US}};
        struct issued_count counts[] = {{first, rank}, {second, rank}};
        int status = ledger_append(node->ledger, rows, 2, counts, 2, NULL);
        done += status == STATUS_OK;
        node->wrong += status != STATUS_OK && status != STATUS_CONFLICT;
        if (node->wrong > 0) {
            break;
        }
    }
    return NULL;
}

static int count_issue(void *context, const struct issue_row *issue) {
    uint32_t *ranks = context;
    uint32_t *rank = &ranks[issue->reference.coupon_id - 1];
    assert_int_equal(issue->reference.rank, ++*rank);
    return STATUS_OK;
}

static void nodes_that_append_at_once_get_each_rank_once(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct node nodes[NODES];
    uint64_t a = add_coupon(ledger, COUPON_UNLIMITED);
    uint64_t b = add_coupon(ledger, COUPON_UNLIMITED);
    for (unsigned i = 0; i < NODES; i++) {
        nodes[i].ids[0] = a;
        nodes[i].ids[1] = b;
    }
    nodes_run(state, nodes, append_by_turns);
    uint32_t ranks[2] = {0, 0};
    struct ledger_visitor visitor = {.context = ranks, .issue = count_issue};
    assert_int_equal(ledger_visit(ledger, &visitor, &complaint), STATUS_OK);
    assert_int_equal(ranks[0], NODES * 25);
    assert_int_equal(ranks[1], NODES * 25);
}

static void *create_some(void *context) {
    struct node *node = context;
    struct audit audit = {.admin = slice_of("node")};
    for (unsigned i = 0; i < 25; i++) {
        struct coupon_record coupon = coupon_example(10);
        coupon.id = i % 5 == 4 ? 1000 + 10 * i + node->number : 0; /* some take an id of theirs */
        node->wrong += ledger_coupon_create(node->ledger, &coupon, NULL, &audit, NULL) != STATUS_OK;
    }
    return NULL;
}

static void nodes_that_create_at_once_get_ids_of_their_own(void **state) {
    static struct audit_record audits[NODES * 25 + 1];
    struct ledger *ledger = ledger_of(state);
    struct node nodes[NODES];
    struct coupon_record high = coupon_example(10);
    high.id = 10000; /* the next ids are above it, and so none of the nodes' own */
    assert_int_equal(ledger_coupon_create(ledger, &high, NULL, NULL, &complaint), STATUS_OK);
    nodes_run(state, nodes, create_some);
    size_t count = 0;
    assert_int_equal(ledger_audits_read(ledger, 0, COUNT_OF(audits), audits, &count), STATUS_OK);
    assert_int_equal(count, NODES * 25);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(audits[i].id, i + 1);
    }
}

static void a_check_finds_a_ledger_as_it_was_made(void **state) {
    assert_int_equal(ledger_check(ledger_of(state), &complaint), STATUS_OK);
}

static void what_reads_only_makes_nothing_and_writes_nothing(void **state) {
    struct ledger_sql_options options = {.url = url_of(state), .existing_only = true};
    struct ledger *reader = NULL;
    uint64_t id = add_coupon(ledger_of(state), 10);
    assert_int_equal(append_ranks(ledger_of(state), id, 1, 3), STATUS_OK);
    assert_int_equal(ledger_open_url(&options, &reader, &complaint), STATUS_OK);
    assert_ranks(reader, id, 3);
    assert_int_equal(ledger_check(reader, &complaint), STATUS_OK);
    close_ledger(reader);
}

int main(void) {
    if (!place_is_shared()) {
        print_message("1..0 # SKIP this store is one program's\n");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        with_ledger(a_user_is_given_one_issue_of_a_coupon),
        with_ledger(what_one_node_wrote_another_reads),
        with_ledger(nodes_that_append_at_once_get_each_rank_once),
        with_ledger(nodes_that_create_at_once_get_ids_of_their_own),
        with_ledger(a_check_finds_a_ledger_as_it_was_made),
        with_ledger(what_reads_only_makes_nothing_and_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
