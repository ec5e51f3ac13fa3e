/* history: what clients and operators asked and were told, judged against the final record.
 *
 * Decides I1-I7 without knowing how the server works: events come in as the observers saw them,
 * the record as the ledger has it in the end. Not for: I8 as such (a 503 is judged by what the
 * record has), HTTP, files. Called by the simulations in process, by history-checker with logs.
 *
 * Order in time: `at` is any number that never falls from one event to the next as the observer
 * saw them: nanoseconds of one monotonic clock, or a counter of steps. What returned at 5 was
 * before what was invoked at 6; what has the same `at` was at the same time. Events may be handed
 * over in any order as long as an invocation comes before its return.
 *
 * The idea: a coupon's record is one list of changes of state (created, issue of rank 1, revision,
 * issue of rank 2 …), in an order that the record itself tells. Each change happened within a
 * window of time that the events tell; each refusal holds in some states only, one of which must
 * have been current between its invocation and its return. Windows, pushed along the list, decide
 * it: O(n log n). Linearizability as of Herlihy and Wing (1990), the order of writes being known.
 */
#ifndef COUPON_HISTORY_H
#define COUPON_HISTORY_H

#include "base/base.h"
#include "issuer/issuer.h" /* enum verdict, enum coupon_patch_bit; the record's rows */

struct history_options {
    /* Many nodes before one ledger: a claim that got a 503, or was cut off by a crash, may be
     * issued later all the same. Embedded (false): storage-unavailable, overloaded and starting
     * mean "not by this claim", and nothing that was sent to a server happens after its crash. */
    bool shared;
    /* Issues that no claim of the history asked for are no violation: not all clients kept logs. */
    bool strangers;
    /* The record does not tell request keys: whatever fits is believed. */
    bool keys_untold;
};

/* Why a history is refused. history_code_name gives the word that history-checker prints. */
enum history_code {
    HISTORY_BROKEN,          /* the history itself: a return before its invocation, two returns */
    HISTORY_ORPHAN,          /* the record: rows of a coupon that it does not have */
    HISTORY_RANKS_GAP,       /* I4: ranks are not 1 … n */
    HISTORY_USER_TWICE,      /* I2 */
    HISTORY_OVER_QUANTITY,   /* I1: a rank above the quantity in force for it */
    HISTORY_COUNT_WRONG,     /* issued_quantity is not the number of issues */
    HISTORY_OUTSIDE_PERIOD,  /* I5: issued_at not within the period in force for the rank */
    HISTORY_WHILE_PAUSED,    /* issued under terms that pause or archive the coupon */
    HISTORY_CLOCK_BACK,      /* I5: a later rank or revision has an earlier time */
    HISTORY_TIME_IMPOSSIBLE, /* I5: issued_at is not what the clock showed meanwhile */
    HISTORY_REVISIONS_BAD,  /* versions not 1 … n, first_rank falls, the last is not the coupon */
    HISTORY_SUCCESS_LOST,   /* I3: told issued, the record has no issue for this user */
    HISTORY_SUCCESS_OTHER,  /* I3: told issued with another rank or time than the record has */
    HISTORY_SUCCESS_TWICE,  /* I7: two claims of one user were told issued */
    HISTORY_REPEAT_LOST,    /* I7: told already-issued or replayed, the record has none */
    HISTORY_REPEAT_OTHER,   /* I7: told another rank or time than the record has */
    HISTORY_REPEAT_EARLY,   /* told of an issue before anyone could have made it */
    HISTORY_REPLAY_WRONG,   /* I7: replayed with another key than the issue's */
    HISTORY_REPLAY_MISSED,  /* I7: already-issued though the key is the issue's */
    HISTORY_RANK_ORDER,     /* I4: told before the other was asked, but a higher rank */
    HISTORY_NOBODY_ASKED,   /* an issue that no claim of this user can have made */
    HISTORY_FAILED_ISSUED,  /* I8: the only claims that can have made it were told it failed */
    HISTORY_KEY_OTHER,      /* the record's request key is none that its user sent with a claim */
    HISTORY_HOLDER_REFUSED, /* I7: refused though this user held an issue all the time */
    HISTORY_SOLD_OUT_UNTRUE, /* I6 */
    HISTORY_PAUSED_UNTRUE,
    HISTORY_NOT_STARTED_UNTRUE,
    HISTORY_ENDED_UNTRUE,
    HISTORY_NO_COUPON_UNTRUE,
    HISTORY_CHANGE_LOST,   /* told done, the record has no such coupon or version */
    HISTORY_CHANGE_OTHER,  /* told done, the record's revision has other terms */
    HISTORY_CHANGE_NOBODY, /* a revision that no operator asked for */
    HISTORY_CHANGE_ORDER,  /* done before the other was asked, but a later version or rank */
    HISTORY_CONTRADICTION, /* answers that are possible each, but not together */
    HISTORY_CODES          /* how many */
};
const char *history_code_name(enum history_code code);

