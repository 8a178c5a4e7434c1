"""The review page in a real browser: sliders, keyboard, export, escaping, and no request to any host."""

import csv
import shutil
from urllib.parse import unquote

import cv2
import numpy as np
import pytest

from artifact_detection.detector.regions import Region
from tests.filtering.test_report import CLOSING, HOSTILE, make_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -r requirements-dev.txt")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, e.g. apt-get install chromium")

PROBABILITIES = [0.05, 0.15, 0.4, 0.5, 0.6, 0.8, 0.95]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, tmp_path):
    """Opens a report of these images; the page remembers every request and every error in `requests`, `problems`."""
    contexts = []

    def open_report(probabilities, names=None, **options):
        report = make_report(tmp_path, probabilities, names, **options)
        contexts.append(browser.new_context(accept_downloads=True, viewport={"width": 1300, "height": 900}))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        page.requests, page.problems = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("dialog", lambda dialog: page.problems.append("dialog"))
        page.goto(report.as_uri())
        return page

    yield open_report
    for context in contexts:
        context.close()


def tabs(page) -> dict[str, int]:
    """Counts on the tabs, by band."""
    return {name: int(count) for name, count in (text.split() for text in page.locator("nav button").all_inner_texts())}


def set_slider(page, name: str, value: float) -> None:
    script = "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }"
    page.locator(f"#{name}").evaluate(script, str(value))


def exported(page, folder, button: str = "#export") -> dict[str, tuple[str, str]]:
    """path -> (sha256, decision) of the file that the page exports."""
    with page.expect_download() as download:
        page.locator(button).click()
    download.value.save_as(folder / "decisions.csv")
    with open(folder / "decisions.csv", encoding="utf-8", newline="") as handle:
        return {row["path"]: (row["sha256"], row["decision"]) for row in csv.DictReader(handle)}


