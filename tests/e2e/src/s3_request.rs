//! S3 requests as they are on the wire, signed or not, right or wrong.

use admin::S3KeyReport;
use s3s::crypto::{Checksum as _, Sha256};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
const REGION: &str = "us-east-1";

/// A request in the making.
#[derive(Clone, Debug)]
pub struct S3Request {
    method: String,
    /// Path and query, as they are sent.
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// What is said of the body; its SHA-256 unless something else is.
    payload: Option<String>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct S3Answer {
    /// The status.
    pub status: u16,
    /// Headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl S3Answer {
    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The code of an error.
    #[must_use]
    pub fn code(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        code.map(|(code, _)| code.to_owned()).unwrap_or_default()
    }
}

impl S3Request {
    /// Without body and headers. The target is percent-encoded by the caller, and its query in order.
    #[must_use]
    pub fn new(method: &str, target: &str) -> S3Request {
        S3Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            payload: None,
        }
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> S3Request {
        self.body = body.into();
        self
    }

    /// With another header; its name in lower case. `content-length` takes the place of the true one.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> S3Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With something else said of the body than its SHA-256.
    #[must_use]
    pub fn payload(mut self, said: &str) -> S3Request {
        self.payload = Some(said.to_owned());
        self
    }

    /// The bytes of the request, signed with a key as of a time (`20261127T120000Z`).
    #[must_use]
    pub fn signed(mut self, host: SocketAddr, key: &S3KeyReport, at: &str) -> Vec<u8> {
        let payload = self.payload.clone().unwrap_or_else(|| hex(Sha256::checksum(&self.body)));
        self.headers.push(("host".into(), host.to_string()));
        self.headers.push(("x-amz-date".into(), at.to_owned()));
        self.headers.push(("x-amz-content-sha256".into(), payload.clone()));
        let mut signed = self.headers.clone();
        signed.retain(|(name, _)| name != "content-length");
        signed.sort();
        let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines: String = signed.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let query: Vec<String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
            .collect();
        let canonical = format!("{}\n{path}\n{}\n{lines}\n{names}\n{payload}", self.method, query.join("&"));
        let (scope, signature) = (scope(at), signature(key, at, &canonical));
        let access = &key.access_key;
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, Signature={signature}"
        );
        self.headers.push(("authorization".into(), authorization));
        self.bytes()
    }

    /// The bytes of the request without a signature.
    #[must_use]
    pub fn unsigned(mut self, host: SocketAddr) -> Vec<u8> {
        self.headers.push(("host".into(), host.to_string()));
        self.bytes()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name == "content-length") {
            text.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        [text.as_bytes(), &self.body].concat()
    }
}

/// What a signature as of a time is good for.
#[must_use]
pub fn scope(at: &str) -> String {
    format!("{}/{REGION}/s3/aws4_request", at.get(..8).unwrap_or_default())
}

/// The signature of a canonical request with a key as of a time.
#[must_use]
pub fn signature(key: &S3KeyReport, at: &str, canonical: &str) -> String {
    let scope = scope(at);
    let to_sign = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{}", hex(Sha256::checksum(canonical.as_bytes())));
    let secret = format!("AWS4{}", key.secret_key.as_deref().unwrap_or_default());
    let of_part = |key: Vec<u8>, part: &str| hmac(&key, part.as_bytes());
    let signing = scope.split('/').fold(secret.into_bytes(), of_part);
    hex(hmac(&signing, to_sign.as_bytes()))
}

/// Sends bytes and reads the answer, to the end of the connection.
///
/// # Errors
/// Those of the connection, and an answer that is none.
pub fn exchange(host: SocketAddr, request: &[u8]) -> io::Result<S3Answer> {
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // Who is refused early may find that nobody reads on.
    let _ = stream.write_all(request);
    answer(&mut stream)
}

/// Reads an answer to the end of the connection.
///
/// # Errors
/// As [`exchange`].
pub fn answer(stream: &mut TcpStream) -> io::Result<S3Answer> {
    let mut bytes = Vec::new();
    let mut part = [0; 64 * 1024];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(_) if !bytes.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::other("the connection ended without an answer"))?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut body = bytes.split_off(end + 4);
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    if chunked {
        body = unchunked(&body);
    }
    Ok(S3Answer { status: status.ok_or_else(|| io::Error::other("no status"))?, headers, body })
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size =
            std::str::from_utf8(&rest[..line]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size.filter(|size| *size > 0) else { break };
        body.extend_from_slice(rest.get(line + 2..line + 2 + size).unwrap_or_default());
        rest = rest.get(line + 2 + size + 2..).unwrap_or_default();
    }
    body
}

/// The present as requests write it.
#[must_use]
pub fn now() -> String {
    at(0)
}

/// The present and so many seconds more, as requests write it.
#[must_use]
pub fn at(seconds: i64) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_secs()).unwrap_or_default() + seconds;
    let (days, rest) = (now.div_euclid(86_400), now.rem_euclid(86_400));
    // Days since 1970 to a date, by years of 365.2425 days that begin in March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// HMAC-SHA-256 (RFC 2104).
#[must_use]
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(Sha256::checksum(key).as_ref());
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let with = |pad: u8, message: &[u8]| {
        let mut digest = Sha256::new();
        digest.update(&block.map(|byte| byte ^ pad));
        digest.update(message);
        digest.finalize().as_ref().to_vec()
    };
    with(0x5c, &with(0x36, message))
}

/// Hexadecimal digits.
#[must_use]
fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(hmac(b"Jefe", b"what do ya want for nothing?")), expected);
    }
}
