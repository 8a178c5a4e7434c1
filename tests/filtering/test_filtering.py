"""The rooms of the filter one by one: warnings that hold, rules, stores."""

import io
import tarfile
import threading

import cv2
import numpy as np
import pytest
import torch

from artifact_detection.detector.checkpoints import Checkpoint
from artifact_detection.detector.scoring import Scorer
from artifact_detection.evaluation.bands import KEEP, REJECT, REVIEW
from artifact_detection.filtering.decisions import DecisionError, Decisions, read_decisions
from artifact_detection.filtering.inputs import Inputs, Item, in_earlier_order, read_items, write_items
from artifact_detection.filtering.policy import Policy, PolicyError, manual_bands
from artifact_detection.filtering.reading import prepare
from artifact_detection.filtering.results import Judged
from artifact_detection.filtering.shift import compare, scene_groups
from artifact_detection.filtering.stages import score_batches
from artifact_detection.filtering.store import LAYOUT, MEASURES, Record, Store, Stores, database
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.system.paths import harmless

# ---- what filtering does to the dataset


def judged(bands: list[str], values: np.ndarray, layouts: np.ndarray) -> list[Judged]:
    policy = Policy(manual_bands([0.3, 0.7]), False)
    rows, probability = [], {KEEP: 0.1, REVIEW: 0.5, REJECT: 0.9}
    for n, band in enumerate(bands):
        record = Record(str(n), -1, 1, 1, probability=probability[band])
        record.measures, record.layout = values[n].astype(np.float32).tobytes(), layouts[n].tobytes()
        rows.append(Judged(Item(str(n), str(n), str(n)), record, policy.judge(record)))
    return rows


def test_a_removed_kind_of_image_is_named_and_nothing_else():
    rng = np.random.default_rng(0)
    bands = [KEEP] * 150 + [REJECT] * 50
    values = rng.normal(100, 10, (200, len(MEASURES)))
    values[150:, MEASURES.index("brightness")] -= 15
    layouts = rng.integers(100, 110, (200, 3 * LAYOUT**2)).astype(np.uint8)
    differs = {one.name: one for one in compare(judged(bands, values, layouts)) if one.differs}
    assert set(differs) == {"brightness"}
    assert differs["brightness"].change > 0.2
    assert "Kolmogorov-Smirnov" in differs["brightness"].sentence()


def test_a_removed_scene_is_named():
    layouts = np.repeat(np.uint8([[30], [200]]), [100, 60], axis=0) * np.ones((1, 3 * LAYOUT**2), np.uint8)
    values = np.random.default_rng(0).normal(size=(160, len(MEASURES)))
    bands = [KEEP] * 100 + [KEEP, REJECT, REJECT] * 20
    scene = next(one for one in compare(judged(bands, values, layouts)) if one.name == "scene group")
    assert scene.differs and scene.before == pytest.approx([100 / 160, 60 / 160])
    assert scene.after == pytest.approx([100 / 120, 20 / 120])


def test_false_alarms_stay_rare():
    """Kept at random: any warning at all in at most 10 % of 60 draws (nominal 5 %)."""
    rng, alarms = np.random.default_rng(5), 0
    for _ in range(60):
        bands = rng.choice([KEEP, REJECT], 120).tolist()
        layouts = rng.integers(256, size=(120, 3 * LAYOUT**2)).astype(np.uint8)
        alarms += any(one.differs for one in compare(judged(bands, rng.normal(size=(120, len(MEASURES))), layouts)))
    assert alarms <= 6


def test_too_few_images_are_not_compared():
    values, layouts = np.zeros((6, len(MEASURES))), np.zeros((6, 3 * LAYOUT**2), np.uint8)
    assert compare(judged([KEEP] * 4 + [REJECT] * 2, values, layouts)) == []


def test_scene_groups_put_the_largest_first():
    layouts = np.repeat(np.uint8([[10], [250], [120]]), [5, 20, 10], axis=0) * np.ones((1, 48), np.uint8)
    assert np.bincount(scene_groups(layouts)).tolist() == [20, 10, 5]


