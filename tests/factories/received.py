"""Instances in a spool, as if a PACS had sent them."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread

from listener import Spool, TransferInfo
from tests.listener.conftest import data_set_of


def receive(spool: Spool, path: Path) -> None:
    dataset = dcmread(path)
    spool.store(
        data_set_of(path),
        TransferInfo(
            transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
            calling_ae_title="PACS",
            receiving_ae_title="MEDICLIP",
        ),
    )
