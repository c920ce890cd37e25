"""Wheels made by a test, and an index (PEP 503) that serves them on loopback."""

import base64
import hashlib
import io
import re
import stat
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def wheel(name, version="1.0", files=None, requires=(), extras=None, entries=(), requires_python=None):
    """The bytes of a pure-Python wheel. files: path → text; by default a module of that name that knows its version.
    extras: name → requirements. entries: (ZipInfo, bytes) put in as they are, for hostile wheels."""
    module = escaped(name)
    info = f"{module}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    if requires_python:
        metadata.append(f"Requires-Python: {requires_python}")
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    for extra, requirements in (extras or {}).items():
        metadata.append(f"Provides-Extra: {extra}")
        metadata += [f"Requires-Dist: {requirement} ; extra == '{extra}'" for requirement in requirements]
    contents = {path: text.encode() if isinstance(text, str) else text
                for path, text in (files or {f"{module}.py": f"version = {version!r}\n"}).items()}
    contents[f"{info}/METADATA"] = ("\n".join(metadata) + "\n").encode()
    contents[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{path},sha256={digest(content)},{len(content)}\n" for path, content in contents.items())
    record += "".join(f"{entry.filename},sha256={digest(content)},{len(content)}\n" for entry, content in entries)
    contents[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in contents.items():
            archive.writestr(path, content)
        for entry, content in entries:
            archive.writestr(entry, content)
    return out.getvalue()


def escaped(name):
    """As it stands in names of files."""
    return re.sub(r"[-_.]+", "_", name)


def digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def entry(path, mode=stat.S_IFREG | 0o644):
    """A member of an archive with a mode of Unix: stat.S_IFLNK for a symbolic link, stat.S_ISUID…"""
    info = zipfile.ZipInfo(path)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def file_name(name, version="1.0", tag="py3-none-any"):
    return f"{escaped(name)}-{version}-{tag}.whl"


class Index:
    """add() puts files in; `requests` are the paths that were asked for. slow: seconds before each answer. gate:
    answers wait until it is set. redirects, pages (kind, body), statuses, endless: answers to a path that are not the usual ones."""

    def __init__(self):
        self.projects, self.files, self.requests, self.statuses = {}, {}, [], {}
        self.redirects, self.pages, self.endless = {}, {}, set()
        self.slow, self.silent = 0, False
        self.stopping, self.gate = threading.Event(), threading.Event()
        self.gate.set()
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                index.answer(self)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/simple/"

    def add(self, name, version="1.0", content=None, file=None, sha256=None, tag="py3-none-any", **of_wheel):
        """Adds a wheel (of content, or made here), or any other file of the project under a name of its own."""
        content = wheel(name, version, **of_wheel) if content is None else content
        file = file or file_name(name, version, tag)
        self.files[file] = content
        self.projects.setdefault(re.sub(r"[-_.]+", "-", name).lower(), {})[file] = hashlib.sha256(content).hexdigest() if sha256 is None else sha256
        return content

    def answer(self, request):
        self.requests.append(request.path)
        if self.silent:
            self.stopping.wait(60)
            return
        if self.slow:
            self.stopping.wait(self.slow)
        self.gate.wait(60)
        parts = request.path.strip("/").split("/")
        status, kind, body = 404, "text/plain", b"not here"
        if request.path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[request.path])
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if request.path in self.endless:
            self.answer_for_ever(request)
            return
        if request.path in self.statuses:
            status = self.statuses[request.path]
        elif request.path in self.pages:
            status, (kind, body) = 200, self.pages[request.path]
        elif parts[0] == "simple" and len(parts) == 2 and parts[1] in self.projects:
            links = "".join(f'<a href="/files/{file}{f"#sha256={sha256}" if sha256 else ""}">{file}</a>\n'
                            for file, sha256 in self.projects[parts[1]].items())
            status, kind, body = 200, "text/html", f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
        elif parts[0] == "files" and parts[1] in self.files:
            status, kind, body = 200, "application/octet-stream", self.files[parts[1]]
        try:
            request.send_response(status)
            request.send_header("Content-Type", kind)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)
        except OSError:
            pass

    def answer_for_ever(self, request):
        try:
            request.send_response(200)
            request.send_header("Content-Type", "text/html")
            request.end_headers()
            while not self.stopping.is_set():
                request.wfile.write(b"<a href='/files/x.whl'>x</a>\n" * 4096)
        except OSError:
            pass

    def downloads(self):
        return [path for path in self.requests if path.startswith("/files/")]

    def close(self):
        self.stopping.set()
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
