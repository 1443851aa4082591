//! What Firecracker's exit code does not say: that KVM gave its guest up.
//!
//! Where a virtual processor cannot go on, one of Firecracker's threads says so and another one ends the process, with 0 or 1,
//! whichever comes first (seen with 1.17). Its log has the reason either way.

use std::path::Path;

use port_content::fs;

/// Firecracker's log in a machine's directory.
const LOG: &str = "vmm.log";
/// It says little; a guest cannot make it say more than a line for each device that it misuses.
const LONGEST: u64 = 1 << 20;
/// What stands in its log only where a guest could not be run any further.
const SIGNS: [&str; 3] = ["KVM_EXIT_INTERNAL_ERROR", "KVM_EXIT_FAIL_ENTRY", "Unexpected exit reason"];

/// Why KVM gave the guest up, if it did.
pub(super) fn given_up(run_directory: &Path) -> Option<String> {
    // No log is no sign.
    let bytes = fs::read(&run_directory.join(LOG), LONGEST).ok()?;
    reason(&String::from_utf8_lossy(&bytes))
}

fn reason(log: &str) -> Option<String> {
    let line = log.lines().find(|line| SIGNS.iter().any(|sign| line.contains(sign)))?;
    let said = line.split_once("] ").map_or(line, |(_, said)| said);
    Some(said.chars().filter(|letter| !letter.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ku_32_a_guest_that_kvm_gave_up_is_told_from_one_that_ended() {
        let good = "2026-11-20T17:36:45.872876581 [anonymous-instance:fc_vcpu 0] Received a VcpuEvent::Resume message with immediate_exit enabled. immediate_exit was disabled before proceeding\n";
        assert_eq!(reason(good), None);
        let bad = format!(
            "{good}2026-11-20T17:36:45.874142800 [anonymous-instance:fc_vcpu 0] Received KVM_EXIT_INTERNAL_ERROR signal\n"
        );
        assert_eq!(reason(&bad).as_deref(), Some("Received KVM_EXIT_INTERNAL_ERROR signal"));
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(given_up(directory.path()), None);
        port_content::atomic::write(&directory.path().join(LOG), bad.as_bytes()).unwrap();
        assert!(given_up(directory.path()).is_some());
    }
}
