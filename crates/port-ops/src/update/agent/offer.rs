//! What a tag offers, resolved once: its manifest, its parts, and the statement that binds them.
//!
//! Invariant: digest, statement and parts are of one resolve. Parts that the manifest names and the statement does not are no offer.

use port_layout::Descriptor;
use port_layout::kubesolo::Release;
use port_model::{Architecture, Digest};
use port_trust::{About, Judgement, Question, Requirement, SignedName, verify};
use port_update::gates::{Decision, Device, Force, Memory, Moment, UnsignedRelease, decide, decide_unsigned};
use port_update::machine::Target;
use port_update::release::{BootSet, PREDICATE, Part, ReleaseStatement, Role};

use super::{AgentError, Followed, Profile, Trust};
use crate::copy::Side;
use crate::trust::{TrustError, gather, read_public_key};
use crate::update::fetch::{self, Pinned};
use crate::update::{FetchRequest, UpdateError};

/// See the module.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) target: Target,
    pub(super) set: BootSet,
    said: Said,
}

#[derive(Debug)]
enum Said {
    Signed(Box<ReleaseStatement>),
    Unsigned(Box<UnsignedRelease>),
}

impl Offer {
    /// Asks the place.
    pub(super) async fn ask(followed: &Followed, profile: &Profile) -> Result<Self, AgentError> {
        let architecture = profile.architecture;
        let request = FetchRequest { place: followed.place.clone(), tag: followed.tag.clone(), architecture };
        let repository = followed.registry.repository(&followed.place)?;
        let pinned = fetch::resolve(&repository, &request).await?;
        if let Trust::Anybody = followed.trust {
            return unsigned(&pinned, architecture);
        }
        let side = Side::Registry(repository);
        let statement = statement(followed, &side, &pinned.root.digest).await?;
        signed(&pinned, statement, profile)
    }

    /// What becomes of it here.
    pub(super) fn decide(&self, known: (&Device, &Memory), now: Moment, force: Force) -> Decision {
        match &self.said {
            Said::Signed(release) => decide(release, &self.target.digest, known, now, force),
            Said::Unsigned(release) => decide_unsigned(release, &self.target.digest, known, now, force),
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

async fn statement(
    followed: &Followed,
    side: &Side,
    subject: &Digest,
) -> Result<ReleaseStatement, AgentError> {
    let place = &followed.place;
    let name = SignedName::new(&place.registry.to_string(), &place.repository.to_string());
    let found = gather::candidates(side, subject, &[PREDICATE.to_owned()]).await.map_err(TrustError::from)?;
    let judge = |requirement: &Requirement, policy: &str| {
        let question = Question { subject, name: Some(&name), policy, about: About::Statement(PREDICATE) };
        verify(&question, requirement, &found)
    };
    let judgements = match &followed.trust {
        Trust::Key(path) => {
            let key = read_public_key(path)?;
            let file = path.display().to_string();
            vec![judge(&Requirement::one_key(&file, key), "the update configuration")]
        }
        Trust::Policies(policies) => policies.statements(&name, &judge),
        Trust::Anybody => Vec::new(),
    };
    agreed(judgements, &name)
}

/// The one statement that every policy takes.
fn agreed(judgements: Vec<Judgement>, name: &SignedName) -> Result<ReleaseStatement, AgentError> {
    let mut agreed: Option<ReleaseStatement> = None;
    for judgement in judgements {
        let Some(statement) = judgement.statement else {
            let (name, verdict) = (name.to_string(), Box::new(judgement.verdict));
            return Err(TrustError::NotTrusted { name, verdict }.into());
        };
        let release = ReleaseStatement::of(&statement)?;
        if agreed.as_ref().is_some_and(|agreed| *agreed != release) {
            let reason = "two policies take two different statements about it".to_owned();
            return Err(AgentError::Refused { class: port_update::Class::Signature, reason });
        }
        agreed = Some(release);
    }
    agreed.ok_or_else(|| AgentError::Refused {
        class: port_update::Class::Signature,
        reason: "no policy asks for a signature of it: name its repository in a rule with keys".to_owned(),
    })
}

fn signed(pinned: &Pinned, release: ReleaseStatement, profile: &Profile) -> Result<Offer, AgentError> {
    let target = Target {
        digest: pinned.root.digest.clone(),
        version: release.version.clone(),
        sequence: Some(release.sequence),
        security_epoch: release.security_epoch,
    };
    // What is for other machines is for the gates to say; the parts are looked at where there are any for this one.
    let published = parts(&pinned.release);
    let set = match release.boot_set(profile.architecture, &profile.variant) {
        Some(set) => {
            same_parts(set, &published)?;
            set.clone()
        }
        None => boot_set(profile.architecture, published),
    };
    Ok(Offer { target, set, said: Said::Signed(Box::new(release)) })
}

/// T3: a kernel of one release beside the initramfs of another.
fn same_parts(set: &BootSet, published: &[Part]) -> Result<(), AgentError> {
    for role in [Role::Kernel, Role::Initramfs, Role::RootFilesystem] {
        let said = |part: Option<&Part>| {
            part.map_or_else(|| "absent".to_owned(), |part| format!("{} of {} bytes", part.digest, part.size))
        };
        let (expected, found) = (set.part(role), published.iter().find(|part| part.role == role));
        if expected != found {
            let part = role.file_name();
            return Err(AgentError::Parts { part, expected: said(expected), found: said(found) });
        }
    }
    Ok(())
}

pub(in crate::update) fn parts(release: &Release) -> Vec<Part> {
    let part = |role, blob: &Descriptor| Part { role, digest: blob.digest.clone(), size: blob.size };
    vec![part(Role::Kernel, &release.kernel), part(Role::Initramfs, &release.initramfs)]
}

fn boot_set(architecture: Architecture, parts: Vec<Part>) -> BootSet {
    BootSet { architecture, variant: String::new(), parts, boot_arguments: None }
}

fn unsigned(pinned: &Pinned, architecture: Architecture) -> Result<Offer, AgentError> {
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
    let target = Target { digest: pinned.root.digest.clone(), version, sequence: None, security_epoch: 0 };
    let set = boot_set(architecture, parts(&pinned.release));
    Ok(Offer { target, set, said: Said::Unsigned(Box::new(release)) })
}
