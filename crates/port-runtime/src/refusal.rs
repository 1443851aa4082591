//! Which variants this host can run at all, and why not the others. Pure: facts in, words out.
//!
//! Nothing falls back: a variant that cannot run here is refused, never replaced by a similar one
//! (acceptance P-82).

use port_model::{Architecture, ProtectionMode, Substrate, Variant};

/// What decides whether a variant can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFacts {
    /// The host's architecture.
    pub architecture: Architecture,
    /// Which system the host runs.
    pub system: HostSystem,
    /// Whether KVM really runs guests.
    pub kvm_works: bool,
    /// Whether there is a QEMU for the variant's architecture.
    pub has_qemu: bool,
    /// Whether `firecracker` was found.
    pub has_firecracker: bool,
    /// Whether `cloud-hypervisor` was found.
    pub has_cloud_hypervisor: bool,
    /// What there is of the PVM host kit.
    pub pvm: PvmHostKit,
}

/// The host's operating system, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostSystem {
    /// Linux.
    Linux,
    /// macOS.
    Macos,
    /// Anything else.
    Other,
}

/// The parts of the PVM host kit, all needed (acceptance Pu-46).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PvmHostKit {
    /// The host runs a kernel that can host PVM guests.
    pub host_kernel: bool,
    /// The host was booted with `pti=off`.
    pub pti_off: bool,
    /// The patched Firecracker was found.
    pub patched_firecracker: bool,
}

/// How a variant that can run will run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runnable {
    /// At full speed.
    Native,
    /// Emulated, for the reason given.
    Emulated(String),
}

/// A variant that this host cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot run `{variant}` on this host: {}", reasons.join("; "))]
pub struct WhyNot {
    /// What was asked for.
    pub variant: Variant,
    /// Everything that is in the way.
    pub reasons: Vec<String>,
}

/// Whether `variant` can run on a host with `facts`.
///
/// # Errors
/// [`WhyNot`] with everything that is in the way, so that one look suffices.
pub fn can_run(variant: Variant, facts: &RunFacts) -> Result<Runnable, WhyNot> {
    let reasons = match variant.protection_mode {
        ProtectionMode::Pvm => pvm_reasons(variant, facts),
        ProtectionMode::Standard => standard_reasons(variant, facts),
    };
    if !reasons.is_empty() {
        return Err(WhyNot { variant, reasons });
    }
    if variant.substrate == Substrate::Qemu {
        let (guest, host) = (variant.architecture, facts.architecture);
        if guest != host {
            return Ok(Runnable::Emulated(format!("an {guest} guest on an {host} host is emulated: slower")));
        }
        if !facts.kvm_works {
            return Ok(Runnable::Emulated(
                "KVM does not run guests here: emulated, which is slower".to_owned(),
            ));
        }
    }
    Ok(Runnable::Native)
}

fn standard_reasons(variant: Variant, facts: &RunFacts) -> Vec<String> {
    match variant.substrate {
        Substrate::Qemu if facts.has_qemu => Vec::new(),
        Substrate::Qemu => {
            let program = crate::qemu::program_name(variant.architecture);
            let package = crate::qemu::debian_package(variant.architecture);
            vec![format!("`{program}` was not found (Debian package `{package}`)")]
        }
        Substrate::Firecracker => vmm_reasons(variant, facts, "firecracker", facts.has_firecracker),
        Substrate::CloudHypervisor => {
            vmm_reasons(variant, facts, "cloud-hypervisor", facts.has_cloud_hypervisor)
        }
        Substrate::Avf => avf_reasons(facts),
    }
}

/// VMMs that have no emulation of their own (acceptance Pu-13).
fn vmm_reasons(variant: Variant, facts: &RunFacts, program: &str, is_found: bool) -> Vec<String> {
    let mut reasons = Vec::new();
    if facts.system != HostSystem::Linux {
        reasons.push(format!("{program} needs a Linux host"));
    }
    if variant.architecture != facts.architecture {
        reasons
            .push(format!("{program} runs only guests of the host's architecture, {}", facts.architecture));
    }
    if !is_found {
        reasons.push(format!("`{program}` was not found"));
    }
    if !facts.kvm_works {
        reasons.push(format!("{program} needs a KVM that runs guests, and this host has none"));
    }
    reasons
}

fn avf_reasons(facts: &RunFacts) -> Vec<String> {
    match facts.system {
        HostSystem::Macos => vec!["this build has no driver for Apple's Virtualization framework".to_owned()],
        HostSystem::Linux | HostSystem::Other => {
            vec!["Apple's Virtualization framework needs a macOS host".to_owned()]
        }
    }
}

