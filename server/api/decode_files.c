/* decode_files: the member `files` of a request. Nothing here touches a file: it proves that the
 * paths are ones that a worker can make inside its workspace, all of them together. */

#include "server/api/decode.h"

typedef struct FileTarget {
        RunFile *file;
        bool has_path;
        bool has_content;
} FileTarget;

static bool check_component(Reader *reader, Slice component) {
        if (component.size == 0)
                return reader_fail(
                        reader, 422, "path",
                        "A path is relative to the workspace: no leading, doubled or final \"/\".");
        if (slice_equals(component, ".") || slice_equals(component, ".."))
                return reader_fail(reader, 422, "path", "A path may not hold \".\" or \"..\".");
        if (component.size > REQUEST_COMPONENT_MAX)
                return reader_fail(reader, 422, "path", "A name in a path has at most %d bytes.",
                                   REQUEST_COMPONENT_MAX);
        return true;
}

static bool check_path(Reader *reader, Slice path) {
        size_t start = 0;

        if (path.size == 0)
                return reader_fail(reader, 422, "path", "This may not be empty.");
        if (path.size > REQUEST_PATH_MAX)
                return reader_fail(reader, 422, "path", "A path has at most %d bytes.",
                                   REQUEST_PATH_MAX);
        if (memchr(path.data, '\0', path.size))
                return reader_fail(reader, 422, "path", "This may not hold a NUL character.");
        for (size_t i = 0; i <= path.size; i++) {
                if (i < path.size && path.data[i] != '/')
                        continue;
                if (!check_component(reader, slice_of(path.data + start, i - start)))
                        return false;
                start = i + 1;
        }
        return true;
}

static bool read_path(Reader *reader, void *data, const JsonItem *item) {
        FileTarget *target = data;

        target->has_path = true;
        return reader_text(reader, item, "path", &target->file->path) &&
               check_path(reader, target->file->path);
}

static bool set_content(Reader *reader, FileTarget *target) {
        if (target->has_content)
                return reader_fail(
                        reader, 422, "content",
                        "A file has either \"content\" or \"content_base64\", not both.");
        target->has_content = true;
        return true;
}

static bool read_content(Reader *reader, void *data, const JsonItem *item) {
        FileTarget *target = data;

        return set_content(reader, target) &&
               reader_text(reader, item, "content", &target->file->content);
}

static bool read_content_base64(Reader *reader, void *data, const JsonItem *item) {
        FileTarget *target = data;

        return set_content(reader, target) &&
               reader_base64(reader, item, "content_base64", &target->file->content);
}

static const Member file_members[] = {
        {"path", read_path},
        {"content", read_content},
        {"content_base64", read_content_base64},
};

static bool read_file(Reader *reader, const JsonItem *item, RunFile *file) {
        FileTarget target = {.file = file};

        if (!reader_expect(reader, item, JSON_OBJECT, "") ||
            !reader_object(reader, item->value, file_members, N_ELEMENTS(file_members), false,
                           &target))
                return false;
        if (!target.has_path)
                return reader_fail(reader, 422, "path", "This member is required.");
        if (!target.has_content)
                return reader_fail(
                        reader, 422, "content",
                        "A file needs \"content\" (text) or \"content_base64\" (bytes).");
        return true;
}

/* "/" comes before every other byte, so that what lies below a path follows it at once. */
static int compare_paths(const void *left, const void *right) {
        const RunFile *const *a = left, *const *b = right;
        Slice x = (*a)->path, y = (*b)->path;

        for (size_t i = 0; i < x.size && i < y.size; i++) {
                unsigned from_x = x.data[i] == '/' ? 0 : x.data[i];
                unsigned from_y = y.data[i] == '/' ? 0 : y.data[i];

                if (from_x != from_y)
                        return from_x < from_y ? -1 : 1;
        }
        return (x.size > y.size) - (x.size < y.size);
}

static bool lies_at_or_below(Slice path, Slice above) {
        return path.size >= above.size && memcmp(path.data, above.data, above.size) == 0 &&
               (path.size == above.size || path.data[above.size] == '/');
}

/* Two files at one place, or one where another needs a folder. */
static bool check_apart(Reader *reader, const RunFile *files, size_t n_files) {
        _autofree_ const RunFile **sorted = reader_allocate(reader, n_files, sizeof(RunFile *));

        if (!sorted)
                return false;
        for (size_t i = 0; i < n_files; i++)
                sorted[i] = &files[i];
        qsort(sorted, n_files, sizeof(RunFile *), compare_paths);
        for (size_t i = 1; i < n_files; i++) {
                if (!lies_at_or_below(sorted[i]->path, sorted[i - 1]->path))
                        continue;
                if (sorted[i]->path.size == sorted[i - 1]->path.size)
                        (void) reader_fail(reader, 422, "path", "Another file has the same path.");
                else
                        (void) reader_fail(reader, 422, "path",
                                           "Another file stands where this one needs a folder.");
                return reader_inside(reader, "files[%zu]", (size_t) (sorted[i] - files));
        }
        return true;
}

bool decode_files(Reader *reader, void *data, const JsonItem *item) {
        ExecuteRequest *request = data;
        JsonCursor cursor;
        JsonItem element;
        size_t count;

        if (!reader_expect(reader, item, JSON_ARRAY, "files") ||
            !reader_count(reader, item, "files", REQUEST_FILES_MAX, &count))
                return false;
        if (count == 0)
                return true;
        request->files = reader_allocate(reader, count, sizeof(RunFile));
        if (!request->files)
                return false;
        (void) json_enter(item->value, &cursor);
        for (size_t i = 0; json_next(&cursor, &element); i++) {
                if (!read_file(reader, &element, &request->files[i]))
                        return reader_inside(reader, "files[%zu]", i);
        }
        request->run.files = request->files;
        request->run.n_files = count;
        return check_apart(reader, request->files, count);
}
