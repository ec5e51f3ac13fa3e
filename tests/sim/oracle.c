/* What must be true of a simulated run: at every start, memory against record; whatever anyone was
 * told, for ever; and at the end the whole history, by the checker. See run.h. */
#include "sim/run.h"

#include "history.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- facts ---- */

struct known_coupon *coupon_find(uint64_t id) {
    for (size_t i = 0; i < run.coupon_count; i++) {
        if (run.coupons[i].id == id) {
            return &run.coupons[i];
        }
    }
    return NULL;
}

void oracle_fact(uint64_t coupon_id, uint32_t rank, uint32_t name, int64_t issued_at_us) {
    struct known_coupon *coupon = coupon_find(coupon_id);
    if (rank == 0 || issued_at_us == 0) {
        run_violated("user %u was told of an issue of coupon %llu without rank or time", name,
                     (unsigned long long)coupon_id);
        return;
    }
    if (!coupon || rank > FACTS_MAX) {
        return; /* the history has it all the same */
    }
    struct fact *fact = &coupon->facts[rank];
    if (fact->issued_at_us && (fact->name != name || fact->issued_at_us != issued_at_us)) {
        run_violated("coupon %llu rank %u is user %u's of %lld, and now user %u's of %lld",
                     (unsigned long long)coupon_id, rank, fact->name, (long long)fact->issued_at_us,
                     name, (long long)issued_at_us);
    }
    *fact = (struct fact){name, issued_at_us};
    if (rank > coupon->count_floor) {
        coupon->count_floor = rank;
    }
}

/* ---- the record against what was told, and against memory ---- */

struct comparison {
    struct core *core; /* NULL: the record alone */
    uint64_t issues;   /* of coupons in memory */
    size_t coupons;    /* the same */
    uint64_t seen;     /* bits: which of run.coupons were there */
    struct history *history;
    struct run_result *result;
    const struct known_coupon *known; /* the coupon whose rows come */
    struct coupon_record coupon;
    uint32_t rank;
};

static void compare_memory(const struct comparison *comparison) {
    const struct coupon_record *coupon = &comparison->coupon;
    struct coupon_record published;
    unsigned long long id = coupon->id;
    if (engine_coupon_known(comparison->core->engine, coupon->id) != !coupon->archived_us) {
        run_violated("coupon %llu is%s in memory, and%s archived in the record", id,
                     coupon->archived_us ? "" : " not", coupon->archived_us ? "" : " not");
        return;
    }
    if (coupon->archived_us) {
        return;
    }
    if (board_read(comparison->core->board, coupon->id, &published)) {
        run_violated("coupon %llu of the record is not on the board", id);
        return;
    }
    if (engine_issued(comparison->core->engine, coupon->id) != coupon->issued_quantity ||
        published.issued_quantity != coupon->issued_quantity) {
        run_violated("coupon %llu: %u in memory, %u published, %u in the record", id,
                     engine_issued(comparison->core->engine, coupon->id), published.issued_quantity,
                     coupon->issued_quantity);
    }
    if (published.version != coupon->version || published.paused != coupon->paused ||
        published.total_quantity != coupon->total_quantity ||
        published.issue_start_us != coupon->issue_start_us ||
        published.issue_end_us != coupon->issue_end_us) {
        run_violated("coupon %llu: the board is not what the record says", id);
    }
}

static int compare_coupon(void *context, const struct coupon_record *coupon) {
    struct comparison *comparison = context;
    comparison->coupon = *coupon;
    comparison->rank = 0;
    struct known_coupon *known = coupon_find(coupon->id);
    comparison->known = known;
    if (known) {
        comparison->seen |= UINT64_C(1) << (known - run.coupons);
    }
    if (known && coupon->issued_quantity < known->count_floor) {
        run_violated("coupon %llu has %u issues after %u were told", (unsigned long long)coupon->id,
                     coupon->issued_quantity, known->count_floor);
    }
    if (known && coupon->version < known->version_floor) {
        run_violated("coupon %llu is at version %u after %u was told",
                     (unsigned long long)coupon->id, coupon->version, known->version_floor);
    }
    if (comparison->core) {
        compare_memory(comparison);
        comparison->coupons += !coupon->archived_us;
    }
    return comparison->history ? history_record_coupon(comparison->history, coupon) : STATUS_OK;
}

