/* Makes stories, and hands them to the checker. See story.h. */
#include "story.h"

#include <stdio.h>
#include <stdlib.h>

#define CLOCK_BASE_US INT64_C(1000000)

uint64_t story_random(struct story_random *random) {
    uint64_t value = random->state += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

uint64_t story_below(struct story_random *random, uint64_t limit) {
    return story_random(random) % limit;
}

static void *need(void *memory) {
    if (!memory) {
        fprintf(stderr, "no memory\n");
        exit(2);
    }
    return memory;
}

static int64_t clock_of(int64_t at) {
    return CLOCK_BASE_US + at / 4; /* several events share a reading */
}

/* ---- what is asked, and when it takes effect ---- */

/* A claim or a change, in the order of effects. */
struct act {
    bool is_change;
    size_t index;
};

struct maker {
    const struct story_plan *plan;
    struct story_random random;
    struct story *story;
    struct act *acts;
    size_t act_count;
    int64_t now;
    int64_t end;
    /* who holds what: open addressing by coupon and user */
    struct holder {
        uint64_t coupon_id;
        uint32_t user;
        uint32_t issue; /* index + 1; 0: empty */
    } * holders;
    size_t holder_mask;
};

static bool percent(struct maker *maker, unsigned share) {
    return story_below(&maker->random, 100) < share;
}

static int64_t some(struct maker *maker, int64_t limit) {
    return (int64_t)story_below(&maker->random, (uint64_t)limit + 1);
}

static void plan_claim(struct maker *maker, size_t index) {
    const struct story_plan *plan = maker->plan;
    struct story_claim *claim = &maker->story->claims[index];
    claim->coupon_id = 1 + story_below(&maker->random, plan->coupons * 16 + 1) / 16;
    claim->user = 1 + (uint32_t)story_below(&maker->random, plan->users);
    claim->key = (uint32_t)story_below(&maker->random, 3);
    claim->invoked_at = maker->now - some(maker, plan->width);
    claim->effect_at = maker->now;
    claim->returned_at = maker->now + some(maker, plan->width);
}

static struct history_terms plan_terms(struct maker *maker, size_t coupon) {
    const struct story_plan *plan = maker->plan;
    int64_t total = 1 + some(maker, (int64_t)(plan->claims / plan->coupons / 2) + 1);
    struct history_terms terms = {.total_quantity = coupon % 4 == 3 ? COUPON_UNLIMITED : total,
                                  .issue_start_us = 0,
                                  .issue_end_us = clock_of(maker->end) * 2};
    if (coupon % 3 == 1) {
        terms.issue_start_us = clock_of((maker->end + 3000) / 4);
        terms.issue_end_us = clock_of((maker->end * 3 + 1000) / 4);
    }
    return terms;
}

static void plan_change(struct maker *maker, size_t index, bool creates) {
    const struct story_plan *plan = maker->plan;
    struct story_change *change = &maker->story->changes[index];
    size_t coupon = creates ? index : story_below(&maker->random, plan->coupons);
    static const unsigned sets[] = {PATCH_PAUSED,         PATCH_PAUSED,        PATCH_PAUSED,
                                    PATCH_TITLE,          PATCH_ISSUE_START,   PATCH_ISSUE_END,
                                    PATCH_TOTAL_QUANTITY, PATCH_TOTAL_QUANTITY};
    change->asked = (struct history_change){.coupon_id = coupon + 1,
                                            .creates = creates,
                                            .patch_set = sets[story_below(&maker->random, 8)],
                                            .terms = plan_terms(maker, coupon)};
    change->asked.terms.paused = !creates && percent(maker, 50);
    if (!creates && percent(maker, 8)) {
        change->asked.patch_set = PATCH_ARCHIVED;
        change->asked.terms.archived = true;
    }
    change->invoked_at = maker->now - some(maker, plan->width);
    change->effect_at = maker->now;
    change->returned_at = maker->now + some(maker, plan->width);
}

static void plan_acts(struct maker *maker) {
    const struct story_plan *plan = maker->plan;
    struct story *story = maker->story;
    size_t left_claims = plan->claims;
    size_t left_changes = plan->changes + plan->coupons;
    maker->end = maker->now + (int64_t)(left_claims + left_changes) * plan->gap / 2;
    while (left_claims + left_changes > 0) {
        bool creates = story->change_count < plan->coupons;
        bool is_change =
            left_changes > 0 && (left_claims == 0 || (creates && percent(maker, 60)) ||
                                 story_below(&maker->random, left_claims) < left_changes);
        size_t index = is_change ? story->change_count++ : story->claim_count++;
        maker->acts[maker->act_count++] = (struct act){is_change, index};
        maker->now += some(maker, plan->gap);
        if (is_change) {
            plan_change(maker, index, creates);
            left_changes--;
        } else {
            plan_claim(maker, index);
            left_claims--;
        }
    }
}

/* What was under way is never answered; what had not happened never does. */
static void plan_crash(struct maker *maker) {
    struct story *story = maker->story;
    int64_t at = 1000 + some(maker, maker->now - 1000);
    story->crashes[story->crash_count++] = at;
    for (size_t i = 0; i < story->claim_count; i++) {
        struct story_claim *claim = &story->claims[i];
        if (claim->invoked_at <= at && claim->returned_at > at) {
            claim->returned_at = STORY_NEVER;
            claim->effect_at = claim->effect_at > at ? STORY_NEVER : claim->effect_at;
        }
    }
    for (size_t i = 0; i < story->change_count; i++) {
        struct story_change *change = &story->changes[i];
        if (change->invoked_at <= at && change->returned_at > at) {
            change->returned_at = STORY_NEVER;
            change->effect_at = change->effect_at > at ? STORY_NEVER : change->effect_at;
        }
    }
}

/* ---- the server of a story ---- */

static struct holder *holder_of(const struct maker *maker, uint64_t coupon_id, uint32_t user) {
    uint64_t hash =
        (coupon_id * UINT64_C(0x9e3779b97f4a7c15) + user) * UINT64_C(0xff51afd7ed558ccd);
    size_t at = (hash ^ hash >> 32) & maker->holder_mask;
    while (maker->holders[at].issue &&
           (maker->holders[at].coupon_id != coupon_id || maker->holders[at].user != user)) {
        at = (at + 1) & maker->holder_mask;
    }
    return &maker->holders[at];
}

static struct story_coupon *coupon_of(struct story *story, uint64_t coupon_id) {
    for (size_t i = 0; i < story->coupon_count; i++) {
        if (story->coupons[i].id == coupon_id) {
            return &story->coupons[i];
        }
    }
    return NULL;
}

enum verdict story_terms_verdict(const struct story_coupon *coupon, int64_t now_us) {
    const struct history_terms *terms = &coupon->terms;
    if (terms->paused) {
        return VERDICT_PAUSED;
    }
    if (now_us < terms->issue_start_us) {
        return VERDICT_NOT_STARTED;
    }
    if (now_us >= terms->issue_end_us) {
        return VERDICT_ENDED;
    }
    bool full = terms->total_quantity != COUPON_UNLIMITED &&
                coupon->issued_quantity >= terms->total_quantity;
    return full ? VERDICT_SOLD_OUT : VERDICT_ISSUED;
}

static void play_claim(struct maker *maker, struct story_claim *claim) {
    struct story *story = maker->story;
    struct story_coupon *coupon = coupon_of(story, claim->coupon_id);
    struct holder *holder = holder_of(maker, claim->coupon_id, claim->user);
    int64_t now_us = clock_of(claim->effect_at);
    if (!coupon || coupon->terms.archived) {
        claim->verdict = VERDICT_NO_SUCH_COUPON;
        return;
    }
    if (!holder->issue) {
        claim->verdict = story_terms_verdict(coupon, now_us);
        if (claim->verdict != VERDICT_ISSUED) {
            return;
        }
        *holder = (struct holder){claim->coupon_id, claim->user, (uint32_t)story->issue_count + 1};
        story->issues[story->issue_count++] = (struct story_issue){
            claim->coupon_id, ++coupon->issued_quantity, claim->user, claim->key, now_us};
    } else {
        const struct story_issue *held = &story->issues[holder->issue - 1];
        bool same = claim->key && claim->key == held->key;
        claim->verdict = same ? VERDICT_REPLAYED : VERDICT_ALREADY_ISSUED;
    }
    claim->rank = story->issues[holder->issue - 1].rank;
    claim->issued_at_us = story->issues[holder->issue - 1].issued_at_us;
}

static void add_revision(struct story *story, const struct story_coupon *coupon, int64_t now_us) {
    story->revisions[story->revision_count++] =
        (struct coupon_revision){.coupon_id = coupon->id,
                                 .version = coupon->version,
                                 .changed_us = now_us,
                                 .total_quantity = coupon->terms.total_quantity,
                                 .issue_start_us = coupon->terms.issue_start_us,
                                 .issue_end_us = coupon->terms.issue_end_us,
                                 .paused = coupon->terms.paused,
                                 .archived = coupon->terms.archived,
                                 .first_rank = coupon->issued_quantity + 1};
}

/* Whether it may be changed so. */
bool story_terms_patch(struct story_coupon *coupon, const struct history_change *asked) {
    struct history_terms terms = coupon->terms;
    if (asked->patch_set & PATCH_TOTAL_QUANTITY) {
        terms.total_quantity = asked->terms.total_quantity;
    }
    if (asked->patch_set & PATCH_ISSUE_START) {
        terms.issue_start_us = asked->terms.issue_start_us;
    }
    if (asked->patch_set & PATCH_ISSUE_END) {
        terms.issue_end_us = asked->terms.issue_end_us;
    }
    if (asked->patch_set & PATCH_PAUSED) {
        terms.paused = asked->terms.paused;
    }
    terms.archived = asked->patch_set & PATCH_ARCHIVED;
    bool good = !coupon->terms.archived && terms.issue_start_us < terms.issue_end_us &&
                (terms.total_quantity == COUPON_UNLIMITED ||
                 terms.total_quantity >= coupon->issued_quantity);
    if (good) {
        coupon->terms = terms;
        coupon->version++;
    }
    return good;
}

static void play_change(struct maker *maker, struct story_change *change) {
    struct story *story = maker->story;
    struct story_coupon *coupon = coupon_of(story, change->asked.coupon_id);
    change->outcome = HISTORY_REFUSED;
    if (change->asked.creates && !coupon) {
        coupon = &story->coupons[story->coupon_count++];
        *coupon = (struct story_coupon){
            .id = change->asked.coupon_id, .version = 1, .terms = change->asked.terms};
    } else if (change->asked.creates || !coupon || !story_terms_patch(coupon, &change->asked)) {
        return;
    }
    change->outcome = HISTORY_DONE;
    change->version = coupon->version;
    add_revision(story, coupon, clock_of(change->effect_at));
}

static bool fails(struct maker *maker, int64_t *effect_at, bool *ret_known) {
    if (!percent(maker, maker->plan->failed_percent)) {
        return false;
    }
    *ret_known = percent(maker, 50);
    if (*ret_known || percent(maker, 50)) {
        *effect_at = STORY_NEVER;
    }
    return true;
}

static void play_act(struct maker *maker, const struct act *act) {
    struct story_claim *claim = &maker->story->claims[act->index];
    struct story_change *change = &maker->story->changes[act->index];
    bool known = false;
    bool failed = fails(maker, act->is_change ? &change->effect_at : &claim->effect_at, &known);
    if (act->is_change) {
        if (change->effect_at != STORY_NEVER) {
            play_change(maker, change);
        }
        if (failed) {
            change->outcome = known ? HISTORY_REFUSED : HISTORY_UNKNOWN;
        }
        return;
    }
    if (claim->effect_at != STORY_NEVER) {
        play_claim(maker, claim);
    }
    if (failed) {
        claim->verdict = known ? VERDICT_STORAGE_UNAVAILABLE : VERDICT_OUTCOME_UNKNOWN;
        claim->rank = 0;
        claim->issued_at_us = 0;
    }
}

/* An answer that was lost, or never came, tells nothing. */
static void forget_answers(struct maker *maker) {
    struct story *story = maker->story;
    for (size_t i = 0; i < story->claim_count; i++) {
        struct story_claim *claim = &story->claims[i];
        bool lost = percent(maker, maker->plan->lost_percent);
        if (lost || claim->returned_at == STORY_NEVER) {
            claim->returned_at = STORY_NEVER;
            claim->verdict = VERDICT_OUTCOME_UNKNOWN;
            claim->rank = 0;
            claim->issued_at_us = 0;
        }
    }
    for (size_t i = 0; i < story->change_count; i++) {
        struct story_change *change = &story->changes[i];
        if (percent(maker, maker->plan->lost_percent) || change->returned_at == STORY_NEVER) {
            change->returned_at = STORY_NEVER;
            change->outcome = HISTORY_UNKNOWN;
        }
    }
}

static void read_clocks(struct maker *maker) {
    struct story *story = maker->story;
    while (story->clock_count < COUNT_OF(story->clocks)) {
        int64_t at = 1000 + some(maker, maker->now - 1000);
        story->clocks[story->clock_count].at = at;
        story->clocks[story->clock_count].lowest_us = clock_of(at) - 2;
        story->clocks[story->clock_count++].highest_us = clock_of(at) + 2;
    }
}

struct story *story_make(const struct story_plan *plan) {
    struct maker maker = {.plan = plan, .random = {plan->seed}, .now = 1000};
    size_t changes = plan->changes + plan->coupons;
    assert(plan->coupons >= 1 && plan->coupons < STORY_COUPONS_MAX);
    struct story *story = maker.story = need(calloc(1, sizeof(*story)));
    story->claims = need(calloc(plan->claims + 1, sizeof(story->claims[0])));
    story->changes = need(calloc(changes + 8, sizeof(story->changes[0])));
    story->issues = need(calloc(plan->claims + 8, sizeof(story->issues[0])));
    story->revisions = need(calloc(changes + 8, sizeof(story->revisions[0])));
    maker.acts = need(calloc(plan->claims + changes + 1, sizeof(maker.acts[0])));
    maker.holder_mask = 64;
    while (maker.holder_mask < plan->claims * 2) {
        maker.holder_mask *= 2;
    }
    maker.holders = need(calloc(maker.holder_mask, sizeof(maker.holders[0])));
    maker.holder_mask--;
    plan_acts(&maker);
    for (size_t i = 0; i < plan->crashes; i++) {
        plan_crash(&maker);
    }
    for (size_t i = 0; i < maker.act_count; i++) {
        play_act(&maker, &maker.acts[i]);
    }
    forget_answers(&maker);
    if (plan->clocks) {
        read_clocks(&maker);
    }
    free(maker.acts);
    free(maker.holders);
    return story;
}

static void *copy_of(const void *items, size_t count, size_t size) {
    void *copy = need(calloc(count + 8, size)); /* room for what a test adds */
    memcpy(copy, items, count * size);
    return copy;
}

struct story *story_copy(const struct story *story) {
    struct story *copy = need(malloc(sizeof(*copy)));
    *copy = *story;
    copy->claims = copy_of(story->claims, story->claim_count, sizeof(story->claims[0]));
    copy->changes = copy_of(story->changes, story->change_count, sizeof(story->changes[0]));
    copy->issues = copy_of(story->issues, story->issue_count, sizeof(story->issues[0]));
    copy->revisions = copy_of(story->revisions, story->revision_count, sizeof(story->revisions[0]));
    return copy;
}

void story_free(struct story *story) {
    if (story) {
        free(story->claims);
        free(story->changes);
        free(story->issues);
        free(story->revisions);
        free(story);
    }
}
