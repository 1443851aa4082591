//! The same files, as skopeo reads them.

use std::path::Path;
use std::process::Command;

use port_registry::credentials::login;

use super::{MARK, Place, basic, host, repository};

/// skopeo's answer to "who is signed in", or `None` where it is not installed.
fn skopeo(file: &Path, registry: &str) -> Option<String> {
    let program = port_testkit::skip::tool("skopeo", "skopeo")?;
    let output =
        Command::new(program).args(["login", "--get-login", "--authfile"]).arg(file).arg(registry).output();
    Some(String::from_utf8_lossy(&output.unwrap().stdout).trim().to_owned())
}

#[tokio::test]
async fn skopeo_reads_what_a_login_writes_and_agrees_on_what_it_reads() {
    let place = Place::new();
    let target = place.target("auth.json");
    let cases =
        [("h:5000", None, "whole"), ("h:5000", Some("team/app"), "scoped"), ("docker.io", None, "hub")];
    for (registry, path, user) in cases {
        let path = path.map(repository);
        login(&target, &host(registry), path.as_ref(), &basic(user, MARK)).await.unwrap();
    }
    let asked = [
        ("h:5000", "team/app/x", "scoped"),
        ("h:5000", "team/apps", "whole"),
        ("h:5000", "team/app", "scoped"),
        ("docker.io", "library/x", "hub"),
    ];
    for (registry, path, user) in asked {
        assert_eq!(place.found(registry, path).await.unwrap(), Some(basic(user, MARK)), "{registry}/{path}");
        let Some(answer) = skopeo(&target.file, &format!("{registry}/{path}")) else { return };
        assert_eq!(answer, user, "skopeo: {registry}/{path}");
    }
    let docker = place.target("config.json");
    login(&docker, &host("docker.io"), None, &basic("hub", MARK)).await.unwrap();
    assert_eq!(skopeo(&docker.file, "docker.io").as_deref(), Some("hub"));
}
