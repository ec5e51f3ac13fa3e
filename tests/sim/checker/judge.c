/* Goes through the coupons of a history, one after the other, and tells what it finds. Not for:
 * what is right (record.c, windows.c, holders.c, refusals.c). See history.h. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TOLD_MAX 20 /* of one code */

static const char *const code_names[HISTORY_CODES] = {
    [HISTORY_BROKEN] = "broken-history",
    [HISTORY_ORPHAN] = "orphan",
    [HISTORY_RANKS_GAP] = "ranks-gap",
    [HISTORY_USER_TWICE] = "user-twice",
    [HISTORY_OVER_QUANTITY] = "over-quantity",
    [HISTORY_COUNT_WRONG] = "count-wrong",
    [HISTORY_OUTSIDE_PERIOD] = "outside-period",
    [HISTORY_WHILE_PAUSED] = "while-paused",
    [HISTORY_CLOCK_BACK] = "clock-back",
    [HISTORY_TIME_IMPOSSIBLE] = "time-impossible",
    [HISTORY_REVISIONS_BAD] = "revisions-bad",
    [HISTORY_SUCCESS_LOST] = "success-lost",
    [HISTORY_SUCCESS_OTHER] = "success-other",
    [HISTORY_SUCCESS_TWICE] = "success-twice",
    [HISTORY_REPEAT_LOST] = "repeat-lost",
    [HISTORY_REPEAT_OTHER] = "repeat-other",
    [HISTORY_REPEAT_EARLY] = "repeat-early",
    [HISTORY_REPLAY_WRONG] = "replay-wrong",
    [HISTORY_REPLAY_MISSED] = "replay-missed",
    [HISTORY_RANK_ORDER] = "rank-order",
    [HISTORY_NOBODY_ASKED] = "nobody-asked",
    [HISTORY_FAILED_ISSUED] = "failed-issued",
    [HISTORY_KEY_OTHER] = "key-other",
    [HISTORY_HOLDER_REFUSED] = "holder-refused",
    [HISTORY_SOLD_OUT_UNTRUE] = "sold-out-untrue",
    [HISTORY_PAUSED_UNTRUE] = "paused-untrue",
    [HISTORY_NOT_STARTED_UNTRUE] = "not-started-untrue",
    [HISTORY_ENDED_UNTRUE] = "ended-untrue",
    [HISTORY_NO_COUPON_UNTRUE] = "no-coupon-untrue",
    [HISTORY_CHANGE_LOST] = "change-lost",
    [HISTORY_CHANGE_OTHER] = "change-other",
    [HISTORY_CHANGE_NOBODY] = "change-nobody",
    [HISTORY_CHANGE_ORDER] = "change-order",
    [HISTORY_CONTRADICTION] = "contradiction",
};

const char *history_code_name(enum history_code code) {
    assert(code < HISTORY_CODES);
    return code_names[code];
}

/* ---- telling ---- */

void judge_tell(struct judge *judge, enum history_code code, const char *format, ...) {
    judge->figures.violations++;
    if (judge->told[code]++ >= TOLD_MAX || !judge->found) {
        return;
    }
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    struct history_violation violation = {code, judge->coupon_id, text};
    judge->found(judge->context, &violation);
}

const char *history_verdict_word(enum verdict verdict) {
    static const char *const words[] = {
        [VERDICT_ISSUED] = "issued",
        [VERDICT_REPLAYED] = "replayed",
        [VERDICT_ALREADY_ISSUED] = "already-issued",
        [VERDICT_NO_SUCH_COUPON] = "no-such-coupon",
        [VERDICT_PAUSED] = "paused",
        [VERDICT_NOT_STARTED] = "not-started",
        [VERDICT_ENDED] = "ended",
        [VERDICT_SOLD_OUT] = "sold-out",
        [VERDICT_ADMITTED] = "admitted",
        [VERDICT_OVERLOADED] = "overloaded",
        [VERDICT_STORAGE_UNAVAILABLE] = "storage-unavailable",
        [VERDICT_OUTCOME_UNKNOWN] = "outcome-unknown",
        [VERDICT_STARTING] = "starting",
    };
    return words[verdict];
}

