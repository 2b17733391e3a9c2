//! Tests of the graph on streams written by hand. What belongs to a report is tested there.

use super::test_settings as settings;
use super::*;

fn tree_of(data: &[u8]) -> TreeNode {
    let settings = settings();
    let trace = trace(data, &settings, Bounds::of_stream(data.len()), Vec::new());
    tree(&trace, TreeBounds::default()).unwrap()
}

/// A tree as text: `kind value [start:end] path`, children indented.
fn drawn(node: &TreeNode) -> String {
    fn draw(out: &mut String, key: &str, node: &TreeNode, level: usize) {
        let name = node.type_name.as_deref().unwrap_or("");
        let value = node.value.as_deref().unwrap_or("");
        let line = format!("{key}{} {name}{value} [{}:{}] {}", node.kind, node.start, node.end, node.path);
        out.push_str(&format!("{:1$}{line}\n", "", 2 * level));
        for child in &node.children {
            draw(out, &child.key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default(), &child.node, level + 1);
        }
    }
    let mut out = String::new();
    draw(&mut out, "", node, 0);
    out
}

/// Byte ranges and paths are how a person finds a value in a file; off by one they mislead.
#[test]
fn ranges_and_paths() {
    // {'servers': [{'port': 1}, (2, None)], 'odd key': b'x', 3: 'y'}
    let data =
        b"\x80\x04}\x94(\x8c\x07servers]\x94(}\x94\x8c\x04portK\x01sK\x02N\x86e\x8c\x07odd keyC\x01xK\x03\x8c\x01yu.";
    assert_eq!(
        drawn(&tree_of(data)),
        "dict  [2:51] $
  servers: list  [14:33] $.servers
    dict  [17:28] $.servers[0]
      port: int 1 [25:27] $.servers[0].port
    tuple  [28:32] $.servers[1]
      int 2 [28:30] $.servers[1][0]
      none None [30:31] $.servers[1][1]
  odd key: bytes b'x' [42:45] $['odd key']
  3: str 'y' [47:50] $[3]
"
    );
}

/// An object that contains itself would make a report without end.
#[test]
fn cycles_are_references() {
    assert_eq!(
        drawn(&tree_of(b"]q\0(h\0}q\x01(\x8c\x02meh\0ue.")),
        "list  [0:18] $
  reference $ [4:6] $[0]
  dict  [6:17] $[1]
    me: reference $ [14:16] $[1].me
"
    );
}

/// A tuple in itself comes about by way of a list and a memo read behind a POP.
#[test]
fn a_tuple_in_itself_ends() {
    let node = tree_of(b"]q\0h\0\x85q\x01a0h\x01.");
    assert_eq!(node.kind, "tuple");
    assert_eq!(node.children[0].node.children[0].node.value.as_deref(), Some("$"));
}

/// State and arguments are how objects look in a stream; a report shows attributes.
#[test]
fn instances_show_their_attributes() {
    // copyreg-free NEWOBJ with a dict, then a call with two arguments, then slots.
    let data = b"(cm\nA\n)\x81}\x8c\x01xK\x01sbcdatetime\ndate\n(C\x01aK\x02tRcm\nB\n)\x81N}\x8c\x01yK\x03s\x86bt.";
    assert_eq!(
        drawn(&tree_of(data)),
        "tuple  [0:57] $
  instance m.A [1:16] $[0]
    x: int 1 [12:14] $[0].x
  call datetime.date [16:39] $[1]
    (0): bytes b'a' [32:35] $[1](0)
    (1): int 2 [35:37] $[1](1)
  instance m.B [39:56] $[2]
    y: int 3 [51:53] $[2].y
"
    );
}

/// Protocol 0 objects would all be calls of copyreg._reconstructor, and say nothing of their class.
#[test]
fn old_instances_have_their_class() {
    let node = tree_of(b"ccopy_reg\n_reconstructor\n(c__main__\nPoint\nc__builtin__\nobject\nNtR(dVx\nI1\nsb.");
    assert_eq!((node.kind, node.type_name.as_deref()), ("instance", Some("__main__.Point")));
    assert!(node.children.iter().any(|child| child.node.path == "$.x"));
    let data = b"ccopy_reg\n_reconstructor\n(c__main__\nPoint\nc__builtin__\nobject\nNtR.";
    assert_eq!(locate(data, &[26], &settings()), [Some("$".to_string())]);
}

