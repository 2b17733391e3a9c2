//! Each rule with what real pickles hold and with lies, through the tables that use it.
use crate::policy::mock::evaluate;
use crate::policy::Policy;

fn check(good: &[&str], bad: &[&str]) {
    let policy = Policy::default().allow("app.*").unwrap();
    for text in good {
        assert_eq!(evaluate(&policy, text), Ok(()), "{text}");
    }
    for text in bad {
        let refusal = evaluate(&policy, text).expect_err(text);
        assert!(!refusal.starts_with("syntax"), "{text}: {refusal}");
    }
}

#[test]
fn dates_and_times() {
    check(
        &[
            r"datetime:date(b'\x07\xe4\x02\x1d')",
            r"datetime:date('\x07\xe4\x02\x1d')",
            r"datetime:date(_codecs:encode('\x07\xe4\x02\x1d', 'latin1'))",
            r"datetime:time(b'\x97\x3b\x3b\x0f\x42\x3f')",
            r"datetime:datetime(b'\x07\xe4\x82\x1d\x17\x00\x00\x00\x00\x00')",
            r"datetime:datetime(b'\x07\xe4\x02\x1d\x17\x00\x00\x00\x00\x00', datetime:timezone(datetime:timedelta(0, 7200, 0), 'X'))",
            r"datetime:datetime(b'\x07\xe4\x02\x1d\x17\x00\x00\x00\x00\x00', app:Zone())",
        ],
        &[
            r"datetime:date(b'\x07\xe5\x02\x1d')",
            r"datetime:date(b'\x00\x00\x01\x01')",
            r"datetime:date(b'\x27\x10\x01\x01')",
            r"datetime:date(b'\x07\xe4\x0d\x01')",
            r"datetime:date(b'\x07\xe4\x82\x1d')",
            r"datetime:date(b'\x07\xe4\x01\x00')",
            r"datetime:date(b'\x07\xe4\x01')",
            r"datetime:date(2020, 1, 1)",
            r"datetime:date('\u1007\xe4\x02\x1d')",
            r"datetime:time(b'\x18\x00\x00\x00\x00\x00')",
            r"datetime:time(b'\x00\x3c\x00\x00\x00\x00')",
            r"datetime:time(b'\x00\x00\x00\x0f\x42\x40')",
            r"datetime:datetime(b'\x07\xe4\x02\x1d\x97\x00\x00\x00\x00\x00')",
            r"datetime:datetime(b'\x07\xe4\x02\x1e\x17\x00\x00\x00\x00\x00')",
            r"datetime:datetime(b'\x07\xe4\x02\x1d\x17\x00\x00\x00\x00\x00', builtins:object())",
            r"datetime:timedelta(1000000000, 0, 0)",
        ],
    );
}

#[test]
fn numbers() {
    check(
        &[
            "decimal:Decimal('1.10')",
            "decimal:Decimal('-1E+5')",
            "decimal:Decimal('.5')",
            "decimal:Decimal('sNaN12')",
            "decimal:Decimal('-Infinity')",
            "fractions:Fraction('-3/7')",
            "fractions:Fraction(-3, 7)",
            "builtins:complex(1.0, 2.0)",
        ],
        &[
            "decimal:Decimal('1__0')",
            "decimal:Decimal('')",
            "decimal:Decimal('1E')",
            "decimal:Decimal('1E99999999999999999999')",
            "decimal:Decimal(1)",
            "fractions:Fraction('1e99999999')",
            "fractions:Fraction('1/2/3')",
            "fractions:Fraction('0.5')",
            "fractions:Fraction(decimal:Decimal('1e999999'))",
            "builtins:complex('1')",
        ],
    );
    let long = "1".repeat(10_001);
    check(
        &[],
        &[
            &format!("decimal:Decimal('{long}')"),
            &format!("fractions:Fraction('{long}')"),
            &format!("fractions:Fraction({long}, 1)"),
        ],
    );
}

