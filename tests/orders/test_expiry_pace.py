"""How long pages of expiring tickets wait for each other, by what redemptions take meanwhile."""

from server.orders.expiry_pace import MOST_WAIT, GatePace, Redeemed, redeemed


class Gates:
    """Redemptions and a clock, as the test wants them."""

    def __init__(self) -> None:
        self.count, self.seconds, self.time = 0.0, 0.0, 0.0
        self.pace = GatePace(lambda: Redeemed(self.count, self.seconds), lambda: self.time)

    def page(self, *, each_ms: float, after: float = 0.1, count: int = 20) -> float:
        """The wait after a page of 100 ms, with so many redemptions since the last."""
        self.count += count
        self.seconds += count * each_ms / 1000
        self.time += after
        return self.pace(0.1)


def test_pages_wait_while_redemptions_take_longer_than_when_it_was_quiet() -> None:
    """Seen red with a wait of a fixed length, and without the quiet time as the measure."""
    gates = Gates()
    assert gates.page(each_ms=4, after=60) == 0
    assert gates.page(each_ms=5) == 0
    waits = [gates.page(each_ms=9) for _ in range(6)]
    assert waits == sorted(waits)
    assert waits[0] > 0
    assert round(waits[-1], 6) == round(0.1 * MOST_WAIT, 6)
    falling = [gates.page(each_ms=4) for _ in range(20)]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == 0


def test_few_redemptions_change_nothing() -> None:
    gates = Gates()
    gates.page(each_ms=4, after=60)
    assert gates.page(each_ms=400, count=2) == 0


def test_what_lies_between_two_runs_is_the_quiet_time() -> None:
    gates = Gates()
    gates.page(each_ms=4, after=60)
    assert gates.page(each_ms=20) > 0
    assert gates.page(each_ms=20, after=60) == 0
    assert gates.page(each_ms=22) == 0


def test_redemptions_are_those_of_the_metrics() -> None:
    assert redeemed().scans >= 0
