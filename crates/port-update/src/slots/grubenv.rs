//! GRUB's environment block: 1024 bytes, a first line that says so, `name=value` lines, `#` to the end (GRUB manual, "The GRUB
//! environment block"). Pure: bytes in, bytes out.
//!
//! Invariant: the block never changes its size, and lines that are not ours stay as they are and in their order.

/// Its size, always.
pub const SIZE: usize = 1024;
const FIRST_LINE: &[u8] = b"# GRUB Environment Block\n";

/// A block that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    lines: Vec<Vec<u8>>,
}

impl Block {
    /// Reads a block.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() != SIZE {
            return Err(format!("{} bytes", bytes.len()));
        }
        let body = bytes.strip_prefix(FIRST_LINE).ok_or_else(|| "another first line".to_owned())?;
        let end = body.iter().rposition(|byte| *byte != b'#').map_or(0, |last| last + 1);
        let (text, _) = body.split_at(end);
        if text.contains(&b'\r') || text.contains(&0) {
            return Err("bytes that no line has".to_owned());
        }
        let Some(text) = text.strip_suffix(b"\n") else {
            return if text.is_empty() {
                Ok(Self { lines: Vec::new() })
            } else {
                Err("a torn line".to_owned())
            };
        };
        let lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        if let Some(line) = lines.iter().find(|line| !line.starts_with(b"#") && !line.contains(&b'=')) {
            return Err(format!("the line `{}`", String::from_utf8_lossy(line)));
        }
        Ok(Self { lines })
    }

    /// An empty block.
    pub fn empty() -> Self {
        Self { lines: Vec::new() }
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = |line: &Vec<u8>| -> Option<usize> {
            let rest = line.strip_prefix(name.as_bytes())?;
            rest.starts_with(b"=").then_some(name.len() + 1)
        };
        let line = self.lines.iter().find(|line| value(line).is_some())?;
        std::str::from_utf8(line.get(name.len() + 1..)?).ok()
    }

    /// Sets a variable, where it is or at the end.
    pub fn set(&mut self, name: &str, value: &str) {
        let line = format!("{name}={value}").into_bytes();
        let prefix = format!("{name}=").into_bytes();
        match self.lines.iter_mut().find(|line| line.starts_with(&prefix)) {
            Some(there) => *there = line,
            None => self.lines.push(line),
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// How many there would be, where they are too many.
    pub fn to_bytes(&self) -> Result<Vec<u8>, usize> {
        let mut bytes = FIRST_LINE.to_vec();
        for line in &self.lines {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        if bytes.len() > SIZE {
            return Err(bytes.len());
        }
        bytes.resize(SIZE, b'#');
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Vec<u8> {
        let mut bytes = [FIRST_LINE, text.as_bytes()].concat();
        bytes.resize(SIZE, b'#');
        bytes
    }

    #[test]
    fn x_6_unknown_variables_stay_and_values_may_hold_anything() {
        let bytes = block("active_slot=A\nother=a=b#c\nboot_counter=3\n");
        let mut read = Block::parse(&bytes).unwrap();
        assert_eq!(read.to_bytes().unwrap(), bytes);
        assert_eq!(
            (read.get("active_slot"), read.get("other"), read.get("active")),
            (Some("A"), Some("a=b#c"), None)
        );
        read.set("active_slot", "B");
        read.set("boot_success", "0");
        let expected = block("active_slot=B\nother=a=b#c\nboot_counter=3\nboot_success=0\n");
        assert_eq!(read.to_bytes().unwrap(), expected);
        assert_eq!(Block::parse(&block("")).unwrap(), Block::empty());
    }

    #[test]
    fn x_6_t_22_a_block_that_is_none_is_refused() {
        let good = block("active_slot=A\n");
        let mut torn = good.clone();
        torn[..512].fill(0);
        let mut half = good.clone();
        half[512..].fill(0);
        for (name, bytes) in [
            ("short", good[..1023].to_vec()),
            ("long", [good.as_slice(), b"#"].concat()),
            ("empty", Vec::new()),
            ("other", vec![b'#'; SIZE]),
            ("torn", torn),
            ("half", half),
            ("windows", block("active_slot=A\r\n")),
            ("line", block("active_slot\n")),
            ("cut", block("active_slot=A")),
        ] {
            assert!(Block::parse(&bytes).is_err(), "{name}");
        }
        let mut full = Block::empty();
        full.set("x", &"y".repeat(SIZE));
        assert!(full.to_bytes().is_err(), "it never grows");
    }
}
