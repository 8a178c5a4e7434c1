"""What a user's runs on this machine keep for each other, outside of every folder that they work in."""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from artifact_detection.system.renaming import rename_new

_PROCESS_KEY = secrets.token_bytes(32)


def state_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/.local/state")
    return Path(state) / "artifact-detection"


def machine_key() -> bytes:
    """A secret of this user on this machine, made when it is first needed; for this process where none can be kept."""
    path = state_folder() / "key"
    try:
        if not path.is_file() or path.stat().st_size < 32:
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"key-{secrets.token_hex(8)}")
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
                handle.write(secrets.token_hex(32))
            with suppress(FileExistsError):  # of another run that starts in this moment
                rename_new(temporary, path)
            temporary.unlink(missing_ok=True)
        return path.read_bytes()
    except OSError:
        return _PROCESS_KEY


def signature(text: str) -> str:
    """64 hex digits that nobody else could have made of this text."""
    return hmac.new(machine_key(), text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
