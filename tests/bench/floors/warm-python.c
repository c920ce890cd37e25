/*
 * warm-python: what a warm interpreter costs without a server around it.
 *
 *   warm-python exec DRIVER SNIPPET SECONDS   runs a Python driver in this process, with sys.argv =
 * [SNIPPET, SECONDS] warm-python fork SECONDS LOOPS            fork(), _exit() in the child, wait:
 * no Python runs in the child, and CPython's after-fork hooks do not run; so many such processes at
 * once warm-python idle                          prints a line, then waits to be measured until its
 * input ends
 *
 * Before each, numpy and pandas are imported and the heap is frozen, as in the zygote. One thread.
 */

#include <Python.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "histogram.h"
#include "kit/clock.h"
#include "kit/error.h"

static const char warm_up[] = "import gc, numpy, pandas\n"
                              "pandas.DataFrame({'a': [1, 2]}).describe()\n"
                              "gc.collect(); gc.freeze()\n";

/* Python of the machine, not of whatever stands first on PATH. */
static int start_python(int argc, char **argv) {
        PyConfig config;
        PyStatus status;

        if (setenv("OPENBLAS_NUM_THREADS", "1", 1) < 0)
                return raise_errno("setenv");
        PyConfig_InitPythonConfig(&config);
        config.parse_argv = 0;
        config.write_bytecode = 0;
        status = PyConfig_SetBytesString(&config, &config.program_name, "/usr/bin/python3");
        if (!PyStatus_Exception(status))
                status = PyConfig_SetBytesArgv(&config, argc, argv);
        if (!PyStatus_Exception(status))
                status = Py_InitializeFromConfig(&config);
        PyConfig_Clear(&config);
        if (PyStatus_Exception(status) || PyRun_SimpleString(warm_up) < 0)
                return raise_error(-ENOTSUP, "cannot start Python");
        return 0;
}

static int run_driver(const char *path) {
        _cleanup_(kit_free_pointer) char *name = strdup(path);
        FILE *file = fopen(path, "re");

        if (name == NULL || file == NULL)
                return raise_errno("%s", path);
        return PyRun_SimpleFileEx(file, name, 1) < 0 ? 1 : 0;
}

static int fork_once(void) {
        pid_t pid = fork();

        if (pid < 0)
                return raise_errno("fork");
        if (pid == 0)
                _exit(0);
        if (waitpid(pid, NULL, 0) < 0)
                return raise_errno("waitpid");
        return 0;
}

static double cpu_us(void) {
        struct rusage self, children;

        (void) getrusage(RUSAGE_SELF, &self);
        (void) getrusage(RUSAGE_CHILDREN, &children);
        return 1e6 * (double) (self.ru_utime.tv_sec + self.ru_stime.tv_sec +
                               children.ru_utime.tv_sec + children.ru_stime.tv_sec) +
               (double) (self.ru_utime.tv_usec + self.ru_stime.tv_usec + children.ru_utime.tv_usec +
                         children.ru_stime.tv_usec);
}

/* One line of JSON, in one write, since several loops share the output. */
static void print_forks(const Histogram *forks, double seconds, double cpu) {
        double n = (double) forks->total;

        printf("{\"p50\": %.1f, \"p99\": %.1f, \"per_second\": %.1f, \"cpu_us\": %.1f}\n",
               (double) histogram_quantile(forks, 0.5) / 1e3,
               (double) histogram_quantile(forks, 0.99) / 1e3, n / seconds, cpu / n);
        (void) fflush(stdout);
}

static int fork_loop(double seconds) {
        static Histogram forks;
        uint64_t start = clock_now_ns(), before = start, now = start;
        double cpu = cpu_us();

        while (now - start < (uint64_t) (seconds * (double) NS_PER_S)) {
                int r = fork_once();

                if (r < 0)
                        return r;
                now = clock_now_ns();
                histogram_add(&forks, now - before);
                before = now;
        }
        print_forks(&forks, (double) (now - start) / (double) NS_PER_S, cpu_us() - cpu);
        return 0;
}

/* Every loop but the last runs in a child, which is the same image: a fork of a zygote. */
static int fork_loops(double seconds, int loops) {
        int r = 0;

        for (int i = 1; i < loops; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        return raise_errno("fork");
                if (pid == 0)
                        _exit(fork_loop(seconds) < 0);
        }
        r = fork_loop(seconds);
        while (wait(NULL) > 0)
                ;
        return r;
}

int main(int argc, char **argv) {
        const char *mode = argc > 1 ? argv[1] : "";

        if (strcmp(mode, "exec") == 0 && argc == 5)
                return start_python(argc - 3, argv + 3) < 0 ? 1 : run_driver(argv[2]);
        if (strcmp(mode, "fork") == 0 && argc == 4)
                return start_python(1, argv) < 0 || fork_loops(atof(argv[2]), atoi(argv[3])) < 0;
        if (strcmp(mode, "idle") == 0 && argc == 2) {
                if (start_python(1, argv) < 0)
                        return 1;
                printf("ready\n");
                (void) fflush(stdout);
                return getchar() == 0;
        }
        (void) fputs("usage: warm-python exec DRIVER SNIPPET SECONDS | fork SECONDS LOOPS | idle\n",
                     stderr);
        return 2;
}
