//! Debian packages: an ar archive with `control.tar.*` and `data.tar.*`, read as a stream.
//!
//! Nothing is unpacked onto a disk here: a caller picks files by name and gets a reader for each, so a package
//! with 4000 modules costs the memory of one. Links, devices and scripts are never delivered.
//!
//! Invariant: a path given to a caller is relative, has no `..`, and is UTF-8; one that is not refuses the
//! whole package, because no kernel package has one.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Component, Path};

use port_content::fs;

use crate::ar::{self, Member, Region};
use crate::bytes::read_up_to;
use crate::control::Control;
use crate::decompress::Compression;
use crate::error::KernelError;

/// The most that a package may unpack to, in bytes. The largest kernel packages (debug symbols) have 6 GB.
const LARGEST_TREE: u64 = 8 * 1024 * 1024 * 1024;
/// The most entries of a package. Kernel packages have 5000.
const MOST_ENTRIES: usize = 200_000;
/// The longest path, and the longest extended header, in bytes.
const LONGEST_PATH: u64 = 4096;
/// The longest control file, in bytes.
const LONGEST_CONTROL: u64 = 1024 * 1024;

/// An open package.
#[derive(Debug)]
pub struct Deb {
    subject: String,
    file: File,
    control: Member,
    data: Member,
}

/// A regular file of a package.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its path, without a leading `./`.
    pub path: &'a str,
    /// Its size, in bytes, as the package says. The reader gives no more.
    pub size: u64,
}

impl Deb {
    /// Opens a package and finds its parts.
    pub fn open(path: &Path) -> Result<Self, KernelError> {
        let subject = format!("package `{}`", path.display());
        let (file, metadata) = fs::open_regular(path)?;
        let members = ar::members(&file, metadata.len(), &subject)?;
        check_format(&file, &members, &subject)?;
        let find = |stem: &str| {
            let missing = || KernelError::malformed(&subject, format!("a member `{stem}.*`"), "none");
            members.iter().find(|member| member.name.starts_with(stem)).cloned().ok_or_else(missing)
        };
        let (control, data) = (find("control.tar")?, find("data.tar")?);
        Ok(Self { subject, file, control, data })
    }

    /// The package in words, for messages.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Reads what the package says about itself.
    pub fn control(&self) -> Result<Control, KernelError> {
        let mut text = None;
        self.walk(&self.control, &mut |path| path == "control", &mut |_, reader| {
            text = Some(read_limited(reader, LONGEST_CONTROL, &self.subject)?);
            Ok(ControlFlow::Break(()))
        })?;
        let missing = || KernelError::malformed(&self.subject, "a `control` file", "none");
        let text = text.ok_or_else(missing)?;
        Control::parse(&String::from_utf8_lossy(&text), &self.subject)
    }

