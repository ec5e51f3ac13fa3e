/* Servers: see redis_servers.h. What a function changed reaches replicas and the file as a whole
 * or not at all, as Redis 7 has it (MULTI … EXEC around the effects of a function). */
#include "sim/distributed/redis_servers.h"

#include "sim/distributed/lua_host.h"
#include "sim/distributed/oracle.h"

struct effects {
    struct effects *next;
    int64_t at_us;
    bool library;
    struct change {
        struct change *next;
        struct command_words command;
    } * first, *last;
};

static struct {
    struct redis_server servers[SERVERS_MAX];
    unsigned count;
} world;

struct redis_server *server_at(unsigned number) {
    return number < world.count ? &world.servers[number] : NULL;
}

struct redis_server *server_master(void) {
    for (unsigned i = 0; i < world.count; i++) {
        if (world.servers[i].master && world.servers[i].up) {
            return &world.servers[i];
        }
    }
    return NULL;
}

static void replid_draw(struct redis_server *server) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i + 1 < sizeof(server->replid); i++) {
        server->replid[i] = digits[random_below(dice(), 16)];
    }
}

void servers_begin(unsigned count, enum redis_file file) {
    assert(count >= 1 && count <= SERVERS_MAX);
    world.count = count;
    for (unsigned i = 0; i < count; i++) {
        struct redis_server *server = &world.servers[i];
        *server = (struct redis_server){.number = i, .up = true, .file = file};
        server->data = redis_data_new();
        server->kept = redis_data_new();
        server->clock_skew_us = random_between(dice(), -2000, 2000);
        server->lag_us = random_between(dice(), 200, 40000);
        replid_draw(server);
    }
    world.servers[0].master = true;
    for (unsigned i = 1; i < count; i++) {
        server_follow(&world.servers[i], &world.servers[0]);
    }
}

/* ---- changes on their way ---- */

static void effects_apply(struct redis_data *data, const struct effects *effects) {
    for (const struct change *change = effects->first; change; change = change->next) {
        redis_data_run(data, &change->command);
    }
}

static void effects_keep(struct redis_server *server, const struct effects *effects) {
    struct effects *kept = world_alloc(sizeof(*kept));
    *kept = *effects;
    kept->next = NULL;
    kept->at_us = now_us();
    if (server->effects_last) {
        server->effects_last->next = kept;
    } else {
        server->effects = kept;
    }
    server->effects_last = kept;
}

struct delivery {
    struct redis_server *replica;
    const struct effects *effects;
};

static void on_delivery(void *context, uint64_t link) {
    struct delivery *delivery = context;
    struct redis_server *replica = delivery->replica;
    if (replica->up && !replica->master && replica->link == link) {
        effects_apply(replica->data, delivery->effects);
        replica->library |= delivery->effects->library;
        effects_keep(replica, delivery->effects);
    }
}

static void effects_spread(struct redis_server *server, const struct effects *effects) {
    effects_keep(server, effects);
    for (unsigned i = 0; i < world.count; i++) {
        struct redis_server *replica = &world.servers[i];
        if (replica->following == server && replica->up) {
            struct delivery *delivery = world_alloc(sizeof(*delivery));
            *delivery = (struct delivery){replica, effects};
            event_at(now_us() + replica->lag_us, NULL, on_delivery, delivery, replica->link);
        }
    }
}

static void effect_add(struct redis_server *server, const struct command_words *command) {
    struct change *change = world_alloc(sizeof(*change));
    change->command.count = command->count;
    change->command.words = world_alloc(command->count * sizeof(struct slice));
    for (size_t i = 0; i < command->count; i++) {
        change->command.words[i] = world_copy(command->words[i]);
    }
    struct effects *effects = server->present;
    if (effects->last) {
        effects->last->next = change;
    } else {
        effects->first = change;
    }
    effects->last = change;
}

/* ---- commands ---- */

static struct value run_info(const struct redis_server *server) {
    return value_text(world_text("# Replication\r\nrole:%s\r\nconnected_slaves:0\r\n"
                                 "master_failover_state:no-failover\r\nmaster_replid:%s\r\n"
                                 "master_replid2:0000000000000000000000000000000000000000\r\n",
                                 server->master ? "master" : "slave", server->replid));
}

static struct value run_time(const struct redis_server *server) {
    int64_t time_us = realtime_us() + server->clock_skew_us;
    struct value pair = value_array(2);
    pair.elements[0] = value_text(world_text("%lld", (long long)(time_us / US_PER_SECOND)));
    pair.elements[1] = value_text(world_text("%lld", (long long)(time_us % US_PER_SECOND)));
    return pair;
}

