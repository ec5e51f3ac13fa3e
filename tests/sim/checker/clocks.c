/* What is known of crashes and of the clock at a moment, and whether refusals for the period agree
 * on one clock that never steps back. See history.h. */
#include "internal.h"

#include <stdlib.h>

/* ---- crashes and clocks ---- */

int64_t crash_after(const struct judge *judge, int64_t at) {
    const struct list *crashes = &judge->history->crashes;
    if (judge->history->options.shared || crashes->count == 0) {
        return AT_NEVER;
    }
    const int64_t *times = crashes->items;
    size_t low = 0;
    size_t high = crashes->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (times[middle] < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < crashes->count ? times[low] : AT_NEVER;
}

/* How many readings were taken before `at`, or (`too`) at it. */
static size_t clocks_until(const struct judge *judge, int64_t at, bool too) {
    size_t low = 0;
    size_t high = judge->history->clocks.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int64_t taken = judge->clocks[middle].at;
        if (taken < at || (too && taken == at)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int64_t clock_lowest(const struct judge *judge, int64_t at) {
    size_t count = at == AT_FIRST ? 0 : clocks_until(judge, at, false);
    return count == 0 ? INT64_MIN : judge->clocks[count - 1].lowest_us;
}

int64_t clock_highest(const struct judge *judge, int64_t at) {
    size_t count = at == AT_NEVER ? judge->history->clocks.count : clocks_until(judge, at, true);
    return count == judge->history->clocks.count ? INT64_MAX : judge->clocks[count].highest_us;
}

int by_time(const void *a, const void *b) {
    int64_t first = *(const int64_t *)a;
    int64_t second = *(const int64_t *)b;
    return (first > second) - (first < second);
}

int clocks_sort(struct judge *judge) {
    const struct list *clocks = &judge->history->clocks;
    judge->clocks = calloc(clocks->count + 1, sizeof(judge->clocks[0]));
    if (!judge->clocks) {
        return STATUS_NO_MEMORY;
    }
    if (clocks->count == 0) {
        return STATUS_OK;
    }
    memcpy(judge->clocks, clocks->items, clocks->count * sizeof(judge->clocks[0]));
    qsort(judge->clocks, clocks->count, sizeof(judge->clocks[0]), by_time); /* `at` is first */
    for (size_t i = 1; i < clocks->count; i++) {
        struct kept_clock *clock = &judge->clocks[i];
        clock->lowest_us =
            clock->lowest_us > clock[-1].lowest_us ? clock->lowest_us : clock[-1].lowest_us;
    }
    for (size_t i = clocks->count - 1; i > 0; i--) {
        struct kept_clock *clock = &judge->clocks[i - 1];
        clock->highest_us =
            clock->highest_us < clock[1].highest_us ? clock->highest_us : clock[1].highest_us;
    }
    return STATUS_OK;
}

/* ---- the clock that refusals tell of ---- */

int evidence_add(struct judge *judge, uint32_t claim, const struct span *span) {
    const struct kept_claim *kept = history_claim_at(judge->history, claim);
    if (judge->history->options.shared || kept->verdict == VERDICT_PAUSED ||
        kept->verdict == VERDICT_NO_SUCH_COUPON) {
        return STATUS_OK;
    }
    struct evidence *both[] = {NULL, NULL};
    both[0] = list_add(&judge->evidence, sizeof(*both[0]));
    if (!both[0]) {
        return STATUS_NO_MEMORY;
    }
    *both[0] = (struct evidence){kept->invoked_at, false, span->below_us, claim};
    both[1] = list_add(&judge->evidence, sizeof(*both[1]));
    if (!both[1]) {
        return STATUS_NO_MEMORY;
    }
    *both[1] = (struct evidence){kept->returned_at, true, span->least_us, claim};
    return STATUS_OK;
}

/* At the same moment, what was invoked before what returned: they overlap. */
static int by_moment(const void *a, const void *b) {
    const struct evidence *first = a;
    const struct evidence *second = b;
    int order = (first->at > second->at) - (first->at < second->at);
    return order ? order : first->returned - second->returned;
}

void judge_evidence(struct judge *judge) {
    struct evidence *all = judge->evidence.items;
    const struct evidence *latest = NULL;
    if (judge->evidence.count == 0) {
        return;
    }
    qsort(all, judge->evidence.count, sizeof(all[0]), by_moment);
    for (size_t i = 0; i < judge->evidence.count; i++) {
        if (all[i].returned) {
            latest = !latest || all[i].us > latest->us ? &all[i] : latest;
        } else if (latest && latest->us >= all[i].us) {
            struct words before = claim_words(judge, latest->claim);
            struct words after = claim_words(judge, all[i].claim);
            judge_tell(judge, HISTORY_CONTRADICTION, "the clock stepped back between %s and %s",
                       before.text, after.text);
            return;
        }
    }
}
