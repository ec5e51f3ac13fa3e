/* engine: decides claims and keeps what was granted since the last commit, see the header.
 *
 *    decide: GRANTED ──> pending ──engine_commit──> committed
 *                           └──────engine_abort───> as if never asked
 *
 * A pending issue is in the coupon's issues and index like any other, so that the claims
 * after it see it; only `committed` and the list of pending grants tell the difference. */
#include "engine/engine.h"

#include "engine/engine_coupons.h"

#include <stdlib.h>

#define PENDING_CAPACITY_FIRST 2048 /* what one commit usually holds at most */

struct pending_grant {
    struct engine_coupon *coupon;
    uint32_t rank;
};

struct engine {
    struct engine_coupons coupons;
    struct engine_memory memory; /* of the coupons; not the map, not the pending list */
    struct pending_grant *pending;
    size_t pending_count;
    size_t pending_capacity;
    uint64_t issues; /* committed, all coupons */
};

int engine_new(size_t coupons_max, struct engine **ret_engine) {
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return STATUS_NO_MEMORY;
    engine->pending = calloc(PENDING_CAPACITY_FIRST, sizeof *engine->pending);
    if (!engine->pending || engine_coupons_init(&engine->coupons, coupons_max) < 0) {
        engine_free(engine);
        return STATUS_NO_MEMORY;
    }
    engine->pending_capacity = PENDING_CAPACITY_FIRST;
    *ret_engine = engine;
    return STATUS_OK;
}

void engine_free(struct engine *engine) {
    if (!engine)
        return;
    engine_coupons_done(&engine->coupons, &engine->memory);
    while (engine_tend(engine, false)) {
    }
    assert(engine->memory.bytes == 0);
    free(engine->pending);
    free(engine);
}

/* ---- coupons --------------------------------------------------------------------------- */

int engine_coupon_add(struct engine *engine, uint64_t coupon_id, const struct engine_terms *terms) {
    assert(coupon_id > 0);
    assert(terms);
    return engine_coupons_add(&engine->coupons, &engine->memory, coupon_id, terms);
}

int engine_coupon_change(struct engine *engine, uint64_t coupon_id,
                         const struct engine_terms *terms) {
    assert(terms);
    assert(engine->pending_count == 0);
    struct engine_coupon *coupon = engine_coupons_find(&engine->coupons, coupon_id);
    if (!coupon)
        return STATUS_NOT_FOUND;
    if (terms->total_quantity < coupon->issues.count)
        return STATUS_INVALID;
    coupon->terms = *terms;
    return STATUS_OK;
}

void engine_coupon_remove(struct engine *engine, uint64_t coupon_id) {
    assert(engine->pending_count == 0);
    engine->issues -= engine_issued(engine, coupon_id);
    engine_coupons_remove(&engine->coupons, &engine->memory, coupon_id);
}

bool engine_tend(struct engine *engine, bool quiet) {
    if (quiet && !engine->memory.retired)
        engine_arena_make_huge(&engine->memory);
    engine_arena_release(&engine->memory);
    return engine->memory.retired || (quiet && engine->memory.full);
}

bool engine_coupon_known(const struct engine *engine, uint64_t coupon_id) {
    return engine_coupons_find(&engine->coupons, coupon_id) != NULL;
}

uint32_t engine_issued(const struct engine *engine, uint64_t coupon_id) {
    const struct engine_coupon *coupon = engine_coupons_find(&engine->coupons, coupon_id);
    return coupon ? coupon->committed : 0;
}

struct engine_figures engine_figures(const struct engine *engine) {
    return (struct engine_figures){.coupons = engine->coupons.count,
                                   .issues = engine->issues,
                                   .memory_bytes = engine->memory.bytes};
}

/* ---- issues ---------------------------------------------------------------------------- */

static uint32_t coupon_holding(const struct engine_coupon *coupon, struct digest user) {
    return engine_index_find(&coupon->index, &coupon->issues, user);
}

/* Gives the user the next rank (I4). STATUS_NO_MEMORY: nothing changed. */
static int coupon_issue(struct engine *engine, struct engine_coupon *coupon,
                        const struct engine_issue *issue) {
    int status = engine_issues_append(&coupon->issues, &engine->memory, issue);
    if (status < 0)
        return status;
    status = engine_index_insert(&coupon->index, &coupon->issues, &engine->memory);
    if (status < 0)
        engine_issues_pop(&coupon->issues);
    return status;
}

int engine_restore(struct engine *engine, uint64_t coupon_id, uint32_t rank, struct digest user,
                   int64_t issued_at_us) {
    assert(engine->pending_count == 0);
    struct engine_coupon *coupon = engine_coupons_find(&engine->coupons, coupon_id);
    if (!coupon)
        return STATUS_NOT_FOUND;
    assert(coupon->committed == coupon->issues.count);
    if (rank > ENGINE_RANK_MAX || rank != coupon->issues.count + 1)
        return STATUS_INVALID;
    if (coupon_holding(coupon, user) > 0)
        return STATUS_EXISTS;
    int status = coupon_issue(engine, coupon, &(struct engine_issue){user, issued_at_us});
    if (status < 0)
        return status;
    coupon->committed = rank;
    engine->issues++;
    return STATUS_OK;
}

