"""Writes the bytes of a file as the elements of a C array: embed.py INPUT OUTPUT"""

import sys

with open(sys.argv[1], "rb") as source, open(sys.argv[2], "w", encoding="ascii") as target:
    while line := source.read(24):
        target.write("".join(f"{byte}," for byte in line) + "\n")
