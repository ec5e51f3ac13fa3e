/* listen: the listening sockets of a server, one a loop, on one port.
 *
 * SO_REUSEPORT lets the kernel spread connections over the loops. It would also let a
 * second server of the same user join in silently, so the first socket starts to listen
 * without it: that fails when anybody else listens there, and while it listens nobody
 * without SO_REUSEPORT can. Only then the option is set, which lets its siblings in. At no
 * moment is the port free or open to another start of ours: two starts at the same time
 * cannot both pass, since each begins with the exclusive step.
 *
 * Called by server.c.
 */
#include "http/internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESS_TEXT_SIZE 128

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t address_size(const union address *address) {
    return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

static int address_parse(const struct http_options *options, union address *ret_address,
                         struct complaint *complaint) {
    if (uv_ip4_addr(options->host, options->port, &ret_address->v4) == 0 ||
        uv_ip6_addr(options->host, options->port, &ret_address->v6) == 0) {
        return STATUS_OK;
    }
    return complain(complaint, STATUS_INVALID, "\"%s\" is not a numeric IPv4 or IPv6 address.",
                    options->host);
}

/* From errno, which says why a socket could not listen. */
static int complain_listen(const struct http_options *options, int error,
                           struct complaint *complaint) {
    switch (error) {
    case EADDRINUSE:
        return complain(complaint, STATUS_BUSY,
                        "Another process listens on %s port %u: stop it or choose another port.",
                        options->host, (unsigned)options->port);
    case EADDRNOTAVAIL:
        return complain(complaint, STATUS_INVALID, "%s is not an address of this machine.",
                        options->host);
    default:
        return complain(complaint, STATUS_IO, "Cannot listen on %s port %u: %s.", options->host,
                        (unsigned)options->port, strerror(error));
    }
}

static int set_value(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value);
}

static int set_option(int fd, int level, int option) {
    return set_value(fd, level, option, 1);
}

/* A listening socket, or -1 with errno set. What is set for TCP passes to what it accepts. */
static int open_one(const union address *address, bool shared) {
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR) == 0 &&
        (!shared || set_option(fd, SOL_SOCKET, SO_REUSEPORT) == 0) &&
        set_option(fd, IPPROTO_TCP, TCP_NODELAY) == 0 &&
        set_value(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_MAX) == 0 &&
        bind(fd, &address->any, address_size(address)) == 0 && listen(fd, LISTEN_BACKLOG) == 0 &&
        (shared || set_option(fd, SOL_SOCKET, SO_REUSEPORT) == 0)) {
        return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Fills in the port that the system chose. */
static int address_learn(int fd, union address *address) {
    socklen_t size = sizeof *address;
    return getsockname(fd, &address->any, &size);
}

int listen_open(const struct http_options *options, unsigned count, int *ret_sockets,
                uint16_t *ret_port, struct complaint *complaint) {
    assert(count > 0);
    union address address = {0};
    int status = address_parse(options, &address, complaint);
    if (status != STATUS_OK) {
        return status;
    }
    unsigned opened = 0;
    int error = 0;
    for (; opened < count && error == 0; opened++) {
        ret_sockets[opened] = open_one(&address, opened > 0);
        if (ret_sockets[opened] < 0) {
            error = errno;
            break;
        }
        if (opened == 0 && address_learn(ret_sockets[0], &address) != 0) {
            error = errno;
        }
    }
    if (error != 0) {
        while (opened > 0) {
            close(ret_sockets[--opened]);
        }
        return complain_listen(options, error, complaint);
    }
    in_port_t port = address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port;
    *ret_port = ntohs(port);
    return STATUS_OK;
}
