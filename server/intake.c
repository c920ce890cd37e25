#include "server/intake.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "kit/error.h"
#include "kit/log.h"
#include "server/chunked.h"
#include "server/options.h"
#include "server/request_head.h"
#include "server/route.h"
#include "server/spool.h"

/* A body that is no larger stays in memory, on a route for files, too. */
#define SMALL_BODY_BYTES (64U << 10)
/* Around the files of a form. */
#define FORM_EXTRA_BYTES (1U << 20)
/* A client that writes and does not read would lose the answer that refuses its body, so that much
 * of one is read and dropped. */
#define DISCARD_BYTES_MAX (64ULL << 20)
/* So much has to come within request_timeout_ms. */
#define MOVE_BYTES (1U << 20)
/* libh2o reads as much as the kernel has, in one go. */
#define RECEIVE_BUFFER_BYTES (512 << 10)
#define REFUSAL_MAX          256

struct Intakes {
        App *app;
        int folder_fd;
        uint64_t memory_bytes, disk_bytes; /* held now, by all */
};

typedef enum IntakeState {
        INTAKE_HEAD,      /* a request's head is awaited */
        INTAKE_PASSED,    /* libh2o has the request */
        INTAKE_RECEIVING, /* its body goes to the spool */
        INTAKE_WRITING,   /* … and has come in whole */
        INTAKE_READY,     /* libh2o is shown the head */
} IntakeState;

struct Intake {
        Intakes *all;
        h2o_socket_t *sock;
        h2o_socket_cb next_read; /* libh2o's */
        IntakeState state;
        size_t searched; /* bytes of the input that hold no end of a head */
        RequestHead head;
        Chunked chunked;
        uint64_t received, limit;
        Spool *spool;
        int body_fd;
        uint64_t body_size;
        uint64_t memory_bytes, disk_bytes; /* counted in all's */
        int refusal_status;
        char refusal[REFUSAL_MAX];
        bool drops_all;      /* the rest is not waited for: the connection ends */
        bool sends_continue; /* "100 Continue" is on its way */
};

/* ── Accounts ── */

static void hold_memory(Intake *intake, uint64_t bytes) {
        intake->all->memory_bytes += bytes - intake->memory_bytes;
        intake->memory_bytes = bytes;
}

static void hold_disk(Intake *intake, uint64_t bytes) {
        intake->all->disk_bytes += bytes - intake->disk_bytes;
        intake->disk_bytes = bytes;
}

/* ── Refusing ── */

static void refuse(Intake *intake, int status, const char *format, ...)
        __attribute__((format(printf, 3, 4), cold));

/* The first reason is the one that is told. */
static void refuse(Intake *intake, int status, const char *format, ...) {
        va_list arguments;

        if (intake->refusal_status != 0)
                return;
        intake->refusal_status = status;
        va_start(arguments, format);
        (void) vsnprintf(intake->refusal, sizeof(intake->refusal), format, arguments);
        va_end(arguments);
        intake->spool = spool_free(intake->spool);
        hold_disk(intake, 0);
}

static void refuse_failed_spool(Intake *intake, int error) {
        if (error == -ENOSPC || error == -EDQUOT)
                refuse(intake, 507, "The server's disk is full; nothing of the request was kept.");
        else if (error == -EIO || error == -EROFS || error == -EACCES || error == -EPERM)
                refuse(intake, 500, "The server could not store the request; its log says why.");
        else
                refuse(intake, 503, "The server cannot take a body of this size right now.");
}

