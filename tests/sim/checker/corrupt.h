/* corrupt: planted corruptions, each with the code that must be found. For test_checker.c. */
#ifndef COUPON_CORRUPT_H
#define COUPON_CORRUPT_H

#include "story.h"

struct corruption {
    const char *name;
    enum history_code code;
    /* Spoils a right story. False: this one has nothing to spoil so. */
    bool (*plant)(struct story *story, struct story_random *random);
};

extern const struct corruption record_corruptions[];
extern const size_t record_corruption_count;
extern const struct corruption answer_corruptions[];
extern const size_t answer_corruption_count;

/* ---- what they share (corrupt.c) ---- */

typedef bool claim_test(const struct story *story, const struct story_claim *claim);

/* One of the claims, or issues, for which the test holds, NULL: none. */
struct story_claim *pick_claim(struct story *story, struct story_random *random, claim_test *test);
struct story_issue *issue_of(struct story *story, uint64_t coupon_id, uint32_t user);
struct story_issue *issue_at(struct story *story, uint64_t coupon_id, uint32_t rank);
struct story_coupon *coupon_at(struct story *story, uint64_t coupon_id);
/* Its revision number `version`; 0: the last. */
struct coupon_revision *revision_at(struct story *story, uint64_t coupon_id, uint32_t version);
bool has_holder(const struct story *story, const struct story_claim *claim);
bool is_won(const struct story *story, const struct story_claim *claim);    /* told issued */
bool is_repeat(const struct story *story, const struct story_claim *claim); /* already issued */
bool is_replay(const struct story *story, const struct story_claim *claim);
/* Refused by a coupon that is there, never having held anything. */
bool is_refused(const struct story *story, const struct story_claim *claim);
bool is_last_rank(const struct story *story, const struct story_claim *claim); /* … and won */
/* Asked after the last change of its coupon, and all its claims but those around, was over. */
bool is_late(const struct story *story, const struct story_claim *claim);
/* Whether the clock was read when it had returned. */
bool read_after(const struct story *story, const struct story_claim *claim);
/* Whether a claim of this user could have been issued without anyone being told. */
bool has_open(const struct story *story, uint64_t coupon_id, uint32_t user);
void remove_issue(struct story *story, struct story_issue *issue);
void remove_revision(struct story *story, struct coupon_revision *revision);
void refuse_claim(struct story_claim *claim, enum verdict verdict);

#endif