struct value server_call(struct redis_server *server, const struct command_words *command) {
    if (command_is(command, "info")) {
        return run_info(server);
    }
    if (command_is(command, "time")) {
        return run_time(server);
    }
    if (command_is(command, "publish") && command->count == 3) {
        clients_publish(server, command->words[1], command->words[2]);
        return value_integer(0);
    }
    struct value answer = redis_data_run(server->data, command);
    if (command_writes(command) && answer.type != VALUE_ERROR) {
        effect_add(server, command);
        if (command_is(command, "xadd")) {
            oracle_queued(server, command);
        }
    }
    return answer;
}

/* FCALL function keys … */
static struct value run_function(struct redis_server *server, const struct command_words *command) {
    uint64_t key_count;
    if (command->count < 3 || slice_to_u64(command->words[2], command->count - 3, &key_count)) {
        return value_error("ERR Bad number of keys provided");
    }
    if (!server->library) {
        return value_error("ERR Function not found");
    }
    unsigned flags = lua_host_flags(command->words[1]);
    bool writes = !(flags & LUA_HOST_NO_WRITES);
    if (writes && !server->master) {
        return value_error("READONLY You can't write against a read only replica.");
    }
    if (writes && server->disk_failed) {
        return value_error("MISCONF Errors writing to the AOF file");
    }
    if (writes && server->full && !(flags & LUA_HOST_ALLOW_OOM)) {
        return value_error("OOM command not allowed when used memory > 'maxmemory'.");
    }
    return lua_host_call(server, command, (size_t)key_count);
}

static struct value run_any(struct redis_server *server, const struct command_words *command) {
    if (command_is(command, "fcall")) {
        return run_function(server, command);
    }
    if (command_writes(command) && !server->master) {
        return value_error("READONLY You can't write against a read only replica.");
    }
    return server_call(server, command);
}

struct value server_execute(struct redis_server *server, const struct command_words *command) {
    struct effects *effects = world_alloc(sizeof(*effects));
    server->present = effects;
    struct value answer = run_any(server, command);
    server->present = NULL;
    if (effects->first) {
        effects_spread(server, effects);
    }
    return answer;
}

void server_load_library(struct redis_server *server) {
    if (!server->library && server->master) {
        struct effects *effects = world_alloc(sizeof(*effects));
        effects->library = true;
        server->library = true;
        effects_spread(server, effects);
    }
}

/* ---- what befalls them ---- */

static void keep_from_now(struct redis_server *server) {
    server->kept = redis_data_copy(server->data);
    server->kept_library = server->library;
    server->effects = server->effects_last = NULL;
}

void server_crash(struct redis_server *server) {
    server->up = false;
    server->following = NULL;
    server->link++;
    clients_cut(server);
}

/* Both logs begin anew, so that they tell how far the one is behind the other. */
void server_follow(struct redis_server *server, struct redis_server *master) {
    assert(server != master && master->master);
    server->master = false;
    server->following = master;
    server->link++;
    server->up = true;
    server->data = redis_data_copy(master->data);
    server->library = master->library;
    memcpy(server->replid, master->replid, sizeof(server->replid));
    keep_from_now(server);
    keep_from_now(master);
}

size_t server_start(struct redis_server *server) {
    int64_t until_us = INT64_MIN;
    size_t lost = 0;
    server->data = redis_data_new();
    server->library = false;
    if (server->file != FILE_NONE) {
        server->data = redis_data_copy(server->kept);
        server->library = server->kept_library;
        until_us = server->file == FILE_ALWAYS
                       ? INT64_MAX
                       : now_us() - random_between(dice(), 0, US_PER_SECOND);
    }
    for (const struct effects *effects = server->effects; effects; effects = effects->next) {
        if (effects->at_us <= until_us) {
            effects_apply(server->data, effects);
            server->library |= effects->library;
        } else {
            lost++;
        }
    }
    keep_from_now(server);
    server->up = true;
    server->master = true;
    server->full = server->disk_failed = false;
    server->paused_until_us = 0;
    replid_draw(server);
    for (unsigned i = 0; i < world.count; i++) {
        if (world.servers[i].following == server) { /* it finds another replication id */
            server_follow(&world.servers[i], server);
        }
    }
    return lost;
}

static size_t effects_count(const struct redis_server *server) {
    size_t count = 0;
    for (const struct effects *effects = server->effects; effects; effects = effects->next) {
        count++;
    }
    return count;
}

size_t server_promote(struct redis_server *server) {
    assert(!server->master);
    const struct redis_server *former = server->following;
    size_t behind = former ? effects_count(former) - effects_count(server) : 0;
    server->master = true;
    server->following = NULL;
    server->link++;
    keep_from_now(server);
    replid_draw(server);
    return behind;
}

void server_new_replid(struct redis_server *server) {
    replid_draw(server);
    for (unsigned i = 0; i < world.count; i++) {
        if (world.servers[i].following == server) {
            memcpy(world.servers[i].replid, server->replid, sizeof(server->replid));
        }
    }
}

void server_empty(struct redis_server *server) {
    server->data = redis_data_new();
    keep_from_now(server);
}
