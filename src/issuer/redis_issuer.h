/* What the files of the redis issuer share. Not for anyone else: outside there is issuer.h.
 *
 *   redis.c          starting, stopping, the operations; what the threads tell each other
 *   redis_door.c     the door: a thread with a loop, where claims come in and leave
 *   redis_ask.c      its questions to Redis, and what the answers mean
 *   redis_waiting.c  where admitted claims wait until they are settled
 *   redis_answers.c  a thread that asks the ledger what became of claims
 *   redis_keeper.c   a thread that keeps gates open, loads coupons, creates and changes them
 *
 * A claim's way: door -> coupon_claim in Redis -> admitted as entry n of its partition -> a worker
 * settles n and says so -> answers: the cursor, then the rows -> door -> its submitter. A refusal
 * by Redis goes back at once, when Redis knows all holders; else the ledger is asked. What goes
 * wrong on the way is asked again, with the same claim id, until the claim's deadline. */
#ifndef COUPON_ISSUER_REDIS_ISSUER_H
#define COUPON_ISSUER_REDIS_ISSUER_H

#include "issuer/change.h"
#include "issuer/reader.h"
#include "partition/partition.h"

#include <pthread.h>

/* FCALL, function, 4 and the keys; epoch, coupon, count; three a claim. */
#define DOOR_WORDS_MAX  (3 + 4 + 3 + 3 * CLAIM_BATCH_MAX)
#define CLAIM_NAME_SIZE 32 /* hexadecimal characters, as coupon.lua wants them */

/* What came of asking the ledger. */
enum seat_answer {
    SEAT_DECIDED, /* the claim has its verdict */
    SEAT_WAITS,   /* not settled yet, or the ledger is away */
    SEAT_AGAIN,   /* it was not admitted, or not in this epoch: ask Redis again */
};

struct batch;

/* A claim on its way. The door's alone. */
struct seat {
    struct seat *next;
    struct claim *claim;
    struct batch *batch;
    uint64_t epoch; /* where it waits: admitted by itself, or behind the user's other claim … */
    uint64_t n;     /* … ; 0: it does not wait, its refusal is to be looked at */
    uint32_t index;
    bool own;            /* it is its own admission that it waits for */
    bool maybe;          /* a call without an answer may have admitted it */
    size_t order;        /* of its coming, among those that are asked together */
    int64_t deadline_us; /* monotonic */
    int64_t ask_at_us;   /* monotonic: when the ledger is asked without having been told */
    int64_t refused_us;  /* n is 0: the moment, by Redis' clock, at which Redis refused it */
    char name[CLAIM_NAME_SIZE + 1];
};

struct seat_list {
    struct seat *first;
    struct seat *last;
    size_t count;
};

void seat_push(struct seat_list *list, struct seat *seat);
struct seat *seat_pop(struct seat_list *list);                    /* NULL when empty */
void seat_append(struct seat_list *list, struct seat_list *more); /* which is empty then */

/* The claims of one submitted batch. */
struct batch {
    struct claim_batch *asked;
    size_t open; /* without a verdict */
    struct seat seats[];
};

/* ---- what the ledger is asked for claims ---- */

/* Has the texts itself: a seat is answered at its deadline, and gone when the ledger is silent for
 * longer. */
struct question {
    struct question *next;     /* of those on their way */
    struct question *next_out; /* of all that the door has asked */
    struct seat *seat;         /* the door's; NULL: it has its answer */
    bool back;                 /* the door's */
    uint64_t coupon_id;
    uint64_t epoch; /* as in the seat … */
    uint64_t n;
    int64_t refused_us;
    struct slice user_id;
    struct slice request_key;
    enum seat_answer answer;
    enum verdict verdict; /* SEAT_DECIDED: this and what belongs to it */
    uint32_t rank;
    int64_t issued_at_us;
    int64_t starts_us;
    char name[CLAIM_NAME_SIZE];
    char texts[USER_ID_MAX + REQUEST_KEY_MAX];
};

