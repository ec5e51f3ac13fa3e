/* load-client: claims over HTTP on 127.0.0.1, in the manner asked for; one line of JSON at the end.
 *
 * Reads the arguments into a plan, starts the workers, waits for them. Not for: judging what was
 * answered (it counts), replies without a Content-Length, other machines. Called by the parts of
 * ./dev bench and by tests/e2e/test_load_client.py; a person may. */
#include "load/load.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define DESCRIPTORS_SPARE 32

static const char use[] =
    "use: load-client MODE --port N --path PATH [options]\n"
    "\n"
    "  crowd    --users N [--again PERCENT] [--seed S]: users u-S-0 … u-S-(N-1), shuffled; "
    "PERCENT\n"
    "           of them ask a second time at once, over another connection\n"
    "  sustain  --seconds N --prefix P: a new user each time, P-0, P-1 …\n"
    "  rate     --rate N --seconds N --prefix P: so many new users a second, whether or not "
    "answers\n"
    "           come; latency counts from when a request was meant to leave\n"
    "  herd     --users N --prefix P [--within-ms N]: N connections, opened within 1000 ms, a "
    "claim\n"
    "           on each as soon as it is open; latency counts from connect()\n"
    "  event    --users N --coupons FIRST:COUNT --prefix P [--seed S]: N users over COUNT "
    "coupons,\n"
    "           equally many each, in random order; {} in PATH is the coupon's id\n"
    "\n"
    "  --connections N  of all threads [256]; a lost one is opened again\n"
    "  --threads N      [1]\n"
    "  --body TEXT      is posted instead of a claim\n"
    "  --header TEXT    'Name: value', besides the usual; may be given eight times\n"
    "  --told FILE      gets the names of the users that were told 201, a line each\n"
    "  --patience N     seconds without an answer after which it gives up [10]\n"
    "\n"
    "Requests = those answered (status) + failed. SIGTERM ends it at once, and it still tells.\n";

enum named {
    OPTION_PORT = 1,
    OPTION_PATH,
    OPTION_CONNECTIONS,
    OPTION_THREADS,
    OPTION_USERS,
    OPTION_AGAIN,
    OPTION_SEED,
    OPTION_SECONDS,
    OPTION_PREFIX,
    OPTION_RATE,
    OPTION_WITHIN,
    OPTION_COUPONS,
    OPTION_BODY,
    OPTION_HEADER,
    OPTION_TOLD,
    OPTION_PATIENCE,
};

static const struct option options[] = {
    {"port", required_argument, NULL, OPTION_PORT},
    {"path", required_argument, NULL, OPTION_PATH},
    {"connections", required_argument, NULL, OPTION_CONNECTIONS},
    {"threads", required_argument, NULL, OPTION_THREADS},
    {"users", required_argument, NULL, OPTION_USERS},
    {"again", required_argument, NULL, OPTION_AGAIN},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"prefix", required_argument, NULL, OPTION_PREFIX},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"within-ms", required_argument, NULL, OPTION_WITHIN},
    {"coupons", required_argument, NULL, OPTION_COUPONS},
    {"body", required_argument, NULL, OPTION_BODY},
    {"header", required_argument, NULL, OPTION_HEADER},
    {"told", required_argument, NULL, OPTION_TOLD},
    {"patience", required_argument, NULL, OPTION_PATIENCE},
    {0},
};

/* What was said, before it is a plan. */
struct said {
    const char *path;
    const char *prefix;
    const char *told;
    const char *body;
    const char *headers[HEADERS_MAX];
    size_t header_count;
    char crowd_prefix[REQUEST_PREFIX_MAX];
};

static void refuse(const char *what, const char *text) {
    fprintf(stderr, "load-client: %s: %s\n\n%s", what, text, use);
    exit(2);
}

static uint64_t number_of(struct slice text, uint64_t min, uint64_t max) {
    uint64_t number = 0;
    if (slice_to_u64(text, max, &number) < 0 || number < min) {
        refuse("not a number it takes", text.bytes);
    }
    return number;
}

static void read_coupons(struct plan *plan, const char *text) {
    const char *colon = strchr(text, ':');
    if (!colon) {
        refuse("wants FIRST:COUNT", text);
    }
    plan->coupon_first =
        number_of((struct slice){text, (size_t)(colon - text)}, 1, JSON_INTEGER_MAX);
    plan->coupon_count = number_of(slice_of(colon + 1), 1, UINT32_MAX);
}

static void read_option(struct plan *plan, struct said *said, int option, const char *text) {
    struct slice value = slice_of(text);
    switch (option) {
    case OPTION_PORT:
        plan->port = (uint16_t)number_of(value, 1, UINT16_MAX);
        break;
    case OPTION_PATH:
        said->path = text;
        break;
    case OPTION_CONNECTIONS:
        plan->connections = number_of(value, 1, CONNECTIONS_MAX);
        break;
    case OPTION_THREADS:
        plan->threads = number_of(value, 1, THREADS_MAX);
        break;
    case OPTION_USERS:
        plan->users = number_of(value, 1, UINT32_MAX);
        break;
    case OPTION_AGAIN:
        plan->again = number_of(value, 0, 100);
        break;
    case OPTION_SEED:
        plan->seed = number_of(value, 0, UINT32_MAX);
        break;
    case OPTION_SECONDS:
        plan->duration_us = (int64_t)number_of(value, 1, 86400) * US_PER_SECOND;
        break;
    case OPTION_PREFIX:
        said->prefix = text;
        break;
    case OPTION_RATE:
        plan->rate = number_of(value, 1, 10000000);
        break;
    case OPTION_WITHIN:
        plan->duration_us = (int64_t)number_of(value, 1, 60000) * 1000;
        break;
    case OPTION_COUPONS:
        read_coupons(plan, text);
        break;
    case OPTION_BODY:
        said->body = text;
        break;
    case OPTION_HEADER:
        if (said->header_count == HEADERS_MAX) {
            refuse("too many headers", text);
        }
        said->headers[said->header_count++] = text;
        break;
    case OPTION_TOLD:
        said->told = text;
        break;
    case OPTION_PATIENCE:
        plan->patience_us = (int64_t)number_of(value, 1, 3600) * US_PER_SECOND;
        break;
    default:
        refuse("it takes", "");
    }
}

