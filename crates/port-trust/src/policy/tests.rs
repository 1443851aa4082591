//! Policies as they are written, and every slip with its place.

use super::*;
use crate::key::KeyKind;
use crate::secret_key::SecretKey;

fn key(seed: u8) -> String {
    SecretKey::from_entropy(KeyKind::P256, &[seed; 32]).unwrap().public().to_pem()
}

fn read(text: &str) -> Result<Policy, PolicyError> {
    Policy::read("trust.toml", text, |path| match path {
        "release.pub" => Ok(key(1)),
        "again.pub" => Ok(key(1)),
        "ops.pub" => Ok(key(2)),
        "bad.pub" => Ok("no key".to_owned()),
        other => Err(format!("there is no `{other}`")),
    })
}

const KEYS: &str = r#"version = 1
[keys]
release = { path = "release.pub" }
ops = { path = "ops.pub" }
"#;

fn name(text: &str) -> SignedName {
    SignedName::parse(text).unwrap()
}

#[test]
fn the_first_rule_that_means_a_name_decides() {
    let policy = read(&format!(
        r#"{KEYS}
        [[rules]]
        references = ["ghcr.io/acme/open"]
        accept = "unsigned"
        [[rules]]
        references = ["ghcr.io/acme/**", "quay.io/acme/*"]
        keys = ["release", "ops"]
        threshold = 2
        attestations = ["https://slsa.dev/provenance/v1"]
        [[rules]]
        references = ["ghcr.io/**"]
        accept = "nothing"
    "#
    ))
    .unwrap();
    assert!(matches!(policy.answer(&name("ghcr.io/acme/open")).asks, Asks::Nothing));
    let answer = policy.answer(&name("quay.io/acme/demo"));
    assert_eq!(answer.rule, "rule 2 of `trust.toml` (`quay.io/acme/*`)");
    let Asks::Signatures { requirement, attestations } = answer.asks else { panic!("{answer:?}") };
    assert_eq!((requirement.threshold, requirement.keys.len(), attestations.len()), (2, 2, 1));
    assert!(matches!(policy.answer(&name("ghcr.io/other/demo")).asks, Asks::Absence));
    let answer = policy.answer(&name("elsewhere.io/demo"));
    assert!(matches!(answer.asks, Asks::Absence));
    assert_eq!(answer.rule, "the default of `trust.toml`");
    let digest = Digest::sha256(&[0; 32]);
    let verdict = answer.without_signatures(&digest, &name("elsewhere.io/demo")).unwrap();
    assert_eq!(verdict.sentence(), "the default of `trust.toml` takes nothing of this name");
}

#[test]
fn the_default_takes_nothing_unless_it_says_so() {
    let open = read("version = 1\n[default]\naccept = \"unsigned\"\n").unwrap();
    assert!(matches!(open.answer(&name("r/a")).asks, Asks::Nothing));
    assert!(matches!(read("version = 1").unwrap().answer(&name("r/a")).asks, Asks::Absence));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let rule = |fields: &str| format!("{KEYS}[[rules]]\nreferences = [\"r/**\"]\n{fields}\n");
    for (text, expected) in [
        (
            rule("keys = [\"relaese\"]"),
            "`rules[0]`: `keys`: there is no key `relaese` (did you mean `release`?)",
        ),
        (rule("threshhold = 2"), "line 7: unknown field `threshhold`"),
        (rule("threshhold = 2"), "(did you mean `threshold`?)"),
        (rule("keys = [\"release\"]\nthreshold = 0"), "expected 1 to 1, the number of its keys, found 0"),
        (rule("keys = [\"release\"]\nthreshold = 2"), "expected 1 to 1, the number of its keys, found 2"),
        (rule("keys = [\"release\", \"release\"]"), "lists `release` twice"),
        (rule(""), "`keys` is missing or empty"),
        (rule("keys = []"), "`keys` is missing or empty"),
        (rule("accept = \"unsigned\"\nkeys = [\"release\"]"), "belong to `accept = \"signed\"`"),
        (rule("accept = \"signd\""), "(did you mean `signed`?)"),
        (rule("keys = [\"release\"]\nidentities = [\"r/a:v1\"]"), "`identities[0]`: expected no tag"),
        (format!("{KEYS}[[rules]]\nreferences = []\nkeys = [\"release\"]"), "`references` is empty"),
        (
            format!("{KEYS}again = {{ path = \"again.pub\" }}"),
            "`keys.release`: it is the same key as `again`",
        ),
        (format!("{KEYS}bad = {{ path = \"bad.pub\" }}"), "`keys.bad`: `bad.pub`: it is no key"),
        (format!("{KEYS}gone = {{ path = \"gone.pub\" }}"), "`keys.gone`: there is no `gone.pub`"),
        (format!("{KEYS}none = {{}}"), "expected either `path` or `public_key`"),
        ("version = 2".to_owned(), "expected 1, found 2"),
        ("[keys]".to_owned(), "missing field `version`"),
        ("version = 1\n[default]\naccept = \"signed\"".to_owned(), "expected `unsigned` or `nothing`"),
        ("version = ".to_owned(), "line 1: "),
    ] {
        let error = read(&text).unwrap_err().to_string();
        assert!(error.starts_with("cannot use the policy `trust.toml`: "), "{error}");
        assert!(error.contains(expected), "expected {expected}\nfound {error}");
    }
}
