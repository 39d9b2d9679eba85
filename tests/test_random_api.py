"""Random tensors: the same numbers everywhere, the right distributions, states that can be set and kept."""

import hashlib
import math
import statistics
import threading

import numpy as np
import pytest

import atrous as at
from atrous import random, reference
from atrous.random import Generator, inverse_normal


@pytest.fixture(autouse=True)
def seed():
    state = at.get_rng_state()
    at.manual_seed(0)
    yield
    at.set_rng_state(state)


def digest(*arrays):
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()[:16]


def test_the_numbers_never_change():
    """These are promised: a model trained from a seed can be trained again, on any machine and with any NumPy."""
    g = Generator(seed=2025, stream=3)
    draws = [
        g.uniform((1001,)),
        g.uniform((1001,), "float64"),
        g.normal((10_001,)),
        g.normal((10_001,), "float64"),
        g.integers(-5, 1000, (1001,)),
        g.permutation(1001),
    ]
    assert [digest(a) for a in draws] == DIGESTS
    assert g.offset == 1001 + 2002 + 10_001 + 20_002 + 2002 + 2002


DIGESTS = [
    "e1a08c4abd489cac",
    "28ea7b3d13e32838",
    "12fe4b8433ddc7b2",
    "e33a061460c0e312",
    "63254a1482a5df53",
    "d95019650e1e3111",
]


def test_uniform_numbers_are_the_bits():
    bits = reference.random_bits(9, 2, 0, 6)
    assert Generator(9, 2).uniform((2, 3)).ravel().tolist() == [(int(b) >> 8) / 2**24 for b in bits]
    wide = [int(low) | int(high) << 32 for low, high in bits.reshape(3, 2)]
    assert Generator(9, 2).uniform((3,), "float64").tolist() == [(w >> 11) / 2**53 for w in wide]
    assert Generator(9, 2).integers(10, 17, (3,)).tolist() == [10 + w % 7 for w in wide]
    assert Generator(9, 2).permutation(3).tolist() == sorted(range(3), key=wide.__getitem__)


def test_normal_numbers_are_the_inverse_of_the_distribution_function():
    normal = statistics.NormalDist()
    p = np.concatenate(
        [np.linspace(1e-4, 1 - 1e-4, 2001), 10.0 ** -np.arange(4, 17), [2**-33, 2**-53, 0.5 - 0.425, 0.925]]
    )
    z = inverse_normal(p)
    for found, probability in zip(z.tolist(), p.tolist(), strict=True):
        slope = math.sqrt(2 * math.pi) * math.exp(found**2 / 2)  # of the inverse
        error = (
            normal.cdf(found) - probability if probability > 0.5 else math.erfc(-found / math.sqrt(2)) / 2 - probability
        )
        assert abs(error) * slope <= 2e-15 * max(1, abs(found)), probability
    np.testing.assert_allclose(z[:2001], -z[2000::-1], rtol=0, atol=1e-11)
    bits = reference.random_bits(9, 2, 0, 4)
    expected = inverse_normal((bits + 0.5) / 2**32).astype(np.float32)
    assert Generator(9, 2).normal((4,)).tolist() == expected.tolist()
    extremes = inverse_normal((np.array([0, 2**32 - 1]) + 0.5) / 2**32)
    assert np.abs(extremes).tolist() == pytest.approx([6.338, 6.338], abs=1e-3)


def test_log_needs_no_library():
    x = np.concatenate([np.logspace(-300, 300, 997), np.linspace(0.5, 2, 997), [1.0, 2.0, 0.5]])
    expected = np.array([math.log(v) for v in x])
    np.testing.assert_allclose(random._log(x), expected, rtol=4 * np.finfo(float).eps, atol=2.0**-53)
    assert random._log(np.ones(1)).tolist() == [0.0]


@pytest.mark.parametrize("dtype", [at.float32, at.float64], ids=str)
def test_moments(dtype):
    n = 100_000
    u, z = at.rand(n, dtype=dtype), at.randn(n, dtype=dtype)
    assert u.dtype == z.dtype == dtype
    assert 0 <= u.min().item() <= u.max().item() < 1
    five = 5 / math.sqrt(n)  # standard errors
    assert abs(u.mean().item() - 1 / 2) < five * math.sqrt(1 / 12)
    assert abs(u.var().item() - 1 / 12) < five * math.sqrt(1 / 180)
    assert abs(z.mean().item()) < five
    assert abs(z.var().item() - 1) < five * math.sqrt(2)
    assert abs((z**3).mean().item()) < five * math.sqrt(15)
    assert abs((z**4).mean().item() - 3) < five * math.sqrt(96)
    assert abs((z[1:] * z[:-1]).mean().item()) < five


def test_integers_are_equally_likely():
    counts = np.bincount(at.randint(3, 10, (70_000,)).numpy(), minlength=10)
    assert counts[:3].sum() == 0
    assert np.abs(counts[3:] - 10_000).max() < 5 * math.sqrt(10_000)


