"""What identifies a trial: its configuration, its images, and the code of the user's components."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from cae.trial.datasets import Dataset

if TYPE_CHECKING:
    from cae.trial.config import Trial


def fingerprint_of(trial: Trial, images: Callable[[Dataset], str]) -> str:
    """Return the fingerprint of the images of a trial and of its dependencies.

    It is a part of the trial's identity.

    `images` returns the fingerprint of one data set.
    """
    fingerprints = [images(trial.dataset)]
    dependencies = trial.dependencies().values()
    fingerprints += [fingerprint_of(dependency, images) for dependency in dependencies]
    return " ".join(fingerprints)


def identity(flat: Mapping[str, object], fingerprint: str, code: str = "") -> str:
    """Return the hash that identifies a trial: 12 hexadecimal digits.

    It is computed from the flat configuration, the fingerprint of the images and the source code of
    the user's components.
    """
    content: list[object] = [fingerprint, dict(flat)]
    if code:
        content.append(code)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
