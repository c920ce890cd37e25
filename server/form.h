#pragma once
/*
 * form: the fields of a form, sent as multipart/form-data (curl -F, files) or as
 * application/x-www-form-urlencoded (curl -d), and those of a query. Which of the two it was makes
 * no difference to who reads it.
 */

#include <h2o.h>

#include "server/api/reader.h"
#include "server/body.h"

#define FORM_PARTS_MAX 256
/* A field that is no file, when the body lies in a file; in memory, any. */
#define FORM_TEXT_MAX (64U << 10)

typedef struct FormPart {
        Slice name;         /* UTF-8; NUL only in a urlencoded form */
        bool is_file;       /* a file name was given, be it empty */
        Slice filename;     /* UTF-8 */
        Slice content_type; /* as sent; empty: none */
        uint64_t offset;    /* of the value in the body; only of multipart */
        uint64_t size;
        Slice value; /* the value; of a file in a body that lies in a file: SLICE_NULL */
} FormPart;

typedef struct Form {
        FormPart *parts; /* in the order of the body */
        size_t n_parts;
        struct FormText *texts; /* what the slices point to, besides the body */
} Form;

/*
 * Reads a form; the body stays the caller's, and must outlive the form. Touches nothing else, so a
 * large body can be read in a chore. Returns false with the error: 400 malformed, 413 too many
 * parts, 415 no form, 503. The error's field is that of the part, where one is known.
 */
bool form_parse(Slice content_type, const Body *body, Form *ret_form, ReaderError *ret_error);
/* Takes a zeroed form. */
void form_done(Form *form);

/* The form of a request, whose body lies in memory: the way of routes with BODY_REQUEST. */
bool form_read(h2o_req_t *req, Form *ret_form, ReaderError *ret_error);

/* The first part of that name, or NULL. */
const FormPart *form_find(const Form *form, const char *name);

/* The first parameter of that name in the query of a request, decoded, in the request's pool.
 * Returns 1, 0 when there is none, or -EINVAL when its value is malformed. */
_must_check_ int query_find(h2o_req_t *req, const char *name, Slice *ret_value);
