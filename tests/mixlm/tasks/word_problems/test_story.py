import random

from mixlm.tasks.word_problems.story import KINDS, Event, Story, draw_story, possible_numbers
from mixlm.tasks.word_problems.words import NAMES


def test_what_every_kind_of_event_amounts_to():
    def last(*event: str | int) -> tuple[int, str, int, int]:
        return tuple(Story({"Ann": 12, "Ben": 6}, [Event(*event)]).sums()[0])

    assert last("gain", "Ann", "", 5) == (12, "+", 5, 17)
    assert last("lose", "Ann", "", 5) == (12, "-", 5, 7)
    assert last("give", "Ann", "Ben", 5) == (12, "-", 5, 7)
    assert last("take", "Ann", "Ben", 5) == (12, "+", 5, 17)
    assert last("join", "Ann", "Ben", 6) == (12, "+", 6, 18)
    assert last("more", "Cem", "Ann", 5) == (12, "+", 5, 17)
    assert last("fewer", "Cem", "Ann", 5) == (12, "-", 5, 7)
    assert last("times", "Cem", "Ann", 3) == (12, "*", 3, 36)
    assert last("share", "Cem", "Ann", 3) == (12, "/", 3, 4)


def test_what_one_hands_on_the_other_has():
    def then_all_of_ben(*event: str | int) -> int:
        story = Story({"Ann": 12, "Ben": 6}, [Event(*event), Event("gain", "Ben", "", 0)])
        return story.sums()[-1].left

    assert then_all_of_ben("give", "Ann", "Ben", 5) == 11
    assert then_all_of_ben("take", "Ann", "Ben", 5) == 1
    assert then_all_of_ben("join", "Ann", "Ben", 6) == 0
    assert then_all_of_ben("more", "Cem", "Ben", 6) == 6


def test_the_numbers_that_are_possible():
    found = possible_numbers(18, 10, largest=20)
    assert {kind: [*numbers] for kind, numbers in found.items()} == {
        "gain": [2],
        "lose": [2, 3, 4, 5],
        "give": [2, 3, 4, 5],
        "take": [2],
        "more": [2],
        "fewer": [2, 3, 4, 5],
        "share": [2, 3, 6, 9],
    }
    found = possible_numbers(4, 17, largest=24)
    assert [*found["give"]] == [2] and [*found["join"]] == [17] and [*found["times"]] == [2, 3, 4, 5, 6]
    assert possible_numbers(3, 1, largest=20).keys() == {"gain", "more", "times"}
    assert possible_numbers(20, 20, largest=20).keys() == {"lose", "fewer", "share"}


def test_every_amount_leads_on():
    for have in range(2, 21):
        for known in range(21):
            assert possible_numbers(have, known, largest=20)


def test_stories_go_on_from_the_last_amount_and_stay_within_bounds():
    rng, kinds = random.Random(0), set()
    for operations in [1, 5, 42] * 30:
        story = draw_story(rng, NAMES, operations, largest=30)
        sums = story.sums()
        assert len(sums) == operations
        assert [each.left for each in sums] == [[*story.start.values()][0], *(each.result for each in sums[:-1])]
        assert all(2 <= each.result <= 30 for each in sums)
        kinds |= {event.kind for event in story.events}
    assert kinds == {*KINDS}
