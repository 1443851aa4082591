//! What a publisher may say of a release. The update agent compares versions, so their form is checked here, before
//! anything is sent. Kernel and initramfs are opaque: whether they boot is not known here.

use port_layout::kubesolo::Metadata;

use super::UpdateError;

const VERSION: &str = "`vX.Y.Z`, perhaps with `-` and a suffix of letters, digits, `.` and `-`";

/// The fields that agents order and follow.
pub(super) fn release(metadata: &Metadata) -> Result<(), UpdateError> {
    version_and_channel(&metadata.version, &metadata.channel)?;
    let minimum = &metadata.min_compatible_version;
    if !minimum.is_empty() && !is_version(minimum) {
        return Err(field("minimum version", VERSION, minimum));
    }
    let date = &metadata.release_date;
    if !date.is_empty() && !is_date(date) {
        return Err(field("date", "RFC 3339, as `2026-01-31T12:00:00Z`", date));
    }
    Ok(())
}

/// As the release statement has them, so that what is published can be signed.
pub(super) fn boot_arguments(text: &str) -> Result<(), UpdateError> {
    if text.len() <= 2048 && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(field("boot arguments", "at most 2048 bytes of printable text", text))
}

/// Both become tags of one repository, so neither may look like the other, or like one architecture's tag.
pub(super) fn version_and_channel(version: &str, channel: &str) -> Result<(), UpdateError> {
    if !is_version(version) {
        return Err(field("version", VERSION, version));
    }
    if version.ends_with("-amd64") || version.ends_with("-arm64") {
        return Err(field("version", "no architecture at its end: the tag of each one gets it", version));
    }
    if is_version(channel) {
        return Err(field("channel", "a word that is no version, as `stable`", channel));
    }
    Ok(())
}

fn field(field: &'static str, expected: &'static str, found: &str) -> UpdateError {
    UpdateError::Field { field, expected, found: found.to_owned() }
}

/// `v1.2.3`, `v1.2.3-rc.1`.
fn is_version(text: &str) -> bool {
    let Some(text) = text.strip_prefix('v') else { return false };
    let (numbers, suffix) = match text.split_once('-') {
        Some((numbers, suffix)) => (numbers, Some(suffix)),
        None => (text, None),
    };
    let number = |part: &str| {
        let plain = !part.is_empty() && part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit());
        plain && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && suffix.is_none_or(|suffix| suffix.split('.').all(word))
}

/// Whether the first version is an older one: by its three numbers, since what a suffix means is the publisher's.
/// Texts that are no versions are not older than anything.
pub(super) fn is_older(version: &str, than: &str) -> bool {
    match (three_numbers(version), three_numbers(than)) {
        (Some(version), Some(than)) => version < than,
        _ => false,
    }
}

fn three_numbers(version: &str) -> Option<Vec<u32>> {
    let numbers = version.strip_prefix('v').filter(|_| is_version(version))?.split('-').next()?;
    numbers.split('.').map(|number| number.parse().ok()).collect()
}

/// RFC 3339, section 5.6: `2026-01-31T12:00:00Z`, with fractions and offsets.
fn is_date(text: &str) -> bool {
    let Some((date, rest)) = text.split_once(['T', 't']) else { return false };
    let Some(date) = numbers(date, '-', &[4, 2, 2]) else { return false };
    let Some(zone) = rest.find(['Z', 'z', '+', '-']) else { return false };
    let Some((time, zone)) = rest.split_at_checked(zone) else { return false };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let Some(time) = numbers(time, ':', &[2, 2, 2]) else { return false };
    let zone = match zone {
        "Z" | "z" => Some(vec![0, 0]),
        offset => offset.get(1..).and_then(|offset| numbers(offset, ':', &[2, 2])),
    };
    let fraction_fits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let (&[year, month, day], &[hour, minute, second]) = (date.as_slice(), time.as_slice()) else {
        return false;
    };
    let zone_fits = matches!(zone.as_deref(), Some(&[hours, minutes]) if hours < 24 && minutes < 60);
    // A leap second is the 60th.
    let clock_fits = hour < 24 && minute < 60 && second <= 60;
    fraction_fits && zone_fits && clock_fits && (1..=days(year, month)).contains(&day)
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

/// Numbers of exactly these widths between separators.
fn numbers(text: &str, separator: char, widths: &[usize]) -> Option<Vec<u32>> {
    let parts: Vec<&str> = text.split(separator).collect();
    let fits = |(part, width): (&&str, &usize)| {
        part.len() == *width && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if parts.len() != widths.len() || !parts.iter().zip(widths).all(fits) {
        return None;
    }
    parts.iter().map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ou_24_versions_have_three_numbers_and_perhaps_a_suffix() {
        for good in ["v0.3.0", "v1.20.300", "v0.3.0-rc.1", "v0.3.0-rc1-2", "v0.3.0-amd"] {
            assert!(version_and_channel(good, "stable").is_ok(), "{good}");
        }
        for bad in [
            "",
            "v",
            "0.3.0",
            "v0.3",
            "v0.3.0.1",
            "v0.3.x",
            "v0.03.0",
            "v0.3.0-",
            "v0.3.0-a..b",
            "v0.3.0+b",
            "V0.3.0",
            "v0.3.0 ",
            "v0.3.0-ü",
            "v0.3.0-amd64",
            "v0.3.0-rc.1-arm64",
            "v9999999999.0.0",
        ] {
            assert!(version_and_channel(bad, "stable").is_err(), "{bad}");
        }
        assert!(version_and_channel("v0.3.0", "v0.3.0-amd64").is_err());
        let minimum = |text: &str| Metadata {
            version: "v0.3.0".to_owned(),
            channel: "stable".to_owned(),
            min_compatible_version: text.to_owned(),
            ..Metadata::default()
        };
        assert!(release(&minimum("")).is_ok() && release(&minimum("v0.2.0")).is_ok());
        assert!(release(&minimum("0.2.0")).is_err());
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (older, newer) in [("v0.9.0", "v0.10.0"), ("v1.2.3", "v1.2.4"), ("v1.9.9-rc.1", "v2.0.0-a")] {
            assert!(is_older(older, newer) && !is_older(newer, older), "{older} {newer}");
        }
        for (one, other) in [("v1.2.3", "v1.2.3-rc.1"), ("", "v1.0.0"), ("v1.0.0", "x")] {
            assert!(!is_older(one, other) && !is_older(other, one), "{one} {other}");
        }
    }

    #[test]
    fn o_14_dates_are_rfc_3339() {
        for good in [
            "2026-01-31T12:00:00Z",
            "2024-02-29t23:59:60z",
            "2026-12-01T00:00:00.25+05:30",
            "2026-06-30T01:02:03-11:00",
        ] {
            assert!(is_date(good), "{good}");
        }
        for bad in [
            "",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-02-29T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-01-00T12:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:60:00Z",
            "2026-01-31T12:00:61Z",
            "2026-01-31 12:00:00Z",
            "26-01-31T12:00:00Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00+0530",
            "2026-01-31T12:00:00Zx",
            "2026-01-31T12:00:00é",
            "+026-01-31T12:00:00Z",
        ] {
            assert!(!is_date(bad), "{bad}");
        }
    }
}
