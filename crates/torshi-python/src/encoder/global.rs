//! Classes and functions by reference: where they are found, and the opcode that names the place.
use super::failure::{Done, Failed};
use super::imports::pickling_failure;
use super::opcode::*;
use super::{Encoder, Ways};
use crate::decoder::is_placeholder;
use crate::ffi::call;
use crate::ffi::peek::{self, Text};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// A dotted name found in a module.
struct Found<'py> {
    object: Bound<'py, PyAny>,
    /// What the last part is an attribute of.
    parent: Bound<'py, PyAny>,
}

/// Where a class or function is found.
pub(super) struct Place<'py> {
    pub name: Bound<'py, PyAny>,
    pub path: Vec<Bound<'py, PyAny>>,
    pub module: Bound<'py, PyAny>,
    /// What the last part of the name is an attribute of, if not of the module.
    pub owner: Option<Bound<'py, PyAny>>,
}

impl<'py> Encoder<'py> {
    /// A class: the three whose names lead nowhere are `type(None)` and the like.
    pub(super) fn save_type(&mut self, class: &Bound<'py, PyAny>, ways: Ways, shared: bool, epoch: u32) -> Done {
        let imports = self.imports;
        let singleton = if class.is(&imports.none_type) {
            self.py.None().into_bound(self.py)
        } else if class.is(&imports.ellipsis_type) {
            imports.ellipsis.bind(self.py).clone()
        } else if class.is(&imports.not_implemented_type) {
            imports.not_implemented.bind(self.py).clone()
        } else {
            return self.save_global(class, None, ways, shared, epoch);
        };
        let args = call::tuple(self.py, &[&singleton])?;
        self.save_call(imports.type_.bind(self.py), &args, class, ways, shared)
    }

    /// `object` by its place: `name`, or its own qualified name.
    pub(super) fn save_global(
        &mut self, object: &Bound<'py, PyAny>, name: Option<&Bound<'py, PyAny>>, ways: Ways, shared: bool, epoch: u32,
    ) -> Done {
        let py = self.py;
        self.settle()?;
        let Place { name, path, module: module_name, owner } = self.place_of(object, name)?;
        if let Some(names) = &self.named {
            names.borrow_mut().push(format!("{}:{}", shown(&module_name), shown(&name)));
        }
        if self.protocol >= 2 && self.save_extension(object, &module_name, &name)? {
            return Ok(());
        }
        let Some(last) = path.last() else {
            return Err(self.refuse("empty name"));
        };
        if self.protocol >= 4 {
            self.save_name(&module_name)?;
            self.save_name(if owner.is_none() { last } else { &name })?;
            self.out.op(STACK_GLOBAL);
        } else if self.imports.nested_getattr && path.len() > 1 {
            self.save_nested(&module_name, &path)?;
        } else if let Some(owner) = owner {
            let args = call::tuple(py, &[&owner, last])?;
            self.save(self.imports.getattr.bind(py), Ways::Again)?;
            self.save(&args, Ways::Passing)?;
            self.out.op(REDUCE);
            self.settle()?;
        } else {
            self.write_global(&module_name, last)?;
        }
        self.memoize_late(object, ways, shared, epoch)
    }