static const struct mode *mode_of(const char *name) {
    static const struct mode *const modes[] = {&mode_crowd, &mode_sustain, &mode_rate, &mode_herd,
                                               &mode_event};
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        if (strcmp(modes[i]->name, name) == 0) {
            return modes[i];
        }
    }
    refuse("there is no mode", name);
    return NULL;
}

static void check(struct plan *plan, struct said *said) {
    const struct mode *mode = plan->mode;
    bool timed = mode == &mode_sustain || mode == &mode_rate;
    if (!plan->port || !said->path) {
        refuse(mode->name, "wants --port and --path");
    }
    if (timed ? !plan->duration_us : !plan->users) {
        refuse(mode->name, timed ? "wants --seconds" : "wants --users");
    }
    if (mode == &mode_rate && !plan->rate) {
        refuse(mode->name, "wants --rate");
    }
    if (mode == &mode_crowd) {
        snprintf(said->crowd_prefix, sizeof(said->crowd_prefix), "u-%" PRIu64, plan->seed);
        said->prefix = said->crowd_prefix;
    }
    if (!said->prefix) {
        refuse(mode->name, "wants --prefix");
    }
    if (mode == &mode_herd) {
        plan->connections = plan->users < CONNECTIONS_MAX ? plan->users : CONNECTIONS_MAX;
        plan->users = plan->connections;
        plan->duration_us = plan->duration_us ? plan->duration_us : US_PER_SECOND;
    }
    plan->threads = plan->threads < plan->connections ? plan->threads : plan->connections;
}

/* `said` stays as long as the plan. */
static void read_plan(struct plan *plan, struct said *said, int argc, char **argv) {
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        fputs(use, argc < 2 ? stderr : stdout);
        exit(argc < 2 ? 2 : 0);
    }
    plan->mode = mode_of(argv[1]);
    for (int option = 0; (option = getopt_long(argc - 1, argv + 1, "", options, NULL)) != -1;) {
        read_option(plan, said, option, optarg ? optarg : "");
    }
    if (optind < argc - 1) {
        refuse("it does not take", argv[1 + optind]);
    }
    check(plan, said);
    if (request_make(&plan->request, plan->port, said->path, said->headers, said->header_count,
                     said->prefix, said->body) < 0) {
        refuse("path, headers, body or prefix are too long", said->path);
    }
    if (said->told) {
        plan->told = open(said->told, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
        if (plan->told < 0) {
            refuse(said->told, strerror(errno));
        }
    }
}

/* A descriptor a connection. */
static void raise_descriptor_limit(const struct plan *plan) {
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < plan->connections + DESCRIPTORS_SPARE) {
        refuse("more connections than the limit of open files (ulimit -n)", "raise it");
    }
}

static void stop(int number) {
    (void)number;
    workers_stop();
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Returns the processor time from the start of the clock to the end. */
static double run_workers(struct plan *plan, struct worker *workers) {
    pthread_barrier_init(&plan->gate, NULL, (unsigned)plan->threads + 1);
    for (size_t i = 0; i < plan->threads; i++) {
        workers[i].plan = plan;
        workers[i].number = i;
        workers[i].connection_count = (plan->connections + plan->threads - 1 - i) / plan->threads;
        if (pthread_create(&workers[i].thread, NULL, worker_run, &workers[i])) {
            refuse("no thread", strerror(errno));
        }
    }
    pthread_barrier_wait(&plan->gate);
    double before = cpu_seconds();
    plan->start_us = clock_monotonic_us();
    pthread_barrier_wait(&plan->gate);
    for (size_t i = 0; i < plan->threads; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    pthread_barrier_destroy(&plan->gate);
    return cpu_seconds() - before;
}

int main(int argc, char **argv) {
    static struct worker workers[THREADS_MAX];
    struct plan plan = {.connections = 256,
                        .threads = 1,
                        .patience_us = 10 * US_PER_SECOND,
                        .coupon_count = 1,
                        .told = -1};
    struct said said = {0};
    struct sigaction action = {.sa_handler = stop};
    read_plan(&plan, &said, argc, argv);
    raise_descriptor_limit(&plan);
    if (plan_prepare(&plan) < 0) {
        refuse("no memory", "for so many users");
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    prctl(PR_SET_TIMERSLACK, 1UL); /* threads inherit it: a wait for 100 us is one */
    double client_cpu_s = run_workers(&plan, workers);
    int status = report_print(&plan, workers, client_cpu_s);
    for (size_t i = 0; i < plan.threads; i++) {
        free(workers[i].statuses);
    }
    request_done(&plan.request);
    free(plan.sequence);
    if (plan.told >= 0) {
        close(plan.told);
    }
    return status < 0 ? 1 : 0;
}
