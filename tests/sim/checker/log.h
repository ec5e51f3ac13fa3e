/* log: a history, or a record, as lines of text.
 *
 * Clients write a line with one write() to a file opened to append, and sync it before they go on,
 * so that what they saw outlives them and their machine. Words are separated by single spaces; an
 * absent text is "-"; a time is as history.h wants it, one clock for all files.
 *
 *   claim ID AT COUPON USER KEY             invoked; ID: any word, unique in its file
 *   told ID AT VERDICT RANK ISSUED_AT_US    returned; RANK and ISSUED_AT_US 0: not told
 *   create ID AT COUPON TOTAL START_US END_US      COUPON 0: the server chooses; TOTAL -1: none
 *   patch ID AT COUPON FIELD=VALUE …        total, start, end, paused, archived, title
 *   changed ID AT OUTCOME COUPON VERSION    OUTCOME done, refused, unknown
 *   crash AT
 *   clock AT LOWEST_US HIGHEST_US
 *
 * and of the record (every word of a coupon and a revision as in the table of that name)
 *
 *   coupon ID VERSION ISSUED TOTAL START_US END_US PAUSED ARCHIVED
 *   revision COUPON VERSION CHANGED_US TOTAL START_US END_US PAUSED ARCHIVED FIRST_RANK
 *   import COUPON FIRST_RANK LAST_RANK IMPORTED_US
 *   issue COUPON RANK USER KEY ISSUED_AT_US
 *
 * A last line without its end was cut off by a crash of the client and is passed over. */
#ifndef COUPON_HISTORY_LOG_H
#define COUPON_HISTORY_LOG_H

#include "history.h"

/* Reads all of the file into the history. STATUS_IO, STATUS_INVALID (the complaint has file and
 * line), STATUS_NO_MEMORY. */
int MUST_CHECK log_read(const char *path, struct history *history, struct complaint *complaint);

/* The word of a verdict, as in a log. */
const char *log_verdict_name(enum verdict verdict);

#endif
