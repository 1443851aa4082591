//! Programs of this machine that go into an image: the guest agent with its libraries (acceptance P-72).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use port_config::{LockedInput, Recipe};
use port_content::fs;
use port_content::hashing::digest_of;
use port_model::{Architecture, Digest};

use crate::environment::Context;
use crate::error::BuildError;
use crate::program::Program;

/// The largest program or library that is taken, in bytes.
pub(crate) const LARGEST: u64 = 256 * 1024 * 1024;
/// Where the guest agent is in an image.
pub(crate) const AGENT: &str = "/usr/bin/port-guest-agent";
/// The directory of the program itself, in its list of library directories (ld.so(8)).
const ORIGIN: &str = "$ORIGIN";

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
    /// Its bytes, which must be those that were hashed: what the lock records is what goes in.
    pub(crate) fn read(&self) -> Result<Vec<u8>, BuildError> {
        let bytes = fs::read(&self.path, LARGEST)?;
        let found = digest_of(&bytes);
        if found == self.digest {
            return Ok(bytes);
        }
        Err(BuildError::BadProgram {
            what: "program",
            path: self.path.clone(),
            expected: format!("the bytes that were hashed, {}", self.digest),
            found: format!("{found}: it changed while it was used"),
        })
    }

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

/// The dynamic loader and all libraries that the agent needs, by their place; none for a static program.
pub(crate) fn libraries(context: &Context<'_>, agent: &Found) -> Result<Vec<Library>, BuildError> {
    let architecture = agent.program.architecture;
    let mut places: BTreeMap<String, Library> = BTreeMap::new();
    let loader = agent.program.interpreter.clone();
    if let Some(place) = &loader {
        let found = open_exactly(context, "dynamic loader", Path::new(place), architecture)?;
        places.insert(place.clone(), Library { place: place.clone(), found });
    }
    let mut pending = vec![Library { place: AGENT.to_owned(), found: agent.clone() }];
    while let Some(user) = pending.pop() {
        for name in &user.found.program.needed {
            let is_loader = loader.as_ref().is_some_and(|loader| loader.ends_with(&format!("/{name}")));
            if is_loader || places.keys().any(|place| place.ends_with(&format!("/{name}"))) {
                continue;
            }
            let library = library(context, &user, name, architecture)?;
            pending.push(library.clone());
            places.insert(library.place.clone(), library);
        }
    }
    Ok(places.into_values().collect())
}

fn library(
    context: &Context<'_>,
    user: &Library,
    name: &str,
    architecture: Architecture,
) -> Result<Library, BuildError> {
    let missing =
        |looked| BuildError::NoLibrary { program: user.found.path.clone(), library: name.to_owned(), looked };
    if name.contains('/') || name.starts_with('.') {
        return Err(missing(vec!["no place: the name is not a plain one".to_owned()]));
    }
    let directories = library_directories(user, architecture);
    for directory in &directories {
        let host = Path::new(&directory.host).join(name);
        if fs::metadata(&host).is_ok_and(|found| found.is_file())
            && let Ok(found) = open(context, &host, architecture)?
        {
            return Ok(Library { place: format!("{}/{name}", directory.guest), found });
        }
    }
    Err(missing(directories.into_iter().map(|directory| directory.host).collect()))
}

/// Where a library may be here, and where it then goes in the image.
#[derive(Debug, PartialEq, Eq)]
struct LibraryDirectory {
    host: String,
    guest: String,
}

