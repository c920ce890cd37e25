"""Code that more than one suite sends."""

# A process that outlives its parent, its session and every signal that can be held back; % what else it does first.
DAEMON = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if os.fork() == 0:
        %s
        while True:
            time.sleep(0.01)
            try: open("i_survived", "w").close()
            except OSError: pass
    os._exit(0)
os.wait()
print("parent done", flush=True)
"""