#[test]
fn uuids_and_twisters() {
    let words = |word: &str, index: &str| {
        format!("random:Random()<BUILD (3, ({}{index}), None)>", format!("{word}, ").repeat(624))
    };
    let short = format!("random:Random()<BUILD (3, ({}1), None)>", "1, ".repeat(623));
    let old = format!("random:Random()<BUILD (2, ({}624), 0.5)>", "-1, ".repeat(624));
    check(
        &[
            "NEW uuid:UUID()<BUILD {'int': 340282366920938463463374607431768211455}>",
            "NEW uuid:UUID()<BUILD {'int': 5, 'is_safe': 0}>",
            "copyreg:_reconstructor(uuid:UUID, builtins:object, None)<BUILD {'int': 5}>",
            &words("4294967295", "624"),
            &words("0", "0"),
            &old,
        ],
        &[
            "NEW uuid:UUID()<BUILD {'int': 340282366920938463463374607431768211456}>",
            "NEW uuid:UUID()<BUILD {'int': -1}>",
            "NEW uuid:UUID()<BUILD {'int': 'a'}>",
            "NEW uuid:UUID()<BUILD {}>",
            "NEW uuid:UUID()<BUILD {'int': 5, 'hex': 'a'}>",
            "NEW uuid:UUID()<BUILD {'int': 5, '__class__': 1}>",
            &words("4294967296", "1"),
            &words("-1", "1"),
            &words("1", "625"),
            &words("1", "-1"),
            &short,
        ],
    );
}

#[test]
fn texts() {
    check(
        &[
            "builtins:getattr(zoneinfo:ZoneInfo, '_unpickle')('Europe/Paris', 1)",
            "builtins:getattr(zoneinfo:ZoneInfo, '_unpickle')('Etc/GMT+5', False)",
            "re:_compile('a+b', 34)",
            "builtins:UnicodeDecodeError('ascii', b'ab', 0, 2, 'r')",
            "builtins:UnicodeTranslateError('ab', 0, 1, 'r')",
        ],
        &[
            "builtins:getattr(zoneinfo:ZoneInfo, '_unpickle')('../etc/passwd', 1)",
            "builtins:getattr(zoneinfo:ZoneInfo, '_unpickle')('/etc/passwd', 1)",
            "builtins:getattr(zoneinfo:ZoneInfo, '_unpickle')('a/../b', 1)",
            "builtins:getattr(zoneinfo:ZoneInfo, '_unpickle')('a//b', 1)",
            "builtins:getattr(zoneinfo:ZoneInfo, 'clear_cache')()",
            "zoneinfo:ZoneInfo('UTC')",
            "re:_compile('a', 128)",
            "re:_compile('a', -1)",
            "builtins:UnicodeDecodeError('ascii', b'ab', 0, 3, 'r')",
            "builtins:UnicodeDecodeError('ascii', b'ab', -1, 1, 'r')",
            "builtins:UnicodeDecodeError('ascii', BUFFER, 0, 1, 'r')",
        ],
    );
}

#[test]
fn arrays_of_the_standard_library() {
    check(
        &[
            r"array:_array_reconstructor(array:array, 'i', 8, b'\x01\x00\x00\x00')",
            "array:array('i', [1])",
            "array:array('d', [])",
        ],
        &[
            r"array:_array_reconstructor(array:array, 'i', 8, b'\x01\x00\x00')",
            "array:_array_reconstructor(array:array, 'i', 22, b'')",
            "array:_array_reconstructor(app:Array, 'i', 8, b'')",
            "array:_array_reconstructor(array:array, 'ii', 8, b'')",
            "array:array('i', app:Endless())",
            "array:array('Z', [])",
        ],
    );
}

#[test]
fn factories_partials_and_types() {
    check(
        &[
            "collections:defaultdict(builtins:list)<ITEMS>",
            "collections:defaultdict()<ITEMS>",
            "functools:partial(app:f)<BUILD (app:f, (), {'base': 2}, None)>",
            "functools:partial(app:f, 1)",
            "types:GenericAlias(builtins:dict, (builtins:str, types:GenericAlias(builtins:list, (builtins:int,))))",
            "functools:reduce(_operator:or_, (builtins:int, builtins:type(None)))",
        ],
        &[
            "collections:defaultdict(builtins:getattr)",
            "collections:defaultdict(functools:partial(builtins:int))",
            "collections:defaultdict(builtins:bytearray)",
            "functools:partial(builtins:getattr)",
            "functools:partial(functools:partial(builtins:int))",
            "functools:partial(builtins:int)<BUILD (builtins:getattr, (), {}, None)>",
            "functools:partial(builtins:int)<BUILD (builtins:int, (), {'__class__': 1}, None)>",
            "functools:partial(builtins:int)('1')",
            "functools:reduce(app:f, (1, 2))",
            "functools:reduce(_operator:or_, (builtins:set([1]), builtins:set([2])))",
            "types:GenericAlias(builtins:list, (app:C(),))",
        ],
    );
}

