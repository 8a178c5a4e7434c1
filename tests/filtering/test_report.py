"""The review page's data: what is shown, how it is escaped, how many images get a place."""

import base64
import json
import re

import cv2
import numpy as np
import pytest

from artifact_detection.detector.regions import to_text
from artifact_detection.evaluation.bands import KEEP, REJECT, REVIEW
from artifact_detection.filtering.decisions import Decisions
from artifact_detection.filtering.inputs import Item
from artifact_detection.filtering.looking import choose
from artifact_detection.filtering.policy import Policy, manual_bands
from artifact_detection.filtering.report import NOTHING, choose_shown, write_report
from artifact_detection.filtering.results import judge_all
from artifact_detection.filtering.sample import by_band, draw
from artifact_detection.filtering.shift import compare
from artifact_detection.filtering.store import LAYOUT, MEASURES, Record, Store, Stores, database

HOSTILE = '<img src=x onerror="document.title=1">.png'
CLOSING = "</script><script>document.title=1</script>.png"


def picture(colour: int) -> bytes:
    return cv2.imencode(".jpg", np.full((40, 40, 3), colour % 256, np.uint8))[1].tobytes()


def make_records(folder, probabilities, names=None, regions=()) -> list[Item]:
    """Scored images of 40 x 80 pixels without any file behind them; regions: of the first images."""
    rng = np.random.default_rng(0)
    names = names or [f"image_{n:05d}.png" for n in range(len(probabilities))]
    items = [Item(f"{folder}/{name}", f"{folder}/{name}", name, bytes=1, mtime_ns=1) for name in names]
    with Store(database(folder, "key", 0)) as store:
        store.add(
            Record.of(
                item,
                sha256=f"{n:064x}",
                width=40,
                height=80,
                regions=to_text(regions[n]) if n < len(regions) else "",
                probability=probability,
                error="" if probability is not None else "empty: 0 bytes",
                measures=rng.normal(size=len(MEASURES)).astype(np.float32).tobytes(),
                layout=rng.integers(256, size=3 * LAYOUT**2).astype(np.uint8).tobytes(),
                thumbnail=picture(n),
                heatmap=bytes(range(196)) if n % 2 else b"",
            )
            for n, (item, probability) in enumerate(zip(items, probabilities, strict=True))
        )
    return items


def make_report(
    folder, probabilities, names=None, limit=10_000, thresholds=(0.3, 0.7), decisions=None, audit=0, regions=()
):
    """A report of such images; its path."""
    items = make_records(folder, probabilities, names, regions)
    policy = Policy(manual_bands(list(thresholds)), False, decisions or Decisions())
    with Stores(folder, "key") as stores:
        judged = judge_all(items, stores, policy)
        groups = by_band(judged, policy)
        sample = draw(groups, audit, policy, "m", 0, 0) if audit else None
        todo = choose(judged, groups, sample, policy.decisions, 0.5) if audit else NOTHING
        options = {
            "lines": ["a < b"],
            "comparisons": compare(judged),
            "places": {},
            "model": "m",
            "limit": limit,
            "todo": todo,
        }
        return write_report(folder, judged, stores, policy, **options)


def read_data(page: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_names_are_data_and_never_markup(tmp_path):
    page = make_report(tmp_path, [0.9, 0.5], [HOSTILE, CLOSING]).read_text(encoding="utf-8")
    assert "onerror=" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "<img src=x" not in page and "</script><script>document" not in page
    assert {row[0] for row in read_data(page)["images"]} == {f"{tmp_path}/{HOSTILE}", f"{tmp_path}/{CLOSING}"}
    assert "<p>a &lt; b</p>" in page


def test_page_marks_inside_data_stay_data(tmp_path):
    page = make_report(tmp_path, [0.9], ["<!--SCRIPT--><!--PICTURES-->.png"]).read_text(encoding="utf-8")
    assert page.count('"use strict"') == 1
    assert read_data(page)["images"][0][0].endswith("<!--SCRIPT--><!--PICTURES-->.png")


def test_page_names_no_host(tmp_path):
    page = make_report(tmp_path, [0.1, 0.9]).read_text(encoding="utf-8")
    assert not re.search(r"https?://|src=[\"']//|@import", page)


def test_the_doubtful_are_shown_first_and_the_rest_is_counted(tmp_path):
    data = read_data(make_report(tmp_path, [0.1, 0.5, 0.9, 0.2], limit=2).read_text(encoding="utf-8"))
    assert [row[2] for row in data["images"]] == [0.9, 0.5]
    assert sorted(np.frombuffer(base64.b64decode(data["rest"]), "<u4") / 1e6) == [0.1, 0.2]


def test_what_is_to_be_looked_at_is_shown_whatever_the_limit(tmp_path):
    probabilities = np.linspace(0, 1, 40).round(6).tolist()
    data = read_data(make_report(tmp_path, probabilities, limit=1, audit=5).read_text(encoding="utf-8"))
    bands = ["keep" if data["images"][n][2] < 0.3 else "reject" for n in data["audit"]]
    assert sorted(bands) == ["keep"] * 5 + ["reject"] * 5
    assert len(set(data["audit"] + data["informative"])) == len(data["audit"]) + len(data["informative"]) == 40
    assert next(data["images"][n][2] for n in data["informative"]) == pytest.approx(0.5, abs=0.03)


def test_what_was_decided_is_shown_and_so_exported_whatever_the_limit(tmp_path):
    said = Decisions([((f"{tmp_path}/image_00000.png", f"{0:064x}"), KEEP)])
    data = read_data(make_report(tmp_path, [0.1, 0.2, 0.5], limit=1, decisions=said).read_text(encoding="utf-8"))
    assert [row[4] for row in data["images"]] == ["", KEEP]


def test_where_all_is_for_review_its_random_sample_comes_first(tmp_path):
    probabilities = np.linspace(0.1, 0.9, 40).tolist()
    data = read_data(make_report(tmp_path, probabilities, thresholds=(0, 1), audit=12).read_text(encoding="utf-8"))
    assert len(data["audit"]) == 12 and len({*data["audit"], *data["informative"]}) == 40
    assert data["audit"] != sorted(data["audit"])


def test_unusable_files_are_named(tmp_path):
    data = read_data(make_report(tmp_path, [0.1, None]).read_text(encoding="utf-8"))
    assert data["errors"] == [[f"{tmp_path}/image_00001.png", "empty: 0 bytes"]]
    assert len(data["images"]) == 1


@pytest.mark.parametrize("count", [0, 1])
def test_few_images_make_a_page(tmp_path, count):
    page = make_report(tmp_path, [0.5] * count).read_text(encoding="utf-8")
    assert len(read_data(page)["images"]) == count
    assert "too few" in page


def test_thumbnails_lie_in_the_order_of_the_images(tmp_path):
    page = make_report(tmp_path, [0.1, 0.9]).read_text(encoding="utf-8")
    lines = re.search(r'id="pictures-0">(.*?)</script>', page, re.DOTALL)[1].split("\n")
    assert [base64.b64decode(line.split(" ")[0]) for line in lines] == [picture(1), picture(0)]


def test_choose_shown_orders_by_probability(tmp_path):
    items = make_records(tmp_path, [0.8, 0.5, 0.1])
    with Stores(tmp_path, "key") as stores:
        judged = judge_all(items, stores, Policy(manual_bands([0.3, 0.7]), False))
    assert [row.band for row in choose_shown(judged, 2)] == [REJECT, REVIEW]
    assert [row.band for row in choose_shown(judged, 3)] == [REJECT, REVIEW, KEEP]
