#include "server/store.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "kit/error.h"
#include "kit/log.h"

#define FILE_NAME      "store.sqlite3"
#define SCHEMA_VERSION 1
/* How long another process may hold the file before a call fails: a copy being made, for instance.
 */
#define BUSY_MS 100

typedef enum Statement {
        STATEMENT_PUT,
        STATEMENT_GET,
        STATEMENT_SIZE,
        STATEMENT_TOTAL,
        STATEMENT_CLEAR,
        _STATEMENTS,
} Statement;

static const char *const statement_texts[_STATEMENTS] = {
        [STATEMENT_PUT] = "INSERT OR REPLACE INTO uploads (key, value) VALUES (?1, ?2)",
        [STATEMENT_GET] = "SELECT value FROM uploads WHERE key = ?1",
        [STATEMENT_SIZE] = "SELECT length(value) FROM uploads WHERE key = ?1",
        [STATEMENT_TOTAL] =
                "SELECT count(*), coalesce(sum(length(key) + length(value)), 0) FROM uploads",
        [STATEMENT_CLEAR] = "DELETE FROM uploads",
};

struct Store {
        sqlite3 *database;
        sqlite3_stmt *statements[_STATEMENTS];
        unsigned keys_max, n_keys;
        uint64_t bytes_max, n_bytes; /* of keys and values */
        char path[PATH_MAX];
};

/* The errno that is nearest to what SQLite says, which goes to the log in its own words. */
static int raise_sqlite(const Store *store, const char *what) {
        int code = store->database ? sqlite3_errcode(store->database) : SQLITE_NOMEM;
        int error = EIO;

        switch (code & 0xff) {
        case SQLITE_NOMEM:
                error = ENOMEM;
                break;
        case SQLITE_FULL:
                error = ENOSPC;
                break;
        case SQLITE_READONLY:
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
                error = EACCES;
                break;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                error = EUCLEAN;
                break;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                error = EBUSY;
                break;
        default:
                break;
        }
        return raise_error(-error, "%s in %s: %s", what, store->path,
                           store->database ? sqlite3_errmsg(store->database) : "out of memory");
}

static int run_sql(Store *store, const char *what, const char *sql) {
        if (sqlite3_exec(store->database, sql, NULL, NULL, NULL) != SQLITE_OK)
                return raise_sqlite(store, what);
        return 0;
}

/* Makes every folder of the path that is missing. Nobody else sees what is in them, but workers may
 * have to pass through: the homes of sessions are there, too. */
static int make_folders(const char *path) {
        char part[PATH_MAX];
        size_t size = strlen(path);

        if (size == 0 || size + sizeof(FILE_NAME) + 1 > sizeof(part))
                return raise_error(-ENAMETOOLONG, "use the state directory %s", path);
        memcpy(part, path, size + 1);
        for (size_t i = 1; i <= size; i++) {
                if (part[i] != '/' && part[i] != '\0')
                        continue;
                part[i] = '\0';
                if (mkdir(part, 0711) < 0 && errno != EEXIST)
                        return raise_errno("make the state directory %s", part);
                part[i] = path[i];
        }
        return 0;
}

/* One integer of a query that has one row. */
static int query_number(Store *store, const char *sql, sqlite3_int64 *ret_number) {
        sqlite3_stmt *statement = NULL;
        int r = 0;

        if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) != SQLITE_OK ||
            sqlite3_step(statement) != SQLITE_ROW)
                r = raise_sqlite(store, "read");
        else
                *ret_number = sqlite3_column_int64(statement, 0);
        (void) sqlite3_finalize(statement);
        return r;
}

/* The file's own version says what is in it: 0 is a new file, or one of another program. */
static int prepare_schema(Store *store) {
        sqlite3_int64 version, tables;
        int r;

        r = query_number(store, "PRAGMA user_version", &version);
        if (r < 0)
                return r;
        if (version == SCHEMA_VERSION)
                return 0;
        if (version > SCHEMA_VERSION)
                return raise_error(
                        -EPROTO, "use %s: it was written by a newer version (schema %lld, not %d)",
                        store->path, (long long) version, SCHEMA_VERSION);
        r = query_number(store, "SELECT count(*) FROM sqlite_schema", &tables);
        if (r < 0)
                return r;
        if (tables > 0)
                return raise_error(-EPROTO, "use %s: it is a database of another program",
                                   store->path);
        return run_sql(
                store, "make the tables",
                "BEGIN;"
                "CREATE TABLE uploads (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) STRICT;"
                "PRAGMA user_version = 1;"
                "COMMIT;");
}

static int prepare_statements(Store *store) {
        for (int i = 0; i < _STATEMENTS; i++) {
                if (sqlite3_prepare_v3(store->database, statement_texts[i], -1,
                                       SQLITE_PREPARE_PERSISTENT, &store->statements[i],
                                       NULL) != SQLITE_OK)
                        return raise_sqlite(store, "prepare a statement");
        }
        return 0;
}

static int count(Store *store) {
        sqlite3_stmt *statement = store->statements[STATEMENT_TOTAL];
        int r = 0;

        if (sqlite3_step(statement) != SQLITE_ROW) {
                r = raise_sqlite(store, "count the entries");
        } else {
                store->n_keys = (unsigned) sqlite3_column_int64(statement, 0);
                store->n_bytes = (uint64_t) sqlite3_column_int64(statement, 1);
        }
        (void) sqlite3_reset(statement);
        return r;
}

/* quick_check reads the whole file, which is bounded by bytes_max; damage is told at the start, not
 * to a client. */
