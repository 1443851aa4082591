//! What a release statement must be before anything in it is looked at: bounded, and without two answers to one question.

use port_model::Digest;

use super::{BootSet, ReleaseError, ReleaseStatement, Role};

/// The most kinds of machines in one release.
const MOST_MACHINES: usize = 64;
/// The most digests that one release denies.
const MOST_DENIED: usize = 1024;
/// The most waves.
const MOST_WAVES: usize = 64;
/// The longest name, channel, variant or line of boot arguments, in bytes.
const LONGEST_TEXT: usize = 2048;
/// The largest part: what a size says is reserved, and read no further.
const LARGEST_PART: u64 = 1 << 40;

pub(super) fn all(release: &ReleaseStatement) -> Result<(), ReleaseError> {
    text("name", &release.name)?;
    word("channel", &release.channel)?;
    if release.sequence == 0 {
        return Err(field("sequence", "a number from 1", "0"));
    }
    if release.expires <= release.issued {
        return Err(field("expires", "a time after `issued`", &release.expires.to_string()));
    }
    if release.machines.is_empty() || release.machines.len() > MOST_MACHINES {
        return Err(field("machines", "1 to 64 of them", &release.machines.len().to_string()));
    }
    for (index, set) in release.machines.iter().enumerate() {
        let same = |other: &BootSet| (other.architecture, &other.variant) == (set.architecture, &set.variant);
        if release.machines.iter().take(index).any(same) {
            return Err(field("machines", "each kind of machine once", set.architecture.oci_name()));
        }
        boot_set(set)?;
    }
    waves(release)?;
    denies(&release.denies)
}

fn boot_set(set: &BootSet) -> Result<(), ReleaseError> {
    if !set.variant.is_empty() {
        word("variant", &set.variant)?;
    }
    if set.part(Role::Kernel).is_none() {
        return Err(field("parts", "a kernel among them", set.architecture.oci_name()));
    }
    for (index, part) in set.parts.iter().enumerate() {
        if set.parts.iter().take(index).any(|other| other.role == part.role) {
            return Err(field("parts", "each role once", part.role.file_name()));
        }
        if part.size == 0 || part.size > LARGEST_PART {
            return Err(field("size", "1 byte to 1 TiB", &part.size.to_string()));
        }
    }
    match &set.boot_arguments {
        Some(arguments) => text("boot_arguments", arguments),
        None => Ok(()),
    }
}

fn waves(release: &ReleaseStatement) -> Result<(), ReleaseError> {
    if release.waves.len() > MOST_WAVES {
        return Err(field("waves", "at most 64", &release.waves.len().to_string()));
    }
    let percents = release.waves.iter().map(|wave| wave.percent);
    if let Some(wrong) = percents.clone().find(|percent| !(1..=100).contains(percent)) {
        return Err(field("waves", "1 to 100 percent", &wrong.to_string()));
    }
    let rises = release.waves.windows(2).all(|pair| match pair {
        [one, next] => one.percent < next.percent && one.after_seconds < next.after_seconds,
        _ => true,
    });
    if rises {
        Ok(())
    } else {
        Err(field("waves", "each later and larger than the one before", "another order"))
    }
}

fn denies(denied: &[Digest]) -> Result<(), ReleaseError> {
    if denied.len() <= MOST_DENIED {
        return Ok(());
    }
    Err(field("denies", "at most 1024", &denied.len().to_string()))
}

fn text(name: &'static str, value: &str) -> Result<(), ReleaseError> {
    let fits = (1..=LONGEST_TEXT).contains(&value.len()) && !value.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(field(name, "1 to 2048 bytes of printable text", value)) }
}

fn word(name: &'static str, value: &str) -> Result<(), ReleaseError> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=128).contains(&value.len()) && value.bytes().all(letter) {
        return Ok(());
    }
    Err(field(name, "a word of letters, digits, `-`, `_` and `.`", value))
}

fn field(field: &'static str, expected: &'static str, found: &str) -> ReleaseError {
    let found = found.chars().take(128).map(|c| if c.is_control() { ' ' } else { c }).collect();
    ReleaseError::Field { field, expected, found }
}
