/* Settlements at the same time: threads with a ledger each stand for the programs. */
#include "claims.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define NODES_MAX 4

/* A program in a thread. */
struct node {
    struct ledger *ledger;
    unsigned number;
    uint64_t ids[2];
    struct settle_claim *claims;
    size_t count;
    char (*texts)[16];
    atomic_bool *over;
    int wrong; /* how often it got what it should not */
    pthread_t thread;
};

static void nodes_open(void **state, struct node *nodes, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        nodes[i].ledger = ledger_another(state);
        nodes[i].number = i;
    }
}

static void nodes_join(struct node *nodes, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(pthread_join(nodes[i].thread, NULL), 0);
    }
    for (unsigned i = 0; i < count; i++) {
        close_ledger(nodes[i].ledger);
        assert_int_equal(nodes[i].wrong, 0);
    }
}

static void nodes_run(void **state, struct node *nodes, unsigned count, void *(*run)(void *)) {
    nodes_open(state, nodes, count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&nodes[i].thread, NULL, run, &nodes[i]), 0);
    }
    nodes_join(nodes, count);
}

/* ---- one coupon, two programs ---- */

#define USERS_EACH  5000
#define USERS_FIRST 2000 /* where the second's begin: 3,000 ask both */
#define QUANTITY    6000

static void users_make(struct node *node, uint64_t id) {
    node->claims = calloc(USERS_EACH, sizeof(*node->claims));
    node->texts = calloc(USERS_EACH, sizeof(*node->texts));
    assert_true(node->claims && node->texts);
    node->count = USERS_EACH;
    for (unsigned i = 0; i < USERS_EACH; i++) {
        /* by different ways through the users, so that each is first with some */
        unsigned user = node->number * USERS_FIRST + i * 7 % USERS_EACH;
        snprintf(node->texts[i], sizeof(node->texts[i]), "%u", user);
        node->claims[i] = claim_of(id, node->texts[i], "");
    }
}

static void *settle_all(void *context) {
    struct node *node = context;
    size_t batch = node->number % 2 == 0 ? 97 : 256;
    for (size_t at = 0; at < node->count; at += batch) {
        struct settlement settlement = {.claims = node->claims + at,
                                        .count =
                                            node->count - at < batch ? node->count - at : batch,
                                        .fresh = at / batch % 2 == 0};
        node->wrong += ledger_settle(node->ledger, &settlement, NULL) != STATUS_OK;
    }
    return NULL;
}

/* Each outcome against the rows, all of which are read; tells how many were issued. */
static uint32_t outcomes_agree(struct ledger *ledger, const struct node *node, uint64_t id) {
    static struct issue_record issues[LEDGER_SLICE_MAX];
    static uint32_t ranks[USERS_FIRST + USERS_EACH];
    struct issue_reference after = {id, 0};
    size_t count = 1;
    memset(ranks, 0, sizeof(ranks));
    while (count > 0) {
        assert_int_equal(ledger_issues_read(ledger, after, LEDGER_SLICE_MAX, issues, &count),
                         STATUS_OK);
        for (size_t i = 0; i < count; i++) {
            after = issues[i].reference;
            ranks[strtoul(issues[i].user_id, NULL, 10)] = after.rank;
        }
    }
    uint32_t issued = 0;
    for (size_t i = 0; i < node->count; i++) {
        const struct settle_claim *claim = &node->claims[i];
        bool holds = claim->outcome != SETTLE_SOLD_OUT;
        assert_int_equal(ranks[strtoul(node->texts[i], NULL, 10)], holds ? claim->rank : 0);
        assert_true(!holds || claim->outcome == SETTLE_ISSUED ||
                    claim->outcome == SETTLE_ALREADY_ISSUED);
        issued += claim->outcome == SETTLE_ISSUED;
    }
    return issued;
}

static void two_that_settle_one_coupon_issue_its_quantity_and_no_more(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct node nodes[2] = {{.wrong = 0}};
    uint64_t id = add_open_coupon(ledger, QUANTITY);
    for (unsigned i = 0; i < 2; i++) {
        nodes[i].number = i;
        users_make(&nodes[i], id);
    }
    nodes_run(state, nodes, 2, settle_all);
    assert_int_equal(sound_issues(ledger, id), QUANTITY);
    uint32_t issued = 0;
    for (unsigned i = 0; i < 2; i++) {
        issued += outcomes_agree(ledger, &nodes[i], id);
        free(nodes[i].claims);
        free(nodes[i].texts);
    }
    assert_int_equal(issued, QUANTITY);
}

/* ---- several coupons ---- */

/* Two coupons in each settlement, in an order that differs from node to node. */
static void *settle_both(void *context) {
    struct node *node = context;
    for (int i = 0; i < 25; i++) {
        char user[32];
        snprintf(user, sizeof(user), "n%u-%d", node->number, i);
        struct settle_claim claims[] = {claim_of(node->ids[node->number % 2], user, ""),
                                        claim_of(node->ids[1 - node->number % 2], user, "")};
        struct settlement settlement = {.claims = claims, .count = 2, .fresh = i % 2 == 0};
        node->wrong += ledger_settle(node->ledger, &settlement, NULL) != STATUS_OK ||
                       claims[0].outcome != SETTLE_ISSUED || claims[1].outcome != SETTLE_ISSUED;
    }
    return NULL;
}

