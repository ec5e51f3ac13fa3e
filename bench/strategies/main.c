/* strategies-server: one of the original system's designs, behind the project's own HTTP and API,
 * on a Redis and a MariaDB that run already. Not for: anybody's use (see strategy.h); our own
 * designs, which are `coupon serve`. Called by suite/parts/strategies.py.
 *
 *   options -> pool -> api -> port -> wait -> drain -> close */
#include "strategy.h"

#include "api/api.h"
#include "http/http.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { EXIT_CODE_OK = 0, EXIT_CODE_FAILED = 1, EXIT_CODE_USAGE = 2 };
enum { THREADS_MAX = 256, CONNECTIONS_MAX = 1000000, DESCRIPTORS_SPARE = 1024 };
static const int64_t DRAIN_US = 15 * US_PER_SECOND; /* longer than a lock is waited for */

static const struct strategy *const strategies[] = {
    &strategy_race, &strategy_sql_lock, &strategy_redis_lock, &strategy_sorted_set,
    &strategy_set,  &strategy_set_lock, &strategy_lua};

enum drains { DRAINS_ON, DRAINS_OFF, DRAINS_ONLY };

struct program {
    struct pool_options pool;
    struct http_options http;
    enum drains drains;
    const char *redis_url;
    const char *sql_url;
    const char *admin_token_file;
    char host[64];
    char admin_token[4096];
};

/* ---- options ---- */

static void print_help(void) {
    printf("strategies-server: a design of the original system, to be measured\n\n"
           "usage: strategies-server NAME [options]\n\n");
    for (size_t i = 0; i < COUNT_OF(strategies); i++) {
        printf("  %-12s %s\n", strategies[i]->name, strategies[i]->summary);
    }
    printf(
        "\n"
        "  --listen ADDRESS:PORT    where to listen; port 0: any free one [127.0.0.1:8080]\n"
        "  --threads N              event loops of HTTP [1]\n"
        "  --pool N                 threads that take claims, each with connections of its own\n"
        "                           to Redis and MariaDB [32]\n"
        "  --connections N          clients at once [10000]\n"
        "  --redis URL              redis://USER:PASSWORD@HOST:PORT; or COUPON_REDIS\n"
        "  --sql URL                mysql://USER:PASSWORD@HOST:PORT/DATABASE; or COUPON_LEDGER;\n"
        "                           the tables are made when they are missing\n"
        "  --admin-token-file FILE  who may create coupons: lines of NAME TOKEN\n"
        "  --drain on|off|only      the worker that writes rows from the queue in Redis: in this\n"
        "                           process, not at all, or nothing but it, until the queue is\n"
        "                           empty [on]\n"
        "\n"
        "Whoever claims is believed. SIGTERM or Ctrl-C: finishes what is under way, exits with\n"
        "0; what is queued stays in Redis. Exit code 1: could not start; 2: wrong options.\n");
}

static bool misuse(const char *sentence, const char *what) {
    fprintf(stderr, "strategies-server: %s%s; see --help\n", sentence, what);
    return false;
}

static bool read_number(const char *text, uint64_t max, unsigned *ret_number) {
    uint64_t number = 0;
    if (slice_to_u64(slice_of(text), max, &number) || number == 0) {
        return misuse("not a number in its bounds: ", text);
    }
    *ret_number = (unsigned)number;
    return true;
}

static bool read_listen(const char *text, struct program *program) {
    const char *colon = strrchr(text, ':');
    uint64_t port = 0;
    size_t host_size = colon ? (size_t)(colon - text) : 0;
    if (host_size == 0 || host_size >= sizeof(program->host) ||
        slice_to_u64(slice_of(colon + 1), UINT16_MAX, &port)) {
        return misuse("--listen wants an address and a port, not ", text);
    }
    memcpy(program->host, text, host_size);
    program->http.host = program->host;
    program->http.port = (uint16_t)port;
    return true;
}

