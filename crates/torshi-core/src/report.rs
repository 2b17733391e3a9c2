//! The report: a stream and a policy in, everything there is to say about it out. Joins what the check
//! found with what the graph describes; it judges nothing itself and fails on no input.

use crate::error::{Fault, FaultKind};
use crate::finding::Finding;
use crate::graph::{self, Bounds, Graph, Paths, Trace, TreeBounds, TreeNode};
use crate::limits::Limits;
use crate::policy::{Matched, Policy};
use crate::preview;
use crate::sniff::sniff;
use crate::symbolic::{self, usage, GlobalUse, Origin, Settings};
use rustc_hash::FxHashMap;
use serde::Serialize;

/// Globals listed: no honest stream has more, and a hostile one can name millions.
const MOST_GLOBALS: usize = 10_000;

/// What a stream holds, and what a policy says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The protocol the stream declares, or else needs.
    pub protocol: u8,
    /// The protocols its opcodes belong to.
    pub protocols: Vec<u8>,
    /// Bytes up to and including STOP; of a broken stream, up to the fault.
    pub size: usize,
    /// Bytes behind STOP.
    pub trailing: usize,
    /// Instructions run.
    pub opcodes: u64,
    /// Use of the memo.
    pub memo: MemoUse,
    /// Every global, by first use.
    pub globals: Vec<GlobalReport>,
    /// Globals beyond the bound of the list.
    pub globals_left_out: usize,
    /// Every call, in stream order.
    pub calls: Vec<CallReport>,
    /// Calls beyond the bound of the list.
    pub calls_left_out: u64,
    /// What the policy does not allow, in stream order.
    pub findings: Vec<Finding>,
    /// Why the stream cannot be loaded whatever the policy, if so.
    pub error: Option<FaultReport>,
    /// The value it stands for.
    pub tree: Option<TreeNode>,
}

/// Use of the memo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoUse {
    /// Slots filled.
    pub stored: u64,
    /// Slots read.
    pub read: usize,
}

/// A global of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GlobalReport {
    /// `module.qualname`.
    pub name: String,
    /// Python 3 module.
    pub module: String,
    /// Qualified name in it.
    pub qualname: String,
    /// Where it is named first.
    pub offset: usize,
    /// By which opcode.
    pub opcode: &'static str,
    /// `allowed` or `untrusted`.
    pub verdict: &'static str,
    /// What the stream does with it.
    pub uses: Vec<&'static str>,
    /// What allowed it.
    pub rule: Option<String>,
}

/// A call of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallReport {
    /// What is called; for BUILD, the class of what gets the state.
    pub name: String,
    /// Where.
    pub offset: usize,
    /// By which opcode.
    pub opcode: &'static str,
    /// Where the result stands.
    pub path: Option<String>,
}

/// Why a stream cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultReport {
    /// In words.
    pub message: String,
    /// Where.
    pub offset: usize,
    /// At which opcode.
    pub opcode: Option<&'static str>,
}

