"""Collects the licence text of everything that goes into a runtime, and lists it all as SPDX.

Texts come from where each part comes from: the installed packages' metadata, the source distributions, zig's own tree
and the system's ``/usr/share/doc``. A part without a text is an error: nothing is handed out unlicensed.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packer.errors import BuildError
from packer.runtimes import licences_windows
from packer.runtimes.component import Component, first_text
from packer.toolchain import c_library, web_libraries
from packer.toolchain.frozen import CHECKOUT, python_version

if TYPE_CHECKING:
    from packer.toolchain.llama_cpp import BuildTools
    from packer.toolchain.windows_python import WindowsPython

PYTHON_PACKAGES = {
    "blinker": "MIT",
    "charset_normalizer": "MIT",
    "click": "BSD-3-Clause",
    "flask": "BSD-3-Clause",
    "itsdangerous": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "markupsafe": "BSD-3-Clause",
    "platformdirs": "MIT",
    "prometheus_client": "Apache-2.0 AND BSD-2-Clause",
    "pypdf": "BSD-3-Clause",
    "pyinstaller": "GPL-2.0-or-later WITH Bootloader-exception",
    "typing_extensions": "PSF-2.0",
    "waitress": "ZPL-2.1",
    "werkzeug": "BSD-3-Clause",
    "zstandard": "BSD-3-Clause",
}
SYSTEM_LIBRARIES = {
    "libcrypto": ("OpenSSL", "Apache-2.0"),
    "libffi": ("libffi", "MIT"),
    "liblzma": ("xz", "0BSD"),
    "libbz2": ("bzip2", "bzip2-1.0.6"),
    "libexpat": ("expat", "MIT"),
    "libuuid": ("libuuid", "BSD-3-Clause"),
    "libz": ("zlib", "Zlib"),
    "libsqlite3": ("SQLite", "blessing"),
    "libmpdec": ("mpdecimal", "BSD-2-Clause"),
    "libtirpc": ("libtirpc", "BSD-3-Clause"),
    "libnsl": ("libnsl", "LGPL-2.1-or-later"),
    "libgcc_s": ("GCC runtime", "GPL-3.0-or-later WITH GCC-exception-3.1"),
}


def components(tools: BuildTools, tree: Path, windows: WindowsPython | None = None) -> list[Component]:
    """List everything inside the runtime in ``tree``, sorted by name. Raises BuildError when a text is missing.

    ``windows`` is where CPython and the compiled packages came from in a runtime for Windows.
    """
    found = [*_own(), *_native(tools), *_python_packages(tools), *_web_packages(tools)]
    if windows is None:
        found += [_musl(tools), _c_library(), *_system_libraries(tree)]
    else:
        version = windows.version
        found = [replace(part, version=version) if part.name == "CPython" else part for part in found]
        found += licences_windows.components(tools.environment, windows, tree)
    return sorted(found, key=lambda component: component.name.lower())


def _own() -> list[Component]:
    from packer import __version__

    text = (CHECKOUT / "LICENSE").read_text(encoding="utf-8")
    return [Component(name="packer", version=__version__, licence="MIT", text=text), _cpython()]


def _cpython() -> Component:
    import sys

    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    places = [
        Path(sys.base_prefix) / "lib" / version / "LICENSE.txt",
        *(
            Path(f"/usr/share/doc/{name}/copyright")
            for name in (f"lib{version}-minimal", f"{version}-minimal", version)
        ),
    ]
    return Component(name="CPython", version=python_version(), licence="PSF-2.0", text=first_text("CPython", places))


def _native(tools: BuildTools) -> list[Component]:
    sources, zig = tools.sources, tools.environment.zig.parent
    llama = sources.llama_cpp
    extra = sorted((llama / "licenses").iterdir()) if (llama / "licenses").is_dir() else []
    llama_text = "\n\n".join(path.read_text(encoding="utf-8", errors="replace") for path in [llama / "LICENSE", *extra])
    binding = sources.llama_cpp_python
    return [
        Component(name="llama.cpp", version=LLAMA_CPP_COMMIT, licence="MIT", text=llama_text),
        Component(
            name="llama-cpp-python",
            version=binding.name.rpartition("-")[2],
            licence="MIT",
            text=first_text("llama-cpp-python", [binding / "LICENSE.md"]),
        ),
        Component(
            name="JSON for Modern C++",
            version="as in llama.cpp",
            licence="MIT",
            text=first_text("JSON for Modern C++", [sources.llama_cpp / "licenses" / "LICENSE-jsonhpp"]),
        ),
        _stb_image(llama / "vendor" / "stb" / "stb_image.h"),
        Component(
            name="zstd", version="1.5", licence="BSD-3-Clause", text=first_text("zstd", [sources.zstd / "LICENSE"])
        ),
        Component(
            name="LLVM libc++",
            version="as in zig",
            licence="Apache-2.0 WITH LLVM-exception",
            text=first_text("libc++", [zig / "lib" / "libcxx" / "LICENSE.TXT", zig / "LICENSE"]),
        ),
    ]


LLAMA_CPP_COMMIT = "0c1e57098"


def _stb_image(header: Path) -> Component:
    """The decoder of pictures, whose licence stands at the end of its only file."""
    text = header.read_text(encoding="utf-8", errors="replace")
    licence = text[text.rindex("This software is available under 2 licenses") :].rstrip().removesuffix("*/")
    version = text[: text.index("\n")].partition(" - v")[2].split()[0]
    return Component(name="stb_image", version=version, licence="MIT OR Unlicense", text=licence)


def _musl(tools: BuildTools) -> Component:
    zig = tools.environment.zig.parent
    text = first_text("musl", [zig / "lib" / "libc" / "musl" / "COPYRIGHT", zig / "LICENSE"])
    return Component(name="musl", version="1.2", licence="MIT", text=text)


def _python_packages(tools: BuildTools) -> list[Component]:
    found = []
    for name, licence in PYTHON_PACKAGES.items():
        metadata = next(iter(sorted(tools.environment.site_packages.glob(f"{name}-*.dist-info"))), None)
        if metadata is None:
            raise BuildError(f"{name}: not in the build environment; the lock file and the licence list differ")
        texts = sorted(
            path
            for path in metadata.rglob("*")
            if path.is_file() and path.name.upper().startswith(("LICEN", "COPYING"))
        )
        text = "\n\n".join(path.read_text(encoding="utf-8", errors="replace") for path in texts)
        if not text:
            raise BuildError(f"{name}: its package carries no licence text")
        version = metadata.name.removesuffix(".dist-info").rpartition("-")[2]
        found.append(Component(name=name, version=version, licence=licence, text=text))
    return found


def _web_packages(tools: BuildTools) -> list[Component]:
    texts = web_libraries.web_libraries(tools.cache) / "licenses"
    return [
        Component(
            name=package.name.strip("@").replace("/", "-"),
            version=package.version,
            licence=package.licence,
            text=first_text(package.name, [texts / package.licence_name]),
        )
        for package in web_libraries.read_lock()
        if package.use == web_libraries.PAGE
    ]


def _c_library() -> Component:
    places = [Path(f"/usr/share/doc/{name}/copyright") for name in ("libc6", "glibc", "libc-bin")]
    return Component(
        name="glibc",
        version=c_library.host_glibc_version() or "unknown",
        licence="LGPL-2.1-or-later",
        text=first_text("glibc", places, fallback="GNU C Library, GNU Lesser General Public License 2.1 or later.\n"),
    )


def _system_libraries(tree: Path) -> list[Component]:
    present = {path.name.split(".")[0].split("-")[0] for path in tree.rglob("lib*.so*")}
    found = []
    for stem, (name, licence) in SYSTEM_LIBRARIES.items():
        if stem in present:
            text = system_text(stem, name, licence)
            found.append(Component(name=name, version="as in the build system", licence=licence, text=text))
    return found


def system_text(stem: str, name: str, licence: str) -> str:
    """The copyright file of the Debian package that owns a library, or a short statement elsewhere."""
    try:
        answer = subprocess.run(["dpkg", "-S", f"*/{stem}.so.*"], capture_output=True, text=True, check=False).stdout
    except OSError:
        answer = ""
    packages = [line.split(":")[0] for line in answer.splitlines()]
    places = [Path(f"/usr/share/doc/{package}/copyright") for package in packages]
    return first_text(name, places, fallback=f"{name}, licence {licence}, as distributed by the build system.\n")


def spdx_document(parts: list[Component], *, name: str) -> bytes:
    """Serialise ``parts`` as an SPDX 2.3 document; the same parts give the same bytes."""
    packages: list[dict[str, Any]] = [
        {
            "SPDXID": f"SPDXRef-{index}",
            "name": part.name,
            "versionInfo": part.version,
            "licenseConcluded": part.licence,
            "licenseDeclared": part.licence,
            "downloadLocation": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "filesAnalyzed": False,
        }
        for index, part in enumerate(parts, 1)
    ]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"urn:packer:{name}",
        "creationInfo": {"created": "1980-01-01T00:00:00Z", "creators": ["Tool: packer"]},
        "packages": packages,
    }
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def merged_documents(documents: list[bytes]) -> bytes:
    """Return one SPDX document that lists what any of ``documents`` lists, equal parts once."""
    if len(documents) == 1:
        return documents[0]
    parsed = [json.loads(document) for document in documents]
    parts = {
        (package["name"], package["versionInfo"]): package for document in parsed for package in document["packages"]
    }
    packages = [
        {**package, "SPDXID": f"SPDXRef-{index}"} for index, (_, package) in enumerate(sorted(parts.items()), 1)
    ]
    name = "+".join(document["name"] for document in parsed)
    merged = {**parsed[0], "name": name, "documentNamespace": f"urn:packer:{name}", "packages": packages}
    return json.dumps(merged, indent=1, sort_keys=True).encode() + b"\n"
