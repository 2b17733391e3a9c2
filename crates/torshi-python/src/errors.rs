//! Faults and findings to Python exceptions. Exceptions are built only here, from `torshi._errors`,
//! so every refusal says what, where, why and the way out in the same words.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use torshi_core::error::{Fault, FaultKind, Site};
use torshi_core::finding::{Finding, FindingKind};
use torshi_core::symbolic::GlobalUse;

/// Raises `torshi._errors.<class>(message, **attributes)`; if even that fails, that failure.
fn raise(
    py: Python<'_>, class: &str, message: &str, attributes: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>,
) -> PyErr {
    let made = || -> PyResult<PyErr> {
        let class = py.import("torshi._errors")?.getattr(class)?;
        let keywords = PyDict::new(py);
        attributes(&keywords)?;
        Ok(PyErr::from_value(class.call((message,), Some(&keywords))?))
    };
    made().unwrap_or_else(|error| error)
}

/// The exception of a fault.
#[cold]
pub fn fault(py: Python<'_>, fault: &Fault, data: &[u8]) -> PyErr {
    let opcode = fault.opcode.map(|opcode| opcode.name());
    let place = |keywords: &Bound<'_, PyDict>| {
        keywords.set_item("offset", fault.offset)?;
        keywords.set_item("opcode", opcode)
    };
    let message = match torshi_core::report::foreign(data, fault) {
        Some(what) => format!("not a pickle: this is {what}"),
        None => fault.to_string(),
    };
    match &fault.kind {
        FaultKind::EndOfStream => raise(py, "TruncatedError", &message, place),
        FaultKind::BadValue(_) => raise(py, "MalformedValueError", &message, place),
        FaultKind::BadText(_) => raise(py, "MalformedTextError", &message, place),
        FaultKind::BadType(_) => raise(py, "MalformedTypeError", &message, place),
        FaultKind::Limit { limit, value, .. } => raise(py, "LimitError", &message, |keywords| {
            keywords.set_item("limit", limit)?;
            keywords.set_item("value", value)?;
            keywords.set_item("offset", fault.offset)
        }),
        _ => raise(py, "MalformedError", &message, place),
    }
}

/// The exception of bytes that are no single pickle.
#[cold]
pub fn not_one_pickle(py: Python<'_>, what: &str) -> PyErr {
    raise(py, "MalformedError", &format!("not a single pickle: this is {what}"), |keywords| {
        keywords.set_item("offset", 0)
    })
}

/// The exception of a file that is not as it was written.
#[cold]
pub fn damaged(py: Python<'_>, message: &str) -> PyErr {
    raise(py, "MalformedError", message, |_| Ok(()))
}

/// The exception of a compressed stream that is much longer than the file.
#[cold]
pub fn unpacked_too_long(py: Python<'_>, length: u64, limit: u64, file: u64) -> PyErr {
    let message = format!(
        "the file has {file} bytes and unpacks to {length} or more, over the limit of {limit}; \
         expected it? load(..., limits=Limits(stream={length}))"
    );
    raise(py, "LimitError", &message, |keywords| {
        keywords.set_item("limit", "stream")?;
        keywords.set_item("value", length)
    })
}

/// The exception of a stream longer than the caller allows.
#[cold]
pub fn stream_too_long(py: Python<'_>, length: u64, limit: u64) -> PyErr {
    let message = format!("the stream has {length} bytes or more: over the limit stream={limit}");
    raise(py, "LimitError", &message, |keywords| {
        keywords.set_item("limit", "stream")?;
        keywords.set_item("value", limit)?;
        keywords.set_item("offset", limit)
    })
}

/// The exception of findings, and of what the stream names.
#[cold]
pub fn untrusted(py: Python<'_>, findings: Vec<Finding>, named: &[GlobalUse]) -> PyErr {
    let message = match named.iter().any(makes_code) {
        true => place(&findings) + BY_VALUE,
        false => refusal(&findings),
    };
    raise(py, "UntrustedError", &message, |keywords| {
        let from_json = py.import("torshi._findings")?.getattr("from_json")?;
        let mut made = Vec::with_capacity(findings.len());
        for finding in &findings {
            let text = serde_json::to_string(finding).unwrap_or_default();
            made.push(from_json.call1((text,))?);
        }
        keywords.set_item("findings", PyTuple::new(py, made)?)
    })
}

/// The exception of one finding that only shows once a class is imported.
#[cold]
pub fn untrusted_one(message: &str, name: &str, site: Site) -> PyErr {
    let finding = Finding {
        kind: FindingKind::State,
        name: Some(name.to_owned()),
        offset: site.offset,
        opcode: site.opcode.name(),
        path: None,
        message: torshi_core::finding::shown(message),
        remedy: None,
    };
    Python::attach(|py| untrusted(py, vec![finding], &[]))
}

/// The exception of a name asked for through `find_class`, or one that leads elsewhere than it says.
#[cold]
pub fn untrusted_name(message: &str, module: &str, name: &str) -> PyErr {
    let finding = Finding {
        kind: FindingKind::UntrustedGlobal,
        name: Some(format!("{module}.{name}")),
        offset: 0,
        opcode: "GLOBAL",
        path: None,
        message: torshi_core::finding::shown(message),
        remedy: torshi_core::policy::suggest(module, name),
    };
    Python::attach(|py| untrusted(py, vec![finding], &[]))
}

/// The longest list of names that a message proposes; a name longer than that is nobody's class.
const MOST_REMEDIES: usize = 2000;

/// What is said of functions and classes that were written by value. Allowing the names that put them together is not
/// enough: what these give is called in turn.
const BY_VALUE: &str = "; functions by value are code of whoever wrote them, and loading runs it by design; \
                        expected it? load(..., trust=torshi.unrestricted(\"why\"))";

fn makes_code(global: &GlobalUse) -> bool {
    const MAKERS: [&str; 4] = ["_builtin_type", "_make_function", "_make_skeleton_class", "_make_skeleton_enum"];
    global.module == "cloudpickle.cloudpickle" && MAKERS.contains(&global.qualname.as_str())
}

/// What is wrong first, and where.
fn place(findings: &[Finding]) -> String {
    let Some(first) = findings.first() else { return "not trusted".to_owned() };
    let at = first.path.as_ref().map_or(String::new(), |path| format!(", at {path}"));
    let more = match findings.len() {
        0 | 1 => String::new(),
        all => format!(", and {} more", all - 1),
    };
    format!("{} ({} at byte {}{at}){more}", first.message, first.opcode, first.offset)
}

/// `a.b is not trusted (GLOBAL at byte 3, at $.x); expected it? load(..., trust=["a.b"])`.
fn refusal(findings: &[Finding]) -> String {
    let mut text = place(findings);
    let mut remedies: Vec<&str> = findings.iter().filter_map(|f| f.remedy.as_deref()).collect();
    remedies.sort_unstable();
    remedies.dedup();
    let all = findings.iter().all(|finding| finding.remedy.is_some());
    let brief = remedies.len() <= 20 && remedies.iter().map(|name| name.len()).sum::<usize>() <= MOST_REMEDIES;
    if all && brief {
        let list: Vec<String> = remedies.iter().map(|name| format!("\"{name}\"")).collect();
        text += &format!("; expected it? load(..., trust=[{}])", list.join(", "));
    }
    text
}
