/* coupon rejects: the claims that were admitted by Redis and then refused by the ledger. Lists
 * them, forgets them, asks them again. Not for: refusals that a client was told at once, of which
 * nothing is kept.
 *
 * A claim that is asked again is issued outside of its partition's queue, where Redis does not
 * learn of it. So its gate is shut before, and opened for a new epoch afterwards: Redis then asks
 * the ledger, who holds what, before it refuses anybody (I7). */
#include "cli/options.h"
#include "cli/queue_link.h"

#include <stdio.h>
#include <stdlib.h>

enum option {
    OPTION_LEDGER,
    OPTION_REDIS,
    OPTION_DROP,
    OPTION_RETRY,
    OPTION_JSON,
    OPTION_WEAK_DURABILITY,
    OPTION_COUNT
};

static const struct option_spec specs[] = {
    [OPTION_LEDGER] = {"ledger", "URL", "the SQL server's database, as for coupon serve", NULL},
    [OPTION_REDIS] = {"redis", "URL",
                      "with --retry: the Redis in front of it, which has to learn what is issued; "
                      "none: there is none any more",
                      NULL},
    [OPTION_DROP] = {"drop", "PLACE|all", "forget it, or all of them", NULL},
    [OPTION_RETRY] = {"retry", "PLACE|all",
                      "ask the claim again, by the coupon's terms and time of now; it is forgotten "
                      "once its user holds an issue, and kept when it is refused again",
                      NULL},
    [OPTION_JSON] = {"json", NULL, "a JSON object a line", NULL},
    [OPTION_WEAK_DURABILITY] = {"allow-weak-durability", NULL,
                                "take a SQL server whose settings may lose what it confirmed",
                                NULL},
    [OPTION_COUNT] = {NULL, NULL, NULL, NULL},
};

/* How often a COMMIT without an answer is asked after. */
#define AMBIGUOUS_TURNS_MAX 5

struct rejects {
    struct ledger *ledger;
    struct partition_link *link; /* NULL: no Redis */
    bool json;
    bool shut; /* the gate of … */
    unsigned partition;
    uint64_t count;
    uint64_t kept;
    struct complaint complaint;
};

/* What is done with each; a negative return ends it. */
typedef int reject_action(struct rejects *rejects, const struct reject_record *reject);

/* ---- places: <partition>/<epoch>/<n>/<index> ---- */

static int number_take(struct slice *text, uint64_t max, uint64_t *ret_number) {
    const char *slash = text->size > 0 ? memchr(text->bytes, '/', text->size) : NULL;
    struct slice digits = {text->bytes, slash ? (size_t)(slash - text->bytes) : text->size};
    size_t used = digits.size + (slash ? 1 : 0);
    *text = (struct slice){text->bytes + used, text->size - used};
    return slice_to_u64(digits, max, ret_number);
}

static int place_read(const char *word, struct reject_place *ret_place) {
    struct slice text = slice_of(word);
    uint64_t partition, epoch, n, index;
    if (number_take(&text, PARTITION_COUNT - 1, &partition) ||
        number_take(&text, INT64_MAX, &epoch) || number_take(&text, INT64_MAX, &n) ||
        number_take(&text, UINT32_MAX, &index) || text.size > 0 || n == 0) {
        return STATUS_INVALID;
    }
    *ret_place = (struct reject_place){(unsigned)partition, epoch, n, (uint32_t)index};
    return STATUS_OK;
}

static const char *place_text(const struct reject_place *place, char room[static 96]) {
    snprintf(room, 96, "%u/%llu/%llu/%u", place->partition, (unsigned long long)place->epoch,
             (unsigned long long)place->n, place->index);
    return room;
}

/* ---- listing ---- */

static void tell_json(const struct reject_record *reject) {
    struct buffer line;
    char place[96];
    buffer_init(&line);
    buffer_format(&line,
                  "{\"place\":\"%s\",\"partition\":%u,\"epoch\":%llu,\"n\":%llu,\"index\":%u",
                  place_text(&reject->place, place), reject->place.partition,
                  (unsigned long long)reject->place.epoch, (unsigned long long)reject->place.n,
                  reject->place.index);
    if (reject->raw_size > 0) {
        buffer_format(&line, ",\"couponId\":null,\"userId\":null,\"rawBytes\":%zu",
                      reject->raw_size);
    } else {
        buffer_format(&line,
                      ",\"couponId\":%llu,\"userId\":", (unsigned long long)reject->coupon_id);
        buffer_json_string(&line, slice_of(reject->user_id));
        buffer_text(&line, ",\"claimId\":");
        buffer_json_string(&line, slice_of(reject->claim_id));
    }
    buffer_text(&line, ",\"reason\":");
    buffer_json_string(&line, slice_of(reject->reason));
    buffer_text(&line, "}\n");
    fwrite(line.bytes, 1, line.failed ? 0 : line.size, stdout);
    buffer_done(&line);
}

