"""Trials: one function on many configurations, by a plain loop here or by Ray Tune across machines.

A trial takes a configuration and gives its figures, both JSON data. Each finished trial is kept in a file of its own,
so that what was interrupted goes on where it was, by either runner.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from tacit.codesign.training.progress import reporting
from tacit.errors import InvalidFile, InvalidInput, TacitError

__all__ = ["Trial", "TrialResult", "run_trials"]

Trial = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class TrialResult:
    """A configuration, and its figures or, where it failed, why in one sentence."""

    configuration: Mapping[str, Any]
    figures: Mapping[str, Any] | None
    error: str | None = None


def run_trials(
    trial: Trial,
    configurations: Sequence[Mapping[str, Any]],
    *,
    runner: Literal["loop", "ray"] = "loop",
    folder: Path | str | None = None,
    resources: Mapping[str, float] | None = None,
    resume: bool = True,
    progress: bool = True,
) -> tuple[TrialResult, ...]:
    """The result of `trial` on each configuration, in their order.

    trial      a function at the top of a module, for Ray takes it to other machines, where Tacit must be installed
    runner     "loop": one after the other here; "ray": by Ray Tune on the cluster that is connected, or on this machine
    folder     finished trials are kept here, and with `resume` not run again; failed ones are
    resources  what one trial takes of the cluster, such as {"cpu": 4, "gpu": 1}; the loop has no use for it

    A trial that fails with a TacitError is a result with an error, and the others go on; any other exception is the
    trial's fault and is raised (by Ray: is a result with an error). Raises InvalidInput for an unknown runner, without
    Ray where it is asked for, and for configurations that are no JSON data; InvalidFile for a damaged result.
    """
    if runner not in ("loop", "ray"):
        raise InvalidInput(f'runner is "loop" or "ray", and not {runner!r}')
    names = [_name(configuration) for configuration in configurations]
    if len(set(names)) != len(names):
        raise InvalidInput("two configurations are the same; give each once, with a seed of its own to repeat one")
    where = None if folder is None else Path(folder)
    found = {name: _kept(where, name) for name in names} if resume else {}
    left = {name: c for name, c in zip(names, configurations, strict=True) if found.get(name) is None}
    results = {name: result for name, result in found.items() if result is not None}
    with reporting(progress) as report:

        def done(name: str, result: TrialResult) -> None:
            results[name] = result
            _keep(where, name, result)
            report.step("trials", len(results), len(names), {})
            if result.error is not None:
                report.line(f"trial {name} failed: {result.error}")

        if runner == "ray" and left:
            _by_ray(trial, left, done, resources, where)
        else:
            _by_loop(trial, left, done)
    return tuple(results[name] for name in names)


_Named = Mapping[str, Mapping[str, Any]]
_Done = Callable[[str, TrialResult], None]


def _by_loop(trial: Trial, named: _Named, done: _Done) -> None:
    for name, configuration in named.items():
        try:
            result = TrialResult(configuration, dict(trial(configuration)))
        except TacitError as error:
            result = TrialResult(configuration, None, str(error))
        done(name, result)


def _by_ray(
    trial: Trial, named: _Named, done: _Done, resources: Mapping[str, float] | None, folder: Path | None
) -> None:
    try:
        import ray
        from ray import tune
    except ModuleNotFoundError as error:
        raise InvalidInput('runner="ray" needs Ray Tune; install tacit[ray], or use runner="loop"') from error

    class Keep(tune.Callback):
        """Keeps each result as soon as it is there, for an interruption. Ray pickles it: it knows names and paths."""

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            name = trial.config["name"]
            _keep(folder, name, TrialResult(named[name], trial.last_result["figures"]))

    def trainable(chosen: Mapping[str, Any]) -> dict[str, Any]:
        return {"figures": dict(trial(named[chosen["name"]]))}

    wrapped = tune.with_resources(trainable, dict(resources)) if resources else trainable
    with _connected(ray), TemporaryDirectory(prefix="tacit-ray-", ignore_cleanup_errors=True) as scratch:
        settings = tune.RunConfig(storage_path=scratch, callbacks=[Keep()], verbose=0)
        grid = tune.Tuner(wrapped, param_space={"name": tune.grid_search(list(named))}, run_config=settings).fit()
        if any(result.error is None and "figures" not in (result.metrics or {}) for result in grid):
            raise KeyboardInterrupt  # which Ray takes as the end of the experiment
        for result in grid:
            name, failed = result.config["name"], result.error is not None
            figures = None if failed else result.metrics["figures"]
            done(name, TrialResult(named[name], figures, _reason(result.error) if failed else None))


@contextmanager
def _connected(ray: Any) -> Iterator[None]:
    """The cluster that the program is connected to, or one on this machine that ends with the trials."""
    ours = not ray.is_initialized()
    if ours:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        if ours:
            ray.shutdown()


def _reason(error: BaseException) -> str:
    """The last line of an error's text, where Ray puts the trial's own exception."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _name(configuration: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(dict(configuration), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"a trial's configuration is JSON data: numbers, text, lists and dicts; {error}") from error
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _kept(folder: Path | None, name: str) -> TrialResult | None:
    """The finished trial called `name`, if there is one. Raises InvalidFile."""
    path = None if folder is None else folder / f"trial-{name}.json"
    if path is None or not path.exists():
        return None
    try:
        entry = json.loads(path.read_text("utf-8"))
        return TrialResult(entry["configuration"], entry["figures"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidFile(f"{path} is no result of a trial; delete it to run the trial again") from error


def _keep(folder: Path | None, name: str, result: TrialResult) -> None:
    """Write a finished trial's result, whole or not at all. Raises InvalidInput if it cannot."""
    if folder is None or result.figures is None:
        return
    path = folder / f"trial-{name}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"configuration": dict(result.configuration), "figures": dict(result.figures)}, indent=1)
        path.with_suffix(".draft").write_text(text + "\n", "utf-8")
        path.with_suffix(".draft").replace(path)
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror}; choose another folder") from error
