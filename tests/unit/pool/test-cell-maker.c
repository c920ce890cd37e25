/* The supervisor's end of a cell maker. The maker is this very program, started again: what it does
 * is named by the template's first --view. */

#include "pool/cell_maker.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "folders.h"
#include "pool/program.h"

/* --- the other end --- */

static void send_report(uint32_t kind, uint32_t slot, LayerMask layers, size_t n_fds, size_t size) {
        CellReport report = {.kind = kind, .slot = slot, .layers = layers, .value = getpid()};
        Program self = {.pid = getpid(), .socket_fd = PROGRAM_SOCKET_FD};
        int fds[PROGRAM_FDS_MAX];

        for (size_t i = 0; i < n_fds; i++)
                fds[i] = open("/", O_PATH | O_CLOEXEC);
        memset(report.text, 'x', sizeof(report.text)); /* without an end */
        (void) !program_send(&self, &report, size, fds, n_fds);
        for (size_t i = 0; i < n_fds; i++)
                (void) close(fds[i]);
}

#define WITH_MOUNTS (layer_bit(LAYER_PID_NAMESPACE) | layer_bit(LAYER_MOUNT_NAMESPACE))
#define SHARED      (layer_bit(LAYER_NET_NAMESPACE) | layer_bit(LAYER_IPC_NAMESPACE))

static bool is(const char *what, const char *behaviour) {
        return strcmp(what, behaviour) == 0;
}

static int make_cells(const char *what) {
        const size_t size = sizeof(CellReport);
        CellCommand command;

        if (is(what, "/dies"))
                return 0;
        if (is(what, "/short"))
                send_report(CELLS_READY, 0, 0, 0, 8);
        if (is(what, "/too-few"))
                send_report(CELLS_READY, 0, SHARED, 1, size);
        if (is(what, "/too-many"))
                send_report(CELL_MADE, 0, WITH_MOUNTS, 4, size);
        if (is(what, "/flood"))
                send_report(CELL_MADE, 0, WITH_MOUNTS, 16, size);
        send_report(CELLS_READY, 0, SHARED, 2, size);
        if (is(what, "/ready-twice"))
                send_report(CELLS_READY, 0, SHARED, 2, size);
        while (recv(PROGRAM_SOCKET_FD, &command, sizeof(command), 0) == sizeof(command)) {
                send_report(CELL_STARTED, command.slot, 0, 0, size);
                send_report(CELL_MADE, command.slot, WITH_MOUNTS, 3, size);
        }
        return 0;
}

static bool has_argument(int argc, char **argv, const char *word) {
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], word) == 0)
                        return true;
        }
        return false;
}

static bool is_homes(int fd) {
        struct stat status;

        return fstatat(fd, "is-homes", &status, 0) == 0;
}

/* Exit status 9 when it was not started as it must be. */
static int maker_main(int argc, char **argv) {
        const char *what = "";

        for (int i = 1; i + 1 < argc; i++) {
                if (strcmp(argv[i], "--view") == 0)
                        what = argv[i + 1];
                if (strcmp(argv[i], "--homes") == 0 && strcmp(argv[i + 1], "4") != 0)
                        return 9;
                if (strcmp(argv[i], "--layers") == 0 && atoi(argv[i + 1]) != (int) WITH_MOUNTS)
                        return 9;
        }
        if (!has_argument(argc, argv, "--data") || !has_argument(argc, argv, "--homes") ||
            !has_argument(argc, argv, "--socket") || !is_homes(PROGRAM_INHERITED_FD) ||
            fcntl(PROGRAM_INHERITED_FD + 1, F_GETFD) >= 0 || getenv("SECRET"))
                return 9;
        return make_cells(what);
}

/* --- the tests --- */

static CellMaker *maker;
static Folder state_folder;
static CellReport report;
static int fds[_CELL_FDS];
static unsigned descriptors_before;

static int set_up(void **state) {
        folder_make(&state_folder);
        folder_make_in(state_folder.fd, "sessions");
        folder_make_in(state_folder.fd, "sessions/is-homes");
        descriptors_before = count_open_descriptors();
        return 0;
}

static int tear_down(void **state) {
        maker = cell_maker_free(maker);
        assert_int_equal(count_open_descriptors(), descriptors_before);
        folder_remove(&state_folder);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        return 0;
}

static void start(const char *behaviour) {
        const char *paths[] = {behaviour};
        TemplateConfig config = {.name = "default",
                                 .read_only_paths = paths,
                                 .n_read_only_paths = 1,
                                 .data_path = "/data"};

        assert_int_equal(cell_maker_new("/proc/self/exe", &config, WITH_MOUNTS, state_folder.path,
                                        "error", &maker),
                         0);
        assert_true(cell_maker_pid(maker) > 0);
}

static int receive(void) {
        struct pollfd poll_fd = {.fd = cell_maker_fd(maker), .events = POLLIN};

        assert_int_equal(poll(&poll_fd, 1, 60000), 1);
        return cell_maker_receive(maker, &report, fds);
}

static void test_ready_and_its_namespaces(void **state) {
        int shared[CELLS_SHARED_MAX];

        start("/well");
        assert_int_equal(receive(), CELL_MAKER_REPORT);
        assert_int_equal(report.kind, CELLS_READY);
        assert_int_equal(strlen(report.text), sizeof(report.text) - 1);
        assert_int_equal(cell_maker_shared_fds(maker, shared), 2);
        assert_true(fcntl(shared[0], F_GETFD) & FD_CLOEXEC);
        assert_int_not_equal(shared[0], shared[1]);
        for (int i = 0; i < _CELL_FDS; i++)
                assert_int_equal(fds[i], -1);
        assert_int_equal(cell_maker_receive(maker, &report, fds), CELL_MAKER_NO_REPORT);
}

