//! Streams rewritten: what must come out, byte for byte, and what must be refused.

use super::*;

fn with(data: &[u8], pairs: &[(&str, &str)], strip: bool) -> Result<Vec<u8>, Refusal> {
    let pairs: Vec<_> = pairs.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect();
    let renames = Renames::new(&pairs, false).unwrap();
    let request = Request { renames: &renames, protocol: 5, strip, fix_imports: true };
    rewrite(data, &request).map(|rewritten| {
        let mut whole = Vec::new();
        let mut from = 0;
        for (gap, payload) in rewritten.gaps.iter().zip(&rewritten.payloads) {
            whole.extend_from_slice(&rewritten.bytes[from..gap.at]);
            whole.extend_from_slice(payload);
            from = gap.at;
        }
        whole.extend_from_slice(&rewritten.bytes[from..]);
        whole
    })
}

/// The instructions, without the header of the one frame.
fn body(data: &[u8], pairs: &[(&str, &str)], strip: bool) -> Vec<u8> {
    let whole = with(data, pairs, strip).unwrap();
    assert_eq!(whole[..2], [0x80, 5]);
    match whole[2] {
        0x95 => whole[11..].to_vec(),
        _ => whole[2..].to_vec(),
    }
}

/// Text forms must become the binary ones that mean the same.
#[test]
fn text_becomes_binary() {
    assert_eq!(
        body(b"(lp0\nI1\naI01\naL-2L\naF2.5\naVx\\u00e9\np1\nag1\na.", &[], false),
        [
            &b"]\x94K\x01a\x88a\x8a\x01\xfe"[..0],
            &b"]\x94K\x01a\x88aJ\xfe\xff\xff\xffaG@\x04\0\0\0\0\0\0a\x8c\x03x\xc3\xa9\x94ah\x01a."[..],
        ]
        .concat()
    );
    assert_eq!(body(b"S'a\\n'\n.", &[], false), b"U\x02a\n.");
    assert_eq!(body(b"(dp0\n.", &[], true), b"}.");
}

/// A number of which readers think otherwise must stay as it is.
#[test]
fn odd_literals_stay() {
    for odd in [&b"I010\n."[..], b"F1e999\n.", b"V\\ud83d\\ude00\n.", b"I0x10\n."] {
        assert_eq!(body(odd, &[], false), odd);
    }
}

/// A slot that is filled twice is two slots where each put takes the next.
#[test]
fn a_slot_filled_twice_becomes_two() {
    let stream = b"\x80\x02](X\x01\0\0\0aq\x07h\x07X\x01\0\0\0bq\x07h\x07e.";
    assert_eq!(body(stream, &[], false), b"](\x8c\x01a\x94h\x00\x8c\x01b\x94h\x01e.");
}

/// Names of protocols below 3 are Python 2's, and nobody translates them above.
#[test]
fn python_2_names_become_those_of_today() {
    assert_eq!(body(b"c__builtin__\nxrange\n.", &[], false), b"\x8c\x08builtins\x8c\x05range\x93.");
    assert_eq!(body(b"\x80\x03ccopy_reg\nx\n.", &[], false), b"\x8c\x08copy_reg\x8c\x01x\x93.");
    assert_eq!(body(b"(i__builtin__\nobject\n.", &[], false), b"(ibuiltins\nobject\n.");
}

/// A text that is a name here and data there must change in the one place and stay in the other.
#[test]
fn renaming_never_changes_data() {
    let stream = b"\x80\x04](\x8c\x01m\x94\x8c\x01A\x94\x93h\x00\x8c\x01B\x93h\x00e.";
    let renamed = body(stream, &[("m.A", "n.C")], false);
    // The module is data too and the other class's; the name A is nothing else.
    assert_eq!(renamed, b"](\x8c\x01m\x940\x8c\x01n\x8c\x01C\x93h\x00\x8c\x01B\x93h\x00e.");
    let both = body(b"\x80\x04](\x8c\x01m\x94\x8c\x01A\x94\x93h\x00\x8c\x01B\x93e.", &[("m.*", "n.*")], false);
    assert_eq!(both, b"](\x8c\x01n\x8c\x01A\x93\x8c\x01n\x8c\x01B\x93e.");
}

