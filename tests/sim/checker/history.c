/* Keeps what the observers saw and what the record has, until it is judged. See history.h. */
#include "internal.h"

#include <stdlib.h>

/* ---- lists and texts ---- */

void *list_add(struct list *list, size_t item_size) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 64;
        void *items = realloc(list->items, capacity * item_size);
        if (!items) {
            return NULL;
        }
        list->items = items;
        list->capacity = capacity;
    }
    void *item = (char *)list->items + list->count++ * item_size;
    memset(item, 0, item_size);
    return item;
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static uint64_t text_hash(struct slice text) {
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < text.size; i++) {
        hash = (hash ^ (unsigned char)text.bytes[i]) * UINT64_C(1099511628211);
    }
    return hash ^ hash >> 32;
}

static struct slice texts_get(const struct texts *texts, uint32_t number) {
    const uint32_t *ends = texts->ends.items;
    uint32_t begin = number == 0 ? 0 : ends[number - 1];
    return (struct slice){texts->bytes.bytes + begin, ends[number] - begin};
}

static void texts_place(struct texts *texts, uint32_t number) {
    size_t at = text_hash(texts_get(texts, number)) & texts->slot_mask;
    while (texts->slots[at] != 0) {
        at = (at + 1) & texts->slot_mask;
    }
    texts->slots[at] = number + 1;
}

static int texts_grow(struct texts *texts) {
    size_t size = texts->slots ? (texts->slot_mask + 1) * 2 : 1024;
    uint32_t *slots = calloc(size, sizeof(slots[0]));
    if (!slots) {
        return STATUS_NO_MEMORY;
    }
    free(texts->slots);
    texts->slots = slots;
    texts->slot_mask = size - 1;
    for (size_t i = 0; i < texts->ends.count; i++) {
        texts_place(texts, (uint32_t)i);
    }
    return STATUS_OK;
}

static int texts_add(struct texts *texts, struct slice text, uint32_t *ret_number) {
    if (!texts->slots || texts->ends.count * 2 > texts->slot_mask) {
        if (texts_grow(texts)) {
            return STATUS_NO_MEMORY;
        }
    }
    size_t at = text_hash(text) & texts->slot_mask;
    for (; texts->slots[at] != 0; at = (at + 1) & texts->slot_mask) {
        if (slice_equal(texts_get(texts, texts->slots[at] - 1), text)) {
            *ret_number = texts->slots[at] - 1;
            return STATUS_OK;
        }
    }
    buffer_slice(&texts->bytes, text);
    uint32_t *end = texts->bytes.failed ? NULL : list_add(&texts->ends, sizeof(*end));
    if (!end) {
        return STATUS_NO_MEMORY;
    }
    *end = (uint32_t)texts->bytes.size;
    *ret_number = (uint32_t)texts->ends.count - 1;
    texts->slots[at] = *ret_number + 1;
    return STATUS_OK;
}

struct slice history_text(const struct history *history, uint32_t text) {
    return texts_get(&history->texts, text);
}

/* ---- the whole ---- */

int history_new(const struct history_options *options, struct history **ret_history) {
    struct history *history = calloc(1, sizeof(*history));
    if (!history) {
        return STATUS_NO_MEMORY;
    }
    history->options = *options;
    uint32_t none;
    if (texts_add(&history->texts, (struct slice){"", 0}, &none)) {
        history_free(history);
        return STATUS_NO_MEMORY;
    }
    *ret_history = history;
    return STATUS_OK;
}

void history_free(struct history *history) {
    if (!history) {
        return;
    }
    struct list *lists[] = {&history->claims,    &history->changes, &history->crashes,
                            &history->clocks,    &history->coupons, &history->revisions,
                            &history->imports,   &history->issues,  &history->broken,
                            &history->texts.ends};
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        free(lists[i]->items);
    }
    buffer_done(&history->texts.bytes);
    free(history->texts.slots);
    free(history);
}

/* A fault of the history itself, told by the judgement. */
static int history_break(struct history *history, const char *why) {
    const char **broken = list_add(&history->broken, sizeof(*broken));
    if (!broken) {
        return STATUS_NO_MEMORY;
    }
    *broken = why;
    return STATUS_OK;
}

/* ---- clients ---- */

int history_claim_invoked(struct history *history, int64_t at, const struct history_claim *claim,
                          size_t *ret_claim) {
    assert(claim->coupon_id > 0);
    uint32_t user;
    uint32_t key;
    if (texts_add(&history->texts, claim->user_id, &user) ||
        texts_add(&history->texts, claim->request_key, &key)) {
        return STATUS_NO_MEMORY;
    }
    struct kept_claim *kept = list_add(&history->claims, sizeof(*kept));
    if (!kept) {
        return STATUS_NO_MEMORY;
    }
    *kept = (struct kept_claim){.coupon_id = claim->coupon_id,
                                .invoked_at = at,
                                .returned_at = AT_NEVER,
                                .user = user,
                                .key = key,
                                .verdict = VERDICT_OUTCOME_UNKNOWN};
    history->events++;
    *ret_claim = history->claims.count - 1;
    return STATUS_OK;
}