static bool read_drains(const char *text, enum drains *ret_drains) {
    static const char *const words[] = {
        [DRAINS_ON] = "on", [DRAINS_OFF] = "off", [DRAINS_ONLY] = "only"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret_drains = (enum drains)i;
            return true;
        }
    }
    return misuse("--drain can be on, off or only, not ", text);
}

static bool read_name(const char *name, const struct strategy **ret_strategy) {
    for (size_t i = 0; i < COUNT_OF(strategies); i++) {
        if (strcmp(strategies[i]->name, name) == 0) {
            *ret_strategy = strategies[i];
            return true;
        }
    }
    return misuse("there is no design ", name);
}

static bool read_option(int option, struct program *program) {
    switch (option) {
    case 'l':
        return read_listen(optarg, program);
    case 't':
        return read_number(optarg, THREADS_MAX, &program->http.loop_count);
    case 'p':
        return read_number(optarg, THREADS_MAX, &program->pool.threads);
    case 'c':
        return read_number(optarg, CONNECTIONS_MAX, &program->http.connections_max);
    case 'r':
        program->redis_url = optarg;
        return true;
    case 's':
        program->sql_url = optarg;
        return true;
    case 'a':
        program->admin_token_file = optarg;
        return true;
    case 'd':
        return read_drains(optarg, &program->drains);
    default:
        return misuse("an option cannot be taken", "");
    }
}

/* Where the servers are. A design that uses no Redis needs none. */
static bool read_urls(struct program *program) {
    struct complaint complaint;
    bool wants_redis = program->drains == DRAINS_ONLY || program->pool.strategy->uses_redis;
    if (!program->sql_url || (wants_redis && !program->redis_url)) {
        return misuse("wants ", program->sql_url ? "--redis URL" : "--sql URL");
    }
    if (address_read(program->sql_url, "mysql", &program->pool.sql, &complaint) ||
        (wants_redis &&
         address_read(program->redis_url, "redis", &program->pool.redis, &complaint))) {
        return misuse(complaint.text, "");
    }
    return true;
}

static bool read_options(int argc, char **argv, struct program *program) {
    static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"pool", required_argument, NULL, 'p'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {"redis", required_argument, NULL, 'r'},
                                            {"sql", required_argument, NULL, 's'},
                                            {"admin-token-file", required_argument, NULL, 'a'},
                                            {"drain", required_argument, NULL, 'd'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h') {
            print_help();
            exit(EXIT_CODE_OK);
        }
        if (!read_option(option, program)) {
            return false;
        }
    }
    if (optind + 1 != argc) {
        return misuse("wants the name of one design", "");
    }
    if (!read_name(argv[optind], &program->pool.strategy) || !read_urls(program)) {
        return false;
    }
    program->pool.drains = program->drains == DRAINS_ON;
    return program->drains == DRAINS_ONLY || program->admin_token_file ||
           misuse("wants --admin-token-file FILE", "");
}

/* ---- serving ---- */

static struct http_handler api_calls;

/* The api sends all claims of a loop's turn as one batch, whose answers leave together. Here a
 * thread takes one claim at a time and answers it, as a web server's pool does: so each claim is
 * sent as soon as it is read, a batch of its own. */
static void request_alone(void *loop_context, struct http_exchange *exchange,
                          const struct http_head *head, struct slice body) {
    api_calls.request(loop_context, exchange, head, body);
    api_calls.turn_end(loop_context);
}

static void raise_descriptor_limit(unsigned connections) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)!setrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_cur < (rlim_t)connections + DESCRIPTORS_SPARE) {
            log_event(LOG_WARN, "connections-limited", LOG_NUMBER("files", limit.rlim_cur),
                      LOG_TEXT("hint", "raise the limit of open files (ulimit -n)"));
        }
    }
}

