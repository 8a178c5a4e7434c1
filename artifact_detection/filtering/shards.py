"""The images in a tar shard: their names and where their bytes are, whatever is damaged or made to do harm.

Headers are tarfile's to parse; the walk is our own, so that no size in a header decides how long it takes or how much
memory: what does not fit into the file is named, and the next header is looked for behind it.
"""

import os
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from artifact_detection.images.decoding import MAX_BYTES
from artifact_detection.images.listing import UNREAD, UNREAD_SUFFIXES
from artifact_detection.labels import IMAGE_SUFFIXES

TAR = ".tar"
COMPRESSIONS = {  # how each begins, and how such a tar's name ends
    b"\x1f\x8b": (".tar.gz", ".tgz"),
    b"BZh": (".tar.bz2", ".tbz2", ".tbz"),
    b"\xfd7zXZ": (".tar.xz", ".txz"),
    b"\x28\xb5\x2f\xfd": (".tar.zst", ".tzst"),
}
COMPRESSED = tuple(suffix for suffixes in COMPRESSIONS.values() for suffix in suffixes)
UNPACK = "unreadable: compressed tar, unpack it to .tar first"
MAX_NESTING = 3  # tar in tar in tar
BLOCK = tarfile.BLOCKSIZE
MAX_NAME = 4096  # bytes of a member's name, as of a path on a disk
MAX_HEADER = 1 << 20  # bytes of an extended header
SEARCHED = 1 << 30  # bytes in which a header is looked for behind a damaged one
MAX_DAMAGE = 1_000  # damaged places that are named in one shard
WITHOUT_DATA = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
NOT_REGULAR = "unreadable: not a regular file in the tar"


class Member(NamedTuple):
    """name in the shard; where its bytes are; problem: why there is nothing to decode."""

    name: str
    offset: int
    bytes: int
    problem: str = ""


class DamagedTarError(Exception):
    """A header that makes no sense; the message says why."""


def is_tar(name: str) -> bool:
    return name.lower().endswith((TAR, *COMPRESSED))


def images_in(handle: BinaryIO, start: int, end: int, others: Counter, depth: int = 0) -> Iterator[Member]:
    """Every image of the archive in bytes `start` to `end`; others: counts the other files by their suffix."""
    if _read(handle, start, min(8, end - start)).startswith(tuple(COMPRESSIONS)):
        yield Member("", start, 0, UNPACK)
        return
    damages = 0
    for member in _members(handle, start, end):
        suffix = PurePosixPath(member.name).suffix.lower()
        if suffix in UNREAD_SUFFIXES and not member.problem:
            yield member._replace(problem=f"unreadable: {UNREAD}")
        elif member.name and not member.problem and suffix not in IMAGE_SUFFIXES and not is_tar(member.name):
            others[suffix] += 1
        elif suffix == TAR and depth < MAX_NESTING and not member.problem:
            for inner in images_in(handle, member.offset, member.offset + member.bytes, others, depth + 1):
                yield inner._replace(name=f"{member.name}/{inner.name}".rstrip("/"))
        elif is_tar(member.name) and not member.problem:
            yield member._replace(problem="unreadable: compressed or too deeply nested tar")
        elif not member.problem and member.bytes > MAX_BYTES:
            yield member._replace(problem=f"too large: {member.bytes / 1e6:.0f} MB")
        else:
            damages += member.problem not in ("", NOT_REGULAR)  # links and devices are whole, and may be many
            if damages > MAX_DAMAGE:
                yield Member("", start, 0, f"unreadable: damaged tar (over {MAX_DAMAGE} damaged members)")
                return
            yield member if member.name or member.offset == start else member._replace(name=f"byte {member.offset}")


