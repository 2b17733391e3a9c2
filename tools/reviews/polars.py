"""polars: frames, series, types, schemas."""

from __future__ import annotations

from policy_tables import Library, Review

CLASSES = "polars.datatypes.classes"
PLAIN = """Int8 Int16 Int32 Int64 Int128 UInt8 UInt16 UInt32 UInt64 UInt128 Float16 Float32 Float64 Boolean String
Binary Date Time Null Unknown""".split()
TYPES = PLAIN + "Decimal Datetime Duration List Array Struct Enum Categorical".split()
TYPE = " | ".join(f"#{CLASSES}:{name} | @{CLASSES}:{name}" for name in TYPES)


def present(names: list[str]) -> list[str]:
    import polars.datatypes.classes as module

    return [f"{CLASSES}:{name}" for name in names if hasattr(module, name)]


REVIEWS = [
    Review(
        "a frame from Arrow's stream format, which is gone through: lengths, offsets, views, codes, texts",
        ["polars.dataframe.frame:DataFrame"],
        {"construct": "()", "state": "!polars.frame"},
    ),
    Review(
        "a series from Arrow's stream format, which is gone through: lengths, offsets, views, codes, texts",
        ["polars.series.series:Series"],
        {"construct": "()", "state": "!polars.series"},
    ),
    Review("a type without parts", present(PLAIN), {"construct": "()", "state": "none", "value": True}),
    Review(
        "a type with parts, which are types, numbers and names; Python code looks at them when they are used",
        present(["Decimal", "Datetime", "Duration", "List", "Array", "Struct", "Enum", "Categorical"]),
        {
            "construct": "()",
            "state": "attrs",
            "fields": {
                "precision": "none | int[0..38]",
                "scale": "none | int[0..38]",
                "time_unit": "'ns' | 'us' | 'ms' | none",
                "time_zone": "none | str[60]",
                "inner": TYPE,
                "size": "int[0..1073741824]",
                "shape": "tuple(int[0..1073741824])",
                "fields": f"list(#{CLASSES}:Field)",
                "categories": f"#polars.series.series:Series | #{CLASSES}:Categories",
                "ordering": "none | str[20]",
                "*": "none",
            },
            "freezes": True,
            "value": True,
        },
    ),
    Review(
        "a name and a type",
        [f"{CLASSES}:Field"],
        {"construct": "()", "state": "attrs", "fields": {"name": "str", "dtype": TYPE, "*": "none"}},
    ),
    Review(
        "a name, a namespace and a type", [f"{CLASSES}:Categories"], {"construct": "()", "state": "(str, str, @any)"}
    ),
    Review(
        "names and types, in order",
        ["polars.schema:Schema"],
        {"call": "()", "construct": "()", "items": True},
    ),
]

LIBRARY = Library(
    "polars",
    """# polars. Expressions and lazy frames are absent: they hold functions, and plans that are code.
# Written by tools/policy_tables.py from the reviews there.""",
    [],
    REVIEWS,
)
