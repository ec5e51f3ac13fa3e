/* Each user's claims of a coupon against the issue that the record has for this user, or has not:
 * who can have made it, what was told of it, and which refusals are left to place in time. See
 * history.h. */
#include "internal.h"

/* A user's claims, by invocation, and their issue (NULL: none). */
struct group {
    const uint32_t *claims;
    size_t count;
    const struct kept_issue *issue;
    uint32_t maker; /* of the claims: who was told issued; UINT32_MAX: nobody */
    bool key_known;
    uint32_t key; /* of the issue, when known */
};

static const struct kept_claim *claim_of(const struct judge *judge, const struct group *group,
                                         size_t i) {
    return history_claim_at(judge->history, group->claims[i]);
}

static struct element *element_of(struct judge *judge, const struct group *group) {
    return &judge->elements[judge->element_of[group->issue->rank - 1]];
}

static bool told_fits(const struct kept_claim *claim, const struct kept_issue *issue) {
    return (claim->rank == 0 || claim->rank == issue->rank) &&
           (claim->issued_at_us == 0 || claim->issued_at_us == issue->issued_at_us);
}

/* ---- who made it ---- */

/* Whether the claim, though not told "issued", can be what was issued. */
static bool is_open(const struct judge *judge, const struct kept_claim *claim) {
    switch (claim->verdict) {
    case VERDICT_ADMITTED:
    case VERDICT_OUTCOME_UNKNOWN:
        return true;
    case VERDICT_OVERLOADED:
    case VERDICT_STORAGE_UNAVAILABLE:
    case VERDICT_STARTING:
        return judge->history->options.shared;
    case VERDICT_ISSUED: /* where nodes share a ledger, the answer may be to an earlier claim */
        return judge->history->options.shared;
    case VERDICT_REPLAYED:
    case VERDICT_ALREADY_ISSUED:
    case VERDICT_NO_SUCH_COUPON:
    case VERDICT_PAUSED:
    case VERDICT_NOT_STARTED:
    case VERDICT_ENDED:
    case VERDICT_SOLD_OUT:
        return false;
    }
    return false;
}

static bool is_failed(const struct kept_claim *claim) {
    return claim->verdict == VERDICT_STORAGE_UNAVAILABLE || claim->verdict == VERDICT_OVERLOADED ||
           claim->verdict == VERDICT_STARTING;
}

/* Where the record does not tell the key: what was told of it later must agree. */
static bool key_agrees(const struct judge *judge, const struct group *group, uint32_t key) {
    if (group->key_known) {
        return group->key == key;
    }
    for (size_t i = 0; i < group->count; i++) {
        const struct kept_claim *claim = claim_of(judge, group, i);
        bool same = claim->key != 0 && claim->key == key;
        if ((claim->verdict == VERDICT_REPLAYED && !same) ||
            (claim->verdict == VERDICT_ALREADY_ISSUED && same)) {
            return false;
        }
    }
    return true;
}

static void made_by_nobody(struct judge *judge, const struct group *group) {
    bool failed = false;
    bool other_key = false;
    uint32_t last = 0;
    for (size_t i = 0; i < group->count; i++) {
        const struct kept_claim *claim = claim_of(judge, group, i);
        bool possible = is_failed(claim) || is_open(judge, claim);
        last = possible ? group->claims[i] : last;
        failed = failed || (is_failed(claim) && key_agrees(judge, group, claim->key));
        other_key = other_key || (is_open(judge, claim) && !key_agrees(judge, group, claim->key));
    }
    struct slice user = history_text(judge->history, group->issue->user);
    if (failed || other_key) {
        struct words words = claim_words(judge, last);
        judge_tell(judge, failed ? HISTORY_FAILED_ISSUED : HISTORY_KEY_OTHER,
                   "rank %u of user %.*s cannot come from %s", group->issue->rank, (int)user.size,
                   user.bytes, words.text);
    } else if (!judge->history->options.strangers) {
        judge_tell(judge, HISTORY_NOBODY_ASKED, "no claim of user %.*s can have made rank %u",
                   (int)user.size, user.bytes, group->issue->rank);
    }
}