def _members(handle: BinaryIO, start: int, end: int) -> Iterator[Member]:
    """Every file of one archive; what is wrong is a member with a problem, without a name if that is not known."""
    position, extended, budget, empty = start, {}, SEARCHED, True
    while position is not None and position + BLOCK <= end:
        try:
            header = _header(handle, position)
        except (tarfile.HeaderError, ValueError, OverflowError) as error:
            # A block of zeros is the end, or that of one archive behind which is another.
            if extended or not isinstance(error, tarfile.EOFHeaderError):
                yield Member(_short(extended.get("path", "")), position, 0, f"unreadable: damaged tar ({error})")
            empty, extended = False, {}
            position, budget = _next_header(handle, position + BLOCK, end, budget)
            continue
        empty = False
        data = position + BLOCK
        try:
            size = _size(header, extended, end - data)
            if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME):
                extended |= _extension(handle, header, data, size)
            elif header.type not in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
                if header.type != tarfile.DIRTYPE:
                    yield _file(header, extended, data, size)
                extended = {}
            position = data + -(-size // BLOCK) * BLOCK
        except DamagedTarError as error:
            yield Member(_short(_name(header, extended)), data, 0, f"unreadable: damaged tar ({error})")
            extended = {}
            position, budget = _next_header(handle, data, end, budget)
    if empty:
        yield Member("", start, 0, "unreadable: damaged tar (no header)")
    elif extended or (position is not None and _read(handle, position, end - position).strip(b"\0")):
        yield Member(_short(extended.get("path", "")), end, 0, "unreadable: damaged tar (it ends within a header)")


def _read(handle: BinaryIO, position: int, size: int) -> bytes:
    handle.seek(position)
    return handle.read(max(0, size))


def _header(handle: BinaryIO, position: int) -> tarfile.TarInfo:
    return tarfile.TarInfo.frombuf(_read(handle, position, BLOCK), "utf-8", "surrogateescape")


def _size(header: tarfile.TarInfo, extended: dict[str, str], room: int) -> int:
    """Bytes of data behind a header. Raises DamagedTarError if they cannot be there."""
    try:
        size = 0 if header.type in WITHOUT_DATA else int(extended.get("size", header.size))
    except ValueError:
        raise DamagedTarError("its size is no number") from None
    if not 0 <= size <= room:
        raise DamagedTarError(f"a member of {size} bytes, where {room} are left")
    return size


def _extension(handle: BinaryIO, header: tarfile.TarInfo, data: int, size: int) -> dict[str, str]:
    """What a header in front of a header says of the next member."""
    if size > MAX_HEADER:
        raise DamagedTarError(f"a header of {size} bytes")
    content = _read(handle, data, size)
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": os.fsdecode(content.split(b"\0")[0])}
    return dict(_records(content))


def _records(content: bytes) -> Iterator[tuple[str, str]]:
    """The records "length key=value" of a pax header. Raises DamagedTarError."""
    position, end = 0, len(content.rstrip(b"\0"))
    while position < end:
        length = content[position : position + 8].partition(b" ")[0]
        if not length.isdigit() or len(length) > 7 or not len(length) + 1 < int(length) <= len(content) - position:
            raise DamagedTarError("a pax header without sense")
        record = content[position + len(length) + 1 : position + int(length)]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if not equals:
            raise DamagedTarError("a pax header without sense")
        yield key.decode("utf-8", "replace"), os.fsdecode(value)
        position += int(length)


def _file(header: tarfile.TarInfo, extended: dict[str, str], data: int, size: int) -> Member:
    name = _name(header, extended)
    if "\0" in name or len(os.fsencode(name)) > MAX_NAME:
        return Member(_short(name), data, 0, "unreadable: a name that no file can have")
    sparse = header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in extended)
    if sparse or header.type not in (*tarfile.REGULAR_TYPES,):
        return Member(name, data, 0, NOT_REGULAR)
    return Member(name, data, size)


def _name(header: tarfile.TarInfo, extended: dict[str, str]) -> str:
    return extended.get("GNU.sparse.name") or extended.get("path") or header.name


def _short(name: str) -> str:
    name = name.replace("\0", "\\0")
    return name if len(name) <= 100 else f"{name[:100]}..."


def _next_header(handle: BinaryIO, position: int, end: int, budget: int) -> tuple[int | None, int]:
    """Where the next block is that says "ustar" and has the right checksum, None if none is near; what is left of the
    bytes that may be searched."""
    while position + BLOCK <= end and budget > 0:
        chunk = _read(handle, position, min(1 << 20, end - position) // BLOCK * BLOCK)
        if not chunk:
            break
        for at in range(0, len(chunk), BLOCK):
            if chunk[at + 257 : at + 262] == b"ustar" and _is_header(chunk[at : at + BLOCK]):
                return position + at, budget - at
        position, budget = position + len(chunk), budget - len(chunk)
    return None, 0


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError, OverflowError):
        return False
    return True
