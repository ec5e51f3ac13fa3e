/* coupon serve: a server's life, from options to exit: embedded (--data), or a node of several on
 * one SQL ledger (--ledger).
 *
 *   options -> ledger, writer -> credentials -> port -> wait -> drain -> close
 *
 * The port opens while the writer still reads the record: claims get 503 `starting` until
 * event=ready. It waits for SIGTERM or SIGINT, or for the issuer to say that it is broken;
 * SIGHUP reads the credentials again. */
#include "api/api.h"
#include "cli/options.h"
#include "cli/token.h"
#include "http/http.h"
#include "issuer/issuer.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum option {
    OPTION_LISTEN,
    OPTION_DATA,
    OPTION_LEDGER,
    OPTION_REDIS,
    OPTION_WEAK_DURABILITY,
    OPTION_THREADS,
    OPTION_CPU_AFFINITY,
    OPTION_ADMIN_TOKEN_FILE,
    OPTION_CLAIM_AUTH,
    OPTION_CLAIM_TOKEN_FILE,
    OPTION_JWT_ALGORITHM,
    OPTION_JWT_KEY_FILE,
    OPTION_JWT_ISSUER,
    OPTION_JWT_AUDIENCE,
    OPTION_CONNECTIONS,
    OPTION_QUEUE,
    OPTION_BACKUP_LOG_MAX,
    OPTION_COUNT,
};

static const struct option_spec specs[] = {
    [OPTION_LISTEN] = {"listen", "ADDRESS:PORT", "where to listen; port 0: any free one",
                       "127.0.0.1:8080"},
    [OPTION_DATA] = {"data", "DIR", "the data folder, made when it is missing; default: data",
                     NULL},
    [OPTION_LEDGER] = {"ledger", "URL",
                       "instead of a data folder: postgresql://USER@HOST:PORT/DATABASE or "
                       "mysql://…, which any number of servers share",
                       NULL},
    [OPTION_REDIS] = {"redis", "URL",
                      "with --ledger: Redis in front of it, redis://USER:PASSWORD@HOST:PORT, with "
                      "?cluster=1 for a Redis Cluster; coupon worker settles",
                      NULL},
    [OPTION_WEAK_DURABILITY] = {"allow-weak-durability", NULL,
                                "take a SQL server whose settings may lose what it confirmed",
                                NULL},
    [OPTION_THREADS] = {"threads", "N", "event loops; default: one a core", NULL},
    [OPTION_CPU_AFFINITY] = {"cpu-affinity", "auto|off",
                             "auto: when there is a loop for each core, each stays on its own",
                             "auto"},
    [OPTION_ADMIN_TOKEN_FILE] = {"admin-token-file", "FILE",
                                 "the operators' tokens, lines of NAME TOKEN; default: "
                                 "DIR/admin-token, made at the first start; must be given with "
                                 "--ledger",
                                 NULL},
    [OPTION_CLAIM_AUTH] = {"claim-auth", "none|token|jwt",
                           "how claimers prove who they are; must be given on any address but "
                           "loopback",
                           NULL},
    [OPTION_CLAIM_TOKEN_FILE] = {"claim-token-file", "FILE",
                                 "token: the tokens of gateways, whose userId is believed; lines "
                                 "of NAME TOKEN",
                                 NULL},
    [OPTION_JWT_ALGORITHM] = {"jwt-algorithm", "HS256|RS256|ES256", "jwt: the only algorithm taken",
                              NULL},
    [OPTION_JWT_KEY_FILE] = {"jwt-key-file", "FILE",
                             "jwt: the secret (HS256), or the public key in PEM", NULL},
    [OPTION_JWT_ISSUER] = {"jwt-issuer", "NAME", "jwt: what iss must be; should be given", NULL},
    [OPTION_JWT_AUDIENCE] = {"jwt-audience", "NAME",
                             "jwt: what aud must be or hold; should be given", NULL},
    [OPTION_CONNECTIONS] = {"connections", "N", "connections at once; more get 503", "10000"},
    [OPTION_QUEUE] = {"queue", "N", "claims that may wait for the writer; more get 503", "65536"},
    [OPTION_BACKUP_LOG_MAX] = {"backup-log-max", "MIB",
                               "how far coupon.db-wal may grow for a backup's sake, which then "
                               "starts over",
                               "1024"},
    [OPTION_COUNT] = {NULL, NULL, NULL, NULL},
};

/* How long a drain waits for requests under way. */
static const int64_t DRAIN_US = 10 * US_PER_SECOND;
/* Files and sockets besides the clients' connections. */
enum { DESCRIPTORS_SPARE = 128 };
enum { THREADS_MAX = 256, CONNECTIONS_MAX = 1000000, QUEUE_MAX = 10000000, LOG_MIB_MAX = 1 << 20 };

