/* Reads logs and records. See log.h. */
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define WORDS_MAX      12
#define LINE_MAX_BYTES 4096

/* The names of what is under way in this file. */
struct open_call {
    struct slice name; /* owned */
    size_t index;
};

struct reader {
    struct history *history;
    struct slice words[WORDS_MAX];
    size_t word_count;
    struct open_call *calls; /* open addressing by name; name.bytes NULL: empty */
    size_t call_mask;
    size_t call_count;
};

static const char *const verdict_names[] = {
    [VERDICT_ISSUED] = "issued",
    [VERDICT_REPLAYED] = "replayed",
    [VERDICT_ALREADY_ISSUED] = "already-issued",
    [VERDICT_NO_SUCH_COUPON] = "coupon-not-found",
    [VERDICT_PAUSED] = "paused",
    [VERDICT_NOT_STARTED] = "not-started",
    [VERDICT_ENDED] = "ended",
    [VERDICT_SOLD_OUT] = "sold-out",
    [VERDICT_ADMITTED] = "pending",
    [VERDICT_OVERLOADED] = "overloaded",
    [VERDICT_STORAGE_UNAVAILABLE] = "storage-unavailable",
    [VERDICT_OUTCOME_UNKNOWN] = "outcome-unknown",
    [VERDICT_STARTING] = "starting",
};

const char *log_verdict_name(enum verdict verdict) {
    return verdict_names[verdict];
}

/* ---- words ---- */

static bool word_number(const struct reader *reader, size_t i, int64_t *ret_number) {
    struct slice word = reader->words[i];
    bool negative = word.size > 0 && word.bytes[0] == '-';
    uint64_t value;
    word = negative ? (struct slice){word.bytes + 1, word.size - 1} : word;
    if (slice_to_u64(word, INT64_MAX, &value)) {
        return false;
    }
    *ret_number = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

/* Words first … first + count - 1 as numbers. */
static bool numbers(const struct reader *reader, size_t first, size_t count, int64_t *ret_numbers) {
    if (reader->word_count < first + count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!word_number(reader, first + i, &ret_numbers[i])) {
            return false;
        }
    }
    return true;
}

static struct slice word_text(const struct reader *reader, size_t i) {
    return slice_is(reader->words[i], "-") ? (struct slice){NULL, 0} : reader->words[i];
}

/* ---- calls under way ---- */

static struct open_call *call_slot(const struct reader *reader, struct slice name) {
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < name.size; i++) {
        hash = (hash ^ (unsigned char)name.bytes[i]) * UINT64_C(1099511628211);
    }
    size_t at = (hash ^ hash >> 32) & reader->call_mask;
    while (reader->calls[at].name.bytes && !slice_equal(reader->calls[at].name, name)) {
        at = (at + 1) & reader->call_mask;
    }
    return &reader->calls[at];
}

static int calls_grow(struct reader *reader) {
    struct reader bigger = *reader;
    size_t size = reader->calls ? (reader->call_mask + 1) * 2 : 1024;
    bigger.calls = calloc(size, sizeof(bigger.calls[0]));
    if (!bigger.calls) {
        return STATUS_NO_MEMORY;
    }
    bigger.call_mask = size - 1;
    for (size_t i = 0; reader->calls && i <= reader->call_mask; i++) {
        if (reader->calls[i].name.bytes) {
            *call_slot(&bigger, reader->calls[i].name) = reader->calls[i];
        }
    }
    free(reader->calls);
    *reader = bigger;
    return STATUS_OK;
}

static int call_begin(struct reader *reader, size_t index) {
    if ((!reader->calls || reader->call_count * 2 > reader->call_mask) && calls_grow(reader)) {
        return STATUS_NO_MEMORY;
    }
    struct slice name = reader->words[1];
    struct open_call *call = call_slot(reader, name);
    if (call->name.bytes) {
        return STATUS_EXISTS;
    }
    char *copy = malloc(name.size + 1);
    if (!copy) {
        return STATUS_NO_MEMORY;
    }
    memcpy(copy, name.bytes, name.size);
    *call = (struct open_call){{copy, name.size}, index};
    reader->call_count++;
    return STATUS_OK;
}

static int call_find(const struct reader *reader, size_t *ret_index) {
    const struct open_call *call = reader->calls ? call_slot(reader, reader->words[1]) : NULL;
    if (!call || !call->name.bytes) {
        return STATUS_NOT_FOUND;
    }
    *ret_index = call->index;
    return STATUS_OK;
}

/* ---- lines ---- */

static int line_claim(struct reader *reader) {
    int64_t values[2];
    size_t index;
    if (reader->word_count != 6 || !numbers(reader, 2, 2, values) || values[1] <= 0) {
        return STATUS_INVALID;
    }
    struct history_claim claim = {(uint64_t)values[1], word_text(reader, 4), word_text(reader, 5)};
    int status = history_claim_invoked(reader->history, values[0], &claim, &index);
    return status < 0 ? status : call_begin(reader, index);
}