int engine_holding(const struct engine *engine, uint64_t coupon_id, struct digest user,
                   uint32_t *ret_rank, int64_t *ret_issued_at_us) {
    const struct engine_coupon *coupon = engine_coupons_find(&engine->coupons, coupon_id);
    uint32_t rank = coupon ? coupon_holding(coupon, user) : 0;
    if (rank == 0)
        return STATUS_NOT_FOUND;
    *ret_rank = rank;
    *ret_issued_at_us = engine_issue_at(&coupon->issues, rank)->issued_at_us;
    return STATUS_OK;
}

/* ---- deciding -------------------------------------------------------------------------- */

void engine_prefetch(const struct engine *engine, uint64_t coupon_id, struct digest user) {
    const struct engine_coupon *coupon = engine_coupons_find(&engine->coupons, coupon_id);
    if (coupon)
        engine_index_prefetch_group(&coupon->index, user);
}

void engine_prefetch_holding(const struct engine *engine, uint64_t coupon_id, struct digest user) {
    const struct engine_coupon *coupon = engine_coupons_find(&engine->coupons, coupon_id);
    if (coupon)
        engine_index_prefetch_issue(&coupon->index, &coupon->issues, user);
}

/* What the terms say about one more issue, in the order of I7. Pending issues count: should
 * they be aborted, no verdict of their batch leaves (I6, I8). */
static enum engine_verdict terms_judge(const struct engine_terms *terms, uint32_t issued,
                                       int64_t now_us) {
    if (terms->paused)
        return ENGINE_PAUSED;
    if (now_us < terms->start_us)
        return ENGINE_NOT_STARTED;
    if (now_us >= terms->end_us)
        return ENGINE_ENDED;
    if (issued >= terms->total_quantity || issued >= ENGINE_RANK_MAX)
        return ENGINE_SOLD_OUT;
    return ENGINE_GRANTED;
}

static int pending_reserve(struct engine *engine) {
    if (engine->pending_count < engine->pending_capacity)
        return STATUS_OK;
    size_t capacity = engine->pending_capacity * 2;
    void *pending = realloc(engine->pending, capacity * sizeof *engine->pending);
    if (!pending)
        return STATUS_NO_MEMORY;
    engine->pending = pending;
    engine->pending_capacity = capacity;
    return STATUS_OK;
}

static int grant(struct engine *engine, struct engine_coupon *coupon,
                 const struct engine_issue *issue) {
    int status = pending_reserve(engine);
    if (status < 0)
        return status;
    status = coupon_issue(engine, coupon, issue);
    if (status < 0)
        return status;
    assert(coupon->issues.count <= coupon->terms.total_quantity); /* I1 */
    engine->pending[engine->pending_count++] = (struct pending_grant){coupon, coupon->issues.count};
    return STATUS_OK;
}

/* A coupon's verdict on a user who holds nothing of it. */
static int coupon_decide(struct engine *engine, struct engine_coupon *coupon, struct digest user,
                         int64_t now_us, struct engine_decision *ret_decision) {
    struct engine_decision decision = {
        .verdict = terms_judge(&coupon->terms, coupon->issues.count, now_us)};
    if (decision.verdict == ENGINE_GRANTED) {
        int status = grant(engine, coupon, &(struct engine_issue){user, now_us});
        if (status < 0)
            return status;
        decision.rank = coupon->issues.count;
        decision.issued_at_us = now_us;
    }
    if (decision.verdict == ENGINE_NOT_STARTED)
        decision.start_us = coupon->terms.start_us;
    *ret_decision = decision;
    return STATUS_OK;
}

int engine_decide(struct engine *engine, uint64_t coupon_id, struct digest user, int64_t now_us,
                  struct engine_decision *ret_decision) {
    struct engine_coupon *coupon = engine_coupons_find(&engine->coupons, coupon_id);
    if (!coupon) {
        *ret_decision = (struct engine_decision){.verdict = ENGINE_NO_SUCH_COUPON};
        return STATUS_OK;
    }
    uint32_t rank = coupon_holding(coupon, user);
    if (rank == 0)
        return coupon_decide(engine, coupon, user, now_us, ret_decision);
    *ret_decision = (struct engine_decision){
        .verdict = ENGINE_ALREADY_ISSUED,
        .rank = rank,
        .issued_at_us = engine_issue_at(&coupon->issues, rank)->issued_at_us};
    return STATUS_OK;
}

/* ---- what is pending ------------------------------------------------------------------- */

size_t engine_pending(const struct engine *engine) {
    return engine->pending_count;
}

void engine_commit(struct engine *engine) {
    for (size_t i = 0; i < engine->pending_count; i++) {
        struct pending_grant oldest = engine->pending[i];
        assert(oldest.rank == oldest.coupon->committed + 1); /* I4: no gaps */
        oldest.coupon->committed = oldest.rank;
    }
    engine->issues += engine->pending_count;
    engine->pending_count = 0;
}

void engine_abort(struct engine *engine) {
    while (engine->pending_count > 0) { /* the newest first: ranks leave from the end */
        struct pending_grant newest = engine->pending[--engine->pending_count];
        assert(newest.rank == newest.coupon->issues.count);
        engine_index_remove(&newest.coupon->index, &newest.coupon->issues);
        engine_issues_pop(&newest.coupon->issues);
        assert(newest.coupon->issues.count >= newest.coupon->committed);
    }
}
