/* What the parts of the history checker share: history.c keeps, judge.c goes through the coupons,
 * record.c judges a coupon's rows, windows.c when they can have happened, clocks.c what the clock
 * showed, refusals.c what was told meanwhile. Internal to this folder. */
#ifndef COUPON_HISTORY_INTERNAL_H
#define COUPON_HISTORY_INTERNAL_H

#include "history.h"

#define AT_NEVER INT64_MAX
#define AT_FIRST INT64_MIN

/* ---- kept (history.c) ---- */

struct kept_claim {
    uint64_t coupon_id;
    int64_t invoked_at;
    int64_t returned_at; /* AT_NEVER: never */
    int64_t issued_at_us;
    uint32_t user; /* of the texts */
    uint32_t key;  /* of the texts; 0: none */
    uint32_t rank;
    enum verdict verdict;
};

struct kept_change {
    struct history_change change;
    int64_t invoked_at;
    int64_t returned_at;
    enum history_outcome outcome;
    uint64_t coupon_id; /* when DONE, what was made; otherwise as asked */
    uint32_t version;
    bool fitted; /* by the judge: it may be the maker of some version */
};

struct kept_clock {
    int64_t at;
    int64_t lowest_us;  /* in the judge's copy: the highest of these until now */
    int64_t highest_us; /* in the judge's copy: the lowest of these from now on */
};

struct kept_coupon {
    uint64_t id;
    uint32_t issued_quantity;
    uint32_t version;
    struct history_terms terms;
};

struct kept_issue {
    uint64_t coupon_id;
    int64_t issued_at_us;
    uint32_t rank;
    uint32_t user;
    uint32_t key;
    bool imported;
};

/* An array that grows; `items` is of the type its owner says. */
struct list {
    void *items;
    size_t count;
    size_t capacity;
};
/* Room for one more, zeroed, or NULL. */
void *list_add(struct list *list, size_t item_size);

/* Every text once: its number, and back. */
struct texts {
    struct buffer bytes;
    struct list ends; /* uint32_t: where text i ends in bytes; text 0 is empty */
    uint32_t *slots;  /* open addressing: number + 1, 0 empty */
    size_t slot_mask;
};

struct history {
    struct history_options options;
    struct texts texts;
    struct list claims;    /* struct kept_claim */
    struct list changes;   /* struct kept_change */
    struct list crashes;   /* int64_t */
    struct list clocks;    /* struct kept_clock */
    struct list coupons;   /* struct kept_coupon */
    struct list revisions; /* struct coupon_revision */
    struct list imports;   /* struct coupon_import */
    struct list issues;    /* struct kept_issue */
    struct list broken;    /* const char *: constants */
    size_t events;
};

static inline struct kept_claim *history_claim_at(const struct history *history, size_t index) {
    return (struct kept_claim *)history->claims.items + index;
}
static inline struct kept_change *history_change_at(const struct history *history, size_t index) {
    return (struct kept_change *)history->changes.items + index;
}
struct slice history_text(const struct history *history, uint32_t text);

/* ---- one coupon under judgement ---- */

/* Who set a bound. */
enum bound_kind { BOUND_NONE, BOUND_CLAIM, BOUND_CHANGE };
struct bound {
    int64_t at;
    enum bound_kind kind;
    uint32_t index; /* of claims or changes */
};

/* A change of the coupon's state: an issue or a revision. It happened within [from.at, to.at]. */
struct element {
    bool is_issue;
    uint32_t index; /* of the coupon's issues (rank - 1) or revisions (version - 1) */
    struct bound from;
    struct bound to;
};

/* States s1 … s2 in which an answer is true, as far as the record tells. State s: s elements have
 * happened. The clock must have been below `below_us` and at least `least_us` besides. */
struct span {
    size_t first;
    size_t last;
    int64_t least_us;
    int64_t below_us;
};