struct question_list {
    struct question *first;
    struct question *last;
};

void question_push(struct question_list *list, struct question *question);
struct question *question_pop(struct question_list *list);
void question_append(struct question_list *list, struct question_list *more); /* one or more */

/* ---- what the keeper is asked to do for claims ---- */

enum errand_kind { ERRAND_OPEN, ERRAND_LOAD };

struct keeper_errand {
    struct keeper_errand *next;
    enum errand_kind kind;
    unsigned partition;
    uint64_t coupon_id; /* of ERRAND_LOAD */
    uint64_t epoch;     /* of ERRAND_LOAD: the gate's; of ERRAND_OPEN: what is open then */
    int status;         /* NOT_FOUND: no such coupon; CONFLICT: the gate is closed */
};

struct errand_list {
    struct keeper_errand *first;
    struct keeper_errand *last;
};

void errand_push(struct errand_list *list, struct keeper_errand *errand);
void errand_push_first(struct errand_list *list, struct keeper_errand *errand);
struct keeper_errand *errand_pop(struct errand_list *list);

/* ---- the parts ---- */

/* Coupons of one partition that may wait to be loaded; claims of others are refused meanwhile. It
 * bounds what claims of coupons that nobody knows leave to do when they have their answers. */
enum { LOADING_MAX = 64 };

/* Claims that wait for a coupon to be loaded. */
struct loading {
    struct loading *next;
    uint64_t coupon_id;
    struct seat_list seats;
};

/* The door's alone, but for what `lock` guards. */
struct door {
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t timer;
    struct redis_client *redis;
    bool refusing; /* Redis refused to write */
    struct complaint why;
    uint64_t name_high;                          /* of claim ids: random for the node … */
    uint64_t name_low;                           /* … and counted within it */
    uint64_t epochs[PARTITION_COUNT];            /* as last heard; 0: ask the keeper */
    unsigned asking[PARTITION_COUNT];            /* calls under way … */
    struct seat_list gathering[PARTITION_COUNT]; /* … and who came meanwhile: one call, then */
    struct seat_list admitted[PARTITION_COUNT];
    struct seat_list full[PARTITION_COUNT]; /* all seats taken, not all settled, and the like */
    struct seat_list opening[PARTITION_COUNT];
    bool opening_asked[PARTITION_COUNT];
    struct loading *loading[PARTITION_COUNT]; /* claims of coupons that Redis does not know yet */
    unsigned loading_count[PARTITION_COUNT];  /* at most LOADING_MAX */
    struct slice *words;                      /* of the call that is made */
    struct partition_issued issued[PARTITION_ENTRIES_MAX]; /* of the message that is heard */
    struct seat_list retry;                                /* Redis gave no answer: after a pause */
    int64_t retry_at_us;
    size_t open_batches;
    struct question *questions;   /* all that are out, and some that are back … */
    atomic_size_t question_count; /* … at most options.queue_max */
    pthread_mutex_t lock;
    struct job_list submitted; /* guarded by lock, as are the next two … */
    struct question_list answered;
    struct errand_list errands_done;
    bool closed; /* … and this: nothing is submitted any more */
};

struct answers {
    pthread_t thread;
    struct ledger *ledger;
    pthread_mutex_t lock;
    pthread_cond_t not_empty;
    struct question_list asked; /* guarded by lock */
    bool closed;                /* guarded by lock */
    struct settle_claim claims[SETTLE_CLAIMS_MAX];
    struct question *questions[SETTLE_CLAIMS_MAX];
};

struct keeper {
    pthread_t thread;
    struct partition_link *link;
    uv_async_t wake;
    uv_timer_t timer;
    int64_t poll_at_us;
    unsigned shut_polls[PARTITION_COUNT]; /* that found its gate not as the ledger says */
    pthread_mutex_t lock;
    struct job_list commands;   /* guarded by lock */
    size_t command_count;       /* guarded by lock */
    struct errand_list errands; /* guarded by lock */
    bool command_is_next;       /* guarded by lock: the last one taken was no command */
    bool closed;                /* guarded by lock */
};

