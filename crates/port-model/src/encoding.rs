//! How a component's bytes are published. The component itself does not know: its size and digest are those of
//! the raw file whatever way it travels, so the same file is the same component under every encoding.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::component::ComponentKind;
use crate::variant::{UnknownWord, words};

words! {
    /// How a component's bytes are published; each gives the same raw file back.
    Encoding, "encoding" {
        /// One blob: the file as it is, which plain tools fetch and write too.
        Raw = "raw",
        /// One blob: the file compressed as a whole, for plain tools and `zstd -d`.
        Zstd = "zstd",
        /// A map and packs of independent frames: an update moves only the blocks that changed.
        Packed = "packed",
    }
}

impl ComponentKind {
    /// The encodings that a component of this role may have.
    pub fn encodings(self) -> &'static [Encoding] {
        match self {
            // Small and compressed already.
            Self::Initrd => &[Encoding::Raw],
            Self::Kernel | Self::KernelDbg | Self::Rootfs => Encoding::ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_and_a_near_miss_is_suggested() {
        for encoding in Encoding::ALL {
            assert_eq!(encoding.as_str().parse::<Encoding>().as_ref(), Ok(encoding));
        }
        assert_eq!(
            "pakced".parse::<Encoding>().unwrap_err().to_string(),
            "`pakced` is not an encoding: expected one of raw, zstd, packed (did you mean `packed`?)"
        );
    }

    #[test]
    fn an_initrd_is_raw_and_everything_may_be_raw() {
        for kind in ComponentKind::ALL {
            let expected = if *kind == ComponentKind::Initrd { 1 } else { 3 };
            assert_eq!(kind.encodings().len(), expected, "{kind}");
            assert!(kind.encodings().contains(&Encoding::Raw), "{kind}");
        }
    }
}
