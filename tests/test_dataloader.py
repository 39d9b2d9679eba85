"""DataLoader: the same bits with any number of workers and after a stop, errors, samples left out, threads that end."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import atrous as at
from atrous import data
from atrous.backend import backend_name
from atrous.random import using


class Noisy(data.Dataset):
    """Sample i is i plus noise, as of random augmentation; the samples in `bad` cannot be read."""

    def __init__(self, n=10, bad=()):
        self.n, self.bad = n, bad

    def __getitem__(self, index):
        if index in self.bad:
            raise data.SkipSample(f"no. {index} is broken")
        return index + at.rand(2), index

    def __len__(self):
        return self.n


class Stream(data.IterableDataset):
    def __init__(self, n=10):
        self.n = n

    def __iter__(self):
        for i in range(self.n):
            yield i + at.rand(2), i


def noisy_collate(samples):
    return [x + at.rand(2) for x, _ in samples], [i for _, i in samples]


def bits(batches):
    """What distinguishes batches, as plain numbers."""
    return [(np.asarray([np.asarray(x) for x in xs]).tolist(), [int(i) for i in labels]) for xs, labels in batches]


def loader(workers=0, seed=3, dataset=None, **arguments):
    arguments = {"batch_size": 3, "shuffle": True, "generator": at.Generator(seed), **arguments}
    return data.DataLoader(dataset or Noisy(), num_workers=workers, **arguments)


def workers_alive():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("atrous-data")]


@pytest.fixture(autouse=True)
def no_threads_left():
    yield
    assert workers_alive() == []


# Determinism


@pytest.mark.parametrize("collate_fn", [None, noisy_collate])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 20])
def test_any_number_of_workers_gives_the_same_bits(collate_fn, batch_size):
    def two_epochs(workers):
        batches = loader(workers, batch_size=batch_size, collate_fn=collate_fn)
        return bits(batches) + bits(batches)

    expected = two_epochs(0)
    assert sorted(i for _, labels in expected for i in labels) == sorted([*range(10)] * 2)
    assert expected[: len(expected) // 2] != expected[len(expected) // 2 :]
    for workers in (1, 2, 4):
        assert two_epochs(workers) == expected


def test_what_else_draws_meanwhile_changes_nothing():
    at.manual_seed(1)
    quiet = bits(loader(generator=None))
    at.manual_seed(1)
    busy = []
    for batch in loader(2, generator=None):
        at.rand(100)
        busy += bits([batch])
    assert busy == quiet


def test_default_generator_moves_by_the_order_and_the_seed_alone():
    at.manual_seed(0)
    list(loader(2, generator=None, shuffle=False))
    assert at.get_rng_state()["offset"] == 2  # a word is 32 bits
    list(loader(2, generator=None, shuffle=True))
    assert at.get_rng_state()["offset"] == 2 + 2 + 2 * 10
    list(loader(2, shuffle=True))  # has a generator of its own
    assert at.get_rng_state()["offset"] == 2 + 2 + 2 * 10


def test_batches_of_one_epoch_have_numbers_of_their_own():
    draws = [(x - labels.reshape(-1, 1)).tolist()[0][0] for x, labels in loader(batch_size=1)]
    assert len({round(draw, 4) for draw in draws}) == 10


def test_a_loader_inside_using_follows_that_generator():
    expected = bits(loader(generator=at.Generator(9)))
    with using(at.Generator(9)):
        assert bits(loader(2, generator=None)) == expected


def test_passing_the_default_generator_is_passing_none():
    at.manual_seed(4)
    expected = bits(loader(generator=None))
    at.manual_seed(4)
    assert bits(loader(2, generator=at.random.default_generator)) == expected


def test_workers_use_the_backend_and_the_grad_mode_of_the_thread_that_iterates():
    class Modes(data.Dataset):
        def __getitem__(self, index):
            return [backend_name(), str(at.is_grad_enabled()), np.geterr()["divide"]]

        def __len__(self):
            return 2

    def seen(workers):
        (batch,) = data.DataLoader(Modes(), 2, num_workers=workers)
        return batch

    with at.backend("reference"), at.no_grad(), np.errstate(divide="raise"):
        assert seen(1) == seen(0) == [["reference"] * 2, ["False"] * 2, ["raise"] * 2]


def test_nested_and_simultaneous_iteration():
    twice = loader(1)
    expected = [bits(twice), bits(twice)]
    twice = loader(1)
    first, second = iter(twice), iter(twice)
    pairs = list(zip(first, second, strict=True))
    assert [bits(p[0] for p in pairs), bits(p[1] for p in pairs)] == expected


# Streams


@pytest.mark.parametrize("drop_last", [False, True])
def test_stream(drop_last):
    def epoch(workers):
        return bits(loader(workers, dataset=Stream(), shuffle=None, drop_last=drop_last))

    expected = epoch(0)
    assert [labels for _, labels in expected] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]][: 3 if drop_last else 4]
    assert epoch(1) == expected
    assert bits(loader(1, dataset=Stream(9), shuffle=None)) == expected[:3]  # the last batch is full
    assert list(loader(1, dataset=Stream(0), shuffle=None)) == []


def test_stream_has_a_length_where_it_says_so():
    class Sized(Stream):
        def __len__(self):
            return self.n

    assert len(loader(dataset=Sized(), shuffle=None)) == 4
    assert len(loader(dataset=Sized(), shuffle=None, drop_last=True)) == 3
    with pytest.raises(TypeError, match=re.escape("has no len()")):
        len(loader(dataset=Stream(), shuffle=None))


def test_without_batches():
    single = list(data.DataLoader([np.ones(2), "a", 3], batch_size=None))
    assert (single[0].tolist(), single[1:]) == ([1.0, 1.0], ["a", 3])
    ordered = data.DataLoader([5, 6, 7], batch_size=None, sampler=[2, 0], num_workers=1)
    assert (list(ordered), ordered.batch_indices, len(ordered)) == ([7, 5], [0], 2)
    assert [i for _, i in data.DataLoader(Stream(3), batch_size=None, num_workers=1)] == [0, 1, 2]


# Resume


def stop_and_go_on(make, batches):
    """What comes after a stop behind so many batches, in this epoch and the two after it, and the generator then."""
    first = make(0)
    at.manual_seed(5)
    it, before = iter(first), []
    for _ in range(batches):
        before += bits([next(it)])
    state = json.loads(json.dumps(first.state_dict()))
    rest = [bits(it), bits(first), bits(first)]
    second = make(1)
    second.load_state_dict(state)
    assert second.state_dict() == state
    return before, rest, second


@settings(max_examples=40)
@given(
    batches=st.integers(0, 3),
    batch_size=st.integers(1, 4),
    own=st.booleans(),
    sampler=st.sampled_from(["none", "shuffle", "own", "same", "default"]),
    bad=st.sets(st.integers(0, 9), max_size=6),
)
def test_resume_gives_the_rest_bit_for_bit(batches, batch_size, own, sampler, bad):
    def make(workers):
        generator = at.Generator(7) if own else None
        arguments = {"shuffle": True}
        if sampler != "shuffle":
            source = {"own": at.Generator(8), "same": generator}.get(sampler)
            arguments = {"sampler": None if sampler == "none" else data.RandomSampler(range(10), generator=source)}
        return data.DataLoader(
            Noisy(10, bad), batch_size, generator=generator, num_workers=workers, prefetch_factor=workers or None,
            **arguments,
        )  # fmt: skip

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = make(0)
        at.manual_seed(5)
        count = len(bits(whole))
        position = min(batches, count)
        before, rest, second = stop_and_go_on(make, position)
        # The default generator is the caller's to restore: here to where it was when the epoch had begun.
        at.manual_seed(5)
        iter(make(0))
        start = at.get_rng_state()
        assert bits(second) == rest[0]
        assert at.get_rng_state() == start
        assert [bits(second), bits(second)] == rest[1:]
        assert len(before) + len(rest[0]) == count


class Walk(data.IterableDataset):
    """Each sample depends on all draws before it."""

    def __iter__(self):
        place = at.zeros(2)
        for i in range(10):
            place = place + at.rand(2)
            yield place, i


def test_resume_when_somebody_else_draws_from_the_generator():
    first = loader()
    it = iter(first)
    next(it)
    first.generator.bits(5)
    state = first.state_dict()
    expected = [bits(it), bits(first)]
    second = loader(seed=0)
    second.load_state_dict(state)
    assert [bits(second), bits(second)] == expected


@pytest.mark.parametrize("batches", range(4))
def test_resume_of_a_stream(batches):
    def make(workers):
        return loader(workers, dataset=Walk(), shuffle=None, collate_fn=noisy_collate)

    before, rest, second = stop_and_go_on(make, batches)
    assert len(before) + len(rest[0]) == 4
    assert [bits(second), bits(second), bits(second)] == rest
    assert second.state_dict()["epoch_start"] is None


def test_state_in_the_loop_and_after_it():
    batches = loader(2)
    assert (batches.state_dict()["batches"], batches.state_dict()["epoch_start"]) == (0, None)
    assert batches.batch_indices is None
    seen = []
    for _, labels in batches:
        seen.append(batches.state_dict()["batches"])
        assert batches.batch_indices == labels.tolist()
    assert seen == [1, 2, 3, 4]  # what workers made ahead does not count
    assert batches.state_dict()["epoch_start"] is None


def test_in_the_body_of_the_last_batch_nothing_is_left_of_the_epoch():
    batches = loader()
    for _ in batches:
        state = batches.state_dict()
    expected = bits(batches)
    again = loader(seed=0)
    again.load_state_dict(state)
    assert bits(again) == []
    assert bits(again) == expected


def test_the_state_is_that_of_the_loop_that_got_a_batch_last():
    batches = loader()
    outer = iter(batches)
    next(outer)
    peeked = next(iter(batches))
    assert batches.batch_indices == peeked[1].tolist()
    _, labels = next(outer)
    assert (batches.state_dict()["batches"], batches.batch_indices) == (2, labels.tolist())
    state, rest = batches.state_dict(), bits(outer)
    batches.load_state_dict(state)
    assert bits(batches) == rest


def test_state_after_break_is_in_the_middle_and_a_new_loop_starts_afresh():
    batches = loader(2)
    for _ in batches:
        break
    assert workers_alive() == []
    state = batches.state_dict()
    assert state["batches"] == 1
    following = bits(batches)
    assert len(following) == 4
    other = loader()
    other.load_state_dict(state)
    assert len(bits(other)) == 3
    assert bits(other) == following


def test_state_after_an_error_comes_before_its_batch():
    class Once(Noisy):
        broken = True

        def __getitem__(self, index):
            if index == 5 and self.broken:
                raise OSError("the disk is gone")
            return super().__getitem__(index)

    batches = loader(2, dataset=Once(), shuffle=False)
    with pytest.raises(OSError, match="the disk is gone"):
        list(batches)
    batches.load_state_dict(batches.state_dict())
    Once.broken = False
    assert bits(batches) == bits(loader(shuffle=False))[1:]


def test_resume_does_not_ask_for_samples_before():
    class Counting(Noisy):
        asked = ()

        def __getitem__(self, index):
            self.asked = (*self.asked, index)
            return super().__getitem__(index)

    first = loader(dataset=Counting(), shuffle=False)
    next(iter(first))
    state = first.state_dict()
    first.dataset.asked = ()
    first.load_state_dict(state)
    list(first)
    assert first.dataset.asked == tuple(range(3, 10))


def test_a_loader_knows_its_whole_epoch_while_it_resumes():
    batches = loader()
    next(iter(batches))
    batches.load_state_dict(batches.state_dict())
    assert len(batches) == 4


def changed(**values):
    batches = loader()
    it = iter(batches)
    next(it)
    return {**batches.state_dict(), **values}


@pytest.mark.parametrize(
    ("other", "state", "message"),
    [
        ({"dataset": Noisy(11)}, changed(), "the state has dataset_length 10; this loader has 11"),
        ({"batch_size": 4}, changed(), "the state has batch_size 3; this loader has 4"),
        ({"drop_last": True}, changed(), "the state has drop_last False; this loader has True"),
        ({"shuffle": False}, changed(), "the state has order RandomSampler; this loader has SequentialSampler"),
        ({"generator": None}, changed(), "the state does not fit this loader, which has 0 generators"),
        ({}, changed(batches=-1), "the state does not fit this loader"),
        ({}, changed(batches="2"), "the state is damaged: TypeError"),
        ({}, changed(generators=[{"seed": 1}]), "the state is damaged: KeyError('stream')"),
        ({}, changed(epoch_start=3), "the state is damaged: TypeError"),
        ({}, {"batches": 1}, "the state does not come from state_dict(), which has ['batch_size', 'batches',"),
        ({}, None, "the state does not come from state_dict()"),
    ],
)
def test_a_state_that_does_not_fit(other, state, message):
    batches = loader(**other)
    before = batches.state_dict()
    with pytest.raises(ValueError, match=re.escape(f"DataLoader: {message}")):
        batches.load_state_dict(state)
    assert batches.state_dict() == before


def test_a_state_beyond_the_epoch():
    batches = loader()
    batches.load_state_dict(changed(batches=5))
    with pytest.raises(ValueError, match="the state has 5 batches; this epoch has 4"):
        iter(batches)


# Samples that cannot be read


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_samples_are_left_out_with_one_warning_each(workers):
    batches = loader(workers, dataset=Noisy(10, bad={1, 3, 4, 5}), shuffle=False)
    with pytest.warns(UserWarning, match="is left out") as caught:
        seen = [(labels.tolist(), batches.batch_indices, batches.state_dict()["batches"]) for _, labels in batches]
    assert [entry[0] for entry in seen] == [[0, 2], [6, 7, 8], [9]]
    assert [entry[1] for entry in seen] == [[0, 2], [6, 7, 8], [9]]
    assert [entry[2] for entry in seen] == [1, 3, 4]
    assert [str(w.message) for w in caught] == [
        f"DataLoader: sample {i} is left out: no. {i} is broken" for i in (1, 3, 4, 5)
    ]
    assert caught[0].filename == __file__
    assert len(list(batches)) == 3  # without a warning, which would be an error here


def test_skip_without_batches():
    batches = data.DataLoader(Noisy(3, bad={1}), batch_size=None)
    with pytest.warns(UserWarning, match="sample 1 is left out"):
        assert [i for _, i in batches] == [0, 2]


# Errors and the end of threads


class Failing(Noisy):
    def __getitem__(self, index):
        if index == 7:
            raise KeyError("a key that is missing")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_keeps_its_type_and_traceback_and_names_the_sample(workers):
    seen = []
    with pytest.raises(KeyError, match="a key that is missing") as caught:
        seen.extend(loader(workers, dataset=Failing(), shuffle=False))
    text = "".join(traceback.format_exception(caught.type, caught.value, caught.value.__traceback__))
    assert 'raise KeyError("a key that is missing")' in text
    assert "DataLoader: this happened in sample 7 of batch 2, [6, 7, 8]" in text
    assert workers_alive() == []


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_collate_names_the_batch(workers):
    def collate(samples):
        raise ValueError("cannot stack")

    with pytest.raises(ValueError, match="cannot stack") as caught:
        list(loader(workers, batch_size=20, shuffle=False, collate_fn=collate, dataset=Noisy(30)))
    text = "".join(traceback.format_exception(caught.type, caught.value, caught.value.__traceback__))
    assert "in making batch 0 of the samples [0, 1, 2, 3, ..., 16, 17, 18, 19]" in text


def test_an_error_in_a_stream_names_the_batch():
    class Broken(Stream):
        def __iter__(self):
            yield from itertools.islice(super().__iter__(), 4)
            raise OSError("cut")

    with pytest.raises(OSError, match="cut") as caught:
        list(loader(1, dataset=Broken(), shuffle=None))
    text = "".join(traceback.format_exception(caught.type, caught.value, caught.value.__traceback__))
    assert "in sample 1 of batch 1" in text


def test_note_on_a_python_without_notes():
    class Old(Exception):
        add_note = property()  # hides the method: hasattr is False

    from atrous.data.fetch import note

    error = Old("broken")
    note(error, "in sample 3")
    assert "in sample 3" in "".join(traceback.format_exception(Old, error, None))


class Slow(Noisy):
    asked = 0

    def __getitem__(self, index):
        self.asked += 1
        time.sleep(0.05)
        return super().__getitem__(index)


def test_break_ends_the_threads_within_a_sample():
    batches = loader(2, dataset=Slow(100), batch_size=20)
    for _ in batches:
        before = batches.dataset.asked
        break
    assert workers_alive() == []
    assert batches.dataset.asked - before <= 4  # of the 40 and more that the batches under way still lacked


def test_timeout():
    with pytest.raises(RuntimeError, match=re.escape("no batch came within the timeout of 0.01 seconds")):
        list(loader(1, dataset=Slow(), timeout=0.01))
    time.sleep(0.2)  # a sample that has begun cannot be ended from outside
    assert len(list(loader(1, dataset=Slow(), timeout=60))) == 4


CHILD = """
import signal, sys, threading, time
from atrous import data
class Slow(data.Dataset):
    def __getitem__(self, index):
        if index == 4: print("ready", flush=True)
        time.sleep(0.2)
        return index
    def __len__(self):
        return 100_000
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    for batch in data.DataLoader(Slow(), batch_size=1000, num_workers=2):
        pass
