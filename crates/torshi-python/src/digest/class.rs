//! Classes into how their instances are digested, found once for each version of a class; names of classes.
//!
//! A version (`tp_version_tag`) changes with any change to the class or to its bases. What a class is of other
//! libraries, and what then stands for its instances, `torshi._canonical` says; nothing is imported for that but it.
use super::form::{tag, Forms};
use super::walk::Walker;
use crate::encoder::failure::{Done, Failed};
use crate::encoder::plan::Plan;
use crate::ffi::output::utf8_len;
use crate::ffi::peek::{self, Int, Text};
use crate::ffi::{call, instance};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex};

/// How the instances of a class are digested.
pub enum Way {
    /// Nothing is read but attributes: the plan that `dumps` has, and the slots in the order of their names' forms.
    Planned(Arc<Plan>, Vec<Slot>),
    /// By what `__reduce_ex__` says.
    Asked,
    /// By what the method `__torshi_digest__` returns.
    Hook,
    Enum,
    /// A subclass of set that reduces as set does.
    Set,
    Array,
    Scalar,
    Dtype,
    /// By what this function returns for them.
    Instead(Py<PyAny>),
}

/// The form of a slot's name, the name, and where it lies.
pub struct Slot {
    pub form: Vec<u8>,
    pub name: Py<PyAny>,
    pub place: isize,
}

/// What is known about one version of a class.
pub struct Class {
    pub way: Way,
    /// The form of the class itself; none, if its name does not lead to it.
    pub form: Option<Vec<u8>>,
    /// A dict whose order counts, or no dict.
    pub is_ordered: bool,
}

/// A version of a class, and what is known about it.
type Version = (u32, Arc<Class>);
/// By the address of the class. An entry of a class that has died is met by another version.
static KNOWN: Mutex<Option<FxHashMap<usize, Version>>> = Mutex::new(None);
/// Classes remembered at most: programs that make classes without end must not fill the memory.
const REMEMBERED: usize = 4096;

/// The classes met in this digest.
#[derive(Default)]
pub struct Recent<'py>(Vec<(Bound<'py, PyAny>, u32, Arc<Class>)>);

const RECENT: usize = 16;

static CANONICAL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static MAIN: PyOnceLock<(Py<PyString>, Py<PyString>)> = PyOnceLock::new();

impl<'py> Walker<'py> {
    /// A function of `torshi._canonical`.
    pub(super) fn canonical(&self, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let module = CANONICAL
            .get_or_try_init(self.py, || Ok::<_, PyErr>(self.py.import("torshi._canonical")?.unbind().into()))?;
        let name = call::text(self.py, name)?;
        call::attribute(module.bind(self.py), name.cast::<PyString>()?)
    }

