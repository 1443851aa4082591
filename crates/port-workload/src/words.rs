//! The closed sets of words in a manifest (acceptance V-2, V-7 … V-10). A manifest holds any text; these say what is known.

use std::fmt;
use std::str::FromStr;

use port_model::UnknownWord;

/// Declares an enum of words: one spelling each in manifests, plans and messages.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
        #[serde(into = "&'static str")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// The word of every value.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// Whether `word` is one of them (acceptance V-10).
            pub fn is_known(word: &str) -> bool {
                Self::WORDS.contains(&word)
            }

            /// The word for this value.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl From<$name> for &'static str {
            fn from(value: $name) -> Self { value.as_str() }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.as_str()) }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { what: $what, found: text.to_owned(), expected: Self::WORDS }),
                }
            }
        }
    };
}

words! {
    /// How a workload is isolated.
    Mode, "mode" {
        /// A plain system container without a kernel of its own: fastest, smallest.
        Container = "container",
        /// A container that is booted, with the host's kernel: full namespaces.
        HybridNative = "hybrid-native",
        /// A light KVM guest with its own kernel: strongest isolation.
        HybridKvm = "hybrid-kvm",
        /// User-mode emulation, for another architecture.
        HybridEmulated = "hybrid-emulated",
    }
}

impl Mode {
    /// Whether it is one of the three hybrids.
    pub fn is_hybrid(self) -> bool {
        self != Self::Container
    }

    /// Whether the original says that it needs a kernel. Only `hybrid-kvm` needs one of its own (acceptance C-42).
    pub fn needs_kernel(self) -> bool {
        matches!(self, Self::HybridNative | Self::HybridKvm)
    }
}

words! {
    /// How a workload is connected.
    NetworkMode, "network mode" {
        /// An address of its own on a bridge, with published ports.
        Bridge = "bridge",
        /// The host's own network.
        Host = "host",
        /// None but its own loopback.
        None = "none",
        /// A network that somebody else sets up.
        Custom = "custom",
    }
}

words! {
    /// Which Landlock rules confine a workload.
    LandlockWord, "Landlock profile" {
        /// Only what the manifest names.
        Strict = "strict",
        /// What programs usually need.
        Default = "default",
        /// Everything but the kernel's own knobs.
        Permissive = "permissive",
        /// Rules from a file; the manifest gives the file's path instead of this word.
        Custom = "custom",
    }
}

words! {
    /// Which system calls a workload may make.
    SeccompWord, "seccomp profile" {
        /// What programs usually need.
        Default = "default",
        /// Less than that.
        Strict = "strict",
        /// All of them.
        Unconfined = "unconfined",
    }
}

words! {
    /// What takes a workload's writes to its root file system.
    WritableLayer, "writable layer" {
        /// A directory that stays, on top of the root.
        Overlay = "overlay",
        /// Memory, gone when the workload stops.
        Tmpfs = "tmpfs",
        /// Nothing: the root is as it is.
        None = "none",
    }
}

words! {
    /// A transport protocol of a published port.
    Protocol, "protocol" {
        /// TCP.
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_2_v_7_v_8_v_9_v_10_every_set_of_words_is_checkable() {
        assert_eq!(Mode::WORDS, ["container", "hybrid-native", "hybrid-kvm", "hybrid-emulated"]);
        assert_eq!(LandlockWord::WORDS, ["strict", "default", "permissive", "custom"]);
        assert_eq!(NetworkMode::WORDS, ["bridge", "host", "none", "custom"]);
        assert_eq!(WritableLayer::WORDS, ["overlay", "tmpfs", "none"]);
        let sets = [
            (Mode::is_known as fn(&str) -> bool, Mode::WORDS),
            (LandlockWord::is_known, LandlockWord::WORDS),
            (NetworkMode::is_known, NetworkMode::WORDS),
            (WritableLayer::is_known, WritableLayer::WORDS),
        ];
        for (is_known, words) in sets {
            assert!(words.iter().all(|word| is_known(word)));
            assert!(["", "Container", "vm", " none", "none "].iter().all(|word| !is_known(word)));
        }
    }

    #[test]
    fn v_51_v_52_c_42_predicates_of_the_modes() {
        let of = |word: &str| word.parse::<Mode>().map(|mode| (mode.is_hybrid(), mode.needs_kernel()));
        let found: Vec<_> = Mode::WORDS.iter().map(|word| of(word).unwrap()).collect();
        assert_eq!(found, [(false, false), (true, true), (true, true), (true, false)]);
        let wrong = of("hybrid-kmv").unwrap_err().to_string();
        assert!(wrong.contains("did you mean `hybrid-kvm`?"), "{wrong}");
    }
}