/* The hull of the windows of all that can have made it. */
static void made_by_open(struct judge *judge, struct group *group) {
    struct bound from = {.at = AT_NEVER};
    struct bound to = {.at = AT_FIRST};
    bool hole = false;
    for (size_t i = 0; i < group->count; i++) {
        const struct kept_claim *claim = claim_of(judge, group, i);
        if (!is_open(judge, claim) || !key_agrees(judge, group, claim->key)) {
            continue;
        }
        bool told = claim->verdict == VERDICT_ISSUED;
        int64_t latest = told ? claim->returned_at : crash_after(judge, claim->invoked_at);
        hole = hole || (from.kind != BOUND_NONE && (to.at != latest || latest != AT_NEVER));
        if (claim->invoked_at < from.at) {
            from = (struct bound){claim->invoked_at, BOUND_CLAIM, group->claims[i]};
        }
        if (latest > to.at) {
            to = (struct bound){latest, BOUND_CLAIM, group->claims[i]};
        }
    }
    if (from.kind == BOUND_NONE) {
        made_by_nobody(judge, group);
        return;
    }
    judge->figures.undecided += hole;
    window_narrow_from(element_of(judge, group), from);
    window_narrow_to(element_of(judge, group), to);
}

static void check_told(struct judge *judge, const struct group *group,
                       const struct kept_claim *claim, uint32_t index, enum history_code code) {
    if (!told_fits(claim, group->issue)) {
        struct words words = claim_words(judge, index);
        judge_tell(judge, code,
                   "%s: the record has rank %u dated %lld, told was rank %u dated %lld", words.text,
                   group->issue->rank, (long long)group->issue->issued_at_us, claim->rank,
                   (long long)claim->issued_at_us);
    }
}

/* Finds who was told "issued". */
static void find_maker(struct judge *judge, struct group *group) {
    group->maker = UINT32_MAX;
    for (size_t i = 0; i < group->count; i++) {
        const struct kept_claim *claim = claim_of(judge, group, i);
        if (claim->verdict != VERDICT_ISSUED) {
            continue;
        }
        if (group->maker != UINT32_MAX) {
            struct words one = claim_words(judge, group->maker);
            struct words other = claim_words(judge, group->claims[i]);
            judge_tell(judge, HISTORY_SUCCESS_TWICE, "%s, and so %s", one.text, other.text);
            continue;
        }
        group->maker = group->claims[i];
        check_told(judge, group, claim, group->maker, HISTORY_SUCCESS_OTHER);
    }
}

static void learn_key(struct judge *judge, struct group *group) {
    const struct kept_claim *maker =
        group->maker == UINT32_MAX ? NULL : history_claim_at(judge->history, group->maker);
    group->key_known = !judge->history->options.keys_untold || maker;
    group->key = judge->history->options.keys_untold && maker ? maker->key : group->issue->key;
    if (maker && maker->key != group->key) {
        struct words words = claim_words(judge, group->maker);
        struct slice key = history_text(judge->history, group->key);
        judge_tell(judge, HISTORY_KEY_OTHER, "%s: the record has the key '%.*s'", words.text,
                   (int)key.size, key.bytes);
    }
}

/* The window in which it was issued. */
static void place_issue(struct judge *judge, struct group *group) {
    struct element *element = element_of(judge, group);
    if (group->maker != UINT32_MAX) {
        const struct kept_claim *maker = history_claim_at(judge->history, group->maker);
        if (!judge->history->options.shared) {
            window_narrow_from(element,
                               (struct bound){maker->invoked_at, BOUND_CLAIM, group->maker});
        }
        window_narrow_to(element, (struct bound){maker->returned_at, BOUND_CLAIM, group->maker});
    }
    if (group->maker == UINT32_MAX || judge->history->options.shared) {
        made_by_open(judge, group);
    }
    int64_t date_us = group->issue->issued_at_us;
    int64_t lowest_us = clock_lowest(judge, element->from.at);
    int64_t highest_us = clock_highest(judge, element->to.at);
    if (!group->issue->imported && (date_us < lowest_us || date_us > highest_us)) {
        struct words words = element_words(judge, element);
        judge_tell(judge, HISTORY_TIME_IMPOSSIBLE,
                   "%s is dated %lld, and meanwhile the clock showed %lld … %lld", words.text,
                   (long long)date_us, (long long)lowest_us, (long long)highest_us);
    }
}

/* ---- what was told of it later ---- */

static void check_key(struct judge *judge, const struct group *group,
                      const struct kept_claim *claim, uint32_t index) {
    bool same = claim->key != 0 && claim->key == group->key;
    struct words words = claim_words(judge, index);
    if (claim->verdict == VERDICT_REPLAYED && (claim->key == 0 || (group->key_known && !same))) {
        judge_tell(judge, HISTORY_REPLAY_WRONG, "%s: that is not the issue's key", words.text);
    }
    if (claim->verdict == VERDICT_ALREADY_ISSUED && group->key_known && same) {
        judge_tell(judge, HISTORY_REPLAY_MISSED, "%s: that is the issue's own key", words.text);
    }
}