static int check_file(Store *store) {
        sqlite3_stmt *statement = NULL;
        int r = 0;

        if (sqlite3_prepare_v2(store->database, "PRAGMA quick_check(1)", -1, &statement, NULL) !=
                    SQLITE_OK ||
            sqlite3_step(statement) != SQLITE_ROW)
                r = raise_sqlite(store, "check the file");
        else if (strcmp((const char *) sqlite3_column_text(statement, 0), "ok") != 0)
                r = raise_error(
                        -EUCLEAN,
                        "use %s: it is damaged: %s; move it away to start with an empty one",
                        store->path, sqlite3_column_text(statement, 0));
        (void) sqlite3_finalize(statement);
        return r;
}

static int open_database(Store *store) {
        int r;

        if (sqlite3_open_v2(store->path, &store->database,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                    SQLITE_OPEN_EXRESCODE,
                            NULL) != SQLITE_OK)
                return raise_sqlite(store, "open the store");
        (void) sqlite3_busy_timeout(store->database, BUSY_MS);
        r = run_sql(store, "set up the store",
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                    "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                    "PRAGMA journal_size_limit = 4194304;");
        if (r < 0)
                return r;
        r = check_file(store);
        if (r < 0)
                return r;
        r = prepare_schema(store);
        if (r < 0)
                return r;
        /* A statement that writes nothing new shows whether the file can be written at all. */
        r = run_sql(store, "write to the store",
                    "BEGIN IMMEDIATE; PRAGMA user_version = 1; COMMIT;");
        if (r < 0)
                return r;
        r = prepare_statements(store);
        return r < 0 ? r : count(store);
}

int store_open(const char *directory, unsigned keys_max, uint64_t bytes_max, Store **ret_store) {
        _cleanup_(store_freep) Store *store = NULL;
        mode_t mask;
        int r;

        r = make_folders(directory);
        if (r < 0)
                return r;
        store = calloc(1, sizeof(*store));
        if (!store)
                return raise_error(-ENOMEM, "open the store");
        store->keys_max = keys_max;
        store->bytes_max = bytes_max;
        (void) snprintf(store->path, sizeof(store->path), "%s/" FILE_NAME, directory);
        mask = umask(0077);
        r = open_database(store);
        (void) umask(mask);
        if (r < 0)
                return r;
        *ret_store = take_ptr(store);
        return 0;
}

Store *store_free(Store *store) {
        if (!store)
                return NULL;
        for (int i = 0; i < _STATEMENTS; i++)
                (void) sqlite3_finalize(store->statements[i]);
        (void) sqlite3_close(store->database);
        free(store);
        return NULL;
}

/* An empty slice may have no address, and SQLite takes a NULL address for the value NULL. */
static void bind(sqlite3_stmt *statement, int index, Slice bytes) {
        (void) sqlite3_bind_blob64(statement, index,
                                   bytes.size > 0 ? (const void *) bytes.data : "", bytes.size,
                                   SQLITE_STATIC);
}

static void unbind(sqlite3_stmt *statement) {
        (void) sqlite3_reset(statement);
        (void) sqlite3_clear_bindings(statement);
}

/* The size of the value of key, or STORE_E_NOT_FOUND. */
static int find_size(Store *store, Slice key, uint64_t *ret_size) {
        sqlite3_stmt *statement = store->statements[STATEMENT_SIZE];
        int r = STORE_E_NOT_FOUND;

        bind(statement, 1, key);
        switch (sqlite3_step(statement)) {
        case SQLITE_ROW:
                *ret_size = (uint64_t) sqlite3_column_int64(statement, 0);
                r = STORE_OK;
                break;
        case SQLITE_DONE:
                break;
        default:
                r = raise_sqlite(store, "look for an entry");
        }
        unbind(statement);
        return r;
}

int store_put(Store *store, Slice key, Slice value) {
        sqlite3_stmt *statement = store->statements[STATEMENT_PUT];
        uint64_t old_size = 0, n_bytes = store->n_bytes;
        unsigned n_keys = store->n_keys;
        int r;

        assert(key.size > 0 && key.size <= STORE_KEY_MAX);
        r = find_size(store, key, &old_size);
        if (r < 0)
                return r;
        if (r == STORE_OK)
                n_bytes -= key.size + old_size;
        else if (n_keys++ >= store->keys_max)
                return STORE_E_TOO_MANY_KEYS;
        n_bytes += key.size + value.size;
        if (n_bytes > store->bytes_max)
                return STORE_E_TOO_MANY_BYTES;

        bind(statement, 1, key);
        bind(statement, 2, value);
        r = sqlite3_step(statement) == SQLITE_DONE ? STORE_OK
                                                   : raise_sqlite(store, "write an entry");
        unbind(statement);
        if (r == STORE_OK) {
                store->n_keys = n_keys;
                store->n_bytes = n_bytes;
        }
        return r;
}

int store_get(Store *store, Slice key, Buffer *out) {
        sqlite3_stmt *statement = store->statements[STATEMENT_GET];
        const void *value;
        int r = STORE_E_NOT_FOUND;

        bind(statement, 1, key);
        switch (sqlite3_step(statement)) {
        case SQLITE_ROW:
                /* SQLite wants the address of a blob asked before its size. */
                value = sqlite3_column_blob(statement, 0);
                r = buffer_append(out, value, (size_t) sqlite3_column_bytes(statement, 0));
                break;
        case SQLITE_DONE:
                break;
        default:
                r = raise_sqlite(store, "read an entry");
        }
        unbind(statement);
        return r;
}

int store_clear(Store *store) {
        sqlite3_stmt *statement = store->statements[STATEMENT_CLEAR];
        int r = STORE_OK;

        if (sqlite3_step(statement) != SQLITE_DONE)
                r = raise_sqlite(store, "clear the store");
        (void) sqlite3_reset(statement);
        if (r == STORE_OK) {
                store->n_keys = 0;
                store->n_bytes = 0;
        }
        return r;
}
