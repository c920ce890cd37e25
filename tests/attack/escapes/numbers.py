"""System calls by number, of the two machines that Debian's Python runs on most."""

X86_64 = """
mlock 149 personality 135 setpriority 141 sched_setscheduler 144 sched_setaffinity 203 prctl 157 ioctl 16 fcntl 72 socket 41
socketpair 53 ptrace 101 process_vm_readv 310 pidfd_open 434 pidfd_getfd 438 pidfd_send_signal 424 rt_sigqueueinfo 129
rt_tgsigqueueinfo 297 tgkill 234 kill 62 clone 56 clone3 435 unshare 272 setns 308 mount 165 umount2 166 pivot_root 155
chroot 161 move_mount 429 open_tree 428 fsopen 430 fsconfig 431 fsmount 432 fspick 433 mount_setattr 442 open_tree_attr 467
keyctl 250 add_key 248 request_key 249 bpf 321 perf_event_open 298 userfaultfd 323 io_uring_setup 425 io_uring_enter 426
io_uring_register 427 memfd_create 319 memfd_secret 447 shmget 29 msgget 68 semget 64 mq_open 240 sethostname 170
setdomainname 171 adjtimex 159 clock_adjtime 305 reboot 169 init_module 175 finit_module 313 delete_module 176 swapon 167
swapoff 168 acct 163 kexec_load 246 kexec_file_load 320 syslog 103 iopl 172 ioperm 173 modify_ldt 154 kcmp 312
inotify_init1 294 fanotify_init 300 name_to_handle_at 303 open_by_handle_at 304 capset 126 prlimit64 302 timer_create 222
process_madvise 440 move_pages 279 migrate_pages 256 splice 275 tee 276 vmsplice 278 landlock_create_ruleset 444 seccomp 317
quotactl 179 setuid 105 setresuid 117 process_vm_writev 311 lookup_dcookie 212 mbind 237 set_mempolicy 238 ioprio_set 251
get_robust_list 274 mincore 27
"""

AARCH64 = """
mlock 228 personality 92 setpriority 140 sched_setscheduler 119 sched_setaffinity 122 prctl 167 ioctl 29 fcntl 25 socket 198
socketpair 199 ptrace 117 process_vm_readv 270 pidfd_open 434 pidfd_getfd 438 pidfd_send_signal 424 rt_sigqueueinfo 138
rt_tgsigqueueinfo 240 tgkill 131 kill 129 clone 220 clone3 435 unshare 97 setns 268 mount 40 umount2 39 pivot_root 41
chroot 51 move_mount 429 open_tree 428 fsopen 430 fsconfig 431 fsmount 432 fspick 433 mount_setattr 442 open_tree_attr 467
keyctl 219 add_key 217 request_key 218 bpf 280 perf_event_open 241 userfaultfd 282 io_uring_setup 425 io_uring_enter 426
io_uring_register 427 memfd_create 279 memfd_secret 447 shmget 194 msgget 186 semget 190 mq_open 180 sethostname 161
setdomainname 162 adjtimex 171 clock_adjtime 266 reboot 142 init_module 105 finit_module 273 delete_module 106 swapon 224
swapoff 225 acct 89 kexec_load 104 kexec_file_load 294 syslog 116 kcmp 272 inotify_init1 26 fanotify_init 262
name_to_handle_at 264 open_by_handle_at 265 capset 91 prlimit64 261 timer_create 107 process_madvise 440 move_pages 239
migrate_pages 238 splice 76 tee 77 vmsplice 75 landlock_create_ruleset 444 seccomp 277 quotactl 60 setuid 146 setresuid 147
process_vm_writev 271 lookup_dcookie 18 mbind 235 set_mempolicy 237 ioprio_set 30 get_robust_list 100
mincore 232
"""


def _table(text):
    words = text.split()
    return {name: int(number) for name, number in zip(words[::2], words[1::2])}


NUMBERS = {"x86_64": _table(X86_64), "aarch64": _table(AARCH64)}