except KeyboardInterrupt:
    print([t.name for t in threading.enumerate()])
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c():
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)  # a batch takes 200 s
        assert (out, err, child.returncode) == ("['MainThread']\n", "", 0)
    finally:
        child.kill()
        child.wait()


def test_an_iterator_left_open_does_not_keep_the_interpreter():
    script = "from atrous import data; it = iter(data.DataLoader(list(range(100)), num_workers=2)); next(it); print(1)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)


# Workers


def test_worker_init_and_info():
    called, infos = [], set()

    class Informed(Noisy):
        def __getitem__(self, index):
            infos.add(data.get_worker_info())
            return index

    dataset = Informed(50)
    batches = data.DataLoader(dataset, num_workers=3, worker_init_fn=called.append, generator=at.Generator(0))
    list(batches)
    assert sorted(called) == [0, 1, 2]
    assert {info.id for info in infos} <= {0, 1, 2}
    assert {(info.num_workers, info.dataset) for info in infos} == {(3, dataset)}
    assert len({info.seed - info.id for info in infos}) == 1
    list(batches)
    assert sorted(called) == [0, 0, 1, 1, 2, 2]
    assert data.get_worker_info() is None


def test_worker_init_fails():
    def init(worker):
        raise LookupError("no such disk")

    with pytest.raises(LookupError, match="no such disk"):
        list(loader(2, worker_init_fn=init))


