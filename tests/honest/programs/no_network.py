import socket
import urllib.request
from urllib.error import URLError

try:
    urllib.request.urlopen("http://192.0.2.1/", timeout=5)
    assert False, "reached"
except URLError as error:
    assert isinstance(error.reason, OSError)
for attempt in (lambda: socket.create_connection(("127.0.0.1", 9)), lambda: socket.getaddrinfo("example.org", 80)):
    try:
        attempt()
        assert False, "reached"
    except OSError:
        pass
