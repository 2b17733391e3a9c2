//! Arrow's schema into what columns are in memory. Types that polars does not write, and marks on fields that are not
//! known, have no layout here.
use polars_arrow_format::ipc::{FieldRef, Precision, SchemaRef, TypeRef};
use rustc_hash::FxHashMap;

/// Columns in columns.
pub(super) const DEPTH: usize = 32;
/// Fields of a schema, those of fields counted too.
const MOST_FIELDS: usize = 1 << 16;
/// Bits of polars' marks on a column.
const FLAGS: u32 = 31;

/// What the values of a column are in memory.
#[derive(Clone, Debug)]
pub(super) enum Layout {
    Null,
    /// So many bits each.
    Fixed(u64),
    /// Offsets of so many bytes, into bytes or text.
    Bytes {
        width: usize,
        text: bool,
    },
    /// Views of sixteen bytes, which hold the value or lead to it.
    Views {
        text: bool,
    },
    /// Offsets of so many bytes into a column.
    List {
        width: usize,
        item: Box<Layout>,
    },
    FixedList {
        size: u64,
        item: Box<Layout>,
    },
    Struct(Vec<Layout>),
    /// Codes of so many bytes, signed or not, into a dictionary.
    Codes {
        id: i64,
        width: usize,
        signed: bool,
    },
}

/// A column of the schema, or one within it.
#[derive(Debug)]
pub(super) struct Field {
    pub layout: Layout,
    /// The categories of enumerations in it, by the dictionary they are said to be in.
    enumerations: Vec<(i64, Vec<String>)>,
}

impl Field {
    /// What an enumeration says the values of a dictionary are.
    pub(super) fn categories(&self, id: i64) -> Option<&[String]> {
        self.enumerations.iter().find(|(named, _)| *named == id).map(|(_, names)| &names[..])
    }
}

/// The columns of a schema; `wanted` gets the layouts of the dictionaries they name.
pub(super) fn fields(schema: &SchemaRef<'_>, wanted: &mut FxHashMap<i64, Layout>) -> Option<Vec<Field>> {
    use polars_arrow_format::ipc::Endianness;
    if !matches!(schema.endianness().ok()?, Endianness::Little) {
        return None;
    }
    for pair in schema.custom_metadata().ok()?.into_iter().flatten() {
        let pair = pair.ok()?;
        if pair.key().ok()?? != "_PL_FLAGS" || !are_flags(pair.value().ok()??) {
            return None;
        }
    }
    let mut reader = Reader { wanted, left: MOST_FIELDS, enumerations: Vec::new() };
    let mut fields = Vec::new();
    for field in schema.fields().ok()?? {
        let layout = reader.layout(&field.ok()?, DEPTH)?;
        fields.push(Field { layout, enumerations: std::mem::take(&mut reader.enumerations) });
    }
    Some(fields)
}

/// `[0,1,5]`: marks that polars sets on columns.
fn are_flags(text: &str) -> bool {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inside.is_some_and(|all| all.is_empty() || all.split(',').all(|n| n.parse::<u32>().is_ok_and(|n| n <= FLAGS)))
}

struct Reader<'w> {
    wanted: &'w mut FxHashMap<i64, Layout>,
    left: usize,
    enumerations: Vec<(i64, Vec<String>)>,
}

impl Reader<'_> {
    fn layout(&mut self, field: &FieldRef<'_>, depth: usize) -> Option<Layout> {
        self.left = self.left.checked_sub(1)?;
        if depth == 0 {
            return None;
        }
        field.name().ok()?;
        let marks = marks(field)?;
        let dictionary = field.dictionary().ok()?;
        let below = |reader: &mut Self| -> Option<Vec<Layout>> {
            let children = field.children().ok()?.into_iter().flatten();
            children.map(|child| reader.layout(&child.ok()?, depth - 1)).collect()
        };
        let children = below(self)?;
        let layout = plain(field.type_().ok()??, children)?;
        let Some(dictionary) = dictionary else {
            return marks.is_none().then_some(layout);
        };
        // Categories are texts; anything else under codes polars makes only of others' files.
        if !matches!(layout, Layout::Views { text: true } | Layout::Bytes { text: true, .. }) {
            return None;
        }
        let (width, signed) = match dictionary.index_type().ok()? {
            Some(index) => (index.bit_width().ok()?, index.is_signed().ok()?),
            None => (32, true),
        };
        if !matches!(width, 8 | 16 | 32) {
            return None;
        }
        let id = dictionary.id().ok()?;
        if let Some(Marks::Enumeration(names)) = marks {
            self.enumerations.push((id, names));
        }
        self.wanted.insert(id, layout).is_none().then_some(())?;
        Some(Layout::Codes { id, width: width as usize / 8, signed })
    }
}

/// What polars notes on a field of codes.
enum Marks {
    Categories,
    Enumeration(Vec<String>),
}

