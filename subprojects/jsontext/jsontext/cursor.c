/* The second half of scan.h: walking through a text that has already been proven well-formed. */
#include "jsontext/scan.h"

#include <assert.h>
#include <stdint.h>

#include "jsontext/plain.h"

static JsonKind kind_of(uint8_t first) {
        switch (first) {
        case '{':
                return JSON_OBJECT;
        case '[':
                return JSON_ARRAY;
        case '"':
                return JSON_STRING;
        case 't':
                return JSON_TRUE;
        case 'f':
                return JSON_FALSE;
        case 'n':
                return JSON_NULL;
        default:
                return JSON_NUMBER;
        }
}

JsonKind json_kind(Slice text) {
        size_t i = 0;

        while (i < text.size && is_json_space(text.data[i]))
                i++;
        assert(i < text.size);
        return kind_of(text.data[i]);
}

static void skip(Slice *rest, size_t size) {
        rest->data += size;
        rest->size -= size;
}

static void skip_space(Slice *rest) {
        while (rest->size > 0 && is_json_space(rest->data[0]))
                skip(rest, 1);
}

/* Length of the string at the start of text, quotes included; 0 when it does not end. */
static size_t string_size(Slice text, bool *ret_escapes) {
        size_t i = 1;

        *ret_escapes = false;
        while (i < text.size) {
                i += plain_prefix(slice_of(text.data + i, text.size - i));
                if (i == text.size)
                        break;
                if (text.data[i] == '"')
                        return i + 1;
                if (text.data[i] == '\\') {
                        *ret_escapes = true;
                        i += 2;
                        continue;
                }
                for (i++; i < text.size && text.data[i] >= 0x80; i++)
                        ;
        }
        return 0;
}

/* Since the text was checked, brackets outside strings pair up and counting them suffices. */
static size_t container_size(Slice text) {
        size_t depth = 0, i = 0;

        while (i < text.size) {
                bool escapes;
                size_t size;

                switch (text.data[i]) {
                case '"':
                        size = string_size(slice_of(text.data + i, text.size - i), &escapes);
                        if (size == 0)
                                return 0;
                        i += size;
                        continue;
                case '{':
                case '[':
                        depth++;
                        break;
                case '}':
                case ']':
                        if (--depth == 0)
                                return i + 1;
                        break;
                default:
                        break;
                }
                i++;
        }
        return 0;
}

static size_t word_size(Slice text) {
        size_t i = 0;

        for (; i < text.size; i++) {
                uint8_t c = text.data[i];

                if (is_json_space(c) || c == ',' || c == ']' || c == '}')
                        break;
        }
        return i;
}

/* 0 when no value begins or none ends there. */
static size_t value_size(Slice text) {
        bool escapes;

        if (text.size == 0)
                return 0;
        switch (text.data[0]) {
        case '"':
                return string_size(text, &escapes);
        case '{':
        case '[':
                return container_size(text);
        default:
                return word_size(text);
        }
}

static bool next_key(Slice *rest, JsonItem *item) {
        size_t size;

        if (rest->size == 0 || rest->data[0] != '"')
                return false;
        size = string_size(*rest, &item->key_has_escapes);
        if (size == 0)
                return false;
        item->key = slice_of(rest->data + 1, size - 2);
        skip(rest, size);
        skip_space(rest);
        if (rest->size == 0 || rest->data[0] != ':')
                return false;
        skip(rest, 1);
        skip_space(rest);
        return true;
}

bool json_enter(Slice text, JsonCursor *ret_cursor) {
        skip_space(&text);
        if (text.size == 0 || (text.data[0] != '{' && text.data[0] != '['))
                return false;
        *ret_cursor = (JsonCursor){.container = kind_of(text.data[0])};
        skip(&text, 1);
        ret_cursor->rest = text;
        return true;
}

bool json_next(JsonCursor *cursor, JsonItem *ret_item) {
        Slice rest = cursor->rest;
        JsonItem item = {.key = SLICE_NULL};
        size_t size;

        skip_space(&rest);
        if (rest.size > 0 && rest.data[0] == ',') {
                skip(&rest, 1);
                skip_space(&rest);
        }
        if (cursor->container == JSON_OBJECT && !next_key(&rest, &item))
                return false;
        size = value_size(rest);
        if (size == 0)
                return false;
        item.value = slice_of(rest.data, size);
        item.kind = kind_of(rest.data[0]);
        skip(&rest, size);
        cursor->rest = rest;
        *ret_item = item;
        return true;
}
