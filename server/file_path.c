#include "server/file_path.h"

#include "jsontext/utf8.h"

static bool has_control_character(Slice path) {
        for (size_t i = 0; i < path.size; i++) {
                uint8_t byte = path.data[i];

                if (byte < 0x20 || byte == 0x7f)
                        return true;
                /* U+0080 to U+009F */
                if (byte == 0xc2 && i + 1 < path.size && path.data[i + 1] < 0xa0)
                        return true;
        }
        return false;
}

const char *file_path_problem(Slice path) {
        const uint8_t *at = path.data, *end = path.data + path.size;
        unsigned depth = 0;

        if (path.size == 0)
                return "is empty";
        if (path.size > FILE_PATH_MAX)
                return "is longer than 1024 bytes";
        if (utf8_valid_prefix(path) != path.size)
                return "is not valid UTF-8";
        if (has_control_character(path))
                return "has a control character in it";
        if (*at == '/')
                return "begins with a slash; it is relative to the workspace";
        for (;;) {
                const uint8_t *slash = memchr(at, '/', (size_t) (end - at));
                Slice component = slice_of(at, (size_t) ((slash ? slash : end) - at));

                if (component.size == 0)
                        return "has an empty component: two slashes together, or one at its end";
                if (slice_equals(component, ".") || slice_equals(component, ".."))
                        return "has \".\" or \"..\" as a component";
                if (component.size > FILE_NAME_MAX)
                        return "has a component of more than 255 bytes";
                if (++depth > FILE_DEPTH_MAX)
                        return "has more than 32 components";
                if (!slash)
                        return NULL;
                at = slash + 1;
        }
}