struct server {
    struct http_options http;
    const char *ledger_url; /* NULL: embedded */
    struct issuer_local_options local;
    struct issuer_sql_options sql;
    struct issuer_redis_options redis;
    char host[64];
    struct api_rules rules;
    struct secret_files secrets;
    bool admin_token_given;         /* by an option: never made */
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

/* ---- options ---- */

static uint64_t core_count(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) ? 1 : (uint64_t)CPU_COUNT(&set);
}

static bool read_listen(const char **values, struct server *server) {
    bool loopback = false;
    const char *auth = values[OPTION_CLAIM_AUTH];
    if (option_listen(values[OPTION_LISTEN], server->host, &server->http.port, &loopback)) {
        fprintf(stderr,
                "coupon serve: --listen wants a numeric address and a port, such as "
                "127.0.0.1:8080 or [::1]:8080, not \"%s\"\n",
                values[OPTION_LISTEN]);
        return false;
    }
    if (!loopback && !auth) {
        fprintf(stderr,
                "coupon serve: %s can be reached from other machines, so say how claimers prove "
                "who they are: --claim-auth=none believes any userId (behind a gateway that "
                "checks it)\n",
                values[OPTION_LISTEN]);
        return false;
    }
    server->http.host = server->host;
    return true;
}

/* The place of `value` among `names`, which end with NULL; -1 after a message. */
static int option_choice(enum option option, const char *value, const char *const *names) {
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], value) == 0) {
            return i;
        }
    }
    fprintf(stderr, "coupon serve: --%s can be %s, not \"%s\"\n", specs[option].name,
            specs[option].value, value);
    return -1;
}

/* Every option of claimers' credentials is wanted, allowed, or of another way. */
static bool fits_auth(const char **values, enum claim_auth auth) {
    static const struct {
        enum option option;
        enum claim_auth of;
        bool wanted;
    } table[] = {{OPTION_CLAIM_TOKEN_FILE, CLAIM_AUTH_TOKEN, true},
                 {OPTION_JWT_ALGORITHM, CLAIM_AUTH_JWT, true},
                 {OPTION_JWT_KEY_FILE, CLAIM_AUTH_JWT, true},
                 {OPTION_JWT_ISSUER, CLAIM_AUTH_JWT, false},
                 {OPTION_JWT_AUDIENCE, CLAIM_AUTH_JWT, false}};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        const char *way = table[i].of == CLAIM_AUTH_JWT ? "jwt" : "token";
        bool given = values[table[i].option] != NULL;
        if (given && table[i].of != auth) {
            fprintf(stderr, "coupon serve: --%s goes with --claim-auth=%s only\n",
                    specs[table[i].option].name, way);
            return false;
        }
        if (!given && table[i].of == auth && table[i].wanted) {
            fprintf(stderr, "coupon serve: --claim-auth=%s wants --%s\n", way,
                    specs[table[i].option].name);
            return false;
        }
    }
    return true;
}

static bool read_rules(const char **values, struct server *server) {
    static const char *const ways[] = {
        [CLAIM_AUTH_NONE] = "none", [CLAIM_AUTH_TOKEN] = "token", [CLAIM_AUTH_JWT] = "jwt", NULL};
    static const char *const algorithms[] = {
        [JWT_HS256] = "HS256", [JWT_RS256] = "RS256", [JWT_ES256] = "ES256", NULL};
    const char *way = values[OPTION_CLAIM_AUTH] ? values[OPTION_CLAIM_AUTH] : "none";
    const char *algorithm = values[OPTION_JWT_ALGORITHM];
    int auth = option_choice(OPTION_CLAIM_AUTH, way, ways);
    if (auth < 0 || !fits_auth(values, (enum claim_auth)auth)) {
        return false;
    }
    int number = algorithm ? option_choice(OPTION_JWT_ALGORITHM, algorithm, algorithms) : 0;
    if (number < 0) {
        return false;
    }
    server->rules = (struct api_rules){
        .claim_auth = (enum claim_auth)auth,
        .jwt_algorithm = (enum jwt_algorithm)number,
        .jwt_issuer = values[OPTION_JWT_ISSUER],
        .jwt_audience = values[OPTION_JWT_AUDIENCE],
    };
    return true;
}

static bool read_secret_files(const char **values, struct server *server) {
    struct complaint complaint;
    server->admin_token_given = values[OPTION_ADMIN_TOKEN_FILE] != NULL;
    server->secrets.jwt_key.public = server->rules.jwt_algorithm != JWT_HS256;
    if (secret_files_init(&server->secrets, values[OPTION_ADMIN_TOKEN_FILE],
                          values[OPTION_CLAIM_TOKEN_FILE], values[OPTION_JWT_KEY_FILE],
                          values[OPTION_DATA] ? values[OPTION_DATA] : "", &complaint)) {
        fprintf(stderr, "coupon serve: %s\n", complaint.text);
        return false;
    }
    return true;
}

