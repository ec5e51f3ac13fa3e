/* coupon serve: a server's life, from options to exit: embedded (--data), or a node of several on
 * one SQL ledger (--ledger).
 *
 *   options -> user -> ledger, writer -> credentials -> port -> seccomp -> wait -> drain -> close
 *
 * The port opens while the writer still reads the record: claims get 503 `starting` until
 * event=ready. It waits for SIGTERM or SIGINT, or for the issuer to say that it is broken;
 * SIGHUP reads the credentials again. */
#include "cli/serve.h"
#include "api/api.h"
#include "cli/options.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long a drain waits for requests under way. */
static const int64_t DRAIN_US = 10 * US_PER_SECOND;
/* Files and sockets besides the clients' connections. */
enum { DESCRIPTORS_SPARE = 128 };

struct server {
    struct serve_options options;
    bool outlives_terminal;         /* started with nohup */
    int signals;                    /* signalfd */
    int ready;                      /* eventfd: the record is read */
    int broken;                     /* eventfd: the issuer wants the process to stop */
    enum issuer_state former_state; /* the writer's thread only, as is the next */
    int failure_code;               /* main's once the writer has ended; 0: nothing failed */
    struct issuer *running_issuer;
    struct api *api;
    struct http_server *http_server;
};

/* ---- what the writer tells ---- */

static void on_progress(void *context, uint64_t issues, uint64_t total) {
    static const uint64_t STEP = 1000000;
    (void)context;
    if (issues % STEP == 0) {
        log_event(LOG_INFO, "reading-record", LOG_NUMBER("issues", issues),
                  LOG_NUMBER("of", total));
    }
}

static const char *hint_of_unwritable(const struct serve_options *options) {
    if (options->redis.redis_url) {
        return "without Redis claims get 503, without the SQL server 202 until it is back";
    }
    return options->ledger_url ? "claims get 503 until a write works; look at the SQL server"
                               : "claims get 503 until a write works; make room on the disk";
}

static void on_state(void *context, enum issuer_state state, const char *why) {
    struct server *server = context;
    switch (state) {
    case ISSUER_STARTING:
    case ISSUER_STOPPING:
        break;
    case ISSUER_READY:
        if (server->former_state == ISSUER_UNWRITABLE) {
            log_event(LOG_INFO, "storage-recovered",
                      LOG_TEXT("hint", "writes work again; claims are taken"));
        } else {
            eventfd_write(server->ready, 1);
        }
        break;
    case ISSUER_UNWRITABLE:
        log_event(LOG_ERROR, "storage-unavailable", LOG_TEXT("why", why),
                  LOG_TEXT("hint", hint_of_unwritable(&server->options)));
        break;
    case ISSUER_BROKEN:
        if (server->former_state == ISSUER_STARTING) {
            server->failure_code = EXIT_CODE_FAILED;
            log_event(LOG_ERROR, "cannot-start", LOG_TEXT("why", why));
        } else {
            server->failure_code = EXIT_CODE_BROKEN;
            log_event(LOG_ERROR, "stopping-broken", LOG_TEXT("why", why),
                      LOG_TEXT("hint", "the file is what counts; start anew to read it"));
        }
        eventfd_write(server->broken, 1);
        break;
    }
    server->former_state = state;
}

static void on_rebuilt(void *context, unsigned partition, uint64_t epoch) {
    (void)context;
    log_event(LOG_INFO, "partition-opened", LOG_NUMBER("partition", partition),
              LOG_NUMBER("epoch", epoch));
}

/* The writer's thread, or main's while it opens the record. */
static void on_held(void *context, bool broken, int64_t log_size) {
    (void)context;
    if (broken) {
        log_event(LOG_WARN, "backup-broken", LOG_NUMBER("log_bytes", log_size),
                  LOG_TEXT("hint", "the log had to be folded into the file while a backup copied "
                                   "it; the backup starts over"));
    } else {
        log_event(LOG_INFO, "backup-under-way", LOG_NUMBER("log_bytes", log_size),
                  LOG_TEXT("hint", "the log grows until the backup has copied the file"));
    }
}

/* ---- the stages ---- */

static int fail(const char *stage, const struct complaint *complaint) {
    log_event(LOG_ERROR, stage, LOG_TEXT("why", complaint->text));
    return EXIT_CODE_FAILED;
}

/* All threads started later inherit the mask, so the signals come to signalfd only. */
static int take_signals(struct server *server) {
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    server->outlives_terminal = signal(SIGHUP, SIG_DFL) == SIG_IGN;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL)) {
        return STATUS_IO;
    }
    server->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    server->ready = eventfd(0, EFD_CLOEXEC);
    server->broken = eventfd(0, EFD_CLOEXEC);
    return server->signals < 0 || server->ready < 0 || server->broken < 0 ? STATUS_IO : STATUS_OK;
}