/* What a call under way came to: KIND ID AT WORD NUMBER NUMBER. */
struct outcome {
    int64_t at;
    size_t call;
    size_t word; /* its index among `words` */
    int64_t values[2];
};

static int read_outcome(const struct reader *reader, const char *const *words, size_t word_count,
                        struct outcome *ret_outcome) {
    if (reader->word_count != 6 || !numbers(reader, 2, 1, &ret_outcome->at) ||
        !numbers(reader, 4, 2, ret_outcome->values)) {
        return STATUS_INVALID;
    }
    size_t i = 0;
    while (i < word_count && !slice_is(reader->words[3], words[i])) {
        i++;
    }
    ret_outcome->word = i;
    return i < word_count ? call_find(reader, &ret_outcome->call) : STATUS_INVALID;
}

static int line_told(struct reader *reader) {
    struct outcome told;
    int status = read_outcome(reader, verdict_names, COUNT_OF(verdict_names), &told);
    if (status) {
        return status;
    }
    struct history_answer answer = {(enum verdict)told.word, (uint32_t)told.values[0],
                                    told.values[1]};
    return history_claim_returned(reader->history, told.at, told.call, &answer);
}

static int begin_change(struct reader *reader, int64_t at, const struct history_change *change) {
    size_t index;
    int status = history_change_invoked(reader->history, at, change, &index);
    return status < 0 ? status : call_begin(reader, index);
}

static int line_create(struct reader *reader) {
    int64_t values[5];
    if (reader->word_count != 7 || !numbers(reader, 2, 5, values)) {
        return STATUS_INVALID;
    }
    struct history_change change = {.coupon_id = (uint64_t)values[1],
                                    .creates = true,
                                    .terms = {values[2], values[3], values[4], false, false}};
    return begin_change(reader, values[0], &change);
}

/* One FIELD=VALUE of a patch. */
static bool read_field(struct slice word, struct history_change *change) {
    struct slice rest = word;
    struct slice name;
    struct reader one = {.word_count = 1};
    int64_t value;
    if (url_part_take(&rest, "=", &name) != '=') {
        return false;
    }
    one.words[0] = rest;
    if (!word_number(&one, 0, &value)) {
        return false;
    }
    struct history_terms *terms = &change->terms;
    if (slice_is(name, "total")) {
        change->patch_set |= PATCH_TOTAL_QUANTITY;
        terms->total_quantity = value;
    } else if (slice_is(name, "start")) {
        change->patch_set |= PATCH_ISSUE_START;
        terms->issue_start_us = value;
    } else if (slice_is(name, "end")) {
        change->patch_set |= PATCH_ISSUE_END;
        terms->issue_end_us = value;
    } else if (slice_is(name, "paused")) {
        change->patch_set |= PATCH_PAUSED;
        terms->paused = value != 0;
    } else if (slice_is(name, "archived")) {
        change->patch_set |= PATCH_ARCHIVED;
        terms->archived = value != 0;
    } else if (slice_is(name, "title")) {
        change->patch_set |= PATCH_TITLE;
    } else {
        return false;
    }
    return true;
}

static int line_patch(struct reader *reader) {
    int64_t values[2];
    if (reader->word_count < 5 || !numbers(reader, 2, 2, values)) {
        return STATUS_INVALID;
    }
    struct history_change change = {.coupon_id = (uint64_t)values[1]};
    for (size_t i = 4; i < reader->word_count; i++) {
        if (!read_field(reader->words[i], &change)) {
            return STATUS_INVALID;
        }
    }
    return begin_change(reader, values[0], &change);
}

static int line_changed(struct reader *reader) {
    static const char *const outcomes[] = {
        [HISTORY_DONE] = "done", [HISTORY_REFUSED] = "refused", [HISTORY_UNKNOWN] = "unknown"};
    struct outcome changed;
    int status = read_outcome(reader, outcomes, COUNT_OF(outcomes), &changed);
    return status
               ? status
               : history_change_returned(reader->history, changed.at, changed.call,
                                         (enum history_outcome)changed.word,
                                         (uint64_t)changed.values[0], (uint32_t)changed.values[1]);
}

static int line_crash(struct reader *reader) {
    int64_t at;
    return reader->word_count == 2 && numbers(reader, 1, 1, &at)
               ? history_crashed(reader->history, at)
               : STATUS_INVALID;
}

static int line_clock(struct reader *reader) {
    int64_t values[3];
    return reader->word_count == 4 && numbers(reader, 1, 3, values)
               ? history_clock(reader->history, values[0], values[1], values[2])
               : STATUS_INVALID;
}

