//! Small files made by the tests themselves: ELF kernels and programs, modules, packages.

/// `e_machine` of the two architectures.
pub(crate) const X86_64: u16 = 62;
pub(crate) const AARCH64: u16 = 183;
/// A kernel release, also in [`kernel`].
pub(crate) const RELEASE: &str = "6.1.0-sample";

/// A 64-bit ELF file: header, one segment with `text`, a PVH note, one empty section header.
pub(crate) fn elf(machine: u16, text: &[u8]) -> Vec<u8> {
    let mut note = [4_u32.to_le_bytes(), 8_u32.to_le_bytes(), 18_u32.to_le_bytes()].concat();
    note.extend(b"Xen\0");
    note.extend(0x0100_0400_u64.to_le_bytes());
    let text_at = 64 + 2 * 56_u64;
    let note_at = text_at + text.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2_u16, machine].iter().flat_map(|number| number.to_le_bytes()));
    file.extend(1_u32.to_le_bytes());
    file.extend(
        [0x0100_0000, 64, note_at + note.len() as u64].iter().flat_map(|number| number.to_le_bytes()),
    );
    file.extend(0_u32.to_le_bytes());
    file.extend([64_u16, 56, 2, 64, 1, 0].iter().flat_map(|number| number.to_le_bytes()));
    for (kind, at, length) in [(1_u32, text_at, text.len() as u64), (4, note_at, note.len() as u64)] {
        file.extend([kind, 5].iter().flat_map(|number| number.to_le_bytes()));
        let numbers = [at, 0x0100_0000, 0x0100_0000, length, length, 4];
        file.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }
    file.extend(text);
    file.extend(note);
    file.resize(file.len() + 64, 0);
    file
}

/// An x86_64 vmlinux; `salt` makes it differ from others.
pub(crate) fn kernel(salt: &str) -> Vec<u8> {
    elf(X86_64, format!("Linux version {RELEASE} (a@b) #1 SMP\n\0{salt}").as_bytes())
}

/// A [`kernel`] that says how it was configured, as with `CONFIG_IKCONFIG`.
pub(crate) fn kernel_with_config(config: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(config.as_bytes()).unwrap();
    let banner = format!("Linux version {RELEASE} (a@b) #1 SMP\n\0");
    elf(X86_64, &[banner.as_bytes(), b"IKCFG_ST", &packed.finish().unwrap(), b"IKCFG_ED"].concat())
}

/// A static BusyBox with the applets that the images need.
pub(crate) fn busybox(machine: u16) -> Vec<u8> {
    let mut applets: Vec<&str> = "cat cttyhack cp cut date dd df dmesg du echo env false find findfs grep halt head \
        id ifconfig insmod ip kill ln ls lsmod mkdir modprobe mount mv poweroff ps pwd reboot rm sed setsid sh sleep \
        sort stat switch_root sync tail tar test touch tr true umount uname usleep wc"
        .split_whitespace()
        .collect();
    applets.sort_unstable();
    elf(machine, format!("BusyBox v1.35.0\0[\0[[\0{}\0\0", applets.join("\0")).as_bytes())
}

/// A module: an ELF file with a `.modinfo` section.
pub(crate) fn module(depends: &str) -> Vec<u8> {
    let info = format!("depends={depends}\0vermagic={RELEASE} SMP mod_unload\0");
    let names = b"\0.modinfo\0.shstrtab\0";
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([1_u16, X86_64].iter().flat_map(|number| number.to_le_bytes()));
    file.extend(1_u32.to_le_bytes());
    let sections_at = 64 + info.len() + names.len();
    file.extend([0, 0, sections_at as u64].iter().flat_map(|number| number.to_le_bytes()));
    file.extend(0_u32.to_le_bytes());
    file.extend([64_u16, 0, 0, 64, 3, 2].iter().flat_map(|number| number.to_le_bytes()));
    file.extend(info.as_bytes());
    file.extend(names);
    let sections = [(0_u32, 0_u32, 0, 0), (1, 1, 64, info.len()), (10, 3, 64 + info.len(), names.len())];
    for (name, kind, at, length) in sections {
        file.extend([name, kind].iter().flat_map(|number| number.to_le_bytes()));
        file.extend([0, 0, at as u64, length as u64].iter().flat_map(|number| number.to_le_bytes()));
        file.extend([0_u32; 2].iter().flat_map(|number| number.to_le_bytes()));
        file.extend([1_u64, 0].iter().flat_map(|number| number.to_le_bytes()));
    }
    file
}

/// The modules of [`package`] with what each depends on; ext4 is built in.
pub(crate) const MODULES: &[(&str, &str)] = &[
    ("overlay", ""),
    ("virtio", "virtio_ring"),
    ("virtio_blk", "virtio,virtio_ring"),
    ("virtio_mmio", "virtio_ring,virtio"),
    ("virtio_ring", ""),
    ("vmw_vsock_virtio_transport", "vsock,virtio"),
    ("vsock", ""),
];

/// A Debian kernel package for amd64.
pub(crate) fn package(name: &str, version: &str) -> Vec<u8> {
    let control = format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\nDepends: kmod\n");
    let directory = format!("./lib/modules/{RELEASE}");
    let mut files = vec![
        (format!("./boot/vmlinuz-{RELEASE}"), kernel("packaged")),
        (format!("./boot/config-{RELEASE}"), b"CONFIG_EXT4_FS=y\n".to_vec()),
        (format!("{directory}/modules.builtin"), b"kernel/fs/ext4/ext4.ko\n".to_vec()),
    ];
    let modules = MODULES.iter();
    files.extend(modules.map(|(name, depends)| (format!("{directory}/kernel/{name}.ko"), module(depends))));
    let mut package = b"!<arch>\n".to_vec();
    let members = [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar", tar(&[("./control".to_owned(), control.into_bytes())])),
        ("data.tar", tar(&files)),
    ];
    for (name, bytes) in members {
        package.extend(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100644, bytes.len()).as_bytes(),
        );
        package.extend(&bytes);
        package.resize(package.len().next_multiple_of(2), b'\n');
    }
    package
}

fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, bytes.as_slice()).unwrap();
    }
    archive.into_inner().unwrap()
}
