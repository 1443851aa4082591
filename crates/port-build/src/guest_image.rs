//! Guest images: programs, scripts and files become a root file system, and an initrd that can boot it.
//!
//! ```text
//! recipe, scripts, agent, BusyBox, directory, modules ── digests ──► the lock's inputs ── same? ──► up to date
//!                                                            └─ else ─► trees ─► image + initrd.cpio.gz
//! ```
//!
//! Invariant: image and initrd are replaced only after both are complete.

use port_config::{Artifact, LockEntry, LockedInput, LockedOutput, Recipe, VariantConfig};
use port_content::atomic::AtomicFile;
use port_content::fs::Context as _;
use port_content::sparse;
use port_model::{FileName, INITRD_FILE_NAME, KernelFacts};

use crate::busybox::{self, Busybox};
use crate::environment::{Context, LockMode};
use crate::error::BuildError;
use crate::kernel_input::KernelInput;
use crate::modules::Selection;
use crate::programs::{self, Found, Library};
use crate::record::{self, Built};
use crate::{image, initrd, inputs, pvm, rootfs};

/// Changes whenever the same inputs would give other bytes.
const FORMAT: u32 = 1;

/// Builds the guest image of one variant with its initrd, or finds both up to date.
///
/// # Errors
/// [`BuildError`]; image and initrd are then as they were.
pub async fn guest_image(
    context: &Context<'_>,
    artifact: &Artifact,
    variant: &VariantConfig,
    kernel: Option<&KernelInput<'_>>,
) -> Result<Built, BuildError> {
    pvm::refuse_research_only(artifact, variant.variant)?;
    let Some(recipe) = &variant.recipe else {
        let artifact = artifact.name.clone();
        return Err(BuildError::NotBuildable { artifact, variant: variant.variant, missing: "recipe" });
    };
    refuse_other_kernel(artifact, variant, recipe, kernel)?;
    let locked = record::locked_entry(context, artifact, variant)?;
    let build = Build::gather(context, artifact, variant, recipe, kernel, locked).await?;
    if let Some(entry) = locked {
        let changes = record::input_changes(&entry.inputs, &build.inputs);
        record::refuse_changes(context, artifact, variant, changes.clone())?;
        if changes.is_empty() && record::outputs_hold(context, variant, entry)? {
            return Ok(Built { entry: entry.clone(), fresh: false });
        }
    }
    build.run(locked).await
}

/// A guest image has the modules of the kernel that its recipe names, of its own variant (acceptance P-82).
fn refuse_other_kernel(
    artifact: &Artifact,
    variant: &VariantConfig,
    recipe: &Recipe,
    kernel: Option<&KernelInput<'_>>,
) -> Result<(), BuildError> {
    let name = || artifact.name.clone();
    match (kernel, &recipe.kernel) {
        (Some(kernel), _)
            if kernel.config.variant != variant.variant || kernel.entry.variant != variant.variant =>
        {
            let (kernel, found) = (kernel.artifact.to_owned(), kernel.config.variant);
            Err(BuildError::MixedVariants { artifact: name(), variant: variant.variant, kernel, found })
        }
        (None, Some(kernel)) => {
            let kernel = kernel.clone();
            Err(BuildError::KernelNotBuilt { artifact: name(), variant: variant.variant, kernel })
        }
        _ => Ok(()),
    }
}

/// Everything that goes in, found and hashed.
struct Build<'a> {
    context: &'a Context<'a>,
    artifact: &'a Artifact,
    variant: &'a VariantConfig,
    recipe: &'a Recipe,
    kernel: Option<&'a KernelInput<'a>>,
    agent: Found,
    libraries: Vec<Library>,
    busybox: Busybox,
    inputs: Vec<LockedInput>,
}

impl<'a> Build<'a> {
    async fn gather(
        context: &'a Context<'a>,
        artifact: &'a Artifact,
        variant: &'a VariantConfig,
        recipe: &'a Recipe,
        kernel: Option<&'a KernelInput<'a>>,
        locked: Option<&LockEntry>,
    ) -> Result<Self, BuildError> {
        let architecture = variant.variant.architecture;
        let agent = programs::agent(context, recipe, architecture)?;
        let libraries = programs::libraries(context, &agent)?;
        let busybox = busybox::find(context, recipe, architecture, locked).await?;
        let inputs = Vec::new();
        let mut build =
            Self { context, artifact, variant, recipe, kernel, agent, libraries, busybox, inputs };
        build.inputs = build.inputs()?;
        Ok(build)
    }

    /// All inputs, as the lock records them.
    fn inputs(&self) -> Result<Vec<LockedInput>, BuildError> {
        let builder = format!("port-build format {FORMAT}");
        let mut all = vec![
            inputs::text("recipe", &builder, &self.recipe_text()?),
            inputs::text("init", "built in", rootfs::INIT),
        ];
        if self.has_initrd() {
            all.push(inputs::text("initrd init", "built in", initrd::INIT));
        }
        all.push(self.agent.input("agent"));
        all.extend(
            self.libraries.iter().map(|library| library.found.input(&format!("library {}", library.place))),
        );
        all.push(self.busybox.input());
        all.extend(self.kernel.map(KernelInput::input));
        if let Some(directory) = &self.recipe.directory {
            all.push(inputs::directory(self.context, directory)?);
        }
        Ok(all)
    }

