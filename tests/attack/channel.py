"""What a program knows that wants to speak for the harness: the result channel, as the sources describe it."""

import re

from harness.hatchery import ROOT


def _source(path):
    return (ROOT / path).read_text()


def _enumeration(text, first):
    """The names of an enumeration that begins with `first = 1`, by number."""
    body = re.search(r"\{\s*(" + first + r"\s*=\s*1.*?)\}", re.sub(r"/\*.*?\*/", "", text, flags=re.S), re.S).group(1)
    names = [part.split("=")[0].strip() for part in body.split(",") if part.strip()]
    return {name: number for number, name in enumerate(names, 1)}


RUN = _source("subprojects/wire/wire/run.h")
KINDS = {name.removeprefix("RESULT_"): number for name, number in _enumeration(RUN, "RESULT_READY").items()}
OUTCOMES = {name.removeprefix("OUTCOME_"): number for name, number in _enumeration(RUN, "OUTCOME_COMPLETED").items()}
MAGIC = int(re.search(r"#define FRAME_MAGIC 0x([0-9a-fA-F]+)", _source("subprojects/wire/wire/frame.c")).group(1), 16)
CONFINE = _source("interp/confine.h")
RESULT_FD, REQUEST_FD = (int(re.search(name + r" = (\d+)", CONFINE).group(1)) for name in
                         ("WORKER_FD_RESULT", "WORKER_FD_REQUEST"))

# Put before a program: frame() makes any frame, send() writes bytes in one piece, END is a perfect last frame.
PRELUDE = f"""
import os, struct
RESULT, REQUEST = {RESULT_FD}, {REQUEST_FD}
{chr(10).join(f"{name} = {number}" for name, number in KINDS.items() if not name.startswith("_"))}
COMPLETED, RAISED, EXITED = {OUTCOMES["COMPLETED"]}, {OUTCOMES["RAISED"]}, {OUTCOMES["EXITED"]}
def frame(kind, body=b"", magic={MAGIC}, size=None, place=(0, 0)):
    if kind == DISPLAY: body = struct.pack("<QQ", *place) + body
    return struct.pack("<IIQ", magic, kind, len(body) if size is None else size) + body
def end(outcome=COMPLETED, code=0): return frame(RESULT_END, struct.pack("<Ii", outcome, code))
RESULT_END = END
END = end()
def send(data):
    while data: data = data[os.write(RESULT, data):]
"""
