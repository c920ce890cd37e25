#include "server/hangup.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>

#include "server/hangup_watcher.h"

#define LOOK_MS 40
/* How many are looked at with one call of poll(2). */
#define POLL_AT_ONCE 64

struct HangupWatcher {
        h2o_loop_t *loop;
        h2o_timeout_t interval;
        h2o_timeout_entry_t look;
        HangupWatch ring; /* a list in a ring, of which this is no member */
};

static void ring_init(HangupWatch *ring) {
        ring->previous = ring->next = ring;
}

static void ring_add(HangupWatch *ring, HangupWatch *watch) {
        watch->previous = ring->previous;
        watch->next = ring;
        ring->previous->next = watch;
        ring->previous = watch;
}

static void ring_remove(HangupWatch *watch) {
        watch->previous->next = watch->next;
        watch->next->previous = watch->previous;
        watch->previous = watch->next = NULL;
}

/* The end of the client's side counts as its end. It may also be a client that shuts down its side
 * and still reads, but TCP does not tell the two apart, and a run for nobody costs more than a rare
 * client that has to be written otherwise. */
static void move_gone(HangupWatch *ring, HangupWatch *gone) {
        HangupWatch *watch = ring->next;

        while (watch != ring) {
                struct pollfd poll_fds[POLL_AT_ONCE];
                HangupWatch *watches[POLL_AT_ONCE];
                nfds_t n = 0;

                for (; watch != ring && n < POLL_AT_ONCE; watch = watch->next) {
                        poll_fds[n] = (struct pollfd){.fd = watch->fd, .events = POLLRDHUP};
                        watches[n++] = watch;
                }
                if (poll(poll_fds, n, 0) <= 0)
                        continue;
                for (nfds_t i = 0; i < n; i++) {
                        if (poll_fds[i].revents == 0)
                                continue;
                        ring_remove(watches[i]);
                        ring_add(gone, watches[i]);
                }
        }
}

static void look(h2o_timeout_entry_t *entry) {
        HangupWatcher *watcher = H2O_STRUCT_FROM_MEMBER(HangupWatcher, look, entry);
        HangupWatch gone;

        ring_init(&gone);
        move_gone(&watcher->ring, &gone);
        /* A callback may unwatch others; then they leave this ring too. */
        while (gone.next != &gone) {
                HangupWatch *watch = gone.next;

                ring_remove(watch);
                watch->gone(watch->data);
        }
        if (watcher->ring.next != &watcher->ring && !h2o_timeout_is_linked(&watcher->look))
                h2o_timeout_link(watcher->loop, &watcher->interval, &watcher->look);
}

void hangup_watch(HangupWatcher *watcher, h2o_req_t *req, HangupWatch *watch,
                  void (*gone)(void *data), void *data) {
        h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);

        *watch = (HangupWatch){.fd = -1, .gone = gone, .data = data};
        if (req->version >= 0x200 || !sock)
                return;
        watch->fd = h2o_socket_get_fd(sock);
        ring_add(&watcher->ring, watch);
        if (!h2o_timeout_is_linked(&watcher->look))
                h2o_timeout_link(watcher->loop, &watcher->interval, &watcher->look);
}

void hangup_look(HangupWatch *watch) {
        struct pollfd poll_fd = {.fd = watch->fd, .events = POLLRDHUP};

        if (!watch->next || poll(&poll_fd, 1, 0) <= 0)
                return;
        ring_remove(watch);
        watch->gone(watch->data);
}

void hangup_unwatch(HangupWatcher *watcher, HangupWatch *watch) {
        if (watch->next)
                ring_remove(watch);
}

HangupWatcher *hangup_watcher_new(h2o_loop_t *loop) {
        HangupWatcher *watcher = calloc(1, sizeof(*watcher));

        if (!watcher)
                return NULL;
        watcher->loop = loop;
        watcher->look.cb = look;
        ring_init(&watcher->ring);
        h2o_timeout_init(loop, &watcher->interval, LOOK_MS);
        return watcher;
}

HangupWatcher *hangup_watcher_free(HangupWatcher *watcher) {
        if (!watcher)
                return NULL;
        assert(watcher->ring.next == &watcher->ring);
        h2o_timeout_unlink(&watcher->look);
        h2o_timeout_dispose(watcher->loop, &watcher->interval);
        free(watcher);
        return NULL;
}
