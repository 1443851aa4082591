//! An absolute path inside an image: bytes, validated once.
//!
//! Invariant: it begins with `/`, and no component is empty, `.`, `..`, longer than 255 bytes or holds NUL,
//! so joining it to a staging directory cannot leave that directory.

use std::cmp::Ordering;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::ImageError;

/// The longest name of one entry, in bytes (`NAME_MAX` on Linux).
const NAME_LIMIT: usize = 255;
/// The longest path, in bytes (`PATH_MAX` on Linux, its NUL not counted).
const PATH_LIMIT: usize = 4095;

/// A path inside an image, such as `/usr/bin/env`. The root is `/`.
///
/// The order is the one of a directory walk: a directory, all that is in it, then its next sibling.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TreePath(Vec<u8>);

impl TreePath {
    /// The root directory.
    pub fn root() -> Self {
        Self(b"/".to_vec())
    }

    /// Checks and takes a path.
    pub fn parse(path: impl AsRef<[u8]>) -> Result<Self, ImageError> {
        let path = path.as_ref();
        match problem(path) {
            None => Ok(Self(path.to_vec())),
            Some(reason) => Err(ImageError::Path { path: readable(path), reason }),
        }
    }

    /// The path as bytes, with its leading `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is `/`.
    pub fn is_root(&self) -> bool {
        self.0 == b"/"
    }

    /// The path without its leading `/`; empty for the root.
    pub fn relative(&self) -> &[u8] {
        self.0.get(1..).unwrap_or_default()
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// The directory it is in; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.len() - self.name().len() - 1;
        Some(
            self.0
                .get(..end)
                .filter(|parent| !parent.is_empty())
                .map_or_else(Self::root, |p| Self(p.to_vec())),
        )
    }

    /// The path of `name` in this directory.
    pub fn join(&self, name: &[u8]) -> Result<Self, ImageError> {
        let mut path = if self.is_root() { Vec::new() } else { self.0.clone() };
        path.push(b'/');
        path.extend_from_slice(name);
        Self::parse(path)
    }

    /// Whether `self` is inside `directory`, at any depth.
    pub fn is_inside(&self, directory: &Self) -> bool {
        let rest = self.0.strip_prefix(directory.0.as_slice());
        if directory.is_root() {
            !self.is_root()
        } else {
            rest.is_some_and(|rest| rest.first() == Some(&b'/'))
        }
    }

    /// Where this entry is below a host directory.
    pub fn below(&self, directory: &Path) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        if self.is_root() {
            return directory.to_owned();
        }
        directory.join(std::ffi::OsStr::from_bytes(self.relative()))
    }
}

fn problem(path: &[u8]) -> Option<&'static str> {
    let Some(rest) = path.strip_prefix(b"/") else { return Some("it does not begin with `/`") };
    if path.len() > PATH_LIMIT {
        return Some("it is longer than 4095 bytes");
    }
    if rest.is_empty() {
        return None;
    }
    rest.split(|byte| *byte == b'/').find_map(|name| match name {
        b"" => Some("it has an empty component"),
        b"." | b".." => Some("it has a `.` or `..` component"),
        _ if name.len() > NAME_LIMIT => Some("it has a component longer than 255 bytes"),
        _ if name.contains(&0) => Some("it holds a NUL byte"),
        _ => None,
    })
}

/// Bytes for a message: UTF-8 where it is, `\xNN` where not, no control characters.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                text.extend(character.escape_default())
            } else {
                text.push(character)
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        // No name holds a NUL, so it can stand for the separator and sort below every other byte.
        let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        self.0.iter().map(key).cmp(other.0.iter().map(key))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&readable(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreePath({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_have_plain_components() {
        for good in ["/", "/a", "/a/b", "/..a/b..", "/a b/\u{e9}"] {
            assert_eq!(TreePath::parse(good).unwrap().to_string(), good);
        }
        let long = format!("/{}", "x".repeat(256));
        for bad in ["", "a", "/a/", "//", "/a//b", "/.", "/..", "/a/../b", "/a/.", "/a\0b", &long] {
            assert!(TreePath::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(TreePath::parse(b"/\xff\n").unwrap().to_string(), "/\\xff\\n");
    }

    #[test]
    fn the_order_is_that_of_a_walk() {
        let mut paths = ["/a/b", "/a-b", "/a", "/", "/a.b", "/a/b/c"].map(|p| TreePath::parse(p).unwrap());
        paths.sort();
        assert_eq!(paths.map(|p| p.to_string()), ["/", "/a", "/a/b", "/a/b/c", "/a-b", "/a.b"]);
    }

    #[test]
    fn parents_and_names() {
        let path = |text: &str| TreePath::parse(text).unwrap();
        assert_eq!(path("/a/b").parent(), Some(path("/a")));
        assert_eq!(path("/a").parent(), Some(path("/")));
        assert_eq!(path("/").parent(), None);
        assert_eq!(path("/a/bc").name(), b"bc");
        assert!(path("/a/b").is_inside(&path("/a")) && !path("/ab").is_inside(&path("/a")));
        assert!(path("/a").is_inside(&path("/")) && !path("/").is_inside(&path("/")));
        assert_eq!(path("/").below(Path::new("/x")), Path::new("/x"));
        assert_eq!(path("/a/b").below(Path::new("/x")), Path::new("/x/a/b"));
    }
}
