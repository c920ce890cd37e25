import asyncio, queue, socket, threading, time
from concurrent.futures import ThreadPoolExecutor

box, lock, event = queue.Queue(), threading.Lock(), threading.Event()


def work(n):
    with lock:
        box.put(n * n)
    event.wait(10)


threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads:
    thread.start()
event.set()
for thread in threads:
    thread.join()
assert sum(box.get() for _ in threads) == 140
with ThreadPoolExecutor(4) as pool:
    assert list(pool.map(pow, range(5), [2] * 5)) == [0, 1, 4, 9, 16]
barrier = threading.Barrier(2, timeout=10)
timer = threading.Timer(0.01, barrier.wait)
timer.start()
barrier.wait()
one, other = socket.socketpair()
one.sendall(b"hello")
assert other.recv(5) == b"hello"


async def main():
    async with asyncio.timeout(10):
        results = await asyncio.gather(*(asyncio.sleep(0.001, n) for n in range(5)), asyncio.to_thread(time.sleep, 0.001))
    asyncio.get_running_loop().call_soon_threadsafe(print, "called")
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.001, stop.set)
    await stop.wait()
    return results

assert asyncio.run(main()) == [0, 1, 2, 3, 4, None]
