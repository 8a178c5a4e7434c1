"""Preprocessing and augmentation: one preset for evaluation, a few for training, defined once.

Images travel as uint8 until the model normalises them (`models.Detector`), so a batch costs a quarter of its
float size on the way to the GPU and nobody can normalise twice.
"""

from dataclasses import asdict, dataclass

import cv2
import numpy as np
import torch
from torch.nn import functional as F
from torchvision.transforms import v2

from artifact_detection.images.faces import find_face

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROPS = ("full", "face", "both")
INTERPOLATIONS = ("area", "antialias")
FACE_MARGIN = 0.35  # added on each side of the face's box, as a share of its longer side

Box = tuple[int, int, int, int]
View = tuple[float, float, float, float]  # left, top, right, bottom of a cropped view, as shares of the image's sides


@dataclass(frozen=True)
class Preprocessing:
    """What happens to every image before the network; stored in the checkpoint.

    size: pixels of the square the whole image is resized to (the aspect ratio is not kept, nothing is cut off);
    interpolation: "area" = mean of the covered pixels when shrinking, "antialias" = torch's bilinear with a filter as
    wide as the shrinking needs, in half the time; both bilinear when enlarging;
    mean, std: of RGB in [0, 1];
    crop: "full" image, "face" (the square around it that `find_face` gives), or "both" side by side.
    """

    size: int = 224
    interpolation: str = "area"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    crop: str = "full"

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what the network sees."""
        return self.size, 2 * self.size if self.crop == "both" else self.size

    def fit(self, image: np.ndarray, view: View | None = None) -> np.ndarray:
        """(H, W, 3) uint8 of any size -> (*shape, 3) uint8; deterministic. view: what `view(image)` gave, if known."""
        squares = []
        if self.crop != "face":
            squares.append(resize(image, self.size, self.interpolation))
        if self.crop != "full":
            left, top, right, bottom = _pixels(view or self.view(image), image.shape[1], image.shape[0])
            squares.append(resize(image[top:bottom, left:right], self.size, self.interpolation))
        return squares[0] if len(squares) == 1 else np.hstack(squares)

    def fit_mask(self, mask: np.ndarray, image: np.ndarray) -> np.ndarray:
        """(H, W) integers that belong to the pixels of `image` -> (*shape), where `fit(image)` has those pixels."""
        left, top, right, bottom = (0, 0, 0, 0) if self.crop == "full" else face_square(image)
        parts = {"full": [mask], "face": [mask[top:bottom, left:right]], "both": [mask, mask[top:bottom, left:right]]}
        size = (self.size, self.size)
        return np.hstack([cv2.resize(part, size, interpolation=cv2.INTER_NEAREST) for part in parts[self.crop]])

    def view(self, image: np.ndarray) -> View:
        """Where the cropped view lies in the image; the search for the face takes as long as everything else here."""
        if self.crop == "full":
            return 0.0, 0.0, 1.0, 1.0
        return tuple((np.array(face_square(image)) / np.array([image.shape[1], image.shape[0]] * 2)).tolist())

    def on_image(self, maps: np.ndarray, view: View) -> np.ndarray:
        """Maps (h, w) or (h, w, K) of `fit(image)`, of any resolution, as maps of the whole image, as high and wide
        as h; where both views see, the larger value."""
        if self.crop == "full":
            return maps
        side = maps.shape[0]
        whole = maps[:, :side].copy() if self.crop == "both" else np.zeros_like(maps)
        left, top, right, bottom = _pixels(view, side, side)
        if right > left and bottom > top:
            part = cv2.resize(maps[:, -side:], (right - left, bottom - top))
            np.maximum(whole[top:bottom, left:right], part, out=whole[top:bottom, left:right])
        return whole

    def to_dict(self) -> dict:
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: dict) -> "Preprocessing":
        interpolation, crop = values["interpolation"], values["crop"]
        if interpolation not in INTERPOLATIONS or crop not in CROPS:
            raise ValueError(f"unknown interpolation {interpolation!r} or crop {crop!r}")
        return cls(values["size"], interpolation, tuple(values["mean"]), tuple(values["std"]), crop)


def face_square(image: np.ndarray) -> Box:
    """(left, top, right, bottom), pixels inside the image: the face with a margin, a square unless an edge cuts it.

    image: (H, W, 3) uint8. Where no face is seen, a centred guess.
    """
    height, width = image.shape[:2]
    face = find_face(image)
    x, y = face.centre
    half = max(face.box[2] - face.box[0], face.box[3] - face.box[1]) * (0.5 + FACE_MARGIN)
    left, right = np.clip(np.round([x - half, x + half]).astype(int), 0, width)
    top, bottom = np.clip(np.round([y - half, y + half]).astype(int), 0, height)
    return (left, top, right, bottom) if right - left > 1 and bottom - top > 1 else (0, 0, width, height)


def _pixels(view: View, width: int, height: int) -> Box:
    return tuple(np.round(np.array(view) * [width, height, width, height]).astype(int).tolist())


def resize(image: np.ndarray, size: int, how: str = "area") -> np.ndarray:
    """Resize (H, W, 3) uint8 to (size, size, 3) uint8 without aliasing; how: one of INTERPOLATIONS."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    if how == "antialias":
        # a view, not a copy to channels first: that would take as long again
        channels_last = torch.from_numpy(np.require(image, requirements="W")).permute(2, 0, 1)[None]
        return F.interpolate(channels_last, (size, size), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    shrinking = height > size or width > size
    interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=interpolation)


def within(image: np.ndarray, side: int) -> np.ndarray:
    """(H, W) or (H, W, 3) uint8, resized so that its longer side has `side` pixels."""
    scale = side / max(image.shape[:2])
    size = tuple(max(1, round(length * scale)) for length in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def narrowed(image: np.ndarray, aspect: float) -> np.ndarray:
    """(S, S, 3) uint8 -> (H, W, 3) uint8 with W / H = aspect, the longer side S.

    Within a hundredth of a square it stays one: for a pixel or two less it would only be blurred.
    """
    if abs(np.log(aspect)) < 0.01:
        return image
    width, height = (max(2, round(len(image) * min(1.0, shape))) for shape in (aspect, 1 / aspect))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 array -> (3, H, W) uint8 tensor that owns its memory."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def evaluation_transform(image: np.ndarray, preprocessing: Preprocessing, view: View | None = None) -> torch.Tensor:
    """The evaluation preset, see `Preprocessing.fit`: (H, W, 3) uint8 -> (3, *preprocessing.shape) uint8."""
    return to_tensor(preprocessing.fit(image, view))


def augmentation(preset: str) -> v2.Transform:
    """The training presets, for (3, H, W) uint8 tensors; random numbers come from torch's global generator.

    No preset cuts out or mixes images: an erased patch would itself be an artifact with a clean label. "trivial" is
    TrivialAugmentWide (Mueller & Hutter, arXiv 2103.10158), which also posterises and solarises.
    """
    return v2.Compose(AUGMENTATIONS[preset])


AUGMENTATIONS = {
    "none": [v2.Identity()],
    "light": [v2.RandomHorizontalFlip(), v2.ColorJitter(brightness=0.1, contrast=0.1)],
    "heavy": [
        v2.RandomHorizontalFlip(),
        # rotation, shift, zoom and shear in one resampling
        v2.RandomAffine(20, (0.1, 0.1), (0.85, 1.15), shear=8, interpolation=v2.InterpolationMode.BILINEAR),
        v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.2, hue=0.02),
    ],
    "trivial": [v2.RandomHorizontalFlip(), v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR)],
}
