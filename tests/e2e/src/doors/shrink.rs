//! Fewer steps that end in the same failure.

use super::DoorsError;
use super::run::{Run, TREE};
use super::step::Step;
use crate::power::Door;
use std::collections::VecDeque;

/// Trees that are filled to find fewer steps.
const TRIES_MAX: u32 = 400;

impl Run<'_> {
    /// Leaves out what the failure does not need, in trees of their own; `error` itself when it does not come back.
    pub(super) fn shrink(&mut self, error: DoorsError) -> Result<DoorsError, DoorsError> {
        let mut steps = std::mem::take(&mut self.done);
        let Some(last) = steps.pop() else { return Ok(error) };
        let mut best = error;
        let difference = self.difference.clone();
        let mut tries = 0;
        let mut part = steps.len().div_ceil(2);
        while part > 0 && tries < TRIES_MAX {
            let mut at = 0;
            let mut smaller = false;
            while at < steps.len() && tries < TRIES_MAX {
                let mut fewer = steps.clone();
                fewer.drain(at..(at + part).min(steps.len()));
                tries += 1;
                match self.fails(tries, &fewer, &last, &difference)? {
                    Some(error) => (best, steps, smaller) = (error, fewer, true),
                    None => at += part,
                }
            }
            if !smaller || part > 1 {
                part /= 2;
            }
        }
        Ok(best)
    }

    /// Whether the last of these steps, and none before, is answered differently.
    fn fails(
        &mut self,
        number: u32,
        steps: &[(Door, Step)],
        last: &(Door, Step),
        difference: &str,
    ) -> Result<Option<DoorsError>, DoorsError> {
        self.begin(&format!("{}-{number}", TREE))?;
        (self.last, self.step) = (VecDeque::new(), 0);
        for (door, step) in steps {
            self.step += 1;
            match self.one(*door, step) {
                Ok(()) => {}
                Err(DoorsError::Different { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        self.step += 1;
        match self.one(last.0, &last.1) {
            Ok(()) => Ok(None),
            Err(error @ DoorsError::Different { .. }) if self.difference == difference => Ok(Some(error)),
            Err(DoorsError::Different { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