struct words claim_words(const struct judge *judge, uint32_t claim) {
    struct words words;
    const struct kept_claim *kept = history_claim_at(judge->history, claim);
    struct slice user = history_text(judge->history, kept->user);
    struct slice key = history_text(judge->history, kept->key);
    int size =
        snprintf(words.text, sizeof(words.text), "claim %u of user %.*s%s%.*s (asked at %lld, ",
                 claim, (int)user.size, user.bytes, key.size ? " with key " : "", (int)key.size,
                 key.bytes, (long long)kept->invoked_at);
    if (size < 0 || (size_t)size >= sizeof(words.text)) {
        return words;
    }
    size_t left = sizeof(words.text) - (size_t)size;
    if (kept->returned_at == AT_NEVER) {
        snprintf(words.text + size, left, "never answered)");
    } else if (kept->rank) {
        snprintf(words.text + size, left, "told %s with rank %u at %lld)",
                 history_verdict_word(kept->verdict), kept->rank, (long long)kept->returned_at);
    } else {
        snprintf(words.text + size, left, "told %s at %lld)", history_verdict_word(kept->verdict),
                 (long long)kept->returned_at);
    }
    return words;
}

struct words change_words(const struct judge *judge, uint32_t change) {
    struct words words;
    const struct kept_change *kept = history_change_at(judge->history, change);
    const char *what = kept->change.creates ? "creation" : "change";
    if (kept->returned_at == AT_NEVER) {
        snprintf(words.text, sizeof(words.text), "%s %u (asked at %lld, never answered)", what,
                 change, (long long)kept->invoked_at);
    } else {
        snprintf(words.text, sizeof(words.text), "%s %u (asked at %lld, %s at %lld, version %u)",
                 what, change, (long long)kept->invoked_at,
                 kept->outcome == HISTORY_DONE      ? "told done"
                 : kept->outcome == HISTORY_REFUSED ? "refused"
                                                    : "told nothing certain",
                 (long long)kept->returned_at, kept->version);
    }
    return words;
}

struct words bound_words(const struct judge *judge, const struct bound *bound) {
    switch (bound->kind) {
    case BOUND_CLAIM:
        return claim_words(judge, bound->index);
    case BOUND_CHANGE:
        return change_words(judge, bound->index);
    case BOUND_NONE:
        break;
    }
    return (struct words){"nothing"};
}

struct words element_words(const struct judge *judge, const struct element *element) {
    struct words words;
    if (element->is_issue) {
        struct slice user = history_text(judge->history, judge->issues[element->index].user);
        snprintf(words.text, sizeof(words.text), "rank %u of user %.*s", element->index + 1,
                 (int)user.size, user.bytes);
    } else {
        snprintf(words.text, sizeof(words.text), "version %u", element->index + 1);
    }
    return words;
}

/* ---- one coupon ---- */

static int elements_reserve(struct judge *judge) {
    size_t count = judge->issue_count + judge->revision_count;
    if (count > judge->element_capacity || !judge->elements) {
        size_t capacity = count + count / 2 + 64;
        free(judge->elements);
        free(judge->element_of);
        free(judge->clock_from);
        free(judge->clock_to);
        judge->elements = calloc(capacity, sizeof(judge->elements[0]));
        judge->element_of = calloc(capacity, sizeof(judge->element_of[0]));
        judge->clock_from = calloc(capacity + 1, sizeof(judge->clock_from[0]));
        judge->clock_to = calloc(capacity + 1, sizeof(judge->clock_to[0]));
        judge->element_capacity = capacity;
    }
    bool all = judge->elements && judge->element_of && judge->clock_from && judge->clock_to;
    return all ? STATUS_OK : STATUS_NO_MEMORY;
}

/* Whether the bounds leave every element a moment; tells which do not. */
static bool judge_order(struct judge *judge) {
    const struct element *stuck = windows_push(judge->elements, judge->element_count);
    if (!stuck) {
        return true;
    }
    struct words what = element_words(judge, stuck);
    struct words from = bound_words(judge, &stuck->from);
    struct words to = bound_words(judge, &stuck->to);
    bool claims = stuck->from.kind == BOUND_CLAIM && stuck->to.kind == BOUND_CLAIM;
    judge_tell(judge, claims ? HISTORY_RANK_ORDER : HISTORY_CHANGE_ORDER,
               "by the record's order %s came after what %s got and before what %s got", what.text,
               from.text, to.text);
    return false;
}

static int judge_coupon(struct judge *judge) {
    judge->ordered = true;
    judge->element_count = 0;
    judge->refusals.count = 0;
    judge->evidence.count = 0;
    if (elements_reserve(judge)) {
        return STATUS_NO_MEMORY;
    }
    judge_record(judge);
    int status = judge->ordered ? windows_build(judge) : STATUS_OK;
    if (status == STATUS_OK) {
        windows_of_changes(judge);
        status = judge_holders(judge);
    }
    if (status < 0 || !judge->ordered || !judge_order(judge)) {
        return status;
    }
    status = judge_refusals(judge);
    if (status == STATUS_OK) {
        judge_evidence(judge);
    }
    return status;
}

