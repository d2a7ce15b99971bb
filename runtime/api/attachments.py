"""``POST /api/attachments``: a file in, its text out. Nothing is kept; the page sends the text with its message."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.formparser import FormDataParser

from packer.errors import InputError
from runtime.api.errors import ApiError
from runtime.attachments.limits import MAX_FILE_BYTES
from runtime.attachments.reader import FileReader, FileTooLargeError, UnsupportedFileError

if TYPE_CHECKING:
    from werkzeug.datastructures import FileStorage

EXTENSION = "file_reader"
MULTIPART = "multipart/form-data"
OVERHEAD_BYTES = 64 << 10
MAX_PARTS = 10


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("attachments", __name__)
    blueprint.post("/api/attachments")(read_attachment)
    return blueprint


def file_reader() -> FileReader:
    """Return the reader of the current application."""
    return cast("FileReader", current_app.extensions[EXTENSION])


def read_attachment() -> Response:
    """Read the file in the field ``file``."""
    given = _given_file()
    try:
        return jsonify(file_reader().read(given.filename or "", given.stream.read()))
    except FileTooLargeError as error:
        raise ApiError(413, str(error), param="file", code="file_too_large") from error
    except UnsupportedFileError as error:
        raise ApiError(415, str(error), param="file", code="unsupported_file") from error
    except InputError as error:
        raise ApiError(400, str(error), param="file", code="unreadable_file") from error


def _given_file() -> FileStorage:
    """Parse the form in memory; Flask's own parser would write a large file to a temporary one."""
    if request.mimetype != MULTIPART:
        raise ApiError(415, f"expected Content-Type {MULTIPART}, found {request.mimetype or 'nothing'}")
    if (request.content_length or 0) > MAX_FILE_BYTES + OVERHEAD_BYTES:
        limit = MAX_FILE_BYTES >> 20
        raise ApiError(413, f"the file is too large; at most {limit} MiB can be attached", code="file_too_large")
    request.max_content_length = MAX_FILE_BYTES + OVERHEAD_BYTES
    parser = FormDataParser(stream_factory=_in_memory, max_form_memory_size=OVERHEAD_BYTES, max_form_parts=MAX_PARTS)
    _stream, _fields, files = parser.parse(
        request.stream, request.mimetype, request.content_length, request.mimetype_params
    )
    given = files.get("file")
    if given is None:
        raise ApiError(400, "file: is missing; send the file in a form field of that name", param="file")
    return given


def _in_memory(*_arguments: Any, **_options: Any) -> io.BytesIO:
    return io.BytesIO()
