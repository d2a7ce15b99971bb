"""Writes the resources of the Windows launcher as a ``.res`` file: icon, version information, application manifest.

Sources: Microsoft's "Resource File Formats", "VS_VERSIONINFO structure", "Application manifests". The manifest asks for
UTF-8 as the code page, paths over 260 characters, and no more rights than the user has.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from packer.toolchain.icon import icon_images

if TYPE_CHECKING:
    from collections.abc import Iterator

RT_ICON, RT_GROUP_ICON, RT_VERSION, RT_MANIFEST = 3, 14, 16, 24
US_ENGLISH, UNICODE_PAGE, NEUTRAL = 0x0409, 0x04B0, 0
MEMORY_FLAGS = 0x1030
PRODUCT = "Chat with a language model"
MANIFEST = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<assembly xmlns="urn:schemas-microsoft-com:asm.v1" manifestVersion="1.0">
  <assemblyIdentity type="win32" name="packer.chat" version="{version}" processorArchitecture="amd64"/>
  <trustInfo xmlns="urn:schemas-microsoft-com:asm.v3"><security><requestedPrivileges>
    <requestedExecutionLevel level="asInvoker" uiAccess="false"/>
  </requestedPrivileges></security></trustInfo>
  <compatibility xmlns="urn:schemas-microsoft-com:compatibility.v1"><application>
    <supportedOS Id="{{8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a}}"/>
  </application></compatibility>
  <application xmlns="urn:schemas-microsoft-com:asm.v3"><windowsSettings>
    <activeCodePage xmlns="http://schemas.microsoft.com/SMI/2019/WindowsSettings">UTF-8</activeCodePage>
    <longPathAware xmlns="http://schemas.microsoft.com/SMI/2016/WindowsSettings">true</longPathAware>
    <dpiAware xmlns="http://schemas.microsoft.com/SMI/2005/WindowsSettings">true</dpiAware>
  </windowsSettings></application>
</assembly>
"""


def resource_file(version: str) -> bytes:
    """Return the ``.res`` file for a launcher of packer ``version`` (such as ``0.1.0``)."""
    numbers = [*(int(part) for part in version.split(".")[:4] if part.isdigit()), 0, 0, 0, 0][:4]
    icons = icon_images()
    parts = [_resource(0, 0, b"", language=0, flags=0)]
    parts += [_resource(RT_ICON, index, image) for index, (_, image) in enumerate(icons, 1)]
    parts.append(_resource(RT_GROUP_ICON, 1, _icon_group(icons)))
    parts.append(_resource(RT_VERSION, 1, _version_information(version, numbers)))
    manifest = MANIFEST.format(version=".".join(str(number) for number in numbers))
    parts.append(_resource(RT_MANIFEST, 1, manifest.encode()))
    return b"".join(parts)


def _resource(kind: int, name: int, content: bytes, *, language: int = US_ENGLISH, flags: int = MEMORY_FLAGS) -> bytes:
    header = struct.pack("<2I4HI2H2I", len(content), 32, 0xFFFF, kind, 0xFFFF, name, 0, flags, language, 0, 0)
    return header + _aligned(content)


def _aligned(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)


def _icon_group(icons: list[tuple[int, bytes]]) -> bytes:
    entries = [
        struct.pack("<4B2HIH", size % 256, size % 256, 0, 0, 1, 32, len(image), index)
        for index, (size, image) in enumerate(icons, 1)
    ]
    return struct.pack("<3H", 0, 1, len(icons)) + b"".join(entries)


def _version_information(version: str, numbers: list[int]) -> bytes:
    major, minor, patch, build = numbers
    high, low = major << 16 | minor, patch << 16 | build
    fixed = struct.pack("<13I", 0xFEEF04BD, 0x10000, high, low, high, low, 0x3F, 0, 0x40004, 1, 0, 0, 0)
    strings = {
        "FileDescription": PRODUCT,
        "ProductName": PRODUCT,
        "FileVersion": version,
        "ProductVersion": version,
        "InternalName": "chat",
        "OriginalFilename": "chat.exe",
        "LegalCopyright": "See licenses/ inside this file, or run it with --licenses",
    }
    table = _block(f"{US_ENGLISH:04x}{UNICODE_PAGE:04x}", b"", b"".join(_aligned(one) for one in _strings(strings)))
    translation = _block("Translation", struct.pack("<2H", US_ENGLISH, UNICODE_PAGE), b"")
    children = _aligned(_block("StringFileInfo", b"", table)) + _block("VarFileInfo", b"", translation)
    return _block("VS_VERSION_INFO", fixed, children)


def _strings(values: dict[str, str]) -> Iterator[bytes]:
    for name, value in values.items():
        yield _block(name, (value + "\0").encode("utf-16-le"), b"", is_text=True)


def _block(key: str, value: bytes, children: bytes, *, is_text: bool = False) -> bytes:
    """One block of version information: lengths, kind, key, value, children, each aligned to four bytes."""
    kind = 1 if is_text or not value else 0
    value_length = len(value) // 2 if is_text else len(value)
    name = (key + "\0").encode("utf-16-le")
    start = _aligned(bytes(6) + name)
    body = start + (_aligned(value) if children else value) + children
    return struct.pack("<3H", len(body), value_length, kind) + body[6:]
