//! Expected texts in `tests/golden/`. `PORT_WRITE_GOLDEN=1` writes them; a reviewer reads the difference.

use std::path::Path;

/// Compares with the golden file `name`.
pub fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("PORT_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "tests/golden/{name} differs; PORT_WRITE_GOLDEN=1 writes it");
}