/// Where a loader looks: the program's own list, then the fixed directories of Debian and others.
///
/// What lies beside the program lies beside it in the image too. Any other directory of its list, like a cross
/// compiler's, says something of this machine only: what is there goes where every loader looks.
fn library_directories(user: &Library, architecture: Architecture) -> Vec<LibraryDirectory> {
    let triple = triple(architecture);
    let fixed = [format!("/lib/{triple}"), format!("/usr/lib/{triple}")]
        .into_iter()
        .chain(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(str::to_owned));
    let fixed: Vec<String> = fixed.collect();
    // The loader of a system without Debian's directories does not look there.
    let home = fixed.iter().find(|directory| fs::exists(Path::new(directory)));
    let home = home.map_or_else(|| format!("/lib/{triple}"), Clone::clone);
    let own = user.found.program.search.iter().filter_map(|text| own_directory(user, text, &fixed, &home));
    let cross = LibraryDirectory { host: format!("/usr/{triple}/lib"), guest: format!("/lib/{triple}") };
    let same = |directory: &String| LibraryDirectory { host: directory.clone(), guest: directory.clone() };
    own.chain(fixed.iter().take(2).map(same)).chain([cross]).chain(fixed.iter().skip(2).map(same)).collect()
}

/// A directory of a program's own list (`DT_RUNPATH`); `None` for one that cannot be told from here.
fn own_directory(user: &Library, text: &str, fixed: &[String], home: &str) -> Option<LibraryDirectory> {
    let text = text.trim_end_matches('/').replace("${ORIGIN}", ORIGIN);
    if let Some(rest) = text.strip_prefix(ORIGIN).filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        let beside =
            |program: &Path| format!("{}{rest}", program.parent().unwrap_or(Path::new("/")).display());
        let guest = without_dots(&beside(Path::new(&user.place)));
        return Some(LibraryDirectory { host: beside(&user.found.path), guest });
    }
    let is_plain = text.starts_with('/') && !text.contains('$');
    let guest = if fixed.contains(&text) { text.clone() } else { home.to_owned() };
    is_plain.then_some(LibraryDirectory { host: text, guest })
}

/// An absolute path without `.` and `..`, by its words: nothing of the image exists yet.
fn without_dots(path: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in path.split('/') {
        match word {
            "" | "." => {}
            ".." => drop(words.pop()),
            word => words.push(word),
        }
    }
    words.iter().map(|word| format!("/{word}")).collect()
}

fn triple(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "x86_64-linux-gnu",
        Architecture::Aarch64 => "aarch64-linux-gnu",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_directory_of_this_machine_gets_into_an_image() {
        let program = Program {
            architecture: Architecture::X86_64,
            interpreter: None,
            needed: Vec::new(),
            search: [
                "$ORIGIN/../lib/",
                "${ORIGIN}",
                "/home/me/lib",
                "/usr/lib",
                "$LIB/x",
                "lib",
                "$ORIGINAL",
            ]
            .map(str::to_owned)
            .to_vec(),
        };
        let found =
            Found { path: "/home/me/target/release/agent".into(), digest: digest_of(b""), size: 0, program };
        let user = Library { place: AGENT.to_owned(), found };
        let directories = library_directories(&user, Architecture::X86_64);
        let home = directories.get(2).unwrap().guest.clone();
        assert!(!home.contains("home"), "{home}");
        let expected = [
            ("/home/me/target/release/../lib", "/usr/lib"),
            ("/home/me/target/release", "/usr/bin"),
            ("/home/me/lib", home.as_str()),
            ("/usr/lib", "/usr/lib"),
            ("/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"),
        ];
        for (directory, (host, guest)) in directories.iter().zip(expected) {
            assert_eq!((directory.host.as_str(), directory.guest.as_str()), (host, guest));
        }
        assert!(directories.iter().all(|directory| !directory.guest.contains("me")), "{directories:?}");
    }

    #[test]
    fn a_program_that_changed_after_it_was_hashed_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent");
        port_content::atomic::write(&path, b"second").unwrap();
        let program = Program {
            architecture: Architecture::X86_64,
            interpreter: None,
            needed: Vec::new(),
            search: Vec::new(),
        };
        let found = Found { path, digest: digest_of(b"first"), size: 5, program };
        let text = found.read().unwrap_err().to_string();
        assert!(text.contains("it changed while it was used"), "{text}");
    }
}
