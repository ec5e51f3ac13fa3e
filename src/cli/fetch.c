/* GET by libcurl: one handle, so one connection kept as long as the server keeps it. See
 * fetch.h. */
#include "cli/fetch.h"
#include "cli/interrupt.h"

#include <curl/curl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    CONNECT_TIMEOUT_MS = 5000,
    ANSWER_TIMEOUT_MS = 30000,
    TRIES_MAX = 5,
    WAIT_DEFAULT_S = 1,
    WAIT_MAX_S = 30,
};

struct fetch {
    CURL *curl;
    char *base; /* the URL without a slash at its end */
    struct curl_slist *fields;
    struct buffer body;
    char why[CURL_ERROR_SIZE];
};

/* ---- one answer ---- */

/* Fewer bytes taken than given end the transfer with CURLE_WRITE_ERROR. */
static size_t take_body(char *bytes, size_t one, size_t size, void *context) {
    struct fetch *fetch = context;
    (void)one; /* 1 by libcurl's contract */
    if (size > FETCH_BODY_MAX - fetch->body.size) {
        return 0;
    }
    buffer_append(&fetch->body, bytes, size);
    return fetch->body.failed ? 0 : size;
}

static const char *advice(CURLcode code) {
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        return "; is the server running there, and --url right?";
    case CURLE_OPERATION_TIMEDOUT:
        return "; is it overloaded, or something between that swallows answers?";
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
        return "; a certificate that this machine does not trust takes a --ca-file";
    default:
        return "";
    }
}

static int no_answer(struct fetch *fetch, CURLcode code, struct complaint *complaint) {
    if (fetch->body.failed || code == CURLE_OUT_OF_MEMORY) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for the server's answer");
    }
    if (code == CURLE_ABORTED_BY_CALLBACK) {
        return complain(complaint, STATUS_STOPPED, "ended by a signal");
    }
    if (code == CURLE_WRITE_ERROR) {
        return complain(complaint, STATUS_IO, "%s answers with more than a coupon server would",
                        fetch->base);
    }
    return complain(complaint, STATUS_IO, "no answer from %s: %s%s", fetch->base,
                    fetch->why[0] ? fetch->why : curl_easy_strerror(code), advice(code));
}

/* Not 0 ends the transfer. Asked about once a second, and as bytes come. */
static int on_transfer(void *context, curl_off_t down_size, curl_off_t down, curl_off_t up_size,
                       curl_off_t up) {
    (void)context, (void)down_size, (void)down, (void)up_size, (void)up;
    return interrupt_came();
}

static int get_once(struct fetch *fetch, const char *url, long *ret_status,
                    struct complaint *complaint) {
    if (interrupt_came()) {
        return complain(complaint, STATUS_STOPPED, "ended by a signal");
    }
    buffer_clear(&fetch->body);
    fetch->why[0] = '\0';
    CURLcode code = curl_easy_setopt(fetch->curl, CURLOPT_URL, url); /* copied */
    if (code == CURLE_OK) {
        code = curl_easy_perform(fetch->curl);
    }
    if (code == CURLE_OK) {
        code = curl_easy_getinfo(fetch->curl, CURLINFO_RESPONSE_CODE, ret_status);
    }
    return code == CURLE_OK ? STATUS_OK : no_answer(fetch, code, complaint);
}

/* ---- asking again ---- */

static void wait_before_next(struct fetch *fetch) {
    curl_off_t asked_s = 0;
    if (curl_easy_getinfo(fetch->curl, CURLINFO_RETRY_AFTER, &asked_s) || asked_s <= 0) {
        asked_s = WAIT_DEFAULT_S;
    }
    struct timespec left = {.tv_sec = asked_s < WAIT_MAX_S ? (time_t)asked_s : WAIT_MAX_S};
    log_event(LOG_INFO, "waiting-for-server", LOG_NUMBER("status", 503),
              LOG_NUMBER("seconds", left.tv_sec));
    while (!interrupt_came() && nanosleep(&left, &left)) {
    }
}

