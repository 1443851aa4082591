//! How the S3 in memory answers: the part of the API that storing blobs and small documents takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, MutexGuard};

use jiff::Timestamp;
use port_content::hashing::digest_of;

use super::{ACCESS_KEY, BUCKET, Fault, Multipart, Object, Request, Server, State};
use crate::registry::server::{read_head, read_some};

const MARK: &str = "x-amz-meta-port-write";

/// An answer.
#[derive(Default)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Reply {
    fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn xml(root: &str, inside: &str) -> Self {
        let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root}>{inside}</{root}>");
        Self { status: 200, headers: Vec::new(), body: body.into_bytes() }
    }

    fn error(status: u16, code: &str) -> Self {
        let inside = format!("<Code>{code}</Code><Message>as the test orders</Message><Resource/>");
        Self { status, ..Self::xml("Error", &inside) }
    }
}

/// What a request is about, with its name and value undone.
struct Asked<'a> {
    request: &'a Request,
    key: String,
    query: BTreeMap<String, String>,
}

impl Asked<'_> {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.request.headers.get(name).map(String::as_str)
    }
}

impl Server {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut request = read_head(&mut reader)?;
        self.state().requests.push(request.clone());
        let fault = (self.hook)(&request);
        let length = request.header("content-length").parse::<usize>().unwrap_or(0);
        request.body = vec![0; length];
        if read_some(&mut reader, &mut request.body) < length {
            return None;
        }
        let (reply, cut) = match fault {
            Fault::Error(status, code) => (Reply::error(status, code), usize::MAX),
            Fault::None => (self.answer(&request), usize::MAX),
            Fault::CutAnswer(after) => (self.answer(&request), after),
            Fault::LoseAnswer => {
                self.answer(&request);
                return None;
            }
        };
        send(stream, &request, &reply, cut)
    }

    fn answer(&self, request: &Request) -> Reply {
        let signed = format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/");
        if !request.header("authorization").starts_with(&signed) {
            return Reply::error(403, "InvalidAccessKeyId");
        }
        if request.header("x-amz-content-sha256") != digest_of(&request.body).hex() {
            return Reply::error(400, "XAmzContentSHA256Mismatch");
        }
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let path = decoded(path);
        let (bucket, key) =
            path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        if bucket != BUCKET {
            return Reply::error(404, "NoSuchBucket");
        }
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
        let asked = Asked { request, key: key.to_owned(), query };
        match (request.method.as_str(), key.is_empty()) {
            ("GET", true) if asked.query("uploads").is_some() => self.multiparts(),
            ("GET", true) => self.list(&asked),
            ("GET" | "HEAD", false) => self.get(&asked),
            ("POST", false) if asked.query("uploads").is_some() => self.begin(&asked),
            ("POST", false) => self.complete(&asked),
            ("PUT", false) => self.put(&asked),
            ("DELETE", false) => self.delete(&asked),
            _ => Reply::error(405, "MethodNotAllowed"),
        }
    }

    fn get(&self, asked: &Asked<'_>) -> Reply {
        let Some(object) = self.state().objects.get(&asked.key).cloned() else {
            return Reply::error(404, "NoSuchKey");
        };
        if asked.header("if-match").is_some_and(|etag| etag != object.etag) {
            return Reply::error(412, "PreconditionFailed");
        }
        let size = object.bytes.len();
        let reply = match asked.header("range").map(|range| bounds(range, size)) {
            None => Reply { status: 200, body: object.bytes.to_vec(), ..Reply::default() },
            Some(None) => return Reply::error(416, "InvalidRange"),
            Some(Some((first, end))) => {
                Reply { status: 206, body: object.bytes[first..end].to_vec(), ..Reply::default() }
                    .header("content-range", format!("bytes {first}-{}/{size}", end - 1))
            }
        };
        let reply = object.mark.into_iter().fold(reply, |reply, mark| reply.header(MARK, mark));
        reply.header("etag", object.etag)
    }

    fn put(&self, asked: &Asked<'_>) -> Reply {
        let mut state = self.state();
        let copied = match asked.header("x-amz-copy-source") {
            None => None,
            Some(source) => match source_of(&state, source, asked) {
                Ok(bytes) => Some(bytes),
                Err(reply) => return reply,
            },
        };
        let is_copy = copied.is_some();
        let object = object(copied.unwrap_or_else(|| asked.request.body.clone()), asked.header(MARK));
        let etag = object.etag.clone();
        if let (Some(id), Some(number)) = (asked.query("uploadId"), asked.query("partNumber")) {
            let Some(multipart) = state.multiparts.get_mut(id) else {
                return Reply::error(404, "NoSuchUpload");
            };
            multipart.parts.insert(number.parse().unwrap(), object);
        } else if let Some(refused) = self.refused(&state, asked) {
            return refused;
        } else {
            state.objects.insert(asked.key.clone(), object);
        }
        if is_copy {
            return Reply::xml("CopyResult", &format!("<ETag>{}</ETag>", escaped(&etag)));
        }
        Reply::new(200).header("etag", etag)
    }

    fn refused(&self, state: &State, asked: &Asked<'_>) -> Option<Reply> {
        if !self.abilities.conditional_writes {
            return None;
        }
        let found = state.objects.get(&asked.key);
        if asked.header("if-none-match").is_some() && found.is_some() {
            return Some(Reply::error(412, "PreconditionFailed"));
        }
        let expected = asked.header("if-match")?;
        match found {
            None => Some(Reply::error(404, "NoSuchKey")),
            Some(found) if found.etag != expected => Some(Reply::error(412, "PreconditionFailed")),
            Some(_) => None,
        }
    }

    fn delete(&self, asked: &Asked<'_>) -> Reply {
        let mut state = self.state();
        if let Some(id) = asked.query("uploadId") {
            return state
                .multiparts
                .remove(id)
                .map_or(Reply::error(404, "NoSuchUpload"), |_| Reply::new(204));
        }
        if let Some(expected) = asked.header("if-match").filter(|_| self.abilities.conditional_removals) {
            match state.objects.get(&asked.key) {
                None => return Reply::error(404, "NoSuchKey"),
                Some(found) if found.etag != expected => return Reply::error(412, "PreconditionFailed"),
                Some(_) => {}
            }
        }
        state.objects.remove(&asked.key);
        Reply::new(204)
    }

    fn begin(&self, asked: &Asked<'_>) -> Reply {
        let mut state = self.state();
        state.next += 1;
        let id = format!("multipart-{}", state.next);
        let multipart = Multipart { key: asked.key.clone(), parts: BTreeMap::new(), begun: Timestamp::now() };
        state.multiparts.insert(id.clone(), multipart);
        Reply::xml("InitiateMultipartUploadResult", &format!("<UploadId>{id}</UploadId>"))
    }

    fn complete(&self, asked: &Asked<'_>) -> Reply {
        let mut state = self.state();
        let id = asked.query("uploadId").unwrap_or_default();
        let Some(multipart) = state.multiparts.get(id) else { return Reply::error(404, "NoSuchUpload") };
        let listed = String::from_utf8_lossy(&asked.request.body).into_owned();
        let last = multipart.parts.len();
        let mut bytes = Vec::new();
        for (place, (number, part)) in multipart.parts.iter().enumerate() {
            let line = format!("<PartNumber>{number}</PartNumber><ETag>{}</ETag>", part.etag);
            if !listed.contains(&line) {
                return Reply::error(400, "InvalidPart");
            }
            if place + 1 < last && part.bytes.len() < 5 << 20 {
                return Reply::error(400, "EntityTooSmall");
            }
            bytes.extend_from_slice(&part.bytes);
        }
        let object = Object {
            etag: format!("{}-{last}\"", digest_etag(&bytes).trim_end_matches('"')),
            ..object(bytes, None)
        };
        let etag = escaped(&object.etag);
        state.multiparts.remove(id);
        state.objects.insert(asked.key.clone(), object);
        Reply::xml("CompleteMultipartUploadResult", &format!("<ETag>{etag}</ETag>"))
    }

    fn multiparts(&self) -> Reply {
        let mut inside = String::new();
        for (id, Multipart { key, begun, .. }) in &self.state().multiparts {
            write!(
                inside,
                "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{begun}</Initiated></Upload>"
            )
            .unwrap();
        }
        Reply::xml("ListMultipartUploadsResult", &inside)
    }

    fn list(&self, asked: &Asked<'_>) -> Reply {
        let state = self.state();
        let objects = state.stale.as_ref().unwrap_or(&state.objects);
        let prefix = asked.query("prefix").unwrap_or_default();
        let after = asked.query("continuation-token").or(asked.query("start-after")).unwrap_or_default();
        let limit = asked.query("max-keys").and_then(|text| text.parse().ok()).unwrap_or(self.abilities.page);
        let (mut inside, mut count, mut last) = (String::new(), 0, String::new());
        let mut more = false;
        for (key, object) in objects.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after)
        {
            let rest = &key[prefix.len()..];
            let common =
                asked.query("delimiter").and_then(|_| rest.find('/')).map(|at| &key[..prefix.len() + at + 1]);
            // What a page named as a prefix is not named again by the next one.
            if common.is_some_and(|common| last == common || after == common) {
                continue;
            }
            if count == limit {
                more = true;
                break;
            }
            count += 1;
            match common {
                Some(common) => write!(inside, "<CommonPrefixes><Prefix>{common}</Prefix></CommonPrefixes>"),
                None => write!(
                    inside,
                    "<Contents><Key>{key}</Key><Size>{}</Size><ETag>{}</ETag><LastModified>{}</LastModified></Contents>",
                    object.bytes.len(),
                    escaped(&object.etag),
                    object.changed
                ),
            }
            .unwrap();
            last = common.unwrap_or(key).to_owned();
        }
        write!(inside, "<IsTruncated>{more}</IsTruncated>").unwrap();
        if more {
            write!(inside, "<NextContinuationToken>{last}</NextContinuationToken>").unwrap();
        }
        Reply::xml("ListBucketResult", &inside)
    }
}

