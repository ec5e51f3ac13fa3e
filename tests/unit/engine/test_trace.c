/* Golden traces: each line is a call and, after the arrow, what must come of it. The player
 * repeats the calls, writes the same lines with what really came, and compares the whole. */
#include "support.h"

struct player {
    struct engine *engine;
    FILE *trace;
};

static const char *const verdict_names[] = {[ENGINE_NO_SUCH_COUPON] = "no such coupon",
                                            [ENGINE_ALREADY_ISSUED] = "already issued",
                                            [ENGINE_PAUSED] = "paused",
                                            [ENGINE_NOT_STARTED] = "not started",
                                            [ENGINE_ENDED] = "ended",
                                            [ENGINE_SOLD_OUT] = "sold out",
                                            [ENGINE_GRANTED] = "granted"};

static const char *outcome(int status) {
    return status == STATUS_OK ? "ok" : status_name(status);
}

static void play_claim(struct player *player, uint64_t coupon, const char *user, long now) {
    struct engine_decision decision = decide(player->engine, coupon, user_named(user), now);
    fprintf(player->trace, "%s", verdict_names[decision.verdict]);
    if (decision.rank > 0)
        fprintf(player->trace, " rank %u at %ld", decision.rank, (long)decision.issued_at_us);
    if (decision.start_us > 0)
        fprintf(player->trace, " before %ld", (long)decision.start_us);
}

static void play_holding(struct player *player, uint64_t coupon, const char *user) {
    uint32_t rank = 0;
    int64_t at = 0;
    int status = engine_holding(player->engine, coupon, user_named(user), &rank, &at);
    if (status == STATUS_OK)
        fprintf(player->trace, "rank %u at %ld", rank, (long)at);
    else
        fprintf(player->trace, "%s", outcome(status));
}

/* "add 1 10..20 of 3", "change 1 10..20 of 3 paused", "… of any": false when it is neither. */
static bool play_terms(struct player *player, const char *line) {
    char verb[16], total[16], paused[16] = "";
    unsigned long coupon;
    long start, end;
    if (sscanf(line, "%15s %lu %ld..%ld of %15s %15s", verb, &coupon, &start, &end, total, paused) <
        5)
        return false;
    struct engine_terms terms = {.start_us = start,
                                 .end_us = end,
                                 .paused = strcmp(paused, "paused") == 0,
                                 .total_quantity = strcmp(total, "any") == 0
                                                       ? ENGINE_UNLIMITED
                                                       : (uint32_t)strtoul(total, NULL, 10)};
    int status = verb[0] == 'a' ? engine_coupon_add(player->engine, coupon, &terms)
                                : engine_coupon_change(player->engine, coupon, &terms);
    fprintf(player->trace, "%s", outcome(status));
    return true;
}

static void play_line(struct player *player, const char *line) {
    char user[16];
    unsigned long coupon;
    unsigned rank;
    long now;
    if (play_terms(player, line))
        return;
    if (sscanf(line, "claim %lu %15s at %ld", &coupon, user, &now) == 3) {
        play_claim(player, coupon, user, now);
    } else if (sscanf(line, "restore %lu %u %15s at %ld", &coupon, &rank, user, &now) == 4) {
        int status = engine_restore(player->engine, coupon, rank, user_named(user), now);
        fprintf(player->trace, "%s", outcome(status));
    } else if (sscanf(line, "holding %lu %15s", &coupon, user) == 2) {
        play_holding(player, coupon, user);
    } else if (sscanf(line, "issued %lu", &coupon) == 1) {
        fprintf(player->trace, "%u, %zu pending", engine_issued(player->engine, coupon),
                engine_pending(player->engine));
    } else if (sscanf(line, "remove %lu", &coupon) == 1) {
        engine_coupon_remove(player->engine, coupon);
        fprintf(player->trace, "done");
    } else if (strncmp(line, "commit", 6) == 0) {
        engine_commit(player->engine);
        fprintf(player->trace, "done");
    } else if (strncmp(line, "abort", 5) == 0) {
        engine_abort(player->engine);
        fprintf(player->trace, "done");
    } else {
        fail_msg("no such call: %s", line);
    }
}

/* Two coupons may be in memory. */
static void check_trace(const char *expected) {
    char *played = NULL;
    size_t size = 0;
    struct player player = {.trace = open_memstream(&played, &size)};
    assert_int_equal(engine_new(2, &player.engine), STATUS_OK);
    for (const char *line = expected; *line; line = strchr(line, '\n') + 1) {
        const char *arrow = strstr(line, " -> ");
        assert_non_null(arrow);
        fprintf(player.trace, "%.*s -> ", (int)(arrow - line), line);
        play_line(&player, line);
        fprintf(player.trace, "\n");
    }
    engine_free(player.engine);
    fclose(player.trace);
    assert_string_equal(played, expected);
    free(played);
}

static void a_crowd_gets_ranks_in_the_order_it_asks(void **state) {
    (void)state;
    check_trace("add 1 10..20 of 3 -> ok\n"
                "claim 1 ann at 9 -> not started before 10\n"
                "claim 1 ann at 10 -> granted rank 1 at 10\n"
                "claim 1 bob at 10 -> granted rank 2 at 10\n"
                "claim 1 ann at 11 -> already issued rank 1 at 10\n"
                "claim 1 cat at 19 -> granted rank 3 at 19\n"
                "claim 1 dan at 19 -> sold out\n"
                "issued 1 -> 0, 3 pending\n"
                "commit -> done\n"
                "issued 1 -> 3, 0 pending\n"
                "claim 1 dan at 19 -> sold out\n"
                "claim 1 dan at 20 -> ended\n"
                "claim 1 cat at 99 -> already issued rank 3 at 19\n");
}

