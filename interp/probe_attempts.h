#pragma once
/* probe_attempts: one function per attempt, by the file that each is in. They return
 * PROBE_SUCCEEDED, the errno that stopped them, or PROBE_SKIPPED when there is nothing to try them
 * on. */

#include <stdbool.h>

#include "wire/probe.h"

/* Names of what attempts leave behind when they work, until it is removed. */
#define PROBE_NAME "hatchery-probe"

/* Whether there is a system call filter. */
bool probe_is_filtered(void);

/* --- probe_files.c --- */
int probe_file_for_reading(const char *path);
int probe_file_in(const char *folder);
int probe_mode_of(const char *path);
int probe_process_memory(int32_t pid);
int probe_read_shadow(const ProbeRequest *request);
int probe_read_secret(const ProbeRequest *request);
int probe_list_work_folders(const ProbeRequest *request);
int probe_list_processes(const ProbeRequest *request);
int probe_server_environment(const ProbeRequest *request);
int probe_server_memory(const ProbeRequest *request);
int probe_neighbour_memory(const ProbeRequest *request);
int probe_write_root(const ProbeRequest *request);
int probe_write_system(const ProbeRequest *request);
int probe_write_shared_folder(const ProbeRequest *request);
int probe_change_mode_outside(const ProbeRequest *request);
int probe_open_device(const ProbeRequest *request);
int probe_kernel_setting(const ProbeRequest *request);
int probe_inherited_descriptor(const ProbeRequest *request);

/* --- probe_network.c --- */
int probe_send_descriptor(int socket_fd, int fd);
int probe_internet_socket(const ProbeRequest *request);
int probe_connect_server(const ProbeRequest *request);
int probe_connect_abstract(const ProbeRequest *request);
int probe_connect_named(const ProbeRequest *request);
int probe_pass_descriptor(const ProbeRequest *request);

/* --- probe_processes.c --- */
int probe_signal(int32_t pid);
int probe_signal_server(const ProbeRequest *request);
int probe_signal_zygote(const ProbeRequest *request);
int probe_signal_neighbour(const ProbeRequest *request);
int probe_own_pipe_signal(const ProbeRequest *request);
int probe_pidfd_server(const ProbeRequest *request);
int probe_new_process(const ProbeRequest *request);
int probe_new_program(const ProbeRequest *request);
int probe_outlive(const ProbeRequest *request);
int probe_trace_server(const ProbeRequest *request);
int probe_read_server_memory(const ProbeRequest *request);
int probe_take_descriptor(const ProbeRequest *request);

/* Forks by whichever call the kernel lets through. Returns 0 in the child, its pid, or -errno. */
int probe_fork(void);
/* Makes the attempt in a child, which it changes for good; in this process when there can be no
 * child, or when the attempt is to end it. */
int probe_in_child(int (*attempt)(void));

/* --- probe_sessions.c --- */
int probe_read_other_home(const ProbeRequest *request);
int probe_write_other_home(const ProbeRequest *request);
int probe_list_homes(const ProbeRequest *request);
int probe_write_home(const ProbeRequest *request);
int probe_write_packages(const ProbeRequest *request);
int probe_write_beside_workspace(const ProbeRequest *request);
int probe_copy_untold(const ProbeRequest *request);
int probe_copy_otherwise(const ProbeRequest *request);
int probe_own_listener(const ProbeRequest *request);
int probe_receive_descriptor(const ProbeRequest *request);
int probe_control_descriptor(const ProbeRequest *request);
int probe_read_source(const ProbeRequest *request);
int probe_write_source(const ProbeRequest *request);
int probe_write_source_temporary(const ProbeRequest *request);
int probe_change_mode_source(const ProbeRequest *request);
int probe_signal_source(const ProbeRequest *request);
int probe_source_memory(const ProbeRequest *request);
int probe_control_unasked(const ProbeRequest *request);

/* --- probe_limits.c --- */
int probe_thread_quota(const ProbeRequest *request);
int probe_address_quota(const ProbeRequest *request);
int probe_file_quota(const ProbeRequest *request);
int probe_disk_quota(const ProbeRequest *request);
int probe_lock_memory(const ProbeRequest *request);
int probe_raise_limit(const ProbeRequest *request);

/* --- probe_rights.c --- */
int probe_gain_identity(const ProbeRequest *request);
int probe_gain_capability(const ProbeRequest *request);
int probe_become_dumpable(const ProbeRequest *request);
int probe_set_host_name(const ProbeRequest *request);
int probe_learn_host_name(const ProbeRequest *request);
int probe_set_clock(const ProbeRequest *request);
int probe_new_namespace(const ProbeRequest *request);
int probe_mount(const ProbeRequest *request);
int probe_change_root(const ProbeRequest *request);

/* --- probe_kernel.c --- */
int probe_server_segment(const ProbeRequest *request);
int probe_new_segment(const ProbeRequest *request);
int probe_message_queue(const ProbeRequest *request);
int probe_anonymous_file(const ProbeRequest *request);
int probe_watch_files(const ProbeRequest *request);
int probe_io_uring(const ProbeRequest *request);
int probe_kernel_keyring(const ProbeRequest *request);
int probe_bpf(const ProbeRequest *request);
int probe_performance_events(const ProbeRequest *request);
int probe_userfaultfd(const ProbeRequest *request);