static void compare_holding(const struct comparison *comparison, const struct issue_row *issue) {
    uint32_t rank = 0;
    int64_t issued_at_us = 0;
    struct digest user = digest_of(&run.server.digest_key, issue->user_id);
    int status = engine_holding(comparison->core->engine, issue->reference.coupon_id, user, &rank,
                                &issued_at_us);
    if (status || rank != issue->reference.rank || issued_at_us != issue->issued_at_us) {
        run_violated("coupon %llu rank %u: memory has it as rank %u (%s)",
                     (unsigned long long)issue->reference.coupon_id, issue->reference.rank, rank,
                     status_name(status));
    }
}

static int compare_issue(void *context, const struct issue_row *issue) {
    struct comparison *comparison = context;
    uint32_t rank = issue->reference.rank;
    if (rank != ++comparison->rank) {
        run_violated("coupon %llu has rank %u where %u comes",
                     (unsigned long long)issue->reference.coupon_id, rank, comparison->rank);
        comparison->rank = rank;
    }
    const struct fact *fact =
        comparison->known && rank <= FACTS_MAX ? &comparison->known->facts[rank] : NULL;
    if (fact && fact->issued_at_us &&
        (fact->name != name_read(issue->user_id) || fact->issued_at_us != issue->issued_at_us)) {
        run_violated("coupon %llu rank %u was user %u's, and the record has user %.*s",
                     (unsigned long long)issue->reference.coupon_id, rank, fact->name,
                     (int)issue->user_id.size, issue->user_id.bytes);
    }
    if (comparison->core && !comparison->coupon.archived_us) {
        comparison->issues++;
        compare_holding(comparison, issue);
    }
    if (comparison->result) {
        comparison->result->issues++;
    }
    struct issue_row told = *issue;
    told.request_key.bytes = told.request_key.size ? told.request_key.bytes : "";
    return comparison->history ? history_record_issue(comparison->history, &told) : STATUS_OK;
}

static int compare_revision(void *context, const struct coupon_revision *revision) {
    struct comparison *comparison = context;
    return comparison->history ? history_record_revision(comparison->history, revision) : STATUS_OK;
}

static int compare_import(void *context, const struct coupon_import *import) {
    struct comparison *comparison = context;
    return comparison->history ? history_record_import(comparison->history, import) : STATUS_OK;
}

/* The status of the visit. */
static int visit(struct ledger *ledger, struct comparison *comparison) {
    struct complaint complaint = {""};
    struct ledger_visitor visitor = {
        .context = comparison,
        .archived_too = true,
        .coupon = compare_coupon,
        .revision = compare_revision,
        .import = compare_import,
        .issue = compare_issue,
    };
    int status = ledger_visit(ledger, &visitor, &complaint);
    if (status == STATUS_DAMAGED) {
        run_violated("the record is damaged: %s", complaint.text);
    }
    for (size_t i = 0; status == STATUS_OK && i < run.coupon_count; i++) {
        if (run.coupons[i].id && !(comparison->seen & UINT64_C(1) << i)) {
            run_violated("coupon %llu was made and is gone", (unsigned long long)run.coupons[i].id);
        }
    }
    return status;
}

static_assert(COUPONS_MAX <= 64, "bits of comparison.seen");

/* What is armed waits meanwhile: a look must not change what it looks at. */
void oracle_compare(void) {
    struct armed kept[ARMED_MAX];
    struct core *core = run.server.writer.core;
    struct comparison comparison = {.core = core};
    memcpy(kept, world->armed, sizeof(kept));
    memset(world->armed, 0, sizeof(world->armed));
    int status = visit(core->ledger, &comparison);
    memcpy(world->armed, kept, sizeof(kept));
    struct engine_figures figures = engine_figures(core->engine);
    if (status == STATUS_OK &&
        (figures.issues != comparison.issues || figures.coupons != comparison.coupons)) {
        run_violated("memory has %llu issues of %zu coupons, the record %llu of %zu",
                     (unsigned long long)figures.issues, figures.coupons,
                     (unsigned long long)comparison.issues, comparison.coupons);
    }
}

/* ---- the history ---- */

static void must(int status) {
    if (status) {
        fprintf(stderr, "sim: the history cannot be taken down (%s)\n", status_name(status));
        abort();
    }
}

/* A start goes on from the latest time in the record (I5), which refusals do not move. So where the
 * wall clock was set back between two servers, what the first refused for the period was true by a
 * clock that nothing tells of: it is as good as no answer. "Sold out" is among it: it says that the
 * period had begun. */
