#include "interp/probe.h"

#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>

#include "interp/probe_attempts.h"

typedef int (*Attempt)(const ProbeRequest *request);

static const Attempt attempts[_PROBES] = {
        [PROBE_READ_SHADOW] = probe_read_shadow,
        [PROBE_READ_SECRET] = probe_read_secret,
        [PROBE_LIST_WORK_FOLDERS] = probe_list_work_folders,
        [PROBE_LIST_PROCESSES] = probe_list_processes,
        [PROBE_SERVER_ENVIRONMENT] = probe_server_environment,
        [PROBE_SERVER_MEMORY] = probe_server_memory,
        [PROBE_NEIGHBOUR_MEMORY] = probe_neighbour_memory,
        [PROBE_WRITE_ROOT] = probe_write_root,
        [PROBE_WRITE_SYSTEM] = probe_write_system,
        [PROBE_WRITE_SHARED_FOLDER] = probe_write_shared_folder,
        [PROBE_CHANGE_MODE_OUTSIDE] = probe_change_mode_outside,
        [PROBE_OPEN_DEVICE] = probe_open_device,
        [PROBE_KERNEL_SETTING] = probe_kernel_setting,
        [PROBE_INTERNET_SOCKET] = probe_internet_socket,
        [PROBE_CONNECT_SERVER] = probe_connect_server,
        [PROBE_CONNECT_ABSTRACT] = probe_connect_abstract,
        [PROBE_CONNECT_NAMED] = probe_connect_named,
        [PROBE_PASS_DESCRIPTOR] = probe_pass_descriptor,
        [PROBE_SIGNAL_SERVER] = probe_signal_server,
        [PROBE_SIGNAL_ZYGOTE] = probe_signal_zygote,
        [PROBE_SIGNAL_NEIGHBOUR] = probe_signal_neighbour,
        [PROBE_OWN_PIPE_SIGNAL] = probe_own_pipe_signal,
        [PROBE_PIDFD_SERVER] = probe_pidfd_server,
        [PROBE_NEW_PROCESS] = probe_new_process,
        [PROBE_NEW_PROGRAM] = probe_new_program,
        [PROBE_OUTLIVE] = probe_outlive,
        [PROBE_THREAD_QUOTA] = probe_thread_quota,
        [PROBE_ADDRESS_QUOTA] = probe_address_quota,
        [PROBE_FILE_QUOTA] = probe_file_quota,
        [PROBE_DISK_QUOTA] = probe_disk_quota,
        [PROBE_LOCK_MEMORY] = probe_lock_memory,
        [PROBE_RAISE_LIMIT] = probe_raise_limit,
        [PROBE_GAIN_IDENTITY] = probe_gain_identity,
        [PROBE_GAIN_CAPABILITY] = probe_gain_capability,
        [PROBE_BECOME_DUMPABLE] = probe_become_dumpable,
        [PROBE_SERVER_SEGMENT] = probe_server_segment,
        [PROBE_NEW_SEGMENT] = probe_new_segment,
        [PROBE_MESSAGE_QUEUE] = probe_message_queue,
        [PROBE_ANONYMOUS_FILE] = probe_anonymous_file,
        [PROBE_WATCH_FILES] = probe_watch_files,
        [PROBE_SET_HOST_NAME] = probe_set_host_name,
        [PROBE_LEARN_HOST_NAME] = probe_learn_host_name,
        [PROBE_SET_CLOCK] = probe_set_clock,
        [PROBE_IO_URING] = probe_io_uring,
        [PROBE_INHERITED_DESCRIPTOR] = probe_inherited_descriptor,
        [PROBE_READ_OTHER_HOME] = probe_read_other_home,
        [PROBE_WRITE_OTHER_HOME] = probe_write_other_home,
        [PROBE_LIST_HOMES] = probe_list_homes,
        [PROBE_WRITE_HOME] = probe_write_home,
        [PROBE_WRITE_PACKAGES] = probe_write_packages,
        [PROBE_WRITE_BESIDE_WORKSPACE] = probe_write_beside_workspace,
        [PROBE_COPY_UNTOLD] = probe_copy_untold,
        [PROBE_COPY_OTHERWISE] = probe_copy_otherwise,
        [PROBE_OWN_LISTENER] = probe_own_listener,
        [PROBE_RECEIVE_DESCRIPTOR] = probe_receive_descriptor,
        [PROBE_CONTROL_DESCRIPTOR] = probe_control_descriptor,
        [PROBE_READ_SOURCE] = probe_read_source,
        [PROBE_WRITE_SOURCE] = probe_write_source,
        [PROBE_WRITE_SOURCE_TEMPORARY] = probe_write_source_temporary,
        [PROBE_CHANGE_MODE_SOURCE] = probe_change_mode_source,
        [PROBE_SIGNAL_SOURCE] = probe_signal_source,
        [PROBE_SOURCE_MEMORY] = probe_source_memory,
        [PROBE_CONTROL_UNASKED] = probe_control_unasked,
        [PROBE_TRACE_SERVER] = probe_trace_server,
        [PROBE_READ_SERVER_MEMORY] = probe_read_server_memory,
        [PROBE_TAKE_DESCRIPTOR] = probe_take_descriptor,
        [PROBE_NEW_NAMESPACE] = probe_new_namespace,
        [PROBE_MOUNT] = probe_mount,
        [PROBE_CHANGE_ROOT] = probe_change_root,
        [PROBE_KERNEL_KEYRING] = probe_kernel_keyring,
        [PROBE_BPF] = probe_bpf,
        [PROBE_PERFORMANCE_EVENTS] = probe_performance_events,
        [PROBE_USERFAULTFD] = probe_userfaultfd,
};

