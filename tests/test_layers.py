"""Dependencies run one way: server → pool → subprojects ← interp. Fails on an include, or a linked library, that breaks it.

The check itself is checked: each rule is broken once in a copy, and must be seen.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.hatchery import ROOT, program

# What may be included from where: our own folders first, third-party families after them.
LAYERS = {
    "server": {"server", "pool", "kit", "wire", "jsontext", "h2o", "openssl", "sqlite", "ini", "zlib"},
    "pool": {"pool", "kit", "wire", "jsontext"},
    "interp": {"interp", "kit", "wire", "jsontext", "python", "seccomp"},
    "subprojects/kit": {"kit"},
    "subprojects/wire": {"wire", "kit"},
    "subprojects/jsontext": {"jsontext", "kit"},
}
OURS = {"server", "pool", "interp", "kit", "wire", "jsontext"}
THIRD_PARTY = {
    "h2o": r"h2o(\.h|/.*)|picohttpparser\.h|wslay/.*",
    "openssl": r"openssl/.*",
    "sqlite": r"sqlite3(ext)?\.h",
    "ini": r"ini\.h|INIReader\.h",
    "zlib": r"z(lib|conf)\.h",
    "python": r"Python\.h|python3[^/]*/.*|numpy/.*|(structmember|frameobject|marshal|datetime|internal/pycore_.*)\.h",
    "seccomp": r"seccomp\.h",
}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:<([^>]+)>|"([^"]+)")', re.MULTILINE)


def family(header):
    """The folder or third-party family that a header belongs to, or None for the system's."""
    top = header.split("/")[0]
    if "/" in header and top in OURS:
        return top
    for name, pattern in THIRD_PARTY.items():
        if re.fullmatch(pattern, header):
            return name
    return None


def generated(folder):
    """The files that the build makes there, by name."""
    recipes = " ".join(path.read_text() for path in folder.rglob("meson.build"))
    return set(re.findall(r"output: *'([^']+)'", recipes))


def violations(root):
    found = []
    for layer, allowed in LAYERS.items():
        made = generated(root / layer)
        for path in sorted((root / layer).rglob("*.[ch]")):
            if "tests" in path.relative_to(root / layer).parts:
                continue
            for match in INCLUDE.finditer(path.read_text()):
                header = match[1] or match[2]
                where = f"{path.relative_to(root)}: {match[0].strip()}"
                if ".." in header.split("/"):
                    found.append(f"{where} (say from the top of the tree what is meant)")
                    continue
                used = family(header)
                beside = header in made or (path.parent / header).exists()
                if used is not None and used not in allowed:
                    found.append(f"{where} ({layer} may not include {used})")
                elif match[2] is not None and used is None and not beside:
                    found.append(f"{where} (no such header of ours)")
    return found


def needed(binary):
    """The libraries that a program names itself."""
    text = subprocess.run(["readelf", "-d", binary], capture_output=True, text=True, check=True).stdout
    return re.findall(r"\(NEEDED\).*\[(.+)\]", text)


def loaded(binary):
    """… and those that come with them."""
    text = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def test_includes_run_one_way():
    assert violations(ROOT) == []


def test_every_layer_has_files():
    for layer in LAYERS:
        assert list((ROOT / layer).rglob("*.[ch]")), f"{layer} is empty: has it moved? Then this test looks at nothing"


@pytest.mark.parametrize("layer, line", [
    ("pool", "#include <h2o.h>"),
    ("pool", "#  include <Python.h>"),
    ("pool", '#include "server/app.h"'),
    ("pool", '#include "interp/embed.h"'),
    ("server", "#include <Python.h>"),
    ("server", '#include "interp/embed.h"'),
    ("interp", "#include <h2o.h>"),
    ("interp", "#include <openssl/ssl.h>"),
    ("interp", '#include "pool/run.h"'),
    ("interp", '#include "../pool/run.h"'),
    ("subprojects/kit", '#include "wire/run.h"'),
    ("subprojects/kit", "#include <sqlite3.h>"),
    ("subprojects/wire", '#include "pool/run.h"'),
    ("subprojects/jsontext", '#include "wire/run.h"'),
    ("server", '#include "nowhere.h"'),
])
def test_a_planted_include_is_seen(tmp_path, layer, line):
    for one in LAYERS:
        shutil.copytree(ROOT / one, tmp_path / one, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (tmp_path / layer / "planted.c").write_text(f"/* planted */\n{line}\n")
    assert [found for found in violations(tmp_path) if "planted.c" in found]


def test_server_links_no_python():
    server = program()
    assert any("libh2o" in name for name in needed(server)), "this looks at the wrong program"
    assert [name for name in loaded(server) if "libpython" in name] == []


def test_python_program_links_nothing_of_the_edge():
    interpreter = Path(program()).with_name("hatchery-python")
    assert any("libpython" in name for name in loaded(interpreter)), "this looks at the wrong program"
    edge = re.compile(r"lib(h2o|ssl|crypto|sqlite3|inih|seccomp)")
    assert [name for name in loaded(interpreter) if edge.match(name)] == []
