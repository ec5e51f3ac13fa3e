/* Refusals: each is true in some states of the coupon only, and one of them must have been current
 * between its invocation and its return. See history.h.
 *
 * Where these states follow each other without a hole (nearly always), the refusal only narrows
 * two windows: its first state had begun before the return, its last had not ended before the
 * invocation. Such bounds keep or fail together. Where there is a hole (paused, resumed, paused
 * again, all while one claim was under way) the hull is taken at first; what then is left with two
 * ways is tried out, up to a limit. */
#include "internal.h"

#include <stdlib.h>

#define PASSES_MAX  8
#define CHOICES_MAX 16 /* refusals with several ways that are tried out together */
#define TRIES_MAX   20000

/* ---- the states in which each refusal is true ---- */

static int span_add(struct judge *judge, enum refusal refusal, struct span span) {
    if (span.first > span.last) {
        return STATUS_OK;
    }
    struct span *kept = list_add(&judge->spans[refusal], sizeof(*kept));
    if (!kept) {
        return STATUS_NO_MEMORY;
    }
    *kept = span;
    return STATUS_OK;
}

/* The first state of first … last + 1 whose value is at least `us`. */
static size_t state_from(const int64_t *values, size_t first, size_t last, int64_t us) {
    size_t low = first;
    size_t high = last + 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (values[middle] < us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* States first … last are those of this revision. */
static int spans_of_revision(struct judge *judge, const struct coupon_revision *revision,
                             size_t first, size_t last) {
    struct span all = {first, last, INT64_MIN, INT64_MAX};
    if (revision->archived) {
        return span_add(judge, REFUSAL_NO_COUPON, all);
    }
    if (revision->paused) {
        return span_add(judge, REFUSAL_PAUSED, all);
    }
    int64_t start_us = revision->issue_start_us;
    int64_t end_us = revision->issue_end_us;
    struct span before = {first, state_from(judge->clock_from, first, last, start_us), INT64_MIN,
                          start_us};
    struct span after = {state_from(judge->clock_to, first, last, end_us), last, end_us, INT64_MAX};
    struct span within = {state_from(judge->clock_to, first, last, start_us),
                          state_from(judge->clock_from, first, last, end_us), start_us, end_us};
    int status = STATUS_OK;
    if (before.last > first) {
        before.last--;
        status = span_add(judge, REFUSAL_NOT_STARTED, before);
    }
    if (status == STATUS_OK) {
        status = span_add(judge, REFUSAL_ENDED, after);
    }
    if (status < 0 || within.last == first || revision->total_quantity == COUPON_UNLIMITED) {
        return status;
    }
    within.last--;
    int64_t left = revision->total_quantity - ((int64_t)revision->first_rank - 1);
    size_t full = first + (left > 0 ? (size_t)left : 0);
    within.first = full > within.first ? full : within.first;
    return span_add(judge, REFUSAL_SOLD_OUT, within);
}

int refusals_build(struct judge *judge) {
    for (size_t i = 0; i < REFUSALS; i++) {
        judge->spans[i].count = 0;
    }
    int status = span_add(judge, REFUSAL_NO_COUPON, (struct span){0, 0, INT64_MIN, INT64_MAX});
    for (size_t i = 0; status == STATUS_OK && i < judge->revision_count; i++) {
        const struct coupon_revision *revision = &judge->revisions[i];
        bool newest = i + 1 == judge->revision_count;
        size_t first = revision->first_rank - 1 + i + 1; /* behind it */
        size_t last = newest ? judge->element_count : revision[1].first_rank - 1 + i + 1;
        status = spans_of_revision(judge, revision, first, last);
    }
    return status;
}

/* ---- one refusal ---- */

static enum refusal refusal_of(enum verdict verdict) {
    switch (verdict) {
    case VERDICT_NO_SUCH_COUPON:
        return REFUSAL_NO_COUPON;
    case VERDICT_PAUSED:
        return REFUSAL_PAUSED;
    case VERDICT_NOT_STARTED:
        return REFUSAL_NOT_STARTED;
    case VERDICT_ENDED:
        return REFUSAL_ENDED;
    case VERDICT_SOLD_OUT:
        return REFUSAL_SOLD_OUT;
    case VERDICT_ISSUED:
    case VERDICT_REPLAYED:
    case VERDICT_ALREADY_ISSUED:
    case VERDICT_ADMITTED:
    case VERDICT_OVERLOADED:
    case VERDICT_STORAGE_UNAVAILABLE:
    case VERDICT_OUTCOME_UNKNOWN:
    case VERDICT_STARTING:
        break;
    }
    return REFUSALS;
}

static enum history_code untrue_code(enum verdict verdict) {
    static const enum history_code codes[REFUSALS + 1] = {
        [REFUSAL_NO_COUPON] = HISTORY_NO_COUPON_UNTRUE,
        [REFUSAL_PAUSED] = HISTORY_PAUSED_UNTRUE,
        [REFUSAL_NOT_STARTED] = HISTORY_NOT_STARTED_UNTRUE,
        [REFUSAL_ENDED] = HISTORY_ENDED_UNTRUE,
        [REFUSAL_SOLD_OUT] = HISTORY_SOLD_OUT_UNTRUE,
        [REFUSALS] = HISTORY_RANK_ORDER,
    };
    return codes[refusal_of(verdict)];
}

/* The ways a refusal can be true: spans that were possible within its window. */
struct ways {
    struct span hull;
    size_t count; /* parts with holes between them */
    const struct span *first;
    const struct span *end; /* behind the last that overlaps; some between may not be possible */
};

/* The states that can have been current within `from` … `to`: *ret_first … *ret_last. */
static void states_within(const struct judge *judge, int64_t from, int64_t to, size_t *ret_first,
                          size_t *ret_last) {
    size_t low = 0;
    size_t high = judge->element_count;
    while (low < high) { /* the first element that may be at `from` or later */
        size_t middle = low + (high - low) / 2;
        if (judge->elements[middle].to.at < from) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_first = low;
    high = judge->element_count;
    low = 0;
    while (low < high) { /* the first element that must be behind `to` */
        size_t middle = low + (high - low) / 2;
        if (judge->elements[middle].from.at <= to) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_last = low;
}

static bool clock_allows(const struct judge *judge, const struct span *span,
                         const struct kept_claim *claim) {
    return clock_lowest(judge, claim->invoked_at) < span->below_us &&
           clock_highest(judge, claim->returned_at) >= span->least_us;
}

static const struct span *first_span(const struct list *spans, size_t state) {
    const struct span *items = spans->items;
    size_t low = 0;
    size_t high = spans->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (items[middle].last < state) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return items ? items + low : NULL;
}

static struct ways ways_of(const struct judge *judge, const struct kept_claim *claim,
                           size_t last_state) {
    const struct list *spans = &judge->spans[refusal_of(claim->verdict)];
    struct ways ways = {.count = 0};
    size_t first;
    size_t last;
    states_within(judge, claim->invoked_at, claim->returned_at, &first, &last);
    last = last < last_state ? last : last_state;
    const struct span *span = first_span(spans, first);
    const struct span *end = spans->items ? (const struct span *)spans->items + spans->count : NULL;
    for (; span != end && span->first <= last; span++) {
        if (!clock_allows(judge, span, claim)) {
            continue;
        }
        size_t span_last = span->last < last_state ? span->last : last_state;
        if (ways.count == 0) {
            ways.hull = *span;
            ways.first = span;
            ways.count = 1;
        } else if (span->first > ways.hull.last + 1) {
            ways.count++;
        }
        ways.hull.last = span_last;
        ways.hull.least_us =
            span->least_us < ways.hull.least_us ? span->least_us : ways.hull.least_us;
        ways.hull.below_us =
            span->below_us > ways.hull.below_us ? span->below_us : ways.hull.below_us;
        ways.end = span + 1;
    }
    return ways;
}

/* Some state of first … last was current between the invocation and the return. */
static void narrow(struct element *elements, size_t count, size_t first, size_t last,
                   const struct kept_claim *claim, uint32_t index) {
    if (first > 0) {
        window_narrow_to(&elements[first - 1],
                         (struct bound){claim->returned_at, BOUND_CLAIM, index});
    }
    if (last < count) {
        window_narrow_from(&elements[last], (struct bound){claim->invoked_at, BOUND_CLAIM, index});
    }
}

/* Whether the user's issue was there, whatever the order, before the claim was asked. */
static bool held_all_the_time(const struct judge *judge, const struct kept_claim *claim,
                              const struct refused *refused) {
    return refused->last_state < judge->element_count &&
           judge->elements[refused->last_state].to.at < claim->invoked_at;
}

static void tell_untrue(struct judge *judge, const struct kept_claim *claim,
                        const struct refused *refused) {
    struct words words = claim_words(judge, refused->claim);
    bool ever = ways_of(judge, claim, judge->element_count).count > 0;
    if (ever && held_all_the_time(judge, claim, refused)) {
        judge_tell(judge, HISTORY_HOLDER_REFUSED, "%s: the user held an issue all the time",
                   words.text);
    } else {
        judge_tell(judge, untrue_code(claim->verdict), "%s: that was true at no moment between%s",
                   words.text, ever ? " in which the user held nothing" : "");
    }
}

/* ---- all of them ---- */

/* Finds the ways of each. False: one is untrue. */
static bool find_ways(struct judge *judge) {
    struct refused *refusals = judge->refusals.items;
    bool good = true;
    for (size_t i = 0; i < judge->refusals.count; i++) {
        const struct kept_claim *claim = history_claim_at(judge->history, refusals[i].claim);
        struct ways ways = ways_of(judge, claim, refusals[i].last_state);
        refusals[i].ways = ways.count;
        refusals[i].hull = ways.hull;
        if (ways.count == 0) {
            tell_untrue(judge, claim, &refusals[i]);
            good = false;
        }
    }
    return good;
}

/* Narrows by what was found, and forgets those that have one way only. */
static int use_ways(struct judge *judge) {
    struct refused *refusals = judge->refusals.items;
    size_t kept = 0;
    for (size_t i = 0; i < judge->refusals.count; i++) {
        const struct refused *refused = &refusals[i];
        narrow(judge->elements, judge->element_count, refused->hull.first, refused->hull.last,
               history_claim_at(judge->history, refused->claim), refused->claim);
        if (refused->ways == 1 && evidence_add(judge, refused->claim, &refused->hull)) {
            return STATUS_NO_MEMORY;
        }
        if (refused->ways > 1) {
            refusals[kept++] = *refused;
        }
    }
    judge->refusals.count = kept;
    return STATUS_OK;
}

static bool bound_is_refusal(const struct judge *judge, const struct bound *bound,
                             enum history_code *ret_code) {
    if (bound->kind != BOUND_CLAIM) {
        return false;
    }
    enum verdict verdict = history_claim_at(judge->history, bound->index)->verdict;
    *ret_code = untrue_code(verdict);
    return refusal_of(verdict) != REFUSALS;
}

static void tell_stuck(struct judge *judge, const struct element *stuck) {
    enum history_code code = HISTORY_CONTRADICTION;
    enum history_code other = HISTORY_CONTRADICTION;
    bool first = bound_is_refusal(judge, &stuck->from, &code);
    bool second = bound_is_refusal(judge, &stuck->to, &other);
    struct words what = element_words(judge, stuck);
    struct words from = bound_words(judge, &stuck->from);
    struct words to = bound_words(judge, &stuck->to);
    judge_tell(judge,
               first == second ? HISTORY_CONTRADICTION
               : first         ? code
                               : other,
               "%s cannot have come after what %s got and before what %s got", what.text, from.text,
               to.text);
}

/* ---- what has several ways still ---- */

struct trial {
    struct judge *judge;
    struct element *saved; /* CHOICES_MAX copies */
    size_t tries;
};

static bool try_from(struct trial *trial, size_t next);

/* Whether the rest finds a way when refusal `next` is true in this span. */
static bool try_span(struct trial *trial, size_t next, const struct span *span, size_t last) {
    struct judge *judge = trial->judge;
    const struct refused *refused = (const struct refused *)judge->refusals.items + next;
    const struct kept_claim *claim = history_claim_at(judge->history, refused->claim);
    size_t size = judge->element_count * sizeof(judge->elements[0]);
    struct element *saved = trial->saved + next * judge->element_count;
    memcpy(saved, judge->elements, size);
    narrow(judge->elements, judge->element_count, span->first, last, claim, refused->claim);
    bool good = !windows_push(judge->elements, judge->element_count) && try_from(trial, next + 1);
    if (!good) {
        memcpy(judge->elements, saved, size);
    }
    return good;
}

static bool try_from(struct trial *trial, size_t next) {
    struct judge *judge = trial->judge;
    if (next == judge->refusals.count || trial->tries++ >= TRIES_MAX) {
        return true;
    }
    const struct refused *refused = (const struct refused *)judge->refusals.items + next;
    const struct kept_claim *claim = history_claim_at(judge->history, refused->claim);
    struct ways ways = ways_of(judge, claim, refused->last_state);
    for (const struct span *span = ways.first; ways.count > 0 && span != ways.end; span++) {
        size_t last = span->last < refused->last_state ? span->last : refused->last_state;
        if (clock_allows(judge, span, claim) && try_span(trial, next, span, last)) {
            return true;
        }
    }
    return false;
}

static int try_ways(struct judge *judge) {
    if (judge->refusals.count == 0) {
        return STATUS_OK;
    }
    if (judge->refusals.count > CHOICES_MAX) {
        judge->figures.undecided += judge->refusals.count;
        return STATUS_OK;
    }
    struct trial trial = {.judge = judge};
    trial.saved = calloc(judge->refusals.count * judge->element_count, sizeof(trial.saved[0]));
    if (!trial.saved) {
        return STATUS_NO_MEMORY;
    }
    if (!try_from(&trial, 0)) {
        const struct refused *refused = judge->refusals.items;
        struct words words = claim_words(judge, refused->claim);
        judge_tell(judge, HISTORY_CONTRADICTION,
                   "%s and %zu more like it are possible each, but not together", words.text,
                   judge->refusals.count - 1);
    } else if (trial.tries >= TRIES_MAX) {
        judge->figures.undecided += judge->refusals.count;
    }
    free(trial.saved);
    return STATUS_OK;
}

int judge_refusals(struct judge *judge) {
    for (size_t pass = 0; pass < PASSES_MAX && judge->refusals.count > 0; pass++) {
        if (!find_ways(judge)) {
            return STATUS_OK;
        }
        if (use_ways(judge)) {
            return STATUS_NO_MEMORY;
        }
        const struct element *stuck = windows_push(judge->elements, judge->element_count);
        if (stuck) {
            tell_stuck(judge, stuck);
            return STATUS_OK;
        }
    }
    return try_ways(judge);
}
