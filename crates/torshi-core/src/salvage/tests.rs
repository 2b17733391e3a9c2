//! Broken streams and the ends they are given.

use super::*;
use crate::graph::{test_settings, tree, TreeBounds};

fn saved(data: &[u8]) -> Salvaged {
    salvage(data, &test_settings(), Incomplete::Usual)
}

/// What was saved, shown as its tree; `-` where nothing was.
fn shown(data: &[u8], incomplete: Incomplete) -> String {
    let settings = test_settings();
    let Some(stream) = salvage(data, &settings, incomplete).stream else { return "-".into() };
    let trace = crate::graph::trace(&stream, &settings, Bounds::of_stream(stream.len()), Vec::new());
    assert!(trace.fault.is_none(), "{:?}", trace.fault);
    assert_eq!(trace.end, stream.len());
    text(&tree(&trace, TreeBounds::default()).unwrap())
}

fn text(node: &crate::graph::TreeNode) -> String {
    let children = || node.children.iter().map(|child| (child.key.clone(), text(&child.node)));
    match node.kind {
        "list" => format!("[{}]", children().map(|(_, child)| child).collect::<Vec<_>>().join(", ")),
        "dict" => {
            let pairs: Vec<_> =
                children().map(|(key, child)| format!("{}: {child}", key.unwrap_or_default())).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        "tuple" => format!("({})", children().map(|(_, child)| child).collect::<Vec<_>>().join(", ")),
        _ => node.value.clone().unwrap_or_else(|| node.kind.to_owned()),
    }
}

fn usual(data: &[u8]) -> String {
    shown(data, Incomplete::Usual)
}

/// Whole items of a list are kept; the one that breaks off is not.
#[test]
fn records_of_a_list() {
    let stream = b"](}(X\x01\0\0\0aK\x01X\x01\0\0\0bK\x02u}(X\x01\0\0\0aK\x03X\x01\0\0\0bK\x04u}(X\x01\0\0\0aK";
    assert_eq!(usual(stream), "[{a: 1, b: 2}, {a: 3, b: 4}]");
    let salvaged = saved(stream);
    assert_eq!(salvaged.kept, [Kept { path: "$".into(), items: 2 }]);
    assert_eq!(salvaged.dropped.as_deref(), Some("$[2]"));
    assert_eq!(salvaged.end, stream.len() - 1);
}

/// A list within a dict is not lost with its end.
#[test]
fn a_list_in_a_dict() {
    let many = b"}(X\x01\0\0\0nK\x07X\x01\0\0\0r](]K\x01a]K\x02a]K\x03a]";
    assert_eq!(usual(many), "{n: 7, r: [[1], [2], [3]]}");
    let only = b"}X\x01\0\0\0r](]K\x01a]K\x02a]K\x03a]K";
    assert_eq!(usual(only), "{r: [[1], [2], [3]]}");
    assert_eq!(saved(only).kept.iter().map(|kept| &*kept.path).collect::<Vec<_>>(), ["$", "$.r"]);
    assert_eq!(shown(only, Incomplete::Drop), "{}");
    let deep = b"](]K\x01a](K\x02K\x03K\x04K\x05";
    assert_eq!(usual(deep), "[[1]]");
    assert_eq!(shown(deep, Incomplete::Keep), "[[1], [2, 3, 4, 5]]");
}

/// Parts of a tuple that was to come would become items: values that nobody wrote.
#[test]
fn parts_of_a_tuple_are_no_items() {
    let pairs = b"](K\x01K\x02\x86K\x03K\x04\x86K\x05K\x06\x86K\x07K\x08\x86K\x09K\x0a";
    assert_eq!(usual(pairs), "[(1, 2), (3, 4), (5, 6), (7, 8)]");
    let numbers = b"](K\x01K\x02K\x03K\x04K\x05";
    assert_eq!(usual(numbers), "[1, 2, 3, 4, 5]");
    let values = b"}(X\x01\0\0\0aK\x01K\x02\x86X\x01\0\0\0bK\x03K\x04\x86X\x01\0\0\0cK\x05K\x06\x86X\x01\0\0\0dK\x07";
    assert_eq!(usual(values), "{a: (1, 2), b: (3, 4), c: (5, 6)}");
    let marked = b"]((K\x01K\x02K\x03K\x04t(K\x05K\x06K\x07K\x08t(K\x01K\x02";
    assert_eq!(usual(marked), "[(1, 2, 3, 4), (5, 6, 7, 8)]");
}

/// Names that are about to be called, and instances without their state, are no items either.
#[test]
fn half_made_instances_are_no_items() {
    let stream = b"](cm\nA\nq\0)\x81}X\x01\0\0\0xK\x01sbh\0)\x81}X\x01\0\0\0xK\x02sbh\0)\x81}X\x01\0\0\0x";
    assert_eq!(usual(stream), "[instance, instance]");
    let names = b"](cm\nA\nq\0)\x81h\0)\x81h\0)\x81h\0)";
    assert_eq!(usual(names), "[instance, instance, instance]"); // none has a state
    let root = b"cm\nA\n)\x81}(X\x01\0\0\0x](K\x01K\x02K\x03K\x04e";
    assert_eq!(
        usual(&[root, &b"X\x01\0\0\0y](K\x01K\x02K\x03K\x04K\x05"[..]].concat()),
        "{x: [1, 2, 3, 4], y: [1, 2, 3, 4, 5]}"
    );
}

/// A frame that was cut says that it is longer than what is there.
#[test]
fn cut_frames() {
    let stream = b"\x80\x04\x95\xff\0\0\0\0\0\0\0](K\x01K\x02K\x03K\x04";
    assert_eq!(usual(stream), "[1, 2, 3, 4]");
    assert!(saved(stream).fault.is_some());
}

/// Protocol 0 fills one by one.
#[test]
fn text_protocol() {
    let stream = b"(lp0\n(dp1\nVa\nI1\nsVb\nI2\nsa(dp2\nVa\nI3\nsVb\nI";
    assert_eq!(usual(stream), "[{a: 1, b: 2}]");
    assert_eq!(usual(b"(dp0\nVr\n(lp1\nI1\naI2\naI3\naI"), "{r: [1, 2, 3]}");
}

/// A list that goes on behind a batch has the items of all batches.
#[test]
fn batches() {
    let batch = [&b"("[..], &b"K\x01".repeat(1000), b"e"].concat();
    let stream = [&b"]"[..], &batch, b"(K\x01K\x01K\x01K\x01K"].concat();
    assert_eq!(saved(&stream).kept, [Kept { path: "$".into(), items: 1004 }]);
    let whole = [&b"](]"[..], &batch, b"(K\x05K\x06K"].concat();
    assert_eq!(usual(&whole), "[]"); // perhaps that list was to go on
}

/// Paths of every level, or the steps to each of them again and again, would take the square of a deep stream.
#[test]
fn deep_streams_take_no_longer_than_they_are() {
    for deep in [&b"]"[..], b"](", b"(", b"]K\x01", b"}K\x01", b"](K\x01"] {
        let salvaged = saved(&deep.repeat(300_000));
        assert!(salvaged.kept.iter().all(|kept| kept.path.len() < 500));
        assert!(salvaged.dropped.is_none_or(|path| path.len() < 500));
    }
}

/// A fault in the middle: what stands before it.
#[test]
fn damage() {
    let stream = b"](K\x01K\x02K\x03K\x04\xffK\x05e.";
    assert_eq!(usual(stream), "[1, 2, 3, 4]");
    assert_eq!(saved(stream).end, 10);
    assert_eq!(usual(b"](K\x01K\x02K\x03K\x04K\x05Re."), "[1, 2, 3, 4, 5]");
    assert_eq!(usual(b"K\x01"), "1");
    assert_eq!(usual(b""), "-");
    assert_eq!(usual(b"cos\nsystem\n"), "-");
    assert!(saved(b"](K\x01e.").fault.is_none());
}