static void test_a_cell(void **state) {
        CellCommand command = {.kind = CELL_MAKE, .slot = 7};

        start("/well");
        assert_int_equal(receive(), CELL_MAKER_REPORT);
        assert_int_equal(cell_maker_ask(maker, &command), 0);
        assert_int_equal(receive(), CELL_MAKER_REPORT);
        assert_int_equal(report.kind, CELL_STARTED);
        assert_int_equal(report.slot, 7);
        assert_int_equal(report.value, cell_maker_pid(maker));
        assert_int_equal(receive(), CELL_MAKER_REPORT);
        assert_int_equal(report.kind, CELL_MADE);
        assert_true(fds[CELL_FD_PID_NAMESPACE] >= 0);
        assert_true(fds[CELL_FD_MOUNT_NAMESPACE] >= 0);
        assert_int_equal(fds[CELL_FD_USER_NAMESPACE], -1);
        assert_true(fds[CELL_FD_DIRECTORY] >= 0);
        for (int i = 0; i < _CELL_FDS; i++)
                close_fd(&fds[i]);
}

static void test_a_maker_that_dies(void **state) {
        CellCommand command = {.kind = CELL_MAKE};

        start("/dies");
        assert_int_equal(receive(), CELL_MAKER_GONE);
        assert_true(cell_maker_ask(maker, &command) < 0);
        /* It was started as it must be. */
        {
                siginfo_t info;

                assert_int_equal(
                        waitid(P_PID, (id_t) cell_maker_pid(maker), &info, WEXITED | WNOWAIT), 0);
                assert_int_equal(info.si_status, 0);
        }
}

/* Nothing of it is kept, not even the descriptors. */
static void test_broken_reports(void **state) {
        static const char *const behaviours[] = {"/short", "/too-few", "/too-many", "/flood"};

        for (size_t i = 0; i < N_ELEMENTS(behaviours); i++) {
                start(behaviours[i]);
                assert_int_equal(receive(), -EPROTO);
                maker = cell_maker_free(maker);
                assert_int_equal(count_open_descriptors(), descriptors_before);
        }
}

static void test_ready_only_once(void **state) {
        start("/ready-twice");
        assert_int_equal(receive(), CELL_MAKER_REPORT);
        assert_int_equal(receive(), -EPROTO);
}

static void test_a_full_socket(void **state) {
        CellCommand command = {.kind = CELL_MAKE};
        int r = 0;

        start("/well");
        assert_int_equal(receive(), CELL_MAKER_REPORT);
        assert_int_equal(kill(cell_maker_pid(maker), SIGSTOP), 0);
        for (unsigned i = 0; r == 0 && i < 100000; i++)
                r = cell_maker_ask(maker, &command);
        assert_int_equal(r, -EAGAIN);
}

static void test_a_program_that_is_not_there(void **state) {
        TemplateConfig config = {.name = "default"};

        assert_int_equal(cell_maker_new("/nonexistent", &config, WITH_MOUNTS, NULL, NULL, &maker),
                         -ENOENT);
        assert_null(maker);
        assert_int_equal(cell_maker_new("/proc/self/exe", &config, WITH_MOUNTS, "/nonexistent",
                                        NULL, &maker),
                         -ENOENT);
        assert_null(maker);
}

/* Numbers low enough to be in one another's way. */
static void test_inherited_descriptors(void **state) {
        Arguments arguments = {.n = 0};
        Program program;
        int inherited[PROGRAM_INHERITED_MAX], status;
        char script[1024] = "test \"$(readlink /proc/self/fd/3 | cut -c1-6)\" = socket";

        arguments_add(&arguments, "/bin/sh");
        arguments_add(&arguments, "-c");
        for (int i = 0; i < PROGRAM_INHERITED_MAX; i++) {
                /* In reverse, so that each wants the number of another. */
                inherited[PROGRAM_INHERITED_MAX - 1 - i] =
                        open(i % 2 ? "/dev/zero" : "/dev/null", O_RDONLY | O_CLOEXEC);
                (void) snprintf(script + strlen(script), sizeof(script) - strlen(script),
                                " && test /dev/%s -ef /dev/fd/%d", i % 2 ? "null" : "zero",
                                PROGRAM_INHERITED_FD + i);
        }
        (void) snprintf(script + strlen(script), sizeof(script) - strlen(script), " || exit 5");
        arguments_add(&arguments, script);
        assert_int_equal(program_start(&arguments, inherited, PROGRAM_INHERITED_MAX, &program), 0);
        assert_int_equal(waitpid(program.pid, &status, 0), program.pid);
        assert_int_equal(status, 0);
        close_fd(&program.socket_fd);
        for (int i = 0; i < PROGRAM_INHERITED_MAX; i++)
                (void) close(inherited[i]);
}

#define maker_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                maker_test(test_ready_and_its_namespaces),
                maker_test(test_a_cell),
                maker_test(test_a_maker_that_dies),
                maker_test(test_broken_reports),
                maker_test(test_ready_only_once),
                maker_test(test_a_full_socket),
                maker_test(test_a_program_that_is_not_there),
                maker_test(test_inherited_descriptors),
        };

        if (has_argument(argc, argv, "--make-cells"))
                return maker_main(argc, argv);
        (void) setenv("SECRET", "1", 1);
        return cmocka_run_group_tests_name("cell maker", tests, NULL, NULL);
}
