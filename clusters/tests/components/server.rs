//! A small HTTP server whose answers a test decides, bad ones included.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// What the server does when a path is asked for.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Sends it.
    Body(Vec<u8>),
    /// Sends it after a while.
    Slow { body: Vec<u8>, delay: Duration },
    /// Announces more than it sends, and closes.
    Truncated { announced: usize, sent: Vec<u8> },
    /// Sends the head and then nothing.
    Hang,
    /// Sends the client elsewhere.
    Redirect(String),
}

#[derive(Debug, Default)]
struct State {
    answers: HashMap<String, Answer>,
    requests: Vec<String>,
}

/// The server; it ends with the test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = Self { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        server
    }

    /// The base URL of a port where nobody listens.
    pub(crate) async fn closed() -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port())
    }

    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn answer(&self, path: &str, answer: Answer) {
        self.state.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    pub(crate) fn answer_at(&self, path: &str) -> Answer {
        self.state.lock().unwrap().answers[path].clone()
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut first = String::new();
        stream.read_line(&mut first).await.unwrap();
        let mut line = String::new();
        while stream.read_line(&mut line).await.unwrap() > 2 {
            line.clear();
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = {
            let mut state = self.state.lock().unwrap();
            state.requests.push(path.clone());
            state.answers.get(&path).cloned()
        };
        let mut stream = stream.into_inner();
        let head = |status: &str, length: usize, extra: &str| {
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{extra}connection: close\r\n\r\n").into_bytes()
        };
        let bytes = match answer {
            None => head("404 Not Found", 0, ""),
            Some(Answer::Body(body)) => [head("200 OK", body.len(), ""), body].concat(),
            Some(Answer::Slow { body, delay }) => {
                tokio::time::sleep(delay).await;
                [head("200 OK", body.len(), ""), body].concat()
            }
            Some(Answer::Truncated { announced, sent }) => [head("200 OK", announced, ""), sent].concat(),
            Some(Answer::Redirect(to)) => head("302 Found", 0, &format!("location: {to}\r\n")),
            Some(Answer::Hang) => {
                stream.write_all(&head("200 OK", 1000, "")).await.unwrap();
                return std::future::pending().await;
            }
        };
        let _ = stream.write_all(&bytes).await;
    }
}

/// A gzip-compressed tar archive of these files.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(encoder);
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, path, *content).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

pub(crate) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
