/* The words of a function call, gathered and sent. See internal.h. */
#include "partition/internal.h"

#include <stdio.h>
#include <stdlib.h>

void words_init(struct words *words) {
    *words = (struct words){.count = 0};
    buffer_init(&words->texts);
}

void words_done(struct words *words) {
    free(words->list);
    buffer_done(&words->texts);
    *words = (struct words){.count = 0};
}

static struct word *word_place(struct words *words) {
    if (words->count == words->capacity) {
        size_t capacity = words->capacity ? 2 * words->capacity : 64;
        struct word *list = realloc(words->list, capacity * sizeof(list[0]));
        if (!list) {
            words->failed = true;
            return NULL;
        }
        words->list = list;
        words->capacity = capacity;
    }
    return &words->list[words->count++];
}

void words_text(struct words *words, struct slice text) {
    struct word *word = word_place(words);
    if (word) {
        *word = (struct word){.bytes = text.size ? text.bytes : "", .size = text.size};
    }
}

/* What stands in `texts` from this offset on. */
static void word_end(struct words *words, size_t offset) {
    struct word *word = word_place(words);
    if (word) {
        *word = (struct word){.offset = offset, .size = words->texts.size - offset};
    }
}

void words_number(struct words *words, int64_t number) {
    size_t offset = words->texts.size;
    buffer_format(&words->texts, "%lld", (long long)number);
    word_end(words, offset);
}

void words_key(struct words *words, const struct partition_key *key) {
    size_t offset = words->texts.size;
    buffer_slice(&words->texts, partition_key_view(key));
    word_end(words, offset);
}

static struct slice word_view(const struct words *words, size_t at) {
    const struct word *word = &words->list[at];
    return (struct slice){word->bytes ? word->bytes : words->texts.bytes + word->offset,
                          word->size};
}

int words_call(struct partition_link *link, const char *function, size_t key_count,
               const struct words *words, partition_take *take, void *context,
               struct complaint *complaint) {
    enum { HEAD = 3 };
    char keys[24];
    bool failed = words->failed || words->texts.failed; /* then there may be none */
    assert(failed || (key_count >= 1 && key_count <= words->count));
    struct slice *all = failed ? NULL : calloc(HEAD + words->count, sizeof(*all));
    if (!all) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for a call of Redis");
    }
    int digits = snprintf(keys, sizeof(keys), "%zu", key_count);
    all[0] = slice_of("FCALL");
    all[1] = slice_of(function);
    all[2] = (struct slice){keys, (size_t)digits};
    for (size_t i = 0; i < words->count; i++) {
        all[HEAD + i] = word_view(words, i);
    }
    int status =
        partition_call(link, all[HEAD], all, HEAD + words->count, take, context, complaint);
    free(all);
    return status;
}
