//! The rate of the host's time stamp counter.
//!
//! Why it matters: an emulated x86 guest reads the host's counter, and QEMU's `microvm` has no reference
//! clock but the PIT, against which calibration fails whenever the host preempts the virtual CPU. A kernel
//! that is told the rate does not calibrate.
//!
//! Only sources that state the *counter's* rate are used. `cpu MHz` states the core's momentary rate where
//! frequency scaling is at work, so it counts only without scaling. An unknown rate is `None`: a wrong one
//! would make the guest's clock run wrong.

use std::path::Path;

use super::read_small;

/// Rates outside of this are misread, in kHz.
const PLAUSIBLE: std::ops::RangeInclusive<u64> = 100_000..=10_000_000;

/// The rate in kHz, where it is known.
pub fn tsc_khz() -> Option<u32> {
    let candidates = [from_cpuid, from_nominal_frequency, from_cpuinfo];
    let found = candidates.iter().find_map(|candidate| candidate().filter(|khz| PLAUSIBLE.contains(khz)))?;
    u32::try_from(found).ok()
}

#[cfg(target_arch = "x86_64")]
fn from_cpuid() -> Option<u64> {
    use core::arch::x86_64::__cpuid as cpuid;
    let highest = cpuid(0).eax;
    if highest >= 0x15 {
        let ratio = cpuid(0x15);
        if let Some(khz) = from_crystal(ratio.eax, ratio.ebx, ratio.ecx) {
            return Some(khz);
        }
    }
    // Hypervisors that tell their guests: leaf 0x4000_0010 is the counter's rate in kHz.
    const HYPERVISOR_BIT: u32 = 1 << 31;
    let virtualized = cpuid(1).ecx & HYPERVISOR_BIT != 0;
    if virtualized && cpuid(0x4000_0000).eax >= 0x4000_0010 {
        return Some(cpuid(0x4000_0010).eax.into());
    }
    (highest >= 0x16).then(|| u64::from(cpuid(0x16).eax & 0xffff) * 1000)
}

#[cfg(not(target_arch = "x86_64"))]
fn from_cpuid() -> Option<u64> {
    None
}

/// Leaf 0x15: the counter runs at `crystal` times `numerator / denominator` Hz.
#[cfg_attr(not(any(test, target_arch = "x86_64")), expect(dead_code, reason = "x86 hosts only"))]
fn from_crystal(denominator: u32, numerator: u32, crystal_hz: u32) -> Option<u64> {
    let hz = (u64::from(crystal_hz) * u64::from(numerator)).checked_div(u64::from(denominator))?;
    (hz > 0).then_some(hz / 1000)
}

/// The firmware's nominal rate, in MHz, which is the counter's on processors that publish it.
fn from_nominal_frequency() -> Option<u64> {
    let text = read_small(Path::new("/sys/devices/system/cpu/cpu0/acpi_cppc/nominal_freq"))?;
    text.trim().parse::<u64>().ok().map(|mhz| mhz * 1000)
}

fn from_cpuinfo() -> Option<u64> {
    if port_content::fs::exists(Path::new("/sys/devices/system/cpu/cpu0/cpufreq")) {
        return None;
    }
    parse_cpuinfo(&read_small(Path::new("/proc/cpuinfo"))?)
}

/// `cpu MHz : 2596.120` of the first processor, in kHz.
fn parse_cpuinfo(text: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix("cpu MHz")?.split_once(':'))?.1.trim();
    let (mhz, fraction) = value.split_once('.').unwrap_or((value, ""));
    let khz: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(mhz.parse::<u64>().ok()?.checked_mul(1000)? + khz.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuinfo_is_read_to_the_khz() {
        let cases = [
            ("processor\t: 0\ncpu MHz\t\t: 2596.120\ncpu MHz\t\t: 1.0\n", Some(2_596_120)),
            ("cpu MHz\t\t: 2000\n", Some(2_000_000)),
            ("cpu MHz\t\t: 2000.5\n", Some(2_000_500)),
            ("cpu MHz\t\t: fast\n", None),
            ("BogoMIPS\t: 50.00\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_cpuinfo(text), expected, "{text}");
        }
    }

    #[test]
    fn the_crystal_leaf_is_a_ratio_and_may_be_empty() {
        assert_eq!(from_crystal(2, 216, 24_000_000), Some(2_592_000));
        assert_eq!(from_crystal(0, 0, 0), None);
        assert_eq!(from_crystal(2, 216, 0), None);
    }

    #[test]
    fn a_rate_found_here_is_plausible() {
        if let Some(khz) = tsc_khz() {
            assert!(PLAUSIBLE.contains(&u64::from(khz)), "{khz}");
        }
    }
}
