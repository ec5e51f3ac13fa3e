/* What is asked of the server of a story: claims, changes, reads; each answer judged by the model.
 * See story.h. */
#include "story_internal.h"

#include "station.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- claims ---- */

static void claims_make(const struct asked_claim *asked, size_t count, struct claim *claims) {
    for (size_t i = 0; i < count; i++) {
        claims[i] = (struct claim){.coupon_id = asked[i].coupon_id,
                                   .user_id = slice_of(asked[i].user),
                                   .request_key = slice_of(asked[i].key)};
        claims[i].user = issuer_user_digest(station_issuer(), claims[i].user_id);
    }
}

static bool answer_is(const struct claim *claim, const struct model_answer *expected) {
    return claim->verdict == expected->verdict &&
           (expected->rank == 0 ||
            (claim->rank == expected->rank && claim->issued_at_us == expected->at_us));
}

/* How many got this verdict. */
static size_t verdict_count(const struct claim *claims, size_t count, enum verdict verdict) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        found += claims[i].verdict == verdict;
    }
    return found;
}

static void judge_each(struct story *story, const struct asked_claim *asked,
                       const struct claim *claims, const struct model_answer *expected,
                       size_t count) {
    for (size_t i = 0; i < count; i++) {
        /* A repeat with a key is looked up in the record, which may not be readable. */
        bool unreadable = story_was_struck(story) && asked[i].key[0] != '\0' &&
                          expected[i].rank > 0 && expected[i].verdict != VERDICT_ISSUED &&
                          claims[i].verdict == VERDICT_STORAGE_UNAVAILABLE;
        if (!answer_is(&claims[i], &expected[i]) && !unreadable) {
            story_violation(story, "%s asked for coupon %llu: verdict %d rank %u, not %d rank %u",
                            asked[i].user, (unsigned long long)asked[i].coupon_id,
                            claims[i].verdict, claims[i].rank, expected[i].verdict,
                            expected[i].rank);
        }
    }
    story_believe(story);
}

void story_claims(struct story *story, const struct asked_claim *asked, size_t count) {
    struct claim claims[64];
    struct model_answer expected[64];
    assert(count > 0 && count <= COUNT_OF(claims));
    if (!story_ensure_started(story)) {
        return;
    }
    story_ask_begins(story);
    for (size_t i = 0; i < count; i++) {
        expected[i] = model_claim(story->next, story->now_us, asked[i].coupon_id, asked[i].user,
                                  asked[i].key);
    }
    story_pend(story);
    claims_make(asked, count, claims);
    struct claim_batch batch = {.job = {.kind = JOB_CLAIMS}, .claims = claims, .count = count};
    bool was_ready = station_state() == ISSUER_READY;
    station_do(&batch.job);
    size_t refused = verdict_count(claims, count, VERDICT_STORAGE_UNAVAILABLE);
    size_t unknown = verdict_count(claims, count, VERDICT_OUTCOME_UNKNOWN);
    bool all_failed = refused == count || unknown == count;
    if (all_failed && !story_was_struck(story)) {
        story_violation(story, "claims were refused, and nothing failed");
    }
    if (!all_failed) {
        judge_each(story, asked, claims, expected, count);
    } else if (refused == count) {
        story_disbelieve(story);
        if (was_ready && !station_was_unwritable()) {
            story_violation(story, "storage-unavailable, and it was never not ready");
        }
    }
    story_follow_up(story, unknown == count);
}

/* ---- commands ---- */

static struct command command_of(enum job_kind kind) {
    return (struct command){.job = {.kind = kind}};
}

static bool record_equal(const struct coupon_record *a, const struct coupon_record *b) {
    return a->id == b->id && strcmp(a->title, b->title) == 0 &&
           a->total_quantity == b->total_quantity && a->issued_quantity == b->issued_quantity &&
           a->issue_end_us == b->issue_end_us && a->paused == b->paused &&
           a->version == b->version && a->created_us == b->created_us &&
           a->updated_us == b->updated_us && a->archived_us == b->archived_us;
}

