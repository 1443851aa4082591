//! Signatures as they lie at a place, before anything of them is believed.
//!
//! Invariant: what a stranger can add there is bounded, and becomes a finding. Only a place that does not answer is an error:
//! nobody may take "unreachable" for "unsigned", or be kept from a good signature by rubbish beside it.

use port_layout::{Descriptor, Manifest, media_types};
use port_model::Digest;
use port_registry::Kind;
use port_trust::verify::MOST_CANDIDATES;
use port_trust::{Candidate, Form, Signed, bundle, simple_signing, statement};

use crate::copy::{CopyError, Side};

/// cosign's tag for what it attaches to a manifest.
pub(crate) fn attached_tag(subject: &Digest, kind: &str) -> String {
    format!("{}-{}.{kind}", subject.algorithm().as_str(), subject.hex())
}

/// Everything at `side` that may be a signature of `subject`, or a statement with one of these predicates about it.
pub(crate) async fn candidates(
    side: &Side,
    subject: &Digest,
    predicates: &[String],
) -> Result<Vec<Candidate>, CopyError> {
    let mut found = tag_form(side, subject).await?;
    found.extend(referrers(side, subject, predicates).await?);
    Ok(found)
}

async fn tag_form(side: &Side, subject: &Digest) -> Result<Vec<Candidate>, CopyError> {
    let tag = attached_tag(subject, "sig");
    let unusable = |reason: String| vec![unusable(Form::Tag, tag.clone(), reason)];
    let Some(found) = side.find(&tag).await? else { return Ok(Vec::new()) };
    let bytes = match side.document(&found).await {
        Ok(bytes) => bytes,
        Err(error) => return Ok(unusable(finding(error)?)),
    };
    let Some(manifest) = manifest(&bytes) else { return Ok(unusable("it is no manifest".to_owned())) };
    if manifest.layers.len() > MOST_CANDIDATES {
        return Ok(unusable(flood(manifest.layers.len())));
    }
    let mut candidates = Vec::new();
    for (index, layer) in manifest.layers.iter().enumerate() {
        let place = format!("tag {tag}, layer {}", index + 1);
        let signed = simple(side, layer).await?;
        candidates.push(Candidate { place, form: Form::Tag, signed });
    }
    Ok(candidates)
}

async fn simple(side: &Side, layer: &Descriptor) -> Result<Signed, CopyError> {
    let Some(signature) = layer.annotations.get(simple_signing::SIGNATURE_ANNOTATION) else {
        return Ok(Signed::Unusable("it has no signature beside it".to_owned()));
    };
    if layer.media_type != simple_signing::MEDIA_TYPE {
        return Ok(Signed::Unusable(format!("it is a `{}`", layer.media_type)));
    }
    Ok(match side.small_blob(layer, simple_signing::LARGEST_PAYLOAD).await {
        Ok(payload) => Signed::Simple { payload: payload.to_vec(), signature: signature.clone() },
        Err(error) => Signed::Unusable(finding(error)?),
    })
}

async fn referrers(
    side: &Side,
    subject: &Digest,
    predicates: &[String],
) -> Result<Vec<Candidate>, CopyError> {
    let listed = side.referrers(subject).await?;
    // cosign lists its bundles as what their config is, so that says nothing; the manifest does.
    let maybe = |entry: &&Descriptor| {
        let kind = entry.artifact_type.as_deref();
        kind.is_none_or(|kind| kind == bundle::MEDIA_TYPE || kind == media_types::EMPTY_CONFIG)
    };
    let listed: Vec<&Descriptor> = listed.iter().filter(maybe).collect();
    if listed.len() > MOST_CANDIDATES {
        return Ok(vec![unusable(Form::Referrer, "referrers".to_owned(), flood(listed.len()))]);
    }
    let mut candidates = Vec::new();
    for entry in listed {
        let place = format!("referrer {}", entry.digest);
        if let Some(signed) = referrer(side, entry, subject, predicates).await? {
            candidates.push(Candidate { place, form: Form::Referrer, signed });
        }
    }
    Ok(candidates)
}

/// One referrer; `None` where it is no bundle, or says something that nobody asked for.
async fn referrer(
    side: &Side,
    entry: &Descriptor,
    subject: &Digest,
    predicates: &[String],
) -> Result<Option<Signed>, CopyError> {
    let unusable = |reason: String| Ok(Some(Signed::Unusable(reason)));
    let bytes = match side.document(entry).await {
        Ok(bytes) => bytes,
        Err(error) => return unusable(finding(error)?),
    };
    let Some(manifest) = manifest(&bytes) else { return unusable("it is no manifest".to_owned()) };
    if manifest.artifact_type.as_deref() != Some(bundle::MEDIA_TYPE) {
        return Ok(None);
    }
    // Unsigned, so it only spares the look at what would not count.
    let said = manifest.annotations.get(bundle::PREDICATE_ANNOTATION);
    if said.is_some_and(|said| said != statement::SIGNATURE && !predicates.contains(said)) {
        return Ok(None);
    }
    match &manifest.subject {
        Some(found) if &found.digest == subject => {}
        Some(found) => return unusable(format!("it refers to {}", found.digest)),
        None => return unusable("it refers to nothing".to_owned()),
    }
    let [layer] = manifest.layers.as_slice() else {
        return unusable(format!("expected one layer, found {}", manifest.layers.len()));
    };
    match side.small_blob(layer, bundle::LARGEST_BUNDLE).await {
        Ok(bytes) => Ok(Some(Signed::Bundle(bytes.to_vec()))),
        Err(error) => unusable(finding(error)?),
    }
}

fn unusable(form: Form, place: String, reason: String) -> Candidate {
    Candidate { place, form, signed: Signed::Unusable(reason) }
}

fn flood(found: usize) -> String {
    format!("{found} signatures: at most {MOST_CANDIDATES} are looked at")
}

pub(super) fn manifest(bytes: &[u8]) -> Option<Manifest> {
    match port_layout::document::read(bytes, None).ok()? {
        port_layout::Document::Manifest(manifest) => Some(*manifest),
        port_layout::Document::Index(_) => None,
    }
}

/// What a failure says about a signature; or the failure, where the place does not answer or does not let us in.
fn finding(error: CopyError) -> Result<String, CopyError> {
    match &error {
        CopyError::Registry(registry) => match registry.kind() {
            Kind::Unavailable | Kind::Unauthenticated | Kind::Forbidden | Kind::Local => Err(error),
            _ => Ok(crate::error::chain(&error)),
        },
        CopyError::Files(files) if !files.is_not_found() => Err(error),
        _ => Ok(crate::error::chain(&error)),
    }
}
