#include "server/api/validation.h"

#include "jsontext/write.h"
#include "server/api/exchange.h"
#include "server/respond.h"

void respond_invalid(h2o_req_t *req, FieldPlace place, const char *field, const char *text,
                     const char *type) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);

        json_begin_object(&writer);
        json_key(&writer, "detail");
        json_begin_array(&writer);
        json_begin_object(&writer);
        json_key(&writer, "loc");
        json_begin_array(&writer);
        json_literal(&writer, place == FIELD_IN_BODY ? "body" : "query");
        if (field[0] != '\0')
                json_literal(&writer, field);
        json_end_array(&writer);
        json_key(&writer, "msg");
        json_literal(&writer, text);
        json_key(&writer, "type");
        json_literal(&writer, type);
        json_end_object(&writer);
        json_end_array(&writer);
        json_end_object(&writer);
        if (writer.error < 0)
                respond_error(req, ERRORS_DETAIL, (ErrorAnswer){.status = 422}, "%s", text);
        else
                respond_json(req, 422, &body);
}

void respond_missing(h2o_req_t *req, FieldPlace place, const char *field) {
        respond_invalid(req, place, field, "field required", "value_error.missing");
}

void respond_unread(h2o_req_t *req, const ReaderError *error, const FieldType *types,
                    size_t n_types) {
        const char *type = "type_error.dict";

        if (error->status == 503) {
                respond_reader_error(req, ERRORS_DETAIL, error);
                return;
        }
        for (size_t i = 0; i < n_types; i++) {
                if (strcmp(error->field, types[i].field) == 0)
                        type = types[i].type;
        }
        respond_invalid(req, FIELD_IN_BODY, error->field, error->text,
                        error->status == 400 ? "value_error.jsondecode" : type);
}
