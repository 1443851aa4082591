//! Which keys of a CI line are its kernel and its root (acceptance S-49 … S-54). Pure: a list of keys goes in.

use std::cmp::Ordering;

use crate::natural;

/// Whether a key may be chosen at all, so that nobody has to keep the others.
pub(crate) fn is_candidate(key: &str) -> bool {
    kernel_version(key).is_some() || [".squashfs", ".ext4"].iter().any(|suffix| is_ubuntu(key, suffix))
}

/// The kernel with the highest version; of equal ones the last by text.
pub(crate) fn kernel(keys: &[String]) -> Option<&str> {
    let candidates = keys.iter().filter_map(|key| kernel_version(key).map(|version| (version, key.as_str())));
    let newest = candidates.max_by(|(left, left_key), (right, right_key)| {
        by_number(left, right).then_with(|| left_key.cmp(right_key))
    });
    newest.map(|(_, key)| key)
}

/// The last root by numeric-aware order: of the squashfs ones, and only without any of the ext4 ones.
pub(crate) fn rootfs(keys: &[String]) -> Option<&str> {
    let last = |suffix: &str| {
        let candidates = keys.iter().map(String::as_str).filter(|key| is_ubuntu(key, suffix));
        candidates.max_by(|left, right| natural::compare(left, right))
    };
    last(".squashfs").or_else(|| last(".ext4"))
}

/// The version of a key that ends in `/vmlinux-<d>.<d>.<d>` and is no debug build.
fn kernel_version(key: &str) -> Option<[&str; 3]> {
    if key.contains("/debug/") {
        return None;
    }
    let (_, name) = key.rsplit_once('/')?;
    let parts: Vec<&str> = name.strip_prefix("vmlinux-")?.split('.').collect();
    let parts: [&str; 3] = parts.try_into().ok()?;
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.iter().all(digits).then_some(parts)
}

fn by_number(left: &[&str; 3], right: &[&str; 3]) -> Ordering {
    let pairs = left.iter().zip(right);
    pairs
        .map(|(left, right)| natural::numbers(left, right))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Whether a key ends in `/ubuntu-<anything but a slash><suffix>`.
fn is_ubuntu(key: &str, suffix: &str) -> bool {
    let name = key.rsplit_once('/').and_then(|(_, name)| name.strip_prefix("ubuntu-"));
    name.and_then(|name| name.strip_suffix(suffix)).is_some_and(|version| !version.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("firecracker-ci/v1.15/x86_64/{name}")).collect()
    }

    fn check(choose: fn(&[String]) -> Option<&str>, names: &[&str], expected: Option<&str>) {
        let keys = keys(names);
        let expected = expected.map(|name| format!("firecracker-ci/v1.15/x86_64/{name}"));
        assert_eq!(choose(&keys), expected.as_deref(), "{names:?}");
    }

    #[test]
    fn s_49_su_9_only_plain_kernels_are_candidates() {
        for name in [
            "vmlinux-6.1.155.config",
            "vmlinux-6.1.155-no-acpi",
            "debug/vmlinux-6.1.155",
            "vmlinux-6.1",
            "vmlinux-6.1.155.1",
            "vmlinux-6.1.x",
            "vmlinux",
            "avmlinux-6.1.155",
            "vmlinux-6.1.155/",
            "ubuntu-24.04.id_rsa",
        ] {
            check(kernel, &[name], None);
        }
        check(kernel, &["vmlinux-6.1.155"], Some("vmlinux-6.1.155"));
        assert_eq!(kernel(&["vmlinux-6.1.1".to_owned()]), None, "a key without a slash is no candidate");
    }

    #[test]
    fn s_50_the_numerically_highest_kernel_wins_and_ties_break_by_text() {
        check(kernel, &["vmlinux-5.10.245", "vmlinux-6.1.99", "vmlinux-6.1.155"], Some("vmlinux-6.1.155"));
        check(kernel, &["vmlinux-10.0.0", "vmlinux-9.99.999"], Some("vmlinux-10.0.0"));
        check(
            kernel,
            &["vmlinux-6.1.18446744073709551617", "vmlinux-6.1.2"],
            Some("vmlinux-6.1.18446744073709551617"),
        );
        check(kernel, &["b/vmlinux-6.1.1", "a/vmlinux-6.1.1", "a/vmlinux-6.01.1"], Some("b/vmlinux-6.1.1"));
    }

    #[test]
    fn s_51_s_54_nothing_fits_nothing() {
        check(kernel, &[], None);
        check(rootfs, &[], None);
        check(
            rootfs,
            &["ubuntu-24.04.id_rsa", "debian-12.squashfs", "vmlinux-6.1.155", "ubuntu-.squashfs"],
            None,
        );
    }

    #[test]
    fn s_52_the_last_squashfs_by_natural_order_wins() {
        check(
            rootfs,
            &[
                "ubuntu-9.10.squashfs",
                "ubuntu-24.04.squashfs",
                "ubuntu-22.04.squashfs",
                "ubuntu-24.04.squashfs.manifest",
            ],
            Some("ubuntu-24.04.squashfs"),
        );
        check(rootfs, &["ubuntu-24.04/x.squashfs"], None);
    }

    #[test]
    fn s_53_ext4_only_without_squashfs() {
        check(rootfs, &["ubuntu-99.04.ext4", "ubuntu-18.04.squashfs"], Some("ubuntu-18.04.squashfs"));
        check(
            rootfs,
            &["ubuntu-18.04.ext4", "ubuntu-22.04.ext4", "ubuntu-9.04.ext4"],
            Some("ubuntu-22.04.ext4"),
        );
    }
}
