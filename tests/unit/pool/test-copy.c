/* How a live worker is copied, against processes that play the worker: honest ones, and others. */

#include "pool/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../skip.h"

#define TIMEOUT_MS 10000

static bool await_fd(int fd) {
        struct pollfd waiting = {.fd = fd, .events = POLLIN};

        return poll(&waiting, 1, TIMEOUT_MS) == 1;
}

/* --- what a worker may say --- */

static void say(int fd, unsigned kind, int64_t value, const int *sent, size_t n_sent) {
        ControlMessage text = {.kind = kind, .value = value};
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * 4)];
        } control = {0};
        struct iovec iov = {&text, sizeof(text)};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

        if (n_sent > 0) {
                message.msg_control = &control;
                message.msg_controllen = CMSG_SPACE(sizeof(int) * n_sent);
                control.align.cmsg_level = SOL_SOCKET;
                control.align.cmsg_type = SCM_RIGHTS;
                control.align.cmsg_len = CMSG_LEN(sizeof(int) * n_sent);
                memcpy(CMSG_DATA(&control.align), sent, sizeof(int) * n_sent);
        }
        assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), sizeof(text));
}

static int count_fds(void) {
        int n = 0;

        for (int fd = 0; fd < 200; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

static void test_news_are_taken(void **state) {
        _autoclose_ int ours = -1, theirs = -1;
        ControlNews news;

        assert_int_equal(control_open(&ours, &theirs), 0);
        assert_int_equal(control_receive(ours, &news), 0);
        say(theirs, CONTROL_LISTENER, 0, &theirs, 1);
        assert_int_equal(control_receive(ours, &news), 1);
        assert_int_equal(news.kind, CONTROL_LISTENER);
        assert_int_equal(news.sender, getpid());
        assert_true(news.fd >= 0 && fcntl(news.fd, F_GETFD) == FD_CLOEXEC);
        close_fd(&news.fd);
        say(theirs, CONTROL_LISTENER, 0, NULL, 0);
        assert_int_equal(control_receive(ours, &news), 1);
        assert_int_equal(news.fd, -1);
        say(theirs, CONTROL_FORKED, ENOMEM, NULL, 0);
        assert_int_equal(control_receive(ours, &news), 1);
        assert_int_equal(news.error, ENOMEM);
        close_fd(&theirs);
        assert_int_equal(control_receive(ours, &news), -EPIPE);
}

/* Whatever comes, no descriptor stays behind. */
static void test_nonsense_is_refused(void **state) {
        const struct {
                unsigned kind;
                int64_t value;
                size_t n_fds;
        } cases[] = {
                {0, 0, 0},
                {CONTROL_FORK, 0, 0},
                {CONTROL_HELLO + 1, 0, 0},
                {CONTROL_FORKED, -1, 0},
                {CONTROL_FORKED, INT64_MAX, 0},
                {CONTROL_FORKED, 0, 1},
                {CONTROL_HELLO, 0, 1},
                {CONTROL_LISTENER, 0, 4},
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _autoclose_ int ours = -1, theirs = -1;
                int before, many[4];
                ControlNews news;

                assert_int_equal(control_open(&ours, &theirs), 0);
                for (int j = 0; j < 4; j++)
                        many[j] = theirs;
                before = count_fds();
                say(theirs, cases[i].kind, cases[i].value, many, cases[i].n_fds);
                assert_int_equal(control_receive(ours, &news), -EBADMSG);
                assert_int_equal(count_fds(), before);
        }
}

static void test_messages_of_another_size_are_refused(void **state) {
        _autoclose_ int ours = -1, theirs = -1;
        char bytes[2 * sizeof(ControlMessage)] = {CONTROL_HELLO};
        ControlNews news;

        assert_int_equal(control_open(&ours, &theirs), 0);
        assert_int_equal(send(theirs, bytes, sizeof(ControlMessage) - 1, 0),
                         sizeof(ControlMessage) - 1);
        assert_int_equal(control_receive(ours, &news), -EBADMSG);
        assert_int_equal(send(theirs, bytes, sizeof(bytes), 0), sizeof(bytes));
        assert_int_equal(control_receive(ours, &news), -EBADMSG);
        assert_int_equal(send(theirs, bytes, 0, 0), 0);
        assert_int_equal(control_receive(ours, &news), -EPIPE);
}

static void test_any_other_file_is_no_listener(void **state) {
        ForkListener listener = FORK_LISTENER_NONE;
        int fds[2];

        assert_int_equal(fork_listener_take(&listener, open("/dev/null", O_RDONLY | O_CLOEXEC)),
                         -EINVAL);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(fork_listener_take(&listener, fds[0]), -EINVAL);
        (void) close(fds[1]);
        assert_int_equal(listener.fd, -1);
}

/* --- a worker that is asked to copy itself --- */

enum { COPY_FLAGS = CLONE_PARENT | SIGCHLD };

typedef enum Manner {
        HONEST,
        WITHOUT_ORDER, /* makes processes before it is asked */
        OTHER_FLAGS,   /* asks for another kind of process, then for the right one */
        TWICE,         /* one more than it may */
        SOMEBODY_ELSE, /* the source itself says hello */
} Manner;

static long clone_now(unsigned long flags) {
        long pid = syscall(SYS_clone, flags, 0, 0, 0, 0);

        return pid < 0 ? -errno : pid;
}

static int listen_to_clone(void) {
        static struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {.len = N_ELEMENTS(code), .filter = code};

        (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        return (int) syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                             &program);
}

static void make_copy(int control_fd, int copys_fd, Manner manner) {
        long pid = clone_now(COPY_FLAGS);

        if (pid == 0) {
                say(copys_fd, CONTROL_HELLO, 0, NULL, 0);
                (void) pause();
        }
        if (manner == TWICE && clone_now(COPY_FLAGS) != -EPERM)
                _exit(3);
        say(control_fd, CONTROL_FORKED, pid < 0 ? -pid : 0, NULL, 0);
}

static _Noreturn void play(int control_fd, Manner manner) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * _CONTROL_FDS)];
        } control;
        ControlMessage text;
        struct iovec iov = {&text, sizeof(text)};
        struct msghdr message = {.msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control)};
        int listener_fd = listen_to_clone(), fds[_CONTROL_FDS];

        say(control_fd, CONTROL_LISTENER, 0, &listener_fd, listener_fd >= 0);
        if (listener_fd < 0)
                _exit(0);
        (void) close(listener_fd);
        if (manner == WITHOUT_ORDER &&
            (clone_now(COPY_FLAGS) != -EPERM || clone_now(SIGCHLD) != -EPERM))
                _exit(2);
        if (recvmsg(control_fd, &message, 0) != sizeof(text))
                _exit(4);
        memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fds));
        if (text.kind != CONTROL_FORK || strcmp(text.folder, "1+/7") != 0 || text.member != 7)
                _exit(5);
        if (manner == OTHER_FLAGS &&
            (clone_now(SIGCHLD) != -EPERM || clone_now(COPY_FLAGS | CLONE_FILES) != -EPERM))
                _exit(6);
        if (manner == SOMEBODY_ELSE)
                say(fds[CONTROL_FD_CONTROL], CONTROL_HELLO, 0, NULL, 0);
        else
                make_copy(control_fd, fds[CONTROL_FD_CONTROL], manner);
        (void) pause();
        _exit(0);
}

