"""Types of the compiled module; the documentation of each name stands where the package offers it."""

import builtins
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, final, overload

from typing_extensions import Buffer

from torshi._limits import Limits
from torshi._placeholder import Missing
from torshi._policy import Trust
from torshi._scan import ScanLimits

_T = TypeVar("_T")

MANIFEST_HEAD: bytes

def dump(
    obj: object,
    file: Any,
    protocol: int | None = None,
    *,
    fix_imports: bool = True,
    buffer_callback: Callable[[Any], object] | None = None,
    by_value: bool = False,
) -> None: ...
def dumps(
    obj: object,
    protocol: int | None = None,
    *,
    fix_imports: bool = True,
    buffer_callback: Callable[[Any], object] | None = None,
    by_value: bool = False,
) -> bytes: ...
def digest(obj: object, /) -> bytes: ...
@overload
def loads(
    data: Buffer,
    /,
    type: type[_T],
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = (),
    trust: Trust = None,
    limits: Limits | None = None,
    missing: Missing = "error",
) -> _T: ...
@overload
def loads(
    data: Buffer,
    /,
    type: Any = None,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = (),
    trust: Trust = None,
    limits: Limits | None = None,
    missing: Missing = "error",
) -> Any: ...
@overload
def load(
    file: Any,
    type: type[_T],
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = (),
    trust: Trust = None,
    limits: Limits | None = None,
    missing: Missing = "error",
) -> _T: ...
@overload
def load(
    file: Any,
    type: Any = None,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = (),
    trust: Trust = None,
    limits: Limits | None = None,
    missing: Missing = "error",
) -> Any: ...
def inspect(data: Buffer, policy: Policy, limits: Limits | None = None, start: int = 0) -> str: ...
def check(data: Buffer, policy: Policy, limits: Limits | None = None, start: int = 0) -> int: ...
def take_pickle(file: Any, limits: Limits | None = None) -> bytes: ...
def vet(
    data: Buffer,
    policy: Policy,
    limits: Limits | None = None,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    persistent: bool = False,
    joblib: bool = False,
) -> int: ...
def survey(data: Buffer, policy: Policy, limits: Limits | None = None, start: int = 0) -> str: ...
def find_class(policy: Policy, module: str, name: str, python2: bool, dotted: bool) -> Any: ...
def is_auditing() -> bool: ...
def set_renames(entries: list[tuple[str, str]]) -> None: ...
def check_renames(entries: list[tuple[str, str]]) -> None: ...
def renamed(name: str) -> str | None: ...
def set_placeholder_kind(kind: type) -> None: ...
def scan_bytes(data: Buffer, name: str, policy: Policy, limits: ScanLimits | None = None) -> str: ...
def pickles_of(
    data: Buffer, name: str, policy: Policy, limits: ScanLimits | None = None
) -> tuple[str, list[tuple[str, int, bytes]]]: ...
def scan_codes() -> str: ...
def disassemble(data: Buffer, start: int = 0) -> tuple[str, str | None, int]: ...
def save_stream(
    obj: object,
    file: int | Callable[[bytes], object],
    container: str = "plain",
    level: int | None = None,
    progress: Callable[[int], object] | None = None,
    by_value: bool = False,
) -> tuple[int, str, list[tuple[int, int, str, bool]], list[str]]: ...
def render_trailer(container: str, stream: int, manifest: bytes, seals: bytes) -> bytes: ...
def check_compression(container: str, level: int | None) -> None: ...
def make_seal(kind: str, secret: bytes, manifest: bytes, before: bytes) -> bytes: ...
def key_id(kind: str, secret: bytes) -> bytes: ...
def sniff_container(first: bytes) -> str: ...

