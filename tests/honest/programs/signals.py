import os, signal, time

seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
os.kill(os.getpid(), signal.SIGUSR1)
signal.raise_signal(signal.SIGUSR1)
signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
signal.setitimer(signal.ITIMER_REAL, 0.01)
deadline = time.monotonic() + 10
while len(seen) < 3 and time.monotonic() < deadline:
    time.sleep(0.005)
assert seen == [signal.SIGUSR1, signal.SIGUSR1, signal.SIGALRM]
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
signal.pthread_kill(__import__("threading").get_ident(), signal.SIGUSR2)
assert signal.sigtimedwait([signal.SIGUSR2], 10).si_signo == signal.SIGUSR2
