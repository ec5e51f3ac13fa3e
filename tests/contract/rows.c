#include "rows.h"

#include <stdio.h>
#include <stdlib.h>

struct complaint complaint;

void close_ledger(struct ledger *ledger) {
    int status = ledger_close(ledger, &complaint);
    if (status != STATUS_OK) {
        fail_msg("close: %s: %s", status_name(status), complaint.text);
    }
}

void assert_says(const char *words) {
    if (!strstr(complaint.text, words)) {
        fail_msg("\"%s\" does not say \"%s\"", complaint.text, words);
    }
}

struct coupon_record coupon_example(int64_t total_quantity) {
    return (struct coupon_record){.title = "Ten percent off",
                                  .metadata = "{\"shop\":7}",
                                  .total_quantity = total_quantity,
                                  .discount_amount = 1000,
                                  .min_available_amount = 5000,
                                  .issue_start_us = NOW_US,
                                  .issue_end_us = NOW_US + 3600 * US_PER_SECOND,
                                  .created_us = NOW_US,
                                  .updated_us = NOW_US};
}

uint64_t add_coupon(struct ledger *ledger, int64_t total_quantity) {
    struct coupon_record coupon = coupon_example(total_quantity);
    int status = ledger_coupon_create(ledger, &coupon, NULL, NULL, &complaint);
    if (status != STATUS_OK) {
        fail_msg("create: %s: %s", status_name(status), complaint.text);
    }
    return coupon.id;
}

int append_ranks(struct ledger *ledger, uint64_t coupon_id, uint32_t first, uint32_t count) {
    struct issue_row *rows = calloc(count, sizeof(*rows));
    char(*texts)[2][16] = calloc(count, sizeof(*texts));
    assert_true(rows && texts);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t rank = first + i;
        snprintf(texts[i][0], sizeof(texts[i][0]), "u%u", rank);
        snprintf(texts[i][1], sizeof(texts[i][1]), "k%u", rank);
        rows[i] = (struct issue_row){.reference = {coupon_id, rank},
                                     .user_id = slice_of(texts[i][0]),
                                     .issued_at_us = NOW_US + rank};
        if (rank % 2 == 1) {
            rows[i].request_key = slice_of(texts[i][1]);
        }
    }
    struct issued_count issued = {coupon_id, first + count - 1};
    int status = ledger_append(ledger, rows, count, &issued, 1, &complaint);
    free(texts);
    free(rows);
    return status;
}

struct ranks {
    uint64_t coupon_id;
    uint32_t issued;
    uint32_t seen;
};

static int ranks_coupon(void *context, const struct coupon_record *coupon) {
    struct ranks *ranks = context;
    if (coupon->id == ranks->coupon_id) {
        ranks->issued = coupon->issued_quantity;
    }
    return STATUS_OK;
}

static int ranks_issue(void *context, const struct issue_row *issue) {
    struct ranks *ranks = context;
    if (issue->reference.coupon_id != ranks->coupon_id) {
        return STATUS_OK;
    }
    char user[16];
    char key[16];
    uint32_t rank = ++ranks->seen;
    snprintf(user, sizeof(user), "u%u", rank);
    snprintf(key, sizeof(key), "k%u", rank);
    assert_int_equal(issue->reference.rank, rank);
    assert_true(slice_is(issue->user_id, user));
    assert_true(slice_is(issue->request_key, rank % 2 == 1 ? key : ""));
    assert_int_equal(issue->issued_at_us, NOW_US + rank);
    return STATUS_OK;
}

uint32_t ranks_of(struct ledger *ledger, uint64_t coupon_id) {
    struct ranks ranks = {.coupon_id = coupon_id};
    struct ledger_visitor visitor = {
        .context = &ranks, .archived_too = true, .coupon = ranks_coupon, .issue = ranks_issue};
    int status = ledger_visit(ledger, &visitor, &complaint);
    if (status != STATUS_OK) {
        fail_msg("visit: %s: %s", status_name(status), complaint.text);
    }
    assert_int_equal(ranks.issued, ranks.seen);
    return ranks.seen;
}

void assert_ranks(struct ledger *ledger, uint64_t coupon_id, uint32_t count) {
    assert_int_equal(ranks_of(ledger, coupon_id), count);
}
