/* What an answer asks of the client before it is one: errors that say "not done; ask there, or
 * later". Pure: for calls.c. The words are those of Redis 7.0 (src/server.c, src/cluster.c,
 * src/function_lua.c). */
#include "redis/internal.h"

static bool begins(struct slice text, const char *word) {
    size_t size = strlen(word);
    return text.size >= size && memcmp(text.bytes, word, size) == 0;
}

/* "SLOT HOST:PORT"; an address of IPv6 has colons and no brackets, so the last one counts. */
static bool redirect_read(struct slice text, struct redis_redirect *ret_redirect) {
    const char *space = text.size ? memchr(text.bytes, ' ', text.size) : NULL;
    const char *colon = text.size ? memrchr(text.bytes, ':', text.size) : NULL;
    if (!space || !colon || colon < space) {
        return false;
    }
    struct slice slot_text = {text.bytes, (size_t)(space - text.bytes)};
    struct slice host = {space + 1, (size_t)(colon - space - 1)};
    struct slice port_text = {colon + 1, (size_t)(text.bytes + text.size - colon - 1)};
    uint64_t slot = 0, port = 0;
    if (slice_to_u64(slot_text, SLOT_COUNT - 1, &slot) < 0 ||
        slice_to_u64(port_text, UINT16_MAX, &port) < 0 || port == 0 ||
        host.size >= REDIS_HOST_SIZE) {
        return false;
    }
    *ret_redirect = (struct redis_redirect){(uint16_t)slot, host, (uint16_t)port};
    return true;
}

enum verdict redis_verdict_of(const redisReply *reply, struct redis_redirect *ret_redirect) {
    static const struct {
        const char *words;
        enum verdict verdict;
    } known[] = {
        {"TRYAGAIN ", VERDICT_PAUSE},
        {"LOADING ", VERDICT_PAUSE},
        {"BUSY ", VERDICT_PAUSE},
        {"READONLY ", VERDICT_NO_MASTER},
        {"CLUSTERDOWN ", VERDICT_NO_MASTER},
        {"MASTERDOWN ", VERDICT_NO_MASTER},
        {"ERR Function not found", VERDICT_NO_FUNCTION},
    };
    if (reply->type != REDIS_REPLY_ERROR) {
        return VERDICT_ANSWER;
    }
    struct slice text = {reply->str, reply->len};
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (begins(text, known[i].words)) {
            return known[i].verdict;
        }
    }
    bool moved = begins(text, "MOVED "), ask = begins(text, "ASK ");
    size_t head = moved ? strlen("MOVED ") : strlen("ASK ");
    if ((moved || ask) &&
        redirect_read((struct slice){text.bytes + head, text.size - head}, ret_redirect)) {
        return moved ? VERDICT_MOVED : VERDICT_ASK;
    }
    return VERDICT_ANSWER;
}
