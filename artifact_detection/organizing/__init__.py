"""The steps of organize_dataset.py: its options, what it refuses, the plan and its rows in the manifest."""