# ---- rules


def record(probability, lowest=None, highest=None) -> Record:
    return Record("a", -1, 1, 1, sha256="s", probability=probability, lowest=lowest, highest=highest)


@pytest.mark.parametrize(
    ("thresholds", "one", "band"),
    [
        ([0.5], record(0.4999), KEEP),
        ([0.5], record(0.5), REJECT),
        ([0.3, 0.7], record(0.3), REVIEW),
        ([0.7, 0.3], record(0.7), REJECT),
        ([0.5], record(0.45, 0.4, 0.49), KEEP),
        ([0.5], record(0.45, 0.4, 0.51), REVIEW),
        ([0.3, 0.7], record(0.75, 0.65, 0.8), REVIEW),
        ([0.5], record(None), ""),
    ],
    ids=["below", "at", "between", "any-order", "stable", "flips", "leaves-its-band", "unusable"],
)
def test_verdicts(thresholds, one, band):
    assert Policy(manual_bands(thresholds), False).judge(one).band == band


def test_decisions_hold_for_the_bytes_that_were_seen():
    rules = Policy(manual_bands([0.5]), False, Decisions([(("a", "s"), KEEP)]))
    assert rules.judge(record(0.9)).band == KEEP
    assert Policy(manual_bands([0.5]), False, Decisions([(("a", "t"), KEEP)])).judge(record(0.9)).band == REJECT


@pytest.mark.parametrize("thresholds", [[1.5], [-0.1, 0.5], [0.1, 0.2, 0.3]])
def test_impossible_thresholds(thresholds):
    with pytest.raises(PolicyError, match="--threshold"):
        manual_bands(thresholds)


def test_decisions_that_are_no_such_file(tmp_path):
    (tmp_path / "a.csv").write_text("path,label\na,1\n")
    with pytest.raises(DecisionError, match="columns"):
        read_decisions(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        pytest.param('path,sha256,decision\n"/a é;,.png",s,keep\n/b.png,t,reject\n', "utf-8", id="as exported"),
        pytest.param('path,sha256,decision\r\n"/a é;,.png",S,Keep\r\n/b.png,T,REJECT\r\n', "utf-8-sig", id="BOM, CRLF"),
        pytest.param(
            'path;sha256;decision;\r\n"/a é;,.png";s;keep\r\n/b.png;t;reject;\r\n;;;\r\n', "utf-8", id="semicolons"
        ),
        pytest.param("path\tsha256\tdecision\r\n/a é;,.png\ts\tkeep\r\n/b.png\tt\treject", "utf-16", id="UTF-16, tabs"),
        pytest.param(
            'note,Decision,path,sha256\n,keep,"/a é;,.png",s\n1,reject,/b.png,t\n', "utf-8", id="other columns"
        ),
    ],
)
def test_decisions_that_a_spreadsheet_saved(tmp_path, text, encoding):
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    assert read_decisions(tmp_path / "a.csv") == {("/a é;,.png", "s"): KEEP, ("/b.png", "t"): REJECT}


# ---- inputs and stores


@pytest.mark.parametrize(
    ("name", "safe"),
    [("a/b.png", "a/b.png"), ("../../x.png", "x.png"), ("/etc/x.png", "etc/x.png"), ("..\\x.png", "x.png"),
     ("C:/x.png", "C_/x.png"), ("..", "unnamed")],
)  # fmt: skip
def test_member_names_cannot_lead_out(name, safe):
    assert harmless(name) == safe


def test_items_survive_being_written(tmp_path):
    items = [
        Item('a\nb,"c"', "f", "n", 12, 34, 56),
        Item("bad\udcff.png", "bad\udcff.png", "bad\udcff.png", problem="unreadable: x"),
    ]
    write_items(tmp_path / "items.csv", items)
    assert read_items(tmp_path / "items.csv") == items


