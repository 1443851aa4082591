//! Programs of this machine that go into an image: the guest agent with its libraries (acceptance P-72).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use port_config::{LockedInput, Recipe};
use port_content::fs;
use port_model::{Architecture, Digest};

use crate::environment::Context;
use crate::error::BuildError;
use crate::program::Program;

/// The largest program or library that is taken, in bytes.
pub(crate) const LARGEST: u64 = 256 * 1024 * 1024;

/// A program or library of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Digest of its bytes.
    digest: Digest,
    /// Size in bytes.
    size: u64,
    /// What it needs.
    pub(crate) program: Program,
}

impl Found {
    /// As the lock records it. An absolute path says something of this machine only, and the lock is committed
    /// for all: there the name is enough.
    pub(crate) fn input(&self, source: &str) -> LockedInput {
        let name = if self.path.is_absolute() { self.path.file_name() } else { Some(self.path.as_os_str()) };
        let resolved = name.unwrap_or_default().to_string_lossy().into_owned();
        LockedInput { source: source.to_owned(), resolved, digest: self.digest.clone(), size: self.size }
    }
}

/// Reads a program of this architecture; the inner error says what the file is instead.
pub(crate) fn open(
    context: &Context<'_>,
    path: &Path,
    architecture: Architecture,
) -> Result<Result<Found, String>, BuildError> {
    let program = match Program::parse(&fs::read(path, LARGEST)?) {
        Ok(program) if program.architecture == architecture => program,
        Ok(program) => return Ok(Err(format!("a program for {}", program.architecture))),
        Err(found) => return Ok(Err(found)),
    };
    let (digest, size) = (context.digest_of)(path)?;
    Ok(Ok(Found { path: path.to_owned(), digest, size, program }))
}

/// As [`open`], where the file was asked for by name: anything else is an error.
pub(crate) fn open_exactly(
    context: &Context<'_>,
    what: &'static str,
    path: &Path,
    architecture: Architecture,
) -> Result<Found, BuildError> {
    open(context, path, architecture)?.map_err(|found| BuildError::BadProgram {
        what,
        path: path.to_owned(),
        expected: format!("a program for {architecture}"),
        found,
    })
}

/// The guest agent: the recipe's, else the first of the environment's that is there and fits.
pub(crate) fn agent(
    context: &Context<'_>,
    recipe: &Recipe,
    architecture: Architecture,
) -> Result<Found, BuildError> {
    const WHAT: &str = "guest agent";
    if let Some(path) = &recipe.agent {
        return open_exactly(context, WHAT, path, architecture);
    }
    let mut looked = Vec::new();
    for path in &context.environment.agent {
        if fs::try_metadata(path)?.is_none() {
            looked.push(format!("`{}` does not exist", path.display()));
            continue;
        }
        match open(context, path, architecture)? {
            Ok(found) => return Ok(found),
            Err(found) => looked.push(format!("`{}` is {found}", path.display())),
        }
    }
    looked.push("build `port-guest-agent` for it, or name one with `agent` in the recipe".to_owned());
    Err(BuildError::NoProgram { what: WHAT, architecture, looked })
}

/// A library and where it belongs in the image.
#[derive(Debug, Clone)]
pub(crate) struct Library {
    /// The path in the image, absolute.
    pub(crate) place: String,
    /// The file.
    pub(crate) found: Found,
}

/// The dynamic loader and all libraries that `program` needs, by their place; none for a static program.
pub(crate) fn libraries(context: &Context<'_>, program: &Found) -> Result<Vec<Library>, BuildError> {
    let architecture = program.program.architecture;
    let mut places: BTreeMap<String, Library> = BTreeMap::new();
    let loader = program.program.interpreter.clone();
    if let Some(place) = &loader {
        let found = open_exactly(context, "dynamic loader", Path::new(place), architecture)?;
        places.insert(place.clone(), Library { place: place.clone(), found });
    }
    let mut pending = vec![program.clone()];
    while let Some(user) = pending.pop() {
        for name in &user.program.needed {
            let is_loader = loader.as_ref().is_some_and(|loader| loader.ends_with(&format!("/{name}")));
            if is_loader || places.keys().any(|place| place.ends_with(&format!("/{name}"))) {
                continue;
            }
            let library = library(context, &user, name, architecture)?;
            pending.push(library.found.clone());
            places.insert(library.place.clone(), library);
        }
    }
    Ok(places.into_values().collect())
}

fn library(
    context: &Context<'_>,
    user: &Found,
    name: &str,
    architecture: Architecture,
) -> Result<Library, BuildError> {
    let missing =
        |looked| BuildError::NoLibrary { program: user.path.clone(), library: name.to_owned(), looked };
    if name.contains('/') || name.starts_with('.') {
        return Err(missing(vec!["no place: the name is not a plain one".to_owned()]));
    }
    let directories = library_directories(user, architecture);
    for directory in &directories {
        let host = Path::new(directory).join(name);
        if fs::metadata(&host).is_ok_and(|found| found.is_file())
            && let Ok(found) = open(context, &host, architecture)?
        {
            // A cross compiler's directory means nothing in the guest.
            let cross = format!("/usr/{}/lib", triple(architecture));
            let home = if *directory == cross {
                format!("/lib/{}", triple(architecture))
            } else {
                directory.clone()
            };
            return Ok(Library { place: format!("{home}/{name}"), found });
        }
    }
    Err(missing(directories))
}

/// Where a loader looks: the program's own list, then the fixed directories of Debian and others.
fn library_directories(user: &Found, architecture: Architecture) -> Vec<String> {
    let triple = triple(architecture);
    let origin = user.path.parent().unwrap_or(Path::new("/")).display().to_string();
    let own = user.program.search.iter().map(|directory| {
        directory.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin).trim_end_matches('/').to_owned()
    });
    let fixed = [format!("/lib/{triple}"), format!("/usr/lib/{triple}"), format!("/usr/{triple}/lib")];
    let plain = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(str::to_owned);
    own.filter(|directory| directory.starts_with('/')).chain(fixed).chain(plain).collect()
}

fn triple(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "x86_64-linux-gnu",
        Architecture::Aarch64 => "aarch64-linux-gnu",
    }
}
