//! QEMU's user-mode translators, and how the kernel is told what they are for.

use std::path::PathBuf;

use port_runtime::SearchPath;

/// What begins an ELF file of one architecture: class, byte order and machine number.
struct Form {
    /// In QEMU's word, and in Rust's for the host where they differ.
    name: &'static str,
    own: &'static str,
    class: u8,
    order: u8,
    machine: u8,
}

const fn form(name: &'static str, class: u8, order: u8, machine: u8) -> Form {
    Form { name, own: name, class, order, machine }
}

/// 64-bit is class 2, little-endian is order 1; machine numbers are those of the ELF specification.
const FORMS: [Form; 7] = [
    form("aarch64", 2, 1, 0xb7),
    form("arm", 1, 1, 0x28),
    form("riscv64", 2, 1, 0xf3),
    Form { own: "powerpc64", ..form("ppc64le", 2, 1, 0x15) },
    form("s390x", 2, 2, 0x16),
    form("x86_64", 2, 1, 0x3e),
    form("i386", 1, 1, 0x03),
];

/// A translator that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Translator {
    name: &'static str,
    magic: String,
    mask: String,
    program: PathBuf,
}

/// Every translator on the search path but the host's own.
pub(super) fn find(search: &SearchPath) -> Vec<Translator> {
    let found = FORMS.iter().filter(|form| !is_own(form)).filter_map(|form| {
        let names = [format!("qemu-{}-static", form.name), format!("qemu-{}", form.name)];
        let program = names.iter().find_map(|name| search.find(name))?;
        let (magic, mask) = pattern(form);
        Some(Translator { name: form.name, magic, mask, program })
    });
    found.collect()
}

/// An x86_64 kernel runs i386 programs itself.
fn is_own(form: &Form) -> bool {
    let host = std::env::consts::ARCH;
    form.own == host || (host == "x86_64" && form.name == "i386")
}

/// The first 20 bytes of a program or library, and which bits of them count.
fn pattern(form: &Form) -> (String, String) {
    let kinds_and_machine = |kind: u8, machine: u8| {
        if form.order == 1 { [kind, 0, machine, 0] } else { [0, kind, 0, machine] }
    };
    let mut magic = vec![0x7f, b'E', b'L', b'F', form.class, form.order, 1, 0];
    magic.extend([0; 8]);
    magic.extend(kinds_and_machine(2, form.machine));
    let mut mask = vec![0xff; 7];
    // The ABI's number says nothing of who can run it.
    mask.push(0);
    mask.extend([0xff; 8]);
    // Programs are of kind 2, those that may lie anywhere of kind 3.
    let any = if form.order == 1 { [0xfe, 0xff, 0xff, 0xff] } else { [0xff, 0xfe, 0xff, 0xff] };
    mask.extend(any);
    (escaped(&magic), escaped(&mask))
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

impl Translator {
    /// The line for binfmt_misc. With `F` the kernel opens the translator now, so that no root need have it; with `P` a program sees the name that it was started by.
    pub(super) fn registration(&self) -> String {
        let Self { name, magic, mask, program } = self;
        format!(":port-{name}:M::{magic}:{mask}:{}:PF", program.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_6_a_registration_names_arm64_programs_as_the_kernels_documentation_does() {
        let aarch64 = FORMS.iter().find(|form| form.name == "aarch64").unwrap();
        let (magic, mask) = pattern(aarch64);
        assert!(magic.starts_with("\\x7f\\x45\\x4c\\x46\\x02\\x01\\x01\\x00"), "{magic}");
        assert!(magic.ends_with("\\x02\\x00\\xb7\\x00"), "{magic}");
        assert!(mask.ends_with("\\xfe\\xff\\xff\\xff") && mask.len() == magic.len(), "{mask}");
        let big = FORMS.iter().find(|form| form.name == "s390x").unwrap();
        assert!(pattern(big).0.ends_with("\\x00\\x02\\x00\\x16"));
        let program = "/usr/bin/qemu-aarch64-static".into();
        let line =
            Translator { name: "aarch64", magic: "a".into(), mask: "b".into(), program }.registration();
        assert_eq!(line, ":port-aarch64:M::a:b:/usr/bin/qemu-aarch64-static:PF");
    }
}
