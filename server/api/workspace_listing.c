#include "server/api/workspace_listing.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "jsontext/write.h"
#include "kit/error.h"
#include "server/api/plain_text.h"
#include "server/listing.h"
#include "server/respond.h"

#define UID_ROOT   0
#define UID_NOBODY 65534

typedef struct ListingChore ListingChore;

/* In the request's pool: who goes first, the request or the chore, tells the other. */
typedef struct Waiting {
        h2o_req_t *req;
        ListingChore *chore;
} Waiting;

struct ListingChore {
        Chore chore; /* first: see chores.h */
        int workspace_fd;
        ListingOptions options;
        Buffer lines, body;
        Waiting *waiting; /* NULL: the client has gone */
};

static void chore_free(ListingChore *chore) {
        close_fd(&chore->workspace_fd);
        buffer_done(&chore->lines);
        buffer_done(&chore->body);
        free(chore);
}

static void send_answer(h2o_req_t *req, Buffer *body, int r, const Buffer *lines) {
        /* The object has been begun before, by another writer. */
        JsonWriter writer = JSON_WRITER(body);

        if (r < 0) {
                json_begin_array(&writer);
                json_literal(&writer, "Error listing files");
                json_end_array(&writer);
        } else {
                plain_text_write_lines(&writer, buffer_slice(lines));
        }
        json_end_object(&writer);
        if (writer.error < 0)
                respond_error(req, ERRORS_ERROR, (ErrorAnswer){.status = 503},
                              "The run has ended, but the server has no memory for its answer.");
        else
                respond_json(req, 200, body);
}

static int work(Chore *chore) {
        ListingChore *listing = (ListingChore *) chore;

        return listing_write(listing->workspace_fd, &listing->options, &listing->lines);
}

static void done(Chore *chore, int result) {
        ListingChore *listing = (ListingChore *) chore;

        if (listing->waiting) {
                listing->waiting->chore = NULL;
                send_answer(listing->waiting->req, &listing->body, result, &listing->lines);
        }
        chore_free(listing);
}

static void on_request_gone(void *data) {
        Waiting *waiting = data;

        if (waiting->chore)
                waiting->chore->waiting = NULL;
}

/* As the snippet sees it: in a cell its user has a name, which the host does not know; unless it is
 * one that every system has (interp/cell_root.c). */
static ListingOptions options_of(const App *app, const Session *session) {
        bool has_cell = app->isolation.layers & layer_bit(LAYER_MOUNT_NAMESPACE);
        uid_t uid = session_uid(session);
        bool is_own = uid == (uid_t) -1;
        ListingOptions options = {
                .own_uid = is_own ? geteuid() : uid,
                .own_gid = is_own ? getegid() : (gid_t) uid,
        };

        if (has_cell && options.own_uid != UID_ROOT && options.own_uid != UID_NOBODY)
                options.own_name = "runner";
        (void) clock_gettime(CLOCK_REALTIME, &options.now);
        return options;
}

static int start(const App *app, const Session *session, Waiting *waiting, Buffer *body) {
        ListingChore *listing = session ? calloc(1, sizeof(*listing)) : NULL;
        int r;

        if (!listing)
                return -ENOMEM;
        *listing = (ListingChore){
                .chore = {.work = work, .done = done},
                .workspace_fd = fcntl(session_workspace_fd(session), F_DUPFD_CLOEXEC, 3),
                .options = options_of(app, session),
                .waiting = waiting,
        };
        r = listing->workspace_fd < 0 ? raise_errno("duplicate a workspace's descriptor")
                                      : chores_add(pool_chores(app->pool), &listing->chore);
        if (r < 0) {
                chore_free(listing);
                return r;
        }
        listing->body = *body;
        *body = BUFFER_INIT(0);
        waiting->chore = listing;
        return 0;
}

void respond_with_listing(App *app, h2o_req_t *req, const Session *session, Buffer *body) {
        Waiting *waiting = h2o_mem_alloc_shared(&req->pool, sizeof(*waiting), on_request_gone);
        int r;

        *waiting = (Waiting){.req = req};
        r = start(app, session, waiting, body);
        if (r < 0)
                send_answer(req, body, r, NULL);
}
