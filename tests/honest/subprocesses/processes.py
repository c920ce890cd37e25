import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

assert subprocess.run(["echo", "hi"], capture_output=True, text=True).stdout == "hi\n"
assert subprocess.check_output("echo a | tr a b; (exit 3); echo $?", shell=True) == b"b\n3\n"
assert subprocess.run([sys.executable or "/usr/bin/python3", "-c", "import json; print(json.dumps([1]))"],
                      capture_output=True, text=True).stdout == "[1]\n"
assert os.waitstatus_to_exitcode(os.system("exit 5")) == 5
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 4"], {})
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4
sleeper = subprocess.Popen(["sleep", "60"], start_new_session=True)
sleeper.terminate()
assert sleeper.wait() == -signal.SIGTERM
try:
    subprocess.run(["sleep", "60"], timeout=0.05)
except subprocess.TimeoutExpired:
    pass
context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    assert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]
with ProcessPoolExecutor(2, mp_context=context) as pool:
    assert list(pool.map(abs, [-4])) == [4]
lock, box = context.Lock(), context.Queue()


def work():
    with lock:
        box.put(os.getpid())


workers = [context.Process(target=work) for _ in range(2)]
for worker in workers:
    worker.start()
assert len({box.get(timeout=10) for _ in workers}) == 2
for worker in workers:
    worker.join()