    /// Where `object` is found under `name`, or its own qualified name.
    pub(super) fn place_of(
        &mut self, object: &Bound<'py, PyAny>, name: Option<&Bound<'py, PyAny>>,
    ) -> Result<Place<'py>, Failed> {
        let (py, names) = (self.py, &self.imports.names);
        let name = match name {
            Some(name) => name.clone(),
            None => match call::lookup(object, names.qualname.bind(py).as_any())? {
                Some(name) => name,
                None => call::attribute(object, names.name.bind(py))?,
            },
        };
        let path = self.dotted_path(&name)?;
        let module = self.module_of(object, &path)?;
        let owner = match is_placeholder(object) {
            // What it stands for is not there to be compared with.
            true => self.placeholder_owner(object)?,
            false => self.owner(object, &module, &name, &path)?,
        };
        Ok(Place { name, path, module, owner })
    }

    /// Sees that a name leads to the object; what the last part of the name is an attribute of, if not of the module.
    fn owner(
        &mut self, object: &Bound<'py, PyAny>, module_name: &Bound<'py, PyAny>, name: &Bound<'py, PyAny>,
        path: &[Bound<'py, PyAny>],
    ) -> Result<Option<Bound<'py, PyAny>>, Failed> {
        let module = self.import_for(object, module_name)?;
        let Some(found) = self.find(&module, path)? else {
            return Err(self.cannot(object, |what| {
                format!("{what}: attribute lookup {} on {} failed", shown(name), shown(module_name))
            }));
        };
        if !found.object.is(object) {
            return Err(self.cannot(object, |what| {
                format!("{what}: it's not the same object as {}.{}", shown(module_name), shown(name))
            }));
        }
        Ok((!found.parent.is(&module)).then_some(found.parent))
    }

    /// The placeholder that another one is an attribute of.
    fn placeholder_owner(&self, object: &Bound<'py, PyAny>) -> Result<Option<Bound<'py, PyAny>>, Failed> {
        let owner = call::attribute(object, self.imports.names.owner.bind(self.py))?;
        Ok((!owner.is_none()).then_some(owner))
    }

    /// A str that belongs to a global; it may be a temporary, or of a subclass.
    fn save_name(&mut self, name: &Bound<'py, PyAny>) -> Done {
        self.save(name, Ways::Passing)
    }

    /// Nested `getattr` calls on the first part of a dotted name (CPython 3.13, below protocol 4).
    fn save_nested(&mut self, module_name: &Bound<'py, PyAny>, path: &[Bound<'py, PyAny>]) -> Done {
        let [first, rest @ ..] = path else { return Ok(()) };
        for _ in rest {
            self.save(self.imports.getattr.bind(self.py), Ways::Again)?;
            if self.protocol < 2 {
                self.out.op(MARK);
            }
        }
        self.write_global(module_name, first)?;
        for name in rest {
            self.save_name(name)?;
            self.out.op(if self.protocol < 2 { TUPLE } else { TUPLE2 });
            self.out.op(REDUCE);
        }
        Ok(())
    }

    /// GLOBAL and its two lines, with Python 2 names where they are asked for.
    fn write_global(&mut self, module_name: &Bound<'py, PyAny>, name: &Bound<'py, PyAny>) -> Done {
        let (mut module_name, mut name) = (module_name.clone(), name.clone());
        if self.fix_imports {
            self.python2_names(&mut module_name, &mut name)?;
        }
        self.out.op(GLOBAL);
        for (line, what) in [(&module_name, "module"), (&name, "global")] {
            let encodable = match if peek::is_text(line) { peek::text(line) } else { None } {
                Some(Text::Ascii(bytes)) => {
                    self.out.buffer.put_slice(bytes);
                    true
                }
                Some(text) if self.protocol == 3 && !has_surrogates(text) => {
                    let size = crate::ffi::output::utf8_len(text);
                    self.out.buffer.put_utf8(text, size);
                    true
                }
                _ => false,
            };
            if !encodable {
                let message =
                    format!("can't pickle {what} identifier '{}' using pickle protocol {}", shown(line), self.protocol);
                return Err(self.refuse(&message));
            }
            self.out.op(b'\n');
        }
        Ok(())
    }

    fn python2_names(&self, module_name: &mut Bound<'py, PyAny>, name: &mut Bound<'py, PyAny>) -> Done {
        let py = self.py;
        let key = call::tuple(py, &[module_name, name])?;
        if let Some(pair) = call::dict_get(self.imports.name_mapping.bind(py), key.as_any())? {
            let parts = (peek::is_tuple(&pair) && peek::tuple_len(&pair) == 2)
                .then(|| peek::tuple_item(&pair, 0).zip(peek::tuple_item(&pair, 1)))
                .flatten();
            match parts {
                Some((module, attribute)) if peek::is_text(&module) && peek::is_text(&attribute) => {
                    (*module_name, *name) = (module, attribute);
                    return Ok(());
                }
                _ => {
                    let class = py.get_type::<pyo3::exceptions::PyRuntimeError>().into_any();
                    let message = "_compat_pickle.REVERSE_NAME_MAPPING values should be 2-tuples of str";
                    return Err(call::error(&class, message).into());
                }
            }
        }
        if let Some(module) = call::dict_get(self.imports.import_mapping.bind(py), module_name)? {
            *module_name = module;
        }
        Ok(())
    }

    /// An extension code instead of a name, if `copyreg` has one.
    fn save_extension(
        &mut self, object: &Bound<'py, PyAny>, module: &Bound<'py, PyAny>, name: &Bound<'py, PyAny>,
    ) -> Result<bool, Failed> {
        let py = self.py;
        let registry = self.imports.extension_registry.bind(py);
        if peek::dict_len(registry.as_any()) == 0 {
            return Ok(false);
        }
        let key = call::tuple(py, &[module, name])?;
        let Some(code) = call::dict_get(registry, key.as_any())? else { return Ok(false) };
        if self.imports.version >= (3, 13) {
            // TypeError for what is no number, OverflowError for what is too large.
            code.extract::<i64>()?;
        }
        if !peek::is_int(&code) {
            let code = call::repr(&code)?;
            return Err(self.cannot(object, |what| format!("{what}: extension code {} isn't an integer", shown(&code))));
        }
        let value = match peek::int(&code) {
            peek::Int::Small(value) => value,
            peek::Int::Big { .. } => -1,
        };
        match value {
            1..=0xff => self.out.buffer.put([EXT1, value as u8]),
            0x100..=0xffff => self.out.buffer.put([EXT2, value as u8, (value >> 8) as u8]),
            0x10000..=0x7fff_ffff => self.out.op_u32(EXT4, value as u32),
            _ if self.imports.version >= (3, 13) => {
                let class = py.get_type::<pyo3::exceptions::PyRuntimeError>().into_any();
                return Err(call::error(&class, &format!("extension code {value} is out of range")).into());
            }
            _ => return Err(self.cannot(object, |what| format!("{what}: extension code {value} is out of range"))),
        }
        Ok(true)
    }

    /// `Can't pickle <repr>` and the rest.
    #[cold]
    fn cannot(&self, object: &Bound<'py, PyAny>, rest: impl FnOnce(String) -> String) -> Failed {
        match call::repr(object) {
            Ok(repr) => pickling_failure(self.py, &rest(format!("Can't pickle {}", shown(&repr)))).into(),
            Err(error) => error.into(),
        }
    }

    /// The parts of a qualified name; a name inside a function leads nowhere.
    fn dotted_path(&self, name: &Bound<'py, PyAny>) -> Result<Vec<Bound<'py, PyAny>>, Failed> {
        let py = self.py;
        if !peek::is_text(name) {
            let class = py.get_type::<pyo3::exceptions::PyTypeError>().into_any();
            return Err(call::error(&class, &format!("must be str, not {}", peek::type_name(name))).into());
        }
        if let Some(Text::Ascii(bytes)) = peek::text(name) {
            if !bytes.contains(&b'.') && bytes != b"<locals>" {
                return Ok(vec![name.clone()]);
            }
        }
        let parts = call::call1(&self.split(name)?, self.imports.dot.bind(py))?;
        let mut path = Vec::new();
        while let Some(part) = peek::list_item(&parts, path.len()) {
            if matches!(peek::text(&part), Some(Text::Ascii(b"<locals>"))) {
                let class = py.get_type::<pyo3::exceptions::PyAttributeError>().into_any();
                let verb = if self.imports.version >= (3, 13) { "get" } else { "pickle" };
                let repr = call::repr(name)?;
                return Err(call::error(&class, &format!("Can't {verb} local object {}", shown(&repr))).into());
            }
            path.push(part);
        }
        Ok(path)
    }

    fn split(&self, name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        // A subclass of str may have a `split` of its own; only str's is wanted.
        let plain = if peek::kind(name) == peek::Kind::Str { name.clone() } else { call::text(self.py, &shown(name))? };
        call::attribute(&plain, self.imports.names.split.bind(self.py))
    }

    fn import_for(&self, object: &Bound<'py, PyAny>, name: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>, Failed> {
        let imported = match call::import(name) {
            Ok(()) => call::module(name),
            Err(error) => Err(error),
        };
        match imported {
            Ok(Some(module)) => Ok(module),
            Ok(None) => Err(self.import_failed(object, name)),
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(self.py) => {
                Err(self.import_failed(object, name))
            }
            Err(error) => Err(error.into()),
        }
    }

    #[cold]
    fn import_failed(&self, object: &Bound<'py, PyAny>, name: &Bound<'py, PyAny>) -> Failed {
        let name = call::repr(name).map(|name| shown(&name)).unwrap_or_default();
        self.cannot(object, |what| format!("{what}: import of module {name} failed"))
    }

    /// Follows a path of names from a module, `None` if one is missing.
    fn find(&self, module: &Bound<'py, PyAny>, path: &[Bound<'py, PyAny>]) -> Result<Option<Found<'py>>, Failed> {
        let (mut parent, mut object) = (module.clone(), module.clone());
        for name in path {
            let Some(next) = call::lookup(&object, name)? else { return Ok(None) };
            parent = std::mem::replace(&mut object, next);
        }
        Ok(Some(Found { object, parent }))
    }

    /// The name of the module an object says it is from, or the first one that has it under this name.
    fn module_of(&self, object: &Bound<'py, PyAny>, path: &[Bound<'py, PyAny>]) -> Result<Bound<'py, PyAny>, Failed> {
        let (py, names) = (self.py, &self.imports.names);
        if let Some(name) = call::lookup(object, names.module.bind(py).as_any())? {
            if !name.is_none() {
                return Ok(name);
            }
        }
        let modules = call::modules(py)?;
        // A copy: looking into lazy modules may import others.
        let modules = call::call0(&call::attribute(&modules, names.copy.bind(py))?)?;
        if !peek::is_dict(&modules) {
            return Ok(names.main.bind(py).as_any().clone());
        }
        let mut position = 0;
        while let Some((name, module)) = peek::dict_next(&modules, &mut position) {
            let skipped =
                peek::is_text(&name) && matches!(peek::text(&name), Some(Text::Ascii(b"__main__" | b"__mp_main__")));
            if skipped || module.is_none() {
                continue;
            }
            if self.find(&module, path)?.is_some_and(|found| found.object.is(object)) {
                return Ok(name);
            }
        }
        Ok(names.main.bind(py).as_any().clone())
    }

    /// `callable(*args)` where the arguments are a tuple: for `save_reduce`.
    pub(super) fn empty_tuple(&self) -> Result<Bound<'py, PyTuple>, Failed> {
        Ok(call::tuple(self.py, &[])?)
    }
}

fn has_surrogates(text: Text<'_>) -> bool {
    match text {
        Text::Ascii(_) | Text::Latin1(_) => false,
        Text::Ucs2(units) => units.iter().any(|u| (0xd800..0xe000).contains(u)),
        Text::Ucs4(units) => units.iter().any(|u| (0xd800..0xe000).contains(u)),
    }
}

/// A str in a message (the type's name, if it is none).
fn shown(object: &Bound<'_, PyAny>) -> String {
    if peek::is_text(object) {
        peek::display(object)
    } else {
        call::str(object).map(|text| peek::display(&text)).unwrap_or_else(|_| peek::type_name(object))
    }
}
