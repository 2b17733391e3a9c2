//! scipy's distributions. Their state holds the text of three small functions, which Python runs when the state is set:
//! that text must be the one that scipy makes of the names of the parameters, to the letter. Everything else in it is
//! numbers and texts; nothing that could be called may stand in the place of a method.
use super::super::{demand, int, refuse, Outcome};
use super::attributes;
use crate::policy::pattern::{Shape, View};

/// Attributes of a distribution.
const ATTRIBUTES: &[&str] = &[
    "_stats_has_moments",
    "_random_state",
    "_ctor_param",
    "badvalue",
    "name",
    "a",
    "b",
    "xtol",
    "moment_type",
    "shapes",
    "_parse_arg_template",
    "numargs",
    "__doc__",
    "_support",
    "extradoc",
    // of histograms
    "_histogram",
    "_density",
    "_hpdf",
    "_hbins",
    "_hbin_widths",
    "_hcdf",
];
/// What a distribution is made with, as it notes it for copies.
const PARAMETERS: &[&str] =
    &["momtype", "a", "b", "xtol", "badvalue", "name", "longname", "shapes", "seed", "histogram", "density"];
/// Parameters of a distribution.
const MOST: i64 = 32;

/// The attributes of a continuous distribution.
pub(in super::super) fn distribution<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    attributes(w, v, target, ATTRIBUTES)?;
    for (key, value) in w.pairs(v) {
        let Shape::Text(key) = w.shape(key) else { return refuse(w, key, "an attribute") };
        let sound = match key {
            "_parse_arg_template" => matches!(w.shape(value), Shape::Text(text) if is_template(text)),
            "_ctor_param" => {
                attributes(w, value, None, PARAMETERS)?;
                w.pairs(value).iter().all(|(_, value)| is_plain(w, *value, 3))
            }
            "moment_type" => int(w, value).is_some_and(|kind| matches!(kind, 0 | 1)),
            "numargs" => int(w, value).is_some_and(|count| (0..=MOST).contains(&count)),
            _ => is_plain(w, value, 3),
        };
        demand(sound, w, value, format_args!("{key} of a distribution"))?;
    }
    Ok(())
}

/// `{'args': (...), 'kwds': {...}, 'dist': distribution, 'a': number, 'b': number}`.
pub(in super::super) fn frozen<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    attributes(w, v, target, &["args", "kwds", "dist", "a", "b"])?;
    for (key, value) in w.pairs(v) {
        let sound = match w.shape(key) {
            Shape::Text("dist") => is_distribution(w, value),
            Shape::Text("args") => matches!(w.shape(value), Shape::Tuple(_)) && is_plain(w, value, 3),
            Shape::Text("kwds") => {
                matches!(w.shape(value), Shape::Dict { attrs: true })
                    && w.whole(value)
                    && w.pairs(value).iter().all(|(_, value)| is_plain(w, *value, 3))
            }
            _ => is_plain(w, value, 3),
        };
        demand(sound, w, value, "a distribution and its parameters")?;
    }
    Ok(())
}

fn is_distribution<W: View>(w: &W, v: W::V) -> bool {
    matches!(w.shape(v), Shape::Instance { module, row: Some(row), state: Some(_), .. }
        if row.table == "scipy" && module.starts_with("scipy.stats."))
}

/// Numbers, texts, arrays, sources of random numbers, and lists and tuples of them.
fn is_plain<W: View>(w: &W, v: W::V, depth: usize) -> bool {
    if depth == 0 || !w.spend(8) {
        return false;
    }
    match w.shape(v) {
        Shape::None | Shape::Bool(_) | Shape::Int(_) | Shape::BigInt { .. } | Shape::Float(_) | Shape::Text(_) => true,
        Shape::Tuple(items) => items.iter().all(|item| is_plain(w, *item, depth - 1)),
        Shape::List => w.children(v).iter().all(|item| is_plain(w, *item, depth - 1)),
        Shape::Instance { module, row: Some(row), .. } => {
            row.table == "numpy" && (module == "numpy" || module.starts_with("numpy.")) && !row.trusted
        }
        _ => false,
    }
}

/// Whether a text is what scipy makes of some names, or of none.
fn is_template(text: &str) -> bool {
    const OPENING: &str = "\ndef _parse_args(self, ";
    [("loc=0, scale=1", "loc, scale"), ("loc=0", "loc, 1")].iter().any(|(given, handed)| {
        let names = || text.strip_prefix(OPENING)?.split_once(&format!(" {given}):\n")).map(|(names, _)| names);
        names().is_some_and(|names| is_list_of_names(names) && text == template(names, given, handed))
    })
}

/// `a, b, ` or nothing.
fn is_list_of_names(names: &str) -> bool {
    let name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    names.is_empty()
        || names.strip_suffix(", ").is_some_and(|names| {
            names.split(", ").count() <= MOST as usize && names.len() <= 1000 && names.split(", ").all(name)
        })
}

/// scipy/stats/_distn_infrastructure.py, `parse_arg_template`.
fn template(names: &str, given: &str, handed: &str) -> String {
    format!(
        "\ndef _parse_args(self, {names} {given}):\n    return ({names}), {handed}\n\
         \ndef _parse_args_rvs(self, {names} {given}, size=None):\n    return self._argcheck_rvs({names} {handed}, size=size)\n\
         \ndef _parse_args_stats(self, {names} {given}, moments='mv'):\n    return ({names}), {handed}, moments\n"
    )
}

#[cfg(test)]
mod tests {
    use super::is_template;

    /// Python runs the text: a letter more, and a stranger's code runs.
    #[test]
    fn only_what_scipy_writes_is_run() {
        let honest = "\ndef _parse_args(self, a, b,  loc=0, scale=1):\n    return (a, b, ), loc, scale\n\n\
            def _parse_args_rvs(self, a, b,  loc=0, scale=1, size=None):\n    \
            return self._argcheck_rvs(a, b,  loc, scale, size=size)\n\n\
            def _parse_args_stats(self, a, b,  loc=0, scale=1, moments='mv'):\n    return (a, b, ), loc, scale, moments\n";
        assert!(is_template(honest));
        assert!(is_template(&honest.replace("a, b, ", "")));
        for (old, new) in [
            ("a, b, ", "a=print(1), "),
            ("a, b, ", "a:print(1), "),
            ("a, b, ", "a, b"),
            ("a, b, ", "_x, "),
            ("a, b, ", "a,\tb, "),
            ("moments\n", "moments\nprint(1)\n"),
            ("size=size)", "size=size);print(1)"),
            ("\ndef _parse_args(", "\nimport os\ndef _parse_args("),
            ("loc=0, scale=1)", "loc=print(1), scale=1)"),
        ] {
            assert!(!is_template(&honest.replacen(old, new, 1)), "{old} {new}");
            assert!(!is_template(&honest.replace(old, new)) || old == new, "{old} {new}");
        }
    }
}
