"""Taking a member out of a tar shard, as a transfer like any other: planned, checked, undone."""

import hashlib
from dataclasses import dataclass

from artifact_detection.system.files import ChangedBytesError, sha256_file, write_atomic
from artifact_detection.system.transfers import PENDING, Transfer


@dataclass(frozen=True)
class Extraction(Transfer):
    """Copy `bytes` bytes of the shard `source`, from `offset` on, to `destination`."""

    offset: int
    bytes: int

    def carry_out(self) -> None:
        if self.state() != PENDING:
            return
        with open(self.source, "rb") as handle:
            handle.seek(self.offset)
            data = handle.read(self.bytes)
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ChangedBytesError(f"{self.source} changed while it was in use")
        self.destination.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.destination, data)

    def why_not_undone(self) -> str:
        """A copy of bytes that the shard may no longer have: it goes only if it is unchanged and they are there."""
        if not self.destination.is_file():
            return ""
        if sha256_file(self.destination) != self.sha256:
            return "changed since, left where it is"
        return "" if self.source.is_file() else "its shard is gone, left where it is"
