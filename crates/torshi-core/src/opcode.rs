//! The opcode table: what a byte of a pickle means. One row an opcode, and everything that speaks of
//! opcodes (the enum, argument reading, the disassembler, the docs page, the test against CPython's
//! `pickletools.opcodes`) is made from the rows. It never reads a stream: see `reader`.

/// How an opcode's argument is laid out after the opcode byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the layouts: unit, width of the value or of its length prefix
pub enum ArgumentKind {
    Nothing,
    Uint1,
    Uint2,
    Uint4,
    Uint8,
    Int4,
    Float8,
    Long1,
    Long4,
    String1,
    String4,
    Bytes1,
    Bytes4,
    Bytes8,
    ByteArray8,
    Unicode1,
    Unicode4,
    Unicode8,
    DecimalLine,
    FloatLine,
    UnicodeLine,
    QuotedLine,
    RawLine,
    NamePair,
}

/// What an opcode can do to the world of the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Builds plain data or moves it about.
    Data,
    /// Names something to import.
    Name,
    /// Calls something.
    Call,
    /// Hands state to an object, which may run its `__setstate__`.
    SetState,
    /// Fills a container, which may run the methods of a subclass.
    Fill,
    /// Asks the application for an object.
    Persistent,
    /// Takes an out-of-band buffer.
    Buffer,
}

/// One row of the opcode table.
#[derive(Clone, Copy, Debug)]
pub struct OpcodeRow {
    /// The opcode itself.
    pub opcode: Opcode,
    /// The byte that stands for it.
    pub byte: u8,
    /// Its name as `pickletools` spells it.
    pub name: &'static str,
    /// Layout of its argument.
    pub argument: ArgumentKind,
    /// First protocol that has it.
    pub protocol: u8,
    /// What it takes from the stack, deepest first.
    pub takes: &'static str,
    /// What it leaves on the stack.
    pub leaves: &'static str,
    /// Its effect beyond data.
    pub effect: Effect,
    /// One line of meaning.
    pub doc: &'static str,
}

macro_rules! opcodes {
    ($($variant:ident $byte:literal $name:literal $argument:ident $protocol:literal
       $takes:literal $leaves:literal $effect:ident $doc:literal;)*) => {
        /// An opcode of the pickle machine; its discriminant is its byte.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Opcode {
            $(#[doc = $doc] $variant = $byte,)*
        }

        /// Every opcode, in the order of `pickletools.opcodes`.
        pub const TABLE: &[OpcodeRow] = &[
            $(OpcodeRow {
                opcode: Opcode::$variant, byte: $byte, name: $name,
                argument: ArgumentKind::$argument, protocol: $protocol, takes: $takes,
                leaves: $leaves, effect: Effect::$effect, doc: $doc,
            },)*
        ];

        impl Opcode {
            /// The opcode a byte stands for, if any.
            #[inline(always)]
            pub const fn from_byte(byte: u8) -> Option<Opcode> {
                match byte {
                    $($byte => Some(Opcode::$variant),)*
                    _ => None,
                }
            }

            /// Its row in the table.
            pub fn row(self) -> &'static OpcodeRow {
                &TABLE[ROW_OF[self as usize] as usize]
            }

            /// Its name as `pickletools` spells it, such as `BINPUT`.
            pub fn name(self) -> &'static str {
                self.row().name
            }
        }
    };
}

