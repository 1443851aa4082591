//! `[registries]`: mirrors as they are read, and what is wrong with them.

use port_config::{MirrorConfig, RegistryAuth, RegistryConfig, RegistrySettings, TagsAt, Transport};

use super::{check, parse};

#[test]
fn mirrors_are_read_in_their_order() {
    let project = parse(
        r#"
[artifacts.kernels.k]
reference = { registry = "GHCR.io", repository = "p/k", version = "v1" }
[registries."ghcr.io"]
tags = "mirrors"
trusted_realms = ["Auth.example.net"]
mirrors = [
  "Mirror.lan:5000/ghcr/all",
  { location = "127.0.0.1:5001", transport = "plain-http", trusted_realms = ["tokens.lan"], auth = { kind = "anonymous" } },
]"#,
    );
    let first = MirrorConfig {
        registry: "mirror.lan:5000".to_owned(),
        prefix: Some("ghcr/all".to_owned()),
        access: RegistryConfig::default(),
        trusted_realms: Vec::new(),
    };
    let access = RegistryConfig {
        transport: Transport::PlainHttp,
        auth: Some(RegistryAuth::Anonymous),
        ..RegistryConfig::default()
    };
    let second = MirrorConfig {
        registry: "127.0.0.1:5001".to_owned(),
        prefix: None,
        access,
        trusted_realms: vec!["tokens.lan".to_owned()],
    };
    let trusted_realms = vec!["auth.example.net".to_owned()];
    let expected = RegistrySettings { mirrors: vec![first, second], tags: TagsAt::Mirrors, trusted_realms };
    assert_eq!(project.registries, [("ghcr.io".to_owned(), expected)].into());
}

#[test]
fn a_trusted_realm_is_the_name_of_a_host() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[registries.r]
trusted_realms = ["https://auth.lan/token", "auth.lan:443"]"#,
        r#"
cannot use `port.toml`: 2 problems
  port.toml:4:19: `registries.r.trusted_realms[0]`: expected the host of a token service, such as `auth.example.net`, found `https://auth.lan/token`
      4 | trusted_realms = ["https://auth.lan/token", "auth.lan:443"]
        |                   ^^^^^^^^^^^^^^^^^^^^^^^^
  port.toml:4:45: `registries.r.trusted_realms[1]`: expected the host of a token service, such as `auth.example.net`, found `auth.lan:443`
      4 | trusted_realms = ["https://auth.lan/token", "auth.lan:443"]
        |                                             ^^^^^^^^^^^^^^"#,
    );
}

#[test]
fn tags_are_the_registrys_own_unless_said_otherwise() {
    let project = parse(
        r#"
[artifacts.kernels.k]
reference = { registry = "r", repository = "p/k", version = "v1" }
[registries.r]
mirrors = ["m"]"#,
    );
    assert_eq!(project.registries["r"].tags, TagsAt::Origin);
    assert!(parse("").registries.is_empty());
}

#[test]
fn a_registry_needs_no_artifact() {
    let project = parse("[registries.\"Copies.example\"]\nmirrors = [\"m\"]");
    assert_eq!(project.registries["copies.example"].mirrors.len(), 1);
}

#[test]
fn slips_are_found_with_a_suggestion() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "ghcr.io", repository = "p/k", version = "v1" }
[registries."other.example"]
mirrors = ["m"]
[registries."ghcr.io"]
mirors = ["m"]
tags = "mirror"
mirrors = [{ location = "m", transport = "http" }, { locaton = "m" }]"#,
        r#"