impl Report {
    /// The report as one JSON object.
    pub fn to_json(&self) -> String {
        // Nothing in a report can fail to be written: keys are text, the tree's depth is bounded.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Looks at a stream without loading it.
pub fn inspect(data: &[u8], policy: &Policy, limits: &Limits, settings: &Settings<'_>) -> Report {
    let outcome = symbolic::verify(data, policy, limits, settings);
    let (plan, mut findings) = (outcome.plan, outcome.findings);
    let watched = findings.iter().map(|finding| finding.offset).collect();
    let trace = graph::trace(data, settings, Bounds::of_stream(data.len()), watched);
    graph::place_findings(&trace, &mut findings);
    let (globals, globals_left_out) = globals(plan.globals, policy);
    let protocols: Vec<u8> = (0..=5).filter(|protocol| trace.protocols & 1 << protocol != 0).collect();
    Report {
        protocol: trace.protocol.max(protocols.last().copied().unwrap_or(0)),
        protocols,
        size: trace.end,
        trailing: if trace.root.is_some() { data.len() - trace.end } else { 0 },
        opcodes: trace.steps - u64::from(trace.fault.as_ref().is_some_and(|fault| fault.opcode.is_none())),
        memo: MemoUse { stored: plan.stored, read: plan.reads.len() },
        globals,
        globals_left_out,
        calls: calls(&trace),
        calls_left_out: trace.graph.calls_left_out,
        findings,
        // What the check cannot go on from is why a load fails, even where the graph can go on.
        error: outcome.fault.as_ref().or(trace.fault.as_ref()).map(|fault| fault_report(data, fault)),
        tree: graph::tree(&trace, TreeBounds::default()),
    }
}

fn fault_report(data: &[u8], fault: &Fault) -> FaultReport {
    let message = match foreign(data, fault) {
        Some(what) => format!("not a pickle: this is {what}"),
        None => preview::escaped(&fault.to_string()),
    };
    FaultReport { message, offset: fault.offset, opcode: fault.opcode.map(|opcode| opcode.name()) }
}

/// What data is that is no pickle: asked only where the fault comes early, since any bytes may follow a
/// good beginning.
pub fn foreign(data: &[u8], fault: &Fault) -> Option<&'static str> {
    const EARLY: usize = 64;
    let early = fault.offset < EARLY && !matches!(fault.kind, FaultKind::Limit { .. });
    if early {
        sniff(data)
    } else {
        None
    }
}

fn globals(all: Vec<GlobalUse>, policy: &Policy) -> (Vec<GlobalReport>, usize) {
    let mut reports: Vec<GlobalReport> = Vec::new();
    let mut places: FxHashMap<String, usize> = FxHashMap::default();
    let mut left_out = 0;
    for global in all.into_iter().filter(|global| global.origin != Origin::Implied) {
        let uses = usage::WORDS.iter().filter(|(bit, _)| global.uses & bit != 0).map(|&(_, word)| word);
        let name = preview::name(&global.full_name());
        // A name may be there twice, in Python 2 and 3 spelling or named and reached.
        if let Some(&at) = places.get(&name) {
            let known: &mut GlobalReport = &mut reports[at];
            let new: Vec<_> = uses.filter(|word| !known.uses.contains(word)).collect();
            known.uses.extend(new);
        } else if reports.len() >= MOST_GLOBALS {
            left_out += 1;
        } else {
            places.insert(name.clone(), reports.len());
            reports.push(GlobalReport {
                name,
                module: preview::name(&global.module),
                qualname: preview::name(&global.qualname),
                offset: global.site.offset,
                opcode: global.site.opcode.name(),
                verdict: if global.denial.is_none() { "allowed" } else { "untrusted" },
                uses: uses.collect(),
                rule: rule(policy, &global),
            });
        }
    }
    (reports, left_out)
}

fn rule(policy: &Policy, global: &GlobalUse) -> Option<String> {
    match policy.matched(&global.module, &global.qualname) {
        Matched::Exact => Some(preview::name(&global.full_name())),
        Matched::Glob(prefix) => Some(format!("{prefix}.*")),
        Matched::Table => Some(format!("table: {}", global.row?.reason)),
        Matched::Unrestricted => Some("unrestricted".into()),
        Matched::Denied => None,
    }
}

fn calls(trace: &Trace<'_, '_>) -> Vec<CallReport> {
    let graph: &Graph<'_, '_> = &trace.graph;
    let paths = trace.root.map(|root| Paths::from(graph, root));
    graph
        .calls
        .iter()
        .map(|call| CallReport {
            name: graph.callable_name(call.callable),
            offset: call.site.offset,
            opcode: call.site.opcode.name(),
            path: paths.as_ref().and_then(|paths| paths.of(call.made)),
        })
        .collect()
}

#[cfg(test)]
mod tests;
