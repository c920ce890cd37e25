#pragma once
/* tls: TLS 1.2 and later, with ALPN for HTTP/2. */

#include <openssl/ssl.h>

#include "kit/cleanup.h"

/* Reads a certificate with its chain, and its key, from PEM files. On failure one line on standard
 * error has said why, and -EINVAL is returned. Free with SSL_CTX_free(). */
_must_check_ int tls_context_new(const char *certificate, const char *key, SSL_CTX **ret_context);
