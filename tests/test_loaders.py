"""Other libraries' loaders: the code of docs/loaders.md yields every item of the data set once."""

import importlib.util
import inspect
import os
import re
import sys
import tarfile
from pathlib import Path

import fdsl
import fdsl.export
import pytest
from scripts import ran

PAGE = (Path(__file__).parents[1] / "docs" / "loaders.md").read_text(encoding="utf-8")

#: Compares (image, label) pairs with all items of the data set, in any order.
CHECK = """
def check(pairs, total):
    known = {(data[item][0].tobytes(), data[item][1]) for item in range(len(data))}
    found = [(np.asarray(image, np.uint8).tobytes(), int(label)) for image, label in pairs]
    assert len(found) == total * len(data), len(found)
    assert set(found) == known
    assert [label for _, label in found] != sorted(label for _, label in found)  # shuffled

def in_batches(batches):
    return [pair for images, labels in batches for pair in zip(images, labels)]
"""


def need(*packages: str) -> None:
    """Skips a test unless packages are installed.

    Does not import them: Keras would choose its backend in this process.
    """
    for name in packages:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


def section(title: str, language: str = "python") -> str:
    """Returns the code of a section."""
    text = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", text, re.S))


def run(title: str, checks: str, folder: Path, language: str = "python") -> None:
    """Runs the page's data set, the code of a section and checks as a script."""
    before = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.split("\n## ")[0], re.S))
    body = "".join(f"    {line}\n" for line in checks.strip().splitlines())
    main = f"if __name__ == '__main__':\n{body}"  # workers may be spawned
    script = folder / "script.py"
    script.write_text("\n".join([before, CHECK, section(title, language), main]))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_HOME": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = ran([sys.executable, script], cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]


# The table at the top


ROWS = re.findall(
    r"^\| \[(.+?)\]\((#.+?)\) \| (.+?) \| .+? \| (\d+) \| `(\w+)` \|$", PAGE, re.MULTILINE
)


def test_the_table_has_a_row_for_each_section():
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert [title for title, *_ in ROWS] == titles
    for title, anchor, *_ in ROWS:
        assert anchor == "#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("title, anchor, version, lines, test", ROWS)
def test_a_row_of_the_table_names_its_test_and_counts_its_code(title, anchor, version, lines, test):
    assert f'run("{title}", ' in inspect.getsource(globals()[test])
    code = section(title, "py(?:thon)?").splitlines()
    glue = [line for line in code if line.strip() and not re.match(r"import |from |# ", line)]
    assert len(glue) == int(lines)


# webdataset