/* Does a change whose right answer is `expected`, with this coupon when it is STATUS_OK. */
static void change_do(struct story *story, struct command *command, int expected) {
    story_pend(story);
    station_do(&command->job);
    int status = command->status;
    uint64_t id = command->coupon.id;
    if (status == expected) {
        struct model_coupon *coupon = model_coupon(story->next, id);
        if (status == STATUS_OK && (!coupon || !record_equal(&command->coupon, &coupon->record))) {
            story_violation(story, "coupon %llu is told wrongly", (unsigned long long)id);
        }
        story_believe(story);
    } else {
        story_judge_failure(story, "a change", status, NULL);
        if (status != STATUS_AMBIGUOUS) {
            story_disbelieve(story);
        }
    }
    story_follow_up(story, status == STATUS_AMBIGUOUS && status != expected);
}

static const char *request_text(uint64_t coupon_id, char room[static 64]) {
    snprintf(room, 64, "{\"of\":%llu}", (unsigned long long)coupon_id);
    return room;
}

void story_create(struct story *story, const struct coupon_record *record, const char *key) {
    char request[64];
    if (!story_ensure_started(story)) {
        return;
    }
    story_ask_begins(story);
    struct command command = command_of(JOB_COUPON_CREATE);
    command.coupon = *record;
    command.key.key = slice_of(key);
    command.audit = (struct audit){slice_of("ops"), slice_of(request_text(record->id, request))};
    int expected = model_create(story->next, story->now_us, record, "ops", request);
    if (expected == STATUS_EXISTS && key[0] != '\0') {
        expected = STATUS_OK; /* the same creation again */
    }
    change_do(story, &command, expected);
}

void story_change(struct story *story, uint64_t coupon_id, unsigned patch_set,
                  const struct coupon_record *values, uint32_t if_version) {
    char request[64];
    if (!story_ensure_started(story)) {
        return;
    }
    story_ask_begins(story);
    struct command command = command_of(JOB_COUPON_CHANGE);
    command.coupon = *values;
    command.coupon.id = coupon_id;
    command.patch_set = patch_set;
    command.if_versions = if_version ? &if_version : NULL;
    command.if_version_count = if_version ? 1 : 0;
    command.audit = (struct audit){slice_of("ops"), slice_of(request_text(coupon_id, request))};
    int expected = model_change(story->next, story->now_us, coupon_id, patch_set, values,
                                if_version, "ops", request);
    change_do(story, &command, expected);
}

/* ---- reads ---- */

/* Whether there is an answer to compare; a failure is judged. */
static bool read_do(struct story *story, struct command *command, int expected) {
    story->asks++;
    station_do(&command->job);
    if (command->status != expected) {
        story_judge_failure(story, "a read", command->status, NULL);
        return false;
    }
    return command->status == STATUS_OK;
}

static void judge_read_issue(struct story *story, const struct model_coupon *coupon, uint32_t rank,
                             const struct issue_record *found) {
    const struct model_issue *issue = &coupon->issues[rank - 1];
    if (found->reference.rank != rank || strcmp(found->user_id, issue->user) != 0 ||
        found->issued_at_us != issue->at_us) {
        story_violation(story, "rank %u is told as %s's, not %s's", rank, found->user_id,
                        issue->user);
    }
}

static void read_holding(struct story *story, uint64_t coupon_id, const char *user) {
    uint32_t rank = model_rank(story->told, coupon_id, user);
    struct command command = command_of(JOB_HOLDING_READ);
    command.reference.coupon_id = coupon_id;
    command.user_id = slice_of(user);
    command.user = issuer_user_digest(station_issuer(), command.user_id);
    if (read_do(story, &command, rank ? STATUS_OK : STATUS_NOT_FOUND) &&
        command.issue.reference.rank != rank) {
        story_violation(story, "%s holds rank %u and is told %u", user, rank,
                        command.issue.reference.rank);
    }
}

