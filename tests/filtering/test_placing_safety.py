"""What filter_images.py may touch, where it finds images again, and what a hostile tar can do."""

import errno
import io
import os
import shutil
import sqlite3
import tarfile
import time
from pathlib import Path

import pytest

import filter_images
from artifact_detection.filtering import shards
from artifact_detection.filtering.inputs import Inputs
from artifact_detection.filtering.store import SUFFIX
from tests.filtering.runs import THRESHOLDS, add_member, read_scores, run, snapshot

REJECT = ("--threshold", "0", "--gallery", "0")  # every image


def few(folder: Path, images: Path, count: int = 3) -> Path:
    folder.mkdir(exist_ok=True)
    for path in sorted(images.glob("??.png"))[:count]:
        shutil.copy(path, folder)
    return folder


@pytest.mark.parametrize("name", ["scores.csv", "summary.json", "report.html", "kept.txt", "manifest.csv", ".work/x"])
def test_a_folder_with_files_of_our_names_is_refused(images, model, tmp_path, name, capsys):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert run(images, *THRESHOLDS, "--action", "list", model=model, out=tmp_path / "out") == 2
    assert "which is not of a run" in capsys.readouterr().err
    assert [one for one in (tmp_path / "out").rglob("*") if one.is_file()] == [path] and path.read_text() == "mine"


@pytest.mark.parametrize("name", ["kept.txt", "report.html", "coco.json"])
def test_a_file_that_the_user_puts_into_our_folder_is_kept(images, model, tmp_path, name, capsys):
    source, out = few(tmp_path / "few", images), tmp_path / "out"
    assert run(source, *REJECT, model=model, out=out) == 0
    (out / name).write_text("mine")
    assert run(source, *REJECT, "--action", "list", model=model, out=out) == 2
    assert f"{name}, which is not of a run" in capsys.readouterr().err and (out / name).read_text() == "mine"
    (out / name).unlink()
    assert run(source, *REJECT, "--action", "list", model=model, out=out) == 0


def test_a_file_that_changes_before_it_is_linked_is_not_linked(images, model, tmp_path, monkeypatch, capsys):
    source, place = few(tmp_path / "few", images), filter_images.actions.place

    def meddle(*arguments):
        shutil.copy(images / "07.png", source / "01.png")
        return place(*arguments)

    monkeypatch.setattr(filter_images.actions, "place", meddle)
    assert run(source, *REJECT, "--action", "link", model=model, out=tmp_path / "out") == 1
    assert "01.png: not placed" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out" / "rejected").iterdir()) == ["03.png", "05.png"]


@pytest.mark.parametrize("action", ["copy", "move", "link"])
def test_what_is_not_placed_is_named(images, model, tmp_path, action, capsys):
    taken, out = tmp_path / "out" / "rejected" / "01.png", tmp_path / "out"
    taken.parent.mkdir(parents=True)
    shutil.copy(images / "01.png", taken)  # the same bytes: a file of the user's all the same
    few_images = few(tmp_path / "few", images)
    for _ in range(2):
        assert run(few_images, *REJECT, "--action", action, model=model, out=out) == 1
        assert "01.png: not placed, another file has its place" in capsys.readouterr().out
    run("--undo", out=out)
    assert taken.exists() and len(snapshot(few_images)) == 3


@pytest.mark.parametrize("again", [("--precision", "bf16"), ("--stability", "0.5"), ("--heatmaps", "9")])
def test_moved_images_are_found_where_they_are(images, model, tmp_path, again):
    before, out = snapshot(images), tmp_path / "out"
    move = (images, *THRESHOLDS, "--action", "move", "--gallery", "9", "--heatmaps", "0")
    run(*move, model=model, out=out)
    assert run(*move, *again, model=model, out=out) == 1
    rows = read_scores(out)
    assert len(rows) == 22 and sum(bool(row["error"]) for row in rows.values()) == 2
    assert ("flips" in "".join(row["reason"] for row in rows.values())) == (again[0] == "--stability")
    assert run("--undo", out=out) == 0 and snapshot(images) == before


