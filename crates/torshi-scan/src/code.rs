//! The codes of findings and of what stays undecided: one row each, from which reports, SARIF rules and
//! `docs/findings.md` are made. A code keeps its meaning for ever; a row here decides nothing.

use serde::Serialize;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// What loading the file would do is not allowed.
    High,
    /// It depends on the program that reads the file.
    Medium,
    /// The file says two things; nothing in it is known to use that.
    Low,
    /// Worth knowing, and nothing against the policy.
    Note,
}

/// What kind of statement a code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The policy does not allow something: exit code 1.
    Finding,
    /// The scan could not see all there is: exit code 2.
    Undecided,
    /// Said beside the verdict, and no part of it.
    Remark,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CodeRow {
    /// The stable code.
    pub id: &'static str,
    /// The same as words.
    pub rule: &'static str,
    /// Finding, remark or reason to stay undecided.
    pub class: Class,
    /// How much it weighs.
    pub severity: Severity,
    /// One line.
    pub title: &'static str,
    /// What it means.
    pub text: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

macro_rules! codes {
    ($($name:ident $id:literal $rule:literal $class:ident $severity:ident: $title:literal, $text:literal, $advice:literal;)*) => {
        /// A code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // the table says what each is
        pub enum Code { $($name),* }

        /// All rows, in the order of their codes.
        pub const TABLE: &[CodeRow] = &[$(CodeRow {
            id: $id, rule: $rule, class: Class::$class, severity: Severity::$severity,
            title: $title, text: $text, advice: $advice,
        }),*];
    };
}

codes! {
    UntrustedGlobal "T101" "untrusted-global" Finding High: "a class or function that the policy does not list",
        "Loading would import this name, and importing alone can run code. Names that the policy does not list are findings whatever they are: a harmless class of your own and `os.system` alike.",
        "If it is yours, scan with `--trust NAME` or a policy file. If you do not know it, do not load the file.";
    Call "T102" "call" Finding High: "a call that the policy does not allow",
        "The name is listed, but not to be called, or not with these arguments.",
        "Do not load the file with a loader that does not check calls.";
    Construct "T103" "construct" Finding High: "an instance made in a way that the policy does not allow",
        "The class is listed, but its instances are not made like this, or not with these arguments.",
        "Do not load the file with a loader that does not check constructions.";
    State "T104" "state" Finding High: "a state that the policy does not allow",
        "The object is given attributes or a state that its class does not have when it is pickled honestly. Forged states crash the interpreter or swap an object's class.",
        "Do not load the file with a loader that does not check states.";
    Items "T105" "items" Finding High: "an object filled that may not be filled",
        "Items are appended to, set in or added to an object whose methods for that are not reviewed.",
        "If the class is yours, trust it by name.";
    Value "T106" "value" Finding High: "a name used as data that may not be",
        "A listed function or class stands in the result, where the program may call it later.",
        "If it is meant, trust it by name.";
    Computed "T107" "computed" Finding High: "something computed is called or given state",
        "What is called is not a name of the stream but the result of another step. No honest pickle does this.",
        "Do not load the file.";
    PersistentId "T108" "persistent-id" Finding Medium: "a persistent id outside a PyTorch file",
        "The pickle asks the program that loads it to fetch an object by an id. Stock pickle refuses; what another program does is not written in the file.",
        "Read the file only with the program it was made for.";
    Extension "T109" "extension-code" Finding Medium: "a name given by an extension code",
        "The pickle names a class by a number of `copyreg`'s registry, which only the reading program knows.",
        "Write the file anew without registered extensions.";
    Broken "T110" "broken-after-findings" Finding High: "a broken pickle that acts before it breaks",
        "The stream cannot be read to its end, but what comes before the fault is not allowed, and a loader runs it before it meets the fault. Scanners that give up on broken files miss such streams.",
        "Do not load the file.";
    Resources "T111" "resources" Finding High: "a pickle that asks for more than the limits grant",
        "It declares sizes, hashing work or nesting out of proportion to its length.",
        "If the file is yours, raise the limit that the message names.";
    Invalid "T112" "invalid-stream" Finding Medium: "a pickle that breaks the rules of the format",
        "Every load refuses it where the message says: a stack without what an instruction takes from it, an impossible argument, a byte that is no instruction. Nothing before that is against the policy. No program writes such a pickle; readers written in C have crashed on them.",
        "Fetch the file anew; if it stays so, do not load it.";
    CutOff "T113" "cut-off" Finding Medium: "a pickle that is cut off",
        "It ends before its STOP, or declares more bytes than are there, which makes some readers ask for the memory first. Every load refuses it. Nothing before that is against the policy.",
        "Fetch the file anew.";
    MissingBuffers "T114" "missing-buffers" Finding Medium: "a pickle whose buffers are not in the file",
        "It asks for out-of-band buffers, which a program hands to the load beside the stream. As a file it cannot be loaded.",
        "Read it with the program that keeps its buffers, or write it anew without `buffer_callback`.";
    FarSlot "T115" "memo-index" Finding Medium: "a memo index out of proportion",
        "It numbers an object higher than it has bytes. torshi loads it; stock pickle makes room for all the numbers below, which takes gigabytes for a few bytes.",
        "Do not load the file with stock pickle.";
    Nested "T120" "nested" Finding Medium: "a pickle with findings inside a value of a pickle that may load it",
        "A bytes or text value of the pickle is itself a pickle, with the finding named, and the same stream calls or fills something that the policy allows and no table has reviewed, which may load it.",
        "Judge the inner pickle like a file of its own.";
    Hidden "T130" "hidden" Finding High: "a pickle with findings hidden in other data",
        "It stands behind or within data of another format, where most tools do not look and a loader that seeks to it finds it.",
        "Do not load the file.";
    ZipCrc "T201" "zip-checksum" Finding Medium: "a zip entry with a wrong checksum, in an archive with pickles",
        "Strict readers refuse the entry, lenient ones (PyTorch's among them) load it. The contents were checked all the same.",
        "Fetch the file anew; if it stays so, ask whoever made it.";
    ZipHeaders "T202" "zip-headers" Finding Medium: "zip headers that disagree, in an archive with pickles",
        "The central directory and the header before the entry name different contents, so two readers load two things. Both were checked.",
        "Repack the archive with an ordinary tool.";
    ZipDuplicate "T203" "zip-duplicate" Finding Medium: "two zip entries of one name, in an archive with pickles",
        "Which of the two is loaded depends on the reader. Both were checked.",
        "Repack the archive with an ordinary tool.";
    ZipPrefix "T204" "zip-prefix" Finding Low: "bytes in front of a zip archive with pickles",
        "Some readers count offsets from the start of the file, others from the start of the archive. Both were checked, and the bytes in front too.",
        "Repack the archive with an ordinary tool.";
    ZipUnlisted "T205" "zip-unlisted" Finding Medium: "a zip entry that the directory does not list, with a pickle in it",
        "Readers that go through the file from its start find it, readers of the directory do not. It was checked.",
        "Repack the archive with an ordinary tool.";
    ZipOverlap "T206" "zip-overlap" Finding Medium: "zip entries that share bytes, in an archive with pickles",
        "Overlapping entries are how small archives unpack to very large ones.",
        "Repack the archive with an ordinary tool.";
    ZipFlag "T207" "zip-false-encryption" Finding Medium: "a zip entry that only claims to be encrypted",
        "The flag for encryption is set and the contents are plain: readers that ignore the flag load them, scanners that believe it skip them. The contents were checked.",
        "Repack the archive with an ordinary tool.";
    NestedData "T301" "nested-data" Remark Note: "a pickle with findings kept as data in a value of a pickle",
        "A bytes or text value of the pickle is itself a pickle, with the finding named. Loading the outer one leaves it alone: this is a remark and no part of the verdict. The program that gets the value may load it next.",
        "Judge the inner pickle like a file of its own before something loads it.";
    Malformed "T901" "malformed" Undecided Medium: "data that begins like a pickle and does not end like one",
        "It has too little of a pickle to be called a broken one (T112, T113). Nothing before the fault is against the policy, and what stands behind it was not reached.",
        "Fetch the file anew, if it should be a pickle.";
    Expanded "T902" "limit-expanded" Undecided Medium: "more unpacked than the limit",
        "What was unpacked up to the limit was checked, the rest was not.",
        "Raise `ScanLimits.expanded`, if there is memory for it.";
    Ratio "T903" "limit-ratio" Undecided Medium: "compressed out of proportion",
        "A compressed part comes to many times its own size, as decompression bombs do. What was unpacked so far was checked.",
        "Raise `ScanLimits.ratio`, if the file is known to be like that.";
    Nesting "T904" "limit-nesting" Undecided Medium: "containers nested too deep",
        "What lies below the limit was not looked at.",
        "Raise `ScanLimits.nesting`.";
    Entries "T905" "limit-entries" Undecided Medium: "more entries than the limit",
        "The entries beyond the limit were not looked at.",
        "Raise `ScanLimits.entries`.";
    FileSize "T906" "limit-file" Undecided Medium: "a file larger than the limit",
        "The file was not read.",
        "Raise `ScanLimits.file`, if there is memory for it.";
    Encrypted "T907" "encrypted" Undecided Medium: "an encrypted entry",
        "Without the password nobody can say what is in it.",
        "Decrypt it and scan the result.";
    Damaged "T908" "damaged" Undecided Medium: "a damaged or truncated container",
        "It cannot be unpacked to its end. What could be was checked.",
        "Fetch the file anew.";
    Unsupported "T909" "unsupported" Undecided Medium: "a container or compression that is not supported",
        "What is in it was not looked at.",
        "Unpack it and scan the result.";
    UnknownLayout "T910" "unknown-layout" Undecided Medium: "array data whose extent is not known",
        "The header of the array does not say how many bytes it has, so what follows cannot be told from it.",
        "Write the file anew with a current version of its library.";
    Unreadable "T911" "unreadable" Undecided Medium: "a file that cannot be read",
        "The system refused it.",
        "See the message.";
    Work "T912" "limit-work" Undecided Medium: "data made to take long",
        "So much of it begins like a pickle that looking at every beginning would take time out of proportion to its length. The rest was not looked at.",
        "Treat the file as hostile.";
    Failed "T999" "internal" Undecided Medium: "the scan of this file failed",
        "An error in torshi. Nothing is known about the file.",
        "Please report it, with the file if you can.";
}

impl Code {
    /// The row of a code.
    pub fn row(self) -> &'static CodeRow {
        &TABLE[self as usize]
    }
}

