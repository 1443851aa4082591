//! The guest's physical memory as a reader sees it, and little-endian numbers in it.

/// Memory that can be read by physical address.
pub trait Memory {
    /// Fills `buffer` from `address`; `None` where that memory cannot be reached.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Option<()>;

    /// The byte at `address`.
    fn byte(&self, address: u64) -> Option<u8> {
        let mut buffer = [0];
        self.read(address, &mut buffer)?;
        Some(u8::from_le_bytes(buffer))
    }

    /// The 32-bit number at `address`.
    fn word(&self, address: u64) -> Option<u32> {
        let mut buffer = [0; 4];
        self.read(address, &mut buffer)?;
        Some(u32::from_le_bytes(buffer))
    }

    /// The 64-bit number at `address`.
    fn long(&self, address: u64) -> Option<u64> {
        let mut buffer = [0; 8];
        self.read(address, &mut buffer)?;
        Some(u64::from_le_bytes(buffer))
    }
}
