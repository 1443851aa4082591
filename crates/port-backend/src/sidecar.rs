//! `<file>.sha256`: the digest beside a published file, in the format of coreutils' `sha256sum`, so that
//! `sha256sum -c vmlinux.sha256` works in the store (acceptance C-5).

use port_model::{Digest, DigestError, FileName};

/// What is behind the file's name.
pub(crate) const SUFFIX: &str = ".sha256";

/// The side-car's text.
pub(crate) fn render(digest: &Digest, name: &FileName) -> String {
    format!("{}  {name}\n", digest.hex())
}

/// The digest in a side-car: the first word of the first line.
pub(crate) fn parse(text: &str) -> Result<Digest, DigestError> {
    Digest::from_sha256_hex(text.split_whitespace().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_sha256sum_writes() {
        let digest = port_content::hashing::digest_of(b"kernel");
        let name: FileName = "vmlinux".parse().unwrap();
        assert_eq!(parse(&render(&digest, &name)).unwrap(), digest);
        assert_eq!(parse(&digest.hex().to_uppercase()).unwrap(), digest);
        for bad in ["", "\n", "zz  vmlinux", "sha256:00  x"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
