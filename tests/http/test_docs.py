"""The documentation: its examples are run and their answers compared, its tables and names are held against the server.

An example is a ```bash block of one curl command, followed by a ```json, ```http or ```text block with its answer. In a
documented answer "…" inside a string stands for anything, ["…"] for any list, a member "…" for further ones; numbers that differ from run to run are compared by type.
"""

import json
import os
import re
import subprocess
import pytest

from harness.hatchery import ROOT, program

DOCS = ROOT / "docs"
PAGES = ("API.md", "OPERATIONS.md", "THREAT_MODEL.md")
BASE = "http://127.0.0.1:8000"

# Numbers that differ from run to run, by their place in a document; "*" is one member or index.
VOLATILE = [pattern.split(".") for pattern in (
    "usage.wall_ms", "usage.cpu_ms", "usage.peak_memory_kb", "usage.queue_ms", "execution_time",
    "uptime_s", "connections", "requests", "pool.templates.*.*",
    "pool.templates.*.sessions.*", "pool.templates.*.sessions.copies.*", "pool.counters.*", "pool.counters.runs.*",
    # A session's own; "^" is the beginning.
    "^.idle_ms", "^.expires_in_ms", "^.runs", "^.memory_kb", "^.cpu_ms", "^.disk_bytes", "session.run",
    "sessions.alive",
    "session_spares")]


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def examples(name):
    """Yields (line, command, language, answer)."""
    text = page(name)
    for found in re.finditer(r"```bash\n(curl .*?)\n```\n+```(json|http|text)\n(.*?)\n```", text, re.S):
        yield text.count("\n", 0, found.start()) + 1, *found.groups()


# ── Comparing ──


def is_volatile(path):
    """Also below `result` of a batch's line."""
    path = ("^", *path)
    for pattern in VOLATILE:
        tail = path[-len(pattern):]
        if len(tail) == len(pattern) and all(want in ("*", have) for want, have in zip(pattern, tail)):
            return True
    return False


def string_matches(documented, real):
    pattern = ".*".join(map(re.escape, documented.split("…")))
    return re.fullmatch(pattern, real, re.S) is not None


def compare(documented, real, path=()):
    """Raises AssertionError that names the place."""
    where = ".".join(path) or "the answer"
    if isinstance(documented, dict):
        assert isinstance(real, dict), f"{where}: {real!r} is no object"
        if documented.get("…") == "…":  # and others
            documented = {name: value for name, value in documented.items() if name != "…"}
            real = {name: value for name, value in real.items() if name in documented}
        assert set(documented) == set(real), f"{where}: documented {sorted(documented)}, real {sorted(real)}"
        for name, value in documented.items():
            compare(value, real[name], (*path, name))
    elif documented == ["…"]:
        assert isinstance(real, list), f"{where}: {real!r} is no list"
    elif isinstance(documented, list):
        assert isinstance(real, list) and len(real) == len(documented), f"{where}: {documented!r} is not {real!r}"
        for index, value in enumerate(documented):
            compare(value, real[index], (*path, str(index)))
    elif isinstance(documented, str):
        assert isinstance(real, str) and string_matches(documented, real), f"{where}: {documented!r} is not {real!r}"
    elif is_volatile(path) and isinstance(documented, (int, float)) and not isinstance(documented, bool):
        assert isinstance(real, (int, float)) and not isinstance(real, bool), f"{where}: {real!r} is no number"
    else:
        assert type(documented) is type(real) and documented == real, f"{where}: {documented!r} is not {real!r}"


def events_of(text):
    """[(name, document)], with output of one stream that follows itself joined: where events end means nothing."""
    events = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        name, data = fields["event"], json.loads(fields["data"])
        if events and events[-1][0] == name and name in ("stdout", "stderr"):
            events[-1][1]["text"] += data["text"]
        else:
            events.append((name, data))
    return events


def lines_of(text):
    """The lines of a batch, in the order of the request: the one in which they come is not fixed."""
    return sorted(map(json.loads, text.splitlines()), key=lambda line: line["index"])


