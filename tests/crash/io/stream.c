/* See stream.h. */
#include "stream.h"

#include <pthread.h>
#include <stdlib.h>

static struct stream *current;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void stream_record(struct stream *stream) {
    current = stream;
    if (stream && stream->version_count == 0) {
        stream->versions = calloc(1, sizeof(*stream->versions));
        assert(stream->versions);
        buffer_append(&stream->versions[0], "", 1);
        stream->version_count = stream->version_capacity = 1;
    }
}

static char *copy_of(const char *text) {
    char *copy = text ? strdup(text) : NULL;
    assert(copy || !text);
    return copy;
}

static void add(struct stream_event event) {
    if (!current) {
        return;
    }
    pthread_mutex_lock(&lock);
    if (current->count == current->capacity) {
        current->capacity = current->capacity * 2 + 64;
        current->events = realloc(current->events, current->capacity * sizeof(event));
        assert(current->events);
    }
    current->events[current->count++] = event;
    pthread_mutex_unlock(&lock);
}

void stream_done(struct stream *stream) {
    for (size_t i = 0; i < stream->count; i++) {
        free(stream->events[i].bytes);
        free(stream->events[i].path);
        free(stream->events[i].to);
    }
    for (size_t i = 0; i < stream->version_count; i++) {
        buffer_done(&stream->versions[i]);
    }
    free(stream->events);
    free(stream->versions);
    *stream = (struct stream){0};
}

/* ---- the disk ---- */

static void on_opened(const char *path, ino_t inode, bool made, bool emptied) {
    if (made) {
        add((struct stream_event){.kind = STREAM_MADE, .path = copy_of(path), .inode = inode});
    } else if (emptied) {
        add((struct stream_event){.kind = STREAM_TRUNCATE, .inode = inode});
    }
}

static void on_wrote(ino_t inode, const void *bytes, size_t size, int64_t at) {
    char *copy = malloc(size);
    assert(copy);
    memcpy(copy, bytes, size);
    add((struct stream_event){
        .kind = STREAM_WRITE, .inode = inode, .at = at, .bytes = copy, .size = size});
}

static void on_truncated(ino_t inode, int64_t size) {
    add((struct stream_event){.kind = STREAM_TRUNCATE, .inode = inode, .at = size});
}

static void on_synced(const char *path, ino_t inode, bool is_folder) {
    add((struct stream_event){.kind = is_folder ? STREAM_SYNC_FOLDER : STREAM_SYNC,
                              .inode = inode,
                              .path = copy_of(path)});
}

static void on_linked(const char *from, const char *to) {
    add((struct stream_event){.kind = STREAM_LINK, .path = copy_of(from), .to = copy_of(to)});
}

static void on_renamed(const char *from, const char *to) {
    add((struct stream_event){.kind = STREAM_RENAME, .path = copy_of(from), .to = copy_of(to)});
}

static void on_unlinked(const char *path) {
    add((struct stream_event){.kind = STREAM_UNLINK, .path = copy_of(path)});
}

static void on_folder_made(const char *path) {
    add((struct stream_event){.kind = STREAM_FOLDER_MADE, .path = copy_of(path)});
}

const struct system_listener stream_system_listener = {
    .opened = on_opened,
    .wrote = on_wrote,
    .truncated = on_truncated,
    .synced = on_synced,
    .linked = on_linked,
    .renamed = on_renamed,
    .unlinked = on_unlinked,
    .folder_made = on_folder_made,
};

/* ---- the story ---- */

static size_t add_version(struct stream *stream, const struct buffer *text) {
    if (stream->version_count == stream->version_capacity) {
        stream->version_capacity *= 2;
        stream->versions =
            realloc(stream->versions, stream->version_capacity * sizeof(stream->versions[0]));
        assert(stream->versions);
    }
    struct buffer *version = &stream->versions[stream->version_count];
    *version = (struct buffer){0};
    buffer_append(version, text->bytes, text->size);
    assert(!version->failed);
    return stream->version_count++;
}

static void on_pending(const struct buffer *text) {
    add((struct stream_event){.kind = STREAM_PENDING, .version = add_version(current, text)});
}

static void on_told(void) {
    add((struct stream_event){.kind = STREAM_TOLD});
}

static void on_folder(const char *name) {
    add((struct stream_event){.kind = STREAM_FOLDER, .path = copy_of(name)});
}

static void on_backup(const char *name, bool done) {
    add((struct stream_event){.kind = done ? STREAM_BACKUP_DONE : STREAM_BACKUP,
                              .path = copy_of(name)});
}

const struct story_listener stream_story_listener = {
    .pending = on_pending, .told = on_told, .folder = on_folder, .backup = on_backup};
