"""What clients do with sessions of the three compatible services, each step held against the model of the session.

There is no telling from these services that a session has gone and been made again. So each has a file that tells which one
it is: its name has a number that is never used twice.
"""

import json

from harness.services import CodeInterpreter, JupyterSessions, UserContainer
from native_sessions import send_and_leave
from remembered import EXIT, FILLERS, PROBE, SEGFAULT, SLEEP, Gone, Model, install_into, said_by_probe


# ── The code interpreter ──


class Interpreter:
    def __init__(self, client, number):
        self.client, self.id = client, f"same-{client.number}-{number}"
        self.service = CodeInterpreter(client.server.url, self.id)
        self.model = None

    def begin(self):
        """By an upload, as the service's clients do."""
        self.model = Model(self.client.account)
        self.upload(self.client.fresh_id())

    def upload(self, name, content=b"1"):
        status, answer = self.service.upload(name, content)
        assert status == 200, answer
        self.model.files[name] = content

    def replaced(self, files):
        """It had gone before this step, whose files are these: the rest is not there."""
        self.client.account.add("gone")
        # Their names are taken from now on: the next one that is made anew has other files than this one.
        serial, self.model = self.model.serial, Model(self.client.account)
        self.model.serial = serial
        self.model.files = dict(files)
        self.owes_notice = False

    def execute(self, code, may_be_new=False, **fields):
        """may_be_new: the step may have made it anew; then it has not lost anything that there was to be told of, and replaced()
        is called."""
        status, answer = self.service.execute(code, **fields)
        if status == 404:
            raise Gone(self.id)
        assert status == 200, (status, answer)
        is_told, was_lost = bool(answer.get("notice")), self.model.begins()
        self.owes_notice = may_be_new and was_lost and not is_told
        assert is_told == was_lost or self.owes_notice, answer
        return answer

    def probe(self, code="", variables=None, made=None):
        """made: files of the step that may have made it anew."""
        answer = self.execute(f"{code}\n{PROBE}", may_be_new=made is not None)
        assert answer["status"] == "success" and not answer["errors"], answer
        said = said_by_probe(answer["output"])
        if made is not None and set(said[1]) == set(made) != set(self.model.files):
            self.replaced(made)
        assert not self.owes_notice, answer
        self.model.variables.update(variables or {})
        self.model.expect(said)


def interpreter_runs(session, random):
    number = session.model.variables.get("kept_count", 0)
    session.probe("kept_count = globals().get('kept_count', 0) + 1", {"kept_count": number + 1})


def interpreter_writes(session, random):
    path, content = session.model.fresh("file"), session.model.content(random)
    session.model.files[path] = content
    session.probe(f"with open('/tmp/{session.id}/{path}', 'wb') as f: f.write({content!r})")


def interpreter_uploads(session, random):
    path, content = session.model.fresh("upload"), session.model.content(random)
    session.upload(path, content)
    session.probe(made={path: content})


def interpreter_downloads(session, random):
    for path, content in sorted(session.model.files.items())[:3]:
        status, answer = session.service.download(path)
        if status == 404 and b"Session" in json.dumps(answer).encode():
            raise Gone(session.id)
        assert status == 200 and (answer == content if isinstance(answer, bytes) else answer == json.loads(content)), path


def interpreter_installs(session, random):
    wanted = [random.choice(["cup", "cup==1.0", "tea", *FILLERS])]
    status, answer = session.service.install(*wanted)
    assert status == 200 and wanted[0] in answer["installed_packages"], answer
    said = said_by_probe(session.execute(PROBE, may_be_new=True)["output"])
    if not said[1]:
        session.replaced({})
        session.upload(session.client.fresh_id())
    assert not session.owes_notice, said
    install_into(session.model, wanted)
    session.probe()


def interpreter_raises(session, random):
    answer = session.execute("kept_e = 1\n1 / 0")
    assert answer["status"] == "success" and answer["errors"].endswith("ZeroDivisionError: division by zero\n"), answer
    session.model.variables["kept_e"] = 1


def interpreter_dies(session, random):
    code, status = random.choice([(EXIT, "success"), (SEGFAULT, "error")])
    answer = session.execute(code)
    assert answer["status"] == status, answer
    session.model.lose()


def interpreter_hangs_up(session, random):
    if not session.model.lost:
        send_and_leave(session.client.server, "/execute", {"session_id": session.id, "code": SLEEP})
        session.probe()


def interpreter_ends(session, random):
    status, answer = session.service.terminate()
    if status == 404:
        raise Gone(session.id)
    assert status == 200, answer
    assert session.service.execute("1")[0] == 404
    session.client.account.add("ended")
    session.model = None


# ── The per-user container ──

# Which one it is is told by the file that its first run has made.
FIRST = """
import os
if not [name for name in os.listdir() if name.startswith("born-")]: open({!r}, "w").close()
result = sorted(os.listdir()) if "kept_c" not in globals() else "not forgotten"
kept_c = 1
"""


