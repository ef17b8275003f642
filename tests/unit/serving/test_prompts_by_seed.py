"""Prompts: no two begin alike, and they have the length that was asked for."""

from hypothesis import given
from hypothesis import strategies as st

from crossgrade.serving.prompts import WORDS, Prompts, words_for


def test_no_two_prompts_of_a_plan_share_their_first_four_words():
    openings = set()
    for index in range(3):
        for place in range(3):
            prompts = Prompts(seed=7, index=index, place=place)
            openings |= {tuple(prompts.text(n, 40).split()[:4]) for n in range(700)}
    assert len(openings) == 9 * 700


def test_neighbours_differ_in_the_first_word():
    prompts = Prompts(seed=0, index=0, place=0)
    firsts = [prompts.text(n, 10).split()[0] for n in range(len(WORDS))]
    assert len(set(firsts)) == len(WORDS)


@given(st.integers(-3, 2**70), st.integers(1, 300))
def test_same_seed_same_prompts_of_the_length(seed, words):
    one = Prompts(seed=seed, index=1, place=2).text(0, words)
    assert one == Prompts(seed=seed, index=1, place=2).text(0, words)
    assert len(one.split()) == words


@given(st.integers(1, 10_000), st.floats(0, 50), st.floats(0.3, 5))
def test_words_make_about_the_tokens(tokens, fixed, per_word):
    words = words_for(tokens, fixed=fixed, per_word=per_word)
    assert words >= 1
    if words > 1:
        assert abs(fixed + words * per_word - tokens) <= per_word
