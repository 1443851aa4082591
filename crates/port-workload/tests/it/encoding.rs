//! Writing: TOML and JSON that say the same, and are read again as the same.

use port_workload::{EncodeError, Manifest, Volume};

use crate::golden;
use crate::{LEAST, WHOLE, manifest};

#[test]
fn v_1_json_and_toml_have_one_set_of_names() {
    let whole = manifest(WHOLE);
    let json = whole.to_json().unwrap();
    assert_eq!(manifest(&json), whole);
    let as_toml: toml::Value = toml::from_str(&whole.to_toml().unwrap()).unwrap();
    let as_json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_value(as_toml).unwrap(), as_json);
    golden::compare("whole.json", &json);
}

#[test]
fn v_48_v_50_what_is_written_is_read_as_the_same() {
    let empty_lists = format!("{LEAST}[network]\ndns = []\nports = []\n[storage]\nvolumes = []\n");
    for text in [WHOLE, LEAST, "", &empty_lists] {
        let read = manifest(text);
        let written = read.to_toml().unwrap();
        assert_eq!(manifest(&written), read, "{written}");
        assert_eq!(manifest(&written).to_toml().unwrap(), written, "writing is stable");
        assert_eq!(manifest(&read.to_json().unwrap()), read);
    }
    golden::compare("whole.toml", &manifest(WHOLE).to_toml().unwrap());
}

#[test]
fn v_48_what_nobody_would_read_is_not_written() {
    let mut large = manifest(LEAST);
    large.workload.description = Some("x".repeat(1024 * 1024));
    assert!(matches!(large.to_toml(), Err(EncodeError::TooLarge { .. })));
    let error = large.to_json().unwrap_err().to_string();
    assert!(error.contains("`web`") && error.contains("1048576"), "{error}");
}

#[test]
fn v_49_c_47_headings_name_and_mode_are_always_there_and_the_rest_is_not() {
    assert_eq!(
        Manifest::default().to_toml().unwrap(),
        "[workload]\nname = \"\"\nmode = \"\"\n\n[kernel]\n\n[security]\n\n[resources]\n\n[network]\n\n[storage]\n"
    );
    let json: serde_json::Value = serde_json::from_str(&Manifest::default().to_json().unwrap()).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "workload": { "name": "", "mode": "" },
            "kernel": {}, "security": {}, "resources": {}, "network": {}, "storage": {}
        })
    );
}

#[test]
fn c_44_extends_is_written_before_every_table() {
    let mut extending = manifest(LEAST);
    extending.extends = Some("base.toml".to_owned());
    extending.storage.volumes =
        Some(vec![Volume { host: "/a".to_owned(), container: "/b".to_owned(), readonly: Some(true) }]);
    extending.storage.writable_layer = Some("tmpfs".to_owned());
    let written = extending.to_toml().unwrap();
    assert!(written.starts_with("extends = \"base.toml\"\n"), "{written}");
    assert_eq!(manifest(&written), extending);
}
