/* Random claims, changes and failures. Every answer is compared with that of a model that is
 * too simple to be wrong, and again and again the core is thrown away and rebuilt from the
 * file, which must then say what the model says. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

enum { COUPONS = 30, USERS = 200, KEYS = 3, ROUNDS = 1500, CLAIMS_MAX = 400 };

struct model_coupon {
    bool made;
    bool archived;
    struct engine_terms terms;
    uint32_t version;
    uint32_t issued;
    uint32_t ranks[USERS]; /* 0: none */
    int64_t times[USERS];
    size_t keys[USERS]; /* into key_names */
};

struct model {
    struct model_coupon coupons[COUPONS + 2]; /* by id; the first and last are never made */
};

struct play {
    struct world world;
    struct model model;
    uint64_t random;
    int64_t now_us;
    size_t failures[3]; /* known, ambiguous, ambiguous though written */
    size_t verdicts[VERDICT_OUTCOME_UNKNOWN + 1];
};

static const char *const key_names[KEYS] = {"", "k1", "k2"};
static char user_names[USERS][16];

static size_t below(struct play *play, size_t limit) {
    return (size_t)random_between(&play->random, 0, (int64_t)limit - 1);
}

/* ---- what must come ---- */

struct answer {
    enum verdict verdict;
    uint32_t rank;
};

static struct answer model_refusal(const struct model_coupon *coupon, int64_t now_us) {
    if (coupon->terms.paused) {
        return (struct answer){VERDICT_PAUSED, 0};
    }
    if (now_us < coupon->terms.start_us) {
        return (struct answer){VERDICT_NOT_STARTED, 0};
    }
    if (now_us >= coupon->terms.end_us) {
        return (struct answer){VERDICT_ENDED, 0};
    }
    return (struct answer){
        coupon->issued >= coupon->terms.total_quantity ? VERDICT_SOLD_OUT : VERDICT_ISSUED, 0};
}

static struct answer model_claim(struct model *model, size_t id, size_t user, size_t key,
                                 int64_t now_us) {
    struct model_coupon *coupon = &model->coupons[id];
    if (!coupon->made || coupon->archived) {
        return (struct answer){VERDICT_NO_SUCH_COUPON, 0};
    }
    if (coupon->ranks[user] > 0) {
        bool same = key > 0 && coupon->keys[user] == key;
        return (struct answer){same ? VERDICT_REPLAYED : VERDICT_ALREADY_ISSUED,
                               coupon->ranks[user]};
    }
    struct answer answer = model_refusal(coupon, now_us);
    if (answer.verdict == VERDICT_ISSUED) {
        answer.rank = coupon->ranks[user] = ++coupon->issued;
        coupon->times[user] = now_us;
        coupon->keys[user] = key;
    }
    return answer;
}

/* ---- failures ---- */

enum fate { FATE_GOOD, FATE_KNOWN, FATE_AMBIGUOUS, FATE_AMBIGUOUS_AFTER };

static enum fate draw_fate(struct play *play, enum operation operation) {
    static const int known[] = {STATUS_FULL, STATUS_IO, STATUS_NO_MEMORY};
    size_t drawn = below(play, 100);
    enum fate fate = drawn < 10   ? FATE_KNOWN
                     : drawn < 12 ? FATE_AMBIGUOUS
                     : drawn < 14 ? FATE_AMBIGUOUS_AFTER
                                  : FATE_GOOD;
    if (fate != FATE_GOOD) {
        ledger_fails(play->world.ledger, operation,
                     fate == FATE_KNOWN ? known[below(play, COUNT_OF(known))] : STATUS_AMBIGUOUS,
                     1);
        play->world.ledger->operations[operation].done_all_the_same = fate == FATE_AMBIGUOUS_AFTER;
    }
    return fate;
}

static void compare_all(struct play *play);