    /// All of the configuration that decides over bytes, in one fixed form. Paths are not in it: what is
    /// behind them is an input of its own.
    fn recipe_text(&self) -> Result<String, BuildError> {
        let recipe = self.recipe;
        Ok(format!(
            "builder={FORMAT}\nartifact={}\nvariant={}\nformat={:?}\nsize_mib={:?}\nlabel={}\nhostname={}\ninitrd={}\n",
            self.artifact.name,
            self.variant.variant,
            recipe.format,
            recipe.size_mib,
            image::label(recipe),
            rootfs::hostname(recipe)?,
            self.has_initrd(),
        ))
    }

    /// Firecracker guests of x86_64 always have one (acceptance P-78), others where there is a kernel to serve.
    fn has_initrd(&self) -> bool {
        self.variant.variant.ships_initrd() || self.kernel.is_some()
    }

    async fn run(self, locked: Option<&LockEntry>) -> Result<Built, BuildError> {
        let busybox = self.busybox.read(self.context, self.variant.variant.architecture).await?;
        let modules = match self.kernel {
            Some(kernel) => kernel.select(self.context, self.recipe.format).await?,
            None => Selection::default(),
        };
        let mut outputs = vec![(self.variant.file_name.clone(), self.write_image(&busybox)?)];
        if self.has_initrd() {
            outputs.push((initrd_name()?, self.write_initrd(&busybox, &modules)?));
        }
        self.refuse_changed_directory()?;
        let entry = self.entry(&mut outputs, &modules)?;
        if let Some(locked) = locked.filter(|_| self.context.lock_mode == LockMode::Locked) {
            let changes = record::output_changes(&locked.outputs, &entry.outputs);
            record::refuse_changes(self.context, self.artifact, self.variant, changes)?;
        }
        // CRASH: a kill between the two leaves a new image beside an old initrd. The lock then names neither
        // or both, so the next build sees it and makes both again.
        for (_, file) in outputs {
            file.commit()?;
        }
        self.context.reporter.note(format!("built {}", self.artifact.name));
        Ok(Built { entry, fresh: true })
    }

    /// The recipe's directory was hashed before it was read: someone may have written to it in between.
    fn refuse_changed_directory(&self) -> Result<(), BuildError> {
        let Some(directory) = &self.recipe.directory else { return Ok(()) };
        let now = inputs::directory(self.context, directory)?;
        match self.inputs.iter().find(|input| input.source == now.source) {
            Some(before) if before.digest != now.digest => Err(BuildError::BadValue {
                subject: "directory",
                expected: "one that does not change while an image is made of it",
                found: directory.display().to_string(),
            }),
            _ => Ok(()),
        }
    }

    fn write_image(&self, busybox: &[u8]) -> Result<AtomicFile, BuildError> {
        let (variant, recipe) = (self.variant.variant, self.recipe);
        let parts =
            rootfs::Parts { variant, recipe, agent: &self.agent, libraries: &self.libraries, busybox };
        let tree = rootfs::tree(&parts)?;
        let mut file = AtomicFile::create(&self.variant.path)?;
        let seed = format!("{} {variant} {}", self.artifact.name, image::label(recipe));
        image::write(&tree, recipe, &seed, &mut file)?;
        Ok(file)
    }

    fn write_initrd(&self, busybox: &[u8], modules: &Selection) -> Result<AtomicFile, BuildError> {
        let tree = initrd::tree(busybox, self.recipe.format, modules)?;
        let mut file = AtomicFile::create(&record::output_path(self.variant, &initrd_name()?))?;
        port_image::cpio::write_gz(&tree, &mut file)?;
        Ok(file)
    }

    fn entry(
        &self,
        outputs: &mut [(FileName, AtomicFile)],
        modules: &Selection,
    ) -> Result<LockEntry, BuildError> {
        let mut recorded = Vec::new();
        for (name, file) in outputs {
            let path = file.path().to_owned();
            let (digest, size) = sparse::digest(file.file()).context("read", &path)?;
            recorded.push(LockedOutput { file: name.clone(), digest, size });
        }
        let names = || modules.files.iter().map(|(name, _)| name.clone()).collect();
        let facts = |kernel: &KernelInput<'_>| KernelFacts {
            release: kernel.entry.kernel.as_ref().and_then(|facts| facts.release.clone()),
            modules: names(),
        };
        Ok(LockEntry {
            artifact: self.artifact.name.clone(),
            variant: self.variant.variant,
            inputs: self.inputs.clone(),
            outputs: recorded,
            kernel: self.kernel.map(facts),
        })
    }
}

fn initrd_name() -> Result<FileName, BuildError> {
    let bad = |found| BuildError::BadValue { subject: "initrd", expected: "a file name", found };
    INITRD_FILE_NAME.parse().map_err(|_| bad(INITRD_FILE_NAME.to_owned()))
}