@pytest.mark.slow
def test_webdataset_reads_shards_from_a_pipe(tmp_path):
    need("webdataset", "torch")
    checks = """
images, labels = next(iter(loader))
assert images.shape == (32, 64, 64) and str(images.dtype) == "torch.uint8"
assert set(images.unique().tolist()) == {0, 127} and len(set(labels.tolist())) > 1
"""
    run("webdataset", checks, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_all_shards_of_a_pipe_are_the_samples_of_the_files(tmp_path, monkeypatch, capfd, workers):
    need("torch")
    wds = pytest.importorskip("webdataset")
    family, rendering = fdsl.Bezier(4), fdsl.Strokes(size=32)
    fdsl.export.shards(family, tmp_path, instances=9, rendering=rendering, shard_size=5, seed=2)
    options = "--instances 9 --size 32 --shard-size 5 --seed 2 --num-threads 1"
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")

    def samples(urls, workers):
        dataset = wds.WebDataset(urls, shardshuffle=False).to_tuple("__key__", "png", "cls", "json")
        return sorted(wds.WebLoader(dataset, batch_size=None, num_workers=workers))

    piped = samples(f"pipe:fdsl export bezier-4 - {options} --shard {{0..7}}", workers)
    assert piped == samples(f"{tmp_path}/{{000000..000007}}.tar", 0)
    assert len(piped) == 36
    assert capfd.readouterr().err == ""


def test_a_failing_shard_of_a_pipe_is_an_error(monkeypatch, capfd):
    wds = pytest.importorskip("webdataset")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    url = "pipe:fdsl export bezier-4 - --size 32 --instances 1 --shard 1"
    with pytest.raises((OSError, tarfile.ReadError), match=r"exit 2|empty file"):
        list(wds.WebDataset(url, shardshuffle=False))
    assert "shard must be below 1, the number of shards, got 1" in capfd.readouterr().err


# Hugging Face datasets


@pytest.mark.slow
def test_datasets_streams_each_item_once(tmp_path):
    need("datasets", "torch")
    checks = """
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader
assert stream.num_shards == 8
check([(sample["image"], sample["label"]) for sample in stream], 1)
for workers in (0, 2):
    loader = DataLoader(stream, batch_size=32, num_workers=workers)
    batches = [(batch["image"], batch["label"]) for batch in loader]
    assert batches[0][0].shape == (32, 64, 64) and str(batches[0][0].dtype) == "torch.uint8"
    check(in_batches(batches), 1)
first, second = (split_dataset_by_node(stream, rank, 2) for rank in (0, 1))
check([(sample["image"], sample["label"]) for part in (first, second) for sample in part], 1)
"""
    run("datasets: stream", checks, tmp_path)


@pytest.mark.slow
def test_datasets_keeps_every_item_in_a_table(tmp_path):
    need("datasets")
    checks = """
assert len(table) == len(data) and table.features["label"].num_classes == 10
for item in (0, 57, 199):
    image, label = data[item]
    assert table[item]["label"] == label
    np.testing.assert_array_equal(np.array(table[item]["image"]), image)
shuffled = table.shuffle(seed=0)
check([(sample["image"], sample["label"]) for sample in shuffled], 1)
"""
    run("datasets: table", checks, tmp_path)


@pytest.mark.slow
def test_datasets_reads_exported_shards(tmp_path):
    need("datasets")
    family, rendering = fdsl.fractaldb(10), fdsl.Rendering(size=64, num_points=12_500)
    fdsl.export.shards(family, tmp_path / "shards", instances=20, rendering=rendering)
    checks = """
kept = datasets.load_dataset("webdataset", data_files="shards/*.tar", split="train")
assert dataset.num_shards == 2 and len(kept) == len(data)
for samples in (dataset, kept):
    check([(sample["png"].convert("L"), sample["cls"]) for sample in samples], 1)
"""
    run("datasets: shards", checks, tmp_path)


# Grain


@pytest.mark.slow
def test_a_grain_data_loader_reads_each_item_once(tmp_path):
    need("grain")
    checks = """
check(in_batches(loader), 1)
here = grain.DataLoader(data_source=data, sampler=sampler, operations=operations)
check(in_batches(here), 1)
"""
    run("Grain: DataLoader", checks, tmp_path)


@pytest.mark.slow
def test_a_grain_map_dataset_reads_each_item_once(tmp_path):
    need("grain")
    checks = """
for batches in (dataset, in_threads, in_workers):
    check(in_batches(batches), 1)
iterator = iter(in_threads)
next(iterator)
state = iterator.get_state()
wanted = next(iterator)
iterator.set_state(state)
np.testing.assert_array_equal(next(iterator)[0], wanted[0])
"""
    run("Grain: MapDataset", checks, tmp_path)


# Keras and TensorFlow


@pytest.mark.slow
def test_keras_fits_on_each_item_once(tmp_path):
    need("keras", "torch")
    checks = """
assert keras.backend.backend() == "torch"
seen = []
class Recorded(Images):
    def __getitem__(self, batch):
        images, labels = super().__getitem__(batch)
        assert images.shape[1:] == (64, 64, 1) and images.dtype == np.uint8
        seen.append((images, labels))
        return images, labels
model = keras.Sequential([
    keras.layers.Rescaling(1 / 127), keras.layers.Conv2D(4, 3, strides=4),
    keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10),
])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile("adam", loss, metrics=["accuracy"])
history = model.fit(Recorded(data, 32, workers=2), epochs=2, verbose=0).history
assert np.isfinite(history["loss"]).all() and len(history["loss"]) == 2
check(in_batches(batches[number] for number in range(len(batches))), 1)
assert len(in_batches(seen)) >= 2 * len(data)
"""
    run("Keras", checks, tmp_path)


def test_tf_data_reads_each_item_once(tmp_path):
    need("tensorflow")
    checks = """
batches = [(images.numpy(), labels.numpy()) for images, labels in stream]
assert batches[0][0].shape == (32, 64, 64) and batches[0][0].dtype == np.uint8
check(in_batches(batches), 1)
"""
    run("tf.data", checks, tmp_path, language="py")