int fetch_get(struct fetch *fetch, const char *target, struct fetch_answer *ret_answer,
              struct complaint *complaint) {
    assert(target[0] == '/');
    char *url = NULL;
    if (asprintf(&url, "%s%s", fetch->base, target) < 0) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for a request");
    }
    long http_status = 0;
    int status = get_once(fetch, url, &http_status, complaint);
    for (int tries = 1; status == STATUS_OK && http_status == 503 && tries < TRIES_MAX; tries++) {
        wait_before_next(fetch);
        status = get_once(fetch, url, &http_status, complaint);
    }
    free(url);
    if (status == STATUS_OK) {
        *ret_answer =
            (struct fetch_answer){.status = (int)http_status, .body = buffer_view(&fetch->body)};
    }
    return status;
}

/* ---- making one ---- */

static bool url_has(CURLU *parts, CURLUPart part) {
    char *text = NULL;
    bool has = curl_url_get(parts, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

/* NULL: it can be asked. */
static const char *url_fault(const char *url) {
    CURLU *parts = curl_url();
    char *scheme = NULL;
    const char *why = NULL;
    if (!parts || curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
        why = "is none of http://HOST:PORT and https://HOST";
    } else if (url_has(parts, CURLUPART_USER) || url_has(parts, CURLUPART_PASSWORD)) {
        why = "has a user or a password in it; the credential is --token-file";
    } else if (strpbrk(url, "?#")) {
        why = "has a query or a fragment; give what stands before /v1";
    }
    curl_free(scheme);
    curl_url_cleanup(parts);
    return why;
}

static struct curl_slist *fields_new(struct slice token) {
    char *bearer = NULL;
    if (asprintf(&bearer, "Authorization: Bearer %.*s", (int)token.size, token.bytes) < 0) {
        return NULL;
    }
    struct curl_slist *fields = curl_slist_append(NULL, "Accept: application/json");
    struct curl_slist *longer = fields ? curl_slist_append(fields, bearer) : NULL;
    if (!longer) {
        curl_slist_free_all(fields);
    }
    sodium_memzero(bearer, strlen(bearer));
    free(bearer);
    return longer;
}

static int configure(struct fetch *fetch, const char *ca_file) {
    CURL *curl = fetch->curl;
    CURLcode codes[] = {
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fetch->fields),
        curl_easy_setopt(curl, CURLOPT_USERAGENT, "coupon/" COUPON_VERSION),
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https"),
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*"),
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS),
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ANSWER_TIMEOUT_MS),
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, fetch->why),
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body),
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, fetch),
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_transfer),
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L),
        ca_file ? curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file) : CURLE_OK,
    };
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        if (codes[i] != CURLE_OK) {
            return STATUS_NO_MEMORY;
        }
    }
    return STATUS_OK;
}

int fetch_new(const char *url, const char *ca_file, struct slice token, struct fetch **ret_fetch,
              struct complaint *complaint) {
    const char *why = url_fault(url);
    if (why) {
        return complain(complaint, STATUS_INVALID, "--url %s %s", url, why);
    }
    size_t size = strlen(url);
    while (url[size - 1] == '/') {
        size--;
    }
    struct fetch *fetch = calloc(1, sizeof(*fetch));
    if (fetch && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
        fetch->base = strndup(url, size);
        fetch->fields = fields_new(token);
        fetch->curl = curl_easy_init();
    }
    if (!fetch || !fetch->base || !fetch->fields || !fetch->curl || configure(fetch, ca_file)) {
        fetch_free(fetch);
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for a connection");
    }
    *ret_fetch = fetch;
    return STATUS_OK;
}

void fetch_free(struct fetch *fetch) {
    if (!fetch) {
        return;
    }
    curl_easy_cleanup(fetch->curl);
    curl_slist_free_all(fetch->fields);
    buffer_done(&fetch->body);
    free(fetch->base);
    free(fetch);
    curl_global_cleanup();
}
