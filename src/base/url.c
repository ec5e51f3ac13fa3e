/* Parts of URLs that name a server: cut and decoded (RFC 3986, section 2.1). See base.h. */
#include "base/base.h"

static int hex_of(char digit) {
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    digit = (char)(digit | 0x20);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

int url_part_decode(struct slice part, char *room) {
    size_t size = 0;
    for (size_t i = 0; i < part.size; i++) {
        int byte = (unsigned char)part.bytes[i];
        if (byte == '%') {
            int high = i + 2 < part.size ? hex_of(part.bytes[i + 1]) : -1;
            int low = i + 2 < part.size ? hex_of(part.bytes[i + 2]) : -1;
            byte = high >= 0 && low >= 0 ? high * 16 + low : 0;
            i += 2;
        }
        if (byte == 0) {
            room[size] = '\0';
            return STATUS_INVALID;
        }
        room[size++] = (char)byte;
    }
    room[size] = '\0';
    return STATUS_OK;
}

char url_part_take(struct slice *rest, const char *stops, struct slice *ret_part) {
    size_t size = 0;
    while (size < rest->size && !strchr(stops, rest->bytes[size])) {
        size++;
    }
    *ret_part = (struct slice){rest->bytes, size};
    char stop = size < rest->size ? rest->bytes[size] : '\0';
    size_t taken = size + (stop ? 1 : 0);
    *rest = (struct slice){rest->bytes + taken, rest->size - taken};
    return stop;
}
