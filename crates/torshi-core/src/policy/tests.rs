//! Tests of names, entries and tables.
use super::mock::{evaluate, matches};
use super::pattern::Arguments;
use super::*;

fn allowed(policy: &Policy, module: &str, name: &str) -> bool {
    matches!(policy.find(module, name), Verdict::Allowed(_))
}

#[test]
fn tables_parse_and_every_pattern_and_rule_resolves() {
    assert_eq!(table::tables().errors(), &[] as &[String]);
    assert!(Policy::rows().len() > 60);
    for row in Policy::rows() {
        assert!(row.reason.len() > 8, "{:?}", row.names);
        if let Makes::Instance(name) = &row.makes {
            assert!(allowed(&Policy::default(), &name.module, &name.qualname), "{name} has no row");
        }
        for name in &row.names {
            assert!(allowed(&Policy::default(), &name.module, &name.qualname), "{name}");
        }
    }
}

#[test]
fn every_rule_is_used_and_found_by_its_name() {
    let texts = [
        include_str!("tables/builtins.toml"),
        include_str!("tables/exceptions.toml"),
        include_str!("tables/stdlib.toml"),
        include_str!("tables/numpy.toml"),
        include_str!("tables/joblib.toml"),
        include_str!("tables/pandas.toml"),
        include_str!("tables/polars.toml"),
        include_str!("tables/pyarrow.toml"),
        include_str!("tables/scipy.toml"),
        include_str!("tables/sklearn.toml"),
        include_str!("tables/xgboost.toml"),
        include_str!("tables/lightgbm.toml"),
        include_str!("tables/torch.toml"),
    ];
    for (name, rule) in rules::Rule::ALL {
        assert_eq!(rules::Rule::parse(name), Some(*rule));
        assert!(texts.iter().any(|text| text.contains(&format!("!{name}"))), "{name} is in no table");
    }
}

#[test]
fn dotted_entries_match_at_every_split_and_colons_at_one() {
    let dotted = Policy::empty().allow("a.b.C").unwrap();
    assert!(allowed(&dotted, "a.b", "C") && allowed(&dotted, "a", "b.C"));
    assert!(!allowed(&dotted, "a.b.C", "D") && !allowed(&dotted, "a.b", "C.D") && !allowed(&dotted, "a.b", "Cx"));
    let split = Policy::empty().allow("a.b:C.D").unwrap();
    assert!(allowed(&split, "a.b", "C.D") && !allowed(&split, "a", "b.C.D"));
}

#[test]
fn globs_cover_a_module_and_those_below_it() {
    let policy = Policy::empty().allow("a.b.*").unwrap();
    assert!(allowed(&policy, "a.b", "C") && allowed(&policy, "a.b.c", "D.E"));
    assert!(!allowed(&policy, "a.bc", "C") && !allowed(&policy, "a", "b.C"));
    assert_eq!(policy.matched("a.b.c", "D"), Matched::Glob("a.b".to_owned()));
    let module = Policy::empty().allow("a.b:*").unwrap();
    assert!(allowed(&module, "a.b", "C") && !allowed(&module, "a.b.c", "C"));
    let class = Policy::empty().allow("a.b:C.*").unwrap();
    assert!(allowed(&class, "a.b", "C.D") && !allowed(&class, "a.b", "C") && !allowed(&class, "a.b", "CD.E"));
    assert_eq!(module.allow("a.b.C").unwrap().matched("a.b", "C"), Matched::Exact);
}

#[test]
fn private_segments_and_locals_match_no_entry() {
    let policy = Policy::empty().allow("a.*").unwrap();
    for name in ["__init__", "C.__class__", "f.<locals>.g", "<lambda>", "__builtins__.exec", "C..D", ""] {
        assert!(!allowed(&policy, "a", name), "{name}");
        assert_eq!(policy.matched("a", name), Matched::Denied);
    }
    // A module may well start with underscores.
    assert!(allowed(&Policy::empty().allow("__main__.*").unwrap(), "__main__", "Point"));
    for text in
        ["a.__x__", "a:C.__reduce__", "a.f.<locals>.g", "*", "", "a..b", "a b.c", "Point", "a:b:c", ".a", "a\0.b"]
    {
        assert!(Policy::empty().allow(text).is_err(), "{text:?}");
    }
    // An exact row of a table may: this is how copyreg writes.
    assert!(allowed(&Policy::default(), "copyreg", "__newobj__"));
    assert!(!allowed(&Policy::empty(), "copyreg", "__newobj__"));
}

