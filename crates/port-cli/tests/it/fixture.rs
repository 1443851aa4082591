//! Projects for tests: small files where the bytes do not matter, a tiny ELF kernel where they do.

use port_testkit::project::{Project, Ran};

/// A working directory whose `port.toml` has the kernel `tiny` and the guest image `root`, for both protection modes
/// of x86_64/firecracker and for aarch64, published in `shop/`.
pub fn project() -> Project {
    with_configuration(CONFIGURATION)
}

/// A working directory with this `port.toml`.
pub fn with_configuration(text: &str) -> Project {
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    project.write("port.toml", text);
    project
}

/// See [`project`].
pub const CONFIGURATION: &str = r#"
[artifacts.kernels.tiny]
reference = { registry = "demo-fs", repository = "port/tiny", version = "v1" }
distribution = { push = { backend = "file-system", root = "shop" }, pull = { backend = "file-system", root = "shop" } }
variants = [
  { path = "k/x86_64/standard/vmlinux", selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }, sources = [{ kind = "path", path = "source/vmlinux" }] },
  { path = "k/aarch64/standard/vmlinux", selector = { architecture = "aarch64", substrate = "firecracker", protection_mode = "standard" } },
  { path = "k/x86_64/pvm/vmlinux", selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "pvm" }, sources = [{ kind = "pvm-flake" }, { kind = "path", path = "source/pvm" }] },
  { path = "k/aarch64/pvm/vmlinux", selector = { architecture = "aarch64", substrate = "firecracker", protection_mode = "pvm" } },
]

[artifacts.guest_images.root]
reference = { registry = "demo-fs", repository = "port/root", version = "v1" }
distribution = { push = { backend = "file-system", root = "shop" }, pull = { backend = "file-system", root = "shop" } }
variants = [
  { path = "g/x86_64/standard/rootfs.ext4", selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" } },
  { path = "g/x86_64/pvm/rootfs.ext4", selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "pvm" } },
]

[machines.tiny]
kernel = "tiny"
guest_image = "root"
architecture = "x86_64"
"#;

/// The selectors of the x86_64 standard variant, so that tests mean the same on every host.
pub const X86: [&str; 2] = ["--architecture", "x86-64"];

/// Runs `port artifacts VERB --artifact NAME` for the x86_64 standard variant.
pub fn artifacts(project: &Project, verb: &str, name: &str) -> Ran {
    project.port(&[&["artifacts", verb, "--artifact", name][..], &X86].concat())
}

/// The same, which must succeed.
pub fn succeed(project: &Project, verb: &str, name: &str) -> Ran {
    let ran = artifacts(project, verb, name);
    assert_eq!(ran.code, 0, "{verb} {name}\n{ran}");
    ran
}

/// Where the shop has the tiny kernel.
pub const SHOP_KERNEL: &str = "shop/demo-fs/port/tiny/v1/x86_64/firecracker/standard/vmlinux";
/// Where the cache has it.
pub const CACHED_KERNEL: &str = ".port/cache/demo-fs/port/tiny/v1/x86_64/firecracker/standard/vmlinux";
/// Where it is locally.
pub const LOCAL_KERNEL: &str = "k/x86_64/standard/vmlinux";

/// A whole ELF kernel that does nothing: a header, one segment, a banner. `mark` makes its bytes differ.
pub fn elf_kernel(mark: &str) -> Vec<u8> {
    let mut elf = vec![0u8; 64 + 56];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &2u16.to_le_bytes()); // ET_EXEC
    put(18, &62u16.to_le_bytes()); // EM_X86_64
    put(20, &1u32.to_le_bytes()); // EV_CURRENT
    put(24, &0x100_0000u64.to_le_bytes()); // entry
    put(32, &64u64.to_le_bytes()); // program headers
    put(52, &64u16.to_le_bytes()); // size of this header
    put(54, &56u16.to_le_bytes()); // size of a program header
    put(56, &1u16.to_le_bytes()); // one of them
    let banner = format!("Linux version 6.1.0-{mark} (a test) #1\n\0");
    let start = elf.len() as u64;
    let header = 64;
    let size = banner.len() as u64;
    let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
    put(header, &1u32.to_le_bytes()); // PT_LOAD
    put(header + 4, &5u32.to_le_bytes()); // readable, executable
    put(header + 8, &start.to_le_bytes());
    put(header + 16, &0x100_0000u64.to_le_bytes());
    put(header + 24, &0x100_0000u64.to_le_bytes());
    put(header + 32, &size.to_le_bytes());
    put(header + 40, &size.to_le_bytes());
    put(header + 48, &4096u64.to_le_bytes());
    elf.extend_from_slice(banner.as_bytes());
    elf
}