def compare_text(documented, real):
    if documented.startswith("event:"):
        documented, real = events_of(documented), events_of(real)
        # Displays have a channel of their own.
        streams, shown = [], []
        for events in (documented, real):
            streams.append([event for event in events if event[0] != "display"])
            shown.append([event[1] for event in events if event[0] == "display"])
        assert [name for name, _ in streams[0]] == [name for name, _ in streams[1]]
        compare(shown[0], shown[1])
        for (_, mine), (_, theirs) in zip(*streams):
            compare(mine, theirs)
    elif documented.startswith("{"):
        compare(lines_of(documented), lines_of(real))
    else:
        assert string_matches(documented, real.rstrip("\n")), f"{documented!r} is not {real!r}"


def compare_http(documented, real):
    """Documented headers must be there; there may be others."""
    head, body = documented.split("\n\n", 1)
    real_head, real_body = real.replace("\r\n", "\n").split("\n\n", 1)
    lines, real_lines = head.splitlines(), real_head.splitlines()
    assert lines[0] == real_lines[0]
    headers = dict(line.lower().split(": ", 1) for line in real_lines[1:])
    for line in lines[1:]:
        name, value = line.lower().split(": ", 1)
        assert string_matches(value, headers.get(name, "")), f"{line!r} is not among {real_lines}"
    compare(json.loads(body), json.loads(real_body))


# ── Examples ──


def prepare_session(server, is_there):
    """The session that the examples speak of, with the variable that the first of them has set, and a file."""
    server.request("DELETE", "/v1/sessions/study")
    if is_there:
        assert server.post("/v1/sessions", {"id": "study"}).status == 201
        assert server.post("/v1/sessions/study/execute", {"code": "x = 20"}).json()["status"] == "ok"
        assert server.request("PUT", "/v1/sessions/study/files/data/old.csv", b"1,2\n").status == 201


@pytest.mark.parametrize("line, command, language, answer",
                         [pytest.param(*example, id=f"line{example[0]}") for example in examples("API.md")])
def test_example(server, line, command, language, answer):
    if "/get_data/prices" in command:
        assert server.post("/upload_data/prices", {"AAPL": [1, 2]}).status == 200
    if "/v1/sessions" in command:
        prepare_session(server, is_there="/v1/sessions/study" in command)
    done = subprocess.run(["bash", "-c", command.replace(BASE, server.url)], capture_output=True, timeout=60, check=True)
    real = done.stdout.decode()
    if os.geteuid() != 0:  # the examples are root's
        answer = answer.replace('"separate_uid": true', '"separate_uid": false')
    try:
        if language == "json":
            compare(json.loads(answer), json.loads(real))
        elif language == "http":
            compare_http(answer, real)
        else:
            compare_text(answer, real)
    except AssertionError as difference:
        pytest.fail(f"docs/API.md:{line}: {difference}\nreal answer:\n{real[:4000]}", pytrace=False)


def test_every_curl_block_is_an_example():
    """One whose answer does not follow at once would be skipped in silence."""
    for name in ("API.md",):
        assert page(name).count("```bash\ncurl ") == len(list(examples(name))) > 20


def test_the_first_screen(server):
    """The commands of README.md, one after the other."""
    commands = re.findall(r"^curl .*?(?=  +#|$)", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert len(commands) == 5
    for name in ("study", "what-if"):
        server.request("DELETE", f"/v1/sessions/{name}")
    answers = []
    for command in commands:
        command = command.replace("curl ", "curl -sf ").replace(BASE, server.url)
        answers.append(json.loads(subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=True).stdout))
    once, made, first, second, copy = answers
    assert once["result"]["application/json"] == 4.0
    assert (made["id"], first["status"], second["result"]["text/plain"]) == ("study", "ok", "12")
    assert (copy["id"], copy["forked_from"]) == ("what-if", "study")
    copied = server.post("/v1/sessions/what-if/execute", {"code": "len(sales)"}).json()
    assert copied["result"]["text/plain"] == "3"


