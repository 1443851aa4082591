//! What is wrong with backends and control planes, and that no secret is shown.

use super::check;

#[test]
fn pu_4_unknown_backend() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.kernels.k.distribution]
push = { backend = "filesystem", root = "x" }
pull = { root = "x" }"#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:4:20: `artifacts.kernels.k.distribution.push.backend`: `filesystem` is not a backend: expected one of file-system, oci-registry, hosted-api (did you mean `file-system`?)
      4 | push = { backend = "filesystem", root = "x" }
        |                    ^^^^^^^^^^^^
  port.toml:5:8: `artifacts.kernels.k.distribution.pull`: the key `backend` is missing
      5 | pull = { root = "x" }
        |        ^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn pu_4_backend_keys() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.kernels.k.distribution]
push = { backend = "file-system", transport = "https" }
pull = { backend = "oci-registry", root = "x", transport = "http", auth = { kind = "basic" } }"#,
        r#"
cannot use `port.toml`: 5 problems
  port.toml:4:8: `artifacts.kernels.k.distribution.push`: the key `root` is missing
      4 | push = { backend = "file-system", transport = "https" }
        |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  port.toml:4:35: `artifacts.kernels.k.distribution.push.transport`: unknown key
      4 | push = { backend = "file-system", transport = "https" }
        |                                   ^^^^^^^^^
        = hint: known here: backend, deltas, encoding, root
  port.toml:5:36: `artifacts.kernels.k.distribution.pull.root`: unknown key
      5 | pull = { backend = "oci-registry", root = "x", transport = "http", auth = { kind = "basic" } }
        |                                    ^^^^
        = hint: known here: auth, backend, certificate_authority, client_certificate, client_key, transport
  port.toml:5:60: `artifacts.kernels.k.distribution.pull.transport`: `http` is not a transport: expected one of https, plain-http (did you mean `https`?)
      5 | pull = { backend = "oci-registry", root = "x", transport = "http", auth = { kind = "basic" } }
        |                                                            ^^^^^^
  port.toml:5:84: `artifacts.kernels.k.distribution.pull.auth.kind`: `basic` is not a kind of registry auth: expected one of anonymous, basic-env
      5 | pull = { backend = "oci-registry", root = "x", transport = "http", auth = { kind = "basic" } }
        |                                                                                    ^^^^^^^"#,
    );
}

#[test]
fn pu_12_basic_env_needs_both_names() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.kernels.k.distribution]
push = { backend = "oci-registry", auth = { kind = "basic-env", username_variable = "", password_variable = "p4ss word!" } }
pull = { backend = "oci-registry", auth = { kind = "basic-env" } }"#,
        r#"
