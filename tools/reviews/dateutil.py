"""dateutil and pytz: what pandas' offsets and time zones hold."""

from __future__ import annotations

from policy_tables import Library, Review

REVIEWS = [
    Review(
        "numbers in attributes",
        ["dateutil.relativedelta:relativedelta"],
        {"construct": "()", "state": "attrs", "fragile": True},
    ),
    Review("two numbers in slots", ["dateutil._common:weekday"], {"construct": "()", "state": "slots"}),
    Review("the zone UTC", ["dateutil.tz.tz:tzutc"], {"call": "()"}, ["pytz:_UTC"]),
    Review("a fixed offset", ["dateutil.tz.tz:tzoffset"], {"call": "(str[100] | none, #datetime:timedelta)"}),
    Review(
        "a zone by name, read from pytz's own folder; names that leave it are refused by pytz, and here",
        [],
        {"call": "(str[60]{A-Za-z0-9_+/-}, int[..]?, int[..]?, str[20]?)", "kind": "function", "makes": "pytz:_p"},
        ["pytz:_p"],
    ),
]

LIBRARY = Library(
    "dateutil",
    """# dateutil and pytz. Zones read from files (dateutil's tzfile) are absent: what they hold is believed.
# Written by tools/policy_tables.py from the reviews there.""",
    ["dateutil"],
    REVIEWS,
)
