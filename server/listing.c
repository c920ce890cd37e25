#include "server/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "kit/error.h"
#include "pool/tree_walk.h"

/* Half a year, as coreutils has it: 31556952 s is a mean Gregorian year. */
#define RECENT_S (31556952 / 2)

/* A user or a group. */
typedef struct Owner {
        unsigned id;
        bool is_name; /* and not a number */
        char text[40];
} Owner;

typedef struct Entry {
        char *name, *target; /* target: of a symbolic link, else NULL */
        struct stat info;
} Entry;

typedef struct Folder {
        Entry *entries;
        size_t n, capacity;
} Folder;

/* Columns are as wide as their widest cell in the same folder. */
typedef struct Widths {
        int links, user, group, size, major, minor;
} Widths;

typedef struct Listing {
        const ListingOptions *options;
        Buffer *out;
        Buffer path; /* "./a/b" of the folder at hand */
        size_t n_entries;
        size_t start; /* of the lines in out */
        bool is_cut;
        Owner user, group; /* looked up last */
} Listing;

static void folder_done(Folder *folder) {
        for (size_t i = 0; i < folder->n; i++) {
                free(folder->entries[i].name);
                free(folder->entries[i].target);
        }
        free(folder->entries);
}

static void close_directory(DIR **directory) {
        if (*directory)
                (void) closedir(*directory);
}

/* ── Reading one folder ── */

static Entry *folder_add(Folder *folder) {
        if (folder->n == folder->capacity) {
                size_t capacity = folder->capacity > 0 ? 2 * folder->capacity : 16;
                Entry *entries = realloc(folder->entries, capacity * sizeof(*entries));

                if (!entries)
                        return NULL;
                folder->entries = entries;
                folder->capacity = capacity;
        }
        folder->entries[folder->n] = (Entry){0};
        return &folder->entries[folder->n++];
}

static char *read_target(int directory_fd, const char *name) {
        char target[4096]; /* PATH_MAX: the kernel keeps none that is longer */
        ssize_t size = readlinkat(directory_fd, name, target, sizeof(target));

        return size < 0 ? NULL : strndup(target, (size_t) size);
}

