"""The names of the files in a run folder, runs/<name>/: for what writes them and for what reads them."""

MAKER = "model_training"  # in the record of a run folder
CONFIG = "config.toml"  # effective settings, packages, commit, data
HISTORY = "history.csv"  # a row per epoch
BEST, LAST = "best.pt", "last.pt"  # the checkpoint that counts; where --resume goes on
METRICS, CURVES = "metrics.json", "curves.png"
VALIDATION, TEST, HELD_OUT, OUT_OF_FOLD = "val", "test", "held_out", "oof"  # splits that are predicted


def predictions(split: str) -> str:
    """The table path, label, probability, prediction of a split."""
    return f"{split}_predictions.csv"


SPLITS = (VALIDATION, TEST, HELD_OUT)
ALL = (CONFIG, HISTORY, BEST, LAST, METRICS, CURVES, "tensorboard", *map(predictions, SPLITS))
