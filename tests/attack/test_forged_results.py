"""Programs that speak for the harness: they may say what their author may choose anyway, and nothing else. A broken channel
is `crashed`, whatever was said on it."""

import json

import pytest

from channel import PRELUDE
from hostile import attack, post, short

BROKEN = {
    "two ends": "send(END + END)",
    "a byte behind the end": "send(END + b'x')",
    "a frame behind the end": "send(END + frame(VALUE, b'{}'))",
    "half a frame behind the end": "send(END + frame(VALUE, b'{}')[:7])",
    "ready behind the end": "send(END + frame(READY))",
    "ready": "send(frame(READY))",
    "touched": "send(frame(TOUCHED))",
    "failed": "send(frame(FAILED, b'no'))",
    "kind 0": "send(frame(0))",
    "a kind that is none": "send(frame(RESULT_END + 1))",
    "the largest kind": "send(frame(2**32 - 1))",
    "another magic": "send(frame(VALUE, b'{}', magic=0))",
    "the largest size": "send(frame(VALUE, b'{}', size=2**64 - 1))",
    "a size that is a sign": "send(frame(VALUE, b'{}', size=2**63))",
    "a size above the cap": "send(frame(VALUE, b'{}', size=1 << 40))",
    "no frame": "send(b'hello' * 4)",
    "zeros": "send(bytes(1000))",
    "text": "send(b'HTTP/1.1 200 OK\\r\\n\\r\\n')",
    "an end that is short": "send(frame(RESULT_END, b'1234'))",
    "an end that is long": "send(frame(RESULT_END, bytes(64)))",
    "an end that is empty": "send(frame(RESULT_END))",
    "outcome 0": "send(end(0))",
    "an outcome that is none": "send(end(99))",
    "the largest outcome": "send(end(2**32 - 1))",
    "two values": "send(frame(VALUE, b'{}') + frame(VALUE, b'{}'))",
    "a line that is no number": "send(frame(ERROR_LINE, b'x'))",
}


@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_channel_is_a_crash(server, code):
    run = attack(server, PRELUDE + "print('before')\n" + code + "\nimport time; time.sleep(60)", "crashed")
    assert (run["stdout"], run["result"], run["exit_code"]) == ("before\n", None, None)
    assert "channel" in run["error"]["message"]


UNPROVEN = {
    "no JSON": b"{",
    "NaN": b'{"a": NaN}',
    "an array": b"[]",
    "a number": b"1",
    "invalid UTF-8": b'{"a": "\xff"}',
    "two documents": b"{} {}",
    "a raw line break in a string": b'{"a": "\n"}',
    "deep": b'{"a":' * 100000,
}


@pytest.mark.parametrize("kind", ["VALUE", "DISPLAY", "VARIABLES"])
@pytest.mark.parametrize("body", UNPROVEN.values(), ids=UNPROVEN.keys())
def test_a_document_that_is_no_json_is_not_passed_on(server, kind, body):
    run = attack(server, PRELUDE + f"send(frame({kind}, {body!r}) + END)\nimport time; time.sleep(60)", {"crashed", "ok"},
                 variables=True)
    assert not run["result"] and not run["displays"] and not run["variables"], short(run)


def test_half_a_frame_and_then_nothing(server):
    run = attack(server, PRELUDE + "send(frame(VALUE, b'{\"a\": 1}')[:20])\nimport time; time.sleep(60)", "timeout",
                 limits={"wall_ms": 400})
    assert run["result"] is None


def test_half_a_frame_and_then_an_exit(server):
    run = attack(server, PRELUDE + "send(frame(VALUE, b'{\"a\": 1}')[:20])\nos._exit(0)", {"exit", "crashed"})
    assert run["result"] is None


def test_half_an_end_and_then_a_kill(server):
    run = attack(server, PRELUDE + "send(END[:-1])\nos.kill(os.getpid(), 9)", "crashed")
    assert run["signal"] == 9


def test_half_a_frame_and_then_the_harness_goes_on(server):
    """What the harness itself sends lands in the middle of the forged frame."""
    attack(server, PRELUDE + "send(frame(VALUE, bytes(100), size=1000)[:50])", {"crashed", "timeout"}, limits={"wall_ms": 400})


def test_a_perfect_end_ends_the_run(server):
    """It is the program's own word that it has completed; what it does then nobody waits for, and it is killed."""
    run = attack(server, PRELUDE + "print('x')\nsend(END)\nwhile True: pass", "ok")
    assert run["stdout"] == "x\n"
    attack(server, PRELUDE + "for byte in END: os.write(RESULT, bytes([byte]))\nwhile True: pass", "ok")


