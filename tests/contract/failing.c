#include "failing.h"

#include "support/allocation.h"

#include <errno.h>
#include <libpq-fe.h>
#include <mysql.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_WAIT_MS 20000
#define SERVER_LOST    2013 /* CR_SERVER_LOST */

/* What the server is made to say. */
static const struct {
    const char *name;
    const char *sqlstate; /* PostgreSQL's appendix A */
    unsigned error;       /* MariaDB's and MySQL's number */
} kinds[FAILING_COUNT] = {
    [FAILING_CUT_BEFORE] = {.name = "cut before"},
    [FAILING_CUT_AFTER] = {.name = "cut after"},
    [FAILING_DEADLOCK] = {"deadlock", "40P01", 1213},
    [FAILING_DISK_FULL] = {"disk full", "53100", 1021},
    [FAILING_NO_TABLE] = {"no table", "42P01", 1146},
    [FAILING_KEY] = {"key", "23505", 1062},
    [FAILING_SERVER_MEMORY] = {"server's memory", "53200", 1037},
    [FAILING_FORBIDDEN] = {"forbidden", "42501", 1142},
    [FAILING_TABLE_FULL] = {"table full", "54000", 1114},
    [FAILING_VALUE] = {"value", "22001", 1406},
    [FAILING_DAMAGE] = {"damage", "XX001", 1194},
    [FAILING_CHANGED] = {"changed", "40001", 1020},
    [FAILING_READ_ONLY] = {"read only", "25006", 1290},
    [FAILING_KILLED] = {"killed", "57P01", 1927},
    [FAILING_SHUTDOWN] = {"shutdown", "57P03", 1053},
    [FAILING_MEMORY] = {.name = "memory"},
    [FAILING_CALL] = {.name = "call"},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all but `how` */
static struct {
    enum failing_how how;
    unsigned left; /* calls until it fails; 0: none will */
    bool failed;
    void (*call)(void *context);
    void *context;
} armed;
/* Of MySQL's client, which is asked next what went wrong with this thread's statement. */
static _Thread_local bool answer_lost;

const char *failing_name(enum failing_how how) {
    return kinds[how].name;
}

void failing_arm(enum failing_how how, unsigned nth) {
    pthread_mutex_lock(&lock);
    armed.how = how;
    armed.left = nth;
    armed.failed = false;
    pthread_mutex_unlock(&lock);
}

void failing_arm_call(unsigned nth, void (*call)(void *context), void *context) {
    armed.call = call;
    armed.context = context;
    failing_arm(FAILING_CALL, nth);
}

unsigned failing_left(void) {
    pthread_mutex_lock(&lock);
    unsigned left = armed.left;
    pthread_mutex_unlock(&lock);
    return left;
}

bool failing_disarm(void) {
    pthread_mutex_lock(&lock);
    armed.left = 0;
    bool failed = armed.failed;
    pthread_mutex_unlock(&lock);
    return failed;
}

static bool is_due(bool allocation) {
    pthread_mutex_lock(&lock);
    bool meant = armed.left > 0 && (armed.how == FAILING_MEMORY) == allocation;
    bool due = meant && --armed.left == 0;
    armed.failed = armed.failed || due;
    pthread_mutex_unlock(&lock);
    if (due && armed.how == FAILING_CALL) {
        armed.call(armed.context);
        return false;
    }
    return due;
}

/* ---- allocations ---- */

bool allocation_fails(void) {
    return is_due(true);
}

/* Counts as one: what the system refuses. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument) {
    return is_due(true) ? EAGAIN : __real_pthread_create(thread, attributes, start, argument);
}

/* ---- PostgreSQL ---- */

int __real_PQsendQuery(PGconn *connection, const char *text);
int __wrap_PQsendQuery(PGconn *connection, const char *text);
int __real_PQsendPrepare(PGconn *connection, const char *name, const char *text, int count,
                         const Oid *types);
int __wrap_PQsendPrepare(PGconn *connection, const char *name, const char *text, int count,
                         const Oid *types);
int __real_PQsendQueryPrepared(PGconn *connection, const char *name, int count,
                               const char *const *values, const int *sizes, const int *formats,
                               int result_format);
int __wrap_PQsendQueryPrepared(PGconn *connection, const char *name, int count,
                               const char *const *values, const int *sizes, const int *formats,
                               int result_format);

static void cut(int fd) {
    shutdown(fd, SHUT_RDWR);
}

/* Waits until the server has done it, and throws the answer away. */
static void lose_answer(PGconn *connection) {
    while (PQflush(connection) == 1) {
        /* a few bytes to a server on this machine */
    }
    struct pollfd answer = {.fd = PQsocket(connection), .events = POLLIN};
    char room[4096];
    if (poll(&answer, 1, ANSWER_WAIT_MS) == 1) {
        while (recv(answer.fd, room, sizeof(room), MSG_DONTWAIT) > 0) {
            /* all of it */
        }
    }
    cut(answer.fd);
}

/* Sends what makes the server say it. */
static int send_error(PGconn *connection) {
    char text[128];
    snprintf(text, sizeof(text), "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '%s'; END $$",
             kinds[armed.how].sqlstate);
    return __real_PQsendQuery(connection, text);
}

/* Before the statement is sent: whether something was done in its place. */
static bool fails_before(PGconn *connection, bool due, int *ret_sent) {
    if (!due || armed.how == FAILING_CUT_AFTER) {
        return false;
    }
    if (armed.how == FAILING_CUT_BEFORE) {
        cut(PQsocket(connection));
        return false;
    }
    *ret_sent = send_error(connection);
    return true;
}

static int fails_after(PGconn *connection, bool due, int sent) {
    if (due && armed.how == FAILING_CUT_AFTER) {
        lose_answer(connection);
    }
    return sent;
}

int __wrap_PQsendQuery(PGconn *connection, const char *text) {
    bool due = is_due(false);
    int sent = 0;
    return fails_before(connection, due, &sent)
               ? sent
               : fails_after(connection, due, __real_PQsendQuery(connection, text));
}

int __wrap_PQsendPrepare(PGconn *connection, const char *name, const char *text, int count,
                         const Oid *types) {
    bool due = is_due(false);
    int sent = 0;
    return fails_before(connection, due, &sent)
               ? sent
               : fails_after(connection, due,
                             __real_PQsendPrepare(connection, name, text, count, types));
}

int __wrap_PQsendQueryPrepared(PGconn *connection, const char *name, int count,
                               const char *const *values, const int *sizes, const int *formats,
                               int result_format) {
    bool due = is_due(false);
    int sent = 0;
    return fails_before(connection, due, &sent)
               ? sent
               : fails_after(connection, due,
                             __real_PQsendQueryPrepared(connection, name, count, values, sizes,
                                                        formats, result_format));
}

/* ---- MariaDB and MySQL ---- */

int __real_mysql_real_query(MYSQL *connection, const char *text, unsigned long size);
int __wrap_mysql_real_query(MYSQL *connection, const char *text, unsigned long size);
unsigned __real_mysql_errno(MYSQL *connection);
unsigned __wrap_mysql_errno(MYSQL *connection);
const char *__real_mysql_error(MYSQL *connection);
const char *__wrap_mysql_error(MYSQL *connection);

int __wrap_mysql_real_query(MYSQL *connection, const char *text, unsigned long size) {
    answer_lost = false;
    if (!is_due(false)) {
        return __real_mysql_real_query(connection, text, size);
    }
    if (armed.how == FAILING_CUT_BEFORE) {
        cut(mysql_get_socket(connection));
        return __real_mysql_real_query(connection, text, size);
    }
    if (armed.how == FAILING_CUT_AFTER) {
        int result = __real_mysql_real_query(connection, text, size);
        cut(mysql_get_socket(connection));
        answer_lost = result == 0;
        return 1;
    }
    char signal[128];
    int length = snprintf(signal, sizeof(signal), "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = %u",
                          kinds[armed.how].error);
    return __real_mysql_real_query(connection, signal, (unsigned long)length);
}

unsigned __wrap_mysql_errno(MYSQL *connection) {
    return answer_lost ? SERVER_LOST : __real_mysql_errno(connection);
}

const char *__wrap_mysql_error(MYSQL *connection) {
    return answer_lost ? "the answer was lost" : __real_mysql_error(connection);
}
