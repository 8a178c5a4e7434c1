"""The audit: measures with known answers, duplicates made on purpose, verdicts, the cache and the command line."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from artifact_detection.audit import __main__ as command
from artifact_detection.audit import shortcuts
from artifact_detection.audit.checks import _judge_shortcut, check, run_checks, worst
from artifact_detection.audit.dataset import audit_dataset, cache_path
from artifact_detection.audit.shortcuts import Shortcut, find_shortcut
from artifact_detection.images import measure as measure_module
from artifact_detection.images.candidates import (
    BUCKET,
    TABLES,
    VIEW_TABLES,
    find_candidates,
    hash_distances,
    perceptual_hashes,
)
from artifact_detection.images.duplicates import duplicate_groups, duplicate_links, group_ids, near_duplicate_pairs
from artifact_detection.images.measure import measure_files
from artifact_detection.injection import inject
from artifact_detection.portraits import draw_portrait


def portrait(seed: int, size: int = 96) -> np.ndarray:
    return draw_portrait(np.random.default_rng(seed), size)[0]


def write(path: Path, image: np.ndarray, *options: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return path


@pytest.fixture(scope="module")
def portraits() -> list[np.ndarray]:
    return [portrait(seed) for seed in range(24)]


@pytest.fixture
def dataset(tmp_path, portraits) -> Path:
    """train/ with 14 and test/ with 10 different portraits, every fourth labelled as an artifact."""
    for i, image in enumerate(portraits):
        write(tmp_path / "data" / ("train" if i < 14 else "test") / f"image_{i:05d}_{int(i % 4 == 0)}.png", image)
    return tmp_path / "data"


def measures_of(tmp_path, image: np.ndarray) -> pd.Series:
    return measure_files([write(tmp_path / "a.png", np.ascontiguousarray(image))]).table.loc[0]


def flat(value: int) -> np.ndarray:
    return np.full((32, 48, 3), value, np.uint8)


def checkerboard() -> np.ndarray:
    return np.repeat((np.indices((32, 32)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (flat(0), {"brightness": 0, "deviation": 0, "contrast": 0, "sharpness": 0, "entropy": 0, "saturation": 0}),
        (flat(255), {"brightness": 255, "deviation": 0, "contrast": 0, "sharpness": 0, "entropy": 0, "aspect": 1.5}),
        (
            checkerboard(),
            {"brightness": 127.5, "deviation": 127.5, "contrast": 255, "entropy": 1, "sharpness": 1020**2},
        ),
        (
            flat(0) + np.uint8([200, 0, 0]),
            {"saturation": 1, "red": 200, "green": 0, "blue": 0, "width": 48, "height": 32},
        ),
    ],
    ids=["black", "white", "checkerboard", "red"],
)
def test_measures_have_known_values(tmp_path, image, expected):
    assert measures_of(tmp_path, image)[list(expected)].to_dict() == pytest.approx(expected)


def test_measures_keep_the_order_and_name_bad_files(tmp_path, portraits):
    (tmp_path / "empty.png").touch()
    paths = [write(tmp_path / "b.png", portraits[1]), tmp_path / "empty.png", write(tmp_path / "a.png", portraits[0])]
    measured = measure_files(paths)
    assert measured.table["path"].tolist() == [str(path) for path in paths]
    assert measured.table["error"].tolist() == ["", "empty: 0 bytes", ""]
    assert not measured.thumbnails[1].any()
    assert measured.table.loc[1, ["brightness", "entropy"]].isna().all()


def turned(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


COPIES = {
    "half size": (lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), "near"),
    "twice the size": (lambda image: cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), "near"),
    "cropped": (lambda image: image[5:, 2:-3], "near"),
    "darker": (lambda image: (image * 0.9).astype(np.uint8), "near"),
    "with text": (lambda image: cv2.putText(image.copy(), "COPY", (20, 80), 0, 0.6, (255, 255, 255)), "near"),
    "with an artifact": (lambda image: inject(image, "melt", 2, np.random.default_rng(0))[0], "near"),
    "mirrored": (turned, "mirrored"),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_linked_and_strangers_are_not(tmp_path, portraits, name):
    change, kind = COPIES[name]
    paths = [write(tmp_path / f"{i}.png", image) for i, image in enumerate(portraits)]
    paths += [write(tmp_path / f"copy{i}.png", change(image)) for i, image in enumerate(portraits[:6])]
    links = duplicate_links(measure_files(paths))
    assert {(row.first, row.second, row.kind) for row in links.itertuples()} <= {
        pair for i in range(6) for pair in ((i, 24 + i, kind), (24 + i, i, kind))
    }
    assert len(links) == 6


def test_recompressed_copy_is_linked(tmp_path, portraits):
    paths = [
        write(tmp_path / "a.png", portraits[0]),
        write(tmp_path / "b.jpg", portraits[0], cv2.IMWRITE_JPEG_QUALITY, 60),
    ]
    assert duplicate_links(measure_files(paths))["kind"].tolist() == ["near"]


def test_exact_copies_say_in_what_they_are_exact(tmp_path, portraits):
    first = write(tmp_path / "a.png", portraits[0])
    paths = [first, Path(shutil.copy(first, tmp_path / "b.png")), write(tmp_path / "c.bmp", portraits[0])]
    links = duplicate_links(measure_files(paths))
    assert links[["first", "second", "kind"]].to_numpy().tolist() == [[0, 1, "same file"], [0, 2, "same pixels"]]


def test_groups_join_chains_and_leave_bad_files_alone(tmp_path, portraits):
    first = write(tmp_path / "a.png", portraits[0])
    shutil.copy(first, tmp_path / "b.png")
    for name in ("bad1.png", "bad2.png"):
        (tmp_path / name).touch()
    paths = [
        first,
        tmp_path / "bad1.png",
        tmp_path / "b.png",
        tmp_path / "bad2.png",
        write(tmp_path / "c.png", turned(portraits[0])),
    ]
    assert duplicate_groups(measure_files(paths)).tolist() == [0, 1, 0, 2, 0]


def test_flat_images_are_no_near_duplicates(tmp_path):
    paths = [write(tmp_path / f"{value}.png", flat(value)) for value in (0, 90, 255)]
    assert duplicate_links(measure_files(paths)).empty


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_have_no_pairs(count):
    assert near_duplicate_pairs(np.zeros((count, 64, 64), np.uint8)).empty
    assert len(group_ids(count, near_duplicate_pairs(np.zeros((count, 64, 64), np.uint8)))) == count


def noise_thumbnails(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([cv2.resize(rng.integers(0, 256, (16, 16), np.uint8), (64, 64)) for _ in range(count)])


@pytest.fixture
def compared(monkeypatch) -> list[int]:
    """How many hashes every call compares."""
    counts, count = [], np.bitwise_count
    monkeypatch.setattr(np, "bitwise_count", lambda bits: counts.append(len(bits)) or count(bits))
    return counts


LOOKUPS = 2 * TABLES + 11 * VIEW_TABLES  # tables that every row is looked up in


def test_hash_search_compares_a_small_part_of_all_pairs_and_finds_the_copies(compared):
    originals = noise_thumbnails(3000)
    thumbnails = np.concatenate([originals, (originals[:50] * 0.95).astype(np.uint8)])
    pairs = find_candidates(thumbnails)
    found = {tuple(sorted(pair)) for pair in pairs[["first", "second"]].to_numpy().tolist()}
    assert {(i, 3000 + i) for i in range(50)} <= found
    assert sum(compared) < 30 * LOOKUPS * len(thumbnails)


def test_hundreds_of_copies_are_linked_without_comparing_all_of_them(compared):
    thumbnails = np.repeat(noise_thumbnails(1), 800, axis=0)
    thumbnails = thumbnails + np.random.default_rng(1).integers(0, 3, thumbnails.shape).astype(np.uint8)
    assert len(near_duplicate_pairs(thumbnails)) == 799
    assert sum(compared) <= BUCKET * LOOKUPS * len(thumbnails)


def test_hashes_of_a_picture_and_its_inverse_differ_everywhere():
    thumbnails = noise_thumbnails(1)
    assert hash_distances(np.concatenate([thumbnails, 255 - thumbnails]))[0, 1] > 124
    assert perceptual_hashes(thumbnails).dtype == np.uint64


def verdicts(folder: Path) -> dict[str, str]:
    return {found.name: found.verdict for found in run_checks(audit_dataset(folder, cache=False))}


def test_a_sound_dataset_is_ok_but_for_its_size(dataset):
    unsure = {"class balance", "shortcut by metadata", "shortcut by colour"}
    assert {name: verdict for name, verdict in verdicts(dataset).items() if verdict != "ok"} == dict.fromkeys(
        unsure, "look"
    )


def copied(name: str):
    """Spoils a dataset by a copy of one image under another name."""
    return lambda folder: shutil.copy(folder / "train/image_00001_0.png", folder / name)


def broken(folder: Path) -> None:
    (folder / "train/image_90000_0.png").write_bytes((folder / "train/image_00001_0.png").read_bytes()[:999])


FLAWS = {
    "leak": (copied("test/image_90000_0.png"), "leakage between splits", "stop", "1 of 11 test images"),
    "copy": (copied("train/image_90000_0.png"), "duplicates", "look", "1 same file"),
    "two labels": (copied("train/image_90000_1.png"), "contradicting labels", "stop", "1 of them with the same pixels"),
    "no label": (copied("train/portrait.png"), "labels", "look", "1 of 25"),
    "broken": (broken, "integrity", "look", "1 truncated"),
    "text file": (lambda folder: (folder / "notes.txt").touch(), "integrity", "ok", "1 other files"),
    "format": (
        lambda folder: write(folder / "train/image_90000_0.jpg", portrait(99)),
        "sizes and formats",
        "look",
        "1 JPEG",
    ),
    "shape": (lambda folder: write(folder / "train/image_90000_0.png", flat(0)), "outliers", "look", "1 by aspect"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_each_flaw_has_its_verdict(dataset, flaw):
    spoil, name, verdict, text = FLAWS[flaw]
    spoil(dataset)
    found = check(audit_dataset(dataset, cache=False), name)
    assert found.verdict == verdict
    assert text in found.finding


def test_an_edited_copy_under_the_other_label_is_worth_a_look(dataset):
    image = cv2.cvtColor(cv2.imread(str(dataset / "train/image_00001_0.png")), cv2.COLOR_BGR2RGB)
    write(dataset / "train/image_90000_1.png", inject(image, "strokes", 1, np.random.default_rng(0))[0])
    assert verdicts(dataset)["contradicting labels"] == "look"


def relabel(folder: Path, old: int, new: int) -> None:
    for path in list(folder.glob(f"*_{old}.png")):
        path.rename(path.with_name(path.name.replace(f"_{old}.png", f"_{new}.png")))


@pytest.mark.parametrize(
    ("split", "label", "verdict", "text"),
    [
        ("train", 1, "stop", "train: all 14 labelled images are no_artifacts, so training is impossible without"),
        ("train", 0, "stop", "train: all 14 labelled images are artifacts, so training is impossible;"),
        ("test", 1, "look", "test: all 10 labelled images are no_artifacts, so a test proves nothing about artifacts."),
        ("test", 0, "look", "test: all 10 labelled images are artifacts, so a test proves nothing about no_artifacts."),
    ],
)
def test_each_split_needs_both_classes(dataset, split, label, verdict, text):
    relabel(dataset / split, label, 1 - label)
    found = check(audit_dataset(dataset, cache=False), "class balance")
    assert found.verdict == verdict
    assert text in found.finding


@pytest.mark.parametrize(("missing", "verdict"), [("train", "stop"), ("test", "look")])
def test_a_split_that_is_not_there_is_missed(dataset, missing, verdict):
    shutil.rmtree(dataset / missing)
    found = check(audit_dataset(dataset, cache=False), "class balance")
    assert found.verdict == verdict
    assert f"{missing}: there is no image" in found.finding


def test_copies_of_one_artifact_are_too_few_to_train_on(dataset):
    relabel(dataset / "train", 1, 0)
    for name in ("a_1.png", "b_1.png"):
        write(dataset / "train" / name, portrait(50))
    found = check(audit_dataset(dataset, cache=False), "class balance")
    assert found.verdict == "stop"
    assert "only 1 distinct image of artifacts" in found.finding


def test_copies_of_one_clean_image_are_not_enough_to_inject_into(tmp_path):
    for name in ("a_0.png", "b_0.png"):
        write(tmp_path / name, portrait(50))
    assert check(audit_dataset(tmp_path, cache=False), "class balance").finding.endswith("training is impossible.")


def test_inverted_labels_stop(dataset):
    audit = audit_dataset(dataset, artifact_label="0", cache=False)
    assert check(audit, "polarity").verdict == "stop"
    assert check(audit, "polarity").finding.startswith("18 of 24")


def test_one_split_that_is_labelled_the_other_way_round_stops(dataset):
    for path in sorted((dataset / "test").glob("*_0.png"))[1:]:
        path.unlink()
    found = check(audit_dataset(dataset, cache=False), "polarity")
    assert found.verdict == "stop" and "in test: the majority" in found.finding


def test_images_beside_the_splits_are_named(dataset):
    write(dataset / "more" / "image_1.png", portrait(51))
    assert "in no split: 1 images" in check(audit_dataset(dataset, cache=False), "class balance").finding


def test_one_class_stops_and_shortcuts_say_why_they_are_silent(tmp_path, portraits):
    for i, image in enumerate(portraits[:3]):
        write(tmp_path / f"image_{i}_0.png", image)
    audit = audit_dataset(tmp_path, cache=False)
    assert check(audit, "class balance").verdict == "stop"
    found = check(audit, "shortcut by metadata")
    assert found.verdict == "look"
    assert "not tested, 0 distinct images of artifacts are too few" in found.finding
    assert "0 of 3 images" in check(audit, "polarity").finding and "as expected" not in check(audit, "polarity").finding


def test_class_folders_say_the_label(tmp_path, portraits):
    write(tmp_path / "train" / "artifacts" / "x_0.png", portraits[0])
    write(tmp_path / "test" / "no_artifacts" / "y_1.png", portraits[1])
    table = audit_dataset(tmp_path, cache=False).table
    assert table.set_index("name")[["split", "label"]].T.to_dict("list") == {
        "train/artifacts/x_0.png": ["train", 1],
        "test/no_artifacts/y_1.png": ["test", 0],
    }


def shortcut(leaks: bool):
    rng = np.random.default_rng(0)
    labels = np.tile([0, 0, 0, 1], 50)
    features = pd.DataFrame(
        {"size": rng.normal(size=200) + 3 * leaks * labels, "noise": rng.normal(size=200), "one": 1}
    )
    return find_shortcut(features, labels, np.arange(200))


def test_labels_that_go_with_the_size_of_groups_are_not_tested():
    """They cannot change places, so that nothing could ever be shown, and a power would be made up."""
    groups = np.concatenate([np.arange(15), np.repeat(np.arange(15, 40), 4)])
    features = pd.DataFrame({"noise": np.random.default_rng(0).normal(size=len(groups))})
    assert "only 0 groups of no_artifacts" in find_shortcut(features, (groups < 15).astype(int), groups).reason


def test_a_shortcut_is_found_and_named():
    found = shortcut(leaks=True)
    assert found.auc > 0.9
    assert found.p == pytest.approx(0.01)
    assert found.strongest == "size"


def test_no_shortcut_is_seen_in_noise():
    found = shortcut(leaks=False)
    assert not found.shown
    assert found.power > 0.9


def planted(seed: int, copies: bool, auc: float = 0.5):
    """60 pictures, 18 of them artifacts; 1 to 4 copies of each. One of six features separates with this ROC-AUC."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(60), rng.integers(1, 5, 60) if copies else 1)
    labels = rng.permutation(np.repeat([0, 1], [42, 18]))[groups]
    features = rng.normal(size=(60, 6))[groups]
    features[:, 0] += np.sqrt(2) * ndtri(auc) * labels
    return pd.DataFrame(features).rename(columns=str), labels, groups


