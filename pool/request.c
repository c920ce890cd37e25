#include "pool/request.h"

#include "wire/frame.h"
#include "wire/run.h"

static int append_pair(Buffer *out, uint32_t kind, const RunVariable *variable) {
        FrameHeader header = frame_header(kind, variable->name.size + 1 + variable->value.size);
        int r;

        r = buffer_append(out, &header, sizeof(header));
        if (r == 0)
                r = buffer_append(out, variable->name.data, variable->name.size);
        if (r == 0)
                r = buffer_append(out, "=", 1);
        if (r == 0)
                r = buffer_append(out, variable->value.data, variable->value.size);
        return r;
}

static int append_lists(const RunRequest *request, Buffer *out) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < request->n_arguments; i++)
                r = frame_append(out, REQUEST_ARGUMENT, request->arguments[i]);
        for (size_t i = 0; r == 0 && i < request->n_environment; i++)
                r = append_pair(out, REQUEST_ENVIRONMENT, &request->environment[i]);
        for (size_t i = 0; r == 0 && i < request->n_files; i++) {
                r = frame_append(out, REQUEST_FILE_PATH, request->files[i].path);
                if (r == 0)
                        r = frame_append(out, REQUEST_FILE_CONTENT, request->files[i].content);
        }
        for (size_t i = 0; r == 0 && i < request->n_variables; i++)
                r = frame_append(out, REQUEST_VARIABLE, request->variables[i]);
        return r;
}

int request_encode(const RunRequest *request, uint64_t value_bytes_max, Buffer *out) {
        RequestOptions options = {
                .flags = request->flags,
                .processes = (uint32_t) request->limits.of[LIMIT_PROCESSES],
                .cpu_seconds = request->limits.of[LIMIT_CPU_MS] / 1000 + 1,
                .memory_bytes = (request->limits.of[LIMIT_MEMORY_MB] << 20) + ADDRESS_SPACE_SLACK,
                .file_bytes = request->limits.of[LIMIT_DISK_MB] << 20,
                .value_bytes = value_bytes_max,
        };
        int r;

        r = frame_append(out, REQUEST_CODE, request->code);
        if (r == 0 && request->stdin_bytes.size > 0)
                r = frame_append(out, REQUEST_STDIN, request->stdin_bytes);
        if (r == 0 && request->data.size > 0)
                r = frame_append(out, REQUEST_DATA, request->data);
        if (r == 0)
                r = append_lists(request, out);
        if (r == 0)
                r = frame_append(out, REQUEST_END, slice_of(&options, sizeof(options)));
        return r;
}
