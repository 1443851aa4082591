//! Paths below `/v2/`. A repository's name has slashes, so a path is read from its end.

use port_model::Digest;

use super::Refusal;
use crate::catalog::UploadId;
use crate::http::decoded;
use crate::name::{RepositoryName, TagOrDigest};

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v2/`.
    Ping,
    /// `/v2/_catalog`.
    Catalog,
    /// `/v2/<name>/blobs/<digest>`.
    Blob { repository: RepositoryName, digest: Digest },
    /// `/v2/<name>/blobs/uploads/`.
    Uploads { repository: RepositoryName },
    /// `/v2/<name>/blobs/uploads/<id>`.
    Upload { repository: RepositoryName, id: UploadId },
    /// `/v2/<name>/manifests/<tag or digest>`.
    Manifest { repository: RepositoryName, name: TagOrDigest },
    /// `/v2/<name>/tags/list`.
    Tags { repository: RepositoryName },
    /// `/v2/<name>/referrers/<digest>`.
    Referrers { repository: RepositoryName, digest: Digest },
}

pub(super) fn route(path: &str) -> Result<Route, Refusal> {
    let Some(rest) = path.strip_prefix("/v2") else { return Err(Refusal::unknown_path()) };
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    match rest {
        "" => return Ok(Route::Ping),
        "_catalog" => return Ok(Route::Catalog),
        _ => {}
    }
    if let Some(name) = rest.strip_suffix("/blobs/uploads").or_else(|| rest.strip_suffix("/blobs/uploads/")) {
        return Ok(Route::Uploads { repository: repository(name)? });
    }
    if let Some(name) = rest.strip_suffix("/tags/list") {
        return Ok(Route::Tags { repository: repository(name)? });
    }
    let Some((front, last)) = rest.rsplit_once('/') else { return Err(Refusal::unknown_path()) };
    let last = decoded(last);
    if let Some(name) = front.strip_suffix("/blobs/uploads") {
        let id = UploadId::parse(&last).ok_or_else(Refusal::upload_unknown)?;
        return Ok(Route::Upload { repository: repository(name)?, id });
    }
    let Some((name, kind)) = front.rsplit_once('/') else { return Err(Refusal::unknown_path()) };
    let digest = || last.parse().map_err(|error: port_model::DigestError| Refusal::digest(error.to_string()));
    match kind {
        "blobs" => Ok(Route::Blob { repository: repository(name)?, digest: digest()? }),
        "referrers" => Ok(Route::Referrers { repository: repository(name)?, digest: digest()? }),
        "manifests" => {
            let repository = repository(name)?;
            let name = last.parse().map_err(Refusal::digest)?;
            Ok(Route::Manifest { repository, name })
        }
        _ => Err(Refusal::unknown_path()),
    }
}

fn repository(name: &str) -> Result<RepositoryName, Refusal> {
    name.parse().map_err(|error: crate::name::NameError| Refusal::name(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn names_with_slashes_are_found() {
        let repository: RepositoryName = "a/blobs/c".parse().unwrap();
        let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
        for (path, expected) in [
            ("/v2/".to_owned(), Route::Ping),
            ("/v2".to_owned(), Route::Ping),
            ("/v2/_catalog".to_owned(), Route::Catalog),
            (
                format!("/v2/a/blobs/c/blobs/sha256%3A{HEX}"),
                Route::Blob { repository: repository.clone(), digest: digest.clone() },
            ),
            ("/v2/a/blobs/c/blobs/uploads/".to_owned(), Route::Uploads { repository: repository.clone() }),
            ("/v2/a/blobs/c/tags/list".to_owned(), Route::Tags { repository: repository.clone() }),
            (
                format!("/v2/a/blobs/c/manifests/sha256:{HEX}"),
                Route::Manifest { repository, name: TagOrDigest::Digest(digest) },
            ),
        ] {
            assert_eq!(route(&path).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn x_nothing_leaves_its_place() {
        for path in [
            "/v2/../blobs/uploads/",
            "/v2/a/../../b/tags/list",
            "/v2/%2e%2e/tags/list",
            "/v2/a%2Fb/tags/list",
            "/v2//tags/list",
            "/v2/a//b/tags/list",
            "/v2/a\\b/tags/list",
            "/v2/A/tags/list",
            "/v2/a/manifests/..",
            "/v2/a/manifests/%2e%2e%2fx",
            "/v2/a/manifests/sha256:baddigeststring",
            "/v2/a/blobs/uploads/../../x",
            "/v2/a/blobs/uploads/%2e%2e",
            "/v2/a",
            "/v2x",
        ] {
            assert!(route(path).is_err(), "{path} was taken");
        }
    }
}
