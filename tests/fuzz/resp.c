/* See resp.h. */
#include "resp.h"

#include "redis/internal.h"

bool resp_begins(struct slice text, const char *word) {
    size_t size = strlen(word);
    return text.size >= size && memcmp(text.bytes, word, size) == 0;
}

/* Takes "<mark><number>\r\n"; false: it is not whole yet. */
static bool number_take(struct slice *input, char mark, size_t *ret_number) {
    const char *end = input->size ? memmem(input->bytes, input->size, "\r\n", 2) : NULL;
    uint64_t number = 0;
    if (!end) {
        return false;
    }
    assert(input->bytes[0] == mark);
    struct slice digits = {input->bytes + 1, (size_t)(end - input->bytes) - 1};
    int status = slice_to_u64(digits, 1 << 24, &number);
    assert(status == STATUS_OK);
    size_t used = digits.size + 3;
    *input = (struct slice){input->bytes + used, input->size - used};
    *ret_number = (size_t)number;
    return true;
}

bool resp_command_take(struct slice *input, struct slice ret_words[static RESP_WORDS_MAX]) {
    struct slice rest = *input;
    size_t count = 0;
    memset(ret_words, 0, RESP_WORDS_MAX * sizeof(ret_words[0]));
    if (!number_take(&rest, '*', &count)) {
        return false;
    }
    assert(count > 0);
    for (size_t i = 0; i < count; i++) {
        size_t size = 0;
        if (!number_take(&rest, '$', &size) || rest.size < size + 2) {
            return false;
        }
        assert(memcmp(rest.bytes + size, "\r\n", 2) == 0);
        ret_words[i < RESP_WORDS_MAX ? i : RESP_WORDS_MAX - 1] = (struct slice){rest.bytes, size};
        rest = (struct slice){rest.bytes + size + 2, rest.size - size - 2};
    }
    *input = rest;
    return true;
}

bool resp_is_one_reply(struct slice bytes) {
    struct redis_reading reading;
    redisReader *reader = redisReaderCreate();
    void *first = NULL;
    void *second = NULL;
    assert(reader != NULL);
    redis_reading_init(&reading, reader, NULL);
    redisReaderFeed(reader, bytes.bytes, bytes.size);
    bool one = redisReaderGetReply(reader, &first) == REDIS_OK && first != NULL;
    one = one && redisReaderGetReply(reader, &second) == REDIS_OK && second == NULL &&
          reader->pos == reader->len;
    freeReplyObject(first);
    freeReplyObject(second);
    redisReaderFree(reader);
    return one;
}

bool resp_says_not_done(struct slice bytes) {
    static const char *const words[] = {"-MOVED ",       "-ASK ",      "-TRYAGAIN ",
                                        "-CLUSTERDOWN ", "-LOADING ",  "-MASTERDOWN ",
                                        "-BUSY ",        "-READONLY ", "-ERR Function not found"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (resp_begins(bytes, words[i])) {
            return true;
        }
    }
    return false;
}
