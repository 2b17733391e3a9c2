//! What the attributes in a state must be, by name, where compiled code believes them: arrays of these kinds and
//! shapes, sizes that agree from one attribute to the next, indices within bounds.
//!
//! ```text
//! field  = [ "needed " | "with " name " " ] choice { " || " choice }
//! choice = "array " kinds " (" dims ")" [ " in " low ".." dim ]     array f4,f8 (k, n)    array i4 (m) in 0..k
//!        | "size " name                        an integer, which is the size of that name
//!        | "list " name                        a list of so many items
//!        | "features " name                    a fitted structure over so many features, or a list of them
//!        | "indices"                            a dict of numbers from nought up to its own length
//!        | "points " name " " name         a tree of neighbours of so many points and features
//!        | "sparse " name " " name         a compressed matrix of so many rows and columns
//!        | pattern
//! dim    = "_" | number | name [ ("+" | "-") number ]
//! ```
//! `with x` needs the attribute where there is one named x. A kind is a letter and a size (`f8`), or a letter alone. The field `*` says what attributes not named may be;
//! without it they may be anything. A state with fields is given once and must be known whole.
use super::pattern::{Mismatch, Pattern, Shape, View};
use super::rules::numpy::contents::array;
use super::rules::{scipy, sklearn};

/// The fields of a row.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    named: Vec<(String, Field)>,
    closed: bool,
}

#[derive(Clone, Debug)]
struct Field {
    needed: bool,
    with: Option<String>,
    choices: Vec<Choice>,
}

#[derive(Clone, Debug)]
enum Choice {
    Array { kinds: Vec<(char, Option<u64>)>, dims: Vec<Dim>, bounds: Option<(i64, Dim)> },
    Size(String),
    List(String),
    Features(String),
    Sparse(String, String),
    Points(String, String),
    Indices,
    Pattern(Pattern),
}

#[derive(Clone, Debug)]
enum Dim {
    Any,
    Is(u64),
    Named(String, i64),
}

/// Sizes as they were met.
#[derive(Default)]
struct Sizes<'f>(Vec<(&'f str, u64)>);

impl<'f> Sizes<'f> {
    fn get(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, size)| *size)
    }

    /// Is the size of this name that? The first to say settles it.
    fn agree(&mut self, name: &'f str, size: u64) -> bool {
        match self.get(name) {
            Some(known) => known == size,
            None => {
                self.0.push((name, size));
                true
            }
        }
    }

    fn fits(&mut self, dim: &'f Dim, length: u64) -> bool {
        match dim {
            Dim::Any => true,
            Dim::Is(wanted) => *wanted == length,
            Dim::Named(name, more) => length.checked_add_signed(-more).is_some_and(|size| self.agree(name, size)),
        }
    }
}

impl Fields {
    /// Parses the fields of a table.
    pub(super) fn parse(texts: &[(String, String)]) -> Result<Fields, String> {
        let mut fields = Fields::default();
        for (name, text) in texts {
            if name == "*" {
                fields.closed = text == "none";
                continue;
            }
            let (needed, text) = match text.strip_prefix("needed ") {
                Some(text) => (true, text),
                None => (false, text.as_str()),
            };
            let (with, text) = match text.strip_prefix("with ").and_then(|rest| rest.split_once(' ')) {
                Some((with, text)) => (Some(with.to_owned()), text),
                None => (None, text),
            };
            let choices = text.split(" || ").map(choice).collect::<Result<_, _>>()?;
            fields.named.push((name.clone(), Field { needed, with, choices }));
        }
        Ok(fields)
    }