/* What has gone since its name was read is left out. */
static int read_entry(Folder *folder, int directory_fd, const char *name) {
        struct stat info;
        Entry *entry;

        if (fstatat(directory_fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        entry = folder_add(folder);
        if (!entry)
                return -ENOMEM;
        entry->info = info;
        entry->name = strdup(name);
        if (S_ISLNK(info.st_mode))
                entry->target = read_target(directory_fd, name);
        return entry->name ? 0 : -ENOMEM;
}

static int compare_names(const void *one, const void *other) {
        return strcmp(((const Entry *) one)->name, ((const Entry *) other)->name);
}

static int read_folder(Listing *listing, DIR *directory, Folder *folder) {
        struct dirent *found;
        int r = 0;

        while (r == 0 && (found = readdir(directory))) {
                if (found->d_name[0] == '.')
                        continue;
                if (listing->n_entries == LISTING_ENTRIES_MAX) {
                        listing->is_cut = true;
                        break;
                }
                listing->n_entries++;
                r = read_entry(folder, dirfd(directory), found->d_name);
        }
        if (folder->n > 0)
                qsort(folder->entries, folder->n, sizeof(*folder->entries), compare_names);
        return r;
}

/* ── One line ── */

static void mode_text(mode_t mode, char *text) {
        static const char letters[] = "rwxrwxrwx";

        text[0] = S_ISDIR(mode)    ? 'd'
                  : S_ISLNK(mode)  ? 'l'
                  : S_ISFIFO(mode) ? 'p'
                  : S_ISSOCK(mode) ? 's'
                  : S_ISCHR(mode)  ? 'c'
                  : S_ISBLK(mode)  ? 'b'
                                   : '-';
        for (unsigned i = 0; i < 9; i++)
                text[1 + i] = mode & (0400U >> i) ? letters[i] : '-';
        if (mode & S_ISUID)
                text[3] = mode & S_IXUSR ? 's' : 'S';
        if (mode & S_ISGID)
                text[6] = mode & S_IXGRP ? 's' : 'S';
        if (mode & S_ISVTX)
                text[9] = mode & S_IXOTH ? 't' : 'T';
        text[10] = '\0';
}

static void name_of_user(const ListingOptions *options, unsigned id, Owner *owner) {
        struct passwd entry, *found = NULL;
        char store[1024];

        owner->is_name = true;
        if (options->own_name && id == options->own_uid)
                (void) snprintf(owner->text, sizeof(owner->text), "%s", options->own_name);
        else if (getpwuid_r(id, &entry, store, sizeof(store), &found) == 0 && found)
                (void) snprintf(owner->text, sizeof(owner->text), "%s", found->pw_name);
        else
                owner->is_name = false;
}

static void name_of_group(const ListingOptions *options, unsigned id, Owner *owner) {
        struct group entry, *found = NULL;
        char store[4096];

        owner->is_name = true;
        if (options->own_name && id == options->own_gid)
                (void) snprintf(owner->text, sizeof(owner->text), "%s", options->own_name);
        else if (getgrgid_r(id, &entry, store, sizeof(store), &found) == 0 && found)
                (void) snprintf(owner->text, sizeof(owner->text), "%s", found->gr_name);
        else
                owner->is_name = false;
}

/* Its name, or its number where there is none. Nearly all files belong to one. */
static const Owner *owner_of(const ListingOptions *options, Owner *last, unsigned id,
                             void (*name)(const ListingOptions *, unsigned, Owner *)) {
        if (last->text[0] != '\0' && last->id == id)
                return last;
        last->id = id;
        name(options, id, last);
        if (!last->is_name)
                (void) snprintf(last->text, sizeof(last->text), "%u", id);
        return last;
}

static const Owner *user_of(Listing *listing, const Entry *entry) {
        return owner_of(listing->options, &listing->user, entry->info.st_uid, name_of_user);
}

static const Owner *group_of(Listing *listing, const Entry *entry) {
        return owner_of(listing->options, &listing->group, entry->info.st_gid, name_of_group);
}

static bool is_device(const Entry *entry) {
        return S_ISCHR(entry->info.st_mode) || S_ISBLK(entry->info.st_mode);
}

static void widen(int *width, int size) {
        if (*width < size)
                *width = size;
}

static Widths measure(Listing *listing, const Folder *folder) {
        Widths widths = {0};

        for (size_t i = 0; i < folder->n; i++) {
                const struct stat *info = &folder->entries[i].info;

                widen(&widths.links, snprintf(NULL, 0, "%lu", (unsigned long) info->st_nlink));
                widen(&widths.user, (int) strlen(user_of(listing, &folder->entries[i])->text));
                widen(&widths.group, (int) strlen(group_of(listing, &folder->entries[i])->text));
                if (is_device(&folder->entries[i])) {
                        widen(&widths.major, snprintf(NULL, 0, "%u", major(info->st_rdev)));
                        widen(&widths.minor, snprintf(NULL, 0, "%u", minor(info->st_rdev)));
                        widen(&widths.size, widths.major + 2 + widths.minor);
                } else {
                        widen(&widths.size, snprintf(NULL, 0, "%lld", (long long) info->st_size));
                }
        }
        return widths;
}

static void size_text(const Entry *entry, const Widths *widths, char *text, size_t size) {
        int room = widths->size - (widths->major + 2 + widths->minor);

        if (is_device(entry))
                (void) snprintf(text, size, "%*u, %*u", widths->major + (room > 0 ? room : 0),
                                major(entry->info.st_rdev), widths->minor,
                                minor(entry->info.st_rdev));
        else
                (void) snprintf(text, size, "%*lld", widths->size, (long long) entry->info.st_size);
}

static bool is_before(const struct timespec *one, const struct timespec *other) {
        return one->tv_sec != other->tv_sec ? one->tv_sec < other->tv_sec
                                            : one->tv_nsec < other->tv_nsec;
}

static void date_text(const struct timespec *when, const struct timespec *now, char *text,
                      size_t size) {
        struct timespec half_a_year_ago = {now->tv_sec - RECENT_S, now->tv_nsec};
        bool is_recent = is_before(&half_a_year_ago, when) && !is_before(now, when);
        struct tm local;

        if (!localtime_r(&when->tv_sec, &local) ||
            strftime(text, size, is_recent ? "%b %e %H:%M" : "%b %e  %Y", &local) == 0)
                (void) snprintf(text, size, "%lld", (long long) when->tv_sec);
}

static int append_text(Buffer *out, const char *text) {
        return buffer_append(out, text, strlen(text));
}

static int write_entry(Listing *listing, const Entry *entry, const Widths *widths) {
        const Owner *user = user_of(listing, entry), *group = group_of(listing, entry);
        char mode[11], size[64], date[64];
        char line[320];
        int r;

        mode_text(entry->info.st_mode, mode);
        size_text(entry, widths, size, sizeof(size));
        date_text(&entry->info.st_mtim, &listing->options->now, date, sizeof(date));
        (void) snprintf(line, sizeof(line), "%s %*lu %*s %*s %s %s ", mode, widths->links,
                        (unsigned long) entry->info.st_nlink,
                        user->is_name ? -widths->user : widths->user, user->text,
                        group->is_name ? -widths->group : widths->group, group->text, size, date);
        r = append_text(listing->out, line);
        if (r == 0)
                r = append_text(listing->out, entry->name);
        if (r == 0 && entry->target)
                r = append_text(listing->out, " -> ");
        if (r == 0 && entry->target)
                r = append_text(listing->out, entry->target);
        return r < 0 ? r : buffer_append(listing->out, "\n", 1);
}

static int write_folder(Listing *listing, const Folder *folder) {
        Widths widths = measure(listing, folder);
        uint64_t half_kilobytes = 0;
        char total[48];
        int r;

        for (size_t i = 0; i < folder->n; i++)
                half_kilobytes += (uint64_t) folder->entries[i].info.st_blocks;
        (void) snprintf(total, sizeof(total), "total %llu\n",
                        (unsigned long long) (half_kilobytes + 1) / 2);
        r = append_text(listing->out, total);
        for (size_t i = 0; r == 0 && i < folder->n; i++) {
                if (listing->out->size - listing->start > LISTING_BYTES_MAX)
                        listing->is_cut = true;
                else
                        r = write_entry(listing, &folder->entries[i], &widths);
        }
        return r;
}

/* ── The tree ── */

static int list_directory(Listing *listing, int parent_fd, const char *name, unsigned depth);

static int list_folders_below(Listing *listing, int directory_fd, const Folder *folder,
                              unsigned depth) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < folder->n; i++) {
                size_t size = listing->path.size;

                if (!S_ISDIR(folder->entries[i].info.st_mode))
                        continue;
                if (depth == LISTING_DEPTH_MAX || listing->is_cut) {
                        listing->is_cut = true;
                        break;
                }
                r = append_text(&listing->path, "/");
                if (r == 0)
                        r = append_text(&listing->path, folder->entries[i].name);
                if (r == 0)
                        r = list_directory(listing, directory_fd, folder->entries[i].name,
                                           depth + 1);
                listing->path.size = size;
        }
        return r;
}

