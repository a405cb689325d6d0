"""Which images are of a support set's kind."""

import torch

from ai_core.model.scope import SLACK, SYNTHETIC_SHARE, farthest_distance, fit_scope


def at_angle(*degrees: float) -> torch.Tensor:
    """Vectors in a plane, so that cosine distances are 1 - cos of the angle between them."""
    angles = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([torch.cos(angles), torch.sin(angles)], dim=1)


def distance(degrees: float) -> float:
    return float(1 - torch.cos(torch.deg2rad(torch.tensor(degrees))))


def test_the_limit_is_the_farthest_image_of_the_support_set_from_the_rest() -> None:
    scope = fit_scope(at_angle(0, 10, 30), torch.tensor([0, 1, 2]))
    torch.testing.assert_close(float(scope.limit), SLACK * distance(20), rtol=1e-4, atol=0)


def test_images_of_one_study_do_not_vouch_for_each_other() -> None:
    alike = fit_scope(at_angle(0, 1, 40, 41), torch.tensor([0, 0, 1, 1]))
    apart = fit_scope(at_angle(0, 1, 40, 41), torch.tensor([0, 1, 2, 3]))
    torch.testing.assert_close(float(alike.limit), SLACK * distance(40), rtol=1e-4, atol=0)
    torch.testing.assert_close(float(apart.limit), SLACK * distance(1), rtol=1e-2, atol=0)


def test_a_single_study_is_held_against_itself() -> None:
    scope = fit_scope(at_angle(0, 5, 10), torch.tensor([7, 7, 7]))
    torch.testing.assert_close(float(scope.limit), SLACK * distance(5), rtol=1e-4, atol=0)


def test_synthetic_anomalies_widen_the_scope_but_the_farthest_of_them_do_not() -> None:
    support, groups = at_angle(0, 10), torch.tensor([0, 1])
    usual = [30.0] * 95
    synthetic = at_angle(*usual, *[90.0] * 5)
    scope = fit_scope(
        support, groups, synthetic=synthetic, synthetic_groups=torch.zeros(100, dtype=torch.int64)
    )
    assert SYNTHETIC_SHARE < 0.95
    torch.testing.assert_close(float(scope.limit), SLACK * distance(20), rtol=1e-4, atol=0)


def test_an_anomaly_is_held_against_other_patients_than_its_own() -> None:
    scope = fit_scope(
        at_angle(0, 10),
        torch.tensor([0, 1]),
        synthetic=at_angle(*[0.0] * 10),
        synthetic_groups=torch.zeros(10, dtype=torch.int64),
    )
    torch.testing.assert_close(float(scope.limit), SLACK * distance(10), rtol=1e-4, atol=0)


def test_what_lies_near_any_image_of_the_support_set_is_in_scope_whatever_its_length() -> None:
    scope = fit_scope(at_angle(0, 10, 90, 100), torch.tensor([0, 1, 2, 3]))
    asked = 1000 * at_angle(5, 95, -11, 50, 180)
    assert scope.contains(asked).tolist() == [True, True, True, False, False]


def test_a_scope_is_widened_for_a_normal_image_farther_away_and_never_narrowed() -> None:
    scope = fit_scope(at_angle(0, 10), torch.tensor([0, 1]))
    wide = scope.widened(farthest_distance(at_angle(5, 40), at_angle(0, 10)))
    torch.testing.assert_close(float(wide.limit), SLACK * distance(30), rtol=1e-4, atol=0)
    assert torch.equal(wide.widened(distance(1)).limit, wide.limit)
    assert scope.contains(at_angle(40)).tolist() == [False]
    assert wide.contains(at_angle(40)).tolist() == [True]
