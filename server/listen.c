#include "server/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* The kernel cuts it to net.core.somaxconn. */
#define BACKLOG 4096

static int complain(const char *address, int error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static int complain(const char *address, int error, const char *format, ...) {
        char message[256];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(message, sizeof(message), format, arguments);
        va_end(arguments);
        (void) fprintf(stderr, "hatchery: --listen %s: %s\n", address, message);
        return error;
}

/* Whether somebody accepts connections on a unix socket. A refused one is a path that its owner
 * left behind. */
static bool is_answered(const struct sockaddr_un *address) {
        _autoclose_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return true;
        return connect(fd, (const struct sockaddr *) address, sizeof(*address)) == 0 ||
               errno != ECONNREFUSED;
}

static int remove_stale(const char *text, const struct sockaddr_un *address) {
        struct stat status;

        if (lstat(address->sun_path, &status) < 0)
                return 0;
        if (!S_ISSOCK(status.st_mode))
                return complain(text, -EEXIST, "the path exists and is not a socket");
        if (is_answered(address))
                return complain(text, -EADDRINUSE, "already in use");
        if (unlink(address->sun_path) < 0)
                return complain(text, -errno, "cannot remove the old socket: %s", strerror(errno));
        return 0;
}

static int open_unix(const char *text, const char *path, Listener *ret_listener) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _autoclose_ int fd = -1;
        mode_t mask;
        int r;

        if (path[0] == '\0' || strlen(path) >= sizeof(address.sun_path))
                return complain(text, -EINVAL, "the path must have 1 to %zu characters",
                                sizeof(address.sun_path) - 1);
        (void) strcpy(address.sun_path, path);
        r = remove_stale(text, &address);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return complain(text, -errno, "%s", strerror(errno));
        /* There must be no moment at which others could connect, so chmod(2) afterwards is too
         * late. */
        mask = umask(0117);
        r = bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
        (void) umask(mask);
        if (r < 0)
                return complain(text, r, "%s", strerror(-r));
        if (listen(fd, BACKLOG) < 0)
                return complain(text, -errno, "%s", strerror(errno));
        ret_listener->unix_path = strdup(path);
        ret_listener->fd = take_fd(fd);
        return 0;
}

/* Splits "HOST:PORT" or "[ADDRESS]:PORT"; host has room for all of text. */
static int split_address(const char *text, char *host, const char **ret_port) {
        const char *colon = strrchr(text, ':');
        size_t size = colon ? (size_t) (colon - text) : 0;
        bool in_brackets = size >= 2 && text[0] == '[' && text[size - 1] == ']';
        char *end;
        long port;

        if (!colon || size == 0)
                return complain(text, -EINVAL, "must be HOST:PORT, [ADDRESS]:PORT or unix:PATH");
        if (!in_brackets && memchr(text, ':', size))
                return complain(text, -EINVAL,
                                "an IPv6 address must stand in brackets: [ADDRESS]:PORT");
        port = strtol(colon + 1, &end, 10);
        if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port > 65535)
                return complain(text, -EINVAL, "the port must be a number from 0 to 65535");
        if (in_brackets) {
                text++;
                size -= 2;
        }
        memcpy(host, text, size);
        host[size] = '\0';
        *ret_port = colon + 1;
        return 0;
}

static int open_one_tcp(const char *text, const struct addrinfo *info, Listener *ret_listener) {
        _autoclose_ int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int on = 1;

        if (fd < 0)
                return complain(text, -errno, "%s", strerror(errno));
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
                return complain(text, -errno, "%s", strerror(errno));
        if (info->ai_family == AF_INET6 &&
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
                return complain(text, -errno, "%s", strerror(errno));
        if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
                return complain(text, -errno, "%s", strerror(errno));
        ret_listener->fd = take_fd(fd);
        return 0;
}

static int open_tcp(const char *text, Listener *ret_listener) {
        _autofree_ char *host = malloc(strlen(text) + 1);
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
        struct addrinfo *infos;
        const char *port = NULL;
        int r;

        if (!host)
                return -ENOMEM;
        r = split_address(text, host, &port);
        if (r < 0)
                return r;
        r = getaddrinfo(host, port, &hints, &infos);
        if (r != 0)
                return complain(text, -EINVAL, "%s", gai_strerror(r));
        r = open_one_tcp(text, infos, ret_listener);
        freeaddrinfo(infos);
        return r;
}

/* Port 0 stands for any: the address is made to say which one it became. */
static void name_chosen_port(Listener *listener) {
        struct sockaddr_storage address;
        socklen_t size = sizeof(address);
        char host[NI_MAXHOST], port[NI_MAXSERV];
        char *colon = strrchr(listener->address, ':');
        char *text;

        if (listener->unix_path || strcmp(colon, ":0") != 0)
                return;
        if (getsockname(listener->fd, (struct sockaddr *) &address, &size) < 0 ||
            getnameinfo((struct sockaddr *) &address, size, host, sizeof(host), port, sizeof(port),
                        NI_NUMERICHOST | NI_NUMERICSERV) != 0)
                return;
        *colon = '\0';
        if (asprintf(&text, "%s:%s", listener->address, port) >= 0) {
                free(listener->address);
                listener->address = text;
        }
}

static int open_listener(const char *text, ListenerSet *set) {
        Listener *listener = &set->of[set->n];
        int r;

        if (set->n == LISTENERS_MAX)
                return complain(text, -EINVAL, "too many addresses; allowed: %d", LISTENERS_MAX);
        *listener = (Listener){.fd = -1};
        if (strncmp(text, "unix:", 5) == 0)
                r = open_unix(text, text + 5, listener);
        else
                r = open_tcp(text, listener);
        if (r < 0)
                return r;
        listener->address = strdup(text);
        if (!listener->address)
                return -ENOMEM;
        name_chosen_port(listener);
        set->n++;
        return 0;
}

int listener_set_open(const char *addresses, ListenerSet *ret_set) {
        _autofree_ char *copy = strdup(addresses);
        char *rest = NULL;

        *ret_set = (ListenerSet){0};
        if (!copy)
                return -ENOMEM;
        for (char *text = strtok_r(copy, ", ", &rest); text; text = strtok_r(NULL, ", ", &rest)) {
                int r = open_listener(text, ret_set);

                if (r < 0) {
                        listener_set_close(ret_set);
                        return r;
                }
        }
        return ret_set->n > 0 ? 0 : complain(addresses, -EINVAL, "no address");
}

uint16_t listener_loopback_port(const Listener *listener) {
        struct sockaddr_storage address;
        const struct sockaddr_in *internet = (const struct sockaddr_in *) &address;
        socklen_t size = sizeof(address);
        uint32_t host;

        if (listener->unix_path ||
            getsockname(listener->fd, (struct sockaddr *) &address, &size) < 0 ||
            address.ss_family != AF_INET)
                return 0;
        host = ntohl(internet->sin_addr.s_addr);
        return host == INADDR_LOOPBACK || host == INADDR_ANY ? ntohs(internet->sin_port) : 0;
}

void listener_set_close(ListenerSet *set) {
        for (size_t i = 0; i < set->n; i++) {
                Listener *listener = &set->of[i];

                close_fd(&listener->fd);
                if (listener->unix_path)
                        (void) unlink(listener->unix_path);
                free(listener->unix_path);
                free(listener->address);
                *listener = (Listener){.fd = -1};
        }
        set->n = 0;
}
