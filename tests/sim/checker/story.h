/* story: a history as plain arrays that a test can make, spoil and hand to the checker.
 *
 * The maker plays a server: every claim and change takes effect at one moment within its window, in
 * the order of these moments, by a model of a few lines; some answers are lost, some servers crash.
 * So a story is right by construction, and its truth is independent of the checker. For the tests
 * of the checker only. */
#ifndef COUPON_STORY_H
#define COUPON_STORY_H

#include "history.h"

#define STORY_NEVER       INT64_MAX
#define STORY_COUPONS_MAX 8

struct story_claim {
    uint64_t coupon_id;
    uint32_t user;
    uint32_t key; /* 0: none */
    int64_t invoked_at;
    int64_t effect_at; /* STORY_NEVER: none */
    int64_t returned_at;
    enum verdict verdict;
    uint32_t rank;
    int64_t issued_at_us;
};

struct story_change {
    struct history_change asked;
    int64_t invoked_at;
    int64_t effect_at;
    int64_t returned_at;
    enum history_outcome outcome;
    uint32_t version;
};

struct story_issue {
    uint64_t coupon_id;
    uint32_t rank;
    uint32_t user;
    uint32_t key;
    int64_t issued_at_us;
};

struct story_coupon {
    uint64_t id;
    uint32_t issued_quantity;
    uint32_t version;
    struct history_terms terms;
};

struct story {
    struct story_claim *claims;
    struct story_change *changes;
    struct story_issue *issues;
    struct coupon_revision *revisions;
    struct story_coupon coupons[STORY_COUPONS_MAX];
    int64_t crashes[16];
    struct {
        int64_t at;
        int64_t lowest_us;
        int64_t highest_us;
    } clocks[16];
    size_t claim_count;
    size_t change_count;
    size_t issue_count;
    size_t revision_count;
    size_t coupon_count;
    size_t crash_count;
    size_t clock_count;
    struct history_options options;
};

struct story_plan {
    uint64_t seed;
    size_t claims;
    size_t coupons; /* 1 … STORY_COUPONS_MAX - 1; one more is asked for that does not exist */
    size_t users;
    size_t changes; /* besides the creations */
    size_t crashes; /* at most 16 */
    int64_t width;  /* how long a call takes at most */
    int64_t gap;    /* from one effect to the next at most; times go with it */
    unsigned lost_percent;
    unsigned failed_percent;
    bool clocks; /* also readings of the clock */
};

/* A generator of the tests' own: the same numbers everywhere (splitmix64, Steele, Lea, Flood). */
struct story_random {
    uint64_t state;
};
uint64_t story_random(struct story_random *random);
uint64_t story_below(struct story_random *random, uint64_t limit);

/* Ends the process when there is no memory. */
struct story *story_make(const struct story_plan *plan);
struct story *story_copy(const struct story *story);
void story_free(struct story *story);

/* Hands it to the checker; the violations by code. Ends the process when there is no memory. */
struct story_findings {
    size_t counts[HISTORY_CODES];
    size_t all;
    size_t undecided;
    char first[1200];
};
struct story_findings story_judge(const struct story *story);

/* The model's rules, which the search below uses too. */
enum verdict story_terms_verdict(const struct story_coupon *coupon, int64_t now_us);
bool story_terms_patch(struct story_coupon *coupon, const struct history_change *asked);

/* Whether some order of the claims and changes, each taken at one moment of its window, leads
 * through the same answers to the same record. Tries them all: at most 10 claims and changes. */
bool story_is_possible(const struct story *story);

/* As text, for a failure's message. */
void story_print(const struct story *story);

#endif
