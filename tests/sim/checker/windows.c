/* When each change of a coupon's state can have happened: windows, narrowed by whoever saw it, and
 * pushed along the list that the record is. See history.h. */
#include "internal.h"

/* ---- windows ---- */

void window_narrow_from(struct element *element, struct bound bound) {
    if (bound.at > element->from.at) {
        element->from = bound;
    }
}

void window_narrow_to(struct element *element, struct bound bound) {
    if (bound.at < element->to.at) {
        element->to = bound;
    }
}

/* After it, `from` never falls and `to` never falls along the list; then, and only then, moments
 * can be chosen that keep all bounds and the order. */
const struct element *windows_push(struct element *elements, size_t count) {
    for (size_t i = 1; i < count; i++) {
        window_narrow_from(&elements[i], elements[i - 1].from);
    }
    for (size_t i = count; i > 1; i--) {
        window_narrow_to(&elements[i - 2], elements[i - 1].to);
    }
    for (size_t i = 0; i < count; i++) {
        if (elements[i].from.at > elements[i].to.at) {
            return &elements[i];
        }
    }
    return NULL;
}

/* ---- the list ---- */

static void element_add(struct judge *judge, bool is_issue, size_t index) {
    judge->elements[judge->element_count++] = (struct element){.is_issue = is_issue,
                                                               .index = (uint32_t)index,
                                                               .from = {.at = AT_FIRST},
                                                               .to = {.at = AT_NEVER}};
}

static int64_t element_time_us(const struct judge *judge, size_t i) {
    const struct element *element = &judge->elements[i];
    return element->is_issue ? judge->issues[element->index].issued_at_us
                             : judge->revisions[element->index].changed_us;
}

/* What the clock showed in each state, by the dates of the changes around it. */
static void clocks_build(struct judge *judge) {
    size_t count = judge->element_count;
    judge->clock_from[0] = INT64_MIN;
    judge->clock_to[count] = INT64_MAX;
    bool dated = !judge->history->options.shared; /* else a date is of the admission */
    for (size_t i = 0; i < count; i++) {
        int64_t time_us = dated ? element_time_us(judge, i) : INT64_MIN;
        int64_t before = judge->clock_from[i];
        judge->clock_from[i + 1] = time_us > before ? time_us : before;
    }
    for (size_t i = count; i > 0; i--) {
        int64_t time_us = dated ? element_time_us(judge, i - 1) : INT64_MAX;
        int64_t after = judge->clock_to[i];
        judge->clock_to[i - 1] = time_us < after ? time_us : after;
    }
}

int windows_build(struct judge *judge) {
    size_t rank = 1;
    for (size_t i = 0; i <= judge->revision_count; i++) {
        size_t first =
            i < judge->revision_count ? judge->revisions[i].first_rank : judge->issue_count + 1;
        for (; rank < first; rank++) {
            judge->element_of[rank - 1] = (uint32_t)judge->element_count;
            element_add(judge, true, rank - 1);
        }
        if (i < judge->revision_count) {
            element_add(judge, false, i);
        }
    }
    clocks_build(judge);
    return refusals_build(judge);
}

/* ---- operators ---- */

static bool is_as_before(const struct history_terms *asked, unsigned set,
                         const struct coupon_revision *revision,
                         const struct coupon_revision *before) {
    int64_t total = set & PATCH_TOTAL_QUANTITY ? asked->total_quantity : before->total_quantity;
    int64_t start = set & PATCH_ISSUE_START ? asked->issue_start_us : before->issue_start_us;
    int64_t end = set & PATCH_ISSUE_END ? asked->issue_end_us : before->issue_end_us;
    bool paused = set & PATCH_PAUSED ? asked->paused : before->paused;
    bool archived = set & PATCH_ARCHIVED ? asked->archived : before->archived;
    return revision->total_quantity == total && revision->issue_start_us == start &&
           revision->issue_end_us == end && revision->paused == paused &&
           revision->archived == archived;
}

/* Whether this change can have made this revision. */
static bool change_fits(const struct kept_change *change, const struct coupon_revision *revision) {
    bool first = revision->version == 1;
    unsigned set = first ? ~0U : change->change.patch_set;
    return change->change.creates == first &&
           is_as_before(&change->change.terms, set, revision, first ? revision : revision - 1);
}

