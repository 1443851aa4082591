//! Files with rules, for Landlock and for seccomp: two lists of texts in TOML or JSON (docs/formats/workload-profiles.md).

use std::path::Path;

use port_content::fs;
use port_document::{LARGEST_TEXT, Node, Syntax, UnknownKeys, read_bytes};

use crate::error::DriverError;

/// Reads a file whose keys are `first` and `second`, each a list that may be absent. `rule` judges every text.
pub(crate) fn read(
    path: &Path,
    [first, second]: [&'static str; 2],
    rule: fn(&str) -> Result<(), String>,
) -> Result<[Vec<String>; 2], DriverError> {
    let bytes = fs::read(path, LARGEST_TEXT as u64)?;
    let reading = read_bytes(&bytes, Syntax::TomlOrJson, UnknownKeys::Refused, |_, table| {
        let list = |key| table.maybe(key, |node: Node<'_>| node.each(|item| item.obeying(rule)));
        let lists = [list(first), list(second)].map(|list| list.map(Option::unwrap_or_default));
        table.finish();
        let [first, second] = lists;
        Some([first?, second?])
    });
    Ok(reading.conclude(&path.display().to_string())?)
}