def press(page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_sliders_band_again_at_once(open_page):
    page = open_page(PROBABILITIES)
    assert tabs(page) == {"review": 3, "reject": 2, "keep": 2, "decided": 0, "unusable": 0}
    before = page.locator("#histogram").evaluate("canvas => canvas.toDataURL()")
    set_slider(page, "high", 0.55)
    assert tabs(page) == {"review": 2, "reject": 3, "keep": 2, "decided": 0, "unusable": 0}
    assert page.locator(".card").count() == 2
    assert page.locator("#histogram").evaluate("canvas => canvas.toDataURL()") != before
    assert "--threshold 0.300 0.550" in page.locator("#slider-note").inner_text()
    set_slider(page, "low", 0.9)  # pushes the other one along
    assert tabs(page) == {"review": 0, "reject": 1, "keep": 6, "decided": 0, "unusable": 0}
    page.locator("#reset").click()
    assert tabs(page)["review"] == 3
    assert page.problems == []


def test_images_without_a_thumbnail_are_counted(open_page):
    page = open_page(PROBABILITIES, limit=3)
    assert tabs(page) == {"review": 3, "reject": 2, "keep": 2, "decided": 0, "unusable": 0}
    assert "4 images are counted" in page.locator("#slider-note").inner_text()


def test_keyboard_review_and_export(open_page, tmp_path):
    names = ["a.png", "b.png", 'c,"quoted"\n.png', "d é.png", "e.png", "f.png", "g.png"]
    page = open_page(PROBABILITIES, names)
    for key in ("k", "r", "ArrowLeft", "u", "ArrowRight", "R"):  # 0.6 keep; 0.5 reject, then undecided; 0.4 reject
        page.keyboard.press(key)
    assert tabs(page) == {"review": 1, "reject": 3, "keep": 3, "decided": 2, "unusable": 0}
    rows = exported(page, tmp_path)
    assert rows == {f"{tmp_path}/e.png": (f"{4:064x}", "keep"), f'{tmp_path}/c,"quoted"\n.png': (f"{2:064x}", "reject")}
    page.reload()
    assert tabs(page)["decided"] == 2  # the browser remembers
    assert page.problems == []


def test_hostile_names_do_nothing(open_page):
    page = open_page([0.5, 0.6, 0.55], [HOSTILE, CLOSING, "'\"><svg onload=document.title=1>.png"])
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.title() == "Filter report"
    assert page.locator("#gallery img").count() == 3
    assert page.locator("svg[onload], img[onerror]").count() == 0
    assert HOSTILE in page.locator("#gallery").inner_text()
    assert page.problems == []


def test_asks_no_host_for_anything(open_page, tmp_path):
    page = open_page(PROBABILITIES)
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    own = (f"file://{tmp_path}/", "data:")
    assert [url for url in page.requests if not unquote(url).startswith(own)] == []
    refused = page.evaluate(
        "() => new Promise(done => { document.onsecuritypolicyviolation = event => done(event.blockedURI);"
        " new Image().src = 'http://localhost:9/x.png'; })"
    )
    assert refused == "http://localhost:9/x.png"


def test_missing_originals_fall_back_to_the_thumbnail(open_page):
    page = open_page([0.5])
    shown = page.locator("#detail img")
    page.wait_for_function("document.querySelector('#detail img').naturalWidth === 40")
    assert shown.get_attribute("src").startswith("data:image/jpeg")


def outlines(page, inside: str) -> list[str]:
    """Corners of the coloured outlines drawn in an element, in thousandths of the image's sides."""
    shapes = page.locator(f"{inside} svg polygon[stroke]").all()
    return [shape.get_attribute("points") for shape in shapes if shape.is_visible()]


def test_outlines_lie_on_the_image_and_families_can_be_chosen(open_page):
    overlay = Region("overlay", 0.93, ((0, 0), (20, 0), (20, 40)))  # of an image of 40 x 80 pixels
    anatomy = Region("anatomy", 0.71, ((10, 20), (40, 20), (40, 80)))
    page = open_page([0.5, 0.6, 0.55, 0.1], regions=[[overlay], [anatomy, overlay], [], [overlay]])
    assert outlines(page, "#detail") == ["250,250 1000,250 1000,1000", "0,0 500,0 500,500"]
    image, drawn = (page.locator(f"#detail .stack {name}").bounding_box() for name in ("img", "svg"))
    assert drawn == pytest.approx(image, abs=0.5)
    assert "anatomy 0.71, overlay 0.93" in page.locator("#detail dl").inner_text()
    assert page.locator("#families button").all_inner_texts() == [
        "overlay 2", "occlusion 0", "anatomy 1", "generation 0"
    ]  # fmt: skip
    page.locator("#families button").nth(2).click()
    assert page.locator(".card").count() == 1 and page.locator("#page").inner_text().endswith("1 images")
    page.locator("#families button").nth(2).click()
    assert page.locator(".card").count() == 3
    page.keyboard.press("o")
    assert outlines(page, "#detail") == []
    page.keyboard.press("o")
    page.locator("nav button.keep").click()
    assert outlines(page, "#detail") == []  # nothing speaks against an image that is kept
    assert page.problems == []


def test_without_regions_there_is_no_legend(open_page):
    assert not open_page([0.5]).locator("#families").is_visible()


def test_heat_map_can_be_switched_off(open_page):
    page = open_page([0.5, 0.6])
    assert page.locator("#gallery canvas:visible").count() == 1
    page.keyboard.press("h")
    assert page.locator("#gallery canvas:visible").count() == 0


def test_ten_thousand_images_stay_usable(open_page):
    page = open_page(np.linspace(0, 1, 10_000).round(6).tolist())
    assert page.locator(".card").count() == 60
    assert page.evaluate("document.querySelectorAll('*').length") < 1_000
    assert page.evaluate("blocks.size") == 1  # of 50: the other thumbnails are not even split
    page.locator("#page-on").click()
    set_slider(page, "high", 0.5)
    assert tabs(page) == {"review": 2000, "reject": 5000, "keep": 3000, "decided": 0, "unusable": 0}
    assert page.locator(".card").count() == 60
    page.keyboard.press("ArrowRight")
    assert "page 1 of" in page.locator("#page").inner_text()


# ---- looking at images one by one


def test_the_random_sample_comes_first_and_blind(open_page):
    page = open_page(np.linspace(0, 1, 30).round(6).tolist(), audit=3)
    assert page.locator("#looking-image img").count() == 1
    assert page.locator("#looking-image img").bounding_box()["height"] > 700  # large enough to see an artifact
    text = page.locator("body").inner_text()
    assert "0 of 6 decided" in text
    assert not [word for word in ("image_", "probability", "keep", "review", "0.") if word in text]
    assert page.locator("#gallery:visible, #summary:visible, #bands:visible").count() == 0
    bands = page.evaluate("data.audit.map((index) => band(data.images[index][P]))")
    assert sorted(bands) == ["keep"] * 3 + ["reject"] * 3 and bands != sorted(bands)
    assert page.problems == []


def test_one_key_an_image_undo_progress_and_export(open_page, tmp_path):
    page = open_page(np.linspace(0, 1, 30).round(6).tolist(), audit=3)
    paths = page.evaluate("data.audit.map((index) => data.images[index][PATH])")
    press(
        page, "k", "r", "z", "k", "u", "ArrowLeft", "ArrowLeft", "r"
    )  # keep, reject taken back, keep, not sure, reject
    assert "3 of 6 decided" in page.locator("#looking-count").inner_text()
    assert page.locator("#looking-bar").evaluate("bar => bar.value / bar.max") == 0.5
    page.reload()
    assert "3 of 6 decided" in page.locator("#looking-count").inner_text()  # goes on where it was
    press(page, "k", "k")
    page.locator("#look-reject").click()
    assert "All of them are decided" in page.locator("#looking-image").inner_text()
    found = {path: choice for path, (_, choice) in exported(page, tmp_path, "#looking-export").items()}
    assert found == dict(zip(paths, ["keep", "reject", "review", "keep", "keep", "reject"], strict=True))
    press(page, "Escape")
    assert tabs(page)["decided"] == 6 and page.locator("#looking:visible").count() == 0
    assert page.problems == []


def test_then_the_most_informative(open_page):
    page = open_page(np.linspace(0, 1, 30).round(6).tolist(), audit=3)
    press(page, "Escape")
    page.locator("#look-informative").click()
    assert "0 of 24 decided" in page.locator("#looking-count").inner_text()
    press(page, "r", "Escape")
    assert tabs(page)["decided"] == 1
    assert page.problems == []


def test_a_whole_file_is_shown_and_the_next_is_there(open_page, tmp_path):
    for n in range(30):
        (tmp_path / f"image_{n:05d}.png").write_bytes(
            cv2.imencode(".png", np.zeros((300, 300, 3), np.uint8))[1].tobytes()
        )
    page = open_page(np.linspace(0, 1, 30).round(6).tolist(), audit=3)
    page.wait_for_function("document.querySelector('#looking-image img').naturalWidth === 300")
    page.wait_for_function("looking.ahead.length === 4 && looking.ahead.every((one) => one.naturalWidth === 300)")


def test_decisions_stay_with_their_image_when_the_page_is_written_anew(open_page, tmp_path):
    page = open_page([0.4, 0.6])
    press(page, "r")  # 0.6, image_00001.png
    make_report(tmp_path, [0.4, 0.6, 0.65], ["image_00000.png", "image_00001.png", "new.png"])
    page.reload()
    assert list(exported(page, tmp_path)) == [f"{tmp_path}/image_00001.png"]


@pytest.mark.parametrize("audit", [0, 3])
def test_on_a_telephone_nothing_is_cut_off(open_page, audit):
    page = open_page(np.linspace(0, 1, 30).round(6).tolist(), audit=audit)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    if audit:  # all that is needed to decide is in sight
        buttons = page.locator("#looking button:visible").all()
        assert len(buttons) >= 7 and all(button.bounding_box()["y"] < 820 for button in buttons)
        assert page.locator("#looking-bar").bounding_box()["width"] > 60
    else:  # what is chosen stays above the images
        page.locator(".card").nth(11).scroll_into_view_if_needed()
        page.locator(".card").nth(11).click()
        assert 0 <= page.locator("#detail").bounding_box()["y"] < 400


def test_an_export_says_where_it_is_and_what_to_do_with_it(open_page, tmp_path):
    page = open_page(np.linspace(0, 1, 30).round(6).tolist(), audit=1)
    press(page, "k", "r")
    exported(page, tmp_path, "#looking-image button")
    assert "decisions (1).csv" in page.locator("#looking-image").inner_text()
    press(page, "Escape")
    assert "--action copy" in page.locator("#export-note code").nth(1).inner_text()