/* Before it come the issues below its first rank, and the versions below it. */
static struct element *revision_element(const struct judge *judge, uint32_t version) {
    size_t place = judge->revisions[version - 1].first_rank - 1 + (size_t)version - 1;
    assert(!judge->elements[place].is_issue && judge->elements[place].index == version - 1);
    return &judge->elements[place];
}

static void done_change(struct judge *judge, uint32_t index) {
    const struct kept_change *change = history_change_at(judge->history, index);
    struct words words = change_words(judge, index);
    if (change->version == 0) {
        return; /* the answer did not tell which */
    }
    if (!judge->coupon || change->version > judge->revision_count) {
        judge_tell(judge, HISTORY_CHANGE_LOST, "%s is not in the record", words.text);
        return;
    }
    if (!judge->ordered) {
        return;
    }
    if (!change_fits(change, &judge->revisions[change->version - 1])) {
        judge_tell(judge, HISTORY_CHANGE_OTHER, "%s: version %u of the record has other terms",
                   words.text, change->version);
        return;
    }
    struct element *element = revision_element(judge, change->version);
    if (element->from.kind == BOUND_CHANGE) {
        struct words other = change_words(judge, element->from.index);
        judge_tell(judge, HISTORY_CHANGE_OTHER, "%s, and so %s", other.text, words.text);
        return;
    }
    window_narrow_from(element, (struct bound){change->invoked_at, BOUND_CHANGE, index});
    window_narrow_to(element, (struct bound){change->returned_at, BOUND_CHANGE, index});
}

/* The hull of the windows of those that may have made it. */
struct candidates {
    struct bound from;
    struct bound to;
    size_t count;
    bool unsure; /* it may be the maker of another revision, or the hull has a hole */
};

static void candidate_add(const struct judge *judge, struct candidates *candidates, uint32_t index,
                          const struct coupon_revision *revision) {
    struct kept_change *change = history_change_at(judge->history, index);
    bool open = change->outcome == HISTORY_UNKNOWN ||
                (change->outcome == HISTORY_DONE && change->version == 0);
    if (!open || !change_fits(change, revision)) {
        return;
    }
    int64_t latest = change->outcome == HISTORY_DONE ? change->returned_at
                                                     : crash_after(judge, change->invoked_at);
    bool hole = candidates->count > 0 && (candidates->to.at != latest || latest != AT_NEVER);
    if (candidates->count == 0 || change->invoked_at < candidates->from.at) {
        candidates->from = (struct bound){change->invoked_at, BOUND_CHANGE, index};
    }
    if (candidates->count == 0 || latest > candidates->to.at) {
        candidates->to = (struct bound){latest, BOUND_CHANGE, index};
    }
    candidates->unsure = candidates->unsure || change->fitted || hole;
    change->fitted = true;
    candidates->count++;
}

/* A revision that nobody was told of: some change whose outcome is open made it. */
static void open_revision(struct judge *judge, struct element *element) {
    const struct coupon_revision *revision = &judge->revisions[element->index];
    struct candidates candidates = {.count = 0};
    for (size_t i = 0; i < judge->change_count; i++) {
        candidate_add(judge, &candidates, judge->coupon_changes[i], revision);
    }
    for (size_t i = 0; revision->version == 1 && i < judge->open_creation_count; i++) {
        candidate_add(judge, &candidates, judge->changes[i], revision);
    }
    if (judge->history->options.strangers) {
        return;
    }
    if (candidates.count == 0) {
        judge_tell(judge, HISTORY_CHANGE_NOBODY, "nobody asked for version %u", revision->version);
        return;
    }
    judge->figures.undecided += candidates.unsure;
    window_narrow_from(element, candidates.from);
    window_narrow_to(element, candidates.to);
}

void windows_of_changes(struct judge *judge) {
    for (size_t i = 0; i < judge->change_count; i++) {
        uint32_t index = judge->coupon_changes[i];
        if (history_change_at(judge->history, index)->outcome == HISTORY_DONE) {
            done_change(judge, index);
        }
    }
    for (size_t i = 0; i < judge->element_count; i++) {
        if (!judge->elements[i].is_issue && judge->elements[i].from.kind == BOUND_NONE) {
            open_revision(judge, &judge->elements[i]);
        }
    }
}
