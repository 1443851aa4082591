//! What a tag offers, resolved once: its manifest, its parts, and the statement that binds them.
//!
//! Invariant: digest, statement and parts are of one resolve. Parts that the manifest names and the statement does not are no offer.

use port_layout::Descriptor;
use port_layout::kubesolo::Release;
use port_model::{Architecture, Digest};
use port_update::gates::{Decision, Device, Force, Memory, Moment, UnsignedRelease, decide, decide_unsigned};
use port_update::machine::Target;
use port_update::release::{BootSet, Part, ReleaseStatement, Role};

use super::bytes::Bytes;
use super::media::Medium;
use super::origin::signed_name;
use super::statement::statement;
use super::{AgentError, Profile, Trust};
use crate::copy::Side;
use crate::update::fetch::{self, Pinned, Wanted};
use crate::update::{RepositoryPlace, UpdateError};

/// See the module.
pub(super) struct Offer {
    pub(super) target: Target,
    pub(super) set: BootSet,
    pub(super) said: Said,
    /// Where its bytes lie.
    pub(super) bytes: Bytes,
    pub(super) is_signed: bool,
}

#[derive(Debug)]
pub(super) enum Said {
    Signed(Box<ReleaseStatement>),
    Unsigned(Box<UnsignedRelease>),
}

impl Offer {
    /// What a tag of a registry or of a medium leads to. `place` is what its releases were signed for.
    pub(super) async fn of_side(
        side: Side,
        medium: Option<Medium>,
        wanted: &Wanted<'_>,
        place: Option<&RepositoryPlace>,
        (trust, profile): (&Trust, &Profile),
    ) -> Result<Self, AgentError> {
        let pinned = fetch::resolve(&side, wanted).await?;
        let statement = match trust {
            Trust::Anybody => None,
            _ => {
                let name = place.map(signed_name);
                Some(statement(trust, &side, &pinned.root.digest, name.as_ref()).await?)
            }
        };
        let bytes = match (side, medium) {
            (Side::Registry(repository), _) => {
                Bytes::Registry { repository, root_index: pinned.release.root_index.clone().map(Box::new) }
            }
            (side, medium) => Bytes::Layout { side, _medium: medium },
        };
        match statement {
            Some(statement) => signed(&pinned, statement, profile, bytes),
            None => unsigned(&pinned, profile.architecture, bytes),
        }
    }

    /// What becomes of it here.
    pub(super) fn decide(&self, known: (&Device, &Memory), now: Moment, force: Force) -> Decision {
        match &self.said {
            Said::Signed(release) => decide(release, &self.target.digest, known, now, force),
            Said::Unsigned(release) => decide_unsigned(release, &self.target.digest, known, now, force),
        }
    }

    /// Whether somebody whom this machine believes said what it is.
    pub(super) fn is_signed(&self) -> bool {
        self.is_signed
    }

    /// What it withdraws.
    pub(super) fn denies(&self) -> &[Digest] {
        match &self.said {
            Said::Signed(release) => &release.denies,
            Said::Unsigned(_) => &[],
        }
    }

    /// Until when it is to be believed, where it was signed.
    pub(super) fn expires(&self) -> Option<u64> {
        match &self.said {
            Said::Signed(release) => u64::try_from(release.expires.as_second()).ok(),
            Said::Unsigned(_) => None,
        }
    }
}

fn signed(
    pinned: &Pinned,
    release: ReleaseStatement,
    profile: &Profile,
    bytes: Bytes,
) -> Result<Offer, AgentError> {
    let target = Target {
        digest: pinned.root.digest.clone(),
        version: release.version.clone(),
        sequence: Some(release.sequence),
        channel: Some(release.channel.clone()),
        security_epoch: release.security_epoch,
    };
    // What is for other machines is for the gates to say; the parts are looked at where there are any for this one.
    let published = boot_set(profile.architecture, &pinned.release);
    let set = match release.boot_set(profile.architecture, &profile.variant) {
        Some(set) => {
            same_parts(set, &published)?;
            set.clone()
        }
        None => published,
    };
    Ok(Offer { target, set, said: Said::Signed(Box::new(release)), bytes, is_signed: true })
}

/// T3: a kernel of one release beside the initramfs of another.
pub(in crate::update) fn same_parts(set: &BootSet, published: &BootSet) -> Result<(), AgentError> {
    for role in [Role::Kernel, Role::Initramfs, Role::RootFilesystem] {
        let said = |part: Option<&Part>| {
            part.map_or_else(|| "absent".to_owned(), |part| format!("{} of {} bytes", part.digest, part.size))
        };
        let (expected, found) = (set.part(role), published.part(role));
        if expected != found {
            let part = role.file_name();
            return Err(AgentError::Parts { part, expected: said(expected), found: said(found) });
        }
    }
    let (expected, found) = (&set.boot_arguments, &published.boot_arguments);
    if expected != found {
        let said = |arguments: &Option<String>| {
            arguments.as_ref().map_or_else(|| "absent".to_owned(), |arguments| format!("`{arguments}`"))
        };
        let (expected, found) = (said(expected), said(found));
        return Err(AgentError::Parts { part: "the line of boot arguments", expected, found });
    }
    Ok(())
}

pub(in crate::update) fn parts(release: &Release) -> Vec<Part> {
    let part = |role, blob: &Descriptor| Part { role, digest: blob.digest.clone(), size: blob.size };
    let mut parts = vec![part(Role::Kernel, &release.kernel), part(Role::Initramfs, &release.initramfs)];
    parts.extend(release.root_filesystem.as_ref().map(|blob| part(Role::RootFilesystem, blob)));
    parts
}

/// What a published release's kernel is started with.
pub(in crate::update) fn arguments(release: &Release) -> Option<String> {
    Some(release.boot_arguments.clone()).filter(|arguments| !arguments.is_empty())
}

pub(in crate::update) fn boot_set(architecture: Architecture, release: &Release) -> BootSet {
    let (variant, parts) = (String::new(), parts(release));
    BootSet { architecture, variant, parts, boot_arguments: arguments(release) }
}

fn unsigned(pinned: &Pinned, architecture: Architecture, bytes: Bytes) -> Result<Offer, AgentError> {
    let said = &pinned.release.metadata;
    let field = |field, found: &str| UpdateError::Field {
        field,
        expected: "`v1.2.3`, perhaps with `-` and a suffix",
        found: found.to_owned(),
    };
    let version: port_update::Version = said.version.parse().map_err(|_| field("version", &said.version))?;
    let minimum = &said.min_compatible_version;
    let min_compatible_version = match minimum.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| field("minimum version", text))?),
    };
    let release = UnsignedRelease {
        version: version.clone(),
        channel: said.channel.clone(),
        architecture: said.architecture.clone(),
        min_compatible_version,
    };
    let digest = pinned.root.digest.clone();
    let target = Target { digest, version, sequence: None, channel: None, security_epoch: 0 };
    let set = boot_set(architecture, &pinned.release);
    Ok(Offer { target, set, said: Said::Unsigned(Box::new(release)), bytes, is_signed: false })
}
