//! What a Debian package says about itself: the `control` file's fields, as far as a kernel needs them.

use std::collections::BTreeMap;

use port_model::Architecture;

use crate::dependency::Dependency;
use crate::error::KernelError;

/// What a package says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Its name.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Its architecture in Debian's words: `amd64`, `arm64`, `all`.
    pub architecture: String,
    /// What it depends on: all elements, any alternative of each.
    pub depends: Vec<Vec<Dependency>>,
}

impl Control {
    /// For a meta package, such as `linux-image-cloud-amd64`: the kernel package that it stands for.
    pub fn kernel_dependency(&self) -> Option<&Dependency> {
        let mut all = self.depends.iter().flatten();
        all.find(|dependency| {
            dependency.package.starts_with("linux-image-") && dependency.package != self.package
        })
    }

    /// The architecture in Port's words.
    pub fn port_architecture(&self) -> Option<Architecture> {
        Architecture::ALL.iter().copied().find(|architecture| architecture.oci_name() == self.architecture)
    }

    /// Reads the text of a control file; `subject` names the package in errors.
    pub fn parse(text: &str, subject: &str) -> Result<Self, KernelError> {
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        let mut last: Option<String> = None;
        for line in text.lines().take_while(|line| !line.is_empty()) {
            match (line.starts_with([' ', '\t']), line.split_once(':'), &last) {
                (true, _, Some(name)) => fields.entry(name.clone()).or_default().push_str(line),
                (false, Some((name, value)), _) => {
                    let name = name.to_ascii_lowercase();
                    fields.insert(name.clone(), value.trim().to_owned());
                    last = Some(name);
                }
                _ => {
                    return Err(KernelError::malformed(
                        subject,
                        "`Field: value` lines in control",
                        line.escape_debug().to_string(),
                    ));
                }
            }
        }
        let field = |name: &str| {
            let missing = || KernelError::malformed(subject, format!("a `{name}` field in control"), "none");
            fields
                .get(&name.to_ascii_lowercase())
                .filter(|value| !value.is_empty())
                .cloned()
                .ok_or_else(missing)
        };
        Ok(Self {
            package: field("Package")?,
            version: field("Version")?,
            architecture: field("Architecture")?,
            depends: fields
                .get("depends")
                .map(|depends| Dependency::parse_field(depends))
                .unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_fields_are_named() {
        for (text, found) in [("Package: x\nnonsense\n", "nonsense"), (" continued\n", " continued")] {
            let error = Control::parse(text, "k").unwrap_err().to_string();
            assert_eq!(
                error,
                format!("k is malformed: expected `Field: value` lines in control, found {found}")
            );
        }
    }
}
