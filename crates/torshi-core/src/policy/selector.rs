//! One entry of a caller's list: an exact name or a glob, which names it covers, and for which uses.
//!
//! Entries that allow are read narrowly (no private segments, whole segments only), entries that deny widely
//! (everything below, private or not). An entry never covers a name by chance: prefixes end at a dot.
use super::{Matched, PolicyError};
use crate::symbolic::usage;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Selector {
    text: String,
    form: Form,
    /// What the entry lets a stream do with the name: bits of [`usage`]. Without a list of uses, everything.
    uses: u8,
}

/// Every use.
pub(super) const ALL_USES: u8 = usage::CALL | usage::CONSTRUCT | usage::STATE | usage::ITEMS | usage::VALUE;
/// The word for no use at all: the name may stand in a stream that does nothing with it.
const NAMED_ONLY: &str = "import";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    /// `a.b.C`: at every split into module and qualified name.
    Dotted,
    /// `a.b:C`.
    Split { module: String, qualname: String },
    /// `a.b.*`: module `a.b`, or one below it.
    Below { prefix: String },
    /// `a.b:*` or `a.b:C.*`: this module alone, names below `C` if given.
    Within { module: String, prefix: Option<String> },
}

/// Can an entry cover this qualified name at all? Names with double underscores on both sides lead out of what a
/// caller meant; with leading ones alone they are ordinary, as Cython's `__pyx_unpickle_Frame`.
pub(super) fn reachable(qualname: &str) -> bool {
    let is_dunder = |segment: &str| segment.starts_with("__") && segment.ends_with("__");
    qualname.split('.').all(|segment| !segment.is_empty() && !is_dunder(segment) && !segment.starts_with('<'))
}

/// Is `text` equal to `prefix` or below it?
fn at_or_below(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn joined_equals(module: &str, name: &str, text: &str) -> bool {
    text.strip_prefix(module).and_then(|rest| rest.strip_prefix('.')) == Some(name)
}

fn identifier(segment: &str) -> bool {
    let mut chars = segment.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_') && chars.all(|c| c.is_alphanumeric() || c == '_')
}

impl Selector {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The text without the uses.
    fn name(&self) -> &str {
        self.text.split_once(' ').map_or(&self.text, |(name, _)| name)
    }

    /// What it lets a stream do: bits of [`usage`].
    pub(super) fn uses(&self) -> u8 {
        self.uses
    }

    /// Reads an entry; `allow` demands one that can allow something, and not everything. A list of uses may follow
    /// the name: `myapp.util:rebuild [call]`.
    pub(super) fn parse(text: &str, allow: bool) -> Result<Selector, PolicyError> {
        let fail = |why: &str| Err(PolicyError { message: format!("{text:?} {why}") });
        let Some((name, list)) = text.strip_suffix(']').and_then(|text| text.split_once(" [")) else {
            return Selector::parse_name(text, allow, ALL_USES);
        };
        if !allow {
            return fail("denies a name as a whole: leave out the uses");
        }
        let mut uses = 0;
        for word in list.split(',').map(str::trim).filter(|word| *word != NAMED_ONLY) {
            match usage::WORDS.iter().find(|(_, known)| *known == word) {
                Some((bit, _)) => uses |= bit,
                None => return fail("has a use that is none of call, construct, state, items, value, import"),
            }
        }
        let mut selector = Selector::parse_name(name, allow, uses)?;
        if matches!(selector.form, Form::Below { .. } | Form::Within { .. }) {
            return fail("has uses and a star: uses are for one name");
        }
        let words: Vec<&str> = usage::WORDS.iter().filter(|(bit, _)| uses & bit != 0).map(|(_, word)| *word).collect();
        let list = if words.is_empty() { NAMED_ONLY.to_owned() } else { words.join(", ") };
        selector.text = format!("{name} [{list}]");
        Ok(selector)
    }

    fn parse_name(text: &str, allow: bool, uses: u8) -> Result<Selector, PolicyError> {
        let fail = |why: &str| Err(PolicyError { message: format!("{text:?} {why}") });
        if text == "*" || text == "*.*" {
            return fail("would allow everything: say torshi.unrestricted(reason) instead");
        }
        let (body, glob) = match text.strip_suffix(".*").or_else(|| text.strip_suffix(":*")) {
            Some(body) => (body, true),
            None => (text, false),
        };
        if body.matches(':').count() > 1 || !body.split([':', '.']).all(identifier) {
            return fail("is not a name: write package.module.Class, package.module:Class or package.module.*");
        }
        let form = match (body.split_once(':'), glob) {
            (Some((module, qualname)), false) => Form::Split { module: module.into(), qualname: qualname.into() },
            (Some((module, prefix)), true) if text.ends_with(".*") => {
                Form::Within { module: module.into(), prefix: Some(prefix.into()) }
            }
            (Some(_), true) => return fail("has two colons"),
            (None, true) if text.ends_with(":*") => Form::Within { module: body.into(), prefix: None },
            (None, true) => Form::Below { prefix: body.into() },
            (None, false) => Form::Dotted,
        };
        if allow {
            if form == Form::Dotted && !body.contains('.') {
                return fail("names no module: write module.name, or module.* for all of a module");
            }
            let qualname = match &form {
                Form::Split { qualname, .. } => Some(qualname.as_str()),
                Form::Within { prefix, .. } => prefix.as_deref(),
                Form::Dotted => body.rsplit('.').next(),
                Form::Below { .. } => None,
            };
            if qualname.is_some_and(|qualname| !reachable(qualname)) {
                return fail("has a part such as __this__, which no entry can allow");
            }
        }
        Ok(Selector { text: text.to_owned(), form, uses })
    }

    /// Does the entry allow the name, and how? The caller has checked that the name is [`reachable`].
    pub(super) fn allows(&self, module: &str, name: &str) -> Option<Matched> {
        match &self.form {
            Form::Dotted => joined_equals(module, name, self.name()).then_some(Matched::Exact),
            Form::Split { module: m, qualname } => (m == module && qualname == name).then_some(Matched::Exact),
            Form::Below { prefix } => at_or_below(module, prefix).then(|| Matched::Glob(prefix.clone())),
            Form::Within { module: m, prefix } => {
                let below = |prefix: &String| name.len() > prefix.len() && at_or_below(name, prefix);
                (m == module && prefix.as_ref().is_none_or(below)).then(|| Matched::Glob(m.clone()))
            }
        }
    }

    /// Does the entry deny the name?
    pub(super) fn denies(&self, module: &str, name: &str) -> bool {
        match &self.form {
            Form::Dotted => at_or_below(&format!("{module}.{name}"), &self.text),
            Form::Split { module: m, qualname } => m == module && at_or_below(name, qualname),
            Form::Below { prefix } => at_or_below(&format!("{module}.{name}"), prefix),
            Form::Within { module: m, prefix } => m == module && prefix.as_ref().is_none_or(|p| at_or_below(name, p)),
        }
    }
}