    /// Goes through the regular files of the package in their order. `sink` gets those whose path `wanted`
    /// takes, and may stop with [`ControlFlow::Break`].
    pub fn extract(
        &self,
        mut wanted: impl FnMut(&str) -> bool,
        mut sink: impl FnMut(&Entry<'_>, &mut dyn Read) -> Result<ControlFlow<()>, KernelError>,
    ) -> Result<(), KernelError> {
        self.walk(&self.data, &mut wanted, &mut sink)
    }

    fn walk(
        &self,
        member: &Member,
        wanted: &mut dyn FnMut(&str) -> bool,
        sink: &mut Sink<'_>,
    ) -> Result<(), KernelError> {
        let compression = compression(&member.name, &self.subject)?;
        let failed = |source| KernelError::Unpack {
            compression,
            subject: format!("`{}` of {}", member.name, self.subject),
            source,
        };
        let reader = compression.reader(Region::new(&self.file, member)).map_err(failed)?;
        // NOTE: raw entries. The library would otherwise read long names into memory without a limit.
        let mut archive = tar::Archive::new(Bounded { inner: reader, left: LARGEST_TREE });
        let mut names = LongNames::default();
        for (count, entry) in archive.entries().map_err(failed)?.raw(true).enumerate() {
            let mut entry = entry.map_err(failed)?;
            if count >= MOST_ENTRIES {
                return Err(KernelError::malformed(
                    &self.subject,
                    format!("at most {MOST_ENTRIES} entries"),
                    "more",
                ));
            }
            let kind = entry.header().entry_type();
            if names.take(kind, &mut entry, &self.subject)? {
                continue;
            }
            let path = names.path_of(&entry.path_bytes(), &self.subject)?;
            let size = entry.size();
            if !kind.is_file() || !wanted(&path) {
                continue;
            }
            if sink(&Entry { path: &path, size }, &mut entry)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

type Sink<'a> = dyn FnMut(&Entry<'_>, &mut dyn Read) -> Result<ControlFlow<()>, KernelError> + 'a;

/// Reads all of an entry, which must have at most `limit` bytes.
pub(crate) fn read_limited(reader: &mut dyn Read, limit: u64, subject: &str) -> Result<Vec<u8>, KernelError> {
    let mut reader = reader;
    let bytes = read_up_to(&mut reader, limit.saturating_add(1))
        .map_err(|source| KernelError::read(subject, source))?;
    match bytes.len() as u64 > limit {
        true => Err(KernelError::TooLarge { subject: subject.to_owned(), limit }),
        false => Ok(bytes),
    }
}

/// The first member says which version of the package format follows.
fn check_format(file: &File, members: &[Member], subject: &str) -> Result<(), KernelError> {
    let first = members.first().filter(|member| member.name == "debian-binary");
    let version = match first {
        Some(member) => read_up_to(&mut Region::new(file, member), 16)
            .map_err(|source| KernelError::read(subject, source))?,
        None => Vec::new(),
    };
    if version.starts_with(b"2.") {
        return Ok(());
    }
    let found = match (first, members.first()) {
        (Some(_), _) => format!("version `{}`", String::from_utf8_lossy(&version).trim().escape_debug()),
        (None, Some(other)) => format!("`{}`", other.name.escape_debug()),
        (None, None) => "an empty archive".to_owned(),
    };
    Err(KernelError::malformed(subject, "`debian-binary` of version 2 as first member", found))
}

fn compression(name: &str, subject: &str) -> Result<Compression, KernelError> {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("tar") => Ok(Compression::None),
        Some("gz") => Ok(Compression::Gzip),
        Some("xz") => Ok(Compression::Xz),
        Some("zst") => Ok(Compression::Zstd),
        _ => Err(KernelError::malformed(
            subject,
            "a tar archive with .gz, .xz, .zst or none",
            format!("`{}`", name.escape_debug()),
        )),
    }
}

/// Paths that do not fit into a tar header come in an entry before the one they belong to.
#[derive(Debug, Default)]
struct LongNames {
    next: Option<Vec<u8>>,
}

impl LongNames {
    /// Whether an entry only describes the next one; then it is read.
    fn take(
        &mut self,
        kind: tar::EntryType,
        reader: &mut dyn Read,
        subject: &str,
    ) -> Result<bool, KernelError> {
        if kind.is_gnu_longname() {
            let mut name = read_limited(reader, LONGEST_PATH, subject)?;
            name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
            self.next = Some(name);
        } else if kind.is_pax_local_extensions() {
            let records = read_limited(reader, LONGEST_PATH * 4, subject)?;
            for record in tar::PaxExtensions::new(&records) {
                let record = record.map_err(|source| KernelError::read(subject, source))?;
                match record.key_bytes() {
                    b"path" => self.next = Some(record.value_bytes().to_vec()),
                    b"size" => {
                        return Err(KernelError::malformed(
                            subject,
                            "sizes in tar headers",
                            "a size in an extended header",
                        ));
                    }
                    _ => {}
                }
            }
        } else {
            return Ok(kind.is_gnu_longlink() || kind.is_pax_global_extensions());
        }
        Ok(true)
    }

    /// The checked path of an entry.
    fn path_of(&mut self, header: &[u8], subject: &str) -> Result<String, KernelError> {
        let bytes = self.next.take().unwrap_or_else(|| header.to_vec());
        let refuse = || {
            let found = format!("`{}`", String::from_utf8_lossy(&bytes).escape_debug());
            KernelError::malformed(subject, "relative paths without `..`", found)
        };
        let path = std::str::from_utf8(&bytes).map_err(|_| refuse())?;
        let safe = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if path.contains('\0') || path.len() as u64 > LONGEST_PATH || !Path::new(path).components().all(safe)
        {
            return Err(refuse());
        }
        Ok(path.trim_start_matches("./").to_owned())
    }
}

/// A reader that fails where more than a limit comes out of it: a small file can unpack to a huge one.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            let message = format!("at most {LARGEST_TREE} bytes were expected, there are more");
            io::Error::new(io::ErrorKind::FileTooLarge, message)
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{self, Package};
    use port_model::Architecture;

    fn open(package: &Package) -> Result<(tempfile::TempDir, Deb), String> {
        open_bytes(&package.build())
    }

    fn open_bytes(bytes: &[u8]) -> Result<(tempfile::TempDir, Deb), String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("k.deb");
        port_content::atomic::write(&path, bytes).unwrap();
        let deb = Deb::open(&path).map_err(|error| clean(&error, &path))?;
        Ok((directory, deb))
    }

