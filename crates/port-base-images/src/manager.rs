//! The manager: one cache, and the calls on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use port_model::Event;
use port_store::Store;

use crate::bundle_id::BundleId;
use crate::cache::{self, Flaw};
use crate::error::{BaseImageError, PrepareProblem};
use crate::lease::{self, Lease};
use crate::options::{CacheUse, ManifestPlaces, Network, Options, Request, StoredLimit};
use crate::owner::{self, Foreign};
use crate::plan::Plan;
use crate::preset::Preset;
use crate::record::{BaseImage, Source};

/// The store of a cache, beside its bundles.
const STORE: &str = ".store";

/// One cache of base images. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BaseImageManager {
    pub(crate) options: Arc<Options>,
    pub(crate) store: Store,
}

/// A bundle that is ready.
#[derive(Debug)]
pub struct Ensured {
    /// The bundle.
    pub bundle: BaseImage,
    /// How it came about.
    pub outcome: Outcome,
    /// What was deleted to make room.
    pub evicted: Vec<BundleId>,
    /// Nobody evicts the bundle while this lives.
    pub lease: Lease,
}

/// How a bundle came to be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was there.
    Cached,
    /// It was made now.
    Prepared,
    /// The place that knows the newest one does not answer; this one is of the same preset.
    Fallback,
}

/// What a verification found of one bundle.
#[derive(Debug)]
pub struct Checked {
    /// Where it lies; the name of this directory is the bundle's.
    pub directory: PathBuf,
    /// The bundle; none where its manifest cannot be used.
    pub bundle: Option<BaseImage>,
    /// What is wrong with it, if anything is.
    pub flaw: Option<Flaw>,
}

impl BaseImageManager {
    /// Opens a cache. One that is not there yet is empty.
    ///
    /// # Errors
    /// [`BaseImageError::Cache`] where a newer Port wrote it, or somebody else made it in a directory that all users share.
    pub fn new(options: Options) -> Result<Self, BaseImageError> {
        let directory = options.cache_directory.clone();
        let absolute = std::path::absolute(&directory).unwrap_or(directory);
        let fail = |problem| BaseImageError::Cache { directory: absolute.clone(), problem };
        if let Some(Foreign { path, owner, user }) = owner::foreign(&absolute) {
            return Err(fail(PrepareProblem::Foreign { path, owner, user }));
        }
        let store = Store::open(&absolute.join(STORE)).map_err(|error| fail(PrepareProblem::Store(error)))?;
        let options = Options { cache_directory: absolute, ..options };
        Ok(Self { options: Arc::new(options), store })
    }

    /// Where bundles are kept (acceptance S-8).
    pub fn cache_directory(&self) -> &Path {
        &self.options.cache_directory
    }

    /// The architecture of calls that name none.
    pub fn architecture(&self) -> port_model::Architecture {
        self.options.architecture
    }

    /// How many are kept (acceptance S-8).
    pub fn max_stored_images(&self) -> StoredLimit {
        self.options.max_stored_images
    }

