"""Checkpoints and weights on disk: each file is there whole, or the one before it is."""

import json
import os
import secrets
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import safetensors.torch
import torch
from filelock import FileLock, Timeout  # torch itself requires it
from torch import Tensor


@contextmanager
def claimed_folder(out: Path, *, resume: str | None) -> Iterator[None]:
    """Makes the folder of a run and locks it while the run lasts; fails now rather than after an
    epoch if it cannot be written. Under torchrun rank 0 alone holds the lock.

    Raises OSError if it cannot, FileExistsError if it holds another run or one is running there.
    """
    make_folder(out)
    if int(os.environ.get("RANK", 0)):
        _refuse_used(out, resume)
        yield
        return
    # Held by the process, so a killed run leaves the file behind but no lock.
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise FileExistsError(
            f"another process is training in {out}: wait until it ends, or name another --out"
        ) from None
    except OSError as error:  # some network file systems have no locks
        print(f"warning: cannot lock {out} ({error.strerror})", file=sys.stderr)
    try:
        _refuse_used(out, resume)
        for part in out.glob(f"*.{'[0-9a-f]' * 8}.part"):  # of a killed run
            part.unlink()
        yield
    finally:
        lock.release()


def make_folder(out: Path) -> None:
    """Makes the folder of a run. Raises OSError if nothing can be written there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(f"cannot write to --out {out}: {error.strerror}") from error


def _refuse_used(out: Path, resume: str | None) -> None:
    if resume is None and (out / "last.pt").exists():
        raise FileExistsError(
            f"{out} already holds a run: continue it with --resume auto, or name another --out"
        )


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file whole or not at all: a crash leaves the old one, never half of the new.

    Raises OSError, with the name of the file, if it cannot be written.
    """
    # In the same folder, so that replacing is one step; a name of its own for each writer.
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        # torch.save raises a RuntimeError of its own while it handles the one of the disk.
        cause = error if isinstance(error, OSError) else error.__context__
        if isinstance(cause, OSError):
            raise OSError(
                f"cannot write {path}: {cause.strerror}; the file from before is kept, if any"
            ) from error
        raise


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Saves a checkpoint: tensors and plain Python, so that `weights_only=True` reads it back."""
    write_whole(path, lambda file: torch.save(dict(state), file))


def load(path: Path) -> dict[str, Any]:
    """Loads a checkpoint of these examples, and compares its checksums.

    Raises FileNotFoundError, or ValueError if it is another kind of file or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    return _ours(_read(path), path)


def _refuse_damaged(path: Path) -> None:
    """Raises ValueError if a part of the archive differs from its checksum; torch does not look."""
    try:
        if not zipfile.is_zipfile(path):  # what torch wrote before 1.6, without checksums
            return
        with zipfile.ZipFile(path) as archive:
            record = archive.testzip()
        reason = None if record is None else f"{record} does not match its checksum"
    except Exception as error:  # zipfile raises half a dozen kinds for a damaged directory
        reason = str(error)
    if reason is not None:
        raise ValueError(
            f"{path} is damaged ({reason}): restore it from a copy, or start again in another --out"
        )


def _read(path: Path) -> Any:
    _refuse_damaged(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a file it cannot read
        raise ValueError(f"{path} is not a checkpoint torch can read") from error


def _ours(state: Any, path: Path) -> dict[str, Any]:
    if not isinstance(state, dict) or "made" not in state:
        raise ValueError(f"{path} is not a checkpoint of these examples")
    return state


def find(resume: str | None, out: Path, *, needs: Sequence[str] = ()) -> dict[str, Any] | None:
    """The checkpoint to go on from: a path must exist, "auto" takes OUT/last.pt if it is there.

    Raises ValueError if it lacks what a Trainer, or the script, `needs`.
    """
    if resume is None or (resume == "auto" and not (out / "last.pt").exists()):
        return None
    path = out / "last.pt" if resume == "auto" else Path(resume)
    state = load(path)
    for key in ("step", "weights", "optimizer", "ranks", *needs):
        if key not in state:
            raise ValueError(
                f"{path} has no {key!r}, so this script cannot go on from it: name another "
                "checkpoint with --resume, or start again in another --out"
            )
    return state


def refuse_another(state: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Raises ValueError unless the checkpoint was made as this run would be: the same model, data
    and order of samples. Length and learning rate may change."""
    for key in sorted({*state["made"], *made}):
        theirs, ours = state["made"].get(key), made.get(key)
        if theirs != ours:
            name = key.replace("_", " ")
            raise ValueError(f"cannot resume: the checkpoint's {name} is {theirs}, yours {ours}")


def save_weights(folder: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Writes weights.safetensors, under the names torchvision and timm use, and weights.json, which
    says how they were made; the same words stand in the safetensors header."""
    words = json.dumps(about, indent=2)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in weights.items()}
    header = {"format": "pt", "model": str(about["model"]), "about": words}
    data = safetensors.torch.save(tensors, metadata=header)
    write_whole(folder / "weights.safetensors", lambda file: file.write(data))
    write_whole(folder / "weights.json", lambda file: file.write(words.encode() + b"\n"))


def load_weights(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """Reads .safetensors, a checkpoint of these examples, or weights as torchvision and timm save
    them: the weights, and the name of their model if the file says it."""
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    if path.suffix != ".safetensors":
        state = _read(path)
        if isinstance(state, dict) and state and all(isinstance(v, Tensor) for v in state.values()):
            return dict(state), None
        state = _ours(state, path)
        return state["weights"], state["made"]["model"]
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            # The file has keys() and cannot be iterated.
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, (file.metadata() or {}).get("model")
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
