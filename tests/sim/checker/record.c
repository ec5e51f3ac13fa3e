/* A coupon's rows by themselves: what can be told without knowing who asked when. See history.h. */
#include "internal.h"

/* Rows that do not make one list cannot be put in an order of time. */
static void disorder(struct judge *judge) {
    judge->ordered = false;
}

/* ---- revisions ---- */

static bool terms_equal(const struct history_terms *terms, const struct coupon_revision *revision) {
    return terms->total_quantity == revision->total_quantity &&
           terms->issue_start_us == revision->issue_start_us &&
           terms->issue_end_us == revision->issue_end_us && terms->paused == revision->paused &&
           terms->archived == revision->archived;
}

static void check_revision(struct judge *judge, size_t i) {
    const struct coupon_revision *revision = &judge->revisions[i];
    const struct coupon_revision *before = i > 0 ? revision - 1 : NULL;
    if (revision->version != i + 1) {
        judge_tell(judge, HISTORY_REVISIONS_BAD, "revision %zu has version %u", i + 1,
                   revision->version);
        disorder(judge);
    }
    uint32_t first = before ? before->first_rank : 1;
    if (revision->first_rank < first || (!before && revision->first_rank != 1) ||
        revision->first_rank > judge->issue_count + 1) {
        judge_tell(judge, HISTORY_REVISIONS_BAD,
                   "version %u cannot begin with rank %u: %zu are issued", revision->version,
                   revision->first_rank, judge->issue_count);
        disorder(judge);
    }
    if (before && before->archived) {
        judge_tell(judge, HISTORY_REVISIONS_BAD, "version %u comes after the archiving",
                   revision->version);
    }
    if (before && revision->changed_us < before->changed_us) {
        judge_tell(judge, HISTORY_CLOCK_BACK, "version %u is dated before version %u",
                   revision->version, before->version);
    }
    if (revision->total_quantity != COUPON_UNLIMITED &&
        revision->total_quantity + 1 < (int64_t)revision->first_rank) {
        judge_tell(judge, HISTORY_OVER_QUANTITY, "version %u has a quantity of %lld, %u are issued",
                   revision->version, (long long)revision->total_quantity,
                   revision->first_rank - 1);
    }
}

static void check_revisions(struct judge *judge) {
    for (size_t i = 0; i < judge->revision_count; i++) {
        check_revision(judge, i);
    }
    if (judge->revision_count == 0) {
        judge_tell(judge, HISTORY_REVISIONS_BAD, "there is no revision");
        disorder(judge);
        return;
    }
    const struct coupon_revision *last = &judge->revisions[judge->revision_count - 1];
    if (judge->coupon->version != last->version || !terms_equal(&judge->coupon->terms, last)) {
        judge_tell(judge, HISTORY_REVISIONS_BAD,
                   "the coupon (version %u) is not what its last revision (version %u) says",
                   judge->coupon->version, last->version);
    }
}

/* ---- issues ---- */

static void check_ranks(struct judge *judge) {
    for (size_t i = 0; i < judge->issue_count; i++) {
        if (judge->issues[i].rank == i + 1) {
            continue;
        }
        judge_tell(judge, HISTORY_RANKS_GAP, "the issue after rank %u has rank %u",
                   i > 0 ? judge->issues[i - 1].rank : 0, judge->issues[i].rank);
        disorder(judge);
        break;
    }
    if (judge->coupon->issued_quantity != judge->issue_count) {
        judge_tell(judge, HISTORY_COUNT_WRONG, "it counts %u issues and has %zu",
                   judge->coupon->issued_quantity, judge->issue_count);
    }
}

static void check_users(struct judge *judge) {
    const struct kept_issue *all = judge->history->issues.items;
    for (size_t i = 1; i < judge->issue_count; i++) {
        const struct kept_issue *former = &all[judge->coupon_by_user[i - 1]];
        const struct kept_issue *issue = &all[judge->coupon_by_user[i]];
        if (former->user == issue->user) {
            struct slice user = history_text(judge->history, issue->user);
            judge_tell(judge, HISTORY_USER_TWICE, "user %.*s holds ranks %u and %u", (int)user.size,
                       user.bytes, former->rank, issue->rank);
        }
    }
}

/* Where several programs share a ledger, a claim is judged by the moment of its admission. */
static void check_time(struct judge *judge, const struct kept_issue *issue,
                       const struct coupon_revision *terms) {
    bool last = terms == &judge->revisions[judge->revision_count - 1];
    if (judge->history->options.shared) {
        return;
    }
    if (issue->issued_at_us < terms->changed_us ||
        (!last && issue->issued_at_us > terms[1].changed_us)) {
        judge_tell(judge, HISTORY_CLOCK_BACK,
                   "rank %u is dated %lld, not while version %u was in force", issue->rank,
                   (long long)issue->issued_at_us, terms->version);
    }
}

static void check_terms(struct judge *judge, const struct kept_issue *issue,
                        const struct coupon_revision *terms) {
    if (terms->total_quantity != COUPON_UNLIMITED && issue->rank > terms->total_quantity) {
        judge_tell(judge, HISTORY_OVER_QUANTITY, "rank %u is above the quantity %lld of version %u",
                   issue->rank, (long long)terms->total_quantity, terms->version);
    }
    if (terms->archived || (terms->paused && !issue->imported)) {
        judge_tell(judge, HISTORY_WHILE_PAUSED, "rank %u was issued while version %u had it %s",
                   issue->rank, terms->version, terms->archived ? "archived" : "paused");
    }
    if ((issue->issued_at_us < terms->issue_start_us && !issue->imported) ||
        issue->issued_at_us >= terms->issue_end_us) {
        judge_tell(judge, HISTORY_OUTSIDE_PERIOD,
                   "rank %u is dated %lld, not within %lld … %lld of version %u", issue->rank,
                   (long long)issue->issued_at_us, (long long)terms->issue_start_us,
                   (long long)terms->issue_end_us, terms->version);
    }
    check_time(judge, issue, terms);
}

static void check_issues(struct judge *judge) {
    size_t in_force = 0;
    for (size_t i = 0; i < judge->issue_count; i++) {
        const struct kept_issue *issue = &judge->issues[i];
        while (in_force + 1 < judge->revision_count &&
               judge->revisions[in_force + 1].first_rank <= issue->rank) {
            in_force++;
        }
        check_terms(judge, issue, &judge->revisions[in_force]);
        if (i > 0 && issue->issued_at_us < issue[-1].issued_at_us) {
            judge_tell(judge, HISTORY_CLOCK_BACK, "rank %u is dated %lld, rank %u before it %lld",
                       issue->rank, (long long)issue->issued_at_us, issue[-1].rank,
                       (long long)issue[-1].issued_at_us);
        }
    }
}

void judge_record(struct judge *judge) {
    if (!judge->coupon) {
        if (judge->issue_count || judge->revision_count) {
            judge_tell(judge, HISTORY_ORPHAN,
                       "the record has %zu issues and %zu revisions of it, "
                       "and no such coupon",
                       judge->issue_count, judge->revision_count);
            disorder(judge);
        }
        return;
    }
    check_ranks(judge);
    check_users(judge);
    check_revisions(judge);
    if (judge->ordered) {
        check_issues(judge);
    }
}
