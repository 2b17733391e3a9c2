//! What an encoder knows of objects, for those who write no stream: plans, names, and what objects say of themselves.
use super::failure::Failed;
use super::plan::Plan;
use super::Encoder;
use pyo3::prelude::*;
use std::sync::Arc;

impl<'py> Encoder<'py> {
    /// The plan of a class whose instances are their items, dict and slots, and nothing else.
    pub fn ordinary(&self, class: &Bound<'py, PyAny>) -> Result<Option<Arc<Plan>>, Failed> {
        let plan = match self.plan_by_sight(class) {
            Some(plan) => plan,
            None => {
                let plan = self.make_plan(class)?;
                // Asking may run code that changes the class.
                self.plan_by_sight(class).unwrap_or(plan)
            }
        };
        Ok(plan.filter(Plan::is_plain).map(Arc::new))
    }

    /// The module and the name under which a class or function is found: `name`, or its own qualified name.
    pub fn place(
        &mut self, object: &Bound<'py, PyAny>, name: Option<&Bound<'py, PyAny>>,
    ) -> Result<(Bound<'py, PyAny>, Bound<'py, PyAny>), Failed> {
        let place = self.place_of(object, name)?;
        Ok((place.module, place.name))
    }

    /// What copyreg, `__reduce_ex__` or `__reduce__` say at the highest protocol; `None`: a class, known by its name.
    pub fn reduced(&mut self, object: &Bound<'py, PyAny>) -> Result<Option<Bound<'py, PyAny>>, Failed> {
        self.ask(object)
    }
}