/// The host kit is the gate. That `/dev/kvm` is missing or does not work is none (acceptance Pu-47).
fn pvm_reasons(variant: Variant, facts: &RunFacts) -> Vec<String> {
    if variant.substrate != Substrate::Firecracker {
        return vec!["PVM exists only for Firecracker".to_owned()];
    }
    if variant.architecture == Architecture::Aarch64 {
        return vec!["PVM on aarch64 is research only: there is no host kernel for it".to_owned()];
    }
    let gates = [
        (facts.system == HostSystem::Linux, "PVM needs a Linux host"),
        (facts.architecture == Architecture::X86_64, "PVM needs an x86_64 host"),
        (facts.pvm.host_kernel, "the host's kernel cannot host PVM guests (no `kvm_pvm`)"),
        (facts.pvm.pti_off, "the host was not booted with `pti=off`"),
        (
            facts.pvm.patched_firecracker,
            "the patched Firecracker was not found (`firecracker-pvm`, or the path in `PORT_PVM_FIRECRACKER_BINARY`)",
        ),
    ];
    gates.iter().filter(|(is_open, _)| !is_open).map(|(_, reason)| (*reason).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> RunFacts {
        RunFacts {
            architecture: Architecture::X86_64,
            system: HostSystem::Linux,
            kvm_works: true,
            has_qemu: true,
            has_firecracker: true,
            has_cloud_hypervisor: true,
            pvm: PvmHostKit { host_kernel: true, pti_off: true, patched_firecracker: true },
        }
    }

    fn nothing() -> RunFacts {
        RunFacts {
            kvm_works: false,
            has_qemu: false,
            has_firecracker: false,
            has_cloud_hypervisor: false,
            pvm: PvmHostKit::default(),
            ..everything()
        }
    }

    fn outcome(variant: &str, facts: &RunFacts) -> String {
        let mut words = variant.split('/');
        let mut next = || words.next().unwrap();
        let variant = Variant::new(next().parse().unwrap(), next().parse().unwrap(), next().parse().unwrap());
        match can_run(variant, facts) {
            Ok(Runnable::Native) => "native".to_owned(),
            Ok(Runnable::Emulated(reason)) => reason,
            Err(why) => why.reasons.join("; "),
        }
    }

    #[test]
    fn pu_13_substrates_say_what_they_need() {
        let macos = RunFacts { system: HostSystem::Macos, ..everything() };
        let cases = [
            ("x86_64/firecracker/standard", everything(), "native"),
            ("x86_64/cloud-hypervisor/standard", everything(), "native"),
            ("x86_64/qemu/standard", everything(), "native"),
            ("x86_64/avf/standard", everything(), "Apple's Virtualization framework needs a macOS host"),
            (
                "x86_64/avf/standard",
                macos.clone(),
                "this build has no driver for Apple's Virtualization framework",
            ),
            ("x86_64/firecracker/standard", macos, "firecracker needs a Linux host"),
            (
                "aarch64/firecracker/standard",
                everything(),
                "firecracker runs only guests of the host's architecture, x86_64",
            ),
            (
                "x86_64/cloud-hypervisor/standard",
                nothing(),
                "`cloud-hypervisor` was not found; cloud-hypervisor needs a KVM that runs guests, and this host has none",
            ),
        ];
        for (variant, facts, expected) in cases {
            assert_eq!(outcome(variant, &facts), expected, "{variant}");
        }
    }

    #[test]
    fn another_architecture_is_emulated_and_says_so() {
        let expected = "an aarch64 guest on an x86_64 host is emulated: slower";
        assert_eq!(outcome("aarch64/qemu/standard", &everything()), expected);
        let missing = RunFacts { has_qemu: false, ..everything() };
        let expected = "`qemu-system-aarch64` was not found (Debian package `qemu-system-arm`)";
        assert_eq!(outcome("aarch64/qemu/standard", &missing), expected);
        let expected = "KVM does not run guests here: emulated, which is slower";
        assert_eq!(outcome("x86_64/qemu/standard", &RunFacts { kvm_works: false, ..everything() }), expected);
    }

    #[test]
    fn pu_46_pu_47_the_host_kit_gates_pvm_and_kvm_does_not() {
        let without_kvm = RunFacts { kvm_works: false, ..everything() };
        assert_eq!(outcome("x86_64/firecracker/pvm", &without_kvm), "native");
        let found = outcome("x86_64/firecracker/pvm", &nothing());
        for part in ["kvm_pvm", "pti=off", "firecracker-pvm"] {
            assert!(found.contains(part), "{found}");
        }
        assert_eq!(outcome("x86_64/qemu/pvm", &everything()), "PVM exists only for Firecracker");
    }

    #[test]
    fn p_29_p_84_aarch64_pvm_is_research_only() {
        let facts = RunFacts { architecture: Architecture::Aarch64, ..everything() };
        let found = outcome("aarch64/firecracker/pvm", &facts);
        assert_eq!(found, "PVM on aarch64 is research only: there is no host kernel for it");
    }

    #[test]
    fn p_82_a_refusal_names_the_variant_and_offers_no_other() {
        let variant = Variant::new(Architecture::X86_64, Substrate::Firecracker, ProtectionMode::Pvm);
        let facts = RunFacts { pvm: PvmHostKit { pti_off: false, ..everything().pvm }, ..everything() };
        let error = can_run(variant, &facts).unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot run `x86_64/firecracker/pvm` on this host: the host was not booted with `pti=off`"
        );
    }
}
