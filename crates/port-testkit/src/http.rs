//! A loopback HTTP server that answers from a script: one answer per request, in order.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One scripted answer.
#[derive(Debug, Clone)]
pub struct Answer {
    status: &'static str,
    headers: Vec<String>,
    body: Vec<u8>,
    length: Option<usize>,
}

impl Answer {
    /// `status` as in `200 OK`, with this body.
    pub fn new(status: &'static str, body: &[u8]) -> Self {
        Self { status, headers: Vec::new(), body: body.to_vec(), length: None }
    }

    /// Adds a header line, such as `Location: /x`.
    #[must_use]
    pub fn header(mut self, line: impl Into<String>) -> Self {
        self.headers.push(line.into());
        self
    }

    /// Announces another length than the body has: the connection closes early, or says less than it sends.
    #[must_use]
    pub fn announce(mut self, length: usize) -> Self {
        self.length = Some(length);
        self
    }
}

/// The server. It stops answering when the script is used up: further requests get 500.
#[derive(Debug)]
pub struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server on a free port of the loopback address.
    pub fn start(script: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut script = script.into_iter();
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let answer = script.next().unwrap_or_else(|| Answer::new("500 The Script Is Over", b""));
                // A client that hangs up in the middle is part of some tests.
                let _ = serve(stream, &answer, &seen);
            }
        });
        Self { address, requests }
    }

    /// `http://127.0.0.1:PORT` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// The heads of the requests that came, in order.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, answer: &Answer, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while reader.read_line(&mut head)? > 2 {}
    seen.lock().unwrap().push(head);
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {}\r\nconnection: close\r\n", answer.status)?;
    write!(stream, "content-length: {}\r\n", answer.length.unwrap_or(answer.body.len()))?;
    for header in &answer.headers {
        write!(stream, "{header}\r\n")?;
    }
    write!(stream, "\r\n")?;
    stream.write_all(&answer.body)
}
