/* The URL of Redis, taken apart (RFC 3986, with several hosts as other Redis clients take them):
 *
 *   redis://[USER[:PASSWORD]@]HOST[:PORT][,HOST:PORT...][/DB][?cluster=1]
 *
 * For client.c. No complaint shows any of the URL, since one with a mistake in it may have its
 * password anywhere. */
#include "redis/url.h"

#include <stdlib.h>

#define SCHEME       "redis://"
#define PORT_DEFAULT 6379

static int url_invalid(struct complaint *complaint, const char *what) {
    return complain(complaint, STATUS_INVALID,
                    "the URL of Redis %s; it is "
                    "redis://[USER:PASSWORD@]HOST[:PORT][,HOST:PORT...][/DB][?cluster=1], with "
                    "%%XX for characters such as '@', ':' and '/' in a part",
                    what);
}

/* ---- the parts ---- */

static int word_keep(struct slice part, char **place, struct complaint *complaint) {
    *place = malloc(part.size + 1);
    if (!*place) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for the URL of Redis");
    }
    return url_part_decode(part, *place) == STATUS_OK
               ? STATUS_OK
               : url_invalid(complaint, "has a wrong %XX in its user part");
}

static int user_parse(struct redis_url *url, struct slice part, struct complaint *complaint) {
    struct slice user;
    if (url_part_take(&part, ":", &user) != ':') {
        return url_invalid(complaint, "names a user without a password");
    }
    if (user.size == 0 && part.size == 0) {
        return url_invalid(complaint, "has neither a user nor a password before its '@'");
    }
    int status = user.size > 0 ? word_keep(user, &url->user, complaint) : STATUS_OK;
    return status == STATUS_OK ? word_keep(part, &url->password, complaint) : status;
}

/* HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT. */
static int host_parse(struct redis_host *host, struct slice part, struct complaint *complaint) {
    struct slice name;
    uint64_t port = PORT_DEFAULT;
    bool bracket = part.size > 0 && part.bytes[0] == '[';
    if (bracket) {
        part = (struct slice){part.bytes + 1, part.size - 1};
    }
    char stop = url_part_take(&part, bracket ? "]" : ":", &name);
    if (bracket) {
        if (stop != ']' || (part.size > 0 && part.bytes[0] != ':')) {
            return url_invalid(complaint, "has a wrong address in []");
        }
        stop = part.size > 0 ? ':' : '\0';
        part = stop ? (struct slice){part.bytes + 1, part.size - 1} : part;
    }
    if (name.size == 0 || name.size >= sizeof(host->name)) {
        return url_invalid(complaint, name.size == 0 ? "names no host" : "has too long a host");
    }
    if (stop && (slice_to_u64(part, UINT16_MAX, &port) < 0 || port == 0)) {
        return url_invalid(complaint, "has a wrong port");
    }
    host->port = (uint16_t)port;
    return url_part_decode(name, host->name) == STATUS_OK
               ? STATUS_OK
               : url_invalid(complaint, "has a wrong %XX in its host");
}

static int hosts_parse(struct redis_url *url, struct slice rest, struct complaint *complaint) {
    char stop = ',';
    while (stop == ',') {
        struct slice part;
        if (url->host_count == REDIS_HOSTS_MAX) {
            return url_invalid(complaint, "names over 32 hosts");
        }
        stop = url_part_take(&rest, ",", &part);
        int status = host_parse(&url->hosts[url->host_count], part, complaint);
        if (status < 0) {
            return status;
        }
        url->host_count++;
    }
    return STATUS_OK;
}

static int options_parse(struct redis_url *url, struct slice rest, struct complaint *complaint) {
    bool seen = false;
    while (rest.size > 0) {
        struct slice value, name;
        url_part_take(&rest, "&", &value);
        url_part_take(&value, "=", &name);
        if (!slice_is(name, "cluster")) {
            return url_invalid(complaint, "has an option that is not cluster");
        }
        if (seen || (!slice_is(value, "0") && !slice_is(value, "1"))) {
            return url_invalid(complaint,
                               seen ? "names an option twice" : "has a cluster that is not 0 or 1");
        }
        seen = true;
        url->cluster = slice_is(value, "1");
    }
    return STATUS_OK;
}

/* The text after "://". The user part ends at the last '@' before the path: a password with an
 * '@' that nobody wrote as %40 is still not taken for a host, and not shown as one. */
static int parts_parse(struct redis_url *url, struct slice rest, struct complaint *complaint) {
    struct slice authority, database = {NULL, 0};
    char stop = url_part_take(&rest, "/?", &authority);
    if (stop == '/') {
        url_part_take(&rest, "?", &database);
    }
    const char *at = authority.size ? memrchr(authority.bytes, '@', authority.size) : NULL;
    int status = STATUS_OK;
    if (at) {
        struct slice user = {authority.bytes, (size_t)(at - authority.bytes)};
        authority = (struct slice){at + 1, authority.size - user.size - 1};
        status = user_parse(url, user, complaint);
    }
    if (status == STATUS_OK) {
        status = hosts_parse(url, authority, complaint);
    }
    uint64_t number = 0;
    if (status == STATUS_OK && database.size > 0 &&
        slice_to_u64(database, INT32_MAX, &number) < 0) {
        status = url_invalid(complaint, "has a database that is not a number");
    }
    url->database = (uint32_t)number;
    if (status == STATUS_OK) {
        status = options_parse(url, rest, complaint);
    }
    if (status == STATUS_OK && url->cluster && url->database != 0) {
        return url_invalid(complaint, "names a database, but a cluster has only database 0");
    }
    return status;
}

int redis_url_parse(struct redis_url *url, const char *text, struct complaint *complaint) {
    *url = (struct redis_url){.user = NULL};
    if (strncmp(text, SCHEME, strlen(SCHEME)) != 0) {
        return url_invalid(complaint, "does not begin with redis://");
    }
    return parts_parse(url, slice_of(text + strlen(SCHEME)), complaint);
}

void redis_url_done(struct redis_url *url) {
    if (url->password) {
        explicit_bzero(url->password, strlen(url->password));
    }
    free(url->user);
    free(url->password);
    url->user = url->password = NULL;
}
