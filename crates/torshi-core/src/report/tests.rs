//! Tests of the report: what the JSON holds, and that no input is without one.

use super::*;
use crate::graph::test_settings as settings;

fn report(data: &[u8]) -> Report {
    let settings = settings();
    inspect(data, &Policy::default(), &Limits::default(), &settings)
}

/// The package reads these keys by name.
#[test]
fn the_json_has_its_keys() {
    let data = b"\x80\x04}\x94\x8c\x05owner\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85Rs.trail";
    let json: serde_json::Value = serde_json::from_str(&report(data).to_json()).unwrap();
    assert_eq!(json["protocol"], 4);
    assert_eq!(json["protocols"], serde_json::json!([0, 1, 2, 4]));
    assert_eq!((json["size"].as_u64(), json["trailing"].as_u64()), (Some(32), Some(5)));
    assert_eq!(json["opcodes"], 12);
    assert_eq!(json["memo"], serde_json::json!({"stored": 1, "read": 0}));
    let global = &json["globals"][0];
    assert_eq!((global["name"].as_str(), global["verdict"].as_str()), (Some("os.system"), Some("untrusted")));
    assert_eq!(global["module"], "os");
    assert_eq!(global["uses"], serde_json::json!(["call"]));
    assert_eq!(global["rule"], serde_json::Value::Null);
    assert_eq!(
        json["calls"],
        serde_json::json!([{"name": "os.system", "offset": 29, "opcode": "REDUCE", "path": "$.owner"}])
    );
    let finding = &json["findings"][0];
    assert_eq!((finding["kind"].as_str(), finding["path"].as_str()), (Some("untrusted-global"), Some("$.owner")));
    assert_eq!(json["error"], serde_json::Value::Null);
    let call = &json["tree"]["children"][0];
    assert_eq!(call["key"], "owner");
    assert_eq!((call["node"]["kind"].as_str(), call["node"]["type"].as_str()), (Some("call"), Some("os.system")));
    assert_eq!(call["node"]["children"][0]["node"]["value"], "'ls'");
}

/// Every stream gets a report, or the tool fails on just the files it is for.
#[test]
fn a_broken_stream_is_reported_up_to_the_fault() {
    let broken = report(b"\x80\x04](K\x01\x8c\x02os\x8c\x06system\x93X\xff\0\0\0");
    let error = broken.error.unwrap();
    assert_eq!((error.offset, error.opcode), (19, Some("BINUNICODE")));
    assert_eq!(broken.globals[0].name, "os.system");
    assert_eq!(broken.findings.len(), 1);
    let tree = broken.tree.unwrap();
    assert_eq!((tree.kind, tree.children.len()), ("stack", 3));
    assert_eq!(tree.children[2].node.type_name.as_deref(), Some("os.system"));
    for data in [&b""[..], b".", b"\x80", b"\x80\x09", b"(", b"0", b"h\0.", b"c\n\n.", b"\xff"] {
        assert!(!report(data).to_json().is_empty());
    }
}

/// `invalid load key, 'P'` tells nobody that the file is a zip archive.
#[test]
fn what_is_no_pickle_is_named() {
    let error = report(b"PK\x03\x04\x14\0\0\0").error.unwrap();
    assert_eq!(error.message, "not a pickle: this is a zip archive (PyTorch and npz files are zip archives)");
    assert_eq!(report(b"").error.unwrap().message, "not a pickle: this is an empty file");
    assert!(report(b"\x80\x04]\x94").error.unwrap().message.starts_with("Ran out of input"));
}

/// A stream that only exceeds a limit is still shown whole, with the limit as its error.
#[test]
fn a_limit_does_not_end_the_report() {
    let mut whole = b"\x8f(K\x01".to_vec();
    whole.extend(b"2\x86".repeat(40)); // a tuple of 2^40 leaves, to be hashed
    whole.extend(b"\x90.");
    let report = report(&whole);
    assert!(report.error.unwrap().message.contains("limit"));
    assert_eq!((report.size, report.tree.unwrap().kind), (whole.len(), "set"));
}

/// A name used as data is found where it stands, not where its container does.
#[test]
fn names_as_data_are_found_exactly() {
    let found = report(b"}(Va\n](K\x01cbuiltins\ngetattr\neu.").findings;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path.as_deref(), Some("$.a[1]"));
    let mut again = found.clone();
    again[0].path = None;
    let settings = settings();
    crate::graph::add_paths(b"}(Va\n](K\x01cbuiltins\ngetattr\neu.", &mut again, &settings);
    assert_eq!(again, found);
}

/// Names stored once and used crosswise would make a report of the product of their lengths.
#[test]
fn long_names_do_not_multiply() {
    let mut data = Vec::new();
    for _ in 0..40 {
        data.extend(b"X\x10\x27\0\0");
        data.extend(vec![b'm'; 10_000]);
        data.extend(b"\x94");
    }
    for n in 0..1600u32 {
        data.extend([b'h', (n / 40) as u8, b'h', (n % 40) as u8, 0x93]);
    }
    data.push(b'.');
    assert!(report(&data).to_json().len() < 2 << 20);
}

/// Hostile streams of a megabyte: none may take the stack, the memory or the patience.
#[test]
fn hostile_streams_are_reported() {
    let mut nested = vec![b']'; 100_000];
    nested.extend(vec![b'a'; 99_999]);
    nested.push(b'.');
    let report_of_nested = report(&nested);
    assert_eq!(report_of_nested.error, None);
    assert!(report_of_nested.to_json().len() < 64 << 10);
    for byte in [b']', b'(', b'N', b'}', b')', 0x8f] {
        let report = report(&vec![byte; 1 << 20]);
        assert!(report.error.is_some() && report.to_json().len() < 1 << 20);
    }
    let mut chain = b"cm\nf\n".to_vec();
    chain.extend(b")R".repeat(100_000));
    chain.push(b'.');
    assert_eq!(report(&chain).calls.len(), 10_000);
}
