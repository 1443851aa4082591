//! The boot arguments of a bundle that brings none of its own.

use port_model::Architecture;

use crate::preset::RootfsType;

/// In every bundle, in this order (acceptance S-58).
const BASE: &str = "console=ttyS0 reboot=k panic=1 pci=off";

/// What a bundle of this architecture boots with from such a root.
pub fn boot_arguments(architecture: Architecture, rootfs_type: RootfsType) -> String {
    let before = match architecture {
        Architecture::Aarch64 => "keep_bootcon ",
        Architecture::X86_64 => "",
    };
    let after = match rootfs_type {
        RootfsType::Squashfs => " ro rootfstype=squashfs",
        RootfsType::Ext4 => "",
    };
    format!("{before}{BASE}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s_58_s_59_s_60_boot_arguments_follow_architecture_and_root() {
        use Architecture::{Aarch64, X86_64};
        for (architecture, rootfs_type, expected) in [
            (X86_64, RootfsType::Ext4, "console=ttyS0 reboot=k panic=1 pci=off"),
            (X86_64, RootfsType::Squashfs, "console=ttyS0 reboot=k panic=1 pci=off ro rootfstype=squashfs"),
            (Aarch64, RootfsType::Ext4, "keep_bootcon console=ttyS0 reboot=k panic=1 pci=off"),
            (
                Aarch64,
                RootfsType::Squashfs,
                "keep_bootcon console=ttyS0 reboot=k panic=1 pci=off ro rootfstype=squashfs",
            ),
        ] {
            assert_eq!(boot_arguments(architecture, rootfs_type), expected);
        }
    }
}
