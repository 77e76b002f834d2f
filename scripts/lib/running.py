"""Prints the ids of the processes whose program lies below a folder, a line each.

    running.py FOLDER
"""

import os
import sys


def running(folder: str) -> dict[int, str]:
    """Processes (but zombies) whose program lies below `folder`, with their command lines."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            program = os.readlink(f"/proc/{name}/exe").removesuffix(" (deleted)")
            if program.startswith(folder.rstrip("/") + "/"):
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    found[int(name)] = file.read().decode(errors="replace").replace("\0", " ").strip()
        except OSError:
            pass
    return found


if __name__ == "__main__":
    for process in running(sys.argv[1]):
        print(process)