static int read_token(struct program *program, struct secret *ret_secret,
                      struct complaint *complaint) {
    FILE *file = fopen(program->admin_token_file, "re");
    if (!file) {
        return complain(complaint, STATUS_IO, "cannot read %s: %s", program->admin_token_file,
                        strerror(errno));
    }
    size_t size = fread(program->admin_token, 1, sizeof(program->admin_token), file);
    fclose(file);
    *ret_secret = (struct secret){{program->admin_token, size}, program->admin_token_file};
    return STATUS_OK;
}

static int start_api(struct program *program, struct issuer *issuer, struct api **ret_api,
                     struct complaint *complaint) {
    struct api_options options = {
        .issuer = issuer,
        .rules = {.claim_auth = CLAIM_AUTH_NONE},
        .loop_count = program->http.loop_count,
    };
    int status = read_token(program, &options.secrets.admin_tokens, complaint);
    return status ? status : api_new(&options, ret_api, complaint);
}

static int start_http(struct program *program, struct api *api, struct http_server **ret_server,
                      struct complaint *complaint) {
    api_calls = api_handler(api);
    struct http_handler handler = api_calls;
    handler.request = request_alone;
    int status = http_server_start(&program->http, &handler, ret_server, complaint);
    if (status == STATUS_OK) {
        char address[96];
        api_server_started(api, *ret_server);
        snprintf(address, sizeof(address), "%s:%u", program->host, http_server_port(*ret_server));
        log_event(LOG_INFO, "listening", LOG_TEXT("address", address));
        log_event(LOG_INFO, "ready", LOG_TEXT("mode", program->pool.strategy->name));
    }
    return status;
}

/* Blocked before any thread is made, so that they come to sigwait only. */
static sigset_t block_signals(void) {
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return set;
}

static int serve(struct program *program) {
    struct complaint complaint = {0};
    struct issuer *issuer = NULL;
    struct api *api = NULL;
    struct http_server *server = NULL;
    sigset_t signals = block_signals();
    raise_descriptor_limit(program->http.connections_max);
    int status = pool_start(&program->pool, &issuer, &complaint);
    if (status == STATUS_OK) {
        status = start_api(program, issuer, &api, &complaint);
    }
    if (status == STATUS_OK) {
        status = start_http(program, api, &server, &complaint);
    }
    if (status == STATUS_OK) {
        int number;
        sigwait(&signals, &number);
        http_server_stop(server, DRAIN_US);
    } else {
        log_event(LOG_ERROR, "cannot-start", LOG_TEXT("why", complaint.text));
    }
    if (issuer) {
        (void)issuer_stop(issuer, &complaint); /* a pool always stops */
    }
    http_server_free(server);
    api_free(api);
    issuer_free(issuer);
    return status ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static int drain(const struct program *program) {
    struct complaint complaint = {0};
    uint64_t rows = 0;
    if (drain_all(&program->pool.redis, &program->pool.sql, &rows, &complaint)) {
        log_event(LOG_ERROR, "drain-failed", LOG_TEXT("why", complaint.text),
                  LOG_NUMBER("rows", rows));
        return EXIT_CODE_FAILED;
    }
    log_event(LOG_INFO, "drained", LOG_NUMBER("rows", rows));
    return EXIT_CODE_OK;
}

int main(int argc, char **argv) {
    static struct program program = {.pool.threads = 32, .host = "127.0.0.1"};
    http_options_default(&program.http);
    program.redis_url = getenv("COUPON_REDIS");
    program.sql_url = getenv("COUPON_LEDGER");
    if (!read_options(argc, argv, &program)) {
        return EXIT_CODE_USAGE;
    }
    if (sodium_init() < 0 || mysql_library_init(0, NULL, NULL)) {
        fprintf(stderr, "strategies-server: randomness or the MariaDB library is missing\n");
        return EXIT_CODE_FAILED;
    }
    int code = program.drains == DRAINS_ONLY ? drain(&program) : serve(&program);
    mysql_library_end();
    return code;
}