enum refusal {
    REFUSAL_NO_COUPON,
    REFUSAL_PAUSED,
    REFUSAL_NOT_STARTED,
    REFUSAL_ENDED,
    REFUSAL_SOLD_OUT,
    REFUSALS
};

struct judge {
    struct history *history;
    void (*found)(void *context, const struct history_violation *violation);
    void *context;
    size_t told[HISTORY_CODES];
    struct history_figures figures;
    /* sorted for the whole history */
    struct kept_clock *clocks; /* by time */
    uint32_t *claims;          /* by coupon, user, invocation */
    uint32_t *changes;         /* by coupon, invocation */
    uint32_t *issues_by_user;  /* of history's issues (sorted by coupon, rank): by coupon, user */
    /* the coupon */
    uint64_t coupon_id;
    const struct kept_coupon *coupon; /* NULL: the record has none */
    const struct kept_issue *issues;
    const struct coupon_revision *revisions;
    const uint32_t *coupon_claims;
    const uint32_t *coupon_changes;
    const uint32_t *coupon_by_user;
    size_t issue_count;
    size_t revision_count;
    size_t claim_count;
    size_t change_count;
    size_t open_creation_count; /* at the front of `changes`: those without an id */
    bool ordered;               /* its record is one list: windows can be judged */
    struct element *elements;
    size_t element_count;
    size_t element_capacity;
    uint32_t *element_of;        /* by rank - 1: its place among the elements */
    int64_t *clock_from;         /* by state: the least the clock showed then … */
    int64_t *clock_to;           /* … and the most */
    struct list spans[REFUSALS]; /* struct span, ascending */
    struct list refusals;        /* struct refused: what refusals.c has to place */
    struct list evidence;        /* struct evidence */
};

/* The latest moment at which what was asked at `at` can happen: the server's crash; AT_NEVER. */
int64_t crash_after(const struct judge *judge, int64_t at);
/* The bounds of the clock that readings give for `at`. */
int64_t clock_lowest(const struct judge *judge, int64_t at);
int64_t clock_highest(const struct judge *judge, int64_t at);

int by_time(const void *a, const void *b); /* of int64_t */
int MUST_CHECK clocks_sort(struct judge *judge);

/* What a refusal tells of the clock: below `us` when it was invoked, at least `us` when it had
 * returned. */
struct evidence {
    int64_t at;
    bool returned;
    int64_t us;
    uint32_t claim;
};
int MUST_CHECK evidence_add(struct judge *judge, uint32_t claim, const struct span *span);
void judge_evidence(struct judge *judge);

/* Tells a violation. */
void judge_tell(struct judge *judge, enum history_code code, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* A claim or change as words: "claim 7 (user a, key k, 3 … 9: sold-out)". */
struct words {
    char text[320];
};
struct words claim_words(const struct judge *judge, uint32_t claim);
struct words change_words(const struct judge *judge, uint32_t change);
struct words element_words(const struct judge *judge, const struct element *element);
struct words bound_words(const struct judge *judge, const struct bound *bound);

/* record.c: the rows by themselves. Sets `ordered`. */
void judge_record(struct judge *judge);

/* windows.c */
int MUST_CHECK windows_build(struct judge *judge); /* elements, clocks */
void windows_of_changes(struct judge *judge);      /* operators' events against revisions */
void window_narrow_from(struct element *element, struct bound bound);
void window_narrow_to(struct element *element, struct bound bound);
/* Pushes bounds along the list. NULL, or the element that is left no time. */
const struct element *windows_push(struct element *elements, size_t count);

/* holders.c: every user's claims against the issue they hold. */
int MUST_CHECK judge_holders(struct judge *judge);

/* refusals.c */
struct refused {
    uint32_t claim;
    size_t last_state; /* the last in which this user held nothing */
    size_t ways;       /* parts of the hull, with holes between them */
    struct span hull;
};
int MUST_CHECK refusals_build(struct judge *judge); /* spans */
int MUST_CHECK judge_refusals(struct judge *judge);

#endif
