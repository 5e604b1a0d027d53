"""What a learner sees while a model trains: live curves in a notebook, plain lines elsewhere, time left in both."""

import time

from transformers import TrainerCallback

from utils import plots
from utils.live import LiveLine, in_notebook, say


class LiveCurves(LiveLine):
    """Loss curves and a progress line that renew themselves in place while a model trains."""

    def draw(self, train, validation, accuracy, best=None):
        """Replace the figure; all three are lists of (epoch, value)."""
        fig, (left, right) = plots.figure(9.0, 3.2, columns=2)
        plots.plot_losses(train, validation, best, left)
        plots.plot_accuracy(accuracy, right)
        plots.show(fig, **self.place("figure"))


class Progress(TrainerCallback):
    """Live curves in a notebook, one plain line per epoch elsewhere; time left in both."""

    def __init__(self, epochs):
        self.epochs = epochs
        self.live = LiveCurves() if in_notebook() else None
        self.train, self.validation, self.accuracy = [], [], []
        self.shown = 0.0

    def say(self, line):
        """Show the progress line."""
        say(line, self.live)

    def on_train_begin(self, args, state, control, **_):
        self.started, self.first = time.perf_counter(), state.global_step
        for entry in state.log_history:  # a resumed run shows its past, too
            self.remember(entry)

    def remember(self, entry):
        """Sort one log entry into the curves."""
        epoch = entry.get("epoch")
        if "loss" in entry:
            self.train.append((epoch, entry["loss"]))
        if "eval_loss" in entry:
            self.validation.append((round(epoch), entry["eval_loss"]))
            self.accuracy.append((round(epoch), entry["eval_accuracy"]))

    def left(self, state):
        """Time left, as minutes:seconds, if no early stop comes."""
        done = state.global_step - self.first
        seconds = (time.perf_counter() - self.started) / max(done, 1) * (state.max_steps - state.global_step)
        return f"{int(seconds // 60)}:{int(seconds % 60):02d}"

    def on_step_end(self, args, state, control, **_):
        if self.live and time.perf_counter() - self.shown > 0.5:
            self.shown = time.perf_counter()
            bar = "#" * round(30 * state.global_step / state.max_steps)
            epoch = min(self.epochs, 1 + int(state.epoch))
            self.say(
                f"epoch {epoch} of {self.epochs}  [{bar:·<30}]  step {state.global_step} of {state.max_steps}, "
                f"at most {self.left(state)} left"
            )

    def on_log(self, args, state, control, logs=None, **_):
        self.remember({"epoch": state.epoch, **(logs or {})})

    def on_evaluate(self, args, state, control, metrics=None, **_):
        if self.live:
            self.live.draw(self.train, self.validation, self.accuracy)
        else:
            loss = f"loss {self.train[-1][1]:.3f}, " if self.train else ""
            self.say(
                f"epoch {round(state.epoch)} of {self.epochs}: {loss}validation loss {metrics['eval_loss']:.3f}, "
                f"validation accuracy {metrics['eval_accuracy']:.1%}, at most {self.left(state)} left"
            )
