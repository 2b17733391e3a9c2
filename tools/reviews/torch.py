"""torch: tensors and parameters over storages that a persistent id stands for, types, sizes, devices."""

from __future__ import annotations

from policy_tables import Library, Review

DTYPES = """float32 float64 float16 bfloat16 uint8 uint16 uint32 uint64 int8 int16 int32 int64 bool complex32 complex64
complex128 quint8 qint8 qint32 quint4x2 quint2x4 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz
float8_e8m0fnu float4_e2m1fn_x2""".split()
KINDS = """Float Double Half BFloat16 Byte Char Short Int Long Bool ComplexFloat ComplexDouble QUInt8 QInt8 QInt32
QUInt4x2 QUInt2x4""".split()
TENSOR = "#torch._utils:_rebuild_tensor_v2 | #torch._utils:_rebuild_tensor"
STORAGES = [
    *(f"{module}:{kind}Storage" for module in ("torch", "torch.cuda") for kind in KINDS),
    "torch.storage:UntypedStorage",
    "torch.storage:TypedStorage",
    "torch:UntypedStorage",
]


def function(names: list[str], call: str, reason: str, makes: str) -> Review:
    return Review(reason, [], {"call": call, "kind": "function", "makes": makes, "freezes": True}, names)


# torch need not be installed to write the table: all names are written out.
REVIEWS = [
    function(
        ["torch._utils:_rebuild_tensor", "torch._utils:_rebuild_tensor_v2"],
        "!torch.tensor",
        "a view of a storage that its persistent id names, with offset, sizes and strides within it; no hooks",
        "torch._utils:_rebuild_tensor_v2",
    ),
    function(
        ["torch:from_numpy"],
        "!torch.from_numpy",
        "a row of numbers over an array of a type that torch has, over a bytearray; bools are looked at",
        "torch:from_numpy",
    ),
    function(
        ["torch:Tensor.view"],
        "!torch.view",
        "such a row as numbers of another type, of as many bytes",
        "torch:Tensor.view",
    ),
    function(
        ["torch:as_strided"],
        "!torch.as_strided",
        "a view of such a row, with offset, sizes and strides within it",
        "torch:as_strided",
    ),
    function(["torch:conj"], "!torch.conj", "such a view of complex numbers, conjugated when it is read", "torch:conj"),
    function(
        ["torch:Tensor.requires_grad_"],
        "!torch.requires_grad",
        "says of such a view, which nothing else is made of, that gradients are kept",
        "torch:Tensor.requires_grad_",
    ),
    function(
        ["torch._utils:_rebuild_parameter"],
        "!torch.parameter",
        "a tensor that has been checked, as a parameter; no hooks",
        "torch._utils:_rebuild_tensor_v2",
    ),
    function(
        ["torch.storage:_load_from_bytes"],
        "!torch.loader",
        "known, and never called: it unpickles bytes with stock pickle, whatever policy the stream was checked by",
        "data",
    ),
    Review(
        "a class of storages: persistent ids say by it what the numbers of a storage are",
        [],
        {"value": True},
        STORAGES,
    ),
    Review(
        "a class of tensors as a value, so that `type=` may name it; nothing is made of it",
        [],
        {"value": True},
        ["torch:Tensor", "torch._tensor:Tensor", "torch.nn.parameter:Parameter"],
    ),
    Review("a type of numbers; a constant", [], {"value": True}, [f"torch:{name}" for name in DTYPES]),
    Review("a tuple of sizes", [], {"call": "(tuple(int[0..]))", "construct": "(tuple(int[0..]))"}, ["torch:Size"]),
    Review("a kind of device and its number", [], {"call": "(str{a-z0-9:}, int[0..1000]?)"}, ["torch:device"]),
]

LIBRARY = Library(
    "torch",
    """# torch. Storages stand in a PyTorch file beside the pickle, as persistent ids; in a file of torshi they are
# arrays of numpy. Tensors of other classes, sparse and quantised ones and whole modules are absent, and so is what plain
# pickles of tensors call: it runs torch's loader, with stock pickle, on bytes.
# Written by tools/policy_tables.py from the reviews there.""",
    [],
    REVIEWS,
)