@pytest.mark.parametrize("damage", ["items.csv", None])
def test_a_damaged_order_or_a_deleted_image_hinders_no_later_run(images, model, tmp_path, damage, capsys):
    out, source = tmp_path / "out", few(tmp_path / "few", images)
    move = (source, *REJECT, "--action", "move")
    run(*move, model=model, out=out)
    if damage:
        path = out / ".work" / damage
        path.write_bytes(path.read_bytes()[:-20])
        assert run(*move, model=model, out=out) == 0
        assert len(read_scores(out)) == 3
        assert run("--undo", out=out) == 0 and len(snapshot(source)) == 3
    else:
        (out / "rejected" / "01.png").unlink()
        assert run("--undo", out=out) == 1 and "01.png: gone from both places" in capsys.readouterr().out
        assert len(snapshot(source)) == 2 and not (out / "manifest.csv").exists()


def test_the_output_is_no_input_by_whatever_name(images, model, tmp_path):
    source = few(tmp_path / "few", images)
    (tmp_path / "alias").symlink_to(source)
    for _ in range(3):
        assert run(tmp_path / "alias", *REJECT, "--action", "copy", model=model, out=source / "out") == 0
        assert len(read_scores(source / "out")) == 3


@pytest.mark.parametrize("null", [False, True])
def test_a_list_never_names_what_was_not_judged(images, model, tmp_path, null, capsys):
    source = few(tmp_path / "few", images, 2)
    (source / "01.png").rename(source / "a\nb.png")
    command = (source, *REJECT, "--action", "list", *(["--null"] if null else []))
    assert run(*command, model=model, out=tmp_path / "out") == (0 if null else 1)
    listed = (tmp_path / "out" / "rejected.txt").read_bytes()
    assert listed == (f"{source}/03.png\0{source}/a\nb.png\0" if null else f"{source}/03.png\n").encode()
    assert null or "use --null" in capsys.readouterr().out
    (tmp_path / "list.txt").write_bytes(listed)
    assert len(Inputs.scan([str(tmp_path / "list.txt")], tmp_path / "out").items) == 1 + null


def test_a_folder_from_elsewhere_is_undone_only_to_where_the_user_says(images, model, tmp_path, monkeypatch, capsys):
    out, source = tmp_path / "out", few(tmp_path / "few", images)
    run(source, *REJECT, "--action", "move", model=model, out=out)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    assert run("--undo", out=out) == 2
    assert "--restore-to" in capsys.readouterr().err and not snapshot(source)
    # a run over other images does not make the list one of this machine
    assert run(few(tmp_path / "others", images), *REJECT, model=model, out=out) == 2
    assert "no run on this machine read" in capsys.readouterr().err
    assert run("--undo", out=out) == 2 and not snapshot(source)
    assert run("--undo", "--restore-to", tmp_path / "safe", out=out) == 0
    assert len(snapshot(tmp_path / "safe")) == 3 and not snapshot(source)


def test_a_record_that_may_not_be_read_makes_a_folder_nobody_elses(images, model, tmp_path, monkeypatch, capsys):
    command, out, read = (few(tmp_path / "few", images), *REJECT, "--action", "move"), tmp_path / "out", Path.read_bytes

    def refused(path):
        if path.name == "record.json":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read(path)

    run(*command, model=model, out=out)
    monkeypatch.setattr(Path, "read_bytes", refused)
    for arguments in (command, ("--undo",)):
        assert run(*arguments, model=model, out=out) == 2
        error = capsys.readouterr().err
        assert "Permission denied" in error and "not of a run" not in error
    monkeypatch.undo()
    assert run("--undo", out=out) == 0


# ---- tars


def header(name: bytes, size: int, kind: bytes = b"0") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name
    block[100:124] = b"0000644\0" * 3
    block[124:136] = (size % 2**96).to_bytes(12, "big") if not 0 <= size < 8**11 else b"%011o\0" % size
    block[124] |= 0 if 0 <= size < 8**11 else 0x80
    block[136:148], block[156:157], block[257:265] = b"00000000000\0", kind, b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(name: bytes, data: bytes, size: int | None = None, kind: bytes = b"0") -> bytes:
    return header(name, len(data) if size is None else size, kind) + data + bytes(-len(data) % 512)


def pax(*records: tuple[bytes, bytes]) -> bytes:
    lines = b""
    for key, value in records:
        body = b" " + key + b"=" + value + b"\n"
        length = len(body) + len(str(len(body) + 2))
        lines += str(length if len(str(length)) + len(body) == length else length + 1).encode() + body
    return member(b"pax", lines, kind=b"x")


