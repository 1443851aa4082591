//! Names that nobody can guess.

/// 128 random bits of the operating system, as 32 hex digits.
pub(crate) fn hex() -> std::io::Result<String> {
    let mut bytes = [0u8; 16];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if got != bytes.len() {
        return Err(std::io::Error::other("the operating system gave too few random bytes"));
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
