import argparse
import tomllib

import pytest

from artifact_detection.injection import FAMILIES, KINDS
from artifact_detection.system.tables import to_toml
from artifact_detection.training.config import ConfigError, TrainConfig, add_flags, given_flags, merge


def config_from(tmp_path, toml: str = "", flags: str = "") -> TrainConfig:
    file = tmp_path / "settings.toml"
    file.write_text(toml)
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return merge(file, given_flags(parser.parse_args(flags.split())))


def test_flags_beat_file_beats_defaults(tmp_path):
    config = config_from(tmp_path, 'arch = "resnet18"\nepochs = 3\n', "--epochs 4")
    assert (config.arch, config.epochs, config.batch_size) == ("resnet18", 4, TrainConfig().batch_size)


def test_whole_numbers_are_accepted_for_shares(tmp_path):
    assert config_from(tmp_path, "inject = 1").inject == 1.0


@pytest.mark.parametrize(
    "toml, flags, message",
    [
        ("epoch = 3", "", "unknown key 'epoch'; the nearest known one is 'epochs'"),
        ('epochs = "3"', "", "epochs must be int"),
        ("epochs = true", "", "epochs must be int"),
        ("epochs = ", "", "cannot read"),
        ('arch = "vgg91"', "", "vgg19"),
        ("", "--inject 1.5", "--inject is a share"),
        ("", "--regions on", "--regions on needs --inject"),
        (
            "",
            "--augment-by matrices --augmentation trivial",
            "--augment-by matrices needs --augmentation none, light, h",
        ),
        ("", "--augment-by torchvision --inject 0.5", "it needs --regions off"),
        ("", "--epochs 0", "--epochs must be positive"),
        ("", "--lr nan", "--lr must be a number"),
        ("", "--lr inf", "--lr must be a number"),
        ("", "--seed -1", "--seed is a whole number"),
        ("", "--validation 0", "--validation is a share above 0"),
        ("", "--image-size 4097", "--image-size is at most 4096"),
        ("", "--ema 1", "--ema 1 keeps the first weights"),
        ("x = " + "[" * 10_000, "", "cannot read"),
        ("lr = nan", "", "--lr must be a number"),
        ("", "--target recall=2", "recall"),
    ],
)
def test_bad_settings_are_refused_by_name(tmp_path, toml, flags, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        config_from(tmp_path, toml, flags)


def test_to_toml_reads_back():
    tables = {"settings": {"name": 'a "b"\\ ü', "lr": 5e-05, "n": 3, "ok": True}, "empty": {}}
    assert tomllib.loads(to_toml(tables)) == tables


@pytest.mark.parametrize(
    "flags, taught",
    [("", False), ("--inject 0.5", True), ("--inject 0.5 --regions off", False),
     ("--inject 0.5 --augmentation trivial", False)],
)  # fmt: skip
def test_regions_are_taught_where_artifacts_are_injected(tmp_path, flags, taught):
    assert config_from(tmp_path, flags=flags).with_regions == taught


def test_a_family_that_is_left_out_is_left_out_of_validation_too():
    assert {KINDS[kind] for kind in TrainConfig(inject=0.5, inject_without="anatomy").kinds} == set(FAMILIES) - {
        "anatomy"
    }
    assert TrainConfig().kinds == tuple(KINDS)
