#pragma once
/* decode: requests as they come, with two templates to run in: default and shell. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "server/api/decode.h"

static TemplateConfig templates[2];

static inline DecodeContext context(void) {
        return (DecodeContext){.templates = templates, .n_templates = 2};
}

static inline int set_up(void **state) {
        templates[0] = (TemplateConfig){.name = "default", .limits = limit_policy_standard()};
        templates[1] = (TemplateConfig){
                .name = "shell", .subprocesses = true, .limits = limit_policy_standard()};
        templates[1].limits.maximum[LIMIT_PROCESSES] = 8;
        templates[1].limits.standard[LIMIT_WALL_MS] = 1234;
        return 0;
}

/* The body as a heap block of exactly its size, so that a sanitizer sees a read past its end. */
typedef struct Case {
        ExecuteRequest request;
        DecodeContext context;
        uint8_t *body;
        bool is_read;
} Case;

static inline Case decode_bytes(const char *text, size_t size) {
        Case c = {.context = context()};

        c.body = malloc(size ? size : 1);
        assert_non_null(c.body);
        memcpy(c.body, text, size);
        c.is_read = execute_request_decode(&c.request, &c.context, slice_of(c.body, size));
        return c;
}

static inline Case decode(const char *text) {
        return decode_bytes(text, strlen(text));
}

static inline void done(Case *c) {
        execute_request_done(&c->request);
        free(c->body);
}

static inline void assert_slice(Slice slice, const char *text) {
        assert_int_equal(slice.size, strlen(text));
        assert_memory_equal(slice.data, text, slice.size);
}

static inline void assert_refused(const char *text, int status, const char *field,
                                  const char *says) {
        Case c = decode(text);
        const ReaderError *error = &c.request.reader.error;

        if (c.is_read || error->status != status || strcmp(error->field, field) != 0 ||
            !strstr(error->text, says))
                fail_msg("%s\n → %d, field \"%s\": %s", text, c.is_read ? 0 : error->status,
                         error->field, error->text);
        done(&c);
}

static inline Case accepted(const char *text) {
        Case c = decode(text);

        if (!c.is_read)
                fail_msg("%s\n → %d, field \"%s\": %s", text, c.request.reader.error.status,
                         c.request.reader.error.field, c.request.reader.error.text);
        return c;
}

static inline void assert_accepted(const char *text) {
        Case c = accepted(text);

        done(&c);
}
