"""Objects that are encoded frame by frame are those that pydicom reads, in bounded memory."""

import io
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    SegmentationStorage,
)

from mediclip_dicom.results.streaming import (
    FrameSource,
    encode_groups,
    pack_bits,
    write_streamed,
)


def an_object(frames: int, rows: int, columns: int, syntax: UID) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SegmentationStorage, "2.25.7"
    dataset.PatientName = "Test^Patient"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames, rows, columns
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = dataset.PixelRepresentation = 0
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def groups_of(number: int) -> bytes:
    content, groups = Dataset(), Dataset()
    content.DimensionIndexValues = [1, number]
    groups.FrameContentSequence = [content]
    return encode_groups(groups)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize(("rows", "columns"), [(8, 16), (7, 5), (1, 1), (3, 3)])
def test_what_is_written_is_what_pydicom_reads(syntax: UID, rows: int, columns: int) -> None:
    frames = np.random.default_rng(0).random((5, rows, columns)) > 0.5
    file = io.BytesIO()
    source = FrameSource(tuple(groups_of(n) for n in range(5)), lambda: list(frames))
    write_streamed(file, an_object(5, rows, columns, syntax), source)
    assert len(file.getvalue()) % 2 == 0
    file.seek(0)
    read = dcmread(file)
    assert str(read.PatientName) == "Test^Patient"
    assert (read.pixel_array.reshape(frames.shape) == frames).all()
    found = [
        list(item.FrameContentSequence[0].DimensionIndexValues)
        for item in read.PerFrameFunctionalGroupsSequence
    ]
    assert found == [[1, n] for n in range(5)]


def test_bits_are_packed_across_frames() -> None:
    masks = [np.array([[1, 0, 1]], dtype=bool), np.array([[1, 1, 0, 0, 0, 1]], dtype=bool)]
    assert b"".join(pack_bits(masks)) == bytes([0b00011101, 0b1])


def test_frames_that_were_not_announced_are_an_error() -> None:
    mask = np.zeros((8, 8), dtype=bool)
    two, one = tuple(groups_of(n) for n in range(2)), [mask]
    with pytest.raises(ValueError, match="announced"):
        write_streamed(
            io.BytesIO(), an_object(2, 8, 8, ExplicitVRLittleEndian), FrameSource(two, lambda: one)
        )
    with pytest.raises(ValueError, match="2 frames"):
        write_streamed(
            io.BytesIO(), an_object(3, 8, 8, ExplicitVRLittleEndian), FrameSource(two, lambda: one)
        )


def test_a_thousand_frames_take_the_memory_of_a_few() -> None:
    def masks() -> Iterator[np.ndarray]:
        for number in range(1000):
            mask = np.zeros((512, 512), dtype=bool)
            mask[number % 512] = True
            yield mask

    dataset = an_object(1000, 512, 512, DeflatedExplicitVRLittleEndian)
    source = FrameSource(tuple(groups_of(n) for n in range(1000)), masks)
    tracemalloc.start()
    write_streamed(io.BytesIO(), dataset, source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20  # the pixels are 31 MiB, and 250 MiB before they are packed