#[test]
fn deny_wins_over_entries_tables_and_everything() {
    let policy =
        Policy::default().allow("a.*").unwrap().deny("a.secret").unwrap().deny("collections.OrderedDict").unwrap();
    assert!(allowed(&policy, "a", "C") && !allowed(&policy, "a", "secret") && !allowed(&policy, "a.secret", "C"));
    assert!(!allowed(&policy, "collections", "OrderedDict") && allowed(&policy, "collections", "Counter"));
    assert!(matches!(policy.find("a", "secret"), Verdict::Denied(Denial::DeniedBy(entry)) if entry == "a.secret"));
    let open = Policy::unrestricted().deny("os").unwrap();
    assert!(!allowed(&open, "os", "system") && !allowed(&open, "os.path", "join") && allowed(&open, "posix", "system"));
    assert!(!allowed(&Policy::default().deny("numpy.core.*").unwrap(), "numpy._core.multiarray", "scalar"));
}

#[test]
fn union_adds_up_and_equal_policies_are_equal() {
    let left = Policy::empty().allow("a.B").unwrap();
    let right = Policy::builtins().allow("c.D").unwrap().deny("a.B").unwrap();
    let both = left.union(&right);
    assert!(!allowed(&both, "a", "B") && allowed(&both, "c", "D") && allowed(&both, "datetime", "date"));
    assert_eq!(both, right.union(&left));
    assert_eq!(left, left.allow("a.B").unwrap());
    assert!(!allowed(&Policy::builtins(), "numpy", "dtype") && allowed(&Policy::default(), "numpy", "dtype"));
    assert!(both.union(&Policy::unrestricted()).is_unrestricted());
}

#[test]
fn toml_round_trip() {
    let policy = Policy::builtins().allow("a.*").unwrap().allow("b:C").unwrap().deny("a.x").unwrap();
    assert_eq!(Policy::from_toml(&policy.to_toml()).unwrap(), policy);
    assert_eq!(Policy::from_toml("").unwrap(), Policy::default());
    assert_eq!(
        Policy::from_toml("base = \"empty\"\nallow = [\"a.B\"]").unwrap(),
        Policy::empty().allow("a.B").unwrap()
    );
    for text in ["base = \"unrestricted\"", "allow = [\"*\"]", "allowed = []", "base = 3", "allow = \"a.B\""] {
        assert!(Policy::from_toml(text).is_err(), "{text}");
    }
    assert!(!Policy::from_toml(&Policy::unrestricted().to_toml()).unwrap().is_unrestricted());
}

#[test]
fn suggestions_allow_what_they_are_for() {
    assert_eq!(suggest("a.b", "C").as_deref(), Some("a.b.C"));
    assert_eq!(suggest("a.b", "C.D").as_deref(), Some("a.b:C.D"));
    assert_eq!(suggest("a", "f.<locals>.g"), None);
    assert_eq!(suggest("a", "__x__"), None);
    assert_eq!(suggest("os\0x", "system"), None);
    for (module, name) in [("a.b", "C"), ("a.b", "C.D"), ("__main__", "Point")] {
        let policy = Policy::empty().allow(&suggest(module, name).unwrap()).unwrap();
        assert_eq!(policy.matched(module, name), Matched::Exact);
    }
}

#[test]
fn both_spellings_of_a_moved_module_find_one_row() {
    let row = |module| match Policy::default().find(module, "_reconstruct") {
        Verdict::Allowed(row) => row.names[0].clone(),
        Verdict::Denied(denial) => panic!("{denial}"),
    };
    assert_eq!(row("numpy.core.multiarray"), row("numpy._core.multiarray"));
}

#[test]
fn a_dtype_freezes_the_dict_of_fields_it_keeps() {
    assert!(matches!(Policy::default().find("numpy", "dtype"), Verdict::Allowed(row) if row.freezes));
}

#[test]
fn gadgets_are_in_no_table() {
    for name in [
        "builtins:eval",
        "builtins:exec",
        "builtins:map",
        "builtins:iter",
        "builtins:len",
        "builtins:sorted",
        "builtins:__import__",
        "builtins:print",
        "builtins:open",
        "builtins:zip",
        "builtins:setattr",
        "os:system",
        "operator:itemgetter",
        "operator:attrgetter",
        "operator:methodcaller",
        "operator:call",
        "_operator:getitem",
        "itertools:count",
        "numpy:vectorize",
        "numpy:fromfile",
        "numpy:ones",
        "numpy:add",
        "numpy:load",
        "io:FileIO",
        "_io:FileIO",
        "io:open",
        "random:SystemRandom",
        "types:CodeType",
        "types:FunctionType",
        "argparse:Namespace",
        "string:Formatter",
        "functools:cached_property",
        "copyreg:add_extension",
        "pathlib:Path.write_text",
        "collections:OrderedDict.fromkeys",
        "pickle:loads",
        "_codecs:decode",
    ] {
        let name = Name::parse(name).unwrap();
        assert!(!allowed(&Policy::default(), &name.module, &name.qualname), "{name}");
    }
}

