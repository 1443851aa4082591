//! Where the bytes of an offer lie, and how they come beside the slots: fetched and continued, or as they are on a medium.
//!
//! Invariant: what [`Gathered::path`] gives was compared with its digest once already, and is compared again when a slot is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use port_content::{FsError, fs, hashing, sparse};
use port_layout::Descriptor;
use port_model::Reporter;
use port_registry::{Partial, Repository};
use port_transport::Client;
use port_update::latest;
use port_update::release::{BootSet, Part, Role};

use super::blocks::Shared;
use super::media::Medium;
use super::{AgentError, blocks, web};
use crate::copy::Side;

/// See the module.
pub(super) enum Bytes {
    Registry { repository: Repository, root_index: Option<Box<Descriptor>> },
    Layout { side: Side, _medium: Option<Medium> },
    Web { client: Client, files: Vec<latest::File>, reporter: Arc<dyn Reporter> },
}

/// What was brought.
pub(super) struct Gathered {
    /// The boot set, every size known.
    pub(super) set: BootSet,
    /// Bytes that were here, from an earlier try or an earlier release.
    pub(super) found: u64,
    files: Vec<(Role, Held)>,
}

/// A file, for as long as it is needed.
enum Held {
    Partial(Partial),
    /// Put together from a partial download and what lay here.
    Shared(Partial, PathBuf),
    Download(PathBuf),
    Lent(PathBuf),
}

impl Bytes {
    /// Brings every part; what is on its way lies in `downloads`. `seeds` are root file systems that may have parts of this one's.
    pub(super) async fn gather(
        &self,
        set: &BootSet,
        downloads: &Path,
        seeds: &[PathBuf],
    ) -> Result<Gathered, AgentError> {
        fs::create_dir_all(downloads)?;
        sweep(downloads, &set.parts)?;
        let mut gathered = Gathered { set: set.clone(), found: 0, files: Vec::new() };
        let mut parts = Vec::new();
        for part in &set.parts {
            let place = downloads.join(format!("{}.partial", part.digest.hex()));
            let here = data_at(&place);
            let (part, held, moved) = self.one(part, &place, seeds).await?;
            // Of a part that was fetched whole, what an earlier try left did not move again.
            gathered.found +=
                part.size.saturating_sub(moved.unwrap_or_else(|| part.size.saturating_sub(here)));
            gathered.files.push((part.role, held));
            parts.push(part);
        }
        gathered.set.parts = parts;
        Ok(gathered)
    }

    /// One part; and how many bytes moved, where that is not what was missing of a partial download.
    async fn one(
        &self,
        part: &Part,
        place: &Path,
        seeds: &[PathBuf],
    ) -> Result<(Part, Held, Option<u64>), AgentError> {
        match self {
            Self::Registry { repository, root_index } => {
                let mut partial = Partial::wait(place).await?;
                if let (Role::RootFilesystem, Some(index)) = (part.role, root_index) {
                    match blocks::share(repository, index, part, (&partial, seeds)).await? {
                        Shared::Nothing => {}
                        Shared::Wrong => {
                            partial.forget()?;
                            partial = Partial::wait(place).await?;
                        }
                        Shared::Whole { path, fetched } => {
                            return Ok((part.clone(), Held::Shared(partial, path), Some(fetched)));
                        }
                    }
                }
                repository.blob_to_file(&part.digest, part.size, &partial).await?;
                Ok((part.clone(), Held::Partial(partial), None))
            }
            Self::Layout { side, .. } => {
                let Side::Layout { layout, .. } = side else { return Err(absent(part, place)) };
                let (_, path) = layout.blob(&Descriptor::new("", part.digest.clone(), part.size))?;
                Ok((part.clone(), Held::Lent(path), Some(0)))
            }
            Self::Web { client, files, reporter } => {
                let file = files.iter().find(|file| file.role == part.role);
                let file = file.ok_or_else(|| absent(part, place))?;
                let part = web::fetch(client, file, place, reporter.as_ref()).await?;
                Ok((part, Held::Download(place.to_owned()), None))
            }
        }
    }
}

/// Removes what is on its way to nowhere: all but what belongs to these parts, and what is unpacked of a medium. Whoever calls has the
/// agent's lock, so nobody is bringing any of it.
pub(super) fn sweep(downloads: &Path, parts: &[Part]) -> Result<(), FsError> {
    if !fs::exists(downloads) {
        return Ok(());
    }
    for path in fs::read_dir(downloads)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if Medium::has(name) || parts.iter().any(|part| name.starts_with(part.digest.hex())) {
            continue;
        }
        if fs::symlink_metadata(&path)?.is_dir() {
            fs::remove_dir_all(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// How many bytes an earlier try left there.
fn data_at(place: &Path) -> u64 {
    let file = fs::open_regular_itself(place).ok();
    file.and_then(|(file, _)| sparse::data_bytes(&file).ok()).unwrap_or(0)
}

/// No offer names a part that its place does not have.
fn absent(part: &Part, place: &Path) -> AgentError {
    let message = format!("{} is not offered", part.role.file_name());
    FsError::new("fetch", place, std::io::Error::other(message)).into()
}

impl Gathered {
    /// The file of a role.
    pub(super) fn path(&self, role: Role) -> PathBuf {
        let found = self.files.iter().find(|(of, _)| *of == role);
        found.map(|(_, held)| held.path().to_owned()).unwrap_or_default()
    }

    /// Reads everything again.
    pub(super) fn verify(&self) -> Result<(), AgentError> {
        self.set.parts.iter().try_for_each(|part| verify(&self.path(part.role), part))
    }

    /// How many bytes there are.
    pub(super) fn size(&self) -> u64 {
        self.set.parts.iter().map(|part| part.size).sum()
    }

    /// Removes what was only on its way.
    pub(super) fn forget(self) -> Result<(), AgentError> {
        for (_, held) in self.files {
            match held {
                Held::Partial(partial) => partial.forget()?,
                Held::Shared(partial, path) => {
                    partial.forget()?;
                    fs::remove_file(&path)?;
                }
                Held::Download(path) => {
                    port_transport::forget(&path)?;
                    fs::remove_file(&path)?;
                }
                Held::Lent(_) => {}
            }
        }
        Ok(())
    }
}

impl Held {
    fn path(&self) -> &Path {
        match self {
            Self::Partial(partial) => partial.path(),
            Self::Shared(_, path) | Self::Download(path) | Self::Lent(path) => path,
        }
    }
}

fn verify(path: &Path, part: &Part) -> Result<(), AgentError> {
    let (found, size) = hashing::digest_file(path)?;
    if found == part.digest && size == part.size {
        return Ok(());
    }
    let reason = format!("expected {} of {} bytes, found {found} of {size}", part.digest, part.size);
    Err(FsError::new("verify", path, std::io::Error::other(reason)).into())
}