/* The word for a verdict in a sentence or a trace. Not that of a log's lines (log.h). */
const char *history_verdict_word(enum verdict verdict);

struct history; /* one thread's at a time */

/* STATUS_NO_MEMORY, here and in every call that adds. */
int MUST_CHECK history_new(const struct history_options *options, struct history **ret_history);
void history_free(struct history *history); /* takes NULL */

/* ---- what clients saw; texts are copied ---- */

struct history_claim {
    uint64_t coupon_id; /* > 0 */
    struct slice user_id;
    struct slice request_key; /* size 0: none */
};
/* What names the event in a violation and at its return. */
int MUST_CHECK history_claim_invoked(struct history *history, int64_t at,
                                     const struct history_claim *claim, size_t *ret_claim);
struct history_answer {
    enum verdict verdict;
    uint32_t rank;        /* ISSUED, REPLAYED, ALREADY_ISSUED; 0: the answer did not tell */
    int64_t issued_at_us; /* the same; 0: the answer did not tell */
};
/* A claim whose return is never told may have happened, or not. ADMITTED and OUTCOME_UNKNOWN
 * are such returns. STATUS_INVALID: no such claim. */
int MUST_CHECK history_claim_returned(struct history *history, int64_t at, size_t claim,
                                      const struct history_answer *answer);

/* ---- what operators saw ---- */

struct history_terms {
    int64_t total_quantity; /* COUPON_UNLIMITED */
    int64_t issue_start_us;
    int64_t issue_end_us;
    bool paused;
    bool archived;
};
struct history_change {
    uint64_t coupon_id; /* creates: 0 when the server chooses */
    bool creates;
    unsigned patch_set; /* a change: which of the terms are asked for (enum coupon_patch_bit);
                           other bits may be set too */
    struct history_terms terms;
};
int MUST_CHECK history_change_invoked(struct history *history, int64_t at,
                                      const struct history_change *change, size_t *ret_change);

enum history_outcome {
    HISTORY_DONE,    /* 2xx; a creation that was replayed counts as UNKNOWN */
    HISTORY_REFUSED, /* 4xx, and 503 where that means "nothing was written" */
    HISTORY_UNKNOWN, /* as if it had not returned */
};
/* `coupon_id` and `version` count when DONE; version 0: the answer did not tell. */
int MUST_CHECK history_change_returned(struct history *history, int64_t at, size_t change,
                                       enum history_outcome outcome, uint64_t coupon_id,
                                       uint32_t version);

/* ---- the server ---- */

/* It is dead for sure: what was invoked at `at` or before, and is not answered, happened until
 * now or never. (Not with `shared`.) */
int MUST_CHECK history_crashed(struct history *history, int64_t at);
/* The clock that issues are judged by, at `at`: between the two, microseconds. What it showed
 * before was less, afterwards more. Optional: without readings, refusals for the period are
 * judged by the times of the issues and revisions around them. */
int MUST_CHECK history_clock(struct history *history, int64_t at, int64_t lowest_us,
                             int64_t highest_us);

/* ---- the final record: functions of a struct ledger_visitor, context = the history ---- */

/* In any order. All coupons, archived ones too. */
int MUST_CHECK history_record_coupon(void *history, const struct coupon_record *coupon);
int MUST_CHECK history_record_revision(void *history, const struct coupon_revision *revision);
int MUST_CHECK history_record_import(void *history, const struct coupon_import *import);
int MUST_CHECK history_record_issue(void *history, const struct issue_row *issue);

/* ---- the judgement ---- */

struct history_violation {
    enum history_code code;
    uint64_t coupon_id;
    const char *text; /* a sentence with the events concerned; until `found` returns */
};
struct history_figures {
    size_t events; /* invocations, returns, marks */
    size_t claims;
    size_t issues;     /* of the record */
    size_t violations; /* all of them, also those that `found` was not called for */
    size_t undecided;  /* accepted, though another look could find fault: refusals with several
                          ways left, changes that were never answered and may be one another */
};
/* Calls `found` for the first violations (20 of a code), `ret_figures` may be NULL. Returns 0
 * when it has judged, whatever it found; STATUS_NO_MEMORY. The history may be judged again
 * after more was added. */
int MUST_CHECK history_check(struct history *history,
                             void (*found)(void *context, const struct history_violation *),
                             void *context, struct history_figures *ret_figures);

#endif
