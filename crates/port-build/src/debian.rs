//! Debian packages through this machine's apt: asked for by name, fetched in a scratch directory, kept by digest.
//!
//! Nothing is installed and no index is refreshed: `apt-get update` changes the machine, so it stays with its
//! owner, and messages say when it would help. apt checks the archive's signatures; Port adds the digest that
//! the lock pins.

use std::path::{Path, PathBuf};

use port_content::fs;
use port_content::fs::Context as _;
use port_model::{Architecture, Digest};

use crate::command;
use crate::downloads::{self, Answer};
use crate::environment::Context;
use crate::error::BuildError;

/// How many meta packages are followed before it is a circle.
const LONGEST_CHAIN: usize = 4;
/// What apt says about bytes that are not the ones of its index. That is no question of reach.
const WRONG_BYTES: &[&str] = &["Hash Sum mismatch", "unexpected size", "could not be authenticated"];

/// One version of a package, as apt names it: `name=version`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pinned {
    name: String,
    version: String,
}

impl Pinned {
    fn parse(resolved: &str) -> Option<Self> {
        let (name, version) = resolved.split_once('=')?;
        (is_word(name) && is_word(version))
            .then(|| Self { name: name.to_owned(), version: version.to_owned() })
    }

    fn resolved(&self) -> String {
        format!("{}={}", self.name, self.version)
    }
}

/// Names and versions of Debian policy 5.6: nothing that a command line could take for an option.
fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ".+-~:".contains(c))
}

/// The newest version of `package`. A meta package leads to the `linux-image-…` package that it depends on.
pub(crate) async fn newest(
    context: &Context<'_>,
    package: &str,
    architecture: Architecture,
) -> Result<Answer, BuildError> {
    let Some(tools) = Tools::find(context) else { return Ok(no_apt()) };
    if !is_word(package) {
        let found = package.to_owned();
        return Err(BuildError::BadValue {
            subject: "package",
            expected: "the name of a Debian package",
            found,
        });
    }
    let mut wanted = (package.to_owned(), None::<String>);
    for _ in 0..LONGEST_CHAIN {
        let Some(stanza) = tools.show(&wanted.0, wanted.1.as_deref(), architecture).await? else {
            return Ok(Answer::Unreachable(tools.why_unknown(context, &wanted.0, architecture).await));
        };
        let version = field(&stanza, "Version").unwrap_or_default().to_owned();
        let next = field(&stanza, "Depends").and_then(kernel_dependency);
        match next.filter(|(name, _)| *name != wanted.0) {
            Some(next) => wanted = next,
            None => {
                return tools.fetch(context, Pinned { name: wanted.0, version }, &stanza, architecture).await;
            }
        }
    }
    let found = format!("{package}, a circle of meta packages");
    Err(BuildError::BadValue { subject: "package", expected: "a kernel package", found })
}

/// The version that the lock pins: from the kept downloads, else from apt, which may not have it any more.
pub(crate) async fn pinned(
    context: &Context<'_>,
    resolved: &str,
    digest: &Digest,
    architecture: Architecture,
) -> Result<Answer, BuildError> {
    if let Some(fetched) = downloads::kept(context, digest, resolved)? {
        return Ok(Answer::Got(fetched));
    }
    let Some(tools) = Tools::find(context) else { return Ok(no_apt()) };
    let Some(asked) = Pinned::parse(resolved) else {
        let found = resolved.to_owned();
        return Err(BuildError::BadValue { subject: "resolved", expected: "package=version", found });
    };
    tools.download(context, &asked, architecture, Some(digest)).await
}

fn no_apt() -> Answer {
    Answer::Unreachable("`apt-get` and `apt-cache` are not on the PATH".to_owned())
}

/// The programs of apt.
struct Tools {
    apt_get: PathBuf,
    apt_cache: PathBuf,
}

impl Tools {
    fn find(context: &Context<'_>) -> Option<Self> {
        let find = |name| context.environment.find_program(name);
        Some(Self { apt_get: find("apt-get")?, apt_cache: find("apt-cache")? })
    }

    /// What apt knows of a package; `None` where it knows none.
    async fn show(
        &self,
        name: &str,
        version: Option<&str>,
        architecture: Architecture,
    ) -> Result<Option<String>, BuildError> {
        let what = selector(name, version, architecture);
        let ran = command::run(&self.apt_cache, &["show", "--no-all-versions", "--", &what], None).await?;
        let stanza = ran.stdout.split("\n\n").next().unwrap_or_default().to_owned();
        Ok((ran.success && field(&stanza, "Version").is_some()).then_some(stanza))
    }

    /// Why apt does not know a package, with the command that may help.
    async fn why_unknown(&self, context: &Context<'_>, name: &str, architecture: Architecture) -> String {
        let debian = architecture.oci_name();
        let what = format!("{name}:{debian}");
        if architecture != context.host && !self.has_foreign(context, debian).await {
            return format!(
                "apt has no packages for {debian}: run `dpkg --add-architecture {debian} && apt-get update` as root"
            );
        }
        format!("apt knows no package `{what}`: run `apt-get update` as root if its lists are old")
    }

