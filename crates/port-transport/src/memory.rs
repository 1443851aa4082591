//! Small documents, and where an address leads.

use futures_util::StreamExt as _;
use reqwest::StatusCode;

use crate::client::Client;
use crate::download::{Cut, Progress, Tries, describe, parse, refusal};
use crate::error::{Failure, TransportError};

impl Client {
    /// Reads a document of at most `limit` bytes. Anything but success is an error.
    ///
    /// # Errors
    /// [`TransportError`] naming the URL.
    pub async fn read(&self, url: &str, limit: u64) -> Result<Vec<u8>, TransportError> {
        let fail = |failure| TransportError { url: url.to_owned(), failure };
        let parsed = parse(url).map_err(fail)?;
        let mut tries = Tries::default();
        loop {
            let cut = match self.read_once(&parsed, limit).await {
                Ok(bytes) => return Ok(bytes),
                Err(cut) => cut,
            };
            self.wait(&mut tries, Progress::NONE, cut).await.map_err(fail)?;
        }
    }

    /// Follows the redirects of an address with requests for headers alone, and gives the address where they end.
    ///
    /// # Errors
    /// [`TransportError`] naming the URL.
    pub async fn final_address(&self, url: &str) -> Result<String, TransportError> {
        let fail = |failure| TransportError { url: url.to_owned(), failure };
        let parsed = parse(url).map_err(fail)?;
        let http = self.http().map_err(|source| fail(Failure::NoClient { source }))?;
        let mut tries = Tries::default();
        loop {
            let cut = match self.send(http.head(parsed.clone())).await {
                Ok(response) if response.status().is_success() => return Ok(response.url().to_string()),
                Ok(response) => refusal(response.status()),
                Err(cut) => cut,
            };
            self.wait(&mut tries, Progress::NONE, cut).await.map_err(fail)?;
        }
    }

    async fn read_once(&self, url: &reqwest::Url, limit: u64) -> Result<Vec<u8>, Cut> {
        let http = self.http().map_err(|source| Cut::Final(Failure::NoClient { source }))?;
        let response = self.send(http.get(url.clone())).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response.status()));
        }
        let too_large = || Cut::Final(Failure::TooLarge { limit });
        let expected = response.content_length();
        if expected.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| Cut::Again(describe(error)))?;
            if (bytes.len() as u64).saturating_add(chunk.len() as u64) > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}
