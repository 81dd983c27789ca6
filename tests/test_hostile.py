"""Files and arguments that try to run code, fill the memory or never end.

Each is tried in its own process with little memory and time, and is refused with a sentence.
"""

import io
import json
import pickle
import re
import struct
import subprocess
import sys
import zlib

import fdsl
import numpy as np
import pytest
from fdsl.families import unpickle

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on memory")

# Tries each case in a child process with 400 MB and 20 seconds.
TRY_ALL = """
import json, os, resource, sys
import numpy as np
import fdsl
from fdsl import IFS, Bezier, Perlin

def attempt(code):
    pages = int(open("/proc/self/statm").read().split()[0])
    most = pages * resource.getpagesize() + 400_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    try:
        exec(code)
        return "nothing raised"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"

found = {}
for name, code in json.load(sys.stdin).items():
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = attempt(code)
        os.write(writer, f"{len(said)} {said[:2000]}".encode(errors="replace"))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    signal = os.waitpid(child, 0)[1] & 127
    found[name] = f"0 killed by signal {signal}" if signal else said
json.dump(found, sys.stdout)
"""


def tried(cases):
    """Returns the length and text of the error that each piece of code raised."""
    run = subprocess.run(
        [sys.executable, "-c", TRY_ALL],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found = {}
    for name, said in json.loads(run.stdout).items():
        length, text = said.split(" ", 1)
        found[name] = (int(length), text)
    return found


# Pickles, written opcode by opcode


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def raw(content):
    return b"B" + struct.pack("<I", len(content)) + content


def number(value):
    return pickle.dumps(value, 2)[2:-1]


def names(module, name):
    return f"c{module}\n{name}\n".encode()


def several(*parts):
    return b"(" + b"".join(parts) + b"t"


F8, BY_ROW = text("f8"), text("C")


def dtype(name=F8, state=None):
    made = names("numpy", "dtype") + several(name, number(0), number(1)) + b"R"
    return (
        made
        + (
            several(number(3), text("<"), *[b"N"] * 3, *[number(-1)] * 2, number(0))
            if state is None
            else state
        )
        + b"b"
    )


def array(shape=(2, 2, 3), kind=None, content=None, fortran=b"\x89"):
    """What NumPy writes for an array, with changes."""
    shape = shape if isinstance(shape, bytes) else several(*map(number, shape))
    content = raw(bytes(96)) if content is None else content
    empty = several(names("numpy", "ndarray"), several(number(0)), raw(b"b"))
    state = several(number(1), shape, kind or dtype(), fortran, content)
    return names("numpy.core.multiarray", "_reconstruct") + empty + b"R" + state + b"b"


def buffer(content=None, kind=None, shape=(2, 2, 3), order=BY_ROW, *axes):
    parts = [raw(bytes(96)) if content is None else content, kind or dtype()]
    shape = shape if isinstance(shape, bytes) else several(*map(number, shape))
    return names("numpy.core.numeric", "_frombuffer") + several(*parts, shape, order, *axes) + b"R"


def of(system):
    """A pickle with this as its only system."""
    return b"\x80\x02}" + text("params") + b"]}" + text("system") + system + b"sas."


def called(function, *arguments):
    return names(*function) + several(*arguments) + b"R"


TREE = b")" + b"2\x86" * 100  # pairs of pairs of …: 2¹⁰⁰ leaves in 201 bytes
LAUGHS = (
    b"]("
    + b"N" * 9
    + b"e"
    + b"".join(
        bytes([0x71, level]) + b"0](" + b"h" + bytes([level]) + (b"h" + bytes([level])) * 8 + b"e"
        for level in range(60)
    )
)
HUGE = struct.pack("<Q", 2**62)
MANY_DIGITS = b"\x8b" + struct.pack("<i", 10**6) + b"\x7f" * 10**6

PICKLES = {
    # Forged pointers.
    "ndarray of objects over bytes": (
        of(called(("numpy", "ndarray"), several(number(1)), dtype(text("O8")), raw(b"A" * 8))),
        r"it calls numpy\.ndarray in a way that NumPy does not",
    ),
    "a forged pointer that is dereferenced": (
        of(
            buffer(
                shape=called(
                    ("numpy", "ndarray"), several(number(3)), dtype(text("O8")), raw(b"A" * 24)
                )
            )
        ),
        r"it calls numpy\.ndarray in a way that NumPy does not",
    ),
    "state of objects over bytes": (
        of(array((1, 2, 3), dtype(text("O8")), raw(b"A" * 48))),
        "category 0: expected an array of numbers",
    ),
    "buffer of objects over bytes": (
        of(buffer(raw(b"A" * 48), dtype(text("O")), (1, 2, 3))),
        "category 0: expected an array of numbers",
    ),
    "a type that becomes another": (
        b"\x80\x02}"
        + text("params")
        + b"]}"
        + text("system")
        + array(kind=dtype() + b"q\x07")
        + b"sash\x07"
        + several(number(3), text("|"), *[b"N"] * 3, *[number(10**6)] * 2, number(0))
        + b"b0.",
        "sets the state of an array in a way",
    ),
    "a type that is very wide": (
        of(
            array(
                kind=dtype(
                    text("V8"),
                    several(number(3), text("|"), *[b"N"] * 3, number(2**30), number(1), number(0)),
                )
            )
        ),
        "expected an array of numbers",
    ),
    "a type with fields": (
        of(
            array(
                kind=dtype(
                    text("f8"),
                    several(
                        number(3),
                        text("O"),
                        b"N",
                        several(text("x")),
                        b"}",
                        number(8),
                        number(1),
                        number(0),
                    ),
                )
            )
        ),
        "the byte order of an array is 'O'",
    ),
    "a type with a list as its state": (of(array(kind=dtype(state=b"]"))), "sets the state"),
    "an array that is set twice": (
        of(array() + several(number(1), several(number(1)), dtype(), b"\x89", raw(b"")) + b"b"),
        "sets the state",
    ),
    "a name that is reassigned": (
        of(names("numpy", "dtype") + b"}" + text("type") + names("numpy", "ndarray") + b"sb"),
        "sets the state",
    ),
    # Calls.
    "a command": (of(called(("os", "system"), text("true"))), r"asks for os\.system"),
    "a command, protocol 0": (b"cposix\nsystem\n(S'true'\ntR.", r"asks for posix\.system"),
    "eval": (of(called(("builtins", "eval"), text("1"))), r"asks for builtins\.eval"),
    "a file": (of(called(("numpy", "fromfile"), text("/etc/passwd"))), "asks for numpy.fromfile"),
    "an attribute": (of(called(("numpy", "ndarray.tofile"), text("x"))), "asks for numpy.ndarray."),
    "a call of text": (
        of(text("os.system") + several(text("true")) + b"R"),
        "calls something that is not a function",
    ),
    "a call of an array": (of(array() + b")R"), "calls something that is not a"),
    "arguments in a list": (
        of(names("numpy", "dtype") + b"](" + text("f8") + b"eR"),
        "calls something that is not a",
    ),
    "another codec": (
        of(called(("_codecs", "encode"), text("x"), text("zip"))),
        "encodes text as 'zip'",
    ),
    "another codec's errors": (
        of(called(("_codecs", "encode"), text("x"), text("latin1"), text("x"))),
        "in a way that",
    ),
    "an instance": (b"(S'true'\nios\nsystem\n.", "opcode INST"),
    "an object": (b"(" + names("os", "system") + text("true") + b"o.", r"asks for os\.system"),
    "an object of ours": (b"(" + names("numpy", "ndarray") + b"o.", "opcode OBJ"),
    "a new object": (
        of(names("numpy", "ndarray") + several(several(number(9))) + b"\x81"),
        "opcode NEWOBJ",
    ),
    "a new object with names": (of(names("numpy", "ndarray") + b")}\x92"), "opcode NEWOBJ_EX"),
    "an extension": (b"\x80\x02\x82\x01.", "opcode EXT1"),
    "something persistent": (b"Pid\n.", "opcode PERSID"),
    "a buffer from elsewhere": (b"\x80\x05\x97.", "opcode NEXT_BUFFER"),
    # Memory.
    "a memo index of nine bytes": (b"\x80\x02Nr\xff\xff\xff\x2f.", "expected a dictionary"),
    "a frame of eleven bytes": (
        b"\x80\x04\x95" + struct.pack("<Q", 6 * 10**9),
        "not a whole pickle",
    ),
    "missing bytes": (b"\x80\x04\x8e" + HUGE + b".", "not a whole pickle"),
    "missing text": (b"\x80\x04\x8d" + HUGE + b".", "not a whole pickle"),
    "a missing bytearray": (b"\x80\x05\x96" + HUGE + b".", "not a whole pickle"),
    "a missing number": (b"\x80\x02\x8b\xff\xff\xff\x7f.", "not a whole pickle"),
    "a number of negative size": (b"\x80\x02\x8b\xff\xff\xff\xff.", "not a whole pickle"),
    "text of negative size": (b"T\xff\xff\xff\xff.", "not a whole pickle"),
    "many marks": (b"(" * 10**5 + b".", "not a whole pickle"),
    "many lists in lists": (b"]" * 10**5 + b"a" * (10**5 - 1) + b".", "expected a dictionary"),
    "many tuples in tuples": (of(b")" + b"\x85" * 10**5), "expected an array of numbers"),
    "a billion laughs": (
        b"\x80\x02}" + text("params") + LAUGHS + b"s.",
        "expected an array of numbers",
    ),
    "one array many times": (
        b"\x80\x02}"
        + text("params")
        + b"]}"
        + text("system")
        + array((256, 2, 3), content=raw(bytes(256 * 48)))
        + b"sq\x07"
        + b"a("
        + b"h\x07" * 40_000
        + b"es.",
        "holds more than 8,388,608 maps",
    ),
    "one text of many arrays": (
        b"\x80\x02]"
        + text("0" * 48 * 256)
        + b"q\x07a"
        + array((256, 2, 3), content=b"h\x07") * 40_000,
        "encodes more text than it holds",
    ),
    "one text encoded many times": (
        b"\x80\x02"
        + names("_codecs", "encode")
        + b"q\x06"
        + several(text("0" * 10**6), text("latin1"))
        + b"q\x07"
        + b"h\x06h\x07R" * 1000,
        "encodes more text than it holds",
    ),
    # Time.
    "a key that takes forever": (b"}" + TREE + b"Ns.", "expected a dictionary"),
    "a type that takes forever": (of(array(kind=dtype(TREE))), "expected an array of numbers"),
    "a module that takes forever": (b"\x80\x04" + TREE + b"2\x93.", "whose name is not text"),
    "axes that take forever": (of(buffer(None, None, (2, 2, 3), text("K"), TREE)), "has the axes"),
    "an order that takes forever": (of(buffer(None, None, (2, 2, 3), TREE)), "has the order"),
    "a byte order that takes forever": (
        of(array(kind=dtype(state=several(number(3), TREE)))),
        "the byte order of an array is",
    ),
    "a shape that takes forever": (of(array(several(TREE))), "has the shape"),
    "a shape of long numbers": (of(array(several(*[MANY_DIGITS] * 8))), "has the shape"),
    "a shape of many numbers": (of(array(several(*[number(255)] * 10**5))), "has the shape"),
    # Sizes.
    "a shape larger than its bytes": (
        of(array((10**9, 2, 3))),
        "shape .1000000000, 2, 3. and 8 bytes per number has 96 bytes",
    ),
    "a shape smaller than its bytes": (of(array((1, 2, 3))), "has 96 bytes"),
    "a negative shape": (of(array((-2, -2, 3))), r"has the shape \(-2, -2, 3\)"),
    "a shape that wraps around": (of(array((2**62, 4, 3))), "has 96 bytes"),
    "a shape of text": (of(array(several(text("2"), text("2")))), r"has the shape \('2', '2'\)"),
    "a shape that is a number": (of(array(number(4))), "has the shape 4"),
    "no bytes": (of(array(content=number(5))), "must be bytes, got int"),
    "objects for bytes": (
        of(array(content=b"]" + b"(" + b"N" * 12 + b"e")),
        "must be bytes, got list",
    ),
    "too few bytes": (of(buffer(raw(b"x"))), "has 1 bytes"),
    "axes that do not exist": (
        of(buffer(None, None, (2, 2, 3), text("K"), several(*map(number, (0, 1, 7))))),
        "category 0",
    ),
    "a short state": (of(array()[:-2] + several(number(1)) + b"b"), "sets the state|expected an"),
    "257 maps": (of(array((257, 2, 3), content=raw(bytes(257 * 48)))), "256 maps, got 257"),
    "no maps": (of(array((0, 2, 3), content=raw(b""))), "256 maps, got 0"),
    # Nonsense.
    "an empty stack": (b".", "not a whole pickle"),
    "a call of nothing": (b"R.", "not a whole pickle"),
    "an item of a list": (b"]NNs.", "sets items of something that is not a dictionary"),
    "an odd number of items": (b"}(NNNu.", "sets items of something that is not a dictionary"),
    "an item of a number": (b"K\x01Na.", "appends to something that is not a list"),
    "an empty memo slot": (b"h\x09.", "not a whole pickle"),
    "no end": (of(array())[:-1], "not a whole pickle"),
    # Megabytes that a message might repeat.
    "a long name": (names("m" * 10**6, "n" * 10**6) + b".", "asks for mmm"),
    "a long type": (of(array(kind=dtype(text("f" * 10**6)))), "expected an array of numbers"),
    "a long codec": (
        of(called(("_codecs", "encode"), text("x"), text("y" * 10**6))),
        "encodes text as 'yyy",
    ),
    "a long byte order": (
        of(array(kind=dtype(state=several(number(3), text("z" * 10**6))))),
        "byte order .* 'zzz",
    ),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pickles")
    cases = {}
    for number, (name, (content, _)) in enumerate(PICKLES.items()):
        (folder / f"{number}.pkl").write_bytes(content)
        cases[name] = f"fdsl.load({str(folder / f'{number}.pkl')!r})"
    return tried(cases)


@pytest.mark.parametrize("name", PICKLES)
def test_a_hostile_pickle_is_refused_with_a_sentence(answers, name):
    length, said = answers[name]
    assert length < 1000, said
    assert said.startswith("ValueError: ") and ".pkl" in said
    assert "MemoryError" not in said
    assert re.search(PICKLES[name][1], said), said


def test_a_pickle_of_too_many_opcodes_is_refused(monkeypatch):
    monkeypatch.setattr(unpickle, "MAX_OPCODES", 1000)
    with pytest.raises(ValueError, match="it has more than 1,000 opcodes"):
        unpickle.unpickled(b"N0" * 1000 + b"N.")
    assert unpickle.unpickled(b"N0" * 100 + b"N.") is None


# Files like those that save writes


def npy(shape, descr="<f8", content=b"", version=b"\x01\x00"):
    head = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(head)) + head + content


def archive(*members, method=8):
    """A zip file of (name, compressed bytes, claimed size)."""
    body, directory = bytearray(), bytearray()
    for name, packed, size in members:
        head = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 33, 0, len(packed), size, len(name), 0)
        directory += b"PK\1\2" + struct.pack("<H", 20) + head
        directory += struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name
        body += b"PK\3\4" + head + name + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return bytes(body + directory + b"PK\5\6" + end)


