//! The bytes that are moved: a file that nothing can compress, as it is and as a layer of an OCI layout.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::client::make;
use crate::failure::{Failure, Outcome};
use crate::{demo, process, workspace};

const BLOCK: usize = 1 << 20;
const CONFIG: &str = "{}";
/// Of [`CONFIG`].
pub(super) const CONFIG_DIGEST: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// A file and its name.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    path: PathBuf,
    pub(super) size: u64,
    digest: String,
}

impl Sample {
    /// Random bytes.
    pub(super) fn create(path: &Path, size: u64) -> Outcome<Self> {
        let random = Path::new("/dev/urandom");
        let source = File::open(random).map_err(|error| Failure::io("read", random, &error))?;
        let mut file = File::create(path).map_err(|error| Failure::io("create", path, &error))?;
        let mut source = BufReader::with_capacity(BLOCK, source).take(size);
        std::io::copy(&mut source, &mut file).map_err(|error| Failure::io("write", path, &error))?;
        Ok(Self { path: path.to_owned(), size, digest: demo::sha256(path)? })
    }

    /// A file that is there already.
    pub(super) fn of(path: &Path) -> Outcome<Self> {
        let size = std::fs::metadata(path).map_err(|error| Failure::io("look at", path, &error))?.len();
        Ok(Self { path: path.to_owned(), size, digest: demo::sha256(path)? })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it another name, instead of what has that name. Nobody writes to it: every client makes files of its own.
    pub(super) fn link(&self, path: &Path) -> Outcome {
        if let Some(parent) = path.parent() {
            make(parent)?;
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::io("remove", path, &error));
            }
            _ => {}
        }
        std::fs::hard_link(&self.path, path).map_err(|error| Failure::io("create", path, &error))
    }

    /// Its SHA-256 in hexadecimal.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// Where an OCI layout has it.
    pub(super) fn blob_path(&self) -> PathBuf {
        Path::new("blobs/sha256").join(&self.digest)
    }

    /// An OCI layout with it as the only layer of `v1`.
    pub(super) fn write_layout(&self, directory: &Path) -> Outcome {
        let blobs = directory.join("blobs/sha256");
        make(&blobs)?;
        self.link(&directory.join(self.blob_path()))?;
        workspace::write_text(&blobs.join(CONFIG_DIGEST), CONFIG)?;
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": format!("sha256:{CONFIG_DIGEST}"),
                "size": CONFIG.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": format!("sha256:{}", self.digest),
                "size": self.size,
            }],
        })
        .to_string();
        let unnamed = blobs.join("manifest");
        workspace::write_text(&unnamed, &manifest)?;
        let digest = demo::sha256(&unnamed)?;
        let named = blobs.join(&digest);
        std::fs::rename(&unnamed, &named).map_err(|error| Failure::io("create", &named, &error))?;
        let index = serde_json::json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": format!("sha256:{digest}"),
                "size": manifest.len(),
                "annotations": { "org.opencontainers.image.ref.name": "v1" },
            }],
        });
        workspace::write_text(&directory.join("index.json"), &index.to_string())?;
        workspace::write_text(&directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
    }

    /// Whether the file at `path` has the same bytes.
    pub(super) fn expect_at(&self, path: &Path) -> Outcome {
        process::read(process::program("cmp").arg(&self.path).arg(path)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::client::remove;

    #[test]
    fn a_layout_names_the_sample_and_other_bytes_are_noticed() {
        let directory = std::env::temp_dir().join(format!("port-xtask-sample-{}", std::process::id()));
        make(&directory).unwrap();
        let sample = Sample::create(&directory.join("sample"), 100_000).unwrap();
        sample.write_layout(&directory.join("layout")).unwrap();
        sample.expect_at(&directory.join("layout").join(sample.blob_path())).unwrap();
        let config = directory.join("layout/blobs/sha256").join(CONFIG_DIGEST);
        assert_eq!(demo::sha256(&config).unwrap(), CONFIG_DIGEST);
        assert!(sample.expect_at(&config).is_err());
        remove(&directory).unwrap();
    }
}
