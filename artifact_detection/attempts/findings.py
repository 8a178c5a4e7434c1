"""The sentences of model-training-attempts/compare.ipynb, computed from what its figures show."""

import pandas as pd

from artifact_detection.attempts.analysis import seed_spread
from artifact_detection.attempts.report import difference
from artifact_detection.evaluation.findings import SIGNIFICANT


def cost_finding(board: pd.DataFrame) -> str:
    """Which attempts may be as good as the best? Not which is fastest: they did not have the machine to themselves."""
    best = board.iloc[0]
    return (
        f"{(board['ap'] >= best['low']).sum()} of {len(board)} attempts lie within the interval of the best, "
        f"{board.index[0]}. Times compare only where the machine had the same other work (README.md)."
    )


def difference_finding(board: pd.DataFrame) -> str:
    """Which differences from the recipe are more than chance?"""
    shown = board[board["p"] < SIGNIFICANT]
    tested = board["p"].notna().sum()
    if shown.empty:
        return f"None of the {tested} differences from the recipe is shown after Holm's correction: each may be chance."
    texts = [f"{name} {difference(row)}" for name, row in shown.iterrows()]
    return f"{len(shown)} of {tested} differences hold after Holm's correction: {'; '.join(texts)}."


def learning_finding(history: pd.DataFrame) -> str:
    """Was the training long enough?"""
    runs = history.groupby(["attempt", "seed", "fold"])
    last = (runs["val_ap"].agg(lambda values: values.to_numpy().argmax() == len(values) - 1)).sum()
    return (
        f"In {last} of {runs.ngroups} trainings the last epoch was the best on validation: "
        f"{'most had not finished learning' if last > runs.ngroups / 2 else 'most had their best epoch behind them'}."
    )


def seed_finding(rows: pd.DataFrame) -> str:
    """How much does the seed alone change?"""
    values = {
        name: part.groupby("seed")["oof_ap"].mean().tolist()
        for name, part in rows.groupby("attempt")
        if part["seed"].nunique() > 1
    }
    if not values:
        return "No attempt has several seeds, so the spread between seeds is not known."
    return (
        f"Between seeds, which also draw the folds anew, the AP of an attempt has a standard deviation of "
        f"{seed_spread(values):.3f}."
    )