/* ---- the whole ---- */

static int compare_u64(uint64_t a, uint64_t b) {
    return (a > b) - (a < b);
}

static int by_claim(const void *a, const void *b, void *context) {
    const struct kept_claim *first = history_claim_at(context, *(const uint32_t *)a);
    const struct kept_claim *second = history_claim_at(context, *(const uint32_t *)b);
    int order = compare_u64(first->coupon_id, second->coupon_id);
    order = order ? order : compare_u64(first->user, second->user);
    return order ? order
                 : (first->invoked_at > second->invoked_at) -
                       (first->invoked_at < second->invoked_at);
}

static int by_change(const void *a, const void *b, void *context) {
    const struct kept_change *first = history_change_at(context, *(const uint32_t *)a);
    const struct kept_change *second = history_change_at(context, *(const uint32_t *)b);
    int order = compare_u64(first->coupon_id, second->coupon_id);
    return order ? order
                 : (first->invoked_at > second->invoked_at) -
                       (first->invoked_at < second->invoked_at);
}

static int by_issue(const void *a, const void *b) {
    const struct kept_issue *first = a;
    const struct kept_issue *second = b;
    int order = compare_u64(first->coupon_id, second->coupon_id);
    return order ? order : compare_u64(first->rank, second->rank);
}

static int by_user(const void *a, const void *b, void *context) {
    const struct kept_issue *issues = ((struct history *)context)->issues.items;
    const struct kept_issue *first = &issues[*(const uint32_t *)a];
    const struct kept_issue *second = &issues[*(const uint32_t *)b];
    int order = compare_u64(first->coupon_id, second->coupon_id);
    order = order ? order : compare_u64(first->user, second->user);
    return order ? order : compare_u64(first->rank, second->rank);
}

static int by_revision(const void *a, const void *b) {
    const struct coupon_revision *first = a;
    const struct coupon_revision *second = b;
    int order = compare_u64(first->coupon_id, second->coupon_id);
    return order ? order : compare_u64(first->version, second->version);
}

static int by_coupon(const void *a, const void *b) {
    return compare_u64(((const struct kept_coupon *)a)->id, ((const struct kept_coupon *)b)->id);
}

static uint32_t *indexes(size_t count, int (*compare)(const void *, const void *, void *),
                         struct history *history) {
    uint32_t *sorted = calloc(count + 1, sizeof(sorted[0]));
    for (size_t i = 0; sorted && i < count; i++) {
        sorted[i] = (uint32_t)i;
    }
    if (sorted && count > 0) {
        qsort_r(sorted, count, sizeof(sorted[0]), compare, history);
    }
    return sorted;
}

static void sort_rows(struct list *list, size_t size, int (*compare)(const void *, const void *)) {
    if (list->count > 0) {
        qsort(list->items, list->count, size, compare);
    }
}

static int judge_sort(struct judge *judge) {
    struct history *history = judge->history;
    sort_rows(&history->crashes, sizeof(int64_t), by_time);
    sort_rows(&history->coupons, sizeof(struct kept_coupon), by_coupon);
    sort_rows(&history->revisions, sizeof(struct coupon_revision), by_revision);
    sort_rows(&history->issues, sizeof(struct kept_issue), by_issue);
    judge->claims = indexes(history->claims.count, by_claim, history);
    judge->changes = indexes(history->changes.count, by_change, history);
    judge->issues_by_user = indexes(history->issues.count, by_user, history);
    bool all = judge->claims && judge->changes && judge->issues_by_user;
    return all ? clocks_sort(judge) : STATUS_NO_MEMORY;
}

static void judge_done(struct judge *judge) {
    free(judge->clocks);
    free(judge->claims);
    free(judge->changes);
    free(judge->issues_by_user);
    free(judge->elements);
    free(judge->element_of);
    free(judge->clock_from);
    free(judge->clock_to);
    free(judge->refusals.items);
    free(judge->evidence.items);
    for (size_t i = 0; i < REFUSALS; i++) {
        free(judge->spans[i].items);
    }
}

/* Where each list stands on its way through the coupons. */
struct progress {
    size_t claims;
    size_t changes;
    size_t coupons;
    size_t revisions;
    size_t issues;
};

static uint64_t least_id(uint64_t least, bool there, uint64_t id) {
    return there && id < least ? id : least;
}

