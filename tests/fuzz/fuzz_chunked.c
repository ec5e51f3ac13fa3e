/* Feeds the chunked decoder any bytes, whole, cut once and byte by byte: verdict, body and
 * what is left must be the same. The first byte chooses the limit, the second the cut. */
#include "http/http.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum http_parse result;
    size_t taken;
    struct buffer body;
};

static struct outcome decode(const uint8_t *data, size_t size, size_t first, size_t further,
                             uint64_t body_max) {
    struct outcome outcome = {.result = HTTP_PARSE_MORE};
    struct http_chunked decoder = {0};
    size_t piece = first;
    while (outcome.taken < size && outcome.result == HTTP_PARSE_MORE) {
        size_t left = size - outcome.taken;
        piece = piece == 0 || piece > left ? left : piece;
        char *block = malloc(piece);
        assert(block != NULL);
        memcpy(block, data + outcome.taken, piece);
        size_t taken = 0;
        const char *why = NULL;
        outcome.result = http_chunked_decode(&decoder, (struct slice){block, piece}, body_max,
                                             &outcome.body, &taken, &why);
        free(block);
        assert(taken > 0 && taken <= piece);
        assert(outcome.result != HTTP_PARSE_MORE || taken == piece);
        assert((why == NULL) ==
               (outcome.result == HTTP_PARSE_MORE || outcome.result == HTTP_PARSE_DONE));
        outcome.taken += taken;
        piece = further;
    }
    assert(outcome.body.size <= body_max);
    assert(outcome.body.size <= size);
    return outcome;
}

static void assert_same(const struct outcome *a, const struct outcome *b) {
    assert(a->result == b->result);
    assert(a->taken == b->taken);
    assert(slice_equal(buffer_view(&a->body), buffer_view(&b->body)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    uint64_t body_max = data[0];
    size_t cut = data[1];
    data += 2;
    size -= 2;
    struct outcome whole = decode(data, size, 0, 0, body_max);
    struct outcome halves = decode(data, size, cut, 0, body_max);
    struct outcome bytes = decode(data, size, 1, 1, body_max);
    assert_same(&whole, &halves);
    assert_same(&whole, &bytes);
    buffer_done(&whole.body);
    buffer_done(&halves.body);
    buffer_done(&bytes.body);
    return 0;
}
