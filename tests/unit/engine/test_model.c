/* Random calls, each answer compared with that of a model that is too simple to be wrong:
 * a table of ranks by coupon and user. */
#include "support.h"

#define COUPONS 5
#define USERS   5000
#define STEPS   120000

struct model_coupon {
    bool there;
    struct engine_terms terms;
    uint32_t issued; /* pending ones included */
    uint32_t committed;
    uint32_t ranks[USERS]; /* 0: none */
    int64_t times[USERS];
    uint32_t holders[USERS + 1]; /* by rank */
};

struct model {
    struct engine *engine;
    struct model_coupon coupons[COUPONS + 1]; /* by id; the first is never there */
    size_t pending;
    uint64_t random;
    int64_t now_us;
    bool crafted;
};

/* Crafted users share tags, four home groups of 64 and one of eight prefixes, and differ in
 * bits the index does not look at: the longest chains that still fit. */
static struct digest model_user(const struct model *model, size_t number) {
    struct digest user = user_numbered(number);
    if (!model->crafted)
        return user;
    return (struct digest){.low = ((uint64_t)number << 16) | (user.low & 0x0103),
                           .high = user.high & UINT64_C(0xe000000000000000)};
}

static size_t below(struct model *model, size_t limit) {
    return (size_t)(random_next(&model->random) % limit);
}

static struct engine_terms random_terms(struct model *model) {
    int64_t start = model->now_us + random_between(&model->random, -2000, 50);
    bool unlimited = below(model, 3) == 0;
    return (struct engine_terms){.start_us = start,
                                 .end_us = start + random_between(&model->random, 0, 4000),
                                 .total_quantity =
                                     unlimited ? ENGINE_UNLIMITED : (uint32_t)below(model, USERS),
                                 .paused = below(model, 12) == 0};
}

static void step_add(struct model *model, uint64_t id) {
    struct model_coupon *coupon = &model->coupons[id];
    struct engine_terms terms = random_terms(model);
    int expected = coupon->there ? STATUS_EXISTS : STATUS_OK;
    assert_int_equal(engine_coupon_add(model->engine, id, &terms), expected);
    if (expected == STATUS_OK) {
        memset(coupon, 0, sizeof *coupon);
        coupon->there = true;
        coupon->terms = terms;
    }
}

static void step_change(struct model *model, uint64_t id) {
    struct model_coupon *coupon = &model->coupons[id];
    if (model->pending > 0)
        return;
    struct engine_terms terms = random_terms(model);
    int expected = !coupon->there                          ? STATUS_NOT_FOUND
                   : terms.total_quantity < coupon->issued ? STATUS_INVALID
                                                           : STATUS_OK;
    assert_int_equal(engine_coupon_change(model->engine, id, &terms), expected);
    if (expected == STATUS_OK)
        coupon->terms = terms;
}

static void step_remove(struct model *model, uint64_t id) {
    if (model->pending > 0)
        return;
    engine_coupon_remove(model->engine, id);
    model->coupons[id].there = false;
}

static void model_issue(struct model_coupon *coupon, size_t user, int64_t at_us) {
    coupon->issued++;
    coupon->ranks[user] = coupon->issued;
    coupon->times[user] = at_us;
    coupon->holders[coupon->issued] = (uint32_t)user;
}

static void step_restore(struct model *model, uint64_t id) {
    struct model_coupon *coupon = &model->coupons[id];
    size_t user = below(model, USERS);
    if (model->pending > 0)
        return;
    uint32_t rank = coupon->issued + (below(model, 8) == 0 ? (uint32_t)below(model, 3) : 1);
    int expected = !coupon->there               ? STATUS_NOT_FOUND
                   : rank != coupon->issued + 1 ? STATUS_INVALID
                   : coupon->ranks[user] > 0    ? STATUS_EXISTS
                                                : STATUS_OK;
    struct digest digest = model_user(model, user);
    assert_int_equal(engine_restore(model->engine, id, rank, digest, model->now_us), expected);
    if (expected == STATUS_OK) {
        model_issue(coupon, user, model->now_us);
        coupon->committed = coupon->issued;
    }
}

static enum engine_verdict model_judge(const struct model_coupon *coupon, size_t user,
                                       int64_t now_us) {
    if (!coupon->there)
        return ENGINE_NO_SUCH_COUPON;
    if (coupon->ranks[user] > 0)
        return ENGINE_ALREADY_ISSUED;
    if (coupon->terms.paused)
        return ENGINE_PAUSED;
    if (now_us < coupon->terms.start_us)
        return ENGINE_NOT_STARTED;
    if (now_us >= coupon->terms.end_us)
        return ENGINE_ENDED;
    return coupon->issued >= coupon->terms.total_quantity ? ENGINE_SOLD_OUT : ENGINE_GRANTED;
}