struct redis_figures {
    struct counter admitted;
    struct counter asked_again;
    struct counter late;          /* answered with their place at the deadline */
    struct histogram step_claims; /* claims a call of Redis */
};

struct redis_issuer {
    struct issuer issuer; /* first */
    struct issuer_redis_options options;
    struct reader reader;
    struct door door;
    struct answers answers;
    struct keeper keeper;
    struct redis_figures figures;
    _Atomic size_t claim_count; /* in hand */
    _Atomic int state;
    atomic_bool ledger_away;
    _Atomic uint64_t ledger_epochs[PARTITION_COUNT]; /* as the keeper last read them */
    _Atomic uint64_t queued;                         /* entries that wait in Redis … */
    _Atomic int64_t oldest_us;                       /* … when the first of them came; 0: none */
    _Atomic uint64_t gates_open;
    _Atomic uint64_t rejects;
    _Atomic uint64_t rebuilt;
};

/* ---- redis_door.c ---- */

int MUST_CHECK door_start(struct redis_issuer *issuer, struct complaint *complaint);
/* Any thread: claims; errands and questions that come back. STATUS_STOPPED. */
int MUST_CHECK door_submit(struct redis_issuer *issuer, struct job *job);
void door_answered(struct redis_issuer *issuer, struct question_list *questions);
void door_errand_done(struct redis_issuer *issuer, struct keeper_errand *errand);
/* Answers what is in hand, at the latest at its deadline, and joins the thread. */
void door_stop(struct redis_issuer *issuer);
void door_done(struct redis_issuer *issuer);

/* For the door's own files, in its thread. */
void door_finish(struct redis_issuer *issuer, struct seat *seat, enum verdict verdict);
/* The answer at a deadline, or sooner for a claim that wants none but its place. */
void door_finish_admitted(struct redis_issuer *issuer, struct seat *seat);

/* ---- redis_ask.c, the door's thread ---- */

void door_ask(struct redis_issuer *issuer, struct seat_list *seats); /* of any coupons */
/* Asks again after a pause what Redis has answered, and may answer otherwise then. */
void door_ask_later(struct redis_issuer *issuer, struct seat *seat);
/* Asks again after a pause what could not be asked. */
void door_retry(struct redis_issuer *issuer, struct seat_list *seats);
/* Asks again when the keeper has opened the partition's gate. */
void door_open_first(struct redis_issuer *issuer, unsigned partition, struct seat_list *seats);

/* ---- redis_waiting.c, the door's thread ---- */

void waiting_settled(struct redis_issuer *issuer, const struct ledger_cursor *cursor);
/* What a settlement issued, as partition_issued_read() reads it. */
void waiting_issued(struct redis_issuer *issuer, struct slice message);
/* Deadlines, and those that have waited long without a word. */
void waiting_look(struct redis_issuer *issuer, int64_t now_us);
/* Has the ledger asked what became of them. */
void waiting_ask(struct redis_issuer *issuer, struct seat_list *seats);
void waiting_answered(struct redis_issuer *issuer, struct question *question, int64_t now_us);

/* ---- redis_answers.c ---- */

int MUST_CHECK answers_start(struct redis_issuer *issuer, struct ledger *ledger);
void answers_ask(struct redis_issuer *issuer, struct question_list *questions); /* any thread */
void answers_stop(struct redis_issuer *issuer);

/* ---- redis_keeper.c ---- */

int MUST_CHECK keeper_start(struct redis_issuer *issuer, struct complaint *complaint);
void keeper_errand(struct redis_issuer *issuer, struct keeper_errand *errand);  /* any thread */
int MUST_CHECK keeper_submit(struct redis_issuer *issuer, struct job *command); /* any thread */
void keeper_stop(struct redis_issuer *issuer);

#endif
