"""The comparison of attempts, and whether the committed tables and texts are those of the committed results."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from artifact_detection.attempts import analysis, findings, plots, report
from artifact_detection.attempts.catalogue import FOLDER, RECIPE, read_attempts
from artifact_detection.attempts.protocols import PROTOCOLS, Job, Protocol
from artifact_detection.attempts.results import Results, quality

README = (FOLDER / "README.md").read_text(encoding="utf-8")
COMMITTED = Results(FOLDER)
TOY = Protocol("toy", "drawn predictions", folds=2, seeds=2)


def predictions(skill: float, seed: int, count: int = 300) -> pd.DataFrame:
    """Out-of-fold predictions of the same images by a model of some skill; images come in pairs."""
    labels = (np.arange(count) // 2 % 5 == 0).astype(int)
    noise = np.random.default_rng(7).normal(size=count) + 0.2 * np.random.default_rng(seed).normal(size=count)
    probabilities = 1 / (1 + np.exp(-(skill * labels + noise)))
    table = pd.DataFrame({"path": [f"image {i:03d}" for i in range(count)], "label": labels})
    table = table.assign(probability=probabilities, prediction=(probabilities > 0.8).astype(int))
    return table.assign(fold=np.arange(count) // 2 % 2 + 1, group=np.arange(count) // 2)


def keep(results: Results, attempt, seed: int, table: pd.DataFrame, protocol: Protocol = TOY) -> None:
    rows = []
    for fold in (1, 2):
        values = quality(table[table["fold"] == fold])
        row = {"fold": fold} | {f"{part}_{k}": v for part in ("val", "oof") for k, v in values.items()}
        rows.append(row | {"seconds": 5.0, "millions": 4.1, "peak_memory_mb": 900, "device": "cpu", "commit": "abc"})
    history = pd.DataFrame({"epoch": [1, 2] * 2, "val_ap": [0.3, 0.4] * 2, "fold": [1, 1, 2, 2]})
    job = Job(protocol, attempt, seed, 2)
    results.keep(job, pd.DataFrame(rows).assign(settings=job.digest), history, table)


@pytest.fixture
def attempts():
    wanted = (RECIPE, "20-oversampling-none", "27-bce", "28-bce-oversampling-none", "02-vgg16")
    return [attempt for attempt in read_attempts() if attempt.name in wanted]


@pytest.fixture
def results(tmp_path, attempts):
    """The recipe and 27 are equally good, 20 is better, 28 is worse; the network 02 is best of all."""
    skills = {RECIPE: 1.5, "20-oversampling-none": 2.5, "27-bce": 1.5, "28-bce-oversampling-none": 0.5, "02-vgg16": 4}
    for attempt in attempts:
        for seed in range(1 if attempt.name == "02-vgg16" else 3):
            keep(Results(tmp_path), attempt, seed, predictions(skills[attempt.name], seed + 10 * len(attempt.name)))
    return Results(tmp_path)


@pytest.fixture
def board(results, attempts):
    return analysis.analyse(results, TOY, attempts)


def test_mean_ap_is_scikit_learns_over_folds():
    table = predictions(1.0, 0)
    expected = [average_precision_score(t["label"], t["probability"]) for _, t in table.groupby("fold")]
    assert analysis.mean_ap(table, np.ones((1, len(table)))).item() == pytest.approx(np.mean(expected))


def test_groups_are_drawn_whole_and_classes_keep_their_size():
    table = predictions(1.0, 0)
    counts = analysis.image_counts(table, replicates=50)
    assert counts.shape == (50, 300)
    assert (counts[:, ::2] == counts[:, 1::2]).all() and (counts[0, ::2] != counts[1, ::2]).any()
    assert (counts[:, table["label"] == 1].sum(axis=1) == table["label"].sum()).all()


def test_spread_between_seeds_is_pooled():
    assert analysis.seed_spread({"a": [1, 3], "b": [5, 5], "c": [9]}) == pytest.approx(1.0)
    assert np.isnan(analysis.seed_spread({"c": [9]}))


def test_what_is_better_is_found_and_what_is_equal_is_not(board):
    assert list(board.index[:2]) == ["02-vgg16", "20-oversampling-none"] and board.index[-1].startswith("28-")
    assert np.isnan(board.loc[RECIPE, "p"])
    better, equal, worse = (board.loc[name] for name in ("20-oversampling-none", "27-bce", "28-bce-oversampling-none"))
    assert better["p"] < 0.05 and better["difference_low"] > 0
    assert worse["p"] < 0.05 and worse["difference_high"] < 0
    assert equal["p"] > 0.05 and equal["difference_low"] < 0 < equal["difference_high"]
    assert ((board["low"] < board["ap"]) & (board["ap"] < board["high"])).all()


def test_effects_average_over_pairs_and_seeds(results, attempts):
    pairs = {
        "better": [("20-oversampling-none", RECIPE), ("27-bce", "28-bce-oversampling-none")],
        "nothing": [("27-bce", RECIPE)],
    }
    found = analysis.effects(results, TOY, pairs)
    board = analysis.analyse(results, TOY, attempts)
    gains = [board.loc[a, "ap"] - board.loc[b, "ap"] for a, b in pairs["better"]]
    assert found.loc["better", "difference"] == pytest.approx(np.mean(gains))
    assert list(found["runs"]) == [6, 3]
    assert found.loc["better", "p"] < 0.05 < found.loc["nothing", "p"]
    assert analysis.effects(results, TOY, pairs | {"one seed": [("02-vgg16", RECIPE)]}).empty


def test_the_same_predictions_do_not_differ(results, attempts):
    for seed in range(3):
        keep(results, attempts[-2], seed, results.read_predictions("toy", RECIPE, seed))
    row = analysis.analyse(results, TOY, attempts).loc[attempts[-2].name]
    assert row["difference"] == 0 and row["p"] == 1


def test_one_seed_is_less_certain_than_three(results, attempts):
    three = analysis.analyse(results, TOY, attempts).loc["27-bce"]
    for attempt in attempts:
        if attempt.name == "27-bce":
            (results.folder / "results.csv").write_text(
                pd.read_csv(results.folder / "results.csv")
                .query("attempt != '27-bce' or seed == 0")
                .to_csv(index=False)
            )
    one = analysis.analyse(results, TOY, attempts).loc["27-bce"]
    assert one["high"] - one["low"] > three["high"] - three["low"]


def test_nothing_to_compare_with_or_other_images_is_an_error(results, attempts):
    other = predictions(1, 0).assign(path=lambda table: "x" + table["path"])
    keep(results, attempts[-1], 0, other)
    with pytest.raises(analysis.ReportError, match="2 different sets of images"):
        analysis.analyse(results, TOY, attempts)
    table = pd.read_csv(results.folder / "results.csv")
    (results.folder / "results.csv").write_text(table[table["attempt"] == "27-bce"].to_csv(index=False))
    with pytest.raises(analysis.ReportError, match="01-recipe has not been run"):
        analysis.analyse(results, TOY, attempts)


def test_report_has_a_row_an_attempt_and_can_be_written_again(results, attempts, monkeypatch, tmp_path):
    monkeypatch.setattr(report, "PROTOCOLS", {"toy": TOY, "full": PROTOCOLS["full"]})
    for attempt in attempts:
        shutil.copy(FOLDER / f"{attempt.name}.toml", tmp_path)
    (tmp_path / "README.md").write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_report(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "\nold\n" not in text
    for attempt in attempts:
        assert f"`python -m artifact_detection.attempts --protocol toy --only {attempt.name}`" in text
    assert "- **class imbalance**: better than the recipe: 20-oversampling-none" in text
    assert "**20-oversampling-none** (oversampling = none), +" in text, "02-vgg16 is another network"
    assert re.search(r"\| both: the recipe \| 01-recipe \| 3 \| 0\.\d{3} ± 0\.\d{3}", text)
    assert "Not run yet, and nothing is claimed for it" in text
    report.write_report(tmp_path)
    assert (tmp_path / "README.md").read_text() == text


def test_figures_and_sentences_of_any_board(board, results):
    history, rows = results.read_history("toy"), results.read("toy")
    for figure in (plots.plot_costs(board), plots.plot_differences(board), plots.plot_seeds(rows)):
        assert figure.axes
    titles = [axis.get_title(loc="left") for axis in plots.plot_learning(history, board).axes]
    assert titles == ["networks", "class imbalance", "loss"]
    assert "3 of 4 differences hold" in findings.difference_finding(board)
    assert "26 of 26 trainings" in findings.learning_finding(history)
    assert re.search(r"deviation of 0\.0\d\d", findings.seed_finding(rows))
    assert "attempts lie within the interval of the best" in findings.cost_finding(board)


def test_the_committed_tables_are_those_of_the_committed_results():
    written = README.split(report.BEGIN)[1].split(report.END)[0]
    assert written.strip() == report.render(FOLDER).strip(), "python -m artifact_detection.attempts --report"


def test_the_front_page_shows_the_same_table_and_effect():
    front, small = (FOLDER.parent / "README.md").read_text(encoding="utf-8"), PROTOCOLS["small"]
    rows = report.two_by_two(COMMITTED.read("small")).strip().splitlines()[2:]
    assert len(rows) == 6 and "\n".join(rows) in front
    effect = analysis.effects(COMMITTED, small, report.EFFECTS).iloc[0]
    assert f"**Oversampling helped** here: AP {report.difference(effect)}" in front


def prose(heading: str) -> str:
    """A section written by hand, its line breaks taken out."""
    return " ".join(README.split(f"\n## {heading}\n")[1].split("\n## ")[0].split())


def test_prose_holds_no_number_of_its_own():
    assert not re.search(r"\d\.\d\d|\d %", prose("What it taught") + prose("Why the defaults are as they are"))


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_the_defaults_are_the_winner_or_the_text_says_why_not(protocol):
    attempts, text = read_attempts(), prose("Why the defaults are as they are")
    board = analysis.analyse(COMMITTED, protocol, attempts)
    if board.empty:
        assert f"`{protocol.name}` has not been run" in text
    elif report.unfinished(protocol, attempts, COMMITTED):
        assert f"`{protocol.name}` has not been run to its end" in text
    elif report.best_recipe_setting(board) != RECIPE:
        assert f"`{report.best_recipe_setting(board)}`" in text, "say why the defaults are not what did best"
    else:
        assert f"`{protocol.name}` confirms the defaults" in text


def test_the_seed_that_chose_an_attempt_is_no_evidence_for_it(results, attempts):
    protocol = replace(TOY, chosen=("27-bce",))
    keep(results, next(a for a in attempts if a.name == "27-bce"), 0, predictions(9, 1))
    board = analysis.analyse(results, protocol, attempts)
    assert board.loc["27-bce", "seeds"] == 2
    assert board.loc["27-bce", "ap"] < analysis.analyse(results, TOY, attempts).loc["27-bce", "ap"]
    assert "| 2 fresh |" in report.table(board, protocol)
    seeds = analysis.recipe_by_seed(results, protocol)
    text = report.about_seeds(board, protocol, seeds)
    assert f"add\n{seeds[0] - np.mean(list(seeds.values())):+.3f} to each difference." in text
    assert "without the seed for which 27-bce got more" in text


def test_the_face_crop_is_judged_on_its_fresh_seeds():
    row = analysis.analyse(COMMITTED, PROTOCOLS["small"], read_attempts()).loc["33-crop-face"]
    assert report.difference(row).startswith("+0.065 (")  # with the seed that chose it: +0.103
