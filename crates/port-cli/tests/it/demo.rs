//! The sample project's native variants, built once and shared by the tests that boot.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use port_testkit::project::Project;
use port_testkit::skip;

/// What building the sample needs; each is asked for by name when it is missing.
const TOOLS: [(&str, &str); 4] = [
    ("e2fsck", "e2fsprogs"),
    ("busybox", "busybox-static"),
    ("mksquashfs", "squashfs-tools"),
    ("mkfs.erofs", "erofs-utils"),
];

/// The built sample, or `None` after saying why there is none.
pub fn sample() -> Option<&'static Path> {
    static SAMPLE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let sample = SAMPLE.get_or_init(build);
    if sample.is_none() {
        skip::because("the sample project could not be built here (said above)");
    }
    sample.as_deref()
}

/// A project that holds a copy of the built sample (hard links: nothing writes to artifacts in place).
pub fn project() -> Option<Project> {
    let sample = sample()?;
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    let copied = Command::new("cp").arg("-al").arg(sample.join(".")).arg(project.path()).status().unwrap();
    assert!(copied.success());
    Some(project)
}

fn build() -> Option<PathBuf> {
    let missing = TOOLS.iter().any(|(tool, package)| skip::tool(tool, package).is_none());
    if missing || std::env::var_os("PORT_GUEST_AGENT_BIN").is_none() {
        skip::because("PORT_GUEST_AGENT_BIN names no static guest agent (`cargo xtask test` builds one)");
        return None;
    }
    // Built below the target directory, so that the kernel package is fetched once per checkout.
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sample");
    std::fs::create_dir_all(&directory).unwrap();
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/port.toml")).unwrap();
    std::fs::write(directory.join("port.toml"), with_other_roots(&text)).unwrap();
    for artifact in ["demo-kernel", "demo-guest", "squashfs-guest", "erofs-guest"] {
        let output = Command::new(env!("CARGO_BIN_EXE_port"))
            .args(["artifacts", "build", "--artifact", artifact])
            .current_dir(&directory)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(stderr.contains("can be reached"), "{artifact}: {stderr}");
            skip::because(&format!("no source of the kernel can be reached: {stderr}"));
            return None;
        }
    }
    Some(directory)
}

/// The sample, and machines and images for each file system and overlay.
fn with_other_roots(sample: &str) -> String {
    let mut text = sample.to_owned();
    let arch = std::env::consts::ARCH;
    for format in ["squashfs", "erofs"] {
        text += &format!(
            r#"
[artifacts.guest_images.{format}-guest]
reference = {{ registry = "demo-fs", repository = "port/{format}-guest", version = "v1" }}
recipe = {{ format = "{format}", kernel = "demo-kernel" }}
variants = [{{ path = "artifacts/{format}/rootfs.{format}", selector = {{ architecture = "{arch}", substrate = "firecracker", protection_mode = "standard" }} }}]
"#
        );
    }
    for (machine, guest, more) in [
        ("squashfs", "squashfs-guest", "rootfs_read_only = true"),
        ("erofs", "erofs-guest", "rootfs_read_only = true"),
        ("ext4-read-only", "demo-guest", "rootfs_read_only = true"),
        ("squashfs-tmpfs", "squashfs-guest", "rootfs_overlay = \"tmpfs\""),
        ("erofs-disk", "erofs-guest", "rootfs_overlay = \"disk\"\nvolumes = [{ path = \"upper.ext4\" }]"),
        (
            "panics",
            "demo-guest",
            "kernel_args = \"init=/nowhere port.rootfs_overlay=nonsense root=/dev/vdz\"",
        ),
    ] {
        text +=
            &format!("\n[machines.{machine}]\nkernel = \"demo-kernel\"\nguest_image = \"{guest}\"\n{more}\n");
    }
    text
}