static int line_coupon(struct reader *reader) {
    int64_t values[8];
    if (reader->word_count != 9 || !numbers(reader, 1, 8, values)) {
        return STATUS_INVALID;
    }
    struct coupon_record coupon = {.id = (uint64_t)values[0],
                                   .version = (uint32_t)values[1],
                                   .issued_quantity = (uint32_t)values[2],
                                   .total_quantity = values[3],
                                   .issue_start_us = values[4],
                                   .issue_end_us = values[5],
                                   .paused = values[6] != 0,
                                   .archived_us = values[7]};
    return history_record_coupon(reader->history, &coupon);
}

static int line_revision(struct reader *reader) {
    int64_t values[9];
    if (reader->word_count != 10 || !numbers(reader, 1, 9, values)) {
        return STATUS_INVALID;
    }
    struct coupon_revision revision = {.coupon_id = (uint64_t)values[0],
                                       .version = (uint32_t)values[1],
                                       .changed_us = values[2],
                                       .total_quantity = values[3],
                                       .issue_start_us = values[4],
                                       .issue_end_us = values[5],
                                       .paused = values[6] != 0,
                                       .archived = values[7] != 0,
                                       .first_rank = (uint32_t)values[8]};
    return history_record_revision(reader->history, &revision);
}

static int line_import(struct reader *reader) {
    int64_t values[4];
    if (reader->word_count != 5 || !numbers(reader, 1, 4, values)) {
        return STATUS_INVALID;
    }
    struct coupon_import import = {(uint64_t)values[0], (uint32_t)values[1], (uint32_t)values[2],
                                   values[3]};
    return history_record_import(reader->history, &import);
}

static int line_issue(struct reader *reader) {
    int64_t values[2];
    int64_t at_us;
    if (reader->word_count != 6 || !numbers(reader, 1, 2, values) ||
        !numbers(reader, 5, 1, &at_us)) {
        return STATUS_INVALID;
    }
    struct issue_row issue = {.reference = {(uint64_t)values[0], (uint32_t)values[1]},
                              .user_id = word_text(reader, 3),
                              .request_key = word_text(reader, 4),
                              .issued_at_us = at_us};
    return history_record_issue(reader->history, &issue);
}

static const struct {
    const char *word;
    int (*read)(struct reader *reader);
} lines[] = {
    {"claim", line_claim},   {"told", line_told},       {"create", line_create},
    {"patch", line_patch},   {"changed", line_changed}, {"crash", line_crash},
    {"clock", line_clock},   {"coupon", line_coupon},   {"revision", line_revision},
    {"import", line_import}, {"issue", line_issue},
};

static int read_line(struct reader *reader, struct slice line) {
    struct slice rest = line;
    reader->word_count = 0;
    for (char stop = ' '; stop == ' ';) {
        if (reader->word_count == WORDS_MAX) {
            return STATUS_INVALID;
        }
        stop = url_part_take(&rest, " ", &reader->words[reader->word_count++]);
    }
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        if (slice_is(reader->words[0], lines[i].word)) {
            return lines[i].read(reader);
        }
    }
    return STATUS_INVALID;
}

/* ---- files ---- */

/* A line with its end, or as much as there is of it. Not by fgets(3), with which a NUL would hide
 * all that follows it. */
static size_t read_bytes(FILE *file, char line[static LINE_MAX_BYTES]) {
    size_t size = 0;
    int byte = '\0';
    while (size < LINE_MAX_BYTES && byte != '\n' && (byte = getc_unlocked(file)) != EOF) {
        line[size++] = (char)byte;
    }
    return size;
}

static int read_lines(FILE *file, const char *path, struct reader *reader,
                      struct complaint *complaint) {
    char line[LINE_MAX_BYTES];
    for (size_t number = 1;; number++) {
        size_t size = read_bytes(file, line);
        if (size == 0 || line[size - 1] != '\n') {
            if (size == sizeof(line)) {
                return complain(complaint, STATUS_INVALID, "%s:%zu: too long", path, number);
            }
            break; /* the end; what is there was cut off */
        }
        bool is_text = !memchr(line, '\0', size);
        int status = is_text ? read_line(reader, (struct slice){line, size - 1}) : STATUS_INVALID;
        if (status < 0) {
            return complain(complaint, status == STATUS_NO_MEMORY ? status : STATUS_INVALID,
                            "%s:%zu: %s: %.*s", path, number, status_name(status), (int)size - 1,
                            line);
        }
    }
    return ferror(file) ? complain(complaint, STATUS_IO, "%s: cannot be read", path) : STATUS_OK;
}

int log_read(const char *path, struct history *history, struct complaint *complaint) {
    struct reader reader = {.history = history};
    FILE *file = fopen(path, "r");
    if (!file) {
        return complain(complaint, STATUS_IO, "%s: %s", path, strerror(errno));
    }
    int status = read_lines(file, path, &reader, complaint);
    fclose(file);
    for (size_t i = 0; reader.calls && i <= reader.call_mask; i++) {
        free((char *)reader.calls[i].name.bytes);
    }
    free(reader.calls);
    return status;
}
