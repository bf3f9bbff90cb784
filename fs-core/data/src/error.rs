//! How an operation on a stripe can end other than well.

/// A closed list.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DataError {
    /// The drives are full.
    #[error("no space on the drives")]
    NoSpace,
    /// A newer life of this writer has taken over: nothing more will be written.
    #[error("fenced by epoch {newest}")]
    Fenced {
        /// The newest epoch.
        newest: u64,
    },
    /// More chunks are damaged or gone than parity can make good.
    #[error("data lost: {0}")]
    Lost(String),
    /// Too many drives are out of reach now; what is stored may be whole.
    #[error("drives out of reach: {0}")]
    Unavailable(String),
    /// A stripe can take no more than this, because drives are out of reach or their free space is
    /// in small pieces: write shorter ones.
    #[error("stripes of up to {length_max} bytes are possible now")]
    Narrow {
        /// Bytes.
        length_max: u32,
    },
    /// The place is none of this cluster's.
    #[error("bad place: {0}")]
    BadPlace(String),
    /// The request makes no sense.
    #[error("bad request: {0}")]
    Invalid(String),
}
