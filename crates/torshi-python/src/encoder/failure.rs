//! Why and where a dump failed: the error, and the way from the root to the object, found while unwinding.
use crate::ffi::call;
use crate::ffi::peek::{self, Kind};
use pyo3::prelude::*;

/// One step from a container towards what is inside it.
pub enum Step {
    Index(usize),
    Key(String),
    Attribute(String),
    /// An element of a set, the arguments of a reduce call, and so on.
    Inside(&'static str),
}

/// Steps kept: beyond that a path helps nobody.
const STEPS: usize = 64;

struct Detail {
    error: PyErr,
    /// Innermost first.
    steps: Vec<Step>,
    left_out: usize,
}

/// A failed dump; boxed so that success costs one word.
pub struct Failed(Box<Detail>);

/// What saving something answers.
pub type Done = Result<(), Failed>;

impl From<PyErr> for Failed {
    #[cold]
    fn from(error: PyErr) -> Self {
        Failed(Box::new(Detail { error, steps: Vec::new(), left_out: 0 }))
    }
}

impl Failed {
    #[cold]
    pub fn at(mut self, step: Step) -> Self {
        if self.0.steps.len() < STEPS {
            self.0.steps.push(step);
        } else {
            self.0.left_out += 1;
        }
        self
    }

    #[cold]
    pub fn at_index(self, index: usize) -> Self {
        self.at(Step::Index(index))
    }

    /// In the value under `key` of a dict.
    #[cold]
    pub fn at_key(self, key: &Bound<'_, PyAny>) -> Self {
        let shown = match peek::kind(key) {
            Kind::Str | Kind::Int | Kind::Float | Kind::Bool | Kind::None | Kind::Bytes => {
                call::repr(key).map(|text| peek::display(&text)).unwrap_or_else(|_| "...".into())
            }
            _ => format!("<{}>", peek::type_name(key)),
        };
        let short: String =
            if shown.chars().count() > 80 { shown.chars().take(77).chain("...".chars()).collect() } else { shown };
        self.at(Step::Key(short))
    }

    /// The last step was into the state of an instance: a key that is a name is an attribute.
    #[cold]
    pub fn in_state(mut self) -> Self {
        if let Some(Step::Key(key)) = self.0.steps.last() {
            let name = key.trim_matches('\'');
            if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_') {
                let name = name.to_owned();
                self.0.steps.pop();
                self.0.steps.push(Step::Attribute(name));
            }
        }
        self
    }

    /// Is it that an object cannot be found by its name?
    pub fn is_no_name(&self, py: Python<'_>) -> bool {
        let error = &self.0.error;
        error.is_instance_of::<pyo3::exceptions::PyAttributeError>(py)
            || super::imports::pickling_error(py).is_ok_and(|class| error.matches(py, &class).unwrap_or(false))
    }

    /// The error, and the path as `$.config['db'][3]`.
    pub fn into_parts(self) -> (PyErr, String) {
        let mut path = String::from("$");
        if self.0.left_out > 0 {
            path.push_str(&format!("<{} levels>", self.0.left_out));
        }
        for step in self.0.steps.iter().rev() {
            match step {
                Step::Index(i) => path.push_str(&format!("[{i}]")),
                Step::Key(key) => path.push_str(&format!("[{key}]")),
                Step::Attribute(name) => path.push_str(&format!(".{name}")),
                Step::Inside(what) => path.push_str(&format!("<{what}>")),
            }
        }
        (self.0.error, path)
    }
}
