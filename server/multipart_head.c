#include "server/multipart_head.h"

#include <strings.h>

#include "jsontext/utf8.h"
#include "server/percent.h"

#define HEAD_LINES_MAX 32

static bool is_word(Slice text, const char *lower_case) {
        size_t size = strlen(lower_case);

        return text.size == size && strncasecmp((const char *) text.data, lower_case, size) == 0;
}

static bool is_blank(uint8_t character) {
        return character == ' ' || character == '\t';
}

static Slice trimmed(const uint8_t *from, const uint8_t *to) {
        while (from < to && is_blank(*from))
                from++;
        while (from < to && is_blank(to[-1]))
                to--;
        return slice_of(from, (size_t) (to - from));
}

/* A backslash stands before a quote or another backslash only: senders that write names of Windows
 * ("C:\new.txt") double none of theirs. Returns where the text goes on, or 0: the quote is open. */
static size_t unquote(Slice text, size_t at, uint8_t *out, size_t *ret_size) {
        size_t size = 0;

        for (; at < text.size; at++) {
                uint8_t character = text.data[at];

                if (character == '"') {
                        *ret_size = size;
                        return at + 1;
                }
                if (character == '\\' && at + 1 < text.size &&
                    (text.data[at + 1] == '"' || text.data[at + 1] == '\\'))
                        character = text.data[++at];
                out[size++] = character;
        }
        return 0;
}

int header_parameter(Slice text, size_t *position, Slice *ret_name, uint8_t *out,
                     size_t *ret_size) {
        size_t at = *position, start;

        while (at < text.size && (is_blank(text.data[at]) || text.data[at] == ';'))
                at++;
        if (at == text.size)
                return 0;
        start = at;
        while (at < text.size && text.data[at] != '=' && text.data[at] != ';')
                at++;
        if (at == text.size || text.data[at] != '=')
                return -1;
        *ret_name = trimmed(text.data + start, text.data + at);
        at++;
        while (at < text.size && is_blank(text.data[at]))
                at++;
        if (at < text.size && text.data[at] == '"') {
                at = unquote(text, at + 1, out, ret_size);
                if (at == 0)
                        return -1;
                while (at < text.size && is_blank(text.data[at]))
                        at++;
                if (at < text.size && text.data[at] != ';')
                        return -1;
        } else {
                Slice value;

                start = at;
                while (at < text.size && text.data[at] != ';')
                        at++;
                value = trimmed(text.data + start, text.data + at);
                memcpy(out, value.data, value.size);
                *ret_size = value.size;
        }
        *position = at;
        return ret_name->size > 0 ? 1 : -1;
}

/* Browsers write these three, and nothing else, as %xx in names (HTML, "multipart/form-data
 * encoding algorithm"); a name that has another %xx in it has it from its owner. */
static size_t decode_browser_escapes(uint8_t *text, size_t size) {
        size_t out = 0;

        for (size_t i = 0; i < size; i++) {
                uint8_t character = text[i];

                if (character == '%' && i + 2 < size) {
                        const char *digits = (const char *) text + i + 1;

                        if (strncmp(digits, "22", 2) == 0)
                                character = '"';
                        else if (strncasecmp(digits, "0d", 2) == 0)
                                character = '\r';
                        else if (strncasecmp(digits, "0a", 2) == 0)
                                character = '\n';
                        if (character != '%')
                                i += 2;
                }
                text[out++] = character;
        }
        return out;
}

/* filename*=UTF-8''%e2%82%ac.txt (RFC 8187). RFC 7578 forbids it, and it is sent all the same. */
static bool decode_extended(Slice text, uint8_t *out, size_t *ret_size) {
        const uint8_t *language = memchr(text.data, '\'', text.size);
        const uint8_t *value;
        size_t rest;

        if (!language || !is_word(slice_of(text.data, (size_t) (language - text.data)), "utf-8"))
                return false;
        rest = (size_t) (text.data + text.size - language) - 1;
        value = memchr(language + 1, '\'', rest);
        if (!value)
                return false;
        value++;
        return percent_decode(slice_of(value, (size_t) (text.data + text.size - value)), false, out,
                              ret_size);
}

typedef struct Disposition {
        bool has_name, has_filename, has_extended;
} Disposition;

static bool has_control_character(Slice text) {
        for (size_t i = 0; i < text.size; i++) {
                if (text.data[i] < 0x20 || text.data[i] == 0x7f)
                        return true;
        }
        return false;
}

static bool take_name(Multipart *multipart, Disposition *seen, uint8_t *value, size_t size) {
        size = decode_browser_escapes(value, size);
        if (seen->has_name)
                return multipart_complain(multipart, 400, "A part has two names.");
        if (size > MULTIPART_NAME_MAX || has_control_character(slice_of(value, size)) ||
            utf8_valid_prefix(slice_of(value, size)) != size)
                return multipart_complain(multipart, 400,
                                          "The name of a part is not UTF-8, is longer than %d "
                                          "bytes, or has a control character in it.",
                                          MULTIPART_NAME_MAX);
        memcpy(multipart->part.name, value, size);
        multipart->part.name[size] = '\0';
        seen->has_name = true;
        return true;
}

