"""Lists of transfers: any name comes back, and nobody else's list is trusted."""

import json
import os
import shutil
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artifact_detection.system.files import sha256_file, write_atomic
from artifact_detection.system.manifest import Manifest, ManifestError, ManifestRow
from artifact_detection.system.ownership import NotOursError, OwnFolder
from artifact_detection.system.paths import FreeNames

pytestmark = pytest.mark.usefixtures("no_sync")
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60)
NAMES = NAMES.filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)


@pytest.fixture
def manifest(tmp_path):
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    own = OwnFolder.claim(tmp_path / "to", "test", ["manifest.csv"])
    own.admit([tmp_path / "from"])
    return Manifest(own, ManifestRow)


def planned(manifest, names, mode="move"):
    rows = []
    for number, name in enumerate(names):
        source = manifest.folder.parent / "from" / name
        source.write_bytes(f"{name} {number}".encode())
        rows.append(ManifestRow(source, f"kept/{name}", mode, sha256_file(source), source.stat().st_size))
    return rows


def files(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".work" not in path.parts}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(NAMES, min_size=1, max_size=4))
def test_any_name_is_moved_and_comes_back(manifest, names):
    rows = planned(manifest, sorted(names))
    before = files(manifest.folder.parent / "from")
    manifest.write(rows)
    assert sorted(manifest.read(), key=str) == sorted(rows, key=str)
    assert set(manifest.carry_out(rows, "move")) == {""}
    assert files(manifest.folder.parent / "from") == {}
    reasons = manifest.undo(manifest.read())
    manifest.take_apart(rows, reasons)
    assert files(manifest.folder.parent / "from") == before and not manifest.exists()
    shutil.rmtree(manifest.folder.parent / "from")
    (manifest.folder.parent / "from").mkdir()


def test_what_was_there_before_the_plan_is_not_ours(manifest):
    [row] = planned(manifest, ["x"])
    (manifest.folder / "kept").mkdir()
    shutil.copy(row.source, manifest.folder / row.destination)
    assert [reason for _, reason in manifest.reasons([row], [])] == ["another file has its place: kept/x"]
    assert [reason for _, reason in manifest.reasons([row], [row])] == [""]


def test_a_list_from_elsewhere_puts_no_file_where_it_says(manifest, tmp_path):
    rows = planned(manifest, ["x", "y"])
    manifest.write(rows)
    manifest.carry_out(rows, "move")
    record = manifest.folder / ".work" / "record.json"
    text = json.loads(record.read_text()) | {"roots": [str(tmp_path)]}
    record.write_text(json.dumps(text))
    strange = Manifest(OwnFolder.find(manifest.folder), ManifestRow)
    with pytest.raises(ManifestError, match="--restore-to"):
        strange.going_home(strange.read(), None)
    home = strange.going_home(strange.read(), tmp_path / "safe")
    assert strange.undo(home) == ["", ""]
    assert set(files(tmp_path / "safe")) == {"x", "y"} and files(tmp_path / "from") == {}


def test_a_link_that_came_along_leads_no_file_out_of_where_it_may_be(manifest, tmp_path):
    rows = [ManifestRow(tmp_path / "there" / name / "x", f"kept/{name}", "move", "00") for name in "ab"]
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "a").symlink_to(tmp_path / "home")
    with pytest.raises(ManifestError, match="link"):
        manifest.going_home(rows, tmp_path / "sent")


@pytest.mark.parametrize("is_ours", [True, False])
def test_undo_follows_only_a_link_that_a_run_here_followed(manifest, tmp_path, is_ours):
    rows = planned(manifest, ["x"])
    (tmp_path / "home").mkdir()
    (manifest.folder / "kept").symlink_to(tmp_path / "home")
    if is_ours:
        assert manifest.carry_out(rows, "move") == [""]
    else:
        os.rename(rows[0].source, tmp_path / "home" / "x")
    before = files(tmp_path / "home")
    [reason] = manifest.undo(rows)
    assert (reason == "") == is_ours and bool(files(tmp_path / "home")) != is_ours and before


