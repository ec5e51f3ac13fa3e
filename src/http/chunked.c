/* chunked: takes the chunked transfer coding off a body (RFC 9112 7.1), as it comes.
 *
 * Not for: limits on time or memory beyond the body's size (connection.c). Called by
 * exchange.c with every piece of input; by the fuzzer. Pure: all state is in the decoder
 * and the body, so the outcome does not depend on where the input was cut.
 *
 * Stricter than the RFC asks: no white space around the size, a chunk extension begins
 * with ';' right after the digits and holds visible characters, spaces and tabs only.
 */
#include "http/http.h"

#include "http/syntax.h"

#define SIZE_DIGITS_MAX 16
#define SIZE_LINE_MAX   256 /* with its CR and LF */

/* struct http_chunked's phase; 0 comes first since the decoder starts zeroed. Its detail
 * counts the digits of the size. */
enum phase {
    PHASE_SIZE,
    PHASE_EXTENSION,
    PHASE_SIZE_LF,
    PHASE_DATA,
    PHASE_DATA_CR,
    PHASE_DATA_LF,
    PHASE_TRAILER, /* the first byte of a line of the trailer section */
    PHASE_TRAILER_NAME,
    PHASE_TRAILER_VALUE,
    PHASE_TRAILER_LF,
    PHASE_LAST_LF,
    PHASE_OVER,
};

struct step {
    struct http_chunked *decoder;
    struct buffer *body;
    uint64_t body_max;
    const char *why;
};

static enum http_parse malformed(struct step *step, const char *why) {
    step->why = why;
    return HTTP_PARSE_MALFORMED;
}

static enum http_parse expect(struct step *step, unsigned char byte, unsigned char wanted,
                              enum phase next) {
    if (byte != wanted) {
        return malformed(step, "A line or a chunk of the body does not end with CR and LF.");
    }
    step->decoder->phase = (int)next;
    return HTTP_PARSE_MORE;
}

static enum http_parse take_size(struct step *step, unsigned char byte) {
    struct http_chunked *decoder = step->decoder;
    if (syntax_is(byte, SYNTAX_HEX)) {
        if (decoder->detail == SIZE_DIGITS_MAX) {
            return malformed(step, "A chunk size has more than 16 digits.");
        }
        decoder->detail++;
        decoder->left = decoder->left << 4 | syntax_hex_value(byte);
        return HTTP_PARSE_MORE;
    }
    if (decoder->detail == 0 || (byte != ';' && byte != '\r')) {
        return malformed(step, "A chunk size is not a hexadecimal number.");
    }
    decoder->phase = byte == ';' ? PHASE_EXTENSION : PHASE_SIZE_LF;
    return HTTP_PARSE_MORE;
}

static enum http_parse take_extension(struct step *step, unsigned char byte) {
    if (syntax_is(byte, SYNTAX_VALUE)) {
        return HTTP_PARSE_MORE;
    }
    return expect(step, byte, '\r', PHASE_SIZE_LF);
}

/* The size line is over: is there room for the chunk? */
static enum http_parse end_size(struct step *step, unsigned char byte) {
    struct http_chunked *decoder = step->decoder;
    if (byte != '\n') {
        return malformed(step, "A chunk size line does not end with CR and LF.");
    }
    assert(step->body->size <= step->body_max);
    if (decoder->left > step->body_max - step->body->size) {
        step->why = "The body is larger than what is taken here.";
        return HTTP_PARSE_TOO_LARGE;
    }
    decoder->phase = decoder->left == 0 ? PHASE_TRAILER : PHASE_DATA;
    decoder->line_size = 0;
    decoder->detail = 0;
    return HTTP_PARSE_MORE;
}