    async fn has_foreign(&self, context: &Context<'_>, debian: &str) -> bool {
        let Some(dpkg) = context.environment.find_program("dpkg") else { return false };
        match command::run(&dpkg, &["--print-foreign-architectures"], None).await {
            Ok(ran) => ran.stdout.lines().any(|line| line.trim() == debian),
            Err(_) => false,
        }
    }

    /// The package that apt describes: the kept file, where it has the digest of apt's index, else from apt.
    async fn fetch(
        &self,
        context: &Context<'_>,
        pinned: Pinned,
        stanza: &str,
        architecture: Architecture,
    ) -> Result<Answer, BuildError> {
        let digest = field(stanza, "SHA256").and_then(|hex| Digest::from_sha256_hex(hex).ok());
        if let Some(digest) = &digest
            && let Some(fetched) = downloads::kept(context, digest, &pinned.resolved())?
        {
            return Ok(Answer::Got(fetched));
        }
        self.download(context, &pinned, architecture, digest.as_ref()).await
    }

    async fn download(
        &self,
        context: &Context<'_>,
        pinned: &Pinned,
        architecture: Architecture,
        expected: Option<&Digest>,
    ) -> Result<Answer, BuildError> {
        let resolved = pinned.resolved();
        fs::create_dir_all(context.downloads)?;
        let scratch = tempfile::Builder::new().prefix(".apt.").suffix(".tmp").tempdir_in(context.downloads);
        let scratch = scratch.context("create a directory in", context.downloads)?;
        let what = selector(&pinned.name, Some(&pinned.version), architecture);
        context.reporter.note(format!("fetching {what} with apt-get"));
        // As root, apt drops to a user who may not write here, and warns about it; there is nothing to protect.
        let arguments = ["-q", "-o", "APT::Sandbox::User=root", "download", "--", &what];
        let ran = command::run(&self.apt_get, &arguments, Some(scratch.path())).await?;
        if ran.success {
            let file = only_package(scratch.path())?;
            return downloads::keep(context, &file, resolved, expected).map(Answer::Got);
        }
        if WRONG_BYTES.iter().any(|words| ran.stderr.contains(words)) {
            return Err(ran.into_failure());
        }
        let hint = "run `apt-get update` as root if its lists are old";
        Ok(Answer::Unreachable(format!("`{}`: {}; {hint}", ran.command, ran.last_words())))
    }
}

/// `name:architecture=version`, as apt's command line takes it.
fn selector(name: &str, version: Option<&str>, architecture: Architecture) -> String {
    let version = version.map(|version| format!("={version}")).unwrap_or_default();
    format!("{name}:{}{version}", architecture.oci_name())
}

fn only_package(directory: &Path) -> Result<PathBuf, BuildError> {
    let found = fs::read_dir(directory)?;
    match found.as_slice() {
        [one] if one.extension().is_some_and(|extension| extension == "deb") => Ok(one.clone()),
        other => Err(BuildError::Command {
            command: "apt-get download".to_owned(),
            found: format!("expected one `.deb` file, found {} files", other.len()),
        }),
    }
}

/// The value of a one-line field of a control stanza.
fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The `linux-image-…` package in a `Depends` field, with its version where it must be exactly that one.
fn kernel_dependency(depends: &str) -> Option<(String, Option<String>)> {
    depends.split([',', '|']).map(str::trim).find_map(|one| {
        let name = one.split([' ', '(', ':']).next().unwrap_or_default();
        let version = one.split_once("(=").map(|(_, rest)| rest.trim_end_matches(')').trim().to_owned());
        let version = version.filter(|version| is_word(version));
        (name.starts_with("linux-image-") && is_word(name)).then(|| (name.to_owned(), version))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meta_package_leads_to_its_kernel() {
        let stanza = "Package: linux-image-cloud-amd64\nVersion: 6.1.192-2\n\
                      Depends: foo, linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\nDescription: x";
        assert_eq!(field(stanza, "Version"), Some("6.1.192-2"));
        let next = field(stanza, "Depends").and_then(kernel_dependency);
        assert_eq!(next, Some(("linux-image-6.1.0-56-cloud-amd64".to_owned(), Some("6.1.192-2".to_owned()))));
        assert_eq!(kernel_dependency("kmod, linux-base (>= 4.3~), initramfs-tools | dracut"), None);
        assert_eq!(kernel_dependency("linux-image-generic").unwrap().1, None);
    }

    #[test]
    fn nothing_that_looks_like_an_option_reaches_apt() {
        for bad in ["", "-o", "--help", "a b", "a;b", "../x", "a=b"] {
            assert!(!is_word(bad), "{bad}");
        }
        assert!(is_word("linux-image-6.1.0-56-cloud-amd64") && is_word("1:1.35.0-4+deb12u1~rc1"));
        assert_eq!(Pinned::parse("busybox-static=-x"), None);
        assert_eq!(selector("a", Some("1"), Architecture::Aarch64), "a:arm64=1");
    }
}
