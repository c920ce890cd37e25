#include "pool/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kit/cleanup.h"

/* The oom_score_adj that the layer promises: the first to be killed. */
#define OOM_SCORE "1000"

static void belie(Testimony *testimony, Layer layer, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static void belie(Testimony *testimony, Layer layer, const char *format, ...) {
        va_list arguments;

        testimony->belied |= layer_bit(layer);
        testimony->shown &= ~layer_bit(layer);
        if (testimony->text[0])
                return;
        va_start(arguments, format);
        (void) vsnprintf(testimony->text, sizeof(testimony->text), format, arguments);
        va_end(arguments);
}

static void show(Testimony *testimony, Layer layer) {
        if (!(testimony->belied & layer_bit(layer)))
                testimony->shown |= layer_bit(layer);
}

/* Returns its length, or -1. */
static ssize_t read_text(const char *path, char *text, size_t size) {
        _autoclose_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

        if (n >= 0)
                text[n] = '\0';
        return n;
}

/* --- status --- */

/* The value behind "NAME:" at the start of a line. */
static bool find_value(const char *status, const char *name, char *value, size_t size) {
        size_t length = strlen(name);

        for (const char *line = status; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, name, length) != 0 || line[length] != ':')
                        continue;
                line += length + 1;
                line += strspn(line, " \t");
                (void) snprintf(value, size, "%.*s", (int) strcspn(line, "\n"), line);
                return true;
        }
        return false;
}

void witness_hear_status(const char *status, LayerMask layers, bool has_bounds,
                         Testimony *testimony) {
        static const struct {
                Layer layer;
                const char *name;
                uint64_t expected;
                bool shows; /* a filter may be somebody else's: a container's */
        } facts[] = {
                {LAYER_NO_NEW_PRIVILEGES, "NoNewPrivs", 1, true},
                {LAYER_SECCOMP, "Seccomp", 2, false},
                {LAYER_CAPABILITIES, "CapInh", 0, true},
                {LAYER_CAPABILITIES, "CapPrm", 0, true},
                {LAYER_CAPABILITIES, "CapEff", 0, true},
                {LAYER_CAPABILITIES, "CapBnd", 0, true},
                {LAYER_CAPABILITIES, "CapAmb", 0, true},
        };
        char value[32];

        for (size_t i = 0; i < N_ELEMENTS(facts); i++) {
                if (!(layers & layer_bit(facts[i].layer)) ||
                    (!has_bounds && strcmp(facts[i].name, "CapBnd") == 0) ||
                    !find_value(status, facts[i].name, value, sizeof(value)))
                        continue;
                /* The sets are in hexadecimal; the others have one digit. */
                if (strtoull(value, NULL, 16) != facts[i].expected)
                        belie(testimony, facts[i].layer, "%s is %s", facts[i].name, value);
                else if (facts[i].shows)
                        show(testimony, facts[i].layer);
        }
}

static void look_at_status(pid_t pid, LayerMask layers, Testimony *testimony) {
        bool has_bounds = geteuid() == 0 || layers & layer_bit(LAYER_USER_NAMESPACE);
        char path[64], status[4096];

        (void) snprintf(path, sizeof(path), "/proc/%d/status", pid);
        if (read_text(path, status, sizeof(status)) > 0)
                witness_hear_status(status, layers, has_bounds, testimony);
}

/* --- the rest --- */

static void look_at_oom_score(pid_t pid, Testimony *testimony) {
        char path[64], score[16];

        (void) snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
        if (read_text(path, score, sizeof(score)) <= 0)
                return;
        score[strcspn(score, "\n")] = '\0';
        if (strcmp(score, OOM_SCORE) == 0)
                show(testimony, LAYER_OOM_SCORE);
        else
                belie(testimony, LAYER_OOM_SCORE, "oom_score_adj is %s", score);
}

static bool read_namespace(const char *process, const char *name, char *link, size_t size) {
        char path[64];
        ssize_t n;

        (void) snprintf(path, sizeof(path), "/proc/%s/ns/%s", process, name);
        n = readlink(path, link, size - 1);
        if (n >= 0)
                link[n] = '\0';
        return n >= 0;
}

static void look_at_namespaces(pid_t pid, LayerMask layers, Testimony *testimony) {
        static const struct {
                Layer layer;
                const char *name;
        } namespaces[] = {
                {LAYER_USER_NAMESPACE, "user"},     {LAYER_PID_NAMESPACE, "pid"},
                {LAYER_MOUNT_NAMESPACE, "mnt"},     {LAYER_NET_NAMESPACE, "net"},
                {LAYER_IPC_NAMESPACE, "ipc"},       {LAYER_UTS_NAMESPACE, "uts"},
                {LAYER_CGROUP_NAMESPACE, "cgroup"},
        };
        char process[16], theirs[64], ours[64];

        (void) snprintf(process, sizeof(process), "%d", pid);
        for (size_t i = 0; i < N_ELEMENTS(namespaces); i++) {
                const char *name = namespaces[i].name;

                if (!(layers & layer_bit(namespaces[i].layer)) ||
                    !read_namespace(process, name, theirs, sizeof(theirs)) ||
                    !read_namespace("self", name, ours, sizeof(ours)))
                        continue;
                if (strcmp(theirs, ours) != 0)
                        show(testimony, namespaces[i].layer);
                else
                        belie(testimony, namespaces[i].layer, "its %s namespace is the server's",
                              name);
        }
}

void witness_look(pid_t pid, LayerMask layers, Testimony *ret_testimony) {
        *ret_testimony = (Testimony){0};
        look_at_status(pid, layers, ret_testimony);
        if (layers & layer_bit(LAYER_OOM_SCORE))
                look_at_oom_score(pid, ret_testimony);
        look_at_namespaces(pid, layers, ret_testimony);
}
