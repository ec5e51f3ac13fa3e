/* One run: some seconds of a rush in which things go wrong, then time to recover, then questions
 * to which there must be answers. See run.h. */
#include "sim/distributed/run.h"

#include "sim/distributed/oracle.h"
#include "sim/distributed/people.h"
#include "sim/distributed/programs.h"
#include "sim/distributed/redis_client.h"
#include "sim/distributed/trouble.h"

#include <stdio.h>

#define EVENTS_MAX 3000000
/* A gate that nobody asks for is opened by whoever has found it shut at three polls. */
static const int64_t RECOVERY_US = 4 * US_PER_SECOND;
static const int64_t PROBE_US = 5 * US_PER_SECOND;

static void world_begin(uint64_t seed) {
    scheduler_begin(seed);
    trace("seed %llu", (unsigned long long)seed);
    sql_server_begin();
    people_coupons();
    oracle_begin();
    redis_clients_begin();
    unsigned servers = 1 + (unsigned)random_below(dice(), SERVERS_MAX); /* drawn in this order */
    servers_begin(servers, (enum redis_file)random_below(dice(), 3));
}

static void go_until(int64_t until_us) {
    if (!scheduler_run(until_us, EVENTS_MAX)) {
        oracle_violation("the run does not come to its end: a loop somewhere");
    }
}

struct run_result run(uint64_t seed) {
    world_begin(seed);
    int64_t trouble_until_us = now_us() + random_between(dice(), US_PER_SECOND, 4 * US_PER_SECOND);
    bool with_redis = random_chance(dice(), 3, 4);
    trouble_begin(trouble_until_us, with_redis);
    unsigned nodes = 1 + (unsigned)random_below(dice(), 3);
    unsigned workers = with_redis ? 1 + (unsigned)random_below(dice(), 3) : 0;
    programs_begin(nodes, workers, with_redis);
    people_begin(trouble_until_us);
    go_until(trouble_until_us);
    trouble_end();
    go_until(now_us() + RECOVERY_US);
    people_probe();
    go_until(now_us() + PROBE_US);
    people_check();
    oracle_all_settled();
    struct run_result result = {.violations = oracle_end(), .events = scheduler_events()};
    snprintf(result.first, sizeof(result.first), "%s", oracle_first());
    scheduler_end();
    result.hash = trace_hash();
    return result;
}
