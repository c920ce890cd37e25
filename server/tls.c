#include "server/tls.h"

#include <errno.h>
#include <h2o.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int complain(const char *option, const char *path) {
        const char *reason = ERR_reason_error_string(ERR_peek_error());

        /* The first error is the cause, the last one only says "PEM lib"; of a file that cannot be
         * opened neither says why. */
        if (access(path, R_OK) < 0)
                reason = strerror(errno);
        (void) fprintf(stderr, "hatchery: --%s %s: %s\n", option, path,
                       reason ? reason : "TLS cannot be set up");
        ERR_clear_error();
        return -EINVAL;
}

int tls_context_new(const char *certificate, const char *key, SSL_CTX **ret_context) {
        /* In order of preference; libh2o keeps the address. Its own list has the drafts of HTTP/2,
         * and no HTTP/1.1. */
        static h2o_iovec_t protocols[3];
        SSL_CTX *context = SSL_CTX_new(TLS_server_method());
        int r = 0;

        if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
                r = complain("tls-certificate", certificate);
        else if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
                r = complain("tls-certificate", certificate);
        else if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
                 SSL_CTX_check_private_key(context) != 1)
                r = complain("tls-key", key);
        if (r < 0) {
                SSL_CTX_free(context);
                return r;
        }
        (void) SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                                    SSL_OP_CIPHER_SERVER_PREFERENCE);
        protocols[0] = h2o_iovec_init(H2O_STRLIT("h2"));
        protocols[1] = h2o_iovec_init(H2O_STRLIT("http/1.1"));
        h2o_ssl_register_alpn_protocols(context, protocols);
        *ret_context = context;
        return 0;
}
