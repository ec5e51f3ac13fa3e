/* Statuses as words, and the sentence that goes with a failure. For every floor. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>

const char *status_name(int status) {
    switch ((enum status)status) {
    case STATUS_OK:
        return "ok";
    case STATUS_NO_MEMORY:
        return "no-memory";
    case STATUS_INVALID:
        return "invalid";
    case STATUS_NOT_FOUND:
        return "not-found";
    case STATUS_EXISTS:
        return "exists";
    case STATUS_FULL:
        return "full";
    case STATUS_BUSY:
        return "busy";
    case STATUS_IO:
        return "io";
    case STATUS_AMBIGUOUS:
        return "ambiguous";
    case STATUS_DAMAGED:
        return "damaged";
    case STATUS_NEWER:
        return "newer";
    case STATUS_CONFLICT:
        return "conflict";
    case STATUS_STOPPED:
        return "stopped";
    }
    return "unknown";
}

int complain(struct complaint *complaint, int status, const char *format, ...) {
    if (complaint) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(complaint->text, sizeof(complaint->text), format, arguments);
        va_end(arguments);
    }
    return status;
}
