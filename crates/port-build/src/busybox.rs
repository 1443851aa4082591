//! BusyBox: which one goes into an image, and its bytes.
//!
//! Invariant: what goes in is BusyBox, static, and of the image's architecture.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use port_config::{LockEntry, LockedInput, Recipe};
use port_kernel::Deb;
use port_model::Architecture;

use crate::downloads::{Answer, Fetched};
use crate::environment::{Context, LockMode};
use crate::error::BuildError;
use crate::program::Program;
use crate::programs::{Found, LARGEST, open, open_exactly};
use crate::{applets, debian};

/// Its name on the `PATH` and in the lock.
const BUSYBOX: &str = "busybox";
/// The package that brings it where this machine has none that fits.
const PACKAGE: &str = "busybox-static";

/// Where BusyBox comes from.
#[derive(Debug, Clone)]
pub(crate) enum Busybox {
    /// A file of this machine.
    File(Found),
    /// A Debian package that is there, or that the lock pins.
    Package(LockedInput),
}

/// BusyBox: the recipe's, else `PORT_BUSYBOX_BIN`, else this machine's static one, else Debian's package.
pub(crate) async fn find(
    context: &Context<'_>,
    recipe: &Recipe,
    architecture: Architecture,
    locked: Option<&LockEntry>,
) -> Result<Busybox, BuildError> {
    if let Some(path) = &recipe.busybox {
        let found = open_exactly(context, "BusyBox", path, architecture)?;
        return match found.program.is_static() {
            true => Ok(Busybox::File(found)),
            false => Err(not_static(found.path)),
        };
    }
    let mut looked = Vec::new();
    let own = context.environment.find_program(BUSYBOX);
    for path in context.environment.busybox.iter().chain(&own) {
        match open(context, path, architecture)? {
            Ok(found) if found.program.is_static() => return Ok(Busybox::File(found)),
            Ok(_) => looked.push(format!("`{}` is not static", path.display())),
            Err(found) => looked.push(format!("`{}` is {found}", path.display())),
        }
    }
    let prefix = format!("{PACKAGE}=");
    let pinned = locked.into_iter().flat_map(|entry| &entry.inputs);
    let mut pinned = pinned.filter(|input| input.source == BUSYBOX && input.resolved.starts_with(&prefix));
    if let Some(pinned) = pinned.next().filter(|_| context.lock_mode != LockMode::Update) {
        return Ok(Busybox::Package(pinned.clone()));
    }
    match debian::newest(context, PACKAGE, architecture).await? {
        Answer::Got(Fetched { digest, size, resolved, .. }) => {
            Ok(Busybox::Package(LockedInput { source: BUSYBOX.to_owned(), resolved, digest, size }))
        }
        Answer::Unreachable(reason) => {
            looked.push(reason);
            looked.push("set PORT_BUSYBOX_BIN, or name one with `busybox` in the recipe".to_owned());
            Err(BuildError::NoProgram { what: "static BusyBox", architecture, looked })
        }
    }
}

fn not_static(path: PathBuf) -> BuildError {
    let (expected, found) = ("a static program".to_owned(), "one that needs shared libraries".to_owned());
    BuildError::BadProgram { what: "BusyBox", path, expected, found }
}

impl Busybox {
    /// As the lock records it.
    pub(crate) fn input(&self) -> LockedInput {
        match self {
            Self::File(found) => found.input(BUSYBOX),
            Self::Package(input) => input.clone(),
        }
    }

    /// Its bytes; a pinned package is fetched where it is not kept.
    pub(crate) async fn read(
        &self,
        context: &Context<'_>,
        architecture: Architecture,
    ) -> Result<Vec<u8>, BuildError> {
        let (bytes, path) = match self {
            Self::File(found) => (found.read()?, found.path.clone()),
            Self::Package(input) => {
                (fetch(context, input, architecture).await?, PathBuf::from(&input.resolved))
            }
        };
        let wrong = |found: String| {
            let expected = format!("a static BusyBox for {architecture}");
            BuildError::BadProgram { what: "BusyBox", path: path.clone(), expected, found }
        };
        match Program::parse(&bytes).map_err(wrong)? {
            program if program.architecture != architecture => {
                Err(wrong(format!("a program for {}", program.architecture)))
            }
            program if !program.is_static() => Err(wrong("one that needs shared libraries".to_owned())),
            _ if !applets::is_busybox(&bytes) => Err(wrong("another program".to_owned())),
            _ => Ok(bytes),
        }
    }
}

/// The program out of the pinned package.
async fn fetch(
    context: &Context<'_>,
    input: &LockedInput,
    architecture: Architecture,
) -> Result<Vec<u8>, BuildError> {
    match debian::pinned(context, &input.resolved, &input.digest, architecture).await? {
        Answer::Got(fetched) => read_from_package(&fetched.file),
        Answer::Unreachable(reason) => {
            let looked = vec![format!("{}: {reason}", input.resolved)];
            Err(BuildError::NoProgram { what: "static BusyBox", architecture, looked })
        }
    }
}

fn read_from_package(file: &Path) -> Result<Vec<u8>, BuildError> {
    let mut bytes = Vec::new();
    Deb::open(file)?.extract(
        |path| matches!(path, "bin/busybox" | "usr/bin/busybox"),
        |entry, reader| {
            use std::io::Read as _;
            let failed = |source| port_kernel::KernelError::Read { subject: entry.path.to_owned(), source };
            reader.take(LARGEST).read_to_end(&mut bytes).map_err(failed)?;
            Ok(ControlFlow::Break(()))
        },
    )?;
    Ok(bytes)
}
