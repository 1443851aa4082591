//! Ports and volumes of a package: a Linux kernel, packed with BusyBox as a unikernel is with its files, answers on a published port
//! and reads and writes directories of the host.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use port_testkit::project::Project;
use port_testkit::skip;

use super::QEMU;
use crate::packages::{json, pack_with, project};

/// Loaded in this order; what the kernel has itself is no file.
const MODULES: [&str; 13] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "netfs",
    "fscache",
    "9pnet",
    "9pnet_virtio",
    "9p",
];

/// The full kernel of Debian, which reads 9p, unpacked once per checkout; or why there is none.
fn debian() -> Option<PathBuf> {
    skip::tool(QEMU, "qemu-system-x86").filter(|_| cfg!(target_arch = "x86_64"))?;
    let [apt, dpkg] = [("apt-get", "apt"), ("dpkg-deb", "dpkg")].map(|(tool, of)| skip::tool(tool, of));
    apt?;
    dpkg?;
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel-with-9p");
    if !home.join("vmlinuz").is_file() {
        std::fs::create_dir_all(&home).unwrap();
        let name = "apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \\(linux-image-[0-9][^ ]*\\).*/\\1/p'";
        let members = "--wildcards './boot/vmlinuz-*' '*/virtio*.ko' '*failover.ko' '*/netfs.ko' '*/fscache.ko' '*/9p*.ko'";
        let script = format!(
            "set -e; [ -e *.deb ] || apt-get -qq download $({name}); dpkg-deb --fsys-tarfile *.deb | \
             tar -x --transform 's,.*/,,' {members}; mv vmlinuz-* vmlinuz; rm *.deb"
        );
        let got = Command::new("sh").args(["-c", &script]).current_dir(&home).output().unwrap();
        if !got.status.success() {
            skip::because(&format!("no kernel with 9p: {}", String::from_utf8_lossy(&got.stderr)));
            return None;
        }
    }
    Some(home)
}

/// A package of the kernel whose first process runs the script.
fn pack(project: &Project, name: &str, script: &str) -> Option<()> {
    let home = debian()?;
    let busybox = std::fs::read(skip::tool("busybox", "busybox-static")?).unwrap();
    let load = "for module in $(/busybox cat /order); do [ ! -e /$module.ko ] || /busybox insmod /$module.ko; done\n";
    let init = format!("#!/busybox sh\n{load}{script}/busybox poweroff -f\n");
    let (order, mut modules) = (MODULES.join("\n"), Vec::new());
    for module in MODULES.map(|module| format!("{module}.ko")) {
        if let Ok(bytes) = std::fs::read(home.join(&module)) {
            modules.push((module, bytes));
        }
    }
    let mut files = vec![("busybox", &busybox[..]), ("init", init.as_bytes()), ("order", order.as_bytes())];
    files.extend(modules.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    project.write("linux-initrd", crate::update_machine::archive(&files));
    std::fs::copy(home.join("vmlinuz"), project.path().join("linux")).unwrap();
    let target = ["--kernel", "linux", "--initrd", "linux-initrd", "--architecture", "x86_64"];
    let command = ["--platform", "qemu", "--cmd", "console=ttyS0", "--cmd", "quiet", "--cmd", "panic=-1"];
    json(&pack_with(project, name, &[&target[..], &command].concat()));
    Some(())
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The answer's whole text.
fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn ku_32_a_package_serves_on_a_published_port_and_has_its_volumes() {
    let project = project();
    let neighbour = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (of_neighbour, published) = (neighbour.local_addr().unwrap().port(), free_port());
    let script = format!(
        "/busybox mkdir -p /dev /data /fixed
/busybox mount -t devtmpfs dev /dev
mount='/busybox mount -t 9p -o trans=virtio,version=9p2000.L'
$mount data /data && $mount fixed /fixed && echo MOUNTED
/busybox cat /fixed/page >/data/page
/busybox touch /fixed/own || echo FIXED
/busybox ip address add 10.0.2.15/24 dev eth0
/busybox ip link set eth0 up
echo hello | /busybox nc -w 2 10.0.2.2 {of_neighbour} && echo REACHED || echo ALONE
/busybox httpd -p 80 -h /data
echo SERVING
while [ ! -e /data/stop ]; do /busybox sleep 1; done
"
    );
    if pack(&project, "linux", &script).is_none() {
        return;
    }
    project.write("fixed/page", "a page of the host\n");
    project.write("data/mine", "");
    let ports = format!("{published}:80");
    let words = ["run", "--package", "linux", "--architecture", "x86_64", "--memory-mib", "256"];
    let devices = ["--port", &ports, "--volume", "data:data", "--volume", "fixed:fixed:ro"];
    let mut command = project.command(&[&words[..], &devices].concat());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut said, mut console) = (Vec::new(), BufReader::new(child.stdout.take().unwrap()).lines());
    for line in console.by_ref().map_while(Result::ok) {
        said.push(line.trim_end().to_owned());
        if line.starts_with("SERVING") {
            let answer = get(published, "/page");
            assert!(answer.ends_with("\r\n\r\na page of the host\n"), "{answer}");
            project.write("data/stop", "");
        }
    }
    let ran = project.ran(child.wait_with_output().unwrap());
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    let heard = ["MOUNTED", "FIXED", "ALONE", "SERVING"];
    assert!(ran.code == 0 && heard.iter().all(|word| said.contains(word)), "{said:?}\n{ran}");
    assert_eq!(project.read("data/page"), b"a page of the host\n");
    assert!(!project.exists("fixed/own"), "read-only by the host's doing");
}

#[test]
fn ku_32_a_port_that_is_taken_is_named() {
    let Some(project) = super::project_for(QEMU, "qemu-system-x86") else { return };
    super::pack_probe(&project, "hello", "qemu", &[]);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let ran = super::run(&project, "hello", &["--port", &format!("{port}:80")]);
    assert!(ran.code == 1 && ran.stderr.contains(&format!("tcp:127.0.0.1:{port}-:80")), "{ran}");
    let free = super::run(&project, "hello", &["--port", &format!("{}:80/udp", free_port())]);
    assert_eq!(super::seen(&free), "", "the unikernel asks the network for its address");
    let path = project.path().display().to_string();
    let ran = super::run(&project, "hello", &["--volume", &format!("{path}:/srv:ro"), "--", "/app"]);
    assert_eq!(super::seen(&ran), "vfs.fstab=[ \"fs1:/srv:9pfs:::mkmp\" ] -- /app", "as kraft says it");
}
