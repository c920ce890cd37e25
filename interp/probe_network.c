/* probe_network: attempts at talking to somebody. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "interp/probe_attempts.h"
#include "kit/cleanup.h"

/* The kernel takes an int; a filter that compares all 64 bits of the register sees another number.
 */
#define HIGH_BIT ((uint64_t) 1 << 32)

static int make_socket(int domain, int type) {
        int fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                fd = (int) syscall(SYS_socket, HIGH_BIT | (uint64_t) domain,
                                   type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        return fd;
}

int probe_internet_socket(const ProbeRequest *request) {
        static const int domains[] = {AF_INET, AF_INET6};

        for (size_t i = 0; i < N_ELEMENTS(domains); i++) {
                _autoclose_ int stream = make_socket(domains[i], SOCK_STREAM);
                _autoclose_ int datagram = make_socket(domains[i], SOCK_DGRAM);

                if (stream >= 0 || datagram >= 0)
                        return PROBE_SUCCEEDED;
        }
        return errno;
}

/* What has begun will be completed by the kernel. */
static int try_to_connect(int fd, const void *address, size_t size) {
        if (connect(fd, address, (socklen_t) size) == 0 || errno == EINPROGRESS || errno == EAGAIN)
                return PROBE_SUCCEEDED;
        return errno;
}

int probe_connect_server(const ProbeRequest *request) {
        const struct sockaddr_in address = {
                .sin_family = AF_INET,
                .sin_port = htons((uint16_t) request->port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        _autoclose_ int fd = -1;

        if (request->port == 0)
                return PROBE_SKIPPED;
        fd = make_socket(AF_INET, SOCK_STREAM);
        return fd < 0 ? errno : try_to_connect(fd, &address, sizeof(address));
}

/* A datagram socket that may not be made alone may be had as one of a pair. It cannot talk to a
 * stream, but the kernel only says so (EPROTOTYPE) of a listener that it has found. */
static int try_unix(const struct sockaddr_un *address, size_t size) {
        _autoclose_ int fd = make_socket(AF_UNIX, SOCK_STREAM);
        int pair[2], outcome;

        if (fd >= 0)
                return try_to_connect(fd, address, size);
        if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) < 0)
                return errno;
        outcome = try_to_connect(pair[0], address, size);
        (void) close(pair[0]);
        (void) close(pair[1]);
        return outcome == EPROTOTYPE ? PROBE_SUCCEEDED : outcome;
}

int probe_connect_abstract(const ProbeRequest *request) {
        size_t length = strlen(request->abstract_name);
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        if (length == 0)
                return PROBE_SKIPPED;
        memcpy(address.sun_path + 1, request->abstract_name, length);
        return try_unix(&address, offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

int probe_connect_named(const ProbeRequest *request) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        if (!request->socket_path[0])
                return PROBE_SKIPPED;
        memcpy(address.sun_path, request->socket_path, sizeof(address.sun_path));
        return try_unix(&address, sizeof(address));
}

/* Descriptors under way between sockets are kept by the kernel's garbage collector, which is a way
 * to attack it. */
int probe_send_descriptor(int socket_fd, int fd) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = {0};
        char byte = 0;
        struct iovec iov = {&byte, 1};
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof(fd));
        return sendmsg(socket_fd, &message, MSG_NOSIGNAL) < 0 ? errno : PROBE_SUCCEEDED;
}

int probe_pass_descriptor(const ProbeRequest *request) {
        int pair[2], outcome;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return errno;
        outcome = probe_send_descriptor(pair[0], STDIN_FILENO);
        (void) close(pair[0]);
        (void) close(pair[1]);
        return outcome;
}
