//! Where an answer may send a request. Nothing is followed that was not vetted here.

use reqwest::Url;
use reqwest::header::{HeaderMap, LOCATION};

use crate::endpoint::shown;

/// The longest `Location`, in bytes. Presigned URLs of object stores have some 2 KiB.
const LONGEST: usize = 16 * 1024;

/// The URL in `Location`, resolved against the one that was asked; `None` where there is none.
///
/// # Errors
/// What a message says about a URL that is never followed.
pub(crate) fn location(headers: &HeaderMap, asked: &Url) -> Result<Option<Url>, String> {
    let Some(value) = headers.get(LOCATION) else { return Ok(None) };
    let text = value.to_str().map_err(|_| "a Location that is no text".to_owned())?;
    if text.len() > LONGEST {
        return Err("an endless Location".to_owned());
    }
    let url = asked.join(text).map_err(|_| "a Location that is no URL".to_owned())?;
    vet(&url, asked)?;
    Ok(Some(url))
}

/// Refuses other schemes, user names, and the step from https to http.
pub(crate) fn vet(url: &Url, asked: &Url) -> Result<(), String> {
    let what = shown(url);
    match (asked.scheme(), url.scheme()) {
        (_, "https") | ("http", "http") => {}
        ("https", "http") => return Err(format!("a step from https to http, to {what}")),
        _ => return Err(format!("a request to {what}, which is neither http nor https")),
    }
    if url.username().is_empty() && url.password().is_none() {
        return Ok(());
    }
    Err(format!("a request to {what} with a user name in the address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(asked: &str, location: &str) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, location.parse().unwrap());
        super::location(&headers, &Url::parse(asked).unwrap()).map(|url| url.map(|url| url.to_string()))
    }

    #[test]
    fn locations_are_vetted() {
        assert_eq!(check("https://r/v2/x", "/y?z"), Ok(Some("https://r/y?z".to_owned())));
        assert_eq!(check("http://r/v2/x", "https://s3/y"), Ok(Some("https://s3/y".to_owned())));
        for bad in ["http://r/y", "file:///etc/passwd", "https://user@evil/", "https://", "javascript:1"] {
            assert!(check("https://r/v2/x", bad).is_err(), "{bad}");
        }
        assert!(check("https://r/", &format!("/{}", "x".repeat(LONGEST))).is_err());
    }
}
