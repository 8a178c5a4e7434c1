import numpy as np
import pytest

from artifact_detection.images.faces import find_face
from artifact_detection.injection.style import STYLES, restyle
from artifact_detection.portraits import draw_portrait
from artifact_detection.training.painting import Painting

IMAGE = draw_portrait(np.random.default_rng(0), 128)[0][:, :127]  # an odd side


@pytest.mark.parametrize("style", STYLES)
def test_a_style_changes_the_picture_but_not_its_size_and_keeps_what_it_shows(style):
    drawn, again, other = (STYLES[style](IMAGE, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert drawn.shape == IMAGE.shape and drawn.dtype == np.uint8
    assert np.array_equal(drawn, again) and not np.array_equal(drawn, other) and not np.array_equal(drawn, IMAGE)
    middle = (slice(40, 90), slice(40, 90))
    assert np.corrcoef(drawn[middle].mean(axis=2).ravel(), IMAGE[middle].mean(axis=2).ravel())[0, 1] > 0.6


def test_all_styles_are_drawn():
    drawn = {restyle(IMAGE, np.random.default_rng(seed)).tobytes() for seed in range(30)}
    assert len(drawn) == 30


def test_twins_are_drawn_in_the_same_style_before_or_after_the_artifact():
    painting, face = Painting(kinds=["logo"], restyle=1.0), find_face(IMAGE)
    alike = []
    for seed in range(40):
        clean, artifact = (painting.applied(IMAGE, face, seed, inject) for inject in (False, True))
        assert not np.array_equal(clean[0], IMAGE)
        beside = artifact[1] == 0
        alike.append((clean[0][beside] == artifact[0][beside]).all())
        near = np.abs(clean[0][beside].astype(int) - artifact[0][beside])
        assert np.median(near) <= 1  # a brush reaches a little beyond the artifact
    assert 0 < sum(alike) < 40