static void step_claim(struct model *model, uint64_t id) {
    struct model_coupon *coupon = &model->coupons[id];
    size_t user = below(model, USERS);
    enum engine_verdict expected = model_judge(coupon, user, model->now_us);
    struct engine_decision decision =
        decide(model->engine, id, model_user(model, user), model->now_us);
    assert_int_equal(decision.verdict, expected);
    if (expected == ENGINE_GRANTED) {
        model_issue(coupon, user, model->now_us);
        model->pending++;
    }
    bool holds = expected == ENGINE_GRANTED || expected == ENGINE_ALREADY_ISSUED;
    assert_int_equal(decision.rank, holds ? coupon->ranks[user] : 0);
    assert_int_equal(decision.issued_at_us, holds ? coupon->times[user] : 0);
    assert_int_equal(decision.start_us,
                     expected == ENGINE_NOT_STARTED ? coupon->terms.start_us : 0);
}

static void step_settle(struct model *model, bool commit) {
    assert_int_equal(engine_pending(model->engine), model->pending);
    if (commit)
        engine_commit(model->engine);
    else
        engine_abort(model->engine);
    for (uint64_t id = 1; id <= COUPONS; id++) {
        struct model_coupon *coupon = &model->coupons[id];
        for (; !commit && coupon->issued > coupon->committed; coupon->issued--)
            coupon->ranks[coupon->holders[coupon->issued]] = 0;
        coupon->committed = coupon->issued;
    }
    model->pending = 0;
}

static void check_everything(const struct model *model) {
    struct engine_figures figures = engine_figures(model->engine);
    uint64_t issues = 0;
    size_t coupons = 0;
    for (uint64_t id = 1; id <= COUPONS; id++) {
        const struct model_coupon *coupon = &model->coupons[id];
        issues += coupon->there ? coupon->committed : 0;
        coupons += coupon->there;
        assert_int_equal(engine_coupon_known(model->engine, id), coupon->there);
        assert_int_equal(engine_issued(model->engine, id), coupon->there ? coupon->committed : 0);
        for (size_t user = 0; user < USERS; user++)
            assert_int_equal(held(model->engine, id, model_user(model, user)),
                             coupon->there ? coupon->ranks[user] : 0);
    }
    assert_int_equal(figures.issues, issues);
    assert_int_equal(figures.coupons, coupons);
}

/* A burst of claims for one coupon, then commit or abort: batches from one to thousands. */
static void step_burst(struct model *model) {
    static const size_t sizes[] = {1, 16, 256, 4096};
    uint64_t id = 1 + below(model, COUPONS);
    for (size_t i = below(model, sizes[below(model, COUNT_OF(sizes))]) + 1; i > 0; i--)
        step_claim(model, below(model, 16) == 0 ? 1 + below(model, COUPONS) : id);
    if (below(model, 4) > 0)
        step_settle(model, below(model, 3) > 0);
}

static void step(struct model *model) {
    uint64_t id = 1 + below(model, COUPONS);
    size_t drawn = below(model, 1000);
    model->now_us += (int64_t)below(model, 3);
    if (drawn % 50 == 0)
        engine_tend(model->engine, below(model, 2) > 0);
    if (drawn < 5)
        step_remove(model, id);
    else if (drawn < 60)
        step_add(model, id);
    else if (drawn < 100)
        step_change(model, id);
    else if (drawn < 500)
        step_restore(model, id);
    else if (drawn < 510)
        step_burst(model);
    else if (drawn < 980)
        step_claim(model, id);
    else
        step_settle(model, drawn < 992);
}

static void run(bool crafted) {
    struct model *model = calloc(1, sizeof *model);
    assert_non_null(model);
    model->random = random_seed();
    model->crafted = crafted;
    model->now_us = 10000;
    assert_int_equal(engine_new(COUPONS, &model->engine), STATUS_OK);
    for (size_t i = 0; i < STEPS; i++) {
        step(model);
        if (i % 20000 == 0)
            check_everything(model);
    }
    check_everything(model);
    for (uint64_t id = 1; id <= COUPONS; id++)
        engine_abort(model->engine), engine_coupon_remove(model->engine, id);
    tend(model->engine, false);
    assert_int_equal(engine_figures(model->engine).memory_bytes, 0);
    engine_free(model->engine);
    free(model);
}

static void random_calls_get_the_answers_of_the_model(void **state) {
    (void)state;
    run(false);
}

static void so_they_do_when_digests_collide(void **state) {
    (void)state;
    run(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_calls_get_the_answers_of_the_model),
        cmocka_unit_test(so_they_do_when_digests_collide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