static enum http_parse take_trailer(struct step *step, unsigned char byte) {
    struct http_chunked *decoder = step->decoder;
    switch ((enum phase)decoder->phase) {
    case PHASE_TRAILER:
        if (byte == '\r') {
            decoder->phase = PHASE_LAST_LF;
            return HTTP_PARSE_MORE;
        }
        decoder->phase = PHASE_TRAILER_NAME;
        if (syntax_is(byte, SYNTAX_TOKEN)) {
            return HTTP_PARSE_MORE;
        }
        break;
    case PHASE_TRAILER_NAME:
        if (syntax_is(byte, SYNTAX_TOKEN)) {
            return HTTP_PARSE_MORE;
        }
        if (byte == ':') {
            decoder->phase = PHASE_TRAILER_VALUE;
            return HTTP_PARSE_MORE;
        }
        break;
    case PHASE_TRAILER_VALUE:
        if (syntax_is(byte, SYNTAX_VALUE)) {
            return HTTP_PARSE_MORE;
        }
        return expect(step, byte, '\r', PHASE_TRAILER_LF);
    case PHASE_SIZE:
    case PHASE_EXTENSION:
    case PHASE_SIZE_LF:
    case PHASE_DATA:
    case PHASE_DATA_CR:
    case PHASE_DATA_LF:
    case PHASE_TRAILER_LF:
    case PHASE_LAST_LF:
    case PHASE_OVER:
        break;
    }
    return malformed(step, "A trailer field does not begin with a name and a colon.");
}

/* One byte that is not chunk data. MORE: go on. */
static enum http_parse take_byte(struct step *step, unsigned char byte) {
    struct http_chunked *decoder = step->decoder;
    switch ((enum phase)decoder->phase) {
    case PHASE_SIZE:
        return take_size(step, byte);
    case PHASE_EXTENSION:
        return take_extension(step, byte);
    case PHASE_SIZE_LF:
        return end_size(step, byte);
    case PHASE_DATA_CR:
        return expect(step, byte, '\r', PHASE_DATA_LF);
    case PHASE_DATA_LF:
        return expect(step, byte, '\n', PHASE_SIZE);
    case PHASE_TRAILER:
    case PHASE_TRAILER_NAME:
    case PHASE_TRAILER_VALUE:
        return take_trailer(step, byte);
    case PHASE_TRAILER_LF:
        return expect(step, byte, '\n', PHASE_TRAILER);
    case PHASE_LAST_LF: {
        enum http_parse result = expect(step, byte, '\n', PHASE_OVER);
        return result == HTTP_PARSE_MORE ? HTTP_PARSE_DONE : result;
    }
    case PHASE_DATA:
    case PHASE_OVER:
        break;
    }
    assert(false && "chunk data and what follows the body are not taken byte by byte");
    return HTTP_PARSE_MALFORMED;
}

/* A size line or the whole trailer section may grow only so far. */
static enum http_parse count_line(struct step *step) {
    struct http_chunked *decoder = step->decoder;
    if (decoder->phase == PHASE_DATA_CR || decoder->phase == PHASE_DATA_LF) {
        return HTTP_PARSE_MORE;
    }
    size_t size_max = decoder->phase < PHASE_DATA ? SIZE_LINE_MAX : HTTP_HEAD_MAX;
    if (decoder->line_size == size_max) {
        return malformed(step, "A chunk size line or the trailer section is too long.");
    }
    decoder->line_size++;
    return HTTP_PARSE_MORE;
}

static size_t take_data(struct step *step, struct slice input) {
    struct http_chunked *decoder = step->decoder;
    size_t size = input.size < decoder->left ? input.size : (size_t)decoder->left;
    buffer_append(step->body, input.bytes, size);
    decoder->left -= size;
    if (decoder->left == 0) {
        decoder->phase = PHASE_DATA_CR;
    }
    return size;
}

enum http_parse http_chunked_decode(struct http_chunked *decoder, struct slice input,
                                    uint64_t body_max, struct buffer *body, size_t *ret_taken,
                                    const char **ret_why) {
    assert(decoder != NULL && body != NULL && ret_taken != NULL);
    assert(decoder->phase != PHASE_OVER);
    struct step step = {.decoder = decoder, .body = body, .body_max = body_max};
    enum http_parse result = HTTP_PARSE_MORE;
    size_t taken = 0;
    while (taken < input.size && result == HTTP_PARSE_MORE) {
        if (decoder->phase == PHASE_DATA) {
            taken += take_data(&step, (struct slice){input.bytes + taken, input.size - taken});
            continue;
        }
        result = count_line(&step);
        if (result == HTTP_PARSE_MORE) {
            result = take_byte(&step, (unsigned char)input.bytes[taken]);
        }
        taken++;
    }
    *ret_taken = taken;
    if (result != HTTP_PARSE_MORE && result != HTTP_PARSE_DONE && ret_why != NULL) {
        *ret_why = step.why;
    }
    return result;
}
