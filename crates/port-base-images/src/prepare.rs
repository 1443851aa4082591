//! Making a bundle: both files into the store, a directory beside its place, one swap (acceptance S-15, S-18 … S-25, C-21).
//!
//! CRASH: a kill before the swap leaves the old bundle or none, and a download that the next try continues; one after it leaves
//! the new bundle, whose files are hashed once more when they are next used.

use port_content::atomic::{self, AtomicDir};
use port_content::{fs, hashing};
use port_layout::{Descriptor, media_types, native};
use port_model::{
    ArtifactClass, Bundle, Cmdline, Component, ComponentFormat, ComponentKind, FileName, ProtectionMode,
    Substrate, Variant,
};
use port_store::Blob;

use crate::artifact_name;
use crate::cache;
use crate::error::PrepareProblem;
use crate::manager::{BaseImageManager, blocking, store_name};
use crate::options::{Request, Scrutiny};
use crate::plan::{Plan, Wanted};
use crate::preset::RootfsType;
use crate::record::{BaseImage, PerFile, Source};
use crate::stored::ACCESS;

impl BaseImageManager {
    /// Makes the bundle. Whoever calls works on it alone. A failure removes the bundle's directory, unless what is there may be
    /// handed out.
    pub(crate) async fn prepare(&self, plan: &Plan, request: &Request) -> Result<BaseImage, PrepareProblem> {
        let made = self.make(plan, request).await;
        if made.is_err() {
            let (manager, directory) =
                (self.clone(), plan.bundle_id.directory(&self.options.cache_directory));
            blocking(move || {
                let good = BaseImage::read(&directory)
                    .is_some_and(|bundle| cache::check(&manager.store, &bundle, Scrutiny::Known).is_ok());
                if !good {
                    fs::remove_dir_all(&directory)?;
                }
                Ok(())
            })
            .await?;
        }
        made
    }

    async fn make(&self, plan: &Plan, request: &Request) -> Result<BaseImage, PrepareProblem> {
        let store = self.store.clone();
        let operation = blocking(move || Ok(store.operation()?)).await?;
        let kernel = self.bring(&plan.kernel, request).await?;
        let rootfs = self.bring(&plan.rootfs, request).await?;
        let (manager, plan) = (self.clone(), plan.clone());
        blocking(move || {
            // Its end waits for the disk's clock, so it ends here.
            let _operation = operation;
            manager.put_together(&plan, &kernel, &rootfs)
        })
        .await
    }

    fn put_together(&self, plan: &Plan, kernel: &Blob, rootfs: &Blob) -> Result<BaseImage, PrepareProblem> {
        let directory = plan.bundle_id.directory(&self.options.cache_directory);
        atomic::sweep_beside(&directory)?;
        let prepared = AtomicDir::create(&directory)?;
        let bundle = self.recorded(plan, kernel, rootfs)?;
        for (wanted, blob) in [(&plan.kernel, kernel), (&plan.rootfs, rootfs)] {
            self.store.share(&blob.digest, blob.size, &prepared.path().join(&wanted.file_name))?;
        }
        bundle.write(prepared.path())?;
        if !matches!(plan.source, Source::Registry { .. }) {
            self.name(plan, kernel, rootfs)?;
        }
        prepared.commit()?;
        // The same files again, at the place where they will be looked for, so that they are known there.
        self.store.share(&kernel.digest, kernel.size, &bundle.kernel_image_path)?;
        self.store.share(&rootfs.digest, rootfs.size, &bundle.rootfs_path)?;
        Ok(bundle)
    }

