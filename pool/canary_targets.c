/* canary_targets: what all canaries of a pool are given to try themselves on. */

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

#define FOLDER "canary"

static void make_path(char *path, size_t size, const Workspace *workspace, const char *name) {
        if ((size_t) snprintf(path, size, "%s/" FOLDER "/%s", workspace->path, name) >= size)
                path[0] = '\0';
}

static int listen_at(const struct sockaddr_un *address, size_t size) {
        _autoclose_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0 || bind(fd, (const struct sockaddr *) address, (socklen_t) size) < 0 ||
            listen(fd, 1) < 0) {
                log_warning("canaries have no socket to try: %s", strerror(errno));
                return -1;
        }
        return take_fd(fd);
}

static void make_sockets(CanaryTargets *targets, const Workspace *workspace) {
        ProbeRequest *request = &targets->request;
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int n;

        n = snprintf(request->abstract_name, sizeof(request->abstract_name), "hatchery-%d-%jx",
                     getpid(), (uintmax_t) (clock_now_ns() & 0xffffffff));
        memcpy(address.sun_path + 1, request->abstract_name, (size_t) n);
        targets->abstract_fd =
                listen_at(&address, offsetof(struct sockaddr_un, sun_path) + 1 + (size_t) n);
        if (targets->abstract_fd < 0)
                request->abstract_name[0] = '\0';

        make_path(request->socket_path, sizeof(request->socket_path), workspace, "socket");
        if (!request->socket_path[0])
                return;
        memcpy(address.sun_path, request->socket_path, sizeof(address.sun_path));
        targets->named_fd = listen_at(&address, sizeof(address));
        if (targets->named_fd < 0 || chmod(request->socket_path, 0777) < 0)
                request->socket_path[0] = '\0';
}

/* That of a host which happens to have the cells' own is no secret. */
static void name_host(ProbeRequest *request) {
        struct utsname name;

        if (uname(&name) == 0 && strcmp(name.nodename, CELL_HOST_NAME) != 0)
                (void) snprintf(request->host_name, sizeof(request->host_name), "%s",
                                name.nodename);
}

static void make_files(CanaryTargets *targets, const Workspace *workspace, int folder_fd) {
        ProbeRequest *request = &targets->request;
        _autoclose_ int fd =
                openat(folder_fd, "secret", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        if (fd >= 0 && write(fd, "secret", 6) == 6)
                make_path(request->secret_path, sizeof(request->secret_path), workspace, "secret");
        if (mkdirat(folder_fd, "shared", 0777) == 0 && fchmodat(folder_fd, "shared", 0777, 0) == 0)
                make_path(request->shared_path, sizeof(request->shared_path), workspace, "shared");
        (void) snprintf(request->work_path, sizeof(request->work_path), "%s", workspace->path);
}

/* Marked to be removed as soon as nobody has it attached, but Linux lets it be attached until then.
 */
static void make_segment(CanaryTargets *targets) {
        int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0666);
        void *segment = id < 0 ? (void *) -1 : shmat(id, NULL, 0);

        if (id >= 0)
                (void) shmctl(id, IPC_RMID, NULL);
        if (segment == (void *) -1)
                return;
        targets->segment = segment;
        targets->request.segment = (uint32_t) id + 1;
}

int canary_open(CanaryTargets *targets, const Workspace *workspace, uint16_t port) {
        _autoclose_ int folder_fd = -1;

        *targets = CANARY_TARGETS_NONE;
        if (mkdirat(workspace->root_fd, FOLDER, 0711) < 0)
                return raise_errno("make a folder in %s", workspace->path);
        folder_fd =
                openat(workspace->root_fd, FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        /* Whatever the umask: nothing but a layer shall stand before what is inside. */
        if (folder_fd < 0 || fchmod(folder_fd, 0711) < 0)
                return raise_errno("open a folder in %s", workspace->path);
        make_files(targets, workspace, folder_fd);
        make_sockets(targets, workspace);
        make_segment(targets);
        name_host(&targets->request);
        targets->request.port = port;
        return 0;
}

void canary_close(CanaryTargets *targets) {
        close_fd(&targets->abstract_fd);
        close_fd(&targets->named_fd);
        if (targets->segment)
                (void) shmdt(targets->segment);
        *targets = CANARY_TARGETS_NONE;
}