    /// Is there nothing to check?
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && !self.closed
    }

    /// Do the attributes agree?
    pub(super) fn check<W: View>(&self, w: &W, target: W::V, state: W::V) -> Result<(), Mismatch> {
        if !matches!(w.shape(target), Shape::Instance { state: None, .. }) {
            return Err(Mismatch::new("an object without a state so far", "a second state"));
        }
        if !matches!(w.shape(state), Shape::Dict { attrs: true }) || !w.whole(state) {
            return Err(Mismatch::new("attributes that are all known", w.shape(state).describe()));
        }
        let mut sizes = Sizes::default();
        let mut bounds = Vec::new();
        let mut found = 0;
        for (name, field) in &self.named {
            let Some(value) = w.entry(state, name) else {
                if field.needed || field.with.as_deref().is_some_and(|with| w.entry(state, with).is_some()) {
                    return Err(Mismatch::new(format!("an attribute {name}"), "none"));
                }
                continue;
            };
            found += 1;
            let (known, asked) = (sizes.0.len(), bounds.len());
            let fits = field.choices.iter().any(|choice| {
                // A choice that does not hold settles no size.
                sizes.0.truncate(known);
                bounds.truncate(asked);
                choice.holds(w, value, &mut sizes, &mut bounds)
            });
            if !fits {
                return Err(Mismatch::new(format!("{name}: {}", field.words()), w.shape(value).describe()));
            }
        }
        for (low, dim, value) in bounds {
            let high = match dim {
                Dim::Any => None,
                Dim::Is(size) => Some(*size),
                Dim::Named(name, more) => sizes.get(name).and_then(|size| size.checked_add_signed(*more)),
            };
            let sound = high.is_some_and(|high| array(w, value).is_some_and(|array| array.within(w, low, high)));
            if !sound {
                return Err(Mismatch::new("an array of indices within bounds", w.shape(value).describe()));
            }
        }
        match self.closed && w.count(state) != Some(found) {
            true => Err(Mismatch::new("only attributes that are known", "another one")),
            false => Ok(()),
        }
    }
}

impl Field {
    fn words(&self) -> String {
        let each: Vec<String> = self.choices.iter().map(Choice::words).collect();
        each.join(" or ")
    }
}

impl Choice {
    fn holds<'f, W: View>(
        &'f self, w: &W, v: W::V, sizes: &mut Sizes<'f>, bounds: &mut Vec<(i64, &'f Dim, W::V)>,
    ) -> bool {
        match self {
            Choice::Pattern(pattern) => pattern.matches(w, v).is_ok(),
            Choice::Size(name) => match w.shape(v) {
                Shape::Int(size) => u64::try_from(size).is_ok_and(|size| sizes.agree(name, size)),
                _ => false,
            },
            Choice::List(name) => {
                matches!(w.shape(v), Shape::List) && w.count(v).is_some_and(|count| sizes.agree(name, count))
            }
            Choice::Sparse(rows, columns) => scipy::compressed(w, v, "cs")
                .is_some_and(|(high, wide, _)| sizes.agree(rows, high) && sizes.agree(columns, wide)),
            Choice::Points(rows, columns) => {
                sklearn::points(w, v).is_some_and(|(high, wide)| sizes.agree(rows, high) && sizes.agree(columns, wide))
            }
            Choice::Indices => sklearn::indices(w, v),
            Choice::Features(name) => sklearn::features(w, v).is_some_and(|count| sizes.agree(name, count)),
            Choice::Array { kinds, dims, bounds: limits } => {
                let Some(array) = array(w, v) else { return false };
                let kind = (array.dtype.kind, array.dtype.size);
                let known = kinds.iter().any(|(k, size)| *k == kind.0 && size.is_none_or(|size| size == kind.1));
                let shaped = array.shape.len() == dims.len()
                    && array.shape.iter().zip(dims).all(|(length, dim)| sizes.fits(dim, *length));
                if let Some((low, high)) = limits {
                    bounds.push((*low, high, v));
                }
                known && shaped && !array.dtype.structured
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Choice::Pattern(pattern) => pattern.to_string(),
            Choice::Size(name) => format!("an integer {name}"),
            Choice::List(name) => format!("a list of {name}"),
            Choice::Sparse(rows, columns) => format!("a sparse matrix of {rows} by {columns}"),
            Choice::Points(rows, columns) => format!("a tree of {rows} points of {columns} features"),
            Choice::Indices => "a dict of indices within its own length".to_owned(),
            Choice::Features(name) => format!("a fitted structure over {name} features"),
            Choice::Array { kinds, dims, .. } => {
                let kinds: Vec<String> =
                    kinds.iter().map(|(k, size)| size.map_or(k.to_string(), |size| format!("{k}{size}"))).collect();
                let dims: Vec<String> = dims.iter().map(Dim::words).collect();
                format!("an array of {} with shape ({})", kinds.join(", "), dims.join(", "))
            }
        }
    }
}

impl Dim {
    fn words(&self) -> String {
        match self {
            Dim::Any => "any".to_owned(),
            Dim::Is(size) => size.to_string(),
            Dim::Named(name, 0) => name.clone(),
            Dim::Named(name, more) => format!("{name}{more:+}"),
        }
    }