    /// The store that the files of all bundles are in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Makes a bundle ready: from the cache where it is complete and sound, else fetched.
    ///
    /// Where nobody answers, a cached bundle of the same preset is handed out, with a warning that says so.
    ///
    /// # Errors
    /// [`BaseImageError`], with its code.
    pub async fn ensure(&self, request: &Request) -> Result<Ensured, BaseImageError> {
        let places = ManifestPlaces::of(request, &self.options);
        if request.network == Network::Offline && places.path.is_none() {
            let found = self.cached_of(request, &places, Outcome::Cached).await?;
            return found.ok_or_else(|| BaseImageError::NothingCached {
                preset: request.preset.to_string(),
                architecture: request.architecture.unwrap_or(self.options.architecture),
            });
        }
        let error = match self.resolve(request).await {
            Ok(plan) => match self.ensure_plan(plan, request).await {
                Ok(ensured) => return Ok(ensured),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if !error.is_unreachable() || request.cache == CacheUse::ForceDownload {
            return Err(error);
        }
        let Some(ensured) = self.cached_of(request, &places, Outcome::Fallback).await? else {
            return Err(error);
        };
        self.options.reporter.note(format!(
            "warning: {error}: nobody answers; the cached base image `{}` of {} is used, and there may be a newer one",
            ensured.bundle.bundle_id, ensured.bundle.created_at
        ));
        Ok(ensured)
    }

    /// Makes the planned bundle ready.
    pub(crate) async fn ensure_plan(&self, plan: Plan, request: &Request) -> Result<Ensured, BaseImageError> {
        let fail = |problem| BaseImageError::Prepare { bundle_id: plan.bundle_id.to_string(), problem };
        let lease = self.lease(&plan.bundle_id).await.map_err(fail)?;
        let mut outcome = Outcome::Cached;
        let mut bundle = self.hit(&plan, request).await.map_err(fail)?;
        if bundle.is_none() {
            let _work = self.work(&plan.bundle_id).await.map_err(fail)?;
            // Whoever worked on it before may have made it.
            bundle = self.hit(&plan, request).await.map_err(fail)?;
            if bundle.is_none() {
                outcome = Outcome::Prepared;
                bundle = Some(self.prepare(&plan, request).await.map_err(fail)?);
            }
        }
        match bundle {
            Some(bundle) => self.hand_out(bundle, outcome, lease).await,
            None => Err(fail(PrepareProblem::Lost { label: "bundle" })),
        }
    }

    /// The cached bundle that meets the plan, complete and sound.
    async fn hit(&self, plan: &Plan, request: &Request) -> Result<Option<BaseImage>, PrepareProblem> {
        if request.cache == CacheUse::ForceDownload {
            return Ok(None);
        }
        let (manager, plan, scrutiny) = (self.clone(), plan.clone(), request.scrutiny);
        blocking(move || {
            let directory = plan.bundle_id.directory(&manager.options.cache_directory);
            let found = BaseImage::read(&directory).filter(|bundle| plan.is_met_by(bundle));
            let found = found.filter(|bundle| cache::check(&manager.store, bundle, scrutiny).is_ok());
            found.map(|bundle| manager.touched(plan.renewed(bundle))).transpose()
        })
        .await
    }

    /// A cached bundle that serves the request where nobody can be asked what is newest.
    async fn cached_of(
        &self,
        request: &Request,
        places: &ManifestPlaces,
        outcome: Outcome,
    ) -> Result<Option<Ensured>, BaseImageError> {
        for bundle in self.list() {
            if !self.serves(&bundle, request, places) {
                continue;
            }
            let name = bundle.bundle_id.clone();
            let lease = self.lease(&name).await.map_err(|problem| self.cache_error(problem))?;
            let (manager, scrutiny) = (self.clone(), request.scrutiny);
            let found = blocking(move || match cache::check(&manager.store, &bundle, scrutiny) {
                Ok(()) => manager.touched(bundle).map(Some),
                Err(flaw) => {
                    let id = &bundle.bundle_id;
                    manager.warn(format!("the cached base image `{id}` cannot be used"), &flaw);
                    Ok(None)
                }
            });
            if let Some(bundle) = found.await.map_err(|problem| self.cache_error(problem))? {
                return self.hand_out(bundle, outcome, lease).await.map(Some);
            }
        }
        for (directory, flaw) in cache::torn(&self.options.cache_directory) {
            self.warn(format!("`{}` is passed over", directory.display()), &flaw);
        }
        Ok(None)
    }

    fn serves(&self, bundle: &BaseImage, request: &Request, places: &ManifestPlaces) -> bool {
        let preset = if places.any() { Preset::Hosted } else { request.preset };
        let same_manifest = match &bundle.source {
            Source::HostedManifest { manifest_url, manifest_path, .. } => {
                !places.any() || (manifest_url, manifest_path) == (&places.url, &places.path)
            }
            _ => !places.any(),
        };
        let architecture = request.architecture.unwrap_or(self.options.architecture);
        bundle.preset == preset && bundle.arch == architecture && same_manifest
    }

    /// The bundle with now as its last access, written down (acceptance S-13). Where nothing can be written, or there is no room,
    /// it is as good; only whoever makes room will not know that it was used.
    fn touched(&self, bundle: BaseImage) -> Result<BaseImage, PrepareProblem> {
        let bundle = BaseImage { last_accessed_at: self.now(), ..bundle };
        match bundle.touch() {
            Err(PrepareProblem::Files(error)) if error.is_write_refused() => {
                let id = &bundle.bundle_id;
                self.warn(format!("the last use of the base image `{id}` is not written down"), &error);
            }
            touched => touched?,
        }
        Ok(bundle)
    }

    /// Says what did not work and keeps nobody from anything.
    fn warn(&self, what: String, error: &dyn std::error::Error) {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let text = causes.fold(format!("warning: {what}"), |text, cause| format!("{text}: {cause}"));
        self.options.reporter.note(text);
    }

    /// Prunes around a bundle that is ready. It is handed out also where nothing could be deleted.
    async fn hand_out(
        &self,
        bundle: BaseImage,
        outcome: Outcome,
        lease: Lease,
    ) -> Result<Ensured, BaseImageError> {
        let (manager, keep) = (self.clone(), bundle.bundle_id.clone());
        let pruned = tokio::task::spawn_blocking(move || manager.evict_beyond(Some(&keep))).await;
        let (evicted, problem) = pruned.map_err(|error| self.cache_error(PrepareProblem::Broken(error)))?;
        if let Some(problem) = problem {
            let error = self.cache_error(problem);
            self.warn("base images beyond the maximum are kept".to_owned(), &error);
        }
        Ok(Ensured { bundle, outcome, evicted, lease })
    }

    /// Every bundle of the cache, the one that was handed out last first. Blocks.
    pub fn list(&self) -> Vec<BaseImage> {
        cache::list(&self.options.cache_directory)
    }

    /// Reads every byte of every bundle, which the reporter follows, and says what is wrong; last come the directories that have
    /// a manifest which cannot be used. Blocks.
    pub fn verify(&self) -> Vec<Checked> {
        let checked = self.list().into_iter().map(|bundle| {
            let flaw = self.verify_bundle(&bundle).err();
            Checked { directory: bundle.bundle_dir.clone(), bundle: Some(bundle), flaw }
        });
        let torn = cache::torn(&self.options.cache_directory).into_iter();
        let torn = torn.map(|(directory, flaw)| Checked { directory, bundle: None, flaw: Some(flaw) });
        checked.chain(torn).collect()
    }

    fn verify_bundle(&self, bundle: &BaseImage) -> Result<(), Flaw> {
        let task = format!("verify {}", bundle.bundle_id);
        let sizes = bundle.sizes.kernel.zip(bundle.sizes.rootfs);
        let total = sizes.map(|(kernel, rootfs)| kernel.saturating_add(rootfs));
        let reporter = &*self.options.reporter;
        reporter.event(Event::Started { task: task.clone(), total });
        let advance = |bytes| reporter.event(Event::Advanced { task: task.clone(), bytes });
        let checked = cache::check_all(&self.store, bundle, &advance);
        reporter.event(Event::Finished { task: task.clone() });
        checked
    }

    async fn lease(&self, id: &BundleId) -> Result<Lease, PrepareProblem> {
        let (cache, id) = (self.options.cache_directory.clone(), id.clone());
        blocking(move || Ok(lease::lease(&cache, id.as_str())?)).await
    }

    async fn work(&self, id: &BundleId) -> Result<lease::Work, PrepareProblem> {
        let (cache, id) = (self.options.cache_directory.clone(), id.clone());
        blocking(move || Ok(lease::prepare(&cache, id.as_str())?)).await
    }

    /// Now, in ISO 8601 with milliseconds, UTC (acceptance S-23).
    pub(crate) fn now(&self) -> String {
        let now = jiff::Timestamp::try_from((self.options.now)()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        format!("{now:.3}")
    }

    pub(crate) fn cache_error(&self, problem: PrepareProblem) -> BaseImageError {
        BaseImageError::Cache { directory: self.options.cache_directory.clone(), problem }
    }
}

/// What a bundle is called in the store, so that its blobs stay.
pub(crate) fn store_name(directory: &str) -> String {
    format!("base-images/{directory}")
}

/// Does what blocks where that holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PrepareProblem> + Send + 'static,
) -> Result<T, PrepareProblem> {
    tokio::task::spawn_blocking(work).await.map_err(PrepareProblem::Broken)?
}

#[cfg(test)]
mod tests;