# ── Tables and names ──


def routes():
    source = (ROOT / "server" / "route.c").read_text()
    found = re.findall(r'\{"(GET|POST|PUT|DELETE)",\s*"(/[^"]*)"', source)
    assert len(found) > 8
    return found


@pytest.mark.parametrize("method, path", routes())
def test_every_route_is_documented(method, path):
    # "{path*}": with its slashes.
    path = path.replace("*}", "}")
    assert f"{method} {path}" in page("API.md"), f"{method} {path} is not in docs/API.md"


def table_rows(text, heading):
    """Cells of the first table behind a heading, without its own two lines."""
    section = text.split(heading + "\n", 1)[1]
    lines = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("|")]
    rows = []
    for line in lines[2:]:
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_limits_are_the_real_ones(server):
    real = server.get("/v1/capabilities").json()["limits"]
    documented = {}
    for row in table_rows(page("API.md"), "### Limits"):
        if row[0].strip("`") in real:
            name, _, minimum, default, maximum = row[:5]
            documented[name.strip("`")] = {"minimum": int(minimum), "default": int(default), "maximum": int(maximum)}
    assert documented == real


def test_statuses_are_the_real_ones(server):
    real = server.get("/v1/capabilities").json()["statuses"]
    rows = table_rows(page("API.md"), "### Statuses")
    assert [row[0].strip("`") for row in rows[:len(real)]] == real


def test_request_members_are_the_real_ones(server):
    """Each documented member is taken; that none is missing, the table of the source says."""
    source = (ROOT / "server" / "api" / "decode.c").read_text()
    table = re.search(r"request_members\[\] = \{(.*?)\};", source, re.S).group(1)
    real = set(re.findall(r'\{"(\w+)"', table)) - {"id", "on_timeout"}  # a batch has the one, a session the other
    section = page("API.md").split("### Request\n", 1)[1].split("\n###")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.M)) == real


def test_layers_are_the_real_ones(server):
    real = set(server.health()["isolation"]["layers"])
    rows = table_rows(page("THREAT_MODEL.md"), "## The layers")
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert documented == real


def test_options_exist():
    text = subprocess.run([program(), "--help"], capture_output=True, text=True, check=True).stdout
    options = set(re.findall(r"--(?:\[no-\])?([a-z][a-z-]+)", text))
    for name in PAGES:
        prose = re.sub(r"```bash.*?```", "", page(name), flags=re.S)
        for option in re.findall(r"(?<![\w-])--([a-z][a-z-]+)", prose):
            known = option in options or option.removeprefix("no-") in options or option in OPTIONS_OF_OTHERS
            assert known, f"docs/{name}: --{option}"
        for variable in re.findall(r"HATCHERY_([A-Z_]+)", prose):
            assert variable == "SOME_NAME" or variable.lower().replace("_", "-") in options, f"docs/{name}: {variable}"


# Of docker, systemd-run, venv and pip, which the pages call too.
OPTIONS_OF_OTHERS = {"rm", "user", "read-only", "tmpfs", "memory", "pids-limit", "stop-timeout", "system-site-packages",
                     "only-binary", "cap-add", "security-opt", "entrypoint", "scope", "privileged"}


def test_the_configuration_file_is_valid(tmp_path):
    found = re.findall(r"```ini\n(.*?)\n```", page("OPERATIONS.md"), re.S)
    assert any("[template." in text for text in found)
    for number, text in enumerate(found):
        path = tmp_path / f"{number}.ini"
        path.write_text(text)
        done = subprocess.run([program(), "serve", "--check-config", "--config", path], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "the configuration is valid\n"), done.stderr


def headings(text):
    """Anchors as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)]+)\)", page(name)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = DOCS / path if path else DOCS / name
        assert linked.exists(), f"docs/{name}: {target}"
        if anchor:
            assert anchor in headings(linked.read_text(encoding="utf-8")), f"docs/{name}: {target}"
