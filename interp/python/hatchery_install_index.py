"""install_index: what pip learns of a package index, in words for the caller."""

import logging
import re


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
    for pattern, words in ((r"Connection refused", "connection refused"),
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