/* Where the record is: in a folder of ours, or in a SQL server. */
static bool read_place(const char **values, struct server *server) {
    const char *url = values[OPTION_LEDGER];
    if (url && values[OPTION_DATA]) {
        fprintf(stderr, "coupon serve: the record is in --data or in --ledger, not in both\n");
        return false;
    }
    if (url && !values[OPTION_ADMIN_TOKEN_FILE]) {
        fprintf(stderr,
                "coupon serve: --ledger wants --admin-token-file, alike for all servers of this "
                "ledger: lines of NAME TOKEN, one of which can be made by\n"
                "  (umask 077; echo \"ops $(openssl rand -hex 32)\" > admin-token)\n");
        return false;
    }
    if (!url && (values[OPTION_WEAK_DURABILITY] || values[OPTION_REDIS])) {
        fprintf(stderr, "coupon serve: --%s goes with --ledger only\n",
                values[OPTION_REDIS] ? "redis" : "allow-weak-durability");
        return false;
    }
    if (!url && !values[OPTION_DATA]) {
        values[OPTION_DATA] = "data";
    }
    server->ledger_url = url;
    server->sql.ledger.url = url;
    server->sql.ledger.weak_durability = values[OPTION_WEAK_DURABILITY] != NULL;
    server->redis.ledger = server->sql.ledger;
    server->redis.redis_url = values[OPTION_REDIS];
    server->local.directory = values[OPTION_DATA];
    return true;
}

/* Where other programs have work too, fewer loops than cores are right, and they may wander. */
static bool read_affinity(const char **values, struct server *server) {
    static const char *const ways[] = {"auto", "off", NULL};
    int way = option_choice(OPTION_CPU_AFFINITY, values[OPTION_CPU_AFFINITY], ways);
    server->http.pin_loops = way == 0 && server->http.loop_count == core_count();
    return way >= 0;
}

static bool read_options(const char **values, struct server *server) {
    uint64_t threads = core_count();
    uint64_t connections = 0;
    uint64_t queue = 0;
    uint64_t log_mib = 0;
    if (!read_place(values, server) || !read_rules(values, server) ||
        !read_listen(values, server) || !read_secret_files(values, server) ||
        (values[OPTION_THREADS] && !option_number(&specs[OPTION_THREADS], values[OPTION_THREADS], 1,
                                                  THREADS_MAX, &threads)) ||
        !option_number(&specs[OPTION_CONNECTIONS], values[OPTION_CONNECTIONS], 1, CONNECTIONS_MAX,
                       &connections) ||
        !option_number(&specs[OPTION_QUEUE], values[OPTION_QUEUE], 1, QUEUE_MAX, &queue) ||
        !option_number(&specs[OPTION_BACKUP_LOG_MAX], values[OPTION_BACKUP_LOG_MAX], 1, LOG_MIB_MAX,
                       &log_mib)) {
        return false;
    }
    server->http.loop_count = (unsigned)threads;
    server->http.connections_max = (unsigned)connections;
    server->local.queue_max = (size_t)queue;
    server->sql.queue_max = (size_t)queue;
    server->redis.queue_max = (size_t)queue;
    server->local.held_size_max = (int64_t)(log_mib << 20);
    return read_affinity(values, server);
}

/* ---- what the writer tells ---- */

static void on_progress(void *context, uint64_t issues, uint64_t total) {
    static const uint64_t STEP = 1000000;
    (void)context;
    if (issues % STEP == 0) {
        log_event(LOG_INFO, "reading-record", LOG_NUMBER("issues", issues),
                  LOG_NUMBER("of", total));
    }
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
        log_event(
            LOG_ERROR, "storage-unavailable", LOG_TEXT("why", why),
            LOG_TEXT("hint", server->ledger_url
                                 ? "claims get 503 until a write works; look at the SQL server"
                                 : "claims get 503 until a write works; make room on the disk"));
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
    if (room < server->http.connections_max) {
        log_event(LOG_WARN, "connections-limited",
                  LOG_NUMBER("asked", server->http.connections_max),
                  LOG_NUMBER("connections", room),
                  LOG_TEXT("hint", "raise the limit of open files (ulimit -n)"));
        server->http.connections_max = (unsigned)room;
    }
}

static int start_api(struct server *server, struct complaint *complaint) {
    struct api_options options = {
        .issuer = server->running_issuer,
        .rules = server->rules,
        .loop_count = server->http.loop_count,
    };
    int status =
        server->admin_token_given ? STATUS_OK : secret_files_make(&server->secrets, complaint);
    if (status == STATUS_OK) {
        status = secret_files_read(&server->secrets, &options.secrets, complaint);
    }
    if (status == STATUS_OK) {
        status = api_new(&options, &server->api, complaint);
    }
    secret_files_wipe(&server->secrets);
    return status;
}