def deflated(content):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def zeros(megabytes, begin=b""):
    """Deflated zeros, of which one megabyte is compressed and repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    million = packer.compress(bytes(10**6)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + million * megabytes + packer.flush()


def saved(**arrays):
    file = io.BytesIO()
    good = {"maps": [[0.5] * 6], "probabilities": [1.0], "lengths": [1], "candidates_tried": -1}
    np.savez(file, **{"family": "ifs", **good, **arrays})
    return file.getvalue()


def saved_as(family, **arrays):
    file = io.BytesIO()
    np.savez(file, family=family, **arrays)
    return file.getvalue()


NOISE = {"frequencies": [[1.0, 1.0]], "octaves": 1, "persistence": 0.5, "contrast": 1.0}

NPZ = {
    "4 GB": (
        archive((b"maps.npy", zeros(3900, npy((81_249_999, 6))), 3_900_000_000)),
        "claims 3,900,000,000 bytes, more than 600,000,000",
    ),
    "a wrong size": (archive((b"maps.npy", zeros(2000), 1000)), "odd|CRC|magic"),
    "many arrays": (
        archive(*[(b"%d.npy" % n, zeros(250), 250_000_000) for n in range(10)]),
        "claims 2,500,000,000 bytes",
    ),
    "very many arrays": (archive(*[(b"a.npy", b"", 0)] * 60_000), "holds 60,000 arrays, more than"),
    "a large shape": (
        archive((b"maps.npy", deflated(npy((10**12, 6))), len(npy((10**12, 6))))),
        "CRC|has 0 bytes, which is not what",
    ),
    "objects": (saved(maps=np.array([None], object)), "neither numbers nor text"),
    "fields": (saved(maps=np.zeros(3, "f8,i4")), "neither numbers nor text"),
    "text of no length": (saved(family=np.zeros(10, "V0")), "neither numbers nor text"),
    "another compression": (archive((b"maps.npy", b"x", 1), method=14), "that NumPy does not use"),
    "lengths that wrap around": (
        saved(lengths=np.array([2**62, 2**62, 2**62, 2**62, 1])),
        "lengths must be 1 to 256 and add up to",
    ),
    "too many lengths": (saved(lengths=np.zeros(10**6, np.int64)), "lengths must be 1 to 256"),
    "lengths in two dimensions": (saved(lengths=np.ones((1, 1), int)), "lengths must be integers"),
    "a long family": (saved(family="x" * 10**6), "there is no family 'xxx"),
    "-5 candidates": (saved(candidates_tried=-5), "candidates_tried must be None or .* got -5"),
    "2⁶³ candidates": (
        saved(candidates_tried=np.uint64(2**63)),
        "2..63 - 1, got 9223372036854775808",
    ),
    "2.7 candidates": (
        saved(candidates_tried=2.7),
        "candidates_tried must be an integer, got .*2.7",
    ),
    "2.7 octaves": (saved_as("perlin", **{**NOISE, "octaves": 2.7}), "octaves must be an integer"),
    "a bool for contrast": (saved_as("perlin", **{**NOISE, "contrast": True}), "must be a number"),
    **{
        f"a number of {rows}": (
            saved_as(family, **{**(NOISE if family == "perlin" else {}), rows: 4}),
            f"{rows} must be an array with a row per category, got array.4",
        )
        for family, rows in {
            "segrcdb": "classes",
            "deadleaves": "leaves",
            "diamond-square": "decays",
            "perlin": "frequencies",
            "bezier": "counts",
            "spectrum": "exponents",
            "rcdb": "contours",
        }.items()
    },
}


CODE = {
    "a range for maps": ("IFS([range(10**9)])", "ValueError: .*category 0 hold more than 2,048"),
    "ranges in maps": ("IFS([[range(10**9)] * 6])", "ValueError: .*more than 2,048"),
    "one list many times": ("IFS([[[0.5] * 6] * 10**7])", "ValueError: .*more than 2,048"),
    "lists of one list": (
        "part = [0.5] * 250\nfor _ in range(4): part = [part] * 250\nIFS([part])",
        "ValueError: .*more than 2,048",
    ),
    "a list in itself": ("part = []\npart.append(part)\nIFS([part])", "ValueError: .*too deeply"),
    "one array for many categories": (
        "IFS(np.broadcast_to(np.full((3, 6), 0.5), (10**9, 3, 6)))",
        "ValueError: .*at most 8,388,608 maps in all its categories, got 1,000,000,000 categories",
    ),
    "many categories of many maps": (
        "IFS([np.broadcast_to(np.full(6, 0.5), (256, 6))] * 10**6)",
        "ValueError: .*at most 8,388,608 maps in all its categories, got more by category 32768",
    ),
    "one map many times": (
        "IFS([np.broadcast_to(np.full(6, 0.5), (10**9, 6))])",
        "ValueError: .*between 1 and 256 maps, got 1000000000",
    ),
    "many probabilities": ("IFS([[[0.5] * 6]], [range(10**9)])", "ValueError: .*more than 2,048"),
    "a long message": ("IFS([['x' * 10**7]])", "TypeError: the maps of category 0 must be numbers"),
    "one frequency many times": (
        "Perlin(np.broadcast_to([1.0, 1.0], (10**9, 2)))",
        "ValueError: .*at most 16,777,216 pairs",
    ),
    "a range of curves": ("Bezier(range(10**9))", "ValueError: .*at most 16,777,216 pairs"),
    "long text for categories": ("Perlin('x' * 10**7)", "TypeError: .*got 'xxx"),
    "a long number of categories": ("Bezier(10**5000)", "ValueError: .*an integer of 16,610 bits"),
    "a long search": (
        "IFS.search(10**12)",
        "ValueError: .*got 1000000000000 categories of up to 8 maps",
    ),
    "a long seed": ("IFS.search(1, seed='x' * 10**7)", "TypeError: seed .*got 'xxx"),
    "a long name": ("fdsl.load('x' * 10**7)", "FileNotFoundError: no categories at xxx"),
    "a folder for 10¹² categories": (
        "from fdsl.families.readers import refuse_other_csv\nfrom pathlib import Path\n"
        "refuse_other_csv(Path('FOLDER'), 10**12)",
        "FileExistsError: .*other categories, .*notes.csv",
    ),
}

CSV = {
    "a line of 40 MB": (b"1," * 20_000_000, "holds more than 1,048,576 bytes"),
    "a line of 1 MB": (b"x" * 1_000_000, "larger than field limit"),
    "a line of many fields": (b"x," * 500_000, "line 1: not all numbers: x,x,x"),
    "a field of many digits": (b"1" * 100_000 + b",0,0,1,0,0,1", "not all finite: 111"),
    "a number with an underscore": (b"0.5,0,0,0.5,1_0,0,1", "not all numbers: .*1_0"),
    "a digit of another script": ("0.5,0,0,0.5,٣,0,1".encode(), "not all numbers: .*٣"),
}


@pytest.fixture(scope="module")
def replies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "notes").mkdir()
    (folder / "notes" / "notes.csv").write_text("a,b\n")
    cases = {
        name: code.replace("FOLDER", str(folder / "notes")) for name, (code, _) in CODE.items()
    }
    for number, (name, (content, _)) in enumerate(NPZ.items()):
        (folder / f"{number}.npz").write_bytes(content)
        cases[name] = f"fdsl.load({str(folder / f'{number}.npz')!r})"
    for number, (name, (content, _)) in enumerate(CSV.items()):
        (folder / f"csv{number}").mkdir()
        (folder / f"csv{number}" / "00000.csv").write_bytes(content)
        cases[name] = f"fdsl.load({str(folder / f'csv{number}')!r})"
    return tried(cases)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CODE, *NPZ, *CSV])
def test_input_that_would_fill_the_memory_is_refused_with_a_sentence(replies, name):
    length, said = replies[name]
    expected = CODE[name][1] if name in CODE else f"ValueError: .*({(NPZ | CSV)[name][1]})"
    assert length < 1000, said
    assert "MemoryError" not in said
    assert re.search(expected, said), said


# Arguments that NumPy would convert silently


def masked(values, position):
    mask = np.zeros(np.shape(values), bool)
    mask[position] = True
    return np.ma.masked_array(values, mask=mask)


MAPS = [[0.5, 0, 0, 0.5, 0, 0], [0.5, 0, 0, 0.5, 0.5, 0]]
CURVES = fdsl.Bezier(4)


@pytest.mark.parametrize(
    "use",
    [
        lambda: fdsl.IFS([masked(MAPS, (1, 4))]),
        lambda: fdsl.IFS([[masked(row, 4) for row in MAPS]]),
        lambda: fdsl.IFS([MAPS], [masked([0.5, 0.5], 1)]),
        lambda: fdsl.IFS.from_flat(masked(MAPS, (1, 4)), None, np.array([2])),
        lambda: fdsl.RCDB(masked([[3, 3, 1, 0.1]], (0, 2))),
        lambda: fdsl.RCDB([masked([3, 3, 1, 0.1], 2)]),
        lambda: fdsl.DiamondSquare(masked([0.5, 1.0], 1)),
        lambda: fdsl.Bezier(masked(4, ())),
        lambda: fdsl.render(CURVES, masked([1, 2], 1), 0),
        lambda: fdsl.render(CURVES, 0, masked(2, ())),
        lambda: CURVES[masked([1, 2], 1)],
    ],
)
def test_masked_values_are_refused(use):
    with pytest.raises(TypeError, match=r"must have no masked values, got [12] masked value"):
        use()


@pytest.mark.parametrize(
    "maps, probabilities, lengths, error, says",
    [
        (MAPS, None, [3], ValueError, "lengths must be 1 to 256 and add up to 2, got"),
        (MAPS, None, [-1, 3], ValueError, "lengths must be 1 to 256 and add up to 2, got"),
        (MAPS, None, 2, ValueError, "lengths must be integers .categories,., got int64 ()"),
        (MAPS, None, [2.0], ValueError, "lengths must be integers .categories,., got float64"),
        (MAPS[0], None, [1], ValueError, r"maps must have shape \(n, 6\), got \(6,\)"),
        (np.ones((2, 3)), None, [2], ValueError, r"maps must have shape \(n, 6\), got \(2, 3\)"),
        (MAPS, [1.0], [2], ValueError, r"probabilities must have shape \(2,\), got \(1,\)"),
        (np.full((2, 6), "1"), None, [2], TypeError, "maps must be numbers, got <U1"),
    ],
)
def test_concatenated_arrays_that_do_not_match_are_refused(
    maps, probabilities, lengths, error, says
):
    with pytest.raises(error, match=says):
        fdsl.IFS.from_flat(maps, probabilities, lengths)


def test_concatenated_arrays_may_have_any_number_type():
    ifs = fdsl.IFS([MAPS])
    for maps in (np.float32(MAPS), np.asfortranarray(MAPS)):
        assert fdsl.IFS.from_flat(maps, np.float32([0.5, 0.5]), np.array([2], np.uint8)) == ifs


def test_a_masked_number_is_refused_and_a_mask_that_hides_nothing_is_ignored():
    for use in (lambda seed: fdsl.render(CURVES, 0, 0, seed), lambda number: CURVES[number]):
        with pytest.raises(TypeError, match="must be an integer, got masked"):
            use(masked(2, ()))
    whole = np.ma.masked_array([1, 2])
    assert CURVES[whole] == CURVES[[1, 2]] and len(fdsl.render(CURVES, whole, 0)) == 2


@pytest.mark.parametrize("categories", [[True, 2], np.array([True], object), [True, 2**64 - 1]])
def test_bools_among_numbers_are_refused(categories):
    with pytest.raises(TypeError, match=r"categories must be (integers|numbers without bools), go"):
        fdsl.render(CURVES, categories, 0)
    with pytest.raises(TypeError, match=r"categories .*got"):
        CURVES[categories]


def test_a_tensor_of_a_bool_or_with_a_gradient_is_no_number():
    torch = pytest.importorskip("torch")
    streams = pytest.importorskip("fdsl.torch")
    with pytest.raises(TypeError, match=r"seed must be an integer, got tensor\(True\)"):
        fdsl.render(CURVES, 0, 0, torch.tensor(True))
    with pytest.raises(ValueError, match=r"state must be .* got .*tensor\(True\)"):
        streams.Stream(CURVES).load_state_dict({"samples": torch.tensor(True)})
    assert (fdsl.render(CURVES, 1, 0, torch.tensor(7)) == fdsl.render(CURVES, 1, 0, 7)).all()
    learned = torch.tensor(MAPS, requires_grad=True)
    for use in (lambda: fdsl.IFS([learned]), lambda: fdsl.render(CURVES, learned[0], 0)):
        with pytest.raises(TypeError, match=r"must convert to an array, got a Tensor: .*detach"):
            use()


@pytest.mark.parametrize("tried", [-5, 2**63, 10**30, 2.7, np.nan, "abc", [1], True])
def test_a_number_of_candidates_that_a_file_cannot_hold_is_refused(tried):
    with pytest.raises((TypeError, ValueError), match=r"candidates_tried must be .*got"):
        fdsl.IFS([MAPS], candidates_tried=tried)


def test_any_other_number_of_candidates_survives_a_file(tmp_path):
    for tried in (None, 0, 2**63 - 1, np.uint8(3)):
        fdsl.IFS([MAPS], candidates_tried=tried).save(tmp_path / "ifs.npz")
        assert fdsl.IFS.load(tmp_path / "ifs.npz").candidates_tried == tried
