//! The Python objects the encoder works with: copyreg's tables, a few functions, attribute names, errors.
//!
//! Fetched once, when the module is imported; nothing is imported while an object is being pickled.
use crate::ffi::call;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

macro_rules! names {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// Attribute names, made once.
        pub struct Names { $(pub $name: Py<PyString>),* }
        impl Names {
            fn new(py: Python<'_>) -> Names {
                Names { $($name: PyString::intern(py, $text).unbind()),* }
            }
        }
    };
}

names! {
    reduce_ex = "__reduce_ex__", reduce = "__reduce__", qualname = "__qualname__", name = "__name__",
    module = "__module__", class = "__class__", new = "__new__",
    owner = "_owner", main = "__main__", latin1 = "latin1", items = "items", write = "write",
    persistent_id = "persistent_id", reducer_override = "reducer_override", dispatch_table = "dispatch_table",
    getstate = "__getstate__", getnewargs = "__getnewargs__", getnewargs_ex = "__getnewargs_ex__",
    code = "__code__", split = "split", copy = "copy", path = "path",
    kind = "kind", isbuiltin = "isbuiltin", itemsize = "itemsize", add_note = "add_note", args = "args",
    digest = "__torshi_digest__", member_name = "_name_", member_value = "_value_", dtype = "dtype", shape = "shape",
    uuid = "uuid", uuid_class = "UUID", safe_uuid = "SafeUUID", unknown = "unknown", int = "int", is_safe = "is_safe",
}

/// See the module.
pub struct Imports {
    pub names: Names,
    pub dispatch_table: Py<PyDict>,
    pub extension_registry: Py<PyDict>,
    pub slotnames: Py<PyAny>,
    pub codecs_encode: Py<PyAny>,
    pub partial: Py<PyAny>,
    pub getattr: Py<PyAny>,
    pub type_: Py<PyAny>,
    pub bytes: Py<PyAny>,
    pub bytearray: Py<PyAny>,
    pub set: Py<PyAny>,
    pub frozenset: Py<PyAny>,
    pub none_type: Py<PyAny>,
    pub ellipsis_type: Py<PyAny>,
    pub not_implemented_type: Py<PyAny>,
    pub ellipsis: Py<PyAny>,
    pub not_implemented: Py<PyAny>,
    pub dot: Py<PyAny>,
    pub object_reduce_ex: Py<PyAny>,
    pub object_reduce: Py<PyAny>,
    pub object_getstate: Py<PyAny>,
    pub object_class: Py<PyAny>,
    /// The code object every named tuple's `__getnewargs__` runs.
    pub namedtuple_code: Py<PyAny>,
    pub name_mapping: Py<PyDict>,
    pub import_mapping: Py<PyDict>,
    pub protocol_numbers: Vec<Py<PyAny>>,
    /// Below protocol 4, does this interpreter write a dotted name as nested `getattr` calls on its first part
    /// (CPython 3.13), or as a `getattr` on a memoized parent?
    pub nested_getattr: bool,
    pub version: (u8, u8),
}

static IMPORTS: PyOnceLock<Imports> = PyOnceLock::new();

/// The imports, fetched at the first use.
pub fn imports(py: Python<'_>) -> PyResult<&'static Imports> {
    // `Python<'py>` proves the interpreter is attached, so the reference to the static is good for ever.
    IMPORTS.get_or_try_init(py, || Imports::new(py))
}

impl Imports {
    fn new(py: Python<'_>) -> PyResult<Imports> {
        let copyreg = py.import("copyreg")?;
        let builtins = py.import("builtins")?;
        let compat = py.import("_compat_pickle")?;
        let get = |name: &str| builtins.getattr(name).map(Bound::unbind);
        let dict = |object: Bound<'_, PyAny>| object.cast_into::<PyDict>().map(Bound::unbind).map_err(PyErr::from);
        let object = builtins.getattr("object")?;
        let object_dict = object.getattr("__dict__")?;
        let tuple_class = py.import("collections")?.getattr("namedtuple")?.call1(("Row", "field"))?;
        Ok(Imports {
            names: Names::new(py),
            dispatch_table: dict(copyreg.getattr("dispatch_table")?)?,
            extension_registry: dict(copyreg.getattr("_extension_registry")?)?,
            slotnames: copyreg.getattr("_slotnames")?.unbind(),
            codecs_encode: py.import("codecs")?.getattr("encode")?.unbind(),
            partial: py.import("functools")?.getattr("partial")?.unbind(),
            getattr: get("getattr")?,
            type_: get("type")?,
            bytes: get("bytes")?,
            bytearray: get("bytearray")?,
            set: get("set")?,
            frozenset: get("frozenset")?,
            none_type: py.None().bind(py).get_type().into_any().unbind(),
            ellipsis_type: py.Ellipsis().bind(py).get_type().into_any().unbind(),
            not_implemented_type: py.NotImplemented().bind(py).get_type().into_any().unbind(),
            ellipsis: py.Ellipsis(),
            not_implemented: py.NotImplemented(),
            dot: PyString::intern(py, ".").into_any().unbind(),
            object_reduce_ex: object.getattr("__reduce_ex__")?.unbind(),
            object_reduce: object.getattr("__reduce__")?.unbind(),
            object_getstate: object.getattr("__getstate__")?.unbind(),
            object_class: object_dict.get_item("__class__")?.unbind(),
            namedtuple_code: tuple_class.getattr("__getnewargs__")?.getattr("__code__")?.unbind(),
            name_mapping: dict(compat.getattr("REVERSE_NAME_MAPPING")?)?,
            import_mapping: dict(compat.getattr("REVERSE_IMPORT_MAPPING")?)?,
            protocol_numbers: (0..6).map(|n| call::int(py, n).map(Bound::unbind)).collect::<PyResult<_>>()?,
            nested_getattr: nests_getattr(py)?,
            version: (py.version_info().major, py.version_info().minor),
        })
    }
}

/// Asks the interpreter's own pickle, since the change came within a minor version's life.
fn nests_getattr(py: Python<'_>) -> PyResult<bool> {
    let method = py.import("codecs")?.getattr("Codec")?.getattr("encode")?;
    let stream = py.import("pickle")?.getattr("dumps")?.call1((method, 2))?;
    Ok(!peek_contains(crate::ffi::peek::bytes(&stream), b"Codec\nq"))
}

fn peek_contains(stream: &[u8], part: &[u8]) -> bool {
    stream.windows(part.len()).any(|window| window == part)
}

static PICKLING_ERROR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// `torshi.UnpicklableError`.
pub fn pickling_error(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let class = PICKLING_ERROR
        .get_or_try_init(py, || Ok::<_, PyErr>(py.import("torshi._errors")?.getattr("UnpicklableError")?.unbind()))?;
    Ok(class.bind(py).clone())
}

/// A `PicklingError` with this message.
#[cold]
pub fn pickling_failure(py: Python<'_>, message: &str) -> PyErr {
    match pickling_error(py) {
        Ok(class) => call::error(&class, message),
        Err(error) => error,
    }
}
