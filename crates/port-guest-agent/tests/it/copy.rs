//! `copy`, both ways, and what it must not touch.

use std::os::unix::fs::{PermissionsExt, symlink};

use port_guest_protocol::{AgentFrame, CopyDirection, Operation};

use crate::harness::{Agent, Host, assert_says, until};

fn to_guest(destination: &str, size_bytes: Option<u64>) -> Operation {
    let (source, destination) = ("host-file".to_owned(), destination.to_owned());
    Operation::Copy { source, destination, direction: CopyDirection::HostToGuest, size_bytes }
}

fn to_host(source: &str) -> Operation {
    let (source, destination) = (source.to_owned(), "host-file".to_owned());
    Operation::Copy { source, destination, direction: CopyDirection::GuestToHost, size_bytes: None }
}

fn fetch(host: &mut Host, path: &str) -> (Option<u64>, Vec<u8>) {
    let size = host.open(to_host(path));
    let (data, _, last) = host.finish();
    assert_eq!(last, AgentFrame::Eof {});
    (size, data)
}

#[test]
fn pu_43_a_file_goes_in_and_comes_back() {
    let agent = Agent::start(&[]);
    std::fs::create_dir(agent.root("etc")).unwrap();
    let mut host = agent.connect();
    let data: Vec<u8> = (0..1_000_003_u32).map(|index| (index % 253) as u8).collect();
    for (size, path) in [(Some(1_000_003), "/etc/with-size"), (None, "etc/until-close")] {
        host.open(to_guest(path, size));
        for chunk in data.chunks(48 * 1024) {
            host.input(chunk);
        }
        if size.is_none() {
            host.close();
        }
        assert_eq!(host.frame(), AgentFrame::Eof {});
        let written = agent.root(path.trim_start_matches('/'));
        assert!(std::fs::read(&written).unwrap() == data);
        assert_eq!(std::fs::metadata(&written).unwrap().permissions().mode() & 0o7777, 0o644);
        let (size, found) = fetch(&mut host, path);
        assert!(size == Some(1_000_003) && found == data);
    }
    host.open(to_guest("/etc/empty", Some(0)));
    assert_eq!(host.frame(), AgentFrame::Eof {});
    assert_eq!(fetch(&mut host, "/etc/empty"), (None, Vec::new()));
    assert_eq!(std::fs::read_dir(agent.root("etc")).unwrap().count(), 3);
}

#[test]
fn a_transfer_that_breaks_off_changes_nothing() {
    let agent = Agent::start(&[]);
    std::fs::write(agent.root("file"), "old").unwrap();
    let mut host = agent.connect();
    for (size, data, expected) in [(9, &b"short"[..], "5 of 9 bytes"), (3, &b"too long"[..], "8 of 3 bytes")]
    {
        host.open(to_guest("/file", Some(size)));
        host.input(data);
        host.close();
        let AgentFrame::Error { message } = host.frame() else { panic!() };
        assert_says(&message, &["/file", expected]);
        host.assert_usable();
    }
    host.open(to_guest("/file", None));
    host.input(b"half");
    until("the partial file exists", || std::fs::read_dir(agent.root("")).unwrap().count() == 2);
    assert_eq!(std::fs::read_to_string(agent.root("file")).unwrap(), "old");
    drop(host);
    until("the partial file is gone", || std::fs::read_dir(agent.root("")).unwrap().count() == 1);
    assert_eq!(std::fs::read_to_string(agent.root("file")).unwrap(), "old");
}

#[test]
fn pu_45_no_path_and_no_link_leaves_the_root() {
    let agent = Agent::start(&[]);
    let secret = agent.outside().join("secret");
    std::fs::write(&secret, "outside").unwrap();
    symlink(agent.outside(), agent.root("absolute")).unwrap();
    symlink("..", agent.root("relative")).unwrap();
    symlink(&secret, agent.root("link")).unwrap();
    symlink("/proc/self/root", agent.root("magic")).unwrap();
    let mut host = agent.connect();
    for path in ["../secret", "/../secret", "/a/../../secret"] {
        assert_says(&host.refused(to_guest(path, None)).0, &[path, "no `..` segment"]);
        assert_says(&host.refused(to_host(path)).0, &[path, "no `..` segment"]);
    }
    for path in ["/absolute/secret", "/link", "/relative/secret", "/magic/etc/passwd"] {
        assert_says(&host.refused(to_host(path)).0, &["cannot open", "No such file"]);
    }
    assert_says(&host.refused(to_guest("/absolute/new", None)).0, &["cannot open `/absolute`"]);
    // A link at the destination is replaced, not followed; a link to above is the root.
    for path in ["/link", "/relative/new"] {
        host.open(to_guest(path, Some(3)));
        host.input(b"new");
        assert_eq!(host.frame(), AgentFrame::Eof {});
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "outside");
    assert_eq!(std::fs::read_to_string(agent.root("link")).unwrap(), "new");
    assert!(!agent.root("link").is_symlink());
    assert!(agent.root("new").exists() && !agent.outside().join("new").exists());
}

#[test]
fn only_regular_files_are_copied() {
    let agent = Agent::start(&[]);
    std::fs::create_dir(agent.root("directory")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        agent.root("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let mut host = agent.connect();
    for path in ["/directory", "/fifo", "/"] {
        assert_says(&host.refused(to_host(path)).0, &["expected a regular file"]);
    }
    for path in ["/directory", "/new/", "/"] {
        assert_says(&host.refused(to_guest(path, None)).0, &["expected a regular file"]);
    }
    assert_says(&host.refused(to_host("/none")).0, &["cannot open `/none`", "No such file"]);
    assert_says(&host.refused(to_guest("/none/file", None)).0, &["cannot open `/none`", "No such file"]);
}

#[test]
fn a_host_that_has_enough_says_close() {
    let agent = Agent::start(&[]);
    std::fs::File::create(agent.root("large")).unwrap().set_len(1 << 40).unwrap();
    let mut host = agent.connect();
    assert_eq!(host.open(to_host("/large")), Some(1 << 40));
    host.frame();
    host.close();
    let AgentFrame::Error { message } = host.finish().2 else { panic!() };
    assert_says(&message, &["cancelled by the host"]);
    host.assert_usable();
}
