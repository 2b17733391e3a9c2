"""Pickling: the bytes are C pickle's, hooks are called as stock calls them, failures tell where."""

from __future__ import annotations

import _pickle
import collections
import copyreg
import datetime
import decimal
import enum
import gc
import io
import pickle
import sys
import weakref
from typing import Any

import pytest

from torshi import _errors
from torshi._native import Pickler, dump, dumps

PROTOCOLS = range(6)


class Plain:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Slots:
    __slots__ = ("a", "b")


class SlotsAndDict(Slots):
    pass


class Node:
    def __init__(self, value):
        self.value = value


class ByCall:
    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return ByCall, (self.value,)


class WithHook:
    hook = staticmethod(lambda: None)

    def __reduce__(self):
        WithHook.hook()
        return int, (7,)


class Color(enum.Enum):
    RED = 1


class Outer:
    class Inner:
        pass


Row = collections.namedtuple("Row", "a b c d")
Pair = collections.namedtuple("Pair", "a b")


class PairWithDict(Pair):
    pass


def slots(**values):
    instance = SlotsAndDict() if "extra" in values else Slots()
    for name, value in values.items():
        setattr(instance, name, value)
    return instance


def recursive():
    items = []
    pair = (items,)
    items.append(pair)
    yield pair
    yield items
    items = []
    nested = ((items, 1, 2, 3, 4),)
    items.append(nested)
    del items
    yield nested
    items = []
    call = ByCall(items)
    items.append(call)
    yield call
    yield items
    items = []
    row = Pair(items, 1)
    items.append(row)
    yield row
    yield [row]
    members = set()
    node = Node(members)
    members.add(node)
    yield members
    frozen = frozenset([node])
    node.value = frozen
    yield frozen
    yield node


