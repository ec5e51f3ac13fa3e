/* stream: everything that a run asks of the disk, in order, with what was told in between: for
 * crash images (disk.c). Filled through shim_system's listener and the story's. */
#ifndef COUPON_TESTS_CRASH_IO_STREAM_H
#define COUPON_TESTS_CRASH_IO_STREAM_H

#include "shim_system.h"
#include "story.h"

enum stream_kind {
    STREAM_MADE,        /* a file: path, inode */
    STREAM_WRITE,       /* inode, at, bytes, size */
    STREAM_TRUNCATE,    /* inode, size */
    STREAM_SYNC,        /* inode */
    STREAM_SYNC_FOLDER, /* path */
    STREAM_LINK,        /* path -> to */
    STREAM_RENAME,      /* path -> to */
    STREAM_UNLINK,      /* path, of a folder too */
    STREAM_FOLDER_MADE, /* path */
    /* not of the disk */
    STREAM_PENDING,     /* version: what was asked for */
    STREAM_TOLD,        /* … is told from here on */
    STREAM_FOLDER,      /* path: where the record lies from here on */
    STREAM_BACKUP,      /* path: one begins … */
    STREAM_BACKUP_DONE, /* … and is told to be done */
};

struct stream_event {
    enum stream_kind kind;
    ino_t inode;
    int64_t at; /* or the size of a truncation */
    char *bytes;
    size_t size;
    char *path; /* relative to the root */
    char *to;
    size_t version;
};

struct stream {
    struct stream_event *events;
    size_t count;
    size_t capacity;
    struct buffer *versions; /* texts of the record; 0: of an empty one */
    size_t version_count;
    size_t version_capacity;
};

/* What is done from now on is added to the stream; NULL: to none. While no other thread runs. */
void stream_record(struct stream *stream);
extern const struct system_listener stream_system_listener;
extern const struct story_listener stream_story_listener;

void stream_done(struct stream *stream);
static inline bool stream_is_of_disk(const struct stream_event *event) {
    return event->kind < STREAM_PENDING;
}

#endif