HOSTILE = {
    "size -512": header(b"bad.png", -512),
    "size -1024 with data": member(b"bad.png", b"x" * 600, -1024),
    "size 2**80": header(b"bad.png", 2**80),
    "40 GB, cut": header(b"bad.png", 40 * 10**9),
    "pax size -1": pax((b"size", b"-1")) + member(b"bad.png", b"x"),
    "pax size abc": pax((b"size", b"abc")) + member(b"bad.png", b"x"),
    "pax record without length": member(b"pax", b"path=x\n", kind=b"x"),
    "sparse map": pax((b"GNU.sparse.map", b"a,b"), (b"GNU.sparse.name", b"bad.png")) + member(b"s", b"x"),
    "NUL in a pax path": pax((b"path", b"a\0bad.png")) + member(b"bad.png", b"x"),
    "long pax name": pax((b"path", b"a" * 300_000 + b".png")) + member(b"bad.png", b"x"),
    "long GNU name": member(b"@", b"a" * 300_000 + b".png\0", kind=b"L") + member(b"bad.png", b"x"),
    "GNU name of 30 GB": header(b"@", 30 * 10**9, b"L"),
    "GNU name before nothing": member(b"@", b"a" * 150 + b".png\0", kind=b"L") + bytes(1024),
    "200,000 pax records": member(b"@", b"5 a=\n" * 200_000, kind=b"x") + header(b"bad.png", 2**80),
    "old sparse": member(b"bad.png", b"x", kind=b"S"),
    "bad checksum": b"x" * 512,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_member_is_named_and_the_others_are_found(tmp_path, kind):
    start = time.process_time()
    data = member(b"one.png", b"1" * 700) + HOSTILE[kind] + member(b"two.png", b"2" * 10) + bytes(1024)
    (tmp_path / "a.tar").write_bytes(data)
    found = Inputs.scan([str(tmp_path / "a.tar")], tmp_path / "out").items
    good = {item.name: item.bytes for item in found if not item.problem}
    assert good == {"a/one.png": 700, "a/two.png": 10}
    assert len(found) == 3 and time.process_time() - start < 2


WHOLE = {
    "one archive behind the other": (member(b"a.png", b"1") + bytes(1024) + member(b"b.png", b"2") + bytes(1024), 2, 0),
    "ends within a header": (member(b"a.png", b"1") + member(b"b.png", b"2")[:300], 1, 1),
    "two members of one name": (member(b"a.png", b"1") + member(b"a.png", b"2") + bytes(1024), 2, 0),
    "no end mark": (member(b"a.png", b"1"), 1, 0),
    "ends behind a long name": (member(b"a.png", b"1") + member(b"@", b"a" * 150 + b".png\0", kind=b"L"), 1, 1),
    "more links than damages are named": (header(b"l", 0, b"2") * 1500 + member(b"a.png", b"1"), 1, 1500),
    "every name for a second one is taken": (
        b"".join(pax((b"path", b"2-" * n + b"a.png")) + member(b"", b"1") for n in (*range(1100), 0)),
        1101,
        0,
    ),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_no_member_is_passed_over_in_silence(tmp_path, kind):
    data, good, bad = WHOLE[kind]
    (tmp_path / "a.tar").write_bytes(data)
    found = Inputs.scan([str(tmp_path / "a.tar")], tmp_path / "out")
    assert (found.repeated, sum(not item.problem for item in found.items)) == (0, good)
    assert len({item.path for item in found.items}) == len(found.items) == good + bad


def test_a_tar_with_every_fault_is_scored_and_its_copies_come_back(images, model, tmp_path):
    data = (images / "01.png").read_bytes()
    long = pax((b"path", b"l" * 300 + b"/" + b"n" * 300 + b".png")) + member(b"x.png", data)
    deep = pax((b"path", b"d/" * 2030 + b"deep.png")) + member(b"x.png", data)
    plain = [member(b"carriage\rreturn.png", data), member(b"two.png", data)]
    (tmp_path / "a.tar").write_bytes(b"".join([*HOSTILE.values(), *plain, long, deep, bytes(1024)]))
    out = tmp_path / "out"
    for _ in range(2):
        assert run(tmp_path / "a.tar", *REJECT, "--action", "copy", model=model, out=out) == 1
    assert {path for path in snapshot(out) if path.endswith(".png")} == {
        "rejected/a/carriage\rreturn.png", "rejected/a/two.png", f"rejected/a/{'l' * 255}/{'n' * 251}.png",
        f"rejected/{'d/' * 507}deep.png",
    }  # fmt: skip
    assert run("--undo", out=out) == 0
    assert not any(path.endswith(".png") for path in snapshot(out))


def test_copies_out_of_a_tar_that_lost_them_are_kept(images, model, tmp_path):
    shard, out = tmp_path / "a.tar", tmp_path / "out"

    def write(*names):
        with tarfile.open(shard, "w") as archive:
            for name in names:
                add_member(archive, name, (images / name).read_bytes())

    write("01.png", "03.png")
    run(shard, *REJECT, "--action", "copy", model=model, out=out)
    write("05.png")
    copies = {path for path in snapshot(out) if path.endswith(".png")}
    assert run(shard, *REJECT, "--action", "copy", model=model, out=out) == 1
    assert run("--undo", out=out) == 1
    assert copies <= set(snapshot(out))


def test_what_is_too_large_is_said_before_it_is_read(tmp_path, monkeypatch):
    with open(tmp_path / "a.tar", "wb") as handle:
        handle.write(header(b"huge.png", 2 * 10**9))
        handle.truncate(512 + 2 * 10**9)
    [item] = Inputs.scan([str(tmp_path / "a.tar")], tmp_path / "out").items
    assert item.problem == "too large: 2000 MB"


def test_a_pipe_that_is_called_a_tar_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.tar")
    [item] = Inputs.scan([str(tmp_path / "a.tar")], tmp_path / "out").items
    assert item.problem == "unreadable: not a regular file"


def test_nonsense_of_any_length_is_named_in_bounded_time(tmp_path):
    start, handle = time.process_time(), io.BytesIO(header(b"a.png", -512) * 20_000)
    found = list(shards.images_in(handle, 0, len(handle.getvalue()), {}))
    assert len(found) == shards.MAX_DAMAGE + 1 and time.process_time() - start < 5


# ---- ends in words


@pytest.mark.parametrize("arguments", [("--threshold", "nan"), ("--threshold", "0.1", "nan"), ("--threshold", "2")])
def test_a_threshold_that_is_no_probability_is_refused(images, model, tmp_path, arguments, capsys):
    assert run(images, *arguments, model=model, out=tmp_path / "out") == 2
    assert "between 0 and 1" in capsys.readouterr().err and not (tmp_path / "out").exists()


def flip(data: bytes, *texts: bytes) -> bytes:
    """One byte after the first of each of these texts changed."""
    for text in texts:
        place = data.index(text) + len(text)
        data = data[:place] + bytes([data[place] ^ 0xC1]) + data[place + 1 :]
    return data


@pytest.mark.parametrize("damage", ["no database", "cut", "schema", "schema's name", "record"])
def test_damaged_scores_are_made_again(images, model, tmp_path, damage, capsys):
    out, source = tmp_path / "out", few(tmp_path / "few", images)
    run(source, *REJECT, model=model, out=out)
    before = read_scores(out)
    [store] = (out / ".work").glob("*.sqlite")
    data, sha256 = store.read_bytes(), next(iter(before.values()))["sha256"].encode()
    store.write_bytes(
        {
            "no database": b"no database" * 1000,
            "cut": data[: len(data) // 2],
            "schema": flip(data, b"CREATE TABLE recor"),
            "schema's name": flip(data, b"CREATE TABLE records (path, off"),
            "record": flip(data, sha256),  # behind it: the probability
        }[damage]
    )
    if damage == "write version":
        few(source, images, 4)  # one more: only writing shows it
    assert run(source, *REJECT, model=model, out=out) == 0
    after = read_scores(out)
    assert all(after[path] == row for path, row in before.items()) and "scored again" in capsys.readouterr().err


def test_scores_of_an_earlier_version_do_not_count(images, model, tmp_path, capsys):
    """It accepted damaged files; one line says so, once."""
    out, source = tmp_path / "out", few(tmp_path / "few", images)
    run(source, *REJECT, model=model, out=out)
    [store] = (out / ".work").glob("*.sqlite")
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE records SET probability = 0.123")
    connection.close()
    store.rename(store.with_name(store.name.replace(SUFFIX, ".3.sqlite")))
    capsys.readouterr()
    for said in (1, 0):
        assert run(source, *REJECT, model=model, out=out) == 0
        assert capsys.readouterr().err.count("of an earlier version: images are scored again") == said
    assert all(float(row["probability"]) != 0.123 for row in read_scores(out).values())


def test_ctrl_c_is_one_line(images, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("filter_images.score_and_judge", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run(images, *REJECT, model=model, out=tmp_path / "out") == 130
    assert capsys.readouterr().err == "filter_images: stopped. No file is lost; run it again to go on\n"
