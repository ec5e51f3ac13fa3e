/* A state machine over the bytes of a CSV file of users. See users_csv.h. */
#include "cli/users_csv.h"

#include <stdarg.h>
#include <stdio.h>

static const char byte_order_mark[] = "\xef\xbb\xbf";
enum { MARK_SIZE = sizeof(byte_order_mark) - 1 };

static void line_begin(struct users_csv *csv) {
    csv->state = CSV_LINE_START;
    csv->number++;
    csv->begun = false;
    csv->given = false;
    csv->size = 0;
    csv->fault[0] = '\0';
}

void users_csv_init(struct users_csv *csv) {
    *csv = (struct users_csv){.number = 0};
    line_begin(csv);
}

static void PRINTF_LIKE(2, 3) set_fault(struct users_csv *csv, const char *format, ...) {
    if (csv->fault[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(csv->fault, sizeof(csv->fault), format, arguments);
        va_end(arguments);
    }
}

static void add(struct users_csv *csv, char byte) {
    if (byte < 0x21 || byte > 0x7e) {
        set_fault(csv, "the user has the byte 0x%02x, and can have visible ASCII characters only",
                  (unsigned char)byte);
    }
    if (csv->size < sizeof(csv->user)) {
        csv->user[csv->size] = byte;
    }
    csv->size++;
}

/* ---- a byte ---- */

static void take_plain(struct users_csv *csv, char byte) {
    csv->state = CSV_PLAIN;
    if (byte == ',') {
        set_fault(csv, "there is more than one field; a user with a comma in it needs quotes");
    } else if (byte == '"') {
        set_fault(csv, "there is a quote inside; a user with one in it needs quotes, and two for "
                       "each inside");
    }
    add(csv, byte);
}

static void take_after_quote(struct users_csv *csv, char byte) {
    if (byte == '"') {
        csv->state = CSV_QUOTED;
        add(csv, byte);
    } else if (byte == ',') {
        set_fault(csv, "there is more than one field");
    } else {
        set_fault(csv, "there is something behind the closing quote");
    }
}

/* Any byte but LF, and a CR only when no LF follows. */
static void take(struct users_csv *csv, char byte) {
    switch (csv->state) {
    case CSV_LINE_START:
        if (byte == '"') {
            csv->state = CSV_QUOTED;
        } else {
            take_plain(csv, byte);
        }
        return;
    case CSV_PLAIN:
        take_plain(csv, byte);
        return;
    case CSV_QUOTED:
        if (byte == '"') {
            csv->state = CSV_QUOTE_AFTER;
        } else {
            add(csv, byte);
        }
        return;
    case CSV_QUOTE_AFTER:
        take_after_quote(csv, byte);
        return;
    case CSV_RETURN: /* settled before */
        return;
    }
}

/* The CR before this byte was none of a line's end. */
static void settle_return(struct users_csv *csv) {
    if (csv->state == CSV_RETURN) {
        csv->state = csv->before_return;
        take(csv, '\r');
    }
}

/* Whether the byte belongs to a byte order mark that is whole so far. */
static bool take_mark(struct users_csv *csv, char byte) {
    if (csv->number > 1 || csv->begun || csv->mark_size == MARK_SIZE) {
        return false;
    }
    if (byte == byte_order_mark[csv->mark_size]) {
        csv->mark_size++;
        return true;
    }
    for (unsigned i = 0; i < csv->mark_size; i++) { /* it was none: bytes as others */
        csv->begun = true;
        take(csv, byte_order_mark[i]);
    }
    csv->mark_size = MARK_SIZE;
    return false;
}

/* ---- a line ---- */

static void judge(struct users_csv *csv) {
    if (csv->state == CSV_QUOTED) {
        set_fault(csv, "the quote is not closed on this line");
    } else if (!csv->begun) {
        set_fault(csv, "the line is empty");
    } else if (csv->size == 0) {
        set_fault(csv, "the user is empty");
    } else if (csv->size > USER_ID_MAX) {
        set_fault(csv, "the user has %zu characters, and can have %d", csv->size, USER_ID_MAX);
    }
    assert(csv->fault[0] || user_id_is_valid((struct slice){csv->user, csv->size}));
}

static bool is_header(const struct users_csv_line *line) {
    return line->number == 1 && !line->fault &&
           (slice_is(line->user, "userId") || slice_is(line->user, "user_id"));
}

/* Whether the byte ended a line. */
static bool step(struct users_csv *csv, char byte) {
    if (take_mark(csv, byte)) {
        return false;
    }
    if (byte == '\n') {
        if (csv->state == CSV_RETURN) {
            csv->state = csv->before_return;
            csv->begun = csv->begun && csv->state != CSV_LINE_START;
        }
        return true;
    }
    csv->begun = true;
    settle_return(csv);
    if (byte == '\r') {
        csv->before_return = csv->state;
        csv->state = CSV_RETURN;
    } else {
        take(csv, byte);
    }
    return false;
}

/* Whether there is a line that the end of the file ends. */
static bool end(struct users_csv *csv) {
    if (csv->number == 1 && !csv->begun && csv->mark_size < MARK_SIZE) {
        take_mark(csv, '\0'); /* a mark that is cut short is none */
    }
    settle_return(csv);
    return csv->begun;
}

bool users_csv_next(struct users_csv *csv, struct slice *rest, bool at_end,
                    struct users_csv_line *ret_line) {
    if (csv->given) {
        line_begin(csv);
    }
    for (;;) {
        bool ended = false;
        while (!ended && rest->size > 0) {
            ended = step(csv, rest->bytes[0]);
            rest->bytes++;
            rest->size--;
        }
        if (!ended && !(at_end && end(csv))) {
            return false;
        }
        judge(csv);
        csv->given = true;
        struct users_csv_line line = {
            .number = csv->number,
            .user = {csv->user, csv->size <= USER_ID_MAX ? csv->size : USER_ID_MAX},
            .fault = csv->fault[0] ? csv->fault : NULL,
        };
        if (!is_header(&line)) {
            *ret_line = line;
            return true;
        }
        line_begin(csv);
    }
}
