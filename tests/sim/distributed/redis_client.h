/* redis_client: what the simulation does to the clients of Redis beside src/redis/redis.h. For
 * run.c and trouble.c. */
#ifndef SIM_DISTRIBUTED_REDIS_CLIENT_H
#define SIM_DISTRIBUTED_REDIS_CLIENT_H

#include "redis/redis.h"
#include "sim/distributed/redis_servers.h"

void redis_clients_begin(void); /* of a run: there are none */
/* All connections of this process to this server are lost. */
void clients_cut_process(const struct process *process, struct redis_server *server);

#endif