static bool take_filename(Multipart *multipart, Disposition *seen, uint8_t *value, size_t size,
                          bool is_extended) {
        uint8_t decoded[MULTIPART_HEAD_MAX];

        if (is_extended ? seen->has_extended : seen->has_filename)
                return multipart_complain(multipart, 400, "A part has two file names.");
        if (is_extended) {
                if (!decode_extended(slice_of(value, size), decoded, &size))
                        return multipart_complain(multipart, 400,
                                                  "The filename* of a part is not of the form "
                                                  "UTF-8''name, with %%xx in it.");
                value = decoded;
                seen->has_extended = true;
        } else {
                size = decode_browser_escapes(value, size);
                seen->has_filename = true;
                if (seen->has_extended)
                        return true;
        }
        if (size > MULTIPART_FILENAME_MAX)
                return multipart_complain(multipart, 400,
                                          "The file name of a part is longer than %d bytes.",
                                          MULTIPART_FILENAME_MAX);
        if (utf8_valid_prefix(slice_of(value, size)) != size)
                return multipart_complain(multipart, 400,
                                          "The file name of a part is not valid UTF-8.");
        memcpy(multipart->part.filename, value, size);
        multipart->part.filename[size] = '\0';
        multipart->part.filename_size = size;
        multipart->part.has_filename = true;
        return true;
}

static bool read_disposition(Multipart *multipart, Disposition *seen, Slice value) {
        uint8_t text[MULTIPART_HEAD_MAX];
        size_t at = 0, size = 0;
        Slice name;
        int r;

        while (at < value.size && value.data[at] != ';')
                at++;
        if (!is_word(trimmed(value.data, value.data + at), "form-data"))
                return multipart_complain(multipart, 400,
                                          "The Content-Disposition of a part is not form-data.");
        while ((r = header_parameter(value, &at, &name, text, &size)) > 0) {
                if (is_word(name, "name")) {
                        if (!take_name(multipart, seen, text, size))
                                return false;
                } else if (is_word(name, "filename") || is_word(name, "filename*")) {
                        if (!take_filename(multipart, seen, text, size, name.size == 9))
                                return false;
                }
        }
        if (r < 0)
                return multipart_complain(multipart, 400,
                                          "The Content-Disposition of a part cannot be read; it "
                                          "has to say form-data; name=\"...\".");
        return true;
}

static bool read_type(Multipart *multipart, Slice value) {
        static const char nested[] = "multipart/";

        if (value.size >= sizeof(nested) - 1 &&
            strncasecmp((const char *) value.data, nested, sizeof(nested) - 1) == 0)
                return multipart_complain(multipart, 415,
                                          "A part is a multipart of its own; send each file as a "
                                          "part of the form.");
        if (value.size > MULTIPART_TYPE_MAX || has_control_character(value))
                return multipart_complain(
                        multipart, 400,
                        "The Content-Type of a part is too long, or has a control "
                        "character in it.");
        memcpy(multipart->part.content_type, value.data, value.size);
        multipart->part.content_type[value.size] = '\0';
        return true;
}

static bool read_encoding(Multipart *multipart, Slice value) {
        if (is_word(value, "binary") || is_word(value, "8bit") || is_word(value, "7bit"))
                return true;
        return multipart_complain(multipart, 415,
                                  "A part has a Content-Transfer-Encoding; only binary, 8bit and "
                                  "7bit are read.");
}

static bool read_line(Multipart *multipart, Disposition *seen, Slice line) {
        const uint8_t *colon = memchr(line.data, ':', line.size);
        Slice name, value;

        if (!colon || is_blank(line.data[0]))
                return multipart_complain(multipart, 400,
                                          "A header of a part has no colon, or goes on in a second "
                                          "line.");
        name = trimmed(line.data, colon);
        value = trimmed(colon + 1, line.data + line.size);
        if (is_word(name, "content-disposition"))
                return read_disposition(multipart, seen, value);
        if (is_word(name, "content-type"))
                return read_type(multipart, value);
        if (is_word(name, "content-transfer-encoding"))
                return read_encoding(multipart, value);
        return true;
}

bool multipart_head_read(Multipart *multipart, Slice head) {
        MultipartPart *part = &multipart->part;
        Disposition seen = {0};
        size_t at = 0, lines = 0;

        part->name[0] = part->filename[0] = part->content_type[0] = '\0';
        part->filename_size = 0;
        part->has_filename = false;
        while (at < head.size) {
                const uint8_t *feed = memchr(head.data + at, '\n', head.size - at);
                size_t next = feed ? (size_t) (feed - head.data) + 1 : head.size;
                size_t end = feed ? next - 1 : next;

                if (end > at && head.data[end - 1] == '\r')
                        end--;
                if (++lines > HEAD_LINES_MAX)
                        return multipart_complain(
                                multipart, 400, "A part has more than %d headers.", HEAD_LINES_MAX);
                if (!read_line(multipart, &seen, slice_of(head.data + at, end - at)))
                        return false;
                at = next;
        }
        if (!seen.has_name)
                return multipart_complain(multipart, 400,
                                          "A part has no name: a Content-Disposition: form-data; "
                                          "name=\"...\" is required.");
        return true;
}
