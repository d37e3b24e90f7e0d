from deeptravel_terminal.wedge import Wedge
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import OTHER_OF_OURS, OURS


def typed(text: str, seconds: float, wedge: Wedge | None = None, at: float = 0.0) -> list[str]:
    wedge = wedge or Wedge()
    scans = []
    for each in text:
        at += seconds
        if scan := wedge.key(each, at):
            scans.append(scan)
    return scans


def test_every_end_ends_a_scan() -> None:
    for end in ("\r", "\n", "\t", "\r\n"):
        assert typed(f"{OURS}{end}", 0.005) == [OURS]


def test_two_in_one_burst_are_two() -> None:
    for end in ("\r", "\n", "\t", "\r\n"):
        assert typed(f"{OURS}{end}{OTHER_OF_OURS}{end}", 0.005) == [OURS, OTHER_OF_OURS]
        assert Wedge().burst(f"{OURS}{end}{OTHER_OF_OURS}{end}", 0.0) == [OURS, OTHER_OF_OURS]


def test_nothing_is_filtered_by_symbology() -> None:
    for prefix in ("]Q1", "]Q3", "]C1", "]d2", "]z0"):
        assert typed(f"{prefix}{OURS}\r", 0.005) == [prefix + OURS]


def test_slow_typing_is_none() -> None:
    assert typed(f"{OURS}\r", 0.1) == []
    assert typed("ab\r", 0.001) == []


def test_a_key_touched_before_is_no_part_of_it() -> None:
    wedge = Wedge()
    wedge.key("x", 0.0)
    assert typed(f"{OURS}\r", 0.005, wedge, at=5.0) == [OURS]


def test_a_busy_box_gives_a_scan_in_heaps() -> None:
    wedge = Wedge()
    assert typed(OURS[:100], 0.0001, wedge) == []
    assert typed(f"{OURS[100:]}\r", 0.0001, wedge, at=0.4) == [OURS]


def test_enter_of_a_person_is_not_that_of_a_scanner() -> None:
    wedge = Wedge()
    assert wedge.is_alone(0.0)
    typed(f"{OURS}\r", 0.001, wedge)
    assert not wedge.is_alone(0.25)  # the line feed of CR LF
    assert wedge.is_alone(2.0)
    wedge.key("A", 2.0)
    assert not wedge.is_alone(2.01)


def test_a_text_without_end_takes_no_more_than_so_much() -> None:
    wedge = Wedge()
    assert typed("A" * 10_000 + "\r", 0.0001, wedge) == []
    assert typed(f"{OURS}\r", 0.001, wedge, at=9.0) == [OURS]


@given(st.lists(st.text(st.characters(blacklist_characters="\r\n\t"), min_size=4, max_size=40)))
def test_what_comes_at_once_is_split_at_the_ends_alone(texts: list[str]) -> None:
    assert Wedge().burst("".join(f"{each}\r\n" for each in texts), 0.0) == texts