/// The marks of a field, if it has any; nothing if it has others.
fn marks(field: &FieldRef<'_>) -> Option<Option<Marks>> {
    let mut found = None;
    for pair in field.custom_metadata().ok()?.into_iter().flatten() {
        let pair = pair.ok()?;
        let (key, value) = (pair.key().ok()??, pair.value().ok()??);
        let mark = match key {
            "_PL_CATEGORICAL2" => is_categories(value).then_some(Marks::Categories)?,
            "_PL_ENUM_VALUES2" => Marks::Enumeration(names(value)?),
            _ => return None,
        };
        if found.replace(mark).is_some() {
            return None;
        }
    }
    Some(found)
}

/// `1;a2;bc`: texts with their lengths in bytes.
fn names(mut text: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    while !text.is_empty() {
        let (length, rest) = text.split_once(';')?;
        let (name, rest) = rest.split_at_checked(length.parse().ok()?)?;
        all.push(name.to_owned());
        text = rest;
    }
    Some(all)
}

/// `3;abc` `0;` `u32;`: name and namespace with their lengths, and the integers of the codes.
fn is_categories(text: &str) -> bool {
    let text_of = |text: &str| -> Option<usize> {
        let (length, rest) = text.split_once(';')?;
        let length = length.parse::<usize>().ok()?;
        rest.is_char_boundary(length).then(|| text.len() - rest.len() + length)
    };
    let rest = text_of(text).and_then(|end| text.get(end..));
    let rest = rest.and_then(|rest| rest.get(text_of(rest)?..));
    matches!(rest, Some("u8;" | "u16;" | "u32;"))
}

fn plain(kind: TypeRef<'_>, mut children: Vec<Layout>) -> Option<Layout> {
    let only = |mut children: Vec<Layout>| (children.len() == 1).then(|| children.pop()).flatten().map(Box::new);
    let layout = match kind {
        TypeRef::List(_) => return Some(Layout::List { width: 4, item: only(children)? }),
        TypeRef::LargeList(_) => return Some(Layout::List { width: 8, item: only(children)? }),
        TypeRef::FixedSizeList(list) => {
            let size = u64::try_from(list.list_size().ok()?).ok()?;
            return Some(Layout::FixedList { size, item: only(children)? });
        }
        TypeRef::Struct(_) => return Some(Layout::Struct(std::mem::take(&mut children))),
        TypeRef::Null(_) => Layout::Null,
        TypeRef::Bool(_) => Layout::Fixed(1),
        TypeRef::Int(int) => match int.bit_width().ok()? {
            width @ (8 | 16 | 32 | 64 | 128) => Layout::Fixed(width as u64),
            _ => return None,
        },
        TypeRef::FloatingPoint(float) => match float.precision().ok()? {
            Precision::Half => Layout::Fixed(16),
            Precision::Single => Layout::Fixed(32),
            Precision::Double => Layout::Fixed(64),
        },
        TypeRef::Decimal(decimal) => {
            let sound = decimal.bit_width().ok()? == 128
                && (1..=38).contains(&decimal.precision().ok()?)
                && (0..=38).contains(&decimal.scale().ok()?);
            sound.then_some(Layout::Fixed(128))?
        }
        TypeRef::Date(_) => Layout::Fixed(if is_day(&kind)? { 32 } else { 64 }),
        TypeRef::Time(time) => Layout::Fixed(match time.bit_width().ok()? {
            width @ (32 | 64) => width as u64,
            _ => return None,
        }),
        TypeRef::Timestamp(_) | TypeRef::Duration(_) => Layout::Fixed(64),
        TypeRef::Binary(_) => Layout::Bytes { width: 4, text: false },
        TypeRef::Utf8(_) => Layout::Bytes { width: 4, text: true },
        TypeRef::LargeBinary(_) => Layout::Bytes { width: 8, text: false },
        TypeRef::LargeUtf8(_) => Layout::Bytes { width: 8, text: true },
        TypeRef::BinaryView(_) => Layout::Views { text: false },
        TypeRef::Utf8View(_) => Layout::Views { text: true },
        _ => return None,
    };
    children.is_empty().then_some(layout)
}

fn is_day(kind: &TypeRef<'_>) -> Option<bool> {
    use polars_arrow_format::ipc::DateUnit;
    let TypeRef::Date(date) = kind else { return None };
    Some(matches!(date.unit().ok()?, DateUnit::Day))
}

#[cfg(test)]
mod tests {
    use super::{are_flags, is_categories, names};

    /// Marks that are not polars' own lead its reader to extension types, which name addresses in memory.
    #[test]
    fn marks_are_of_polars_own_form() {
        assert!(are_flags("[]") && are_flags("[0,1,5]"));
        assert!(!are_flags("[99]") && !are_flags("0") && !are_flags("[-1]") && !are_flags("[0,]"));
        assert_eq!(names("1;x2;yz0;").as_deref(), Some(&["x".to_owned(), "yz".to_owned(), String::new()][..]));
        assert!(names("9;x").is_none() && names("x").is_none());
        assert!(is_categories("0;0;u32;") && is_categories("1;a2;bcu8;"));
        assert!(!is_categories("0;0;u64;") && !is_categories("9;0;u32;") && !is_categories(""));
    }
}
