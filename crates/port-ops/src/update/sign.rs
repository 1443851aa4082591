//! sign: what is published under a tag, numbered, with an end, and signed: every part of every machine's boot set in one statement
//! (docs/formats/release-statement.md).
//!
//! Invariant: the parts are read from the manifests behind the tag at the digest that is signed; nobody types them.

use port_model::{Architecture, Digest};
use port_trust::{SecretKey, SignedName};
use port_update::Version;
use port_update::release::{BootSet, ReleaseStatement};
use port_update::waves::Wave;
use serde::Serialize;

use super::agent::AgentError;
use super::agent::offer::{arguments, parts};
use super::fetch::{Pinned, Wanted, resolve};
use super::{Publisher, RepositoryPlace, UpdateError};
use crate::copy::Side;
use crate::trust::put_bundle;

/// What is to be signed, and what is said of it.
#[derive(Debug)]
pub struct SignReleaseRequest {
    /// Where.
    pub place: RepositoryPlace,
    /// Which tag: a version or a channel.
    pub tag: String,
    /// Of what it is a release.
    pub name: String,
    /// Its number in its channel.
    pub sequence: u64,
    /// Its security epoch.
    pub security_epoch: u64,
    /// The oldest version that may update to it; the release's own minimum where it is none.
    pub min_from: Option<Version>,
    /// When it is made, in seconds since 1970.
    pub issued: u64,
    /// For how many days it is to be believed.
    pub days: u32,
    /// When how many machines may take it.
    pub waves: Vec<Wave>,
    /// Whether nobody waits for a wave.
    pub critical: bool,
    /// Manifests that nobody is to take any more.
    pub denies: Vec<Digest>,
}

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignReleaseReport {
    /// `HOST/PATH`.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// What it leads to, which is what was signed.
    pub subject: Digest,
    /// The referrer that holds the signature.
    pub referrer: Digest,
    /// The fingerprint of the key.
    pub fingerprint: Digest,
    /// What was said.
    pub statement: ReleaseStatement,
}

/// Signs what is published under a tag.
///
/// # Errors
/// [`AgentError`]; then nothing was written.
pub async fn sign_release(
    publisher: &Publisher,
    request: SignReleaseRequest,
    key: &SecretKey,
) -> Result<SignReleaseReport, AgentError> {
    sign_at(&Side::Registry(publisher.repository(&request.place)?), request, key).await
}

/// The same, at a place that is open.
pub(super) async fn sign_at(
    side: &Side,
    request: SignReleaseRequest,
    key: &SecretKey,
) -> Result<SignReleaseReport, AgentError> {
    let found = every_machine(side, &request).await?;
    let (root, statement) = statement(&request, &found)?;
    let place = &request.place;
    let name = SignedName::new(&place.registry.to_string(), &place.repository.to_string());
    let signed = statement.to_statement(&root.digest, name.as_str()).map_err(AgentError::Release)?;
    let referrer = put_bundle(side, &root, &signed, key).await?;
    Ok(SignReleaseReport {
        repository: place.to_string(),
        tag: request.tag,
        subject: root.digest,
        referrer,
        fingerprint: key.public().fingerprint(),
        statement,
    })
}

async fn every_machine(
    side: &Side,
    request: &SignReleaseRequest,
) -> Result<Vec<(Architecture, Pinned)>, UpdateError> {
    let mut found: Vec<(Architecture, Pinned)> = Vec::new();
    for architecture in [Architecture::X86_64, Architecture::Aarch64] {
        let wanted = Wanted { place: request.place.to_string(), tag: &request.tag, architecture };
        match resolve(side, &wanted).await {
            Ok(pinned) => found.push((architecture, pinned)),
            Err(error) if error.is_for_others() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn statement(
    request: &SignReleaseRequest,
    found: &[(Architecture, Pinned)],
) -> Result<(port_layout::Descriptor, ReleaseStatement), UpdateError> {
    let Some((_, first)) = found.first() else {
        return Err(UpdateError::NothingPublished { tags: vec![request.tag.clone()] });
    };
    let said = &first.release.metadata;
    for (_, other) in found {
        let differs = |field, expected: &str, found: &str| {
            let (tag, expected, found) = (request.tag.clone(), expected.to_owned(), found.to_owned());
            UpdateError::Differs { tag, field, expected, found }
        };
        let metadata = &other.release.metadata;
        if other.root.digest != first.root.digest {
            return Err(UpdateError::Restless { tag: request.tag.clone(), times: 1 });
        }
        if metadata.version != said.version {
            return Err(differs("version", &said.version, &metadata.version));
        }
        if metadata.channel != said.channel {
            return Err(differs("channel", &said.channel, &metadata.channel));
        }
    }
    let version = |name, text: &str| {
        text.parse::<Version>().map_err(|_| field(name, "`v1.2.3`, perhaps with `-` and a suffix", text))
    };
    let minimum = &said.min_compatible_version;
    let published_minimum =
        if minimum.is_empty() { None } else { Some(version("minimum version", minimum)?) };
    let issued = time("time", request.issued)?;
    let seconds = u64::from(request.days).saturating_mul(86_400);
    let expires = time("end", request.issued.saturating_add(seconds))?;
    let machines = found.iter().map(|(architecture, pinned)| BootSet {
        architecture: *architecture,
        variant: String::new(),
        parts: parts(&pinned.release),
        boot_arguments: arguments(&pinned.release),
    });
    let statement = ReleaseStatement {
        name: request.name.clone(),
        channel: said.channel.clone(),
        sequence: request.sequence,
        version: version("version", &said.version)?,
        security_epoch: request.security_epoch,
        min_from: request.min_from.clone().or(published_minimum),
        issued,
        expires,
        machines: machines.collect(),
        waves: request.waves.clone(),
        critical: request.critical,
        denies: request.denies.clone(),
    };
    Ok((first.root.clone(), statement))
}

fn time(name: &'static str, seconds: u64) -> Result<jiff::Timestamp, UpdateError> {
    let wrong = || field(name, "a time that calendars have", &seconds.to_string());
    let seconds = i64::try_from(seconds).map_err(|_| wrong())?;
    jiff::Timestamp::from_second(seconds).map_err(|_| wrong())
}

fn field(field: &'static str, expected: &'static str, found: &str) -> UpdateError {
    UpdateError::Field { field, expected, found: found.to_owned() }
}
