#include "server/intake.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <h2o/http1.h>
#include <h2o/http2.h>
#include <sys/socket.h>

#include "kit/error.h"
#include "kit/log.h"
#include "server/intake_internal.h"
#include "server/options.h"

/* So much has to come within request_timeout_ms. */
#define MOVE_BYTES           (1U << 20)
#define RECEIVE_BUFFER_BYTES (512 << 10)

Intake *intake_of(h2o_socket_t *sock) {
        return ((IntakeOwner *) sock->on_close.data)->intake;
}

/* ── Accounts ── */

void intake_hold_memory(Intake *intake, uint64_t bytes) {
        intake->all->memory_bytes += bytes - intake->memory_bytes;
        intake->memory_bytes = bytes;
}

void intake_hold_disk(Intake *intake, uint64_t bytes) {
        intake->all->disk_bytes += bytes - intake->disk_bytes;
        intake->disk_bytes = bytes;
}

bool intake_holds_too_much(const Intake *intake) {
        return intake->memory_bytes > 0 &&
               intake->all->memory_bytes > intake->all->app->options->bodies_bytes_max;
}

const char *intake_too_much(const Intake *intake) {
        log_warning("a request was refused: too much is being received at once bytes=%llu",
                    (unsigned long long) intake->all->memory_bytes);
        return "too much is being received at once";
}

void intake_bound_reads(const Intake *intake) {
        int size = RECEIVE_BUFFER_BYTES;

        (void) setsockopt(h2o_socket_get_fd(intake->sock), SOL_SOCKET, SO_RCVBUF, &size,
                          sizeof(size));
}