/* One descriptor a connection; the soft limit is raised as far as the hard one allows. */
static void raise_descriptor_limit(struct server *server) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    (void)!setrlimit(RLIMIT_NOFILE, &limit);
    rlim_t room = limit.rlim_cur > DESCRIPTORS_SPARE ? limit.rlim_cur - DESCRIPTORS_SPARE : 1;
    if (room < server->options.http.connections_max) {
        log_event(LOG_WARN, "connections-limited",
                  LOG_NUMBER("asked", server->options.http.connections_max),
                  LOG_NUMBER("connections", room),
                  LOG_TEXT("hint", "raise the limit of open files (ulimit -n)"));
        server->options.http.connections_max = (unsigned)room;
    }
}

static int start_api(struct server *server, struct complaint *complaint) {
    struct api_options options = {
        .issuer = server->running_issuer,
        .rules = server->options.rules,
        .loop_count = server->options.http.loop_count,
    };
    int status = server->options.admin_token_given
                     ? STATUS_OK
                     : secret_files_make(&server->options.secrets, complaint);
    if (status == STATUS_OK) {
        status = secret_files_read(&server->options.secrets, &options.secrets, complaint);
    }
    if (status == STATUS_OK) {
        status = api_new(&options, &server->api, complaint);
    }
    secret_files_wipe(&server->options.secrets);
    return status;
}

static int start_issuer(struct server *server, struct complaint *complaint) {
    if (server->options.redis.redis_url) {
        return issuer_redis_start(&server->options.redis, &server->running_issuer, complaint);
    }
    return server->options.ledger_url
               ? issuer_sql_start(&server->options.sql, &server->running_issuer, complaint)
               : issuer_local_start(&server->options.local, &server->running_issuer, complaint);
}

static int start(struct server *server, struct complaint *complaint) {
    int status = start_issuer(server, complaint);
    if (status == STATUS_OK) {
        status = start_api(server, complaint);
    }
    if (status == STATUS_OK) {
        struct http_handler handler = api_handler(server->api);
        status =
            http_server_start(&server->options.http, &handler, &server->http_server, complaint);
    }
    if (status == STATUS_OK) {
        api_server_started(server->api, server->http_server);
    }
    return status;
}

/* Whoever may change the folder's files may change the record, and take the token. */
static void warn_of_folder(const char *directory) {
    struct stat folder;
    bool known = directory && stat(directory, &folder) == 0;
    if (known && (folder.st_mode & S_IWOTH || (folder.st_uid != 0 && folder.st_uid != geteuid()))) {
        log_event(LOG_WARN, "data-folder-exposed", LOG_TEXT("data", directory),
                  LOG_TEXT("hint", "others can change the record and take the token; it should "
                                   "belong to the server's user, with chmod 700"));
    }
}

static void log_listening(const struct server *server) {
    char address[96];
    snprintf(address, sizeof(address), strchr(server->options.host, ':') ? "[%s]:%u" : "%s:%u",
             server->options.host, http_server_port(server->http_server));
    log_event(LOG_INFO, "listening", LOG_TEXT("address", address),
              LOG_NUMBER("threads", server->options.http.loop_count),
              LOG_TEXT("admin_token_file", server->options.secrets.admin.path),
              LOG_TEXT("version", COUPON_VERSION));
    if (server->options.rules.claim_auth == CLAIM_AUTH_JWT &&
        !(server->options.rules.jwt_issuer && server->options.rules.jwt_audience)) {
        log_event(LOG_WARN, "jwt-unrestricted",
                  LOG_TEXT("hint", "tokens made for other services may be taken; give "
                                   "--jwt-issuer and --jwt-audience"));
    }
}

/* A file that cannot be taken leaves all the former credentials in force. */
static void reload_secrets(struct server *server) {
    struct complaint complaint;
    struct api_secrets secrets;
    if (secret_files_read(&server->options.secrets, &secrets, &complaint) ||
        api_secrets_replace(server->api, &secrets, &complaint)) {
        log_event(LOG_ERROR, "credentials-kept", LOG_TEXT("why", complaint.text),
                  LOG_TEXT("hint", "the former ones stay in force; mend the file and send SIGHUP "
                                   "again"));
    } else {
        log_event(LOG_INFO, "credentials-reloaded",
                  LOG_TEXT("admin_token_file", server->options.secrets.admin.path));
    }
    secret_files_wipe(&server->options.secrets);
}

