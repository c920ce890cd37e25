#include "server/intake_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "server/options.h"
#include "server/route.h"

/* Around the files of a form. */
#define FORM_EXTRA_BYTES (1U << 20)
/* A client that writes and does not read would lose the answer that refuses its body, so that much
 * of one is read and dropped. */
#define DISCARD_BYTES_MAX (64ULL << 20)

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
        intake_hold_disk(intake, 0);
}

static void refuse_failed_spool(Intake *intake, int error) {
        if (error == -ENOSPC || error == -EDQUOT)
                refuse(intake, 507, "The server's disk is full; nothing of the request was kept.");
        else if (error == -EIO || error == -EROFS || error == -EACCES || error == -EPERM)
                refuse(intake, 500, "The server could not store the request; its log says why.");
        else
                refuse(intake, 503, "The server cannot take a body of this size right now.");
}

/* ── Taking ── */

static void read_on(Intake *intake) {
        if (!h2o_socket_is_reading(intake->sock))
                h2o_socket_read_start(intake->sock, intake_on_read);
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
        intake_hold_disk(intake, intake->received);
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

/* Coded, a body may be many times what it is decoded. So there may be room left when as much was
 * decoded as there was room for, and then nobody would say later that there is. */
static bool take_while_there_is_room(Intake *intake) {
        const h2o_socket_t *sock = intake->sock;
        size_t before;
        bool complete;

        do {
                before = sock->input->size;
                complete = take(intake);
        } while (!complete && sock->input->size < before && sock->input->size > intake->head.size);
        return complete;
}

void intake_file_receive(Intake *intake) {
        bool complete = take_while_there_is_room(intake);

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
                intake_file_receive(intake);
        else
                look_whether_written(intake);
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

static bool is_for_files(const RequestHead *head) {
        const Route *route = route_of_target(head->method, head->target);

        return route && route->body == BODY_FILES;
}

static uint64_t file_limit(const Intake *intake) {
        uint64_t limit = intake->all->app->options->sessions.file_bytes_max;

        return slice_equals(intake->head.method, "PUT") ? limit : limit + FORM_EXTRA_BYTES;
}

void intake_file_begin(Intake *intake) {
        App *app = intake->all->app;

        intake->state = INTAKE_RECEIVING;
        intake->limit = app->options->request_bytes_max;
        if (is_for_files(&intake->head) && intake->limit < file_limit(intake))
                intake->limit = file_limit(intake);
        if (intake->head.content_length > intake->limit) {
                refuse(intake, 413, "The body has %llu bytes; here it may have at most %llu.",
                       (unsigned long long) intake->head.content_length,
                       (unsigned long long) intake->limit);
                intake->drops_all = intake->head.expects_continue ||
                                    intake->head.content_length > intake->limit + DISCARD_BYTES_MAX;
        } else if (pool_disk_is_short(app->pool,
                                      intake->head.is_chunked ? 0 : intake->head.content_length)) {
                refuse(intake, 507, "The server's disk is nearly full; try again later.");
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
        intake_bound_reads(intake);
        if (intake->head.expects_continue && intake->sock->input->size == intake->head.size)
                send_continue(intake);
        intake_file_receive(intake);
}

/* ── For intake.c ── */

bool intake_takes(const Intake *intake) {
        const RequestHead *head = &intake->head;

        if (!head->is_plain || (!head->is_chunked && head->content_length <= SMALL_BODY_BYTES))
                return false;
        return is_for_files(head) ||
               head->content_length > intake->all->app->options->request_bytes_max;
}

void intake_file_end(Intake *intake) {
        intake->spool = spool_free(intake->spool);
        close_fd(&intake->body_fd);
        intake_hold_disk(intake, 0);
        intake->received = 0;
        intake->chunked = (Chunked){0};
        intake->refusal_status = 0;
        intake->drops_all = false;
}