cannot use `port.toml`: 4 problems
  port.toml:4:85: `artifacts.kernels.k.distribution.push.auth.username_variable`: must not be empty
      4 | push = { backend = "oci-registry", auth = { kind = "basic-env", username_variable = "", password_variable = ************…
        |                                                                                     ^^
  port.toml:4:109: `artifacts.kernels.k.distribution.push.auth.password_variable`: expected the name of an environment variable: letters, digits and `_`, no digit first
      4 | push = { backend = "oci-registry", auth = { kind = "basic-env", username_variable = "", password_variable = ************…
        |                                                                                                             ^^^^^^^^^^^^
        = hint: the file names the variable; it never holds the secret
  port.toml:5:43: `artifacts.kernels.k.distribution.pull.auth`: the key `username_variable` is missing
      5 | pull = { backend = "oci-registry", auth = { kind = "basic-env" } }
        |                                           ^^^^^^^^^^^^^^^^^^^^^^
  port.toml:5:43: `artifacts.kernels.k.distribution.pull.auth`: the key `password_variable` is missing
      5 | pull = { backend = "oci-registry", auth = { kind = "basic-env" } }
        |                                           ^^^^^^^^^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn pu_14_hosted_api_needs_its_control_plane() {
    check(
        r#"
[control_planes.demo]
endpoint = "http://127.0.0.1:7040"
audience = "demo"
auth = { scheme = "bearer", header = "authorization", source = { kind = "env", variable = "TOKEN" } }
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.kernels.k.distribution]
push = { backend = "hosted-api", endpoint = "http://127.0.0.1:7041" }
pull = { backend = "hosted-api" }"#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:8:45: `artifacts.kernels.k.distribution.push.endpoint`: no control plane has the endpoint `http://127.0.0.1:7041` (did you mean `http://127.0.0.1:7040`?)
      8 | push = { backend = "hosted-api", endpoint = "http://127.0.0.1:7041" }
        |                                             ^^^^^^^^^^^^^^^^^^^^^^^
        = hint: endpoints of `control_planes`: http://127.0.0.1:7040
  port.toml:9:8: `artifacts.kernels.k.distribution.pull`: the key `endpoint` is missing
      9 | pull = { backend = "hosted-api" }
        |        ^^^^^^^^^^^^^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn pu_10_control_planes_share_no_endpoint() {
    check(
        r#"
[control_planes.demo]
endpoint = "http://127.0.0.1:7040"
audience = "demo"
auth = { scheme = "bearer", header = "authorization", source = { kind = "env", variable = "TOKEN" } }
[control_planes.other]
endpoint = "http://127.0.0.1:7040/"
audience = "demo"
auth = { scheme = "bearer", header = "authorization", source = { kind = "env", variable = "TOKEN" } }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:6:12: `control_planes.other.endpoint`: `http://127.0.0.1:7040` is the endpoint of the control plane `demo` already
      6 | endpoint = "http://127.0.0.1:7040/"
        |            ^^^^^^^^^^^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn pu_10_nothing_is_empty() {
    check(
        r#"
[control_planes.demo]
endpoint = ""
audience = " "
auth = { scheme = "basic", header = "", source = { kind = "env", variable = "" } }"#,
        r#"
cannot use `port.toml`: 5 problems
  port.toml:2:12: `control_planes.demo.endpoint`: must not be empty
      2 | endpoint = ""
        |            ^^
  port.toml:3:12: `control_planes.demo.audience`: must not be empty
      3 | audience = " "
        |            ^^^
  port.toml:4:19: `control_planes.demo.auth.scheme`: `basic` is not an auth scheme: expected one of bearer
      4 | auth = { scheme = "basic", header = "", source = { kind = "env", variable = "" } }
        |                   ^^^^^^^
  port.toml:4:37: `control_planes.demo.auth.header`: must not be empty
      4 | auth = { scheme = "basic", header = "", source = { kind = "env", variable = "" } }
        |                                     ^^
  port.toml:4:77: `control_planes.demo.auth.source.variable`: must not be empty
      4 | auth = { scheme = "basic", header = "", source = { kind = "env", variable = "" } }
        |                                                                             ^^"#,
    );
}

#[test]
fn p_57_a_control_plane_needs_its_keys() {
    check(
        r#"
[control_planes.demo]
endpoint = "127.0.0.1:7040""#,
        r#"
cannot use `port.toml`: 3 problems
  port.toml:1:1: `control_planes.demo`: the key `audience` is missing
      1 | [control_planes.demo]
        | ^^^^^^^^^^^^^^^^^^^^^
  port.toml:1:1: `control_planes.demo`: the key `auth` is missing
      1 | [control_planes.demo]
        | ^^^^^^^^^^^^^^^^^^^^^
  port.toml:2:12: `control_planes.demo.endpoint`: expected `http://` or `https://` and a host, found `127.0.0.1:7040`
      2 | endpoint = "127.0.0.1:7040"
        |            ^^^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn a_secret_is_shown_for_no_finding() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[artifacts.kernels.k.distribution]
push = { backend = "oci-registry", auth = { kind = "basic-env", username_variable = "it's me", password_variable = "p4ss word!", realm = "x" } }"#,
        r#"
cannot use `port.toml`: 3 problems
  port.toml:4:85: `artifacts.kernels.k.distribution.push.auth.username_variable`: expected the name of an environment variable: letters, digits and `_`, no digit first
      4 | push = { backend = "oci-registry", auth = { kind = "basic-env", username_variable = *********, password_variable = *****…
        |                                                                                     ^^^^^^^^^
        = hint: the file names the variable; it never holds the secret
  port.toml:4:116: `artifacts.kernels.k.distribution.push.auth.password_variable`: expected the name of an environment variable: letters, digits and `_`, no digit first
      4 | …riable = *********, password_variable = ************, realm = "x" } }
        |                                          ^^^^^^^^^^^^
        = hint: the file names the variable; it never holds the secret
  port.toml:4:130: `artifacts.kernels.k.distribution.push.auth.realm`: unknown key
      4 | …****, password_variable = ************, realm = "x" } }
        |                                          ^^^^^
        = hint: known here: kind, password_variable, username_variable"#,
    );
}

#[test]
fn an_endpoint_with_a_slip_keeps_its_password() {
    check(
        r#"
[control_planes.demo]
endpoint = "http//me:hunter2@127.0.0.1:7040"
audience = "demo"
auth = { scheme = "bearer", header = "authorization", source = { kind = "env", variable = "TOKEN" } }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:2:12: `control_planes.demo.endpoint`: a URL must not carry a user name or password
      2 | endpoint = *********************************
        |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        = hint: the file is no place for secrets; this one should be changed if it was shared"#,
    );
}

#[test]
fn a_secret_in_the_bucket_url() {
    check(
        r#"
[sources]
firecracker_ci_url = "https://key:secret@example.org/b"
firecracker_url = "x""#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:2:22: `sources.firecracker_ci_url`: a URL must not carry a user name or password
      2 | firecracker_ci_url = **********************************
        |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        = hint: the file is no place for secrets; this one should be changed if it was shared
  port.toml:3:1: `sources.firecracker_url`: unknown key (did you mean `firecracker_ci_url`?)
      3 | firecracker_url = "x"
        | ^^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn a_secret_under_an_unknown_key_is_not_shown() {
    check(
        r#"
[control_planes.demo]
endpoint = "http://127.0.0.1:7040"
audience = "demo"
token = "hunter2"
auth = { scheme = "bearer", header = "authorization", source = { kind = "env", variable = "TOKEN" } }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:4:1: `control_planes.demo.token`: unknown key
      4 | token = *********
        | ^^^^^
        = hint: known here: audience, auth, endpoint"#,
    );
}

#[test]
fn pu_14_a_broken_endpoint_is_one_finding_and_not_also_a_missing_one() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
distribution = { push = { backend = "hosted-api", endpoint = "http://127.0.0.1:7040" } }
[control_planes.demo]
endpoint = "http://127.0.0.1:70400"
audience = "demo"
auth = { scheme = "bearer", header = "authorization", source = { kind = "env", variable = "TOKEN" } }"#,
        r#"
cannot use `port.toml`: 1 problem
  port.toml:5:12: `control_planes.demo.endpoint`: expected a port from 1 to 65535, found `70400`
      5 | endpoint = "http://127.0.0.1:70400"
        |            ^^^^^^^^^^^^^^^^^^^^^^^^"#,
    );
}