/* Returns whether one of the signals asks to stop. A SIGHUP that the kernel sent tells that
 * the terminal went away, and with it who could press Ctrl-C. */
static bool heed_signals(struct server *server) {
    struct signalfd_siginfo signal;
    while (read(server->signals, &signal, sizeof(signal)) == sizeof(signal)) {
        bool hung_up = signal.ssi_code == SI_KERNEL && !server->outlives_terminal;
        if (signal.ssi_signo != SIGHUP || hung_up) {
            return true;
        }
        reload_secrets(server);
    }
    return false;
}

/* Until a signal comes or the issuer is broken. "ready" is said here rather than
 * by the writer, so that it never comes before "listening". */
static void wait_for_end(struct server *server) {
    enum { SIGNALS, READY, BROKEN };
    struct pollfd polled[] = {[SIGNALS] = {.fd = server->signals, .events = POLLIN},
                              [READY] = {.fd = server->ready, .events = POLLIN},
                              [BROKEN] = {.fd = server->broken, .events = POLLIN}};
    for (;;) {
        if (poll(polled, COUNT_OF(polled), -1) < 0) {
            assert(errno == EINTR);
        } else if (polled[BROKEN].revents) {
            return;
        } else if (polled[SIGNALS].revents) {
            if (heed_signals(server)) {
                http_server_wind_down(server->http_server);
                log_event(LOG_INFO, "draining", LOG_TEXT("hint", "finishing what is under way"));
                return;
            }
        } else if (polled[READY].revents) {
            polled[READY].fd = -1; /* poll passes over it from now on */
            log_event(LOG_INFO, "ready",
                      server->options.ledger_url
                          ? LOG_TEXT("mode", server->options.redis.redis_url ? "redis" : "sql")
                          : LOG_TEXT("data", server->options.local.directory));
        }
    }
}

static int stop(struct server *server, int exit_code) {
    struct complaint complaint = {0};
    if (server->running_issuer) {
        issuer_hurry(server->running_issuer);
    }
    if (server->http_server) {
        http_server_stop(server->http_server, DRAIN_US);
    }
    if (server->running_issuer && issuer_stop(server->running_issuer, &complaint)) {
        exit_code = exit_code == EXIT_CODE_OK ? fail("closing-failed", &complaint) : exit_code;
    }
    http_server_free(server->http_server);
    api_free(server->api);
    issuer_free(server->running_issuer);
    /* Also what broke while it drained counts: a 0 would say that all is well. */
    return server->failure_code ? server->failure_code : exit_code;
}

static int serve(struct server *server) {
    struct complaint complaint = {0};
    if (sodium_init() < 0 || take_signals(server)) {
        return fail("cannot-start", &(struct complaint){"signals or randomness are missing"});
    }
    digest_key_random(&server->options.local.digest_key);
    raise_descriptor_limit(server);
    int exit_code = EXIT_CODE_OK;
    if (confine_begin(&server->options.confine, &complaint) || start(server, &complaint) ||
        confine_finish(&server->options.confine, &complaint)) {
        exit_code = fail("cannot-start", &complaint);
    } else {
        log_listening(server);
        warn_of_folder(server->options.local.directory);
        wait_for_end(server);
    }
    exit_code = stop(server, exit_code);
    log_event(LOG_INFO, "stopped", LOG_NUMBER("exit_code", exit_code));
    return exit_code;
}

int command_serve(int argc, char **argv) {
    bool help = false;
    static struct server server;
    if (!serve_options_read(argc, argv, &server.options, &help)) {
        if (help) {
            printf("coupon serve: issue coupons over HTTP, recorded in one SQLite file or, with\n"
                   "--ledger, in a SQL server that any number of servers share\n\n"
                   "usage: coupon serve [options]\n\n");
            serve_options_print();
            printf("\nSIGTERM or Ctrl-C: takes no new connections, finishes what is under way,\n"
                   "closes the file and exits with 0. SIGHUP: reads the files of tokens and keys\n"
                   "again; one that cannot be taken leaves the former in force.\n"
                   "Exit code 1: could not start, or not close the file; 2: wrong options; 3:\n"
                   "the outcome of a write is unknown, start anew.\n");
        }
        return help ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    }
    server.options.local.progress = on_progress;
    server.options.local.held = on_held;
    server.options.local.state_changed = on_state;
    server.options.local.context = &server;
    server.options.sql.state_changed = on_state;
    server.options.sql.context = &server;
    server.options.redis.state_changed = on_state;
    server.options.redis.rebuilt = on_rebuilt;
    server.options.redis.context = &server;
    return serve(&server);
}
