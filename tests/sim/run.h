/* run: one simulated life of the embedded server, from one seed: what its parts share.
 *
 *   run.c        the life: plans events, does them, heals everything at the end, has it judged
 *   server.c     the server's process: its start, its writer's turns, its ends
 *   crowd.c      the people who claim, and the loops that gather their claims
 *   operators.c  changes of coupons, and imports while the server is stopped
 *   readers.c    reads, each checked against what was told before
 *   weather.c    what goes wrong, and when
 *   oracle.c     what must be true: of memory and record, of what was told, of the history
 *   bugs.c       planted bugs, to prove that the oracle finds them
 *
 * Real: engine, issuer (queue, board, writer's turns), SQLite ledger, SQLite. Simulated: time,
 * scheduling, disk, memory that runs out, network, people. Not here: HTTP, threads. */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "issuer/writer.h"
#include "sim/events.h"
#include "sim/world/world.h"

#define PERSONAS_MAX 256
#define ATTEMPTS_MAX 2048
#define CHANGES_MAX  256
#define COUPONS_MAX  48
#define READINGS_MAX 4096
#define ENDS_MAX     256
#define FACTS_MAX    256 /* ranks of a coupon that anyone may be told of */
#define LOOPS_MAX    4
#define BATCH_MAX    48
#define NAME_SIZE    24
#define NOBODY       UINT32_MAX

/* What differs between runs, drawn from the seed at first. */
struct plan {
    int64_t length_us; /* of the time in which things go wrong */
    unsigned personas;
    unsigned names; /* fewer than personas: some want several coupons */
    unsigned loops;
    unsigned batch_max;
    unsigned coupons;
    size_t queue_max;
    int64_t network_us; /* a message takes up to so long */
    int64_t patience_us;
    int64_t weather_us; /* between two things that go wrong, on average; 0: nothing does */
    int64_t operate_us; /* the same for operators … */
    int64_t read_us;    /* … and reads */
    unsigned keys;      /* permille of personas that send request keys */
    unsigned again;     /* permille of answered ones that ask again */
    bool fresh;         /* begins with an empty folder */
    uint64_t weather;   /* bits: what may go wrong, enum weather */
};

enum attempt_state { ATTEMPT_UNDER_WAY, ATTEMPT_ANSWERED, ATTEMPT_LOST };

/* One request, with what became of it. */
struct attempt {
    uint32_t persona;
    uint64_t coupon_id;
    uint32_t key; /* 0: none; else the persona's so many-th */
    bool echo;    /* delivered twice: this is the second, and nobody waits for its answer */
    enum attempt_state state;
    uint64_t invoked_step;
    uint64_t returned_step;
    struct claim claim; /* as answered */
};

struct persona {
    uint32_t name;
    size_t coupon; /* of run->coupons, once it is there */
    bool has_key;
    unsigned tries_left;
    unsigned keys; /* used so far */
};

struct batch {
    struct claim_batch batch; /* first */
    struct batch *next_free;
    uint32_t attempts[BATCH_MAX];
    struct claim claims[BATCH_MAX];
};

/* What a loop gathered. */
struct loop {
    uint32_t attempts[BATCH_MAX];
    size_t count;
    bool planned; /* its EVENT_LOOP is on its way */
};

enum change_state { CHANGE_UNDER_WAY, CHANGE_DONE, CHANGE_REFUSED, CHANGE_UNKNOWN };

struct change {
    enum change_state state;
    uint64_t invoked_step;
    uint64_t returned_step;
    uint32_t incarnation;
    bool creates;
    bool archives;
    bool in_crowd;     /* claims were waiting when it came */
    bool answered;     /* its command is done; the answer is under way */
    uint64_t asked_id; /* of a creation: 0, the server chooses */
    uint64_t coupon_id;
    uint32_t version; /* as answered */
    unsigned patch_set;
    int64_t total_quantity;
    int64_t issue_start_us;
    int64_t issue_end_us;
    bool paused;
    char key[NAME_SIZE]; /* of a creation … */
    size_t creation;     /* … of run->coupons */
};

/* Somebody was told that this rank is this user's, or read it. */
struct fact {
    uint32_t name; /* NOBODY: not told */
    int64_t issued_at_us;
};

/* A coupon as people know it. */
struct known_coupon {
    uint64_t id; /* 0: not yet */
    int64_t total_quantity;
    uint32_t version_floor; /* told: it is at least at this version … */
    uint32_t count_floor;   /* … and has so many issues */
    uint32_t imported;
    bool archived; /* told, or perhaps */
    struct fact facts[FACTS_MAX + 1];
};