static void an_abort_takes_all_back_as_if_never_asked(void **state) {
    (void)state;
    check_trace("add 1 0..20 of 2 -> ok\n"
                "claim 1 ann at 1 -> granted rank 1 at 1\n"
                "commit -> done\n"
                "claim 1 bob at 2 -> granted rank 2 at 2\n"
                "claim 1 cat at 2 -> sold out\n"
                "holding 1 bob -> rank 2 at 2\n"
                "abort -> done\n"
                "issued 1 -> 1, 0 pending\n"
                "holding 1 bob -> not-found\n"
                "holding 1 ann -> rank 1 at 1\n"
                "claim 1 cat at 3 -> granted rank 2 at 3\n"
                "claim 1 bob at 3 -> sold out\n"
                "commit -> done\n"
                "abort -> done\n"
                "issued 1 -> 2, 0 pending\n");
}

static void coupons_do_not_touch_each_other(void **state) {
    (void)state;
    check_trace("add 1 0..20 of 1 -> ok\n"
                "add 2 5..9 of any -> ok\n"
                "add 2 5..9 of any -> exists\n"
                "add 3 5..9 of any -> full\n"
                "claim 1 ann at 5 -> granted rank 1 at 5\n"
                "claim 2 ann at 5 -> granted rank 1 at 5\n"
                "claim 2 bob at 6 -> granted rank 2 at 6\n"
                "claim 1 bob at 6 -> sold out\n"
                "claim 3 bob at 6 -> no such coupon\n"
                "abort -> done\n"
                "claim 2 bob at 7 -> granted rank 1 at 7\n"
                "commit -> done\n"
                "remove 2 -> done\n"
                "remove 2 -> done\n"
                "holding 2 bob -> not-found\n"
                "issued 2 -> 0, 0 pending\n"
                "claim 2 bob at 8 -> no such coupon\n"
                "add 3 5..9 of any -> ok\n"
                "claim 3 bob at 8 -> granted rank 1 at 8\n");
}

static void changed_terms_judge_the_next_claim(void **state) {
    (void)state;
    check_trace("add 1 10..20 of 1 -> ok\n"
                "claim 1 ann at 10 -> granted rank 1 at 10\n"
                "commit -> done\n"
                "claim 1 bob at 10 -> sold out\n"
                "change 1 10..20 of 2 paused -> ok\n"
                "claim 1 bob at 10 -> paused\n"
                "claim 1 ann at 10 -> already issued rank 1 at 10\n"
                "change 1 10..11 of 2 -> ok\n"
                "claim 1 bob at 11 -> ended\n"
                "change 1 10..20 of 0 -> invalid\n"
                "claim 1 bob at 11 -> ended\n"
                "change 1 10..20 of any -> ok\n"
                "claim 1 bob at 11 -> granted rank 2 at 11\n"
                "commit -> done\n"
                "change 1 10..20 of 1 -> invalid\n"
                "change 1 10..20 of 2 -> ok\n"
                "claim 1 cat at 11 -> sold out\n"
                "change 7 10..20 of 2 -> not-found\n");
}

static void a_record_is_restored_rank_by_rank(void **state) {
    (void)state;
    check_trace("restore 1 1 ann at 3 -> not-found\n"
                "add 1 10..20 of 3 -> ok\n"
                "restore 1 0 ann at 3 -> invalid\n"
                "restore 1 2 ann at 3 -> invalid\n"
                "restore 1 4000000001 ann at 3 -> invalid\n"
                "restore 1 1 ann at 3 -> ok\n"
                "restore 1 1 bob at 3 -> invalid\n"
                "restore 1 2 ann at 4 -> exists\n"
                "restore 1 2 bob at 99 -> ok\n"
                "issued 1 -> 2, 0 pending\n"
                "holding 1 bob -> rank 2 at 99\n"
                "abort -> done\n"
                "claim 1 ann at 15 -> already issued rank 1 at 3\n"
                "claim 1 cat at 15 -> granted rank 3 at 15\n"
                "claim 1 dan at 15 -> sold out\n");
}

static void a_record_above_its_quantity_is_restored_and_sold_out(void **state) {
    (void)state;
    check_trace("add 1 10..20 of 1 -> ok\n"
                "restore 1 1 ann at 3 -> ok\n"
                "restore 1 2 bob at 3 -> ok\n"
                "claim 1 cat at 15 -> sold out\n"
                "claim 1 bob at 15 -> already issued rank 2 at 3\n"
                "change 1 10..20 of 1 -> invalid\n");
}

static void an_empty_coupon_and_an_empty_period_grant_nothing(void **state) {
    (void)state;
    check_trace("add 1 10..20 of 0 -> ok\n"
                "claim 1 ann at 10 -> sold out\n"
                "add 2 10..10 of 5 -> ok\n"
                "claim 2 ann at 9 -> not started before 10\n"
                "claim 2 ann at 10 -> ended\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crowd_gets_ranks_in_the_order_it_asks),
        cmocka_unit_test(an_abort_takes_all_back_as_if_never_asked),
        cmocka_unit_test(coupons_do_not_touch_each_other),
        cmocka_unit_test(changed_terms_judge_the_next_claim),
        cmocka_unit_test(a_record_is_restored_rank_by_rank),
        cmocka_unit_test(a_record_above_its_quantity_is_restored_and_sold_out),
        cmocka_unit_test(an_empty_coupon_and_an_empty_period_grant_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
