"""utils.duplicates: MinHash finds what brute force finds."""

import random

import pytest

from utils.duplicates import candidates, minhash, near_duplicates, normalise, shingles


def sentences(n, seed=0, words=25):
    draw = random.Random(seed)
    vocabulary = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(400)]
    return [" ".join(draw.choices(vocabulary, k=words)) for _ in range(n)]


def changed(texts, share, seed=1):
    draw = random.Random(seed)
    result = []
    for text in texts:
        words = text.split()
        for i in draw.sample(range(len(words)), max(1, int(share * len(words)))):
            words[i] = "zzz"
        result.append(" ".join(words))
    return result


def overlap(a, b):
    one, two = shingles(normalise(a)), shingles(normalise(b))
    return len(one & two) / len(one | two)


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_near_duplicates_are_those_of_brute_force(threshold):
    texts = sentences(300)
    texts += changed(texts[:100], 0.04) + changed(texts[100:200], 0.08) + changed(texts[200:], 0.16)
    truth = {(i, j) for j in range(len(texts)) for i in range(j) if overlap(texts[i], texts[j]) >= threshold}
    found = set(near_duplicates(texts, threshold))
    assert len(truth) > 50 and found <= truth and len(truth - found) <= 0.02 * len(truth)


def test_equal_texts_are_paired_with_the_first_of_them():
    assert near_duplicates(["A b, c d!", "something else entirely", "a B c d", "a b c d"]) == [(0, 2), (0, 3)]


@pytest.mark.parametrize("texts", [[], ["one"], ["", ""], ["a", "b", "ab"], ["\U0001f600", "\U0001f601"], ["x" * 100_000, "y"]])
def test_odd_texts_raise_nothing(texts):
    assert all(normalise(texts[i]) == normalise(texts[j]) for i, j in near_duplicates(texts))


def test_a_crowd_that_shares_a_band_is_compared_with_its_first_only():
    text = sentences(1, words=60)[0]
    crowd = [f"{text} {word}" for word in sentences(1, seed=9, words=60)[0].split()]
    pairs = near_duplicates(crowd)
    assert {j for _, j in pairs} == set(range(1, 60))
    assert sum(len(a) for a, _ in candidates(minhash([normalise(t) for t in crowd], 6)[0])) < 60 * 60 / 2 * 20


def test_accents_case_and_punctuation_make_no_difference_and_letters_do():
    assert normalise("Café—NOW!") == normalise("cafe\u0301 now") != normalise("cafe now")
