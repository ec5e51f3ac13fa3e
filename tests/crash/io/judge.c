/* See judge.h. */
#include "judge.h"

#include <stdio.h>

/* The subcommand itself (src/cli/verify.c), of the roof, which has no public header. */
int command_verify(int argc, char **argv);

int judge_read(const char *folder, bool existing_only, struct buffer *text,
               struct complaint *complaint) {
    struct ledger_sqlite_options options = {
        .directory = folder, .existing_only = existing_only, .no_new = !existing_only};
    struct ledger *ledger = NULL;
    int status = ledger_sqlite_open(&options, &ledger, complaint);
    if (status) {
        return status;
    }
    status = ledger_text(ledger, text, complaint);
    if (status == STATUS_OK && !existing_only) {
        status = ledger_check(ledger, complaint);
    }
    int closed = ledger_close(ledger, status == STATUS_OK ? complaint : NULL);
    return status ? status : closed;
}

int judge_verify(const char *folder) {
    char option[] = "--data";
    char value[FILENAME_MAX];
    char *arguments[] = {option, value, NULL};
    snprintf(value, sizeof(value), "%s", folder);
    return command_verify(2, arguments);
}

void judge_silence(void) {
    FILE *file = freopen("/dev/null", "w", stdout);
    assert(file);
}
