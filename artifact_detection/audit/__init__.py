"""Is a dataset fit to train on? One decode per file, every measure, duplicates, leakage, shortcuts.

python -m artifact_detection.audit DATASET --html report.html

measured = measure_files(paths)  # a row per file, in the order given
groups = duplicate_groups(measured)  # rows that show one picture share an id: never split them
checks = run_checks(audit_dataset("dataset"))  # ok, look or stop, with a sentence each
"""

from artifact_detection.audit.checks import Check, check, run_checks, worst
from artifact_detection.audit.dataset import Audit, audit_dataset
from artifact_detection.audit.duplicates import duplicate_groups, duplicate_links, group_ids, near_duplicate_pairs
from artifact_detection.audit.measure import measure_files
from artifact_detection.audit.store import Measurements

__all__ = [
    "Audit",
    "Check",
    "Measurements",
    "audit_dataset",
    "check",
    "duplicate_groups",
    "duplicate_links",
    "group_ids",
    "measure_files",
    "near_duplicate_pairs",
    "run_checks",
    "worst",
]