def test_a_perfect_end_does_not_undo_a_limit(server):
    run = attack(server, PRELUDE + "import time\nt = time.process_time()\nwhile time.process_time() < t + 0.4: pass\nsend(END)\n"
                 "while True: pass", "cpu_limit", limits={"cpu_ms": 300})
    assert run["usage"]["cpu_ms"] >= 300


def test_an_exit_code_stays_one(server):
    assert attack(server, PRELUDE + "send(end(EXITED, -1))\nwhile True: pass", "exit")["exit_code"] == 255
    assert attack(server, PRELUDE + "send(end(EXITED, 2**31 - 1))\nwhile True: pass", "exit")["exit_code"] in range(256)
    assert attack(server, PRELUDE + "send(end(COMPLETED, 77))\nwhile True: pass", "ok")["exit_code"] == 0


def test_the_end_of_another_run_cannot_be_told(server):
    """A thread that goes on sending ends while the worker waits to be killed: the slot's next runs are their own."""
    code = PRELUDE + """
import threading
def flood():
    while True:
        try: os.write(RESULT, end(EXITED, 66))
        except OSError: pass
for _ in range(3): threading.Thread(target=flood, daemon=True).start()
"""
    for number in range(12):
        attack(server, code, {"ok", "exit", "crashed"})
        assert post(server, f"print({number})")["stdout"] == f"{number}\n"


def test_forged_text_is_made_text(server):
    run = attack(server, PRELUDE + """
send(frame(ERROR_TYPE, b"\\xff\\x00") + frame(ERROR_MESSAGE, b'"},{"status":"ok"') + frame(ERROR_TRACEBACK, b"\\xe2\\x82")
     + frame(ERROR_LINE, struct.pack("<I", 2**32 - 1)) + end(RAISED, 1))
while True: pass""", {"error", "crashed"})
    if run["status"] == "error":
        assert run["error"]["message"] == '"},{"status":"ok"' and "\ufffd" in run["error"]["traceback"]


