# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
"""Writes process memory for the benchmarks: this process's own, made of what programs hold.

Usage: pages.py MIB FILE

Python fills itself with syntax trees, numbers in hash maps and the lines of its
library, then copies the memory that it may write to into the file.
"""
import ast
import pathlib
import sys
import sysconfig

CHUNK = 1 << 20


def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def fill(size):
    """Objects of many kinds until the process has the size."""
    library = pathlib.Path(sysconfig.get_paths()["stdlib"])
    held = []
    while resident_bytes() < size:
        for path in sorted(library.glob("*.py")):
            text = path.read_text(errors="replace")
            held.append(text.splitlines())
            held.append({f"{path.name}:{i}": i * i for i in range(len(text) // 16)})
            held.append(ast.parse(text))
            if resident_bytes() >= size:
                break
    return held


def writable_areas():
    with open("/proc/self/maps") as maps:
        for line in maps.read().splitlines():
            fields = line.split()
            if fields[1].startswith("rw") and not fields[-1].startswith("[v"):
                yield [int(end, 16) for end in fields[0].split("-")]


def dump(size, path):
    written = 0
    with open("/proc/self/mem", "rb", 0) as memory, open(path, "wb") as file:
        for start, end in writable_areas():
            for at in range(start, end, CHUNK):
                memory.seek(at)
                written += file.write(memory.read(min(CHUNK, end - at)))
                if written >= size:
                    return


def main():
    size = int(sys.argv[1]) << 20
    held = fill(size + (size >> 1))
    dump(size, sys.argv[2])
    del held


main()
