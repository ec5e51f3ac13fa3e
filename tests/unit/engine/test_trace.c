/* Golden traces: each line is a call and, after the arrow, what must come of it. The player
 * repeats the calls, writes the same lines with what really came, and compares the whole. */
#include "support.h"

#define WORDS_MAX 8

struct player {
    struct engine *engine;
    FILE *trace;
    char line[80];          /* the call, cut into words */
    char *words[WORDS_MAX]; /* "" after the last */
};

static const char *const verdict_names[] = {[ENGINE_NO_SUCH_COUPON] = "no such coupon",
                                            [ENGINE_ALREADY_ISSUED] = "already issued",
                                            [ENGINE_PAUSED] = "paused",
                                            [ENGINE_NOT_STARTED] = "not started",
                                            [ENGINE_ENDED] = "ended",
                                            [ENGINE_SOLD_OUT] = "sold out",
                                            [ENGINE_GRANTED] = "granted"};

static uint32_t number(const struct player *player, size_t word) {
    return (uint32_t)strtoul(player->words[word], NULL, 10);
}

static void tell_status(const struct player *player, int status) {
    fprintf(player->trace, "%s", status == STATUS_OK ? "ok" : status_name(status));
}

/* claim COUPON USER at TIME */
static void play_claim(const struct player *player) {
    struct engine_decision decision =
        decide(player->engine, number(player, 1), user_named(player->words[2]), number(player, 4));
    fprintf(player->trace, "%s", verdict_names[decision.verdict]);
    if (decision.rank > 0)
        fprintf(player->trace, " rank %u at %ld", decision.rank, (long)decision.issued_at_us);
    if (decision.start_us > 0)
        fprintf(player->trace, " before %ld", (long)decision.start_us);
}

/* holding COUPON USER */
static void play_holding(const struct player *player) {
    uint32_t rank = 0;
    int64_t at = 0;
    int status =
        engine_holding(player->engine, number(player, 1), user_named(player->words[2]), &rank, &at);
    if (status < 0)
        tell_status(player, status);
    else
        fprintf(player->trace, "rank %u at %ld", rank, (long)at);
}

/* restore COUPON rank RANK USER at TIME */
static void play_restore(const struct player *player) {
    tell_status(player, engine_restore(player->engine, number(player, 1), number(player, 3),
                                       user_named(player->words[4]), number(player, 6)));
}

/* COUPON START to END of QUANTITY, perhaps paused */
static struct engine_terms terms_of(const struct player *player) {
    bool any = strcmp(player->words[6], "any") == 0;
    return (struct engine_terms){.start_us = number(player, 2),
                                 .end_us = number(player, 4),
                                 .total_quantity = any ? ENGINE_UNLIMITED : number(player, 6),
                                 .paused = strcmp(player->words[7], "paused") == 0};
}

static void play_add(const struct player *player) {
    struct engine_terms terms = terms_of(player);
    tell_status(player, engine_coupon_add(player->engine, number(player, 1), &terms));
}

static void play_change(const struct player *player) {
    struct engine_terms terms = terms_of(player);
    tell_status(player, engine_coupon_change(player->engine, number(player, 1), &terms));
}

static void play_issued(const struct player *player) {
    fprintf(player->trace, "%u, %zu pending", engine_issued(player->engine, number(player, 1)),
            engine_pending(player->engine));
}

static void play_remove(const struct player *player) {
    engine_coupon_remove(player->engine, number(player, 1));
    fprintf(player->trace, "done");
}

static void play_commit(const struct player *player) {
    engine_commit(player->engine);
    fprintf(player->trace, "done");
}

static void play_abort(const struct player *player) {
    engine_abort(player->engine);
    fprintf(player->trace, "done");
}

static const struct {
    const char *word;
    void (*play)(const struct player *player);
} calls[] = {{"claim", play_claim},   {"holding", play_holding}, {"restore", play_restore},
             {"add", play_add},       {"change", play_change},   {"issued", play_issued},
             {"remove", play_remove}, {"commit", play_commit},   {"abort", play_abort}};

