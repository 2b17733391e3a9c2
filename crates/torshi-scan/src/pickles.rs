//! Pickles: bytes in, what the one machine says of each pickle in a row out. Tells a broken pickle from
//! data that is none, and what acts before it breaks from what only breaks. It never parses by itself: which
//! instructions there are is the core reader's to say, what they do is the core machine's.

use crate::code::Code;
use crate::format::{sniff, Format};
use crate::hidden;
use crate::nested::nested;
use crate::result::{statement, Statement, MOST_KEPT};
use crate::walk::{FoundPickle, Place, Walk};
use std::ops::Range;
use torshi_core::error::{Fault, FaultKind};
use torshi_core::finding::{Finding, FindingKind};
use torshi_core::limits::Limits;
use torshi_core::opcode::Opcode;
use torshi_core::policy::Policy;
use torshi_core::reader::Reader;
use torshi_core::symbolic::{is_wrapper, usage, verify, verify_joblib, Encoding, GlobalUse, Outcome, Settings};

/// Instructions that tell a broken pickle without a header from other data.
const ENOUGH: usize = 16;
/// Of what is so short that little else tells it: its last byte does.
const LONGEST_SHORT: usize = 4096;
/// A memo slot from which on an array of that many takes more memory than a small pickle should.
const FAR_SLOT: u64 = 1 << 20;

/// What a scan offers a stream: nothing of any program.
fn settings(persistent: bool) -> Settings<'static> {
    Settings {
        // Who loads old pickles of arrays says latin1; what ASCII would refuse is read that way too.
        encoding: Encoding::Latin1,
        fix_imports: true,
        persistent,
        extension: &|_| None,
        renamed: &|_, _, _| None,
        earlier: 0,
        recall: &|_| None,
    }
}

/// What one pickle comes to.
pub(crate) struct Checked {
    pub outcome: Outcome,
    /// Where it first asks for a persistent object that nobody promised.
    pub persistent: Option<Fault>,
    /// In joblib's layout: where arrays stand between the instructions.
    pub arrays: Option<Vec<Range<usize>>>,
    /// In joblib's layout it ends at an array of which nobody can say how long it is.
    pub obscure: bool,
    /// Bytes that were read.
    pub read: usize,
}

fn read(outcome: &Outcome) -> usize {
    outcome.fault.as_ref().map_or(outcome.plan.end, |fault| fault.offset)
}

/// Checks the pickle at the beginning of the data. One with joblib's array wrappers is read both ways: as joblib does,
/// and as stock pickle does, which takes the bytes of the arrays for instructions.
pub(crate) fn check(data: &[u8], policy: &Policy, limits: &Limits, torch: bool) -> Checked {
    let stock = check_stock(data, policy, limits, torch);
    if !stock.outcome.plan.globals.iter().any(|global| is_wrapper(&global.module, &global.qualname)) {
        return stock;
    }
    let mut laid = verify_joblib(data, policy, limits, &settings(true));
    let Some(first) = laid.foreign.first().map(|array| array.start) else {
        let mut stock = Checked { obscure: laid.obscure, ..stock };
        // Broken off within its first array, which stock pickle has taken for instructions.
        if let (Some(fault), Some(told), true) =
            (&laid.outcome.fault, &mut stock.outcome.fault, stock.outcome.findings.is_empty())
        {
            told.clone_from(fault);
        }
        return stock;
    };
    // What the bytes of an array come to as instructions counts only where it can be meant.
    let meant = |outcome: &Outcome| {
        outcome.plan.globals.iter().any(|global| {
            global.site.offset >= first && global.uses & (usage::CALL | usage::CONSTRUCT) != 0 && is_plausible(global)
        })
    };
    if meant(&stock.outcome) {
        let more = stock.outcome.findings.into_iter().filter(|finding| finding.offset >= first);
        laid.outcome.findings.extend(more);
    }
    let read = stock.read + read(&laid.outcome);
    Checked {
        read,
        outcome: laid.outcome,
        persistent: stock.persistent.filter(|fault| fault.offset < first),
        arrays: Some(laid.foreign),
        obscure: laid.obscure,
    }
}

fn check_stock(data: &[u8], policy: &Policy, limits: &Limits, torch: bool) -> Checked {
    let outcome = verify(data, policy, limits, &settings(torch));
    match &outcome.fault {
        Some(fault) if matches!(fault.opcode, Some(Opcode::Persid | Opcode::Binpersid)) && !torch => {
            let first = (**fault).clone();
            // A program that answers the id goes on behind it.
            let outcome = verify(data, policy, limits, &settings(true));
            Checked { read: 2 * read(&outcome), outcome, persistent: Some(first), arrays: None, obscure: false }
        }
        _ => Checked { read: read(&outcome), outcome, persistent: None, arrays: None, obscure: false },
    }
}

