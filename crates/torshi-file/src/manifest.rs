//! JSON to what a load goes by: lengths, digests, names. What else a manifest says (platform, versions, metadata) is
//! for people and other programs, and changes nothing here. Unknown keys are left alone; a known key given twice, and
//! a buffer outside the stream, are refused.

use crate::digest::{from_hex, Digest};
use serde::Deserialize;

/// The format that this crate writes, and the newest it reads.
pub const VERSION: u32 = 1;

/// What a load goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Bytes of the stream, uncompressed.
    pub stream: u64,
    /// Digest of the stream.
    pub digest: Digest,
    /// Large buffers, in stream order.
    pub buffers: Vec<Buffer>,
    /// Names the stream uses, `module:qualname`.
    pub globals: Vec<String>,
}

/// A large buffer of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Where its bytes begin in the stream.
    pub offset: u64,
    /// How many there are.
    pub length: u64,
    /// Their digest.
    pub digest: Digest,
    /// Whether it was an object's buffer, which may come back as any buffer; else it was `bytes` or a `bytearray`.
    pub lent: bool,
}

#[derive(Deserialize)]
struct Written {
    torshi: u32,
    stream: u64,
    digest: String,
    #[serde(default)]
    buffers: Vec<(u64, u64, String, bool)>,
    #[serde(default)]
    globals: Vec<String>,
}

impl Manifest {
    /// Reads a manifest; what is wrong with it, if something is.
    pub fn parse(text: &[u8]) -> Result<Manifest, String> {
        let written: Written =
            serde_json::from_slice(text).map_err(|error| format!("the manifest is no manifest: {error}"))?;
        if written.torshi > VERSION {
            return Err(newer(written.torshi));
        }
        let digest = |text: &str| {
            let hex = text.strip_prefix("blake3:").unwrap_or_default();
            from_hex(hex).ok_or_else(|| format!("the manifest has a digest of an unknown kind: {text:.80}"))
        };
        let mut end = 0;
        let mut buffers = Vec::with_capacity(written.buffers.len());
        for (offset, length, text, lent) in written.buffers {
            let behind = offset.checked_add(length).filter(|behind| offset >= end && *behind <= written.stream);
            end = behind
                .ok_or_else(|| format!("the manifest has a buffer at {offset} that overlaps others or the end"))?;
            buffers.push(Buffer { offset, length, digest: digest(&text)?, lent });
        }
        Ok(Manifest { stream: written.stream, digest: digest(&written.digest)?, buffers, globals: written.globals })
    }
}

/// What is said of a format this crate does not know.
pub fn newer(version: u32) -> String {
    format!("the file has format version {version}, and this torshi reads up to {VERSION}: a newer torshi wrote it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(extra: &str) -> String {
        format!(r#"{{"torshi": 1, "stream": 100, "digest": "blake3:{}"{extra}}}"#, "ab".repeat(32))
    }

    #[test]
    fn a_manifest_says_what_a_load_needs() {
        let buffers = format!(r#", "buffers": [[10, 20, "blake3:{}", true]], "later": 1"#, "cd".repeat(32));
        let manifest = Manifest::parse(text(&buffers).as_bytes()).unwrap();
        assert_eq!((manifest.stream, manifest.digest), (100, [0xab; 32]));
        assert_eq!(manifest.buffers, [Buffer { offset: 10, length: 20, digest: [0xcd; 32], lent: true }]);
    }

    /// Two readers of such a manifest could mean different streams, or look outside.
    #[test]
    fn what_could_mean_two_things_is_refused() {
        let digest = format!("\"blake3:{}\"", "cd".repeat(32));
        for bad in [
            r#", "stream": 99"#.to_owned(),
            format!(r#", "buffers": [[10, 20, {digest}, true], [29, 2, {digest}, true]]"#),
            format!(r#", "buffers": [[90, 11, {digest}, true]]"#),
            format!(r#", "buffers": [[{}, 2, {digest}, true]]"#, u64::MAX),
        ] {
            assert!(Manifest::parse(text(&bad).as_bytes()).is_err(), "{bad}");
        }
        assert!(Manifest::parse(text("").replace("\"torshi\": 1", "\"torshi\": 2").as_bytes())
            .unwrap_err()
            .contains("newer"));
        assert!(Manifest::parse(text("").replace("blake3", "md5").as_bytes()).is_err());
    }
}
