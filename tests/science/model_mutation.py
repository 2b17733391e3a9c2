"""Models of boosted trees into almost the same: xgboost's UBJSON and lightgbm's text, changed where they mean something.

About half of the changes are such that the model stays sound, so that what is checked by nobody is tried too: other
thresholds, features, parameters, names. The others break lengths, orders, children, keys, or single bytes.
"""

from __future__ import annotations

import random
import struct
from typing import Any

CODES = {"d": "f", "D": "d", "i": "b", "U": "B", "I": "h", "l": "i", "L": "q"}
WORDS = (
    "0", "1", "-1", "2", "3", "1e30", "nan", "inf", "-0.5", "2147483647", "-2147483648", "4294967296", "99999999999999999999",
    "", "gbtree", "dart", "gblinear", "multi:softprob", "multi:softmax", "reg:quantileerror", "rank:ndcg", "survival:aft",
    "multi_output_tree", "one_output_per_tree", "cuda", "exact", "gpu_hist", "grow_colmaker,prune", "refresh", "c", "q",
    "i", "[0.5,0.5]", "[[0,1]]", "[[[[", "(1,-1)", "[5E-1]", "logloss", "ndcg@3-", "error@x",
)  # fmt: skip


def is_model(value: Any) -> bool:
    """Is it a model of one of the two?"""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value[:2]) == b"{L"
    return isinstance(value, str) and value.startswith("tree\nversion")


def other_model(value: Any, chance: random.Random) -> Any:
    """A model near to the one given."""
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        value = other_text(value, chance) if isinstance(value, str) else other_ubjson(bytes(value), chance)
    return value


class Array(list[Any]):
    """A typed array."""

    def __init__(self, code: str, items: Any) -> None:
        super().__init__(items)
        self.code = code


def parse(data: bytes) -> Any:
    at = 0

    def number(code: str) -> Any:
        nonlocal at
        (value,) = struct.unpack_from(">" + code, data, at)
        at += struct.calcsize(code)
        return value

    def text() -> str:
        nonlocal at
        at += 1
        length = number("q")
        at += length
        return data[at - length : at].decode("utf-8", "surrogateescape")

    def value() -> Any:
        nonlocal at
        kind = chr(data[at])
        at += 1
        if kind == "{":
            entries = []
            while data[at] != ord("}"):
                entries.append([text(), value()])
            at += 1
            return entries
        if kind == "[" and data[at] == ord("$"):
            code = chr(data[at + 1])
            at += 4
            return Array(code, [number(CODES[code]) for _ in range(number("q"))])
        if kind == "[":
            at += 2
            return tuple(value() for _ in range(number("q")))
        if kind == "S":
            return text()
        return kind == "T" if kind in "TF" else (kind, number(CODES[kind]))

    return value()


def write(value: Any) -> bytes:
    def text(value: str) -> bytes:
        raw = value.encode("utf-8", "surrogateescape")
        return b"L" + struct.pack(">q", len(raw)) + raw

    if isinstance(value, Array):
        body = b"".join(packed(value.code, item) for item in value)
        return b"[$" + value.code.encode() + b"#L" + struct.pack(">q", len(value)) + body
    if isinstance(value, list):
        return b"{" + b"".join(text(key) + write(part) for key, part in value) + b"}"
    if isinstance(value, bool):
        return b"T" if value else b"F"
    if isinstance(value, str):
        return b"S" + text(value)
    if len(value) == 2 and isinstance(value[0], str) and len(value[0]) == 1 and isinstance(value[1], (int, float)):
        return value[0].encode() + packed(value[0], value[1])  # type: ignore[no-any-return]
    return b"[#L" + struct.pack(">q", len(value)) + b"".join(map(write, value))


def packed(code: str, value: Any) -> bytes:
    if code in "dD":
        try:
            return struct.pack(">" + CODES[code], value)
        except OverflowError:
            return struct.pack(">" + CODES[code], float("inf"))
    size = struct.calcsize(CODES[code])
    return (int(value) & (2 ** (8 * size) - 1)).to_bytes(size, "big")


