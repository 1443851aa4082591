//! `512M`: an amount of memory for people (acceptance V-29, Vu-12). Binary multiples, whatever the spelling.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// An amount of memory, at least one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct MemorySize(u64);

/// A text that is no amount of memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemorySizeError {
    /// Not digits with a known suffix.
    #[error("expected an amount of memory as `512M` or `2G`, found `{0}`")]
    Form(String),
    /// `KB` means 1000 to some and 1024 to others.
    #[error(
        "expected K, M, G or T behind the number, found `{0}`, which means different amounts to different people"
    )]
    Ambiguous(String),
    /// Nothing runs in nothing.
    #[error("expected at least one byte of memory, found `{0}`")]
    Zero(String),
    /// More than 64 bits count.
    #[error("expected less than 16777216T of memory, found `{0}`")]
    TooLarge(String),
}

impl MemorySize {
    /// The amount in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for MemorySize {
    type Err = MemorySizeError;

    fn from_str(text: &str) -> Result<Self, MemorySizeError> {
        let own = || text.to_owned();
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, suffix) = text.split_at(split);
        if digits.is_empty() {
            return Err(MemorySizeError::Form(own()));
        }
        let shift = match suffix.to_ascii_lowercase().as_str() {
            "" => 0,
            "k" | "ki" | "kib" => 10,
            "m" | "mi" | "mib" => 20,
            "g" | "gi" | "gib" => 30,
            "t" | "ti" | "tib" => 40,
            "kb" | "mb" | "gb" | "tb" => return Err(MemorySizeError::Ambiguous(own())),
            _ => return Err(MemorySizeError::Form(own())),
        };
        let number: u64 = digits.parse().map_err(|_| MemorySizeError::TooLarge(own()))?;
        match number.checked_mul(1 << shift) {
            Some(0) => Err(MemorySizeError::Zero(own())),
            Some(bytes) => Ok(Self(bytes)),
            None => Err(MemorySizeError::TooLarge(own())),
        }
    }
}

impl fmt::Display for MemorySize {
    /// The shortest form that means the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];
        match units.iter().find(|(_, shift)| self.0.trailing_zeros() >= *shift) {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_29_vu_12_amounts_of_memory() {
        for (text, bytes, shown) in [
            ("512M", 512 << 20, "512M"),
            ("2G", 2 << 30, "2G"),
            ("2048m", 2 << 30, "2G"),
            ("1T", 1 << 40, "1T"),
            ("64k", 64 << 10, "64K"),
            ("3Ki", 3 << 10, "3K"),
            ("3KiB", 3 << 10, "3K"),
            ("3mib", 3 << 20, "3M"),
            ("1000", 1000, "1000"),
            ("1", 1, "1"),
            ("16777215T", 16_777_215 << 40, "16777215T"),
        ] {
            let size: MemorySize = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, shown), "{text}");
        }
    }

    #[test]
    fn vu_12_what_is_no_amount_of_memory() {
        for (text, part) in [
            ("", "an amount of memory"),
            ("M", "an amount of memory"),
            ("-1M", "an amount of memory"),
            ("1.5G", "an amount of memory"),
            ("512 M", "an amount of memory"),
            ("512X", "an amount of memory"),
            ("512B", "an amount of memory"),
            ("512MB", "different people"),
            ("0", "at least one byte"),
            ("0G", "at least one byte"),
            ("16777216T", "less than"),
            ("99999999999999999999", "less than"),
        ] {
            let error = text.parse::<MemorySize>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(&format!("`{text}`")), "{text}: {error}");
        }
    }
}
