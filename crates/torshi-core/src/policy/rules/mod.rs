//! Named rules: argument and state checks that need more than a pattern.
//!
//! A rule looks at values through [`View`] and says yes or why not. It is pure, takes time linear in what it
//! looks at, and refuses whatever it cannot see (an unknown length, an opaque value). The list below is the
//! only place where a name and its function meet.
use super::pattern::{Mismatch, Shape, View};

pub(crate) mod content;

/// What a rule answers.
pub(crate) type Outcome = Result<(), Mismatch>;

macro_rules! rules {
    ($($name:literal => $variant:ident $($path:ident)::+;)*) => {
        /// One rule per variant; [`Rule::parse`] gives it by the name the tables use.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rule { $(#[doc = $name] $variant,)* }

        impl Rule {
            /// Every rule with its name.
            pub const ALL: &'static [(&'static str, Rule)] = &[$(($name, Rule::$variant),)*];

            /// Applies the rule to `v`; `target` is the instance a state is for.
            pub fn check<W: View>(self, w: &W, v: W::V, target: Option<W::V>) -> Outcome {
                match self { $(Rule::$variant => $($path)::+(w, v, target),)* }
            }
        }
    };
}

rules! {
    "content.nonempty" => ContentNonempty content::nonempty;
}

impl Rule {
    /// The rule of a name.
    pub fn parse(name: &str) -> Option<Rule> {
        Rule::ALL.iter().find(|(known, _)| *known == name).map(|(_, rule)| *rule)
    }

    /// The name of the rule.
    pub fn name(self) -> &'static str {
        Rule::ALL.iter().find(|(_, rule)| *rule == self).map_or("?", |(name, _)| name)
    }
}

/// Refuses, saying what was wanted and what `v` is.
pub(crate) fn refuse<W: View>(w: &W, v: W::V, expected: impl Into<String>) -> Outcome {
    Err(Mismatch { expected: expected.into(), got: w.shape(v).describe() })
}

/// The items of a tuple, or a refusal.
pub(crate) fn tuple<W: View>(w: &W, v: W::V, expected: &str) -> Result<Vec<W::V>, Mismatch> {
    match w.shape(v) {
        Shape::Tuple(items) => Ok(items.to_vec()),
        other => Err(Mismatch { expected: expected.to_owned(), got: other.describe() }),
    }
}