#[test]
fn copyreg_widens_no_row() {
    check(
        &[
            "copyreg:_reconstructor(builtins:object, builtins:object, None)",
            "copyreg:_reconstructor(urllib.parse:DefragResult, builtins:tuple, ('a', 'b'))",
            "copyreg:_reconstructor(http.cookies:SimpleCookie, builtins:dict, {'a': 1})",
            "copyreg:__newobj__(uuid:UUID)",
            "copyreg:__newobj_ex__(uuid:UUID, (), {})",
        ],
        &[
            "copyreg:_reconstructor(builtins:int, builtins:int, 3)",
            "copyreg:_reconstructor(urllib.parse:DefragResult, builtins:tuple, ('a', 1))",
            "copyreg:_reconstructor(urllib.parse:DefragResult, builtins:object, None)",
            "copyreg:_reconstructor(uuid:UUID, builtins:bytes, 1000000000000)",
            "copyreg:_reconstructor(uuid:UUID, builtins:object, 1)",
            // dict.__init__ would fill it behind its own back.
            "copyreg:_reconstructor(collections:OrderedDict, builtins:dict, {'a': 1})",
            "copyreg:_reconstructor(numpy:ndarray, builtins:object, None)",
            "copyreg:_reconstructor(app:L, builtins:list, app:Endless())",
            "copyreg:__newobj__(uuid:UUID, 'a')",
            "copyreg:__newobj__(builtins:list)",
            "copyreg:__newobj_ex__(uuid:UUID, (), {'int': 1})",
        ],
    );
}

#[test]
fn xml_elements() {
    let new = "NEW xml.etree.ElementTree:Element()";
    check(
        &[&format!("{new}<BUILD {{'tag': 'a', '_children': [{new}], 'attrib': {{}}, 'text': None, 'tail': None}}>")],
        &[
            &format!("{new}<BUILD {{'tag': 'a', '_children': [1]}}>"),
            &format!("{new}<BUILD {{'tag': 'a', 'attrib': 1}}>"),
            &format!("{new}<BUILD {{'tag': 'a', 'other': 1}}>"),
        ],
    );
}

const F8: &str = "numpy:dtype('f8', False, True)<BUILD (3, '<', None, None, None, -1, -1, 0)>";
const O8: &str = "numpy:dtype('O8', False, True)<BUILD (3, '|', None, None, None, -1, -1, 63)>";
const EMPTY: &str = "numpy.core.multiarray:_reconstruct(numpy:ndarray, (0,), b'b')";

fn dtype(spec: &str, state: &str) -> String {
    format!("numpy:dtype('{spec}', False, True)<BUILD ({state})>")
}

