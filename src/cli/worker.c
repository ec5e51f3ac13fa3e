/* coupon worker: settles the queues of Redis in the SQL ledger, from options to exit. */
#include "worker/worker.h"
#include "cli/confine.h"
#include "cli/options.h"

#include <signal.h>
#include <stdio.h>

enum option {
    OPTION_REDIS,
    OPTION_LEDGER,
    OPTION_WEAK_DURABILITY,
    OPTION_USER,
    OPTION_SECCOMP,
    OPTION_CORE_DUMPS,
    OPTION_COUNT
};

static const struct option_spec specs[] = {
    [OPTION_REDIS] = {"redis", "URL",
                      "redis://USER:PASSWORD@HOST:PORT, with ?cluster=1 for a Redis Cluster", NULL},
    [OPTION_LEDGER] = {"ledger", "URL",
                       "the SQL server: postgresql://USER@HOST:PORT/DATABASE or mysql://…", NULL},
    [OPTION_WEAK_DURABILITY] = {"allow-weak-durability", NULL,
                                "take a SQL server whose settings may lose what it confirmed",
                                NULL},
    [OPTION_USER] = CONFINE_USER_SPEC,
    [OPTION_SECCOMP] = CONFINE_SECCOMP_SPEC,
    [OPTION_CORE_DUMPS] = CONFINE_CORE_DUMPS_SPEC,
    [OPTION_COUNT] = {NULL, NULL, NULL, NULL},
};

static struct worker *running; /* for the signal's handler */

static void on_signal(int number) {
    (void)number;
    worker_stop(running);
}

static void on_state(void *context, enum worker_state state, const char *why) {
    (void)context;
    switch (state) {
    case WORKER_STARTING:
        break;
    case WORKER_WORKING:
        log_event(LOG_INFO, "ready", LOG_TEXT("hint", "settling what waits in Redis"));
        break;
    case WORKER_REDIS_AWAY:
        log_event(LOG_WARN, "redis-unavailable", LOG_TEXT("why", why),
                  LOG_TEXT("hint", "tried again until it works"));
        break;
    case WORKER_LEDGER_AWAY:
        log_event(LOG_WARN, "ledger-unavailable", LOG_TEXT("why", why),
                  LOG_TEXT("hint", "tried again until it works; nothing is lost meanwhile"));
        break;
    }
}

static void on_rebuilt(void *context, unsigned partition, uint64_t epoch, const char *why) {
    (void)context;
    log_event(LOG_WARN, "partition-rebuilt", LOG_NUMBER("partition", partition),
              LOG_NUMBER("epoch", epoch), LOG_TEXT("why", why));
}

static int work(const struct worker_options *options, const struct confine_options *confine) {
    struct complaint complaint = {0};
    if (confine_begin(confine, &complaint) || worker_new(options, &running, &complaint) ||
        confine_finish(confine, &complaint)) {
        worker_free(running);
        log_event(LOG_ERROR, "cannot-start", LOG_TEXT("why", complaint.text));
        return EXIT_CODE_FAILED;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    log_event(LOG_INFO, "starting", LOG_TEXT("version", COUPON_VERSION));
    worker_run(running);
    struct worker_figures figures = worker_figures(running);
    worker_free(running);
    log_event(LOG_INFO, "stopped", LOG_NUMBER("claims", figures.claims),
              LOG_NUMBER("issued", figures.issued), LOG_NUMBER("rejected", figures.rejected),
              LOG_NUMBER("settlements", figures.settlements));
    return EXIT_CODE_OK;
}

int command_worker(int argc, char **argv) {
    const char *values[OPTION_COUNT];
    bool help = false;
    struct worker_options options;
    if (!options_read("worker", specs, argc, argv, values, &help)) {
        if (help) {
            printf("coupon worker: settle what waits in Redis in the SQL ledger\n\n"
                   "usage: coupon worker --redis URL --ledger URL\n\n");
            options_print(specs);
            printf("\nAny number of workers may run. SIGTERM or Ctrl-C: finishes the batch and\n"
                   "exits with 0. Exit code 1: could not start; 2: wrong options.\n");
        }
        return help ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    }
    if (!values[OPTION_REDIS] || !values[OPTION_LEDGER]) {
        fprintf(stderr, "coupon worker: --redis and --ledger must be given\n");
        return EXIT_CODE_USAGE;
    }
    struct confine_options confine = {.connects = true};
    if (!confine_read("worker", values[OPTION_USER], values[OPTION_SECCOMP],
                      values[OPTION_CORE_DUMPS], &confine)) {
        return EXIT_CODE_USAGE;
    }
    worker_options_default(&options);
    options.link.redis = (struct redis_options){.url = values[OPTION_REDIS]};
    options.link.ledger.url = values[OPTION_LEDGER];
    options.link.ledger.weak_durability = values[OPTION_WEAK_DURABILITY] != NULL;
    options.state_changed = on_state;
    options.rebuilt = on_rebuilt;
    return work(&options, &confine);
}
