//! What an artifact is made of, as an SPDX 2.3 document: the inputs of its build, and the Debian packages of the directory that its
//! recipe takes files from.
//!
//! The same record gives the same bytes. SPDX asks for a time: it is always the same one.

use std::path::Path;

use port_content::fs;
use port_model::Digest;
use serde_json::{Value, json};

use crate::error::OpsError;
use crate::trust::built::Built;
use crate::trust::error::TrustError;
use crate::trust::provenance::{name, version};
use crate::workspace::Workspace;

/// dpkg's record of what is installed, below a root directory.
const DPKG_STATUS: &str = "var/lib/dpkg/status";
/// The largest one that is read: a desktop with 5,000 packages has 6 MiB.
const LARGEST_STATUS: u64 = 32 << 20;
/// The most packages of one document.
const MOST_PACKAGES: usize = 20_000;

/// The document.
pub(crate) fn document(workspace: &Workspace, built: &Built<'_>) -> Result<Value, OpsError> {
    let name = built.target.name();
    let root = "SPDXRef-artifact";
    let files = built.bundle.components.iter().map(|component| checksum(&component.digest));
    let mut packages = vec![json!({
        "SPDXID": root, "name": name, "downloadLocation": "NOASSERTION", "filesAnalyzed": false,
        "versionInfo": built.target.artifact.reference.version(),
        "checksums": files.collect::<Vec<_>>(),
        "primaryPackagePurpose": "OPERATING-SYSTEM",
    })];
    packages.extend(built.entry.inputs.iter().enumerate().map(|(index, input)| self::input(index, input)));
    for installed in installed(workspace, built)? {
        packages.push(installed.package(packages.len()));
    }
    let relationship = |kind: &str, from: &str, to: &Value| json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to });
    let mut relationships = vec![relationship("DESCRIBES", "SPDXRef-DOCUMENT", &json!(root))];
    let parts = packages.iter().skip(1).filter_map(|package| package.get("SPDXID"));
    relationships.extend(parts.map(|part| relationship("CONTAINS", root, part)));
    Ok(json!({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": name,
        "documentNamespace": format!("urn:vnd.port:spdx:{}", built.manifest),
        "creationInfo": {
            "created": "1970-01-01T00:00:00Z",
            "creators": [format!("Tool: port-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages, "relationships": relationships,
    }))
}

fn input(index: usize, input: &port_config::LockedInput) -> Value {
    json!({
        "SPDXID": format!("SPDXRef-input-{}", index + 1), "name": name(input),
        "versionInfo": version(input).unwrap_or("NOASSERTION"),
        "downloadLocation": "NOASSERTION", "filesAnalyzed": false, "checksums": [checksum(&input.digest)],
    })
}

fn checksum(digest: &Digest) -> Value {
    let algorithm = digest.algorithm().as_str().to_ascii_uppercase();
    json!({ "algorithm": algorithm, "checksumValue": digest.hex() })
}

/// A package that dpkg has installed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Installed {
    name: String,
    version: String,
    architecture: String,
}

impl Installed {
    fn package(&self, number: usize) -> Value {
        let Self { name, version, architecture } = self;
        let locator = format!("pkg:deb/debian/{name}@{}?arch={architecture}", version.replace('+', "%2B"));
        json!({
            "SPDXID": format!("SPDXRef-package-{number}"), "name": name, "versionInfo": version,
            "downloadLocation": "NOASSERTION", "filesAnalyzed": false,
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator,
            }],
        })
    }
}

/// The packages in the recipe's directory, which must be the one that went in.
fn installed(workspace: &Workspace, built: &Built<'_>) -> Result<Vec<Installed>, OpsError> {
    let directory = built.target.config.recipe.as_ref().and_then(|recipe| recipe.directory.as_deref());
    let Some(directory) = directory else { return Ok(Vec::new()) };
    let status = directory.join(DPKG_STATUS);
    if fs::try_metadata(&status)?.is_none() {
        return Ok(Vec::new());
    }
    check_unchanged(workspace, built, directory)?;
    let text = fs::read_to_string(&status, LARGEST_STATUS)?;
    let packages = parse(&text);
    if packages.len() > MOST_PACKAGES {
        let found = packages.len();
        let reason =
            format!("`{}` has {found} packages, and at most {MOST_PACKAGES} are listed", status.display());
        return Err(refuse(built, reason));
    }
    Ok(packages)
}

fn check_unchanged(workspace: &Workspace, built: &Built<'_>, directory: &Path) -> Result<(), OpsError> {
    let digest_of = |path: &Path| match workspace.store.digest_of_file(path) {
        Ok(found) => Ok(found),
        Err(_) => port_content::hashing::digest_file(path),
    };
    let now = port_build::directory_input(directory, &digest_of)?;
    let before = built.entry.inputs.iter().find(|input| input.source == now.source);
    if before.is_none_or(|before| before.digest != now.digest) {
        let reason =
            format!("`{}` is not what it was when the image was built: build again", directory.display());
        return Err(refuse(built, reason));
    }
    Ok(())
}

fn refuse(built: &Built<'_>, reason: String) -> OpsError {
    let kind = port_trust::statement::SPDX.to_owned();
    TrustError::NoStatement { kind, what: built.target.name(), reason }.into()
}

/// The installed packages of dpkg's status file, by name.
fn parse(text: &str) -> Vec<Installed> {
    let paragraph = |text: &str| {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.map(|value| value.trim().chars().filter(|c| !c.is_control()).take(256).collect::<String>())
        };
        let is_installed = field("Status").is_some_and(|status| status.ends_with(" installed"));
        let (name, version) = (field("Package")?, field("Version")?);
        let architecture = field("Architecture").unwrap_or_else(|| "all".to_owned());
        is_installed.then_some(Installed { name, version, architecture })
    };
    let mut packages: Vec<Installed> = text.split("\n\n").filter_map(paragraph).collect();
    packages.sort();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_dpkg_has_installed_are_listed_by_name() {
        let text = "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.3+b1\n\
                    Description: compression\n Package: not-a-field\n\n\
                    Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n\
                    Package: adduser\nStatus: install ok installed\nVersion: 3\n\n\nPackage: broken\n";
        let packages = parse(text);
        let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["adduser", "zlib1g"]);
        let package = packages[1].package(7);
        assert_eq!(
            package["externalRefs"][0]["referenceLocator"],
            "pkg:deb/debian/zlib1g@1:1.3%2Bb1?arch=amd64"
        );
        assert_eq!(packages[0].architecture, "all");
        assert_eq!(parse(""), []);
    }
}
