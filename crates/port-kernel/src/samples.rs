//! Small files made by the tests themselves: an ELF kernel, bzImages, arm64 images, modules, packages.

use std::io::Write as _;

use crate::decompress::Compression;

/// One ELF note.
pub(crate) fn note(name: &[u8], kind: u32, value: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    note.extend((name.len() as u32).to_le_bytes());
    note.extend((value.len() as u32).to_le_bytes());
    note.extend(kind.to_le_bytes());
    for part in [name, value] {
        note.extend(part);
        note.resize(note.len().next_multiple_of(4), 0);
    }
    note
}

/// An ELF kernel: header, two program headers, text, a PVH note, one empty section header.
pub(crate) fn elf(machine: u16, text: &[u8]) -> Vec<u8> {
    let note = note(b"Xen\0", 18, &0x0100_0400_u64.to_le_bytes());
    let text_at = 64 + 2 * 56_u64;
    let note_at = text_at + text.len() as u64;
    let sections_at = note_at + note.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    for number in [2_u16, machine] {
        file.extend(number.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    for number in [0x0100_0000, 64, sections_at] {
        file.extend(number.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for number in [64_u16, 56, 2, 64, 1, 0] {
        file.extend(number.to_le_bytes());
    }
    for (kind, at, length) in [(1_u32, text_at, text.len() as u64), (4, note_at, note.len() as u64)] {
        file.extend(kind.to_le_bytes());
        file.extend(5_u32.to_le_bytes());
        for number in [at, 0x0100_0000, 0x0100_0000, length, length, 4] {
            file.extend(number.to_le_bytes());
        }
    }
    file.extend(text);
    file.extend(note);
    file.resize(file.len() + 64, 0);
    file
}

/// Bytes that look like machine code to a filter: many relative calls.
pub(crate) fn code() -> Vec<u8> {
    (0..4000_u32).flat_map(|at| [&[0xe8][..], &(20_000 - 5 * at).to_le_bytes()].concat()).collect()
}

/// A bzImage around a payload: four setup sectors, protocol 2.15, a version text.
pub(crate) fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 5 * 512];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x1f1, &[4]);
    put(0x202, b"HdrS");
    put(0x206, &0x020f_u16.to_le_bytes());
    put(0x20e, &0x400_u16.to_le_bytes());
    put(0x248, &16_u32.to_le_bytes());
    put(0x24c, &(payload.len() as u32).to_le_bytes());
    put(0x600, b"6.1.0-sample (a@b) #1 SMP\0");
    file.extend([0x90; 16]);
    file.extend(payload);
    file
}

/// An arm64 Image with an EFI stub's section table and `text` as its one section.
pub(crate) fn arm64_image(text: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 256];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(16, &0x0100_0000_u64.to_le_bytes());
    put(56, b"ARM\x64");
    put(60, &64_u32.to_le_bytes());
    put(64, b"PE\0\0");
    put(70, &1_u16.to_le_bytes());
    put(84, &16_u16.to_le_bytes());
    put(104, b".text");
    put(120, &(text.len() as u32).to_le_bytes());
    put(124, &256_u32.to_le_bytes());
    file.extend(text);
    file
}

/// A zboot image around a payload.
pub(crate) fn zboot(compression: &str, payload: &[u8]) -> Vec<u8> {
    let mut file = b"MZ\0\0zimg".to_vec();
    file.extend(64_u32.to_le_bytes());
    file.extend((payload.len() as u32).to_le_bytes());
    file.resize(24, 0);
    file.extend(compression.as_bytes());
    file.resize(64, 0);
    file.extend(payload);
    file.extend([0; 100]);
    file
}

/// gzip.
pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// LZ4 in the legacy frame format.
pub(crate) fn lz4(data: &[u8]) -> Vec<u8> {
    let mut packed = crate::lz4::MAGIC.to_vec();
    for block in data.chunks(8 * 1024 * 1024) {
        let block = lz4_flex::block::compress(block);
        packed.extend((block.len() as u32).to_le_bytes());
        packed.extend(block);
    }
    packed
}