#[test]
fn patterns_match_what_they_say() {
    let good = [
        ("any", "builtins:int"),
        ("none | int", "None"),
        ("int[0..3]", "3"),
        ("int", "99999999999999999999"),
        ("int", "True"),
        ("number", "1.5"),
        ("str[3]", "'abc'"),
        ("str{a-c}", "'abc'"),
        ("str[2]{a-z_}", "'_b'"),
        ("'x'", "'x'"),
        ("bytes[2]", "b'ab'"),
        ("bytes[2]", "_codecs:encode('ab', 'latin1')"),
        ("bytes[1..]", "b'ab'"),
        ("bytearray", "bytearray(b'a')"),
        ("buffer", "BUFFER"),
        ("list", "[1]"),
        ("list(#any)", "[builtins:complex(1, 2)]"),
        ("dict", "{1: 2}"),
        ("set", "builtins:set([1])"),
        ("frozenset", "frozenset({1})"),
        ("tuple(int)", "(1, 2)"),
        ("(int, str?)", "(1,)"),
        ("(int, str?)", "(1, 'a')"),
        ("(int, str*)", "(1, 'a', 'b')"),
        ("()", "()"),
        ("(int | str*)", "(1, 'a')"),
        ("@class", "builtins:object"),
        ("@builtins:int", "builtins:int"),
        ("@any", "builtins:getattr"),
        ("#builtins:complex", "builtins:complex(1, 2)"),
        ("attrs", "{'a': 1}"),
        ("attrs", "{'__notes__': []}"),
        ("slots", "(None, {'a': 1})"),
        ("!re.flags", "32"),
    ];
    for (pattern, value) in good {
        assert_eq!(matches(pattern, value), Ok(()), "{pattern}: {value}");
    }
    let bad = [
        ("any", "builtins:getattr"),
        ("none", "1"),
        ("int[0..3]", "4"),
        ("int[0..3]", "99999999999999999999"),
        ("int[..]", "99999999999999999999"),
        ("int", "1.5"),
        ("bool", "1"),
        ("str[2]", "'abc'"),
        ("str{a-c}", "'abd'"),
        ("'x'", "'y'"),
        ("bytes[2]", "b'abc'"),
        ("bytes[2]", "'ab'"),
        ("list(#any)", "[1]"),
        ("list", "(1,)"),
        ("tuple(int)", "(1, 'a')"),
        ("(int, str?)", "(1, 'a', 2)"),
        ("(int, str?)", "()"),
        ("()", "(1,)"),
        ("@class", "builtins:int"),
        ("@builtins:int", "builtins:str"),
        ("#any", "builtins:int"),
        ("attrs", "{'__class__': 1}"),
        ("attrs", "{1: 1}"),
        ("attrs", "None"),
        ("slots", "(None, {'__dict__': 1})"),
        ("slots", "({'a': 1}, None, None)"),
        ("!re.flags", "128"),
    ];
    for (pattern, value) in bad {
        let refusal = matches(pattern, value).unwrap_err();
        assert!(refusal.starts_with("expected"), "{pattern}: {value}: {refusal}");
    }
    for text in
        ["", "anything", "(int", "(int?, str)", "(int*, str)", "!no.rule", "@", "#module", "int[a]", "str{", "int int"]
    {
        assert!(Pattern::parse(text).is_err(), "{text}");
    }
}

#[test]
fn pattern_texts_survive_printing() {
    for row in Policy::rows() {
        let state = row.state.iter().map(|pattern| pattern.to_string());
        for text in state {
            assert_eq!(Pattern::parse(&text).unwrap().to_string(), text);
        }
        for arguments in row.call.iter().chain(&row.construct) {
            assert_eq!(&Arguments::parse(&arguments.to_string()).unwrap(), arguments);
        }
    }
}

