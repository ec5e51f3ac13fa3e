/* The admin token's file: made at the first start, readable by its owner only. See token.h. */
#include "cli/token.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* 32 random bytes, base64url: 43 characters. */
enum { TOKEN_RANDOM_SIZE = 32 };

static int io_complaint(struct complaint *complaint, const char *doing, const char *path) {
    return complain(complaint, STATUS_IO, "cannot %s the admin token's file %s: %s", doing, path,
                    strerror(errno));
}

static int write_whole(int file, const char *text) {
    size_t size = strlen(text);
    if (write(file, text, size) != (ssize_t)size || write(file, "\n", 1) != 1) {
        return STATUS_IO;
    }
    return fsync(file) ? STATUS_IO : STATUS_OK;
}

/* Written aside and linked into place, so that no crash leaves half a token there. */
static int token_make(struct token *token, struct complaint *complaint) {
    char aside[sizeof(token->path) + 8];
    unsigned char random[TOKEN_RANDOM_SIZE];
    randombytes_buf(random, sizeof(random));
    sodium_bin2base64(token->text, sizeof(token->text), random, sizeof(random),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    snprintf(aside, sizeof(aside), "%s.new", token->path);
    int file = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        return io_complaint(complaint, "make", aside);
    }
    int status = fchmod(file, 0600) ? STATUS_IO : write_whole(file, token->text);
    close(file);
    if (status || rename(aside, token->path)) {
        status = io_complaint(complaint, "write", token->path);
        unlink(aside);
        return status;
    }
    log_event(LOG_INFO, "admin-token-made", LOG_TEXT("file", token->path));
    return STATUS_OK;
}

static int token_read(int file, struct token *token, struct complaint *complaint) {
    struct stat facts;
    char text[ADMIN_TOKEN_MAX + 2];
    ssize_t size = read(file, text, sizeof(text));
    if (size < 0 || fstat(file, &facts)) {
        return io_complaint(complaint, "read", token->path);
    }
    if (facts.st_mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH)) {
        log_event(LOG_WARN, "admin-token-exposed", LOG_TEXT("file", token->path),
                  LOG_TEXT("hint", "others can read it; chmod 600"));
    }
    size_t length = 0;
    while (length < (size_t)size && text[length] != '\n' && text[length] != '\r') {
        length++;
    }
    if (length < ADMIN_TOKEN_MIN || length > ADMIN_TOKEN_MAX) {
        return complain(complaint, STATUS_INVALID,
                        "the first line of the admin token's file %s must have %d to %d "
                        "characters",
                        token->path, ADMIN_TOKEN_MIN, ADMIN_TOKEN_MAX);
    }
    memcpy(token->text, text, length);
    token->text[length] = '\0';
    return STATUS_OK;
}

int token_obtain(const char *file, const char *directory, struct token *ret_token,
                 struct complaint *complaint) {
    int length =
        file ? snprintf(ret_token->path, sizeof(ret_token->path), "%s", file)
             : snprintf(ret_token->path, sizeof(ret_token->path), "%s/admin-token", directory);
    if (length < 0 || (size_t)length >= sizeof(ret_token->path)) {
        return complain(complaint, STATUS_INVALID, "the admin token's path is too long");
    }
    int descriptor = open(ret_token->path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return errno == ENOENT && !file ? token_make(ret_token, complaint)
                                        : io_complaint(complaint, "read", ret_token->path);
    }
    int status = token_read(descriptor, ret_token, complaint);
    close(descriptor);
    return status;
}
