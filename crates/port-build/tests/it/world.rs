//! A project in a scratch directory, with everything that a build is given.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use port_build::{BuildError, Built, Context, Environment, KernelInput, LockMode, VisitedRoot};
use port_config::{
    Artifact, Distribution, ImageFormat, KernelSource, Lock, Recipe, SourceSettings, VariantConfig,
};
use port_content::hashing::{digest_file, digest_of};
use port_model::{Architecture, ArtifactClass, Digest, Event, ProtectionMode, Reporter, Substrate, Variant};
use port_transport::Client;

use crate::samples;

pub(crate) const STANDARD: Variant = Variant {
    architecture: Architecture::X86_64,
    substrate: Substrate::Firecracker,
    protection_mode: ProtectionMode::Standard,
};
pub(crate) const PVM: Variant = Variant { protection_mode: ProtectionMode::Pvm, ..STANDARD };
pub(crate) const ARM: Variant = Variant { architecture: Architecture::Aarch64, ..STANDARD };

/// Keeps what is said.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Reporter for Notes {
    fn event(&self, event: Event) {
        if let Event::Note { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) environment: Environment,
    pub(crate) sources: SourceSettings,
    pub(crate) lock: Lock,
    pub(crate) lock_mode: LockMode,
    pub(crate) source: Option<String>,
    notes: Notes,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// A project below `parent` with an agent and a BusyBox for x86_64.
    pub(crate) fn below(parent: &Path) -> Self {
        let mut world = Self {
            directory: tempfile::tempdir_in(parent).unwrap(),
            environment: Environment::default(),
            sources: SourceSettings::default(),
            lock: Lock::default(),
            lock_mode: LockMode::Normal,
            source: None,
            notes: Notes::default(),
        };
        world.environment.agent = vec![world.file("agent", &samples::elf(samples::X86_64, b"agent"))];
        world.environment.busybox = Some(world.file("busybox", &samples::busybox(samples::X86_64)));
        world.environment.path = vec![world.path("bin")];
        world.environment.pvm_sibling = world.path("pvm-builds");
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A shell script on the `PATH` of builds.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let path = self.file(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n").as_bytes());
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn notes(&self) -> String {
        self.notes.0.lock().unwrap().join("\n")
    }

    /// The variant's output, in `out/<variant>/`.
    pub(crate) fn output(&self, variant: Variant, name: &str) -> PathBuf {
        self.path("out").join(variant.directory()).join(name)
    }

    pub(crate) fn kernel_artifact(&self, variant: Variant, sources: Vec<KernelSource>) -> Artifact {
        let path = self.output(variant, "vmlinux");
        let file_name = "vmlinux".parse().unwrap();
        let config = VariantConfig { variant, path, file_name, sources, recipe: None };
        artifact("demo-kernel", ArtifactClass::Kernel, config)
    }

    pub(crate) fn image_artifact(&self, variant: Variant, recipe: Recipe) -> Artifact {
        let name = format!("rootfs.{}", recipe.format.component_format());
        let path = self.output(variant, &name);
        let file_name = name.parse().unwrap();
        let config = VariantConfig { variant, path, file_name, sources: Vec::new(), recipe: Some(recipe) };
        artifact("demo-guest", ArtifactClass::GuestImage, config)
    }

    /// Builds the first variant of a kernel and keeps its entry.
    pub(crate) fn kernel(&mut self, artifact: &Artifact) -> Result<Built, BuildError> {
        let built = self.with(artifact, |context| {
            block_on(port_build::kernel(context, artifact, &artifact.variants[0]))
        })?;
        self.lock.set(built.entry.clone());
        Ok(built)
    }

    /// Builds the first variant of a guest image for the modules of `kernel`, and keeps its entry.
    pub(crate) fn image(
        &mut self,
        artifact: &Artifact,
        kernel: Option<&Artifact>,
    ) -> Result<Built, BuildError> {
        let input = kernel.map(|kernel| {
            let entry = self.lock.get(&kernel.name, kernel.variants[0].variant).unwrap();
            KernelInput { artifact: &kernel.name, config: &kernel.variants[0], entry }
        });
        let variant = &artifact.variants[0];
        let run = |context: &Context<'_>| {
            block_on(port_build::guest_image(context, artifact, variant, input.as_ref()))
        };
        let built = self.with(artifact, run)?;
        self.lock.set(built.entry.clone());
        Ok(built)
    }

    /// Makes the initrd for a root that somebody else made.
    pub(crate) fn visitor(&self, root: &VisitedRoot<'_>, output: &Path) -> Result<(), BuildError> {
        self.within(&BTreeSet::new(), |context| block_on(port_build::visitor_initrd(context, root, output)))
    }

    fn with<T>(&self, artifact: &Artifact, run: impl FnOnce(&Context<'_>) -> T) -> T {
        let standard = port_build::standard_digests(std::iter::once(artifact), &self.lock);
        self.within(&standard, run)
    }

    fn within<T>(&self, standard: &BTreeSet<Digest>, run: impl FnOnce(&Context<'_>) -> T) -> T {
        let client = Client::default().with_pause(std::time::Duration::from_millis(1));
        let downloads = self.path(".port/downloads");
        run(&Context {
            sources: &self.sources,
            downloads: &downloads,
            host: Architecture::X86_64,
            environment: &self.environment,
            client: &client,
            reporter: &self.notes,
            lock: &self.lock,
            lock_mode: self.lock_mode,
            standard,
            source: self.source.as_deref(),
            digest_of: &|path| digest_file(path),
        })
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn artifact(name: &str, class: ArtifactClass, variant: VariantConfig) -> Artifact {
    Artifact {
        name: name.to_owned(),
        class,
        reference: format!("demo-fs/port/{name}:v1").parse().unwrap(),
        build: None,
        validate: None,
        distribution: Distribution::default(),
        variants: vec![variant],
    }
}

pub(crate) fn recipe(format: ImageFormat) -> Recipe {
    let (size_mib, label, kernel, agent, busybox) = (None, None, None, None, None);
    Recipe { format, size_mib, label, kernel, agent, busybox, directory: None, hostname: None }
}

pub(crate) fn path_source(path: &Path) -> KernelSource {
    KernelSource::Path { path: path.to_owned(), sha256: None, modules: None }
}

pub(crate) fn url_source(url: String, bytes: &[u8]) -> KernelSource {
    KernelSource::Url { url, sha256: digest_of(bytes) }
}

/// The digests of a build by output name.
pub(crate) fn digests(built: &Built) -> BTreeMap<String, Digest> {
    built.entry.outputs.iter().map(|output| (output.file.to_string(), output.digest.clone())).collect()
}
