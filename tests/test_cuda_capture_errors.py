"""Captured steps: what is refused, what is noticed later, and that all goes on after an error."""

import numpy as np
import pytest
from captured_nets import batches, in_same_kernels, make

import atrous as at
from atrous import capturing, gpu, optim
from atrous.nn import functional as F

pytestmark = pytest.mark.usefixtures("cuda")


class TestRefusals:
    def capture(self, function, *args, first=True):
        """The error at the second call; the first, which runs the function as it is, must work where it can."""
        step = at.cuda.capture(function)
        if first:
            step(*args)
        with pytest.raises(RuntimeError) as error:
            step(*args)
        assert capturing.active == 0
        assert capturing.current() is None
        assert (at.ones(2).cuda() * 2).tolist() == [2.0, 2.0]  # outside of a capture all goes on
        return str(error.value)

    def test_reading_values(self):
        x = at.ones(2).cuda()

        def item(x):
            if x.sum().item() > 0:
                x = x * 2
            return x

        message = self.capture(item, x)
        assert "item: cannot be captured: test_cuda_capture_errors.py, line " in message
        assert "`if x.sum().item() > 0:`" in message
        for read in (lambda x: print(x), lambda x: x.cpu(), lambda x: x.tolist(), lambda x: bool(x.sum() > 0)):
            assert "captur" in self.capture(lambda x, read=read: (read(x), x)[1], x)

    def test_copies_from_the_host(self):
        x = at.ones(2).cuda()
        assert "H2D" in self.capture(lambda x: x + at.tensor([1.0, 2.0]).cuda(), x)

    def test_masks(self):
        assert "captur" in self.capture(lambda x: x[x > 0], at.ones(2).cuda())

    def test_random_numbers_of_the_cpu(self):
        x = at.ones(2).cuda()
        message = self.capture(lambda x: (at.rand(1), x * 1)[1], x)
        assert "random numbers drawn on the CPU would be the same at every replay" in message

    @pytest.mark.parametrize("name", ["Adafactor", "Muon"])
    def test_other_optimizers(self, name):
        w = at.ones(3, 3).cuda()
        w.requires_grad = True
        optimizer = getattr(optim, name)([w])

        def step(x):
            optimizer.zero_grad()
            loss = (w * x).sum()
            loss.backward()
            optimizer.step()
            return loss

        message = self.capture(step, at.ones(3, 3).cuda(), first=False)
        assert f"{name}: its step takes numbers that a graph could not update" in message

    def test_scaling_of_losses(self):
        scaler = at.amp.GradScaler("cuda")
        w = at.ones(2).cuda()
        w.requires_grad = True
        w.grad, optimizer = at.ones(2).cuda(), optim.SGD([w])
        for step in (lambda x: scaler.scale(x), lambda x: (scaler.step(optimizer), x)[1]):
            message = self.capture(step, at.ones(2).cuda(), first=False)
            assert "a captured step would keep the scale of today" in message

    def test_an_optimizer_made_in_the_step(self):
        w = at.ones(3).cuda()
        w.requires_grad = True

        def step(x):
            optimizer = optim.Adam([w])
            optimizer.zero_grad()
            loss = (w * x).sum()
            loss.backward()
            optimizer.step()
            return loss

        assert "Adam: a parameter had no exp_avg before this step" in self.capture(step, at.ones(3).cuda())

    def test_gradients_from_before(self):
        w = at.ones(3).cuda()
        w.requires_grad = True

        def step(x):
            loss = (w * x).sum()
            loss.backward()
            return loss

        assert "call optimizer.zero_grad() in the step" in self.capture(step, at.ones(3).cuda())

    @pytest.mark.parametrize("name", ["Adam", "NAdam"])
    def test_an_optimizer_on_the_cpu(self, name):
        w = at.ones(3, requires_grad=True)
        optimizer = getattr(optim, name)([w])

        def step(x):
            optimizer.zero_grad()
            (w * 2).sum().backward()
            optimizer.step()
            return x * 1

        assert "parameters are on the CPU" in self.capture(step, at.ones(3).cuda(), first=False)

    def test_results_of_another_kind(self):
        step = at.cuda.capture(lambda x: 3.0)
        with pytest.raises(RuntimeError, match="it returns a float; expected tensors"):
            step(at.ones(2).cuda())

    def test_arguments(self):
        step = at.cuda.capture(lambda x, factor: x * factor)
        x = at.ones(4, 2).cuda()
        for given, message in ((at.ones(4, 2), "argument 0 is on cpu"), ([1], "argument 0 is a list")):
            with pytest.raises(RuntimeError, match=message):
                step(given, 2)
        step(x, 2), step(x, 2)
        for args, message in (
            (
                (at.ones(3, 2).cuda(), 2),
                r"argument 0 is float32 of shape \(3, 2\); captured with float32 of shape \(4, 2",
            ),
            ((x.double(), 2), "argument 0 is float64 of shape"),
            ((x, 3), "argument 1 is 3; captured with 2"),
            ((x,), "got 1 arguments; captured with 2"),
        ):
            with pytest.raises(RuntimeError, match=message):
                step(*args)
        assert step(x, 2).tolist() == [[2.0, 2.0]] * 4

    def test_a_capture_within_another(self):
        inner = at.cuda.capture(lambda x: x * 2)
        with pytest.raises(RuntimeError, match="called within another"):
            at.cuda.capture(lambda x: inner(x))(at.ones(2).cuda())

    @pytest.mark.parametrize("name", ["adam", "rmsprop", "adagrad", "nadam", "asgd"])
    def test_what_the_step_did_is_taken_back(self, name):
        def run(fails):
            model, optimizer, step = make(name)
            failing = [False]

            def train(x, y):
                loss = step(x, y)
                if failing[0]:
                    loss.item()
                return loss

            graph, plain = at.cuda.capture(train), in_same_kernels(step)
            data = list(batches(5))
            graph(*data[0])
            if fails:
                failing[0] = True
                with pytest.raises(RuntimeError, match=r"loss.item\(\)"):
                    graph(*data[1])
                failing[0] = False
            plain(*data[1])
            for x, y in data[2:]:
                graph(x, y)
            steps = {state["step"] for state in optimizer.state.values()}
            return [p.detach().cpu().numpy().tobytes() for p in model.parameters()], steps, at.get_rng_state()["offset"]

        assert run(True) == run(False)

    def test_a_capture_that_cuda_gives_up(self, monkeypatch):
        """As after a call that CUDA does not allow, of which nobody heard before the capture's end."""
        stream, step, x = gpu.cupy.cuda.Stream, at.cuda.capture(lambda x: x * 2), at.ones(2).cuda()
        step(x)
        end = stream.end_capture

        def invalidated(self):
            end(self)
            raise gpu.cupy.cuda.runtime.CUDARuntimeError(901)

        monkeypatch.setattr(stream, "end_capture", invalidated)
        with pytest.raises(RuntimeError, match="CUDA gave the capture up"):
            step(x)
        monkeypatch.undo()
        assert step(x).tolist() == [2.0, 2.0]

    def test_an_error_of_the_steps_own(self):
        calls = []

        def step(x):
            calls.append(1)
            if len(calls) == 2:
                raise KeyError("mine")
            return x * 2

        step = at.cuda.capture(step)
        x = at.ones(2).cuda()
        step(x)
        with pytest.raises(KeyError, match="mine"):
            step(x)
        assert step(x).tolist() == step(x).tolist() == [2.0, 2.0]