#[test]
fn trusted_names_take_anything_but_reserved_attributes() {
    let policy = Policy::default().allow("app.*").unwrap();
    let good = [
        "app:f(1, builtins:int)",
        "NEW app:C()<BUILD {'a': 1}>",
        "NEW app:C()<BUILD (None, {'a': 1})>",
        "NEW app:C()<BUILD 3>",
        "NEW app:C()<BUILD {1: 2}>",
        "NEW app:C()<BUILD ('a', [1])>",
        "NEW app:C()<ITEMS><APPEND>",
        "copyreg:_reconstructor(app:C, builtins:object, None)<BUILD {'a': 1}>",
        "copyreg:_reconstructor(app:N, builtins:int, 3)",
        "copyreg:__newobj__(app:C, 1)",
        "copyreg:__newobj_ex__(app:C, (), {'a': 1})",
        "builtins:getattr(app:Outer, 'Inner')(9)",
        "_operator:or_(app:Flag(1), app:Flag(2))",
        "functools:partial(app:f)<BUILD (app:f, (), {}, None)>",
        "collections:defaultdict(app:C)",
    ];
    for text in good {
        assert_eq!(evaluate(&policy, text), Ok(()), "{text}");
    }
    let bad = [
        "NEW app:C()<BUILD {'__class__': 1}>",
        "NEW app:C()<BUILD (None, {'__class__': 1})>",
        "app:f(app:f)(1)",
        "app:C<BUILD {}>",
        "copyreg:_reconstructor(app:N, builtins:bytes, 1000000000000)",
        "builtins:getattr(app:Outer, '__class__')",
        "builtins:getattr(app:C(), 'x')",
        "app:f(builtins:getattr)",
    ];
    for text in bad {
        assert!(evaluate(&policy, text).is_err(), "{text}");
    }
}

/// A learnt entry must not let a stream do with a name what no good file did.
#[test]
fn uses_of_an_entry_are_all_it_allows() {
    let policy = |entry: &str| Policy::default().allow(entry).unwrap();
    let good = [
        ("app:f [call]", "app:f(1)"),
        ("app:C [construct]", "NEW app:C(1)"),
        ("app:C [construct, state]", "NEW app:C()<BUILD {'a': 1}>"),
        ("app:C [state, construct, items]", "NEW app:C()<ITEMS><APPEND>"),
        ("app:C [construct]", "copyreg:__newobj__(app:C, 1)"),
        ("app:C [construct]", "copyreg:_reconstructor(app:C, builtins:object, None)"),
        ("app:f [call]", "functools:partial(app:f)"),
        ("app:C [call]", "collections:defaultdict(app:C)"),
    ];
    for (entry, text) in good {
        assert_eq!(evaluate(&policy(entry), text), Ok(()), "{entry}: {text}");
    }
    let bad = [
        ("app:f [value]", "app:f(1)"),
        ("app:C [construct, state, items, value]", "app:C(1)"),
        ("app:C [call, state, items, value]", "NEW app:C(1)"),
        ("app:C [construct]", "NEW app:C()<BUILD {'a': 1}>"),
        ("app:C [construct, state]", "NEW app:C()<ITEMS>"),
        ("app:C [call, state, value]", "copyreg:__newobj__(app:C, 1)"),
        ("app:C [call, state, value]", "copyreg:_reconstructor(app:C, builtins:object, None)"),
        ("app:f [construct, value]", "functools:partial(app:f)"),
        ("app:C [construct, value]", "collections:defaultdict(app:C)"),
        ("app:C [import]", "NEW app:C()"),
    ];
    for (entry, text) in bad {
        assert!(evaluate(&policy(entry), text).is_err(), "{entry}: {text}");
    }
    let both = policy("app:f [value]").allow("app:f [call]").unwrap();
    assert_eq!(evaluate(&both, "app:f(1)"), Ok(()));
    let star = policy("app:f [value]").allow("app.*").unwrap();
    assert_eq!(evaluate(&star, "app:f(1)"), Ok(()));
    assert_eq!(star.matched("app", "f"), Matched::Glob("app".to_owned()));
    for entry in ["app:f []", "app:f [run]", "app.* [call]", "app:f [call", "app:f[call]"] {
        assert!(Policy::default().allow(entry).is_err(), "{entry}");
    }
    assert!(Policy::default().deny("app:f [call]").is_err());
    let spelled = Policy::empty().allow("app:f [value,  call]").unwrap();
    assert_eq!(spelled.allowed().collect::<Vec<_>>(), ["app:f [call, value]"]);
    assert_eq!(Policy::from_toml(&spelled.to_toml()).unwrap(), spelled);
}

/// pandas frames name a function of Cython's, and were beyond any trust; dunder names must stay so.
#[test]
fn leading_underscores_alone_are_no_dunder() {
    let policy = Policy::default().allow("pkg.*").unwrap().allow("other.__pyx_unpickle_Frame").unwrap();
    let allows = |module, name| matches!(policy.find(module, name), Verdict::Allowed(_));
    assert!(allows("pkg.arrays", "__pyx_unpickle_Frame"));
    assert!(allows("other", "__pyx_unpickle_Frame"));
    for name in
        ["__init__", "C.__class__", "C.__subclasses__", "____", "__pyx_unpickle_Frame.__globals__", "f.<locals>.g"]
    {
        assert!(!allows("pkg.arrays", name), "{name}");
    }
    assert!(Policy::default().allow("other.__import__").is_err());
}