/// Reads pickles one after another from the beginning of the data. `None`: there is none. `quiet`: the data
/// is known to be something else, so what does not parse is no broken pickle.
pub(crate) fn row(walk: &mut Walk<'_>, data: &[u8], place: &Place, quiet: bool) -> Option<u64> {
    let (mut at, mut count) = (0, 0u64);
    let (mut whole, mut joblib) = (true, false);
    while at < data.len() {
        let rest = &data[at..];
        let here = place.at(at);
        let checked = check(rest, &walk.settings.policy, &walk.settings.limits.load, place.torch);
        joblib |= checked.arrays.is_some();
        if !walk.work(checked.read as u64, &here, 0) {
            break;
        }
        match checked.outcome.fault {
            None => {
                // One byte and a STOP, in a file that is something else, says nothing.
                let end = checked.outcome.plan.end;
                if count == 0 && quiet && checked.outcome.findings.is_empty() {
                    return None;
                }
                if let Some(kept) = walk.kept.as_mut().filter(|_| !quiet) {
                    kept.push(FoundPickle { entry: here.name.clone(), offset: here.base, data: rest[..end].to_vec() });
                }
                report(walk, &rest[..end], &checked, &here);
                let role = role_of_values(&checked);
                nested(walk, &rest[..end], checked.arrays.as_deref().unwrap_or_default(), &here, role);
                (at, count) = (at + end, count + 1);
            }
            Some(ref fault) => {
                match broken(rest, &checked.outcome, fault) {
                    Broken::Acts => {
                        report(walk, rest, &checked, &here);
                        say_broken(walk, fault, &here);
                        count += 1;
                        at += fault.offset;
                    }
                    Broken::Begun if !quiet => {
                        malformed(walk, rest, &checked, fault, &here);
                        count += 1;
                        at += fault.offset;
                    }
                    _ => {}
                }
                whole = false;
                break;
            }
        }
    }
    if count == 0 {
        return None;
    }
    let inside = Place { format: place.chain("pickle"), ..place.at(at) };
    if !whole {
        count += tail(walk, data.get(at..).unwrap_or_default(), &inside);
    }
    walk.entry(place, if joblib { "joblib" } else { "pickle" }, data.len(), count);
    Some(count)
}

/// What stands behind the last pickle and is no pickle: padding, raw arrays, or something to look into.
fn tail(walk: &mut Walk<'_>, rest: &[u8], place: &Place) -> u64 {
    match sniff(rest) {
        Format::Other | Format::Zip | Format::Unsupported(_) => hidden::search(walk, rest, place),
        _ => walk.walk(rest, &Place { depth: place.depth + 1, ..place.clone() }),
    }
}

/// How a stream is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It is no pickle at all.
    Foreign,
    /// It begins like one, and does nothing against the policy as far as it goes.
    Begun,
    /// It does something against the policy before it breaks.
    Acts,
}

/// Tells a broken pickle from data that happens to begin like one.
pub(crate) fn broken(data: &[u8], outcome: &Outcome, fault: &Fault) -> Broken {
    let header = has_header(data);
    let Run { steps, distinct } = run_before(data, fault.offset);
    let limit = matches!(fault.kind, FaultKind::Limit { .. });
    let unresolved = matches!(fault.opcode, Some(Opcode::Ext1 | Opcode::Ext2 | Opcode::Ext4));
    // Lines of text may all be instructions of one kind; a pickle has more than one.
    let foreign = || torshi_core::sniff::sniff(data).is_some() || distinct < 3 && is_text(data);
    let acts = match header {
        true => steps >= 2,
        false => names_are_plausible(outcome) && (calls(outcome) || !foreign()),
    };
    if acts && !outcome.findings.is_empty()
        || limit && steps >= 3 && (header || !foreign())
        || unresolved && header && steps >= 1
    {
        return Broken::Acts;
    }
    let begun = match (header, &fault.kind) {
        // Nothing writes PROTO with less than 2, and fonts begin like that.
        (true, _) if data[1] < 2 => steps >= 8,
        (true, FaultKind::UnknownOpcode(_)) => steps >= 2,
        (true, _) => steps >= 1,
        (false, FaultKind::EndOfStream | FaultKind::Truncated { .. } | FaultKind::UnendedLine) => {
            steps >= 6 && distinct >= 3
        }
        (false, _) => steps >= ENOUGH && distinct >= 4,
    };
    if (begun || ends_in_stop(data)) && (header || !foreign()) {
        Broken::Begun
    } else {
        Broken::Foreign
    }
}

