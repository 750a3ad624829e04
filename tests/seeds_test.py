import hashlib
import struct
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfplastic import seeds


def test_derive_is_the_first_64_bits_of_blake2b_over_root_and_names():
    digest = hashlib.blake2b(b"7\x00act\x001200", digest_size=8).digest()
    assert seeds.derive(7, "act", 1200).tolist() == list(struct.unpack("<2i", digest))
    assert seeds.derive_integer(7, "act", 1200) == struct.unpack("<2I", digest)[0] % 2**31


def test_derive_gives_the_same_values_as_ever():
    # BLAKE2b-64 of b"0\0init" is c0 75 42 e2 73 a1 58 cd: the little-endian words 0xe24275c0 = 3,796,006,336
    # and 0xcd58a173 = 3,445,137,779, less 2^32 = 4,294,967,296 each. The integer is the first without its top
    # bit.
    assert hashlib.blake2b(b"0\0init", digest_size=8).hexdigest() == "c07542e273a158cd"
    assert seeds.derive(0, "init").tolist() == [-498_960_960, -849_829_517]
    assert seeds.derive_integer(0, "init") == 0x624275C0


@pytest.mark.parametrize(
    "other",
    [(0, "ab"), (0, "a", "c"), (0, "b", "a"), (0, "a"), (1, "a", "b"), (0, "a", "b", ""), (-1, "a", "b")],
)
def test_other_names_or_another_root_give_another_seed(other):
    assert not np.array_equal(seeds.derive(0, "a", "b"), seeds.derive(*other))
    assert seeds.derive_integer(0, "a", "b") != seeds.derive_integer(*other)


def test_the_same_names_give_the_same_seed_whatever_was_derived_before():
    before = seeds.derive(3, "sample", 5)
    seeds.generator(seeds.derive(3, "sample", 4)).random(100)
    assert np.array_equal(before, seeds.derive(3, "sample", 5))


def test_seeds_spread_over_all_bits():
    words = np.array([seeds.derive(0, "act", step) for step in range(4_000)]).view(np.uint32)
    assert len(np.unique(words, axis=0)) == 4_000
    bits = np.unpackbits(words.view(np.uint8), axis=1)  # [4000, 64]
    # Each is a fair coin: 64 means of 4,000 within 4.5 standard errors of 0.0079.
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 4.5 * 0.5 / 4_000**0.5
    assert np.abs(np.corrcoef(bits.T) - np.eye(64)).max() < 5 / 4_000**0.5


def test_derive_integer_is_below_two_to_the_31():
    integers = [seeds.derive_integer(0, "environment", index) for index in range(500)]
    assert all(type(integer) is int and 0 <= integer < 2**31 for integer in integers)
    assert max(integers) > 2**30  # no bit but the sign is lost


def test_a_key_is_what_stateless_operations_take():
    key = seeds.derive(0, "init")
    assert key.dtype == np.int32 and key.shape == (2,)
    assert tf.random.stateless_uniform([3], key).shape == (3,)


def test_the_same_key_gives_the_same_stream():
    key = seeds.derive(0, "sample", 7)
    np.testing.assert_array_equal(seeds.generator(key).random(1_000), seeds.generator(key).random(1_000))


def test_another_key_gives_another_stream():
    streams = [seeds.generator(seeds.derive(0, "sample", step)).random(1_000) for step in range(3)]
    assert len(np.unique(np.concatenate(streams))) == 3_000
    assert np.abs(np.corrcoef(streams) - np.eye(3)).max() < 5 / 1_000**0.5


@pytest.mark.parametrize("other", [[1, 3], [2, 2], [2, 1], [-1, 2], [1, -2]])
def test_both_words_of_a_key_matter(other):
    draws = seeds.generator(np.array([1, 2], np.int32)).random(8)
    assert not np.array_equal(draws, seeds.generator(np.array(other, np.int32)).random(8))


def test_a_key_starts_philox_at_its_64_bits():
    key = np.array([-2, 5], np.int32)
    expected = np.random.Generator(np.random.Philox(key=(5 << 32) + 2**32 - 2))
    np.testing.assert_array_equal(seeds.generator(key).random(8), expected.random(8))


@pytest.mark.parametrize("root", [True, 1.0, float("nan"), None, "1", 2**63, -(2**63) - 1])
def test_a_root_is_an_integer_of_64_bits(root):
    error = TypeError if not isinstance(root, int) or root is True else ValueError
    with pytest.raises(error, match=r"^`seed` must be .*Received: "):
        seeds.derive(root, "act")
    assert seeds.derive(2**63 - 1).tolist() != seeds.derive(-(2**63)).tolist()


@pytest.mark.parametrize("name", [float("nan"), None, 1.5, ["a"]])
def test_names_are_texts_and_integers(name):
    with pytest.raises(TypeError, match=r"^`names` must be texts and integers\. Received: "):
        seeds.derive(0, "act", name)
    whole: Any = np.int64(3)
    assert seeds.derive(0, whole).tolist() == seeds.derive(0, "3").tolist()


@pytest.mark.parametrize("key", [None, "x", 3, [1], [1, 2, 3], [1.5, 2.0], [2**40, 1], [[1, 2]]])
def test_a_generator_starts_at_a_key(key):
    with pytest.raises(ValueError, match=r"^`key` must be two int32 numbers, as from `derive`\. Received: "):
        seeds.generator(key)
    drawn = seeds.generator(tf.constant([1, -2])).random()
    assert drawn == seeds.generator(np.array([1, -2], np.int64)).random()
