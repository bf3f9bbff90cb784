//! A client of S3 that costs as little as it can, so that what is measured is the server: bodies are sent from where they
//! are, and what comes is counted and not kept.

use admin::S3KeyReport;
use e2e::s3_request::{S3Request, now};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is read at a time; the head of an answer has to fit.
const STEP: usize = 256 * 1024;

/// A server, and a key of it.
pub struct S3Client<'a> {
    /// Where it listens.
    pub address: SocketAddr,
    /// What requests are signed with.
    pub key: &'a S3KeyReport,
}

impl S3Client<'_> {
    /// Puts an object, over a connection of its own.
    ///
    /// # Errors
    /// Those of the connection, and any answer but success.
    pub fn put(&self, target: &str, body: &[u8]) -> io::Result<()> {
        let request = S3Request::new("PUT", target).header("content-length", &body.len().to_string());
        self.exchange(request, body).map(drop)
    }

    /// Gets an object, over a connection of its own; how many bytes it has.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn get(&self, target: &str) -> io::Result<u64> {
        self.exchange(S3Request::new("GET", target), &[])
    }

    fn exchange(&self, request: S3Request, body: &[u8]) -> io::Result<u64> {
        let head = request.payload("UNSIGNED-PAYLOAD").signed(self.address, self.key, &now());
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        if body.len() <= STEP {
            stream.write_all(&[&head, body].concat())?;
        } else {
            stream.write_all(&head)?;
            stream.write_all(body)?;
        }
        BUFFER.with_borrow_mut(|buffer| counted(&mut stream, buffer))
    }
}

thread_local! {
    static BUFFER: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; STEP]);
}

/// Reads an answer to the end of the connection; how many bytes its body has.
fn counted(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<u64> {
    let mut filled = 0;
    let head = loop {
        let read = stream.read(&mut buffer[filled..])?;
        filled += read;
        if let Some(at) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if read == 0 {
            return Err(io::Error::other("no answer"));
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let status = text.split(' ').nth(1).unwrap_or_default().to_owned();
    if !status.starts_with('2') || text.contains("transfer-encoding") {
        return Err(io::Error::other(format!("an answer that is not counted: {text}")));
    }
    let mut bytes = (filled - head) as u64;
    loop {
        match stream.read(buffer)? {
            0 => return Ok(bytes),
            read => bytes += read as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_the_head_is_counted() {
        let body = [7; 1000];
        let answer = [b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".as_slice(), &body].concat();
        assert_eq!(counted(&mut answer.as_slice(), &mut [0; 100]).unwrap(), 1000);
        assert_eq!(counted(&mut &answer[..answer.len() - 1000], &mut [0; 100]).unwrap(), 0);
    }

    #[test]
    fn what_is_no_success_is_an_error() {
        for answer in ["HTTP/1.1 503 Slow Down\r\n\r\n", "HTTP/1.1 200 OK\r\n", ""] {
            assert!(counted(&mut answer.as_bytes(), &mut [0; 100]).is_err(), "{answer}");
        }
    }
}
