//! Certificates of authorities that nobody trusts unless told to, made by `openssl`. Every key is of its own,
//! every certificate ends in two days.

use std::fs;
use std::path::Path;

use crate::{peers, skip};

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// Makes certificates in one directory.
#[derive(Debug)]
pub struct Maker<'a> {
    openssl: std::path::PathBuf,
    directory: &'a Path,
}

impl<'a> Maker<'a> {
    /// Where they go; `None`, and a word about it, where there is no `openssl`.
    pub fn new(directory: &'a Path) -> Option<Self> {
        Some(Self { openssl: skip::tool("openssl", "openssl")?, directory })
    }

    /// An authority: `NAME.pem`, `NAME.key`.
    pub fn authority(&self, name: &str) {
        self.run(&format!("req -x509 {KEY} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}"));
    }

    /// A certificate of that authority with these extensions, a line each: `NAME.pem`, `NAME.key`.
    pub fn certificate(&self, authority: &str, name: &str, extensions: &str) {
        let path = self.directory.join("extensions");
        fs::write(path, format!("{extensions}\nbasicConstraints=CA:FALSE\n")).unwrap();
        self.run(&format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        self.run(&format!(
            "x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -days 2 \
             -extfile extensions -out {name}.pem"
        ));
    }

    /// A certificate for 127.0.0.1 that stands for itself: `NAME.pem`, `NAME.key`.
    pub fn self_signed(&self, name: &str) {
        self.run(&format!(
            "req -x509 {KEY} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name} \
             -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
        ));
    }

    fn run(&self, line: &str) {
        peers::run(&self.openssl, &line.split_whitespace().collect::<Vec<_>>(), self.directory);
    }
}
