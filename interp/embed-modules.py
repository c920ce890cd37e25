"""Turns Python modules into a C header with their texts, in order: embed-modules.py OUTPUT MODULE.py..."""

import sys
from pathlib import Path

output, *modules = sys.argv[1:]
with open(output, "w", encoding="ascii") as file:
    file.write("typedef struct HarnessModule {\n        const char *name, *text;\n} HarnessModule;\n\n")
    names = []
    for path in map(Path, modules):
        names.append(path.stem)
        file.write(f"static const char text_of_{path.stem}[] = {{\n")
        data = path.read_bytes()
        for start in range(0, len(data), 16):
            file.write("".join(f"{byte if byte < 128 else byte - 256}," for byte in data[start:start + 16]) + "\n")
        file.write("0};\n\n")
    file.write("static const HarnessModule harness_modules[] = {\n")
    file.write("".join(f'        {{"{name}", text_of_{name}}},\n' for name in names))
    file.write("};\n")
