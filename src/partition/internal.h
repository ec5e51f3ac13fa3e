/* What the files of this folder share. Not for anyone else: outside there is only partition.h. */
#ifndef COUPON_PARTITION_INTERNAL_H
#define COUPON_PARTITION_INTERNAL_H

#include "partition/partition.h"

/* Where a partition was last seen to stand; asked again after anything unexpected. */
struct cursor_seen {
    struct ledger_cursor cursor;
    bool known;
};

#define ENTRIES_AHEAD_MAX PARTITION_ENTRIES_MAX

struct partition_link {
    uv_loop_t loop;
    struct redis_client *redis;
    struct ledger *ledger;
    struct cursor_seen seen[PARTITION_COUNT];
    size_t entries_ahead; /* how many entries are asked for at once */
    struct partition_entry entries[ENTRIES_AHEAD_MAX];
    size_t offsets[ENTRIES_AHEAD_MAX]; /* of their texts in … */
    struct buffer packed;
    struct settle_claim claims[SETTLE_CLAIMS_MAX];
};

/* Where the partition stands, as last seen or as the ledger says. */
int MUST_CHECK link_cursor(struct partition_link *link, unsigned partition,
                           struct ledger_cursor *ret_cursor, struct complaint *complaint);
/* The same, asked anew. */
int MUST_CHECK link_cursor_anew(struct partition_link *link, unsigned partition,
                                struct ledger_cursor *ret_cursor, struct complaint *complaint);

/* Whether a reply of the library begins with this word. */
bool reply_is(const redisReply *reply, const char *word);
/* A number at a place of it. STATUS_DAMAGED. */
int MUST_CHECK reply_number(const redisReply *reply, size_t at, uint64_t *ret_number);

/* ---- the words of a call (words.c) ---- */

struct word {
    const char *bytes; /* NULL: `texts` has it, from `offset` on */
    size_t offset;
    size_t size;
};

/* Grows. What runs out of memory is told by words_call. */
struct words {
    struct word *list;
    size_t count;
    size_t capacity;
    struct buffer texts;
    bool failed;
};

void words_init(struct words *words);
void words_done(struct words *words);
void words_text(struct words *words, struct slice text); /* which lasts until the call */
void words_number(struct words *words, int64_t number);
void words_key(struct words *words, const struct partition_key *key);
/* FCALL `function` with these words: the keys, of which there are so many, and the arguments. */
int MUST_CHECK words_call(struct partition_link *link, const char *function, size_t key_count,
                          const struct words *words, partition_take *take, void *context,
                          struct complaint *complaint);

/* ---- the words of a message (names.c) ---- */

/* Takes the text up to the next space, which it drops. */
struct slice word_take(struct slice *text);
/* Two digits. STATUS_INVALID. */
int MUST_CHECK partition_word_read(struct slice text, unsigned *ret_partition);

/* ---- telling (tell.c, issued.c) ---- */

/* Says what was issued of the entries behind `before`: all of their claims, in order. It leaves
 * with the next call. */
void tell_issued(struct partition_link *link, const struct ledger_cursor *before,
                 const struct settle_claim *claims, size_t count);

/* Tells what the settlement of the entries first_n … last_n came to: their claims, with outcomes,
 * in any order. STATUS_CONFLICT: Redis has not heard of what was settled before them. */
int MUST_CHECK tell_settled(struct partition_link *link, const struct ledger_cursor *last,
                            uint64_t first_n, const struct settle_claim *claims, size_t count,
                            struct complaint *complaint);

#endif
