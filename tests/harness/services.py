"""A client for each of the five compatible services, as small as programs that use them have: the standard library, and what
the service's own documentation tells. Every call returns (HTTP status, answer)."""

import json
import urllib.error
import urllib.request
import uuid
from urllib.parse import quote, urlencode


def multipart(fields, files=()):
    """(Content-Type, body); files: (field, file name, content)."""
    boundary = uuid.uuid4().hex
    parts = [(f'form-data; name="{name}"', str(value).encode()) for name, value in fields.items()]
    parts += [(f'form-data; name="{field}"; filename="{name}"', content) for field, name, content in files]
    body = b"".join(f"--{boundary}\r\nContent-Disposition: {head}\r\n\r\n".encode() + content + b"\r\n"
                    for head, content in parts)
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def post_chunked(server, path, pieces, headers=None):
    """A body without a length, as some clients send every one; returns (status, answer)."""
    connection = server.client()
    try:
        connection.request("POST", path, iter(pieces), {"Transfer-Encoding": "chunked", **(headers or {})}, encode_chunked=True)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


class Service:
    def __init__(self, base_url, timeout=60):
        self.base_url = base_url
        self.timeout = timeout

    def send(self, method, path, body=None, content_type=None):
        headers = {"Content-Type": content_type} if content_type else {}
        request = urllib.request.Request(self.base_url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                return answer.status, self.decoded(answer)
        except urllib.error.HTTPError as problem:
            with problem:
                return problem.code, self.decoded(problem)

    def decoded(self, answer):
        body = answer.read()
        return json.loads(body) if answer.headers.get_content_type() == "application/json" and \
            "attachment" not in answer.headers.get("Content-Disposition", "") else body

    def get(self, path):
        return self.send("GET", path)

    def post_json(self, path, document):
        return self.send("POST", path, json.dumps(document).encode(), "application/json")

    def post_form(self, path, fields, files=()):
        content_type, body = multipart(fields, files)
        return self.send("POST", path, body, content_type)


class CodeInterpreter(Service):
    def __init__(self, base_url, session_id):
        super().__init__(base_url)
        self.session_id = session_id

    def execute(self, code, env=None):
        body = {"session_id": self.session_id, "code": code}
        if env is not None:
            body["env"] = env
        return self.post_json("/execute", body)

    def install(self, *packages):
        return self.post_json("/install", {"session_id": self.session_id, "packages": list(packages)})

    def upload(self, name, content):
        return self.post_form("/upload", {"session_id": self.session_id}, [("file", name, content)])

    def download(self, name):
        return self.get("/download?" + urlencode({"session_id": self.session_id, "filename": name}))

    def terminate(self):
        return self.post_json("/terminate", {"session_id": self.session_id})


class DataAnalysisSandbox(Service):
    def execute(self, code):
        return self.post_json("/api/execute", {"code": code})


class CodeExecutionSandbox(Service):
    def health(self):
        return self.get("/health")

    def execute(self, code, input_data=None):
        return self.post_json("/execute_code", {"code": code, "input_data": input_data or {}})

    def upload_data(self, key, data):
        return self.post_json("/upload_data/" + quote(key, safe=""), data)

    def get_data(self, key):
        return self.get("/get_data/" + quote(key, safe=""))

    def clear_data(self):
        return self.get("/clear_data")


class UserContainer(Service):
    def __init__(self, base_url, user_id):
        super().__init__(base_url)
        self.user_id = user_id

    def run(self, code, **data):
        body = {"user_id": self.user_id, "code": code}
        if data:
            body["data"] = data
        return self.post_json("/run", body)


class JupyterSessions(Service):
    def __init__(self, base_url, user_id):
        super().__init__(base_url)
        self.user_id = user_id

    def start_session(self):
        return self.post_form("/start_session", {"user_id": self.user_id})

    def execute(self, code):
        return self.post_json("/execute", {"user_id": self.user_id, "code": code})

    def install_package(self, name):
        return self.post_json("/install_package", {"user_id": self.user_id, "package_name": name})

    def reset(self):
        return self.post_form("/reset", {"user_id": self.user_id})

    def end_session(self):
        return self.post_form("/end_session", {"user_id": self.user_id})
