"""install_index: what pip may be led to by a package index and by wheels, and what it learns there, in words for the caller."""

import ipaddress
import logging
import re
import socket
import urllib.parse

PAGE_BYTES_MAX = 64 << 20  # of one page of an index; pip would hold any in memory

PORTS = {"http": 80, "https": 443}


class Reach:
    """Which addresses are connected to. An index may redirect, and its pages and wheels may name other hosts: by that nobody
    shall reach what listens on this machine or only in its network, where a GET alone may do harm. The hosts that the operator
    has set are reached wherever they are; others if their address is one of the internet, or a private one when the
    operator's own are private, too. It is told where a name has become an address, so no answer of a name server gets past."""

    REFUSED = "it leads to an address that packages do not come from"

    def __init__(self, urls):
        self.own, self.has_files, self.is_private = set(), False, False
        for url in urls:
            parts = urllib.parse.urlsplit(url)
            if parts.scheme in PORTS:
                self.own.add((parts.hostname, parts.port or PORTS[parts.scheme]))
            elif parts.scheme == "file" or "/" in url:
                self.has_files = True
        self.resolve = socket.getaddrinfo

    def allows(self, host, port, text):
        address = ipaddress.ip_address(text)
        address = getattr(address, "ipv4_mapped", None) or address
        is_ours = address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
        is_private = address.is_private and not is_ours
        if (host, port) in self.own:
            self.is_private = self.is_private or is_private
            return True
        return is_private and self.is_private or address.is_global and not is_ours

    def getaddrinfo(self, host, port, *arguments, **options):
        found = self.resolve(host, port, *arguments, **options)
        allowed = [one for one in found if self.allows(str(host).lower(), port, one[4][0])]
        if not allowed:
            raise OSError(f"{self.REFUSED}: {host}")
        return allowed

    def take(self):
        """From here on all of this process keeps to it."""
        from pip._internal.network.session import LocalFSAdapter
        from pip._vendor.requests import exceptions, models
        socket.getaddrinfo = self.getaddrinfo
        iterate = models.Response.iter_content

        def open_file(*arguments, **options):
            raise exceptions.ConnectionError(f"{self.REFUSED}: a file")

        def bounded(response, *arguments, **options):
            size = 0
            for chunk in iterate(response, *arguments, **options):
                size += len(chunk)
                if size > PAGE_BYTES_MAX:
                    raise exceptions.ConnectionError("its answer has no end")
                yield chunk

        # pip reads pages by it; files of packages it reads by other means, to the disk.
        models.Response.iter_content = bounded
        if not self.has_files:
            LocalFSAdapter.send = open_file


class PageWatch(logging.Handler):
    """What pip says of an index only at a level of verbosity that nobody reads: why a page was not fetched, and why a
    file of it was not taken."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.unreachable, self.missing, self.skipped = [], False, []

    def attach(self):
        for name in ("index.collector", "index.package_finder"):
            logger = logging.getLogger("pip._internal." + name)
            logger.setLevel(logging.DEBUG)
            logger.addHandler(self)

    def emit(self, record):
        message = str(record.msg)
        if message.startswith("Could not fetch URL") and len(record.args) == 2:
            response = getattr(record.args[1], "response", None)
            if getattr(response, "status_code", None) == 404:
                self.missing = True
            else:
                self.unreachable.append(short(record.args[1]))
        elif message.startswith("Skipping page"):
            self.unreachable.append("its answer is no page of an index")
        elif message.startswith("Skipping link") and len(record.args) == 2 and len(self.skipped) < 1000:
            self.skipped.append(str(record.args[0]))


def short(reason):
    """The last, most telling part of the messages that requests and urllib3 wrap around each other."""
    text = " ".join(str(reason).split())
    for pattern, words in ((Reach.REFUSED, Reach.REFUSED),
                           (r"its answer has no end", "its answer has no end"),
                           (r"Connection refused", "connection refused"),
                           (r"Name or service not known|Temporary failure in name resolution|No address associated|"
                            r"nodename nor servname", "its name cannot be resolved"),
                           (r"timed out|Timeout", "it does not answer in time"),
                           (r"CERTIFICATE_VERIFY_FAILED|SSLError|ssl certificate", "its certificate is not trusted"),
                           (r"No route to host|Network is unreachable", "there is no route to it"),
                           (r"Connection reset|RemoteDisconnected|Connection aborted|IncompleteRead|Connection broken",
                            "it closed the connection")):
        if re.search(pattern, text):
            return words
    status = re.search(r"\b([1-5][0-9][0-9]) (?:Client|Server) Error\b|(?:too many|HTTP error) ([1-5][0-9][0-9])\b", text)
    if status:
        return f"it answers {status[1] or status[2]}"
    return re.sub(r"https?://\S+", "its address", text)[:200]