    fn recorded(&self, plan: &Plan, kernel: &Blob, rootfs: &Blob) -> Result<BaseImage, PrepareProblem> {
        let directory = plan.bundle_id.directory(&self.options.cache_directory);
        let path = |wanted: &Wanted| {
            let outside = PrepareProblem::Outside { label: wanted.label, name: wanted.file_name.clone() };
            artifact_name::inside(&directory, wanted.file_name.as_ref())
                .filter(|path| *path != directory)
                .ok_or(outside)
        };
        let now = self.now();
        Ok(BaseImage {
            preset: plan.preset,
            arch: plan.architecture,
            ci_version: plan.ci_version.clone(),
            firecracker_version: plan.firecracker_version.clone(),
            bundle_id: plan.bundle_id.clone(),
            kernel_image_path: path(&plan.kernel)?,
            rootfs_path: path(&plan.rootfs)?,
            bundle_dir: directory.clone(),
            rootfs_type: plan.rootfs_type,
            rootfs_is_read_only: plan.rootfs_is_read_only,
            boot_args: plan.boot_arguments.clone(),
            source: plan.source.clone(),
            checksums: PerFile {
                kernel: Some(kernel.digest.hex().to_owned()),
                rootfs: Some(rootfs.digest.hex().to_owned()),
            },
            sizes: PerFile { kernel: Some(kernel.size), rootfs: Some(rootfs.size) },
            created_at: now.clone(),
            last_accessed_at: now,
        })
    }

    /// Names both files in the store as a bundle of Port's own layout, so that they stay there while the bundle does, and can be
    /// published as they are.
    fn name(&self, plan: &Plan, kernel: &Blob, rootfs: &Blob) -> Result<(), PrepareProblem> {
        let encoded = native::encode(&described(plan, kernel, rootfs), hashing::digest_of);
        self.store.ingest_bytes("the description of a base image", &encoded.config)?;
        let manifest = self.store.ingest_bytes("the manifest of a base image", &encoded.manifest)?;
        let descriptor = Descriptor::new(media_types::OCI_MANIFEST, manifest.digest, manifest.size);
        Ok(self.store.tag(&store_name(plan.bundle_id.as_str()), descriptor)?)
    }
}

fn described(plan: &Plan, kernel: &Blob, rootfs: &Blob) -> Bundle {
    let format = match plan.rootfs_type {
        RootfsType::Ext4 => ComponentFormat::Ext4,
        RootfsType::Squashfs => ComponentFormat::Squashfs,
    };
    let kernel_format = match plan.architecture {
        port_model::Architecture::X86_64 => ComponentFormat::Vmlinux,
        port_model::Architecture::Aarch64 => ComponentFormat::Image,
    };
    let component = |kind, format, wanted: &Wanted, blob: &Blob| {
        let (size, digest) = (blob.size, blob.digest.clone());
        Some(Component { kind, format, file_name: file_name(wanted)?, size, digest })
    };
    Bundle {
        class: ArtifactClass::GuestImage,
        variant: Variant {
            architecture: plan.architecture,
            substrate: Substrate::Firecracker,
            protection_mode: ProtectionMode::Standard,
        },
        components: [
            component(ComponentKind::Rootfs, format, &plan.rootfs, rootfs),
            component(ComponentKind::Kernel, kernel_format, &plan.kernel, kernel),
        ]
        .into_iter()
        .flatten()
        .collect(),
        kernel: None,
        boot_arguments: Cmdline::parse(&plan.boot_arguments).ok(),
        provenance: Some(provenance(plan)),
    }
}

/// The file's name, or its role's where it is one that Port's layout does not take: hidden, or very long.
fn file_name(wanted: &Wanted) -> Option<FileName> {
    wanted.file_name.parse().or_else(|_| wanted.label.parse()).ok()
}

/// In words, of which [`crate::stored`] reads version and access back.
fn provenance(plan: &Plan) -> String {
    let version = &plan.firecracker_version;
    let access = ACCESS.get(usize::from(plan.rootfs_is_read_only)).copied().unwrap_or_default();
    match &plan.source {
        Source::FirecrackerCi { kernel_key, rootfs_key, .. } => {
            format!("firecracker-ci {version} {access}: {kernel_key}, {rootfs_key}")
        }
        Source::HostedManifest { .. } => format!("hosted manifest {version} {access}: {}", plan.bundle_id),
        Source::Registry { reference, .. } => format!("registry {version} {access}: {reference}"),
    }
}
