/* response: a reply as bytes. Not for: when and where they go (connection.c, its only
 * caller beside tests). Pure. */
#include "http/internal.h"

#include <time.h>

/* Room for the status line and every line that is not the handler's. */
#define FIXED_LINES_SIZE 256

/* Empty when it is not one of those we send: RFC 9112 4 allows that. */
static const char *reason_of(int status) {
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < COUNT_OF(reasons); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "";
}

static char *put(char *at, const char *bytes, size_t size) {
    memcpy(at, bytes, size);
    return at + size;
}

#define PUT(at, literal) put((at), (literal), sizeof(literal) - 1)

static char *put_number(char *at, uint64_t number) {
    char digits[20];
    size_t start = sizeof digits;
    do {
        digits[--start] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return put(at, digits + start, sizeof digits - start);
}

/* RFC 9110 8.6: no Content-Length with 204; with 304 it would speak of another body. */
static bool status_has_body(int status) {
    return status != 204 && status != 304;
}

static bool is_whole_lines(struct slice fields) {
    return fields.size == 0 || (fields.size >= 2 && fields.bytes[fields.size - 2] == '\r' &&
                                fields.bytes[fields.size - 1] == '\n');
}

void response_render(struct buffer *output, const struct http_response *response,
                     struct response_frame frame) {
    assert(response->status >= 200 && response->status <= 599);
    assert(is_whole_lines(response->fields));
    bool has_body = status_has_body(response->status);
    bool sends_body = has_body && !frame.head_only;
    size_t type_size = response->content_type == NULL ? 0 : strlen(response->content_type);
    size_t size_max = FIXED_LINES_SIZE + type_size + response->fields.size;
    size_max += sends_body ? response->body.size : 0;
    if (buffer_reserve(output, size_max) != STATUS_OK) {
        output->failed = true;
        return;
    }
    char *at = output->bytes + output->size;
    at = PUT(at, "HTTP/1.1 ");
    at = put_number(at, (uint64_t)response->status);
    const char *reason = reason_of(response->status);
    at = PUT(at, " ");
    at = put(at, reason, strlen(reason));
    at = PUT(at, "\r\nDate: ");
    at = put(at, frame.date, DATE_SIZE - 1);
    if (type_size > 0) {
        at = PUT(at, "\r\nContent-Type: ");
        at = put(at, response->content_type, type_size);
    }
    if (has_body) {
        at = PUT(at, "\r\nContent-Length: ");
        at = put_number(at, response->body.size);
    }
    if (frame.close) {
        at = PUT(at, "\r\nConnection: close");
    } else if (frame.say_keep_alive) {
        at = PUT(at, "\r\nConnection: keep-alive");
    }
    at = PUT(at, "\r\n");
    if (response->fields.size > 0) {
        at = put(at, response->fields.bytes, response->fields.size);
    }
    at = PUT(at, "\r\n");
    if (sends_body && response->body.size > 0) {
        at = put(at, response->body.bytes, response->body.size);
    }
    output->size = (size_t)(at - output->bytes);
    assert(output->size <= output->capacity);
}

void response_date(int64_t second, char ret_text[static DATE_SIZE]) {
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t time = (time_t)second;
    struct tm tm;
    struct tm *utc = gmtime_r(&time, &tm);
    assert(utc != NULL);
    assert(utc->tm_year >= 0 && utc->tm_year < 8100);
    char *at = put(ret_text, days[utc->tm_wday], 3);
    const int numbers[] = {utc->tm_mday, utc->tm_hour, utc->tm_min, utc->tm_sec};
    char pairs[4][2];
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        pairs[i][0] = (char)('0' + numbers[i] / 10);
        pairs[i][1] = (char)('0' + numbers[i] % 10);
    }
    at = PUT(at, ", ");
    at = put(at, pairs[0], 2);
    at = PUT(at, " ");
    at = put(at, months[utc->tm_mon], 3);
    at = PUT(at, " ");
    at = put_number(at, (uint64_t)utc->tm_year + 1900);
    at = PUT(at, " ");
    at = put(at, pairs[1], 2);
    at = PUT(at, ":");
    at = put(at, pairs[2], 2);
    at = PUT(at, ":");
    at = put(at, pairs[3], 2);
    at = PUT(at, " GMT");
    *at = '\0';
    assert(at == ret_text + DATE_SIZE - 1);
}
