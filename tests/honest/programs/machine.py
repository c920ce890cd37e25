import getpass, gc, os, platform, resource, shutil, socket, sys, sysconfig, time

assert "Linux" in platform.platform() and platform.node() is not None and platform.python_version()
assert os.cpu_count() >= 1 and len(os.sched_getaffinity(0)) >= 1
try:
    assert len(os.getloadavg()) == 3
except OSError:  # glibc 2.36 reads it in /proc, which need not be there
    pass
assert shutil.disk_usage(".").total > 0 and os.statvfs(".").f_bsize > 0
try:
    getpass.getuser()
except KeyError:  # a user id of its own has no name, and LOGNAME may not be set
    pass
assert isinstance(socket.gethostname(), str)
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0 and resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0
assert os.getpid() > 0 and os.getppid() >= 0 and os.getuid() >= 0 and isinstance(os.getgroups(), list)
assert os.path.expanduser("~") and os.getcwd() == os.path.realpath(os.environ["HOME"])
assert time.get_clock_info("monotonic").monotonic and time.process_time() >= 0 and time.thread_time() >= 0
assert os.isatty(1) is False and shutil.get_terminal_size().columns > 0 and os.get_terminal_size is not None
assert sysconfig.get_paths()["stdlib"] and sys.getsizeof([]) > 0 and gc.collect() >= 0 and shutil.which("ls") is not False
time.tzset()
os.getrandom(8), os.urandom(8), os.times(), os.umask(0o077), os.uname()
