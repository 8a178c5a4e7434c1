import io

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifact_detection.system.tables import frame_text, read_table, write_table

ROWS = [{"a": "1", "b": 'comma, "quote"'}, {"a": "", "b": "line\nbreak\r"}]
CELLS = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def test_an_equal_table_is_not_written_again(tmp_path):
    path = tmp_path / "table.csv"
    write_table(path, ("a", "b"), ROWS)
    inode = path.stat().st_ino
    write_table(path, ("a", "b"), ROWS)
    assert path.stat().st_ino == inode


@settings(max_examples=200, deadline=None)
@given(st.lists(st.fixed_dictionaries({"a": CELLS.map("a{}".format), "b": CELLS})))
def test_a_table_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "table.csv"
    for written in (ROWS, rows, [{"a": "long", "b": "x" * 300_000}]):
        write_table(path, ("a", "b"), written)
        assert list(read_table(path, ("a", "b"))) == written


@settings(max_examples=200, deadline=None)
@given(st.lists(st.fixed_dictionaries({"a": NAMES, "b": NAMES}), min_size=1))
def test_names_in_a_frame_come_back(rows):
    text = frame_text(pd.DataFrame(rows))
    assert pd.read_csv(io.StringIO(text, newline=""), dtype=str, keep_default_na=False).to_dict("records") == rows


@pytest.mark.parametrize("data", [b"", b"a\n1\n", b"a,b\n1\n", b"a,b\n1,2,3\n", b'a,b\n"1', b"\xff\xfe"])
def test_a_damaged_table_is_refused(tmp_path, data):
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError):
        list(read_table(path, ("a", "b")))