/// INST and OBJ put class and arguments in other places.
#[test]
fn inst_and_obj() {
    let node = tree_of(b"(I7\niold\nStyle\n.");
    assert_eq!((node.kind, node.type_name.as_deref(), node.start), ("instance", Some("old.Style"), 0));
    assert_eq!(node.children[0].node.path, "$(0)");
    let node = tree_of(b"(cold\nStyle\nI7\no.");
    assert_eq!((node.kind, node.type_name.as_deref(), node.start), ("instance", Some("old.Style"), 0));
}

/// The path of a finding is where a person looks; a wrong one blames the wrong field.
#[test]
fn findings_are_located() {
    // {'owner': m.User(), 'bad': [os.system]}, and a call whose result is dropped
    let data = b"}(Vowner\ncm\nUser\n)\x81Vbad\n](cos\nsystem\necos\npopen\n)R0u.";
    let at = |needle: &[u8]| data.windows(needle.len()).position(|w| w == needle).unwrap();
    let offsets = [at(b"cm\n"), at(b"cos\nsystem"), at(b"cos\npopen"), data.len() - 1, 0];
    let wanted = [Some("$.owner"), Some("$.bad[0]"), None, Some("$"), None];
    assert_eq!(locate(data, &offsets, &settings()), wanted.map(|path| path.map(String::from)));
}

/// A finding deep inside must cost neither a deep stack nor a path of a megabyte.
#[test]
fn deep_nesting_needs_no_deep_stack() {
    let mut data = vec![b']'; 100_000];
    data.extend(b"cos\nsystem\n");
    data.extend(vec![b'a'; 100_000]);
    data.push(b'.');
    let path = locate(&data, &[100_000], &settings()).remove(0).unwrap();
    assert!(path.starts_with("$[0][0]") && path.contains("...") && path.len() < 400, "{path}");
    let mut node = &tree_of(&data);
    let mut depth = 1;
    while let Some(child) = node.children.first() {
        (node, depth) = (&child.node, depth + 1);
    }
    assert_eq!((depth, node.truncated), (60, 1));
}

/// A million open lists, and a list of a million lists: memory must follow the bounds, not the stream.
#[test]
fn memory_is_bounded() {
    let settings = settings();
    let bounds = Bounds { nodes: 1000, edges: 1000, atoms: 10, calls: 10 };
    let open = vec![b']'; 1 << 20];
    let open = trace(&open, &settings, bounds, Vec::new());
    assert!(open.fault.is_some());
    assert_eq!((open.graph.arena.len(), open.stack.len()), (1000, 1 << 20));
    let shown = tree(&open, TreeBounds::default()).unwrap();
    assert_eq!((shown.kind, shown.count, shown.children.len()), ("stack", Some(1 << 20), 1000));

    let mut wide = b"](".to_vec();
    wide.extend(vec![b'N'; 1 << 20]);
    wide.extend(b"e.");
    let wide = trace(&wide, &settings, bounds, Vec::new());
    let shown = tree(&wide, TreeBounds::default()).unwrap();
    assert_eq!((shown.count, shown.children.len(), shown.truncated), (Some(1 << 20), 10, (1 << 20) - 10));
}

/// What is beyond the bounds must still be what the machine's type rules take it for.
#[test]
fn beyond_the_bounds_the_machine_goes_on() {
    let bounds = Bounds { nodes: 0, edges: 0, atoms: 0, calls: 0 };
    let data = b"](}Va\nI1\ns\x8f(K\x01\x90cm\nA\n)\x81}bcm\nf\n)RK\x01\x85e.";
    let settings = settings();
    let run = trace(data, &settings, bounds, Vec::new());
    assert_eq!(run.fault, None);
    assert_eq!(run.graph.calls_left_out, 3);
    assert_eq!(tree(&run, TreeBounds::default()).unwrap().kind, "list");
}

/// Sharing makes a small stream describe a tree of 2^30 nodes.
#[test]
fn sharing_does_not_multiply() {
    let mut data = b")q\0".to_vec();
    data.extend(b"2\x86".repeat(30));
    data.push(b'.');
    let node = tree_of(&data);
    assert_eq!(node.children[1].node.kind, "reference");
}

/// A long argument tuple given to many calls is shown once for each, within the bound of the tree.
#[test]
fn shared_arguments_stay_bounded() {
    let mut data = b"cm\nf\nq\0(".to_vec();
    data.extend(vec![b'N'; 1000]);
    data.extend(b"tq\x01](");
    data.extend(b"h\0h\x01R".repeat(50_000));
    data.extend(b"e.");
    let node = tree_of(&data);
    assert_eq!(node.count, Some(50_000));
    fn size(node: &TreeNode) -> usize {
        1 + node.children.iter().map(|child| size(&child.node)).sum::<usize>()
    }
    assert!(size(&node) <= TreeBounds::default().nodes);
}