def test_copies_are_no_evidence_of_a_shortcut(monkeypatch):
    """Under the null hypothesis p is at most .05 in 5 % of draws; row by row it was in 20 %."""
    monkeypatch.setattr(shortcuts, "TRIALS", 1)
    shown = sum(find_shortcut(*planted(seed, copies=True)).shown for seed in range(100))
    assert shown <= 11  # 5 expected; more once in 100 times


def test_the_power_is_how_often_a_planted_shortcut_is_shown(monkeypatch):
    monkeypatch.setattr(shortcuts, "TRIALS", 20)
    found = [find_shortcut(*planted(seed, copies=True, auc=shortcuts.PLANTED)) for seed in range(50)]
    assert np.mean([one.power for one in found]) == pytest.approx(np.mean([one.shown for one in found]), abs=0.15)


def test_what_is_not_shown_is_said_with_its_power():
    weak = _judge_shortcut(Shortcut(auc=0.61, p=0.2, power=0.29), "Metadata")
    assert weak == ("look", "Metadata: no shortcut is shown (ROC-AUC 0.61, p = 0.20); one more number with ROC-AUC 0.8 "
                    "alone would be shown in 29% of such datasets.")  # fmt: skip
    assert _judge_shortcut(Shortcut(auc=0.5, p=0.6, power=0.95), "Metadata")[0] == "ok"
    verdict, text = _judge_shortcut(Shortcut(auc=0.61, p=0.01, power=0.9), "Metadata")
    assert verdict == "look"
    assert "can weakly tell the label" in text