class TestChanges:
    """What was changed since the capture."""

    def captured(self, optimizer="adam"):
        model, optimizer, step = make(optimizer)
        step, data = at.cuda.capture(step), list(batches())
        step(*data[0]), step(*data[1])
        return model, optimizer, step, data[2]

    def test_loaded_state(self):
        _, optimizer, step, data = self.captured()
        optimizer.load_state_dict(optimizer.state_dict())
        with pytest.raises(RuntimeError, match="would update other memory than Adam has now"):
            step(*data)

    def test_more_parameters(self):
        _, optimizer, step, data = self.captured()
        optimizer.add_param_group({"params": [at.ones(2).cuda()]})
        with pytest.raises(RuntimeError, match="capture the step again"):
            step(*data)

    def test_a_replaced_parameter(self):
        model, _, step, data = self.captured()
        model.last.weight.data = model.last.weight.data.copy()
        with pytest.raises(RuntimeError, match="capture the step again"):
            step(*data)

    def test_parameters_in_another_order(self):
        _, optimizer, step, data = self.captured()
        optimizer.param_groups[0]["params"].reverse()
        with pytest.raises(RuntimeError, match="capture the step again"):
            step(*data)

    @pytest.mark.parametrize(
        ("name", "setting"),
        [
            ("adam", "maximize"),
            ("adam", "amsgrad"),
            ("plain", "momentum"),
            ("rmsprop", "momentum"),
            ("rmsprop", "centered"),
            ("adamax", "maximize"),
            ("rprop", "maximize"),
            ("radam", "weight_decay"),
            ("asgd", "maximize"),
            ("radam", "decoupled_weight_decay"),
        ],
    )
    def test_settings_that_choose_kernels(self, name, setting):
        _, optimizer, step, data = self.captured(name)
        optimizer.param_groups[0][setting] = True
        with pytest.raises(RuntimeError, match="capture the step again"):
            step(*data)

    def test_written_parameters_are_known_to_autograd(self):
        model, _, step, data = self.captured()
        loss = (model.last.weight * model.last.weight).sum()
        step(*data)
        with pytest.raises(RuntimeError, match="changed in place"):
            loss.backward()


