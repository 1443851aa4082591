//! The packages behind `linux-image-cloud-amd64` (LZ4) and `linux-image-amd64` (XZ with the x86 filter).

use std::path::{Path, PathBuf};
use std::process::Command;

use port_content::fs;
use port_kernel::{
    Compression, Deb, Feature, KernelError, KernelPackage, Need, Wanted, elf, facts, open_kernel_package,
};
use port_model::Architecture;

/// A folder that stays between runs, so that a package is fetched once.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian")
}

fn find(package: &str) -> Option<PathBuf> {
    let prefix = format!("{package}_");
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(&prefix) && name.ends_with("amd64.deb")
    };
    fs::read_dir(&folder()).ok()?.into_iter().find(is_it)
}

/// The package's file, fetched if it is not there yet; `None` with words where it cannot be.
fn download(package: &str) -> Option<PathBuf> {
    fs::create_dir_all(&folder()).unwrap();
    if find(package).is_none() {
        let output = Command::new("apt-get")
            .args(["download", &format!("{package}:amd64")])
            .current_dir(folder())
            .output();
        match output {
            Err(error) => println!("skipped: apt-get does not run: {error}"),
            Ok(output) if !output.status.success() => {
                println!("skipped: apt-get download {package}: {}", String::from_utf8_lossy(&output.stderr));
            }
            Ok(_) => {}
        }
    }
    find(package)
}

/// The kernel package that a meta package stands for.
fn follow(meta: &str) -> Option<PathBuf> {
    let path = download(meta)?;
    let control = Deb::open(&path).unwrap().control().unwrap();
    let kernel = control.kernel_dependency().unwrap().package.clone();
    let error = open_kernel_package(&path).unwrap_err();
    assert!(matches!(&error, KernelError::NoKernel { follow: Some(name), .. } if *name == kernel), "{error}");
    download(&kernel)
}

fn wanted() -> Vec<Wanted> {
    use Feature::{
        Erofs, Ext4, NineP, Overlay, Squashfs, VirtioBlk, VirtioConsole, VirtioFs, VirtioMmio, VirtioNet,
    };
    use Feature::{VirtioPci, VirtioRng, Vsock};
    let required = [
        VirtioMmio,
        VirtioPci,
        VirtioBlk,
        VirtioConsole,
        VirtioNet,
        VirtioRng,
        Ext4,
        Squashfs,
        Erofs,
        Overlay,
        Vsock,
    ];
    let optional = [NineP, VirtioFs].map(|feature| Wanted::feature(feature, Need::Optional));
    required.map(|feature| Wanted::feature(feature, Need::Required)).into_iter().chain(optional).collect()
}

/// Writes the kernel, and checks what came out by every other reader of the crate.
fn check_kernel(package: &KernelPackage, compression: Compression) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vmlinux");
    let prepared = package.write_kernel(&mut fs::create_new(&path).unwrap()).unwrap();
    assert_eq!(prepared.compression, compression);
    assert_eq!(prepared.release.as_deref(), Some(package.release()));
    let facts = elf::check(&path, Architecture::X86_64).unwrap();
    assert_eq!(Some(&facts), prepared.elf.as_ref());
    assert!(facts.pvh_entry.is_some(), "Debian builds its kernels with a PVH entry");
    assert_eq!(facts::scan(&path).unwrap().banner.unwrap().text, prepared.banner.unwrap());
    assert!(package.config().unwrap().is_built_in("CONFIG_PVH"));
}

/// Reads the modules, and checks that each one's needs load before it, by the modules' own words.
fn check_modules(package: &KernelPackage) -> Vec<String> {
    let plan = package.modules(&wanted());
    plan.check().unwrap();
    // The cloud kernel is built without 9P.
    assert!(plan.missing.iter().all(|missing| missing.wanted == "9p"), "{:?}", plan.missing);
    let modules = package.read_modules(&plan).unwrap();
    let mut loaded: Vec<&str> = Vec::new();
    for (name, bytes) in &modules {
        let info = port_kernel::modinfo::ModuleInfo::parse(bytes, name).unwrap();
        for needed in info.depends.iter().filter(|needed| plan.names().contains(needed)) {
            assert!(loaded.contains(&needed.as_str()), "{name} loads before {needed}");
        }
        loaded.push(name);
    }
    let position = |name: &str| loaded.iter().position(|loaded| *loaded == name).unwrap();
    assert!(position("virtio_ring") < position("virtio"));
    plan.names()
}

#[test]
fn the_cloud_kernel_unpacks_and_its_modules_are_in_order() {
    let Some(path) = follow("linux-image-cloud-amd64") else { return };
    let package = open_kernel_package(&path).unwrap();
    check_kernel(&package, Compression::Lz4);
    let names = check_modules(&package);
    assert!(!names.contains(&"ext4".to_owned()), "ext4 is built in: {names:?}");
    assert!(!names.iter().any(|name| name.starts_with("crc32c")), "crc32c is built in: {names:?}");
}

#[test]
fn the_full_kernel_unpacks_and_its_modules_are_in_order() {
    let Some(path) = follow("linux-image-amd64") else { return };
    let package = open_kernel_package(&path).unwrap();
    check_kernel(&package, Compression::Xz);
    let names = check_modules(&package);
    let position = |name: &str| names.iter().position(|loaded| loaded == name);
    assert!(
        position("crc32c_generic") < position("libcrc32c"),
        "libcrc32c cannot start without crc32c: {names:?}"
    );
    assert!(position("crc32c_generic").is_some());
}
