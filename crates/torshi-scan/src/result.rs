//! What a scan says of one file: plain data, the same for the same bytes, written as JSON.

use crate::code::{Code, Severity};
use serde::Serialize;

/// Findings and reasons kept for one file: enough to show a person, few enough to bound memory.
pub const MOST_KEPT: usize = 500;
/// Entries listed for one file.
pub const MOST_ENTRIES: usize = 10_000;

/// What a scan comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// Everything was looked at, and nothing is against the policy.
    #[serde(rename = "no findings")]
    NoFindings,
    /// Something is against the policy.
    #[serde(rename = "findings")]
    Findings,
    /// Nothing seen is against the policy, and something could not be seen.
    #[serde(rename = "undecided")]
    Undecided,
}

/// One finding, one remark, or one reason to stay undecided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The stable code.
    pub code: &'static str,
    /// The same as words.
    pub rule: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// What is wrong, for a person.
    pub message: String,
    /// Which entry of the file; empty for the file itself.
    pub entry: String,
    /// How to get there, as in `zip > gzip > pickle`.
    pub format: String,
    /// Byte offset in the entry, unpacked.
    pub offset: Option<u64>,
    /// The opcode there.
    pub opcode: Option<&'static str>,
    /// Where in the object, such as `$.owner`.
    pub path: Option<String>,
    /// The global concerned.
    pub name: Option<String>,
    /// The shortest trust entry that would allow it, if one would.
    pub remedy: Option<String>,
}

/// One entry at the end of a chain of containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its name; empty for the file itself.
    pub name: String,
    /// How to get there.
    pub format: String,
    /// Bytes, unpacked.
    pub size: u64,
    /// Pickles found in it.
    pub pickles: u64,
}

/// What a scan says of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileResult {
    /// The path, or the name given to the bytes.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// The BLAKE3 digest of the file, unless it could not be read.
    pub blake3: Option<String>,
    /// What the file is, as in `gzip > pickle`.
    pub format: String,
    /// What the scan comes to.
    pub verdict: Verdict,
    /// Why, in one line.
    pub reason: String,
    /// Pickles found.
    pub pickles: u64,
    /// What is against the policy.
    pub findings: Vec<Statement>,
    /// What could not be seen.
    pub undecided: Vec<Statement>,
    /// What is worth knowing and no part of the verdict.
    pub remarks: Vec<Statement>,
    /// Findings, reasons and remarks beyond the bound of the lists.
    pub left_out: u64,
    /// What is in it.
    pub entries: Vec<Entry>,
    /// Entries beyond the bound of the list.
    pub entries_left_out: u64,
}

impl FileResult {
    /// Of a file nothing is known of yet.
    pub fn new(path: &str, size: u64) -> FileResult {
        FileResult {
            path: path.to_owned(),
            size,
            blake3: None,
            format: String::new(),
            verdict: Verdict::NoFindings,
            reason: String::new(),
            pickles: 0,
            findings: Vec::new(),
            undecided: Vec::new(),
            remarks: Vec::new(),
            left_out: 0,
            entries: Vec::new(),
            entries_left_out: 0,
        }
    }

    /// Of a file that could not be read.
    pub fn unread(path: &str, size: u64, code: Code, message: &str) -> FileResult {
        let mut result = FileResult::new(path, size);
        result.add(statement(code, message.to_owned()));
        result.conclude();
        result
    }

    /// Notes a finding, a reason or a remark: its code says which.
    pub fn add(&mut self, statement: Statement) {
        let list = match statement.code.as_bytes() {
            [_, b'9', ..] => &mut self.undecided,
            [_, b'3', ..] => &mut self.remarks,
            _ => &mut self.findings,
        };
        if list.len() < MOST_KEPT {
            list.push(statement);
        } else {
            self.left_out += 1;
        }
    }

    /// Notes an entry.
    pub fn add_entry(&mut self, entry: Entry) {
        self.pickles += entry.pickles;
        if self.entries.len() < MOST_ENTRIES {
            self.entries.push(entry);
        } else {
            self.entries_left_out += 1;
        }
    }

    /// Puts verdict and reason in, at the end.
    pub fn conclude(&mut self) {
        let count = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        (self.verdict, self.reason) = match (self.findings.first(), self.undecided.first()) {
            (Some(_), _) => (Verdict::Findings, count(self.findings.len() as u64, "finding")),
            (None, Some(first)) => (Verdict::Undecided, first.message.clone()),
            (None, None) if self.pickles == 0 => (Verdict::NoFindings, "no pickle found".to_owned()),
            (None, None) => (Verdict::NoFindings, count(self.pickles, "pickle")),
        };
    }

    /// The result as one JSON object.
    pub fn to_json(&self) -> String {
        // Nothing in a result can fail to be written: keys are text.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A statement without a place.
pub fn statement(code: Code, message: String) -> Statement {
    let row = code.row();
    Statement {
        code: row.id,
        rule: row.rule,
        severity: row.severity,
        message: torshi_core::finding::shown(&message),
        entry: String::new(),
        format: String::new(),
        offset: None,
        opcode: None,
        path: None,
        name: None,
        remedy: None,
    }
}