static bool is_text(const char *text, size_t size) {
        return memchr(text, 0, size) != NULL;
}

bool probe_decode(const void *body, size_t size, ProbeRequest *ret_request) {
        if (size != sizeof(*ret_request))
                return false;
        memcpy(ret_request, body, size);
        return is_text(ret_request->abstract_name, sizeof(ret_request->abstract_name)) &&
               is_text(ret_request->socket_path, sizeof(ret_request->socket_path)) &&
               is_text(ret_request->secret_path, sizeof(ret_request->secret_path)) &&
               is_text(ret_request->shared_path, sizeof(ret_request->shared_path)) &&
               is_text(ret_request->work_path, sizeof(ret_request->work_path)) &&
               is_text(ret_request->host_name, sizeof(ret_request->host_name)) &&
               is_text(ret_request->home_path, sizeof(ret_request->home_path)) &&
               is_text(ret_request->homes_path, sizeof(ret_request->homes_path)) &&
               is_text(ret_request->own_home, sizeof(ret_request->own_home)) &&
               is_text(ret_request->other_home, sizeof(ret_request->other_home)) &&
               ret_request->forbidden < _PROBES;
}

/* A filter that does not even let itself be asked about is one, too. */
bool probe_is_filtered(void) {
        return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_DISABLED;
}

void probe_run(const ProbeRequest *request, ProbeAnswer *ret_answer) {
        bool filtered = probe_is_filtered();

        for (int i = 0; i < _PROBES; i++) {
                bool would_end = filtered && i >= (int) PROBE_FIRST_FORBIDDEN;
                bool is_wanted = probe_is_in(&request->attempts, (Probe) i);

                ret_answer->outcomes[i] =
                        is_wanted && !would_end ? attempts[i](request) : PROBE_SKIPPED;
        }
}

/* The filter ends the process before the kernel looks whom the call is meant for, so anybody will
 * do where there is nobody to be named: a server that is pid 1, as in a container. */
void probe_forbidden(const ProbeRequest *request) {
        ProbeRequest with_target = *request;

        if (with_target.server_pid == 0)
                with_target.server_pid = 1;
        (void) attempts[request->forbidden](&with_target);
}
