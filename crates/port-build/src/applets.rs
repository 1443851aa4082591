//! The applets of a BusyBox binary, read from the binary itself.
//!
//! Running `busybox --list` works only where this machine runs the binary, so an aarch64 image would differ
//! from host to host. The binary holds its applets as one sorted table of NUL-terminated names that starts
//! with `[` and `[[`; without those two the fixed list below is used.

/// What every BusyBox of a distribution has, for one whose table is not found.
const COMMON: &[&str] = &[
    "ash",
    "basename",
    "cat",
    "chmod",
    "chown",
    "cp",
    "cttyhack",
    "cut",
    "date",
    "dd",
    "df",
    "dirname",
    "dmesg",
    "du",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "findfs",
    "free",
    "grep",
    "gunzip",
    "gzip",
    "halt",
    "head",
    "hostname",
    "id",
    "ifconfig",
    "insmod",
    "ip",
    "kill",
    "ln",
    "ls",
    "lsmod",
    "mkdir",
    "mknod",
    "modprobe",
    "mount",
    "mv",
    "nproc",
    "ps",
    "pwd",
    "poweroff",
    "reboot",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "setsid",
    "sh",
    "sleep",
    "sort",
    "stat",
    "switch_root",
    "sync",
    "tail",
    "tar",
    "test",
    "touch",
    "tr",
    "true",
    "umount",
    "uname",
    "uniq",
    "usleep",
    "vi",
    "wc",
    "which",
    "xargs",
    "yes",
];
/// The start of the table.
const START: &[u8] = b"\0[\0[[\0";
/// The longest name that is taken for an applet's.
const LONGEST_NAME: usize = 32;

/// Whether a program names itself BusyBox, as every version does in its usage text.
pub(crate) fn is_busybox(program: &[u8]) -> bool {
    memchr::memmem::find(program, b"BusyBox v").is_some()
}

/// The names of the applets, sorted.
pub(crate) fn names(busybox: &[u8]) -> Vec<String> {
    let found =
        memchr::memmem::find(busybox, START).map(|at| table(busybox.get(at + 1..).unwrap_or_default()));
    match found {
        // A real table has dozens; a chance hit ends at once.
        Some(names) if names.len() > COMMON.len() / 2 => names,
        _ => COMMON.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// Names as long as they are names and in order: what follows the table is neither.
fn table(bytes: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in bytes.split(|byte| *byte == 0) {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"[_-.+".contains(byte);
        let is_name = !name.is_empty() && name.len() <= LONGEST_NAME && name.iter().all(plain);
        let text = String::from_utf8_lossy(name).into_owned();
        if !is_name || names.last().is_some_and(|last| *last >= text) {
            break;
        }
        names.push(text);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_to_its_end() {
        let mut binary = b"\x7fELF....\0".to_vec();
        let all: Vec<String> =
            ["[", "[["].into_iter().chain(COMMON.iter().copied()).map(str::to_owned).collect();
        let mut sorted = all.clone();
        sorted.sort();
        binary.extend(sorted.join("\0").as_bytes());
        binary.extend(b"\0\0zzz\0");
        assert_eq!(names(&binary), sorted);
        assert_eq!(names(b"\x7fELF"), COMMON);
        assert_eq!(names(b"\0[\0[[\0\0"), COMMON);
    }

    #[test]
    fn this_machines_busybox_says_the_same() {
        let Some(path) = ["/bin/busybox", "/usr/bin/busybox"]
            .into_iter()
            .find(|path| port_content::fs::exists(path.as_ref()))
        else {
            port_testkit::skip::because("no busybox on this machine");
            return;
        };
        let listed = std::process::Command::new(path).arg("--list").output().unwrap().stdout;
        let listed: Vec<String> = String::from_utf8(listed).unwrap().lines().map(str::to_owned).collect();
        let bytes = port_content::fs::read(path.as_ref(), 1 << 24).unwrap();
        assert!(is_busybox(&bytes) && !is_busybox(b"\x7fELF BusyBoxes"));
        assert_eq!(names(&bytes), listed);
    }
}