/* Of a request that libh2o is in the middle of reading: nothing has been written on its behalf. */
static const char *refuse_in_memory(Intake *intake) {
        char answer[512];
        size_t size = respond_raw_error(
                answer, sizeof(answer), (ErrorAnswer){.status = 503, .retry_after_s = 1},
                "The server is receiving too many large requests at once; try again later.");

        if (!intake->sock->ssl)
                (void) send(h2o_socket_get_fd(intake->sock), answer, size,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        return intake_too_much(intake);
}

/* ── Reading ── */

/* Whether a head has come in whole; libh2o's parser takes a bare line feed for the end of a line.
 */
static bool look_for_end_of_head(Intake *intake) {
        const char *input = intake->sock->input->bytes;
        size_t size = intake->sock->input->size;
        size_t at = intake->searched > 2 ? intake->searched - 2 : 0;

        intake->searched = size;
        for (; at + 1 < size; at++) {
                if (input[at] == '\n' &&
                    (input[at + 1] == '\n' ||
                     (input[at + 1] == '\r' && at + 2 < size && input[at + 2] == '\n')))
                        return true;
        }
        return false;
}

bool intake_call_libh2o(Intake *intake, const char *err) {
        bool gone = false;

        intake->gone = &gone;
        intake->next_read(intake->sock, err);
        if (!gone)
                intake->gone = NULL;
        return !gone;
}

/* By a read callback of libh2o's that is not that of HTTP/1. */
static bool turned_into_http2(const Intake *intake) {
        h2o_socket_cb read = intake->sock->_cb.read;

        return read && read != intake->all->http1_read && read != intake_on_read &&
               !intake_is_hooked_http2(intake);
}

static void pass(Intake *intake) {
        h2o_socket_t *sock = intake->sock;
        const char *err = NULL;

        intake_hold_memory(intake,
                           sock->input->capacity > SMALL_BODY_BYTES ? sock->input->capacity : 0);
        if (intake_holds_too_much(intake))
                err = refuse_in_memory(intake);
        /* A client that knows beforehand speaks HTTP/2 from the first byte on. */
        else if (sock->input->size >= 3 && memcmp(sock->input->bytes, "PRI", 3) == 0)
                intake_count_streams(intake);
        if (intake_call_libh2o(intake, err) && turned_into_http2(intake)) {
                intake_hook_http2(intake);
                intake_bound_streams(intake);
        }
}

void intake_on_read(h2o_socket_t *sock, const char *err) {
        Intake *intake = intake_of(sock);

        h2o_timeout_unlink(&intake->resume);
        if (err) {
                intake->next_read(sock, err);
                return;
        }
        if (intake->state == INTAKE_RECEIVING) {
                intake_file_receive(intake);
                return;
        }
        if (intake->state == INTAKE_HEAD && look_for_end_of_head(intake)) {
                intake->state = INTAKE_PASSED;
                request_head_read(slice_of(sock->input->bytes, sock->input->size), &intake->head);
                if (intake->head.size > 0 && intake_takes(intake)) {
                        intake_file_begin(intake);
                        return;
                }
        }
        pass(intake);
}

/* ── What comes behind a request ── */

/* libh2o would read on by itself at the end of the request (lib/http1.c, reqread_start()), before
 * anybody can see whether a large body follows. */
static void hide_what_is_behind(Intake *intake, const h2o_req_t *req) {
        h2o_buffer_t *input = intake->sock->input;
        size_t size = intake->head.size;

        if (intake->state == INTAKE_HEAD)
                return;
        if (req->entity.base)
                size = (size_t) (req->entity.base + req->entity.len - input->bytes);
        assert(size > 0 && size <= input->size);
        intake->later_size = input->size - size;
        input->size = size;
}

/* libh2o is about to consume its input, and frees a buffer that it has consumed. It gets one that
 * may go; whose bytes do not matter. */
static void set_aside(Intake *intake) {
        h2o_buffer_t *input = intake->sock->input, *consumed;
        size_t size = input->size;

        h2o_buffer_init(&consumed, &h2o_socket_buffer_prototype);
        (void) h2o_buffer_reserve(&consumed, size);
        consumed->size = size;
        input->bytes += size;
        input->size = intake->later_size;
        intake->sock->input = consumed;
        intake->later = input;
        intake->later_size = 0;
}

static void put_back(Intake *intake) {
        h2o_socket_t *sock = intake->sock;

        assert(sock->input->size == 0);
        h2o_buffer_dispose(&sock->input);
        sock->input = intake->later;
        intake->later = NULL;
}

static void on_resume(h2o_timeout_entry_t *entry) {
        Intake *intake = H2O_STRUCT_FROM_MEMBER(Intake, resume, entry);

        if (intake->sock->_cb.read == intake_on_read)
                intake_on_read(intake->sock, NULL);
}

/* ── Hooking ── */

void intake_accept(Intake *intake, h2o_accept_ctx_t *accept, bool is_http2) {
        h2o_socket_t *sock = intake->sock;
        struct timeval now = *h2o_get_timestamp(accept->ctx, NULL, NULL);

        /* With TLS 1.3 a request may have come together with the end of the handshake; libh2o
         * would begin to read it before it can be hooked. */
        intake->later = sock->input;
        h2o_buffer_init(&sock->input, &h2o_socket_buffer_prototype);
        if (is_http2)
                h2o_http2_accept(accept, sock, now);
        else
                h2o_http1_accept(accept, sock, now);
        intake->next_read = sock->_cb.read;
        put_back(intake);
        if (is_http2) {
                intake_hook_http2(intake);
        } else {
                intake->all->http1_read = intake->next_read;
                sock->_cb.read = intake_on_read;
        }
        if (sock->input->size > 0)
                sock->_cb.read(sock, NULL);
}

void intake_hook(Intake *intake) {
        if (!intake->next_read)
                return;
        if (turned_into_http2(intake)) {
                intake_hook_http2(intake);
                return;
        }
        if (intake->sock->_cb.read != intake->all->http1_read)
                return;
        intake->next_read = intake->all->http1_read;
        intake->sock->_cb.read = intake_on_read;
        if (intake->later) {
                put_back(intake);
                /* Within the loop, which writes what an answer leaves before it waits. */
                h2o_timeout_link(intake->all->context->loop, &intake->all->context->zero_timeout,
                                 &intake->resume);
        }
}

bool intake_is_http2(const Intake *intake) {
        return intake->is_http2;
}

bool intake_is_receiving(const Intake *intake, uint64_t *ret_moved) {
        *ret_moved = intake->received / MOVE_BYTES;
        return intake->state == INTAKE_RECEIVING || intake->state == INTAKE_WRITING;
}

/* ── The request ── */

void intake_request_began(Intake *intake, const h2o_req_t *req) {
        if (!intake->is_http2)
                hide_what_is_behind(intake, req);
}

const char *intake_refusal(const Intake *intake, ErrorAnswer *ret_answer, bool *ret_close) {
        if (intake->state != INTAKE_READY || intake->refusal_status == 0)
                return NULL;
        *ret_answer = (ErrorAnswer){
                .status = intake->refusal_status,
                .retry_after_s = intake->refusal_status == 503   ? 1
                                 : intake->refusal_status == 507 ? DISK_RETRY_S
                                                                 : 0,
        };
        *ret_close = intake->drops_all;
        return intake->refusal;
}

bool intake_take_body(Intake *intake, Body *ret_body) {
        if (intake->state != INTAKE_READY || intake->body_fd < 0)
                return false;
        *ret_body = (Body){.fd = take_fd(intake->body_fd), .size = intake->body_size};
        return true;
}

void intake_request_ended(Intake *intake) {
        if (intake->later_size > 0)
                set_aside(intake);
        intake_file_end(intake);
        intake_hold_memory(intake, 0);
        intake->state = INTAKE_HEAD;
        intake->searched = 0;
}

/* ── Life ── */

Intakes *intakes_new(App *app, h2o_context_t *context) {
        Intakes *all = calloc(1, sizeof(*all));

        if (!all)
                return NULL;
        all->app = app;
        all->context = context;
        all->folder_fd = open(app->options->state_directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (all->folder_fd < 0)
                (void) raise_errno("open %s", app->options->state_directory);
        return all;
}

Intakes *intakes_free(Intakes *all) {
        if (!all)
                return NULL;
        assert(all->memory_bytes == 0 && all->disk_bytes == 0);
        kit_close_fd(&all->folder_fd);
        free(all);
        return NULL;
}

Intake *intake_new(Intakes *all, h2o_socket_t *sock) {
        Intake *intake = calloc(1, sizeof(*intake));

        if (!intake)
                return NULL;
        intake->all = all;
        intake->sock = sock;
        intake->body_fd = -1;
        intake->resume.cb = on_resume;
        return intake;
}

Intake *intake_free(Intake *intake) {
        if (!intake)
                return NULL;
        if (intake->gone)
                *intake->gone = true;
        h2o_timeout_unlink(&intake->resume);
        if (intake->later)
                h2o_buffer_dispose(&intake->later);
        intake_file_end(intake);
        intake_hold_memory(intake, 0);
        free(intake->streams);
        free(intake);
        return NULL;
}
