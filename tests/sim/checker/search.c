/* The slow judge: every order of a few claims and changes, each played by the model of story.c.
 * Knows nothing of windows or states, so that the checker can be held against it. See story.h. */
#include "story.h"

#include <stdlib.h>

#define CALLS_MAX 10

struct call {
    int64_t from;
    int64_t to;
    bool optional;
    bool is_change;
    size_t index;
};

/* What the model holds after some of the calls. */
struct model {
    struct story_coupon coupons[STORY_COUPONS_MAX];
    size_t coupon_count;
    size_t revision_count;
    size_t issue_count;
    bool issue_made[CALLS_MAX]; /* of the story's issues */
    int64_t clock_us;           /* the least it can show now */
};

struct search {
    const struct story *story;
    struct call calls[CALLS_MAX];
    size_t call_count;
};

static struct story_coupon *coupon_of(struct model *model, uint64_t coupon_id) {
    for (size_t i = 0; i < model->coupon_count; i++) {
        if (model->coupons[i].id == coupon_id) {
            return &model->coupons[i];
        }
    }
    return NULL;
}

/* The place of the record's issue of this user, when the model has made it. */
static const struct story_issue *held_by(const struct search *search, const struct model *model,
                                         const struct story_claim *claim) {
    for (size_t i = 0; i < search->story->issue_count; i++) {
        const struct story_issue *issue = &search->story->issues[i];
        if (model->issue_made[i] && issue->coupon_id == claim->coupon_id &&
            issue->user == claim->user) {
            return issue;
        }
    }
    return NULL;
}

/* Issues it, as the record has it: this user, this key, the next rank, a date not gone by. */
static const struct story_issue *issue(const struct search *search, struct model *model,
                                       struct story_coupon *coupon,
                                       const struct story_claim *claim) {
    for (size_t i = 0; i < search->story->issue_count; i++) {
        const struct story_issue *wanted = &search->story->issues[i];
        if (wanted->coupon_id == claim->coupon_id && wanted->user == claim->user &&
            wanted->key == claim->key && wanted->rank == coupon->issued_quantity + 1 &&
            wanted->issued_at_us >= model->clock_us &&
            story_terms_verdict(coupon, wanted->issued_at_us) == VERDICT_ISSUED) {
            model->issue_made[i] = true;
            model->issue_count++;
            model->clock_us = wanted->issued_at_us;
            coupon->issued_quantity++;
            return wanted;
        }
    }
    return NULL;
}

