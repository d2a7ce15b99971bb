"""Makes one program out of two: a file that Windows runs as a PE and any POSIX shell runs as a script.

The file begins ``MZ`` + letters + ``='``: for Windows a DOS header, for a shell the start of a quoted string, which
hides the rest of that header. The string ends at byte 64, and the script follows; the PE headers stand behind it, all
within the first 4096 bytes. Then come the PE's sections, moved by the difference, and the Linux launcher, which the
script copies into the cache directory and executes with the file's path in ``PACKER_PORTABLE``::

    0x0000   MZpacker='     DOS header; e_lfanew at 0x3c
    0x0040   '              the script
    ....     PE             headers and section table, up to 0x1000
    0x1000   sections of the Windows launcher
    ....     the Linux launcher, at a multiple of 4096

Shells take a file without ``#!`` for a script when its first line has a lower-case letter and no NUL; ``execve`` alone
refuses it (ENOEXEC), and then the file must be turned into a native one: ``packer assimilate``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pefile

from packer.container.layout import LAUNCHER_ALIGNMENT_BYTES, align_up
from packer.errors import BuildError

HEADERS_BYTES = 4096
SCRIPT_OFFSET = 64
NEW_HEADER_FIELD = 0x3C
FIRST_LINE = b"MZpacker='\n"
SCRIPT = Path(__file__).parent / "launcher" / "portable.sh"
GUI, CONSOLE = 2, 3


def portable_program(windows: bytes, linux: bytes) -> bytes:
    """Return the program made of a PE and an ELF program. Raises BuildError when the headers have no room."""
    with pefile.PE(data=windows, fast_load=True) as image:
        old_start = image.DOS_HEADER.e_lfanew
        old_headers = image.OPTIONAL_HEADER.SizeOfHeaders
        table_end = image.sections[-1].get_file_offset() + image.sections[-1].sizeof()
        first_address = min(section.VirtualAddress for section in image.sections)
        shift = HEADERS_BYTES - old_headers
        for section in image.sections:
            section.PointerToRawData += shift if section.PointerToRawData else 0
        image.OPTIONAL_HEADER.SizeOfHeaders = HEADERS_BYTES
        image.OPTIONAL_HEADER.CheckSum = 0
        changed = bytes(image.write())
    headers = changed[old_start:table_end]
    body = windows[old_headers:]
    elf_offset = align_up(HEADERS_BYTES + len(body), LAUNCHER_ALIGNMENT_BYTES)
    script = _script(linux, elf_offset)
    new_start = align_up(SCRIPT_OFFSET + len(script), 8)
    if new_start + len(headers) > HEADERS_BYTES or first_address < HEADERS_BYTES:
        raise BuildError(f"the script ({len(script)} bytes) and the PE headers don't fit into {HEADERS_BYTES} bytes")
    start = FIRST_LINE.ljust(NEW_HEADER_FIELD, b"\n") + new_start.to_bytes(4, "little")
    beginning = (start + script).ljust(new_start, b"\n") + headers
    return (beginning.ljust(HEADERS_BYTES, b"\0") + body).ljust(elf_offset, b"\0") + linux


def _script(linux: bytes, elf_offset: int) -> bytes:
    """The shell script, told where the Linux launcher stands and what it is called in the cache."""
    text = SCRIPT.read_text(encoding="ascii")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    values = {
        "@NAME@": f"launcher-{hashlib.sha256(linux).hexdigest()[:16]}",
        "@SKIP@": str(elf_offset // LAUNCHER_ALIGNMENT_BYTES),
        "@COUNT@": str(align_up(len(linux), LAUNCHER_ALIGNMENT_BYTES) // LAUNCHER_ALIGNMENT_BYTES),
    }
    script = "'\n" + "\n".join(lines) + "\n"
    for name, value in values.items():
        script = script.replace(name, value)
    return script.encode("ascii")


def with_subsystem(windows: bytes, *, windowed: bool) -> bytes:
    """Return the PE program set to run without a console, or with one."""
    with pefile.PE(data=windows, fast_load=True) as image:
        image.OPTIONAL_HEADER.Subsystem = GUI if windowed else CONSOLE
        return bytes(image.write())
