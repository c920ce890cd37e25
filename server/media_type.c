#include "server/media_type.h"

#include <strings.h>

typedef struct MediaType {
        const char *extension, *type;
} MediaType;

static const MediaType media_types[] = {
        {"txt", "text/plain; charset=utf-8"},
        {"log", "text/plain; charset=utf-8"},
        {"py", "text/x-python; charset=utf-8"},
        {"md", "text/markdown; charset=utf-8"},
        {"csv", "text/csv"},
        {"tsv", "text/tab-separated-values"},
        {"json", "application/json"},
        {"jsonl", "application/x-ndjson"},
        {"ndjson", "application/x-ndjson"},
        {"ipynb", "application/x-ipynb+json"},
        {"html", "text/html"},
        {"htm", "text/html"},
        {"css", "text/css"},
        {"js", "text/javascript"},
        {"xml", "application/xml"},
        {"yaml", "application/yaml"},
        {"yml", "application/yaml"},
        {"toml", "application/toml"},
        {"png", "image/png"},
        {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"},
        {"gif", "image/gif"},
        {"webp", "image/webp"},
        {"svg", "image/svg+xml"},
        {"pdf", "application/pdf"},
        {"zip", "application/zip"},
        {"gz", "application/gzip"},
        {"tar", "application/x-tar"},
        {"parquet", "application/vnd.apache.parquet"},
        {"arrow", "application/vnd.apache.arrow.file"},
        {"sqlite", "application/vnd.sqlite3"},
        {"xls", "application/vnd.ms-excel"},
        {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
        {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
        {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
        {"mp3", "audio/mpeg"},
        {"wav", "audio/wav"},
        {"mp4", "video/mp4"},
        {"webm", "video/webm"},
};

const char *media_type(Slice path) {
        size_t start = path.size;

        while (start > 0 && path.data[start - 1] != '.' && path.data[start - 1] != '/')
                start--;
        if (start == 0 || path.data[start - 1] != '.')
                return "application/octet-stream";
        for (size_t i = 0; i < N_ELEMENTS(media_types); i++) {
                size_t size = strlen(media_types[i].extension);

                if (path.size - start == size && strncasecmp((const char *) path.data + start,
                                                             media_types[i].extension, size) == 0)
                        return media_types[i].type;
        }
        return "application/octet-stream";
}
