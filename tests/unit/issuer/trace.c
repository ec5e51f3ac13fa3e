/* See trace.h. */
#include "support.h"

#include "trace.h"

#include <stdio.h>
#include <stdlib.h>

enum { TOKENS_MAX = 32, BATCHES_MAX = 8 };

struct player {
    struct world world;
    FILE *trace;
    int64_t now_us;
};

static const char *outcome(int status) {
    return status == STATUS_OK ? "ok" : status_name(status);
}

/* ---- commands ---- */

static int64_t total_of(const char *text) {
    return strcmp(text, "any") == 0 ? COUPON_UNLIMITED : strtoll(text, NULL, 10);
}

static void tell_command(struct player *player, const struct command *command) {
    fprintf(player->trace, "%s", outcome(command->status));
    if (command->status == STATUS_INVALID) {
        fprintf(player->trace, " %s", command->field ? command->field : "?");
    }
}

static bool play_make(struct player *player, const char *line) {
    char id[24], total[24];
    long start, end;
    if (sscanf(line, "make %23s %ld..%ld of %23s", id, &start, &end, total) != 4) {
        return false;
    }
    struct command command = command_of(JOB_COUPON_CREATE);
    command.coupon = coupon_example(strtoull(id, NULL, 10), total_of(total), start, end);
    command_do(&player->world, player->now_us, &command);
    tell_command(player, &command);
    if (command.status == STATUS_OK) {
        fprintf(player->trace, " %llu", (unsigned long long)command.coupon.id);
    }
    return true;
}

static bool read_patch(const char *what, struct command *command) {
    char total[24];
    long start, end;
    if (sscanf(what, "%ld..%ld", &start, &end) == 2) {
        command->patch_set = PATCH_ISSUE_START | PATCH_ISSUE_END;
        command->coupon.issue_start_us = start;
        command->coupon.issue_end_us = end;
    } else if (sscanf(what, "of %23s", total) == 1) {
        command->patch_set = PATCH_TOTAL_QUANTITY;
        command->coupon.total_quantity = total_of(total);
    } else if (strncmp(what, "archived", 8) == 0) {
        command->patch_set = PATCH_ARCHIVED;
    } else if (strncmp(what, "paused", 6) == 0 || strncmp(what, "open", 4) == 0) {
        command->patch_set = PATCH_PAUSED;
        command->coupon.paused = *what == 'p';
    }
    return command->patch_set != 0;
}

static bool play_change(struct player *player, const char *line) {
    struct command command = command_of(JOB_COUPON_CHANGE);
    unsigned long id;
    int used = 0;
    if (sscanf(line, "change %lu %n", &id, &used) != 1 || !read_patch(line + used, &command)) {
        return false;
    }
    command.coupon.id = id;
    command_do(&player->world, player->now_us, &command);
    tell_command(player, &command);
    if (command.status == STATUS_OK) {
        fprintf(player->trace, " version %u", command.coupon.version);
    }
    return true;
}

/* ---- steps ---- */

/* What one "at" line becomes. */
struct step {
    char users[TOKENS_MAX][32];
    char keys[TOKENS_MAX][32];
    struct claim claims[TOKENS_MAX];
    size_t claim_count;
    struct claim_batch batches[BATCHES_MAX];
    struct job_list jobs;
};

static void add_batch(struct step *step, size_t first) {
    static size_t number;
    struct claim_batch *batch = &step->batches[number++ % BATCHES_MAX];
    *batch = (struct claim_batch){
        .job.kind = JOB_CLAIMS, .claims = &step->claims[first], .count = step->claim_count - first};
    assert_true(batch->count > 0);
    job_list_push(&step->jobs, &batch->job);
}

static void read_step(const struct world *world, char *text, struct step *step) {
    size_t first = 0;
    char *rest = NULL;
    for (char *token = strtok_r(text, " ", &rest); token; token = strtok_r(NULL, " ", &rest)) {
        unsigned long coupon;
        if (strcmp(token, "+") == 0) {
            add_batch(step, first);
            first = step->claim_count;
            continue;
        }
        size_t i = step->claim_count++;
        assert_true(i < TOKENS_MAX);
        if (sscanf(token, "%31[^@]@%lu#%31s", step->users[i], &coupon, step->keys[i]) < 2) {
            fail_msg("no claim: %s", token);
        }
        step->claims[i] = claim_of(world, coupon, step->users[i], step->keys[i]);
    }
    add_batch(step, first);
}

static void tell_claim(struct player *player, const struct claim *claim) {
    bool failed =
        claim->verdict == VERDICT_STORAGE_UNAVAILABLE || claim->verdict == VERDICT_OUTCOME_UNKNOWN;
    fprintf(player->trace, "%s", verdict_name(claim->verdict));
    if (!failed && claim->rank > 0) {
        fprintf(player->trace, " %u at %ld", claim->rank, (long)claim->issued_at_us);
    }
    if (!failed && claim->starts_us > 0) {
        fprintf(player->trace, " before %ld", (long)claim->starts_us);
    }
}

static void tell_append(struct player *player, uint32_t calls_before) {
    const struct test_ledger *ledger = player->world.ledger;
    if (ledger->operations[OPERATION_APPEND].calls == calls_before) {
        fprintf(player->trace, "; no write");
        return;
    }
    fprintf(player->trace, "; %zu %s,", ledger->row_count, ledger->row_count == 1 ? "row" : "rows");
    for (size_t i = 0; i < ledger->count_count; i++) {
        fprintf(player->trace, " %llu=%u", (unsigned long long)ledger->counts[i].coupon_id,
                ledger->counts[i].issued_quantity);
    }
}