struct reading {
    uint64_t step;
    int64_t lowest_us;
    int64_t highest_us;
};

enum server_state { SERVER_DOWN, SERVER_UP, SERVER_STOPPING };

struct server {
    struct writer writer;
    enum server_state state;
    uint32_t incarnation;
    bool writer_planned; /* an EVENT_WRITER at writer_at_us, or sooner, is on its way */
    int64_t writer_at_us;
    int64_t quiet_at_us;      /* a turn without jobs is due; INT64_MAX: never */
    int64_t clock_us;         /* the latest that its clock showed */
    uint64_t failures_before; /* world->failures at its start */
    bool start_planned;
    unsigned refused_starts;
    bool told_broken;
    struct digest_key digest_key;
};

struct run {
    uint64_t seed;
    uint64_t step; /* one an event */
    struct random random;
    struct plan plan;
    struct events events;
    struct server server;
    bool healed; /* nothing goes wrong any more */
    int64_t heal_at_us;
    struct persona personas[PERSONAS_MAX];
    size_t persona_count;
    struct attempt attempts[ATTEMPTS_MAX];
    uint32_t attempt_count;
    struct change changes[CHANGES_MAX];
    uint32_t change_count;
    struct known_coupon coupons[COUPONS_MAX];
    size_t coupon_count;
    struct loop loops[LOOPS_MAX];
    struct batch *free_batches;
    size_t reads_under_way;
    struct reading readings[READINGS_MAX];
    size_t reading_count;
    /* the last step at which a start went on from an earlier time than the server's clock had
     * shown; 0: never */
    uint64_t jump_step;
    uint64_t ends[ENDS_MAX]; /* steps at which a server was dead for sure */
    size_t end_count;
    uint32_t imported_names;
    bool wants_import;
    char violation[1024]; /* "": none */
};

/* The one that is under way; the linker's replacements have no other way to it. */
extern struct run run;

/* ---- run.c ---- */

struct run_result {
    bool failed;
    char violation[1024];
    uint64_t trace_hash;
    uint64_t attempts;
    uint64_t issues;
    uint64_t io_count;
    uint64_t starts;
    uint64_t hits[FAULTS];
};
/* Once in a process, before the first run. */
void run_prepare(void);
void run_do(uint64_t seed, bool traces, struct run_result *ret_result);

void run_plan(int64_t in_us, enum event_kind kind, uint32_t subject);
/* Something that must never be happened. The first one counts. */
void run_violated(const char *format, ...) PRINTF_LIKE(1, 2);
bool run_chance(unsigned permille);
int64_t run_between(int64_t low, int64_t high);
void name_write(uint32_t name, char ret_text[static NAME_SIZE]);
uint32_t name_read(struct slice text);

/* ---- server.c ---- */

void server_start(void);
void server_turn(uint32_t incarnation);
void server_stop(uint32_t incarnation);
void server_crash(bool power);
/* Hands a job over, and wakes the writer. */
int MUST_CHECK server_submit(struct job *job);
bool server_takes_claims(void);

/* ---- crowd.c ---- */

void crowd_begin(void);
void crowd_ask(uint32_t persona);
void crowd_arrive(uint32_t attempt, uint32_t incarnation);
void crowd_loop(uint32_t loop, uint32_t incarnation);
void crowd_reply(uint32_t attempt);
void crowd_patience(uint32_t attempt);
void crowd_server_ended(void);
void batch_free(struct batch *batch);
void crowd_done(void);
/* Tells everybody whose claims these are, now; for a planted bug. */
void crowd_tell_early(const struct job_list *batches, bool granted);

/* ---- operators.c ---- */

void operators_begin(void);
void operators_act(void);
void operators_answered(uint32_t change);
void operators_server_ended(void);
/* Between two servers. */
void operators_import(void);
void command_drop(struct command *command);

/* ---- readers.c ---- */

void readers_act(void);

/* ---- weather.c ---- */

void weather_plan(struct plan *plan);
void weather_act(void);
/* Something for the first start of all, which makes the ledger. */
void weather_before(void);

/* ---- oracle.c ---- */

struct known_coupon *coupon_find(uint64_t id);
/* A claim or read told this; contradictions are violations. */
void oracle_fact(uint64_t coupon_id, uint32_t rank, uint32_t name, int64_t issued_at_us);
/* Memory, published figures and record of the server that is up agree, and hold what was told. */
void oracle_compare(void);
/* The end: the record that is left, and the whole history. Opens the ledger itself. */
void oracle_judge(struct run_result *result);

#endif
