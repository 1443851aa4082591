//! The images that are moved: real systems of Debian packages, written by Port's own builders.
//!
//! ```text
//! packages, old versions ─► tree ─┬─────────────────────────────► v1.ext4, v1.erofs
//!                                 └─ one program, one line ─────► vt.ext4
//! packages, new versions ─► tree ───────────────────────────────► v2.ext4, v2.erofs
//! ```

use std::path::{Path, PathBuf};

use super::packages::{self, Package};
use super::tree::{self, Replaced};
use crate::agent::Agents;
use crate::bench::client::{make, remove};
use crate::bench::sample::Sample;
use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

/// The size of the ext4 images.
const MEBIBYTES: u64 = 1024;
/// UUID and hash seed come from it: versions of one artifact have the same.
const ARTIFACT: &str = "image";
/// A line more in a file of settings.
const SETTINGS: &str = "etc/nginx/nginx.conf";
/// The changed program is the one of about this size.
const PROGRAM_BYTES: u64 = 4_000_000;

/// A new version beside the one before it.
pub(super) struct Pair {
    pub(super) name: &'static str,
    pub(super) old: Sample,
    pub(super) new: Sample,
    /// What `zstd -3` makes of each.
    pub(super) old_compressed: u64,
    pub(super) new_compressed: u64,
}

/// What the images are made of.
pub(super) struct Facts {
    pub(super) packages: Vec<Package>,
    pub(super) files: u64,
    pub(super) file_bytes: u64,
    /// What of v1.ext4 is not a hole.
    pub(super) allocated: u64,
    pub(super) changed: Replaced,
}

/// All images.
pub(super) struct Images {
    pub(super) facts: Facts,
    pub(super) update: Pair,
    pub(super) program: Pair,
    pub(super) erofs: Pair,
    /// The tree of v1.
    pub(super) tree: PathBuf,
}

/// Builds images with Port.
pub(super) struct Builder<'a> {
    pub(super) port: &'a Path,
    pub(super) agents: &'a Agents,
    pub(super) directory: &'a Path,
}

impl Builder<'_> {
    /// Everything; what was downloaded before is taken from `cache`.
    pub(super) fn images(&self, cache: &Path) -> Outcome<Images> {
        let packages = packages::resolve(cache)?;
        let versions = |of: fn(&Package) -> &str| -> Vec<(&str, &str)> {
            packages.iter().map(|package| (package.name.as_str(), of(package))).collect()
        };
        let [old, new, one] = ["v1", "v2", "vt"].map(|name| self.directory.join("trees").join(name));
        packages::unpack(&versions(|package| &package.old), cache, &old)?;
        packages::unpack(&versions(|package| &package.new), cache, &new)?;
        let changed = tree::with_one_program(&old, &new, &one, PROGRAM_BYTES, SETTINGS)?;
        let (files, file_bytes) = tree::count(&old)?;
        let ext4 = |name, tree| self.image(name, "ext4", Some(MEBIBYTES), tree);
        let erofs = |name, tree| self.image(name, "erofs", None, tree);
        let v1 = self.measured(&ext4("v1-ext4", &old)?)?;
        let allocated = tree::allocated(v1.0.path())?;
        let update = pair("v2", v1.clone(), self.measured(&ext4("v2-ext4", &new)?)?);
        let program = pair("vt", v1, self.measured(&ext4("vt-ext4", &one)?)?);
        let old_erofs = self.measured(&erofs("v1-erofs", &old)?)?;
        let erofs = pair("erofs", old_erofs, self.measured(&erofs("v2-erofs", &new)?)?);
        for tree in [&new, &one] {
            remove(tree)?;
        }
        let facts = Facts { packages, files, file_bytes, allocated, changed };
        Ok(Images { facts, update, program, erofs, tree: old })
    }

    /// An image of `tree`.
    pub(super) fn image(&self, name: &str, format: &str, size: Option<u64>, tree: &Path) -> Outcome<PathBuf> {
        let project = self.directory.join("images").join(name);
        remove(&project)?;
        workspace::write_text(&project.join("port.toml"), &configuration(format, size, tree))?;
        let mut command = process::program(self.port);
        // A variant that ships no initrd.
        command.args(["artifacts", "build", "--artifact", ARTIFACT, "--substrate", "qemu"]);
        command.current_dir(&project);
        process::read(command.envs(self.agents.variables()))?;
        println!("image: {name}");
        Ok(project.join("rootfs.img"))
    }

    /// An image, and what `zstd -3` makes of it.
    fn measured(&self, image: &Path) -> Outcome<(Sample, u64)> {
        Ok((Sample::of(image)?, self.compressed(image)?))
    }

    fn compressed(&self, image: &Path) -> Outcome<u64> {
        let output = self.directory.join("compressed");
        make(self.directory)?;
        process::read(process::program("zstd").args(["-3", "-q", "-f", "-o"]).arg(&output).arg(image))?;
        let size = std::fs::metadata(&output).map_err(|error| Failure::io("look at", &output, &error))?.len();
        std::fs::remove_file(&output).map_err(|error| Failure::io("remove", &output, &error))?;
        Ok(size)
    }
}

fn pair(name: &'static str, old: (Sample, u64), new: (Sample, u64)) -> Pair {
    let ((old, old_compressed), (new, new_compressed)) = (old, new);
    Pair { name, old, new, old_compressed, new_compressed }
}

impl Facts {
    /// The packages whose versions differ.
    pub(super) fn updated(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.old != package.new)
    }
}

fn configuration(format: &str, size: Option<u64>, tree: &Path) -> String {
    let size = size.map(|mebibytes| format!(", size_mib = {mebibytes}")).unwrap_or_default();
    format!(
        r#"[artifacts.guest_images.{ARTIFACT}]
reference = {{ registry = "benchmark", repository = "benchmark/{ARTIFACT}", version = "v1" }}
recipe = {{ format = "{format}"{size}, directory = {:?} }}

[[artifacts.guest_images.{ARTIFACT}.variants]]
path = "rootfs.img"
selector = {{ architecture = "native", substrate = "qemu", protection_mode = "standard" }}
"#,
        tree.display().to_string()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_toml_and_names_size_and_tree() {
        let text = configuration("ext4", Some(1024), Path::new("/a \"b\""));
        let table: toml::Table = text.parse().unwrap();
        let recipe = &table["artifacts"]["guest_images"][ARTIFACT]["recipe"];
        assert_eq!(recipe["size_mib"].as_integer(), Some(1024));
        assert_eq!(recipe["directory"].as_str(), Some("/a \"b\""));
        assert!(!configuration("erofs", None, Path::new("/a")).contains("size_mib"));
    }
}
