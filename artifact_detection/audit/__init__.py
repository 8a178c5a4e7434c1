"""Is a dataset fit to train on? One decode per file, every measure, duplicates, leakage, shortcuts.

    measured = measure_files(paths)  # a row per file, in the order given
    groups = duplicate_groups(measured)  # rows that show one picture share an id: never split them
"""

from artifact_detection.audit.duplicates import duplicate_groups, duplicate_links, group_ids, near_duplicate_pairs
from artifact_detection.audit.measure import measure_files
from artifact_detection.audit.store import Measurements

__all__ = [
    "Measurements",
    "duplicate_groups",
    "duplicate_links",
    "group_ids",
    "measure_files",
    "near_duplicate_pairs",
]
