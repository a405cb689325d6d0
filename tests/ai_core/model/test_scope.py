"""Scope of detectors that were stored before the guard: by the global embedding alone."""

import torch

from ai_core.model.scope import EmbeddingScope
from ai_core.scope import ImageFacts


def at_angle(*degrees: float) -> torch.Tensor:
    """Vectors in a plane, so that cosine distances are 1 - cos of the angle between them."""
    angles = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([torch.cos(angles), torch.sin(angles)], dim=1)


def scope(*degrees: float, limit: float) -> EmbeddingScope:
    """A scope about some vectors that reaches as far as this angle."""
    reach = 1 - torch.cos(torch.deg2rad(torch.tensor(limit)))
    return EmbeddingScope(embeddings=at_angle(*degrees), limit=reach)


def test_what_is_near_any_image_of_the_support_set_is_in_scope_whatever_its_length() -> None:
    asked = 1000 * at_angle(5, 95, -11, 50, 180)
    found = scope(0, 10, 90, 100, limit=12.3).contains(asked)
    assert found.tolist() == [True, True, True, False, False]


def test_its_answer_names_the_content() -> None:
    nothing = torch.zeros(2, 0)
    facts = ImageFacts(nothing, nothing, at_angle(5, 60), nothing, nothing)
    answer = scope(0, 10, limit=12.3).judge(facts)
    assert answer.in_scope.tolist() == [True, False]
    assert answer.unlike == (None, "content")


def test_it_is_stored_under_the_names_that_it_always_had() -> None:
    stored = scope(0, 10, limit=12.3)
    assert set(stored.to_tensors()) == {"scope.embeddings", "scope.limit"}
