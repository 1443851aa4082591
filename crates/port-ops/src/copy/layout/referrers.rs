//! What refers to what in an image layout. The image-spec names no form; tools read two, and both are written here:
//!
//! ```text
//! index.json   an entry without a name per referrer                       oras
//! index.json   an entry `sha256-<hex of the subject>`: an index of them   regctl (distribution-spec, "Referrers Tag Schema")
//! ```
//!
//! Port's own store has the first alone: only Port writes there, and its names are what a user gave.

use std::collections::{BTreeMap, BTreeSet};

use port_content::fs;
use port_content::hashing::digest_of;
use port_layout::index::{Entry, IndexDocument, name_of};
use port_layout::{Descriptor, document, media_types};
use port_model::Digest;

use super::Layout;
use crate::copy::CopyError;
use crate::copy::graph::Facts;

impl Layout {
    /// Every manifest that refers to another, by what it refers to: entries of `index.json`, as oras writes them and as
    /// they are written here, and lists below the name that stands in for the referrers API, as regctl writes them.
    pub(crate) fn referrers(&self) -> Result<BTreeMap<Digest, Vec<Descriptor>>, CopyError> {
        let mut found: BTreeMap<Digest, Vec<Descriptor>> = BTreeMap::new();
        for entry in self.index()?.entries() {
            let entry = entry.descriptor();
            if document::kind_of(&entry.media_type).is_none() || !fs::exists(&self.blob_path(&entry.digest)) {
                continue;
            }
            let bytes = self.document(entry)?;
            let listed = match name_of(entry).and_then(subject_of_name) {
                Some(subject) => match IndexDocument::read(&bytes, Some(&entry.media_type)) {
                    Ok(list) => {
                        list.entries().iter().map(|e| (subject.clone(), e.descriptor().clone())).collect()
                    }
                    Err(_) => Vec::new(),
                },
                None => {
                    let facts = Facts::of(&bytes);
                    let subject =
                        facts.subject.clone().map(|subject| (subject.digest, facts.describe(entry)));
                    subject.into_iter().collect()
                }
            };
            for (subject, referrer) in listed {
                let known = found.entry(subject).or_default();
                if known.iter().all(|other| other.digest != referrer.digest) {
                    known.push(referrer);
                }
            }
        }
        Ok(found)
    }

    /// Writes the list of what refers to each of these manifests, with what is listed already.
    pub(crate) fn list_referrers(&self, subjects: &BTreeSet<Digest>) -> Result<(), CopyError> {
        if self.is_store || subjects.is_empty() {
            return Ok(());
        }
        let _lock = self.lock_index()?;
        let found = self.referrers()?;
        for (subject, referrers) in found.iter().filter(|(subject, _)| subjects.contains(subject)) {
            self.list(subject, referrers)?;
        }
        Ok(())
    }

    /// CRASH: the list is a blob before it has its name, so a kill in between leaves the old list.
    fn list(&self, subject: &Digest, referrers: &[Descriptor]) -> Result<(), CopyError> {
        let name = name_of_subject(subject);
        let list = match self.find(&name)? {
            None => IndexDocument::default(),
            Some(known) => match IndexDocument::read(&self.document(&known)?, Some(&known.media_type)) {
                Ok(list) if list.media_type() == media_types::OCI_INDEX => list,
                // Somebody gave this name to something else; the entries without a name say it all.
                _ => return Ok(()),
            },
        };
        let new = referrers.iter().filter(|referrer| !list.contains(&referrer.digest));
        let new: Vec<Entry> = new.cloned().map(Entry::new).collect();
        if new.is_empty() {
            return Ok(());
        }
        let entries = [list.entries(), &new].concat();
        if entries.len() > document::MOST_ENTRIES {
            return Err(self.refused(format!("{} manifests would refer to {subject}", entries.len())));
        }
        let bytes = list.with_entries(entries).to_bytes();
        let digest = digest_of(&bytes);
        self.add_bytes(&digest, &bytes)?;
        let entry = Descriptor::new(media_types::OCI_INDEX, digest, bytes.len() as u64);
        self.put_locked(entry, Some(&name))?;
        Ok(())
    }
}

/// The name that stands for what refers to a manifest (OCI distribution-spec, "Referrers Tag Schema").
fn name_of_subject(subject: &Digest) -> String {
    format!("{}-{}", subject.algorithm().as_str(), subject.hex())
}

/// The digest that such a name stands for.
fn subject_of_name(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.split_once('-')?;
    format!("{algorithm}:{hex}").parse().ok()
}
