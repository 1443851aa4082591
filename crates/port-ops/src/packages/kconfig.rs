//! A kernel's `.config` as a map: `CONFIG_NAME=value` line by line, values as they are written, quotes and all.

use std::collections::BTreeMap;
use std::path::Path;

use port_content::{fs, limit};

use super::PackageError;

/// Reads the file. Of two lines with one name the later counts, as Kconfig has it.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, String>, PackageError> {
    let text = fs::read_to_string(path, limit::CONFIGURATION)?;
    parse(&text).map_err(|(line, found)| PackageError::Kconfig { path: path.to_owned(), line, found })
}

fn parse(text: &str) -> Result<BTreeMap<String, String>, (usize, String)> {
    let mut entries = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once('=') {
            Some((name, value)) if is_name(name) => entries.insert(name.to_owned(), value.to_owned()),
            _ => return Err((index + 1, line.chars().take(80).collect())),
        };
    }
    Ok(entries)
}

fn is_name(name: &str) -> bool {
    name.strip_prefix("CONFIG_").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k_29_ku_14_a_configuration_is_read_as_written() {
        let text = "#\n# Automatic\n# CONFIG_X is not set\n\nCONFIG_A=y\n CONFIG_B=\"a=b # c\" \r\nCONFIG_A=n\nCONFIG_64BIT=0x10\n";
        let entries = parse(text).unwrap();
        let pairs: Vec<_> = entries.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("CONFIG_64BIT", "0x10"), ("CONFIG_A", "n"), ("CONFIG_B", "\"a=b # c\"")]);
        for (text, line) in [("CONFIG_A=y\nCONFIG_B", 2), ("A=y", 1), ("CONFIG_=y", 1), ("CONFIG_A B=y", 1)] {
            assert_eq!(parse(text).unwrap_err().0, line, "{text}");
        }
    }
}
