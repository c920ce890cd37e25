"""A client in a process of its own, that one who measures can start and stop: neighbour.py HOST PORT PERIOD_MS

Reads lines from standard input: a request, as JSON, which it sends again and again, one run after the other and one begun
in each period, until the line "stop"; then it prints, as JSON, how often each status was the answer, and of the last such
answer what helps to understand it. It ends with its input.
"""

import http.client
import json
import sys
import threading
import time
from collections import Counter


def send(host, port, body, period, over, counts, last):
    connection = http.client.HTTPConnection(host, port, timeout=60)
    due = time.monotonic()
    while not over.wait(max(0, due - time.monotonic())):
        due = max(due + period, time.monotonic())
        connection.request("POST", "/v1/execute", body)
        answer = connection.getresponse()
        run = json.loads(answer.read())
        status = run["status"] if answer.status == 200 else str(answer.status)
        counts[status] += 1
        last[status] = {name: run.get(name) for name in ("error", "usage", "stderr")}
    connection.close()


def main():
    host, port, period = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) / 1000
    for line in sys.stdin:
        over, counts, last = threading.Event(), Counter(), {}
        sender = threading.Thread(target=send, args=(host, port, line.strip(), period, over, counts, last))
        sender.start()
        sys.stdin.readline()
        over.set()
        sender.join()
        print(json.dumps([counts, last]), flush=True)


if __name__ == "__main__":
    main()
