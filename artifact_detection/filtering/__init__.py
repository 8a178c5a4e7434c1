"""The rooms of filter_images.py, in the order data flows.

inputs (what is to be judged) -> store (what is known so far, kept on disk) -> promises and calibration (which bands
hold for these images) -> policy (bands and reasons) -> results (scores.csv) -> estimates and shift (what that does to
the dataset) -> actions (copy, move, link, list, undo).
"""
