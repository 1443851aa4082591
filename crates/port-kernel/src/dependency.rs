//! The `Depends` field of a Debian package: `a (>= 1) | b:any, c [amd64]`. Parsed, not solved.

use std::fmt;

/// One alternative of a dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The package's name, without an architecture qualifier.
    pub package: String,
    /// The relation and version in parentheses, as `("=", "6.1.192-2")`, if there is one.
    pub version: Option<(String, String)>,
}

impl Dependency {
    /// Reads a whole field: every element must be met, by any one of its alternatives. What is not a
    /// package name is left out.
    pub fn parse_field(field: &str) -> Vec<Vec<Self>> {
        let alternatives = |element: &str| element.split('|').filter_map(Self::parse).collect::<Vec<_>>();
        field.split(',').map(alternatives).filter(|alternatives| !alternatives.is_empty()).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let name_end =
            text.find(|c: char| c.is_whitespace() || matches!(c, '(' | '[' | ':')).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(name_end)?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '-' | '.');
        if name.is_empty() || !name.chars().all(plain) || name.starts_with(['-', '.', '+']) {
            return None;
        }
        let inner =
            rest.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inner, _)| inner.trim());
        let version = inner.and_then(|inner| {
            let operator_end = inner.find(|c: char| !matches!(c, '<' | '=' | '>'))?;
            let (operator, version) = inner.split_at_checked(operator_end)?;
            Some((operator.to_owned(), version.trim().to_owned()))
        });
        Some(Self { package: name.to_owned(), version })
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            None => f.write_str(&self.package),
            Some((operator, version)) => write!(f, "{} ({operator} {version})", self.package),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_alternatives() {
        let field =
            "kmod, linux-base (>= 4.3~), initramfs-tools:any (>= 0.120+deb8u2) | dracut [amd64],, ../x";
        let shown: Vec<Vec<String>> = Dependency::parse_field(field)
            .iter()
            .map(|alternatives| alternatives.iter().map(Dependency::to_string).collect())
            .collect();
        assert_eq!(
            shown,
            [vec!["kmod"], vec!["linux-base (>= 4.3~)"], vec!["initramfs-tools (>= 0.120+deb8u2)", "dracut"],]
        );
    }
}
