//! Histories for people.

use super::check::{Doer, Violation};
use super::history::{Object, Operation, Outcome};

/// Operations that are shown of one history.
const SHOWN_MAX: usize = 16;

/// A history, a line for each operation: microseconds from the first beginning, who, what, what came of it.
pub(super) fn shown(violation: &Violation, doers: &[Doer]) -> String {
    let Object { generation, kind } = violation.object;
    let mut text = format!("{kind:?} of generation {generation}: {}\n", violation.what);
    let first = violation.operations.first().map_or(0, |operation| operation.began);
    if violation.operations.len() > SHOWN_MAX {
        text.push_str(&format!("  ({} before)\n", violation.operations.len() - SHOWN_MAX));
    }
    for operation in &violation.operations[violation.operations.len().saturating_sub(SHOWN_MAX)..] {
        text.push_str(&line(operation, doers, first));
    }
    text
}

fn line(operation: &Operation, doers: &[Doer], first: u64) -> String {
    let since = |at: u64| (at as i64 - first as i64) / 1000;
    let ended = if operation.ended == u64::MAX { "?".to_owned() } else { since(operation.ended).to_string() };
    let outcome = match &operation.outcome {
        None => "nobody knows".to_owned(),
        Some(Outcome::Tag(Some(tag))) => format!("{tag}"),
        Some(Outcome::Number(number)) => format!("{number}"),
        Some(outcome) => format!("{outcome:?}"),
    };
    let who = &doers[operation.worker].name;
    format!("  {:>10} - {ended:>10}  {who:12} {:?} = {outcome}\n", since(operation.began), operation.act)
}
