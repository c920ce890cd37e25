#include "server/api/outflow.h"

static Outflow *outflow_of(h2o_generator_t *generator) {
        return H2O_STRUCT_FROM_MEMBER(Outflow, super, generator);
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req) {
        Outflow *flow = outflow_of(generator);

        flow->in_flight = false;
        flow->sending.size = 0;
        if (!flow->ending && !flow->broken)
                flow->drained(flow->data);
        outflow_flush(flow);
}

/* The connection has broken; the request is disposed of next. */
static void on_stop(h2o_generator_t *generator, h2o_req_t *req) {
        outflow_of(generator)->sent_last = true;
}

void outflow_init(Outflow *flow, h2o_req_t *req, const char *content_type,
                  void (*drained)(void *data), void *data) {
        *flow = (Outflow){
                .super = {on_proceed, on_stop},
                .req = req,
                .content_type = content_type,
                .drained = drained,
                .data = data,
        };
}

void outflow_done(Outflow *flow) {
        buffer_done(&flow->next);
        buffer_done(&flow->sending);
        flow->sent_last = true;
}

static void begin(Outflow *flow) {
        h2o_req_t *req = flow->req;

        req->res.status = 200;
        req->res.reason = "OK";
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                       flow->content_type, strlen(flow->content_type));
        /* What comes over time must not wait in a proxy until it is complete. */
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL,
                       H2O_STRLIT("no-cache"));
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("x-accel-buffering"), 0,
                              NULL, H2O_STRLIT("no"));
        flow->has_begun = true;
        h2o_start_response(req, &flow->super);
}

void outflow_flush(Outflow *flow) {
        h2o_send_state_t state = H2O_SEND_STATE_IN_PROGRESS;
        Buffer taken = flow->sending;
        h2o_iovec_t bytes;

        if (flow->in_flight || flow->sent_last)
                return;
        if (flow->next.size == 0 && !flow->ending && !flow->broken)
                return;
        if (!flow->has_begun)
                begin(flow);
        flow->sending = flow->next;
        flow->next = taken;
        if (flow->broken)
                state = H2O_SEND_STATE_ERROR;
        else if (flow->ending)
                state = H2O_SEND_STATE_FINAL;
        flow->sent_last = state != H2O_SEND_STATE_IN_PROGRESS;
        flow->in_flight = true;
        bytes = h2o_iovec_init(flow->sending.data, flow->sending.size);
        h2o_send(flow->req, &bytes, bytes.len > 0 ? 1 : 0, state);
}

void outflow_end(Outflow *flow) {
        flow->ending = true;
        outflow_flush(flow);
}

void outflow_break(Outflow *flow) {
        flow->broken = true;
        flow->next.size = 0;
        flow->req->http1_is_persistent = 0;
        outflow_flush(flow);
}