    fn parse(text: &str) -> Result<Dim, String> {
        let text = text.trim();
        if text == "_" {
            return Ok(Dim::Any);
        }
        if let Ok(size) = text.parse() {
            return Ok(Dim::Is(size));
        }
        let at = text.find(['+', '-']).unwrap_or(text.len());
        let (name, more) = text.split_at(at);
        let more = if more.is_empty() { 0 } else { more.parse().map_err(|_| format!("not a size: {text:?}"))? };
        match !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            true => Ok(Dim::Named(name.to_owned(), more)),
            false => Err(format!("not a size: {text:?}")),
        }
    }
}

fn choice(text: &str) -> Result<Choice, String> {
    if let Some(name) = text.strip_prefix("size ") {
        return Ok(Choice::Size(name.to_owned()));
    }
    if let Some(name) = text.strip_prefix("list ") {
        return Ok(Choice::List(name.to_owned()));
    }
    if let Some(name) = text.strip_prefix("features ") {
        return Ok(Choice::Features(name.to_owned()));
    }
    if text == "indices" {
        return Ok(Choice::Indices);
    }
    if let Some((rows, columns)) = text.strip_prefix("points ").and_then(|text| text.split_once(' ')) {
        return Ok(Choice::Points(rows.to_owned(), columns.to_owned()));
    }
    if let Some((rows, columns)) = text.strip_prefix("sparse ").and_then(|text| text.split_once(' ')) {
        return Ok(Choice::Sparse(rows.to_owned(), columns.to_owned()));
    }
    let Some(text) = text.strip_prefix("array ") else {
        return Pattern::parse(text).map(Choice::Pattern).map_err(|error| error.to_string());
    };
    let wrong = || format!("not an array: {text:?}");
    let (kinds, rest) = text.split_once(" (").ok_or_else(wrong)?;
    let (dims, rest) = rest.split_once(')').ok_or_else(wrong)?;
    let kinds = kinds
        .split(',')
        .map(|kind| {
            let letter = kind.chars().next().ok_or_else(wrong)?;
            let size = &kind[letter.len_utf8()..];
            Ok((letter, if size.is_empty() { None } else { Some(size.parse().map_err(|_| wrong())?) }))
        })
        .collect::<Result<_, String>>()?;
    let dims = dims.split(',').filter(|dim| !dim.trim().is_empty()).map(Dim::parse).collect::<Result<_, _>>()?;
    let bounds = match rest.strip_prefix(" in ") {
        Some(range) => {
            let (low, high) = range.split_once("..").ok_or_else(wrong)?;
            Some((low.parse().map_err(|_| wrong())?, Dim::parse(high)?))
        }
        None if rest.is_empty() => None,
        None => return Err(wrong()),
    };
    Ok(Choice::Array { kinds, dims, bounds })
}

#[cfg(test)]
mod tests {
    use super::Fields;

    fn parse(text: &str) -> Result<Fields, String> {
        Fields::parse(&[("x".to_owned(), text.to_owned())])
    }

    /// A field that parses to something else than it says checks nothing.
    #[test]
    fn fields_parse_or_say_why_not() {
        for text in
            ["array f4,f8 (k, n)", "needed array i4 (m+1) in 0..k", "size n || none", "features n", "array O (_, 1)"]
        {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in
            ["array f8", "array f8 (k", "array f8 (k!)", "array i4 (m) in 0", "array i4 (m) upto 3", "no pattern"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
