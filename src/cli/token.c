/* The files of credentials. The admin token's is made at the first start, readable by its
 * owner only. See token.h. */
#include "cli/token.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* 32 random bytes, base64url: 43 characters. */
enum { TOKEN_RANDOM_SIZE = 32 };

static int io_complaint(struct complaint *complaint, const char *doing, const char *kind,
                        const char *path) {
    return complain(complaint, STATUS_IO, "cannot %s the %s file %s: %s", doing, kind, path,
                    strerror(errno));
}

/* ---- where they are ---- */

static int set_path(struct secret_file *file, const char *path, const char *end,
                    struct complaint *complaint) {
    int length = snprintf(file->path, sizeof(file->path), "%s%s", path ? path : "", end);
    if (length < 0 || (size_t)length >= sizeof(file->path)) {
        return complain(complaint, STATUS_INVALID, "the %s file's path is too long", file->kind);
    }
    return STATUS_OK;
}

int secret_files_init(struct secret_files *files, const char *admin, const char *claim,
                      const char *jwt_key, const char *directory, struct complaint *complaint) {
    files->admin.kind = "admin-token";
    files->claim.kind = "claim-token";
    files->jwt_key.kind = "jwt-key";
    int status =
        set_path(&files->admin, admin ? admin : directory, admin ? "" : "/admin-token", complaint);
    if (status == STATUS_OK) {
        status = set_path(&files->claim, claim, "", complaint);
    }
    if (status == STATUS_OK) {
        status = set_path(&files->jwt_key, jwt_key, "", complaint);
    }
    return status;
}

/* ---- making the admin's ---- */

static int write_whole(int file, const char *text) {
    for (size_t left = strlen(text); left > 0;) {
        ssize_t written = write(file, text, left);
        if (written < 0 && errno != EINTR) {
            return STATUS_IO;
        }
        text += written > 0 ? written : 0;
        left -= written > 0 ? (size_t)written : 0;
    }
    return fsync(file) ? STATUS_IO : STATUS_OK;
}

/* An operator keeps the token, so its name must outlast a power cut as well. */
static int sync_folder_of(const char *path) {
    char folder[sizeof(((struct secret_file *)0)->path)];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path + 1) : 1,
             slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int status = fd >= 0 && fsync(fd) == 0 ? STATUS_OK : STATUS_IO;
    if (fd >= 0) {
        close(fd);
    }
    return status;
}

/* Written aside and moved into place, so that no crash leaves half a token there. */
static int token_make(const struct secret_file *secret, struct complaint *complaint) {
    char aside[sizeof(secret->path) + 8];
    char text[sodium_base64_ENCODED_LEN(TOKEN_RANDOM_SIZE,
                                        sodium_base64_VARIANT_URLSAFE_NO_PADDING) +
              1];
    unsigned char random[TOKEN_RANDOM_SIZE];
    randombytes_buf(random, sizeof(random));
    sodium_bin2base64(text, sizeof(text), random, sizeof(random),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    size_t length = strlen(text);
    memcpy(text + length, "\n", 2);
    snprintf(aside, sizeof(aside), "%s.new", secret->path);
    /* Never into a file that is there: whoever made it could hold it open. */
    unlink(aside);
    int file = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        return io_complaint(complaint, "make", secret->kind, aside);
    }
    int status = fchmod(file, 0600) ? STATUS_IO : write_whole(file, text);
    close(file);
    if (status || rename(aside, secret->path) || sync_folder_of(secret->path)) {
        status = io_complaint(complaint, "write", secret->kind, secret->path);
        unlink(aside);
        return status;
    }
    log_event(LOG_INFO, "admin-token-made", LOG_TEXT("file", secret->path));
    return STATUS_OK;
}

int secret_files_make(const struct secret_files *files, struct complaint *complaint) {
    return access(files->admin.path, F_OK) && errno == ENOENT ? token_make(&files->admin, complaint)
                                                              : STATUS_OK;
}

/* ---- reading ---- */

static void wipe(struct secret_file *secret) {
    if (secret->bytes.bytes) {
        sodium_memzero(secret->bytes.bytes, secret->bytes.capacity);
    }
    buffer_done(&secret->bytes);
}

static void warn_exposed(const struct secret_file *secret, mode_t mode) {
    char event[64];
    if (!secret->public && mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH)) {
        snprintf(event, sizeof(event), "%s-exposed", secret->kind);
        log_event(LOG_WARN, event, LOG_TEXT("file", secret->path),
                  LOG_TEXT("hint", "others can read it; chmod 600"));
    }
}

/* Room for all is taken at once, so that no copy is left behind by growing. */
static int read_open(struct secret_file *secret, int file, struct complaint *complaint) {
    struct stat facts;
    if (fstat(file, &facts)) {
        return io_complaint(complaint, "read", secret->kind, secret->path);
    }
    warn_exposed(secret, facts.st_mode);
    if (buffer_reserve(&secret->bytes, SECRET_FILE_MAX + 1)) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for %s", secret->path);
    }
    while (secret->bytes.size <= SECRET_FILE_MAX) {
        ssize_t size = read(file, secret->bytes.bytes + secret->bytes.size,
                            SECRET_FILE_MAX + 1 - secret->bytes.size);
        if (size < 0) {
            return io_complaint(complaint, "read", secret->kind, secret->path);
        }
        if (size == 0) {
            return STATUS_OK;
        }
        secret->bytes.size += (size_t)size;
    }
    return complain(complaint, STATUS_INVALID, "the %s file %s is larger than %d bytes",
                    secret->kind, secret->path, SECRET_FILE_MAX);
}

static int read_secret(struct secret_file *secret, struct secret *ret_secret,
                       struct complaint *complaint) {
    wipe(secret);
    *ret_secret = (struct secret){.source = secret->path};
    if (secret->path[0] == '\0') {
        return STATUS_OK;
    }
    int file = open(secret->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (file < 0) {
        return io_complaint(complaint, "read", secret->kind, secret->path);
    }
    int status = read_open(secret, file, complaint);
    close(file);
    ret_secret->text = buffer_view(&secret->bytes);
    return status;
}

int secret_files_read(struct secret_files *files, struct api_secrets *ret_secrets,
                      struct complaint *complaint) {
    int status = read_secret(&files->admin, &ret_secrets->admin_tokens, complaint);
    if (status == STATUS_OK) {
        status = read_secret(&files->claim, &ret_secrets->claim_tokens, complaint);
    }
    if (status == STATUS_OK) {
        status = read_secret(&files->jwt_key, &ret_secrets->jwt_key, complaint);
    }
    return status;
}

void secret_files_wipe(struct secret_files *files) {
    wipe(&files->admin);
    wipe(&files->claim);
    wipe(&files->jwt_key);
}
