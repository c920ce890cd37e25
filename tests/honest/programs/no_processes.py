import multiprocessing
import os
import subprocess

for attempt in (lambda: subprocess.run(["true"]), lambda: multiprocessing.Process(target=print).start(), os.fork):
    try:
        attempt()
        assert False, "started"
    except PermissionError as error:
        assert error.errno == 1