opcodes! {
//  variant         byte name              argument    proto takes             leaves      effect     meaning
    Int             0x49 "INT"              DecimalLine 0  ""                  "int"       Data       "integer or bool as a decimal line";
    Binint          0x4a "BININT"           Int4        1  ""                  "int"       Data       "signed 4-byte integer";
    Binint1         0x4b "BININT1"          Uint1       1  ""                  "int"       Data       "unsigned 1-byte integer";
    Binint2         0x4d "BININT2"          Uint2       1  ""                  "int"       Data       "unsigned 2-byte integer";
    Long            0x4c "LONG"             DecimalLine 0  ""                  "int"       Data       "integer as a decimal line ending in L";
    Long1           0x8a "LONG1"            Long1       2  ""                  "int"       Data       "little-endian two's-complement integer, 1-byte length";
    Long4           0x8b "LONG4"            Long4       2  ""                  "int"       Data       "little-endian two's-complement integer, 4-byte length";
    String          0x53 "STRING"           QuotedLine  0  ""                  "text"      Data       "Python 2 string as a quoted, escaped line";
    Binstring       0x54 "BINSTRING"        String4     1  ""                  "text"      Data       "Python 2 string, 4-byte length";
    ShortBinstring  0x55 "SHORT_BINSTRING"  String1     1  ""                  "text"      Data       "Python 2 string, 1-byte length";
    Binbytes        0x42 "BINBYTES"         Bytes4      3  ""                  "bytes"     Data       "bytes, 4-byte length";
    ShortBinbytes   0x43 "SHORT_BINBYTES"   Bytes1      3  ""                  "bytes"     Data       "bytes, 1-byte length";
    Binbytes8       0x8e "BINBYTES8"        Bytes8      4  ""                  "bytes"     Data       "bytes, 8-byte length";
    Bytearray8      0x96 "BYTEARRAY8"       ByteArray8  5  ""                  "bytearray" Data       "bytearray, 8-byte length";
    NextBuffer      0x97 "NEXT_BUFFER"      Nothing     5  ""                  "buffer"    Buffer     "the next out-of-band buffer";
    ReadonlyBuffer  0x98 "READONLY_BUFFER"  Nothing     5  "buffer"            "buffer"    Buffer     "makes the buffer on top read-only";
    None            0x4e "NONE"             Nothing     0  ""                  "none"      Data       "None";
    Newtrue         0x88 "NEWTRUE"          Nothing     2  ""                  "bool"      Data       "True";
    Newfalse        0x89 "NEWFALSE"         Nothing     2  ""                  "bool"      Data       "False";
    Unicode         0x56 "UNICODE"          UnicodeLine 0  ""                  "text"      Data       "text as a raw-unicode-escape line";
    ShortBinunicode 0x8c "SHORT_BINUNICODE" Unicode1    4  ""                  "text"      Data       "UTF-8 text, 1-byte length";
    Binunicode      0x58 "BINUNICODE"       Unicode4    1  ""                  "text"      Data       "UTF-8 text, 4-byte length";
    Binunicode8     0x8d "BINUNICODE8"      Unicode8    4  ""                  "text"      Data       "UTF-8 text, 8-byte length";
    Float           0x46 "FLOAT"            FloatLine   0  ""                  "float"     Data       "float as a decimal line";
    Binfloat        0x47 "BINFLOAT"         Float8      1  ""                  "float"     Data       "big-endian IEEE double";
    EmptyList       0x5d "EMPTY_LIST"       Nothing     1  ""                  "list"      Data       "a new list";
    Append          0x61 "APPEND"           Nothing     0  "list any"          "list"      Fill       "appends one item";
    Appends         0x65 "APPENDS"          Nothing     1  "list mark items"   "list"      Fill       "appends the items above the mark";
    List            0x6c "LIST"             Nothing     0  "mark items"        "list"      Data       "list of the items above the mark";
    EmptyTuple      0x29 "EMPTY_TUPLE"      Nothing     1  ""                  "tuple"     Data       "the empty tuple";
    Tuple           0x74 "TUPLE"            Nothing     0  "mark items"        "tuple"     Data       "tuple of the items above the mark";
    Tuple1          0x85 "TUPLE1"           Nothing     2  "any"               "tuple"     Data       "tuple of one";
    Tuple2          0x86 "TUPLE2"           Nothing     2  "any any"           "tuple"     Data       "tuple of two";
    Tuple3          0x87 "TUPLE3"           Nothing     2  "any any any"       "tuple"     Data       "tuple of three";
    EmptyDict       0x7d "EMPTY_DICT"       Nothing     1  ""                  "dict"      Data       "a new dict";
    Dict            0x64 "DICT"             Nothing     0  "mark items"        "dict"      Data       "dict of the pairs above the mark";
    Setitem         0x73 "SETITEM"          Nothing     0  "dict any any"      "dict"      Fill       "stores one pair";
    Setitems        0x75 "SETITEMS"         Nothing     1  "dict mark items"   "dict"      Fill       "stores the pairs above the mark";
    EmptySet        0x8f "EMPTY_SET"        Nothing     4  ""                  "set"       Data       "a new set";
    Additems        0x90 "ADDITEMS"         Nothing     4  "set mark items"    "set"       Fill       "adds the items above the mark to a set";
    Frozenset       0x91 "FROZENSET"        Nothing     4  "mark items"        "frozenset" Data       "frozenset of the items above the mark";
    Pop             0x30 "POP"              Nothing     0  "any"               ""          Data       "drops the top item, or the mark";
    Dup             0x32 "DUP"              Nothing     0  "any"               "any any"   Data       "pushes the top item again";
    Mark            0x28 "MARK"             Nothing     0  ""                  "mark"      Data       "sets a mark";
    PopMark         0x31 "POP_MARK"         Nothing     1  "mark items"        ""          Data       "drops everything down to the mark";
    Get             0x67 "GET"              DecimalLine 0  ""                  "any"       Data       "pushes a memo slot, decimal line";
    Binget          0x68 "BINGET"           Uint1       1  ""                  "any"       Data       "pushes a memo slot, 1-byte index";
    LongBinget      0x6a "LONG_BINGET"      Uint4       1  ""                  "any"       Data       "pushes a memo slot, 4-byte index";
    Put             0x70 "PUT"              DecimalLine 0  ""                  ""          Data       "stores the top item in a memo slot, decimal line";
    Binput          0x71 "BINPUT"           Uint1       1  ""                  ""          Data       "stores the top item in a memo slot, 1-byte index";
    LongBinput      0x72 "LONG_BINPUT"      Uint4       1  ""                  ""          Data       "stores the top item in a memo slot, 4-byte index";
    Memoize         0x94 "MEMOIZE"          Nothing     4  "any"               "any"       Data       "stores the top item in the next memo slot";
    Ext1            0x82 "EXT1"             Uint1       2  ""                  "any"       Name       "global by extension code, 1 byte";
    Ext2            0x83 "EXT2"             Uint2       2  ""                  "any"       Name       "global by extension code, 2 bytes";
    Ext4            0x84 "EXT4"             Int4        2  ""                  "any"       Name       "global by extension code, 4 bytes";
    Global          0x63 "GLOBAL"           NamePair    0  ""                  "any"       Name       "global by two lines, module and name";
    StackGlobal     0x93 "STACK_GLOBAL"     Nothing     4  "text text"         "any"       Name       "global by module and name from the stack";
    Reduce          0x52 "REDUCE"           Nothing     0  "any any"           "any"       Call       "calls a callable with an argument tuple";
    Build           0x62 "BUILD"            Nothing     0  "any any"           "any"       SetState   "sets the state of an object";
    Inst            0x69 "INST"             NamePair    0  "mark items"        "any"       Call       "makes an instance of a class named by two lines";
    Obj             0x6f "OBJ"              Nothing     1  "mark any items"    "any"       Call       "makes an instance of the class above the mark";
    Newobj          0x81 "NEWOBJ"           Nothing     2  "any any"           "any"       Call       "cls.__new__(cls, *args)";
    NewobjEx        0x92 "NEWOBJ_EX"        Nothing     4  "any any any"       "any"       Call       "cls.__new__(cls, *args, **kwargs)";
    Proto           0x80 "PROTO"            Uint1       2  ""                  ""          Data       "declares the protocol";
    Stop            0x2e "STOP"             Nothing     0  "any"               ""          Data       "ends the pickle; the top item is its value";
    Frame           0x95 "FRAME"            Uint8       4  ""                  ""          Data       "declares how many bytes follow in this frame";
    Persid          0x50 "PERSID"           RawLine     0  ""                  "any"       Persistent "object by persistent id, a line";
    Binpersid       0x51 "BINPERSID"        Nothing     1  "any"               "any"       Persistent "object by persistent id from the stack";
}

