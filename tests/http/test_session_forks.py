"""Copies of live sessions: what they have, what they share, and where none can be made."""

import pytest

from harness.hatchery import eventually
from harness.sessions import Session, begun, made, make
from http_wire import complaint


def test_a_copy_has_everything_and_shares_nothing(server):
    with made(server) as source:
        source.ok("x = [1]\nimport collections\nopen('a', 'w').write('of the source');")
        copy, answer = source.fork()
        try:
            assert answer["forked_from"] == source.id
            assert answer["not_copied"] == {"threads": 0, "sockets": 0, "open_files": 0}
            copy.ok("x.append(2)\nopen('b', 'w').write('of the copy');")
            source.ok("x.append(3)\nopen('a', 'w').write('changed');")
            look = "import os; print(x, sorted(os.listdir()), open('a').read(), collections.__name__)"
            assert copy.ok(look) == "[1, 2] ['a', 'b'] of the source collections\n"
            assert source.ok(look) == "[1, 3] ['a'] changed collections\n"
        finally:
            copy.end()


def test_copies_of_copies_outlive_their_source(server):
    source = make(server)
    source.ok("x = 'seen'")
    copy, _ = source.fork(id="copy of it")
    source.end()
    assert copy.value("x") == "'seen'"
    second, answer = copy.fork()
    assert answer["forked_from"] == "copy of it"
    copy.end()
    assert second.ok("print(x); open('a', 'w').write('b');") == "seen\n"
    second.end()


def test_the_last_generation_of_copies(server):
    with made(server) as source:
        source.run("x = 'from the first'")
        copies = [source]
        try:
            for generation in range(1, 16):
                copies.append(copies[-1].fork()[0])
            assert copies[-1].ok("print(x)") == "from the first\n"
            answer = copies[-1].post("fork", {})
            assert answer.status == 409 and "15th generation" in answer.json()["detail"], answer
            assert copies[-1].ok("print(x)") == "from the first\n"
        finally:
            for copy in copies[1:]:
                copy.end()


def test_a_copy_has_random_numbers_of_its_own(server):
    with made(server) as source:
        source.ok("import random, os, uuid\nimport numpy as np\nrandom.random()\nnp.random.rand();")
        copies = [source.fork()[0] for _ in range(2)]
        look = "print(random.random(), np.random.rand(), uuid.uuid4(), os.urandom(8))"
        seen = [session.ok(look).split() for session in (source, *copies)]
        for numbers in zip(*seen):
            assert len(set(numbers)) == len(seen), seen
        for copy in copies:
            copy.end()


def test_what_cannot_be_copied(server):
    with made(server) as session:
        with made(server, id="taken"):
            complaint(session.post("fork", {"id": "taken"}), 409, "id")
        complaint(session.post("fork", {"id": "a/b"}), 422, "id")
        complaint(session.post("fork", {"name": "a"}), 422, "name")
        run = begun(session, "import time\ntime.sleep(60)")
        assert "busy" in complaint(session.post("fork"), 409)
        session.interrupt()
        run.ended()
        session.run("import os; os._exit(3)")
        assert "no interpreter" in complaint(session.post("fork"), 409)


def test_a_copy_that_nobody_waits_for(server):
    """One that was answered before its client had gone is somebody's: then the next one has more to copy."""
    for files in (2000, 10000, 40000):
        with made(server) as source:
            source.ok(f"for i in range({files}): open(str(i), 'w').close()")
            client = server.client()
            client.request("POST", source.path + "/fork", '{"id": "of nobody"}')
            copy = Session(server, "of nobody")
            eventually(copy.is_there, 20, "the copy is begun")
            client.close()
            was_under_way = source.inspect()["state"] == "forking"
            source.await_state("idle")
            if was_under_way:
                eventually(lambda: not copy.is_there(), 20, "the copy is ended")
                return
            copy.end()
    pytest.fail("no copy takes long enough to hang up meanwhile")


def test_threads_and_files_that_a_copy_lacks(server):
    with made(server) as source:
        source.ok("import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
                  "f = open('log', 'w')")
        copy, answer = source.fork()
        assert answer["not_copied"] == {"threads": 1, "sockets": 0, "open_files": 1}
        assert copy.value("threading.active_count()") == "1"
        copy.end()
