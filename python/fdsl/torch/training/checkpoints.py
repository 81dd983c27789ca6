"""Checkpoints that are complete, belong to the right run, and have only one writer."""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from fdsl._checks import require, shown, whole_or_none
from fdsl._files import PathLike, remove_parts, writing_whole
from fdsl.torch.training.distributed import reduced

#: What a checkpoint holds besides the states of the parts.
OWN = ("made", "step", "history")

#: Errors of file systems without locks, such as some of Lustre and NFS.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)


class Stateful(Protocol):
    """Anything that has a state, such as torch's modules and optimizers."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the state."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Restores a state."""
        ...


class Checkpoints:
    """The checkpoints of a run, in a folder that one run at a time may use.

    A context manager that creates the folder and locks it. The lock is released when the process
    ends, even if it is killed. On a file system without locks there is a warning instead. Needs
    filelock.

    >>> import tempfile, torch
    >>> folder, model = tempfile.mkdtemp(), torch.nn.Linear(2, 1)
    >>> with Checkpoints(folder) as checkpoints:
    ...     saved = checkpoints.load("auto")
    ...     step = checkpoints.begin({"batch_size": 8}, weights=model)
    ...     checkpoints.save(step + 5)
    >>> with Checkpoints(folder) as checkpoints:
    ...     checkpoints.load("auto")["step"]
    5

    Args:
        folder: the folder of the run.
        rank: rank of this process. Only rank 0 locks and writes.
    """

    def __init__(self, folder: PathLike, rank: int = 0) -> None:
        self.folder = Path(folder)
        self.rank = rank
        self._settings: dict[str, Any] = {}
        self._parts: dict[str, Stateful] = {}
        self._saved: dict[str, Any] | None = None
        self._file = self.folder / "last.pt"  # the one that was loaded
        self._looked = False  # for a run to resume
        self._lock: Any = None
        #: The settings that the run had, in order, each as a dict with the ``"first_step"`` and the
        #: ``"settings"``. There is more than one if a resumed run changed any.
        self.history: list[dict[str, Any]] = []

    def __enter__(self) -> Checkpoints:
        require("Checkpoints", "filelock")
        from filelock import FileLock, Timeout

        # No marker file instead, where there are no locks: a killed run would leave it behind.
        self._lock = FileLock(self.folder / ".lock", blocking=False, fallback_to_soft=False)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.rank == 0:
                self._lock.acquire()
        except Timeout:
            why = f"another process is training in {self.folder}"
            raise FileExistsError(f"{why}: wait until it ends, or choose another folder") from None
        except OSError as error:
            if error.errno not in NO_LOCKS or not self.folder.is_dir():
                raise OSError(f"cannot write to {self.folder}: {error.strerror}") from error
            warnings.warn(
                f"the file system of {self.folder} has no locks ({error.strerror}): nothing "
                "prevents a second run in this folder",
                stacklevel=2,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def load(self, resume: PathLike | None, *keys: str) -> dict[str, Any] | None:
        """Reads the checkpoint to resume from.

        Args:
            resume: a file; or ``"auto"``, which is ``last.pt`` of the folder if there is one; or
                ``None``, to start a new run.
            keys: keys that it must have in addition to those that ``begin`` restores.

        Returns:
            The saved state, on the CPU; ``None`` for a new run. ``begin`` removes what it restores.

        Raises:
            FileExistsError: ``resume`` is ``None``, but the folder has a ``last.pt``.
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, lacks a key, or has a wrong value under ``"made"``,
                ``"step"`` or ``"history"``.
        """
        self._looked = True
        last = self.folder / "last.pt"
        if resume is None and last.exists():
            raise FileExistsError(
                f"{self.folder} already holds a run: resume it (auto), or choose another folder"
            )
        if resume is None or (resume == "auto" and not last.exists()):
            return None
        self._file = last if resume == "auto" else Path(resume)
        self._saved = saved = read_checkpoint(self._file)
        self._require("made", "step", *keys)
        made, step, history = saved["made"], whole_or_none(saved["step"]), saved.get("history", [])
        listed = isinstance(history, list) and all(isinstance(one, dict) for one in history)
        for key, valid, what in (
            ("made", isinstance(made, dict), "a dict"),
            ("step", step is not None and 0 <= step < 2**63, "an integer, 0 or more"),
            ("history", listed and all("settings" in one for one in history), "a list of settings"),
        ):
            if not valid:
                why = f"{key!r} of {self._file} must be {what}, got {shown(saved[key])}"
                raise ValueError(f"cannot resume: {why}")
        return saved

    def begin(
        self,
        settings: dict[str, Any],
        recorded: Mapping[str, Any] | None = None,
        /,
        **parts: Stateful,
    ) -> int:
        """Starts the run, or resumes it from the checkpoint that was loaded.

        Before this call, nothing in the folder is changed. The call removes files that a killed run
        left half-written.

        Args:
            settings: settings that a resumed run must not change.
            recorded: all settings of this run, for ``history``.
            parts: the objects that ``save`` saves: modules, optimizers and anything else with a
                ``state_dict``. If there is a checkpoint, their states are restored from it, but an
                optimizer keeps its current learning rate, weight decay and so on, unless one of
                torch's schedulers, which derive the next rate from the last, is among the parts.

        Returns:
            The step to continue from.

        Raises:
            FileExistsError: ``load`` was not called, and the folder holds a run.
            TypeError: a setting is of a type that ``read_checkpoint`` refuses.
            ValueError: a part has a name that is taken; the checkpoint belongs to a run with other
                settings, lacks a part, or has one that cannot be restored, such as an optimizer of
                other parameters or weights that are not finite floating-point numbers; or the ranks
                of ``torch.distributed`` have read different checkpoints.
        """
        _refuse_taken(parts, OWN)
        content = io.BytesIO()
        torch.save(settings, content)
        _refuse_unreadable(settings, content)
        if not self._looked:
            self.load(None)
        saved = self._saved or {"made": settings, "step": 0}
        for name in sorted({*settings, *saved["made"]}, key=str):
            if (theirs := saved["made"].get(name)) != (ours := settings.get(name)):
                raise ValueError(
                    f"cannot resume: the checkpoint's {name} is {theirs}, yours {ours}"
                )
        step = int(saved["step"])
        least, most = reduced(torch.tensor([step, -step]), "MIN").abs().tolist()
        if least != most:
            raise ValueError(
                f"the ranks would continue from different steps, {least} and {most}: "
                f"{self.folder} must be on a disk that all of them see"
            )
        if self._saved is not None:
            self._require(*parts)
            scheduled = any(isinstance(part, LRScheduler) for part in parts.values())
            for name, part in parts.items():
                state = saved[name]
                try:
                    if isinstance(part, nn.Module):
                        check_weights(state, part.state_dict())
                    if isinstance(part, Optimizer) and not scheduled:
                        state = _with_current_settings(part, state)
                    part.load_state_dict(state)
                except torch.cuda.OutOfMemoryError:  # a RuntimeError that is not about the file
                    raise
                except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
                    why = " ".join(str(error).split())  # torch lists keys on lines of their own
                    why = f"there is no {why}" if isinstance(error, KeyError) else why
                    raise ValueError(
                        f"cannot resume: {name!r} of {self._file} cannot be restored: {why}"
                    ) from error
        if self.rank == 0:
            remove_parts(self.folder)
        self._settings, self._parts = settings, parts
        self.history = list(saved.get("history", []))
        for name in parts:  # they may be gigabytes, on every rank
            saved.pop(name, None)
        self._saved, self._looked = None, False
        plain = json.loads(json.dumps(dict(recorded or {}), default=str))
        if recorded is not None and (not self.history or self.history[-1]["settings"] != plain):
            self.history.append({"first_step": step, "settings": plain})
        return step

    def save(self, step: int, *names: str, **more: Any) -> None:
        """Writes ``last.pt``, whole or not at all. Every rank must call it; rank 0 writes.

        Args:
            step: number of steps done.
            names: further files to write with the same content, such as ``"best.pt"``.
            more: further values to save: tensors, numbers, strings, lists and dicts.

        Raises:
            FloatingPointError: a parameter is not finite. The earlier checkpoint is kept.
            TypeError: a value is of a type that ``read_checkpoint`` refuses, such as NumPy's.
            ValueError: a value has the name of a part, or a name that is taken.
            OSError: a file cannot be written. The earlier one is kept.
        """
        _refuse_taken(more, (*OWN, *self._parts))
        states = {name: part.state_dict() for name, part in self._parts.items()}
        for name, part in self._parts.items():
            tensors = (value for value in states[name].values() if isinstance(value, Tensor))
            finite = (torch.isfinite(tensor).all() for tensor in tensors)
            if isinstance(part, nn.Module) and not all(map(bool, finite)):
                raise FloatingPointError(f"the {name} are not finite at step {step}")
        if self.rank == 0:
            content = io.BytesIO()
            run = {"made": self._settings, "step": step, "history": self.history}
            torch.save(whole := {**run, **states, **more}, content)
            _refuse_unreadable(whole, content)
            # last.pt comes last: what it says of the others is true even after a crash in between.
            for name in (*names, "last.pt"):
                with writing_whole(self.folder / name) as file:
                    file.write(content.getbuffer())

    def epochs(self, step: int, steps_per_epoch: int, epochs: int) -> range:
        """Returns the numbers of the epochs that a run of ``epochs`` still has to train, beginning
        with that of ``step``; none if it has finished.

        Raises:
            ValueError: the run ends before ``step``.
        """
        if step > (end := epochs * steps_per_epoch):
            raise ValueError(
                f"cannot resume: the checkpoint {self._file} is at step {step:,}, but the run ends "
                f"at step {end:,}: train for more epochs, or choose another folder"
            )
        return range(step // steps_per_epoch, epochs)

    def _require(self, *keys: str) -> None:
        for key in keys:
            if key not in (self._saved or ()):
                raise ValueError(
                    f"cannot resume: the checkpoint has no {key!r}; it is of another script or "
                    "version, or damaged"
                )


def check_weights(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Checks weights that are to be loaded into a network with this state.

    Its integers, such as counts of batches, may be given in any type, and buffers that hold
    infinity, such as a causal mask, may hold it. Tensors of another shape are for
    ``load_state_dict`` to refuse: from a file of a few bytes, they can take any amount of memory.

    Raises:
        ValueError: others are not finite floating-point numbers.
    """
    for name, tensor in weights.items():
        ours = own.get(name)
        if ours is None or not (ours.is_floating_point() and isinstance(tensor, Tensor)):
            continue
        if tensor.shape != ours.shape:
            continue
        numbers = tensor.is_floating_point()
        finite = numbers and bool(tensor.to(ours.dtype).isfinite().all())
        if not (finite or (numbers and not bool(ours.isfinite().all()))):
            found = f"{tensor.dtype} with infinity or NaN" if numbers else tensor.dtype
            raise ValueError(f"{name} must be finite floating-point numbers, got {found}")


def _refuse_taken(names: Iterable[str], taken: Iterable[str]) -> None:
    for name in sorted({*names} & {*taken}):
        raise ValueError(f"a checkpoint already has a {name!r}: choose another name")


def _refuse_unreadable(entries: Mapping[str, Any], content: io.BytesIO) -> None:
    """Checks that the entries, as ``torch.save`` wrote them, can be read again."""
    if _readable(content):
        return
    for name, value in entries.items():
        own = io.BytesIO()
        torch.save(value, own)
        if not _readable(own):
            raise TypeError(
                "a checkpoint may hold tensors, numbers, strings, lists and dicts, so that loading "
                f"it runs no code; {name!r} is or has something else: {shown(value)}"
            )


def _readable(content: io.BytesIO) -> bool:
    content.seek(0)
    try:
        torch.load(content, map_location="meta", weights_only=True)
    except pickle.UnpicklingError:
        return False
    return True


def _with_current_settings(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Returns a saved state with the learning rate and so on that the optimizer has now.

    If the groups are of other sizes, they stay as saved, and torch refuses them.
    """
    saved, current = state["param_groups"], optimizer.state_dict()["param_groups"]
    if [len(group["params"]) for group in saved] != [len(group["params"]) for group in current]:
        return state
    return {**state, "param_groups": current}


def read_checkpoint(path: PathLike) -> dict[str, Any]:
    """Reads a file of ``torch.save``, and verifies its checksums, which torch ignores.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: torch is older than 2.6.
        ValueError: it is damaged, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {os.fspath(path)}")
    if torch.__version__ < "2.6":
        raise ImportError(
            f"{path} is not read by torch {torch.__version__}, where it could run code "
            "(CVE-2025-32434): install torch 2.6 or later"
        )
    try:
        if zipfile.is_zipfile(path):
            _verify(zipfile.ZipFile(path))
        # Files of timm's training script hold its options, which are plain values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # both raise half a dozen kinds
        if found := re.search(r"GLOBAL (\S+) was not an allowed", str(error)):
            why = f"{path} holds more than tensors and plain values, a {found[1]}: save its "
            raise ValueError(f"{why}state_dict by itself") from error
        raise ValueError(f"{path} is damaged or not a checkpoint: {error}") from error


def _verify(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise ValueError("it is a TorchScript archive: save the network's state_dict()")
    # torch.save compresses nothing; what is compressed can take any amount of memory.
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is compressed")
    if part := archive.testzip():
        raise ValueError(f"{part} does not match its checksum")
