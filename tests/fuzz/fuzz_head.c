/* Feeds the head parser any bytes. The first byte chooses where the rest is cut; the piece
 * before the cut must give MORE or the verdict of the whole. */
#include "http/http.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In a block of its exact size, so that the sanitizer sees a byte too far. */
static enum http_parse parse_exact(const uint8_t *data, size_t size, struct http_head *head,
                                   const char **ret_why, char **ret_block) {
    *ret_block = malloc(size > 0 ? size : 1);
    assert(*ret_block != NULL);
    memcpy(*ret_block, data, size);
    return http_parse_head((struct slice){*ret_block, size}, head, ret_why);
}

static void assert_within(struct slice part, const char *block, size_t size) {
    if (part.size > 0) {
        assert(part.bytes >= block);
        assert(part.bytes + part.size <= block + size);
    }
}

static void assert_sane(const struct http_head *head, const char *block, size_t size) {
    assert(head->size <= size && head->size <= HTTP_HEAD_MAX);
    assert(memcmp(block + head->size - 4, "\r\n\r\n", 4) == 0);
    assert(head->minor_version == 0 || head->minor_version == 1);
    assert(!head->chunked || (!head->has_content_length && head->minor_version == 1));
    assert(head->has_content_length || head->content_length == 0);
    assert(head->path.size > 0 && (head->path.bytes[0] == '/' || slice_is(head->path, "*")));
    assert(head->field_count <= HTTP_FIELDS_MAX);
    assert_within(head->path, block, head->size);
    assert_within(head->query, block, head->size);
    for (size_t i = 0; i < head->field_count; i++) {
        assert(head->fields[i].name.size > 0);
        assert_within(head->fields[i].name, block, head->size);
        assert_within(head->fields[i].value, block, head->size);
        assert(memchr(head->fields[i].name.bytes, ' ', head->fields[i].name.size) == NULL);
    }
    size_t hosts = 0;
    size_t lengths = 0;
    struct slice host = http_head_field(head, "host", &hosts);
    http_head_field(head, "content-length", &lengths);
    assert(hosts == 1 || (hosts == 0 && head->minor_version == 0));
    assert(hosts == 0 || host.size > 0);
    assert(lengths == (head->has_content_length ? 1 : 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    size_t cut = data[0];
    data++;
    size--;
    struct http_head head;
    const char *why = NULL;
    char *block = NULL;
    enum http_parse whole = parse_exact(data, size, &head, &why, &block);
    bool refused = whole != HTTP_PARSE_DONE && whole != HTTP_PARSE_MORE;
    assert((why != NULL) == refused);
    size_t head_size = 0;
    if (whole == HTTP_PARSE_DONE) {
        assert_sane(&head, block, size);
        head_size = head.size;
        char room[64];
        struct slice value;
        int status = http_query_value(head.query, "a", room, sizeof room, &value);
        assert(status != STATUS_OK || value.size <= sizeof room);
    }
    free(block);
    if (cut < size) {
        enum http_parse piece = parse_exact(data, cut, &head, &why, &block);
        assert(piece == HTTP_PARSE_MORE || piece == whole);
        assert(whole != HTTP_PARSE_MORE || piece == HTTP_PARSE_MORE);
        assert(whole != HTTP_PARSE_DONE || (piece == HTTP_PARSE_DONE) == (cut >= head_size));
        free(block);
    }
    return 0;
}
