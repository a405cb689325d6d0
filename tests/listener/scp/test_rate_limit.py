"""How long the answer to a fast peer waits."""

import pytest

from listener.scp.rate_limit import RateLimit


def test_a_burst_of_a_second_is_free_and_the_rest_keeps_to_the_rate():
    now = [100.0]
    pace = RateLimit(10, clock=lambda: now[0])
    now[0] = 200.0
    waits = [pace.wait_s() for _ in range(30)]
    assert waits[:10] == pytest.approx([0.0] * 10)
    assert waits[29] == pytest.approx(2.0)
    now[0] += waits[29]
    assert 0 < pace.wait_s() <= 0.11


def test_a_slow_peer_never_waits():
    now = [0.0]
    pace = RateLimit(2, clock=lambda: now[0])
    for _ in range(10):
        now[0] += 0.5
        assert pace.wait_s() == pytest.approx(0.0)