static int write_heading(Listing *listing) {
        int r = append_text(listing->out, "\n");

        if (r == 0)
                r = buffer_append(listing->out, listing->path.data, listing->path.size);
        return r < 0 ? r : append_text(listing->out, ":\n");
}

static int list_directory(Listing *listing, int parent_fd, const char *name, unsigned depth) {
        _cleanup_(folder_done) Folder folder = {0};
        _cleanup_(close_directory) DIR *directory = NULL;
        int fd, r;

        fd = depth > 0 ? openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                       : tree_open_again(parent_fd);
        directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory) {
                r = -errno;
                close_fd(&fd);
                return depth > 0 ? 0 : raise_error(r, "open the folder to be listed");
        }
        r = read_folder(listing, directory, &folder);
        if (r == 0 && depth > 0)
                r = write_heading(listing);
        if (r == 0)
                r = write_folder(listing, &folder);
        return r < 0 ? r : list_folders_below(listing, fd, &folder, depth);
}

int listing_write(int directory_fd, const ListingOptions *options, Buffer *out) {
        Listing listing = {.options = options, .out = out, .start = out->size};
        int r = append_text(&listing.path, ".");

        if (r == 0)
                r = list_directory(&listing, directory_fd, ".", 0);
        if (r == 0 && listing.is_cut)
                r = append_text(out, LISTING_CUT "\n");
        buffer_done(&listing.path);
        return r;
}
