/* Planted faults: see bugs.h. Those of coupon.lua are changes of its text. */
#include "sim/distributed/bugs.h"

#include <stdio.h>
#include <stdlib.h>

static enum bug planted;

static const struct {
    const char *name;
    const char *from; /* in coupon.lua; NULL: the bug is in the model */
    const char *to;
} bugs[BUG_COUNT] = {
    [BUG_NONE] = {"none", NULL, NULL},
    [BUG_NO_EPOCH_CHECK] = {"no-epoch-check", NULL, NULL},
    [BUG_CURSOR_APART] = {"cursor-apart", NULL, NULL},
    [BUG_REPLY_BEFORE_COMMIT] = {"reply-before-commit", NULL, NULL},
    [BUG_DUPLICATE_IGNORED] = {"duplicate-ignored", NULL, NULL},
    [BUG_QUANTITY_OFF_BY_ONE] = {"quantity-off-by-one", NULL, NULL},
    [BUG_SEATS_KEPT] = {"seats-kept", "coupon[2] - report.seats", "coupon[2] - 0"},
    [BUG_PROMOTION_UNNOTICED] = {"promotion-unnoticed", "gate.replid ~= replid_now()", "false"},
    [BUG_TRIM_EARLY] = {"trim-early", "redis.call(\"HSET\", gate, \"n\", n)",
                        "redis.call(\"HSET\", gate, \"n\", n)"
                        " redis.call(\"XTRIM\", queue, \"MAXLEN\", \"=\", \"3\")"},
    [BUG_SOLD_OUT_EARLY] = {"sold-out-early", "coupon.settled >= coupon.total",
                            "coupon.admitted >= coupon.total"},
    [BUG_DATED_EARLY] = {"dated-early", "local now_text = decimal(now)",
                         "local now_text = decimal(coupon.start_us)"},
    [BUG_EVICTION_UNNOTICED] = {"eviction-unnoticed", "redis.call(\"HLEN\", key) < coupon.admitted",
                                "false"},
    [BUG_REJECTS_LOST] = {"rejects-lost", NULL, NULL},
    [BUG_NO_BARRIER] = {"no-barrier", NULL, NULL},
};

const char *bug_name(enum bug bug) {
    return bugs[bug].name;
}

enum bug bug_find(const char *name) {
    enum bug bug = BUG_NONE;
    while (bug < BUG_COUNT && strcmp(bugs[bug].name, name) != 0) {
        bug++;
    }
    return bug;
}

void bug_plant(enum bug bug) {
    planted = bug;
}

enum bug bug_planted(void) {
    return planted;
}

bool bug_is(enum bug bug) {
    return planted == bug;
}

int bug_library(const char *text, char **ret_text, struct complaint *complaint) {
    const char *from = bugs[planted].from ? bugs[planted].from : "";
    const char *to = bugs[planted].to ? bugs[planted].to : "";
    const char *at = strstr(text, from);
    if (!at || (from[0] && strstr(at + 1, from))) {
        return complain(complaint, STATUS_DAMAGED, "coupon.lua has not once: %s", from);
    }
    size_t size = strlen(text) + strlen(to) + 1;
    char *changed = malloc(size);
    if (!changed) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory");
    }
    snprintf(changed, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    *ret_text = changed;
    return STATUS_OK;
}
