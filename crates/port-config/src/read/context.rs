//! What readers of one file share: the host, the names that exist, the paths that are taken.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use port_model::{Architecture, ArtifactClass, FileName, ProtectionMode, Substrate, Variant, suggest};

use super::rules::{self, Query, UrlError};
use port_document::{Findings, Node, Place};

/// Shared by the readers of one `port.toml`.
pub(super) struct Context<'d> {
    pub(super) findings: &'d Findings,
    pub(super) host: Architecture,
    /// Every artifact that the file names, readable or not: a broken one is not also unknown.
    artifacts: BTreeMap<String, Known>,
    /// Name of the control plane of each endpoint.
    endpoints: BTreeMap<String, String>,
    /// Whether every control plane's endpoint could be read.
    pub(super) endpoints_complete: bool,
    /// Which key builds which path.
    claims: RefCell<BTreeMap<PathBuf, String>>,
}

struct Known {
    class: ArtifactClass,
    has_variants: bool,
}

/// `a kernel` or `a guest image`.
fn described(class: ArtifactClass) -> &'static str {
    match class {
        ArtifactClass::Kernel => "a kernel",
        ArtifactClass::GuestImage => "a guest image",
    }
}

impl<'d> Context<'d> {
    /// A context that knows no names yet.
    pub(super) fn new(findings: &'d Findings, host: Architecture) -> Self {
        Self {
            findings,
            host,
            artifacts: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            endpoints_complete: true,
            claims: RefCell::default(),
        }
    }

    /// Checks a name that becomes a directory below Port's own (acceptance C-6).
    pub(super) fn name(&self, place: &Place, name: &str) -> Option<String> {
        match name.parse::<FileName>() {
            Ok(name) => Some(name.to_string()),
            Err(_) => {
                let message = format!("`{name}` is not a usable name");
                let hint = "a name becomes a directory: letters, digits, `.`, `_` and `-`, no `.` first";
                self.findings.add_with_hint(place, message, hint);
                None
            }
        }
    }

    /// Remembers an artifact; one name is in one class only (acceptance P-25).
    pub(super) fn learn_artifact(
        &mut self,
        place: &Place,
        name: &str,
        class: ArtifactClass,
        has_variants: bool,
    ) {
        if let Some(earlier) = self.artifacts.get(name) {
            let message = format!("`{name}` is the name of {} already", described(earlier.class));
            let hint = "`--artifact` takes a name alone, so a kernel and a guest image cannot share one";
            self.findings.add_with_hint(place, message, hint);
            return;
        }
        self.artifacts.insert(name.to_owned(), Known { class, has_variants });
    }

    /// The name of an artifact of `class`, at `node`.
    pub(super) fn artifact_name(&self, node: &Node<'_>, class: ArtifactClass) -> Option<String> {
        let name = node.text()?;
        let of_class = |(name, known): (&String, &Known)| (known.class == class).then(|| name.clone());
        match self.artifacts.get(name) {
            Some(known) if known.class == class => Some(name.to_owned()),
            Some(known) => node.wrong(format!(
                "expected {}, found `{name}`, which is {}",
                described(class),
                described(known.class)
            )),
            None if self.findings.are_full() => None,
            None => {
                let names: Vec<String> = self.artifacts.iter().filter_map(of_class).collect();
                let nearest = suggest::did_you_mean(name, &names);
                let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                let message =
                    format!("there is no {} `{name}`{nearest}", described(class).trim_start_matches("a "));
                node.findings().add_with_hint(&node.place, message, format!("found here: {found}"));
                None
            }
        }
    }

    /// The name of an artifact that a machine boots: it has variants (acceptance Pu-11).
    pub(super) fn bootable(&self, node: &Node<'_>, class: ArtifactClass) -> Option<String> {
        let name = self.artifact_name(node, class)?;
        if self.artifacts.get(&name).is_some_and(|known| known.has_variants) {
            return Some(name);
        }
        node.wrong(format!("expected an artifact with at least one variant, found `{name}`, which has none"))
    }

    /// Remembers a control plane's endpoint; it is nobody else's (acceptance Pu-10).
    pub(super) fn learn_endpoint(&mut self, place: &Place, endpoint: &str, name: &str) -> Option<()> {
        if let Some(earlier) = self.endpoints.get(endpoint) {
            let message = format!("`{endpoint}` is the endpoint of the control plane `{earlier}` already");
            self.findings.add(place, message);
            return None;
        }
        self.endpoints.insert(endpoint.to_owned(), name.to_owned());
        Some(())
    }

    /// The control plane whose endpoint stands at `node` (acceptance Pu-14).
    pub(super) fn control_plane(&self, node: &Node<'_>) -> Option<(String, String)> {
        let endpoint = self.url(node, Query::Refused)?;
        if let Some(name) = self.endpoints.get(&endpoint) {
            return Some((endpoint, name.clone()));
        }
        // A control plane with an unreadable endpoint may be the one that is meant; it has its finding.
        if self.endpoints_complete && !self.findings.are_full() {
            let known: Vec<&str> = self.endpoints.keys().map(String::as_str).collect();
            let nearest = suggest::did_you_mean(&endpoint, &known);
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let message = format!("no control plane has the endpoint `{endpoint}`{nearest}");
            self.findings.add_with_hint(
                &node.place,
                message,
                format!("endpoints of `control_planes`: {known}"),
            );
        }
        None
    }

    /// A URL without credentials, in one spelling.
    pub(super) fn url(&self, node: &Node<'_>, query: Query) -> Option<String> {
        match rules::url(node.text()?, query) {
            Ok(url) => Some(url),
            Err(UrlError::Bad(reason)) => node.wrong(reason),
            Err(UrlError::Credentials) => {
                let hint = "the file is no place for secrets; this one should be changed if it was shared";
                self.findings.hide(node.place.span.clone());
                self.findings.add_with_hint(
                    &node.place,
                    "a URL must not carry a user name or password",
                    hint,
                );
                None
            }
        }
    }

    /// The name of an environment variable. Somebody may have put the secret itself there.
    pub(super) fn variable(&self, node: &Node<'_>) -> Option<String> {
        let name = node.text()?;
        if rules::is_variable(name) {
            return Some(name.to_owned());
        }
        let message = "expected the name of an environment variable: letters, digits and `_`, no digit first";
        self.findings.hide(node.place.span.clone());
        self.findings.add_with_hint(
            &node.place,
            message,
            "the file names the variable; it never holds the secret",
        );
        None
    }

    /// Takes `path` for what is built at `place`; nothing else may be built there.
    pub(super) fn claim(&self, place: &Place, what: &str, path: &Path) -> Option<()> {
        let plain: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
        let mut claims = self.claims.borrow_mut();
        if let Some(earlier) = claims.get(&plain) {
            let message = format!("{what} `{}` is taken already by `{earlier}`", plain.display());
            self.findings.add(place, message);
            return None;
        }
        claims.insert(plain, place.key.clone());
        Some(())
    }

    /// PVM is a matter of Firecracker (acceptance Pu-13); on aarch64 it may be listed, never built (P-29).
    pub(super) fn protection(&self, place: &Place, variant: Variant) -> Option<()> {
        if variant.protection_mode == ProtectionMode::Standard || variant.substrate == Substrate::Firecracker
        {
            return Some(());
        }
        let message =
            format!("expected `firecracker` with `pvm`, found `{variant}`: PVM exists nowhere else");
        self.findings.add(place, message);
        None
    }
}
