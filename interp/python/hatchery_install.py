"""install: one installation by pip, as wire/install.h has it. The process has been shut in before this begins."""

import errno
import glob
import hashlib
import io
import json
import os
import re
import socket
import struct
import sys
import sysconfig
import urllib.parse

from hatchery_install_bytecode import compile_all
from hatchery_install_index import PageWatch, Reach, short
from hatchery_install_pip import (
    BAD_WHEEL, CONFLICT, NO_INDEX, NO_SPACE, NOT_FOUND, OWN, TOO_LARGE, Failure, find_pip, refuse_addresses_of_wheels, run_pip,
    settings_of_pip)

SAYS, WHEEL, RESOLVED, UNPACKED, FINISHED, FAILED = range(1, 7)

TEXT_MAX = 8000  # INSTALL_TEXT_MAX, less the NUL and what a character may be cut by
ORDER_MAX = 65536
WHEELS_MAX = 256
SAID_MAX = 1 << 20  # a program that says more than this is not listened to any more
TAIL_MAX = 16384
SENTENCE_MAX = 2000
NAME_SHOWN_MAX = 80

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,127}")
ADDRESS = re.compile(r"(?:https?|file)://\S*/")
SHA256 = re.compile(r"[0-9a-f]{64}")

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
ERRNOS = {errno.ENOSPC: (NO_SPACE, "There is no space left on the server's disk."),
          errno.EDQUOT: (NO_SPACE, "There is no space left on the server's disk."),
          errno.EFBIG: (TOO_LARGE, "A file is larger than the packages of a session may be (packages_mb).")}
# What the names in a wheel bring about: too long, a file where a folder is to be, one that nothing may be called.
NAME_ERRNOS = {errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EINVAL, errno.EILSEQ,
               errno.ELOOP, errno.ENOENT}


class Supervisor:
    """The other end of the socket. Sends wait until it reads, so nothing piles up."""

    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)

    def receive(self, size):
        message = self.socket.recv(size + 1)
        if len(message) > size:
            raise Failure(OWN, "The order for packages is too long.")
        return message

    def send(self, kind, number=0, text=""):
        text = text.encode("utf-8", "replace").replace(b"\0", b" ")[:TEXT_MAX]
        self.socket.sendall(struct.pack("=II", kind, number) + text + b"\0")