typedef struct Played {
        pid_t pid;
        int control_fd;
        ForkListener listener;
        Copy copy;
} Played;

static void start(Played *played, Manner manner) {
        _autoclose_ int theirs = -1;
        ControlNews news;

        *played = (Played){.listener = FORK_LISTENER_NONE, .copy = COPY_NONE};
        assert_int_equal(control_open(&played->control_fd, &theirs), 0);
        played->pid = fork();
        assert_true(played->pid >= 0);
        if (played->pid == 0)
                play(theirs, manner);
        assert_true(await_fd(played->control_fd));
        assert_int_equal(control_receive(played->control_fd, &news), 1);
        if (news.fd < 0) {
                (void) waitpid(played->pid, NULL, 0);
                (void) close(played->control_fd);
                skip_because("this kernel, or this container, cannot ask about system calls");
        }
        assert_int_equal(news.sender, played->pid);
        assert_int_equal(fork_listener_take(&played->listener, news.fd), 0);
}

static void end(Played *played, pid_t copy_pid) {
        int status;

        assert_int_equal(waitpid(played->pid, &status, WNOHANG), 0);
        (void) kill(played->pid, SIGKILL);
        assert_int_equal(waitpid(played->pid, NULL, 0), played->pid);
        if (copy_pid > 0) {
                (void) kill(copy_pid, SIGKILL);
                assert_int_equal(waitpid(copy_pid, NULL, 0), copy_pid);
        }
        copy_close(&played->copy, &played->listener);
        fork_listener_close(&played->listener);
        close_fd(&played->control_fd);
}

static int order(Played *played) {
        CopyOrder text = {
                .source = played->pid,
                .source_control_fd = played->control_fd,
                .listener = &played->listener,
                .member = 7,
                .folder = "1+/7",
                .directory = "",
        };

        return copy_order(&played->copy, &text);
}