static int start_issuer(struct server *server, struct complaint *complaint) {
    if (server->redis.redis_url) {
        return issuer_redis_start(&server->redis, &server->running_issuer, complaint);
    }
    return server->ledger_url
               ? issuer_sql_start(&server->sql, &server->running_issuer, complaint)
               : issuer_local_start(&server->local, &server->running_issuer, complaint);
}

static int start(struct server *server, struct complaint *complaint) {
    int status = start_issuer(server, complaint);
    if (status == STATUS_OK) {
        status = start_api(server, complaint);
    }
    if (status == STATUS_OK) {
        struct http_handler handler = api_handler(server->api);
        status = http_server_start(&server->http, &handler, &server->http_server, complaint);
    }
    if (status == STATUS_OK) {
        api_server_started(server->api, server->http_server);
    }
    return status;
}

static void log_listening(const struct server *server) {
    char address[96];
    snprintf(address, sizeof(address), strchr(server->host, ':') ? "[%s]:%u" : "%s:%u",
             server->host, http_server_port(server->http_server));
    log_event(LOG_INFO, "listening", LOG_TEXT("address", address),
              LOG_NUMBER("threads", server->http.loop_count),
              LOG_TEXT("admin_token_file", server->secrets.admin.path),
              LOG_TEXT("version", COUPON_VERSION));
    if (server->rules.claim_auth == CLAIM_AUTH_JWT &&
        !(server->rules.jwt_issuer && server->rules.jwt_audience)) {
        log_event(LOG_WARN, "jwt-unrestricted",
                  LOG_TEXT("hint", "tokens made for other services may be taken; give "
                                   "--jwt-issuer and --jwt-audience"));
    }
}

/* A file that cannot be taken leaves all the former credentials in force. */
static void reload_secrets(struct server *server) {
    struct complaint complaint;
    struct api_secrets secrets;
    if (secret_files_read(&server->secrets, &secrets, &complaint) ||
        api_secrets_replace(server->api, &secrets, &complaint)) {
        log_event(LOG_ERROR, "credentials-kept", LOG_TEXT("why", complaint.text),
                  LOG_TEXT("hint", "the former ones stay in force; mend the file and send SIGHUP "
                                   "again"));
    } else {
        log_event(LOG_INFO, "credentials-reloaded",
                  LOG_TEXT("admin_token_file", server->secrets.admin.path));
    }
    secret_files_wipe(&server->secrets);
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
                      server->ledger_url
                          ? LOG_TEXT("mode", server->redis.redis_url ? "redis" : "sql")
                          : LOG_TEXT("data", server->local.directory));
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
    digest_key_random(&server->local.digest_key);
    raise_descriptor_limit(server);
    int exit_code = EXIT_CODE_OK;
    if (start(server, &complaint)) {
        exit_code = fail("cannot-start", &complaint);
    } else {
        log_listening(server);
        wait_for_end(server);
    }
    exit_code = stop(server, exit_code);
    log_event(LOG_INFO, "stopped", LOG_NUMBER("exit_code", exit_code));
    return exit_code;
}

int command_serve(int argc, char **argv) {
    const char *values[OPTION_COUNT];
    bool help = false;
    static struct server server;
    if (!options_read("serve", specs, argc, argv, values, &help)) {
        if (help) {
            printf("coupon serve: issue coupons over HTTP, recorded in one SQLite file or, with\n"
                   "--ledger, in a SQL server that any number of servers share\n\n"
                   "usage: coupon serve [options]\n\n");
            options_print(specs);
            printf("\nSIGTERM or Ctrl-C: takes no new connections, finishes what is under way,\n"
                   "closes the file and exits with 0. SIGHUP: reads the files of tokens and keys\n"
                   "again; one that cannot be taken leaves the former in force.\n"
                   "Exit code 1: could not start, or not close the file; 2: wrong options; 3:\n"
                   "the outcome of a write is unknown, start anew.\n");
        }
        return help ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    }
    http_options_default(&server.http);
    issuer_local_options_default(&server.local);
    issuer_sql_options_default(&server.sql);
    issuer_redis_options_default(&server.redis);
    if (!read_options(values, &server)) {
        return EXIT_CODE_USAGE;
    }
    server.local.progress = on_progress;
    server.local.held = on_held;
    server.local.state_changed = on_state;
    server.local.context = &server;
    server.sql.state_changed = on_state;
    server.sql.context = &server;
    server.redis.state_changed = on_state;
    server.redis.rebuilt = on_rebuilt;
    server.redis.context = &server;
    return serve(&server);
}
