/* What a worker reads from its request pipe: frames of our own supervisor, whose bodies clients
 * wrote. */
#include "interp/request.h"

#include "fuzz.h"

/* However the bytes are divided, the scan ends the same way. */
static void check_pieces(Slice bytes, RequestParse whole, size_t offset) {
        RequestScan scan = {0};
        RequestParse parse = REQUEST_INCOMPLETE;

        for (size_t size = 0; size <= bytes.size && parse == REQUEST_INCOMPLETE; size++)
                parse = request_scan(&scan, slice_of(bytes.data, size));
        must(parse == whole);
        must(whole != REQUEST_COMPLETE || scan.offset == offset);
}

static void check_within(Slice part, Slice bytes) {
        must(!part.data || (part.data >= bytes.data && part.data <= bytes.data + bytes.size &&
                            part.size <= (size_t) (bytes.data + bytes.size - part.data)));
}

static void check_list(const SliceList *list, Slice bytes) {
        for (size_t i = 0; i < slice_list_count(list); i++)
                check_within(slice_list_items(list)[i], bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(request_done) Request request = {0};
        Slice bytes = slice_of(data, size);
        RequestScan scan = {0};
        RequestParse parse = request_scan(&scan, bytes);

        if (size <= 4096)
                check_pieces(bytes, parse, scan.offset);
        must(scan.offset <= size);
        if (parse == REQUEST_INCOMPLETE)
                must(scan.missing > 0 && scan.missing <= REQUEST_BYTES_MAX);
        if (parse != REQUEST_COMPLETE)
                return 0;

        bytes.size = scan.offset;
        parse = request_decode(bytes, &request);
        must(parse != REQUEST_INCOMPLETE);
        check_within(request.code, bytes);
        check_within(request.probe, bytes);
        /* A probe and a touch are alone. */
        if (request.probe.size > 0 || request.is_touch)
                must(!(request.probe.size > 0 && request.is_touch) && !request.code.data &&
                     slice_list_count(&request.file_paths) == 0);
        check_within(request.stdin_bytes, bytes);
        check_within(request.data, bytes);
        check_list(&request.arguments, bytes);
        check_list(&request.environment, bytes);
        check_list(&request.variables, bytes);
        check_list(&request.file_paths, bytes);
        check_list(&request.file_contents, bytes);
        if (parse == REQUEST_COMPLETE)
                must(slice_list_count(&request.file_paths) ==
                     slice_list_count(&request.file_contents));
        return 0;
}