cannot use `port.toml`: 4 problems
  port.toml:6:1: `registries."ghcr.io".mirors`: unknown key (did you mean `mirrors`?)
      6 | mirors = ["m"]
        | ^^^^^^
  port.toml:7:8: `registries."ghcr.io".tags`: `mirror` is not a place for tags: expected one of origin, mirrors (did you mean `mirrors`?)
      7 | tags = "mirror"
        |        ^^^^^^^^
  port.toml:8:42: `registries."ghcr.io".mirrors[0].transport`: `http` is not a transport: expected one of https, plain-http (did you mean `https`?)
      8 | mirrors = [{ location = "m", transport = "http" }, { locaton = "m" }]
        |                                          ^^^^^^
  port.toml:8:54: `registries."ghcr.io".mirrors[1].locaton`: unknown key (did you mean `location`?)
      8 | mirrors = [{ location = "m", transport = "http" }, { locaton = "m" }]
        |                                                      ^^^^^^^"#,
    );
}

#[test]
fn places_that_are_none() {
    check(
        r#"
[artifacts.kernels.k]
reference = { registry = "r:5000", repository = "p/k", version = "v1" }
[registries."r:5000"]
mirrors = ["http://m/x", "https://m/x", "ci:hunter2@m/x", "m/Upper", "R:5000/x", "m/x", "M/x", "", 7]
[registries."https://r"]"#,
        r#"
cannot use `port.toml`: 9 problems
  port.toml:4:12: `registries."r:5000".mirrors[0]`: expected `host/prefix`, found `http://m/x`
      4 | mirrors = ["http://m/x", "https://m/x", ****************, "m/Upper", "R:5000/x", "m/x", "M/x", "", 7]
        |            ^^^^^^^^^^^^
        = hint: write `{ location = "m/x", transport = "plain-http" }`
  port.toml:4:26: `registries."r:5000".mirrors[1]`: expected `host/prefix`, found `https://m/x`
      4 | mirrors = ["http://m/x", "https://m/x", ****************, "m/Upper", "R:5000/x", "m/x", "M/x", "", 7]
        |                          ^^^^^^^^^^^^^
        = hint: write `m/x`
  port.toml:4:41: `registries."r:5000".mirrors[2]`: a mirror's place must not hold an `@`
      4 | mirrors = ["http://m/x", "https://m/x", ****************, "m/Upper", "R:5000/x", "m/x", "M/x", "", 7]
        |                                         ^^^^^^^^^^^^^^^^
        = hint: credentials are named in `auth` of the mirror's table, or are in the credential files
  port.toml:4:59: `registries."r:5000".mirrors[3]`: the repository `Upper` of a reference must be lower case (OCI distribution-spec), found 'U'
      4 | mirrors = ["http://m/x", "https://m/x", ****************, "m/Upper", "R:5000/x", "m/x", "M/x", "", 7]
        |                                                           ^^^^^^^^^
  port.toml:4:70: `registries."r:5000".mirrors[4]`: a registry is not its own mirror
      4 | mirrors = ["http://m/x", "https://m/x", ****************, "m/Upper", "R:5000/x", "m/x", "M/x", "", 7]
        |                                                                      ^^^^^^^^^^
  port.toml:4:89: `registries."r:5000".mirrors[6]`: this mirror stands here twice
      4 | mirrors = ["http://m/x", "https://m/x", ****************, "m/Upper", "R:5000/x", "m/x", "M/x", "", 7]
        |                                                                                         ^^^^^
  port.toml:4:96: `registries."r:5000".mirrors[7]`: must not be empty
      4 | mirrors = ["http://m/x", "https://m/x", ****************, "m/Upper", "R:5000/x", "m/x", "M/x", "", 7]
        |                                                                                                ^^
  port.toml:4:100: `registries."r:5000".mirrors[8]`: expected a string, found an integer
      4 | mirrors = ["http://m/x", "https://m/x", ****************, "m/Upper", "R:5000/x", "m/x", "M/x", "", 7]
        |                                                                                                    ^
  port.toml:5:13: `registries."https://r"`: the registry `https://r` of a reference must have a port between 1 and 65535, found `//r`
      5 | [registries."https://r"]
        |             ^^^^^^^^^^^"#,
    );
}
