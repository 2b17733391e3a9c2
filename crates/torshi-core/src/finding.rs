//! Findings: what a stream asks for that its policy does not allow. A finding is evidence (what,
//! where, why, and the shortest line that would allow it); it never decides anything.

use serde::Serialize;

/// The kind of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A name the policy does not list.
    UntrustedGlobal,
    /// A listed name is called, and may not be, or not with these arguments.
    Call,
    /// An instance is made in a way its row does not allow.
    Construct,
    /// An object gets state that its row does not allow.
    State,
    /// An object is filled, and may not be.
    Items,
    /// A name is used as data, and may not be.
    Value,
    /// Something that is not a name of the stream is called or given state.
    Computed,
    /// A persistent id where the load has no answer for it.
    Persistent,
}

/// One thing a stream asks for that its policy does not allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// The global concerned, `module.qualname`.
    pub name: Option<String>,
    /// Byte offset of the opcode.
    pub offset: usize,
    /// Name of the opcode.
    pub opcode: &'static str,
    /// Where in the object the value would stand, such as `$.owner`.
    pub path: Option<String>,
    /// What is wrong, for a person.
    pub message: String,
    /// The shortest trust entry that would allow it, if one would.
    pub remedy: Option<String>,
}

/// The longest text of a stream that a message repeats.
const MOST_SHOWN: usize = 600;

/// A message that may hold names of the stream, made safe to print: what steers a terminal or hides is
/// escaped, and what is very long is cut.
pub fn shown(message: &str) -> String {
    let mut out = String::with_capacity(message.len().min(MOST_SHOWN));
    for (at, character) in message.char_indices() {
        if at > MOST_SHOWN {
            out.push_str("...");
            break;
        }
        match character {
            '\'' | '"' | '\\' => out.push(character),
            _ => out.extend(character.escape_debug()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::shown;

    /// A name in a stranger's file must not steer the terminal that shows the refusal.
    #[test]
    fn messages_are_printable() {
        assert_eq!(shown("os\u{1b}[2J\u{202e}\0 is 'not' \\ é"), "os\\u{1b}[2J\\u{202e}\\0 is 'not' \\ é");
        assert!(shown(&"x".repeat(10_000)).len() < 700);
    }
}
