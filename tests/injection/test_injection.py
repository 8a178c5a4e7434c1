"""injection/: what every kind must keep to, the labelled set, the recall matrix, the contact sheet."""

import io
import itertools
import os

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from artifact_detection.images.faces import find_face
from artifact_detection.injection import FAMILIES, KINDS, SEVERITIES, inject, inject_random
from artifact_detection.injection.__main__ import main
from artifact_detection.injection.dataset import InjectionError, Settings, choose_test, plan
from artifact_detection.labels import compile_pattern, parse_label
from artifact_detection.portraits import draw_portrait
from tests.images.test_faces import scaled
from tests.sources import tree

CELLS = list(itertools.product(KINDS, SEVERITIES))


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def portrait():
    return draw_portrait(rng(3))


def flat(height: int, width: int, value: int = 0) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def assert_true_and_visible(image: np.ndarray, result: np.ndarray, mask: np.ndarray) -> None:
    change = np.abs(result.astype(int) - image).max(axis=2)
    assert result.shape == image.shape and result.dtype == np.uint8
    assert mask.shape == image.shape[:2] and mask.dtype == bool
    assert np.array_equal(mask, change > 0)
    assert change.max() >= 24


def test_there_are_enough_kinds_in_every_family():
    assert set(KINDS.values()) == set(FAMILIES) == {"overlay", "occlusion", "anatomy", "generation"}
    assert len(KINDS) >= 14
    assert min(list(KINDS.values()).count(family) for family in FAMILIES) >= 3


