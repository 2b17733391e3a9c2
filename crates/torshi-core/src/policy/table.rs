//! The reviewed tables: TOML compiled in, parsed once, looked up by module and qualified name.
//!
//! A table that does not parse is a bug of this crate that a test finds; should one reach a user all the
//! same, its rows are missing and what they allow is refused. No table is ever read from disk.
use std::sync::OnceLock;

use rustc_hash::FxHashMap;
use serde::Deserialize;

use super::row::{Entry, Row};

/// Name and text of each table; those of [`Base::Builtins`](super::Base) come first.
const SOURCES: &[(&str, bool, &str)] = &[
    ("builtins", true, include_str!("tables/builtins.toml")),
    ("exceptions", true, include_str!("tables/exceptions.toml")),
    ("stdlib", true, include_str!("tables/stdlib.toml")),
    ("numpy", false, include_str!("tables/numpy.toml")),
    ("joblib", false, include_str!("tables/joblib.toml")),
    ("dateutil", false, include_str!("tables/dateutil.toml")),
    ("pandas", false, include_str!("tables/pandas.toml")),
    ("polars", false, include_str!("tables/polars.toml")),
    ("pyarrow", false, include_str!("tables/pyarrow.toml")),
    ("scipy", false, include_str!("tables/scipy.toml")),
    ("sklearn", false, include_str!("tables/sklearn.toml")),
    ("xgboost", false, include_str!("tables/xgboost.toml")),
    ("lightgbm", false, include_str!("tables/lightgbm.toml")),
    ("torch", false, include_str!("tables/torch.toml")),
];

#[derive(Deserialize)]
struct Table {
    row: Vec<Entry>,
}

type Modules = FxHashMap<&'static str, FxHashMap<&'static str, &'static Row>>;

/// The parsed tables.
#[derive(Default)]
pub(super) struct Tables {
    builtins: Modules,
    libraries: Modules,
    rows: Vec<&'static Row>,
    /// What did not parse; empty in a sound build.
    #[cfg_attr(not(test), allow(dead_code))]
    errors: Vec<String>,
}

impl Tables {
    /// The row of a name; `all` includes the tables of third-party libraries.
    pub(super) fn find(&self, module: &str, qualname: &str, all: bool) -> Option<&'static Row> {
        let look = |modules: &Modules| modules.get(module).and_then(|names| names.get(qualname)).copied();
        look(&self.builtins).or_else(|| if all { look(&self.libraries) } else { None })
    }

    /// Every row, table by table.
    pub(super) fn rows(&self) -> &[&'static Row] {
        &self.rows
    }

    #[cfg(test)]
    pub(super) fn errors(&self) -> &[String] {
        &self.errors
    }

    fn read() -> Tables {
        let mut tables = Tables::default();
        for &(name, builtin, text) in SOURCES {
            match toml::from_str::<Table>(text) {
                Ok(table) => table.row.into_iter().for_each(|entry| tables.add(name, builtin, entry)),
                Err(error) => tables.errors.push(format!("{name}: {error}")),
            }
        }
        tables
    }

    fn add(&mut self, table: &'static str, builtin: bool, entry: Entry) {
        let row: &'static Row = match entry.into_row(table) {
            // The tables live as long as the process; leaking lets every policy hand out `&'static Row`.
            Ok(row) => Box::leak(Box::new(row)),
            Err(error) => return self.errors.push(error),
        };
        self.rows.push(row);
        let modules = if builtin { &mut self.builtins } else { &mut self.libraries };
        for name in &row.names {
            let names = modules.entry(name.module.as_str()).or_default();
            if names.insert(name.qualname.as_str(), row).is_some() {
                self.errors.push(format!("{table}: {name} stands twice"));
            }
        }
    }
}

/// The tables, parsed on first use.
pub(super) fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(Tables::read)
}
