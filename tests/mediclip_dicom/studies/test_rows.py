"""The grade of a study on the worklist, besides the verdict of its report."""

import pytest

from mediclip_dicom.studies import Grade, VerdictRow


@pytest.mark.parametrize(
    ("verdict", "p_value", "grade"),
    [
        ("abnormal", 0.02, Grade.ABNORMAL),
        ("abnormal", 0.3, Grade.ABNORMAL),
        ("normal", 0.15, Grade.SUSPICIOUS),
        ("normal", 0.2, Grade.SUSPICIOUS),
        ("normal", 0.21, Grade.NORMAL),
        ("undetermined", 0.1, Grade.SUSPICIOUS),
        ("undetermined", 0.9, Grade.UNDETERMINED),
        ("undetermined", None, Grade.UNDETERMINED),
    ],
)
def test_the_grade_follows_verdict_and_p_value(
    verdict: str, p_value: float | None, grade: Grade
) -> None:
    row = VerdictRow(
        task="brain-mr",
        version=1,
        verdict=verdict,
        score=None if p_value is None else 0.5,
        operating_point=0.6,
        p_value=p_value,
        read_in_run_id=None,
    )
    assert row.grade is grade
