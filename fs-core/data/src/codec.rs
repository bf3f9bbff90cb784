//! The erasure code behind a small trait: ISA-L's Cauchy matrix over GF(2^8)/0x11d, fixed for ever.

use cluster::Scheme;
use parking_lot::Mutex;
use rusty_erasure::{Coder, Matrix, RecoverError};
use std::collections::HashMap;
use std::sync::Arc;

/// What can go wrong with a code; each is a fault of the caller.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("erasure code: {0}")]
pub struct CodecError(pub String);

/// Computes parity and makes good what is missing. Chunks are of equal length.
pub trait Codec: Send + Sync + 'static {
    /// P parity chunks for D data chunks.
    ///
    /// # Errors
    /// [`CodecError`] when numbers or lengths do not fit the scheme.
    fn encode(&self, scheme: Scheme, data: &[&[u8]]) -> Result<Vec<Vec<u8>>, CodecError>;

    /// The chunks `want` (indexes; data below D, then parity) out of at least D present ones.
    ///
    /// # Errors
    /// [`CodecError`] when fewer are present, or numbers or lengths do not fit.
    fn reconstruct(
        &self,
        scheme: Scheme,
        chunks: &[Option<&[u8]>],
        want: &[usize],
    ) -> Result<Vec<Vec<u8>>, CodecError>;
}

/// The code on disk. Tables are made once per scheme; there are at most 64 schemes.
#[derive(Default)]
pub struct Cauchy {
    coders: Mutex<HashMap<Scheme, Arc<Coder>>>,
}

impl Cauchy {
    fn coder(&self, scheme: Scheme) -> Result<Arc<Coder>, CodecError> {
        let mut coders = self.coders.lock();
        if let Some(coder) = coders.get(&scheme) {
            return Ok(coder.clone());
        }
        let made = Matrix::cauchy(scheme.data(), scheme.parity()).and_then(rusty_erasure::coder);
        let coder = Arc::new(made.map_err(|error| CodecError(error.to_string()))?);
        coders.insert(scheme, coder.clone());
        Ok(coder)
    }
}

impl Codec for Cauchy {
    fn encode(&self, scheme: Scheme, data: &[&[u8]]) -> Result<Vec<Vec<u8>>, CodecError> {
        if scheme.parity() == 0 {
            return Ok(Vec::new());
        }
        let length = data.first().map_or(0, |chunk| chunk.len());
        let mut parity = vec![vec![0; length]; scheme.parity()];
        let mut out: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
        let coder = self.coder(scheme)?;
        coder.encode(data, &mut out).map_err(|error| CodecError(error.to_string()))?;
        Ok(parity)
    }

    fn reconstruct(
        &self,
        scheme: Scheme,
        chunks: &[Option<&[u8]>],
        want: &[usize],
    ) -> Result<Vec<Vec<u8>>, CodecError> {
        let Some(length) = chunks.iter().flatten().map(|chunk| chunk.len()).next() else {
            return Err(CodecError("no chunk is present".into()));
        };
        if scheme.parity() == 0 {
            return Err(CodecError("no parity to reconstruct from".into()));
        }
        let mut out = vec![vec![0; length]; want.len()];
        let mut targets: Vec<&mut [u8]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        let coder = self.coder(scheme)?;
        coder
            .recover(chunks, want, &mut targets)
            .map_err(|error: RecoverError| CodecError(error.to_string()))?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