/* What a terminal could take as an order is not shown: the table may hold anything. */
static const char *shown(const char *text) {
    return slice_is_visible(slice_of(text)) ? text : "?";
}

static int list_one(struct rejects *rejects, const struct reject_record *reject) {
    char place[96];
    if (rejects->json) {
        tell_json(reject);
    } else if (reject->raw_size > 0) {
        printf("%-24s %16s  %-16s  (%zu bytes that are no claim)\n",
               place_text(&reject->place, place), "-", shown(reject->reason), reject->raw_size);
    } else {
        printf("%-24s %16llu  %-16s  %s\n", place_text(&reject->place, place),
               (unsigned long long)reject->coupon_id, shown(reject->reason),
               shown(reject->user_id));
    }
    rejects->count++;
    return STATUS_OK;
}

/* ---- dropping ---- */

static int drop_quietly(struct rejects *rejects, const struct reject_record *reject) {
    int status = ledger_reject_drop(rejects->ledger, &reject->place, &rejects->complaint);
    /* Not there: another has dropped it meanwhile, or a COMMIT without an answer has. */
    for (int turn = 0; status == STATUS_AMBIGUOUS && turn < AMBIGUOUS_TURNS_MAX; turn++) {
        status = ledger_reject_drop(rejects->ledger, &reject->place, &rejects->complaint);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* What was done with one, and why. */
static void tell_outcome(struct rejects *rejects, const struct reject_record *reject,
                         const char *outcome, uint32_t rank) {
    char place[96];
    place_text(&reject->place, place);
    if (rejects->json && rank) {
        printf("{\"place\":\"%s\",\"result\":\"%s\",\"rank\":%u}\n", place, outcome, rank);
    } else if (rejects->json) {
        printf("{\"place\":\"%s\",\"result\":\"%s\"}\n", place, outcome);
    } else if (rank) {
        printf("%s: %s, rank %u\n", place, outcome, rank);
    } else {
        printf("%s: %s\n", place, outcome);
    }
}

static int drop_one(struct rejects *rejects, const struct reject_record *reject) {
    int status = drop_quietly(rejects, reject);
    if (status == STATUS_OK) {
        tell_outcome(rejects, reject, "dropped", 0);
        rejects->count++;
    }
    return status;
}

/* ---- asking again ---- */

static int open_again(struct rejects *rejects) {
    uint64_t epoch;
    if (!rejects->shut) {
        return STATUS_OK;
    }
    int status =
        partition_reopen(rejects->link, rejects->partition, true, &epoch, &rejects->complaint);
    rejects->shut = status != STATUS_OK;
    return status;
}

/* Once a partition; its queue is settled first, as its claims came before. */
static int shut_first(struct rejects *rejects, unsigned partition) {
    if (!rejects->link || (rejects->shut && rejects->partition == partition)) {
        return STATUS_OK;
    }
    int status = open_again(rejects);
    if (status == STATUS_OK) {
        rejects->shut = true;
        rejects->partition = partition;
        status = partition_drain(rejects->link, partition, &rejects->complaint);
    }
    return status;
}

/* A claim that was issued and not told so is found by its own id. */
static int ask_again(struct rejects *rejects, const struct reject_record *reject,
                     struct settle_claim *ret_claim) {
    struct settle_claim claim = {
        .coupon_id = reject->coupon_id,
        .user_id = slice_of(reject->user_id),
        .claim_id = slice_of(reject->claim_id),
    };
    struct settlement settlement = {.claims = &claim, .count = 1};
    int status = STATUS_AMBIGUOUS;
    for (int turn = 0; status == STATUS_AMBIGUOUS && turn < AMBIGUOUS_TURNS_MAX; turn++) {
        status = ledger_settle(rejects->ledger, &settlement, &rejects->complaint);
    }
    *ret_claim = claim;
    return status;
}

static int retry_one(struct rejects *rejects, const struct reject_record *reject) {
    struct settle_claim claim;
    rejects->count++;
    if (reject->raw_size > 0) {
        tell_outcome(rejects, reject, "kept: it is no claim", 0);
        rejects->kept++;
        return STATUS_OK;
    }
    int status = shut_first(rejects, reject->place.partition);
    if (status == STATUS_OK) {
        status = ask_again(rejects, reject, &claim);
    }
    if (status) {
        return status;
    }
    bool holds = claim.outcome == SETTLE_ISSUED || claim.outcome == SETTLE_ALREADY_ISSUED;
    if (!holds) {
        char outcome[96];
        snprintf(outcome, sizeof(outcome), "kept: %s", settle_outcome_name(claim.outcome));
        tell_outcome(rejects, reject, outcome, 0);
        rejects->kept++;
        return STATUS_OK;
    }
    bool by_it = claim.outcome == SETTLE_ISSUED || claim.same_claim;
    tell_outcome(rejects, reject, by_it ? "issued" : "already-issued", claim.rank);
    return drop_quietly(rejects, reject);
}

/* ---- the whole ---- */

static int for_all(struct rejects *rejects, reject_action *action) {
    struct reject_record *page = calloc(LEDGER_SLICE_MAX, sizeof(*page));
    struct reject_place after = {0};
    size_t count = LEDGER_SLICE_MAX;
    int status = page ? STATUS_OK : STATUS_NO_MEMORY;
    while (status == STATUS_OK && count == LEDGER_SLICE_MAX) {
        status = ledger_rejects_read(rejects->ledger, &after, LEDGER_SLICE_MAX, page, &count);
        for (size_t i = 0; status == STATUS_OK && i < count; i++) {
            after = page[i].place;
            status = action(rejects, &page[i]);
        }
    }
    free(page);
    return status;
}

static int for_place(struct rejects *rejects, const char *word, reject_action *action) {
    struct reject_record reject;
    struct reject_place place;
    int status = place_read(word, &place);
    assert(status == STATUS_OK); /* as it was checked */
    status = ledger_reject_read(rejects->ledger, &place, &reject);
    if (status == STATUS_NOT_FOUND) {
        return complain(&rejects->complaint, status, "there is no reject at %s", word);
    }
    return status ? status : action(rejects, &reject);
}

static int perform(struct rejects *rejects, const char *const *values) {
    const char *which = values[OPTION_RETRY] ? values[OPTION_RETRY] : values[OPTION_DROP];
    reject_action *action = values[OPTION_RETRY] ? retry_one : drop_one;
    if (!which) {
        if (!rejects->json) {
            printf("%-24s %16s  %-16s  %s\n", "place", "coupon", "reason", "user");
        }
        return for_all(rejects, list_one);
    }
    int status =
        strcmp(which, "all") == 0 ? for_all(rejects, action) : for_place(rejects, which, action);
    int opened = open_again(rejects);
    return status ? status : opened;
}

static int open_all(struct rejects *rejects, const char *const *values) {
    bool redis = values[OPTION_RETRY] && strcmp(values[OPTION_REDIS], "none") != 0;
    struct queue_urls urls = {
        .ledger = values[OPTION_LEDGER],
        .redis = redis ? values[OPTION_REDIS] : NULL,
        .reads_only = !values[OPTION_DROP] && !values[OPTION_RETRY],
        .weak_durability = values[OPTION_WEAK_DURABILITY] != NULL,
    };
    return queue_link_open(&urls, &rejects->ledger, &rejects->link, &rejects->complaint);
}

static int run(const char *const *values) {
    struct rejects rejects = {.json = values[OPTION_JSON] != NULL};
    int status = open_all(&rejects, values);
    if (status == STATUS_OK) {
        status = perform(&rejects, values);
        if (status == STATUS_OK && !rejects.json) {
            printf(rejects.kept ? "%llu rejects, %llu kept\n" : "%llu rejects\n",
                   (unsigned long long)rejects.count, (unsigned long long)rejects.kept);
        }
    }
    queue_link_close(rejects.ledger, rejects.link);
    if (status) {
        fprintf(stderr, "coupon rejects: %s\n",
                rejects.complaint.text[0] ? rejects.complaint.text : status_name(status));
    }
    return status || rejects.kept ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static bool complains(const char *why) {
    fprintf(stderr, "coupon rejects: %s; see coupon rejects --help\n", why);
    return false;
}

static bool are_good(const char *const *values) {
    const char *which = values[OPTION_DROP] ? values[OPTION_DROP] : values[OPTION_RETRY];
    struct reject_place place;
    if (!values[OPTION_LEDGER]) {
        return complains("--ledger must be given");
    }
    if (values[OPTION_DROP] && values[OPTION_RETRY]) {
        return complains("--drop or --retry, not both");
    }
    if (which && strcmp(which, "all") != 0 && place_read(which, &place)) {
        return complains("a place is PARTITION/EPOCH/N/INDEX, as the list has it, or all");
    }
    if (values[OPTION_RETRY] && !values[OPTION_REDIS]) {
        return complains("--retry needs --redis, or --redis none where there is none any more");
    }
    return true;
}

int command_rejects(int argc, char **argv) {
    const char *values[OPTION_COUNT];
    bool help = false;
    if (!options_read("rejects", specs, argc, argv, values, &help)) {
        if (help) {
            printf("coupon rejects: claims that Redis admitted and the ledger then refused\n\n"
                   "usage: coupon rejects --ledger URL [--json]\n"
                   "       coupon rejects --ledger URL --drop PLACE|all\n"
                   "       coupon rejects --ledger URL --redis URL --retry PLACE|all\n\n");
            options_print(specs);
            printf(
                "\nWithout --drop and --retry it lists them, and changes nothing. --retry shuts\n"
                "the claims' partitions for a moment, as coupon rebuild does.\n"
                "Exit code 0: done; 1: not done, the reason is on stderr, or --retry kept some\n"
                "that were refused again; 2: wrong options.\n");
        }
        return help ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    }
    return are_good(values) ? run(values) : EXIT_CODE_USAGE;
}
