"""pyarrow: types, buffers, arrays."""

from __future__ import annotations

from policy_tables import Library, Review

TYPE = "!arrow.type"


def function(name: str, call: str, reason: str) -> Review:
    return Review(
        reason,
        [f"pyarrow.lib:{name}"],
        {"call": call, "kind": "function", "makes": f"pyarrow.lib:{name}", "fragile": True},
    )


REVIEWS = [
    function("type_for_alias", "(str[40])", "a type by its name"),
    function("field", f"(str | none, {TYPE}, bool, none | dict)", "a name and a checked type"),
    function("timestamp", "('s' | 'ms' | 'us' | 'ns', none | str[100]?)", "a unit and the name of a zone"),
    function("duration", "('s' | 'ms' | 'us' | 'ns')", "a unit of time"),
    function("time32", "('s' | 'ms')", "a unit of time"),
    function("time64", "('us' | 'ns')", "a unit of time"),
    function("decimal128", "(int[1..38], int[-38..38])", "precision and scale"),
    function("decimal256", "(int[1..76], int[-76..76])", "precision and scale"),
    function("binary", "(int[-1..16777216])", "bytes of a width that is given"),
    function("list_", f"(#pyarrow.lib:field | {TYPE}, int[-1..16777216]?)", "a field, and a length"),
    function("large_list", "(#pyarrow.lib:field)", "a field of a checked type"),
    function("struct", "(!arrow.fields)", "a list of fields"),
    function("dictionary", f"({TYPE}, {TYPE}, bool?)", "a type of integers, a type, whether ordered"),
    function(
        "py_buffer",
        "(bytes | bytearray | buffer)",
        "a view of bytes; what is believed of them is looked at where they become an array",
    ),
    function("chunked_array", "!arrow.chunks", "arrays that have been checked, all of one type"),
    function("schema", "(!arrow.fields, none | dict)", "a list of fields, and texts about them"),
    function("_reconstruct_table", "!arrow.table", "columns of one length and of the types of a schema"),
    function("_reconstruct_record_batch", "!arrow.table", "columns of one length and of the types of a schema"),
    function(
        "scalar",
        "(none | bool | int | float | str | bytes | #datetime:datetime | #datetime:date | #datetime:timedelta, "
        f"{TYPE})",
        "one plain value, which the type converts",
    ),
    function(
        "_restore_array",
        "!arrow.restore",
        "an array whose lengths, offsets, indices and text are checked in full, since C++ believes them",
    ),
]

LIBRARY = Library(
    "pyarrow",
    """# pyarrow. Views, unions, run ends, extension types, files and file systems are absent.
# Written by tools/policy_tables.py from the reviews there.""",
    [],
    REVIEWS,
)
