"""A client in a process of its own, that one who measures can start and stop: neighbour.py HOST PORT PERIOD_MS

Reads lines from standard input: a request, as JSON, which it sends again and again, one run after the other and one begun
in each period, until the line "stop"; then it prints how often each status was the answer, as JSON. It ends with its input.
"""

import http.client
import json
import sys
import threading
import time
from collections import Counter


def send(host, port, body, period, over, counts):
    connection = http.client.HTTPConnection(host, port, timeout=60)
    due = time.monotonic()
    while not over.wait(max(0, due - time.monotonic())):
        due = max(due + period, time.monotonic())
        connection.request("POST", "/v1/execute", body)
        answer = connection.getresponse()
        run = json.loads(answer.read())
        counts[run["status"] if answer.status == 200 else str(answer.status)] += 1
    connection.close()


def main():
    host, port, period = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) / 1000
    for line in sys.stdin:
        over, counts = threading.Event(), Counter()
        sender = threading.Thread(target=send, args=(host, port, line.strip(), period, over, counts))
        sender.start()
        sys.stdin.readline()
        over.set()
        sender.join()
        print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main()
