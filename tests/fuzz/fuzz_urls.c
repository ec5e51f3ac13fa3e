/* URLs and queries: of Redis, of the SQL servers, of requests. What is taken apart and put
 * together again is taken apart to the same; no complaint shows a password; a query's value is
 * what a plain second reading finds. The first byte chooses the kind. */
#include "fuzz.h"
#include "http/http.h"
#include "ledger/mysql_ledger.h"
#include "redis/url.h"

#include <ctype.h>
#include <stdio.h>

/* The dictionary puts it into passwords. */
#define SECRET "Hush-7q"

static bool same(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Every byte as %XX. */
static void encode(struct buffer *text, const char *part) {
    for (; part && *part; part++) {
        buffer_format(text, "%%%02x", (unsigned char)*part);
    }
}

/* ---- Redis ---- */

static void write_redis(struct buffer *text, const struct redis_url *url) {
    buffer_text(text, "redis://");
    if (url->password) {
        encode(text, url->user);
        buffer_text(text, ":");
        encode(text, url->password);
        buffer_text(text, "@");
    }
    for (size_t i = 0; i < url->host_count; i++) {
        buffer_text(text, i ? "," : "");
        encode(text, url->hosts[i].name);
        buffer_format(text, ":%u", url->hosts[i].port);
    }
    buffer_format(text, "/%u?cluster=%d", url->database, url->cluster);
    buffer_append(text, "", 1);
}

static bool same_redis(const struct redis_url *a, const struct redis_url *b) {
    bool hosts = a->host_count == b->host_count;
    for (size_t i = 0; hosts && i < a->host_count; i++) {
        hosts = same(a->hosts[i].name, b->hosts[i].name) && a->hosts[i].port == b->hosts[i].port;
    }
    return hosts && same(a->user, b->user) && same(a->password, b->password) &&
           a->database == b->database && a->cluster == b->cluster;
}

/* A host of %XX may be longer than what is taken; then there is nothing to compare. */
static bool fits_again(const struct redis_url *url) {
    for (size_t i = 0; i < url->host_count; i++) {
        if (3 * strlen(url->hosts[i].name) >= REDIS_HOST_SIZE) {
            return false;
        }
    }
    return true;
}

static void check_redis(const char *text) {
    struct redis_url url, again;
    struct complaint complaint = {{0}};
    int status = redis_url_parse(&url, text, &complaint);
    assert((status == STATUS_OK) == (complaint.text[0] == '\0'));
    assert(strstr(complaint.text, SECRET) == NULL);
    if (status == STATUS_OK) {
        assert(url.host_count >= 1 && url.host_count <= REDIS_HOSTS_MAX);
        assert(!url.cluster || url.database == 0);
    }
    if (status == STATUS_OK && fits_again(&url)) {
        struct buffer written;
        buffer_init(&written);
        write_redis(&written, &url);
        status = redis_url_parse(&again, written.bytes, &complaint);
        assert(status == STATUS_OK && same_redis(&url, &again));
        redis_url_done(&again);
        buffer_done(&written);
    }
    redis_url_done(&url);
}

/* ---- MariaDB and MySQL ---- */

static void write_mysql(struct buffer *text, const struct mysql_url *url) {
    static const char *const modes[] = {
        [MYSQL_TLS_OFF] = "off",
        [MYSQL_TLS_UNVERIFIED] = "required",
        [MYSQL_TLS_VERIFIED] = "verified",
    };
    buffer_text(text, "mariadb://");
    encode(text, url->user);
    buffer_text(text, url->password ? ":" : "");
    encode(text, url->password);
    buffer_text(text, "@");
    encode(text, url->host);
    buffer_format(text, ":%u/", url->port);
    encode(text, url->database);
    buffer_format(text, "?tls=%s", modes[url->tls]);
    buffer_text(text, url->socket ? "&socket=" : "");
    encode(text, url->socket);
    buffer_text(text, url->tls_ca ? "&ca=" : "");
    encode(text, url->tls_ca);
    buffer_append(text, "", 1);
}

static void check_mysql(const char *text) {
    struct mysql_url url, again;
    struct complaint complaint = {{0}};
    int status = maria_url_parse(&url, text, &complaint);
    assert((status == STATUS_OK) == (complaint.text[0] == '\0'));
    assert(strstr(complaint.text, SECRET) == NULL);
    if (status == STATUS_OK) {
        struct buffer written;
        buffer_init(&written);
        write_mysql(&written, &url);
        status = maria_url_parse(&again, written.bytes, &complaint);
        assert(status == STATUS_OK && url.port == again.port && url.tls == again.tls);
        assert(same(url.user, again.user) && same(url.password, again.password));
        assert(same(url.host, again.host) && same(url.database, again.database));
        assert(same(url.socket, again.socket) && same(url.tls_ca, again.tls_ca));
        maria_url_done(&again);
        buffer_done(&written);
    }
    maria_url_done(&url);
}

/* ---- requests ---- */

/* -1: a wrong escape. Else how many bytes `room`, which is large enough, has. */
static long naive_decode(struct slice part, char *room) {
    long size = 0;
    for (size_t i = 0; i < part.size; i++) {
        char byte = part.bytes[i];
        if (byte == '%') {
            char digits[3] = {0};
            if (i + 2 >= part.size || !isxdigit((unsigned char)part.bytes[i + 1]) ||
                !isxdigit((unsigned char)part.bytes[i + 2])) {
                return -1;
            }
            memcpy(digits, part.bytes + i + 1, 2);
            byte = (char)strtoul(digits, NULL, 16);
            i += 2;
        }
        room[size++] = byte;
    }
    return size;
}

/* Splits at every '&', then at the first '='. */
static int naive_query(struct slice query, const char *name, char *room, size_t *ret_size) {
    size_t found = 0;
    char *decoded = malloc(query.size + 1);
    assert(decoded != NULL);
    for (size_t start = 0; start < query.size;) {
        size_t end = start;
        while (end < query.size && query.bytes[end] != '&') {
            end++;
        }
        size_t equals = start;
        while (equals < end && query.bytes[equals] != '=') {
            equals++;
        }
        long size = naive_decode((struct slice){query.bytes + start, equals - start}, decoded);
        bool here = size == (long)strlen(name) && memcmp(decoded, name, (size_t)size) == 0;
        if (size < 0 || (here && ++found > 1)) {
            free(decoded);
            return STATUS_INVALID;
        }
        if (here) {
            size_t from = equals < end ? equals + 1 : end;
            long value = naive_decode((struct slice){query.bytes + from, end - from}, room);
            *ret_size = value < 0 ? SIZE_MAX : (size_t)value;
        }
        start = end + 1;
    }
    free(decoded);
    return !found ? STATUS_NOT_FOUND : *ret_size == SIZE_MAX ? STATUS_INVALID : STATUS_OK;
}

static void check_query(struct slice query, size_t room_size) {
    char *room = malloc(room_size + 1);
    char *expected = malloc(query.size + 1);
    struct slice value = {NULL, 0};
    size_t size = 0;
    assert(room != NULL && expected != NULL);
    int naive = naive_query(query, "after", expected, &size);
    int status = http_query_value(query, "after", room, room_size, &value);
    /* A value that is too long is told before what may be wrong with its end. */
    assert(status == naive || status == STATUS_FULL);
    if (status == STATUS_FULL) {
        assert((naive == STATUS_OK && size > room_size) || naive == STATUS_INVALID);
    } else if (status == STATUS_OK) {
        assert(slice_equal(value, (struct slice){expected, size}) && size <= room_size);
    }
    free(room);
    free(expected);
}

static void check_decode(struct slice text) {
    char *room = malloc(text.size + 1);
    char *expected = malloc(text.size + 1);
    struct slice decoded = {NULL, 0};
    assert(room != NULL && expected != NULL);
    long size = naive_decode(text, expected);
    int status = http_percent_decode(text, room, text.size, &decoded);
    assert((status == STATUS_OK) == (size >= 0));
    if (status == STATUS_OK) {
        assert(slice_equal(decoded, (struct slice){expected, (size_t)size}));
    }
    bool zero = size >= 0 && memchr(expected, 0, (size_t)size) != NULL;
    status = url_part_decode(text, room);
    assert((status == STATUS_OK) == (size >= 0 && !zero));
    assert(status != STATUS_OK ||
           (strlen(room) == (size_t)size && memcmp(room, expected, (size_t)size) == 0));
    free(room);
    free(expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice input = {(const char *)data, size};
    uint8_t kind = fuzz_byte(&input);
    char *exact = fuzz_exact(input);
    char *text = fuzz_terminated(input);
    switch (kind % 4) {
    case 0:
        check_redis(text);
        break;
    case 1:
        check_mysql(text);
        break;
    case 2:
        check_query((struct slice){exact, input.size}, kind / 4);
        break;
    default:
        check_decode((struct slice){exact, input.size});
        break;
    }
    free(exact);
    free(text);
    return 0;
}
