/* Where a server is, out of its URL. No complaint shows any of it, since a URL with a mistake in
 * it may have its password anywhere. */
#include "strategy.h"

static bool part_read(struct slice part, char *room, size_t room_size) {
    return part.size < room_size && url_part_decode(part, room) == STATUS_OK;
}

/* "USER:PASSWORD", or nothing. */
static bool login_read(struct slice login, struct address *address) {
    struct slice user;
    url_part_take(&login, ":", &user);
    return part_read(user, address->user, sizeof(address->user)) &&
           part_read(login, address->password, sizeof(address->password));
}

/* "HOST:PORT" */
static bool place_read(struct slice place, struct address *address) {
    struct slice host;
    uint64_t port = 0;
    url_part_take(&place, ":", &host);
    if (host.size == 0 || !part_read(host, address->host, sizeof(address->host)) ||
        slice_to_u64(place, UINT16_MAX, &port)) {
        return false;
    }
    address->port = (uint16_t)port;
    return true;
}

int address_read(const char *url, const char *scheme, struct address *ret_address,
                 struct complaint *complaint) {
    struct address address = {.port = 0};
    struct slice rest = slice_of(url), name, login = {0}, place;
    bool fine = false;
    url_part_take(&rest, ":", &name);
    if (slice_is(name, scheme) && rest.size > 2 && memcmp(rest.bytes, "//", 2) == 0) {
        rest = (struct slice){rest.bytes + 2, rest.size - 2};
        if (memchr(rest.bytes, '@', rest.size)) {
            url_part_take(&rest, "@", &login);
        }
        url_part_take(&rest, "/", &place);
        fine = login_read(login, &address) && place_read(place, &address) &&
               part_read(rest, address.database, sizeof(address.database));
    }
    if (!fine) {
        return complain(complaint, STATUS_INVALID,
                        "the URL must be %s://USER:PASSWORD@HOST:PORT/DATABASE, with %%XX for "
                        "characters such as '@', ':' and '/' in a part",
                        scheme);
    }
    *ret_address = address;
    return STATUS_OK;
}