/* After a write that failed: everything is refused until memory and record agree again. */
static void recover(struct play *play, enum fate fate) {
    struct world *world = &play->world;
    play->failures[fate - FATE_KNOWN]++;
    assert_int_equal(world->core->state, fate == FATE_KNOWN ? ISSUER_UNWRITABLE : ISSUER_BROKEN);
    assert_int_equal(step_one(world, play->now_us, 1 + below(play, COUPONS), "user1"),
                     fate == FATE_KNOWN ? VERDICT_STORAGE_UNAVAILABLE : VERDICT_OUTCOME_UNKNOWN);
    if (fate != FATE_KNOWN) {
        world_reload(world);
        compare_all(play);
        return;
    }
    while (below(play, 2) == 0) {
        ledger_fails(world->ledger, OPERATION_PROBE, STATUS_FULL, 1);
        core_probe(world->core);
        assert_int_equal(world->core->state, ISSUER_UNWRITABLE);
    }
    core_probe(world->core);
    assert_int_equal(world->core->state, ISSUER_READY);
}

/* ---- rounds ---- */

struct asked {
    size_t user;
    size_t key;
    struct answer expected;
};

static void ask(struct play *play, struct model *next, struct claim *claim, struct asked *asked) {
    size_t id = below(play, 3) ? 1 + below(play, 8) : below(play, COUPONS + 2);
    asked->user = below(play, USERS);
    asked->key = below(play, 2) ? 0 : below(play, KEYS);
    asked->expected = model_claim(next, id, asked->user, asked->key, play->now_us);
    *claim = claim_of(&play->world, id, user_names[asked->user], key_names[asked->key]);
}

static void check_answers(struct play *play, const struct claim *claims, const struct asked *asked,
                          size_t count, enum fate fate) {
    for (size_t i = 0; i < count; i++) {
        enum verdict expected = fate == FATE_GOOD    ? asked[i].expected.verdict
                                : fate == FATE_KNOWN ? VERDICT_STORAGE_UNAVAILABLE
                                                     : VERDICT_OUTCOME_UNKNOWN;
        if (claims[i].verdict != expected) {
            fail_msg("%s, not %s, for user %zu and coupon %llu", verdict_name(claims[i].verdict),
                     verdict_name(expected), asked[i].user,
                     (unsigned long long)claims[i].coupon_id);
        }
        if (fate == FATE_GOOD) {
            assert_int_equal(claims[i].rank, asked[i].expected.rank);
        }
        play->verdicts[expected]++;
    }
}

static void cut_into_batches(struct play *play, struct claim *claims, size_t count) {
    static struct claim_batch batches[CLAIMS_MAX];
    struct job_list jobs = {0};
    size_t batch = 0;
    for (size_t first = 0; first < count; batch++) {
        size_t size = 1 + below(play, count - first);
        batches[batch] =
            (struct claim_batch){.job.kind = JOB_CLAIMS, .claims = &claims[first], .count = size};
        job_list_push(&jobs, &batches[batch].job);
        first += size;
    }
    issuer_step(play->world.core, play->now_us, &jobs);
}

static void round_of_claims(struct play *play) {
    static struct claim claims[CLAIMS_MAX];
    static struct asked asked[CLAIMS_MAX];
    static struct model next;
    size_t count = 1 + below(play, below(play, 20) ? 20 : CLAIMS_MAX);
    struct test_ledger *ledger = play->world.ledger;
    uint32_t appends = ledger->operations[OPERATION_APPEND].calls;
    next = play->model;
    for (size_t i = 0; i < count; i++) {
        ask(play, &next, &claims[i], &asked[i]);
    }
    enum fate fate = draw_fate(play, OPERATION_APPEND);
    cut_into_batches(play, claims, count);
    if (ledger->operations[OPERATION_APPEND].calls == appends) {
        fate = FATE_GOOD; /* only refusals: there was nothing to write */
        ledger_works(ledger);
    }
    check_answers(play, claims, asked, count, fate);
    if (fate == FATE_GOOD || fate == FATE_AMBIGUOUS_AFTER) {
        play->model = next;
    }
    if (fate != FATE_GOOD) {
        recover(play, fate);
    }
}

static struct engine_terms random_terms(struct play *play) {
    int64_t start = play->now_us + random_between(&play->random, -50, 40);
    return (struct engine_terms){
        .start_us = start > 0 ? start : 0,
        .end_us = play->now_us + random_between(&play->random, 41, 2000),
        .total_quantity = below(play, 4) ? (uint32_t)(1 + below(play, USERS)) : ENGINE_UNLIMITED,
        .paused = below(play, 10) == 0,
    };
}

