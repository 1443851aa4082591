//! A file as a layer: an uncompressed tar with one entry, byte for byte as kraft's tar writer makes it (acceptance Ku-5).
//!
//! The header is written here because its checksum field and its device fields have a form of their own there; a layer
//! of another form has another digest, and kraft and Port would keep one kernel twice.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use port_content::fs;

use super::PackageError;

/// Headers and data come in blocks of this size.
const BLOCK: u64 = 512;
/// What eleven octal digits hold.
const LARGEST: u64 = (1 << 33) - 1;

/// A file that becomes a layer.
#[derive(Debug)]
pub(super) struct LayerFile {
    path: PathBuf,
    file: File,
    size: u64,
    mode: u32,
}

impl LayerFile {
    /// Opens and looks at the file; nothing is read yet.
    pub(super) fn open(path: &Path) -> Result<Self, PackageError> {
        let (file, metadata) = fs::open_regular(path)?;
        let (size, mode) = (metadata.len(), metadata.permissions().mode() & 0o7777);
        let found = match size {
            0 => "an empty one",
            1..=LARGEST => return Ok(Self { path: path.to_owned(), file, size, mode }),
            _ => "a larger one",
        };
        let expected = "a file of 1 byte to 8 GiB";
        Err(PackageError::Layer { path: path.to_owned(), expected, found: found.to_owned() })
    }

    /// Which file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the archive; `name` is the absolute path that the file has in the package.
    pub(super) fn write(&self, name: &str, output: &mut dyn Write) -> io::Result<()> {
        output.write_all(&header(name.trim_start_matches('/'), self.mode, self.size)?)?;
        let copied = io::copy(&mut (&self.file).take(self.size), output)?;
        let more = (&self.file).read(&mut [0])?;
        if copied != self.size || more > 0 {
            return Err(io::Error::other("the file changed while it was read"));
        }
        let padding = self.size.next_multiple_of(BLOCK) - self.size;
        io::copy(&mut io::repeat(0).take(padding + 2 * BLOCK), output).map(|_| ())
    }
}

/// A POSIX ustar header (IEEE Std 1003.1, "pax", ustar Interchange Format) of a regular file without owner and time.
fn header(name: &str, mode: u32, size: u64) -> io::Result<Vec<u8>> {
    let mut header = Vec::with_capacity(512);
    let mut text = |value: &str, width: usize| {
        let mut field = value.as_bytes().to_vec();
        // A name may fill its field, but needs no more than that here.
        if field.len() > width {
            return Err(io::Error::other(format!("`{value}` is longer than {width} bytes")));
        }
        field.resize(width, 0);
        header.extend(field);
        Ok(())
    };
    text(name, 100)?;
    text(&format!("{mode:07o}"), 8)?;
    text("0000000", 8)?; // owner
    text("0000000", 8)?; // group
    text(&format!("{size:011o}"), 12)?;
    text("00000000000", 12)?; // time
    text("        ", 8)?; // the checksum counts itself as spaces
    text("0", 1)?; // regular file
    text("", 100)?; // target of a link
    text("ustar", 6)?;
    text("00", 2)?;
    text("", 32)?; // owner's name
    text("", 32)?; // group's name
    text("0000000", 8)?; // device
    text("0000000", 8)?;
    text("", 155 + 12)?;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let checksum = format!("{sum:06o}\0 ");
    header.splice(148..156, checksum.into_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use port_content::hashing::digest_of;

    fn layer(content: &[u8], mode: u32) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kernel");
        port_content::atomic::write(&path, content).unwrap();
        fs::set_mode(&path, mode).unwrap();
        let mut bytes = Vec::new();
        LayerFile::open(&path).unwrap().write("/unikraft/bin/kernel", &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn ku_5_a_layer_is_what_gos_archive_tar_writes() {
        // Made with Go's archive/tar: `Header{Name: "unikraft/bin/kernel", Mode: 0755, Size: 13}`.
        let bytes = layer(b"kernel bytes\n", 0o755);
        assert_eq!(bytes.len(), 512 + 512 + 1024);
        assert_eq!(
            digest_of(&bytes).to_string(),
            "sha256:e6c13d9424a7fcc9cb5981243ac0031f30da4ae475f7eddfdc7d84f90b0d0a48"
        );
        assert_eq!(layer(&[7; 512], 0o644).len(), 512 + 512 + 1024);
    }

    #[test]
    fn ku_5_readers_see_one_plain_file() {
        let bytes = layer(b"kernel bytes\n", 0o600);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries: Vec<_> = archive.entries().unwrap().map(Result::unwrap).collect();
        assert_eq!(entries.len(), 1);
        let header = entries[0].header();
        assert_eq!(entries[0].path().unwrap().to_str().unwrap(), "unikraft/bin/kernel");
        assert_eq!((header.mode().unwrap(), header.size().unwrap(), header.mtime().unwrap()), (0o600, 13, 0));
        assert_eq!(
            (header.uid().unwrap(), header.gid().unwrap(), header.username().unwrap()),
            (0, 0, Some(""))
        );
    }

    #[test]
    fn what_cannot_be_a_layer_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("empty");
        port_content::atomic::write(&path, b"").unwrap();
        let error = LayerFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("expected a file of 1 byte to 8 GiB, found an empty one"), "{error}");
        assert!(LayerFile::open(directory.path()).is_err());
        assert!(header(&"x".repeat(101), 0o644, 1).is_err());
    }
}