static void read_issues(struct story *story, uint64_t coupon_id) {
    static struct issue_record issues[MODEL_ISSUES];
    const struct model_coupon *coupon = model_coupon(story->told, coupon_id);
    struct command command = command_of(JOB_ISSUES_READ);
    command.reference.coupon_id = coupon_id;
    command.limit = COUNT_OF(issues);
    command.issues = issues;
    if (!read_do(story, &command, coupon ? STATUS_OK : STATUS_NOT_FOUND)) {
        return;
    }
    if (command.issue_count != coupon->record.issued_quantity) {
        story_violation(story, "coupon %llu is told with %zu issues of %u",
                        (unsigned long long)coupon_id, command.issue_count,
                        coupon->record.issued_quantity);
    }
    for (uint32_t i = 0; i < command.issue_count; i++) {
        judge_read_issue(story, coupon, i + 1, &issues[i]);
    }
}

static void read_coupons(struct story *story) {
    static struct coupon_record coupons[MODEL_COUPONS];
    struct command command = command_of(JOB_COUPONS_READ);
    command.limit = COUNT_OF(coupons);
    command.coupons = coupons;
    if (!read_do(story, &command, STATUS_OK)) {
        return;
    }
    bool same = command.coupon_count == story->told->coupon_count;
    for (size_t i = 0; same && i < command.coupon_count; i++) {
        same = record_equal(&coupons[i], &story->told->coupons[i].record);
    }
    if (!same) {
        story_violation(story, "the list of coupons is wrong");
    }
}

static void read_issue(struct story *story, uint64_t coupon_id, uint32_t rank) {
    const struct model_coupon *coupon = model_coupon(story->told, coupon_id);
    bool there = coupon && rank <= coupon->record.issued_quantity;
    struct command command = command_of(JOB_ISSUE_READ);
    command.reference = (struct issue_reference){coupon_id, rank};
    if (read_do(story, &command, there ? STATUS_OK : STATUS_NOT_FOUND)) {
        judge_read_issue(story, coupon, rank, &command.issue);
    }
}

static void read_users_issues(struct story *story, const char *user) {
    size_t held = 0;
    for (size_t i = 0; i < story->told->coupon_count; i++) {
        const struct coupon_record *record = &story->told->coupons[i].record;
        held += !record->archived_us && model_rank(story->told, record->id, user) > 0;
    }
    struct command command = command_of(JOB_USER_ISSUES_READ);
    command.user_id = slice_of(user);
    command.user = issuer_user_digest(station_issuer(), command.user_id);
    if (read_do(story, &command, STATUS_OK) && command.holding_count != held) {
        story_violation(story, "%s holds %zu and is told %zu", user, held, command.holding_count);
    }
    free(command.holdings);
}

static void read_audits(struct story *story) {
    static struct audit_record audits[MODEL_AUDITS];
    struct command command = command_of(JOB_AUDITS_READ);
    command.limit = COUNT_OF(audits);
    command.audits = audits;
    if (read_do(story, &command, STATUS_OK) && command.audit_count != story->told->audit_count) {
        story_violation(story, "%zu audits are told of %zu", command.audit_count,
                        story->told->audit_count);
    }
}

void story_reads(struct story *story, uint64_t coupon_id, const char *user) {
    if (!story_ensure_started(story)) {
        return;
    }
    read_coupons(story);
    read_issue(story, coupon_id, 1);
    read_issue(story, coupon_id, MODEL_ISSUES);
    read_issues(story, coupon_id);
    read_issues(story, MODEL_COUPONS + 1);
    read_holding(story, coupon_id, user);
    read_holding(story, coupon_id, "nobody");
    read_users_issues(story, user);
    read_audits(story);
    story_follow_up(story, false);
}