/// XZ, with the x86 filter if asked for.
pub(crate) fn xz(data: &[u8], x86_filter: bool) -> Vec<u8> {
    let mut options = lzma_rust2::XzOptions::with_preset(1);
    if x86_filter {
        options.prepend_pre_filter(lzma_rust2::FilterType::BcjX86, 0);
    }
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    writer.write_all(data).unwrap();
    writer.finish().unwrap()
}

/// Zstandard.
pub(crate) fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(data, 1).unwrap()
}

/// `data` as the payload of a bzImage in every compression, with the size appended as the kernel build does.
pub(crate) fn payloads(data: &[u8]) -> Vec<(Compression, Vec<u8>)> {
    let size = (data.len() as u32).to_le_bytes();
    let sized = |packed: Vec<u8>| [packed.as_slice(), &size].concat();
    vec![
        (Compression::None, data.to_vec()),
        (Compression::Gzip, gzip(data)),
        (Compression::Lz4, sized(lz4(data))),
        (Compression::Xz, sized(xz(data, false))),
        (Compression::Xz, sized(xz(data, true))),
        (Compression::Zstd, sized(zstd(data))),
        (Compression::None, sized(data.to_vec())),
    ]
}

/// A control file with no surprises.
pub(crate) const CONTROL: &str =
    "Package: linux-image-6.1.0-sample\nVersion: 6.1-1\nArchitecture: amd64\nDepends: kmod\n";

/// A Debian package to be built.
pub(crate) struct Package {
    control: String,
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) extension: &'static str,
}

impl Package {
    pub(crate) fn new(control: &str) -> Self {
        Self { control: control.to_owned(), files: Vec::new(), extension: "" }
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let pack = |data: Vec<u8>| match self.extension {
            ".gz" => gzip(&data),
            ".xz" => xz(&data, false),
            ".zst" => zstd(&data),
            _ => data,
        };
        let control = pack(tar(&[("./control".to_owned(), self.control.clone().into_bytes())]));
        let data = pack(tar(&self.files));
        let mut archive = b"!<arch>\n".to_vec();
        for (name, bytes) in [
            ("debian-binary".to_owned(), b"2.0\n".to_vec()),
            (format!("control.tar{}", self.extension), control),
            (format!("data.tar{}", self.extension), data),
        ] {
            archive.extend(
                format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len())
                    .into_bytes(),
            );
            archive.extend(&bytes);
            archive.resize(archive.len().next_multiple_of(2), b'\n');
        }
        archive
    }
}

/// A tar archive; long names as GNU tar writes them. Names are not checked, so that tests can be hostile.
pub(crate) fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut put = |kind: u8, name: &[u8], data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.extend(header.as_bytes());
        archive.extend(data);
        archive.resize(archive.len().next_multiple_of(512), 0);
    };
    put(b'5', b"./", b"");
    for (name, data) in files {
        if name.len() > 100 || name.contains('\0') {
            put(b'L', b"././@LongLink", &[name.as_bytes(), b"\0"].concat());
        }
        put(b'0', name.as_bytes(), data);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// A kernel module: an ELF object with a `.modinfo` section of `KEY=VALUE` texts.
pub(crate) fn module(entries: &[&str]) -> Vec<u8> {
    let info: Vec<u8> = entries.iter().flat_map(|entry| [entry.as_bytes(), b"\0"].concat()).collect();
    let names = b"\0.modinfo\0.shstrtab\0";
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    for number in [1_u16, 62] {
        file.extend(number.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    for number in [0, 0, 64 + (info.len() + names.len()) as u64] {
        file.extend(number.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for number in [64_u16, 0, 0, 64, 3, 2] {
        file.extend(number.to_le_bytes());
    }
    file.extend(&info);
    file.extend(names);
    for (name, at, length) in [(0_u32, 0, 0), (1, 64, info.len()), (10, 64 + info.len(), names.len())] {
        let start = file.len();
        file.extend(name.to_le_bytes());
        file.resize(start + 24, 0);
        file.extend((at as u64).to_le_bytes());
        file.extend((length as u64).to_le_bytes());
        file.resize(start + 64, 0);
    }
    file.extend(b"~Module signature appended~\n");
    file
}
