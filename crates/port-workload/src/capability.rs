//! The names of Linux capabilities (acceptance V-26, Vu-18), as of Linux 6.x; `CAP_` may be left out, case does not matter.

use port_model::suggest;

/// Every capability, in the order of its number.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// What a container keeps of root's rights where nobody says: enough to own files, to drop rights and to serve.
pub const OF_A_CONTAINER: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// What a booted container keeps besides: its init mounts, makes devices and sets limits, in its own namespaces.
pub const OF_AN_INIT: [&str; 14] = [
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_WRITE",
    "CAP_DAC_READ_SEARCH",
    "CAP_IPC_OWNER",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TTY_CONFIG",
];

/// The full name of the capability that `text` names. The error completes a finding.
pub fn parse(text: &str) -> Result<&'static str, String> {
    let upper = text.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    CAPABILITIES.iter().find(|known| **known == full).copied().ok_or_else(|| {
        let nearest = suggest::did_you_mean(&full, &CAPABILITIES);
        format!("expected the name of a Linux capability as `NET_ADMIN` or `CAP_NET_ADMIN`, found `{text}`{nearest}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_26_vu_18_capabilities_by_every_spelling() {
        for text in ["CAP_NET_ADMIN", "NET_ADMIN", "net_admin", "Cap_Net_Admin"] {
            assert_eq!(parse(text), Ok("CAP_NET_ADMIN"), "{text}");
        }
        for name in OF_A_CONTAINER.iter().chain(&OF_AN_INIT) {
            assert_eq!(parse(name), Ok(*name));
        }
        assert!(parse("CAP_NET_ADMN").unwrap_err().contains("did you mean `CAP_NET_ADMIN`?"));
        for bad in ["", "CAP_", "CAP_CAP_NET_ADMIN", "ALL", "NET-ADMIN"] {
            assert!(parse(bad).unwrap_err().contains(&format!("found `{bad}`")), "{bad}");
        }
    }
}