static void check_repeat(struct judge *judge, const struct group *group, uint32_t index) {
    const struct kept_claim *claim = history_claim_at(judge->history, index);
    check_told(judge, group, claim, index, HISTORY_REPEAT_OTHER);
    check_key(judge, group, claim, index);
    if (!judge->ordered) {
        return;
    }
    struct element *element = element_of(judge, group);
    if (claim->returned_at < element->from.at) {
        struct words words = claim_words(judge, index);
        struct words bound = bound_words(judge, &element->from);
        judge_tell(judge, HISTORY_REPEAT_EARLY, "%s, before %s", words.text, bound.text);
        return;
    }
    window_narrow_to(element, (struct bound){claim->returned_at, BOUND_CLAIM, index});
    const struct coupon_revision *last = &judge->revisions[judge->revision_count - 1];
    if (last->archived && !judge->history->options.shared) { /* archived, it is not found */
        window_narrow_from(&judge->elements[judge->element_count - 1],
                           (struct bound){claim->invoked_at, BOUND_CLAIM, index});
    }
}

/* ---- users ---- */

static bool is_refusal(enum verdict verdict) {
    return verdict == VERDICT_NO_SUCH_COUPON || verdict == VERDICT_PAUSED ||
           verdict == VERDICT_NOT_STARTED || verdict == VERDICT_ENDED ||
           verdict == VERDICT_SOLD_OUT;
}

/* Keeps the refusals for refusals.c, which needs all windows first. */
static int keep_refusals(struct judge *judge, const struct group *group) {
    size_t held = group->issue ? judge->element_of[group->issue->rank - 1] : judge->element_count;
    for (size_t i = 0; i < group->count; i++) {
        enum verdict verdict = claim_of(judge, group, i)->verdict;
        if (!is_refusal(verdict)) {
            continue;
        }
        struct refused *refused = list_add(&judge->refusals, sizeof(*refused));
        if (!refused) {
            return STATUS_NO_MEMORY;
        }
        /* an archived coupon is not found, by holders neither */
        bool any = verdict == VERDICT_NO_SUCH_COUPON;
        *refused = (struct refused){.claim = group->claims[i],
                                    .last_state = any ? judge->element_count : held};
    }
    return STATUS_OK;
}

static int judge_holder(struct judge *judge, struct group *group) {
    find_maker(judge, group);
    learn_key(judge, group);
    if (judge->ordered && !(group->issue->imported && group->maker == UINT32_MAX)) {
        place_issue(judge, group);
    }
    for (size_t i = 0; i < group->count; i++) {
        enum verdict verdict = claim_of(judge, group, i)->verdict;
        if (verdict == VERDICT_REPLAYED || verdict == VERDICT_ALREADY_ISSUED) {
            check_repeat(judge, group, group->claims[i]);
        }
    }
    return judge->ordered ? keep_refusals(judge, group) : STATUS_OK;
}

static int judge_loser(struct judge *judge, struct group *group) {
    for (size_t i = 0; i < group->count; i++) {
        enum verdict verdict = claim_of(judge, group, i)->verdict;
        if (verdict != VERDICT_ISSUED && verdict != VERDICT_REPLAYED &&
            verdict != VERDICT_ALREADY_ISSUED) {
            continue;
        }
        struct words words = claim_words(judge, group->claims[i]);
        judge_tell(judge, verdict == VERDICT_ISSUED ? HISTORY_SUCCESS_LOST : HISTORY_REPEAT_LOST,
                   "%s: the record has no issue for this user", words.text);
    }
    return judge->ordered ? keep_refusals(judge, group) : STATUS_OK;
}

/* Issues and claims are both by user: walks them side by side. */
int judge_holders(struct judge *judge) {
    const struct kept_issue *issues = judge->history->issues.items;
    size_t issue = 0;
    size_t claim = 0;
    while (issue < judge->issue_count || claim < judge->claim_count) {
        uint32_t user = UINT32_MAX;
        if (issue < judge->issue_count) {
            user = issues[judge->coupon_by_user[issue]].user;
        }
        if (claim < judge->claim_count) {
            uint32_t asks = history_claim_at(judge->history, judge->coupon_claims[claim])->user;
            user = asks < user ? asks : user;
        }
        struct group group = {.claims = judge->coupon_claims + claim};
        while (claim < judge->claim_count &&
               history_claim_at(judge->history, judge->coupon_claims[claim])->user == user) {
            claim++;
            group.count++;
        }
        while (issue < judge->issue_count && issues[judge->coupon_by_user[issue]].user == user) {
            const struct kept_issue *held = &issues[judge->coupon_by_user[issue++]];
            group.issue = group.issue ? group.issue : held; /* twice: told by record.c */
        }
        int status = group.issue ? judge_holder(judge, &group) : judge_loser(judge, &group);
        if (status < 0) {
            return status;
        }
    }
    return STATUS_OK;
}