def test_a_signed_root_does_not_cover_what_a_link_leads_to(manifest, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "from" / "link").symlink_to(tmp_path / "elsewhere")
    assert manifest.own.covers(tmp_path / "from" / "x")
    assert not manifest.own.covers(tmp_path / "from" / "link" / "x")
    assert not manifest.own.covers(tmp_path / "from" / ".." / "x")


@pytest.mark.parametrize("name", ["manifest.csv", ".work/mine"])
def test_a_folder_with_files_of_our_names_is_refused(tmp_path, name):
    path = tmp_path / "user" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(NotOursError, match=r"manifest.csv|\.work"):
        OwnFolder.claim(tmp_path / "user", "test", ["manifest.csv"])
    assert files(tmp_path / "user").keys() <= {"manifest.csv"} and path.read_text() == "mine"


def test_a_name_of_ours_is_replaced_only_while_it_has_what_we_wrote(manifest, monkeypatch):
    path, replace = manifest.folder / "manifest.csv", os.replace

    def claim():
        OwnFolder.claim(manifest.folder, "test", ["manifest.csv"])

    def die(unfinished, name):
        if name == path:
            raise KeyboardInterrupt
        replace(unfinished, name)

    write_atomic(path, "one")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", die)
        write_atomic(path, "two")
    claim()  # what is there was written by a run, though another was about to replace it
    write_atomic(path, "two")
    claim()
    path.write_text("mine")
    for act in (claim, lambda: write_atomic(path, "three")):
        with pytest.raises(NotOursError, match="changed since"):
            act()
    assert path.read_text() == "mine"
    path.rename(manifest.folder / "mine.csv")
    write_atomic(path, "three")
    write_atomic(manifest.folder / "mine.csv", "not a name of ours: nothing is asked")


def test_a_folder_of_an_earlier_version_is_taken_as_it_is(manifest):
    path, record = manifest.folder / "manifest.csv", manifest.folder / ".work" / "record.json"
    path.write_text("earlier")
    values = json.loads(record.read_text())
    del values["written"]
    record.write_text(json.dumps(values))
    OwnFolder.claim(manifest.folder, "test", ["manifest.csv"])
    write_atomic(path, "later")
    assert path.read_text() == "later"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_is_no_record(manifest):
    record = manifest.folder / ".work" / "record.json"
    record.unlink()
    os.mkfifo(record)
    assert OwnFolder.find(manifest.folder) is None


def test_a_folder_belongs_to_one_script(manifest):
    with pytest.raises(NotOursError, match="belongs to test"):
        OwnFolder.claim(manifest.folder, "another")


@pytest.mark.parametrize("state", ["copying", "set aside", "set aside, source again"])
def test_what_a_kill_left_is_cleared_by_its_name_and_nothing_else(manifest, state):
    [row] = planned(manifest, ["x"])
    before = files(row.source.parent)
    manifest.write([row])
    (row.source.parent / ".unfinished-notes").write_text("mine")
    destination = manifest.folder / row.destination
    destination.parent.mkdir()
    unfinished, _ = manifest.own.names_for(destination)
    _, aside = manifest.own.names_for(row.source)
    if state == "copying":
        unfinished.write_text("ha")
    else:
        shutil.copy(row.source, destination)
        os.rename(row.source, aside)
        if state == "set aside, source again":
            shutil.copy(destination, row.source)
    manifest.recover(manifest.read())
    assert files(row.source.parent) == before | {".unfinished-notes": b"mine"}
    assert not unfinished.exists()


def test_names_for_many_files_of_one_name_are_found_in_seconds():
    names, start = FreeNames(["a/images-x.png"]), time.process_time()
    taken = [names.take("a/x.png", "a/images-x.png") for _ in range(100_000)]
    assert taken[:3] == ["a/x.png", "a/2-images-x.png", "a/3-images-x.png"] and len(set(taken)) == 100_000
    assert time.process_time() - start < 10
