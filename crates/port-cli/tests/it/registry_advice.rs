//! What Port says when a registry refuses: the words that help.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use port_testkit::registry::{Abilities, Action, Registry, Reply};

use crate::fixture::*;
use crate::registry::{ANONYMOUS, forget, noise, registry_project};

/// Answers whatever it is asked as Go's servers answer what is no HTTP.
fn plain_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut hello = [0; 4096];
            let _ = stream.read(&mut hello);
            let _ = stream.write_all(
                b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n",
            );
        }
    });
    address
}

#[test]
fn what_is_refused_comes_with_the_words_that_help() {
    // HTTPS at a registry that speaks plain HTTP.
    let https = registry_project(&plain_server(), r#"transport = "https""#);
    let ran = artifacts(&https, "pull", "tiny");
    assert_eq!(ran.code, 4, "{ran}");
    assert!(ran.stderr.contains("transport = \"plain-http\"") && !ran.stderr.contains("tries"), "{ran}");
    // The manifest is there, and a blob of it is not.
    let lost = Box::new(|request: &port_testkit::registry::Request| {
        let gone = request.method == "GET" && request.target.contains("/blobs/");
        if gone { Action::Answer(Reply::new(404, b"{}")) } else { Action::Pass }
    });
    let registry = Registry::with(Abilities::default(), lost);
    let project = registry_project(registry.host(), ANONYMOUS);
    project.write(LOCAL_KERNEL, noise(1000));
    succeed(&project, "push", "tiny");
    forget(&project);
    let ran = artifacts(&project, "pull", "tiny");
    assert!(ran.code == 5 && ran.stderr.contains("incomplete: push it again"), "{ran}");
    assert!(!ran.stderr.contains("push it first"), "{ran}");
    // Nobody is let in.
    let shut = Box::new(|_: &port_testkit::registry::Request| Action::Answer(Reply::new(403, b"{}")));
    let registry = Registry::with(Abilities::default(), shut);
    let project = registry_project(registry.host(), r#"transport = "plain-http""#);
    let ran = artifacts(&project, "pull", "tiny");
    let hint = format!("port login {} --username … --plain-http`, or name", registry.host());
    assert!(ran.code == 1 && ran.stderr.contains(&hint), "{ran}");
    let auth = r#"auth = { kind = "basic-env", username_variable = "WHO", password_variable = "WHAT" }"#;
    let backend = format!(r#"transport = "plain-http", {auth}"#);
    let project = registry_project(registry.host(), &backend);
    let mut command = project.command(&[&["artifacts", "pull", "--artifact", "tiny"][..], &X86].concat());
    let ran = project.ran(command.envs([("WHO", "me"), ("WHAT", "secret")]).output().unwrap());
    assert!(ran.code == 1 && ran.stderr.contains("the variables `WHO` and `WHAT`"), "{ran}");
    assert!(!ran.stderr.contains("port login"), "{ran}");
}

#[test]
fn what_is_said_of_packing_where_nothing_is_packed_is_refused() {
    let project = registry_project("127.0.0.1:1", ANONYMOUS);
    project.write(LOCAL_KERNEL, b"kernel");
    for option in [["--parent", "v0"], ["--deltas", "2"]] {
        let push = [&["artifacts", "push", "--artifact", "tiny"][..], &X86, &option].concat();
        let ran = project.port(&push);
        assert!(ran.code == 2 && ran.stderr.contains("is published as `raw`"), "{ran}");
    }
}

#[test]
fn nothing_published_and_nothing_damaged_are_said_and_the_store_needs_no_configuration() {
    let registry = Registry::start();
    let project = registry_project(registry.host(), ANONYMOUS);
    let ran = project.port(&["artifacts", "list", "--remote"]);
    assert!(ran.code == 0 && ran.stderr.contains("nothing is published"), "{ran}");
    project.write(LOCAL_KERNEL, b"kernel");
    succeed(&project, "push", "tiny");
    for configured in [true, false] {
        if !configured {
            std::fs::remove_file(project.path().join("port.toml")).unwrap();
        }
        for verify in [&["store", "verify"][..], &["store", "verify", "--repair"]] {
            let ran = project.port(verify);
            assert!(ran.code == 0 && ran.stdout.contains("all of it is sound"), "{ran}");
        }
        let ran = project.port(&["store", "list"]);
        assert!(ran.code == 0 && ran.stdout.contains("port/tiny"), "{ran}");
    }
    std::fs::remove_dir_all(project.path().join(".port")).unwrap();
    assert_eq!(project.port(&["store", "list"]).code, 2, "there is no store to look at");
}