const ROW_OF: [u8; 256] = {
    let mut rows = [0u8; 256];
    let mut i = 0;
    while i < TABLE.len() {
        rows[TABLE[i].byte as usize] = i as u8;
        i += 1;
    }
    rows
};

/// The words for an argument's layout.
fn layout(kind: ArgumentKind) -> &'static str {
    use ArgumentKind as K;
    match kind {
        K::Nothing => "",
        K::Uint1 => "1 byte, unsigned",
        K::Uint2 => "2 bytes, unsigned, little-endian",
        K::Uint4 => "4 bytes, unsigned, little-endian",
        K::Uint8 => "8 bytes, unsigned, little-endian",
        K::Int4 => "4 bytes, signed, little-endian",
        K::Float8 => "8 bytes, IEEE double, big-endian",
        K::Long1 | K::String1 | K::Bytes1 | K::Unicode1 => "1-byte length, then that many bytes",
        K::Long4 | K::String4 => "4-byte signed length, then that many bytes",
        K::Bytes4 | K::Unicode4 => "4-byte length, then that many bytes",
        K::Bytes8 | K::ByteArray8 | K::Unicode8 => "8-byte length, then that many bytes",
        K::DecimalLine => "a line: decimal",
        K::FloatLine => "a line: decimal float",
        K::UnicodeLine => "a line: raw-unicode-escape",
        K::QuotedLine => "a line: quoted and escaped",
        K::RawLine => "a line",
        K::NamePair => "two lines: module and name",
    }
}