def test_no_more_is_made_than_asked_for():
    made = []

    class Recording(Noisy):
        def __getitem__(self, index):
            made.append(index)
            return index

    it = iter(data.DataLoader(Recording(100), num_workers=2, prefetch_factor=3))
    next(it)
    while len(made) < 7:  # the one in hand and 6 ahead
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(made) == 7
    it.close()


def test_tensors_are_gathered_by_list_also_in_workers():
    class Refusing(data.TensorDataset):
        pass

    x = at.arange(10)
    fast = data.DataLoader(data.Subset(data.TensorDataset(x), [9, 8, 7]), 2, num_workers=1)
    assert [b.tolist() for (b,) in fast] == [[9, 8], [7]]
    assert [b.tolist() for (b,) in data.DataLoader(Refusing(x), 5)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_batch_sampler_of_any_kind():
    batches = data.DataLoader(Noisy(), batch_sampler=[(1, 2), [5]], num_workers=1)
    assert [labels.tolist() for _, labels in batches] == [[1, 2], [5]]
    assert (len(batches), batches.batch_size, batches.batch_indices) == (2, None, [5])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shuffle": True, "sampler": [1]}, ValueError, "sampler and shuffle=True are given"),
        ({"batch_sampler": [[1]], "batch_size": 2}, ValueError, "batch_sampler is given with batch_size"),
        ({"batch_sampler": [[1]], "shuffle": True}, ValueError, "batch_sampler is given with batch_size"),
        ({"batch_sampler": [[1]], "sampler": [1]}, ValueError, "batch_sampler is given with batch_size"),
        ({"batch_sampler": [[1]], "drop_last": True}, ValueError, "batch_sampler is given with batch_size"),
        ({"batch_size": None, "drop_last": True}, ValueError, "drop_last=True is given with batch_size=None"),
        ({"batch_size": True}, TypeError, "batch_size is True; expected an int"),
        ({"shuffle": "yes"}, TypeError, "shuffle is 'yes'; expected True or False"),
        ({"num_workers": -1}, ValueError, "num_workers is -1; expected 0 or more"),
        ({"num_workers": 1.0}, TypeError, "num_workers is 1.0; expected an int"),
        ({"prefetch_factor": 2}, ValueError, "prefetch_factor is 2; expected num_workers of 1 or more with it"),
        ({"prefetch_factor": 0, "num_workers": 1}, ValueError, "prefetch_factor is 0; expected 1 or more"),
        ({"persistent_workers": True}, ValueError, "persistent_workers is True; expected num_workers of 1 or more"),
        ({"timeout": 1}, ValueError, "timeout is 1; expected num_workers of 1 or more"),
        ({"timeout": -1, "num_workers": 1}, ValueError, "timeout is -1; expected seconds"),
        ({"multiprocessing_context": "spawn"}, ValueError, "multiprocessing_context is 'spawn'; expected None"),
        ({"in_order": False}, ValueError, "in_order=False would give batches in an order that differs"),
        ({"generator": np.random.default_rng(0)}, TypeError, "generator is a numpy.random._generator.Generator;"),
        ({"dataset": Stream(), "shuffle": True}, ValueError, "shuffle does not go with an IterableDataset"),
        ({"dataset": Stream(), "sampler": [1]}, ValueError, "sampler does not go with an IterableDataset"),
        ({"dataset": Stream(), "batch_sampler": [[1]]}, ValueError, "batch_sampler does not go with an IterableD"),
        ({"dataset": Stream(), "num_workers": 2}, ValueError, "num_workers is 2; expected 0 or 1 for an Iterable"),
        ({"dataset": {1, 2}}, TypeError, "dataset is a set; expected len() and samples by number"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=re.escape(f"DataLoader: {message}")):
        data.DataLoader(**{"dataset": Noisy(), **arguments})


def test_accepted_and_without_effect():
    batches = loader(1, pin_memory=True, pin_memory_device="cuda", persistent_workers=True)
    assert bits(batches) == bits(loader())
