#include "server/api/interpreter_session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "jsontext/write.h"
#include "kit/error.h"
#include "pool/requirement.h"
#include "server/api/plain_text.h"
#include "server/api/session_exchange.h"

/* Of requirements, one a line. It is the home's, not a member's: these sessions are never copied.
 */
#define ASKED_FILE      "asked-packages"
#define ASKED_BYTES_MAX (64U << 10)

int interpreter_obtain(const App *app, Slice session_id, Session **ret_session) {
        SessionOptions options = session_standard_options(app, SESSION_INTERPRETER, session_id);
        char alias[SESSION_ID_MAX + 1];

        (void) snprintf(alias, sizeof(alias), "%.*s", (int) session_id.size,
                        (const char *) session_id.data);
        options.alias = alias;
        return session_obtain(app, &options, ret_session);
}

int interpreter_location(const App *app, const Session *session, Slice name, Buffer *out) {
        bool has_alias = app->isolation.layers & layer_bit(LAYER_MOUNT_NAMESPACE);
        SessionInfo info;
        const char *folder;
        int r = 0;

        session_inspect(session, &info);
        folder = has_alias ? info.id : session_workspace_path(session);
        if (has_alias)
                r = buffer_append(out, "/tmp/", 5);
        if (r == 0)
                r = buffer_append(out, folder, strlen(folder));
        if (r == 0)
                r = buffer_append(out, "/", 1);
        return r < 0 ? r : buffer_append(out, name.data, name.size);
}

static int read_asked(int record_fd, Buffer *asked) {
        _autoclose_ int fd = openat(record_fd, ASKED_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        ssize_t size;
        int r;

        if (fd < 0)
                return errno == ENOENT ? 0 : raise_errno("open %s", ASKED_FILE);
        r = buffer_reserve(asked, ASKED_BYTES_MAX);
        if (r < 0)
                return r;
        size = read(fd, asked->data, ASKED_BYTES_MAX);
        if (size < 0)
                return raise_errno("read %s", ASKED_FILE);
        asked->size = (size_t) size;
        return 0;
}

static bool has_line(const Buffer *lines, Slice line) {
        const uint8_t *at = lines->data, *end = at + lines->size;

        while (at < end) {
                const uint8_t *stop = memchr(at, '\n', (size_t) (end - at));
                size_t size = (size_t) ((stop ? stop : end) - at);

                if (size == line.size && memcmp(at, line.data, size) == 0)
                        return true;
                at += size + (stop ? 1 : 0);
        }
        return false;
}

/* A line break that is white space around a name, or in it, ends no line. */
static int add_asked(Buffer *asked, Slice name) {
        Requirement requirement;
        int r;

        if (requirement_parse(name, &requirement) ||
            memchr(requirement.text.data, '\n', requirement.text.size) ||
            has_line(asked, requirement.text) ||
            asked->size + requirement.text.size + 1 > ASKED_BYTES_MAX)
                return 0;
        r = buffer_append(asked, requirement.text.data, requirement.text.size);
        return r < 0 ? r : buffer_append(asked, "\n", 1);
}

static int write_asked(int record_fd, Slice added) {
        _autoclose_ int fd = openat(record_fd, ASKED_FILE,
                                    O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0)
                return raise_errno("open %s", ASKED_FILE);
        if (write(fd, added.data, added.size) != (ssize_t) added.size)
                return raise_errno("write %s", ASKED_FILE);
        return 0;
}

int interpreter_add_packages(const Session *session, const Slice *names, size_t n,
                             Buffer *ret_names) {
        _cleanup_(buffer_done) Buffer asked = BUFFER_INIT(0);
        int record_fd = session_record_fd(session);
        int r = read_asked(record_fd, &asked);
        JsonWriter writer = JSON_WRITER(ret_names);
        size_t before = asked.size;

        for (size_t i = 0; r == 0 && i < n; i++)
                r = add_asked(&asked, names[i]);
        if (r == 0 && asked.size > before)
                r = write_asked(record_fd, slice_of(asked.data + before, asked.size - before));
        plain_text_write_lines(&writer, buffer_slice(&asked));
        return r < 0 ? r : writer.error;
}