class TestClasses:
    @pytest.mark.parametrize("loss", [F.cross_entropy, lambda x, y: F.nll_loss(F.log_softmax(x, 1), y)])
    def test_out_of_range(self, loss):
        step = at.cuda.capture(lambda x, y: loss(x, y))
        x, good, bad = at.zeros(3, 4).cuda(), at.tensor([0, 3, -100]).cuda(), at.tensor([0, 7, 1]).cuda()
        with pytest.raises(ValueError, match="target has class 7"):  # as in Python
            step(x, bad)
        assert step(x, good).item() == step(x, good).item() == step(x, good).item()
        step(x, bad)
        with pytest.raises(ValueError, match=r"target had class 7 in an earlier call .*; expected 0 to 3"):
            step(x, good) if not on_a_gpu() else (step.check(), step(x, good))
        step(x, bad)
        with pytest.raises(ValueError, match="target had class 7"):
            step.check()
        step.check()
        assert np.isfinite(step(x, good).item())


def on_a_gpu():
    return gpu.cupy.__version__ != "stand-in"


@pytest.mark.parametrize("optimizer", [optim.Adam, optim.NAdam, optim.ASGD])
def test_parameters_that_made_different_steps_since(optimizer):
    a, b = at.ones(3, device="cuda", requires_grad=True), at.ones(3, device="cuda", requires_grad=True)
    chosen = optimizer([a, b])

    def step(x):
        chosen.zero_grad()
        (a * x + b * x).sum().backward()
        chosen.step()
        return a.detach().clone()

    captured, x = at.cuda.capture(step), at.ones(3, device="cuda")
    for _ in range(3):
        captured(x)
    chosen.zero_grad()
    a.sum().backward()
    chosen.step()
    before = b.tolist()
    with pytest.raises(RuntimeError, match="made different numbers of steps since; capture the step again"):
        captured(x)
    assert b.tolist() == before
    chosen.zero_grad()
    at.cuda.capture(step)(x)
    assert b.tolist() != before
