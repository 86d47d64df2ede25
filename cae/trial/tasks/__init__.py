"""Tasks: what a network learns. Importing this package registers all of them."""

from cae.trial.tasks.base import Task
from cae.trial.tasks.classify import Classify
from cae.trial.tasks.colorize import Colorize
from cae.trial.tasks.complete import Complete
from cae.trial.tasks.denoise import Denoise
from cae.trial.tasks.detect_anomalies import DetectAnomalies
from cae.trial.tasks.generate import Vae
from cae.trial.tasks.inpaint import Inpaint
from cae.trial.tasks.reconstruct import Reconstruct

__all__ = [
    "Classify",
    "Colorize",
    "Complete",
    "Denoise",
    "DetectAnomalies",
    "Inpaint",
    "Reconstruct",
    "Task",
    "Vae",
]
