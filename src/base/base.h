/* base: what every floor needs and C does not give: statuses, slices and growing
 * buffers, a clock that never steps back, times as text, keyed digests, figures, log lines.
 *
 * Not for: anything that knows a coupon, a socket or a database. Imports nothing of ours.
 * Called by every floor above. Unless a comment says otherwise a function may be called
 * from any thread as long as no two threads share one object.
 */
#ifndef COUPON_BASE_H
#define COUPON_BASE_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_CHECK                       __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, first_at) __attribute__((format(printf, format_at, first_at)))
#define COUNT_OF(array)                  (sizeof(array) / sizeof((array)[0]))

/* The largest integer that every JSON reader keeps exactly (RFC 8259, section 6). */
#define JSON_INTEGER_MAX INT64_C(9007199254740991)

/* ---- status: what a fallible call returns; 0 is success ------------------------------ */

enum status {
    STATUS_OK = 0,
    STATUS_NO_MEMORY = -1, /* an allocation failed; nothing was changed */
    STATUS_INVALID = -2,   /* the input cannot be taken; nothing was changed */
    STATUS_NOT_FOUND = -3, /* no such thing */
    STATUS_EXISTS = -4,    /* there is one already */
    STATUS_FULL = -5,      /* a stated limit is reached */
    STATUS_BUSY = -6,      /* another process holds it */
    STATUS_IO = -7,        /* the operating system refused; nothing was made durable */
    STATUS_AMBIGUOUS = -8, /* it is unknown whether the write is durable: stop (I8) */
    STATUS_DAMAGED = -9,   /* the file contradicts itself; it was left as it is */
    STATUS_NEWER = -10,    /* the file was written by a newer version; left as it is */
    STATUS_CONFLICT = -11, /* the state it rested on has changed */
    STATUS_STOPPED = -12,  /* the callee is stopping and takes nothing more */
};

/* A short lower-case name for a log line ("no-memory"). Never NULL. */
const char *status_name(int status);

/* Where a failure puts its one sentence for a person: what happened and what to do. */
struct complaint {
    char text[512];
};

/* Writes the sentence, cut to fit. `complaint` may be NULL. Returns `status`, so that a
 * caller can write `return complain(...)`. */
int complain(struct complaint *complaint, int status, const char *format, ...) PRINTF_LIKE(3, 4);

/* ---- slice: bytes somebody else owns ------------------------------------------------- */

struct slice {
    const char *bytes; /* not terminated; may be NULL when size is 0 */
    size_t size;
};

static inline struct slice slice_of(const char *text) {
    return (struct slice){text, strlen(text)};
}
static inline bool slice_equal(struct slice a, struct slice b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
}
static inline bool slice_is(struct slice a, const char *text) {
    return slice_equal(a, slice_of(text));
}

/* Equal when ASCII letters of either case count as one (field names, RFC 9110 5.1). */
bool slice_is_nocase(struct slice a, const char *text);

/* Whether every byte is a visible ASCII character, 0x21 to 0x7e. */
bool slice_is_visible(struct slice text);

/* Reads a decimal without sign, leading zeros or anything else, at most `max`.
 * STATUS_INVALID otherwise; *ret_value is written on success only. */
int MUST_CHECK slice_to_u64(struct slice text, uint64_t max, uint64_t *ret_value);

/* ---- parts of URLs ---------------------------------------------------------------------- */

/* Without %XX, into `room` of part.size + 1 bytes, terminated whatever it returns.
 * STATUS_INVALID: not %XX, or a zero. */
int MUST_CHECK url_part_decode(struct slice part, char *room);
/* Cuts `rest` at the first of `stops` and gives the part before it; the stop, or 0. */
char url_part_take(struct slice *rest, const char *stops, struct slice *ret_part);

/* ---- buffer: bytes that grow ----------------------------------------------------------
 * An append that cannot get memory sets `failed` and drops what comes after it, so that a
 * page of appends is checked once, at the end. Bytes are not terminated. */

struct buffer {
    char *bytes; /* owned, unless borrowed; NULL while capacity is 0 */
    size_t size;
    size_t capacity;
    bool failed;
    bool borrowed;
};

void buffer_init(struct buffer *buffer);
/* In the caller's room, and never larger: needs no memory. What does not fit has failed. */
void buffer_borrow(struct buffer *buffer, char *room, size_t size);
void buffer_done(struct buffer *buffer);  /* frees the bytes; the buffer is empty again */
void buffer_clear(struct buffer *buffer); /* keeps the memory; forgets `failed` */
/* Room for `extra` more bytes at bytes + size, or STATUS_NO_MEMORY. */
int MUST_CHECK buffer_reserve(struct buffer *buffer, size_t extra);
void buffer_append(struct buffer *buffer, const void *bytes, size_t size);
void buffer_text(struct buffer *buffer, const char *text);
void buffer_slice(struct buffer *buffer, struct slice slice);
void buffer_format(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);
void buffer_u64(struct buffer *buffer, uint64_t value);
/* Removes the first `size` bytes. */
void buffer_drop_front(struct buffer *buffer, size_t size);
/* A JSON string with its quotes; control characters, '"' and '\' escaped (RFC 8259, 7).
 * Other bytes are copied as they are: the text must be UTF-8 already. */