/* Of a request that libh2o is in the middle of reading: nothing has been written on its behalf. */
static void refuse_in_memory(Intake *intake) {
        char answer[512];
        size_t size = respond_raw_error(
                answer, sizeof(answer), (ErrorAnswer){.status = 503, .retry_after_s = 1},
                "The server is receiving too many large requests at once; try again later.");
        int fd = h2o_socket_get_fd(intake->sock);

        log_warning("a request was refused: too much is being received at once bytes=%llu",
                    (unsigned long long) intake->all->memory_bytes);
        if (!intake->sock->ssl)
                (void) send(fd, answer, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ── A body that goes to a file ── */

static void on_read(h2o_socket_t *sock, const char *err);

static void read_on(Intake *intake) {
        if (!h2o_socket_is_reading(intake->sock))
                h2o_socket_read_start(intake->sock, on_read);
}

static uint8_t *input_bytes(const Intake *intake) {
        return (uint8_t *) intake->sock->input->bytes;
}

/* Shows libh2o the head, without a body, and what has come after the body. */
static void present(Intake *intake) {
        request_head_disarm(&intake->head, input_bytes(intake));
        intake->state = INTAKE_READY;
        read_on(intake);
        intake->next_read(intake->sock, NULL);
}

static void look_whether_written(Intake *intake) {
        int error = intake->spool ? spool_error(intake->spool) : 0;

        if (error < 0)
                refuse_failed_spool(intake, error);
        if (intake->state != INTAKE_WRITING || intake->sends_continue ||
            (intake->spool && !spool_is_idle(intake->spool)))
                return;
        if (intake->spool) {
                intake->body_size = spool_size(intake->spool);
                intake->body_fd = spool_take_fd(intake->spool);
                intake->spool = spool_free(intake->spool);
        }
        present(intake);
}

static void body_is_complete(Intake *intake) {
        intake->state = INTAKE_WRITING;
        h2o_socket_read_stop(intake->sock);
        if (intake->spool)
                spool_finish(intake->spool);
        look_whether_written(intake);
}

/* Whether one more piece may be taken. */
static void account(Intake *intake) {
        const Options *options = intake->all->app->options;

        if (intake->refusal_status == 0 && intake->received > intake->limit)
                refuse(intake, 413, "The body is larger than the %llu bytes that it may have.",
                       (unsigned long long) intake->limit);
        if (intake->refusal_status != 0)
                return;
        hold_disk(intake, intake->received);
        if (intake->all->disk_bytes > options->bodies_disk_bytes_max)
                refuse(intake, 503,
                       "The server is receiving too many files at once; try again later.");
}

/* Takes data off the input, at its end. Returns what there was no room for. */
static size_t take_data(Intake *intake, const uint8_t *bytes, size_t size) {
        size_t taken = size;

        if (intake->refusal_status == 0 && intake->spool)
                taken = spool_append(intake->spool, bytes, size);
        intake->received += taken;
        account(intake);
        return size - taken;
}

/* The body of a message whose length was given in advance. Returns whether it is complete. */
static bool take_plain(Intake *intake) {
        uint8_t *bytes = input_bytes(intake) + intake->head.size;
        size_t size = intake->sock->input->size - intake->head.size;
        uint64_t left = intake->head.content_length - intake->received;
        size_t n = size < left ? size : (size_t) left;
        size_t taken = n - take_data(intake, bytes, n);

        memmove(bytes, bytes + taken, size - taken);
        intake->sock->input->size -= taken;
        return taken == left;
}

/* The decoded bytes that the spool has no room for cannot be put back among the coded ones: so it
 * is asked for room for all that has come. */
static bool take_chunked(Intake *intake) {
        uint8_t *bytes = input_bytes(intake) + intake->head.size;
        size_t size = intake->sock->input->size - intake->head.size, data_size = 0;
        size_t room = intake->spool ? spool_room(intake->spool) : size;
        ssize_t taken =
                chunked_decode(&intake->chunked, bytes, size < room ? size : room, &data_size);

        if (taken < 0) {
                refuse(intake, 400, "The chunked coding of the body is broken.");
                intake->drops_all = true;
                return true;
        }
        (void) take_data(intake, bytes, data_size);
        memmove(bytes, bytes + taken, size - (size_t) taken);
        intake->sock->input->size -= (size_t) taken;
        return intake->chunked.state == CHUNKED_END;
}

static bool take(Intake *intake) {
        return intake->head.is_chunked ? take_chunked(intake) : take_plain(intake);
}

static void receive(Intake *intake) {
        bool complete = take(intake);

        if (intake->spool && spool_error(intake->spool) < 0)
                refuse_failed_spool(intake, spool_error(intake->spool));
        /* From a refusal on, there is room for everything, and nobody who says so. */
        if (!complete && intake->refusal_status != 0)
                complete = take(intake);
        if (!complete && intake->refusal_status != 0 &&
            intake->received > intake->limit + DISCARD_BYTES_MAX)
                intake->drops_all = complete = true;
        if (complete)
                body_is_complete(intake);
        else if (intake->sock->input->size > intake->head.size)
                h2o_socket_read_stop(intake->sock); /* until there is room */
        else
                read_on(intake);
}

static void on_spool_moved(void *data) {
        Intake *intake = data;

        if (intake->state == INTAKE_RECEIVING)
                receive(intake);
        else
                look_whether_written(intake);
}

static Intake *intake_of(h2o_socket_t *sock) {
        return ((IntakeOwner *) sock->on_close.data)->intake;
}

static void on_continue_sent(h2o_socket_t *sock, const char *err) {
        Intake *intake = intake_of(sock);

        intake->sends_continue = false;
        if (err)
                intake->next_read(sock, err);
        else
                look_whether_written(intake);
}

static void send_continue(Intake *intake) {
        static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
        static h2o_iovec_t answer = {text, sizeof(text) - 1};

        intake->sends_continue = true;
        h2o_socket_write(intake->sock, &answer, 1, on_continue_sent);
}

static void begin(Intake *intake) {
        App *app = intake->all->app;
        int size = RECEIVE_BUFFER_BYTES;

        intake->state = INTAKE_RECEIVING;
        intake->limit = app->options->sessions.file_bytes_max;
        if (!slice_equals(intake->head.method, "PUT"))
                intake->limit += FORM_EXTRA_BYTES;
        if (intake->limit < app->options->request_bytes_max)
                intake->limit = app->options->request_bytes_max;
        if (intake->head.content_length > intake->limit) {
                refuse(intake, 413, "The body has %llu bytes; it may have %llu.",
                       (unsigned long long) intake->head.content_length,
                       (unsigned long long) intake->limit);
                intake->drops_all = intake->head.expects_continue ||
                                    intake->head.content_length > intake->limit + DISCARD_BYTES_MAX;
        } else {
                intake->spool = spool_new(pool_chores(app->pool), intake->all->folder_fd,
                                          on_spool_moved, intake);
                if (!intake->spool || spool_error(intake->spool) < 0)
                        refuse_failed_spool(intake,
                                            intake->spool ? spool_error(intake->spool) : -ENOMEM);
        }
        if (intake->refusal_status != 0 && intake->head.expects_continue)
                intake->drops_all = true;
        if (intake->drops_all) {
                body_is_complete(intake);
                return;
        }
        (void) setsockopt(h2o_socket_get_fd(intake->sock), SOL_SOCKET, SO_RCVBUF, &size,
                          sizeof(size));
        if (intake->head.expects_continue && intake->sock->input->size == intake->head.size)
                send_continue(intake);
        receive(intake);
}

/* ── Reading ── */

static bool goes_to_a_file(const RequestHead *head) {
        const Route *route;

        if (!head->is_plain || (!head->is_chunked && head->content_length <= SMALL_BODY_BYTES))
                return false;
        route = route_of_target(head->method, head->target);
        return route && route->body == BODY_FILES;
}

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

/* Passes on to libh2o, and looks what that has made of the input: it may have ended the connection.
 */
static void pass(Intake *intake, const char *err) {
        h2o_socket_t *sock = intake->sock;
        const Options *options = intake->all->app->options;
        uint64_t held;

        if (intake->state == INTAKE_HEAD && look_for_end_of_head(intake))
                intake->state = INTAKE_PASSED;
        held = err ? 0 : sock->input->capacity;
        hold_memory(intake, held > SMALL_BODY_BYTES ? held : 0);
        if (intake->memory_bytes > 0 && intake->all->memory_bytes > options->bodies_bytes_max) {
                refuse_in_memory(intake);
                err = "too much is being received at once";
        }
        intake->next_read(sock, err);
}

static void on_read(h2o_socket_t *sock, const char *err) {
        Intake *intake = intake_of(sock);

        if (err) {
                pass(intake, err);
                return;
        }
        if (intake->state == INTAKE_RECEIVING) {
                receive(intake);
                return;
        }
        if (intake->state == INTAKE_HEAD && look_for_end_of_head(intake)) {
                intake->state = INTAKE_PASSED;
                request_head_read(slice_of(sock->input->bytes, sock->input->size), &intake->head);
                if (intake->head.size > 0 && goes_to_a_file(&intake->head)) {
                        begin(intake);
                        return;
                }
        }
        pass(intake, NULL);
}

void intake_hook(Intake *intake, h2o_socket_cb http1_read) {
        if (intake->sock->_cb.read != http1_read)
                return;
        intake->next_read = http1_read;
        intake->sock->_cb.read = on_read;
}

bool intake_is_hooked(const Intake *intake) {
        return intake->sock->_cb.read == on_read;
}

bool intake_is_receiving(const Intake *intake, uint64_t *ret_moved) {
        *ret_moved = intake->received / MOVE_BYTES;
        return intake->state == INTAKE_RECEIVING || intake->state == INTAKE_WRITING;
}

/* ── The request ── */

const char *intake_refusal(const Intake *intake, ErrorAnswer *ret_answer, bool *ret_close) {
        if (intake->state != INTAKE_READY || intake->refusal_status == 0)
                return NULL;
        *ret_answer = (ErrorAnswer){
                .status = intake->refusal_status,
                .retry_after_s = intake->refusal_status == 503 ? 1 : 0,
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
        intake->spool = spool_free(intake->spool);
        close_fd(&intake->body_fd);
        hold_memory(intake, 0);
        hold_disk(intake, 0);
        intake->state = INTAKE_HEAD;
        intake->searched = 0;
        intake->received = 0;
        intake->chunked = (Chunked){0};
        intake->refusal_status = 0;
        intake->drops_all = false;
}

/* ── Life ── */

Intakes *intakes_new(App *app) {
        Intakes *all = calloc(1, sizeof(*all));

        if (!all)
                return NULL;
        all->app = app;
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
        return intake;
}

Intake *intake_free(Intake *intake) {
        if (!intake)
                return NULL;
        intake_request_ended(intake);
        free(intake);
        return NULL;
}