    /// What a function of `torshi._canonical` that answers tuples says.
    pub(super) fn told(&self, name: &str, about: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>, Failed> {
        let answer = call::call1(&self.canonical(name)?, about)?;
        match peek::is_tuple(&answer) {
            true => Ok(answer),
            false => Err(self.refuse(&format!("torshi._canonical.{name} has to return a tuple"))),
        }
    }

    /// What is known about the class of an object.
    pub(super) fn class_of(&mut self, object: &Bound<'py, PyAny>) -> Result<Arc<Class>, Failed> {
        let address = peek::type_address(object);
        let version = instance::version_of_type(object);
        for (class, of, known) in &self.recent.0 {
            if peek::address(class) == address && *of == version && version != 0 {
                return Ok(known.clone());
            }
        }
        self.class(&object.get_type().into_any())
    }

    /// What is known about a class.
    #[inline(never)]
    pub(super) fn class(&mut self, class: &Bound<'py, PyAny>) -> Result<Arc<Class>, Failed> {
        let (address, version) = (peek::address(class), instance::type_version(class));
        let cached = KNOWN.try_lock().ok().and_then(|known| known.as_ref()?.get(&address).cloned());
        let found = match cached {
            Some((of, found)) if of == version && version != 0 => found,
            _ => {
                let found = Arc::new(self.look_at(class)?);
                // Asking for attributes gives the class a version, if it had none.
                let version = instance::type_version(class);
                if let Ok(mut known) = KNOWN.try_lock() {
                    let known = known.get_or_insert_default();
                    if known.len() >= REMEMBERED {
                        known.clear();
                    }
                    known.insert(address, (version, found.clone()));
                }
                found
            }
        };
        if self.recent.0.len() >= RECENT {
            self.recent.0.remove(0);
        }
        self.recent.0.push((class.clone(), instance::type_version(class), found.clone()));
        Ok(found)
    }

    fn look_at(&mut self, class: &Bound<'py, PyAny>) -> Result<Class, Failed> {
        let answer = self.told("way", class)?;
        let kind = peek::tuple_item(&answer, 0).filter(peek::is_int).map_or(-1, |kind| match peek::int(&kind) {
            Int::Small(kind) => kind,
            Int::Big { .. } => -1,
        });
        let way = match (kind, peek::tuple_item(&answer, 1)) {
            (1, _) => Way::Hook,
            (2, _) => Way::Enum,
            (3, _) => Way::Set,
            (4, _) => Way::Array,
            (5, _) => Way::Scalar,
            (6, _) => Way::Dtype,
            (7, Some(function)) => Way::Instead(function.unbind()),
            _ => match self.encoder()?.ordinary(class)? {
                Some(plan) => {
                    let slots = self.slots(&plan)?;
                    Way::Planned(plan, slots)
                }
                None => Way::Asked,
            },
        };
        let is_ordered = peek::tuple_item(&answer, 2).is_none_or(|ordered| peek::is_true(&ordered));
        Ok(Class { way, form: self.class_form(class)?, is_ordered })
    }

    fn slots(&mut self, plan: &Plan) -> Result<Vec<Slot>, Failed> {
        let mut slots = Vec::new();
        for (name, place) in plan.slots() {
            let start = self.forms.len();
            let name = name.bind(self.py);
            self.walk(name)?;
            slots.push(Slot { form: self.forms.since(start).to_vec(), name: name.clone().unbind(), place: *place });
            self.forms.truncate(start);
        }
        slots.sort_unstable_by(|a, b| a.form.cmp(&b.form));
        Ok(slots)
    }

    /// The form of a class; none, if its name does not lead to it. Exceptions that are no such thing pass.
    fn class_form(&mut self, class: &Bound<'py, PyAny>) -> Result<Option<Vec<u8>>, Failed> {
        let start = self.forms.len();
        let form = match self.put_name(class, None) {
            Ok(()) => Some(self.forms.since(start).to_vec()),
            Err(failed) if failed.is_no_name(self.py) => None,
            Err(failed) => return Err(failed),
        };
        self.forms.truncate(start);
        Ok(form)
    }

    /// A class as a value, or as what an instance is of.
    pub(super) fn put_class(&mut self, class: &Bound<'py, PyAny>, known: &Class) -> Done {
        match &known.form {
            Some(form) => self.forms.put(form),
            // Fails again, and says why.
            None => self.put_name(class, None),
        }
    }

    /// Where a class or function is found: its module and qualified name.
    pub(super) fn put_name(&mut self, object: &Bound<'py, PyAny>, name: Option<&Bound<'py, PyAny>>) -> Done {
        let imports = self.imports;
        for (class, name) in [
            (&imports.none_type, "NoneType"),
            (&imports.ellipsis_type, "ellipsis"),
            (&imports.not_implemented_type, "NotImplementedType"),
        ] {
            if object.is(class) {
                return put_place(&mut self.forms, Text::Ascii(b"builtins"), Text::Ascii(name.as_bytes()));
            }
        }
        let (module, name) = self.encoder()?.place(object, name)?;
        let (spawned, main) = MAIN.get_or_try_init(self.py, || {
            let [spawned, main] = ["__mp_main__", "__main__"].map(|name| PyString::intern(self.py, name).unbind());
            Ok::<_, PyErr>((spawned, main))
        })?;
        // What multiprocessing calls the main module in the processes it starts.
        let module = if module.eq(spawned)? { main.bind(self.py).as_any().clone() } else { module };
        match (text(&module), text(&name)) {
            // Where Python 3.13 keeps what every other one has in the package itself.
            (Some(Text::Ascii(b"pathlib._local")), Some(name)) => {
                put_place(&mut self.forms, Text::Ascii(b"pathlib"), name)
            }
            (Some(module), Some(name)) => put_place(&mut self.forms, module, name),
            _ => Err(self.refuse("the name of a module or of what is in it is no string")),
        }
    }
}

fn text<'a>(object: &'a Bound<'_, PyAny>) -> Option<Text<'a>> {
    if peek::is_text(object) {
        peek::text(object)
    } else {
        None
    }
}

fn put_place(forms: &mut Forms<'_>, module: Text<'_>, name: Text<'_>) -> Done {
    let open = forms.open();
    forms.tag(tag::NAME)?;
    for part in [module, name] {
        let size = utf8_len(part);
        forms.number(size as u64)?;
        forms.put_utf8(part, size)?;
    }
    forms.close(open).map(drop)
}
