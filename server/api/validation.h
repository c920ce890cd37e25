#pragma once
/* validation: what is wrong with a request, as clients of FastAPI services know it: 422 and
 * {"detail": [{"loc": ["body", "code"], "msg": "…", "type": "…"}]}, broken JSON included. */

#include <h2o.h>

#include "server/api/reader.h"

/* Where in the request the field is. */
typedef enum FieldPlace { FIELD_IN_BODY, FIELD_IN_QUERY } FieldPlace;

/* The type that is named when a field is of another. */
typedef struct FieldType {
        const char *field;
        const char *type; /* "type_error.str" */
} FieldType;

/* field may be "": the body as a whole. */
void respond_invalid(h2o_req_t *req, FieldPlace place, const char *field, const char *text,
                     const char *type);
void respond_missing(h2o_req_t *req, FieldPlace place, const char *field);

/* A body that the reader has refused. Fields that are not among types are expected to be objects.
 */
void respond_unread(h2o_req_t *req, const ReaderError *error, const FieldType *types,
                    size_t n_types);
