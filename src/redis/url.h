/* url: the URL of a Redis server or cluster, taken apart. Private to this folder. */
#ifndef COUPON_REDIS_URL_H
#define COUPON_REDIS_URL_H

#include "base/base.h"

#define REDIS_HOST_SIZE 256 /* of a DNS name, and its terminator */
#define REDIS_HOSTS_MAX 32

struct redis_host {
    char name[REDIS_HOST_SIZE];
    uint16_t port;
};

struct redis_url {
    char *user;     /* NULL: none */
    char *password; /* NULL: none */
    struct redis_host hosts[REDIS_HOSTS_MAX];
    size_t host_count; /* at least one */
    uint32_t database;
    bool cluster;
};

/* STATUS_INVALID, STATUS_NO_MEMORY; redis_url_done() is due whatever it returns. */
int MUST_CHECK redis_url_parse(struct redis_url *url, const char *text,
                               struct complaint *complaint);
void redis_url_done(struct redis_url *url);

#endif