class Output(io.TextIOBase):
    """Standard output and error of pip."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, supervisor):
        self.supervisor, self.said, self.tail = supervisor, 0, ""

    def writable(self):
        return True

    def write(self, text):
        # Which index it is, and where, is the operator's business; the names of files stay.
        text = ADDRESS.sub("", text)
        self.said += len(text)
        self.tail = (self.tail + text)[-TAIL_MAX:]
        if self.said <= SAID_MAX:
            for start in range(0, len(text), TEXT_MAX // 4):
                self.supervisor.send(SAYS, 0, text[start:start + TEXT_MAX // 4])
        return len(text)


class Installation:
    def __init__(self, supervisor, output, staging, index):
        self.supervisor, self.output, self.index = supervisor, output, index
        self.work, self.temporary = os.path.join(staging, "work"), os.path.join(staging, "tmp")
        self.downloads = {}  # sha256 → path of the wheel
        self.watch = PageWatch()
        self.watch.attach()
        self.common = [
            "--isolated", "--no-input", "--disable-pip-version-check", "--no-color", "--progress-bar=off", "--no-user",
            "--timeout=5", "--retries=1", "--only-binary=:all:", "--no-warn-script-location",
            "--root-user-action=ignore", "--no-cache-dir"]
        if os.path.exists(CERTIFICATES):
            self.common.append("--cert=" + CERTIFICATES)
        if index:
            self.common.append("--index-url=" + index)
        if index and index.startswith("http://"):
            # The operator has said so. pip takes it from the loopback address only, unless it is told twice.
            self.common.append("--trusted-host=" + urllib.parse.urlsplit(index).netloc.rpartition("@")[2])
        self.reach = Reach(settings_of_pip(self.common))
        self.reach.take()
        refuse_addresses_of_wheels()

    # ── What is needed ──

    def template_versions(self):
        """Of what the interpreter has by itself: normalised name → version. Nothing of it may be replaced, since it comes
        first when modules are looked for."""
        import importlib.metadata

        from pip._vendor.packaging.utils import canonicalize_name
        from pip._vendor.packaging.version import InvalidVersion, Version
        found = {}
        for distribution in importlib.metadata.distributions():
            name, version = distribution.metadata["Name"], distribution.version
            if not isinstance(name, str) or not NAME.fullmatch(name):
                continue
            try:
                Version(version)
            except (InvalidVersion, TypeError):
                continue
            found.setdefault(canonicalize_name(name), version)
        return found

    def check_against_template(self, requirements, template):
        from pip._vendor.packaging.markers import UndefinedComparison, UndefinedEnvironmentName
        from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
        from pip._vendor.packaging.utils import canonicalize_name
        from pip._vendor.packaging.version import InvalidVersion
        for text in requirements:
            try:
                requirement = Requirement(text)
            except InvalidRequirement as error:
                raise Failure(NOT_FOUND, f"{text}: is no requirement: {' '.join(str(error).split())}.") from None
            version = template.get(canonicalize_name(requirement.name))
            if requirement.url:
                raise Failure(NOT_FOUND, f"{text}: packages come from the index, not from an address.")
            try:
                is_meant = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            except (UndefinedComparison, UndefinedEnvironmentName, InvalidVersion, ValueError) as error:
                raise Failure(NOT_FOUND, f"{text}: its marker has no meaning: {' '.join(str(error).split())}.") from None
            if version and is_meant and not requirement.specifier.contains(version, prereleases=True):
                raise Failure(CONFLICT, f"{requirement.name} {version} is part of the interpreter and cannot be replaced; "
                                        f"{text} does not allow it.")

    def resolve(self, requirements):
        template = self.template_versions()
        self.check_against_template(requirements, template)
        constraints = os.path.join(self.temporary, "constraints.txt")
        with open(constraints, "w", encoding="utf-8") as file:
            file.writelines(f"{name}=={version}\n" for name, version in template.items())
        # Seen by pip as installed; nothing but metadata is there, and so nothing that could be imported.
        sys.path.append(os.path.join(self.work, "installed"))
        report = os.path.join(self.temporary, "report.json")
        status, exception = run_pip(["--dry-run", "--report=" + report, "--constraint=" + constraints, *self.common,
                                     "--", *requirements], self.keep_downloads)
        sys.path.pop()
        if status != 0 or exception:
            self.explain(exception, requirements)
        with open(report, encoding="utf-8") as file:
            items = json.load(file)["install"]
        if len(items) > WHEELS_MAX:
            raise Failure(TOO_LARGE, f"These packages need {len(items)} others; {WHEELS_MAX} are the most.")
        return [self.wheel_of(item) for item in items]

    def keep_downloads(self):
        """A dry run downloads whole wheels, and would throw them away."""
        for number, path in enumerate(glob.glob(os.path.join(self.temporary, "pip-unpack-*", "*.whl"))):
            folder = os.path.join(self.temporary, "wheels", str(number))
            os.makedirs(folder)
            kept = os.path.join(folder, os.path.basename(path))
            os.rename(path, kept)
            with open(kept, "rb") as file:
                self.downloads[hashlib.file_digest(file, "sha256").hexdigest()] = kept

    def wheel_of(self, item):
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        if not NAME.fullmatch(name) or not VERSION.fullmatch(version):
            raise Failure(BAD_WHEEL, "A wheel has a name or a version that is none.")
        download = item["download_info"]
        url, archive = download["url"].partition("#")[0], download.get("archive_info")
        if archive is None or not url.partition("?")[0].endswith(".whl") or item.get("is_direct") or \
                not (self.reach.has_files or url.startswith(("http://", "https://"))):
            raise Failure(BAD_WHEEL, f"{name} {version} is no wheel.")
        hashes = archive.get("hashes") or {}
        if "=" in (archive.get("hash") or ""):
            algorithm, _, value = archive["hash"].partition("=")
            hashes.setdefault(algorithm, value)
        # An index that gives another hash, or none, has had its own checked by pip.
        file = os.path.basename(urllib.parse.unquote(url.partition("?")[0]))
        sha256 = hashes.get("sha256") or next(
            (found for found, path in self.downloads.items() if os.path.basename(path) == file), "")
        if not SHA256.fullmatch(sha256):
            raise Failure(BAD_WHEEL, f"The index gives no SHA-256 of {name} {version}.")
        return name, version, sha256, url

    # ── What went wrong ──

    def explain(self, exception, requirements):
        """Raises a Failure."""
        if isinstance(exception, Failure):
            raise exception
        kinds = [kind.__name__ for kind in type(exception).__mro__]
        text = " ".join(str(exception).split())[:SENTENCE_MAX] if exception else ""
        wanted = ", ".join(requirements)
        number = getattr(exception, "errno", None)
        if number in ERRNOS:
            raise Failure(*ERRNOS[number])
        if isinstance(exception, MemoryError):
            raise Failure(TOO_LARGE, "The installation needs more memory than it may have.")
        if "HashErrors" in kinds or "HashError" in kinds:
            raise Failure(BAD_WHEEL, "A file is not what the index has promised: its hash is another one.")
        if kinds[0] in ("InvalidWheel", "UnsupportedWheel", "MetadataInconsistent", "MetadataInvalid", "BadZipFile") or \
                "is invalid" in text or "target directory" in text or "has an invalid wheel" in text:
            raise Failure(BAD_WHEEL, f"A wheel cannot be used: {self.without_paths(text)}")
        if "conflicting dependencies" in self.output.tail:
            raise Failure(CONFLICT, self.conflict())
        if "DistributionNotFound" in kinds:
            self.explain_not_found(wanted)
        if "NetworkConnectionError" in kinds or any(name in ("RequestException", "HTTPError") for name in kinds):
            raise Failure(NO_INDEX, f"The package index cannot be used: {short(exception)}.")
        if "HTTP error" in text:
            raise Failure(NO_INDEX, f"A file of the package index cannot be had: {short(exception)}.")
        if "InstallationError" in kinds or "CommandError" in kinds:
            raise Failure(NOT_FOUND, f"{wanted}: {self.without_paths(text)}")
        if number in NAME_ERRNOS:
            name = os.path.basename(str(exception.filename or ""))[:NAME_SHOWN_MAX]
            raise Failure(BAD_WHEEL, f"A wheel has a file that cannot be made: {exception.strerror}: {name!r}.")
        if isinstance(exception, OSError) or exception is None:
            raise Failure(OWN, f"pip failed: {self.without_paths(text)}." if exception else "pip failed.")
        # pip is not prepared for all that an index or a wheel may say.
        self.explain_misunderstood(f"{kinds[0]}: {self.without_paths(text)}")

    def explain_misunderstood(self, why):
        if self.downloads:
            raise Failure(BAD_WHEEL, f"A wheel cannot be used: pip does not understand it: {why}.")
        raise Failure(NO_INDEX, f"The package index cannot be used: pip does not understand its answer: {why}.")

    def explain_not_found(self, wanted):
        if self.watch.unreachable:
            raise Failure(NO_INDEX, f"The package index cannot be used: {self.watch.unreachable[0]}.")
        missing = re.findall(r"No matching distribution found for (\S[^\n]*)", self.output.tail)
        versions = re.findall(r"\(from versions: ([^\n)]*)\)", self.output.tail)
        what = missing[-1].strip() if missing else wanted
        sources = sum("No sources permitted" in reason for reason in self.watch.skipped)
        if versions and versions[-1] != "none":
            raise Failure(NOT_FOUND, f"There is no version of it that fits: {what}. The index has {versions[-1]}."[:SENTENCE_MAX])
        if sources:
            raise Failure(NOT_FOUND, f"There are only source distributions of it, which are never built: {what}.")
        others = [reason for reason in self.watch.skipped if "tags" in reason or "Requires-Python" in reason or "Python" in reason]
        if others:
            python = ".".join(map(str, sys.version_info[:2]))
            raise Failure(NOT_FOUND, f"There is no wheel of it for Python {python} on {sysconfig.get_platform()}: {what}.")
        raise Failure(NOT_FOUND, f"The package index does not have it: {what}.")

    def conflict(self):
        causes = re.findall(r"^    (\S.* depends on .*|The user requested .*)$", self.output.tail, re.MULTILINE)
        causes = [cause.replace("The user requested (constraint)", "the interpreter has").replace("The user", "you")
                  for cause in causes]
        why = f": {'; '.join(causes)}" if causes else ""
        return f"These packages exclude each other{why}."[:SENTENCE_MAX]

    def without_paths(self, text):
        return re.sub(r"(?:/[\w.+@-]+){2,}/?", lambda path: os.path.basename(path[0].rstrip("/")), text)[:SENTENCE_MAX]

    # ── What is unpacked ──

    def unpack(self, number, wheel):
        name, version, sha256, url = wheel
        target = os.path.join(self.work, str(number))
        status, exception = run_pip(["--no-deps", "--no-compile", "--target=" + target, *self.common,
                                     "--", self.downloads.get(sha256) or f"{url}#sha256={sha256}"])
        if status != 0 or exception:
            self.explain(exception, [f"{name}=={version}"])
        if not os.path.isdir(target):
            raise Failure(BAD_WHEEL, f"There is nothing in the wheel of {name} {version}.")
        for entry in os.scandir(target):
            if entry.name.endswith(".dist-info"):
                # It names the index, which is the operator's business.
                try:
                    os.unlink(os.path.join(entry.path, "direct_url.json"))
                except OSError:
                    pass

    def run(self):
        order = self.supervisor.receive(ORDER_MAX)
        wheels = self.resolve(order.decode("ascii").rstrip("\0").split("\0"))
        for number, (name, version, sha256, _) in enumerate(wheels):
            self.supervisor.send(WHEEL, number, f"{sha256} {name} {version}")
        self.supervisor.send(RESOLVED, len(wheels))
        wanted = self.supervisor.receive(WHEELS_MAX)
        for number, wheel in enumerate(wheels):
            if number < len(wanted) and wanted[number]:
                self.unpack(number, wheel)
                self.supervisor.send(UNPACKED, number)
        # Whatever becomes of this, the wheels are there.
        for number in range(len(wheels)):
            if number < len(wanted) and wanted[number]:
                compile_all(os.path.join(self.work, str(number)), os.path.join(self.temporary, "bytecode"))
        self.supervisor.send(FINISHED)


def set_environment(staging, index):
    temporary = os.path.join(staging, "tmp")
    os.environ.update(HOME=temporary, TMPDIR=temporary, PATH="", XDG_CONFIG_HOME=temporary, XDG_CACHE_HOME=temporary)
    for name in list(os.environ):
        if name.startswith("PIP_"):
            del os.environ[name]
    if index:
        # The machine's own settings might add another index to the one that the operator has named.
        os.environ["PIP_CONFIG_FILE"] = os.devnull
    os.chdir(temporary)


def main(fd, staging, index):
    supervisor = Supervisor(fd)
    output = Output(supervisor)
    sys.stdout = sys.stderr = output
    try:
        set_environment(staging, index)
        find_pip()
        Installation(supervisor, output, staging, index).run()
    except Failure as failure:
        supervisor.send(FAILED, failure.kind, failure.sentence)
    except MemoryError:
        supervisor.send(FAILED, TOO_LARGE, "The installation needs more memory than it may have.")
    except OSError as error:
        kind, sentence = ERRNOS.get(error.errno, (OWN, f"The installation failed: {error.strerror}."))
        supervisor.send(FAILED, kind, sentence)
    except BaseException as exception:
        supervisor.send(FAILED, OWN, f"The installation failed: {type(exception).__name__}: {exception}"[:SENTENCE_MAX])