static bool play_step(struct player *player, const char *line) {
    struct step step = {0};
    long now;
    int used = 0;
    if (sscanf(line, "at %ld: %n", &now, &used) != 1) {
        return false;
    }
    char *text = strndup(line + used, (size_t)(strstr(line, " -> ") - line) - (size_t)used);
    uint32_t calls_before = player->world.ledger->operations[OPERATION_APPEND].calls;
    player->now_us = now;
    read_step(&player->world, text, &step);
    issuer_step(player->world.core, now, &step.jobs);
    for (size_t i = 0; i < step.claim_count; i++) {
        fprintf(player->trace, i ? ", " : "");
        tell_claim(player, &step.claims[i]);
    }
    tell_append(player, calls_before);
    free(text);
    return true;
}

/* ---- faults and looks ---- */

static bool play_fault(struct player *player, const char *line) {
    static const struct {
        const char *word;
        enum operation operation;
    } operations[] = {{"append", OPERATION_APPEND},
                      {"create", OPERATION_CREATE},
                      {"change", OPERATION_CHANGE},
                      {"probe", OPERATION_PROBE},
                      {"tend", OPERATION_TEND},
                      {"issue-read", OPERATION_ISSUE_READ},
                      {"coupon-read", OPERATION_COUPON_READ}};
    char word[16], status[16], after[8] = "";
    struct test_ledger *ledger = player->world.ledger;
    int fields = sscanf(line, "fail %15s %15s %7s", word, status, after);
    if (fields >= 1 && strcmp(word, "nothing") == 0) {
        ledger_works(ledger);
        return true;
    }
    for (size_t i = 0; fields >= 2 && i < COUNT_OF(operations); i++) {
        for (int s = STATUS_STOPPED; strcmp(word, operations[i].word) == 0 && s < 0; s++) {
            if (strcmp(status, status_name(s)) == 0) {
                ledger_fails(ledger, operations[i].operation, s,
                             strcmp(after, "for") == 0 ? FOR_EVER : 1);
                ledger->operations[operations[i].operation].done_all_the_same =
                    strcmp(after, "after") == 0;
                return true;
            }
        }
    }
    return false;
}

static void tell_record(struct player *player, uint64_t coupon_id) {
    static struct issue_record rows[LEDGER_SLICE_MAX];
    size_t count = 0;
    assert_int_equal(ledger_issues_read(player->world.ledger->real,
                                        (struct issue_reference){.coupon_id = coupon_id},
                                        LEDGER_SLICE_MAX, rows, &count),
                     STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(rows[i].reference.rank, i + 1);
        fprintf(player->trace, "%s%s@%ld%s%s", i ? " " : "", rows[i].user_id,
                (long)rows[i].issued_at_us, rows[i].request_key[0] ? "#" : "", rows[i].request_key);
    }
    fprintf(player->trace, count ? "" : "nobody");
}

static void tell_board(struct player *player, uint64_t coupon_id) {
    struct coupon_record coupon;
    int status = board_read(player->world.core->board, coupon_id, &coupon);
    if (status) {
        fprintf(player->trace, "%s", outcome(status));
    } else {
        fprintf(player->trace, "%u issued, version %u", coupon.issued_quantity, coupon.version);
    }
}

static void play_reload(struct player *player) {
    world_close(&player->world);
    world_open(&player->world);
    int status = core_load(player->world.core, NULL, NULL);
    fprintf(player->trace, "%s", outcome(status));
}

static bool play_look(struct player *player, const char *line) {
    unsigned long coupon;
    if (sscanf(line, "record %lu", &coupon) == 1) {
        tell_record(player, coupon);
    } else if (sscanf(line, "board %lu", &coupon) == 1) {
        tell_board(player, coupon);
    } else if (strncmp(line, "state", 5) == 0) {
        fprintf(player->trace, "%s", state_name(player->world.core->state));
    } else if (strncmp(line, "probe", 5) == 0) {
        core_probe(player->world.core);
        fprintf(player->trace, "%s", state_name(player->world.core->state));
    } else if (strncmp(line, "tend", 4) == 0) {
        core_tend(player->world.core, true);
        fprintf(player->trace, "%s", state_name(player->world.core->state));
    } else if (strncmp(line, "reload", 6) == 0) {
        play_reload(player);
    } else {
        return false;
    }
    return true;
}

void check_trace(const char *expected) {
    char *played = NULL;
    size_t size = 0;
    struct player player = {.trace = open_memstream(&played, &size), .now_us = 1};
    world_init(&player.world, 2);
    for (const char *line = expected; *line; line = strchr(line, '\n') + 1) {
        const char *arrow = strstr(line, " -> ");
        assert_non_null(arrow);
        fprintf(player.trace, "%.*s -> ", (int)(arrow - line), line);
        if (!play_make(&player, line) && !play_change(&player, line) && !play_step(&player, line) &&
            !play_fault(&player, line) && !play_look(&player, line)) {
            fail_msg("no such call: %.*s", (int)(arrow - line), line);
        }
        if (strncmp(line, "fail", 4) == 0) {
            fprintf(player.trace, "so be it");
        }
        fprintf(player.trace, "\n");
    }
    world_done(&player.world);
    fclose(player.trace);
    assert_string_equal(played, expected);
    free(played);
}
