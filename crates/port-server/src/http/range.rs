//! `Range` of a request (RFC 9110, section 14): one range of bytes, or none that counts.

use crate::storage::ByteRange;

/// What a request wants of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it; also where the header asks for what is not offered (other units, several ranges).
    Whole,
    /// This part.
    Part(ByteRange),
    /// A part that the object does not have.
    Unsatisfiable,
}

/// What a request with this header wants of an object of this size.
pub(crate) fn asked(header: Option<&str>, size: u64) -> Asked {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Asked::Whole;
    };
    let Some((first, last)) = spec.split_once('-').filter(|_| !spec.contains(',')) else {
        return Asked::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>();
    let end = size.saturating_sub(1);
    match (first.trim().is_empty(), number(first), number(last)) {
        (true, _, Ok(0)) => Asked::Unsatisfiable,
        (true, _, Ok(_)) if size == 0 => Asked::Unsatisfiable,
        (true, _, Ok(length)) => Asked::Part(ByteRange { first: size.saturating_sub(length), last: end }),
        (false, Ok(first), _) if first >= size => Asked::Unsatisfiable,
        (false, Ok(first), Ok(last)) if last < first => Asked::Unsatisfiable,
        (false, Ok(first), Ok(last)) => Asked::Part(ByteRange { first, last: last.min(end) }),
        (false, Ok(first), Err(_)) if last.trim().is_empty() => Asked::Part(ByteRange { first, last: end }),
        _ => Asked::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let part = |first, last| Asked::Part(ByteRange { first, last });
        for (header, size, expected) in [
            ("bytes=500-1499", 2048, part(500, 1499)),
            ("bytes=500-", 2048, part(500, 2047)),
            ("bytes=-500", 2048, part(1548, 2047)),
            ("bytes=-5000", 2048, part(0, 2047)),
            ("bytes=2000-5000", 2048, part(2000, 2047)),
            ("bytes=500-0", 2048, Asked::Unsatisfiable),
            ("bytes=5000-10000", 2048, Asked::Unsatisfiable),
            ("bytes=2048-", 2048, Asked::Unsatisfiable),
            ("bytes=-0", 2048, Asked::Unsatisfiable),
            ("bytes=0-0", 0, Asked::Unsatisfiable),
            ("bytes=-1", 0, Asked::Unsatisfiable),
            ("bytes=0-1,3-4", 2048, Asked::Whole),
            ("items=0-1", 2048, Asked::Whole),
            ("bytes=a-b", 2048, Asked::Whole),
            ("bytes=99999999999999999999-", 2048, Asked::Whole),
        ] {
            assert_eq!(asked(Some(header), size), expected, "{header} of {size}");
        }
        assert_eq!(asked(None, 5), Asked::Whole);
    }
}
