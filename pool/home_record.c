#include "pool/home_record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "kit/bytes.h"
#include "kit/error.h"
#include "pool/home_folders.h"
#include "pool/tree_walk.h"

/* The first line: what it is, and which fields it has. */
#define HEAD "hatchery session 1\n"
/* More than any record has. */
#define RECORD_SIZE_MAX 4096
#define NAME_SIZE       32

static void file_name(unsigned member, char ret_name[NAME_SIZE]) {
        (void) snprintf(ret_name, NAME_SIZE, "%u.session", member);
}

/* --- the fields, one table for both ways --- */

typedef struct TextField {
        const char *name;
        size_t offset, size; /* of an array of char in HomeRecord */
        bool may_be_empty;
} TextField;

#define TEXT(name, may_be_empty)                                                                   \
        { #name, offsetof(HomeRecord, name), sizeof(((HomeRecord *) 0)->name), may_be_empty }

static const TextField texts[] = {
        TEXT(id, false),
        TEXT(template, false),
        TEXT(alias, true),
        TEXT(forked_from, true),
};

typedef struct NumberField {
        const char *name;
        size_t offset; /* of a uint64_t */
} NumberField;

#define NUMBER(name)                                                                               \
        { #name, offsetof(HomeRecord, name) }
#define LIMIT(name, limit)                                                                         \
        { name, offsetof(HomeRecord, limits) + (limit) * sizeof(uint64_t) }

static const NumberField numbers[] = {
        NUMBER(created_s),
        NUMBER(idle_ms),
        NUMBER(life_cpu_ms),
        NUMBER(sequence),
        LIMIT("limit wall_ms", LIMIT_WALL_MS),
        LIMIT("limit cpu_ms", LIMIT_CPU_MS),
        LIMIT("limit memory_mb", LIMIT_MEMORY_MB),
        LIMIT("limit output_bytes", LIMIT_OUTPUT_BYTES),
        LIMIT("limit processes", LIMIT_PROCESSES),
        LIMIT("limit disk_mb", LIMIT_DISK_MB),
};
_Static_assert(N_ELEMENTS(numbers) == 4 + _LIMITS, "all limits");

/* The last line has a fixed width, so that it can be written anew in its place. */
#define RUNS_FORMAT "runs %020" PRIu64 "\n"
#define RUNS_SIZE   26

static char *text_of(const HomeRecord *record, const TextField *field) {
        return (char *) record + field->offset;
}

static uint64_t *number_of(const HomeRecord *record, const NumberField *field) {
        return (uint64_t *) ((char *) record + field->offset);
}

/* Whether it can stand in a line. */
static bool is_plain(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++) {
                if ((uint8_t) text[i] < 0x20 || text[i] == 0x7f)
                        return false;
        }
        return true;
}

/* --- writing --- */

typedef struct Page {
        char text[RECORD_SIZE_MAX];
        size_t size;
} Page;

__attribute__((format(printf, 2, 3))) static void add_line(Page *page, const char *format, ...) {
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vsnprintf(page->text + page->size, sizeof(page->text) - page->size, format, arguments);
        va_end(arguments);
        /* All fields together are far smaller. */
        page->size += (size_t) n;
}

static int compose(const HomeRecord *record, Page *page) {
        add_line(page, HEAD);
        add_line(page, "space %s\n", session_space_name(record->space));
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                const char *text = text_of(record, &texts[i]);

                if (!is_plain(text, strlen(text)) || (!text[0] && !texts[i].may_be_empty))
                        return raise_error(-EINVAL, "write the %s of a session down",
                                           texts[i].name);
                add_line(page, "%s %s\n", texts[i].name, text);
        }
        add_line(page, "forgets %d\n", record->forgets);
        for (size_t i = 0; i < N_ELEMENTS(numbers); i++)
                add_line(page, "%s %" PRIu64 "\n", numbers[i].name,
                         *number_of(record, &numbers[i]));
        add_line(page, RUNS_FORMAT, record->runs);
        return 0;
}

