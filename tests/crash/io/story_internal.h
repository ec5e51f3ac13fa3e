/* What the files of a story share. Not for anyone else: outside there is only story.h.
 *
 *   story.c         what is believed, starting and stopping, the run
 *   story_asks.c    claims, changes, reads
 *   story_folder.c  imports, backups, a move
 */
#ifndef COUPON_TESTS_CRASH_IO_STORY_INTERNAL_H
#define COUPON_TESTS_CRASH_IO_STORY_INTERNAL_H

#include "story.h"

#define STARTS_MAX 4 /* that may fail one after the other */

/* ---- faults ---- */

/* Whether a call failed by now, so that an answer may blame it. */
bool story_was_struck(const struct story *story);
/* Whether the disk fails still, as far as it will. */
bool story_is_broken_for_ever(const struct story *story);
/* A look of our own, between these two, meets no faults and is not counted. */
int64_t story_faults_pause(struct story *story);
void story_faults_resume(struct story *story, int64_t operations);
/* A failure must have a cause, be of a kind that blames the storage, and say something;
 * `complaint` NULL: where it says nothing. */
void story_judge_failure(struct story *story, const char *what, int status,
                         const struct complaint *complaint);

/* ---- what is believed ---- */

/* The next moment; story->next is what was told, for the caller to change … */
void story_ask_begins(struct story *story);
/* … and to announce. */
void story_pend(struct story *story);
void story_believe(struct story *story);    /* it was told that it is so … */
void story_disbelieve(struct story *story); /* … that it is not … */
void story_find_out(struct story *story); /* … or neither: the record says all of it or nothing */
/* Whether the text is the model's, which is left in *ret_expected. */
bool story_record_is(const struct buffer *text, const struct model *model,
                     struct buffer *ret_expected);

/* ---- the server ---- */

/* False: the story is over. */
bool story_ensure_started(struct story *story);
/* After an ask: what the server has become is followed up. */
void story_follow_up(struct story *story, bool outcome_unknown);

/* ROOT/name. */
void story_path(const struct story *story, const char *name, char ret_path[static PATH_MAX]);

#endif