def test_duplicates_do_not_pass_for_a_shortcut():
    """Copies with random labels: memorising a picture must not help."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    labels = np.repeat(rng.permutation(np.tile([0, 1], 20)), 5)
    features = pd.DataFrame(np.repeat(rng.normal(size=(40, 30)), 5, axis=0), columns=[f"f{i}" for i in range(30)])
    assert find_shortcut(features, labels, groups).auc < 0.75


def test_the_second_audit_decodes_only_what_changed(dataset, monkeypatch):
    audit_dataset(dataset)
    decoded = []
    decode = measure_module.decode_file
    monkeypatch.setattr(measure_module, "decode_file", lambda path: decoded.append(Path(path).name) or decode(path))
    before = audit_dataset(dataset)
    assert decoded == []
    write(dataset / "train/image_00001_0.png", portrait(77))
    (dataset / "train/image_00002_0.png").unlink()
    after = audit_dataset(dataset)
    assert decoded == ["image_00001_0.png"]
    assert len(after.table) == len(before.table) - 1
    fresh = audit_dataset(dataset, cache=False)
    pd.testing.assert_frame_equal(after.table, fresh.table)
    assert (after.thumbnails == fresh.thumbnails).all()


@pytest.mark.parametrize(
    "content", [b"", b"0" * 64 + b"\nPK cut", b"?" * 64 + b"\nPK"], ids=["empty", "cut", "damaged"]
)
def test_a_damaged_cache_is_replaced(dataset, content):
    cache_path(dataset).write_bytes(content)
    assert len(audit_dataset(dataset).table) == 24
    assert cache_path(dataset).stat().st_size > 24 * 64 * 64


def test_a_file_of_the_user_is_no_cache(dataset):
    cache_path(dataset).write_text("mine")
    assert len(audit_dataset(dataset).table) == 24
    assert cache_path(dataset).read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_audited_without_a_cache(dataset, monkeypatch):
    def refuse(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr("artifact_detection.images.measurements.write_atomic", refuse)
    assert len(audit_dataset(dataset).table) == 24
    assert not cache_path(dataset).exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_read_only_folder_is_audited(dataset):
    dataset.parent.chmod(0o555)
    try:
        assert len(audit_dataset(dataset).table) == 24
    finally:
        dataset.parent.chmod(0o755)


def test_command_writes_report_and_measures(dataset, tmp_path, capsys):
    (dataset / "train" / "image_90000_0.png").touch()
    code = command.main(
        [str(dataset), "--html", str(tmp_path / "r.html"), "--csv", str(tmp_path / "m.csv"), "--no-cache"]
    )
    out, err = capsys.readouterr()
    assert code == 1
    assert "train/image_90000_0.png: empty: 0 bytes" in err
    assert "class balance" in out
    page = (tmp_path / "r.html").read_text()
    assert "train/image_90000_0.png" in page
    assert "data:image/jpeg;base64," in page
    assert len(pd.read_csv(tmp_path / "m.csv")) == 25
    assert not cache_path(dataset).exists()


@pytest.mark.parametrize("option", ["--html", "--csv"])
def test_a_report_replaces_nothing_of_the_user(dataset, tmp_path, option, capsys):
    (tmp_path / "mine").write_text("mine")
    assert command.main([str(dataset), option, str(tmp_path / "mine"), "--no-cache"]) == 2
    assert (tmp_path / "mine").read_text() == "mine" and "rename it" in capsys.readouterr().err


def test_command_succeeds_without_a_stop(dataset):
    assert command.main([str(dataset), "--no-cache"]) == 0


def test_command_stops_at_leakage(dataset):
    copied("test/image_90000_0.png")(dataset)
    assert command.main([str(dataset), "--no-cache"]) == 1


@pytest.mark.parametrize(
    "arguments", [["missing"], ["."], [".", "--pattern", "("]], ids=["no folder", "no image", "regex"]
)
def test_command_refuses_in_one_line(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert command.main([*arguments, "--no-cache"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_dataset_of_broken_files_stops(tmp_path):
    (tmp_path / "image_0_1.png").touch()
    checks = run_checks(audit_dataset(tmp_path, cache=False))
    assert worst(checks) == "stop"
    assert command.main([str(tmp_path), "--no-cache", "--html", str(tmp_path / "r.html")]) == 1


def test_what_is_left_out_is_named(tmp_path, capsys):
    """A linked folder, a format that is not read, a hidden folder, a text: none is skipped in silence."""
    folder = tmp_path / "set"
    for name in ("a_0.png", "b_1.png", ".ipynb_checkpoints/a_0-checkpoint.png"):
        write(folder / name, portrait(len(name)))
    write(tmp_path / "elsewhere" / "c_0.png", portrait(1))
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "phone_0.heic").write_bytes(b"heic")
    (folder / "note.txt").write_text("note")
    assert command.main([str(folder), "--html", str(tmp_path / "r.html"), "--no-cache"]) == 1
    printed, page = "".join(capsys.readouterr()), (tmp_path / "r.html").read_text()
    for name in ("linked", "phone_0.heic", "note.txt", ".ipynb_checkpoints/a_0-checkpoint.png"):
        assert name in printed
        assert name in page


def test_a_name_that_is_no_utf8_is_escaped(tmp_path, capsys):
    folder = tmp_path / "set"
    for index in range(6):
        write(folder / f"image_{index}_{index % 2}.png", portrait(index))
    os.rename(folder / "image_3_1.png", os.fsencode(folder) + b"/caf\xe9_1.png")
    for name in (b"note\xff.txt", b"bad\xfe_0.png"):
        (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_bytes(b"no image")
    report, table = tmp_path / "r.html", tmp_path / "t.csv"
    for _ in range(2):  # the second time from the cache
        assert command.main([str(folder), "--html", str(report), "--csv", str(table)]) == 1
    assert r"bad\udcfe_0.png: not an image" in capsys.readouterr().err
    assert r"note\udcff.txt" in report.read_text(encoding="utf-8")
    assert r"caf\udce9_1.png" in table.read_text(encoding="utf-8")
