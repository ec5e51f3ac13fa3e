/* One step of claims: decide all, commit once, answer all. See step.h. Not for: commands
 * (command.c), the thread (local.c, which calls it). */
#include "issuer/step.h"

#include <stdlib.h>

int core_new(struct ledger *ledger, size_t coupons_max, const struct digest_key *digest_key,
             struct core **ret_core) {
    struct core *core = calloc(1, sizeof(*core));
    if (!core) {
        ledger_close(ledger, NULL);
        return STATUS_NO_MEMORY;
    }
    core->ledger = ledger;
    core->coupons_max = coupons_max;
    core->digest_key = *digest_key;
    core->slice = calloc(LEDGER_SLICE_MAX, sizeof(core->slice[0]));
    if (!core->slice || engine_new(coupons_max, &core->engine) ||
        board_new(coupons_max, &core->board)) {
        core_close(core, NULL);
        core_free(core);
        return STATUS_NO_MEMORY;
    }
    *ret_core = core;
    return STATUS_OK;
}

int core_close(struct core *core, struct complaint *complaint) {
    int status = ledger_close(core->ledger, complaint);
    core->ledger = NULL;
    return status;
}

void core_free(struct core *core) {
    if (!core) {
        return;
    }
    assert(!core->ledger);
    engine_free(core->engine);
    board_free(core->board);
    free(core->slice);
    free(core);
}

void core_failed(struct core *core, int status) {
    assert(status != STATUS_OK);
    bool known = status == STATUS_FULL || status == STATUS_IO || status == STATUS_NO_MEMORY;
    if (core->state != ISSUER_BROKEN) {
        core->state = known ? ISSUER_UNWRITABLE : ISSUER_BROKEN;
    }
}

static enum verdict verdict_of(enum engine_verdict decided) {
    switch (decided) {
    case ENGINE_NO_SUCH_COUPON:
        return VERDICT_NO_SUCH_COUPON;
    case ENGINE_ALREADY_ISSUED:
        return VERDICT_ALREADY_ISSUED;
    case ENGINE_PAUSED:
        return VERDICT_PAUSED;
    case ENGINE_NOT_STARTED:
        return VERDICT_NOT_STARTED;
    case ENGINE_ENDED:
        return VERDICT_ENDED;
    case ENGINE_SOLD_OUT:
        return VERDICT_SOLD_OUT;
    case ENGINE_GRANTED:
        return VERDICT_ISSUED;
    }
    assert(false && "a verdict");
    abort();
}

/* Puts the grant among the rows and raises its coupon's count. */
static void gather(struct core *core, const struct claim *claim) {
    assert(core->row_count < CLAIM_BATCH_MAX);
    struct board_entry *entry = board_find(core->board, claim->coupon_id);
    assert(entry);
    if (entry->step != core->step) {
        entry->step = core->step;
        entry->count_slot = core->count_count++;
        core->counts[entry->count_slot].coupon_id = claim->coupon_id;
    }
    core->counts[entry->count_slot].issued_quantity = claim->rank;
    core->rows[core->row_count++] = (struct issue_row){
        .reference = {.coupon_id = claim->coupon_id, .rank = claim->rank},
        .user_id = claim->user_id,
        .request_key = claim->request_key,
        .issued_at_us = claim->issued_at_us,
    };
}

static int decide(struct core *core, int64_t now_us, struct claim *claim) {
    struct engine_decision decision;
    int status = engine_decide(core->engine, claim->coupon_id, claim->user, now_us, &decision);
    if (status) {
        return complain(&core->why, status, "no memory for another issue");
    }
    claim->verdict = verdict_of(decision.verdict);
    claim->rank = decision.rank;
    claim->issued_at_us = decision.issued_at_us;
    claim->starts_us = decision.start_us;
    if (decision.verdict == ENGINE_GRANTED) {
        gather(core, claim);
    }
    return STATUS_OK;
}

/* Misses that overlap cost little: see engine_prefetch. */
static void look_ahead(const struct core *core, const struct claim_batch *batch, size_t i) {
    if (i + ENGINE_PREFETCH_AHEAD < batch->count) {
        const struct claim *claim = &batch->claims[i + ENGINE_PREFETCH_AHEAD];
        engine_prefetch(core->engine, claim->coupon_id, claim->user);
    }
    if (i + ENGINE_PREFETCH_HOLDING_AHEAD < batch->count) {
        const struct claim *claim = &batch->claims[i + ENGINE_PREFETCH_HOLDING_AHEAD];
        engine_prefetch_holding(core->engine, claim->coupon_id, claim->user);
    }
}

