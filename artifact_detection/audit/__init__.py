"""Is a dataset fit to train on? `python -m artifact_detection.audit DATASET --html report.html`."""
