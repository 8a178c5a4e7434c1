"""Is a dataset fit to train on? `python -m artifact_detection.audit DATASET --html report.html`.

The filter's --audit, a random sample for people to look at, is filtering/sample.py and filtering/acceptance.py.
"""