def test_earlier_order_is_kept():
    one, two, three, gone = (Item(name, name, name) for name in ("1", "2", "3", "gone"))
    assert in_earlier_order([one, two, three], [two, gone, one], {}) == [two, one, three]
    assert in_earlier_order([one, three], [two, one], {}) == [one, three]


def test_an_inner_tar_without_an_end_mark_yields_its_own_members_only(tmp_path):
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("inner.png"))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("i.tar")
        member.size = 512  # the header alone, cut before the end mark
        archive.addfile(member, io.BytesIO(inner.getvalue()[:512]))
        archive.addfile(tarfile.TarInfo("outer.png"))
    found = Inputs.scan([str(tmp_path)], tmp_path / "out")
    assert [item.path.split("::")[1] for item in found.items] == ["i.tar/inner.png", "outer.png"]


def test_a_record_counts_only_for_the_file_as_it_was(tmp_path):
    item = Item("bad\udcff.png", "f", "n", bytes=5, mtime_ns=7)
    with Store(database(tmp_path, "k", 0)) as store:
        store.add([Record.of(item, probability=0.25)])
    with Stores(tmp_path, "k") as stores:
        assert stores.find(item).probability == 0.25
        assert stores.find(Item(item.path, "f", "n", bytes=6, mtime_ns=7)) is None
        assert next(iter(stores.light([Item("new", "f", "n")]))).error == "not scored"


# ---- reading and scoring


@pytest.mark.parametrize(
    ("size", "shown"),
    [((1000, 500), (160, 80)), ((321, 700), (73, 160)), ((1, 3000), (1, 160)), ((90, 60), (90, 60))],
    ids=["halved", "odd", "a-line", "small"],
)
def test_thumbnails_fit_and_look_alike(tmp_path, size, shown):
    height, width = size
    ramp = np.linspace(0, 255, height * width).reshape(height, width, 1) * np.ones(3)
    cv2.imwrite(str(tmp_path / "a.png"), ramp.astype(np.uint8))
    [item] = Inputs.scan([str(tmp_path)], tmp_path / "out").items
    record = prepare(item, Preprocessing(8), thumbnail=True).record
    thumbnail = cv2.imdecode(np.frombuffer(record.thumbnail, np.uint8), cv2.IMREAD_COLOR)
    assert thumbnail.shape[:2] == shown
    assert np.abs(thumbnail - cv2.resize(ramp, shown[::-1], interpolation=cv2.INTER_AREA)).mean() < 4


def test_as_many_batches_are_scored_at_a_time_as_the_engine_wants(tmp_path):
    class Pair:
        name, parallel = "pair", 2
        meeting = threading.Barrier(2, timeout=30)

        def __call__(self, images: torch.Tensor) -> np.ndarray:
            self.meeting.wait()
            return np.zeros(len(images), np.float32)

    class Network:
        preprocessing = Preprocessing(8)

    for n in range(4):
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.zeros((9, 9, 3), np.uint8))
    items = Inputs.scan([str(tmp_path)], tmp_path / "out").items
    scorer = Scorer(Network(), Checkpoint(), "id", Pair(), batch=1)
    with Store(tmp_path / "records.sqlite") as store:
        score_batches(scorer, [[item] for item in items], store, False, threads=2)
        assert [store.find(item.path).probability for item in items] == [0.5] * 4


def test_a_score_that_is_no_number_is_an_error_with_its_reason(tmp_path):
    class Broken:
        name, parallel = "broken", 1

        def __call__(self, images: torch.Tensor) -> np.ndarray:
            return np.full(len(images), np.nan, np.float32)

    class Network:
        preprocessing = Preprocessing(8)

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9, 3), np.uint8))
    items = Inputs.scan([str(tmp_path)], tmp_path / "out").items
    with Store(tmp_path / "records.sqlite") as store:
        score_batches(Scorer(Network(), Checkpoint(), "id", Broken(), batch=1), [items], store, False, 1)
        record = store.find(items[0].path)
    assert (record.probability, record.error) == (None, "no score: the network gives NaN")