static enum verdict judged(const struct attempt *attempt) {
    enum verdict verdict = attempt->claim.verdict;
    bool of_period =
        verdict == VERDICT_ENDED || verdict == VERDICT_NOT_STARTED || verdict == VERDICT_SOLD_OUT;
    return of_period && attempt->invoked_step <= run.jump_step ? VERDICT_OVERLOADED : verdict;
}

static void tell_attempt(struct history *history, const struct attempt *attempt) {
    char name[NAME_SIZE];
    char key[NAME_SIZE] = "";
    size_t number = 0;
    name_write(run.personas[attempt->persona].name, name);
    if (attempt->key) {
        snprintf(key, sizeof(key), "k%u-%u", attempt->persona, attempt->key);
    }
    struct history_claim claim = {attempt->coupon_id, slice_of(name), slice_of(key)};
    must(history_claim_invoked(history, (int64_t)attempt->invoked_step, &claim, &number));
    if (attempt->state == ATTEMPT_ANSWERED) {
        struct history_answer answer = {judged(attempt), attempt->claim.rank,
                                        attempt->claim.issued_at_us};
        bool tells = answer.verdict <= VERDICT_ALREADY_ISSUED;
        answer.rank = tells ? answer.rank : 0;
        answer.issued_at_us = tells ? answer.issued_at_us : 0;
        must(history_claim_returned(history, (int64_t)attempt->returned_step, number, &answer));
    }
}

static void tell_change(struct history *history, const struct change *change) {
    static const enum history_outcome outcomes[] = {
        [CHANGE_UNDER_WAY] = HISTORY_UNKNOWN,
        [CHANGE_DONE] = HISTORY_DONE,
        [CHANGE_REFUSED] = HISTORY_REFUSED,
        [CHANGE_UNKNOWN] = HISTORY_UNKNOWN,
    };
    size_t number = 0;
    struct history_change told = {
        .coupon_id = change->creates ? change->asked_id : change->coupon_id,
        .creates = change->creates,
        .patch_set = change->patch_set,
        .terms = {.total_quantity = change->total_quantity,
                  .issue_start_us = change->issue_start_us,
                  .issue_end_us = change->issue_end_us,
                  .paused = change->paused,
                  .archived = change->archives},
    };
    must(history_change_invoked(history, (int64_t)change->invoked_step, &told, &number));
    if (change->returned_step) {
        must(history_change_returned(history, (int64_t)change->returned_step, number,
                                     outcomes[change->state], change->coupon_id, change->version));
    }
}

static void tell_all(struct history *history) {
    for (uint32_t i = 0; i < run.attempt_count; i++) {
        tell_attempt(history, &run.attempts[i]);
    }
    for (uint32_t i = 0; i < run.change_count; i++) {
        tell_change(history, &run.changes[i]);
    }
    for (size_t i = 0; i < run.end_count; i++) {
        must(history_crashed(history, (int64_t)run.ends[i]));
    }
    for (size_t i = 0; i < run.reading_count; i++) {
        const struct reading *reading = &run.readings[i];
        if (reading->step > run.jump_step) {
            must(history_clock(history, (int64_t)reading->step, reading->lowest_us,
                               reading->highest_us));
        }
    }
}

static void found(void *context, const struct history_violation *violation) {
    (void)context;
    run_violated("history: %s: coupon %llu: %s", history_code_name(violation->code),
                 (unsigned long long)violation->coupon_id, violation->text);
}

static int open_at_last(struct ledger **ret_ledger) {
    struct ledger_sqlite_options options = {
        .directory = WORLD_FOLDER, .vfs = WORLD_VFS, .no_new = run.coupon_count > 0};
    struct complaint complaint = {""};
    int status = ledger_sqlite_open(&options, ret_ledger, &complaint);
    if (status) {
        run_violated("the ledger does not open at last: %s", complaint.text);
        return status;
    }
    status = ledger_check(*ret_ledger, &complaint);
    if (status) {
        run_violated("the file is not whole at last: %s", complaint.text);
    }
    return STATUS_OK;
}

void oracle_judge(struct run_result *result) {
    struct history_options options = {.shared = false};
    struct comparison comparison = {.result = result};
    struct ledger *ledger = NULL;
    if (open_at_last(&ledger)) {
        return;
    }
    must(history_new(&options, &comparison.history));
    tell_all(comparison.history);
    int status = visit(ledger, &comparison);
    if (status) {
        run_violated("the record cannot be read at last (%s)", status_name(status));
    } else {
        must(history_check(comparison.history, found, NULL, NULL));
    }
    history_free(comparison.history);
    (void)ledger_close(ledger, NULL);
}