static void answer(Played *played, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                assert_true(await_fd(played->listener.fd));
                assert_int_equal(fork_listener_answer(&played->listener), 0);
        }
        assert_int_equal(fork_listener_answer(&played->listener), 0);
}

static pid_t await_copy(Played *played) {
        ControlNews news;
        pid_t pid = 0;

        assert_true(await_fd(played->copy.control_fd));
        assert_int_equal(copy_receive(&played->copy, &pid), 1);
        assert_int_not_equal(pid, played->pid);
        assert_int_equal(worker_attach(&played->copy.worker, pid), 0);
        assert_true(await_fd(played->control_fd));
        assert_int_equal(control_receive(played->control_fd, &news), 1);
        assert_int_equal(news.kind, CONTROL_FORKED);
        assert_int_equal(news.error, 0);
        assert_int_equal(played->listener.allowed, 0);
        return pid;
}

static void check_copies(Manner manner, unsigned n_before, unsigned n_after) {
        int before = count_fds();
        Played played;
        pid_t pid;

        start(&played, manner);
        answer(&played, n_before);
        assert_int_equal(order(&played), 0);
        answer(&played, n_after);
        pid = await_copy(&played);
        end(&played, pid);
        assert_int_equal(count_fds(), before);
}

static void test_an_honest_copy(void **state) {
        check_copies(HONEST, 0, 1);
}

static void test_nobody_copies_unasked(void **state) {
        check_copies(WITHOUT_ORDER, 2, 1);
}

static void test_only_that_call_is_allowed(void **state) {
        check_copies(OTHER_FLAGS, 0, 3);
}

static void test_only_once(void **state) {
        check_copies(TWICE, 0, 2);
}

static void test_another_process_is_not_allowed(void **state) {
        ControlNews news;
        Played played;

        start(&played, HONEST);
        assert_int_equal(order(&played), 0);
        played.listener.allowed = played.pid + 1;
        answer(&played, 1);
        assert_true(await_fd(played.control_fd));
        assert_int_equal(control_receive(played.control_fd, &news), 1);
        assert_int_equal(news.error, EPERM);
        assert_int_equal(played.listener.allowed, played.pid + 1);
        end(&played, 0);
}

static void test_what_was_taken_back_is_not_allowed(void **state) {
        ControlNews news;
        Played played;

        start(&played, HONEST);
        assert_int_equal(order(&played), 0);
        copy_close(&played.copy, &played.listener);
        assert_int_equal(played.listener.allowed, 0);
        answer(&played, 1);
        assert_true(await_fd(played.control_fd));
        assert_int_equal(control_receive(played.control_fd, &news), 1);
        assert_int_equal(news.error, EPERM);
        end(&played, 0);
}

static void test_a_source_is_not_its_own_copy(void **state) {
        Played played;
        pid_t pid;

        start(&played, SOMEBODY_ELSE);
        assert_int_equal(order(&played), 0);
        assert_true(await_fd(played.copy.control_fd));
        assert_int_equal(copy_receive(&played.copy, &pid), -EPROTO);
        end(&played, 0);
}

static void test_a_source_that_has_gone(void **state) {
        Played played;
        pid_t pid;

        start(&played, HONEST);
        assert_int_equal(order(&played), 0);
        assert_true(await_fd(played.listener.fd));
        (void) kill(played.pid, SIGKILL);
        assert_int_equal(waitpid(played.pid, NULL, 0), played.pid);
        /* The attempt has vanished with it. */
        (void) !fork_listener_answer(&played.listener);
        assert_true(await_fd(played.copy.control_fd));
        assert_int_equal(copy_receive(&played.copy, &pid), -EPIPE);
        assert_int_equal(fork_listener_answer(&played.listener), -EPIPE);
        copy_close(&played.copy, &played.listener);
        assert_true(order(&played) < 0);
        fork_listener_close(&played.listener);
        assert_int_equal(order(&played), -ENOTSUP);
        close_fd(&played.control_fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_news_are_taken),
                cmocka_unit_test(test_nonsense_is_refused),
                cmocka_unit_test(test_messages_of_another_size_are_refused),
                cmocka_unit_test(test_any_other_file_is_no_listener),
                cmocka_unit_test(test_an_honest_copy),
                cmocka_unit_test(test_nobody_copies_unasked),
                cmocka_unit_test(test_only_that_call_is_allowed),
                cmocka_unit_test(test_only_once),
                cmocka_unit_test(test_another_process_is_not_allowed),
                cmocka_unit_test(test_what_was_taken_back_is_not_allowed),
                cmocka_unit_test(test_a_source_is_not_its_own_copy),
                cmocka_unit_test(test_a_source_that_has_gone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