static void coupon_takes(struct coupon_record *coupon, const struct engine_terms *terms) {
    bool bounded = terms->total_quantity != ENGINE_UNLIMITED;
    coupon->total_quantity = bounded ? terms->total_quantity : COUPON_UNLIMITED;
    coupon->issue_start_us = terms->start_us;
    coupon->issue_end_us = terms->end_us;
    coupon->paused = terms->paused;
}

/* Does the command, which is to end with `expected` unless its write fails. True when the
 * model must follow. */
static bool do_write(struct play *play, struct command *command, enum operation operation,
                     int expected) {
    struct test_ledger *ledger = play->world.ledger;
    uint32_t writes = ledger->operations[operation].calls;
    enum fate fate = draw_fate(play, operation);
    int status = command_do(&play->world, play->now_us, command);
    if (ledger->operations[operation].calls == writes) {
        fate = FATE_GOOD;
        ledger_works(ledger);
    }
    if (fate == FATE_GOOD) {
        assert_int_equal(status, expected);
    } else {
        assert_true(status < 0);
        assert_int_equal(status == STATUS_AMBIGUOUS, fate != FATE_KNOWN);
    }
    bool follows = expected == STATUS_OK && (fate == FATE_GOOD || fate == FATE_AMBIGUOUS_AFTER);
    return follows;
}

static void recover_if_needed(struct play *play) {
    const struct core *core = play->world.core;
    if (core->state != ISSUER_READY) {
        recover(play, core->state == ISSUER_UNWRITABLE ? FATE_KNOWN : FATE_AMBIGUOUS);
    }
}

static void round_of_creation(struct play *play) {
    size_t id = 1 + below(play, below(play, 2) ? 9 : COUPONS);
    struct model_coupon *coupon = &play->model.coupons[id];
    struct engine_terms terms = random_terms(play);
    struct command command = command_of(JOB_COUPON_CREATE);
    command.coupon = coupon_example(id, 1, 0, 1);
    coupon_takes(&command.coupon, &terms);
    int expected = coupon->made ? STATUS_EXISTS : STATUS_OK;
    if (do_write(play, &command, OPERATION_CREATE, expected)) {
        *coupon = (struct model_coupon){.made = true, .terms = terms, .version = 1};
    }
    recover_if_needed(play);
}

static void round_of_change(struct play *play) {
    size_t id = 1 + below(play, COUPONS);
    struct model_coupon *coupon = &play->model.coupons[id];
    struct engine_terms terms = random_terms(play);
    bool archives = below(play, 25) == 0;
    bool condition = below(play, 4) == 0;
    uint32_t version = (uint32_t)below(play, 4) + 1;
    struct command command = command_of(JOB_COUPON_CHANGE);
    coupon_takes(&command.coupon, &terms);
    command.coupon.id = id;
    command.patch_set = PATCH_TOTAL_QUANTITY | PATCH_ISSUE_START | PATCH_ISSUE_END | PATCH_PAUSED |
                        (archives ? PATCH_ARCHIVED : 0);
    command.if_versions = condition ? &version : NULL;
    command.if_version_count = 1;
    int expected = !coupon->made                                               ? STATUS_NOT_FOUND
                   : condition && coupon->version != version                   ? STATUS_CONFLICT
                   : coupon->archived || terms.total_quantity < coupon->issued ? STATUS_INVALID
                                                                               : STATUS_OK;
    if (do_write(play, &command, OPERATION_CHANGE, expected)) {
        coupon->terms = terms;
        coupon->version++;
        coupon->archived = archives;
    }
    recover_if_needed(play);
}