#[test]
fn dtypes() {
    let good = [
        F8.to_owned(),
        O8.to_owned(),
        dtype("U2", "3, '<', None, None, None, 8, 4, 8"),
        dtype("S2", "3, '|', None, None, None, 2, 1, 0"),
        dtype("M8", "4, '<', None, None, None, -1, -1, 0, (None, (b'ns', 1, 1, 1))"),
        dtype("V24", &format!("3, '|', ({F8}, (3,)), None, None, 24, 8, 0")),
        dtype("V16", &format!("3, '|', None, ('a', 'b'), {{'a': ({F8}, 0), 'b': ({O8}, 8)}}, 16, 1, 27")),
        dtype("V16", &format!("3, '|', None, ('a',), {{'a': ({F8}, 8, 't'), 't': ({F8}, 8, 't')}}, 16, 8, -112")),
    ];
    let bad = [
        "numpy:dtype('f8')".to_owned(),
        "numpy:dtype('f8', False, False)".to_owned(),
        "numpy:dtype('f7', False, True)".to_owned(),
        "numpy:dtype([('a', 'O')], False, True)".to_owned(),
        "numpy:dtype(builtins:object, False, True)".to_owned(),
        dtype("f8", "3, '<', None, None, None, -1, -1, 63"),
        dtype("f8", "3, '<', None, None, None, 16, -1, 0"),
        dtype("O8", "3, '|', None, None, None, -1, -1, 0"),
        dtype("S2", "3, '|', None, None, None, 200, 1, 0"),
        dtype("f8", &format!("3, '<', None, ('a',), {{'a': ({O8}, 0)}}, -1, -1, 0")),
        dtype("V8", "3, '|', None, None, None, 8, 1, 63"),
        // A second state would change a dtype that arrays already use.
        format!("{F8}<BUILD (3, '>', None, None, None, -1, -1, 0)>"),
        dtype("M8", "4, '<', None, None, None, -1, -1, 0, (None, (b'ns', 0, 1, 1))"),
        dtype("V24", &format!("3, '|', ({F8}, (4,)), None, None, 24, 8, 0")),
        dtype("V24", &format!("3, '|', ({F8}, (-3,)), None, None, 24, 8, 0")),
        dtype("V24", "3, '|', (numpy:dtype('f8', False, True), (3,)), None, None, 24, 8, 0"),
        // A reference the flags do not tell of, one they invent, one under other bytes, one outside.
        dtype("V8", &format!("3, '|', None, ('a',), {{'a': ({O8}, 0)}}, 8, 1, 16")),
        dtype("V8", &format!("3, '|', None, ('a',), {{'a': ({F8}, 0)}}, 8, 1, 27")),
        dtype("V8", &format!("3, '|', None, ('a', 'b'), {{'a': ({O8}, 0), 'b': ({F8}, 0)}}, 8, 1, 27")),
        dtype("V8", &format!("3, '|', None, ('a',), {{'a': ({F8}, 4)}}, 8, 1, 16")),
        dtype("V8", &format!("3, '|', None, ('a',), {{'a': ({F8}, -8)}}, 8, 1, 16")),
        dtype("V8", &format!("3, '|', None, ('a',), {{'a': ({F8}, 0), 'b': ({O8}, 99)}}, 8, 1, 16")),
        dtype("V8", &format!("3, '|', None, ('a',), {{'a': ({F8}, 0, 't'), 't': ({F8}, 64, 't')}}, 8, 1, 16")),
        dtype("V16", &format!("3, '|', None, ('a',), {{'a': ({F8}, 4)}}, 16, 8, -112")),
    ];
    let texts = |list: &[String]| list.to_vec();
    check(
        &texts(&good).iter().map(String::as_str).collect::<Vec<_>>(),
        &texts(&bad).iter().map(String::as_str).collect::<Vec<_>>(),
    );
}

