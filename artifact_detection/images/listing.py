"""Which files of a folder are images by their names, and what is left out: said alike by all that read a folder."""

from dataclasses import dataclass, field
from pathlib import Path

from artifact_detection.labels import IMAGE_SUFFIXES
from artifact_detection.system.paths import find_files, first_of, printable

OTHER, HIDDEN = "not an image by its name", "hidden"
UNREAD = "a format that is not read, convert it to PNG"
UNREAD_SUFFIXES = frozenset({".heic", ".heif", ".avif", ".gif", ".jxl", ".jp2", ".jfif", ".tga", ".psd", ".svg"})
NAMED = 20  # files that a sentence names; where there are more, it says how many


@dataclass
class Listing:
    """files: paths in the order of `find_files`; left_out: printable name, relative to the folder -> why."""

    files: list[Path] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def missed(self) -> dict[str, str]:
        """What is left out though it may be an image that the user counts on: links, unread formats, no permission."""
        return {name: why for name, why in self.left_out.items() if why not in (OTHER, HIDDEN)}

    @property
    def others(self) -> list[str]:
        return [name for name, why in self.left_out.items() if why in (OTHER, HIDDEN)]


def list_image_files(folder: Path) -> Listing:
    """Every file below a folder, sorted into images and what is left out. Hidden folders' files are hidden, too."""
    listing = Listing()
    for path, problem in find_files(folder):
        name = path.relative_to(folder)
        why = problem or _why_left_out(name)
        if why:
            listing.left_out[printable(name.as_posix())] = why
        else:
            listing.files.append(path)
    return listing


def _why_left_out(name: Path) -> str:
    if any(part.startswith(".") for part in name.parts):  # .ipynb_checkpoints, macOS' ._ files
        return HIDDEN
    suffix = name.suffix.lower()
    if suffix in UNREAD_SUFFIXES:
        return UNREAD
    return "" if suffix in IMAGE_SUFFIXES else OTHER


def beside(folder: Path, *known: str) -> str:
    """Names the folders and images in `folder` that lie beside the `known` ones; empty if there are none."""
    paths = [path for path in sorted(folder.iterdir()) if path.name not in known and not path.name.startswith(".")]
    names = [path.name + "/" for path in paths if path.is_dir()]
    names += [path.name for path in paths if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES | UNREAD_SUFFIXES]
    return named(names)


def named(names: list[str]) -> str:
    """The first of some names, for a sentence."""
    return ", ".join(first_of(names, NAMED))