/// What is pushed to be dropped is no part of the value: alignment of an earlier file, for one.
#[test]
fn fillers_go() {
    assert_eq!(body(b"\x80\x05]C\x05\0\0\0\0\x000K\x01a.", &[], false), b"]K\x01a.");
}

/// Slots that nothing reads are left out where that is asked for, and the others keep their values.
#[test]
fn unread_slots_go() {
    let stream = b"\x80\x04]\x94(]\x94]\x94h\x02e.";
    assert_eq!(body(stream, &[], true), b"](]]\x94h\x00e.");
    assert_eq!(body(stream, &[], false), b"]\x94(]\x94]\x94h\x02e.");
}

/// What means another thing at another protocol must not be carried over.
#[test]
fn what_would_change_its_meaning_is_refused() {
    assert!(with(b"\x80\x02cm\nA.B\n.", &[], false).is_err());
    assert!(with(b"\x80\x02\x82\x01.", &[], false).is_err());
    assert!(with(b"cm\n\xff\n.", &[], false).is_err());
    assert!(with(b"](K\x01", &[], false).is_err());
    assert!(with(b"h\x01.", &[], false).is_err());
}

/// Long payloads stand outside frames, where they can be kept apart, and are not copied.
#[test]
fn long_payloads_stand_outside_frames() {
    let long = vec![7; 1 << 20];
    let stream = [&b"\x80\x03]B"[..], &(1u32 << 20).to_le_bytes(), &long, b"a."].concat();
    let request = Request { renames: &Renames::default(), protocol: 5, strip: false, fix_imports: true };
    let rewritten = rewrite(&stream, &request).unwrap();
    assert_eq!((rewritten.bytes.len(), rewritten.gaps.len()), (10, 1));
    assert_eq!(with(&stream, &[], false).unwrap()[10 - 2 + (1 << 20)..], *b"a.");
}

/// The check of what was written must see a difference where there is one.
#[test]
fn the_check_sees_differences() {
    let number = |data: &[u8]| {
        let none = |_: &str, _: &str| None;
        let mut walk = Walk::new(data, &none, true);
        while walk.step().unwrap() {}
        walk.machine.domain.digest()
    };
    let streams: [&[u8]; 10] = [
        b"](K\x01K\x02e.",
        b"](K\x02K\x01e.",
        b"](K\x01K\x03e.",
        b"](K\x01e.",
        b"]]a.",
        b"]q\0h\0a.",
        b"K\x01K\x02\x86.",
        b"cm\nA\n.",
        b"cm\nB\n.",
        b"cm\nA\n)R.",
    ];
    for (at, one) in streams.iter().enumerate() {
        for (other_at, other) in streams.iter().enumerate() {
            assert_eq!(number(one) == number(other), at == other_at);
        }
    }
    assert_eq!(number(b"(lI1\na."), number(b"\x80\x04]K\x01a."));
}

/// An array in joblib's layout, and something behind it that shares its slots.
#[test]
fn joblibs_arrays_become_numpys() {
    let head: &[u8] =
        b"\x80\x02]q\0(cjoblib.numpy_pickle\nNumpyArrayWrapper\nq\x01)\x81q\x02}q\x03(X\x08\0\0\0subclassq\x04\
cnumpy\nndarray\nq\x05X\x05\0\0\0shapeq\x06K\x03\x85q\x07X\x05\0\0\0orderX\x01\0\0\0CX\x05\0\0\0dtypecnumpy\ndtype\n\
(X\x02\0\0\0u1\x89\x88tR(K\x03X\x01\0\0\0|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tbub";
    let data = [head, b"\xff.0", b"h\x07h\x04e."].concat();
    let settings = crate::graph::test_settings();
    let request = Request { renames: &Renames::default(), protocol: 5, strip: true, fix_imports: true };
    let rewritten = rewrite_joblib(&data, &request, &settings).unwrap();
    assert_eq!(rewritten.names, ["numpy._core.multiarray:_reconstruct", "numpy:dtype", "numpy:ndarray"]);
    assert_eq!(rewritten.end, data.len());
    let text = crate::disassemble::disassemble(&rewritten.bytes).text;
    assert!(!text.contains("joblib") && text.contains("\\xff.0"), "{text}");
    assert!(rewrite_joblib(&data[..data.len() - 9], &request, &settings).is_err());
}