    fn clean(error: &KernelError, path: &Path) -> String {
        error.to_string().replace(&path.display().to_string(), "k.deb")
    }

    fn list(deb: &Deb) -> Result<Vec<(String, Vec<u8>)>, KernelError> {
        let mut files = Vec::new();
        deb.extract(
            |_| true,
            |entry, reader| {
                files.push((entry.path.to_owned(), read_limited(reader, entry.size, "k")?));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(files)
    }

    #[test]
    fn reads_control_and_files_in_every_compression() {
        let long = format!("lib/modules/6.1.0/{}/x.ko", "long".repeat(40));
        for extension in ["", ".gz", ".xz", ".zst"] {
            let mut package = Package::new(
                "Package: linux-image-6.1\nVersion: 6.1-2\nArchitecture: amd64\nDepends: kmod,\n linux-base (>= 4)\nDescription: x\n .\n more\n",
            );
            package.extension = extension;
            package.files = vec![
                ("./boot/vmlinuz-6.1".to_owned(), b"kernel".to_vec()),
                (format!("./{long}"), b"module".to_vec()),
            ];
            let (_directory, deb) = open(&package).unwrap();
            let control = deb.control().unwrap();
            assert_eq!((control.package.as_str(), control.version.as_str()), ("linux-image-6.1", "6.1-2"));
            assert_eq!(control.port_architecture(), Some(Architecture::X86_64));
            assert_eq!(control.depends.len(), 2);
            let expected =
                [("boot/vmlinuz-6.1".to_owned(), b"kernel".to_vec()), (long.clone(), b"module".to_vec())];
            assert_eq!(list(&deb).unwrap(), expected, "{extension}");
        }
    }

    #[test]
    fn a_meta_package_leads_to_its_kernel() {
        let (_directory, deb) = open(&Package::new(
            "Package: linux-image-cloud-amd64\nVersion: 1\nArchitecture: amd64\nDepends: linux-image-6.1.0-56-cloud-amd64 (= 1)\n",
        ))
        .unwrap();
        let control = deb.control().unwrap();
        assert_eq!(
            control.kernel_dependency().unwrap().to_string(),
            "linux-image-6.1.0-56-cloud-amd64 (= 1)"
        );
    }

    #[test]
    fn a_path_escape_refuses_the_package() {
        for path in ["../etc/passwd", "boot/../../x", "/etc/passwd"] {
            let mut package = Package::new(samples::CONTROL);
            package.files = vec![(path.to_owned(), b"x".to_vec())];
            let (directory, deb) = open(&package).unwrap();
            let error = clean(&list(&deb).unwrap_err(), &directory.path().join("k.deb"));
            let expected = "package `k.deb` is malformed: expected relative paths without `..`, found `";
            assert!(error.starts_with(expected), "{path}: {error}");
        }
    }

    #[test]
    fn a_long_name_without_end_is_refused() {
        let mut package = Package::new(samples::CONTROL);
        package.files = vec![("x".repeat(6000), b"x".to_vec())];
        let (_directory, deb) = open(&package).unwrap();
        assert!(list(&deb).unwrap_err().to_string().contains("too large: expected at most 4096 bytes"));
    }

    #[test]
    fn what_is_not_a_package_is_said() {
        let whole = Package::new(samples::CONTROL).build();
        let error = |bytes: &[u8]| open_bytes(bytes).unwrap_err();
        assert_eq!(
            error(b""),
            "package `k.deb` is not usable: expected a Debian package, found an empty file"
        );
        assert_eq!(
            error(b"<html></html>"),
            "package `k.deb` is not usable: expected a Debian package, found an HTML page"
        );
        assert!(
            error(b"!<arch>\n")
                .ends_with("expected `debian-binary` of version 2 as first member, found an empty archive")
        );
        assert!(
            error(&whole[..whole.len() - 3]).contains("is truncated: expected `data.tar` to end at byte")
        );
        assert!(error(&whole[..100]).contains("is truncated: expected a member header to end at byte"));
        let old = String::from_utf8_lossy(&whole).replace("\n2.0\n", "\n3.0\n").into_bytes();
        assert!(error(&old).ends_with("found version `3.0`"));
    }

    #[test]
    fn an_incomplete_control_file_is_said() {
        let (_directory, deb) = open(&Package::new("Package: x\nVersion: 1\n")).unwrap();
        assert!(
            deb.control()
                .unwrap_err()
                .to_string()
                .ends_with("expected a `Architecture` field in control, found none")
        );
    }
}