static void round_of_reading(struct play *play) {
    size_t id = below(play, COUPONS + 2);
    size_t user = below(play, USERS);
    const struct model_coupon *coupon = &play->model.coupons[id];
    struct command command = command_of(JOB_HOLDING_READ);
    command.reference.coupon_id = id;
    command.user = world_user(&play->world, user_names[user]);
    command.user_id = slice_of(user_names[user]);
    int expected = coupon->made && coupon->ranks[user] > 0 ? STATUS_OK : STATUS_NOT_FOUND;
    assert_int_equal(command_do(&play->world, play->now_us, &command), expected);
    assert_int_equal(command.known, coupon->made);
    if (expected == STATUS_OK) {
        assert_int_equal(command.issue.reference.rank, coupon->ranks[user]);
        assert_int_equal(command.issue.issued_at_us, coupon->times[user]);
    }
}

/* ---- comparing ---- */

static void compare_issue(struct play *play, size_t id, size_t user) {
    const struct model_coupon *coupon = &play->model.coupons[id];
    struct issue_record issue;
    struct issue_reference reference = {.coupon_id = id, .rank = coupon->ranks[user]};
    if (reference.rank == 0) {
        return;
    }
    assert_int_equal(ledger_issue_read(play->world.ledger->real, reference, &issue), STATUS_OK);
    assert_string_equal(issue.user_id, user_names[user]);
    assert_string_equal(issue.request_key, key_names[coupon->keys[user]]);
    assert_int_equal(issue.issued_at_us, coupon->times[user]);
}

static void compare_coupon(struct play *play, size_t id) {
    const struct model_coupon *coupon = &play->model.coupons[id];
    struct coupon_record recorded;
    int status = ledger_coupon_read(play->world.ledger->real, id, &recorded);
    assert_int_equal(status, coupon->made ? STATUS_OK : STATUS_NOT_FOUND);
    bool in_memory = coupon->made && !coupon->archived;
    assert_int_equal(engine_coupon_known(play->world.core->engine, id), in_memory);
    if (in_memory) {
        assert_coupon_agrees(&play->world, id, coupon->issued);
    }
    if (coupon->made) {
        assert_int_equal(recorded.issued_quantity, coupon->issued);
        assert_int_equal(recorded.version, coupon->version);
        assert_int_equal(recorded.archived_us != 0, coupon->archived);
        struct engine_terms terms = core_terms(&recorded);
        assert_int_equal(terms.total_quantity, coupon->terms.total_quantity);
        assert_int_equal(terms.start_us, coupon->terms.start_us);
        assert_int_equal(terms.end_us, coupon->terms.end_us);
        assert_int_equal(terms.paused, coupon->terms.paused);
    }
    for (size_t user = 0; user < USERS; user++) {
        compare_issue(play, id, user);
    }
}

static void compare_all(struct play *play) {
    for (size_t id = 0; id <= COUPONS + 1; id++) {
        compare_coupon(play, id);
    }
}

/* ---- the play ---- */

static void play_round(struct play *play) {
    play->now_us += random_between(&play->random, 0, 4);
    size_t drawn = below(play, 20);
    if (drawn < 14) {
        round_of_claims(play);
    } else if (drawn < 16) {
        round_of_creation(play);
    } else if (drawn < 18) {
        round_of_change(play);
    } else {
        round_of_reading(play);
    }
}

static void random_rounds_agree_with_a_simple_model_and_the_file(void **state) {
    (void)state;
    struct play *play = calloc(1, sizeof(*play));
    assert_non_null(play);
    play->random = random_seed();
    play->now_us = 1000;
    for (size_t i = 0; i < USERS; i++) {
        snprintf(user_names[i], sizeof(user_names[i]), "user%zu", i);
    }
    world_init(&play->world, COUPONS);
    for (size_t i = 0; i < ROUNDS; i++) {
        play_round(play);
        if (i % 300 == 299) {
            world_reload(&play->world);
            compare_all(play);
        }
    }
    printf("# known failures %zu, ambiguous %zu, ambiguous though written %zu\n", play->failures[0],
           play->failures[1], play->failures[2]);
    for (enum verdict verdict = VERDICT_ISSUED; verdict <= VERDICT_OUTCOME_UNKNOWN; verdict++) {
        printf("# %s %zu\n", verdict_name(verdict), play->verdicts[verdict]);
    }
    world_done(&play->world);
    free(play);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_rounds_agree_with_a_simple_model_and_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
