//! What a file system means: pure commands and queries over an ordered map.

#![forbid(unsafe_code)]
