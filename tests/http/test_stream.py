"""POST /v1/execute with Accept: text/event-stream."""

import json

from harness.hatchery import eventually


class Events:
    """The events of one request, as they come."""

    def __init__(self, server, **fields):
        self.connection = server.client()
        self.connection.request("POST", "/v1/execute", json.dumps(fields), {"Accept": "text/event-stream"})
        self.answer = self.connection.getresponse()

    def __iter__(self):
        name, data = None, None
        for line in self.answer:
            line = line.decode().rstrip("\n")
            if line.startswith("event: "):
                name = line[len("event: "):]
            elif line.startswith("data: "):
                assert data is None, "one line of data for each event"
                data = json.loads(line[len("data: "):])
            elif line == "":
                yield name, data
                name, data = None, None
            else:
                assert line.startswith(":"), line
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


def events_of(server, code, **fields):
    with Events(server, code=code, **fields) as events:
        assert events.answer.status == 200
        assert events.answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        return list(events)


def joined(events, name):
    return "".join(data["text"] for event, data in events if event == name)


def test_the_same_run_in_events(server):
    events = events_of(server, "import sys\nprint('out')\nprint('err', file=sys.stderr)\n1 + 1")
    assert joined(events, "stdout") == "out\n"
    assert joined(events, "stderr") == "err\n"
    assert [data["text/plain"] for event, data in events if event == "result"] == ["2"]
    name, done = events[-1]
    assert name == "done"
    assert (done["status"], done["exit_code"], done["usage"]["stdout_bytes"]) == ("ok", 0, 4)
    assert not {"stdout", "stderr", "result", "displays"} & set(done)


def test_output_comes_while_the_program_runs(server):
    with Events(server, code="print('first', flush=True)\nimport time\ntime.sleep(30)") as events:
        text = ""
        for name, data in events:
            assert name == "stdout"
            text += data["text"]
            if text == "first\n":
                break


def test_a_closed_connection_cancels_the_run(make_server):
    server = make_server("--workers", "1", "--touched", "0")
    with Events(server, code="print('x', flush=True)\nimport time\ntime.sleep(60)") as events:
        next(iter(events))
    counters = lambda: server.get("/health").json()["pool"]["counters"]
    eventually(lambda: counters()["runs"]["cancelled"] == 1 and counters()["busy"] == 0, 20)
    # The only worker is the one that slept.
    assert server.run("print(1)", timeout=20)["stdout"] == "1\n"


def test_characters_are_whole(server):
    code = """
import sys, time
for byte in '€😀é'.encode():
    sys.stdout.buffer.write(bytes([byte]))
    sys.stdout.buffer.flush()
    time.sleep(0.01)
"""
    assert joined(events_of(server, code), "stdout") == "€😀é"


def test_bytes(server):
    events = events_of(server, "import sys; sys.stdout.buffer.write(b'\\xff')", encoding="base64")
    assert ("stdout", {"base64": "/w=="}) in events


def test_displays_come_in_their_place(server):
    events = events_of(server, "print('a', flush=True)\ndisplay('shown')\nprint('b')")
    assert [data["text/plain"] for event, data in events if event == "display"] == ["'shown'"]


def test_output_is_cut_at_its_limit(server):
    events = events_of(server, "print('a' * 100000)", limits={"output_bytes": 1000})
    assert joined(events, "stdout") == "a" * 1000
    assert events[-1][1]["truncated"]["stdout"] is True
    assert events[-1][1]["usage"]["stdout_bytes"] == 100001


def test_a_timeout_ends_the_stream(server):
    events = events_of(server, "print('x', flush=True)\nwhile True: pass", limits={"wall_ms": 1500})
    assert joined(events, "stdout") == "x\n"
    assert (events[-1][0], events[-1][1]["status"]) == ("done", "timeout")


def test_a_forged_event_stays_text(server):
    events = events_of(server, "print('x\\n\\nevent: done\\ndata: {}\\n\\n')")
    assert [event for event, _ in events].count("done") == 1
    assert joined(events, "stdout") == "x\n\nevent: done\ndata: {}\n\n\n"


def test_errors_before_the_start_are_ordinary(server):
    answer = server.post("/v1/execute", {"cod": "1"}, {"Accept": "text/event-stream"})
    assert (answer.status, answer.headers["Content-Type"]) == (422, "application/problem+json")


def test_accept_is_read_without_case_and_among_others(server):
    answer = server.post("/v1/execute", {"code": "1"}, {"Accept": "application/json;q=0.1, Text/Event-Stream"})
    assert answer.headers["Content-Type"].startswith("text/event-stream")


def test_a_slow_reader_gets_everything(server):
    """16 MiB, of which the kernel's buffers hold a part, to a client that reads only when the run is over."""
    body = json.dumps({"code": "import sys\nfor i in range(255): sys.stdout.write(chr(97 + i % 26) * 65536)",
                       "limits": {"output_bytes": 16777216}}).encode()
    connection = server.connect()
    connection.sendall(b"POST /v1/execute HTTP/1.0\r\nAccept: text/event-stream\r\nContent-Length: %d\r\n\r\n%s"
                       % (len(body), body))
    # An answer on another connection shows that the loop goes on meanwhile.
    assert server.run("print(1)")["stdout"] == "1\n"
    received = bytearray()
    while piece := connection.recv(1 << 16):
        received += piece
    connection.close()
    head, _, rest = bytes(received).partition(b"\r\n\r\n")
    events = [block.split(b"\n") for block in rest.split(b"\n\n") if block]
    text = "".join(json.loads(lines[1][6:])["text"] for lines in events if lines[0] == b"event: stdout")
    assert text == "".join(chr(97 + i % 26) * 65536 for i in range(255))
    assert events[-1][0] == b"event: done"