@final
class StoredFile:
    @staticmethod
    def open(file: int | bytes | Callable[[int, int], bytes], size: int | None = None) -> StoredFile | None: ...
    @property
    def container(self) -> str: ...
    @property
    def manifest(self) -> bytes | None: ...
    @property
    def globals(self) -> list[str]: ...
    @property
    def seals(self) -> list[tuple[str, bytes]]: ...
    @property
    def seal_records(self) -> bytes: ...
    @property
    def end(self) -> int: ...
    @property
    def length(self) -> int: ...
    def is_sealed_by(self, place: int, key: bytes) -> bool: ...
    def load(
        self,
        policy: Policy,
        limits: Limits | None,
        fix_imports: bool,
        encoding: str,
        errors: str,
        buffers: Iterable[Any] | None,
        mmap: bool,
        verify: bool,
        vouched: bool = False,
        placeholders: bool = False,
    ) -> Any: ...
    def verify(self, vouched: bool = False) -> None: ...
    def pickle(self, limits: Limits | None = None, vouched: bool = False) -> bytes: ...

@final
class RewrittenStream:
    @property
    def protocol(self) -> int: ...
    @property
    def renamed(self) -> list[tuple[str, str, int]]: ...
    @property
    def reformed(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def names(self) -> list[str]: ...
    @property
    def end(self) -> int: ...
    def bytes(self) -> bytes: ...
    def write(
        self,
        file: int | Callable[[builtins.bytes], object],
        container: str = "plain",
        level: int | None = None,
        progress: Callable[[int], object] | None = None,
        lent: list[bool] = ...,
    ) -> tuple[int, str, list[tuple[int, int, str, bool]], list[str]]: ...

def rewrite(
    data: bytes,
    renames: list[tuple[str, str]],
    current: bool = False,
    protocol: int = 5,
    strip: bool = False,
    fix_imports: bool = True,
    joblib: bool = False,
    start: int = 0,
) -> RewrittenStream: ...
def salvage(
    data: bytes, incomplete: str = "usual", start: int = 0
) -> tuple[bytes | None, list[tuple[str, int]], str | None, list[str], str | None, int]: ...
def plain_json(stream: RewrittenStream, lossy: bool) -> str: ...
def unpack_some(data: bytes, most: int) -> tuple[bytes, str | None]: ...

@final
class ScanRun:
    def __new__(cls, paths: list[str], policy: Policy, limits: ScanLimits | None, jobs: int | None) -> ScanRun: ...
    def poll(self, within: float) -> list[str] | None: ...
    def progress(self) -> tuple[int, int, int]: ...

@final
class Policy:
    @staticmethod
    def default() -> Policy: ...
    @staticmethod
    def builtins() -> Policy: ...
    @staticmethod
    def unrestricted() -> Policy: ...
    @staticmethod
    def empty() -> Policy: ...
    @staticmethod
    def from_toml(text: str) -> Policy: ...
    def allow(self, pattern: str) -> Policy: ...
    def deny(self, pattern: str) -> Policy: ...
    def union(self, other: Policy) -> Policy: ...
    def lists(self, module: str, name: str) -> bool: ...
    def find(self, module: str, name: str) -> dict[str, Any] | None: ...
    def denial(self, module: str, name: str) -> tuple[str, str | None] | None: ...
    @staticmethod
    def rows() -> list[dict[str, Any]]: ...
    def to_toml(self) -> str: ...
    def is_unrestricted(self) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

class Unpickler:
    memo: Any
    def __new__(cls, *_args: Any, **_kwargs: Any) -> Unpickler: ...
    def _setup(
        self,
        file: Any,
        fix_imports: bool,
        encoding: str,
        errors: str,
        buffers: Iterable[Any] | None,
        trust: Trust,
        limits: Limits | None,
        missing: Missing,
    ) -> None: ...
    def load(self) -> Any: ...
    def find_class(self, module_name: str, global_name: str, /) -> Any: ...

class Pickler:
    memo: Any
    bin: int
    fast: int
    dispatch_table: Any
    def __init__(
        self,
        file: Any,
        protocol: int | None = None,
        fix_imports: bool = True,
        buffer_callback: Callable[[Any], object] | None = None,
    ) -> None: ...
    def dump(self, obj: object, /) -> None: ...
    def clear_memo(self) -> None: ...
    def persistent_id(self, obj: Any, /) -> Any: ...