def values():
    yield from (None, True, False, 1.5, -0.0, float("inf"), "", "a", "é", "€", "😀", "\ud800", "a\\b\n\r\0\x1a")
    for bits in range(140):
        yield from ((1 << bits) - 1, 1 << bits, -(1 << bits), -(1 << bits) - 1)
    yield from (2**2000, -(2**2040), 2**4000)
    for size in (3, 7, 16, 31, 33, 255, 256, 65535, 65536, 200000):
        yield from ("x" * size, "é" * size, "€" * size, b"x" * size, bytearray(size))
    for size in (0, 1, 2, 3, 4, 999, 1000, 1001, 2000, 2001):
        numbers = range(size)
        yield from (list(numbers), tuple(numbers), set(numbers), frozenset(numbers), {n: str(n) for n in numbers})
    yield from (Plain(), Plain(a=1, b=[2]), Slots(), slots(a=1), slots(a=1, b="x"), slots(a=1, extra=2), slots(extra=2))
    yield from (
        Row(1, 2, 3, 4),
        [Pair(1, [2]), Pair(1, [2])],
        PairWithDict(1, 2),
        Color.RED,
        Outer.Inner,
        Outer.Inner(),
    )
    yield from (type(None), type(...), type(NotImplemented), ..., len, int, [].append, "abc".upper, WithHook())
    moment = datetime.datetime(2020, 1, 2, 3, 4, 5, 6)
    yield from (moment, moment.replace(tzinfo=datetime.UTC), moment.replace(fold=1), decimal.Decimal("1.5"))
    yield from (collections.OrderedDict(a=1), collections.deque([1], 3), collections.defaultdict(list, {1: [2]}))
    shared = [1]
    yield [shared, shared, (shared, shared), {"a": shared}]
    yield ["latin1", b"abc"]
    # The interpreter has one bytes object for each byte, which the memo must not take for one met before.
    yield [bytearray(b"a"), bytearray(b"a"), b"a"]
    yield [[n, "s%d" % n, {"n": n}] for n in range(9000)]
    for cut in range(65500, 65545, 3):
        yield ["z" * (cut // 2), "z" * (cut - cut // 2), [1], Plain(a=1), Pair(1, 2), frozenset([1]), moment]
    yield from recursive()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bytes_are_those_of_c_pickle(protocol):
    """Broken: any opcode, memo index, batch or frame that differs from what C pickle writes."""
    for value in values():
        try:
            stock = _pickle.dumps(value, protocol)
        except TypeError:  # slots below protocol 2
            with pytest.raises(TypeError):
                dumps(value, protocol)
        else:
            assert dumps(value, protocol) == stock, repr(value)[:80]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_files_get_the_same_writes_as_from_c_pickle(protocol):
    """Broken: a file that sees other chunks, such as a frame joined to a large buffer."""

    class File:
        def __init__(self):
            self.chunks = []

        def write(self, chunk):
            self.chunks.append(bytes(chunk))

    for value in (["x" * 70000, b"y" * 70000, bytearray(70000), "é" * 70000, list(range(60000))], [], [1, "a"]):
        ours, stock = File(), File()
        dump(value, ours, protocol)
        _pickle.dump(value, stock, protocol)
        assert ours.chunks == stock.chunks


def test_an_object_only_foreign_code_leads_back_to_is_still_shared():
    """Broken: the memo is skipped for an object that a later __reduce__ hands out again (identity lost)."""
    root = [[1, 2], {"a": "".join(["b", "c"])}]

    class Back:
        def __reduce__(self):
            return list, (iter_of(root[0]),), None, iter([root[0], root[1]["a"]])

    def iter_of(_):
        return ()

    root.append(Back())
    for protocol in PROTOCOLS:
        assert dumps(root, protocol) == _pickle.dumps(root, protocol)


def test_a_changed_class_is_noticed():
    """Broken: a cached plan outlives a __reduce__ or __getstate__ that was added to the class or to an instance."""

    class Changing:
        pass

    Changing.__qualname__ = "Changing"
    globals()["Changing"] = Changing
    value = Changing()
    value.a = 1

    def same():
        return dumps([value, value], 5) == _pickle.dumps([value, value], 5)

    assert same()
    Changing.__getstate__ = lambda self: {"b": 2}
    assert same()
    assert b"\x8c\x01b" in dumps(value)
    del Changing.__getstate__
    Changing.__reduce__ = lambda self: (int, (5,))
    assert same()
    del Changing.__reduce__
    value.__reduce_ex__ = lambda protocol: (int, (6,))
    assert same()
    assert b"K\x06" in dumps(value)
    del value.__reduce_ex__
    copyreg.pickle(Changing, lambda self: (int, (8,)))
    try:
        assert same()
        assert b"K\x08" in dumps(value)
    finally:
        del copyreg.dispatch_table[Changing]
    assert same()


def test_deep_graphs_have_no_limit():
    """Broken: RecursionError or a crash on a million nested lists, dicts, tuples or instances."""
    for wrap in (lambda x: [x], lambda x: (x,), lambda x: {0: x}, Node):
        value = wrap(None)
        for _ in range(100_000):
            value = wrap(value)
        assert len(dumps(value, 4)) > 200_000
        while value is not None:  # a deep instance is not freed recursively
            value = value.value if isinstance(value, Node) else value[0]


def test_an_endless_chain_of_new_objects_ends():
    """Broken: memory fills instead of a RecursionError."""

    class Endless:
        def __reduce__(self):
            return Plain, (Endless(),)

    for protocol in PROTOCOLS:
        with pytest.raises(RecursionError):
            dumps(Endless(), protocol)


def test_failures_say_where():
    """Broken: the path to the object that cannot be pickled, or stock's exception type."""
    with pytest.raises(TypeError) as info:
        dumps({"config": Plain(db=[1, 2, 3, sys])})
    assert info.value.__notes__ == ["while pickling the object at $['config'].db[3]"]
    Lost = type("Lost", (), {"__module__": __name__})
    with pytest.raises(pickle.PicklingError) as info:
        dumps([0, (Lost,)])
    assert type(info.value) is _errors.UnpicklableError
    assert info.value.path == "$[1][0]"
    assert "attribute lookup Lost" in str(info.value)
    assert str(info.value).endswith("at $[1][0]")
    with pytest.raises((AttributeError, pickle.PicklingError)):
        dumps(lambda: 0)


def test_hooks_are_asked_as_stock_asks():
    """Broken: persistent_id, reducer_override or dispatch_table, by method or by attribute."""

    def hooked(base):
        class Hooked(base):
            asked = []

            def persistent_id(self, value):
                self.asked.append(type(value))
                return "p" if isinstance(value, Slots) else None

            def reducer_override(self, value):
                return (int, (3,)) if isinstance(value, Node) else NotImplemented

            dispatch_table = collections.ChainMap({}, {Plain: lambda value: (int, (4,))})

        return Hooked

    for protocol in PROTOCOLS:
        results = []
        for base in (Pickler, _pickle.Pickler):
            file, cls = io.BytesIO(), hooked(base)
            cls(file, protocol).dump([Slots(), Node(1), Plain(), "text", {1: (2, Slots())}])
            results.append((file.getvalue(), cls.asked))
        assert results[0] == results[1]


def test_a_pickler_remembers_between_dumps():
    """Broken: the memo of a reused pickler, its copies, or the life of the objects in it."""
    text = "".join(["te", "xt"])
    streams = []
    for base in (Pickler, _pickle.Pickler):
        file = io.BytesIO()
        pickler = base(file, 4)
        pickler.dump([[text], [text]])
        pickler.dump([text])
        other = base(file, 4)
        other.memo = pickler.memo
        other.dump(text)
        other.memo = pickler.memo.copy()
        other.dump([text])
        pickler.clear_memo()
        pickler.dump(text)
        streams.append(file.getvalue())
    assert streams[0] == streams[1]


def test_entering_a_busy_pickler_is_an_ordinary_error():
    """Broken: a pickler entered again from a hook crashes or corrupts its memo."""
    pickler = Pickler(io.BytesIO(), 4)
    seen = []

    def enter():
        for act in (lambda: pickler.dump(1), pickler.clear_memo, lambda: pickler.__init__(io.BytesIO())):
            with pytest.raises(RuntimeError) as info:
                act()
            seen.append(info.value)

    WithHook.hook = staticmethod(enter)
    try:
        pickler.dump([WithHook()])
    finally:
        WithHook.hook = staticmethod(lambda: None)
    assert len(seen) == 3
    pickler.dump([1])


def test_containers_may_change_while_they_are_pickled():
    """Broken: a use of freed memory when user code empties what is being written."""
    for build in (lambda: [(WithHook(), "".join(["a", "b"])), [WithHook()], "x"], lambda: {1: (WithHook(),), 2: "y"}):
        for protocol in PROTOCOLS:
            value = build()
            WithHook.hook = staticmethod(value.clear)
            try:
                dumps(value, protocol)
            except RuntimeError:
                pass
            finally:
                WithHook.hook = staticmethod(lambda: None)


def test_buffers_in_and_out_of_band():
    """Broken: the truth of the callback's answer, or a buffer changed after it was pickled."""
    data = bytearray(b"A" * 100_000)
    buffer = pickle.PickleBuffer(data)
    taken = []
    assert dumps(buffer, 5, buffer_callback=taken.append) == _pickle.dumps(buffer, 5, buffer_callback=[].append)
    assert taken == [buffer]
    assert dumps([buffer, data], 5, buffer_callback=lambda b: 1) == _pickle.dumps([buffer, data], 5)
    WithHook.hook = staticmethod(lambda: data.__setitem__(0, 66))
    try:
        assert pickle.loads(dumps([buffer, WithHook()], 5))[0][0] == 65
    finally:
        WithHook.hook = staticmethod(lambda: None)


def test_arrays_are_written_as_numpy_would_write_them():
    """Broken: the short way for arrays taken for one that numpy reduces otherwise (datetime64, objects, views)."""
    numpy = pytest.importorskip("numpy")
    arrays = []
    for dtype in ("f8", ">f8", "?", "c16", "S5", "U4", "M8[s]", "O", [("a", "i4"), ("b", "f8")]):
        for shape in ((), (0,), (4,), (2, 3), (2, 1, 2, 2)):
            array = numpy.zeros(shape, dtype)
            readonly = numpy.zeros(shape, dtype)
            readonly.flags.writeable = False
            arrays += [
                array,
                numpy.asfortranarray(array),
                array.T,
                readonly,
                array[..., None],
                array[::-1] if shape else array,
            ]
    arrays += [numpy.zeros(20_000), numpy.broadcast_to(numpy.zeros(3), (4, 3)), numpy.float64(3), numpy.dtype("f8")]
    for protocol in PROTOCOLS:
        assert dumps(arrays + arrays, protocol) == _pickle.dumps(arrays + arrays, protocol)
        for array in arrays:
            value = [numpy.zeros(2), array, (array,)]
            assert dumps(value, protocol) == _pickle.dumps(value, protocol)


def test_picklers_are_collected_and_keep_no_references():
    """Broken: a cycle through a pickler that is never freed, or a reference the memo does not give back."""

    class Cyclic(Pickler):
        pass

    pickler = Cyclic(io.BytesIO())
    pickler.itself = pickler
    gone = weakref.ref(pickler)
    value = Node([Node(1)])
    before = sys.getrefcount(value)
    for _ in range(10):
        pickler.dump([value, WithHook()])
        dumps([value, WithHook(), value], 2)
    del pickler
    gc.collect()
    assert gone() is None
    assert sys.getrefcount(value) == before


def test_signatures_are_those_of_stock():
    """Broken: a parameter's name, order, kind or default; what is new stands behind, by name alone."""
    import inspect

    assert str(inspect.signature(Pickler)) == str(inspect.signature(_pickle.Pickler))
    for ours, stock in ((dumps, _pickle.dumps), (dump, _pickle.dump)):
        assert str(inspect.signature(ours)) == str(inspect.signature(stock))[:-1] + ", by_value=False)"
    with pytest.raises(pickle.PicklingError):
        Pickler.__new__(Pickler).dump(1)


@pytest.mark.parametrize("part", [b"x" * 100, "y" * 70_000, b"z" * 70_000, bytearray(300_000), "\u00e4" * 50_000])
def test_output_of_every_length_in_any_order(part: Any) -> None:
    """Output grows in the object that is given out, by what the type last came to: too little room would write beyond
    it, and too much must not stay in the result."""
    for count in (1, 600, 2_000, 3, 700, 2_000, 50, 1, 1_400):
        value = [
            type(part)(part) if isinstance(part, bytearray) else part[:-1] + part[:1] for _ in range(count % 60 + 1)
        ]
        value += [{"n": n, "text": f"text {n}"} for n in range(count)]
        data = dumps(value, 5)
        assert data == pickle.dumps(value, 5)
        assert sys.getsizeof(data) == sys.getsizeof(b"") + len(data)
