"""The paper's data sets and figures (MediCLIP, MICCAI 2024)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ai_core.evaluation.data import Dataset, from_folder

TableName = Literal["table1", "table2", "table3", "table4", "table5"]
"""Numbered by this software: comparison, support size, transfer, ablation, single tasks."""

TITLES: dict[TableName, str] = {
    "table1": "Comparison with other methods at k = 16",
    "table2": "Support sizes k = 4, 8, 16, 32",
    "table3": "Transfer at k = 16: fitted on the row, tested on the column",
    "table4": "Ablation at k = 16: learnable token and adapter",
    "table5": "One synthesis task alone at k = 16",
}

PAPER_BACKBONE = "ViT-L-14"
TABLE_K = 16
TABLE_KS = (4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class PaperSet:
    """A data set of the paper with its split sizes.

    Attributes:
        name: of the folder below the root, in any case, and in the tables.
        layouts: accepted sub-folders: the normal ones, and the abnormal ones.
        test_normal: normals tested.
        test_abnormal: abnormal pictures tested.
    """

    name: str
    layouts: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    test_normal: int
    test_abnormal: int

    def read(self, root: Path) -> Dataset | None:
        """Read the data set below the root, split in the paper's sizes; None if it is not there.

        Raises:
            EvaluationError: there are fewer pictures than the paper tested.
        """
        if not root.is_dir():
            return None
        for folder in sorted(root.iterdir()):
            if folder.name.lower() != self.name.lower():
                continue
            for normal, abnormal in self.layouts:
                if all((folder / name).is_dir() for name in (*normal, *abnormal)):
                    return from_folder(
                        folder,
                        name=self.name,
                        normal=normal,
                        abnormal=abnormal,
                        test_normal=self.test_normal,
                        test_abnormal=self.test_abnormal,
                        keep_repeats=True,
                    )
        return None

    @property
    def expected(self) -> str:
        """Expected folders, in words."""
        ways = " or ".join(
            "{" + ",".join((*normal, *abnormal)) + "}" for normal, abnormal in self.layouts
        )
        return (
            f"{self.name}/{ways} with more than {self.test_normal} normal and at least "
            f"{self.test_abnormal} abnormal pictures"
        )


_PLAIN = (("normal",), ("abnormal",))
CHEXPERT = PaperSet("CheXpert", layouts=(_PLAIN,), test_normal=250, test_abnormal=250)
BRAIN_MRI = PaperSet(
    "BrainMRI", layouts=((("no",), ("yes",)), _PLAIN), test_normal=65, test_abnormal=155
)
BUSI = PaperSet(
    "BUSI",
    layouts=((("normal",), ("benign", "malignant")), _PLAIN),
    test_normal=101,
    test_abnormal=647,
)
PAPER_SETS = (CHEXPERT, BRAIN_MRI, BUSI)

BY_K = {
    ("CheXpert", "image_auroc"): (70.1, 70.8, 72.5, 73.3),
    ("BrainMRI", "image_auroc"): (94.1, 94.9, 94.8, 95.4),
    ("BUSI", "image_auroc"): (88.5, 89.0, 89.9, 91.0),
    ("BUSI", "pixel_auroc"): (88.0, 88.6, 89.9, 90.1),
}
BEST_OTHER = {
    ("CheXpert", "image_auroc"): "SQUID 67.6",
    ("BrainMRI", "image_auroc"): "RegAD 82.4",
    ("BUSI", "image_auroc"): "PatchCore 87.6",
    ("BUSI", "pixel_auroc"): "PatchCore 80.2",
}
TRANSFER = {
    ("CheXpert", "BrainMRI"): 92.1,
    ("CheXpert", "BUSI"): 88.8,
    ("BrainMRI", "CheXpert"): 67.7,
    ("BrainMRI", "BUSI"): 84.8,
    ("BUSI", "CheXpert"): 70.7,
    ("BUSI", "BrainMRI"): 91.3,
}
ABLATION = {
    "no learnable token, no adapter": {"CheXpert": 42.5, "BrainMRI": 41.6, "BUSI": 52.6},
    "no adapter": {"CheXpert": 57.7, "BrainMRI": 71.8, "BUSI": 80.3},
    "no learnable token": {"CheXpert": 71.4, "BrainMRI": 94.2, "BUSI": 90.3},
    "": {"CheXpert": 72.5, "BrainMRI": 94.8, "BUSI": 90.8},
}
SINGLE_TASKS = {"cutpaste": 94.8, "intensity": 94.0, "source": 92.2, "": 94.8}


def needed_sets(table: TableName) -> tuple[PaperSet, ...]:
    """Return the data sets that a table is about."""
    return (BRAIN_MRI,) if table == "table5" else PAPER_SETS
