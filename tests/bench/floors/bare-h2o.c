/*
 * bare-h2o: what HTTP alone costs. A server on libh2o that sends the body of every POST back, and
 * does nothing else; it prints its port and serves until it is killed.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <h2o.h>
#include <stdio.h>

#include "kit/error.h"

static h2o_globalconf_t config;
static h2o_context_t context;
static h2o_accept_ctx_t acceptor;

static int on_request(h2o_handler_t *handler, h2o_req_t *req) {
        static h2o_generator_t generator;
        h2o_iovec_t body;

        if (req->entity.base == NULL)
                return -1;
        /* Like the server under test: the answer is a JSON document of known length, sent at once.
         */
        body = h2o_strdup(&req->pool, req->entity.base, req->entity.len);
        req->res.status = 200;
        req->res.reason = "OK";
        req->res.content_length = body.len;
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                       H2O_STRLIT("application/json"));
        h2o_start_response(req, &generator);
        h2o_send(req, &body, 1, H2O_SEND_STATE_FINAL);
        return 0;
}

static void on_accept(h2o_socket_t *listener, const char *error) {
        h2o_socket_t *client;

        if (error == NULL && (client = h2o_evloop_socket_accept(listener)) != NULL)
                h2o_accept(&acceptor, client);
}

static int listen_anywhere(unsigned *ret_port) {
        struct sockaddr_in address = {.sin_family = AF_INET};
        socklen_t size = sizeof(address);
        _autoclose_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
            listen(fd, SOMAXCONN) < 0 || getsockname(fd, (struct sockaddr *) &address, &size) < 0)
                return raise_errno("listen");
        *ret_port = ntohs(address.sin_port);
        return take_fd(fd);
}

int main(void) {
        h2o_hostconf_t *host;
        h2o_pathconf_t *path;
        unsigned port = 0;
        int fd = listen_anywhere(&port);

        if (fd < 0)
                return 1;
        h2o_config_init(&config);
        host = h2o_config_register_host(&config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
        path = h2o_config_register_path(host, "/", 0);
        h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = on_request;
        h2o_context_init(&context, h2o_evloop_create(), &config);
        acceptor = (h2o_accept_ctx_t){.ctx = &context, .hosts = config.hosts};
        h2o_socket_read_start(h2o_evloop_socket_create(context.loop, fd, H2O_SOCKET_FLAG_DONT_READ),
                              on_accept);
        printf("%u\n", port);
        (void) fflush(stdout);
        while (h2o_evloop_run(context.loop, INT32_MAX) == 0)
                ;
        return 1;
}
