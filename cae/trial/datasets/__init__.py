"""Data sets: one class each, divided into training, validation and test images.

Importing this package registers all data sets: a new one is one new file and one import here.
"""

from cae.trial.datasets.arrays import Arrays
from cae.trial.datasets.base import Dataset, InventoryEntry, Source, load_images
from cae.trial.datasets.cifar10 import Cifar10
from cae.trial.datasets.errors import DatasetDamaged, DatasetInvalid, DatasetMissing
from cae.trial.datasets.files import data_folders
from cae.trial.datasets.image_folder import ImageFolder, Import, import_folder
from cae.trial.datasets.inventory import fetch, find_dataset, list_datasets
from cae.trial.datasets.mnist import FashionMnist, Mnist
from cae.trial.datasets.publisher_folders import CifarFolder, IdxFolder
from cae.trial.datasets.scikit_learn import Digits, Patches
from cae.trial.datasets.splits import Images, Split

__all__ = [
    "Arrays",
    "Cifar10",
    "CifarFolder",
    "Dataset",
    "DatasetDamaged",
    "DatasetInvalid",
    "DatasetMissing",
    "Digits",
    "FashionMnist",
    "IdxFolder",
    "ImageFolder",
    "Images",
    "Import",
    "InventoryEntry",
    "Mnist",
    "Patches",
    "Source",
    "Split",
    "data_folders",
    "fetch",
    "find_dataset",
    "import_folder",
    "list_datasets",
    "load_images",
]