static void play_line(struct player *player, const char *line, size_t size) {
    assert_in_range(size, 1, sizeof player->line - 1);
    memcpy(player->line, line, size);
    player->line[size] = '\0';
    char *rest = player->line;
    for (size_t i = 0; i < WORDS_MAX; i++) {
        char *word = strsep(&rest, " ");
        player->words[i] = word ? word : player->line + size;
    }
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        if (strcmp(player->words[0], calls[i].word) == 0) {
            calls[i].play(player);
            return;
        }
    }
    fail_msg("no such call: %s", line);
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
        play_line(&player, line, (size_t)(arrow - line));
        fprintf(player.trace, "\n");
    }
    engine_free(player.engine);
    fclose(player.trace);
    assert_string_equal(played, expected);
    free(played);
}

static void a_crowd_gets_ranks_in_the_order_it_asks(void **state) {
    (void)state;
    check_trace("add 1 10 to 20 of 3 -> ok\n"
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
    check_trace("add 1 0 to 20 of 2 -> ok\n"
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
    check_trace("add 1 0 to 20 of 1 -> ok\n"
                "add 2 5 to 9 of any -> ok\n"
                "add 2 5 to 9 of any -> exists\n"
                "add 3 5 to 9 of any -> full\n"
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
                "add 3 5 to 9 of any -> ok\n"
                "claim 3 bob at 8 -> granted rank 1 at 8\n");
}

static void changed_terms_judge_the_next_claim(void **state) {
    (void)state;
    check_trace("add 1 10 to 20 of 1 -> ok\n"
                "claim 1 ann at 10 -> granted rank 1 at 10\n"
                "commit -> done\n"
                "claim 1 bob at 10 -> sold out\n"
                "change 1 10 to 20 of 2 paused -> ok\n"
                "claim 1 bob at 10 -> paused\n"
                "claim 1 ann at 10 -> already issued rank 1 at 10\n"
                "change 1 10 to 11 of 2 -> ok\n"
                "claim 1 bob at 11 -> ended\n"
                "change 1 10 to 20 of 0 -> invalid\n"
                "claim 1 bob at 11 -> ended\n"
                "change 1 10 to 20 of any -> ok\n"
                "claim 1 bob at 11 -> granted rank 2 at 11\n"
                "commit -> done\n"
                "change 1 10 to 20 of 1 -> invalid\n"
                "change 1 10 to 20 of 2 -> ok\n"
                "claim 1 cat at 11 -> sold out\n"
                "change 7 10 to 20 of 2 -> not-found\n");
}

static void a_record_is_restored_rank_by_rank(void **state) {
    (void)state;
    check_trace("restore 1 rank 1 ann at 3 -> not-found\n"
                "add 1 10 to 20 of 3 -> ok\n"
                "restore 1 rank 0 ann at 3 -> invalid\n"
                "restore 1 rank 2 ann at 3 -> invalid\n"
                "restore 1 rank 4000000001 ann at 3 -> invalid\n"
                "restore 1 rank 1 ann at 3 -> ok\n"
                "restore 1 rank 1 bob at 3 -> invalid\n"
                "restore 1 rank 2 ann at 4 -> exists\n"
                "restore 1 rank 2 bob at 99 -> ok\n"
                "issued 1 -> 2, 0 pending\n"
                "holding 1 bob -> rank 2 at 99\n"
                "abort -> done\n"
                "claim 1 ann at 15 -> already issued rank 1 at 3\n"
                "claim 1 cat at 15 -> granted rank 3 at 15\n"
                "claim 1 dan at 15 -> sold out\n");
}

static void a_record_above_its_quantity_is_restored_and_sold_out(void **state) {
    (void)state;
    check_trace("add 1 10 to 20 of 1 -> ok\n"
                "restore 1 rank 1 ann at 3 -> ok\n"
                "restore 1 rank 2 bob at 3 -> ok\n"
                "claim 1 cat at 15 -> sold out\n"
                "claim 1 bob at 15 -> already issued rank 2 at 3\n"
                "change 1 10 to 20 of 1 -> invalid\n");
}

static void an_empty_coupon_and_an_empty_period_grant_nothing(void **state) {
    (void)state;
    check_trace("add 1 10 to 20 of 0 -> ok\n"
                "claim 1 ann at 10 -> sold out\n"
                "add 2 10 to 10 of 5 -> ok\n"
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