/// The table as JSON, a list of objects.
pub fn table_json() -> String {
    serde_json::to_string(TABLE).unwrap_or_default()
}

/// The table as a page of the documentation.
pub fn table_markdown() -> String {
    let mut page = String::from(
        "# Findings\n\nThis page is made from the table in `crates/torshi-scan/src/code.rs`. Codes keep their meaning; \
         new ones may come.\n\nA file has *findings* if any code T1.. or T2.. applies, is *undecided* if only codes T9.. do, \
         and has *no findings* otherwise. Codes T3.. are remarks, which change no verdict. See [scanning](scanning.md).\n\n| code | name | severity | what it is |\n|---|---|---|---|\n",
    );
    for row in TABLE {
        let severity = severity_word(row);
        page.push_str(&format!("| {} | `{}` | {severity} | {} |\n", row.id, row.rule, row.title));
    }
    for row in TABLE {
        page.push_str(&format!(
            "\n## {} {}\n\n{}.\n\n{}\n\n{}\n",
            row.id,
            row.rule,
            capital(row.title),
            row.text,
            row.advice
        ));
    }
    page
}

fn severity_word(row: &CodeRow) -> &'static str {
    match (row.class, row.severity) {
        (Class::Undecided, _) => "undecided",
        (Class::Remark, _) | (_, Severity::Note) => "remark",
        (_, Severity::High) => "high",
        (_, Severity::Medium) => "medium",
        (_, Severity::Low) => "low",
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page would go on saying what the code no longer does. To write it anew, run the tests with
    /// `TORSHI_WRITE_DOCS=1`.
    #[test]
    fn the_page_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/findings.md");
        if std::env::var_os("TORSHI_WRITE_DOCS").is_some() {
            std::fs::write(path, table_markdown()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), table_markdown());
    }

    /// A code used twice would name two things, and a class that its number contradicts would mislead.
    #[test]
    fn codes_are_distinct_and_say_their_class() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].id < pair[1].id, "{}", pair[1].id);
        }
        for row in TABLE {
            assert_eq!(row.id.starts_with("T9"), row.class == Class::Undecided, "{}", row.id);
            assert_eq!(row.id.starts_with("T3"), row.class == Class::Remark, "{}", row.id);
            assert_eq!(row.severity == Severity::Note, row.class == Class::Remark, "{}", row.id);
        }
        assert_eq!(Code::Failed.row().id, "T999");
    }
}