static uint64_t next_coupon(const struct judge *judge, const struct progress *at) {
    const struct history *history = judge->history;
    const struct kept_coupon *coupons = history->coupons.items;
    const struct coupon_revision *revisions = history->revisions.items;
    const struct kept_issue *issues = history->issues.items;
    uint64_t id = UINT64_MAX;
    if (at->claims < history->claims.count) {
        id = least_id(id, true, history_claim_at(history, judge->claims[at->claims])->coupon_id);
    }
    if (at->changes < history->changes.count) {
        id = least_id(id, true, history_change_at(history, judge->changes[at->changes])->coupon_id);
    }
    if (at->coupons < history->coupons.count) {
        id = least_id(id, true, coupons[at->coupons].id);
    }
    if (at->revisions < history->revisions.count) {
        id = least_id(id, true, revisions[at->revisions].coupon_id);
    }
    if (at->issues < history->issues.count) {
        id = least_id(id, true, issues[at->issues].coupon_id);
    }
    return id;
}

/* Cuts this coupon's part out of each list. */
static void take_coupon(struct judge *judge, struct progress *at, uint64_t id) {
    const struct history *history = judge->history;
    const struct kept_coupon *coupons = history->coupons.items;
    const struct coupon_revision *revisions = history->revisions.items;
    const struct kept_issue *issues = history->issues.items;
    struct progress begin = *at;
    while (at->claims < history->claims.count &&
           history_claim_at(history, judge->claims[at->claims])->coupon_id == id) {
        at->claims++;
    }
    while (at->changes < history->changes.count &&
           history_change_at(history, judge->changes[at->changes])->coupon_id == id) {
        at->changes++;
    }
    while (at->coupons < history->coupons.count && coupons[at->coupons].id == id) {
        at->coupons++;
    }
    while (at->revisions < history->revisions.count && revisions[at->revisions].coupon_id == id) {
        at->revisions++;
    }
    while (at->issues < history->issues.count && issues[at->issues].coupon_id == id) {
        at->issues++;
    }
    judge->coupon_id = id;
    judge->coupon = at->coupons > begin.coupons ? &coupons[begin.coupons] : NULL;
    judge->issues = issues ? issues + begin.issues : NULL;
    judge->revisions = revisions ? revisions + begin.revisions : NULL;
    judge->coupon_claims = judge->claims + begin.claims;
    judge->coupon_changes = judge->changes + begin.changes;
    judge->coupon_by_user = judge->issues_by_user + begin.issues;
    judge->issue_count = at->issues - begin.issues;
    judge->revision_count = at->revisions - begin.revisions;
    judge->claim_count = at->claims - begin.claims;
    judge->change_count = at->changes - begin.changes;
}

static void mark_imports(struct history *history) {
    const struct coupon_import *imports = history->imports.items;
    for (size_t i = 0; i < history->imports.count; i++) {
        struct kept_issue *issues = history->issues.items;
        struct kept_issue first = {.coupon_id = imports[i].coupon_id,
                                   .rank = imports[i].first_rank};
        size_t low = 0;
        size_t high = history->issues.count;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (by_issue(&issues[middle], &first) < 0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        for (; low < history->issues.count && issues[low].coupon_id == first.coupon_id &&
               issues[low].rank <= imports[i].last_rank;
             low++) {
            issues[low].imported = true;
        }
    }
}

static int judge_all(struct judge *judge) {
    struct progress at = {0};
    if (judge_sort(judge)) {
        return STATUS_NO_MEMORY;
    }
    mark_imports(judge->history);
    for (size_t i = 0; i < judge->history->changes.count; i++) {
        history_change_at(judge->history, i)->fitted = false;
    }
    take_coupon(judge, &at, 0); /* creations whose id the server was to choose, and is not known */
    judge->open_creation_count = judge->change_count;
    for (uint64_t id = next_coupon(judge, &at); id != UINT64_MAX; id = next_coupon(judge, &at)) {
        take_coupon(judge, &at, id);
        if (judge_coupon(judge)) {
            return STATUS_NO_MEMORY;
        }
    }
    return STATUS_OK;
}

int history_check(struct history *history,
                  void (*found)(void *context, const struct history_violation *), void *context,
                  struct history_figures *ret_figures) {
    struct judge judge = {.history = history, .found = found, .context = context};
    judge.figures.events = history->events;
    judge.figures.claims = history->claims.count;
    judge.figures.issues = history->issues.count;
    const char *const *broken = history->broken.items;
    for (size_t i = 0; i < history->broken.count; i++) {
        judge_tell(&judge, HISTORY_BROKEN, "%s", broken[i]);
    }
    int status = judge_all(&judge);
    judge_done(&judge);
    if (status == STATUS_OK && ret_figures) {
        *ret_figures = judge.figures;
    }
    return status;
}