int home_record_write(const Home *home, unsigned member, const HomeRecord *record) {
        _autoclose_ int fd = -1;
        char name[NAME_SIZE], new_name[NAME_SIZE + 4];
        Page page = {.size = 0};
        ssize_t n;
        int r;

        r = compose(record, &page);
        if (r < 0)
                return r;
        file_name(member, name);
        (void) snprintf(new_name, sizeof(new_name), "%s.new", name);
        fd = openat(home->directory_fd, new_name,
                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return raise_errno("write the record of a session");
        n = write(fd, page.text, page.size);
        if (n >= 0 && (size_t) n < page.size)
                errno = ENOSPC;
        if (n != (ssize_t) page.size ||
            renameat(home->directory_fd, new_name, home->directory_fd, name) < 0) {
                r = raise_errno("write the record of a session");
                (void) unlinkat(home->directory_fd, new_name, 0);
                return r;
        }
        return 0;
}

void home_record_touch(const Home *home, unsigned member, uint64_t runs) {
        char name[NAME_SIZE], line[RUNS_SIZE + 1];
        _autoclose_ int fd = -1;
        struct stat status;

        file_name(member, name);
        fd = openat(home->directory_fd, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
            status.st_size < RUNS_SIZE)
                return;
        (void) snprintf(line, sizeof(line), RUNS_FORMAT, runs);
        /* Within one page of a file, a write is whole even if the process ends over it. */
        (void) !pwrite(fd, line, RUNS_SIZE, status.st_size - RUNS_SIZE);
}

/* --- reading --- */

/* Takes the next line off, which must be "name value"; false: it is not, or there is none. */
static bool take_line(Slice *page, const char *name, Slice *ret_value) {
        const uint8_t *end = page->size ? memchr(page->data, '\n', page->size) : NULL;
        size_t name_size = strlen(name), size = end ? (size_t) (end - page->data) : 0;

        if (!end || size <= name_size || memcmp(page->data, name, name_size) != 0 ||
            page->data[name_size] != ' ')
                return false;
        *ret_value = slice_of(page->data + name_size + 1, size - name_size - 1);
        *page = slice_of(end + 1, page->size - size - 1);
        return true;
}

/* As it is written: no sign, no space, no leading zero, nothing too large. */
static bool parse_number(Slice value, uint64_t *ret_number) {
        uint64_t number = 0;

        for (size_t i = 0; i < value.size; i++) {
                uint8_t digit = (uint8_t) (value.data[i] - '0');

                if (digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
                    __builtin_add_overflow(number, digit, &number))
                        return false;
        }
        *ret_number = number;
        return true;
}

static bool take_number(Slice *page, const char *name, uint64_t *ret_number) {
        Slice value;

        return take_line(page, name, &value) && value.size > 0 &&
               (value.size == 1 || value.data[0] != '0') && parse_number(value, ret_number);
}

static bool take_runs(Slice *page, uint64_t *ret_runs) {
        Slice value;

        return page->size == RUNS_SIZE && take_line(page, "runs", &value) &&
               parse_number(value, ret_runs);
}

static bool take_text(Slice *page, const TextField *field, HomeRecord *record) {
        Slice value;

        if (!take_line(page, field->name, &value) || value.size >= field->size ||
            (value.size == 0 && !field->may_be_empty) ||
            !is_plain((const char *) value.data, value.size))
                return false;
        memcpy(text_of(record, field), value.data, value.size);
        return true;
}

static bool take_space(Slice *page, SessionSpace *ret_space) {
        Slice value;

        if (!take_line(page, "space", &value))
                return false;
        for (SessionSpace space = 0; space < _SESSION_SPACES; space++) {
                if (slice_equals(value, session_space_name(space))) {
                        *ret_space = space;
                        return true;
                }
        }
        return false;
}

/* Returns NULL, or the name of the field that is wrong. */
static const char *parse(Slice page, HomeRecord *record) {
        uint64_t forgets;

        if (page.size < strlen(HEAD) || memcmp(page.data, HEAD, strlen(HEAD)) != 0)
                return "first line";
        page = slice_of(page.data + strlen(HEAD), page.size - strlen(HEAD));
        if (!take_space(&page, &record->space))
                return "space";
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                if (!take_text(&page, &texts[i], record))
                        return texts[i].name;
        }
        if (!take_number(&page, "forgets", &forgets) || forgets > 1)
                return "forgets";
        record->forgets = forgets;
        for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
                if (!take_number(&page, numbers[i].name, number_of(record, &numbers[i])))
                        return numbers[i].name;
        }
        return take_runs(&page, &record->runs) ? NULL : "last line";
}

int home_record_read(const Home *home, unsigned member, HomeRecord *ret_record) {
        _autoclose_ int fd = -1;
        char name[NAME_SIZE], page[RECORD_SIZE_MAX];
        HomeRecord record = {0};
        const char *wrong;
        struct stat status;
        ssize_t n;

        file_name(member, name);
        fd = tree_open(home->directory_fd, name, O_RDONLY | O_NONBLOCK);
        if (fd < 0)
                return fd == -ENOENT ? fd
                                     : raise_error(-EBADMSG, "open %s of home %s: %s", name,
                                                   home->name, strerror(-fd));
        if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
                return raise_error(-EBADMSG, "%s of home %s is no file", name, home->name);
        n = read(fd, page, sizeof(page));
        if (n < 0)
                return raise_error(-EBADMSG, "read %s of home %s: %s", name, home->name,
                                   strerror(errno));
        wrong = parse(slice_of(page, (size_t) n), &record);
        if (wrong)
                return raise_error(-EBADMSG, "%s of home %s: its %s is wrong", name, home->name,
                                   wrong);
        record.used_s = status.st_mtim.tv_sec > 0 ? (uint64_t) status.st_mtim.tv_sec : 0;
        *ret_record = record;
        return 0;
}

int home_record_list(const Home *home, int (*found)(void *data, unsigned member), void *data) {
        bool has[HOME_MEMBERS_MAX] = {false};
        DIR *directory = tree_read(home->directory_fd);
        const char *name;
        unsigned member;
        int r = 0;

        if (!directory)
                return raise_errno("read home %s", home->name);
        /* The folder may change while found() works on it. */
        while ((name = tree_next_name(directory))) {
                if (home_parse_record(name, &member))
                        has[member] = true;
        }
        (void) closedir(directory);
        for (member = 0; r == 0 && member < HOME_MEMBERS_MAX; member++) {
                if (has[member])
                        r = found(data, member);
        }
        return r;
}
