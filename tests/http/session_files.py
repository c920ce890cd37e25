"""Talking to the files of a session: requests, forms, lists."""

import io
from urllib.parse import quote

MB = 1 << 20


def put(server, session, name, content, **headers):
    return server.request("PUT", f"{session}/files/{quote(name)}", content, headers)


def get(server, session, name, **headers):
    return server.get(f"{session}/files/{quote(name)}", headers)


def listing(server, session, query=""):
    answer = server.get(f"{session}/files{query}")
    assert answer.status == 200, answer
    return {file["path"]: file for file in answer.json()["files"]}


def execute(server, session, code):
    answer = server.post(f"{session}/execute", {"code": code})
    assert answer.status == 200, answer
    body = answer.json()
    assert body["status"] == "ok", body
    return body["stdout"]


def form(parts, boundary="b0undary"):
    """A multipart form of (name, filename or None, content)."""
    body = io.BytesIO()
    for name, filename, content in parts:
        body.write(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode())
        if filename is not None:
            body.write(f'; filename="{filename}"\r\nContent-Type: text/plain'.encode())
        body.write(b"\r\n\r\n" + content + b"\r\n")
    body.write(f"--{boundary}--\r\n".encode())
    return body.getvalue(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}