def other_ubjson(data: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.1:
        return other_bytes(data, chance)
    root = parse(data)
    places: list[tuple[Any, Any, str]] = []  # a list and the index of an entry in it

    def walk(value: Any, key: str) -> None:
        if isinstance(value, list) and not isinstance(value, Array):
            for entry in value:
                places.append((entry, value, entry[0]))
                walk(entry[1], entry[0])
        elif isinstance(value, tuple):
            for part in value:
                walk(part, key)

    walk(root, "")
    arrays = [place for place in places if isinstance(place[0][1], Array) and place[0][1]]
    if arrays and chance.random() < 0.6:
        changed_array(chance.choice(arrays)[0][1], chance)
        return write(root)
    entry, around, _ = chance.choice(places)
    entry[1] = changed(entry[1], chance)
    if chance.random() < 0.1:
        kind = chance.randrange(4)
        if kind == 0:
            around.remove(entry)
        elif kind == 1:
            entry[0] = chance.choice(places)[2]
        elif kind == 2:
            around.append(list(entry))
        else:
            chance.shuffle(around)
    return write(root)


def changed_array(array: Array, chance: random.Random) -> None:
    """Other items, or fewer, or more, or of another type."""
    at = chance.randrange(len(array))
    kind = chance.randrange(10)
    if array.code in "dD" and kind < 8:
        array[at] = chance.choice([0.0, -1.0, 1e38, float("nan"), float("inf"), -float("inf"), 1e-40, array[at] * 2])
    elif kind < 4:
        array[at] = chance.choice([0, 1, 2, 3, -1, len(array), len(array) - 1, 2**31 - 1, -(2**31), 255, 2**24, at])
    elif kind < 6:
        array[at] += chance.choice([1, -1])
    elif kind == 6:
        other = chance.randrange(len(array))
        array[at], array[other] = array[other], array[at]
    elif kind == 7:
        array.append(array[at])
    elif kind == 8:
        del array[at:]
    else:
        array.code = chance.choice("dDiUIlL")


def changed(value: Any, chance: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return chance.choice([*WORDS, value + "0", value[1:], value * 2])
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and len(value[0]) == 1:
        return value[0], chance.choice([0, 1, -1, 2, 3, value[1] + 1, value[1] - 1, 127])
    if isinstance(value, tuple):
        items = list(value)
        if not items:
            return chance.choice([("a",), ("q", "c"), [], "0"])
        at, kind = chance.randrange(len(items)), chance.randrange(5)
        if kind == 0:
            del items[at]
        elif kind == 1:
            items.insert(at, chance.choice(items))
        elif kind == 2:
            chance.shuffle(items)
        else:
            items[at] = changed(items[at], chance)
        return tuple(items)
    return value


def other_text(text: str, chance: random.Random) -> str:
    """Another number, word, line, or order of lines; sizes of trees are mended half of the time."""
    if chance.random() < 0.08:
        return other_bytes(text.encode(), chance).decode("utf-8", "replace")
    lines = text.split("\n")
    end = lines.index("end of trees") if "end of trees" in lines else len(lines)
    # What stands behind the trees is long and says little.
    at = chance.randrange(end) if chance.random() < 0.8 else chance.randrange(len(lines))
    key, equals, value = lines[at].partition("=")
    words = value.split(" ") if equals else []
    numbers = [number for number, word in enumerate(words) if word]
    kind = chance.randrange(20)
    if kind < 14 and numbers:
        place = chance.choice(numbers)
        words[place] = number(words[place], key, len(words), chance)
        lines[at] = f"{key}={' '.join(words)}"
    elif kind == 14 and numbers:
        chance.shuffle(words)
        lines[at] = f"{key}={' '.join(words)}"
    elif kind == 15 and numbers:
        del words[chance.choice(numbers) :]
        lines[at] = f"{key}={' '.join(words)}"
    elif kind == 16 and numbers:
        words.append(chance.choice(words))
        lines[at] = f"{key}={' '.join(words)}"
    elif kind == 17:
        del lines[at]
    elif kind == 18:
        lines.insert(at, chance.choice(lines))
    elif lines[at].startswith("["):
        key, _, value = lines[at].partition(": ")
        lines[at] = f"{key}: {chance.choice([*WORDS, value[:-1] + '0', 'x.json'])}]"
    text = "\n".join(lines)
    return mended(text) if chance.random() < 0.7 else text


def number(word: str, key: str, count: int, chance: random.Random) -> str:
    if key in ("threshold", "leaf_value", "leaf_weight", "split_gain", "internal_value", "internal_weight",
               "leaf_const", "leaf_coeff", "shrinkage") and chance.random() < 0.8:  # fmt: skip
        return chance.choice(["0", "1", "-1", "nan", "inf", "-inf", "1e308", "-1e-320", "123456789", word + "1", "2.5"])
    try:
        near = [str(int(word) + 1), str(int(word) - 1)]
    except ValueError:
        near = [word + "1", word[1:]]
    return chance.choice([*near, "0", "1", "2", "-1", "-2", str(count), str(-count), "2147483647", "10", "x", "8", "9"])


def mended(text: str) -> str:
    """The text with the sizes that its trees have."""
    head, gap, rest = text.partition("\n\nTree=")
    trees, end, tail = ("Tree=" + rest).partition("end of trees")
    if not gap or not end:
        return text
    parts = ["Tree=" + part for part in trees.split("Tree=")[1:]]
    lines = [line for line in head.split("\n") if not line.startswith("tree_sizes=")]
    sizes = " ".join(str(len(part.encode())) for part in parts)
    return "\n".join([*lines, f"tree_sizes={sizes}"]) + "\n\n" + "".join(parts) + end + tail


def other_bytes(data: bytes, chance: random.Random) -> bytes:
    """Bytes with a few changed, left out, or put in."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5])):
        at, kind = chance.randrange(len(changed)), chance.randrange(6)
        if kind < 4:
            changed[at] = chance.choice([0, 1, 255, 127, 128, changed[at] ^ 1 << chance.randrange(8)])
        elif kind == 4:
            del changed[at : at + chance.choice([1, 2, 8])]
        else:
            changed[at:at] = bytes(changed[at : at + chance.choice([1, 2, 8])])
    return bytes(changed)
