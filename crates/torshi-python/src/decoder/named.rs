//! Named tuples: whether a class makes its instances just as `collections.namedtuple` has it. Then NEWOBJ need not
//! call Python code to have a tuple copied. It looks at the very code of `__new__` and at what that calls.

use super::Object;
use crate::ffi::{instance, make, shape};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFunction, PyTuple, PyType};
use rustc_hash::FxHashMap;

/// Fields of the widest class looked at.
const MOST_FIELDS: usize = 32;
/// Streams up to this size hold too few instances to repay the look.
const SHORT: usize = 4096;

/// What is known of the classes of one load.
#[derive(Default)]
pub struct NamedTuples<'py> {
    /// The class asked for last, and the fields its instances have if it is one.
    last: Option<(Object<'py>, Option<usize>)>,
    others: FxHashMap<usize, Option<usize>>,
    /// The byte code of `__new__` by number of fields.
    code: FxHashMap<usize, Option<Bound<'py, PyBytes>>>,
    looks: bool,
}

impl<'py> NamedTuples<'py> {
    /// For a stream of this many bytes.
    pub fn new(stream: usize) -> Self {
        NamedTuples { looks: stream > SHORT && shape::LAYOUT_IS_KNOWN, ..Self::default() }
    }

    /// The instance that `cls.__new__(cls, *arguments)` would give, if that is known.
    #[inline(always)]
    pub fn make(
        &mut self, class: &Bound<'py, PyType>, arguments: &Bound<'py, PyTuple>,
    ) -> PyResult<Option<Object<'py>>> {
        if !self.looks || !instance::derives_from_tuple(class.as_any()) {
            return Ok(None);
        }
        let fields = match &self.last {
            Some((last, fields)) if last.is(class) => *fields,
            _ => self.look_up(class),
        };
        match fields == Some(arguments.len()) {
            true => Ok(Some(make::tuple_like(class, arguments)?)),
            false => Ok(None),
        }
    }

    #[inline(never)]
    fn look_up(&mut self, class: &Bound<'py, PyType>) -> Option<usize> {
        let address = class.as_ptr() as usize; // the names of the load keep it alive
        let fields = match self.others.get(&address) {
            Some(known) => *known,
            None => {
                let fields = self.fields(class);
                self.others.insert(address, fields);
                fields
            }
        };
        self.last = Some((class.as_any().clone(), fields));
        fields
    }

    /// The number of fields, if `__new__` is what `namedtuple` makes: a function of one expression, by which
    /// `tuple.__new__` gets the arguments in order.
    fn fields(&mut self, class: &Bound<'py, PyType>) -> Option<usize> {
        let py = class.py();
        let method = instance::class_attribute(class.as_any(), pyo3::intern!(py, "__new__"))?;
        if !method.get_type().is(make::import(&make::text(py, b"builtins").ok()?)
            .ok()?
            .getattr(pyo3::intern!(py, "staticmethod"))
            .ok()?)
        {
            return None;
        }
        let function = method.getattr(pyo3::intern!(py, "__func__")).ok()?.cast_into_exact::<PyFunction>().ok()?;
        let code = function.getattr(pyo3::intern!(py, "__code__")).ok()?;
        let arguments: usize = code.getattr(pyo3::intern!(py, "co_argcount")).ok()?.extract().ok()?;
        let named_only: usize = code.getattr(pyo3::intern!(py, "co_kwonlyargcount")).ok()?.extract().ok()?;
        // Without fields there would be a constant to compare too.
        let fields = arguments.checked_sub(1).filter(|fields| (1..=MOST_FIELDS).contains(fields) && named_only == 0)?;
        let known = self.code.entry(fields).or_insert_with(|| reference(py, fields).ok()).as_ref()?;
        let globals = function.getattr(pyo3::intern!(py, "__globals__")).ok()?;
        let called = globals.get_item(pyo3::intern!(py, "_tuple_new")).ok()?;
        let names: Vec<String> = code.getattr(pyo3::intern!(py, "co_names")).ok()?.extract().ok()?;
        let is_known = code.getattr(pyo3::intern!(py, "co_code")).ok()?.eq(known).ok()?
            && names == ["_tuple_new"]
            && called.is(&py.get_type::<PyTuple>().getattr(pyo3::intern!(py, "__new__")).ok()?);
        is_known.then_some(fields)
    }
}

/// The byte code that `namedtuple` gives a class of so many fields, made from the same expression.
fn reference(py: Python<'_>, fields: usize) -> PyResult<Bound<'_, PyBytes>> {
    let names: String = (0..fields).map(|i| format!("a{i}, ")).collect();
    let source = format!("lambda _cls, {names}: _tuple_new(_cls, ({names}))");
    let source = make::text(py, source.as_bytes())?;
    let builtins = make::import(&make::text(py, b"builtins")?)?;
    let function = builtins.getattr(pyo3::intern!(py, "eval"))?.call1((source,))?;
    let code = function.getattr(pyo3::intern!(py, "__code__"))?.getattr(pyo3::intern!(py, "co_code"))?;
    Ok(code.cast_into::<PyBytes>()?)
}
