/* The order of events of a story (story.h): a server's first start, operators at work, a crowd in
 * batches until the log is folded more than once, reads, backups, an archived coupon, a stop, an
 * import, a start, a kill, a recovery. Every kind of call on the disk that the program makes comes
 * at least once. Deterministic: no clock, no chance. */
#include "story.h"

#include <stdio.h>

enum {
    LIMITED = 1, /* 20 at first, 26 later; has a creation key */
    PAUSED = 2,  /* in the middle of the run */
    IMPORTED = 3,
    RENAMED = 4,
    ARCHIVED = 5,
    CROWDED_LAST = 10, /* up to here all are open */
    LATER = 11,        /* not started */
    OVER = 12,         /* ended */
    COUPONS = 12,
    A_ROUND = 2, /* users of each coupon */
};

static struct coupon_record coupon_of(const struct story *story, uint64_t id) {
    static const int64_t hour_us = 3600 * US_PER_SECOND;
    struct coupon_record record = {.id = id,
                                   .total_quantity = id == LIMITED        ? 20
                                                     : id == CROWDED_LAST ? 60
                                                                          : COUPON_UNLIMITED,
                                   .discount_amount = 1000 + (int64_t)id,
                                   .min_available_amount = 10,
                                   .issue_start_us = story->now_us - hour_us,
                                   .issue_end_us = story->now_us + hour_us};
    snprintf(record.title, sizeof(record.title), "Coupon %llu", (unsigned long long)id);
    snprintf(record.metadata, sizeof(record.metadata), "{\"n\":%llu}", (unsigned long long)id);
    if (id == LATER) {
        record.issue_start_us = story->now_us + hour_us / 2;
    }
    if (id == OVER) {
        record.issue_end_us = story->now_us;
    }
    return record;
}

static struct asked_claim claim_of(uint64_t coupon_id, int round, int turn, bool keyed) {
    struct asked_claim asked = {.coupon_id = coupon_id};
    snprintf(asked.user, sizeof(asked.user), "u%d-%d", round, turn);
    if (keyed) {
        snprintf(asked.key, sizeof(asked.key), "k%d", round);
    }
    return asked;
}

/* One batch: new users of every coupon, some with a key. */
static void crowd(struct story *story, int first_round, int last_round) {
    for (int round = first_round; round <= last_round; round++) {
        struct asked_claim asked[COUPONS * A_ROUND];
        size_t count = 0;
        for (uint64_t id = 1; id <= COUPONS; id++) {
            for (int turn = 0; turn < A_ROUND; turn++) {
                asked[count++] = claim_of(id, round, turn, turn == 1);
            }
        }
        story_claims(story, asked, count);
    }
}

/* Who was there comes again: with the key of then, with another one, with none. */
static void crowd_again(struct story *story, int round) {
    struct asked_claim asked[COUPONS * 3];
    size_t count = 0;
    for (uint64_t id = 1; id <= COUPONS; id++) {
        asked[count++] = claim_of(id, round, 1, true);
        asked[count] = claim_of(id, round, 1, true);
        asked[count++].key[0] = 'x';
        asked[count++] = claim_of(id, round, 0, false);
    }
    story_claims(story, asked, count);
}

static void begin(struct story *story) {
    struct coupon_record record = coupon_of(story, LIMITED);
    story_create(story, &record, "make-1");
    story_create(story, &record, "make-1");
    for (uint64_t id = LIMITED + 1; id <= COUPONS; id++) {
        record = coupon_of(story, id);
        story_create(story, &record, "");
    }
    record = coupon_of(story, PAUSED);
    story_create(story, &record, ""); /* there is one */
}

static void change_terms(struct story *story) {
    struct coupon_record values = {.paused = true};
    story_change(story, PAUSED, PATCH_PAUSED, &values, 1);
    story_change(story, PAUSED, PATCH_PAUSED, &values, 1); /* it is at version 2 by now */
    snprintf(values.title, sizeof(values.title), "Another title");
    story_change(story, RENAMED, PATCH_TITLE, &values, 0);
    values.total_quantity = 26;
    story_change(story, LIMITED, PATCH_TOTAL_QUANTITY, &values, 0);
    values.total_quantity = 1;
    story_change(story, CROWDED_LAST, PATCH_TOTAL_QUANTITY, &values, 0); /* below what is issued */
    story_change(story, COUPONS + 1, PATCH_TITLE, &values, 0);           /* there is none */
}

static void archive(struct story *story) {
    struct coupon_record values = {.id = ARCHIVED};
    story_change(story, ARCHIVED, PATCH_ARCHIVED, &values, 0);
    story_change(story, ARCHIVED, PATCH_TITLE, &values, 0); /* it is final */
}

void script_run(struct story *story) {
    static const char *const imported[] = {"i1", "i2", "i3", "i4", "i5"};
    static const struct coupon_record resumed = {.paused = false};
    begin(story);
    crowd(story, 1, 12);
    crowd_again(story, 3);
    change_terms(story);
    crowd(story, 13, 16);
    story_reads(story, RENAMED, "u2-1");
    story_backup(story, "backup");
    archive(story);
    crowd(story, 17, 18);
    story_reads(story, ARCHIVED, "u1-0");
    story_stop(story);
    story_import(story, IMPORTED, imported, COUNT_OF(imported));
    crowd(story, 19, 20);
    crowd_again(story, 14);
    story_move(story, "again");
    crowd(story, 21, 22);
    story_change(story, PAUSED, PATCH_PAUSED, &resumed, 0);
    crowd(story, 23, 23);
    story_stop(story);
    story_backup(story, "backup-2");
    for (int round = 1; round <= 23; round++) {
        crowd_again(story, round);
    }
}