@pytest.mark.parametrize(("kind", "severity"), CELLS)
def test_a_portrait_changes_visibly_inside_the_mask_and_nowhere_else(portrait, kind, severity):
    image, face = portrait
    before = image.copy()
    assert_true_and_visible(image, *inject(image, kind, severity, rng(severity), face))
    assert np.array_equal(image, before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_flat_image_changes_visibly_at_every_severity(kind, value):
    for severity in SEVERITIES:
        image = flat(96, 96, value)
        assert_true_and_visible(image, *inject(image, kind, severity, rng(severity, value)))


@pytest.mark.parametrize("shape", [(64, 64), (64, 2048), (2048, 64), (517, 331)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_any_size_and_aspect(kind, shape):
    image = rng(*shape).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert_true_and_visible(image, *inject(image, kind, 2, rng(4)))


@pytest.mark.parametrize("kind", ["text", "hand", "duplicate", "frequency_grid"])
def test_the_largest_size(portrait, kind):
    image = cv2.resize(portrait[0], (2048, 2048), interpolation=cv2.INTER_LINEAR)
    assert_true_and_visible(image, *inject(image, kind, 3, rng(1), scaled(portrait[1], 2048 / portrait[0].shape[0])))


def test_a_grey_image_works_whether_or_not_it_stays_grey(portrait):
    grey = np.repeat(cv2.cvtColor(portrait[0], cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    for kind in KINDS:
        assert_true_and_visible(grey, *inject(grey, kind, 2, rng(5), portrait[1]))


def test_a_face_beyond_the_border_is_no_error(portrait):
    image, face = portrait
    for kind in KINDS:
        assert_true_and_visible(image, *inject(image, kind, 2, rng(6), scaled(face, 1.9)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(portrait, kind):
    image, face = portrait
    first, again, other = (inject(image, kind, 2, rng(seed), face)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_given_face_is_the_found_one_by_default(portrait):
    image, _ = portrait
    given, _ = inject(image, "duplicate", 2, rng(9), find_face(image))
    assert np.array_equal(given, inject(image, "duplicate", 2, rng(9))[0])


def test_severity_grows_the_change(portrait):
    image, face = portrait

    def changed(severity: int) -> float:
        return float(
            np.mean([inject(image, kind, severity, rng(i), face)[1].mean() for kind in KINDS for i in range(3)])
        )

    assert changed(1) < changed(2) < changed(3)


@pytest.mark.parametrize(
    ("image", "kind", "severity", "message"),
    [
        (flat(32, 32), "hands", 1, "nearest known one is 'hand'"),
        (flat(32, 32), "hand", 4, "severity"),
        (np.zeros((32, 32), np.uint8), "hand", 1, "RGB"),
        (np.zeros((32, 32, 4), np.uint8), "hand", 1, "RGB"),
        (np.zeros((32, 32, 3), np.float32), "hand", 1, "uint8"),
        (np.zeros((0, 32, 3), np.uint8), "hand", 1, "RGB"),
    ],
    ids=["unknown kind", "severity 4", "grey", "RGBA", "float", "empty"],
)
def test_wrong_arguments_are_refused(image, kind, severity, message):
    with pytest.raises(ValueError, match=message):
        inject(image, kind, severity, rng(0))


def test_random_injection_keeps_to_the_given_kinds_and_tells_the_whole_change(portrait):
    image, face = portrait
    for seed in range(20):
        result, regions = inject_random(image, rng(seed), face=face)
        assert (regions.astype(bool) | (result == image).all(axis=2)).all()
        assert 0 < regions.max() <= len(FAMILIES)
    only, regions = inject_random(image, rng(1), ["block_glitch"], [3], face)
    assert not np.array_equal(only, image) and set(np.unique(regions)) == {0, 1 + FAMILIES.index("generation")}


def test_kinds_may_be_drawn_as_evenly_as_families(portrait):
    image, face = portrait
    kinds = ["block_glitch", *(kind for kind, family in KINDS.items() if family == "occlusion")]

    def glitched(evenly: str) -> int:
        drawn = (inject_random(image, rng(seed), kinds, [2], face, evenly)[1] for seed in range(60))
        return sum((regions == 1 + FAMILIES.index("generation")).any() for regions in drawn)

    assert glitched("families") > 22 and glitched("kinds") < 22


def test_an_injected_image_survives_png(portrait):
    image, _ = inject(portrait[0], "text", 2, rng(0), portrait[1])
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    assert np.array_equal(np.asarray(Image.open(buffer)), image)


# --- the labelled set ----------------------------------------------------------------------------------------------


def groups_of(*sizes: int) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


@pytest.mark.parametrize("share", [0, 0.2, 0.5, 1])
def test_test_split_takes_whole_groups_and_never_too_many(share):
    groups = groups_of(5, 1, 1, 3, 2, 1, 1, 4, 2)
    chosen = choose_test(groups, share, rng(0))
    assert not set(groups[chosen]) & set(groups[~chosen])
    assert chosen.sum() <= round(share * 20)
    assert chosen.sum() >= round(share * 20) - 4


@pytest.mark.parametrize("prevalence", [0, 0.07, 0.1, 0.5, 1])
def test_prevalence_is_exact(prevalence):
    jobs = plan([f"{i}.png" for i in range(137)], np.arange(137), Settings(prevalence=prevalence, seed=1))
    assert sum(bool(job.kind) for job in jobs) == round(prevalence * 137)
    for split in ("train", "test"):
        part = [bool(job.kind) for job in jobs if job.split == split]
        assert abs(sum(part) - prevalence * len(part)) <= 1
    assert len({job.name for job in jobs}) == 137


def test_kinds_and_severities_come_equally_often():
    settings = Settings(prevalence=1, kinds=("text", "hand"), severities=(1, 3))
    jobs = plan([f"{i}.png" for i in range(40)], np.arange(40), settings)
    counts = pd.Series([(job.kind, job.severity) for job in jobs]).value_counts()
    assert len(counts) == 4
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("wrong", [{"prevalence": 1.5}, {"prevalence": -0.1}, {"test_share": 2}, {"size": 3}], ids=str)
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(InjectionError):
        Settings(**wrong)


@pytest.fixture
def clean_folder(tmp_path):
    """Twelve portraits, the first of them thrice: as it is, recompressed, and smaller."""
    folder = tmp_path / "clean"
    folder.mkdir()
    for seed in range(12):
        Image.fromarray(draw_portrait(rng(seed))[0]).save(folder / f"face {seed}.png")
    first = Image.open(folder / "face 0.png")
    first.save(folder / "again.jpg", quality=90)
    first.resize((160, 160)).save(folder / "smaller.png")
    return folder


def run_set(folder, out, *extra: str) -> tuple[int, pd.DataFrame]:
    code = main(["--images", str(folder), "--out", str(out), "--prevalence", "0.5", *extra])
    return code, pd.read_csv(out / "injected.csv", keep_default_na=False)


def test_the_written_set_is_labelled_grouped_and_masked(clean_folder, tmp_path):
    code, table = run_set(clean_folder, tmp_path / "set", "--masks", "--test-share", "0.4")
    assert code == 0
    assert len(table) == 14
    assert (table["kind"] != "").sum() == 7
    assert table["file"].str.startswith("test/").sum() >= 3
    splits = table.assign(split=table["file"].str.split("/").str[0]).groupby("group")["split"].nunique()
    assert splits.max() == 1
    twins = table[table["base"].isin(["face 0.png", "again.jpg", "smaller.png"])]
    assert twins["group"].nunique() == 1
    pattern = compile_pattern()
    for row in table.itertuples():
        image = np.asarray(Image.open(tmp_path / "set" / row.file)).astype(int)
        base = np.asarray(Image.open(clean_folder / row.base).convert("RGB"))
        mask = np.asarray(Image.open(tmp_path / "set/masks" / row.file)) > 0
        assert parse_label(row.file, pattern) == (row.kind != "")
        assert np.array_equal((image != base).any(axis=2), mask)
        if row.kind:
            x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
            assert [x, y, x + width, y + height] == [int(row.x0), int(row.y0), int(row.x1), int(row.y1)]


def test_a_second_run_ends_as_the_first_and_another_setting_is_refused(clean_folder, tmp_path, capsys):
    run_set(clean_folder, tmp_path / "set", "--masks")
    before = tree(tmp_path / "set")
    victim = next((tmp_path / "set/train").iterdir())
    victim.unlink()
    (tmp_path / "set/.work/.unfinished-1234").write_bytes(b"half")
    assert run_set(clean_folder, tmp_path / "set", "--masks")[0] == 0
    assert tree(tmp_path / "set") == before
    assert run_set(clean_folder, tmp_path / "set", "--seed", "1")[0] == 2
    assert tree(tmp_path / "set") == before
    assert "not empty" in capsys.readouterr().err


def test_a_changed_image_is_kept_and_named(clean_folder, tmp_path, capsys):
    _, table = run_set(clean_folder, tmp_path / "set", "--masks")
    changed = [tmp_path / "set" / table["file"][0], tmp_path / "set/masks" / table["file"][1]]
    for path in changed:
        path.write_bytes(b"retouched")
    code, again = run_set(clean_folder, tmp_path / "set", "--masks")
    assert code == 1 and again.equals(table)
    assert [path.read_bytes() for path in changed] == [b"retouched"] * 2
    errors = capsys.readouterr().err
    assert all(f"{path}: changed since" in errors for path in changed)
    (tmp_path / "set/injected.csv").write_text("mine")
    assert main(["--images", str(clean_folder), "--out", str(tmp_path / "set"), "--prevalence", "0.5", "--masks"]) == 2
    assert (tmp_path / "set/injected.csv").read_text() == "mine"


def test_any_name_of_a_base_survives(clean_folder, tmp_path):
    odd = [os.fsencode(clean_folder) + b"/" + name for name in (b"no utf-8 \xff.png", b'a\rb, "c".png')]
    for number, name in enumerate(odd):
        os.rename(clean_folder / f"face {number + 1}.png", name)
    code, table = run_set(clean_folder, tmp_path / "set")
    assert code == 0 and {"no utf-8 \\udcff.png", 'a\rb, "c".png'} <= set(table["base"])


def test_bad_files_are_named_and_counted(clean_folder, tmp_path, capsys):
    (clean_folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    (clean_folder / "empty.jpg").touch()
    (clean_folder / "notes.txt").write_text("no image")
    code, table = run_set(clean_folder, tmp_path / "set")
    errors = capsys.readouterr().err
    assert code == 1
    assert len(table) == 14
    assert all(name in errors for name in ("broken.png", "empty.jpg", "notes.txt", "3 files"))
    assert len(pd.read_csv(tmp_path / "set/unusable.csv")) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["--images", "{empty}", "--out", "{out}"],
        ["--images", "{empty}/none", "--out", "{out}"],
        ["--images", "{empty}", "--out", "{empty}/inside"],
        ["--images", "{empty}", "--out", "{out}", "--prevalence", "2"],
        ["--images", "{empty}", "--out", "{out}", "--kinds", "nothing"],
    ],
    ids=["no image", "no folder", "overlap", "prevalence", "kind"],
)
def test_unusable_input_ends_with_2_and_one_line(arguments, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    code = main([text.format(empty=empty, out=tmp_path / "out") for text in arguments])
    assert code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["--out", "x"], ["--out", "x", "--images", "y", "--severity", "4"]], ids=str)
def test_wrong_usage_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2


def test_size_is_the_longer_side_of_every_file(clean_folder, tmp_path):
    _, table = run_set(clean_folder, tmp_path / "set", "--size", "100")
    assert {Image.open(tmp_path / "set" / name).size for name in table["file"]} == {(100, 100)}


def test_contact_sheet_is_one_small_picture(clean_folder, tmp_path):
    assert main(["--images", str(clean_folder), "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert Image.open(tmp_path / "sheet.png").width > 800
    assert (tmp_path / "sheet.png").stat().st_size < 400_000
