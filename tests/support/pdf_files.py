"""Writes small PDF files by hand (ISO 32000-1): one page for each text, or for each content stream."""

from __future__ import annotations

import zlib


def pdf_with_text(*texts: str) -> bytes:
    """A PDF with one line of Latin text on each page."""
    return pdf_with_streams(*(f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode("latin-1") for text in texts))


def pdf_with_streams(*streams: bytes) -> bytes:
    """A PDF whose pages have these content streams, deflated."""
    kids = " ".join(f"{3 + 2 * index} 0 R" for index in range(len(streams)))
    font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(streams)} >>".encode(),
    ]
    for index, stream in enumerate(streams):
        page = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {4 + 2 * index} 0 R /Resources {font} >>"
        )
        packed = zlib.compress(stream)
        head = f"<< /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode()
        objects += [page.encode(), head + packed + b"\nendstream"]
    content = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(content))
        content += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(content)
    content += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    content += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    content += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(content)