PLACES = {
    "beyond all output": "(2**64 - 1, 2**64 - 1)",
    "before all of it": "(0, 0)",
    "in the middle of a character": "(1, 0)",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("headers", [{}, {"Accept": "text/event-stream"}], ids=["at once", "as events"])
def test_a_claimed_place_loses_and_adds_no_output(server, place, headers):
    code = PRELUDE + f"""
os.write(1, "ü€".encode())
for _ in range(3): send(frame(DISPLAY, b'{{"a": 1}}', place={place}))
os.write(2, b"err")
send(frame(SWITCHES, struct.pack("<QQ", *{place}) * 256) + END)
import time; time.sleep(60)"""
    answer = server.post("/v1/execute", {"code": code, "limits": {"wall_ms": 5000}}, headers)
    if not headers:
        run = answer.json()
        assert (run["status"], run["stdout"], run["stderr"], len(run["displays"])) == ("ok", "ü€", "err", 3)
        return
    events = [block.split("\ndata: ") for block in answer.text.split("\n\n") if block.startswith("event: ")]
    texts = {name: "".join(json.loads(data)["text"] for event, data in events if event == f"event: {name}")
             for name in ("stdout", "stderr")}
    assert texts == {"stdout": "ü€", "stderr": "err"} and [event for event, _ in events].count("event: display") == 3


FLOODS = {
    "of displays": "while True: send(frame(DISPLAY, b'{}') * 1000)",
    "of large displays": "d = frame(DISPLAY, b'{\"a\":\"' + b'x' * (1 << 20) + b'\"}')\nwhile True: send(d)",
    "of displays behind endless output": """
import threading
def pour():
    while True: os.write(1, b"x" * 65536)
threading.Thread(target=pour, daemon=True).start()
while True: send(frame(DISPLAY, b"{}", place=(2**64 - 1, 2**64 - 1)))""",
    "of empty frames": "while True: send(frame(DISPLAY) * 1000)",
    "of text": "while True: send(frame(ERROR_MESSAGE, b'x' * 1000) * 100)",
    "of one frame": "send(frame(VALUE, b'x' * 100, size=200 << 20))\nwhile True: send(b'x' * 65536)",
    "of one frame that stays below the cap": "send(frame(VALUE, b'{\"a\":\"', size=8 << 20))\nwhile True: send(b'x' * 65536)",
    "of zeros": "while True: send(bytes(65536))",
}


@pytest.mark.parametrize("code", FLOODS.values(), ids=FLOODS.keys())
def test_flood_of_frames(server, code):
    """The witness beside this sees whether the server goes on answering others; the server's size is looked at after it."""
    run = attack(server, PRELUDE + code, {"crashed", "timeout", "cpu_limit", "output_limit"}, limits={"wall_ms": 1000})
    assert len(run["displays"]) <= 64


RUDE = {
    "writes to every descriptor": """
for fd in range(1024):
    try: os.write(fd, b"\\x00garbage" * 10)
    except OSError: pass
""",
    "closes every descriptor": "os.closerange(0, 1024)\n1 + 1",
    "closes the result": "os.close(RESULT)\n1 + 1",
    "closes the request": "os.close(REQUEST)\n1 + 1",
    "closes the request and goes on": "os.close(REQUEST)\nprint(1)\nimport time; time.sleep(.3)",
    "puts the result in place of its output": "os.dup2(RESULT, 1)\nprint('x' * 100)",
    "puts its output in place of the result": "os.dup2(1, RESULT)\n1 + 1",
    "puts a file in place of the result": "os.dup2(os.open('f', os.O_CREAT | os.O_RDWR), RESULT)\n1 + 1",
    "makes the result not block": "os.set_blocking(RESULT, False)\n'x' * 10**6",
    "writes to the request": "os.write(REQUEST, b'x' * 10)",
    "reads the result": "os.read(RESULT, 10)",
    "sends a descriptor": "import socket\nsocket.socket(fileno=os.dup(RESULT)).sendmsg([b'x'], [(1, 1, b'\\1\\0\\0\\0')])",
    "opens the result to read": "os.open(f'/proc/self/fd/{RESULT}', os.O_RDONLY)",
    "makes the pipe larger": "import fcntl\nfcntl.fcntl(RESULT, 1031, 1 << 20)\nfcntl.fcntl(1, 1031, 1 << 20)\nprint('x' * 10**6)",
    "makes the pipe small": "import fcntl\nfcntl.fcntl(RESULT, 1031, 4096)\nfcntl.fcntl(1, 1031, 4096)\nprint('x' * 10**6)",
    "waits for a request": "os.read(REQUEST, 100)",
    "reads a request in the background": "import threading\nthreading.Thread(target=os.read, args=(REQUEST, 100)).start()\n1 + 1",
}


@pytest.mark.parametrize("code", RUDE.values(), ids=RUDE.keys())
def test_rude_to_descriptors(server, code):
    run = attack(server, PRELUDE + code, {"ok", "error", "exit", "crashed", "timeout"}, limits={"wall_ms": 700})
    if code.startswith(("os.close(RESULT)", "os.closerange", "os.dup2(1, RESULT)", "os.dup2(os.open")):
        assert run["status"] != "ok", "a result that was never handed over"


PATCHES = {
    "its modules": """
import sys
for name, module in list(sys.modules.items()):
    if "hatchery" in name:
        for key, value in list(vars(module).items()):
            if callable(value): setattr(module, key, lambda *a, **k: os._exit(0))
""",
    "every function": """
import gc, types
def evil(*a, **k): return b'{"text/plain": "forged"}'
for o in gc.get_objects():
    if isinstance(o, types.FunctionType) and o is not evil:
        try: o.__code__ = evil.__code__
        except Exception: pass
""",
    "its types": """
import ctypes
ctypes.c_long.from_address(id(dict) + 8).value = 0
""",
    "what json is": "import json\njson.dumps = json.encoder = None\nimport builtins\nbuiltins.repr = builtins.str = None",
    "what is exported": """
import ctypes
c = ctypes.CDLL(None)
ctypes.memset(ctypes.cast(c.PyObject_Repr, ctypes.c_void_p).value & ~4095, 0xcc, 4096)
""",
}


@pytest.mark.parametrize("code", PATCHES.values(), ids=PATCHES.keys())
@pytest.mark.parametrize("then", ["1 + 1", "raise ValueError('x')", "raise SystemExit(4)"])
def test_a_patched_harness_fools_only_its_own_run(server, code, then):
    attack(server, PRELUDE + code + "\n" + then, {"ok", "error", "exit", "crashed"}, variables=True)


def test_no_member_of_the_answer_can_be_set(server):
    """Whatever is sent, times, limits, ids and files are the supervisor's."""
    run = attack(server, PRELUDE + """
document = b'{"id": "run_x", "status": "ok", "usage": {"wall_ms": -1}, "files": [{"path": "../../etc/passwd"}], "exit_code": 9}'
send(frame(VALUE, document) + frame(VARIABLES, document) + END)
while True: pass""", {"ok", "crashed"}, variables=True)
    assert run["id"].startswith("run_") and len(run["id"]) == 26
    assert run["usage"]["wall_ms"] >= 0 and run["files"] == [] and run["exit_code"] in (0, None)