def test_permutations():
    p = at.randperm(1000)
    assert sorted(p.tolist()) == list(range(1000))
    assert p.tolist() != list(range(1000))
    assert at.randperm(0).tolist() == []
    orders = [tuple(at.randperm(3).tolist()) for _ in range(600)]
    assert min(orders.count(order) for order in set(orders)) > 60
    assert len(set(orders)) == 6


def test_seeds_and_streams():
    first = at.manual_seed(5) and at.rand(8).tolist()
    assert (at.manual_seed(5) and at.rand(8).tolist()) == first
    assert (at.manual_seed(6) and at.rand(8).tolist()) != first
    assert Generator(5).uniform((8,)).tolist() == first
    assert Generator(5, stream=1).uniform((8,)).tolist() != first
    assert at.rand(8, generator=Generator(5)).tolist() == first
    assert at.initial_seed() == 6
    assert Generator(-1).initial_seed() == 2**64 - 1
    assert Generator().initial_seed() != Generator().initial_seed()
    assert at.seed() == at.initial_seed()


def test_draws_continue_one_another():
    whole = at.rand(10).tolist()
    at.manual_seed(0)
    assert at.rand(3).tolist() + at.rand(7).tolist() == whole


def test_states():
    at.rand(3)
    state = at.get_rng_state()
    first = at.randn(5).tolist(), at.randperm(5).tolist()
    at.set_rng_state(state)
    assert (at.randn(5).tolist(), at.randperm(5).tolist()) == first
    assert state == {"seed": 0, "stream": 0, "offset": 3}
    g = Generator(1)
    g.set_state(state)
    assert g.get_state() == state


def test_long_draws_cross_32_bits():
    g = Generator(1)
    g.set_state({"seed": 1, "stream": 2**40, "offset": 2**34 - 2})
    assert g.bits(4).tolist() == reference.random_bits(1, 2**40, 2**34 - 2, 4).tolist()


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_every_backend_draws_the_same(name):
    if name == "cpu":
        pytest.importorskip("atrous._cpu")
    with at.backend(name):
        at.manual_seed(3)
        found = digest(at.randn(100).numpy(), at.rand(7, dtype=at.float64).numpy(), at.randperm(50).numpy())
    with at.backend("reference"):
        at.manual_seed(3)
        assert digest(at.randn(100).numpy(), at.rand(7, dtype=at.float64).numpy(), at.randperm(50).numpy()) == found


def test_threads_share_a_generator_without_drawing_twice():
    g, drawn = Generator(4), []

    def work():
        for _ in range(20):
            drawn.append(g.bits(5).tolist())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(drawn) == sorted(Generator(4).bits(400).reshape(80, 5).tolist())


def test_in_place():
    x = at.zeros(1000)
    assert x.uniform_(2, 3) is x
    assert 2 <= x.min().item() <= x.max().item() <= 3
    assert abs(x.normal_(10, 0.1).mean().item() - 10) < 0.02
    assert x.normal_(generator=Generator(5)).tolist() == at.randn(1000, generator=Generator(5)).tolist()


def test_like_and_options():
    maps = at.Tensor(np.zeros((2, 4, 4, 3)).transpose(0, 3, 1, 2))
    assert at.randn_like(maps).data.strides == maps.data.strides
    assert at.rand_like(maps, dtype=at.float32).dtype == at.float32
    assert at.randn((2, 3), requires_grad=True).requires_grad
    assert at.randint(10, (2, 3)).shape == (2, 3)
    assert at.randint(4, 5, (2,), dtype=at.uint8).dtype == at.uint8
    assert at.rand(()).shape == at.rand().shape == ()
    assert at.randn(0, 3).shape == (0, 3)


def test_bernoulli():
    p = at.tensor([0.0, 0.25, 1.0]).expand(10_000, 3)
    never, sometimes, always = at.bernoulli(p).mean(0).tolist()
    assert (never, always) == (0.0, 1.0)
    assert abs(sometimes - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 10_000)


def test_seeds_that_do_not_fit():
    for wrong in (2**64, -(2**63) - 1):
        with pytest.raises(ValueError, match="does not fit 64 bits"):
            at.manual_seed(wrong)
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        at.manual_seed("five")


def test_using_replaces_the_default_generator_in_this_thread_alone():
    inside, started, go_on = [], threading.Event(), threading.Event()

    def elsewhere():
        with random.using(Generator(3, stream=4)):
            started.set()
            go_on.wait()
            inside.append(at.rand(4).tolist())
            inside.append(at.get_rng_state())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    started.wait()
    here = at.rand(4).tolist()
    go_on.set()
    thread.join()
    assert here == Generator(0).uniform((4,)).tolist()
    assert inside == [Generator(3, stream=4).uniform((4,)).tolist(), {"seed": 3, "stream": 4, "offset": 4}]
    assert at.get_rng_state() == {"seed": 0, "stream": 0, "offset": 4}


def test_using_ends_with_its_block_and_can_be_nested():
    with random.using(Generator(1)):
        with random.using(Generator(2)):
            assert at.initial_seed() == 2
        assert at.manual_seed(9).initial_seed() == at.initial_seed() == 9
    with pytest.raises(KeyError), random.using(Generator(1)):
        raise KeyError
    assert at.get_rng_state() == {"seed": 0, "stream": 0, "offset": 0}
