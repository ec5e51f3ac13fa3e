/* A story handed to the checker, and a story as text. See story.h. */
#include "story.h"

#include <stdio.h>
#include <stdlib.h>

static void must(int status) {
    if (status < 0) {
        fprintf(stderr, "the checker takes no more: %s\n", status_name(status));
        exit(2);
    }
}

struct name {
    char text[24];
};

static struct slice user_name(struct name *room, uint32_t user) {
    snprintf(room->text, sizeof(room->text), "user-%u", user);
    return slice_of(room->text);
}

static struct slice key_name(struct name *room, uint32_t key) {
    snprintf(room->text, sizeof(room->text), "key-%u", key);
    return key ? slice_of(room->text) : (struct slice){NULL, 0};
}

static void add_claims(const struct story *story, struct history *history) {
    for (size_t i = 0; i < story->claim_count; i++) {
        const struct story_claim *claim = &story->claims[i];
        struct name user;
        struct name key;
        size_t index;
        must(history_claim_invoked(history, claim->invoked_at,
                                   &(struct history_claim){claim->coupon_id,
                                                           user_name(&user, claim->user),
                                                           key_name(&key, claim->key)},
                                   &index));
        if (claim->returned_at != STORY_NEVER) {
            must(history_claim_returned(
                history, claim->returned_at, index,
                &(struct history_answer){claim->verdict, claim->rank, claim->issued_at_us}));
        }
    }
}

static void add_changes(const struct story *story, struct history *history) {
    for (size_t i = 0; i < story->change_count; i++) {
        const struct story_change *change = &story->changes[i];
        size_t index;
        must(history_change_invoked(history, change->invoked_at, &change->asked, &index));
        if (change->returned_at != STORY_NEVER) {
            must(history_change_returned(history, change->returned_at, index, change->outcome,
                                         change->asked.coupon_id, change->version));
        }
    }
}

static void add_record(const struct story *story, struct history *history) {
    for (size_t i = 0; i < story->coupon_count; i++) {
        const struct story_coupon *coupon = &story->coupons[i];
        struct coupon_record record = {.id = coupon->id,
                                       .issued_quantity = coupon->issued_quantity,
                                       .version = coupon->version,
                                       .total_quantity = coupon->terms.total_quantity,
                                       .issue_start_us = coupon->terms.issue_start_us,
                                       .issue_end_us = coupon->terms.issue_end_us,
                                       .paused = coupon->terms.paused,
                                       .archived_us = coupon->terms.archived ? 1 : 0};
        must(history_record_coupon(history, &record));
    }
    for (size_t i = 0; i < story->revision_count; i++) {
        must(history_record_revision(history, &story->revisions[i]));
    }
    for (size_t i = 0; i < story->issue_count; i++) {
        const struct story_issue *issue = &story->issues[i];
        struct name user;
        struct name key;
        must(history_record_issue(history,
                                  &(struct issue_row){.reference = {issue->coupon_id, issue->rank},
                                                      .user_id = user_name(&user, issue->user),
                                                      .request_key = key_name(&key, issue->key),
                                                      .issued_at_us = issue->issued_at_us}));
    }
}

static void found(void *context, const struct history_violation *violation) {
    struct story_findings *findings = context;
    if (findings->all++ == 0) {
        snprintf(findings->first, sizeof(findings->first), "%s: coupon %llu: %s",
                 history_code_name(violation->code), (unsigned long long)violation->coupon_id,
                 violation->text);
    }
    findings->counts[violation->code]++;
}

struct story_findings story_judge(const struct story *story) {
    struct history *history;
    struct history_figures figures;
    struct story_findings findings = {.all = 0};
    must(history_new(&story->options, &history));
    add_claims(story, history);
    add_changes(story, history);
    for (size_t i = 0; i < story->crash_count; i++) {
        must(history_crashed(history, story->crashes[i]));
    }
    for (size_t i = 0; i < story->clock_count; i++) {
        must(history_clock(history, story->clocks[i].at, story->clocks[i].lowest_us,
                           story->clocks[i].highest_us));
    }
    add_record(story, history);
    must(history_check(history, found, &findings, &figures));
    findings.undecided = figures.undecided;
    history_free(history);
    return findings;
}

/* ---- as text ---- */

static void print_terms(const struct history_terms *terms) {
    fprintf(stderr, "total %lld, %lld … %lld%s%s", (long long)terms->total_quantity,
            (long long)terms->issue_start_us, (long long)terms->issue_end_us,
            terms->paused ? ", paused" : "", terms->archived ? ", archived" : "");
}

static void print_record(const struct story *story) {
    for (size_t i = 0; i < story->coupon_count; i++) {
        const struct story_coupon *coupon = &story->coupons[i];
        fprintf(stderr, "# coupon %llu version %u issued %u: ", (unsigned long long)coupon->id,
                coupon->version, coupon->issued_quantity);
        print_terms(&coupon->terms);
        fprintf(stderr, "\n");
    }
    for (size_t i = 0; i < story->revision_count; i++) {
        const struct coupon_revision *revision = &story->revisions[i];
        struct history_terms terms = {revision->total_quantity, revision->issue_start_us,
                                      revision->issue_end_us, revision->paused, revision->archived};
        fprintf(stderr, "# revision %llu/%u of %lld from rank %u: ",
                (unsigned long long)revision->coupon_id, revision->version,
                (long long)revision->changed_us, revision->first_rank);
        print_terms(&terms);
        fprintf(stderr, "\n");
    }
    for (size_t i = 0; i < story->issue_count; i++) {
        const struct story_issue *issue = &story->issues[i];
        fprintf(stderr, "# issue %llu/%u of user %u, key %u, %lld\n",
                (unsigned long long)issue->coupon_id, issue->rank, issue->user, issue->key,
                (long long)issue->issued_at_us);
    }
}

void story_print(const struct story *story) {
    for (size_t i = 0; i < story->claim_count; i++) {
        const struct story_claim *claim = &story->claims[i];
        fprintf(stderr, "# claim coupon %llu user %u key %u [%lld, %lld] verdict %d rank %u %lld\n",
                (unsigned long long)claim->coupon_id, claim->user, claim->key,
                (long long)claim->invoked_at,
                claim->returned_at == STORY_NEVER ? -1 : (long long)claim->returned_at,
                (int)claim->verdict, claim->rank, (long long)claim->issued_at_us);
    }
    for (size_t i = 0; i < story->change_count; i++) {
        const struct story_change *change = &story->changes[i];
        fprintf(stderr, "# %s coupon %llu set %u [%lld, %lld] outcome %d version %u: ",
                change->asked.creates ? "creation" : "change",
                (unsigned long long)change->asked.coupon_id, change->asked.patch_set,
                (long long)change->invoked_at,
                change->returned_at == STORY_NEVER ? -1 : (long long)change->returned_at,
                (int)change->outcome, change->version);
        print_terms(&change->asked.terms);
        fprintf(stderr, "\n");
    }
    for (size_t i = 0; i < story->crash_count; i++) {
        fprintf(stderr, "# crash at %lld\n", (long long)story->crashes[i]);
    }
    print_record(story);
}
