//! A plain client with the token.

use reqwest::{Method, RequestBuilder, Response};

use crate::running::{Running, TOKEN};

pub fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// A request with the token.
pub fn request(server: &Running, method: &str, path: &str) -> RequestBuilder {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    http().request(method, server.url(path)).bearer_auth(TOKEN)
}

/// Sends it.
pub async fn send(server: &Running, method: &str, path: &str) -> Response {
    request(server, method, path).send().await.unwrap()
}

/// A header as text.
pub fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// The body as JSON.
pub async fn json(response: Response) -> serde_json::Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}