/// The words for an effect.
fn consequence(effect: Effect) -> &'static str {
    match effect {
        Effect::Data => "",
        Effect::Name => "imports",
        Effect::Call => "calls",
        Effect::SetState => "may run `__setstate__`",
        Effect::Fill => "may run methods of a subclass",
        Effect::Persistent => "asks the application",
        Effect::Buffer => "takes an out-of-band buffer",
    }
}

/// The page of the documentation that lists the opcodes.
pub fn table_markdown() -> String {
    let mut page = String::from(
        "# Opcodes\n\n\
         Every opcode of the pickle format, made from the table in `crates/torshi-core/src/opcode.rs`; do not edit.\n\
         The stack columns are deepest first. *Effect* is what stock pickle may do beyond moving data when it meets\n\
         the opcode; torshi does none of it before the whole stream is checked.\n\n\
         | byte | name | protocol | argument | takes | leaves | effect | meaning |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in TABLE {
        let printed = match row.byte {
            b'|' => String::from(" `\\|`"),
            b'!'..=b'~' => format!(" `{}`", char::from(row.byte)),
            _ => String::new(),
        };
        let cells = [
            format!("0x{:02x}{printed}", row.byte),
            row.name.to_owned(),
            row.protocol.to_string(),
            layout(row.argument).to_owned(),
            row.takes.to_owned(),
            row.leaves.to_owned(),
            consequence(row.effect).to_owned(),
            row.doc.to_owned(),
        ];
        page.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page would go on saying what the code no longer does. To write it anew, run the tests with
    /// `TORSHI_WRITE_DOCS=1`.
    #[test]
    fn the_page_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/opcodes.md");
        if std::env::var_os("TORSHI_WRITE_DOCS").is_some() {
            std::fs::write(path, table_markdown()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), table_markdown());
    }

    /// A byte used twice, or a row that does not find itself, would decode streams wrongly.
    #[test]
    fn every_row_finds_itself() {
        assert_eq!(TABLE.len(), 68);
        for row in TABLE {
            assert_eq!(Opcode::from_byte(row.byte), Some(row.opcode));
            assert_eq!(row.opcode as u8, row.byte);
            assert_eq!(row.opcode.name(), row.name);
        }
    }
}
