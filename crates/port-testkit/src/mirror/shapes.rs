//! The keys that surround a pair in the real bucket: configurations, builds without ACPI, debug builds, older versions, SSH keys,
//! and so many others that a listing has several pages.

/// Keys below a CI line's prefix, none of which is to be chosen beside `vmlinux-6.1.155` and `ubuntu-24.04.squashfs`.
pub fn bucket_keys(prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for version in ["5.10.245", "6.1.9", "6.1.99", "6.1.155"] {
        names.extend([
            format!("debug/vmlinux-{version}"),
            format!("debug/vmlinux-{version}.config"),
            format!("vmlinux-{version}-no-acpi"),
            format!("vmlinux-{version}-no-acpi.config"),
            format!("vmlinux-{version}.config"),
        ]);
        if version != "6.1.155" {
            names.push(format!("vmlinux-{version}"));
        }
    }
    for version in ["9.10", "18.04", "22.04", "24.04"] {
        names.extend([format!("ubuntu-{version}.id_rsa"), format!("ubuntu-{version}.squashfs.manifest")]);
        if version != "24.04" {
            names.push(format!("ubuntu-{version}.squashfs"));
        }
        names.push(format!("ubuntu-{version}.ext4"));
    }
    names.extend(
        ["debug/vmlinux-99.0.0", "vmlinux-99.1", "initramfs.cpio", "a & b <c> \"d\" 'e'.txt"]
            .map(str::to_owned),
    );
    // What sorts before and behind, so that kernel and root are on different pages.
    names.extend((0..1200).map(|number| format!("artifacts/build-{number:05}/log&amp;.txt")));
    names.extend((0..1200).map(|number| format!("uploads/part-{number:05}")));
    names.into_iter().map(|name| format!("{prefix}{name}")).collect()
}