int history_claim_returned(struct history *history, int64_t at, size_t claim,
                           const struct history_answer *answer) {
    if (claim >= history->claims.count) {
        return STATUS_INVALID;
    }
    struct kept_claim *kept = history_claim_at(history, claim);
    if (at < kept->invoked_at) {
        return history_break(history, "a claim returned before it was invoked");
    }
    if (kept->returned_at != AT_NEVER) {
        return history_break(history, "a claim returned twice");
    }
    kept->returned_at = at;
    kept->verdict = answer->verdict;
    kept->rank = answer->rank;
    kept->issued_at_us = answer->issued_at_us;
    history->events++;
    return STATUS_OK;
}

/* ---- operators ---- */

int history_change_invoked(struct history *history, int64_t at, const struct history_change *change,
                           size_t *ret_change) {
    struct kept_change *kept = list_add(&history->changes, sizeof(*kept));
    if (!kept) {
        return STATUS_NO_MEMORY;
    }
    *kept = (struct kept_change){.change = *change,
                                 .invoked_at = at,
                                 .returned_at = AT_NEVER,
                                 .outcome = HISTORY_UNKNOWN,
                                 .coupon_id = change->coupon_id};
    history->events++;
    *ret_change = history->changes.count - 1;
    return STATUS_OK;
}

int history_change_returned(struct history *history, int64_t at, size_t change,
                            enum history_outcome outcome, uint64_t coupon_id, uint32_t version) {
    if (change >= history->changes.count) {
        return STATUS_INVALID;
    }
    struct kept_change *kept = history_change_at(history, change);
    if (at < kept->invoked_at) {
        return history_break(history, "a change returned before it was invoked");
    }
    if (kept->returned_at != AT_NEVER) {
        return history_break(history, "a change returned twice");
    }
    kept->returned_at = at;
    kept->outcome = outcome;
    if (outcome == HISTORY_DONE) {
        kept->coupon_id = coupon_id;
        kept->version = kept->change.creates ? 1 : version;
    }
    history->events++;
    return STATUS_OK;
}

/* ---- the server ---- */

int history_crashed(struct history *history, int64_t at) {
    int64_t *kept = list_add(&history->crashes, sizeof(*kept));
    if (!kept) {
        return STATUS_NO_MEMORY;
    }
    *kept = at;
    history->events++;
    return STATUS_OK;
}

int history_clock(struct history *history, int64_t at, int64_t lowest_us, int64_t highest_us) {
    struct kept_clock *kept = list_add(&history->clocks, sizeof(*kept));
    if (!kept) {
        return STATUS_NO_MEMORY;
    }
    *kept = (struct kept_clock){at, lowest_us, highest_us};
    history->events++;
    return STATUS_OK;
}

/* ---- the record ---- */

int history_record_coupon(void *context, const struct coupon_record *coupon) {
    struct history *history = context;
    struct kept_coupon *kept = list_add(&history->coupons, sizeof(*kept));
    if (!kept) {
        return STATUS_NO_MEMORY;
    }
    *kept = (struct kept_coupon){.id = coupon->id,
                                 .issued_quantity = coupon->issued_quantity,
                                 .version = coupon->version,
                                 .terms = {.total_quantity = coupon->total_quantity,
                                           .issue_start_us = coupon->issue_start_us,
                                           .issue_end_us = coupon->issue_end_us,
                                           .paused = coupon->paused,
                                           .archived = coupon->archived_us != 0}};
    return STATUS_OK;
}

int history_record_revision(void *context, const struct coupon_revision *revision) {
    struct history *history = context;
    struct coupon_revision *kept = list_add(&history->revisions, sizeof(*kept));
    if (!kept) {
        return STATUS_NO_MEMORY;
    }
    *kept = *revision;
    return STATUS_OK;
}

int history_record_import(void *context, const struct coupon_import *import) {
    struct history *history = context;
    struct coupon_import *kept = list_add(&history->imports, sizeof(*kept));
    if (!kept) {
        return STATUS_NO_MEMORY;
    }
    *kept = *import;
    return STATUS_OK;
}

int history_record_issue(void *context, const struct issue_row *issue) {
    struct history *history = context;
    uint32_t user;
    uint32_t key;
    if (texts_add(&history->texts, issue->user_id, &user) ||
        texts_add(&history->texts, issue->request_key, &key)) {
        return STATUS_NO_MEMORY;
    }
    struct kept_issue *kept = list_add(&history->issues, sizeof(*kept));
    if (!kept) {
        return STATUS_NO_MEMORY;
    }
    *kept = (struct kept_issue){.coupon_id = issue->reference.coupon_id,
                                .issued_at_us = issue->issued_at_us,
                                .rank = issue->reference.rank,
                                .user = user,
                                .key = key};
    return STATUS_OK;
}