/// The bytes that a copy takes.
fn source_of(state: &State, source: &str, asked: &Asked<'_>) -> Result<Vec<u8>, Reply> {
    let key = decoded(source);
    let key = key.trim_start_matches('/').strip_prefix(&format!("{BUCKET}/")).unwrap_or_default().to_owned();
    let found = state.objects.get(&key).ok_or_else(|| Reply::error(404, "NoSuchKey"))?;
    if asked.header("x-amz-copy-source-if-match").is_some_and(|etag| etag != found.etag) {
        return Err(Reply::error(412, "PreconditionFailed"));
    }
    let range = asked.header("x-amz-copy-source-range").map(|range| bounds(range, found.bytes.len()));
    match range {
        None => Ok(found.bytes.to_vec()),
        Some(Some((first, end))) => Ok(found.bytes[first..end].to_vec()),
        Some(None) => Err(Reply::error(416, "InvalidRange")),
    }
}

/// From the first byte to behind the last one.
fn bounds(range: &str, size: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first = first.parse().ok()?;
    let end = last.parse::<usize>().unwrap_or(size).saturating_add(1).min(size);
    (first < end).then_some((first, end))
}

/// The same bytes have the same ETag, as at S3.
fn object(bytes: Vec<u8>, mark: Option<&str>) -> Object {
    let etag = digest_etag(&bytes);
    Object { etag, bytes: Arc::new(bytes), mark: mark.map(str::to_owned), changed: Timestamp::now() }
}

fn digest_etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &digest_of(bytes).hex()[..32])
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;")
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        if let (b'%', [high, low, behind @ ..]) = (first, behind) {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&[*high, *low]).unwrap(), 16).unwrap());
            rest = behind;
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn send(mut stream: TcpStream, request: &Request, reply: &Reply, cut: usize) -> Option<()> {
    let date = jiff::fmt::rfc2822::to_string(&Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC)).unwrap();
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\ndate: {date}\r\n", reply.status);
    if reply.status != 204 {
        write!(head, "content-length: {}\r\n", reply.body.len()).unwrap();
    }
    for (name, value) in &reply.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    if request.method != "HEAD" {
        stream.write_all(&reply.body[..cut.min(reply.body.len())]).ok()?;
    }
    Some(())
}
