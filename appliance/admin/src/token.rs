//! The token that opens the TCP door: in the data folder, for those who may read it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const NAME: &str = "admin.token";
const RANDOM_BYTES: usize = 32;

#[derive(Clone)]
pub(crate) struct Token(String);

impl Token {
    /// The token of a data folder; made, readable by its owner alone, when there is none.
    pub(crate) fn of(data: &Path) -> io::Result<Token> {
        let path = data.join(NAME);
        match File::open(&path) {
            Ok(file) => {
                let mut text = String::new();
                file.take(1024).read_to_string(&mut text)?;
                let text = text.trim().to_owned();
                if text.len() < RANDOM_BYTES {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the token is too short; remove it",
                    ));
                }
                Ok(Token(text))
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                let mut random = [0; RANDOM_BYTES];
                File::open("/dev/urandom")?.read_exact(&mut random)?;
                let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
                file.write_all(text.as_bytes())?;
                file.sync_all()?;
                Ok(Token(text))
            }
            Err(err) => Err(err),
        }
    }

    /// Whether a header `Authorization: Bearer ...` carries it; takes the same time wherever they differ.
    pub(crate) fn opens(&self, header: Option<&str>) -> bool {
        let Some(given) = header.and_then(|header| header.strip_prefix("Bearer ")) else { return false };
        let (given, own) = (given.as_bytes(), self.0.as_bytes());
        given.len() == own.len() && given.iter().zip(own).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}
