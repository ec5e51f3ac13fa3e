/* load: what the parts of load-client share: the plan, the workers, their connections.
 *
 * main.c reads the plan and starts the workers, a thread each with its own connections; worker.c
 * moves bytes; modes.c says who asks next and when; report.c adds up and tells. A plan does not
 * change while workers run, except for what is atomic; a worker belongs to its thread. */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

#include "load/latency.h"
#include "load/reply.h"
#include "load/request.h"

#include <netinet/in.h>
#include <pthread.h>

#define HEADERS_MAX       8
#define STATUSES_MAX      16
#define THREADS_MAX       16
#define CONNECTIONS_MAX   60000
#define RETRY_US          (20 * 1000)  /* from a lost connection to its successor */
#define WAIT_MAX_US       (100 * 1000) /* a stop is seen at the latest after this */
#define SEND_GRAIN_US     100
#define HERD_ADDRESSES    8 /* 127.0.0.1 and up, each with its own 28,000 ports */
#define TOLD_BUFFER_BYTES (64 * 1024)
#define INPUT_BYTES       (64 * 1024)

struct worker;
struct connection;

/* What a mode decides. All are called by the worker's thread. */
struct mode {
    const char *name;
    /* The clock starts when all connections are open, and a lost one is opened again. */
    bool keeps_open;
    /* A connection is free: sends, or keeps it for later. */
    void (*ready)(struct worker *worker, struct connection *connection);
    /* What is due by now; NULL: nothing ever is. */
    void (*tick)(struct worker *worker);
    /* When the next thing is due that no connection tells of; INT64_MAX: none. NULL: none ever. */
    int64_t (*wake_us)(const struct worker *worker);
    /* Nothing will be sent any more. */
    bool (*spent)(const struct worker *worker);
};

extern const struct mode mode_crowd, mode_sustain, mode_rate, mode_herd, mode_event;

struct plan {
    const struct mode *mode;
    uint16_t port;
    size_t connections;
    size_t threads;
    uint64_t users;      /* crowd, herd, event */
    uint64_t again;      /* crowd: of 100 users, so many ask twice */
    uint64_t seed;       /* crowd, event */
    uint64_t rate;       /* requests a second */
    int64_t duration_us; /* sustain, rate; herd: all connections are opened within it */
    int64_t patience_us; /* without any answer for so long: ends */
    uint64_t coupon_first;
    uint64_t coupon_count;
    struct request request;
    int told;              /* file of the names that were told 201, or -1 */
    uint32_t *sequence;    /* crowd, event: the users in the order in which they ask */
    uint64_t planned;      /* requests that the mode is to make; 0: as many as it can */
    int64_t start_us;      /* monotonic; set when all are ready */
    _Atomic uint64_t next; /* of the sequence, for all workers */
    pthread_barrier_t gate;
};

enum phase { PHASE_CLOSED, PHASE_CONNECTING, PHASE_FREE, PHASE_WAITING };

struct connection {
    int socket; /* -1: none */
    enum phase phase;
    int64_t since_us; /* when the request under way began, as its latency counts */
    int64_t retry_us; /* closed: when it is opened again */
    uint64_t user;
    size_t number;           /* among all workers' */
    struct connection *next; /* in the queue of the free, or in that of the closed */
    struct reply reply;
};

struct queue {
    struct connection *first;
    struct connection *last;
};

struct status_count {
    int status;
    struct latency latency;
};

struct worker {
    struct plan *plan;
    size_t number;
    int epoll;
    struct connection *connections;
    size_t connection_count;
    struct queue free;   /* rate */
    struct queue closed; /* to be opened again, the earliest first */
    size_t under_way;    /* connections with a request */
    size_t opening;      /* connections that are being opened */
    bool started;        /* the clock runs, the mode is asked */
    uint64_t taken;      /* requests begun; the mode counts them */
    uint64_t answered;
    uint64_t broken;               /* of those that failed: a reply this cannot read */
    int64_t now_us;                /* monotonic, newest reading */
    int64_t free_since_us;         /* rate: since when there is a free connection */
    int64_t late_us_max;           /* rate: from when it could have sent to when it did */
    int64_t last_answer_us;        /* or the start */
    struct status_count *statuses; /* STATUSES_MAX */
    size_t status_count;
    struct buffer told;
    char *input; /* INPUT_BYTES, for whichever connection is read */
    pthread_t thread;
};

/* ---- worker.c ---- */

/* Stops all workers at their next look; for a signal's handler too. */
void workers_stop(void);
bool workers_stopped(void);
/* The thread of a worker whose `plan`, `number` and `connection_count` are set: opens, waits for
 * the plan's gate twice (between the two main() sets start_us), runs to the end. Ends the process
 * when there is no memory or no epoll. */
void *worker_run(void *worker);
/* Sends a claim on a free connection; its latency counts from `since_us`. */
void worker_send(struct worker *worker, struct connection *connection, uint64_t coupon_id,
                 uint64_t user, int64_t since_us);
/* Begins to open a connection that is closed; a failure is handled like a lost connection. */
void worker_open(struct worker *worker, struct connection *connection);
void queue_push(struct queue *queue, struct connection *connection);
struct connection *queue_pop(struct queue *queue);                           /* NULL: empty */
void queue_remove(struct queue *queue, const struct connection *connection); /* if it is in it */

/* ---- modes.c ---- */

/* Makes the plan's sequence and `planned`. STATUS_NO_MEMORY. */
int MUST_CHECK plan_prepare(struct plan *plan);

/* ---- report.c ---- */

/* The one of this status among `*count` of STATUSES_MAX places, a new one when there is none yet.
 * NULL: there is no place for another. */
struct status_count *status_count_of(struct status_count *statuses, size_t *count, int status);
/* One line of JSON on stdout. STATUS_NO_MEMORY. */
int MUST_CHECK report_print(const struct plan *plan, const struct worker *workers,
                            double client_cpu_s);

#endif
