"""The shape that command lines have in common."""

import argparse


def script_parser(description: str, takes: str = "[options]") -> argparse.ArgumentParser:
    """A parser without abbreviated flags; takes: what follows the script's name.

    Its usage is one line, for argparse would print twelve before it says what is wrong.
    """
    return argparse.ArgumentParser(
        usage=f"%(prog)s {takes}, all listed by --help", description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip


def module_parser(module: str, description: str, epilog: str | None = None) -> argparse.ArgumentParser:
    """The same for `python -m artifact_detection.MODULE`, with argparse's own usage."""
    return argparse.ArgumentParser(
        f"python -m artifact_detection.{module}", description=description, epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