void buffer_json_string(struct buffer *buffer, struct slice text);
static inline struct slice buffer_view(const struct buffer *buffer) {
    return (struct slice){buffer->bytes, buffer->size};
}

/* ---- time: microseconds since 1970-01-01T00:00:00Z, in an int64_t named ..._us --------- */

#define US_PER_SECOND INT64_C(1000000)
/* The first and the last moment that four-digit RFC 3339 years can tell. */
#define TIME_US_MIN    INT64_C(-62135596800000000)
#define TIME_US_MAX    INT64_C(253402300799999999)
#define TIME_TEXT_SIZE 28 /* "2026-01-02T03:04:05.000006Z" and its terminator */

/* RFC 3339 in UTC with six decimals. `time_us` lies within TIME_US_MIN and TIME_US_MAX. */
void time_format(int64_t time_us, char ret_text[static TIME_TEXT_SIZE]);
void buffer_time(struct buffer *buffer, int64_t time_us); /* the same, appended, no quotes */

/* Any RFC 3339 date-time, offsets included; digits past the microsecond are cut.
 * STATUS_INVALID for anything else, impossible dates and leap seconds. */
int MUST_CHECK time_parse(struct slice text, int64_t *ret_time_us);

/* The one clock issues are judged by (I5): now = max(last, source). */
struct clock {
    int64_t (*source)(void *context); /* microseconds of CLOCK_REALTIME, or a test's */
    void *context;
    int64_t last_us;
    int64_t held_back_us; /* how far the source was behind `last` at the newest reading */
};

/* `source` NULL means CLOCK_REALTIME. `last_us` is what the ledger has seen, 0 if nothing. */
void clock_init(struct clock *clock, int64_t (*source)(void *), void *context, int64_t last_us);
int64_t clock_now(struct clock *clock);
int64_t clock_realtime(void *context); /* CLOCK_REALTIME in microseconds */
int64_t clock_monotonic_us(void);      /* for deadlines and durations */

/* ---- digest: a user's name as 128 keyed bits -------------------------------------------
 * libsodium's siphashx24 with a key drawn at start: nobody outside can choose two users
 * that collide, and the chance for n users is n^2 / 2^129. Kept in memory only. */

struct digest {
    uint64_t low;
    uint64_t high;
};
struct digest_key {
    unsigned char bytes[16];
};

void digest_key_random(struct digest_key *ret_key);
struct digest digest_of(const struct digest_key *key, struct slice text);
static inline bool digest_equal(struct digest a, struct digest b) {
    return a.low == b.low && a.high == b.high;
}

/* ---- figures: counted by one thread, read by any ----------------------------------------
 * Relaxed loads and stores, no locked instruction: counting costs what a plain add does,
 * as long as the memory belongs to the counting thread. A reader may see a value a moment
 * old, and the counts of one histogram apart from each other by as much. */

struct counter {
    _Atomic uint64_t value;
};

void counter_add(struct counter *counter, uint64_t count); /* the counter's one thread */
uint64_t counter_read(const struct counter *counter);      /* any thread */

#define HISTOGRAM_BOUNDS_MAX 16

struct histogram_bounds {
    const uint64_t *values; /* rising; a value equal to a bound is counted with it */
    size_t count;
};
extern const struct histogram_bounds histogram_durations; /* in microseconds, 100 us to 10 s */
extern const struct histogram_bounds histogram_sizes;     /* 1 to 2,048, doubling */

struct histogram {
    const struct histogram_bounds *bounds;
    struct counter sum;
    struct counter counts[HISTOGRAM_BOUNDS_MAX + 1]; /* the one after the bounds': above them all */
};

/* One or more histograms added up. Zeroed at first. */
struct histogram_reading {
    const struct histogram_bounds *bounds; /* NULL: nothing was added */
    uint64_t sum;
    uint64_t counts[HISTOGRAM_BOUNDS_MAX + 1];
};

void histogram_init(struct histogram *histogram, const struct histogram_bounds *bounds);
/* `count` observations of `value`. The histogram's one thread. */
void histogram_add(struct histogram *histogram, uint64_t value, uint64_t count);
/* Adds what was counted to *total; bounds must be the same. Any thread. */
void histogram_read(const struct histogram *histogram, struct histogram_reading *total);

/* ---- failpoints: where a test may end the process (failpoint.c) ---------------------------
 * Nothing at all unless built with -Dfailpoints=true, which no release is. */

#ifdef COUPON_FAILPOINTS
void failpoint_reach(const char *name);
#define FAILPOINT(name) failpoint_reach(name)
#else
#define FAILPOINT(name) ((void)0)
#endif

/* ---- log: one logfmt line on stderr per event ------------------------------------------
 * Only cli and api log. Lines are written whole, so threads do not mix. */

enum log_level { LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *key;
    const char *text; /* quoted and escaped where it must be; NULL: `number` is meant */
    int64_t number;
};

#define LOG_TEXT(key, value)   ((struct log_field){(key), (value), 0})
#define LOG_NUMBER(key, value) ((struct log_field){(key), NULL, (int64_t)(value)})

/* log_event(LOG_INFO, "ready", LOG_NUMBER("coupons", 3)): `event` is one word with dashes. */
#define log_event(level, event, ...)                                                               \
    log_fields((level), (event), (const struct log_field[]){__VA_ARGS__},                          \
               sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
void log_fields(enum log_level level, const char *event, const struct log_field *fields,
                size_t count);

#endif
