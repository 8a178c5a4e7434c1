"""Flags that make no sense together are refused in one sentence that says what to do."""

import pytest

import filter_images


@pytest.mark.parametrize(
    ("flags", "advice"),
    [
        ("x --audit 5 --calibrate d.csv", "first --audit alone, look at the sample on the review page"),
        ("x --threshold 0.5 --calibrate d.csv", "leave out --threshold"),
        ("x --threshold 0.5 --prevalence 0 1", "--prevalence is for validation's promise"),
        ("x --calibrate d.csv --prevalence 0 1", "--prevalence is for validation's promise"),
        ("x --calibrate d.csv --without-promise", "leave out one of them"),
        ("x --threshold 0.5 --without-promise", "leave out one of them"),
        ("x --restore-to y", "pass it with --undo"),
        ("x --null", "pass it with --action list"),
        ("x --undo", "undo first, then filter"),
        ("--undo --audit 5", "undo first, then filter"),
        ("--undo --action move", "undo first, then filter"),
    ],
)
def test_flags_without_sense_are_refused(tmp_path, capsys, flags, advice):
    with pytest.raises(SystemExit) as stop:
        filter_images.main([*flags.split(), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2 and not (tmp_path / "out").exists()
    assert advice in capsys.readouterr().err.splitlines()[-1]


def test_an_output_that_holds_the_images_is_refused_before_anything_is_made(tmp_path, capsys):
    (tmp_path / "out" / "images").mkdir(parents=True)
    for name in ("out", "out/images"):
        with pytest.raises(SystemExit):
            filter_images.main([str(tmp_path / name), "--out", str(tmp_path / "out")])
        assert "choose another folder for --out" in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["images"]
