//! A tree as a tar stream: how owners, devices and attributes reach a tool that runs without root.
//!
//! Not an archive format that Port publishes. Extended attributes travel in PAX records (`SCHILY.xattr.`).

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use crate::content::Source;
use crate::error::ImageError;
use crate::tree::{Entry, Kind, Tree, TreePath};

/// Writes all entries but the root, whose attributes a tar stream cannot carry to every reader.
pub(crate) fn write(tree: &Tree, output: &mut dyn Write) -> io::Result<()> {
    let mut builder = Builder::new(output);
    for (path, entry) in tree.iter().filter(|(path, _)| !path.is_root()) {
        append(&mut builder, path, entry)?;
    }
    builder.finish()
}

fn append(builder: &mut Builder<&mut dyn Write>, path: &TreePath, entry: &Entry) -> io::Result<()> {
    let attributes = &entry.attributes;
    let xattrs: Vec<_> =
        attributes.xattrs.iter().map(|(name, value)| (format!("SCHILY.xattr.{name}"), value)).collect();
    if !xattrs.is_empty() {
        builder
            .append_pax_extensions(xattrs.iter().map(|(name, value)| (name.as_str(), value.as_slice())))?;
    }
    let mut header = Header::new_gnu();
    header.set_mode(attributes.mode);
    header.set_uid(attributes.uid.into());
    header.set_gid(attributes.gid.into());
    // The caller refused times that a tar header cannot hold.
    header.set_mtime(attributes.mtime.try_into().unwrap_or_default());
    header.set_size(0);
    let name = Path::new(OsStr::from_bytes(path.relative()));
    match &entry.kind {
        Kind::Directory => header.set_entry_type(EntryType::Directory),
        Kind::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            return builder.append_link(&mut header, name, Path::new(OsStr::from_bytes(target)));
        }
        Kind::File(content) => {
            let source = Source::open(content).map_err(io::Error::other)?;
            header.set_size(source.size());
            builder.append_data(&mut header, name, source.reader())?;
            return source.assert_unchanged(source.stamp()).map_err(io::Error::other);
        }
        Kind::BlockDevice { major, minor } => set_device(&mut header, EntryType::Block, *major, *minor)?,
        Kind::CharDevice { major, minor } => set_device(&mut header, EntryType::Char, *major, *minor)?,
        Kind::Fifo => header.set_entry_type(EntryType::Fifo),
    }
    builder.append_data(&mut header, name, io::empty())
}

fn set_device(header: &mut Header, kind: EntryType, major: u32, minor: u32) -> io::Result<()> {
    header.set_entry_type(kind);
    header.set_device_major(major)?;
    header.set_device_minor(minor)
}

/// The first entry, if any, that a tool fed this way would not keep as it is.
pub(crate) fn refuse_times(format: &'static str, tree: &Tree) -> Result<(), ImageError> {
    let fits = |entry: &Entry| u32::try_from(entry.attributes.mtime).is_ok();
    match tree.iter().find(|(_, entry)| !fits(entry)) {
        None => Ok(()),
        Some((path, entry)) => {
            let reason = format!("its time {} does not fit 32 bits", entry.attributes.mtime);
            Err(ImageError::NotRepresentable { format, path: path.clone(), reason })
        }
    }
}