/// Whether the beginning is text without control characters.
fn is_text(data: &[u8]) -> bool {
    const WINDOW: usize = 512;
    let head = &data[..data.len().min(WINDOW)];
    let plain = |&byte: &u8| byte >= 0x20 || matches!(byte, b'\n' | b'\r' | b'\t' | 0x0c);
    head.iter().all(plain) && std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true)
}

/// Whether the data are instructions from beginning to end, three at least.
fn ends_in_stop(data: &[u8]) -> bool {
    if data.len() > LONGEST_SHORT {
        return false;
    }
    let mut reader = Reader::new(data);
    let mut steps = 0;
    loop {
        match reader.opcode().and_then(|opcode| Ok((opcode, reader.argument()?))) {
            Ok((Opcode::Stop, _)) => return steps >= 2 && reader.offset() == data.len(),
            Ok(_) => steps += 1,
            Err(_) => return false,
        }
    }
}

/// PROTO and a protocol there is.
pub(crate) fn has_header(data: &[u8]) -> bool {
    matches!(data, [0x80, 0..=5, ..])
}

/// Instructions in a row.
struct Run {
    steps: usize,
    /// Kinds among them.
    distinct: usize,
}

/// The instructions before an offset, as far as they matter here.
fn run_before(data: &[u8], offset: usize) -> Run {
    let mut reader = Reader::new(data);
    let mut seen = Vec::new();
    let mut steps = 0;
    while steps < ENOUGH {
        let Ok(opcode) = reader.opcode().and_then(|opcode| reader.argument().map(|_| opcode)) else { break };
        if reader.offset() > offset {
            break;
        }
        steps += 1;
        if !seen.contains(&opcode) {
            seen.push(opcode);
        }
    }
    Run { steps, distinct: seen.len() }
}

/// Whether something that is not allowed has a name that could be a module's and what is in it, or is no name.
pub(crate) fn names_are_plausible(outcome: &Outcome) -> bool {
    let named = outcome.plan.globals.iter().any(|global| global.denial.is_some() && is_plausible(global));
    named || outcome.findings.iter().any(|finding| finding.kind != FindingKind::UntrustedGlobal)
}

/// Whether both names are dotted identifiers.
pub(crate) fn is_plausible(global: &GlobalUse) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    let dotted = |name: &str| name.len() <= 200 && name.split('.').all(part);
    global.module.len() > 1 && dotted(&global.module) && dotted(&global.qualname)
}

/// Whether anything against the policy is more than a name.
pub(crate) fn calls(outcome: &Outcome) -> bool {
    let denied = outcome.plan.globals.iter().filter(|global| global.denial.is_some());
    denied.into_iter().any(|global| global.uses & (usage::CALL | usage::CONSTRUCT) != 0)
        || outcome.findings.iter().any(|finding| finding.kind != FindingKind::UntrustedGlobal)
}

/// What a pickle in a value of this one is: a finding where the stream hands values to something that only the policy's
/// user knows, and which may load them; else data. What nobody allowed is a finding by itself, and reviewed names load nothing.
pub(crate) fn role_of_values(checked: &Checked) -> Code {
    const ACTS: u8 = usage::CALL | usage::CONSTRUCT | usage::STATE | usage::ITEMS;
    let acts = |global: &GlobalUse| global.trusted() && global.uses & ACTS != 0;
    match checked.outcome.plan.globals.iter().any(acts) {
        true => Code::Nested,
        false => Code::NestedData,
    }
}

/// Tells the findings of a pickle, with their paths.
fn report(walk: &mut Walk<'_>, data: &[u8], checked: &Checked, place: &Place) {
    if let Some(first) = &checked.persistent {
        let message = "asks the program that loads it for an object by a persistent id".to_owned();
        let statement = Statement { opcode: first.opcode.map(Opcode::name), ..statement(Code::PersistentId, message) };
        let offset = Some(place.base + first.offset as u64);
        walk.add(Statement { offset, ..statement }, &Place { format: place.chain("pickle"), ..place.clone() });
    }
    without_a_reader(walk, data, checked, place);
    if checked.outcome.findings.is_empty() {
        return;
    }
    let mut findings = checked.outcome.findings.clone();
    if walk.result.findings.len() < MOST_KEPT {
        let arrays = checked.arrays.as_deref().unwrap_or_default();
        torshi_core::graph::add_paths_around(data, &mut findings, &settings(true), arrays);
    }
    for finding in findings {
        tell(walk, code_of(finding.kind), finding, place);
    }
}

