#include "interp/cell_report.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define FDS_MAX ((size_t) CELLS_SHARED_MAX)

_Static_assert((size_t) _CELL_FDS <= FDS_MAX, "one size of control message for both");

int cell_report_failure(CellReport *report, const char *format, ...) {
        int error = errno > 0 ? errno : EIO;
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(report->text, sizeof(report->text), format, arguments);
        va_end(arguments);
        report->error = error;
        return -error;
}

int cell_report_send(int socket_fd, const CellReport *report, const int *fds, size_t n_fds) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
        } control = {0};
        struct iovec iov = {(void *) report, sizeof(*report)};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n;

        assert(n_fds <= FDS_MAX);
        if (n_fds > 0) {
                struct cmsghdr *header;

                message.msg_control = &control;
                message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                header = CMSG_FIRSTHDR(&message);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(header), fds, sizeof(int) * n_fds);
        }
        do
                n = sendmsg(socket_fd, &message, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0;
}