static void settlements_of_the_same_coupons_do_not_fall_over_each_other(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct node nodes[NODES_MAX] = {{.wrong = 0}};
    uint64_t a = add_open_coupon(ledger, COUPON_UNLIMITED);
    uint64_t b = add_open_coupon(ledger, COUPON_UNLIMITED);
    for (unsigned i = 0; i < NODES_MAX; i++) {
        nodes[i].ids[0] = a;
        nodes[i].ids[1] = b;
    }
    nodes_run(state, nodes, NODES_MAX, settle_both);
    assert_int_equal(sound_issues(ledger, a), NODES_MAX * 25);
    assert_int_equal(sound_issues(ledger, b), NODES_MAX * 25);
}

/* ---- changes meanwhile ---- */

#define CHANGES 60

static void *settle_until_over(void *context) {
    struct node *node = context;
    for (unsigned i = 0; !atomic_load(node->over); i++) {
        char users[4][32];
        struct settle_claim claims[4];
        for (unsigned k = 0; k < 4; k++) {
            snprintf(users[k], sizeof(users[k]), "n%u-%u-%u", node->number, i, k);
            claims[k] = claim_of(node->ids[0], users[k], "");
        }
        struct settlement settlement = {.claims = claims, .count = 4, .fresh = i % 2 == 0};
        node->wrong += ledger_settle(node->ledger, &settlement, NULL) != STATUS_OK;
        for (unsigned k = 0; k < 4; k++) {
            node->wrong += claims[k].outcome != SETTLE_ISSUED && claims[k].outcome != SETTLE_PAUSED;
        }
    }
    return NULL;
}

/* Paused and not, by clocks that are behind the server's and ahead of it. */
static void *change_often(void *context) {
    struct node *node = context;
    struct coupon_record coupon;
    node->wrong += ledger_coupon_read(node->ledger, node->ids[0], &coupon) != STATUS_OK;
    for (int i = 0; i < CHANGES && node->wrong == 0; i++) {
        coupon.version++;
        coupon.paused = i % 4 == 1;
        coupon.updated_us = clock_realtime(NULL) + (i % 3 - 1) * (US_PER_SECOND / 100);
        node->wrong += ledger_coupon_change(node->ledger, &coupon, NULL, NULL) != STATUS_OK;
    }
    atomic_store(node->over, true);
    return NULL;
}

static void a_change_is_dated_between_the_issues_around_it(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, COUPON_UNLIMITED);
    atomic_bool over = false;
    struct node nodes[3] = {{.wrong = 0}};
    for (unsigned i = 0; i < 3; i++) {
        nodes[i].ids[0] = id;
        nodes[i].over = &over;
    }
    nodes_open(state, nodes, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&nodes[i].thread, NULL,
                                        i == 0 ? change_often : settle_until_over, &nodes[i]),
                         0);
    }
    nodes_join(nodes, 3);
    assert_true(sound_issues(ledger, id) > 0);
}

/* ---- one queue ---- */

#define ENTRIES 60

/* Settles the entry that is next, of two claims, whoever did those before. */
static void *consume(void *context) {
    struct node *node = context;
    struct ledger_cursor cursor = {.partition = (unsigned)node->ids[0]};
    while (cursor.n < ENTRIES && node->wrong == 0) {
        char users[2][32];
        struct settle_claim claims[2];
        for (unsigned k = 0; k < 2; k++) {
            snprintf(users[k], sizeof(users[k]), "%llu-%u", (unsigned long long)cursor.n, k);
            claims[k] = claim_of(node->ids[0], users[k], users[k]);
            claims[k].n = cursor.n + 1;
        }
        struct settlement settlement = {
            .claims = claims, .count = 2, .cursor = &cursor, .cursor_n = cursor.n + 1};
        int status = ledger_settle(node->ledger, &settlement, NULL);
        node->wrong += status != STATUS_OK && status != STATUS_BUSY && status != STATUS_NOT_FOUND;
        if (status == STATUS_OK) {
            node->wrong +=
                claims[0].rank != 2 * cursor.n + 1 || claims[1].rank != claims[0].rank + 1;
            cursor.n++;
        }
    }
    return NULL;
}

static void an_entry_of_a_queue_is_settled_once_whoever_takes_it(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct node nodes[3] = {{.wrong = 0}};
    uint64_t id = add_open_coupon(ledger, COUPON_UNLIMITED);
    for (unsigned i = 0; i < 3; i++) {
        nodes[i].ids[0] = id;
    }
    nodes_run(state, nodes, 3, consume);
    assert_int_equal(sound_issues(ledger, id), 2 * ENTRIES);
    assert_sql(state, "SELECT epoch, n FROM partitions WHERE n > 0", "0|60");
    assert_sql(state, "SELECT count(*) FROM coupon_rejects", "0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        with_ledger(two_that_settle_one_coupon_issue_its_quantity_and_no_more),
        with_ledger(settlements_of_the_same_coupons_do_not_fall_over_each_other),
        with_ledger(a_change_is_dated_between_the_issues_around_it),
        with_ledger(an_entry_of_a_queue_is_settled_once_whoever_takes_it),
    };
    if (!place_is_shared()) {
        print_message("1..0 # SKIP this store is one program's\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