#[test]
fn ndarrays() {
    let record = dtype("V16", &format!("3, '|', None, ('a', 'b'), {{'a': ({F8}, 0), 'b': ({O8}, 8)}}, 16, 1, 27"));
    let other = dtype("V16", &format!("3, '|', None, ('a', 'b'), {{'a': ({O8}, 0), 'b': ({F8}, 8)}}, 16, 1, 27"));
    let one = |dtype: &str| format!("{EMPTY}<BUILD (1, (), {dtype}, False, [(1, 2)])>");
    let masked = "numpy.ma.core:_mareconstruct(numpy.ma:MaskedArray, numpy:ndarray, (0,), 'b')";
    let good = [
        format!("{EMPTY}<BUILD (1, (1,), {F8}, False, b'12345678')>"),
        format!("{EMPTY}<BUILD (1, (1,), {F8}, False, _codecs:encode('1234567\\xff', 'latin1'))>"),
        format!("{EMPTY}<BUILD (1, (2, 1), {O8}, False, [1, 'a'])>"),
        format!("numpy._core.numeric:_frombuffer(bytearray(b'12345678'), {F8}, (1,), 'C')"),
        format!("numpy.core.numeric:_frombuffer(BUFFER, {F8}, (1, 1), 'F')"),
        format!("numpy._core.multiarray:scalar({F8}, b'12345678')"),
        format!("numpy._core.multiarray:scalar({record}, {})", one(&record)),
        format!("{masked}<BUILD (1, (1,), {F8}, False, b'12345678', b'1', None)>"),
        "numpy.core.multiarray:_reconstruct(app:Array, (0,), b'b')<BUILD (1, 2)>".to_owned(),
        format!("numpy.core.multiarray:_reconstruct(app:Array, (0,), b'b')<BUILD ((1, (1,), {F8}, False, b'12345678'), {{'a': 1}})>"),
    ];
    let bad = [
        "numpy.core.multiarray:_reconstruct(numpy:ndarray, (8589934592,), b'b')".to_owned(),
        "numpy.core.multiarray:_reconstruct(builtins:list, (0,), b'b')".to_owned(),
        "numpy.core.multiarray:_reconstruct(numpy:ndarray, (0,), b'O')".to_owned(),
        "numpy:ndarray((1,), builtins:object, builtins:bytearray(b'AAAAAAAA'))".to_owned(),
        format!("{EMPTY}<BUILD (1, (2,), {F8}, False, b'12345678')>"),
        format!("{EMPTY}<BUILD (1, (-1,), {F8}, False, b'')>"),
        format!("{EMPTY}<BUILD (1, (4611686018427387904, 4), {F8}, False, b'')>"),
        format!("{EMPTY}<BUILD (1, (1,), numpy:dtype('f8', False, True), False, b'12345678')>"),
        // numpy reads past the end of a short list.
        format!("{EMPTY}<BUILD (1, (100000,), {O8}, False, [1])>"),
        format!("{EMPTY}<BUILD (1, (1,), {O8}, False, b'12345678')>"),
        // A trusted subclass of ndarray hands its state on to numpy.
        format!("numpy.core.multiarray:_reconstruct(app:Array, (0,), b'b')<BUILD (1, (100000,), {O8}, False, [1])>"),
        format!("numpy.core.multiarray:_reconstruct(app:Array, (0,), b'b')<BUILD ((1, (100000,), {O8}, False, [1]), {{'a': 1}})>"),
        format!("{EMPTY}<BUILD (1, (1,), {F8}, False, b'12345678')><BUILD (1, (1,), {F8}, False, b'12345678')>"),
        format!("numpy._core.numeric:_frombuffer(bytearray(b'1234567'), {F8}, (1,), 'C')"),
        format!("numpy._core.numeric:_frombuffer(bytearray(b'12345678'), {O8}, (1,), 'C')"),
        format!("numpy._core.numeric:_frombuffer(BUFFER, {record}, (1,), 'C')"),
        format!("numpy._core.multiarray:scalar({F8}, b'1234')"),
        format!("numpy._core.multiarray:scalar({record}, {})", one(&other)),
        format!("numpy._core.multiarray:scalar({record}, b'1234567812345678')"),
        format!("{masked}<BUILD (1, (1,), {F8}, False, b'12345678', b'12', None)>"),
        format!("{masked}<BUILD (1, (1,), {F8}, False, b'1234567', b'1', None)>"),
        format!("{masked}<BUILD (1, (1,), {F8}, False, b'12345678', b'1', [[1], [1]])>"),
        "numpy.ma.core:_mareconstruct(builtins:list, numpy:ndarray, (0,), 'b')".to_owned(),
    ];
    check(&good.iter().map(String::as_str).collect::<Vec<_>>(), &bad.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn generators() {
    let u4 = "numpy:dtype('u4', False, True)<BUILD (3, '<', None, None, None, -1, -1, 0)>";
    let pool = format!("{EMPTY}<BUILD (1, (4,), {u4}, False, b'1234123412341234')>");
    let seed = "numpy.random.bit_generator:__pyx_unpickle_SeedSequence(numpy.random.bit_generator:SeedSequence, 65708578, None)";
    let sequence = format!("{seed}<BUILD (5, 0, {pool}, 4, ())>");
    let twister = |pos: &str| format!("{{'bit_generator': 'MT19937', 'state': {{'key': {pool}, 'pos': {pos}}}}}");
    let philox = |pos: &str| {
        format!("{{'bit_generator': 'Philox', 'state': {{'counter': {pool}, 'key': {pool}}}, 'buffer': {pool}, 'buffer_pos': {pos}}}")
    };
    let named = "numpy.random._pickle:__bit_generator_ctor('MT19937')";
    let classed = "numpy.random._pickle:__bit_generator_ctor(numpy.random._pcg64:PCG64)";
    let good = [
        format!("{named}<BUILD {}>", twister("624")),
        format!("{named}<BUILD {}>", philox("4")),
        format!("{classed}<BUILD ({}, {sequence})>", twister("0")),
        format!("numpy.random._pickle:__generator_ctor({classed})"),
        format!(
            "numpy.random._pickle:__generator_ctor('PCG64', numpy.random._pickle:__bit_generator_ctor)<BUILD {}>",
            twister("1")
        ),
        format!("numpy.random:__RandomState_ctor()<BUILD ('MT19937', {pool}, 624, 0, 0.0)>"),
    ];
    let bad = [
        format!("{named}<BUILD {}>", twister("625")),
        format!("{named}<BUILD {}>", twister("-1")),
        format!("{named}<BUILD {}>", philox("5")),
        format!("{named}<BUILD {}>", philox("-1")),
        format!("{named}<BUILD {{'bit_generator': 'MT19937'}}>"),
        "numpy.random._pickle:__bit_generator_ctor('os')".to_owned(),
        "numpy.random._pickle:__bit_generator_ctor(app:Bits)".to_owned(),
        format!("numpy.random:__RandomState_ctor()<BUILD ('MT19937', {pool}, 625)>"),
        format!("{seed}<BUILD (5, 0, {pool}, 5, ())>"),
        format!("{seed}<BUILD (5, 0, {pool}, 4, ('a',))>"),
    ];
    check(&good.iter().map(String::as_str).collect::<Vec<_>>(), &bad.iter().map(String::as_str).collect::<Vec<_>>());
}

/// A row of `count` numbers, as a file of torshi has it.
fn torch_row(code: &str, bytes: &str, count: usize) -> String {
    let dtype = match code {
        "b1" | "i1" | "u1" => dtype(code, "3, '|', None, None, None, -1, -1, 0"),
        _ => dtype(code, "3, '<', None, None, None, -1, -1, 0"),
    };
    format!("torch:from_numpy(numpy._core.numeric:_frombuffer(bytearray(b'{bytes}'), {dtype}, ({count},), 'C'))")
}

#[test]
fn tensors() {
    let row = torch_row("f4", "012345678901234567890123", 6);
    let view =
        |sizes: &str, strides: &str, offset: &str| format!("torch:as_strided({row}, {sizes}, {strides}, {offset})");
    let sound = view("(2, 3)", "(3, 1)", "0");
    let short = torch_row("i2", "012345", 3);
    let complex = torch_row("c8", "0123456789012345", 2);
    let complex = format!("torch:as_strided({complex}, (2,), (1,), 0)");
    let integers = format!("torch:as_strided({short}, (3,), (1,), 0)");
    let half = format!("torch:as_strided(torch:Tensor.view({short}, torch:bfloat16), (3,), (1,), 0)");
    let bools = torch_row("b1", "\\x00\\x01\\x01", 3);
    let bytes = torch_row("u1", "\\x00\\x01\\x01", 3);
    let empty = torch_row("f4", "", 0);
    let no_hooks = "None";
    let good = [
        row.clone(),
        sound.clone(),
        view("()", "()", "5"),
        view("(0, 4)", "(4, 1)", "6"),
        view("(1000, 2)", "(0, 5)", "0"),
        view("(4294967296,)", "(0,)", "0"),
        format!("torch:as_strided({empty}, (0,), (1,), 0)"),
        half.clone(),
        format!("torch:Tensor.view({row}, torch:uint8)"),
        format!("torch:Tensor.view({row}, torch:complex64)"),
        bools.clone(),
        format!("torch:Tensor.view({bytes}, torch:bool)"),
        format!("torch:conj({complex})"),
        format!("torch:Tensor.requires_grad_({sound})"),
        format!("torch:Tensor.requires_grad_(torch:conj({complex}))"),
        format!("torch._utils:_rebuild_parameter({half}, True, {no_hooks})"),
        format!("torch._utils:_rebuild_parameter({integers}, False, {no_hooks})"),
        "[torch:Tensor, torch.nn.parameter:Parameter]".to_owned(),
    ];
    let over = |buffer: &str, dtype: &str, shape: &str| {
        format!("torch:from_numpy(numpy._core.numeric:_frombuffer({buffer}, {dtype}, {shape}, 'C'))")
    };
    let big_endian = dtype("f8", "3, '>', None, None, None, -1, -1, 0");
    let long = dtype("f16", "3, '<', None, None, None, -1, -1, 0");
    let record = dtype("V8", &format!("3, '|', None, ('a',), {{'a': ({F8}, 0)}}, 8, 1, 16"));
    let bad = [
        view("(2, 4)", "(3, 1)", "0"),
        view("(2, 3)", "(4, 1)", "0"),
        view("(2, 3)", "(3, 1)", "1"),
        view("(2, 3)", "(3, 1)", "-1"),
        view("(2, 3)", "(-3, 1)", "3"),
        view("(-2, 3)", "(3, 1)", "0"),
        view("(2, 3)", "(3,)", "0"),
        view("(2,)", "(9223372036854775807,)", "0"),
        view("(9223372036854775807, 2)", "(0, 0)", "0"),
        view("(4294967297,)", "(0,)", "0"),
        view("(0, 9223372036854775807, 9223372036854775807)", "(0, 0, 0)", "0"),
        view("(0,)", "(1,)", "7"),
        view("[2, 3]", "(3, 1)", "0"),
        view("(2.0, 3)", "(3, 1)", "0"),
        view("(2, 3)", "(3, 1)", "None"),
        format!("torch:as_strided({sound}, (1,), (1,), 0)"),
        format!("torch:as_strided({complex}, (1,), (1,), 0)"),
        "torch:as_strided(app:Row(), (1,), (1,), 0)".to_owned(),
        format!("torch:as_strided({row}, (1,), (1,))"),
        // Types that lie: too few bytes, none of torch's, bools of other bytes.
        format!("torch:Tensor.view({short}, torch:float32)"),
        format!("torch:Tensor.view({row}, torch:qint8)"),
        format!("torch:Tensor.view({row}, builtins:float)"),
        format!("torch:Tensor.view({row}, (3, 2))"),
        format!("torch:Tensor.view({half}, torch:int16)"),
        format!("torch:Tensor.view(torch:Tensor.view({short}, torch:bfloat16), torch:int16)"),
        format!("torch:Tensor.view({}, torch:bool)", torch_row("u1", "\\x00\\x02", 2)),
        torch_row("b1", "\\x00\\x02", 2),
        over("bytearray(b'12345678')", O8, "(1,)"),
        over("bytearray(b'12345678')", &big_endian, "(1,)"),
        over("bytearray(b'1234567812345678')", &long, "(1,)"),
        over("bytearray(b'12345678')", &record, "(1,)"),
        over("bytearray(b'12345678')", F8, "(1, 1)"),
        over("b'12345678'", F8, "(1,)"),
        over("bytearray(b'12345678')", F8, "(2,)"),
        over("BUFFER", F8, "(1,)"),
        format!("torch:from_numpy({EMPTY}<BUILD (1, (1,), {F8}, False, b'12345678')>)"),
        "torch:from_numpy(1)".to_owned(),
        format!("torch:conj({sound})"),
        format!("torch:conj({row})"),
        format!("torch:conj(torch:conj({complex}))"),
        format!("torch:Tensor.requires_grad_({row})"),
        format!("torch:Tensor.requires_grad_({integers})"),
        format!("torch:Tensor.requires_grad_({sound}, True)"),
        format!("torch._utils:_rebuild_parameter({integers}, True, {no_hooks})"),
        format!("torch._utils:_rebuild_parameter({sound}, True, {{'a': app:hook}})"),
        format!("torch._utils:_rebuild_parameter({row}, True, {no_hooks})"),
        format!("{sound}<BUILD (True, None, {no_hooks})>"),
        "torch:Tensor((2, 3))".to_owned(),
        "torch:Tensor.numpy".to_owned(),
    ];
    check(&good.iter().map(String::as_str).collect::<Vec<_>>(), &bad.iter().map(String::as_str).collect::<Vec<_>>());
}