class Container:
    def __init__(self, client, number):
        self.client, self.id = client, f"same-{client.number}-{number}"
        self.service = UserContainer(client.server.url, self.id)
        self.model = None

    def begin(self):
        self.model = Model(self.client.account, forgets=True)
        self.run("", first=True)

    def run(self, code, files=None, is_ok=True, first=False):
        """files: what code writes."""
        files, born = files or {}, f"born-{self.client.fresh_id()}"
        status, answer = self.service.run(FIRST.format(born) + code)
        assert status == 200 and ("error" not in answer) == is_ok, (status, answer)
        listed = {line.split()[-1]: int(line.split()[4]) for line in answer["workspace_files"] if line.startswith("-")}
        if not first and not self.model.files.keys() <= listed.keys():
            self.client.account.add("gone")
            # The run has written its file in the new one, under a name that is taken from now on.
            serial, self.model = self.model.serial, Model(self.client.account, forgets=True)
            self.model.serial = serial
            first = True
        if first:
            left = [name for name in listed if name.startswith("born-")]
            assert len(left) == 1, listed
            self.model.files = {left[0]: b""}
        self.model.files.update(files)
        assert listed == {name: len(content) for name, content in self.model.files.items()}, (listed, self.model.files.keys())
        if is_ok:
            assert set(answer["result"]) == self.model.files.keys() - files.keys(), answer


def container_runs(session, random):
    session.run("")


def container_writes(session, random):
    path, content = session.model.fresh("file"), session.model.content(random)
    session.run(f"open({path!r}, 'wb').write({content!r})", {path: content})


def container_fails(session, random):
    session.run(random.choice(["1 / 0", EXIT, SEGFAULT]), is_ok=False)


def container_hangs_up(session, random):
    send_and_leave(session.client.server, "/run", {"user_id": session.id, "code": FIRST.format(f"born-{session.client.fresh_id()}") + SLEEP})
    session.run("")


# ── The Jupyter-like sessions ──


class Kernel:
    def __init__(self, client, number):
        self.client, self.id = client, f"same-{client.number}-{number}"
        self.service = JupyterSessions(client.server.url, self.id)
        self.model = None

    def begin(self):
        self.model = Model(self.client.account)
        assert self.service.start_session()[0] == 200
        self.mark()

    def mark(self):
        name = self.client.fresh_id()
        self.model.files[name] = b""
        self.probe(f"open({name!r}, 'w').close()")

    def there(self, told, wanted=200):
        status, answer = told
        if status == 404:
            raise Gone(self.id)
        assert status == wanted, told
        return answer

    def execute(self, code, wanted=200):
        answer = self.there(self.service.execute(code), wanted)
        notice = answer.get("notice") if wanted == 200 else answer["detail"].get("notice")
        assert bool(notice) == self.model.begins(), answer
        return answer

    def probe(self, code="", variables=None):
        said = said_by_probe(self.execute(f"{code}\n{PROBE}")["output"])
        self.model.variables.update(variables or {})
        self.model.expect(said)


def kernel_runs(session, random):
    number = session.model.variables.get("kept_count", 0)
    session.probe("kept_count = globals().get('kept_count', 0) + 1", {"kept_count": number + 1})


def kernel_writes(session, random):
    path, content = session.model.fresh("file"), session.model.content(random)
    session.model.files[path] = content
    session.probe(f"with open({path!r}, 'wb') as f: f.write({content!r})")


def kernel_installs(session, random):
    wanted = random.choice(["cup", "tea", *FILLERS])
    answer = session.there(session.service.install_package(wanted))
    assert answer["message"] == f"Successfully installed and imported {wanted}", answer
    session.model.begins()  # the import is a run, too
    install_into(session.model, [wanted])
    session.probe()


def kernel_raises(session, random):
    answer = session.execute("kept_e = 1\n1 / 0", 400)
    assert answer["detail"]["traceback"][-1] == "ZeroDivisionError: division by zero", answer
    session.model.variables["kept_e"] = 1


def kernel_dies(session, random):
    session.execute(random.choice([EXIT, SEGFAULT]), 400)
    session.model.lose()


def kernel_hangs_up(session, random):
    if not session.model.lost:
        send_and_leave(session.client.server, "/execute", {"user_id": session.id, "code": SLEEP})
        session.probe()


def kernel_is_reset(session, random):
    session.there(session.service.reset())
    session.model.new_interpreter()
    session.probe()


def kernel_is_started_again(session, random):
    """A new kernel with the old files; or all is new, since the session has gone."""
    assert session.service.start_session()[0] == 200
    session.model.new_interpreter()
    said = said_by_probe(session.execute(PROBE)["output"])
    if not said[1]:
        session.client.account.add("gone")
        session.model = Model(session.client.account)
        session.mark()
    session.model.expect(said) if said[1] else session.probe()


def kernel_ends(session, random):
    session.there(session.service.end_session())
    assert session.service.execute("1")[0] == 404
    session.client.account.add("ended")
    session.model = None


STEPS = {
    Interpreter: {interpreter_runs: 30, interpreter_writes: 12, interpreter_uploads: 12, interpreter_downloads: 12,
                  interpreter_installs: 3, interpreter_raises: 8, interpreter_dies: 8, interpreter_hangs_up: 6, interpreter_ends: 6},
    Container: {container_runs: 20, container_writes: 15, container_fails: 10, container_hangs_up: 5},
    Kernel: {kernel_runs: 30, kernel_writes: 15, kernel_installs: 3, kernel_raises: 8, kernel_dies: 8, kernel_hangs_up: 6,
             kernel_is_reset: 6, kernel_is_started_again: 5, kernel_ends: 6},
}
