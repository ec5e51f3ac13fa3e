/* The command line of coupon serve into values. See serve.h; what they do is serve.c's. */
#include "cli/options.h"
#include "cli/serve.h"

#include <sched.h>
#include <stdio.h>

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
    OPTION_USER,
    OPTION_SECCOMP,
    OPTION_CORE_DUMPS,
    OPTION_COUNT,
};

static const struct option_spec specs[] = {
    [OPTION_LISTEN] = {"listen", "ADDRESS:PORT",
                       "where to listen: a numeric address or localhost; port 0: any free one",
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
    [OPTION_USER] = CONFINE_USER_SPEC,
    [OPTION_SECCOMP] = CONFINE_SECCOMP_SPEC,
    [OPTION_CORE_DUMPS] = CONFINE_CORE_DUMPS_SPEC,
    [OPTION_COUNT] = {NULL, NULL, NULL, NULL},
};

enum { THREADS_MAX = 256, CONNECTIONS_MAX = 1000000, QUEUE_MAX = 10000000, LOG_MIB_MAX = 1 << 20 };

static uint64_t core_count(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) ? 1 : (uint64_t)CPU_COUNT(&set);
}

static bool read_listen(const char **values, struct serve_options *options) {
    bool loopback = false;
    const char *auth = values[OPTION_CLAIM_AUTH];
    if (option_listen(values[OPTION_LISTEN], options->host, &options->http.port, &loopback)) {
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
    options->http.host = options->host;
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

static bool read_rules(const char **values, struct serve_options *options) {
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
    options->rules = (struct api_rules){
        .claim_auth = (enum claim_auth)auth,
        .jwt_algorithm = (enum jwt_algorithm)number,
        .jwt_issuer = values[OPTION_JWT_ISSUER],
        .jwt_audience = values[OPTION_JWT_AUDIENCE],
    };
    return true;
}

static bool read_secret_files(const char **values, struct serve_options *options) {
    struct complaint complaint;
    options->admin_token_given = values[OPTION_ADMIN_TOKEN_FILE] != NULL;
    options->secrets.jwt_key.public = options->rules.jwt_algorithm != JWT_HS256;
    if (secret_files_init(&options->secrets, values[OPTION_ADMIN_TOKEN_FILE],
                          values[OPTION_CLAIM_TOKEN_FILE], values[OPTION_JWT_KEY_FILE],
                          values[OPTION_DATA] ? values[OPTION_DATA] : "", &complaint)) {
        fprintf(stderr, "coupon serve: %s\n", complaint.text);
        return false;
    }
    return true;
}

/* Where the record is: in a folder of ours, or in a SQL server. */
static bool read_place(const char **values, struct serve_options *options) {
    const char *url = values[OPTION_LEDGER];
    if (url && values[OPTION_DATA]) {
        fprintf(stderr, "coupon serve: the record is in --data or in --ledger, not in both; an "
                        "empty COUPON_DATA= takes back one that the environment has\n");
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
    options->ledger_url = url;
    options->confine.connects = url != NULL;
    options->sql.ledger.url = url;
    options->sql.ledger.weak_durability = values[OPTION_WEAK_DURABILITY] != NULL;
    options->redis.ledger = options->sql.ledger;
    options->redis.redis_url = values[OPTION_REDIS];
    options->local.directory = values[OPTION_DATA];
    return true;
}

/* Where other programs have work too, fewer loops than cores are right, and they may wander. */
static bool read_affinity(const char **values, struct serve_options *options) {
    static const char *const ways[] = {"auto", "off", NULL};
    int way = option_choice(OPTION_CPU_AFFINITY, values[OPTION_CPU_AFFINITY], ways);
    options->http.pin_loops = way == 0 && options->http.loop_count == core_count();
    return way >= 0;
}

static bool read_values(const char **values, struct serve_options *options) {
    uint64_t threads = core_count();
    uint64_t connections = 0;
    uint64_t queue = 0;
    uint64_t log_mib = 0;
    if (!read_place(values, options) || !read_rules(values, options) ||
        !read_listen(values, options) || !read_secret_files(values, options) ||
        (values[OPTION_THREADS] && !option_number(&specs[OPTION_THREADS], values[OPTION_THREADS], 1,
                                                  THREADS_MAX, &threads)) ||
        !option_number(&specs[OPTION_CONNECTIONS], values[OPTION_CONNECTIONS], 1, CONNECTIONS_MAX,
                       &connections) ||
        !option_number(&specs[OPTION_QUEUE], values[OPTION_QUEUE], 1, QUEUE_MAX, &queue) ||
        !option_number(&specs[OPTION_BACKUP_LOG_MAX], values[OPTION_BACKUP_LOG_MAX], 1, LOG_MIB_MAX,
                       &log_mib) ||
        !confine_read("serve", values[OPTION_USER], values[OPTION_SECCOMP],
                      values[OPTION_CORE_DUMPS], &options->confine)) {
        return false;
    }
    options->http.loop_count = (unsigned)threads;
    options->http.connections_max = (unsigned)connections;
    options->local.queue_max = (size_t)queue;
    options->sql.queue_max = (size_t)queue;
    options->redis.queue_max = (size_t)queue;
    options->local.held_size_max = (int64_t)(log_mib << 20);
    return read_affinity(values, options);
}

bool serve_options_read(int argc, char **argv, struct serve_options *ret_options, bool *ret_help) {
    const char *values[OPTION_COUNT];
    if (!options_read("serve", specs, argc, argv, values, ret_help)) {
        return false;
    }
    *ret_options = (struct serve_options){.ledger_url = NULL};
    http_options_default(&ret_options->http);
    issuer_local_options_default(&ret_options->local);
    issuer_sql_options_default(&ret_options->sql);
    issuer_redis_options_default(&ret_options->redis);
    return read_values(values, ret_options);
}

void serve_options_print(void) {
    options_print(specs);
}
