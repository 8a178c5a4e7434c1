"""Tables as spreadsheets leave them."""

import pytest

from artifact_detection.system.tables import read_table


@pytest.mark.parametrize("text", ["a;b\r\n1,5;2\r\n;\r\n", "a,b\n'1,5',2\n,\n".replace("'", '"'), "a\tb\n1,5\t2\n"])
def test_a_table_that_went_through_a_spreadsheet_reads_as_before(tmp_path, text):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8-sig", newline="")
    assert list(read_table(tmp_path / "t.csv", ("a", "b"))) == [{"a": "1,5", "b": "2"}]