static int64_t later(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Whether these terms refuse so, at the earliest moment at which they do. */
static bool refuse(struct model *model, const struct story_coupon *coupon, enum verdict verdict) {
    int64_t at_us = verdict == VERDICT_ENDED ? later(model->clock_us, coupon->terms.issue_end_us)
                    : verdict == VERDICT_SOLD_OUT
                        ? later(model->clock_us, coupon->terms.issue_start_us)
                        : model->clock_us;
    if (story_terms_verdict(coupon, at_us) != verdict) {
        return false;
    }
    model->clock_us = at_us;
    return true;
}

static bool tells(const struct story_claim *claim, const struct story_issue *issue) {
    return issue && (claim->rank == 0 || claim->rank == issue->rank) &&
           (claim->issued_at_us == 0 || claim->issued_at_us == issue->issued_at_us);
}

/* An answer that nobody saw: it may have been any; only an issue changes anything. A refusal can
 * only let the clock go on, which helps nobody. */
static bool play_unseen(const struct search *search, struct model *model,
                        const struct story_claim *claim) {
    struct story_coupon *coupon = coupon_of(model, claim->coupon_id);
    return coupon && !coupon->terms.archived && !held_by(search, model, claim) &&
           issue(search, model, coupon, claim) != NULL;
}

static bool play_claim(const struct search *search, struct model *model,
                       const struct story_claim *claim) {
    struct story_coupon *coupon = coupon_of(model, claim->coupon_id);
    const struct story_issue *held = held_by(search, model, claim);
    if (!coupon || coupon->terms.archived) {
        return claim->verdict == VERDICT_NO_SUCH_COUPON;
    }
    if (held) {
        bool same = claim->key && claim->key == held->key;
        return claim->verdict == (same ? VERDICT_REPLAYED : VERDICT_ALREADY_ISSUED) &&
               tells(claim, held);
    }
    if (claim->verdict == VERDICT_ISSUED) {
        return tells(claim, issue(search, model, coupon, claim));
    }
    return claim->verdict != VERDICT_NO_SUCH_COUPON && refuse(model, coupon, claim->verdict);
}

static bool same_terms(const struct history_terms *terms, const struct coupon_revision *revision) {
    return terms->total_quantity == revision->total_quantity &&
           terms->issue_start_us == revision->issue_start_us &&
           terms->issue_end_us == revision->issue_end_us && terms->paused == revision->paused &&
           terms->archived == revision->archived;
}

/* Whether the record has the version that the coupon has now. */
static bool revise(const struct search *search, struct model *model,
                   const struct story_coupon *coupon) {
    for (size_t i = 0; i < search->story->revision_count; i++) {
        const struct coupon_revision *revision = &search->story->revisions[i];
        if (revision->coupon_id == coupon->id && revision->version == coupon->version &&
            revision->first_rank == coupon->issued_quantity + 1 &&
            revision->changed_us >= model->clock_us && same_terms(&coupon->terms, revision)) {
            model->clock_us = revision->changed_us;
            model->revision_count++;
            return true;
        }
    }
    return false;
}

static bool play_change(const struct search *search, struct model *model,
                        const struct story_change *change) {
    struct story_coupon *coupon = coupon_of(model, change->asked.coupon_id);
    if (change->asked.creates) {
        if (coupon || model->coupon_count == STORY_COUPONS_MAX) {
            return false;
        }
        coupon = &model->coupons[model->coupon_count++];
        *coupon = (struct story_coupon){
            .id = change->asked.coupon_id, .version = 1, .terms = change->asked.terms};
    } else if (!coupon || !story_terms_patch(coupon, &change->asked)) {
        return false;
    }
    bool told = change->outcome == HISTORY_DONE && change->version > 0;
    return (!told || change->version == coupon->version) && revise(search, model, coupon);
}

/* Whether the record is what the model holds. */
static bool matches(const struct search *search, struct model *model) {
    const struct story *story = search->story;
    if (model->issue_count != story->issue_count ||
        model->revision_count != story->revision_count ||
        model->coupon_count != story->coupon_count) {
        return false;
    }
    for (size_t i = 0; i < story->coupon_count; i++) {
        const struct story_coupon *wanted = &story->coupons[i];
        const struct story_coupon *coupon = coupon_of(model, wanted->id);
        if (!coupon || coupon->issued_quantity != wanted->issued_quantity ||
            coupon->version != wanted->version ||
            memcmp(&coupon->terms, &wanted->terms, offsetof(struct history_terms, paused)) != 0 ||
            coupon->terms.paused != wanted->terms.paused ||
            coupon->terms.archived != wanted->terms.archived) {
            return false;
        }
    }
    return true;
}

/* Whether call `i` may come next: no call that must come, and is left, was over before it. */
static bool may_come(const struct search *search, unsigned left, size_t i, unsigned *ret_dropped) {
    *ret_dropped = 0;
    for (size_t j = 0; j < search->call_count; j++) {
        if (j == i || !(left & 1U << j) || search->calls[j].to >= search->calls[i].from) {
            continue;
        }
        if (!search->calls[j].optional) {
            return false;
        }
        *ret_dropped |= 1U << j; /* too late for it now */
    }
    return true;
}

static bool search_from(const struct search *search, struct model *model, unsigned left) {
    unsigned must = 0;
    for (size_t i = 0; i < search->call_count; i++) {
        must |= search->calls[i].optional ? 0 : left & 1U << i;
    }
    if (!must && matches(search, model)) {
        return true;
    }
    for (size_t i = 0; i < search->call_count; i++) {
        const struct call *call = &search->calls[i];
        struct model next = *model;
        unsigned dropped;
        if (!(left & 1U << i) || !may_come(search, left, i, &dropped)) {
            continue;
        }
        const struct story_claim *claim = &search->story->claims[call->index];
        bool good = call->is_change
                        ? play_change(search, &next, &search->story->changes[call->index])
                    : call->optional ? play_unseen(search, &next, claim)
                                     : play_claim(search, &next, claim);
        if (good && search_from(search, &next, left & ~dropped & ~(1U << i))) {
            return true;
        }
    }
    return false;
}

static int64_t crash_after(const struct story *story, int64_t at) {
    int64_t first = STORY_NEVER;
    for (size_t i = 0; i < story->crash_count; i++) {
        if (story->crashes[i] >= at && story->crashes[i] < first) {
            first = story->crashes[i];
        }
    }
    return first;
}

/* False: it speaks against itself. */
static bool gather(struct search *search) {
    const struct story *story = search->story;
    for (size_t i = 0; i < story->claim_count; i++) {
        const struct story_claim *claim = &story->claims[i];
        bool unseen = claim->verdict == VERDICT_OUTCOME_UNKNOWN;
        if (claim->returned_at < claim->invoked_at) {
            return false;
        }
        if (claim->verdict == VERDICT_STORAGE_UNAVAILABLE) {
            continue; /* nothing happened */
        }
        int64_t to = unseen ? crash_after(story, claim->invoked_at) : claim->returned_at;
        search->calls[search->call_count++] =
            (struct call){claim->invoked_at, to, unseen, false, i};
    }
    for (size_t i = 0; i < story->change_count; i++) {
        const struct story_change *change = &story->changes[i];
        bool unseen = change->outcome == HISTORY_UNKNOWN;
        if (change->returned_at < change->invoked_at) {
            return false;
        }
        if (change->outcome == HISTORY_REFUSED) {
            continue;
        }
        int64_t to = unseen ? crash_after(story, change->invoked_at) : change->returned_at;
        search->calls[search->call_count++] =
            (struct call){change->invoked_at, to, unseen, true, i};
    }
    return true;
}

bool story_is_possible(const struct story *story) {
    assert(story->claim_count + story->change_count <= CALLS_MAX);
    struct search search = {.story = story};
    struct model model = {.clock_us = INT64_MIN};
    return gather(&search) && search_from(&search, &model, (1U << search.call_count) - 1);
}