pub(crate) fn tell(walk: &mut Walk<'_>, code: Code, finding: Finding, place: &Place) {
    let statement = Statement {
        offset: Some(place.base + finding.offset as u64),
        opcode: Some(finding.opcode),
        path: finding.path,
        name: finding.name,
        remedy: finding.remedy,
        ..statement(code, finding.message)
    };
    walk.add(statement, &Place { format: place.chain("pickle"), ..place.clone() });
}

fn code_of(kind: FindingKind) -> Code {
    match kind {
        FindingKind::UntrustedGlobal => Code::UntrustedGlobal,
        FindingKind::Call => Code::Call,
        FindingKind::Construct => Code::Construct,
        FindingKind::State => Code::State,
        FindingKind::Items => Code::Items,
        FindingKind::Value => Code::Value,
        FindingKind::Computed => Code::Computed,
        FindingKind::Persistent => Code::PersistentId,
    }
}

/// A stream that acts, then breaks; or one that asks for too much, or for a name that only a program knows.
fn say_broken(walk: &mut Walk<'_>, fault: &Fault, place: &Place) {
    let (code, message) = match (&fault.kind, fault.opcode) {
        (FaultKind::Limit { .. }, _) => (Code::Resources, fault.to_string()),
        (_, Some(Opcode::Ext1 | Opcode::Ext2 | Opcode::Ext4)) => (Code::Extension, fault.to_string()),
        _ => (Code::Broken, format!("acts before it breaks: {fault}")),
    };
    let place = Place { format: place.chain("pickle"), ..place.clone() };
    walk.say(code, message, &place, Some(fault.offset as u64));
}

/// What the policy has nothing to say of, and yet no program can load as it stands, or not within its bounds.
fn without_a_reader(walk: &mut Walk<'_>, data: &[u8], checked: &Checked, place: &Place) {
    let plan = &checked.outcome.plan;
    let inside = Place { format: place.chain("pickle"), ..place.clone() };
    if let Some(site) = plan.buffer {
        let message = "asks for an out-of-band buffer, which is not in the file".to_owned();
        let told = Statement { opcode: Some(site.opcode.name()), ..statement(Code::MissingBuffers, message) };
        walk.add(Statement { offset: Some(place.base + site.offset as u64), ..told }, &inside);
    }
    // A memo that goes on from pickle to pickle of a file has no more slots than the file has bytes.
    if plan.farthest >= FAR_SLOT && plan.farthest > place.base.saturating_add(data.len() as u64) {
        let message = format!("fills the memo slot {}, of a stream of {} bytes", plan.farthest, data.len());
        walk.say(Code::FarSlot, message, &inside, None);
    }
}

/// A broken pickle that does nothing against the policy before it breaks: no load takes it. Of data that only begin like
/// one nobody can say that it was meant to be one.
fn malformed(walk: &mut Walk<'_>, data: &[u8], checked: &Checked, fault: &Fault, place: &Place) {
    let code = match &fault.kind {
        _ if checked.obscure => Code::UnknownLayout,
        _ if !is_surely_one(data, fault) => Code::Malformed,
        FaultKind::Limit { .. } => Code::Resources,
        _ if is_cut_off(fault) => Code::CutOff,
        _ => Code::Invalid,
    };
    let place = Place { format: place.chain("pickle"), ..place.clone() };
    let message = match place.base {
        0 => fault.to_string(),
        base => format!("from byte {base} on there is no whole pickle: {fault}"),
    };
    walk.say(code, message, &place, Some(fault.offset as u64));
}

fn is_cut_off(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::EndOfStream | FaultKind::Truncated { .. } | FaultKind::UnendedLine)
}

/// Whether data that begin like a pickle were one: they have a header and go on like one, or are instructions up to a STOP.
fn is_surely_one(data: &[u8], fault: &Fault) -> bool {
    const FRAMED: &[u8] = &[Opcode::Frame as u8];
    if !has_header(data) {
        return ends_in_stop(data);
    }
    let short = data.len() <= LONGEST_SHORT;
    data[1] >= 4 && data[2..].starts_with(FRAMED)
        || short && (data.ends_with(b".") || is_cut_off(fault))
        || matches!(run_before(data, fault.offset), Run { steps, distinct } if steps >= 3 && distinct >= 2)
}