static int decide_batch(struct core *core, int64_t now_us, const struct claim_batch *batch) {
    for (size_t i = 0; i < batch->count && i < ENGINE_PREFETCH_AHEAD; i++) {
        engine_prefetch(core->engine, batch->claims[i].coupon_id, batch->claims[i].user);
    }
    for (size_t i = 0; i < batch->count; i++) {
        look_ahead(core, batch, i);
        int status = decide(core, now_us, &batch->claims[i]);
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

static int decide_all(struct core *core, int64_t now_us, const struct job_list *batches) {
    core->step++;
    core->row_count = 0;
    core->count_count = 0;
    for (const struct job *job = batches->first; job; job = job->next) {
        int status = decide_batch(core, now_us, (const struct claim_batch *)job);
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

static void publish_counts(struct core *core) {
    for (size_t i = 0; i < core->count_count; i++) {
        struct board_entry *entry = board_find(core->board, core->counts[i].coupon_id);
        atomic_store(&entry->issued_quantity, core->counts[i].issued_quantity);
    }
}

/* Decides and writes. On success engine, ledger and board agree; on failure the engine has
 * taken the batch back. */
static int decide_and_commit(struct core *core, int64_t now_us, const struct job_list *batches) {
    int status = decide_all(core, now_us, batches);
    FAILPOINT("step-decided");
    if (status == STATUS_OK) {
        status = ledger_append(core->ledger, core->rows, core->row_count, core->counts,
                               core->count_count, &core->why);
    }
    if (status) {
        engine_abort(core->engine);
        core_failed(core, status);
        return status;
    }
    engine_commit(core->engine);
    publish_counts(core);
    FAILPOINT("step-committed");
    return STATUS_OK;
}

/* A user who holds the issue asks again with a key: the key kept with the issue tells
 * whether it is the same claim (I7). Read after the commit, so that a repeat within the
 * batch is found too. */
static void tell_replay(struct core *core, struct claim *claim) {
    struct issue_reference held = {.coupon_id = claim->coupon_id, .rank = claim->rank};
    struct issue_record *issue = core->slice;
    if (ledger_issue_read(core->ledger, held, issue)) {
        claim->verdict = VERDICT_STORAGE_UNAVAILABLE;
    } else if (slice_is(claim->request_key, issue->request_key)) {
        claim->verdict = VERDICT_REPLAYED;
    }
}

static void answer_all(struct core *core, const struct job_list *batches, bool failed,
                       enum verdict failure) {
    for (const struct job *job = batches->first; job; job = job->next) {
        const struct claim_batch *batch = (const struct claim_batch *)job;
        for (size_t i = 0; i < batch->count; i++) {
            struct claim *claim = &batch->claims[i];
            if (failed) {
                claim->verdict = failure;
            } else if (claim->verdict == VERDICT_ALREADY_ISSUED && claim->request_key.size > 0) {
                tell_replay(core, claim);
            }
        }
    }
}

void issuer_step(struct core *core, int64_t now_us, const struct job_list *batches) {
    if (core->state != ISSUER_READY) {
        /* Broken, it cannot say "nothing was changed": who asks may have been told "unknown". */
        answer_all(core, batches, true,
                   core->state == ISSUER_BROKEN ? VERDICT_OUTCOME_UNKNOWN
                                                : VERDICT_STORAGE_UNAVAILABLE);
        return;
    }
    int status = decide_and_commit(core, now_us, batches);
    assert(engine_pending(core->engine) == 0);
    answer_all(core, batches, status != STATUS_OK,
               status == STATUS_AMBIGUOUS ? VERDICT_OUTCOME_UNKNOWN : VERDICT_STORAGE_UNAVAILABLE);
}

void core_probe(struct core *core) {
    if (core->state != ISSUER_UNWRITABLE) {
        return;
    }
    int status = ledger_probe(core->ledger, &core->why);
    if (status) {
        core_failed(core, status);
    } else {
        core->state = ISSUER_READY;
    }
}

void core_tend(struct core *core, bool idle) {
    if (core->state != ISSUER_READY) {
        return;
    }
    int status = ledger_tend(core->ledger, idle, &core->why);
    /* A checkpoint that could not be done is no reason to refuse claims: the commit log
     * still takes them, and the next one tries again. */
    if (status == STATUS_AMBIGUOUS || status == STATUS_DAMAGED) {
        core_failed(core, status);
    }
}
