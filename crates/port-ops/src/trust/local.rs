//! Trust in files that lie here: what a pull verified is kept beside the store, and a run asks the same question again.
//!
//! ```text
//! pull:  resolved manifest ─ require ─► its documents and signatures ─► .port/trust/<name's digest>.json
//! run:   local files ─ hashed ─► the components of that manifest? ─► its signatures ─► the policies of now
//! ```
//!
//! Invariant: the file is believed in nothing. Whoever can write it can only show signatures that keys of the policy made over a
//! manifest whose components are these very files.

use port_backend::Found;
use port_content::hashing::digest_of;
use port_content::{atomic, fs};
use port_layout::native;
use port_layout::port_v1::{self, Wanted};
use port_model::Bundle;
use port_registry::Repository;
use port_trust::{Evidence, SignedName};

use crate::copy::Side;
use crate::error::OpsError;
use crate::pull::{check_config, check_identity};
use crate::target::Target;
use crate::trust::Policies;
use crate::trust::error::TrustError;
use crate::trust::require::{Accepted, decide, require};
use crate::workspace::Workspace;

/// Below Port's own directory.
const DIRECTORY: &str = "trust";

/// Asks the policies about what a pull resolved, before any file of it is fetched.
pub(crate) async fn check_found(
    policies: &Policies,
    target: Target<'_>,
    repository: Option<&Repository>,
    found: &Found,
) -> Result<Accepted, OpsError> {
    let name = SignedName::of(&target.artifact.reference);
    if policies.ask_nothing(&name) {
        return Ok(Accepted { candidates: Vec::new() });
    }
    let Some(documents) = &found.documents else {
        let reason = "nothing describes it, so nobody can have signed it".to_owned();
        return Err(TrustError::NoSignatures { name: target.name(), reason, remedy: PUSH.to_owned() }.into());
    };
    let side = repository.map(|repository| Side::Registry(repository.clone()));
    Ok(require(policies, side.as_ref(), &name, &digest_of(&documents.manifest)).await?)
}

const PUSH: &str = "push it to a registry with `port artifacts push`, and sign it there";

/// Keeps what a pull verified, so that a run can ask again. Nothing is kept where nobody asked for signatures.
pub(crate) fn keep(
    workspace: &Workspace,
    target: Target<'_>,
    found: &Found,
    accepted: Accepted,
) -> Result<(), OpsError> {
    let (Some(documents), false) = (&found.documents, accepted.candidates.is_empty()) else { return Ok(()) };
    let evidence = Evidence {
        manifest: documents.manifest.clone(),
        config: documents.config.clone(),
        candidates: accepted.candidates,
    };
    Ok(atomic::write(&path(workspace, target), &evidence.to_bytes())?)
}

/// Asks the policies about the local files of a variant, of which `bundle` says what they are.
pub(crate) fn require_local(
    workspace: &Workspace,
    policies: &Policies,
    target: Target<'_>,
    bundle: &Bundle,
) -> Result<(), OpsError> {
    let name = SignedName::of(&target.artifact.reference);
    if policies.ask_nothing(&name) {
        return Ok(());
    }
    let refuse = |reason: String| {
        let remedy = format!("fetch it with `port artifacts pull --artifact {}`", target.artifact.name);
        TrustError::NoSignatures { name: target.name(), reason, remedy }
    };
    let path = path(workspace, target);
    if !fs::exists(&path) {
        let reason = "the policy asks for signatures, and these files were not pulled with any".to_owned();
        return Err(refuse(reason).into());
    }
    let bytes = fs::read(&path, port_trust::evidence::LARGEST_EVIDENCE)?;
    let wrong = |reason: String| refuse(format!("what was kept of its signatures cannot be used: {reason}"));
    let evidence = Evidence::read(&bytes).map_err(wrong)?;
    let signed = signed_bundle(target, &evidence).map_err(wrong)?;
    for component in &bundle.components {
        let found = signed.components.iter().find(|signed| signed.kind == component.kind);
        if found.is_none_or(|signed| signed.digest != component.digest) {
            let (file, digest) = (&component.file_name, &component.digest);
            return Err(refuse(format!(
                "its {} `{file}` ({digest}) is not the one that was signed",
                component.kind
            ))
            .into());
        }
    }
    // A companion that is missing here is missing from what was signed, and the guest would boot something else.
    if let Some(absent) = signed.components.iter().find(|signed| bundle.component(signed.kind).is_none()) {
        return Err(refuse(format!("its {} `{}` is not there", absent.kind, absent.file_name)).into());
    }
    let subject = digest_of(&evidence.manifest);
    decide(policies, &name, &subject, &evidence.candidates)?;
    Ok(())
}

/// What the kept documents say the files are; the manifest is what was signed, and names the config.
fn signed_bundle(target: Target<'_>, evidence: &Evidence) -> Result<Bundle, String> {
    let documents =
        port_backend::Documents { manifest: evidence.manifest.clone(), config: evidence.config.clone() };
    if native::decode_manifest(&documents.manifest).is_err() {
        let (variant, file_name) = (target.variant(), target.config.file_name.clone());
        let wanted = Wanted { class: target.artifact.class, variant, file_name };
        let decoded = port_v1::decode(&documents.manifest, &wanted);
        return decoded.map(|decoded| decoded.bundle).map_err(|error| crate::error::chain(&error));
    }
    check_config(&documents)?;
    let decoded = native::decode_stored(&documents.manifest, &documents.config);
    let bundle = decoded.map_err(|error| crate::error::chain(&error))?.bundle;
    check_identity(target, &bundle)?;
    Ok(bundle)
}

fn path(workspace: &Workspace, target: Target<'_>) -> std::path::PathBuf {
    let name = digest_of(target.name().as_bytes());
    workspace.work_directory().join(DIRECTORY).join(format!("{}.json", name.hex()))
}
