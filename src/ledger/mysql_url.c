/* The URL of a MariaDB or MySQL ledger, taken apart (RFC 3986):
 *
 *   mysql://USER:PASSWORD@HOST:PORT/DATABASE?socket=PATH&tls=MODE&ca=FILE
 *
 * For mysql_open.c. No complaint shows any of the URL but the name of an option, since a URL
 * with a mistake in it may have its password anywhere. */
#include "ledger/mysql_ledger.h"

#include <stdlib.h>

#define PORT_DEFAULT 3306

static int url_invalid(struct complaint *complaint, const char *what) {
    return complain(complaint, STATUS_INVALID,
                    "the ledger's URL %s; it is mysql://USER:PASSWORD@HOST:PORT/DATABASE, with "
                    "%%XX for characters such as '@', ':' and '/' in a part",
                    what);
}

/* Without %XX, terminated, the caller's to free. STATUS_INVALID: not %XX, or a zero byte. */
static int part_decode(struct slice part, char **ret_text) {
    char *text = malloc(part.size + 1);
    if (!text) {
        return STATUS_NO_MEMORY;
    }
    if (url_part_decode(part, text)) {
        free(text);
        return STATUS_INVALID;
    }
    *ret_text = text;
    return STATUS_OK;
}

/* ---- the parts ---- */

static int user_parse(struct mysql_url *url, struct slice part, struct complaint *complaint) {
    struct slice user;
    char stop = url_part_take(&part, ":", &user);
    if (user.size == 0) {
        return url_invalid(complaint, "names no user");
    }
    int status = part_decode(user, &url->user);
    if (status == STATUS_OK && stop) {
        status = part_decode(part, &url->password);
    }
    return status == STATUS_INVALID ? url_invalid(complaint, "has a wrong %XX in its user part")
                                    : status;
}

static int host_parse(struct mysql_url *url, struct slice part, struct complaint *complaint) {
    struct slice host;
    uint64_t port = PORT_DEFAULT;
    bool bracket = part.size > 0 && part.bytes[0] == '[';
    if (bracket) {
        part = (struct slice){part.bytes + 1, part.size - 1};
    }
    char stop = url_part_take(&part, bracket ? "]" : ":", &host);
    if (bracket) {
        if (stop != ']' || (part.size > 0 && part.bytes[0] != ':')) {
            return url_invalid(complaint, "has a wrong address in []");
        }
        stop = part.size > 0 ? ':' : '\0';
        part = stop ? (struct slice){part.bytes + 1, part.size - 1} : part;
    }
    if (stop && (slice_to_u64(part, UINT16_MAX, &port) < 0 || port == 0)) {
        return url_invalid(complaint, "has a wrong port");
    }
    url->port = (unsigned)port;
    int status = part_decode(host.size > 0 ? host : slice_of("localhost"), &url->host);
    return status == STATUS_INVALID ? url_invalid(complaint, "has a wrong %XX in its host")
                                    : status;
}

static int option_parse(struct mysql_url *url, struct slice name, struct slice value,
                        struct complaint *complaint) {
    if (slice_is(name, "tls")) {
        url->tls = slice_is(value, "off")        ? MYSQL_TLS_OFF
                   : slice_is(value, "required") ? MYSQL_TLS_UNVERIFIED
                                                 : MYSQL_TLS_VERIFIED;
        return url->tls != MYSQL_TLS_VERIFIED || slice_is(value, "verified")
                   ? STATUS_OK
                   : url_invalid(complaint, "has a tls that is not off, required or verified");
    }
    char **place = slice_is(name, "socket") ? &url->socket
                   : slice_is(name, "ca")   ? &url->tls_ca
                                            : NULL;
    if (!place || *place) {
        return url_invalid(complaint, place ? "names an option twice"
                                            : "has an option that is not socket, tls or ca");
    }
    int status = part_decode(value, place);
    return status == STATUS_INVALID ? url_invalid(complaint, "has a wrong %XX in an option")
                                    : status;
}

static int options_parse(struct mysql_url *url, struct slice rest, struct complaint *complaint) {
    int status = STATUS_OK;
    while (status == STATUS_OK && rest.size > 0) {
        struct slice value, name;
        url_part_take(&rest, "&", &value);
        url_part_take(&value, "=", &name);
        status = option_parse(url, name, value, complaint);
    }
    return status;
}

/* The text after "://". The user part ends at the last '@' before the path: a password with an
 * '@' that nobody wrote as %40 is still not taken for a host, and not shown as one. */
static int parts_parse(struct mysql_url *url, struct slice rest, struct complaint *complaint) {
    struct slice authority, database;
    if (url_part_take(&rest, "/", &authority) != '/') {
        return url_invalid(complaint, "names no database");
    }
    const char *at = authority.size ? memrchr(authority.bytes, '@', authority.size) : NULL;
    if (!at) {
        return url_invalid(complaint, "names no user");
    }
    struct slice user = {authority.bytes, (size_t)(at - authority.bytes)};
    struct slice host = {at + 1, authority.size - user.size - 1};
    url_part_take(&rest, "?", &database);
    if (database.size == 0) {
        return url_invalid(complaint, "names no database");
    }
    int status = user_parse(url, user, complaint);
    if (status == STATUS_OK) {
        status = host_parse(url, host, complaint);
    }
    if (status == STATUS_OK) {
        status = part_decode(database, &url->database);
        if (status == STATUS_INVALID) {
            return url_invalid(complaint, "has a wrong %XX in its database");
        }
    }
    return status == STATUS_OK ? options_parse(url, rest, complaint) : status;
}

int maria_url_parse(struct mysql_url *url, const char *text, struct complaint *complaint) {
    static const char *const schemes[] = {"mysql://", "mariadb://"};
    *url = (struct mysql_url){.port = PORT_DEFAULT};
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        if (strncmp(text, schemes[i], strlen(schemes[i])) == 0) {
            int status = parts_parse(url, slice_of(text + strlen(schemes[i])), complaint);
            return status == STATUS_NO_MEMORY
                       ? complain(complaint, status, "not enough memory for the ledger's URL")
                       : status;
        }
    }
    return url_invalid(complaint, "does not begin with mysql:// or mariadb://");
}

void maria_url_done(struct mysql_url *url) {
    if (url->password) {
        explicit_bzero(url->password, strlen(url->password));
    }
    free(url->user);
    free(url->password);
    free(url->host);
    free(url->database);
    free(url->socket);
    free(url->tls_ca);
    *url = (struct mysql_url){.port = 0};
}
